#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The module comes and goes a hundred times while others read the archive:
# readers get the right bytes or an error, and no memory is lost.

. "$(dirname "$0")/kheaders.sh"

ROUNDS=100
WARM_UP=10
# Two kilobytes in each round; readers have caches filled with half of that.
LOST_KB=200

readers=
was_loaded=	# yes or no once it is known
bad='BUG|WARNING|Oops|KASAN|KFENCE|INFO: |general protection|Call Trace'
bad=$bad'|refcount|possible (recursive|circular)'

at_exit()
{
	# shellcheck disable=SC2086
	[ ! "$readers" ] || kill $readers
	wait
	case $was_loaded in
	yes) modprobe kheaders ;;
	no) [ ! -e "$archive" ] || rmmod kheaders ;;
	esac
}

# Compares with what was there before as long as the test lasts: a piece of
# it, all of it, and so on. cmp exits with 2 where the file goes away.
read_on()
{
	seed=$1
	while :; do
		seed=$(((seed * 75 + 74) % 65537))
		offset=$((seed * 61 % size))
		for bytes in $((seed + 1)) "$size"; do
			cmp -s -n "$bytes" -i "$offset" "$archive" "$tmp/reference" 2>/dev/null
			case $? in
			0) echo >>"$tmp/reads" ;;
			1) echo "$bytes bytes at $offset" >>"$tmp/wrong" ;;
			esac
			offset=0
		done
	done
}

rounds()
{
	round=0
	while [ $round -lt "$1" ]; do
		modprobe kheaders && [ -e "$archive" ] || return 1
		rmmod kheaders && [ ! -e "$archive" ] || return 1
		round=$((round + 1))
	done
}

kb()
{
	awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo
}

# What modules held is freed a little later.
settles()
{
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		now=$(kb "$1")
		[ "$now" -gt $(($2 + LOST_KB)) ] || return 0
		sleep 1
	done
	return 1
}

# A machine at work takes memory for other things. What is lost, however, is
# lost again in the next rounds.
returned()
{
	before=$2
	turn=1
	until settles "$1" "$before"; do
		echo "$1: $before kB before $ROUNDS rounds, $now kB after"
		[ "$turn" -lt 3 ] && rounds "$ROUNDS" || return 1
		before=$now
		turn=$((turn + 1))
	done
}

mark()
{
	echo "<6>kheaders selftest $$: $1" >/dev/kmsg
}

log_is_clean()
{
	dmesg | sed -n "/kheaders selftest $$: begin/,\$p" >"$tmp/log"
	[ -s "$tmp/log" ] && ! grep -E "$bad" "$tmp/log"
}

readers_got_the_right_bytes()
{
	cat "$tmp/wrong"
	[ -s "$tmp/reads" ] && [ ! -s "$tmp/wrong" ]
}

grep -q '^kheaders ' /proc/modules || skip_all "built in"
[ "$(id -u)" -eq 0 ] || skip_all "only root can load and remove the module"

plan 5
cat "$archive" >"$tmp/reference"
size=$(stat -c %s "$tmp/reference")
: >"$tmp/wrong"
mark begin
was_loaded=yes
[ ! "$loaded" ] || was_loaded=no
loaded=
rmmod kheaders

rounds $WARM_UP
vmalloc=$(kb VmallocUsed)
slab=$(kb SUnreclaim)

read_on 1 &
readers=$!
read_on 2 &
readers="$readers $!"
check "$ROUNDS rounds of modprobe and rmmod" rounds $ROUNDS
# shellcheck disable=SC2086
kill $readers
wait
readers=

check "readers got the right bytes" readers_got_the_right_bytes
check "vmalloc memory is back" returned VmallocUsed "$vmalloc"
check "slab memory is back" returned SUnreclaim "$slab"
check "nothing in the kernel's log" log_is_clean
finish
