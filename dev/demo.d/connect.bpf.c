// SPDX-License-Identifier: GPL-2.0-only
/* An eBPF program of the kind bcc compiles: who connects where. */
#include <linux/bpf.h>
#include <linux/sched.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/inet_sock.h>
#include <net/tcp_states.h>

#define SEC(name) __attribute__((section(name), used))

/* Helpers, by names that no version of the headers has. */
static long (*my_read)(void *to, __u32 size, const void *from) =
	(void *)BPF_FUNC_probe_read_kernel;
static long (*my_print)(const char *format, __u32 size, ...) =
	(void *)BPF_FUNC_trace_printk;
static struct task_struct *(*running_task)(void) =
	(void *)BPF_FUNC_get_current_task;

/* The tracepoint's arguments are a socket, its state before, and the new one. */
SEC("raw_tracepoint/inet_sock_set_state")
int connect(struct bpf_raw_tracepoint_args *context)
{
	struct sock *sk = (struct sock *)context->args[0];
	struct tcp_sock *tp = tcp_sk(sk);
	const char format[] = "%s -> %x:%d";
	char comm[TASK_COMM_LEN];
	struct sock_common to;
	u32 mss;

	my_read(&to, sizeof(to), &inet_sk(sk)->sk.__sk_common);
	my_read(&mss, sizeof(mss), &tp->mss_cache);
	my_read(comm, sizeof(comm), running_task()->comm);
	/* Not be32_to_cpu(), which can be the machine's assembler. */
	if (context->args[2] == TCP_SYN_SENT && to.skc_family == AF_INET && mss)
		my_print(format, sizeof(format), comm, __builtin_bswap32(to.skc_daddr),
			 __builtin_bswap16(to.skc_dport));
	return 0;
}

char _license[] SEC("license") = "GPL";
