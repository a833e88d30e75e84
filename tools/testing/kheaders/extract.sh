#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# scripts/extract-kheaders: images of every kind give the archive back bit for
# bit, and what does not hold one, or not all of it, an error that says why.
# usage: extract.sh [BUILD]
#
# The images are made here, with the very assembler code of kernel/kheaders_data.c
# and an archive of noise, or are those of BUILD, the O= directory of a finished
# build. tools/kheaders, which shares no code with the script, has to agree on each.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
extract=$top/scripts/extract-kheaders
. "$here/tap.sh"
needs gcc objcopy:binutils perl pkg-config libarchive:libarchive-dev liblzma:liblzma-dev \
	bzip2 gzip lz4 lzop zstd xz:xz-utils script:bsdutils busybox:busybox-static

[ $# -eq 0 ] || build=$(cd "$1" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cd "$tmp"
mkdir tmp
export TMPDIR="$tmp/tmp"

said=$tmp/said show=$tmp/stderr
path=$PATH as=	# for the command alone
run() {		# ARGUMENT...: leaves out, stderr and $status
	status=0
	# shellcheck disable=SC2086	# words
	PATH=$path $as "$extract" "$@" >out 2>stderr || status=$?
	[ ! "$(ls tmp)" ] || { echo "left behind: $(ls tmp)" >>stderr; status=99; }
}
finds() {	# IMAGE: leaves out and $status, of the command
	status=0
	ASAN_OPTIONS=detect_leaks=1 ./find_archive "$1" >out 2>>stderr || status=$?
}
finds_nothing() {	# IMAGE: or what unpacking it finds to be damaged
	finds "$1"
	case $status in
	3|4) [ ! -s out ] ;;
	0) ! xz -t out 2>>stderr ;;
	*) return 1 ;;
	esac
}
given() {	# IMAGE ARCHIVE
	run "$1"
	echo "status $status"
	[ "$status" = 0 ] && [ ! -s stderr ] && cmp out "$2" &&
		finds "$1" && [ "$status" = 0 ] && cmp out "$2"
}
gives() { check "$1" given "$2" "${3:-archive}"; }	# WHAT IMAGE [ARCHIVE]
refused() {	# IMAGE STATUS PATTERN
	run "$1"
	echo "status $status, not $2"
	[ "$status" = "$2" ] && [ ! -s out ] && [ "$(wc -l <stderr)" = 1 ] &&
		grep "^extract-kheaders: .*$3" stderr &&
		{ [ "$2" != 1 ] && [ "$2" != 4 ] || finds_nothing "$1"; }
}
refuses() { check "$1" refused "$2" "$3" "$4"; }	# WHAT IMAGE STATUS PATTERN
cut_anywhere() {	# IMAGE...: the whole archive still, or none
	for image; do
		for length in 600 100000 $(($(size archive) + 45000)) \
			      $(($(size "$image") - 5000)) $(($(size "$image") - 1)); do
			head -c "$length" "$image" >'cut'
			for command in run finds; do
				$command 'cut'
				echo "$command, $length bytes of $image: status $status"
				case $status in
				0) cmp out archive || return ;;
				1|3|4) [ ! -s out ] || return ;;
				*) return 1 ;;
				esac
			done
		done
	done
}

noise() {	# BYTES SEED
	perl -e 'srand $ARGV[1]; print pack "C", int rand 256 for 1 .. $ARGV[0]' "$@"
}
zeros() { head -c "$1" /dev/zero; }
size() { wc -c <"$1"; }
halve() { head -c $(($(size "$1") / 2)) "$1" >half; }
put() {		# FILE OFFSET TEMPLATE NUMBER: as in perl's pack
	perl -e 'open F, "+<", shift; seek F, shift, 0; print F pack shift, shift' "$@"
}

image() {	# with the section at 40960
	noise 40000 2; zeros 960; cat section; noise 50000 3
}

