#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: kbuild.sh [TREE]
# The generator within kbuild: when it runs and when not, that nothing needless
# is rebuilt, that clean and mrproper leave no trace, for O= and in-tree builds.
# Works on a copy, in $TMPDIR, of the kernel tree that this lies in or of TREE, for
# $ARCH, and with $XZ, which may be a faster one: this is about when, not what.

# generated() has a default.
# shellcheck disable=SC2119,SC2120
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tree=${1:-$(cd "$here/../../.." && pwd)}
arch=${ARCH:-x86_64}
. "$here/tap.sh"
needs gcc make perl xz:xz-utils tar bc flex bison
[ -f "$tree/Kbuild" ] && [ -f "$tree/scripts/gen_kheaders.sh" ] || {
	echo "kbuild.sh: $tree: no kernel tree that has kheaders: give one with KERNEL=" >&2
	exit 1
}
unset KBUILD_BUILD_TIMESTAMP MAKEFLAGS MAKELEVEL

work=$(mktemp -d "${TMPDIR:-/tmp}/kbuild.XXXXXX")
said=$work/said
ended=
at_exit() {
	[ "$ended" ] || tail -n 30 "$work/log"
	rm -rf "$work"
}
trap at_exit EXIT
trap 'exit 130' HUP INT TERM
# As a tree of one's own may be: built in, which kbuild wants no O= for.
mkdir "$work/src"
tar -C "$tree" --warning=no-file-changed --exclude=./.git -c . | tar -C "$work/src" -x
make -s -C "$work/src" ARCH="$arch" mrproper

# Builds in $obj from $work/src, with its output in $work/log.
obj=$work/obj archive=$work/obj/kernel/kheaders_data.tar.xz
build() {
	if [ "$obj" = "$work/src" ]; then where=; else where=O=$obj; fi
	# shellcheck disable=SC2086
	make -C "$work/src" $where ARCH="$arch" XZ="$work/xz" "$@" >"$work/log" 2>&1
}
cat >"$work/xz" <<END
#!/bin/sh
echo >>"$work/compressed"
exec "${XZ:-xz}" "\$@"
END
chmod +x "$work/xz"
: >"$work/compressed"

# compresses N CODE: it has xz run so many times
compresses() {
	expected=$1
	shift
	: >"$work/compressed"
	eval "$*" || return
	echo "xz ran $(wc -l <"$work/compressed") times"
	[ "$(wc -l <"$work/compressed")" -eq "$expected" ]
}

