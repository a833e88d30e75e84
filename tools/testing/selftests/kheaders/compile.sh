#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The user's story: unpack the archive, compile against what comes out.
# shellcheck disable=SC2002	# the pipeline is the one users type

. "$(dirname "$0")/kheaders.sh"
needs xz

unpack()
{
	mkdir "$tmp/headers" && cd "$tmp/headers" && cat "$archive" | tar -xJ
}

is_of_this_kernel()
{
	release=$(sed -n 's/^#define UTS_RELEASE "\(.*\)"$/\1/p' include/generated/utsrelease.h)
	echo "$release: want $(uname -r)"
	[ "$release" = "$(uname -r)" ]
}

# What is y, or the number 1, in the running kernel's configuration is 1 in
# the archive's.
is_of_this_configuration()
{
	zcat /proc/config.gz | sed -n 's/^\(CONFIG_[^=]*\)=[y1]$/\1/p' | sort >"$tmp/running"
	sed -n 's/^#define \(CONFIG_[^ ]*\) 1$/\1/p' include/generated/autoconf.h |
		grep -v '_MODULE$' | sort >"$tmp/archived"
	[ -s "$tmp/running" ] && diff "$tmp/running" "$tmp/archived"
}

write_sources()
{
	# structures, macros and inline functions, and the release as a witness
	cat >"$tmp/kernel.c" <<-'EOF'
	#include <linux/sched.h>
	#include <linux/sched/signal.h>
	#include <linux/fdtable.h>
	#include <net/inet_sock.h>
	#include <net/sock.h>
	#include <generated/utsrelease.h>

	const char release[] = "release " UTS_RELEASE;

	int running(struct socket *socket)
	{
		struct task_struct *task;
		int count = 0;

		rcu_read_lock();
		for_each_process(task)
			count += task_is_running(task) && !(task->flags & PF_KTHREAD);
		rcu_read_unlock();
		pr_info("port %u of %s\n", ntohs(inet_sk(socket->sk)->inet_sport), current->comm);
		return count + sk_stream_memory_free(socket->sk);
	}
	EOF

	# The way of bcc: the inline assembler in the kernel's own headers is the
	# machine's, so they are parsed for the machine; what is left becomes eBPF.
	cat >"$tmp/trace.c" <<-'EOF'
	#include <linux/bpf.h>
	#include <linux/sched.h>
	#include <linux/tcp.h>
	#include <net/sock.h>

	static struct task_struct *(*get_task)(void) =
		(void *)BPF_FUNC_get_current_task;
	static long (*probe_read)(void *to, __u32 size, const void *from) =
		(void *)BPF_FUNC_probe_read_kernel;
	static long (*print)(const char *format, __u32 size, ...) =
		(void *)BPF_FUNC_trace_printk;

	__attribute__((section("raw_tracepoint/tcp_destroy_sock"), used))
	int on_destroy(struct bpf_raw_tracepoint_args *args)
	{
		struct sock *sk = (struct sock *)args->args[0];
		const char format[] = "%s %d %d";
		char comm[TASK_COMM_LEN];
		__u32 mss;
		int pid;

		probe_read(comm, sizeof(comm), get_task()->comm);
		probe_read(&pid, sizeof(pid), &get_task()->pid);
		probe_read(&mss, sizeof(mss), &tcp_sk(sk)->mss_cache);
		print(format, sizeof(format), comm, pid, mss);
		return 0;
	}

	char _license[] __attribute__((section("license"), used)) = "GPL";
	EOF

	# Headers without inline assembler can be parsed for eBPF right away.
	cat >"$tmp/filter.c" <<-'EOF'
	#include <linux/types.h>
	#include <linux/version.h>
	#include <uapi/linux/bpf.h>
	#include <uapi/linux/if_ether.h>

	struct list_head list;

	__attribute__((section("socket"), used))
	int filter(struct __sk_buff *skb)
	{
		return skb->len > ETH_HLEN ? LINUX_VERSION_CODE : 0;
	}
	EOF
}

is_ebpf()
{
	od -A n -t u2 -j 18 -N 2 "$1" | grep -qw 247
}

compile_c()
{
	gcc @compile_flags.txt -O2 -c "$tmp/kernel.c" -o "$tmp/kernel.o" &&
		grep -q "release $(uname -r)" "$tmp/kernel.o"
}

# The kernel's headers want to know the machine, here as its own compiler says it.
compile_ebpf()
{
	clang @compile_flags.txt --target=bpf -D"__$(uname -m)__" -O2 -g -w \
		-c "$tmp/filter.c" -o "$tmp/filter.o" &&
		is_ebpf "$tmp/filter.o"
}

compile_ebpf_by_way_of_machine()
{
	clang @compile_flags.txt -D__BPF_TRACING__ -O2 -g -w -emit-llvm \
		-Xclang -disable-llvm-passes -c "$tmp/trace.c" -o "$tmp/trace.bc" &&
	clang --target=bpf -O2 -g -w -c "$tmp/trace.bc" -o "$tmp/trace.o" &&
		is_ebpf "$tmp/trace.o"
}

plan 7
check "cat | tar -xJ" unpack
[ $failed -eq 0 ] && cd "$tmp/headers" || exit 1
write_sources
check "no symbolic links" [ ! "$(find . -type l)" ]
check "of this release" is_of_this_kernel
if [ -r /proc/config.gz ]; then
	check "of this configuration" is_of_this_configuration
else
	skip "of this configuration" "no /proc/config.gz"
fi
with gcc "gcc compiles C" compile_c
name="clang --target=bpf compiles eBPF"
case $(uname -m) in
x86_64|aarch64)	with clang "$name" compile_ebpf ;;
*)		skip "$name" "headers want to know more of $(uname -m) than its name" ;;
esac
with clang "clang compiles kernel structures to eBPF" compile_ebpf_by_way_of_machine
exit $failed
