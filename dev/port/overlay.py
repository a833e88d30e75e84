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

File = namedtuple('File', 'text run')   # as git sees it: what is in it, and the run bit


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
        return File(f.read(), bool(os.fstat(f.fileno()).st_mode & 0o100))


def write(path, f):
    """Make f the file at path; None removes it."""
    if os.path.lexists(path):
        os.unlink(path)
    if f:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o777 if f.run else 0o666)
        with open(fd, 'w', **UTF8) as out:
            out.write(f.text)


def git(cwd, *args, ok=False, user=False, **more):
    """Output of git in cwd, where it sees no repository around it, and its user's
    configuration only if told to; with ok, None if it fails."""
    env = {k: v for k, v in os.environ.items() if not k.startswith('GIT_') or
           user and k.startswith(('GIT_CONFIG', 'GIT_COMMITTER_'))}
    if not user:
        env.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM='1', GIT_ATTR_NOSYSTEM='1')
        args = ('-c', 'core.attributesFile=' + os.devnull, '-c', 'safe.directory=' + cwd, *args)
    env.update(GIT_CEILING_DIRECTORIES=os.path.dirname(os.path.realpath(cwd)), LC_ALL='C', **more)
    r = subprocess.run(('git', '-C', cwd) + args, capture_output=True, env=env,
                       encoding='utf-8', errors='surrogateescape', check=False)
    if r.returncode > ('--no-index' in args):   # 1 says there that files differ
        if not ok:
            refuse('git in ' + cwd, r.stderr.strip().replace('\n', ' '), 'see to it there')
        return None
    return r.stdout


def overlay():
    """path -> File of everything that belongs into a kernel tree."""
    if os.path.exists(os.path.join(ROOT, '.git')):
        paths = git(ROOT, 'ls-files', '-z').split('\0')
    else:
        paths = [os.path.relpath(os.path.join(d, f), ROOT)
                 for d, _, files in os.walk(ROOT) for f in files]
    return {p: read(os.path.join(ROOT, p)) for p in sorted(set(paths))
            if p and not OWN.match(p) and os.path.lexists(os.path.join(ROOT, p))}


def resolve(path, text, have):
    """Decide the conditionals on KHEADERS_HAVE_ and KHEADERS_WITH_ symbols, and keep the
    others. In a script they are comments."""
    out, stack = [], []         # of each open conditional: [ours, keeps its lines]
    for line in text.splitlines(True):
        word = re.match(r'#(if|else|elif|endif)', line)
        symbol = re.match(r'#ifdef (KHEADERS_(?:HAVE|WITH)_\w+)\n', line)
        if word and word[1] == 'if':
            stack.append([bool(symbol), not symbol or have(path, symbol[1])])
        ours = word and stack and stack[-1][0]
        if ours and word[1] == 'else':
            stack[-1][1] = not stack[-1][1]
        elif word and word[1] == 'endif' and stack:
            stack.pop()
        if not ours and all(keeps for _, keeps in stack):
            out.append(line)
    text = ''.join(out)
    if stack or re.search('KHEADERS_(HAVE|WITH)_', text):
        refuse(path, 'a conditional on KHEADERS_HAVE_ or KHEADERS_WITH_ that is none of '
               '#ifdef, #else, #endif', 'write it so')
    return text
