#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The archive of a finished kernel build is exact and complete: the same tokens
as the tree's headers, every header that the build read, and the same result
from the preprocessor as with the whole tree.

usage: archive.py BUILD [OTHER]

  BUILD   the O= directory
  OTHER   one of the same kernel, built by the other of gcc and clang: then the
          archives are compared, which differ in what is said about the compiler

Prints TAP. Two compilers run at a time. Without clang or clangd their part is
skipped.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
from tap import done_testing, needs, result, skip       # noqa: E402

GUIDE = os.path.join(os.path.dirname(os.path.realpath(__file__)),
                     '../../../Documentation/admin-guide/kheaders.rst')
CORPUS = 300        # headers that are compiled, each on its own

# A build writes these anew: they are left out on purpose.
VOLATILE = {'include/generated/' + name for name in
            ('autoksyms.h', 'compile.h', 'utsversion.h')}

PROGRAMS = {
    'sched': '''#include <linux/sched.h>
#include <linux/sched/signal.h>
int f(struct task_struct *t) { return task_pid_nr(t) + t->prio + signal_pending(t); }
''',
    'sock': '''#include <net/sock.h>
#include <net/inet_sock.h>
int f(struct sock *sk) { return sk->sk_rcvbuf + inet_sk(sk)->inet_sport + sock_flag(sk, SOCK_DEAD); }
''',
    'fs': '''#include <linux/fs.h>
#include <linux/list.h>
int f(struct inode *i) { return S_ISREG(i->i_mode) + list_empty(&i->i_lru); }
''',
    'bpf': '''#include <linux/bpf.h>
#include <linux/skbuff.h>
int f(struct sk_buff *skb) { return skb->len + skb_is_nonlinear(skb); }
''',
    'mm': '''#include <linux/mm.h>
#include <linux/slab.h>
unsigned long f(struct vm_area_struct *v) { return vma_pages(v) + PAGE_ALIGN(v->vm_start); }
''',
}


def run(argv, **kw):
    return subprocess.run(argv, capture_output=True, text=True, errors='surrogateescape', **kw)


def parallel(function, items):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


class Build:
    """A finished build: where its headers are, and the archive unpacked."""

    def __init__(self, obj, root):
        self.obj, self.root = obj, root
        self.src = os.path.realpath(os.path.join(obj, 'source'))
        subprocess.run(['tar', '-xJf', os.path.join(obj, 'kernel/kheaders_data.tar.xz'),
                        '-C', root], check=True)
        self.tree = {'src': self.src, 'obj': obj}
        self.headers = {}       # path in the archive -> the original
        with open(os.path.join(obj, 'kernel/kheaders_data/manifest'),
                  errors='surrogateescape') as manifest:
            for line in manifest:
                kind, _, what = line.rstrip('\n').partition(' ')
                if kind in self.tree:
                    self.headers[what] = os.path.join(self.tree[kind], what)
        self.full, self.ours = self.flags()
        # of the build itself, in its trees, but for the one of main.o alone
        paths = [os.path.normpath(os.path.join(obj, flag[2:]))
                 for flag in self.full if re.match('-I.', flag)]
        self.include_path = [p[len(top) + 1:] for p in paths for top in (self.src, obj)
                             if p.startswith(top + '/') and p != top + '/init']

    def flags(self):
        """Flags of the kernel's own compile, and the same with the archive."""
        # init/main.o is built by every configuration.
        with open(os.path.join(self.obj, 'init/.main.o.cmd')) as f:
            command = re.match(r'(?:saved)?cmd_init/main\.o := (.*)', f.readline())[1]
        argv = [a for a in shlex.split(command.split(' ; ')[0].replace('$(pound)', '#'))
                if a != '-c']
        argv = argv[:argv.index('-o')]
        argv = [a for a in argv if not a.startswith(('-Wp,', '-DKBUILD_', '-D__KBUILD_', '-g',
                                                     '-fmacro-prefix', '-ffile-prefix'))]
        self.compiler = argv[0]
        # Some headers want the name of a module, and the archive has one for them.
        full = argv[1:] + ['-DKBUILD_MODNAME="kheaders"']
        ours, skip = ['@compile_flags.txt'], 0
        for flag in full:
            if skip:
                skip -= 1
            elif flag in ('-include', '-I', '-D', '-U', '-isystem'):
                skip = 1
            elif not re.match(r'-[IDU]|-nostdinc|-std=|-isystem', flag):
                ours.append(flag)
        return full, ours


def tokens(path_of, paths):
    data = b''
    for path in paths:
        with open(path_of(path), 'rb') as f:
            data += b'\n#pragma kheaders %s\n' % os.fsencode(path) + f.read()
    return subprocess.run(['gcc', '-fpreprocessed', '-dD', '-E', '-P', '-x', 'c', '-'],
                          input=data, capture_output=True).stdout.split()


