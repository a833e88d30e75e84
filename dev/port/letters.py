# SPDX-License-Identifier: GPL-2.0-only
"""The overlay as a series of patches for one tree, made in a repository of its own.

dev/port/series/ has a letter for each patch, in order: its subject, the paths
it takes, its text. The first is the cover letter, with who gets copies. Some end in
a patch of stock's files, and are left out where that does not apply: what it mends
is not there. Lines within #ifdef KHEADERS_WITH_X come with the letter that has
"With: KHEADERS_WITH_X", those of our MAINTAINERS entry with the files that they name.
"""

import glob
import os
import re
import tempfile
from collections import namedtuple
from fnmatch import fnmatch

from overlay import File, HERE, ROOT, git, read, refuse, write
from table import lines

FOR = 'The series is for Linux'

Letter = namedtuple('Letter', 'subject paths part copies body patch')


def letters():
    for name in sorted(glob.glob(os.path.join(HERE, 'series', '*.txt'))):
        head, _, body = read(name).text.partition('\n\n')
        field = dict(re.findall(r'^(\w+):\s+(.*(?:\n[ \t].*)*)', head, re.M))
        body, _, patch = body.partition('\n---\n')
        yield Letter(field['Subject'], field.get('Paths', '').split(), field.get('With'),
                     re.split(r'\n\s*', field.get('Cc', '')), body.strip('\n') + '\n', patch)


def signer(where):
    """Name and mail address of who signs off: whom git takes for the committer there."""
    who = git(where, '-c', 'user.useConfigOnly=true', 'var', 'GIT_COMMITTER_IDENT',
              ok=True, user=True)
    who = who and re.match(r'(.+) <(.+)> \d+ ', who)
    if not who:
        refuse('git', 'does not know who signs off the series', 'git config --global '
               'user.name "Your Name"; git config --global user.email you@example.org')
    return who.groups()


def entry_for(paths, new, ours, maintainer):
    """MAINTAINERS with who sends the series, and those lines of our entry that name
    one of paths; None if none does."""
    named = [x for x in ours.splitlines(True) if not x.startswith('F:') or any(
        p.startswith(x[3:-1]) if x.endswith('/\n') else fnmatch(p, x[3:-1]) for p in paths)]
    if not any(x.startswith('F:') for x in named):
        return None
    named.insert(1, 'M:\t%s <%s>\n' % maintainer)
    return new._replace(text=new.text.replace(ours, ''.join(named)))


def write_series(tree, out):
    """Write the series for tree to the directory out; return the files' names."""
    out = os.path.realpath(out)
    cover = os.path.join(out, '0000-cover-letter.patch')
    if os.path.lexists(out) and not (os.path.isdir(out) and all(
            re.match(r'\d{4}-.*\.patch$', f) for f in os.listdir(out)) and (
                not os.listdir(out) or FOR in (read(cover) or ('',))[0])):
        refuse(out, 'something other than an earlier series', 'give an empty or a new directory')
    cover_letter, *patches = letters()
    final = [p for p, (old, new) in tree.plan().items() if old != new]
    if not final:
        refuse(tree.dir, 'has the series already', 'give a tree without it')
    parts = [x.part for x in patches if x.part]
    todo = {p: c for p, c in tree.plan(without=parts).items() if p in final}
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
        entry, done = todo.pop('MAINTAINERS', None), []
        ours = lines('MAINTAINERS', tree.overlay['MAINTAINERS'].text)
        for letter in patches:
            if letter.patch:
                write(os.path.join(tmp, 'patch'), File(letter.patch, False))
                if git(repo, 'apply', os.path.join(tmp, 'patch'), ok=True) is None:
                    continue
            if letter.part:
                parts.remove(letter.part)
                plan = tree.plan(without=parts)
                todo = {p: plan[p] for p in set(todo) | {p for p in done if p in plan}}
            files = {p: todo.pop(p)[1] for p in list(todo) if p in done or
                     any(fnmatch(p, w + '*' if w.endswith('/') else w) for w in letter.paths)}
            if not files and not letter.patch:
                continue
            done += [p for p in files if files[p] and p not in done]
            named = entry and files and entry_for(done, entry[1], ours, (name, mail))
            if named:
                files['MAINTAINERS'] = named
            commit(files, '%s\n\n%s\nSigned-off-by: %s <%s>\n'
                   % (letter.subject, letter.body, name, mail))
        if todo:
            refuse(min(todo), 'in no patch of the series', 'name it in dev/port/series')
        git(repo, 'config', 'branch.series.description', '%s\n\n%s\n%s Linux %s.'
            % (cover_letter.subject, cover_letter.body, FOR, tree.version))
        git(repo, 'format-patch', '-q', '--cover-letter', '--cover-from-description=subject',
            '--zero-commit', '--full-index', '--no-renames', '--no-signature', '-o', new,
            *('--cc=' + x for x in cover_letter.copies), ':/^base', **who)
        names = sorted(os.listdir(new))
        if os.path.isdir(out):
            os.rename(out, os.path.join(tmp, 'old'))
        os.rename(new, out)
    return names