# shellcheck disable=SC2046
gcc -g -O1 -fsanitize=address,undefined -D_GNU_SOURCE -I"$top/tools/kheaders" \
	"$here/find_archive.c" "$top/tools/kheaders/image.c" \
	"$top/tools/kheaders/complain.c" -o find_archive $(pkg-config --libs libarchive liblzma)

# --- real ones
if [ $# -gt 0 ]; then
	config=$(grep -E '^CONFIG_IKHEADERS=' "$build/.config")
	for file in vmlinux linux kernel/kheaders.ko arch/x86/boot/bzImage \
		    arch/arm64/boot/Image arch/arm64/boot/Image.gz; do
		[ -f "$build/$file" ] || continue
		case $file:$config in
		kernel/kheaders.ko:*=y) continue ;;	# from an earlier build
		kernel/kheaders.ko:*|*=y)
			gives "$file of $1" "$build/$file" "$build/kernel/kheaders_data.tar.xz" ;;
		*)	refuses "$file of $1" "$build/$file" 1 CONFIG_IKHEADERS ;;
		esac
	done
	check "$1 has images" [ "$tap_count" -gt 0 ]
	done_testing
fi

noise 300000 1 | xz --check=crc32 >archive
bytes=$(size archive)
mkdir kernel
cp archive kernel/kheaders_data.tar.xz
cat >kheaders.c <<END
#define KHEADERS_SIZE $bytes
#define KHEADERS_SHA1 $(sha1sum <archive | cut -d ' ' -f 1)
#define __stringify_1(x) #x
#define __stringify(x) __stringify_1(x)
$(sed -n '/^asm(/,/);$/p' "$top/kernel/kheaders_data.c")
END
gcc -c kheaders.c -o kheaders.o
objcopy -O binary -j .rodata kheaders.o section
cp kheaders.o kheaders.ko
image >Image
{ noise 40000 2; noise 50000 3; } >Image-without
echo 'int main(void) { return 0; }' >main.c
gcc main.c kheaders.o -o vmlinux
gcc main.c -o vmlinux-without
marker=$((40960 + bytes))

# --- as they are
gives 'vmlinux, and the linux of User Mode Linux' vmlinux
gives kheaders.ko kheaders.ko
gives Image Image

# --- compressed
# An x86 image with the payload on stdin; its size behind it, but for gzip.
bzimage() {
	{ zeros 4096; cat; [ "$suffix" = gz ] || printf 1234; } >payload
	put payload $((0x1f1)) C 3
	put payload $((0x202)) A4 HdrS
	put payload $((0x206)) v $((0x20f))
	put payload $((0x248)) V 2048
	put payload $((0x24c)) V $(($(size payload) - 4096))
	cat payload
	noise 4000 4
}
mkdir perl-only
ln -s "$(command -v perl)" "$(command -v env)" perl-only
while read -r suffix package tool options; do
	# shellcheck disable=SC2086
	compress() { "$tool" $options -c; }
	for kind in Image kheaders.ko; do
		compress <"$kind" >"$kind.$suffix"
		gives "$kind.$suffix" "$kind.$suffix"
	done
	halve "Image.$suffix"
	refuses "half of Image.$suffix" half 4 'cut short'
	compress <Image-without >without
	refuses "$suffix of an image without an archive" without 1 CONFIG_IKHEADERS
	path=$PWD/perl-only
	refuses "$suffix without $tool" "Image.$suffix" 5 \
		"$tool is not there to unpack it: install the package $package"
	path=$PATH

	bzimage <"Image.$suffix" >bzImage
	gives "bzImage of $suffix" bzImage
	bzimage <without >bzImage-without
	refuses "bzImage of $suffix without an archive" bzImage-without 1 CONFIG_IKHEADERS
	halve bzImage
	refuses "half of a bzImage of $suffix" half 4 'cut short'
	head -c 3000 bzImage >'cut'
	refuses "a bzImage of $suffix cut before the kernel in it" 'cut' 4 'cut short'

	# EFI zboot counts without what is behind.
	{ zeros 4096; cat "Image.$suffix"; printf 1234; noise 4000 4; } >zboot
	put zboot 0 A2 MZ
	put zboot 4 A4 zimg
	put zboot 8 V 4096
	put zboot 12 V "$(size "Image.$suffix")"
	gives "EFI zboot of $suffix" zboot

	# What Android's loaders want behind an Image.gz: a device tree.
	{ cat "Image.$suffix"; noise 3000 4; } >with-dtb
	gives "Image.$suffix with bytes behind" with-dtb

	# An image that does not tell where the payload is, such as arm's.
	{ noise 5000 4; cat "Image.$suffix"; noise 5000 5; } >zImage
	put zImage $((0x24)) V $((0x016f2818))
	put zImage $((0x28)) V 0
	put zImage $((0x2c)) V "$(size zImage)"
	gives "zImage of $suffix" zImage
	gzip -c zImage >nested
	gives "a compressed zImage of $suffix" nested
	halve zImage
	refuses "half of a zImage of $suffix" half 1 'cut short'
	check "$suffix cut anywhere" cut_anywhere "Image.$suffix" zImage bzImage zboot
