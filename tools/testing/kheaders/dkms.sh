#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: dkms.sh DIR
# Debian's *-dkms packages, of which DIR has five, on a kernel that has no headers but
# the archive, as a module: dkms builds and installs their modules from it, and they
# load and do their work. Wants to be root, in a virtual machine.
set -eu

packages=$1
said=/run/output
. "$(dirname "$0")/tap.sh"

release=$(uname -r)
headers=/run/headers
logs=/var/lib/dkms
mkdir $headers
mount -t tmpfs tmpfs $logs
unpacked() {
	[ ! -e "/lib/modules/$release/build" ] && modprobe kheaders &&
		tar -xJf /sys/kernel/kheaders.tar.xz -C "$headers" && rmmod kheaders
}
# What the module's own sources are warned of is theirs.
quiet() {	# MODULE
	log=$(find "$logs/$1" -name make.log) && [ -s "$log" ] || return 1
	! grep -i warning "$log" | grep -v "^$logs/$1/.*\.[ch]:"
}
packaged() { dpkg -i "$packages/$1"-dkms_*.deb && quiet "$2"; }
from_directory() {	# PACKAGE MODULE
	dpkg -x "$packages/$1"-dkms_*.deb / || return
	version=$(cd /usr/src && echo "$2"-* | sed "s/^$2-//")
	dkms install --kernelsourcedir "$headers" "$2/$version" ||
		{ cat "$logs"/*/*/build/make.log; return 1; }
	quiet "$2"
}

acpi_call() {
	modprobe acpi_call && echo '\_SB.PCI0._HID' >/proc/acpi/call &&
		tr '\0' '\n' </proc/acpi/call | tee /dev/stderr | grep ^0x && rmmod acpi_call
}
vpoll() {
	modprobe vpoll && python3 -c '
import fcntl, select
device = open("/dev/vpoll", "rb+", buffering=0)
poll = select.epoll()
poll.register(device, select.EPOLLIN)
assert not poll.poll(0)
fcntl.ioctl(device, ord("^") << 8 | 1, select.EPOLLIN)
assert poll.poll(0)' && rmmod vpoll
}
v4l2loopback() {
	modprobe v4l2loopback && python3 -c '
import fcntl
capability = fcntl.ioctl(open("/dev/video0"), 2 << 30 | 104 << 16 | ord("V") << 8, bytes(104))
assert capability.startswith(b"v4l2 loopback\0"), capability' && rmmod v4l2loopback
}
lime() {
	modprobe lime path=/dev/null format=lime digest=sha256 && rmmod lime &&
		grep -E '^[0-9a-f]{64}' /dev/null.sha256
}
# It gets to look for what it drives; with a wrong version it would not.
thinkpad() {
	modprobe thinkpad_ec >/run/modprobe-said 2>&1 && return 1
	cat /run/modprobe-said
	grep 'No such device' /run/modprobe-said && dmesg | grep thinkpad_ec
}

check "the archive is unpacked" unpacked
check "acpi-call: installed from $headers" from_directory acpi-call acpi-call
check "acpi-call: asks the firmware" acpi_call
check "v4l2loopback: installed" from_directory v4l2loopback v4l2loopback
check "v4l2loopback: is a camera" v4l2loopback
check "lime-forensics: installed" from_directory lime-forensics lime-forensics
check "lime-forensics: reads the memory" lime
check "tp-smapi: installed" from_directory tp-smapi tp_smapi
check "tp-smapi: finds no ThinkPad" thinkpad
ln -s $headers "/lib/modules/$release/build"
check "vpoll: the package is installed, with a link to the headers" packaged vpoll vpoll
check "vpoll: has events" vpoll
check "the kernel has nothing to complain" sh -c '! dmesg | grep -E "WARNING|BUG|Oops|Call Trace"'
done_testing
