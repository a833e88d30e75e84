#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: clients.sh BUILD TREE [CLIENT]...
# bcc, bpftrace and SystemTap, as Debian ships them, on the kernel of the O= directory
# BUILD, without any kernel headers but the archive: tools of bcc and bpftrace have to
# report an event that the test makes happen. One that cannot is run against BUILD and
# the kernel's own source TREE, too, and has to fail there with the same errors. bcc
# 0.26 is of the time of Linux 6.1: there it has to work, and bpftrace, too. What works
# by itself has to work under tools/kheaders, where nothing else is. Wants to be root,
# in a virtual machine.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$1
tree=$2
shift 2
only=$*
export TMPDIR=/run/clients PYTHONUNBUFFERED=1
mkdir -m 700 $TMPDIR
mount -o remount,size=90% /run
cd $TMPDIR
unset MAKEFLAGS MAKEOVERRIDES
mkdir -p "$build/command"
make -s -C "$here/../../kheaders" O="$build/command" "$build/command/kheaders" >&2
cp "$build/command/kheaders" .
touch /run/witness-of-open
set +e

said=$TMPDIR/out
. "$here/tap.sh"

# bcc finds the archive by itself; the others are told where it is unpacked.
use_archive() {
	unset BCC_KERNEL_SOURCE
	export HEADERS=$TMPDIR/headers BPFTRACE_KERNEL_SOURCE=$TMPDIR/headers
	mount -t tmpfs tmpfs "$build"
	mount -t tmpfs tmpfs "$tree"
}
use_tree() {
	export HEADERS=$TMPDIR/tree BPFTRACE_KERNEL_SOURCE=$TMPDIR/tree
	export BCC_KERNEL_SOURCE=$TMPDIR/tree
	umount "$tree" "$build"
	mkdir -p tree
	mountpoint -q tree || mount -t overlay -o "lowerdir=$build:$tree" overlay tree
}

# The client runs until it reports the event, which is repeated meanwhile, and
# not longer than it may take to compile here.
reports() {	# PATTERN EVENT COMMAND...
	pattern=$1
	event=$2
	shift 2
	"$@" >report 2>&1 </dev/null &
	client=$!
	reported=1
	end=$(($(date +%s) + 900))
	while [ "$(date +%s)" -lt $end ]; do
		# An event takes time that the compiler could use.
		sleep 3
		$event >/dev/null 2>&1
		if grep -qE "$pattern" report; then
			reported=0
			break
		fi
		kill -0 $client 2>/dev/null || break
	done
	kill "-${signal:-TERM}" $client 2>/dev/null
	for _ in 1 2 3 4 5 6 7 8 9; do
		kill -0 $client 2>/dev/null || break
		sleep 1
	done
	kill -9 $client 2>/dev/null
	wait $client
	ended=$?
	grep -E "$pattern" report | head -n 1 | sed "s|^|# $name: |"
	return $reported
}

# What a client complains of, without what differs from run to run.
complaints() {
	grep -iE 'error|fail|cannot|invalid' report |
		sed 's/.*error: /error: /; s/[0-9]//g; s:/[^ ]*/::g' | sort -u
}

run() {	# NAME PATTERN EVENT COMMAND...: succeeds if it reports
	name=$1
	shift
	case " ${only:-$name} " in *" $name "*) ;; *) return 1 ;; esac
	if reports "$@"; then
		check "$name reports what happens" true
		return 0
	fi
	complaints >complaints.archive
	mv report report.archive

	use_tree
	if reports "$@"; then
		check "$name works with the kernel's own tree, but not with the archive" \
			'cat report.archive; false'
	elif [ "$must_work" ]; then
		check "$name reports what happens" 'cat report.archive; false'
	elif complaints >complaints.tree && grep -qE "$known" complaints.tree &&
	     diff complaints.tree complaints.archive >report; then
		error=$(grep -m 1 "^error: " complaints.tree)
		check "$name fails as with the kernel's own tree: $error" true
	else
		check "$name fails otherwise than with the kernel's own tree" 'cat report; false'
	fi
	umount tree
	use_archive
	return 1
}
# Without what others unpack with, where nothing can be put in /tmp.
alone() {	# COMMAND...
	# shellcheck disable=SC2016	# the inner shell expands it
	exec unshare -m sh -c 'mount -t tmpfs -o ro,noexec tmpfs /tmp &&
		for program in tar xz modprobe; do
			mount --bind /dev/null "$(readlink -f "$(command -v $program)")" || exit
		done && exec env -u TMPDIR PATH=/nonexistent "$@"' sh "$@"
}
under_kheaders() {	# PATTERN EVENT COMMAND [OPTION]...
	pattern=$1 event=$2 command=$(command -v "$3")
	name="${command##*/} under kheaders exec, without tar, xz, modprobe and /tmp"
	shift 3
	reports "$pattern" "$event" alone $TMPDIR/kheaders exec -- "$command" "$@"
	reported=$?
	check "$name" 'cat report; [ $reported -eq 0 ]'
}
bcc() {	# TOOL PATTERN EVENT [OPTION]...
	tool=$1 pattern=$2 event=$3
	shift 3
	run "$tool" "$pattern" "$event" "$tool-bpfcc" "$@"
}