done <<-END
	gz gzip gzip -9 -n
	xz xz-utils xz --check=crc32 --x86 --lzma2=dict=1MiB
	zst zstd zstd -q -19
	lz4 lz4 lz4 -q -l -9
	lzo lzop lzop -9
	bz2 bzip2 bzip2 -9
	lzma xz-utils lzma -9
END
gzip -c bzImage >nested
gives 'a compressed bzImage' nested

# --- none, or not all of it
refuses 'a vmlinux without an archive' vmlinux-without 1 CONFIG_IKHEADERS
refuses 'an Image without an archive' Image-without 1 CONFIG_IKHEADERS
{ cat Image-without; printf 'Linux version 6.1'; printf '\211LZO\0\r\n\032\n'; } >text
path=$PWD/perl-only
refuses 'an Image without an archive that itself knows lzo, without lzop' text 1 CONFIG_IKHEADERS
path=$PATH
# The decompressor of s390 says which kernel it belongs to.
{ printf 'Linux version %%s'; noise 5000 4; gzip -c Image; } >text
gives 'an image that names the version of the kernel in it' text
{ gzip -c Image-without; noise 3000 4; } >with-dtb
refuses 'an Image.gz without an archive, with bytes behind' with-dtb 1 CONFIG_IKHEADERS
: >empty
refuses 'an empty file' empty 1 CONFIG_IKHEADERS
head -c $((marker + 20)) Image >'cut'
refuses 'an Image cut within the marker' cut 1 CONFIG_IKHEADERS
for image in Image vmlinux kheaders.ko; do
	halve $image
	refuses "half of $image" half 1 'cut short'
done
cp Image.xz damaged
put damaged $(($(size Image.xz) / 2)) A8 damaged.
refuses 'a damaged Image.xz' damaged 4 damaged

# The archive has checksums of its own.
cp Image.gz damaged
put damaged $(($(size Image.gz) - 8)) V 1
gives 'an Image.gz whose checksum alone is wrong' damaged
mkdir no-xz
ln -s "$(command -v perl)" "$(command -v env)" "$(command -v gzip)" no-xz
path=$PWD/no-xz
refuses '... where xz is not there to tell' damaged 5 \
	'xz is not there to unpack it: install the package xz-utils'
path=$PATH
gzip -1 -c Image >damaged
put damaged $(($(size damaged) / 2)) A8 damaged.
refuses 'an Image.gz with a damaged archive' damaged 4 damaged

