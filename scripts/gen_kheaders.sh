#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Make the archive of kernel headers that CONFIG_IKHEADERS builds in. What did this
# before, since Linux 5.2, was written by Joel Fernandes.
#
# usage: gen_kheaders.sh names FLAG...
#        gen_kheaders.sh manifest NAMES BLOCKS MANIFEST
#        gen_kheaders.sh block LIST OUT.xz
#        gen_kheaders.sh tail LIST OUT.xz
#        gen_kheaders.sh join ARCHIVE PIECE.xz...
#
#ifdef KHEADERS_WITH_EXTMOD
# For building modules, names --modules FLAG..., then programs behind MANIFEST, and
# behind the tail's OUT.xz the Module.symvers of modpost.
#
#endif
# The way of a header into the archive, in the steps of kernel/Makefile:
#
#   names     what files, flags and time there are; each build asks
#   manifest  which of the files go in, and in which block of the archive
#   block     the files of one, without comments, as a piece of a tar, in xz.
#             What was compressed before is not compressed again.
#   tail      the last piece: what the archive says of itself, and its end.
#             LIST is any other piece's, for the time
#   join      the pieces to one xz stream; and its size and digest to a header
#             beside it, the digest to tell compiler caches what .incbin hides
#
# kbuild runs all in the objtree and hands over $srctree, $SRCARCH, $CC, $STRIP,
# $KBUILD_BUILD_TIMESTAMP and, as far as they are set, $XZ and $PERL. The other
# tools are those of POSIX, and sha1sum.
#
# The same headers give the same bits, whatever the directory, user, umask,
# locale, time zone, file times, number of processors, and what was built before.
#
# What keeps the archive small and quick to make, measured on Linux 6.12 with
# the default configuration of x86_64 (32 MB of stripped headers):
#
#   lc=4,pb=0   for text: what matters is the byte before, not the position
#   nice=96,    how long a match ends the search for a better one, and how many
#   depth=24    xz looks at; the defaults, 64 and 48, give the same size and take
#               10 % longer
#   dict=4MiB   no block is larger
#   8 blocks    (in kernel/Makefile) keep eight processors busy, here and when
#               users unpack, and an edit costs an eighth of all; 16 would take
#               1.5 % more room, 2 would save 1.9 %
#   threads=2   not for speed: with one, xz leaves the sizes out of a block's
#               header, and nobody could decompress blocks side by side
#   crc32       because the kernel's own decoder knows no other check

# $srctree comes from kbuild; what is in single quotes is for make or a shell.
# shellcheck disable=SC2154

set -eu
export LC_ALL=C TZ=UTC
unset XZ_OPT XZ_DEFAULTS CDPATH PERL_UNICODE PERL5OPT
umask 022

XZ=${XZ:-xz}
PERL=${PERL:-perl}

xz_flags='--format=xz --check=crc32 --threads=2 --block-size=64MiB --memlimit=0'
xz_flags="$xz_flags --lzma2=preset=6,dict=4MiB,lc=4,pb=0,nice=96,depth=24"

fail()
{
	echo "gen_kheaders: $*" >&2
	exit 1
}

# need_tool COMMAND PACKAGE: COMMAND may hold options, too
need_tool()
{
	command -v "${1%% *}" >/dev/null ||
		fail "${1%% *}: not found: install the package $2, or turn CONFIG_IKHEADERS off"
}

# What is begun in $tmp goes away if it does not end.
begin()
{
	tmp=${1%/*}/.tmp_${1##*/}
	trap 'rm -f "$tmp" "$tmp.xz" "$tmp.h"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 131' QUIT
	trap 'exit 141' PIPE
	trap 'exit 143' TERM
}

# make_tar MADE: writes to $tmp the members of the list on standard input, with the
# time that it begins with
make_tar()
{
	read -r _ mtime
	scripts/strip_headers --tar "$mtime" "$1" "$srctree" >"$tmp" ||
		fail "a header could not be read and stripped: see above"
}

# compress OUT: $tmp to OUT, unless that came from the same bytes in the same way.
# OUT.from says from which.
compress()
{
	from="$(sha1sum <"$tmp") $XZ $xz_flags"
	if [ -e "$1" ] && [ -e "$1.from" ]; then
		read -r before <"$1.from" || :
		[ "$before" != "$from" ] || { touch "$1"; return; }
	fi
	rm -f "$1.from"
	# shellcheck disable=SC2086	# flags are words
	$XZ $xz_flags --stdout <"$tmp" >"$tmp.xz" ||
		fail "$XZ failed: see above; it takes the one of XZ Utils, package xz-utils"
	mv "$tmp.xz" "$1"
	echo "$from" >"$1.from"
}

