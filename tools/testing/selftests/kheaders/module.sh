#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A module of two files, built from nothing but the unpacked archive, does its work.

. "$(dirname "$0")/kheaders.sh"
for tool in xz make gcc ld; do
	needs $tool
done
tar -tJf "$archive" | grep -qx Module.symvers ||
	skip_all "an archive without CONFIG_IKHEADERS_EXTMOD"

unpack()
{
	mkdir "$tmp/headers" && cd "$tmp/headers" && xz -dc "$archive" | tar -x
}

write_sources()
{
	mkdir "$tmp/module"
	cat >"$tmp/module/Makefile" <<-'EOF'
	obj-m := kheaders_selftest.o
	kheaders_selftest-y := first.o second.o
	EOF
	cat >"$tmp/module/first.c" <<-'EOF'
	#include <linux/module.h>
	#include <linux/slab.h>

	int kheaders_selftest_square(int n);

	static int answer;
	module_param(answer, int, 0444);

	static int __init kheaders_selftest_init(void)
	{
		char *text = kasprintf(GFP_KERNEL, "%d", kheaders_selftest_square(6) + 6);
		int ret = text ? kstrtoint(text, 10, &answer) : -ENOMEM;

		kfree(text);
		return ret;
	}
	module_init(kheaders_selftest_init);

	static void __exit kheaders_selftest_exit(void)
	{
	}
	module_exit(kheaders_selftest_exit);

	MODULE_DESCRIPTION("Built from the archive of headers");
	MODULE_LICENSE("GPL");
	EOF
	cat >"$tmp/module/second.c" <<-'EOF'
	#include <linux/mutex.h>

	int kheaders_selftest_square(int n);

	static DEFINE_MUTEX(lock);

	int kheaders_selftest_square(int n)
	{
		mutex_lock(&lock);
		n *= n;
		mutex_unlock(&lock);
		return n;
	}
	EOF
}

files_of()
{
	(cd "$1" && find . -type f -exec ls -ln --full-time {} + | sort)
}

# A build writes to its own directory alone, and has nothing to complain of but
# that this machine's compiler is not the kernel's.
build()
{
	files_of "$tmp/headers" >"$tmp/before"
	make -C "$tmp/headers" M="$tmp/module" modules >"$tmp/said" 2>&1 ||
		{ cat "$tmp/said"; return 1; }
	files_of "$tmp/headers" >"$tmp/after"
	cat "$tmp/said"
	diff "$tmp/before" "$tmp/after" &&
		! grep -v 'the compiler differs from' "$tmp/said" |
			grep -i -e warning -e error -e syncconfig -e skipping
}

is_of_this_kernel()
{
	vermagic=$(modinfo -F vermagic "$tmp/module/kheaders_selftest.ko")
	echo "$vermagic: want $(uname -r)"
	[ "${vermagic%% *}" = "$(uname -r)" ]
}

works()
{
	insmod "$tmp/module/kheaders_selftest.ko" || { dmesg | tail -n 5; return 1; }
	answer=$(cat /sys/module/kheaders_selftest/parameters/answer)
	rmmod kheaders_selftest
	echo "answer: $answer"
	[ "$answer" -eq 42 ]
}

says_what_it_is()
{
	cat "$tmp/headers/kheaders_info.txt"
	grep -qx "release: $(uname -r)" "$tmp/headers/kheaders_info.txt" &&
		grep -qx 'profile: modules' "$tmp/headers/kheaders_info.txt"
}

plan 5
check "unpack" unpack
[ $failed -eq 0 ] || exit 1
write_sources
check "the archive says what it is" says_what_it_is
check "make M= builds a module of two files" build
check "for this kernel" is_of_this_kernel
if [ "$(id -u)" -eq 0 ]; then
	check "it loads, works and is removed" works
else
	skip "it loads, works and is removed" "only root can load it"
fi
exit $failed
