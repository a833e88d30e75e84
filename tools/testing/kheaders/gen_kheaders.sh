#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The generator on a tree of a few headers: what goes into the archive, that
# the same headers give the same bits, that whatever goes wrong is said.
# What needs root (a full disk, another user) is skipped without.

# $data comes from ./steps.
# shellcheck disable=SC1091,SC2034,SC2046,SC2086,SC2154
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
. "$here/tap.sh"
needs gcc make perl xz:xz-utils tar readelf:binutils busybox:busybox-static bash dash

work=$(mktemp -d)
trap 'umount "$work/small" 2>/dev/null || :; chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"
cd "$work"
unset KBUILD_BUILD_TIMESTAMP XZ PERL CC MAKEFLAGS MAKELEVEL
export SRCARCH=x86

said=$work/said show=$work/log

# new_tree DIR: a source tree DIR/src and a build DIR/obj of it
new_tree() {
	mkdir -p "$1/src/scripts" "$1/obj/scripts" "$1/obj/kernel" \
		"$1/src/include/linux/atomic" "$1/src/include/uapi" \
		"$1/src/arch/x86/include/asm" "$1/src/arch/x86/um/asm" \
		"$1/obj/include/generated" "$1/obj/include/config" \
		"$1/obj/arch/x86/include/generated/asm"
	cp "$top"/scripts/gen_kheaders* "$1/src/scripts"
	cp "$work/strip_headers" "$1/obj/scripts"
	cd "$1/src"
	echo 'int a; /* comment */' >include/linux/a.h
	echo 'int b; // comment' >include/linux/b.h
	echo 'text' >include/linux/table.def
	echo 'code' >include/linux/macros.S
	echo 'int u;' >include/uapi/u.h
	echo 'int x;' >arch/x86/include/asm/x.h
	echo 'int um;' >arch/x86/um/asm/um.h
	echo 'int c;' >arch/x86/um/um.c
	# no headers
	touch include/linux/Kbuild include/linux/Makefile include/linux/a.h~ \
		include/linux/.a.h.swp include/linux/.nfs0001 include/linux/b.h.orig
	printf '/* made */\nint at;\n' >include/linux/atomic/good.h
	sum=$(sha1sum <include/linux/atomic/good.h | cut -d' ' -f1)
	echo "// $sum" >>include/linux/atomic/good.h
	printf '/* made */\nint at;\n// %040d\n' 1 >include/linux/atomic/edited.h
	cd ../obj
	echo '#define CONFIG_A 1' >include/generated/autoconf.h
	echo '#define UTS "now"' >include/generated/utsversion.h
	echo '#define BY "me"' >include/generated/compile.h
	echo 'int g;' >arch/x86/include/generated/asm/g.h
	touch include/generated/.autoconf.h.cmd
	echo 'CONFIG_CC_VERSION_TEXT="gcc 12"' >include/config/auto.conf
	echo 6.12.0-test >include/config/kernel.release
	cd "$work"
}

flags='-nostdinc -I../src/arch/x86/include -I./arch/x86/include/generated -I../src/include
	-I./include -I ../src/arch/x86/um -I/usr/include -include ../src/include/linux/a.h
	-D__KERNEL__ -D TWO=2 -Dvmap=kvmap -UFOO -std=gnu11 -O2 -Wall -fshort-wchar -fPIE'

# The steps of kernel/Makefile, to be run in the directory of a build.
cat >steps <<'END'
data=kernel/kheaders_data
gen() { ${GEN_SHELL:-sh} "${srctree:=../src}/scripts/gen_kheaders.sh" "$@"; }

# manifest [FLAG...]
manifest() {
	export srctree
	mkdir -p $data
	echo "SECTIONS { }" >$data/module.lds
	gen names "$@" >$data/names && gen manifest $data/names 2 $data/manifest ${programs-}
}

pieces() {
	for n in 1 2; do
		gen block $data/$n.list $data/$n.xz || return
	done
	gen tail $data/1.list $data/tail.xz ${symbols-} &&
		gen join $data.tar.xz $data/1.xz $data/2.xz $data/tail.xz
}
END
. ./steps

# generate DIR [FLAG...]: all steps, as kbuild runs them, from nothing
generate() {
	dir=$1
	shift
	(cd "$dir/obj" && rm -rf $data && manifest "$@" && pieces) >"$work/log" 2>&1
}

