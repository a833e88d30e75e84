#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What the archive looks like as a file; read_test.c tries to write to it.
# shellcheck disable=SC2002	# cat is under test

. "$(dirname "$0")/kheaders.sh"

size_is_exact()
{
	size=$(stat -c %s "$archive")
	bytes=$(wc -c <"$archive")
	read_bytes=$(cat "$archive" | wc -c)
	echo "stat: $size, wc: $bytes, cat: $read_bytes"
	[ "$size" -gt 0 ] && [ "$size" -eq "$bytes" ] && [ "$size" -eq "$read_bytes" ]
}

is()
{
	echo "$1: want $2"
	[ "$1" = "$2" ]
}

truncation_without_effect()
{
	size=$(stat -c %s "$archive")
	truncate -s 0 "$archive"
	truncate -s +1 "$archive"
	is "$(stat -c %s "$archive")" "$size" && is "$(wc -c <"$archive")" "$size"
}

cp_equals_cat()
{
	cp "$archive" "$tmp/cp" && cat "$archive" >"$tmp/cat" && cmp "$tmp/cp" "$tmp/cat"
}

plan 6
check "a regular file" is "$(stat -c %F "$archive")" "regular file"
check "mode 0444" is "$(stat -c %a "$archive")" 444
check "owned by root" is "$(stat -c %u:%g "$archive")" 0:0
check "its size is what can be read" size_is_exact
check "truncating has no effect" truncation_without_effect
check "cp gives what cat gives" cp_equals_cat
exit $failed
