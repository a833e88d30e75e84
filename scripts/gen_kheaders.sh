#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Make the archive of kernel headers that CONFIG_IKHEADERS builds in.
#
# usage: gen_kheaders.sh manifest FLAG...
#        gen_kheaders.sh archive MANIFEST ARCHIVE
#
# "manifest" prints what goes into the archive, see gen_kheaders_manifest.pl.
# "archive" makes ARCHIVE from that, with a makefile of its dependencies beside
# it in .ARCHIVE.d. kbuild runs both in the objtree and hands over $srctree,
# $SRCARCH, $KBUILD_BUILD_TIMESTAMP and, as far as they are set, $TAR, $XZ, $PERL
# and $AWK.
#
# The same headers give the same bits, whatever the directory, user, umask,
# locale, time zone, file times and number of processors.
#
# Headers go from the trees through tar and scripts/strip_headers to xz. Copying
# them first would take longer than all of that but xz: on ext4 seconds where as
# many files have just been removed.
#
# What keeps the archive small and quick to make, measured on Linux 6.12 with
# the default configuration of x86_64 (32 MB of stripped headers):
#
#   lc=4,pb=0   for text: what matters is the byte before, not the position
#   depth=24    how many earlier matches xz looks at; 48 would be its default,
#               take 15 % longer and save 0.3 %
#   2 blocks    keep two processors busy, here and when users unpack; 4 would
#               cost 1 % in size. As many threads however many processors there
#               are: with one, xz writes other headers
#   crc32       because the kernel's own decoder knows no other check

# $srctree comes from kbuild; what is in single quotes is for make or a shell.
# shellcheck disable=SC2016,SC2094,SC2154

set -eu
export LC_ALL=C TZ=UTC
unset XZ_OPT XZ_DEFAULTS TAR_OPTIONS CDPATH
umask 022

TAR=${TAR:-tar}
XZ=${XZ:-xz}
PERL=${PERL:-perl}
AWK=${AWK:-awk}

blocks=2
lzma2=preset=6,lc=4,pb=0,depth=24

# Where no time of build is given; tar finds fault with 0.
default_mtime='1980-01-01 00:00:00'

tab=$(printf '\t')

# where -D flags go that cannot stand in a file of flags
defines=include/generated/compile_flags.h

fail()
{
	echo "gen_kheaders: $*" >&2
	exit 1
}

# need_tool COMMAND [PACKAGE]: COMMAND may hold options too, the package has its
# name if none is given
need_tool()
{
	command=${1%% *}
	command -v "$command" >/dev/null ||
		fail "$command: not found: install the package ${2:-$command}," \
			"or turn CONFIG_IKHEADERS off"
}

need_tools()
{
	need_tool "$PERL" perl
	need_tool "$TAR" tar
	need_tool "$XZ" xz-utils
	need_tool sha1sum coreutils
	case $($TAR --version 2>/dev/null) in
	*'GNU tar'*) ;;
	*) fail "$TAR: not GNU tar: install the package tar and set TAR to it" ;;
	esac
}

# The time in the archive, in seconds. One given without a zone is UTC.
mtime()
{
	seconds=$(date -u -d "${KBUILD_BUILD_TIMESTAMP:-$default_mtime}" +%s 2>/dev/null) &&
		[ "$seconds" -ge 0 ] && echo "$seconds" ||
		fail "KBUILD_BUILD_TIMESTAMP='$KBUILD_BUILD_TIMESTAMP':" \
			"not a date since 1970 that date understands"
}

# What is made here rather than read from a tree goes to $tmp/made.
make_compile_flags()
{
	if grep -q '^define ' "$manifest"; then
		mkdir -p "$tmp/made/${defines%/*}"
		sed -n 's/^define \([^=]*\)=/#define \1 /p' "$manifest" >"$tmp/made/$defines"
		printf '%s\n' -include "$defines" >"$tmp/made/compile_flags.txt"
	fi
	sed -n 's/^flag //p' "$manifest" >>"$tmp/made/compile_flags.txt"
}

checksum()
{
	sed '$d' "$1" | sha1sum | sed 's/ .*//'
}

# The generated headers in include/linux/atomic end in their own checksum, for
# ./Kbuild to find edits. Where it was right, it stays so.
make_checksummed()
{
	grep -E '^(src|obj) include/linux/atomic/[^/]*\.h$' "$manifest" >"$tmp/atomic" || :
	while read -r tree path; do
		[ "$(tail -n 1 "$tmp/$tree/$path")" = "// $(checksum "$tmp/$tree/$path")" ] ||
			continue
		mkdir -p "$tmp/made/${path%/*}"
		scripts/strip_headers <"$tmp/$tree/$path" >"$tmp/made/$path" ||
			fail "$path: stripping it failed: see above"
		echo '// -' >>"$tmp/made/$path"
		sum=$(checksum "$tmp/made/$path")
		sed "\$s/-/$sum/" "$tmp/made/$path" >"$tmp/header"
		mv "$tmp/header" "$tmp/made/$path"
	done <"$tmp/atomic"
}