# The bits of a new archive from DIR.
bits() { generate "$1" && sha1sum <"$1/obj/kernel/kheaders_data.tar.xz"; }

same_bits() {
	got=$(bits "$1") && echo "expected $reference, got $got" && [ "$got" = "$reference" ]
}

# same_bits_by DIR COMMAND...: with the generator run by the command
same_bits_by() {
	dir=$1
	shift
	rm -rf "$dir/obj/$data"
	"$@" sh -c '. ./steps; cd "$0/obj" && manifest && pieces' "$dir" &&
		[ "$(sha1sum <"$dir/obj/$data.tar.xz")" = "$reference" ]
}

unpack() {
	rm -rf "$work/out"
	mkdir "$work/out"
	tar -xJf "$1/obj/$data.tar.xz" -C "$work/out"
}

holds_all() {
	(cd out && find . -type f | sed 's,^./,,' | LC_ALL=C sort) >listed
	echo "$contents" | diff - listed
}

# fails_with TEXT DIR: generating fails, says TEXT, leaves no archive and nothing
# half done
fails_with() {
	rm -f "$2/obj/$data.tar.xz"
	if generate "$2"; then
		echo "it succeeded"
		return 1
	fi
	grep -e "$1" "$work/log" || { echo "no word of '$1'"; return 1; }
	left=$(cd "$2/obj/kernel" && find . -name '.tmp*' -o -name '*.tar.xz')
	[ ! "$left" ] || { echo "leftovers: $left"; return 1; }
	for piece in "$2/obj/$data"/*.xz; do
		[ ! -e "$piece" ] || xz -t "$piece" || return
	done
}

# warns TEXT DIR: generating succeeds, and says TEXT once
warns() {
	generate "$2" || return
	cat "$work/log"
	[ "$(grep -c "warning: .*$1" "$work/log")" = 1 ]
}

contents='arch/x86/include/asm/x.h
arch/x86/include/generated/asm/g.h
arch/x86/um/asm/um.h
compile_flags.txt
include/generated/autoconf.h
include/generated/compile_flags.h
include/generated/compile_flags.specs
include/linux/a.h
include/linux/atomic/edited.h
include/linux/atomic/good.h
include/linux/b.h
include/linux/macros.S
include/linux/table.def
include/uapi/u.h
kheaders_info.txt'
made='-specs=include/generated/compile_flags.specs -Wno-unused-command-line-argument
	-include include/generated/compile_flags.h'

gcc -O1 -o strip_headers "$top/scripts/strip_headers.c"
new_tree t

# --- contents -------------------------------------------------------------------

# shellcheck disable=SC2086
check 'it makes an archive' generate t $flags
unpack t
archive=$work/t/obj/$data.tar.xz
tar -tvJf "$archive" >listing
check 'all headers of the include path, and nothing else' holds_all
check 'comments are gone' 'echo "int a;" | cmp - out/include/linux/a.h'
check "flags are relative, and the preprocessor's" 'printf "%s\n" $made -nostdinc \
	-Iarch/x86/include -Iarch/x86/include/generated -Iinclude -Iarch/x86/um \
	-include include/linux/a.h -D__KERNEL__ -DTWO=2 -Dvmap=kvmap -UFOO -std=gnu11 \
	-fshort-wchar | diff - out/compile_flags.txt'
check 'a checksum that no longer holds is gone' '! grep "^//" out/include/linux/atomic/good.h'
check 'the archive says what it is' 'printf "%s\n" "release: 6.12.0-test" \
	"architecture: x86" "compiler: gcc 12" "profile: headers" | diff - out/kheaders_info.txt'
check 'owner, modes and time are fixed' '! grep -v \
	-e "^drwxr-xr-x 0/0 .* 1980-01-01 " -e "^-rw-r--r-- 0/0 .* 1980-01-01 " listing'
check 'no name starts with . or /' '! awk "{ print \$6 }" listing | grep "^[./]"'
check 'one stream, CRC32, a block for each piece' \
	'xz --robot -l "$archive" | grep "^file.1.3.*	CRC32	0$"'
check 'blocks say their size: they can be decompressed side by side' \
	'xz -lvv "$archive" | grep "Sizes in headers: *Yes"'
check 'it unpacks with busybox' '(mkdir bb && cd bb &&
	busybox xz -dc "$archive" | busybox tar -xf - && diff -r . ../out)'
reference=$(bits t)

new_tree quoted
check 'a -D with quotes goes to a header' generate quoted -D'ARCH="v8 a"' -DX='a\b'
unpack quoted
check 'compilers read it as it was' '(cd out && echo "ARCH X" | gcc -E -P @compile_flags.txt - |
	grep -F "\"v8 a\" a\\b")'

new_tree last
echo 'int kcflags;' >last/src/kcflags.h
check 'flags' generate last -m64 -EL -march=x -mbig-endian -fms-anonymous-structs -DA -DX='"' \
	-UA -DA -DA -UX --include=../src/kcflags.h -imacros../src/kcflags.h -include-pch no.h \
	-I../src/../elsewhere -I../../elsewhere -I. -I/usr/include -include ../src/kcflags.h \
	-isystem ../src/include/linux -isystem../src/include/linux
unpack last
check 'keep their order, the last word on each macro, and what all compilers know' '
	printf "%s\n" $made -m64 -EL -mbig-endian -fms-extensions -DA -UX -include kcflags.h \
		-imacros kcflags.h -include kcflags.h -isysteminclude/linux |
	diff - out/compile_flags.txt && ! grep X out/include/generated/compile_flags.h'
check 'and what is outside the trees is told, or all of one' '
	grep "warning: /usr/include: outside the kernel.s trees" log &&
	grep "warning: .: all of a tree" log'
check 'what -include names is there' grep kcflags out/kcflags.h
check 'PERL with an option' env PERL='perl -w' sh -c '. ./steps; cd last/obj && manifest'
new_tree target
check 'clang is told the machine that gcc compiles for' env CC=gcc sh -c '
	. ./steps; cd target/obj && manifest &&
	grep -x -e "--target=$(gcc -dumpmachine)" $data/made/compile_flags.txt'

new_tree stale
mkdir -p stale/src/include/generated
echo 'int stale;' >stale/src/include/generated/stale.h
echo 'int fromobj;' >stale/src/include/linux/both.h
mkdir -p stale/obj/include/linux
echo 'int right;' >stale/obj/include/linux/both.h
check 'generated headers come from the build' generate stale
unpack stale
check 'the build wins' '
	grep right out/include/linux/both.h && [ ! -e out/include/generated/stale.h ]'

new_tree intree
cp -r intree/src/. intree/obj
cp t/obj/scripts/strip_headers intree/obj/scripts
check 'a build within the source tree' env srctree=. sh -c '
	. ./steps; cd intree/obj && manifest -I./include -I./arch/x86/um && pieces'
unpack intree
check 'has the same contents' holds_all

# O= names the directory that the source tree is in.
new_tree above
cp -r above/obj/. above
check 'a build around the source tree' env srctree="$work/above/src" sh -c '
	. ./steps; cd above && manifest -I"$srctree/include" -I./include \
		-I"$srctree/arch/x86/um" -I./arch/x86/include/generated && pieces'
mkdir -p above/obj/kernel
mv above/kernel/kheaders_data.tar.xz above/obj/kernel
unpack above
check 'has the same contents, too' holds_all

# --- for building modules ---------------------------------------------------------

new_tree modules
(
	cd modules/src
	mkdir -p scripts/basic scripts/mod arch/x86/boot
	echo '# kernel' >Makefile
	echo '# x86' >arch/x86/Makefile
	printf '#!/bin/sh\necho /* kept */\n' >scripts/depmod.sh
	echo '# build' >scripts/Makefile.build
	echo '# lib' >scripts/Makefile.lib
	echo 'int puts(const char *); int main(void) { return puts("Usage:") < 0; } /* kept */' \
		>scripts/basic/fixdep.c
	echo 'int main(void) { return 0; }' >scripts/mod/modpost.c
	touch scripts/checkpatch.pl scripts/Makefile.lib~ scripts/Makefile.rej scripts/secret.sh
	cd ../obj
	mkdir -p scripts/basic scripts/mod
	echo 'CONFIG_A=y' >.config
	gcc -g -o scripts/basic/fixdep ../src/scripts/basic/fixdep.c
	gcc -g -o scripts/mod/modpost ../src/scripts/mod/modpost.c
	gcc -c -o scripts/mod/empty.o ../src/scripts/mod/modpost.c
	printf '0x1\tsymbol\tvmlinux\tEXPORT_SYMBOL\t\n' >Module.symvers
	cp Module.symvers vmlinux.symvers
	mkdir -p crypto drivers fs lib
	echo kernel/kheaders.o | tee modules.order >kernel/modules.order
	touch crypto/modules.order drivers/modules.order fs/modules.order lib/modules.order
)
for_modules() {
	(programs='scripts/basic/fixdep scripts/mod/modpost' symbols=$1; generate modules --modules)
}
check 'an archive to build modules from' for_modules Module.symvers
unpack modules
check 'has makefiles, scripts and the configuration, as they are' '(
	cd out && grep -x "SECTIONS { }" scripts/module.lds &&
	for f in Makefile arch/x86/Makefile scripts/depmod.sh scripts/Makefile.lib; do
		cmp $f ../modules/src/$f || exit; done && cmp .config ../modules/obj/.config)'
