/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes the archive available to a test program before its main() and leaves
 * things as they were when it ends, also when interrupted.
 */
#ifndef _KHEADERS_SELFTEST_H
#define _KHEADERS_SELFTEST_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest.h"

#define KHEADERS "/sys/kernel/kheaders.tar.xz"

static pid_t kheaders_program;		/* what it forks is not to clean up */
static pid_t kheaders_group;
static bool kheaders_was_there;
static pid_t *kheaders_test;		/* process group of the running test */

/*
 * For FIXTURE_SETUP and for processes that a test starts: they end with their
 * parent. The harness gives a test a process group of its own.
 */
static inline void kheaders_end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getpgrp() != kheaders_group)
		*kheaders_test = getpgrp();
}

/* A line of /proc/meminfo, in kB, or -1. */
static inline long kheaders_kb(const char *name)
{
	FILE *meminfo = fopen("/proc/meminfo", "r");
	char line[200];
	long value = -1;

	while (meminfo && fgets(line, sizeof(line), meminfo))
		if (!strncmp(line, name, strlen(name)))
			sscanf(line + strlen(name), ": %ld", &value);
	if (meminfo)
		fclose(meminfo);
	return value;
}

/* True if the archive is there, maybe with a module loaded for that. */
static bool kheaders_load(void)
{
	return !access(KHEADERS, F_OK) ||
		(!system("modprobe kheaders") && !access(KHEADERS, F_OK));
}

/* Returns 0, or -1 with errno. */
static int kheaders_unload(void)
{
	return syscall(SYS_delete_module, "kheaders", O_NONBLOCK);
}

static void kheaders_restore(void)
{
	if (kheaders_program != getpid())
		return;
	if (kheaders_was_there)
		kheaders_load();
	else
		kheaders_unload();
}

static void kheaders_interrupted(int signal_number)
{
	if (kheaders_program == getpid() && *kheaders_test) {
		kill(-*kheaders_test, SIGKILL);
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
	kheaders_restore();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void kheaders_skip(const char *why)
{
	printf("TAP version 13\n1..0 # SKIP %s\n", why);
	exit(KSFT_SKIP);
}

static __attribute__((constructor)) void kheaders_begin(void)
{
	const char *path = getenv("PATH");
	char more_path[4096];
	sigset_t signals, before;

	/* modprobe is where the PATH of an ordinary user may not lead. */
	snprintf(more_path, sizeof(more_path), "%s:/usr/sbin:/sbin", path ? path : "");
	setenv("PATH", more_path, 1);

	kheaders_test = mmap(NULL, sizeof(*kheaders_test), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kheaders_test == MAP_FAILED)
		exit(KSFT_FAIL);

	kheaders_was_there = !access(KHEADERS, F_OK);
	if (!kheaders_was_there && getuid())
		kheaders_skip("no " KHEADERS ", and only root can load the module");

	/* An interruption has to wait until it can be undone. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &before);
	if (!kheaders_was_there && system("modprobe -n -q kheaders"))
		kheaders_skip("this kernel has no kheaders");
	if (!kheaders_load()) {
		printf("TAP version 13\nBail out! kheaders cannot be loaded\n");
		exit(KSFT_FAIL);
	}
	/*
	 * A modprobe that is killed may still get the module loaded: it has to
	 * be waited for, too.
	 */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	kheaders_program = getpid();
	kheaders_group = getpgrp();
	atexit(kheaders_restore);
	signal(SIGHUP, kheaders_interrupted);
	signal(SIGINT, kheaders_interrupted);
	signal(SIGTERM, kheaders_interrupted);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

#endif
