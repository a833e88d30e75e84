// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module is loaded for as long as it takes to read the archive, and removed
 * again. What must hold, whoever is killed when:
 *
 * - Runs that may load it take turns: each holds RUN/lock from before it looks
 *   until the module is gone again.
 * - A child, the keeper, loads and removes the module. It notices that the run
 *   it belongs to has ended by a pipe that closes, and holds the lock as well,
 *   so kill -9 of the one leaves the other to tidy up.
 * - RUN/loaded says that a module was lent, and the inode of its file, which is
 *   another one each time it is loaded. Where both were killed, the next run
 *   that comes here finds it. A module that somebody else loaded is left alone.
 * - Others may read at the same time, by our command without the right to load
 *   modules, holding RUN/readers, or by any program, which /proc shows. They are
 *   waited for, but not for ever: nobody shall keep the module loaded that way.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kheaders.h"

#define MODULE		"kheaders"
#define WAIT_MS		10000
#define STEP_MS		20

struct loan {
	int run;		/* the directory */
	int lock;
	int pipe;		/* the keeper waits for its end */
	pid_t keeper;		/* 0: there is none, the file was there */
	bool owed;		/* a module that a run left behind */
};

static void no_log(void *data, int priority, const char *file, int line, const char *fn,
		   const char *format, va_list args)
{
	(void)data, (void)priority, (void)file, (void)line, (void)fn, (void)format, (void)args;
}

/* Returns NULL where there is no such module, or none is needed. */
static struct kmod_module *find_module(struct kmod_ctx **ctx)
{
	struct kmod_list *list = NULL;
	struct kmod_module *module = NULL;

	*ctx = kmod_new(NULL, NULL);
	if (!*ctx)
		return NULL;
	kmod_set_log_fn(*ctx, no_log, NULL);
	if (!kmod_module_new_from_lookup(*ctx, MODULE, &list) && list)
		module = kmod_module_get_module(list);
	kmod_module_unref_list(list);
	if (module && !kmod_module_get_path(module)) {
		kmod_module_unref(module);
		module = NULL;
	}
	return module;
}

/**
 * loan_module - where the module is that has the archive
 * @path: gets its file's name, NULL if there is none
 */
int loan_module(char **path)
{
	struct kmod_ctx *ctx;
	struct kmod_module *module = find_module(&ctx);
	int ret = 0;

	*path = NULL;
	if (module) {
		*path = strdup(kmod_module_get_path(module));
		ret = *path ? 0 : no_memory(NULL);
		kmod_module_unref(module);
	}
	if (ctx)
		kmod_unref(ctx);
	return ret;
}

/* The inode of the module's file, 0 if it is not loaded. */
static unsigned long long loaded_inode(void)
{
	struct stat st;

	return stat(KHEADERS_SYSFS, &st) ? 0 : st.st_ino;
}

