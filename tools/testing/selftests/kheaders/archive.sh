#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What the archive consists of: one .xz stream, in it a plain tar file.
# shellcheck disable=SC2016	# a shell further in expands it

. "$(dirname "$0")/kheaders.sh"
needs xz

# xz_says COLUMN VALUE: of "xz --list", see xz(1), ROBOT MODE
xz_says()
{
	found=$(xz --list --robot "$archive" |
		awk -F '\t' -v column="$1" '/^file/ { print $column }')
	echo "$found: want $2"
	[ "$found" = "$2" ]
}

# none PATTERN FILE
none()
{
	! grep -E -e "$1" "$2" && [ -s "$2" ]
}

# Column 1 is the mode, 2 the owner, 4 and 5 the time.
one_value()
{
	values=$(awk -v columns="$1" -v type="$2" '
		BEGIN { n = split(columns, column) }
		substr($1, 1, 1) ~ type {
			line = ""
			for (i = 1; i <= n; i++)
				line = line $column[i] " "
			print line
		}' "$tmp/long" | sort -u)
	echo "$values: want ${3:-one value}"
	if [ $# -eq 3 ]; then
		[ "$values" = "$3 " ]
	else
		[ "$values" ] && [ "$(echo "$values" | wc -l)" -eq 1 ]
	fi
}

# A directory is followed by what is in it. What module builds link against comes
# last.
sorted()
{
	sed '/^Module\.symvers$/,$d' "$tmp/names" | tr / '\001' >"$tmp/first"
	sed -n '/^Module\.symvers$/,$p' "$tmp/names" | tr / '\001' >"$tmp/last"
	[ -s "$tmp/first" ] && sort -c -u "$tmp/first" && sort -c -u "$tmp/last" &&
		! sort "$tmp/names" | uniq -d | grep .
}

# Of what module builds run, some can be executed.
modes()
{
	if grep -qx Module.symvers "$tmp/names"; then
		! grep -v -e '^d' -e '^-rw-r--r-- ' \
			-e '^-rwxr-xr-x .* \(scripts\|tools\)/' "$tmp/long"
	else
		one_value 1 - -rw-r--r--
	fi
}

has()
{
	for pattern in '^include/linux/kconfig\.h$' '^include/generated/autoconf\.h$' \
		       '^include/generated/utsrelease\.h$' '^arch/[^/]*/include/asm/' \
		       '^arch/[^/]*/include/generated/' '^include/uapi/linux/bpf\.h$' \
		       '^compile_flags\.txt$'; do
		echo "want $pattern"
		grep -q "$pattern" "$tmp/names" || return 1
	done
}

# unpack COMMAND...: the archive's tar, from its standard input
unpack()
{
	mkdir "$tmp/unpacked" || return 1
	(cd "$tmp/unpacked" && "$@" <"$tmp/tar" && find . -type f | sort | xargs cksum) >"$tmp/sums"
	status=$?
	rm -rf "$tmp/unpacked"
	return $status
}

unpacks_alike()
{
	unpack "$@" && cmp "$tmp/reference" "$tmp/sums"
}

plan 18
check "intact" xz --test "$archive"
check "nothing behind it" xz_says 4 "$(stat -c %s "$archive")"
check "one stream" xz_says 2 1
check "checked by CRC32" xz_says 7 CRC32
check "no padding" xz_says 8 0

xz --decompress --stdout "$archive" >"$tmp/tar"
check "a tar file" sh -c 'tar -tf "$1/tar" >"$1/names" &&
	tar --numeric-owner --full-time -tvf "$1/tar" >"$1/long"' sh "$tmp"
check "directories and regular files only" none '^[^d-]' "$tmp/long"
check "no absolute names" none '^/' "$tmp/names"
check "no . or .. in names" none '(^|/)\.\.?(/|$)' "$tmp/names"
check "owned by 0/0" one_value 2 . 0/0
check "directories of mode 0755" one_value 1 d drwxr-xr-x
check "files of mode 0644" modes
check "one time for all" one_value '4 5' .
check "sorted, each name once" sorted
check "what consumers look for is there" has
check "what changes with every build is not" \
	none '^include/generated/(utsversion|compile)\.h$' "$tmp/names"

unpack tar -xf - && mv "$tmp/sums" "$tmp/reference"
with busybox "busybox unpacks the same" unpacks_alike busybox tar -xf -
with bsdtar "bsdtar unpacks the same" unpacks_alike bsdtar -xf -
exit $failed