check 'and nothing else that lies about there' '! find out -name checkpatch.pl -o \
	-name "Makefile.lib~" -o -name Makefile.rej -o -name secret.sh | grep .'
check 'programs, without symbols and build ID, that run' '(
	cd out && scripts/basic/fixdep && scripts/mod/modpost && [ -x scripts/depmod.sh ] &&
	! readelf -WS scripts/basic/fixdep | grep -e symtab -e build-id -e debug)'
check 'the symbols' cmp out/Module.symvers modules/obj/Module.symvers
check 'and says so' '
	[ "$(grep -cx -e "profile: modules" -e "symbols: all" out/kheaders_info.txt)" = 2 ]'
check 'make says the release' '[ "$(make -sC out kernelrelease)" = 6.12.0-test ]'
check 'make modules_prepare has nothing to do' make -C out modules_prepare
check 'and make without a module is refused' '
	! make -C out 2>told && grep "for external modules: make -C .* M=" told'
echo 'CONFIG_B=y' >modules/obj/other.config
export KCONFIG_CONFIG=other.config PERL_UNICODE=SAD
check 'KCONFIG_CONFIG, and perl told of UTF-8' for_modules Module.symvers
unset KCONFIG_CONFIG PERL_UNICODE
unpack modules
check '... give the configuration and programs that are meant' '
	grep CONFIG_B out/.config && out/scripts/basic/fixdep && out/scripts/mod/modpost'
