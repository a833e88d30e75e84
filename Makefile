# SPDX-License-Identifier: GPL-2.0-only
# Every target is a name for one command; the work is done by scripts in dev/.

export KVER KDIR ARCH V JOBS OUT STEP AGAIN

help:
	@sed -n '/^# make/s/^# //p; /^# [A-Z]*=/s/^# /  /p; /^#  /s/^# /  /p' Makefile

# make demo          shows the whole story in User Mode Linux, with ARCH=x86_64
#                    or arm64 in a virtual machine
# make check         runs the tests: 6.12 in a guest, 7.3 and 6.1 under UML
# make check-host    runs the tests that need no kernel build
# make check-kunit   runs the KUnit suite under User Mode Linux
# make check-mutations  proves that the suite notices mistakes
# make check-vm      runs the tests that boot a kernel
# make check-arch    runs the tests for other architectures, or of ARCH alone
# make check-long    runs what takes too long for check, such as KASAN
# make apply         puts the feature into the kernel tree KDIR
# make unapply       takes it out again
# make patch         writes a series for KDIR into the directory OUT
# make bench         measures against the tree's own generator
# make clean         removes what was built
# make distclean     removes downloads too
#
# KVER=6.12          which kernel to get: 6.1, 6.12 or 7.3; check then runs all for it
# KDIR=tree          use this kernel tree instead
# OUT=directory      where patch writes to
# ARCH=x86_64        architecture to build for: also um, arm64, in check-arch arm,
#                    i386, powerpc, riscv and s390
# STEP=name          run this step of check only
# AGAIN=1            run what passed before and has not changed, too
# JOBS=2             processors to use
# V=1                show every command

demo:
	@dev/demo

check:
	@dev/check

check-host:
	@dev/check host

check-kunit:
	@dev/check kunit

check-mutations:
	@STEP=mutations dev/check

check-vm:
	@dev/check vm

check-arch:
	@dev/check arch

check-long:
	@dev/check long

apply unapply:
	@dev/port/port $@ "$(KDIR)"

patch:
	@dev/port/port patch "$(KDIR)" "$(OUT)"

bench:
	@dev/bench/bench

clean:
	@[ ! -d build ] || find build/ -mindepth 1 -maxdepth 1 ! -name dl ! -name kernel -exec rm -rf {} +

distclean:
	@rm -rf build

.PHONY: help demo check check-host check-kunit check-mutations check-vm check-arch check-long apply unapply patch bench clean distclean
