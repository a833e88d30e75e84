# SPDX-License-Identifier: GPL-2.0-only
"""The overlay as a series of patches for one tree, made in a repository of its own.

dev/port/series/ has a letter for each patch, in order: its subject, the paths
it takes, its text. The first is the cover letter. One without paths ends in a
patch of stock's files, which is left out where it does not apply: what it mends is
not there. The lines of our MAINTAINERS entry come with the files that they name.
"""

import glob
import os
import re
import signal
import tempfile
from fnmatch import fnmatch

from overlay import HERE, ROOT, UTF8, git, read, refuse, same
from tree import SIGNALS, remove

MADE_BY = 'This series was made by dev/port for'


def letters():
    for name in sorted(glob.glob(os.path.join(HERE, 'series', '*.txt'))):
        head, _, body = read(name).text.partition('\n\n')
        field = dict(re.findall(r'^(Subject|Paths):\s+(.*(?:\n[ \t].*)*)', head, re.M))
        body, _, patch = body.partition('\n---\n')
        yield field['Subject'], field.get('Paths', '').split(), body.strip('\n') + '\n', patch


def identity(where):
    """Name and mail address of who signs off."""
    who = git(where, '-c', 'user.useConfigOnly=true', 'var', 'GIT_COMMITTER_IDENT', ok=True)
    who = who and re.match(r'(.+) <(.+)> \d+ ', who)
    if not who:
        refuse('git', 'does not know who signs off the series', 'git config --global '
               'user.name "Your Name"; git config --global user.email you@example.org')
    return who.groups()


def environment(name, mail):
    """One in which git does the same everywhere."""
    date = os.environ.get('SOURCE_DATE_EPOCH') or git(
        ROOT, '-c', 'safe.directory=' + ROOT, 'log', '-1', '--format=%ct', '--', '.',
        ':!dev', ok=True) or '0'
    env = {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}
    env.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM='1', TZ='UTC', LC_ALL='C')
    for role in 'AUTHOR', 'COMMITTER':
        env.update({'GIT_%s_NAME' % role: name, 'GIT_%s_EMAIL' % role: mail,
                    'GIT_%s_DATE' % role: '@%s +0000' % date.strip()})
    return env


def commit(repo, files, message, env):
    for path, f in files.items():
        name = os.path.join(repo, path)
        remove(name)
        if f:
            os.makedirs(os.path.dirname(name), exist_ok=True)
            with open(name, 'w', **UTF8) as out:
                out.write(f.text)
            os.chmod(name, 0o755 if f.mode & 0o100 else 0o644)
    git(repo, 'add', '-Af', '.', env=env)
    git(repo, 'commit', '-q', '-m', message, env=env)


def apply_patch(repo, patch, env):
    """Change files of the repository; false if the patch is not for these."""
    with tempfile.NamedTemporaryFile('w', dir=os.path.dirname(repo), **UTF8) as f:
        f.write(patch)
        f.flush()
        return git(repo, 'apply', f.name, env=env, ok=True) is not None


def entry_for(change, paths):
    """MAINTAINERS with those lines of our entry that name one of paths."""
    lines = [x for x in change.ours.splitlines(True) if not x.startswith('F:') or any(
        p.startswith(x[3:-1]) if x.endswith('/\n') else fnmatch(p, x[3:-1]) for p in paths)]
    return change.new._replace(text=change.new.text.replace(change.ours, ''.join(lines)))


def write_series(tree, out):
    """Write the series for tree to the directory out; return the files' names."""
    out = os.path.realpath(out)
    parent = os.path.dirname(out)
    if os.path.isdir(out):
        cover = os.path.join(out, '0000-cover-letter.patch')
        if os.listdir(out) and not (
                all(re.match(r'\d{4}-.*\.patch$', f) for f in os.listdir(out))
                and os.path.isfile(cover) and MADE_BY in read(cover).text):
            refuse(out, 'holds something other than an earlier series',
                   'give an empty or a new directory')
    elif os.path.lexists(out):
        refuse(out, 'not a directory', 'give an empty or a new directory')
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK):
        refuse(parent, 'no directory to write to', 'create it, or give another')
    todo = {p: c for p, c in tree.plan().items() if not same(c.old, c.new)}
    if not todo:
        refuse(tree.dir, 'has the series already', 'give a tree without it')
    name, mail = identity(tree.dir if tree.git else ROOT)
    env = environment(name, mail)

    with tempfile.TemporaryDirectory(prefix='.kheaders-', dir=parent) as tmp:
        repo, new = os.path.join(tmp, 'repo'), os.path.join(tmp, 'new')
        os.mkdir(repo)
        os.mkdir(new)
        git(repo, 'init', '-q', '--template=', env=env)
        commit(repo, {p: c.old for p, c in todo.items() if c.old}, 'base', env)
        (title, _, story, _), *patches = letters()
        entry, done = todo.pop('MAINTAINERS', None), []
        for subject, paths, body, patch in patches:
            files = {p: todo.pop(p).new for p in list(todo)
                     if any(fnmatch(p, w + '*' if w.endswith('/') else w) for w in paths)}
            done += [p for p in files if files[p]]
            if patch and apply_patch(repo, patch, env):
                files = {}
            elif not files:
                continue
            if entry and files:
                files['MAINTAINERS'] = entry_for(entry, done) if todo else entry.new
            commit(repo, files, '%s\n\n%s\nSigned-off-by: %s <%s>\n'
                   % (subject, body, name, mail), env)
        if todo:
            refuse(min(todo), 'in no patch of the series', 'name it in dev/port/series')
        git(repo, 'format-patch', '-q', '--cover-letter', '--zero-commit', '--full-index',
            '--no-renames', '--no-signature', '-o', new, ':/^base', env=env)
        cover = os.path.join(new, '0000-cover-letter.patch')
        text = read(cover).text.replace('*** SUBJECT HERE ***', title, 1)
        text = text.replace('*** BLURB HERE ***', '%s\n%s Linux %s.'
                            % (story, MADE_BY, tree.version), 1)
        with open(cover, 'w', **UTF8) as f:
            f.write(text)
        names = sorted(os.listdir(new))
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if os.path.isdir(out):
            os.rename(out, os.path.join(tmp, 'old'))
        os.rename(new, out)
    return names