def test_exact(build):
    def differing(paths):
        if tokens(build.headers.get, paths) == tokens(lambda p: os.path.join(build.root, p), paths):
            return []
        if len(paths) == 1:
            return paths
        return [p for path in paths for p in differing([path])]

    headers = sorted(build.headers)
    missing = [h for h in headers if not os.path.isfile(os.path.join(build.root, h))]
    result(not missing and len(headers) > 1000,
           'all %d headers of the manifest are there' % len(headers), *missing)
    groups = [headers[n:n + 64] for n in range(0, len(headers), 64)]
    wrong = sum(parallel(differing, groups), [])
    result(not wrong, 'every header has the tokens of the original', *wrong)

    comments = []
    for header in headers:
        with open(os.path.join(build.root, header), 'rb') as f:
            text = f.read()
        if any(b'SPDX-' not in c for c in re.findall(rb'^[ \t]*/\*.*?\*/', text, re.M | re.S)):
            comments.append(header)
    result(not comments, 'no line starts with a comment other than SPDX', *comments)

    wrong = []
    for name in ('atomic-arch-fallback.h', 'atomic-instrumented.h', 'atomic-long.h'):
        with open(os.path.join(build.root, 'include/linux/atomic', name)) as f:
            if re.search('^// [0-9a-f]{40}$', f.read(), re.M):
                wrong.append(name)
    result(not wrong, 'no header in include/linux/atomic has the checksum of the original',
           *wrong)


def test_complete(build):
    read = set()
    for directory, inside, names in os.walk(build.obj):
        if directory == build.obj:      # what runs on the build machine reads its own
            inside[:] = [d for d in inside if d not in ('tools', 'scripts')]
        for name in names:
            if name.startswith('.') and name.endswith('.cmd'):
                with open(os.path.join(directory, name), errors='surrogateescape') as f:
                    text = f.read()
                if re.search(r'^(?:source|deps)_', text, re.M):
                    read.update(re.findall(r'^  (\S+) \\$', text, re.M))
    # Headers of the include path; drivers' own and the compiler's are not meant.
    wanted = set()
    for path in read:
        path = os.path.normpath(os.path.join(build.obj, path))
        for top in (build.src, build.obj):
            if path.startswith(top + '/'):
                inside = path[len(top) + 1:]
                for d in build.include_path:
                    if inside.startswith(d + '/') and (
                            inside.endswith('.h') or 'include' in d.split('/')):
                        wanted.add(inside)
                break
    with open(GUIDE) as f:
        guide = f.read()
    build.lacking = {}      # header -> what it includes and is not there
    for header, original in build.headers.items():
        with open(original, 'rb') as f:
            text = f.read()
        for path in re.findall(rb'^[ \t]*#[ \t]*include[ \t]+"([^"]*\.\./[^"]*)"', text, re.M):
            path = os.path.normpath(os.path.join(os.path.dirname(header), os.fsdecode(path)))
            if (os.path.exists(os.path.join(build.src, path)) and
                    not os.path.exists(os.path.join(build.root, path))):
                build.lacking[header] = path
    unnamed = ['%s: %s' % (h, path) for h, path in build.lacking.items()
               if h.partition('include/')[2] not in guide]
    result(not unnamed, 'what headers include by a path is there, or in the guide', *unnamed)

    missing = sorted(h for h in wanted - VOLATILE
                     if not os.path.exists(os.path.join(build.root, h)))
    result(len(wanted) > 500 and not missing,
           'all %d headers that the build read are there' % len(wanted), *missing)


def ebpf(text, flags, cwd, scratch):
    """clang's way from a program to eBPF."""
    bitcode = os.path.join(scratch, 'bitcode')
    done = subprocess.run(['clang', *flags, '-g', '-O2', '-emit-llvm', '-Xclang',
                           '-disable-llvm-passes', '-c', '-o', bitcode, '-x', 'c', '-'],
                          input=text.encode(), capture_output=True, cwd=cwd)
    if done.returncode == 0:
        done = subprocess.run(['clang', '--target=bpf', '-g', '-O2', '-w', '-c', '-o', '/dev/null',
                               '-x', 'ir', bitcode], capture_output=True)
    return done


