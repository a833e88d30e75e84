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
import tempfile
from fnmatch import fnmatch

from overlay import File, HERE, ROOT, git, read, refuse, write
from table import lines

MADE_BY = 'This series was made by dev/port for'


def letters():
    for name in sorted(glob.glob(os.path.join(HERE, 'series', '*.txt'))):
        head, _, body = read(name).text.partition('\n\n')
        field = dict(re.findall(r'^(Subject|Paths):\s+(.*(?:\n[ \t].*)*)', head, re.M))
        body, _, patch = body.partition('\n---\n')
        yield field['Subject'], field.get('Paths', '').split(), body.strip('\n') + '\n', patch


def signer(where):
    """Name and mail address of who signs off: whom git takes for the committer there."""
    who = git(where, '-c', 'user.useConfigOnly=true', 'var', 'GIT_COMMITTER_IDENT',
              ok=True, user=True)
    who = who and re.match(r'(.+) <(.+)> \d+ ', who)
    if not who:
        refuse('git', 'does not know who signs off the series', 'git config --global '
               'user.name "Your Name"; git config --global user.email you@example.org')
    return who.groups()


def entry_for(paths, new, ours):
    """MAINTAINERS with those lines of our entry that name one of paths."""
    named = [x for x in ours.splitlines(True) if not x.startswith('F:') or any(
        p.startswith(x[3:-1]) if x.endswith('/\n') else fnmatch(p, x[3:-1]) for p in paths)]
    return new._replace(text=new.text.replace(ours, ''.join(named)))


def write_series(tree, out):
    """Write the series for tree to the directory out; return the files' names."""
    out = os.path.realpath(out)
    cover = os.path.join(out, '0000-cover-letter.patch')
    if os.path.lexists(out) and not (os.path.isdir(out) and all(
            re.match(r'\d{4}-.*\.patch$', f) for f in os.listdir(out)) and (
                not os.listdir(out) or MADE_BY in (read(cover) or ('',))[0])):
        refuse(out, 'something other than an earlier series', 'give an empty or a new directory')
    todo = {p: (old, new) for p, (old, new) in tree.plan().items() if old != new}
    if not todo:
        refuse(tree.dir, 'has the series already', 'give a tree without it')
    name, mail = signer(tree.dir if os.path.lexists(tree.path('.git')) else ROOT)
    date = os.environ.get('SOURCE_DATE_EPOCH') or git(
        ROOT, 'log', '-1', '--format=%ct', '--', '.', ':!dev', ok=True) or '0'
    who = {'GIT_%s_%s' % (role, x): y for role in ('AUTHOR', 'COMMITTER') for x, y in
           (('NAME', name), ('EMAIL', mail), ('DATE', '@%s +0000' % date.strip()))}

    with tempfile.TemporaryDirectory(prefix='.kheaders-', dir=os.path.dirname(out)) as tmp:
        repo, new = os.path.join(tmp, 'repo'), os.path.join(tmp, 'new')
        os.mkdir(repo)
        os.mkdir(new)
        git(repo, 'init', '-q', '-b', 'series', '--template=')

        def commit(files, message):
            for path, f in files.items():
                write(os.path.join(repo, path), f)
            git(repo, 'add', '-Af', '.')
            git(repo, 'commit', '-q', '-m', message, **who)

        commit({p: old for p, (old, _) in todo.items()}, 'base')
        (title, _, story, _), *patches = letters()
        entry, done = todo.pop('MAINTAINERS', None), []
        ours = lines('MAINTAINERS', tree.overlay['MAINTAINERS'].text)
        for subject, paths, body, patch in patches:
            files = {p: todo.pop(p)[1] for p in list(todo)
                     if any(fnmatch(p, w + '*' if w.endswith('/') else w) for w in paths)}
            done += [p for p in files if files[p]]
            if patch:
                write(os.path.join(tmp, 'patch'), File(patch, False))
                patch = git(repo, 'apply', os.path.join(tmp, 'patch'), ok=True) is not None
            if not files and not patch:
                continue
            if entry and files:
                files['MAINTAINERS'] = entry_for(done, entry[1], ours)
            commit(files, '%s\n\n%s\nSigned-off-by: %s <%s>\n' % (subject, body, name, mail))
        if todo:
            refuse(min(todo), 'in no patch of the series', 'name it in dev/port/series')
        git(repo, 'config', 'branch.series.description', '%s\n\n%s\n%s Linux %s.'
            % (title, story, MADE_BY, tree.version))
        git(repo, 'format-patch', '-q', '--cover-letter', '--cover-from-description=subject',
            '--zero-commit', '--full-index', '--no-renames', '--no-signature', '-o', new,
            ':/^base', **who)
        names = sorted(os.listdir(new))
        if os.path.isdir(out):
            os.rename(out, os.path.join(tmp, 'old'))
        os.rename(new, out)
    return names
