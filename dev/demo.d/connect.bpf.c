// SPDX-License-Identifier: GPL-2.0-only
/* An eBPF program of the kind bcc compiles: who connects where. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/inet_sock.h>

#define SEC(name) __attribute__((section(name), used))

/* Helpers, by names that no version of the headers has. */
static long (*my_read)(void *to, __u32 size, const void *from) =
	(void *)BPF_FUNC_probe_read_kernel;
static long (*my_print)(const char *format, __u32 size, ...) =
	(void *)BPF_FUNC_trace_printk;
static struct task_struct *(*running_task)(void) =
	(void *)BPF_FUNC_get_current_task;

SEC("kprobe/tcp_connect")
int connect(struct pt_regs *regs)
{
	struct sock *sk = (struct sock *)regs_get_kernel_argument(regs, 0);
	struct tcp_sock *tp = tcp_sk(sk);
	const char format[] = "%s -> %x:%d";
	char comm[TASK_COMM_LEN];
	struct sock_common to;
	u32 mss;

	my_read(&to, sizeof(to), &inet_sk(sk)->sk.__sk_common);
	my_read(&mss, sizeof(mss), &tp->mss_cache);
	my_read(comm, sizeof(comm), running_task()->comm);
	if (to.skc_family == AF_INET && mss)
		my_print(format, sizeof(format), comm,
			 be32_to_cpu(to.skc_daddr), be16_to_cpu(to.skc_dport));
	return 0;
}

char _license[] SEC("license") = "GPL";