check 'those of vmlinux alone' for_modules vmlinux.symvers
check 'are told by the build' grep 'note: the archive has the symbols of vmlinux alone' log
unpack modules
check 'and by the archive' grep -x 'symbols: those of vmlinux' out/kheaders_info.txt
some_modules() {
	for_modules Module.symvers && unpack modules && cat log out/kheaders_info.txt &&
		grep -x 'symbols: those of vmlinux and some modules' out/kheaders_info.txt &&
		grep 'note: the archive has the symbols of vmlinux and some modules alone' log
}
echo fs/other.o >modules/obj/fs/modules.order
check 'those of kernel/kheaders.ko made alone' some_modules
rm modules/obj/kernel/modules.order modules/obj/fs/modules.order
check '... where nothing else was made before' some_modules
printf '\377' | dd of=modules/obj/scripts/mod/empty.o bs=1 seek=18 conv=notrunc 2>/dev/null
check 'for another machine' for_modules Module.symvers
unpack modules
check 'it has no programs' '[ ! -e out/scripts/basic/fixdep ] && [ ! -e out/scripts/mod/modpost ]'
check 'but their sources, as they are, and what builds them' '(cd out &&
	cmp scripts/basic/fixdep.c ../modules/src/scripts/basic/fixdep.c &&
	touch scripts/mod/file2alias.c scripts/mod/sumversion.c &&
	make modules_prepare && scripts/mod/modpost)'

# --- links ----------------------------------------------------------------------

new_tree links
echo 'int away;' >links/away.h
mkdir links/awaydir
echo 'int in;' >links/awaydir/in.h
ln -s ../../../away.h links/src/include/linux/link.h
ln -s ../../awaydir links/src/include/dirlink
ln links/src/include/linux/a.h links/src/include/linux/hard.h
check 'links' generate links
unpack links
check 'are followed, to files and to directories' '
	grep away out/include/linux/link.h && grep in out/include/dirlink/in.h &&
	[ -z "$(find out -type l)" ]'
