# SPDX-License-Identifier: GPL-2.0-only
"""The overlay: what of this repository belongs into a kernel tree."""

import os
import re
import subprocess
from collections import namedtuple

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OWN = re.compile(r'\.|(dev|build)/|(README\.md|CHANGELOG\.md|Makefile|COPYING)$')
UTF8 = {'encoding': 'utf-8', 'errors': 'surrogateescape', 'newline': ''}

# Without an owner the file is written as a new one.
File = namedtuple('File', 'text mode owner', defaults=(None,))


class Refusal(Exception):
    pass


def refuse(what, why, todo):
    raise Refusal('%s: %s / %s' % (what, why, todo))


def read(path):
    """The file at path, None if there is none."""
    if not os.path.lexists(path):
        return None
    if os.path.islink(path) or not os.path.isfile(path):
        refuse(path, 'not a regular file', 'put a regular file there')
    with open(path, **UTF8) as f:
        st = os.fstat(f.fileno())
        return File(f.read(), st.st_mode & 0o777,
                    (st.st_uid, st.st_gid))


def same(a, b):
    """Whether two files are one to git: text and run bit."""
    return (a and (a.text, a.mode & 0o100)) == (b and (b.text, b.mode & 0o100))


def git(cwd, *args, env=None, ok=False):
    """Output of git in the repository whose top is cwd; None if it may fail and does."""
    env = dict(env or os.environ)
    for name in 'GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_PREFIX':
        env.pop(name, None)
    env['GIT_CEILING_DIRECTORIES'] = os.path.dirname(os.path.realpath(cwd))
    try:
        r = subprocess.run(('git', '-C', cwd) + args, capture_output=True, env=env,
                           encoding='utf-8', errors='surrogateescape', check=False)
    except FileNotFoundError:
        refuse('git', 'not found', 'install it, on Debian: apt-get install git')
    if r.returncode and not ok:
        refuse('git %s in %s' % (args[0], cwd), r.stderr.strip().replace('\n', ' '),
               'see to it there')
    return None if r.returncode else r.stdout


def overlay():
    """path -> File of everything that belongs into a kernel tree."""
    if os.path.exists(os.path.join(ROOT, '.git')):
        paths = git(ROOT, '-c', 'safe.directory=' + ROOT, 'ls-files', '-z').split('\0')
    else:
        paths = [os.path.relpath(os.path.join(d, f), ROOT)
                 for d, _, files in os.walk(ROOT) for f in files]
    files = {p: read(os.path.join(ROOT, p)) for p in sorted(set(paths))
             if p and not OWN.match(p)}
    return {p: f for p, f in files.items() if f}


def fragment(path, text):
    """A fragment without its SPDX line and the blank lines around it."""
    first, _, rest = text.partition('\n')
    if 'SPDX-License-Identifier' not in first:
        refuse(path, 'the first line of this fragment is not its SPDX line', 'add that')
    return rest.strip('\n') + '\n'


def resolve(path, text, have):
    """Decide the conditionals on KHEADERS_HAVE_ symbols, keep all others."""
    out, stack = [], []         # of the open conditionals: (ours, keeps its lines)
    for n, line in enumerate(text.splitlines(True), 1):
        word = re.match(r'\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b\s*(\w*)', line)
        word = word and word.groups()
        ours = bool(stack) and stack[-1][0]
        if word and word[0].startswith('if'):
            mine = word[0] != 'if' and word[1].startswith('KHEADERS_HAVE_')
            stack.append((mine, not mine or have(path, word[1]) == (word[0] == 'ifdef')))
            ours = mine
        elif word and word[0] == 'endif' and stack:
            stack.pop()
        elif word and ours and word[0] == 'else':
            stack[-1] = (True, not stack[-1][1])
        if word and ours and word[0] != 'elif':
            continue
        if all(keeps for _, keeps in stack):
            if word and ours or 'KHEADERS_HAVE_' in line:
                refuse('%s:%d' % (path, n), 'not an #ifdef, #ifndef, #else or #endif',
                       'use these alone with KHEADERS_HAVE_ symbols')
            out.append(line)
    if stack:
        refuse(path, 'a conditional has no #endif', 'add it')
    return ''.join(out)