execute() { /bin/echo witness-of-exec; }
open_file() { cat /run/witness-of-open; }
connect() { python3 -c 'import socket; socket.create_connection(("127.0.0.1", 7777))'; }
bind() { python3 -c 'import socket; socket.socket().bind(("127.0.0.1", 7778))'; }
mount_something() { mkdir -p /run/mnt; mount -t tmpfs witness-of-mount /run/mnt; umount /run/mnt; }
change_owner() { touch /run/owned; chown 1000 /run/owned; }

# What bcc 0.26 is too old for, in kernels after 6.1.
known="^error: .*('struct (bpf_[a-z_]*|task_struct|ns_common)'|static_assert failed|mmap_sem)"
must_work=
case $(uname -r) in 6.1.*) must_work=yes ;; esac

use_archive
check "no headers, and no archive before it is asked for" \
	[ ! -e "/lib/modules/$(uname -r)/build" -a ! -e /sys/kernel/kheaders.tar.xz ]
bcc execsnoop witness-of-exec execute && under_kheaders witness-of-exec execute execsnoop-bpfcc
bcc opensnoop witness-of-open open_file
bcc tcpconnect '127\.0\.0\.1.* 7777' connect
bcc bindsnoop '127\.0\.0\.1.* 7778' bind
bcc mountsnoop witness-of-mount mount_something
bcc capable 'chown .*CAP_CHOWN' change_owner
if [ ! "$only" ]; then
	check "bcc unpacked the archive by itself" \
		[ -f "kheaders-$(uname -r)/include/linux/kconfig.h" ]
	check "and removed the module again" [ ! -e /sys/kernel/kheaders.tar.xz ]
fi

modprobe kheaders
mkdir headers
# where no kernel's package has put its System.map to /boot
symbols() { cat /proc/kallsyms >headers/System.map; }
check "cat | tar -xJ" sh -c 'cat /sys/kernel/kheaders.tar.xz | tar -xJ -C headers'
rmmod kheaders
check "symbols for stap" symbols

cat >opens.bt <<-'EOF'
	#include <linux/sched.h>
	#include <linux/path.h>
	#include <linux/dcache.h>

	kprobe:vfs_open
	{
		$task = (struct task_struct *)curtask;
		$path = (struct path *)arg0;
		printf("%s opens %s\n", $task->comm, str($path->dentry->d_name.name));
	}
	END { printf("ended by itself\n"); }
EOF
interrupted() { [ "$ended" -eq 0 ] && grep -x 'ended by itself' report; }
same_status() {
	./kheaders exec -- bpftrace -e 'kprobe:no_such_function { }'
	status=$?
	bpftrace -e 'kprobe:no_such_function { }'
	[ "$status" -eq $? ] && [ "$status" -ne 0 ]
}
if run bpftrace 'cat opens witness-of-open' open_file bpftrace opens.bt; then
	signal=INT
	under_kheaders 'cat opens witness-of-open' open_file bpftrace -e "$(cat opens.bt)"
	signal=
	check "SIGINT ends bpftrace, whose status it is" interrupted
	check "that of an error comes through, too" same_status
fi
[ "$only" ] || check "and the command removed the module again" [ ! -e /sys/kernel/kheaders.tar.xz ]

# 4.8 knows only the task_work_cancel() of before, which 6.1 has replaced, too.
must_work='' known="task_work_cancel|$known"
cat >opens.stp <<-'EOF'
	probe begin { println("begins") }
	probe kprobe.function("vfs_open") { println(execname(), " opens") }
	probe timer.s(1) { println("ticks") }
EOF
# shellcheck disable=SC2016	# the inner shell expands it
run stap 'cat opens' open_file sh -c 'exec stap -r "$HEADERS" opens.stp' && {
	show=report
	check "so do its other probes" 'grep begins report && grep ticks report'
}
check "the kernel has nothing to complain" sh -c '! dmesg | grep -E "WARNING|BUG|Oops|Call Trace"'
done_testing