check 'hard links become two files' '! tar -tvJf links/obj/$data.tar.xz | grep "link to"'
lists() { cat links/obj/$data/[12].list; }
lists >before
ln -sfn ../../../awaydir/in.h links/src/include/linux/link.h
generate links
check 'a retargeted link changes the lists' '! lists | cmp -s before -'
ln -s in.h links/awaydir/hop.h
ln -sfn ../../../awaydir/hop.h links/src/include/linux/link.h
generate links
lists >before
ln -sfn ../away.h links/awaydir/hop.h
generate links
check '... and so does one behind it' '! lists | cmp -s before -'
new_tree dangling
ln -s nowhere.c dangling/src/arch/x86/um/nowhere.c
check 'a dangling link that is no header is passed over' generate dangling

# --- what lies about ------------------------------------------------------------

new_tree strays
ln -s nowhere strays/src/include/linux/stray
ln -s nowhere/ strays/src/include/straydir
echo 'int bak;' >strays/src/include/linux/a.h.bak
echo core >strays/src/include/core.1234
echo tags >strays/src/include/tags
mkfifo strays/src/include/linux/fifo
echo '#include "table.x"' >>strays/src/include/linux/b.h
echo '#include "../linux/deep.y"' >strays/src/include/linux/table.x
echo 'int y;' >strays/src/include/linux/deep.y
for stray in linux/stray straydir linux/a.h.bak core.1234 tags linux/fifo; do
	check "include/$stray is left out, with a word" warns "include/$stray: left out" strays
done
unpack strays
check 'but what headers include is there' 'cat out/include/linux/table.x out/include/linux/deep.y &&
	! find out -name "*stray*" -o -name "*bak" -o -name core.1234 -o -name tags \
		-o -name fifo | grep .'

new_tree vendor
mkdir -p vendor/src/drivers/x/include vendor/outside
echo '#include "own2.h"' >vendor/src/drivers/x/own.h
echo 'int own2;' >vendor/src/drivers/x/own2.h
echo 'int other;' >vendor/src/drivers/x/other.h
echo 'int other;' >vendor/src/drivers/x/include/other2.h
touch vendor/obj/arch/x86/program vendor/obj/arch/x86/.boot.h.cmd vendor/obj/arch/x86/boot.h
echo '#include <own.h>' >>vendor/src/include/linux/b.h
mkdir -p vendor/src/arch/x86/boot
echo 'int boot;' >vendor/src/arch/x86/boot/boot.h
check 'flags of a vendor' generate vendor -I../src/include -I../src/drivers/x \
	-I../src/arch/x86 -I../outside
check '... outside the trees are told' grep 'warning: ../outside: outside the kernel' log
unpack vendor
check '... within give what headers include, no more' '
	cat out/drivers/x/own.h out/drivers/x/own2.h && ! find out -name "other*" | grep . &&
	[ ! -e out/arch/x86/boot ] && [ -e out/arch/x86/um/asm/um.h ]'
check '... do not hide what the build made in a directory for headers' \
	[ -e out/arch/x86/include/generated/asm/g.h ]
check '... and what it made elsewhere and is no header is no matter' '
	! grep program vendor/obj/$data/names'
# in-tree, what the build made and what was there is told apart
mkdir -p intree/obj/drivers/x
echo '#include "own.tbl"' >intree/obj/drivers/x/own.h
echo 'int tbl;' >intree/obj/drivers/x/own.tbl
echo '#include <own.h>' >>intree/obj/include/linux/b.h
touch intree/obj/drivers/x/program intree/obj/drivers/x/.program.cmd
check 'a build in the source tree' env srctree=. sh -c '
	. ./steps; cd intree/obj && manifest -I./include -I./drivers/x && pieces'
unpack intree
check '... has what headers include, and no programs' '
	cat out/drivers/x/own.tbl && ! grep program intree/obj/$data/names'

ln -s nowhere.h dangling/src/include/linux/d.h
check 'a dangling link is an error that names it' \
	fails_with 'include/linux/d.h: dangling symbolic link to nowhere.h' dangling
new_tree loop
ln -s .. loop/src/include/linux/up
check 'a loop is an error that names it' \
	fails_with 'include/linux/up: symbolic link to one of its parents' loop

# --- names ----------------------------------------------------------------------

new_tree odd
for name in 'a b' 'a$b' 'a#b' "a'b" 'a"b' 'a:b' 'a*b' 'a[b]' 'a=b' 'a\b' 'a&b' 'a(b)' \
	    'ä' -a '~a' 'a?b' 'a -> b'; do
	echo "int odd;" >"odd/src/include/linux/$name.h"
