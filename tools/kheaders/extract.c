// SPDX-License-Identifier: GPL-2.0-only
/* kheaders extract DIR */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kheaders.h"

static bool is_empty(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	unsigned int entries = 0;

	if (!stream) {
		if (copy >= 0)
			close(copy);
		return false;
	}
	while (entries < 3 && readdir(stream))
		entries++;
	closedir(stream);
	return entries <= 2;
}

static int unpack(int dir, const struct source *source, const struct options *options)
{
	struct tree tree;
	int ret = tree_read(&source->archive, source->name, dir, options, &tree);

	tree_release(&tree);
	return ret;
}

/* Unpacks to a directory that is there, and leaves it empty on failure. Closes it. */
static int extract_into(int dir, const char *name, const struct source *source,
			const struct options *options)
{
	bool empty = is_empty(dir);
	int ret = empty ? unpack(dir, source, options) :
		  complain(STATUS_FAILED,
			   "%s: not empty, or not to be read: name a new directory", name);

	if (!ret || !empty)
		close(dir);
	else if (tree_empty(dir))
		complain(ret, "%s: could not be emptied again", name);
	return ret;
}

/* Unpacks beside the directory that is wanted, so that it appears complete. */
static int extract_beside(const char *name, const struct source *source,
			  const struct options *options)
{
	char *copies[2] = { strdup(name), strdup(name) }, *base, stage[32];
	int parent = -1, dir, ret;
	mode_t mask = umask(0);

	umask(mask);
	if (!copies[0] || !copies[1]) {
		ret = no_memory(NULL);
		goto out;
	}
	base = basename(copies[1]);
	parent = open(dirname(copies[0]), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		goto failed;
	snprintf(stage, sizeof(stage), ".kheaders-%ld", (long)getpid());
	if (mkdirat(parent, stage, 0700))
		goto failed;
	dir = openat(parent, stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ret = dir < 0 ? complain(STATUS_FAILED, "%s: %m", name) : unpack(dir, source, options);
	if (!ret && (fchmod(dir, 0777 & ~mask) ||
		     tree_rename(parent, stage, base, RENAME_NOREPLACE))) {
		/* Not all file systems know NOREPLACE. An empty directory may go. */
		if (errno != EINVAL || renameat(parent, stage, parent, base))
			ret = complain(STATUS_FAILED, "%s: %m", name);
	}
	if (ret && dir >= 0)
		tree_empty(dir);
	else if (dir >= 0)
		close(dir);
	/* By now another directory may have that name, where others can rename it. */
	if (ret)
		unlinkat(parent, stage, AT_REMOVEDIR);
	goto out;
failed:
	ret = complain(STATUS_FAILED, "%s: %m", name);
out:
	if (parent >= 0)
		close(parent);
	free(copies[0]);
	free(copies[1]);
	return ret;
}

/**
 * extract_command - unpack the headers to a directory
 * @name: the directory, which is made, or else has to be empty
 * @options: which headers
 */
int extract_command(const char *name, const struct options *options)
{
	struct source source;
	int dir, ret;

	ret = source_archive(&source, options);
	if (ret)
		goto out;
	dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		ret = extract_into(dir, name, &source, options);
	else if (errno == ENOENT)
		ret = extract_beside(name, &source, options);
	else
		ret = complain(STATUS_FAILED, "%s: %m", name);
out:
	source_release(&source);
	return ret;
}