archive() {
	[ $# -gt 0 ] || set -- kernel/kheaders.o
	build "$@" || { tail -n 30 "$work/log"; return 1; }
	cat "$work/log"
}

generated() { archive "$@" && grep 'GEN  *kernel/kheaders_data.tar.xz' "$work/log"; }
compiled() { grep 'CC .*kernel/kheaders\.o' "$work/log"; }
not_generated() { archive "$@" && ! grep -e 'GEN .*kheaders' -e 'XZ .*kheaders' "$work/log"; }
# in_archive PATTERN FILE
in_archive() { tar -xJOf "$archive" "$2" | grep -e "$1"; }

config() {
	"$work/src/scripts/config" --file "$obj/.config" "$@"
	build olddefconfig
}

# Headers that neither asm-offsets nor kheaders.o includes, so that what is
# rebuilt is for the archive's sake.
header=$work/src/include/linux/zorro.h
other=$work/src/include/linux/dio.h
cp -p "$header" "$work/zorro.h"

mkdir -p "$obj"
build tinyconfig
config -e 64BIT -e SYSFS -e MODULES -e IKHEADERS

check 'a first build makes the archive' compresses 9 'generated && compiled'
bits=$(sha1sum <"$archive")
incremental_is_same() {
	first=$bits
	bits=$(sha1sum <"$archive")
	same_bits && bits=$first
}
same_bits() {
	rm -rf "$archive" "$obj/kernel/kheaders_data"
	archive "$@" kernel/kheaders.o
	echo "$bits, now $(sha1sum <"$archive")"
	[ "$(sha1sum <"$archive")" = "$bits" ]
}
check 'the same bits with -j8' same_bits -j8
before=$(stat -c %Y.%y "$obj/kernel/kheaders.o")
check 'nothing changed: not generated' not_generated
check 'nothing changed: not compiled' [ "$before" = "$(stat -c %Y.%y "$obj/kernel/kheaders.o")" ]

touch "$header"
check 'a touched header: nothing compressed, nothing compiled' \
	compresses 0 'generated && ! compiled'
check 'and once only' not_generated

find "$work/src/include" -name '*.h' -exec touch {} +
check 'all headers touched: nothing compressed' compresses 0 generated
find "$work/src/include" -name '*.h' -exec touch {} +
check 'and make V=2 says why' archive V=2 kernel/kheaders.o

echo '/* a comment */' >>"$header"
check 'a comment: nothing compressed' compresses 0 archive
echo '#define KHEADERS_1' >>"$header"
check 'a changed header: its block alone is compressed' compresses 1 'generated && compiled'
check 'no header changed since: nothing' not_generated
check 'is in the archive' in_archive KHEADERS_1 include/linux/zorro.h
sed -i 's/KHEADERS_1/KHEADERS_2/' "$header"
archive >/dev/null
sed -i 's/KHEADERS_2/KHEADERS_3/' "$header"
check 'changed twice at once with equal size' generated
check 'is in the archive as it is now' in_archive KHEADERS_3 include/linux/zorro.h

echo 'int added;' >"$work/src/include/linux/kheaders_added.h"
check 'an added header' generated
check 'and once only' not_generated
check 'is in the archive' in_archive added include/linux/kheaders_added.h
mv "$work/src/include/linux/kheaders_added.h" "$work/src/include/linux/kheaders_moved.h"
check 'a renamed header' generated
check 'is in the archive under its new name alone' \
	'tar -tJf "$archive" | grep linux/kheaders_ | grep -x include/linux/kheaders_moved.h'
rm "$work/src/include/linux/kheaders_moved.h"
check 'a removed header' generated
check 'is gone' '! tar -tJf "$archive" | grep linux/kheaders_'

ln -s zorro.h "$work/src/include/linux/kheaders_link.h"
check 'a link' generated
ln -sfn dio.h "$work/src/include/linux/kheaders_link.h"
check 'retargeted to an older file' generated
check 'gives what it points to now' in_archive dio_ include/linux/kheaders_link.h
rm "$work/src/include/linux/kheaders_link.h"

touch "$work/src/include/linux/.nfs000000001" "$work/src/include/linux/.afs1" \
	"$work/src/include/linux/zorro.h~"
archive >/dev/null
check 'files of network file systems and editors are no headers' \
	'! tar -tJf "$archive" | grep -e "/\." -e "~$"'
rm -f "$work/src/include/linux/.nfs000000001" "$work/src/include/linux/.afs1" \
	"$work/src/include/linux/zorro.h~"
archive >/dev/null

for script in gen_kheaders.sh gen_kheaders_names.pl gen_kheaders_manifest.pl \
	gen_kheaders_join.pl strip_headers.c; do
	echo '' >>"$work/src/scripts/$script"
	check "a changed $script that does the same: nothing compressed" \
		compresses 0 archive prepare kernel/kheaders.o
	check '... and once only' not_generated
done
sed -i 's/nice=96/nice=64/' "$work/src/scripts/gen_kheaders.sh"
check 'another parameter for xz: all compressed' compresses 9 generated

rm "$obj/kernel/kheaders_data/3.xz"
check 'a piece removed: made again' compresses 1 generated
rm "$obj/kernel/kheaders_data/3.list" "$obj/kernel/kheaders_data.h" "$obj/kernel/kheaders.o"
check 'a list and the digest removed: made again' archive
check 'and once only' not_generated
interrupted() {
	echo "int i;" >>"$header"
	cp "$work/xz" "$work/counts"
	printf '#!/bin/sh\nkill -9 0\n' >"$work/xz"
	setsid make -C "$work/src" O="$obj" ARCH="$arch" XZ="$work/xz" kernel/kheaders.o \
		>"$work/log" 2>&1 && return 1
	mv "$work/counts" "$work/xz"
	find "$obj/kernel" -name '.tmp_*' >"$work/left"
	archive && in_archive 'int i;' include/linux/zorro.h
}
check 'a make that is killed: the next is right' interrupted

config -e PRINTK_TIME -d SYSFS_SYSCALL -e BLOCK
check 'a changed option' generated
check 'and once only' not_generated
check 'is in the archive' in_archive 'CONFIG_BLOCK 1' include/generated/autoconf.h

check 'all that was made step by step is as if made at once' incremental_is_same

check 'KBUILD_BUILD_TIMESTAMP' generated KBUILD_BUILD_TIMESTAMP='2020-01-02' kernel/kheaders.o
check 'and without it again' generated

rm "$archive"
before=$(stat -c %y "$obj/kernel/kheaders.o")
check 'a removed archive is made again' generated
check 'and equal, nothing is compiled' [ "$before" = "$(stat -c %y "$obj/kernel/kheaders.o")" ]

cp "$work/xz" "$work/other-xz"
check 'another xz: all compressed' compresses 9 generated XZ="$work/other-xz" kernel/kheaders.o
archive >/dev/null

config -m IKHEADERS
check 'as a module' generated
check 'the archive has its configuration' \
	in_archive 'CONFIG_IKHEADERS_MODULE 1' include/generated/autoconf.h
config -e IKHEADERS

echo "int broken;" >"$work/src/include/linux/kheaders_bad.h"
ln -s nowhere "$work/src/include/linux/kheaders_bad2.h"
named() {
	! archive >"$work/named" &&
		grep 'kheaders_bad2.h: dangling symbolic link to nowhere' "$work/named"
}
check 'a dangling link stops the build and is named' named
rm "$work/src/include/linux/kheaders_bad.h" "$work/src/include/linux/kheaders_bad2.h"
check 'and the next build is right' archive

build clean
check 'clean leaves nothing' '! find "$obj/kernel" "$obj/scripts" -name "*kheaders*" | grep .'
archive prepare kernel/kheaders.o >/dev/null
build mrproper
check 'mrproper leaves nothing' \
	'! find "$obj" -name "*kheaders*" -o -name "*strip_headers*" | grep .'

# --- in the source tree -----------------------------------------------------------

cp -p "$work/zorro.h" "$header"
# 6.1 cleans nothing of its objtool.
files() { (cd "$work/src" && find . -path ./tools/objtool -prune -o -type f -print | sort); }
files >"$work/before"
obj=$work/src archive=$work/src/kernel/kheaders_data.tar.xz
build tinyconfig
config -e 64BIT -e SYSFS -e MODULES -e IKHEADERS
check 'in-tree: a first build makes the archive' generated
check 'in-tree: the same bits as with O=' same_bits
check 'in-tree: nothing changed' not_generated
echo '#define KHEADERS_4' >>"$other"
check 'in-tree: a changed header' generated
check 'in-tree: is in the archive' in_archive KHEADERS_4 include/linux/dio.h
check 'in-tree: generated headers are there' in_archive CONFIG_SYSFS include/generated/autoconf.h
build mrproper
files >"$work/after"
check 'in-tree: mrproper leaves nothing' diff "$work/before" "$work/after"

ended=yes
done_testing