done
check 'odd names' generate odd
unpack odd
check 'are all there' '[ "$(grep -rl odd out/include | wc -l)" = 17 ]'
cat >odd/obj/Makefile <<'END'
srctree := ../src
all: kernel/kheaders_data/1.headers kernel/kheaders_data/2.headers
kernel/kheaders_data/%.headers:
	touch $@
include kernel/kheaders_data/.manifest.d
END
newer() { touch odd/obj/$data/1.headers odd/obj/$data/2.headers; }
newer
check 'make knows them all' make -C odd/obj -q all
for name in 'a b' 'a$b' 'a#b' "a'b" 'a:b' 'a*b' 'a[b]' 'a=b' 'a\b' 'a?b' '~a'; do
	newer
	sleep 0.01
	touch "odd/src/include/linux/$name.h"
	check "a change of $name.h is seen" 'make -C odd/obj -q all; [ $? = 1 ]'
done
for name in 'a
b' 'a;b' 'a|b' 'a%b' 'a	b' 'a\ b' 'a\#b'; do
	new_tree refused
	touch "refused/src/include/linux/$name.h"
	check 'a name that make cannot handle is an error that names it' \
		fails_with 'make cannot handle such a name' refused
	rm -r refused
done
new_tree 'sp ace$(x)&'
check 'spaces and metacharacters in the path' same_bits 'sp ace$(x)&'

# --- the same bits ---------------------------------------------------------------

new_tree other/directory
check 'same bits in another directory' same_bits other/directory
find other -exec touch -d '2001-02-03' {} +
check 'same bits with other file times' same_bits other/directory
chmod -R go-rwx other
check 'same bits with other modes' same_bits other/directory
new_tree setgid
chmod -R g+s setgid
check 'same bits in directories that set the group' same_bits setgid
check 'same bits whatever TAPE is' '(export TAPE="$work/tape"; same_bits t)'
for mask in 000 077; do
	check "same bits with umask $mask" '(umask $mask; same_bits t)'
done
check 'same bits in another locale and time zone' \
	'(export LANG=de_DE.UTF-8 LC_ALL=C.UTF-8 TZ=Asia/Tokyo; same_bits t)'
check 'same bits whatever xz and tar find in the environment' '(
	export XZ_DEFAULTS=--memlimit=20MiB XZ_OPT=-T1 TAR_OPTIONS=--owner=7 CDPATH=/
	same_bits t)'
new_tree reversed
(cd reversed/src/include/linux && for f in *.h; do cp "$f" "$f.new"; rm "$f"; done &&
	for f in b.h a.h; do mv "$f.new" "$f"; done)
check 'same bits whatever the order of creation' same_bits reversed
check 'same bits on one processor' same_bits_by t taskset -c 0
# The tools of gen_kheaders.sh by other hands; they call each other by name.
for userland in busybox toybox coreutils; do
	where=$(command -v $userland || echo /usr/lib/cargo/bin/$userland)
	if [ ! -x "$where" ]; then
		skip "same bits with the tools of $userland" 'not installed'
		continue
	fi
	rm -rf other-tools
	mkdir other-tools
	for tool in cat dd mkdir mv rm sed sha1sum touch tr; do
		if [ -x "${where%/*}/$tool" ] && [ $userland = coreutils ]; then
			ln -s "${where%/*}/$tool" other-tools
		elif [ $userland = coreutils ]; then
			[ $tool = sed ] || ln -s "$where" other-tools/$tool
		elif { "$where" --list 2>/dev/null || "$where" | tr ' ' '\n'; } |
		     grep -qx $tool; then
			ln -s "$where" other-tools/$tool
		fi
	done
	check "same bits with the $(find other-tools -type l | wc -l) tools of $userland" \
		same_bits_by t env PATH="$work/other-tools:$PATH"
done
# busybox, as Debian has it, would take its own xz.
for GEN_SHELL in dash bash 'busybox sh' 'bash --posix'; do
	check "same bits with $GEN_SHELL" '(export GEN_SHELL XZ="$(command -v xz)"; same_bits t)'
done
unset GEN_SHELL
check 'what it needs of xz is named' '(export XZ="busybox xz"
	fails_with "busybox xz failed: see above; it takes .* xz-utils" t)'
