// SPDX-License-Identifier: GPL-2.0-only
/* Kernel C: structures, macros and inline functions of the running kernel. */
#include <linux/fdtable.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <net/inet_sock.h>
#include <net/sock.h>

const size_t task_struct_size = sizeof(struct task_struct);
const size_t sock_size = sizeof(struct sock);

/* How many processes run, and how many bytes one socket may still send. */
int running(void)
{
	struct task_struct *task;
	int count = 0;

	rcu_read_lock();
	for_each_process(task)
		count += task_is_running(task) && !(task->flags & PF_KTHREAD);
	rcu_read_unlock();
	return count;
}

long room(struct socket *socket)
{
	struct sock *sk = socket->sk;
	struct inet_sock *inet = inet_sk(sk);

	pr_info("port %u of %s\n", ntohs(inet->inet_sport), current->comm);
	return sk_stream_memory_free(sk) ? sk_stream_wspace(sk) : 0;
}
