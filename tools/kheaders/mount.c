// SPDX-License-Identifier: GPL-2.0-only
/*
 * The headers as a read-only tree in a tmpfs of their own. It is filled before
 * it is attached to a directory, so nobody sees half of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kheaders.h"

#define MOUNT_SOURCE "kheaders"

/* glibc has functions for these since 2.36 only. */
static int fs_open(const char *type)
{
	return syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static int fs_config(int fs, unsigned int command, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, fs, command, key, value, 0);
}

static int create(const struct source *source, const struct options *options)
{
	uint64_t bytes = stream_unpacked_size(source->archive.data, source->archive.size);
	char size[32];
	int fs = fs_open("tmpfs");

	if (fs < 0)
		return -1;
	/* Files take whole pages; what lies about its size does not get more. */
	bytes = bytes && bytes < options->max_size ? 2 * bytes + (16 << 20) : options->max_size;
	snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
	if (fs_config(fs, FSCONFIG_SET_STRING, "source", MOUNT_SOURCE) ||
	    fs_config(fs, FSCONFIG_SET_STRING, "size", size) ||
	    fs_config(fs, FSCONFIG_SET_STRING, "mode", "0755") ||
	    fs_config(fs, FSCONFIG_CMD_CREATE, NULL, NULL)) {
		close(fs);
		return -1;
	}
	return fs;
}

static int cannot(void)
{
	if (errno == ENOSYS)
		return complain(STATUS_FAILED, "mount: this kernel is older than 5.2");
	if (errno == EPERM)
		return complain(STATUS_FAILED,
				"mount: not permitted: as root: kheaders mount DIR; or kheaders exec --mount -- COMMAND");
	return complain(STATUS_FAILED, "mount: %m");
}

/**
 * mount_tree - mount the headers
 * @source: which, already read
 * @options: whether programs in there may be run
 * @target: descriptor of the directory to mount on
 */
int mount_tree(const struct source *source, const struct options *options, int target)
{
	unsigned int attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	struct tree tree = { 0 };
	int fs, mount = -1, dir = -1, ret;

	if (!options->exec)
		attributes |= MOUNT_ATTR_NOEXEC;
	fs = create(source, options);
	if (fs < 0)
		return cannot();
	mount = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
	if (mount < 0)
		goto failed;
	dir = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		goto failed;
	ret = tree_read(&source->archive, source->name, dir, options, &tree);
	if (ret)
		goto out;
	if (fs_config(fs, FSCONFIG_SET_FLAG, "ro", NULL) ||
	    fs_config(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL) ||
	    syscall(SYS_move_mount, mount, "", target, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		goto failed;
	goto out;
failed:
	ret = cannot();
out:
	/* A mount that was not attached goes with its descriptors. */
	if (dir >= 0)
		close(dir);
	if (mount >= 0)
		close(mount);
	close(fs);
	tree_release(&tree);
	return ret;
}

/**
 * mount_command - kheaders mount DIR
 * @name: the directory
 * @options: which headers
 */
int mount_command(const char *name, const struct options *options)
{
	int target = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC), ret;
	struct source source;

	if (target < 0)
		return complain(STATUS_FAILED, "%s: %m", name);
	ret = source_archive(&source, options);
	if (!ret)
		ret = mount_tree(&source, options, target);
	source_release(&source);
	close(target);
	return ret;
}

/* Names in mountinfo have \040 for a blank, and so on. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to++ = (text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0');
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = 0;
}

/* Whether what is mounted there, on top of all else, is ours. */
static bool is_ours(const char *path)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *point, *rest;
	size_t room = 0;
	bool ours = false;

	while (mounts && getline(&line, &room, mounts) > 0) {
		rest = strstr(line, " - ");
		if (!rest)
			continue;
		*rest = 0;
		point = line;
		for (int field = 0; point && field < 4; field++)
			point = strchr(point + 1, ' ');
		if (!point)
			continue;
		point++;
		point[strcspn(point, " ")] = 0;
		unescape(point);
		if (!strcmp(point, path))
			ours = !strncmp(rest + 3, "tmpfs " MOUNT_SOURCE " ",
					strlen("tmpfs " MOUNT_SOURCE " "));
	}
	free(line);
	if (mounts)
		fclose(mounts);
	return ours;
}

/**
 * umount_command - kheaders umount DIR
 * @name: the directory
 */
int umount_command(const char *name)
{
	char *path = realpath(name, NULL);
	int ret = 0;

	if (!path)
		return complain(STATUS_FAILED, "%s: %m", name);
	if (!is_ours(path))
		ret = complain(STATUS_FAILED, "%s: not mounted by kheaders mount", name);
	else if (syscall(SYS_umount2, path, 8 /* UMOUNT_NOFOLLOW */))
		ret = complain(STATUS_FAILED, "%s: %m%s", name,
			       errno == EBUSY ? ": somebody works in there: fuser -m shows who" : "");
	free(path);
	return ret;
}