# --- markers by chance, each before the true one
chance() {	# WHAT OFFSET TEMPLATE NUMBER: this changed in a copy
	cp Image false
	put false "$2" "$3" "$4"
	refuses "$1" false 1 CONFIG_IKHEADERS
	cat false Image >both
	gives "$1, and a true one" both
}
chance 'a size of 0' $((marker + 16)) A6 000000
chance 'a size too small by one' $((marker + 16)) A6 $((bytes - 1))
chance 'a size too large by one' $((marker + 16)) A6 $((bytes + 1))
chance 'a size that reaches before the start of the file' $((marker + 16)) A6 $((marker + 1))
chance 'a size that is no number' $((marker + 16)) A6 31337x
chance 'a size without an end' $((marker + 22)) A1 0
chance 'no xz header' 40960 C 1
chance 'no xz footer' $((marker - 1)) C 1
# Right but for the size: no xz file is as small as that.
marked() {	# SIZE
	perl -e 'my $archive = "\xfd7zXZ\0" . "\0" x ($ARGV[0] - 8) . "YZ";
		print $archive; print STDERR "\0" x 4096, $archive,
			"kheaders.tar.xz:$ARGV[0]\n", "\0" x 5000' "$1" \
		>marked.archive 2>marked
}
marked 32
gives 'a marker that is right' marked marked.archive
marked 31
refuses 'an archive of 31 bytes' marked 1 CONFIG_IKHEADERS
{ printf 'kheaders.tar.xz:kheaders.tar.xz:'; cat Image; } >text
gives "the marker's letters as text" text

# --- the rest of the command line
refuses 'no such file' nowhere 3 'No such file'
mkfifo fifo
refuses 'a fifo' fifo 3 'not a regular file'
refuses 'a directory' . 3 'not a regular file'
cp Image unreadable
chmod 0 unreadable
if [ "$(id -u)" = 0 ]; then
	# A checkout may lie where only root gets at it.
	cp "$extract" .
	chmod 755 .
	extract=./extract-kheaders as='setpriv --reuid=65534 --regid=65534 --clear-groups'
fi
refuses 'a file without permission' unreadable 3 'Permission denied'
extract=$top/scripts/extract-kheaders as=
check '--help' 'run --help; [ "$status" = 0 ] && grep "^usage:" out && [ ! -s stderr ]'
check 'no argument' 'run; [ "$status" = 2 ] && grep "^usage:" stderr && [ ! -s out ]'
check 'two images' 'run Image Image; [ "$status" = 2 ] && [ ! -s out ]'
cp Image ./-Image
check 'a name that begins with a dash' 'run -- -Image; [ "$status" = 0 ] && cmp out archive'
says() {	# STATUS PATTERN COMMAND...
	status=0 wanted=$1 pattern=$2
	shift 2
	"$@" 2>stderr || status=$?
	[ "$status" = "$wanted" ] && grep "$pattern" stderr
}
to_full_disk() { "$extract" Image >/dev/full; }
check 'a full disk' says 2 'No space left' to_full_disk
with_little_memory() { prlimit --as=100000000 "$extract" "$1" >out; }
zeros 100000000 >large
gzip -1 -c large >large.gz
check 'an image larger than memory' says 3 '[Mm]emory' with_little_memory large
check 'one that unpacks to more' says 3 '[Mm]emory' with_little_memory large.gz
truncate -s 3G large
refuses 'an image larger than any' large 3 'larger than a kernel'
on_a_terminal() { script -qec "$extract Image" /dev/null >&2 </dev/null; }
check 'a terminal' says 2 'not for a terminal' on_a_terminal
mkdir busybox
for applet in $(busybox --list); do
	ln -s "$(command -v busybox)" "busybox/$applet"
done
ln -s "$(command -v perl)" busybox
path=$PWD/busybox
for suffix in gz bz2 lzo lzma; do
	gives "Image.$suffix with busybox" "Image.$suffix"
done
xz --check=crc32 -c Image >Image-unfiltered.xz
gives 'Image.xz with busybox' Image-unfiltered.xz
check 'Image.xz with a filter, with busybox' 'run Image.xz
	[ "$status" = 4 ] && [ ! -s out ] && grep "this xz does not know" stderr'
put Image-unfiltered.xz $(($(size Image-unfiltered.xz) / 2)) A8 damaged.
refuses 'a damaged Image.xz, with busybox' Image-unfiltered.xz 4 damaged
path=$PATH

done_testing