# Lists what goes in, as TREE/PATH, sorted by PATH, a directory before what is in
# it. Where two trees have a path, the first one of made, obj and src counts. A
# file for each step, as a pipe would hide the failure of all but its end.
list_members()
{
	(cd "$tmp/made" && find . -type f) >"$tmp/found"
	sed 's:^\./::' "$tmp/found" >"$tmp/paths-made"

	sed "s:\$:${tab}made:" "$tmp/paths-made" >"$tmp/unsorted"
	sed -n "s:^\(obj\|src\) \(.*\):\2$tab\1:p" "$manifest" >>"$tmp/unsorted"
	tr / '\001' <"$tmp/unsorted" >"$tmp/keys"
	sort -o "$tmp/keys" "$tmp/keys"
	tr '\001' / <"$tmp/keys" >"$tmp/sorted"

	: >"$tmp/directories"
	(cd "$tmp" && $AWK -F"$tab" '
		$1 == path { next }
		{
			path = $1
			count = split(path, part, "/")
			dir = ""
			for (i = 1; i < count; i++) {
				dir = dir part[i] "/"
				if (!(dir in seen)) {
					print "made/" dir
					print dir >"directories"
				}
				seen[dir]
			}
			print $2 "/" path
		}' sorted >members)
	tr '\n' '\0' <"$tmp/members" >"$tmp/members0"

	# Of the directories there are copies: a build adds files to its own.
	tr '\n' '\0' <"$tmp/directories" >"$tmp/directories0"
	(cd "$tmp/made" && xargs -0 mkdir -p --) <"$tmp/directories0"
}

# Writes the tar of all, stripped, to $tmp/tar.
make_tar()
{
	mkdir "$tmp/made"
	ln -s "$(cd "$srctree" && pwd)" "$tmp/src"
	ln -s "$PWD" "$tmp/obj"
	make_compile_flags
	make_checksummed
	list_members

	set --
	while IFS= read -r path; do
		set -- "$@" "$path"
	done <"$tmp/paths-made"
	{
		$TAR --directory="$tmp" --create --file=- --format=ustar --dereference \
			--hard-dereference --no-recursion --null --files-from="$tmp/members0" \
			--transform='s:^[^/]*/::' --mtime="@$mtime" --owner=0 --group=0 \
			--numeric-owner --mode=u=rw,go=r,a+X,a-s &&
			: >"$tmp/complete"
	} | scripts/strip_headers --tar "$@" >"$tmp/tar" && [ -e "$tmp/complete" ] ||
		fail "a header could not be read and stripped: see above;" \
			"if it changed meanwhile, run make again"
}

# Blocks of equal size, in whole KiB.
block_size()
{
	echo $(($(wc -c <"$1") / blocks / 1024 + 1))KiB
}

# The makefile of what the archive depends on, with paths quoted for make.
dependencies()
{
	sed 's/[][ #:*?]/\\&/g; s/\$/$$/g; s/$/ \\/; s/^\(obj\|src\)\\ /\1 /' \
		"$manifest" >"$tmp/quoted"
	echo "deps_$archive := \\"
	sed -n 's:^obj ::p; s:^src :$(srctree)/:p' "$tmp/quoted"
	printf '\n%s: $(deps_%s)\n$(deps_%s):\n' "$archive" "$archive" "$archive"
}

make_archive()
{
	tmp=$PWD/${archive%/*}/.tmp_kheaders
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 131' QUIT
	trap 'exit 141' PIPE
	trap 'exit 143' TERM
	rm -rf "$tmp"
	mkdir -p "$tmp"
	: >"$tmp/begin"

	mtime=$(mtime)
	make_tar
	$XZ --format=xz --check=crc32 --lzma2="$lzma2" \
		--block-size="$(block_size "$tmp/tar")" --threads="$blocks" \
		--memlimit=0 --stdout <"$tmp/tar" >"$tmp/xz" ||
		fail "$XZ failed: see above"

	# A header written to from now on is newer than the archive.
	touch -r "$tmp/begin" "$tmp/xz"
	dependencies >"$tmp/d"
	mv "$tmp/d" "${archive%/*}/.${archive##*/}.d"
	mv "$tmp/xz" "$archive"
}

case ${1-} in
manifest)
	shift
	need_tools
	exec $PERL "$srctree/scripts/gen_kheaders_manifest.pl" "$@"
	;;
archive)
	[ $# = 3 ] || fail "archive takes a manifest and an archive"
	manifest=$2
	archive=$3
	need_tools
	make_archive
	;;
*)
	fail "usage: gen_kheaders.sh manifest FLAG... | archive MANIFEST ARCHIVE"
	;;
esac