if [ "$(id -u)" = 0 ]; then
	new_tree user
	chmod -R a-w user/src
	chown -R nobody user
	cp -r t/src/scripts/. user/src/scripts
	check 'same bits for another user, from a read-only tree' \
		same_bits_by user setpriv --reuid=nobody --clear-groups
else
	skip 'same bits for another user, from a read-only tree' 'needs root'
fi

# --- the time of build -----------------------------------------------------------

mtime() { tar -tvJf t/obj/kernel/kheaders_data.tar.xz --utc --full-time compile_flags.txt; }
export TZ=Asia/Tokyo
export KBUILD_BUILD_TIMESTAMP
dated() {
	generate t && echo "$1, got $(mtime)" && mtime | grep -F "$1" &&
		! grep warning "$work/log"
}
# Reading and meaning, the same everywhere.
while IFS='|' read -r KBUILD_BUILD_TIMESTAMP meaning; do
	check "KBUILD_BUILD_TIMESTAMP='$KBUILD_BUILD_TIMESTAMP'" dated "$meaning"
done <<'END'
2020-01-02 03:04:05|2020-01-02 03:04:05
2020-01-02|2020-01-02 00:00:00
2020-01-02T03:04:05Z|2020-01-02 03:04:05
2020-01-02T03:04:05.678+01:00|2020-01-02 02:04:05
Thu Jan  2 03:04:05 UTC 2020|2020-01-02 03:04:05
Thu Jan  2 03:04:05 CET 2020|2020-01-02 02:04:05
Thu Jan  2 03:04:05 PM UTC 2020|2020-01-02 15:04:05
Thu Jan 2 03:04:05 2020 +0100|2020-01-02 02:04:05
Thu, 02 Jan 2020 03:04:05 -0130|2020-01-02 04:34:05
1577934245|2020-01-02 03:04:05
@1577934245|2020-01-02 03:04:05
2020-02-29 23:59:59|2020-02-29 23:59:59
2100-03-01|2100-03-01 00:00:00
1 Jan 1970 00:00:01|1970-01-01 00:00:01
END
# What says no day, or says it in a way that one would have to know.
for KBUILD_BUILD_TIMESTAMP in 0 12:00 tomorrow 'once upon a time' 1960-01-01 2020-02-30 \
	'Do 2. Jan 03:04:05 CET 2020' 'Kam 02 Jan 2020 03:04:05 WIB' 'Thu Jan 2 03:04:05 WIB 2020' \
	"it's" '20200102T' 99999999999999999999 99999999999 10000000000 00 \
	'2020-01-02 03:04 +25:99' '2020-01-02 24:00' '2019-02-29'; do
	check "KBUILD_BUILD_TIMESTAMP='$KBUILD_BUILD_TIMESTAMP': a warning, and the default date" '
		warns "KBUILD_BUILD_TIMESTAMP=.$KBUILD_BUILD_TIMESTAMP.: not a date" t &&
		mtime | grep "1980-01-01 00:00:00"'
done
unset KBUILD_BUILD_TIMESTAMP TZ

# --- what goes wrong --------------------------------------------------------------

# bin is a directory of commands to put before or in place of $PATH.
for tool in perl:perl sha1sum:coreutils xz:xz-utils; do
	new_tree "no-${tool%:*}"
	rm -rf bin
	mkdir bin
	find -L $(echo "$PATH" | tr : ' ') -maxdepth 1 -type f ! -name "${tool%:*}" \
		-exec ln -s -t bin {} + 2>/dev/null || :
	check "without ${tool%:*} it names the package" env PATH="$work/bin" sh -c '
		cd "no-$0/obj" && ! srctree=../src sh ../src/scripts/gen_kheaders.sh names 2>said &&
		cat said && grep "$0: not found: install the package $1," said && rm said &&
		[ -z "$(ls kernel)" ]' "${tool%:*}" "${tool#*:}"
done
rm -rf bin
mkdir bin
printf '#!/bin/sh\nkill -9 $$\n' >bin/xz
chmod +x bin/xz
new_tree killed
check 'a killed xz leaves nothing' '(export XZ="$work/bin/xz"
	fails_with "xz failed: see above; it takes" killed)'

