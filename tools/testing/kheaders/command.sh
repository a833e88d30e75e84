#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# tools/kheaders: each command from archives of both kinds and from a running
# kernel that is made up, the cache whatever happens to it, the module's loan
# whoever is killed, hostile archives, and a fuzzer for 20 seconds ($SECONDS_FUZZ).
#
# The command is built with sanitizers, with its fixed places in a directory of
# the test, and with command/kmod.c for libkmod.
# shellcheck disable=SC2086,SC2094	# names and numbers of its own making
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
. "$here/tap.sh"
needs clang gcc make pkg-config libarchive:libarchive-dev libkmod:libkmod-dev \
	liblzma:liblzma-dev "libclang_rt.fuzzer-$(uname -m).a:libclang-rt-dev" \
	rst2man:python3-docutils python3 bash gzip tar xz:xz-utils
unset KHEADERS_CACHE XDG_CACHE_HOME CC MAKEFLAGS MAKEOVERRIDES O OUTPUT

tmp=$(mktemp -d)
chmod 755 "$tmp"	# ordinary users get in, too
trap 'umount "$tmp/small" "$tmp/casefold" "$tmp/mnt" 2>/dev/null || :; rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cd "$tmp"
umask 022

said=$tmp/said show="$tmp/out $tmp/stderr"
as=
run() {		# ARGUMENT...: leaves out, stderr and $status
	status=0
	$as "$tmp/kheaders" "$@" >"$tmp/out" 2>"$tmp/stderr" </dev/null || status=$?
	! grep -q 'Sanitizer\|runtime error' "$tmp/stderr" || status=99
}
runs() { run "$@" && [ "$status" = 0 ]; }
prints() { [ "$(cat out)" = "$1" ]; }
same_as() { diff -r "$1" "$(cat out)" >>stderr; }	# TREE
as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$tmp/home" "$@"; }
run_as_user() { as=as_user; run "$@"; as=; }
says() {	# STATUS PATTERN: one line of stderr
	[ "$status" = "$1" ] && [ "$(wc -l <stderr)" = 1 ] && grep -q "^kheaders: .*$2" stderr
}
root=
[ "$(id -u)" != 0 ] || root=yes

# --- built
mkdir sys modules home run
[ ! "$root" ] || chown 65534:65534 home
gcc -g -Wall -I"$top/tools/kheaders" -D_GNU_SOURCE -include stdbool.h \
	-DKHEADERS_SYSFS="\"$tmp/sys/kheaders.tar.xz\"" \
	-c "$here/command/kmod.c" -o kmod.o >stderr 2>&1
build() {
	make -s -C "$top/tools/kheaders" O="$tmp/build" "$@" >out 2>stderr && [ ! -s stderr ]
}
under_test() {
	build "$tmp/build/kheaders" LIBS="$tmp/kmod.o $(pkg-config --libs libarchive liblzma)" \
		CFLAGS="-g -O1 -Werror -fsanitize=address,undefined \
		-fno-sanitize-recover=undefined \
		-DKHEADERS_SYSFS='\"$tmp/sys/kheaders.tar.xz\"' \
		-DKHEADERS_RUN='\"$tmp/run/kheaders\"' \
		-DKHEADERS_MODULES='\"$tmp/modules\"' \
		-DKHEADERS_VAR_CACHE='\"$tmp/var/kheaders\"'"
	mv build/kheaders .
	rm -r build
}
mkdir var
check 'built with sanitizers, without warnings' under_test
installed() {
	build install DESTDIR="$tmp/dest" PREFIX=/usr CFLAGS='-O2 -Werror' || return 1
	for file in sbin/kheaders share/man/man8/kheaders.8 \
		    share/bash-completion/completions/kheaders \
		    share/zsh/site-functions/_kheaders; do
		[ -s "dest/usr/$file" ] || { echo "not installed: $file" >>stderr; return 1; }
	done
	# A man page for each command and option.
	for word in $(dest/usr/sbin/kheaders --help | grep -o '^  [a-z]*\|--[a-z-]*'); do
		sed 's/\\//g' dest/usr/share/man/man8/kheaders.8 | grep -q -e "$word" ||
			{ echo "not in the man page: $word" >>stderr; return 1; }
	done
}
check 'make install' installed