/* Writes that a module is lent; with inode 0, that it is going to be. */
static int write_record(int run, unsigned long long inode)
{
	int fd = openat(run, "loaded", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int ret;

	if (fd < 0)
		return -1;
	ret = dprintf(fd, "%llu\n", inode) > 0 ? 0 : -1;
	return close(fd) ? -1 : ret;
}

static bool owed(int run)
{
	unsigned long long inode;
	char text[32] = { 0 };
	int fd = openat(run, "loaded", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return false;
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	inode = size > 0 ? strtoull(text, NULL, 10) : 0;
	return inode && inode == loaded_inode();
}

/* Whether a process has the file open. */
static bool is_open(void)
{
	struct dirent *process, *file;
	DIR *proc = opendir("/proc"), *fds;
	char path[64], target[sizeof(KHEADERS_SYSFS) + 1];
	bool found = false;

	while (proc && !found && (process = readdir(proc))) {
		if (process->d_name[0] < '0' || process->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fd", process->d_name);
		fds = opendir(path);
		while (fds && !found && (file = readdir(fds))) {
			ssize_t size = readlinkat(dirfd(fds), file->d_name, target, sizeof(target));

			found = size == sizeof(KHEADERS_SYSFS) - 1 &&
				!memcmp(target, KHEADERS_SYSFS, size);
		}
		if (fds)
			closedir(fds);
	}
	if (proc)
		closedir(proc);
	return found;
}

static int open_readers(int run)
{
	return openat(run, "readers", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
}

static int remove_module(int run)
{
	struct timespec step = { .tv_nsec = STEP_MS * 1000000 };
	int readers = open_readers(run), ret = 0;
	struct kmod_module *module;
	struct kmod_ctx *ctx;

	for (int waited = 0; waited < WAIT_MS; waited += STEP_MS) {
		bool ours = readers < 0 || !flock(readers, LOCK_EX | LOCK_NB);

		if (ours && !is_open())
			break;
		nanosleep(&step, NULL);
	}
	module = find_module(&ctx);
	if (owed(run))
		ret = module ? kmod_module_remove_module(module, O_NONBLOCK) : -ENOENT;
	if (!ret || ret == -ENOENT)
		unlinkat(run, "loaded", 0);
	if (module)
		kmod_module_unref(module);
	if (ctx)
		kmod_unref(ctx);
	if (readers >= 0)
		close(readers);
	if (!ret)
		return 0;
	errno = -ret;
	return complain(STATUS_FAILED,
			"module " MODULE ": cannot be removed: %m: as root: rmmod " MODULE);
}

static int insert_module(int run)
{
	unsigned int flags = KMOD_PROBE_FAIL_ON_LOADED | KMOD_PROBE_IGNORE_COMMAND |
			     KMOD_PROBE_APPLY_BLACKLIST_ALL;
	struct kmod_ctx *ctx;
	struct kmod_module *module = find_module(&ctx);
	int ret;

	if (!module) {
		ret = complain(STATUS_NONE, "module " MODULE ": not installed");
	} else if (kmod_module_get_install_commands(module)) {
		ret = complain(STATUS_FAILED,
			       "module kheaders: modprobe.d has a command to run instead: modprobe does");
	} else if (write_record(run, 0)) {
		ret = complain(STATUS_FAILED, KHEADERS_RUN "/loaded: %m");
	} else {
		ret = kmod_module_probe_insert_module(module, flags, NULL, NULL, NULL, NULL);
		if (ret == -EEXIST) {
			/* Somebody else was faster. */
			ret = 0;
			unlinkat(run, "loaded", 0);
		} else if (!ret) {
			unsigned long long inode = loaded_inode();

			if (!inode)
				ret = complain(STATUS_FAILED, KHEADERS_SYSFS ": %m: mount sysfs at /sys");
			else if (write_record(run, inode))
				ret = complain(STATUS_FAILED, KHEADERS_RUN "/loaded: %m");
			if (ret) {
				kmod_module_remove_module(module, O_NONBLOCK);
				unlinkat(run, "loaded", 0);
			}
		} else {
			unlinkat(run, "loaded", 0);
			errno = ret < 0 ? -ret : 0;
			ret = complain(STATUS_FAILED, "module " MODULE ": cannot be loaded: %s",
				       ret > 0 ? "blacklisted in modprobe.d" :
				       errno == EPERM ?
				       "not permitted: see lockdown, modules_disabled" :
				       strerror(errno));
		}
	}
	if (module)
		kmod_module_unref(module);
	if (ctx)
		kmod_unref(ctx);
	return ret;
}

static void keep(int run, int parent, int result)
{
	char ret;

	/* What ends the run, or closes its terminal, does not end this. */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* Whoever waits for the run's output does not wait for this. */
	close(STDIN_FILENO);
	close(STDOUT_FILENO);

	ret = insert_module(run);
	/* A run that was killed meanwhile takes no answer, and its pipe has ended. */
	(void)!write(result, &ret, 1);
	close(result);
	if (!ret) {
		while (read(parent, &ret, 1) < 0 && errno == EINTR)
			;
		ret = remove_module(run);
	}
	_exit(ret);
}

static int start_keeper(struct loan *loan)
{
	int parent[2], result[2], ret = STATUS_FAILED;
	char reply;

	if (pipe2(parent, O_CLOEXEC))
		return complain(STATUS_FAILED, "pipe: %m");
	if (pipe2(result, O_CLOEXEC)) {
		complain(STATUS_FAILED, "pipe: %m");
		goto close_parent;
	}
	loan->keeper = fork();
	if (!loan->keeper) {
		close(parent[1]);
		close(result[0]);
		keep(loan->run, parent[0], result[1]);
	}
	close(result[1]);
	if (loan->keeper < 0) {
		loan->keeper = 0;
		complain(STATUS_FAILED, "fork: %m");
	} else if (read(result[0], &reply, 1) == 1) {
		ret = reply;
	} else {
		complain(STATUS_FAILED,
			 "module " MODULE ": the process that was to load it has died");
	}
	close(result[0]);
	loan->pipe = parent[1];
	parent[1] = -1;
close_parent:
	close(parent[0]);
	if (parent[1] >= 0)
		close(parent[1]);
	return ret;
}

/**
 * loan_reader - tell that the archive is being read
 *
 * Returns: a descriptor to close afterwards, or -1, which may be ignored.
 */
int loan_reader(void)
{
	int fd = open(KHEADERS_RUN "/readers", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	/* Anybody can lock it, so nobody waits. Who removes the module looks into /proc, too. */
	if (fd >= 0)
		flock(fd, LOCK_SH | LOCK_NB);
	return fd;
}

/**
 * loan_take - have the module loaded, as root
 * @loan: gets what loan_return() wants; NULL where none was needed
 * @options: signals that wait, but not while this does
 */
int loan_take(struct loan **loan, const struct options *options)
{
	struct loan *l = calloc(1, sizeof(*l));
	int ret;

	*loan = NULL;
	if (!l)
		return no_memory(NULL);
	l->run = -1;
	l->lock = -1;
	l->pipe = -1;
	if (mkdir(KHEADERS_RUN, 0755) && errno != EEXIST)
		goto no_run;
	l->run = open(KHEADERS_RUN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (l->run < 0)
		goto no_run;
	l->lock = openat(l->run, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->lock < 0)
		goto no_run;
	sigprocmask(SIG_UNBLOCK, &options->held, NULL);
	while ((ret = flock(l->lock, LOCK_EX)) && errno == EINTR)
		;
	sigprocmask(SIG_BLOCK, &options->held, NULL);
	if (ret)
		goto no_run;
	l->owed = owed(l->run);
	if (!l->owed)
		unlinkat(l->run, "loaded", 0);
	ret = l->owed || loaded_inode() ? 0 : start_keeper(l);
	*loan = l;
	if (ret) {
		loan_return(l);
		*loan = NULL;
	}
	return ret;

no_run:
	ret = complain(STATUS_FAILED, KHEADERS_RUN ": %m: the module " MODULE " cannot be lent safely without it");
	if (l->run >= 0)
		close(l->run);
	if (l->lock >= 0)
		close(l->lock);
	free(l);
	return ret;
}

/**
 * loan_return - give the module back if this run, or one that died, loaded it
 * @loan: from loan_take(), may be NULL
 */
int loan_return(struct loan *loan)
{
	int ret = 0, status;

	if (!loan)
		return 0;
	if (loan->pipe >= 0)
		close(loan->pipe);
	if (loan->keeper) {
		while (waitpid(loan->keeper, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFEXITED(status))
			ret = WEXITSTATUS(status);
		else
			loan->owed = true;
	}
	if (loan->owed)
		ret = remove_module(loan->run);
	close(loan->lock);
	close(loan->run);
	free(loan);
	return ret;
}
