#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The KUnit suite as a module, on the kernel that runs: it gets the module kheaders
# and takes it out again, leaves one that was there, is skipped where there is none, and
# leaves neither memory nor a warning behind. Wants to be root, in a virtual machine: it
# clears the kernel's log and takes the module's file away.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
said=/tmp/output
. "$here/tap.sh"
suite() {	# leaves its results in /tmp/results
	dmesg -C
	modprobe kheaders_test || return
	dmesg -t >/tmp/log
	"$here/ktap.awk" /tmp/log >/tmp/results || { grep -v '^ok ' /tmp/results; return 1; }
}
passes() { suite && ! grep '# SKIP' /tmp/results; }
loaded() { grep -q "^$1 " /proc/modules; }
gone() { ! loaded "$1"; }

"$here/leaks.sh" clear || :	# what was lost before is not ours
dmesg -n 1	# the suite's results are not ours
check "passes, kheaders not loaded before" passes
check "... and not loaded behind it" gone kheaders
modprobe -r kheaders_test
modprobe kheaders
check "passes, kheaders loaded before" passes
check "... and behind it" loaded kheaders
modprobe -r kheaders_test
check "... but not held" rmmod kheaders

# kheaders removed meanwhile: what fails then are cases, and nothing else. Where
# that came too late, all passed: again.
removed() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		modprobe kheaders
		dmesg -C
		modprobe kheaders_test &
		until dmesg -t | grep -q 'ok 1 kheaders_'; do
			kill -0 $! || return
		done
		rmmod kheaders || return
		wait
		dmesg -t >/tmp/log
		"$here/ktap.awk" /tmp/log >/tmp/results || break
		modprobe -r kheaders_test
	done
	grep -v '^ok ' /tmp/results
	grep -q '^ok .*complains of nothing' /tmp/results &&
		grep -q '^not ok .* kheaders: kheaders_' /tmp/results
}
check "kheaders may be removed meanwhile" removed
modprobe -r kheaders_test

find "/lib/modules/$(uname -r)" -name 'kheaders.ko*' -exec mv {} /tmp/ \;
# 6.1 says so of each case, but not of its parameters.
skipped() {
	suite && grep '# SKIP' /tmp/results &&
		! grep '^    ok [0-9]* kheaders_' /tmp/log | grep -v '# SKIP'
}
check "is skipped where there is no kheaders" skipped
modprobe -r kheaders_test

check "can be removed" gone kheaders_test
if [ -e /sys/kernel/debug/kmemleak ]; then
	check "leaves no memory behind" "$here/leaks.sh"
else
	skip "leaves no memory behind" "the kernel is without kmemleak"
fi
done_testing