# --- archives, ours and stock's
headers() {	# DIR [ANYTHING]: a small tree
	mkdir -p "$1/include/linux" "$1/include/generated/uapi/linux" \
		"$1/arch/x86/include/generated" "$1/arch/x86/include/asm"
	echo '#define KCONFIG' >"$1/include/linux/kconfig.h"
	echo "struct task_struct { int a; }; ${2-}" >"$1/include/linux/sched.h"
	echo '#define UTS_RELEASE "6.12.0-test"' >"$1/include/generated/utsrelease.h"
	echo '#define LINUX_VERSION_CODE 396288' >"$1/include/generated/uapi/linux/version.h"
	echo '#define CONFIG_A 1' >"$1/include/generated/autoconf.h"
	echo '#define ASM' >"$1/arch/x86/include/asm/a.h"
	for i in $(seq 50); do echo "#define N $i" >"$1/include/linux/n$i.h"; done
}
# shellcheck disable=SC2046
ours() {	# TREE
	tar -C "$1" --sort=name --owner=0 --group=0 --mtime=@1600000000 --format=ustar -c \
		$(ls -A "$1") | xz -T2 --block-size=16384 --check=crc32 >"$1.tar.xz"
}
headers ours
echo >ours/include/generated/compile_flags.specs
printf '%s\n' "--target=$(gcc -dumpmachine)" -specs=include/generated/compile_flags.specs \
	-nostdinc -I./arch/x86/include -I./include -include ./include/linux/kconfig.h \
	-D__KERNEL__ '-DNAME="a b"' -std=gnu11 >ours/compile_flags.txt
echo 'echo modpost' >ours/script
chmod 711 ours/script
ours ours
headers stock
ln -s ../linux/n1.h stock/include/generated/link.h
ln -s nowhere.h stock/include/linux/dangling.h
chmod 4700 stock/include/linux
tar -C stock -c . | xz -T1 --check=crc64 >stock.tar.xz
chmod 755 stock/include/linux
headers marked
printf '%s: %s\n' release 6.12.0-marked architecture arm64 profile modules compiler 'gcc "12"' \
	symbols all symbol-versions yes >marked/kheaders_info.txt
ours marked
head -c 4096 /dev/zero >zeros
{ cat zeros ours.tar.xz; printf 'kheaders.tar.xz:%d\n' "$(wc -c <ours.tar.xz)"; } >image
cat zeros stock.tar.xz zeros >stock-image
xz -k image
gzip -k stock-image

for kind in ours stock; do
	extracted() {
		rm -rf x
		runs extract x --from "$1" && [ ! -s stderr ] &&
			diff -r --no-dereference "$kind" x >>stderr
	}
	for image in $kind.tar.xz image image.xz stock-image stock-image.gz; do
		case $kind:$image in
		ours:stock*|stock:image*) continue ;;
		esac
		check "extract: $image, $kind" extracted "$image"
	done
	modes() {	# UMASK
		(umask "$1"; runs path --from "$kind.tar.xz" --cache "$tmp/modes-$1-$kind") &&
			find "$(cat out)" \( -type d ! -perm 755 \) \
				-o \( -type f ! -name script ! -perm 644 \) \
				-o \( -name script ! -perm 755 \) >>stderr && [ ! -s stderr ]
	}
	check "path: modes are fixed with umask 0, $kind" modes 000
	check "path: modes are fixed with umask 077, $kind" modes 077
done
same_time() { [ "$(stat -c %Y "$(cat out)/include/linux/sched.h")" = 1600000000 ]; }
run path --from ours.tar.xz --cache "$tmp/times"
check "times are the archive's" same_time
check 'extract: to a directory that is not empty' '
	run extract ours --from ours.tar.xz; says 1 "not empty"'
check 'extract: to one that is' '
	mkdir empty; runs extract empty --from ours.tar.xz && diff -r ours empty >>stderr'
check 'extract: to nowhere' '
	run extract no/such/x --from ours.tar.xz; says 1 "no/such/x: No such file"'

# --- info
tells() {	# FILE LINE...
	runs info --from "$1" || return 1
	shift
	for line in "$@"; do
		grep -qx -e "$line" out || { echo "no line $line" >>stderr; return 1; }
	done
}
files() { find "$1" ! -type d | wc -l; }
check 'info' tells ours.tar.xz 'release: 6.12.0-test' 'architecture: x86' 'profile: headers' \
	"compressed-bytes: $(wc -c <ours.tar.xz)" "files: $(files ours)" \
	"unpacked-bytes: $(find ours -type f -exec cat {} + | wc -c)" 'flags: compile_flags.txt' \
	"sha256: $(sha256sum <ours.tar.xz | cut -d ' ' -f 1)" 'kind: file'
