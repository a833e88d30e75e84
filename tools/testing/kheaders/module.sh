#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: module.sh BUILD
# The command on the kernel of the O= directory BUILD, whose archive is a module: that
# it is loaded and removed, whoever is killed; mounts; a read-only /tmp, and no tar, xz
# or modprobe to fall back on. All else is in command.sh. Wants to be root, in a virtual
# machine: it empties the cache, mounts over directories of the system and reads dmesg.
# shellcheck disable=SC2086,SC2094	# names and numbers of its own making
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${1:?the O= directory of the kernel that runs}
. "$here/tap.sh"
unset MAKEFLAGS MAKEOVERRIDES
mkdir -p "$build/command"
make -s -C "$here/../../kheaders" O="$build/command" "$build/command/kheaders" >&2
mkdir -m 755 /run/test /run/test/bin
mkdir -m 1777 /run/test/users
cp "$build/command/kheaders" /run/test/bin
cp "$build/kernel/kheaders_data.tar.xz" /run/test/archive.tar.xz
cd /run/test
said=/run/test/said
export HOME=/root
kheaders=/run/test/bin/kheaders
sysfs=/sys/kernel/kheaders.tar.xz
loaded() { grep -q '^kheaders ' /proc/modules; }
gone() { ! loaded && [ ! -e $sysfs ] && [ ! -e /run/kheaders/loaded ]; }
as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/run/test/users "$@"; }
tool() { env -i HOME="$HOME" PATH=/nonexistent $kheaders "$@"; }	# nothing to fall back on
forget() { rm -rf /var/cache/kheaders /run/test/users/.cache; }
mount -t tmpfs -o ro,noexec tmpfs /tmp	# not needed
rm -rf /var/cache/kheaders

mkdir reference
xz -dc archive.tar.xz | tar -x -C reference
same_tree() { diff -rq reference "$1" | head; diff -rq reference "$1" >/dev/null; }

# --- path
check 'path: without tar, xz and modprobe, the module is removed again' \
	'tool path >path && same_tree "$(cat path)" && gone'
stays() { forget; modprobe kheaders && tool path >path && same_tree "$(cat path)" && loaded; }
check 'path: a module that was loaded before stays' stays
rmmod kheaders || :
reloaded() {
	modprobe kheaders
	inode=$(stat -c %i $sysfs)
	rmmod kheaders
	modprobe kheaders
	[ "$(stat -c %i $sysfs)" != "$inode" ]
	s=$?
	rmmod kheaders
	return $s
}
check 'the file has another inode each time the module is loaded' reloaded

# --- two at once, and killed
two() {
	forget
	for n in 1 2 3 4; do
		tool path --cache /run/test/cache$n >many.$n 2>many.err.$n &
	done
	s=0
	for n in 1 2 3 4; do wait || s=1; done
	cat many.err.*
	[ ! -s many.err.1 ] || return 1
	for n in 1 2 3 4; do same_tree "$(cat many.$n)" || return 1; done
	rm -r cache[1-4]
	[ $s = 0 ] && gone
}
check 'four at once: each gets the headers, and the module goes' two
killed() {
	for n in 1 2 3 4 5 6 7 8 9 10; do
		rm -rf cacheA cacheB
		$kheaders path --cache /run/test/cacheA >/dev/null 2>&1 &
		one=$!
		$kheaders path --cache /run/test/cacheB >out 2>err &
		other=$!
		sleep "0.$n"
		kill -KILL $one 2>/dev/null
		wait $one
		wait $other || { cat err; return 1; }
		same_tree "$(cat out)" || return 1
		# Whatever the killed one has left to do, it does with the lock.
		flock /run/kheaders/lock true
		gone || { echo "left behind in round $n"; return 1; }
	done 2>/dev/null
	rm -rf cacheA cacheB
}
check 'one of two killed: the other gets the headers, and the module goes' killed
held_open() {	# by a program that is not ours
	forget
	modprobe kheaders
	exec 8<$sysfs
	tool path >path
	exec 8<&-
	loaded && rmmod kheaders
}
check 'a module that others use stays' held_open
blacklisted() {
	forget
	echo 'install kheaders /bin/false' >/etc/modprobe.d/kheaders-test.conf
	tool path >out 2>err
	s=$?
	rm /etc/modprobe.d/kheaders-test.conf
	cat err
	[ $s = 1 ] && grep -q modprobe.d err && gone
}
check 'what modprobe.d forbids is not done' blacklisted
not_installed() {
	forget
	mount -t tmpfs tmpfs "/lib/modules/$(uname -r)"
	tool path >out 2>err
	s=$?
	umount "/lib/modules/$(uname -r)"
	cat err
	[ $s = 3 ]
}
check 'no module: exit status 3' not_installed
read_only() {
	forget
	mkdir -p /var/cache
	mount -t tmpfs -o ro tmpfs /var/cache
	tool path >path
	s=$?
	umount /var/cache
	[ $s = 0 ] && same_tree "$(cat path)" && grep -q ^/run/kheaders/cache/ path
	s=$?
	rm -rf /run/kheaders/cache
	return $s
}
check 'a read-only /var/cache: in /run' read_only
# --- the others
info() {
	tool info --json >info.json && cat info.json && python3 -c '
import hashlib, json, platform
info = json.load(open("info.json"))
assert info["release"] == platform.release(), info
assert info["sha256"] == hashlib.sha256(open("archive.tar.xz", "rb").read()).hexdigest()' && gone
}
check 'info: this kernel, this archive' info
flags() {
	tool cflags >flags && echo '#include <linux/sched.h>
char size[sizeof(struct task_struct)];' >program.c && gcc @flags -w -c program.c -o program.o
}
check 'cflags: gcc compiles with them' flags
mkdir mnt
mounts() {
	tool mount mnt && same_tree mnt && ! touch mnt/a &&
		grep ' /run/test/mnt .*nosuid,nodev,noexec' /proc/self/mountinfo && gone
}
check 'mount' mounts
memory() { awk '/^Shmem:/ { print $2 }' /proc/meminfo; }
umounts() {
	before=$(memory)
	tool umount mnt && [ ! "$(ls mnt)" ] && [ $((before - $(memory))) -gt 10000 ]
}
check 'umount: the memory is free again' umounts
private() {
	modprobe kheaders && as_user $kheaders exec --mount -- sh -c '
		diff -rq /run/test/reference "$KDIR" && [ "$(id -u)" = 65534 ] &&
			! touch "$KDIR/a"' >out 2>err
	s=$?
	cat out err
	rmmod kheaders
	return $s
}
check 'exec --mount: as a user' private
check 'nothing is left behind' gone
check 'the kernel has nothing to complain about' '! dmesg | grep -E "BUG|WARNING|Oops|lockdep"'
done_testing
