# SPDX-License-Identifier: GPL-2.0-only
"""Where the overlay's fragments go in a kernel tree, and what a tree is asked.

A file of the overlay without a row here is copied to the same path.
"""

import re
from collections import namedtuple

# The parenthesised part of what `regex` matches gives way to the fragment,
# put into `form`. Empty parentheses insert: nothing of stock's is replaced.
Place = namedtuple('Place', 'regex form', defaults=('%s',))

# A fragment that is an item of a sorted list goes behind the item before it in
# the alphabet. Item and fragment carry the sort key in the parentheses.
Sorted = namedtuple('Sorted', 'item form within', defaults=('%s', r'(?s:.*)'))

FRAGMENTS = {
    # stock's rules, from the object's dependency to the list for "make clean"
    'kernel/Makefile': Place(
        r'^((?:# kheaders_data\.tar\.xz\n)?'
        r'\$\(obj\)/kheaders\.o: (?s:.*?)^clean-files := .*kheaders.*\n)'),
    # the names of what these rules generate
    'kernel/.gitignore': Place(r'^((?:/kheaders.*\n)+)'),
    # stock's entry, as far as it is stock's: one more line is somebody's change
    'init/Kconfig': Place(
        r'^(config IKHEADERS\n'
        r'\ttristate ".*"\n\tdepends on SYSFS\n\thelp\n(?:\t  \S.*\n)+)(?=\n)'),
    # last of its directory's tests
    'lib/kunit/Kconfig': Place(r'^()endif # KUNIT$', '%s\n'),
    'lib/kunit/Makefile': Place(
        r'^obj-\$\(CONFIG_KUNIT_EXAMPLE_TEST\) .*\n()', '\n%s'),
    # last of the programs for the build machine
    'scripts/Makefile': Place(r'^hostprogs-always-(?:.+\n)+()\n'),
    # one line in a sorted list
    'scripts/.gitignore': Sorted(r'^/(\S+)\n'),
    'tools/testing/selftests/Makefile': Sorted(r'^TARGETS \+= (\S+)\n'),
    # before the last of what former versions left behind
    'scripts/remove-stale-files': Place(r'^()rm -f lib/test_fortify\.log$', '%s\n'),
    # the objects that vmlinux is linked from, before one that all kernels have
    'scripts/link-vmlinux.sh': Place(
        r'^()\tobjs="\$\{objs\} init/version-timestamp\.o"$', '%s\n'),
    # behind what vmlinux and modules depend on
    'scripts/Makefile.vmlinux': Place(r'^()# Add FORCE to the pre', '%s\n'),
    'scripts/Makefile.modfinal': Place(r'^()# Add FORCE to the pre', '%s\n'),
    # an entry in a sorted list
    'MAINTAINERS': Sorted(r'^(\S.*)\n(?:[A-Z]:\t.*\n)+\n', '%s\n'),
    # the list of guides that has memory management, general or core-kernel
    'Documentation/admin-guide/index.rst': Sorted(
        r'^   ([\w/-]+)\n', within=r'^\.\. toctree::\n   .*\n\n(?:   \S+\n)*'
        r'   mm/index\n(?:   \S+\n)*'),
    # "Tar", where stock has it: our archive needs more than tar
    'Documentation/process/changes.rst': Place(
        r'^((?:Tar\n---\n\n(?:.+\n)+\n)?)gtags / GNU GLOBAL', '%s\n'),
    # stock's file times, and what its default does to them
    'Documentation/kbuild/reproducible-builds.rst': Place(
        r'^(\* If enabled via ``CONFIG_IKHEADERS``(?s:.*?)'
        r"^``kheaders`` the various files' modification times\. This must\n)"),
}

# Whole files of stock's, and how they are told from somebody else's at that path.
# Those that the overlay has no file for are removed.
STOCK = {
    'kernel/kheaders.c': r'\bikheaders_init\b',
    'kernel/gen_kheaders.sh': r'^# This script generates an archive',
}

# Before, kbuild has no place for some of our lines.
OLDEST = (6, 1)

# What of stock's gives way in these releases, as the first 16 digits of its
# SHA-256: in a plain tree of theirs anything else is a local change. A git tree
# is compared with its HEAD, and other releases go by the shapes above.
RELEASES = ('6.1.192', '6.12.117', '7.3.4')
KNOWN = """
eb6f11ee49c0c2dd b7160d7b620c7de0 aa329630400914f1 4691e3a1b59b5625 39e48d3b72697540
db106eebefa6f83e ec9341dc824c5575 8758a3bd6ccce71b 5927cf06269dbb8c 6618ad71819e4bef
daa8c5ba7a56d6a4 7f46711514edaa2a""".split()

# #ifdef KHEADERS_HAVE_... in the overlay: the file of the tree that decides,
# and what it says if it has the thing.
PROBES = {
    # sysfs reads memory by itself: 6.10
    'KHEADERS_HAVE_BIN_ATTR_SIMPLE_RO': (
        'include/linux/sysfs.h', r'^#define __BIN_ATTR_SIMPLE_RO\('),
    # a list of the symbols in use is made while modules are: until 6.4
    'KHEADERS_HAVE_AUTOKSYMS': ('Makefile', r'^autoksyms_recursive:'),
    # vmlinux is linked under another name and stripped then: 6.17
    'KHEADERS_HAVE_VMLINUX_UNSTRIPPED': (
        'scripts/Makefile.vmlinux', r'^vmlinux\.unstripped: '),
    # slow cases can be marked: 6.6
    'KHEADERS_HAVE_KUNIT_CASE_SLOW': (
        'include/kunit/test.h', r'^#define KUNIT_CASE_SLOW\('),
}


def lines(path, text):
    """What goes into the tree of a fragment: not its licence line."""
    return FRAGMENTS[path].form % (text.partition('\n')[2].strip('\n') + '\n')


def place(path, text, ours):
    """Return where our lines go, and what of stock's they replace."""
    row = FRAGMENTS[path]
    if isinstance(row, Place):
        found = list(re.finditer(row.regex, text, re.M))
        if len(found) != 1:
            raise LookupError('%s of the lines that our fragment belongs to'
                              % ('none' if not found else 'more than one set'))
        return found[0].start(1), found[0][1]

    within, key = re.search(row.within, text, re.M), re.search(row.item, ours, re.M)
    items = re.compile(row.item, re.M).finditer(text, *within.span()) if within and key else ()
    before = [i for i in items if i[1].upper() < key[1].upper()]
    if not before:
        raise LookupError('no entry that our fragment could follow')
    return max(before, key=lambda i: i[1].upper()).end(), ''