check 'info: a stock archive' tells stock.tar.xz 'release: 6.12.0-test' "files: $(files stock)" \
	'flags: worked out' "directories: $(find stock -mindepth 1 -type d | wc -l)"
check 'info: of what the archive says itself' tells marked.tar.xz 'release: 6.12.0-marked' \
	'architecture: arm64' 'profile: modules' 'compiler: gcc "12"' 'symbols: all' \
	'symbol-versions: yes'
json() {
	runs info --json --from marked.tar.xz && python3 -c '
import json, sys
info = json.load(open("out"))
assert info["compiler"] == "gcc \"12\"", info
assert info["files"] == int(sys.argv[1]), info' "$(files marked)" 2>>stderr
}
check 'info --json' json
odd_names() {
	name=$(printf 'ü"\\\302\233\377\355\240\200é')
	cp marked.tar.xz "$name"
	run info --json --from "$name"
	rm "$name"
	python3 -c 'import json
name = json.load(open("out", encoding="utf-8"))["source"]
assert name == "ü\"\\\x9b\ufffd\ufffd\ufffd\ufffdé", ascii(name)' &&
		! LC_ALL=C grep "$(printf '\302\233')" out
}
check '... of a name that is no text' odd_names

# --- cflags
flags() {	# FILE WANTED...
	runs cflags --from "$1" --cache "$tmp/c" || return 1
	shift
	sed "s:$tmp/c/[0-9a-f]*/headers:DIR:" out | tr '\n' ' ' >flags
	grep -qF -e "$* " flags
}
check 'cflags' flags ours.tar.xz -nostdinc -IDIR/arch/x86/include -IDIR/include \
	-include DIR/include/linux/kconfig.h -D__KERNEL__ '-DNAME=\"a\ b\"' -std=gnu11
check 'cflags: worked out for a stock archive' flags stock.tar.xz -IDIR/include/generated/uapi \
	-include DIR/include/linux/kconfig.h -D__KERNEL__ -std=gnu11
compiles() {
	run cflags "$@"
	cp out flags
	echo '#include <linux/sched.h>' >program.c
	echo 'char size[sizeof(struct task_struct)];' >>program.c
	gcc @flags -c program.c -o program.o 2>stderr && [ ! -s stderr ]
}
check 'cflags: gcc takes them from a file' compiles --from stock.tar.xz --cache "$tmp/c"
cp -r ours 'a b'
check 'cflags --dir, with a blank' compiles --dir 'a b'
in_two_directories() {	# INCLUDED
	mkdir -p package/build/include package/build/arch/x86/include
	cp -r stock package/source
	mv package/source/include/generated package/build/include
	mv package/source/arch/x86/include/generated package/build/arch/x86/include || :
	echo "include $1/Makefile" >package/build/Makefile
	compiles --dir package/build && grep -q /source/include/linux/kconfig.h flags
	s=$?
	rm -r package
	return $s
}
check 'cflags: of a package of two directories' in_two_directories "$PWD/package/source"
check 'cflags: ... by a relative path' in_two_directories ../source
broken_flags() {
	cp -r stock not-c
	echo '#error' >not-c/include/linux/sched.h
	run cflags --dir not-c
	says 0 'does not compile'
}
check 'cflags: says so if they do not work' broken_flags
other_machine() {
	cp -r stock mips
	printf '%s\n' --target=mips64-linux-gnu -EL -mabi=64 -m64 -mlittle-endian -fms-extensions \
		-fshort-wchar -std=gnu11 -isysteminclude/linux -Iinclude >mips/compile_flags.txt
	run cflags --dir mips
	s=$?
	rm -r mips
	[ $s = 0 ] && grep -qx -e -EL out && grep -qx -e "-isystem$tmp/mips/include/linux" out
}
check 'cflags: of a machine with two byte orders' other_machine
check 'cflags: cannot be read' 'mkdir -p no-flags/compile_flags.txt
	run cflags --dir no-flags; says 1 "compile_flags.txt: Is a dir"'
no_children() {
	s=0
	sh -c 'trap "" CHLD; exec "$0" cflags --dir not-c' "$tmp/kheaders" >out 2>stderr || s=$?
	[ "$s" = 0 ] && grep -q 'does not compile' stderr
}
check 'cflags: ... where SIGCHLD is ignored' no_children
for flag in -fplugin=./a.so -I/etc -Iinclude/../.. '-Wl,-a' @file -B. -o --sysroot=/ '-include
/etc/passwd' '-Xclang
-load' -fpass-plugin=a -specs=a -wrapper; do
	cp -r ours evil
	printf '%s\n' "$flag" >>evil/compile_flags.txt
	no_flag() { run cflags --dir evil; [ ! -s out ] && says 4 'not a flag that headers need'; }
	check "cflags: refuses $(printf %s "$flag" | tr '\n' ' ')" no_flag
	rm -r evil
