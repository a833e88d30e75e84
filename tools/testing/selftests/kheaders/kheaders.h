/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes the archive available to a test program before its main() and leaves
 * things as they were when it ends, also when interrupted.
 */
#ifndef _KHEADERS_SELFTEST_H
#define _KHEADERS_SELFTEST_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kselftest.h"

#define KHEADERS "/sys/kernel/kheaders.tar.xz"

/* The process that loaded the module; those it forks are not to unload it. */
static pid_t kheaders_loader;

static void kheaders_unload(void)
{
	if (kheaders_loader == getpid())
		syscall(SYS_delete_module, "kheaders", O_NONBLOCK);
}

static void kheaders_interrupted(int signal_number)
{
	kheaders_unload();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static __attribute__((constructor)) void kheaders_load(void)
{
	sigset_t signals, before;

	if (!access(KHEADERS, F_OK))
		return;

	if (getuid()) {
		printf("1..0 # SKIP no " KHEADERS ", and only root can load the module\n");
		exit(KSFT_SKIP);
	}

	/* From now on an interruption has to wait until it can be undone. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &before);
	if (system("modprobe -q kheaders") || access(KHEADERS, F_OK)) {
		printf("1..0 # SKIP this kernel has no kheaders\n");
		exit(KSFT_SKIP);
	}
	kheaders_loader = getpid();
	atexit(kheaders_unload);
	signal(SIGHUP, kheaders_interrupted);
	signal(SIGINT, kheaders_interrupted);
	signal(SIGTERM, kheaders_interrupted);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

#endif