def test_compiles(build):
    def preprocess(text, compiler, flags, cwd):
        # Which line of which file something stands in is not the same.
        return subprocess.run([compiler] + flags +
                              ['-w', '-D__LINE__=0', '-D__FILE__=""',
                               '-E', '-P', '-x', 'c', '-'],
                              input=text.encode(), capture_output=True, cwd=cwd)

    # Where clang -P breaks lines depends on how many the original had.
    def fold(done):
        words = done.stdout.split()
        return b''.join(words) if done.args[0].startswith('clang') else words

    def compare(text, compiler=build.compiler, extra=()):
        full = preprocess(text, compiler, build.full + list(extra), build.obj)
        ours = preprocess(text, compiler, build.ours + list(extra), build.root)
        same = (full.returncode, fold(full)) == (ours.returncode, fold(ours))
        return same, full.returncode == 0, ours.stderr.decode(errors='replace')

    public = sorted(h for h in build.headers if h not in build.lacking and
                    re.match(r'include/(?:linux|net|uapi/linux|crypto|asm-generic)/[^/]*\.h$', h))
    step = max(1, len(public) // CORPUS)
    corpus = public[::step][:CORPUS]
    texts = ['#include <%s>\n' % re.sub(r'^include/(uapi/)?', '', h) for h in corpus]
    results = parallel(compare, texts)
    wrong = [t + s[2][:300] for t, s in zip(texts, results) if not s[0]]
    result(not wrong, '%d headers, each on its own: %s sees what it sees in the whole tree'
           % (len(texts), build.compiler), *wrong)
    good = [t for t, s in zip(texts, results) if s[1]]
    result(len(good) > len(texts) * 0.8, '%d of them can be included on their own' % len(good))

    def syntax(text):
        return subprocess.run([build.compiler] + build.ours + ['-w', '-fsyntax-only', '-x', 'c', '-'],
                              input=text.encode(), capture_output=True, cwd=build.root)
    for name, text in PROGRAMS.items():
        done = syntax(text)
        result(done.returncode == 0, '%s compiles a program with %s' % (build.compiler, name),
               *done.stderr.decode().splitlines())

    if not shutil.which('clang'):
        skip('clang', 'not installed')
        return
    # As the clients do it: parsed for the machine, whose inline assembler the
    # headers hold, and made eBPF from there.
    with open(os.path.join(build.root, 'compile_flags.txt')) as f:
        clang = [f for f in f.read().split('\n') if f.startswith('--target=')] + [
            '-Wno-everything', '-D__BPF_TRACING__']
    dialect = [f for f in build.full
               if re.match(r'-[IDU]|-nostdinc|-std=|-f(?:short|ms|unsigned)|-include', f)
               or f.endswith('.h')]
    for name, text in PROGRAMS.items():
        full = preprocess(text, 'clang', dialect + clang, build.obj)
        ours = preprocess(text, 'clang', ['@compile_flags.txt'] + clang, build.root)
        result(fold(full) == fold(ours) and full.returncode == 0,
               'clang sees the same program with %s' % name,
               *(full.stderr + ours.stderr).decode().splitlines())
        done = ebpf(text, ['@compile_flags.txt'] + clang, build.root, build.root)
        if done.returncode:
            # arm64 with LTO reads memory in its assembler.
            whole = ebpf(text, dialect + clang, build.obj, build.root)
            if whole.returncode and whole.stderr == done.stderr:
                skip('and makes eBPF of it', 'nor does it of the whole tree: '
                     + done.stderr.decode().splitlines()[0])
                continue
        result(done.returncode == 0, 'and makes eBPF of it', *done.stderr.decode().splitlines())


def test_elsewhere(build):
    """This machine's clang reads an archive of another one as its own compiler does."""
    def parses(compiler, header):
        return subprocess.run([compiler, '@compile_flags.txt', '-w', '-fsyntax-only', '-x', 'c', '-'],
                              input='#include <%s>\n' % header, text=True, capture_output=True,
                              cwd=build.root)

    def complaint(header):
        clang = parses('clang', header)
        wrong = clang.returncode and not parses(build.compiler, header).returncode
        return wrong and header + ': ' + clang.stderr[:300]

    headers = [h.partition('/')[2] for h in sorted(build.headers)
               if re.match(r'include/linux/[^/]*\.h$', h)]
    wrong = [c for c in parallel(complaint, headers) if c]
    result(len(headers) > 1000 and not wrong,
           'clang parses all %d headers of include/linux that %s does'
           % (len(headers), build.compiler), *wrong)


def test_clangd(build):
    if not shutil.which('clangd'):
        skip('clangd', 'not installed')
        return
    path = os.path.join(build.root, 'editor.c')
    for name, text in PROGRAMS.items():
        with open(path, 'w') as f:
            f.write('#ifndef __KERNEL__\n#error no flags\n#endif\n' + text)
        done = run(['clangd', '--check=' + path], cwd=build.root)
        errors = [line for line in done.stderr.splitlines() if line.startswith('E[')]
        result(done.returncode == 0 and not errors,
               'clangd has no complaint of a program with ' + name, *errors)
    os.unlink(path)


def test_compilers(roots):
    done = run(['diff', '-rq', *roots])
    # arm64 notes where its compiler has put the code of the vDSO.
    differing = [line for line in done.stdout.splitlines() if not re.search(
        r'/(compile_flags\.\w+|kheaders_info\.txt|generated/(autoconf|vdso-offsets)\.h) and ', line)]
    result(done.returncode == 1 and not differing,
           'archives of gcc and clang differ in what is said about the compiler', *differing)


def main():
    builds = [os.path.realpath(path) for path in sys.argv[1:]]
    if len(builds) not in (1, 2):
        sys.exit(__doc__)
    needs('gcc', 'tar', 'xz:xz-utils')
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        build, *others = map(Build, builds, (one, other))
        if others:
            test_compilers((one, other))
        else:
            test_exact(build)
            test_complete(build)
            test_compiles(build)
            test_clangd(build)
            if not re.match('clang|gcc$', build.compiler):
                test_elsewhere(build)
    sys.exit(done_testing())


if __name__ == '__main__':
    main()
