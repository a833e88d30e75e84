# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree: what it is without us and with us, and the way between them.

The tree remembers what it was in the file `record`: path -> what the file was,
what it becomes, our lines and stock's. That is written before any file changes,
and files change by renames: whatever kills a run, each is the old or the new one.
"""

import fcntl
import hashlib
import json
import os
import re
import signal
from collections import namedtuple

from overlay import File, UTF8, fragment, git, overlay, read, refuse, resolve, same
from table import FRAGMENTS, KNOWN, OLDEST, PROBES, RELEASES, STOCK, place

NEW = '.kheaders-new'     # suffix of what is to take a file's place
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

# What becomes of a file; `ours` in the new text stands for `stock` in the old.
Change = namedtuple('Change', 'old new ours stock', defaults=(None, None))


def digest(text):
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()


def count(text, lines):
    """How often text has these whole lines."""
    return ('\n' + text).count('\n' + lines)


def remove(path):
    if os.path.lexists(path):
        os.unlink(path)


class Tree:
    def __init__(self, kdir, repair):
        self.dir = kdir.rstrip('/') or '/'
        if not os.path.isdir(self.dir):
            refuse(kdir, 'not a directory', 'give the top directory of a kernel source tree')
        self.lock = os.open(self.dir, os.O_RDONLY)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refuse(kdir, 'another port is at work there', 'wait for it')

        memory, self.git = self.path('.kheaders-port'), False
        if os.path.lexists(self.path('.git')):
            self.git = True
            if not os.path.isdir(memory):
                memory = self.path(git(self.dir, 'rev-parse', '--git-path',
                                       'kheaders-port').rstrip('\n'))
        self.note = os.path.join(memory, 'record')
        self.record, self.dirs = {}, []
        self.recall(repair)

        for part in ('Makefile', 'Kbuild', 'Kconfig', 'kernel/Makefile', 'init/Kconfig',
                     'include/linux', 'scripts', 'lib'):
            if not os.path.exists(self.path(part)):
                refuse(kdir, 'not a kernel source tree, it has no ' + part,
                       'give the top directory of one')
        level = re.findall(r'^(?:VERSION|PATCHLEVEL|SUBLEVEL) = *(\d+)',
                           read(self.path('Makefile')).text, re.M)
        if len(level) != 3:
            refuse(self.path('Makefile'), 'says no kernel version',
                   'give the top directory of a kernel source tree')
        self.version = '.'.join(level)

    def path(self, path):
        return os.path.join(self.dir, path)

    # --- what the tree was ---

    def recall(self, repair):
        """Read the record; with repair, remove what a killed run left over."""
        record = read(self.note)
        if record:
            record = json.loads(record.text)
            self.record, self.dirs = record['files'], record['dirs']
        if repair:
            for name in [self.note] + [self.path(p) for p in self.record]:
                remove(name + NEW)
        if not any(self.shows(p, e) for p in self.record for e in self.entries(p)):
            self.record = {}            # another commit was checked out meanwhile

    def remember(self, files, dirs):
        memory = os.path.dirname(self.note)
        if files:
            if not os.path.isdir(memory):
                self.mkdir(memory)
            remove(self.note + NEW)
            self.write(self.note + NEW, File(json.dumps(
                {'dirs': dirs, 'files': files}, indent=1), 0o644))
            os.rename(self.note + NEW, self.note)
        elif os.path.isdir(memory):
            remove(self.note + NEW)
            remove(self.note)
            os.rmdir(memory)

    def entries(self, path):
        """What the record has of a file: more than one if an upgrade was cut short."""
        entry = self.record.get(path)
        while entry:
            yield entry
            entry = entry.get('before')

    def shows(self, path, entry):
        """Whether a file still is what we made of it, or has our lines."""
        now = read(self.path(path))
        return (now and digest(now.text)) == entry['new'] or bool(
            now and entry['ours'] and count(now.text, entry['ours']))

    def base(self, path):
        """The file without us."""
        now, entries = read(self.path(path)), list(self.entries(path))
        text = now and now.text
        for entry in entries:
            if text == entry['old']:
                return now
            if (now and digest(text)) == entry['new']:
                return entry['old'] if entry['old'] is None else File(
                    entry['old'], entry['mode'], now and now.owner)
        # One version of our lines may be the beginning of another.
        for entry in sorted(entries, key=lambda e: -len(e['ours'] or '')):
            if now and entry['ours'] and count(text, entry['ours']) == 1:
                text = ('\n' + text).replace('\n' + entry['ours'], '\n' + entry['stock'])
                return now._replace(text=text[1:])
            if now and entry['stock'] and count(text, entry['stock']) == 1:
                return now              # checked out again
        if not entries:
            return now
        refuse(self.path(path), 'our lines in it were edited' if entry['ours'] else
               'edited since we put it there', 'undo that edit, or keep it elsewhere')

    def edited(self, path, piece, text):
        """Whether piece, a part of stock's file, has local changes."""
        if path in self.record or not piece:
            return False
        head = git(self.dir, 'show', 'HEAD:./' + path, ok=True) if self.git else None
        if head is not None:
            return head != text and count(head, piece) != 1
        return self.version in RELEASES and digest(piece)[:16] not in KNOWN.get(path, ())

    # --- what it becomes ---

    def have(self, path, symbol):
        if symbol not in PROBES:
            refuse(path, 'unknown symbol ' + symbol, 'give it a row in dev/port/table.py')
        name, regex = PROBES[symbol]
        f = read(self.path(name))
        if not f:
            refuse(self.path(name), 'missing, it tells about ' + symbol, 'restore it')
        return bool(re.search(regex, f.text, re.M))

    def plan(self):
        """path -> Change from the tree without us to the tree with the overlay."""
        changes, umask = {}, os.umask(0)
        os.umask(umask)
        if tuple(map(int, self.version.split('.')))[:2] < OLDEST:
            refuse(self.dir, 'Linux %s, which is too old' % self.version,
                   'give a tree of %d.%d or later' % OLDEST)
        if not self.base('kernel/kheaders.c'):
            refuse(self.path('kernel/kheaders.c'), 'missing, kheaders came with Linux 5.2',
                   'give a newer tree, or restore it')
        for path, ours in overlay().items():
            text, old = resolve(path, ours.text, self.have), self.base(path)
            if path in FRAGMENTS:
                changes[path] = self.insert(path, fragment(path, text), old)
                continue
            mode = old.mode if old else 0o666 & ~umask
            run = (mode & 0o444) >> 2 if ours.mode & 0o100 else 0
            changes[path] = Change(old, File(text, mode & ~0o111 | run))
            if old and not same(*changes[path][:2]):
                self.check_stock(path, old)
        for path, (_, heir) in STOCK.items():
            old = self.base(path)
            if old and heir in changes and path not in changes:
                self.check_stock(path, old)
                changes[path] = Change(old, None)
        if not self.record and any(c.ours is None for p, c in changes.items() if p in
                                   FRAGMENTS) and any(c.ours for c in changes.values()):
            refuse(self.dir, 'has an older series of ours, or a part of one',
                   'revert its commits with git')
        for path in set(self.record) - set(changes):    # an older overlay had it
            changes[path] = Change(self.base(path), self.base(path))
        return changes

    def insert(self, path, piece, old):
        name = self.path(path)
        if not old:
            refuse(name, 'missing, our lines belong into it', 'restore it')
        if path not in self.record and count(old.text, FRAGMENTS[path].form % piece) == 1:
            return Change(old, old)             # the series is in the tree
        try:
            at, stock, ours = place(path, old.text, piece)
        except LookupError as e:
            refuse(name, 'anchor not found, %s' % e, 'undo local changes there, revert '
                   'an older series of ours, or teach dev/port/table.py this kernel')
        if self.edited(path, stock, old.text):
            refuse('%s:%d' % (name, old.text.count('\n', 0, at) + 1),
                   'local changes in the lines that ours replace', 'undo them')
        text = old.text[:at] + ours + old.text[at + len(stock):]
        if count(text, ours) != 1:
            refuse(name, 'has lines like ours already', 'remove them')
        return Change(old, old._replace(text=text), ours, stock)

    def check_stock(self, path, old):
        if path not in STOCK or not re.search(STOCK[path][0], old.text, re.M):
            refuse(self.path(path), 'exists, is not ours and not stock\'s', 'move it away, '
                   'or, if a kernel has it, give it a row in dev/port/table.py')
        if self.edited(path, old.text, old.text):
            refuse(self.path(path), 'local changes in a file that ours replaces', 'undo them')

    # --- the way there and back ---

    def swap(self, files, entries):
        """Make files (path -> File or None) the tree's and entries its record."""
        for path in list(files) + [self.note]:
            name = self.path(path)
            while not os.path.lexists(name):
                name = os.path.dirname(name) or '.'
            for n in {name, name if os.path.isdir(name) else os.path.dirname(name)}:
                if not os.access(n, os.W_OK):
                    refuse(n, 'no permission to write, or a read-only file system',
                           'become its owner, or work on a copy')
        made = []
        for path in files:
            d, todo = os.path.dirname(path), []
            while files[path] and d not in made and not os.path.isdir(self.path(d)):
                d, todo = os.path.dirname(d), [d] + todo
            made += todo
        dirs = sorted(set(self.dirs + made))
        new = {self.path(p): f for p, f in files.items()}
        try:
            self.remember({**self.record, **{p: dict(e, before=self.record.get(p))
                                             for p, e in entries.items()}}, dirs)
            for d in made:
                self.mkdir(self.path(d))
            for name, f in new.items():         # a full disk shows here
                if f:
                    self.write(name + NEW, f)
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        except BaseException:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            for name in new:
                remove(name + NEW)
            self.clear(made)
            if not self.record:
                self.remember({}, [])
            raise
        for name, f in new.items():
            if f:
                os.rename(name + NEW, name)
            else:
                remove(name)
        self.clear(dirs)
        self.remember(entries, dirs)

    def clear(self, dirs):
        """Remove those of our directories that are empty."""
        for d in sorted(map(self.path, dirs), reverse=True):
            if os.path.isdir(d) and not os.listdir(d):
                os.rmdir(d)

    def mkdir(self, path):
        os.mkdir(path)
        self.own(path, None)

    def write(self, path, f):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'w',
                  **UTF8) as out:
            out.write(f.text)
        self.own(path, f.owner)
        os.chmod(path, f.mode)

    def own(self, path, owner):
        """Root works for the owner of the file, or of the tree."""
        if os.geteuid() == 0:
            st = os.stat(self.dir)
            os.chown(path, *(owner or (st.st_uid, st.st_gid)))
