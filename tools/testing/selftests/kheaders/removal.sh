#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The module comes and goes a hundred times while others use the archive: they
# get the right bytes or an error, and no memory is lost.

. "$(dirname "$0")/kheaders.sh"

ROUNDS=${KHEADERS_ROUNDS:-100}
WARM_UP=10
LOST_KB=200	# two kilobytes in each round
WAYS="in_order at_random held_open by_vmsplice by_splice by_sendfile by_io_uring mmap_is_refused"

bad='BUG|WARNING|Oops|KASAN|KFENCE|INFO: |general protection|Call Trace'
bad=$bad'|refcount|possible (recursive|circular)'

no_such_device()
{
	! cat <&3 2>"$tmp/error" && grep "No such device" "$tmp/error"
}

# The old descriptor stays as it is, a new one works.
read_after_removal()
{
	exec 3<"$archive"
	head -c 100 <&3 | cmp -n 100 - "$tmp/reference" || return 1
	rmmod kheaders || return 1
	no_such_device && [ ! -e "$archive" ] || return 1
	modprobe kheaders || return 1
	no_such_device && exec 3<&- && cmp "$archive" "$tmp/reference"
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

# Each user of the archive leaves what it says, and its exit status.
rounds_with_users()
{
	for way in $WAYS; do
		nice -n 10 "$bin/use_archive" "$way" "$tmp/reference" >"$tmp/$way" 2>&1 &
		echo $! >"$tmp/$way.pid"
		programs="$programs $!"
	done
	rounds "$1"
	result=$?
	# shellcheck disable=SC2086	# some
	kill $programs
	for way in $WAYS; do
		wait "$(cat "$tmp/$way.pid")"
		echo $? >"$tmp/$way.status"
	done
	programs=
	return $result
}

was_right()
{
	cat "$tmp/$1"
	return "$(cat "$tmp/$1.status")"
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

# Were an archive left behind each time, or a quarter of one, this would show.
enough_is_there()
{
	echo "MemAvailable: $available kB before $ROUNDS rounds, $(kb MemAvailable) kB after"
	[ "$(kb MemAvailable)" -gt $((available - size * ROUNDS / 4096)) ]
}

log_is_clean()
{
	dmesg | sed -n "/kheaders selftest $$: begin/,\$p" >"$tmp/log"
	[ -s "$tmp/log" ] && ! grep -E "$bad" "$tmp/log"
}

[ -e /sys/module/kheaders/refcnt ] || skip_all "built in, or modules cannot be removed"
[ "$(id -u)" -eq 0 ] || skip_all "only root can load and remove the module"

plan 14
cat "$archive" >"$tmp/reference"
chmod 755 "$tmp"	# users are ordinary ones
size=$(stat -c %s "$tmp/reference")
echo "<6>kheaders selftest $$: begin" >/dev/kmsg
check "open when it is removed" read_after_removal
rmmod kheaders

rounds_with_users $WARM_UP
vmalloc=$(kb VmallocUsed)
slab=$(kb SUnreclaim)
available=$(kb MemAvailable)
check "$ROUNDS rounds of modprobe and rmmod" rounds_with_users "$ROUNDS"
for way in $WAYS; do
	if [ "$(cat "$tmp/$way.status")" -eq 4 ]; then
		skip "used meanwhile: $way" "this kernel has no such thing"
	else
		check "used meanwhile: $way" was_right "$way"
	fi
done
check "vmalloc memory is back" returned VmallocUsed "$vmalloc"
check "slab memory is back" returned SUnreclaim "$slab"
check "all other memory is back" enough_is_there
check "nothing in the kernel's log" log_is_clean
exit $failed