# Each of these passes some bytes on and is killed then.
for tool in sed sha1sum mv dd perl; do
	cat >bin/$tool <<-END
	#!/bin/sh
	export PATH="\${PATH#*:}"
	$tool "\$@" | head -c 100
	kill -9 \$\$
	END
	chmod +x bin/$tool
	check "a killed $tool leaves nothing" '(PATH="$work/bin:$PATH"; fails_with . killed)'
	rm bin/$tool
done
cp t/obj/scripts/strip_headers bin/stripper
for status in 'kill -9 $$' 'exit 1'; do
	printf '#!/bin/sh\n"%s" "$@" | head -c 2000\n%s\n' "$work/bin/stripper" "$status" \
		>killed/obj/scripts/strip_headers
	check "strip_headers that does $status leaves nothing" fails_with . killed
done
cp t/obj/scripts/strip_headers killed/obj/scripts
check 'and the next run is right' same_bits killed

long=$(printf '%0101d' 0)
new_tree long
touch "long/src/include/linux/$long.h"
check 'a name too long for tar is an error that names it' \
	fails_with "$long.h: name too long for a tar archive" long
if [ "$(id -u)" = 0 ]; then
	new_tree closed
	chmod 644 closed/src/include/linux
	check 'a directory closed to the user is an error that names it' sh -c '
		cd closed/obj && ! setpriv --reuid=nobody --clear-groups \
		env srctree=../src sh ../src/scripts/gen_kheaders.sh names 2>said; cat said
		grep "include/linux.*: Permission denied" said'
else
	skip 'a directory closed to the user is an error that names it' 'needs root'
fi

new_tree gone
check 'a header that goes away is an error' sh -c '. ./steps; cd gone/obj && manifest &&
	rm ../src/include/linux/b.h && ! pieces 2>said && cat said &&
	grep "include/linux/b.h: No such file" said && [ ! -e $data.tar.xz ] && ! ls $data/.tmp*'

new_tree interrupted
mkfifo at-work
cat >bin/xz <<END
#!/bin/sh
exec 2>/dev/null
echo >"$work/at-work"
exec sleep 20
END
cat >interrupt <<'END'
. ./steps
export XZ="$PWD/bin/xz"
cd interrupted/obj
manifest || exit
# A shell has SIGINT and SIGQUIT ignored in the background, and nohup SIGHUP.
perl -e '$SIG{HUP} = $SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec @ARGV' setsid \
	sh ../src/scripts/gen_kheaders.sh block $data/1.list $data/1.xz &
read -r _ <../../at-work
kill -"$1" "-$!"
wait $!
echo "exit status $?, left: $(ls -A $data | grep -e tmp -e xz)" | tee ../../interrupted.said
grep -x "exit status $2, left: " ../../interrupted.said
END
for signal in 'TERM 143' 'HUP 129' 'INT 130' 'QUIT 131' 'PIPE 141'; do
	# shellcheck disable=SC2086	# two arguments
	check "a run interrupted by SIG${signal% *} leaves nothing" sh interrupt $signal
done

# The disk is full a little later each time, until there is room for all.
if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=64k tmpfs small 2>/dev/null; then
	umount small
	generate t
	full_sooner_and_later()
	{
		short=0
		for kib in $(seq 48 4 800); do
			mount -t tmpfs -o size="${kib}k" tmpfs small
			mkdir -p small/obj/kernel small/obj/scripts
			ln -s "$work/t/src" small/src
			(cd t/obj && tar -cf - --exclude='*kheaders_data*' .) 2>/dev/null |
				tar -xf - -C small/obj 2>/dev/null || { umount small; continue; }
			if (cd small/obj && manifest && pieces) 2>small.said; then
				got=$(sha1sum <small/obj/kernel/kheaders_data.tar.xz)
				umount small
				echo "$short sizes too small, $kib KiB enough: $got"
				[ $short -gt 5 ] && [ "$got" = "$reference" ]
				return
			fi
			short=$((short + 1))
			left=$(cd small/obj/kernel && find . -name '.tmp*' -o -name '*.tar.xz' |
				grep -v .tmp_scan)
			umount small
			[ -s small.said ] && [ ! "$left" ] || {
				echo "$kib KiB: left: $left; said: $(cat small.said)"
				return 1
			}
		done
		return 1
	}
	check 'a full disk is an error that leaves nothing' full_sooner_and_later
else
	skip 'a full disk is an error that leaves nothing' 'needs root'
fi

done_testing