done

. "$here/command/cache.sh"
. "$here/command/running.sh"

# --- hostile
mkdir hostile outside
python3 "$here/command/hostile.py" hostile
refused() {	# FILE
	rm -rf x
	run --max-size 64M --max-files 2000 --from "$1" extract x
	case $status in
	4) ;;
	3)	case $1 in */empty*|*/text*|*/flipped-0000*) ;; *) return 1 ;; esac ;;
	*) return 1 ;;
	esac
	[ "$(wc -l <stderr)" = 1 ] && nothing_stays && [ ! -e /tmp/kheaders-hostile ] &&
		[ ! -e hostile/hostile ] && [ ! "$(ls outside)" ]
}
for file in hostile/*.tar.xz; do
	check "refused: $(basename "$file" .tar.xz)" refused "$file"
done
no_escape() {
	for file in hostile/escape*.tar.xz; do
		run info --from "$file"
		says 4 '?' && ! LC_ALL=C grep -q "$(printf '\033\|\302\233')" stderr || return 1
	done
}
check 'refused: ... without a word to the terminal' no_escape
nothing_cached() {
	for file in hostile/twice.tar.xz hostile/link-out.tar.xz hostile/xz-cut.tar.xz; do
		run --from "$file" --cache "$tmp/hostile-cache" path
		[ "$status" = 4 ] && [ "$(ls hostile-cache)" = lock ] || return 1
	done
}
check 'path: nothing of it stays' nothing_cached
check 'extract: a directory that was empty is so again' '
	run extract outside --from hostile/twice.tar.xz
	[ "$status" = 4 ] && [ ! "$(ls -A outside)" ]'
by_thread() {
	for threads in 1 2 8; do
		run --threads "$threads" --from hostile/xz-cut.tar.xz info
		[ "$status" = 4 ] || return 1
	done
}
check 'with one, two and eight threads' by_thread
if [ "$root" ] && truncate -s 16M casefold.img &&
   mke2fs -q -t ext4 -O casefold casefold.img 2>/dev/null && mkdir casefold &&
   mount -o loop casefold.img casefold 2>/dev/null && mkdir casefold/c && chattr +F casefold/c; then
	collide() {	# FILE: of the same name as another one, but for case
		rm -rf case
		mkdir -p case/include/linux "case/${1%/*}"
		echo 1 >case/include/linux/kconfig.h
		echo 2 >"case/$1"
		ours case
		run extract casefold/c/x --from case.tar.xz
		says 4 'upper and lower case' && [ ! "$(ls -A casefold/c)" ]
	}
	check 'refused: names that are the same on a file system without case' \
		collide include/linux/Kconfig.h
	check '... and directories' collide Include/a.h
	umount casefold
else
	skip 'refused: names that are the same on a file system without case' \
		'none can be mounted here'
fi

# --- usage
for arguments in '' 'nothing' 'path x' 'extract' 'extract a b' 'exec' 'mount' 'umount' \
		 '--bad path' 'path --json' 'info --mount' 'path --exec' 'exec --exec true' \
		 'path --dir x' '--max-size 0 path' '--max-size 1T path' '--max-size -1 path' \
		 '--max-files x path' '--threads 9999 path'; do
	# shellcheck disable=SC2086
	check "usage: kheaders $arguments" '
		run $arguments; [ "$status" = 2 ] && [ ! -s out ] && [ -s stderr ]'
done
helps() { runs --help && grep -q ^usage: out && runs path --version; }
check '--help and --version' helps
full() {	# ARGUMENT...
	s=0
	"$tmp/kheaders" "$@" >/dev/full 2>stderr || s=$?
	[ "$s" = 1 ] && grep -q 'standard output: No space left' stderr
}
check 'a full disk behind stdout: path' full path --from ours.tar.xz --cache "$tmp/c"
check 'a full disk behind stdout: info' full info --from ours.tar.xz
check 'a full disk behind stdout: --help' full --help
closed() {
	s=0
	"$tmp/kheaders" path --from ours.tar.xz --cache "$tmp/c" >&- 2>stderr || s=$?
	[ "$s" = 1 ] && grep -q 'standard output: Bad file descriptor' stderr
}
check 'stdout closed' closed
for file in /nonexistent "$tmp" /dev/null; do
	check "--from $file" '
		run info --from "$file"; says 1 "$file: \(No such file\|not a regular\|Is a dir\)"'
done
check '--from: an archive that is too large' 'cp ours.tar.xz sparse
	truncate -s 300M sparse; run --from sparse info; says 4 "larger than any archive"'
no_memory() {	# says so, whatever it was needed for
	for limit in $(seq 40000 8000 160000); do
		for file in ours.tar.xz stock.tar.xz image stock-image stock-image.gz; do
			s=0
			prlimit --as="${limit}000" dest/usr/sbin/kheaders --from "$file" info \
				>out 2>err || s=$?
			case $s in
			1) cat err >>stderr; grep -q 'not enough memory' err || return 1 ;;
			0|127) ;;
			*) cat err >>stderr; return 1 ;;
			esac
		done
	done
	grep -q 'not enough memory' stderr
}
: >stderr
check '--from: not enough memory' no_memory
echo 'int syncfs(int fd) { (void)fd; return usleep(5000000); }' |
	gcc -x c -include unistd.h -shared -fPIC - -o slow-disk.so
no_wait() {	# of whoever reads what a run might write, for the disk
	rm -rf slow
	started=$(date +%s)
	LD_PRELOAD="$tmp/slow-disk.so" dest/usr/sbin/kheaders --from ours.tar.xz \
		--cache "$tmp/slow" path 3>&1 >out 2>stderr | cat
	[ $(($(date +%s) - started)) -lt 4 ]
}
check 'path: nobody waits until all is on disk' no_wait
few_descriptors() {
	for limit in $(seq 4 16); do
		rm -rf x few
		set -- prlimit --nofile="$limit:$limit" dest/usr/sbin/kheaders --from ours.tar.xz
		"$@" extract x >>stderr 2>&1 || nothing_stays || return 1
		"$@" --cache "$tmp/few" path >>stderr 2>&1 || [ ! -e few/stage ] || return 1
	done
}
check 'nothing stays with too few descriptors' few_descriptors
no_lzop() {
	{ printf '\211LZO\0\r\n\032\n'; head -c 1000 /dev/zero; } >lzop
	status=0
	PATH=/nonexistent "$tmp/kheaders" --from lzop info >out 2>stderr || status=$?
	says 4 'install lzop'
}
check '--from: no lzop' no_lzop
completes() {
	bash -c '
		. "$1/tools/kheaders/kheaders.bash"
		compopt() { :; }
		COMP_WORDS=(kheaders --from x in) COMP_CWORD=3; _kheaders
		echo "${COMPREPLY[@]}"
		COMP_WORDS=(kheaders exec --m) COMP_CWORD=2; _kheaders
		echo "${COMPREPLY[@]}"
		COMP_WORDS=(kheaders --from = x um) COMP_CWORD=4; _kheaders
		echo "${COMPREPLY[@]}"
		COMP_WORDS=(kheaders --from = stock.t) COMP_CWORD=3; _kheaders
		echo "${COMPREPLY[@]}"
		_command_offset() { echo "offset $1"; }
		COMP_WORDS=(kheaders exec -- ls "") COMP_CWORD=4; _kheaders' bash "$top" \
		>out 2>stderr
	[ "$(tr '\n' ' ' <out)" = \
		'info --max-size --max-files --mount umount stock.tar.xz offset 3 ' ]
}
check 'completion in bash' completes

# --- fuzzed
fuzzed() {
	build "$tmp/build/fuzz" || return 1
	mkdir corpus
	for file in hostile/*.tar.xz ours.tar.xz stock.tar.xz; do
		[ "$(wc -c <"$file")" -lt 20000 ] || continue
		name=$(basename "$file" .tar.xz)
		{ printf x; cat "$file"; } >"corpus/x-$name"
		case $name in
		flipped*) ;;
		*)	{ printf t; xz -dcq "$file" 2>/dev/null || :; } |
				head -c 20000 >"corpus/t-$name" ;;
		esac
	done
	for file in image image.xz stock-image stock-image.gz; do
		{ printf i; cat "$file"; } >"corpus/i-$file"
	done
	mkdir fuzzing
	(cd fuzzing && exec ../build/fuzz -max_total_time="${SECONDS_FUZZ:-20}" -timeout=20 \
		-rss_limit_mb=3000 -close_fd_mask=2 -print_final_stats=1 ../corpus) >out 2>&1
}
check "nothing found by a fuzzer in ${SECONDS_FUZZ:-20} seconds" fuzzed
echo "# $(grep number_of_executed_units out || :)"

done_testing