#ifdef KHEADERS_WITH_EXTMOD
# symbols_of SYMVERS: whose symbols are in it. A lone "make kernel/kheaders.ko"
# writes Module.symvers, too; but what a directory lists that each whole build enters
# is then not in modules.order.
symbols_of()
{
	if [ "$1" != Module.symvers ]; then
		echo "those of ${1%.symvers}"
		return
	fi
	for dir in crypto drivers fs kernel lib; do
		lacking=0
		grep -qvxFf modules.order "$dir/modules.order" 2>/dev/null || lacking=$?
		[ $lacking = 1 ] || { echo 'those of vmlinux and some modules'; return; }
	done
	echo all
}

#endif
# describe: what the archive says of itself
describe()
{
	read -r release <include/config/kernel.release
	echo "release: $release"
	echo "architecture: $SRCARCH"
	sed -n 's/"$//; s/^CONFIG_CC_VERSION_TEXT="*/compiler: /p' include/config/auto.conf
#ifdef KHEADERS_WITH_EXTMOD
	if [ $# -gt 0 ]; then	# whose SYMBOLS it has
		echo 'profile: modules'
		echo "symbols: $1"
		versions=no
		! grep -q '^CONFIG_MODVERSIONS=y' include/config/auto.conf || versions=yes
		echo "symbol-versions: $versions"
		return
	fi
#endif
	echo 'profile: headers'
}

#ifdef KHEADERS_WITH_EXTMOD
# list_symbols SYMVERS SYMBOLS MADE: what has to be there for a module to be linked
list_symbols()
{
	cp "$1" "$3/Module.symvers"
	[ "$2" = all ] ||
		echo "gen_kheaders: note: the archive has the symbols of ${2#those of } alone;" \
			"make without a target gives it all" >&2
	echo 'made Module.symvers'
	# made with what they are linked to, not before
	for object in "arch/$SRCARCH/lib/crtsavres.o" "arch/$SRCARCH/lib/expoline/expoline.o"; do
		[ ! -e "$object" ] || echo "obj= $object"
	done
}

#endif
step=${1-}
[ $# = 0 ] || shift
case $step in
names)
	need_tool "$PERL" perl
	need_tool "$XZ" xz-utils
	need_tool sha1sum coreutils
	exec $PERL "$srctree/scripts/gen_kheaders_names.pl" "$@"
	;;
manifest)
	begin "$3"
	names=$1 blocks=$2 manifest=$3 dir=${3%/*}
	shift 3
	$PERL "$srctree/scripts/gen_kheaders_manifest.pl" "$names" "$blocks" "$dir" "$@" >"$tmp"
	mv "$tmp" "$manifest"
	;;
block)
	begin "$2"
	make_tar "${1%/*}/made" <"$1"
	compress "$2"
	;;
tail)
	begin "$2"
	made=${1%/*}/made
	describe >"$made/kheaders_info.txt"
	sed q "$1" >"$tmp.xz"
#ifdef KHEADERS_WITH_EXTMOD
	if [ $# -gt 2 ]; then
		symbols=$(symbols_of "$3")
		describe "$symbols" >"$made/kheaders_info.txt"
		list_symbols "$3" "$symbols" "$made" >>"$tmp.xz"
	fi
#endif
	echo 'made kheaders_info.txt' >>"$tmp.xz"
	make_tar "$made" <"$tmp.xz"
	dd if=/dev/zero bs=512 count=2 2>/dev/null >>"$tmp" || fail "dd failed: is the disk full?"
	compress "$2"
	;;
join)
	begin "$1"
	archive=$1
	shift
	$PERL "$srctree/scripts/gen_kheaders_join.pl" "$@" >"$tmp"
	header=${archive%.tar.xz}.h
	digest=$(sha1sum <"$tmp")
	{
		echo "#define KHEADERS_SHA1 ${digest%% *}"
		echo "#define KHEADERS_SIZE $(($(wc -c <"$tmp")))"
	} >"$tmp.h"
	cmp -s "$tmp.h" "$header" || mv "$tmp.h" "$header"
	mv "$tmp" "$archive"
	;;
*)
	fail "usage: see the head of $0"
	;;
esac
