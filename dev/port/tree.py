# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree: what it is without us and with us, and the way between them.

What was done to it is remembered as a patch, which git takes back. New files are
staged beside that and then moved into their places. git apply would remove all old
files before it writes the first new one: builds could miss them, and whoever kills
it or fills the disk would have a tree without them.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile

from overlay import File, git, overlay, read, refuse, resolve, write
from table import FRAGMENTS, KNOWN, OLDEST, PROBES, RELEASES, STOCK, lines, place



class Tree:
    def __init__(self, kdir):
        self.dir, self.overlay = kdir.rstrip('/') or '/', overlay()
        level = re.findall(r'^(?:VERSION|PATCHLEVEL|SUBLEVEL) = *(\d+)', (
            self.now('Makefile') or File('', False)).text, re.M)
        if len(level) != 3 or not os.path.exists(self.path('Kbuild')):
            refuse(kdir, 'not a kernel source tree', 'give the top directory of one')
        self.version = '.'.join(level)
        if tuple(map(int, level))[:2] < OLDEST:
            refuse(kdir, 'Linux %s, which is too old' % self.version,
                   'give a tree of %d.%d or later' % OLDEST)
        self.lock = os.open(self.dir, os.O_RDONLY)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refuse(kdir, 'another port is at work there', 'wait for it')

        # It is in the tree in any case: files are moved from there.
        self.memory, repository = self.path('.kheaders-port'), self.path('.git')
        if os.path.isdir(repository) and not os.path.islink(repository) and \
                not os.path.isdir(self.memory):
            self.memory = os.path.join(repository, 'kheaders-port')
        self.tmp, self.staged, self.note = (os.path.join(self.memory, x)
                                            for x in ('tmp', 'staged', 'applied.patch'))
        if os.path.exists(os.path.join(self.memory, 'record')):
            refuse(self.memory, 'written by an older dev/port', 'unapply with that first')
        if os.path.isdir(self.tmp):
            self.clear()
        if os.path.isdir(self.staged):
            self.move()
        self.base = self.without_us()

    def path(self, path):
        return os.path.join(self.dir, path)

    def now(self, path):
        return read(self.path(path))

    # --- what the tree was ---

    def without_us(self):
        """path -> File without us, of each that we changed."""
        note = read(self.note)
        paths = re.findall(r'^diff --git [ab]/(\S+) ', note.text, re.M) if note else []
        now = {p: self.now(p) for p in paths}
        with tempfile.TemporaryDirectory() as tmp:
            def takes(*options):
                return git(tmp, 'apply', *options, os.path.abspath(self.note), ok=True) is not None

            for path, f in now.items():
                write(os.path.join(tmp, path), f)
            if paths and not takes('-R', '-C0'):
                # One was edited. Others may be as they were: checked out again, or removed.
                for path, f in now.items():
                    only = '--include=' + path
                    if not (takes('-R', '-C0', only) or takes('--check', only)
                            or f and f.text == self.head(path)):
                        refuse(self.path(path), 'edited where it is ours',
                               'undo that edit, or keep it elsewhere')
            base = {p: read(os.path.join(tmp, p)) for p in paths}
        return base if base != now else {}

    def without(self, path):
        return self.base[path] if path in self.base else self.now(path)

    def head(self, path):
        """Text of the file in HEAD, None if there is none."""
        return git(self.dir, 'cat-file', 'blob', 'HEAD:./' + path, ok=True, user=True)

    def check_edits(self, path, at, piece, text):
        """Refuse to replace a piece of stock's file that has local changes."""
        if path in self.base or not piece:
            return
        head, digest = self.head(path), hashlib.sha256(piece.encode('utf-8', 'surrogateescape'))
        if (head != text and ('\n' + head).count('\n' + piece) != 1 if head else
                self.version in RELEASES and digest.hexdigest()[:16] not in KNOWN):
            refuse('%s:%d' % (self.path(path), text.count('\n', 0, at) + 1),
                   'local changes in the lines that ours replace', 'undo them')

    # --- what it becomes ---

    def have(self, path, symbol):
        if symbol not in PROBES:
            refuse(path, 'unknown symbol ' + symbol, 'give it a row in dev/port/table.py')
        name, regex = PROBES[symbol]
        return self.now(name) and re.search(regex, self.now(name).text, re.M)

    def insert(self, path, ours, old):
        """The file with our lines."""
        if path not in self.base and old:
            text = old.text
            if path == 'MAINTAINERS':           # the series names who sent it
                text = re.sub(r'^M:.*\n', '', text, flags=re.M)
            if '\n' + ours in '\n' + text:
                return old                      # the series is in the tree
        try:
            at, stock = place(path, old.text if old else '', ours)
        except LookupError as e:
            refuse(self.path(path), 'anchor not found, %s' % e, 'undo local changes there, revert '
                   'an older series of ours, or teach dev/port/table.py this kernel')
        self.check_edits(path, at, stock, old.text)
        return old._replace(text=old.text[:at] + ours + old.text[at + len(stock):])

    def plan(self, without=()):
        """path -> (File without us, File with the overlay, or with parts of it)."""
        def have(path, symbol):
            if symbol.startswith('KHEADERS_WITH_'):     # comes with a patch of the series
                return symbol not in without
            return self.have(path, symbol)

        changes = {p: (self.without(p), None) for p in STOCK}
        for path, f in self.overlay.items():
            f, old = f._replace(text=resolve(path, f.text, have)), self.without(path)
            if path in FRAGMENTS:
                f = self.insert(path, lines(path, f.text), old)
            changes[path] = old, f
        there = {old == new for p, (old, new) in changes.items() if p in FRAGMENTS}
        if not self.base and len(there) > 1:
            refuse(self.dir, 'has an older series of ours, or a part of one',
                   'revert its commits with git')
        for path, (old, new) in changes.items():
            if path in FRAGMENTS or not old or old == new:
                continue
            if path not in STOCK or not re.search(STOCK[path], old.text, re.M):
                refuse(self.path(path), 'exists, is not ours and not stock\'s', 'move it away, '
                       'or, if a kernel has it, give it a row in dev/port/table.py')
            self.check_edits(path, 0, old.text, old.text)
        for path, old in self.base.items():
            changes.setdefault(path, (old, old))        # an older overlay had it
        return changes

    # --- the way there and back ---

    def put(self, files, changes):
        """Make files (path -> File or None) the tree's and changes what is remembered."""
        files = {os.path.relpath(self.note, self.dir): changes and File(record(changes), False),
                 **files}
        if os.geteuid() == 0:           # what root writes is to be the tree's owner's
            st = os.stat(self.dir)
            os.setegid(st.st_gid)
            os.seteuid(st.st_uid)
        for path in files:
            d = os.path.dirname(self.path(path))
            while not os.path.lexists(d):
                d = os.path.dirname(d)
            if not os.path.isdir(d) or not os.access(d, os.W_OK, effective_ids=True):
                refuse(d, 'no directory, no permission to write, or a read-only file system',
                       'become its owner, or work on a copy')
        try:
            for path, f in files.items():       # a full disk shows here
                name, now = os.path.join(self.tmp, 'new' if f else 'gone', path), self.now(path)
                write(name, f or File('', False))
                if f and now and now.run == f.run:
                    shutil.copymode(self.path(path), name)
        except OSError:
            self.clear()
            raise
        os.rename(self.tmp, self.staged)
        self.move()

    def move(self):
        """Bring what is staged to its places; what a killed run left undone, too."""
        new, gone = os.path.join(self.staged, 'new'), os.path.join(self.staged, 'gone')
        for d, dirs, names in os.walk(new):
            for name in dirs + names:
                path = self.path(os.path.relpath(os.path.join(d, name), new))
                if name in names or not os.path.exists(path):
                    os.replace(os.path.join(d, name), path)
        for d, _, names in os.walk(gone, topdown=False):
            d = self.path(os.path.relpath(d, gone))
            for name in names:
                write(os.path.join(d, name), None)
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(d)
        os.rename(self.staged, self.tmp)
        self.clear()

    def clear(self):
        shutil.rmtree(self.tmp, ignore_errors=True)
        with contextlib.suppress(OSError):      # it holds what is remembered
            os.rmdir(self.memory)


def record(changes):
    """The patch that makes changes (path -> old, new), with one hunk for all of ours in
    a file, so that it is found there whatever was edited around it."""
    with tempfile.TemporaryDirectory() as tmp:
        for path, (old, new) in changes.items():
            if old != new:
                write(os.path.join(tmp, 'a', path), old)
                write(os.path.join(tmp, 'b', path), new)
        return git(tmp, 'diff', '--no-index', '--no-prefix', '--no-renames', '--binary',
                   '--full-index', '--inter-hunk-context=10000', 'a', 'b')
