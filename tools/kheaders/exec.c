// SPDX-License-Identifier: GPL-2.0-only
/* kheaders exec [--mount] -- COMMAND */

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kheaders.h"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return -1;
	size = write(fd, text, strlen(text));
	close(fd);
	return size == (ssize_t)strlen(text) ? 0 : -1;
}

/* A mount namespace; for ordinary users in a user namespace, as who they are. */
static int enter_namespace(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (!unshare(CLONE_NEWNS))
		goto private;
	if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return complain(STATUS_FAILED,
				"exec --mount: no namespace of its own: %m: this kernel, or its settings, keep ordinary users from that");
	snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	if (write_file("/proc/self/uid_map", map))
		return complain(STATUS_FAILED, "/proc/self/uid_map: %m");
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	if (write_file("/proc/self/gid_map", map))
		return complain(STATUS_FAILED, "/proc/self/gid_map: %m");
private:
	/* What is mounted here from now on is not seen elsewhere. */
	if (syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return complain(STATUS_FAILED, "exec --mount: %m");
	return 0;
}

/*
 * A directory to mount on. One of these is always there, and what it holds is
 * hidden for the command alone.
 */
static const char *open_target(int *target)
{
	static const char * const places[] = { KHEADERS_RUN, "/usr/src", "/mnt", "/media", "/srv" };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		*target = open(places[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*target >= 0)
			return places[i];
	}
	return NULL;
}

static int mounted_path(const struct options *options, char **path, bool *archive)
{
	struct source source;
	const char *place;
	int target, ret;

	ret = source_find(&source, options);
	if (!ret)
		ret = source_read(&source, options);
	if (ret)
		goto out;
	if (source.kind == SOURCE_BUILD) {
		*path = strdup(source.name);
		goto out;
	}
	ret = enter_namespace();
	if (ret)
		goto out;
	place = open_target(&target);
	if (!place) {
		ret = complain(STATUS_FAILED,
			       "exec --mount: neither /usr/src nor /mnt nor /media nor /srv is there to mount on");
		goto out;
	}
	ret = mount_tree(&source, options, target);
	close(target);
	*path = strdup(place);
	*archive = true;
out:
	source_release(&source);
	if (!ret && !*path)
		ret = no_memory(NULL);
	return ret;
}

/**
 * exec_command - run a command that finds the headers
 * @command: it and its arguments, and a NULL
 * @options: which headers
 *
 * Returns only if it cannot be run.
 */
int exec_command(char **command, const struct options *options)
{
	static const char * const names[] = { "KDIR", "BCC_KERNEL_SOURCE", "BPFTRACE_KERNEL_SOURCE",
					      "BPFTRACE_KERNEL_BUILD" };
	/* Of headers in two directories, as of a package, bcc and bpftrace know. */
	size_t count = 1;
	bool archive = false;
	char *path = NULL;
	int hold = -1, ret;

	if (options->mount) {
		ret = mounted_path(options, &path, &archive);
	} else {
		ret = cache_path(options, &path, &hold);
		archive = hold >= 0;
	}
	if (ret)
		goto out;
	if (archive)
		count = sizeof(names) / sizeof(*names);
	for (size_t i = 0; i < count; i++) {
		if (setenv(names[i], path, 1)) {
			ret = no_memory(NULL);
			goto out;
		}
	}
	/* Nobody removes the directory while the command runs. */
	if (hold >= 0)
		fcntl(hold, F_SETFD, 0);
	sigprocmask(SIG_UNBLOCK, &options->held, NULL);
	execvp(command[0], command);
	ret = complain(errno == ENOENT ? STATUS_NO_COMMAND : STATUS_CANNOT_RUN,
		       "%s: %m", command[0]);
out:
	free(path);
	if (hold >= 0)
		close(hold);
	return ret;
}
