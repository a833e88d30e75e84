#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""strip_headers keeps every token: a table of cases, and random text for which
gcc, clang and a reference lexer must see the same before and after.

usage: strip_headers.py [--seconds N] [--seed N]

  --seconds N   how long to make random text (default 5)
  --seed N      what it starts from (default 1)

Prints TAP. CC and CLANG name the compilers; without clang its part is skipped.
"""

import argparse
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

sys.dont_write_bytecode = True
from tap import done_testing, needs, result, skip       # noqa: E402

STRIP_HEADERS = os.path.join(os.path.dirname(os.path.realpath(__file__)),
                             '../../../scripts/strip_headers.c')
CC = os.environ.get('CC', 'gcc')
CLANG = os.environ.get('CLANG', 'clang')

CASES = [
    # what, before, after
    ('empty file', b'', b''),
    ('newlines only', b'\n\n\n', b''),
    ('no final newline', b'int a;', b'int a;'),
    ('block comment', b'int/* x */a;\n', b'int a;\n'),
    ('comment between tokens separates them', b'a/**/b\n', b'a b\n'),
    ('comment amid blanks is one blank', b'a /* x */ b\n', b'a b\n'),
    ('comment over several lines', b'a /* x\n * y\n */ b\n', b'a b\n'),
    ('comment before a directive', b'/* x */ #define A 1\n', b' #define A 1\n'),
    ('indented directive', b'\t#define  A\n# define B\n', b' #define A\n# define B\n'),
    ('comment behind code that a # follows', b'a; /*\n*/ #define A 1\n', b'a; #define A 1\n'),
    ('line comment', b'a; // x\nb;\n', b'a;\nb;\n'),
    ('line comment continued', b'a; // x \\\n y\nb;\n', b'a;\nb;\n'),
    ('line comment continued, blanks behind', b'a; // x \\ \t\n y\nb;\n', b'a;\nb;\n'),
    ('line comment at the end of the file', b'a; // x', b'a;'),
    ('slash star within a line comment', b'a; // /* x\nb; /* */\n', b'a;\nb;\n'),
    ('slash slash within a block comment', b'a; /* // */ b;\n', b'a; b;\n'),
    ('comment that looks unclosed', b'a /*/ x */ b\n', b'a b\n'),
    ('stars', b'a /***/ b /****/ c\n', b'a b c\n'),
    ('opener split by a continuation', b'a /\\\n* x */ b\n', b'a b\n'),
    ('closer split by a continuation', b'a /* x *\\\n/ b\n', b'a b\n'),
    ('line comment split by a continuation', b'a /\\\n/ x\nb\n', b'a\nb\n'),
    ('division', b'a / b /c\n', b'a / b /c\n'),
    ('unclosed comment stays', b'a; /* x\n  b;\n', b'a; /* x\n  b;\n'),
    ('SPDX block comment stays', b'/* SPDX-License-Identifier: MIT */\nint  a;\n',
     b'/* SPDX-License-Identifier: MIT */\nint a;\n'),
    ('SPDX line comment stays', b'// SPDX-License-Identifier: MIT\n\n// x\n',
     b'// SPDX-License-Identifier: MIT\n'),
    ('SPDX comment of several lines stays as it is', b'/*  SPDX-x\n *  y\n */\na\n',
     b'/*  SPDX-x\n *  y\n */\na\n'),
    ('comment in a string', b's = "/* x */  // y";\n', b's = "/* x */  // y";\n'),
    ('string in a comment', b'/* " */ a; /* \' */ b;\n', b'a; b;\n'),
    ('escaped quote', b'"\\"/* x */" /* y */ z\n', b'"\\"/* x */" z\n'),
    ('escaped backslash', b'"\\\\" /* y */ z\n', b'"\\\\" z\n'),
    ('escape across a continuation', b'"a\\\\\n"/* x */" /* y */ z\n',
     b'"a\\\\\n"/* x */" z\n'),
    ('string over a continuation', b'"a  \\\n  /* b" /* x */ c\n', b'"a  \\\n  /* b" c\n'),
    ('character', b"'\"' /* x */ '/*'\n", b"'\"' '/*'\n"),
    ('quote as a character', b"'\\'' /* x */ y\n", b"'\\'' y\n"),
    ('CC_SET of Linux 6.12', b'# define CC_SET(c) "\\n\\t/* output condition code " #c "*/\\n"\n',
     b'# define CC_SET(c) "\\n\\t/* output condition code " #c "*/\\n"\n'),
    ('apostrophe in #error', b"#error don't  /* x\nint a; /* y */\n",
     b"#error don't  /* x\nint a;\n"),
    ('unclosed string ends with its line', b'"abc  /* x\nint a; /* y */\n',
     b'"abc  /* x\nint a;\n'),
    ('assembler text', b'1:\tmovb\t$\'a, %al\t/* x */\n\t.byte  1 # don\'t  /*\n',
     b"1: movb $'a, %al\t/* x */\n.byte 1 # don't  /*\n"),
    ('continuation', b'#define A  \\\n\tx   \\\n\ty\nz\n', b'#define A \\\nx \\\ny\nz\n'),
    ('continuation without blanks', b'#define A x\\\n\ty\n', b'#define A x\\\n y\n'),
    ('continuation that joins', b'ab\\\ncd\n', b'ab\\\ncd\n'),
    ('continuation, blanks behind the backslash', b'#define A \\  \n x\n', b'#define A \\\nx\n'),
    ('empty line ends a continued one', b'#define A x \\\n\nint b;\n',
     b'#define A x \\\n\nint b;\n'),
    ('comment in a continued line', b'#define A /* x \\\n y */ z \\\n w\n',
     b'#define A z \\\nw\n'),
    ('comment before a continuation', b'#define A x /* y */ \\\n z\n', b'#define A x \\\nz\n'),
    ('line comment hides a continuation', b'#define A x // y \\\n z\nw\n',
     b'#define A x\nw\n'),
    ('header name', b'#include <a//b.h>\n#include <c/*d.h>\n', b'#include <a//b.h>\n#include <c/*d.h>\n'),
    ('header name, then a comment', b'# include  <a.h>  // x\n', b'# include <a.h>\n'),
    ('header name knows no escapes', b'#include "a\\" /* x */\nb\n', b'#include "a\\"\nb\n'),
    ('__has_include', b'#if __has_include(<a//b.h>) // x\n', b'#if __has_include(<a//b.h>)\n'),
    ('less is not always a header name', b'#if A < 1 // x > y\n', b'#if A < 1\n'),
    ('include that names no header', b'#include A < b // >\n', b'#include A < b // >\n'),
    ('raw string: no more is touched', b'/* x */ R"(/* " */)" /* x */ y\n',
     b'R"(/* " */)" /* x */ y\n'),
    ('and one with a delimiter', b'a  u8R"x(a)"  /* )x" /* y */ z\n',
     b'a u8R"x(a)"  /* )x" /* y */ z\n'),
    ('one whose prefix is continued', b'R\\\n\\\n"x(" /* )x" /* y */ z\n',
     b'R\\\n\\\n"x(" /* )x" /* y */ z\n'),
    ('no raw string', b'R "(" /* x */ B"(" /* x */ y\n', b'R "(" B"(" y\n'),
    ('a directive whose name is continued: no more is touched',
     b'/* x */ #inc\\\nlude <a//b.h> // x\n', b' #inc\\\nlude <a//b.h> // x\n'),
    ('%: with a continuation in it', b'%\\\n:include <a//b.h> // x\n',
     b'%\\\n:include <a//b.h>\n'),
    ('#if knows no header names but after __has_include',
     b'#if defined(__has_include) && X < 3 /* a->b\n * http://x */\n',
     b'#if defined(__has_include) && X < 3\n'),
    ('include is a word like others elsewhere', b'#define include < /* > */\n',
     b'#define include <\n'),
    ('a comment that keeps > from the line of <', b'#if __has_include(<% /*\n*/ >)\n',
     b'#if __has_include(<% /*\n*/ >)\n'),
    ('SPDX comment before a directive', b'/* SPDX-x */ #include <a//b.h>\n',
     b'/* SPDX-x */ #include <a//b.h>\n'),
    ('an indented %: keeps a blank', b'\f%:/* x */ a\n', b' %: a\n'),
    ('%: is #', b'%:include <a//b.h>\n', b'%:include <a//b.h>\n'),
    ('byte order mark', b'\xef\xbb\xbf#include <a//b.h> // x\n', b'\xef\xbb\xbf#include <a//b.h>\n'),
    ('CR alone', b'int a; // x\rint b;\n#define A 1\rint c = A;\n',
     b'int a;\nint b;\n#define A 1\nint c = A;\n'),
    ('CR alone behind a backslash', b'a; // x \\\r y\rb;\n', b'a;\nb;\n'),
    ('NUL behind a backslash', b'a; // x \\\0\n y\nb;\n', b'a;\nb;\n'),
    ('CRLF', b'a; // x\r\n#define B \\\r\n  c /* y */\r\nd\r\n', b'a;\n#define B \\\nc\nd\n'),
    ('form feed and vertical tab', b'a\f\vb\n\f\n', b'a b\n'),
    ('NUL is a blank, other bytes are not', b'a\0b /* \xff\0 */ "\xe4\0" \x80\n',
     b'a b "\xe4\0" \x80\n'),
    ('CR that ends a continued line, then CR LF', b'"a\\\r\r\nb;\n', b'"a\\\r\r\nb;\n'),
    ('#include knows no escapes', b"#include <x>'\\' // '\n", b"#include <x>'\\'\n"),
    ('backslash at the end of the file', b'a \\', b'a \\'),
    ('comment behind a lone backslash', b'a \\ // x\nb\n', b'a \\ // x\nb\n'),
    ('#embed is followed by a header name', b'#embed <a//b.h> // x\n', b'#embed <a//b.h>\n'),
    ('backslash CR CR', b'a \\\r\rb\n', b'a \\\n\nb\n'),
    ('spaces at either end', b'  a;  \n\t\n  b;\t\n', b'a;\nb;\n'),
]


def build(directory):
    """Compile strip_headers with the sanitizers that find what tests miss."""
    prog = os.path.join(directory, 'strip_headers')
    subprocess.run([CC, '-O1', '-g', '-Wall', '-Wextra', '-Werror',
                    '-fsanitize=address,undefined', '-fno-sanitize-recover',
                    '-o', prog, STRIP_HEADERS], check=True)
    return prog


def tar(prog, *members, **kw):
    """Run --tar in a directory that has these trees: (tree, path, contents)."""
    with tempfile.TemporaryDirectory() as top:
        for tree, path, data in members:
            if tree != 'dir':
                where = os.path.join(top, tree, path)
                os.makedirs(os.path.dirname(where), exist_ok=True)
                write(where, data)
        for tree in 'src', 'obj', 'made':
            os.makedirs(os.path.join(top, tree), exist_ok=True)
        arguments = kw.pop('arguments', ['--tar', '315532800', '../made', '../src'])
        return subprocess.run([prog, *arguments], cwd=os.path.join(top, 'obj'),
                              input=b''.join(b'%s %s\n' % (os.fsencode(t), os.fsencode(p))
                                             for t, p, _ in members),
                              **(kw or {'capture_output': True}))


def strip(prog, texts):
    """The texts stripped as members 0, 1 ... of an archive; or the failed run."""
    run = tar(prog, *(('src', str(n), text) for n, text in enumerate(texts)))
    if run.returncode:
        return run, []
    with tarfile.open(fileobj=io.BytesIO(run.stdout + bytes(1024))) as archive:
        return run, [archive.extractfile(m).read() for m in archive]


def write(path, data):
    with open(path, 'wb') as f:
        f.write(data)


# --- reference: phases 2 and 3 of translation, one regular expression each ------

CONTINUATION = re.compile(rb'\\[ \t\v\f\0]*(?:\r\n?|\n)')
RAW = re.compile(rb'(?<![\w$])(?:u8|[LuU])?R"([^(]{0,16})\(.*?(?:\)\1"|\Z)', re.S)
LITERAL = (rb'"(?:\\[^\r\n]|[^"\\\r\n])*(?:"|\\?(?=[\r\n]|\Z))|'
           rb"'(?:\\[^\r\n]|[^'\\\r\n])*(?:'|\\?(?=[\r\n]|\Z))")
TOKEN = re.compile(
    rb'(?P<open>/\*(?!.*?\*/).*)|(?P<comment>/\*.*?\*/|//[^\r\n]*)|(?P<blank>[ \t\v\f\0]+)|'
    rb'(?P<newline>\r\n?|\n)|(?P<literal>' + LITERAL + rb')|(?P<word>[\w$]+)|(?P<hash>%:)|'
    rb'(?P<other>.)', re.S)
INCLUDES = (b'include', b'include_next', b'import')
OPERATORS = (b'__has_include', b'__has_include_next')


def header_name(text, pos):
    """The header name, or the literal without escapes, that begins there, or None."""
    if text[pos:pos + 1] == b'<':
        m = re.compile(rb'<[^>\r\n]*>').match(text, pos)
    else:
        m = re.compile(rb'(["\'])[^\r\n]*?(?:\1|(?=[\r\n]|\Z))').match(text, pos)
    return m and m.group()


def logical_lines(text):
    """The text as lines of (blank before, token); comments are blanks."""
    text = CONTINUATION.sub(b'', text)
    lines, line, blank, pos = [], [], False, 0
    tokens = []             # of the line, comments apart
    if text.startswith(b'\xef\xbb\xbf'):
        pos = 3
    while pos < len(text):
        m = TOKEN.match(text, pos)
        kind, token = m.lastgroup, m.group()
        directive = tokens[:1] in ([b'#'], [b'%:'])
        if directive and (tokens[1:2] and tokens[1] in INCLUDES or
                          tokens[-1] in OPERATORS or
                          tokens[-1] == b'(' and tokens[-2] in OPERATORS):
            name = header_name(text, pos)
            if name:
                kind, token = 'literal', name
        pos += len(token)
        if kind == 'comment' and b'SPDX-' not in token or kind == 'blank':
            blank = True
        elif kind == 'newline':
            if line:
                lines.append(line)
            line, tokens, blank = [], [], False
        else:
            line.append((blank and bool(line), token))
            blank = False
            if kind != 'comment':
                tokens.append(token)
    if line:
        lines.append(line)
    return lines


def gcc_tokens(text):
    out = subprocess.run([CC, '-fpreprocessed', '-dD', '-E', '-P', '-x', 'c', '-'],
                         input=text, capture_output=True).stdout
    return out.split()


def clang_tokens(path):
    err = subprocess.run([CLANG, '-x', 'c', '-fsyntax-only', '-w', '-Xclang',
                          '-dump-raw-tokens', path], capture_output=True).stderr
    return re.findall(rb"^(?!comment|eof|unknown '[ \t\v\f\r\n\\]*')(\w+) (.*?)\t",
                      err, re.M | re.S)


PIECES = [
    b'a', b'b1', b'0x1f', b' ', b'  ', b'\t', b'\n', b'\n', b'\n', b'\r\n', b'\\\n', b' \\\n',
    b'\\ \n', b'\\\r\n', b'/', b'*', b'/*', b'*/', b'//', b'/**/', b'/* x */', b'"', b"'", b'\\',
    b'\\"', b"\\'", b'\\\\', b'#', b'##', b'\n#define A ', b'\n#define F(x) #x', b'\n#error don\'t',
    b'\n#if 0\n', b'\n#endif\n', b'<', b'>', b'\n#include <x//y>', b'\n#include "x', b'R"x(', b')x"',
    b'SPDX-', b'/* SPDX-x */', b'// SPDX-y', b'"/* s */"', b"'/'", b';', b'(', b')', b'=', b'\f',
    b'\n#if __has_include(<', b'\r', b'\0', b'%:', b'\n#if defined(__has_include) && 1 <', b'%', b'u8', b'-', b'+',
]


def show(lines):
    return [b''.join((b' ' if blank else b'') + token for blank, token in line) for line in lines]


def test_cases(prog):
    run, after = strip(prog, [c[1] for c in CASES])
    result(len(after) == len(CASES), 'all cases run', run.stderr.decode())
    for (what, before, expected), got in zip(CASES, after):
        result(got == expected, what, 'from     %r' % before, 'expected %r' % expected,
               'got      %r' % got)
    run, again = strip(prog, after)
    changed = [c[0] for c, text in zip(CASES, again) if text != c[2]]
    result(len(again) == len(CASES) and not changed, 'stripping twice changes nothing', changed)
    wrong = [c[0] for c in CASES if b'R"' not in c[1] and
             logical_lines(c[1]) != logical_lines(c[2])]
    result(not wrong, 'the reference agrees with the table', wrong)


def test_archive(prog):
    long = 'd' * 90 + '/' + 'e' * 90 + '/a.h'
    run = tar(prog, ('dir', 'd/', None), ('src', 'd/a.h', b'a; /* x */\n'),
              ('made', 'd/b.txt', b'b; /* x */\n'), ('obj', 'empty', b''),
              ('src', long, b'c; // x\n'), ('src', 'f' * 100, b'f;'))
    with tarfile.open(fileobj=io.BytesIO(run.stdout + bytes(1024))) as archive:
        got = [(m.name, m.type, m.mode, m.uid, m.gid, m.mtime, m.uname + m.gname + m.linkname,
                m.isfile() and archive.extractfile(m).read()) for m in archive]
    member = [(b'0', 0o644), (b'5', 0o755)]
    result(got == [(name, *member[data is False], 0, 0, 315532800, '', data)
                   for name, data in (('d', False), ('d/a.h', b'a;\n'),
                                      ('d/b.txt', b'b; /* x */\n'), ('empty', b''),
                                      (long, b'c;\n'), ('f' * 100, b'f;'))],
           'members, stripped but for what is made', run.stderr, got)
    listed = subprocess.run(['tar', '-tf', '-'], input=run.stdout + bytes(1024),
                            capture_output=True)
    result(listed.stdout.count(b'\n') == 6 and not listed.stderr, 'GNU tar reads them',
           listed.stderr)
    run = tar(prog, ('src', 'a.h', b'a; // x\n#include <b.h>\n#if __has_include("c/d.h")\n'),
              ('obj', 'b.h', b'#define X <e.h>\n' + b'b;' * 300 + b'/* ' + b'x' * 600 + b'*/'),
              arguments=['--scan', '../made', '../src'])
    result(run.stdout == b'include <b.h>\ninclude "c/d.h"\nfile 1024 src a.h\n'
           b'file 1536 obj b.h\n', '--scan says what a file takes and includes',
           run.stderr, run.stdout)


def test_errors(prog, tmp):
    def refused(what, message, run):
        result(run.returncode == 1 and message in run.stderr, what, run.returncode, run.stderr)

    def lines(data, *trees):
        return subprocess.run([prog, '--tar', '1', *(trees or [tmp, tmp])], input=data,
                              capture_output=True, cwd=tmp)

    refused('a line without a path', b'x: not a line', lines(b'x\n'))
    refused('another tree', b'x: no such tree', lines(b'x a.h\n'))
    refused('a file that is not there', b'none.h: No such file', lines(b'src none.h\n'))
    os.mkdir(os.path.join(tmp, 'd'))
    refused('a directory', b'd: Is a directory', lines(b'src d\n'))
    refused('a tree that is not there', b'none: No such file', lines(b'', tmp, 'none'))
    for name in 'f' * 101, 'd' * 156 + '/a.h', 'd/' + 'f' * 101:
        refused('a name of %d that does not fit' % len(name), b'name too long for a tar archive',
                tar(prog, ('src', name, b'')))
    usage = subprocess.run([prog, 'x'], capture_output=True)
    refused('another argument gives the usage', b'usage:', usage)
    with open('/dev/full', 'wb') as full:
        refused('a full disk', b'writing: No space left on device',
                tar(prog, ('src', 'a.h', b'a;' * 1000), stdout=full, stderr=subprocess.PIPE))

    path = os.path.join(tmp, 'growing.h')
    write(path, b'a;\n' * 500000)
    wrong = 0
    with open(path, 'ab') as growing:
        run = subprocess.Popen([prog, '--tar', '1', tmp, tmp], cwd=tmp, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        run.stdin.write(b'src growing.h\n' * 200)
        run.stdin.close()
        while run.poll() is None:
            growing.write(b'b;\n')
            growing.flush()
        wrong = run.stderr.read()
        run.stderr.close()
    result(run.returncode == 1 and b'growing.h: changed while it was read' in wrong,
           'a file that changes while it is read', run.returncode, wrong)


def test_room(prog):
    """What comes out longer than it went in, as far as that can go."""
    for piece in (b'\\\r\r', b' \\\r', b'\\\r', b'"\\\r\r', b'a \\\r', b'\r', b'/**/a', b'# #'):
        for count in 1, 2, 3, 7, 262143:
            run, stripped = strip(prog, [piece * count])
            if run.returncode:
                break
        result(not run.returncode, 'there is room for %r however often' % piece,
               run.stderr.decode(errors='replace')[-500:])


def random_text(rng):
    return b''.join(rng.choice(PIECES) for _ in range(rng.randrange(1, 40)))


def test_random(prog, tmp, seed, seconds):
    rng = random.Random(seed)
    until = time.monotonic() + seconds
    counts = {'reference': 0, 'gcc': 0, 'clang': 0}
    wrong = {'reference': [], 'gcc': [], 'clang': []}
    have_clang = shutil.which(CLANG) is not None

    while True:
        texts = [random_text(rng) for _ in range(300)]
        run, stripped = strip(prog, texts)
        if run.returncode:
            wrong['reference'].append(run.stderr.decode(errors='replace')[-2000:])
            break
        for n, (before, after) in enumerate(zip(texts, stripped)):
            if not RAW.search(CONTINUATION.sub(b'', before)) and b'R"' not in before:
                counts['reference'] += 1
                if logical_lines(before) != logical_lines(after):
                    wrong['reference'].append((before, after, show(logical_lines(before)),
                                               show(logical_lines(after))))
            # -fpreprocessed knows no continuations and no header names; they are
            # the reference's part.
            if n % 3 == 0 and not CONTINUATION.search(before) and b'include' not in before:
                counts['gcc'] += 1
                if gcc_tokens(before) != gcc_tokens(after):
                    wrong['gcc'].append((before, after))
            # Its raw lexer knows no header names and, in C, no raw strings, and
            # shows NUL and CR.
            if (have_clang and n % 20 == 1 and b'include' not in before and
                    b'R"' not in before and not re.search(rb'[\r\0]', before)):
                counts['clang'] += 1
                kept = os.path.join(tmp, 'before.h')
                write(kept, before)
                path = os.path.join(tmp, 'after.h')
                write(path, after)
                if clang_tokens(kept) != clang_tokens(path):
                    wrong['clang'].append((before, after))
        if any(wrong.values()) or time.monotonic() > until:
            break

    for name in counts:
        what = 'random text: %s sees the same tokens (seed %d, %d texts)' % (name, seed, counts[name])
        if name == 'clang' and not have_clang:
            skip(what, 'no %s: install the package clang' % CLANG)
        else:
            result(counts[name] > 0 and not wrong[name], what, *wrong[name][:1])


def main():
    parser = argparse.ArgumentParser(usage='%(prog)s [--seconds N] [--seed N]')
    parser.add_argument('--seconds', type=float, default=5)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    needs(CC, 'tar')
    with tempfile.TemporaryDirectory() as tmp:
        prog = build(tmp)
        test_cases(prog)
        test_archive(prog)
        test_errors(prog, tmp)
        test_room(prog)
        test_random(prog, tmp, args.seed, args.seconds)
    sys.exit(done_testing())


if __name__ == '__main__':
    main()
