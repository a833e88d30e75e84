// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cache directory. What is in there goes to compilers, some of which run as
 * root, so nobody else may be able to put anything there, or something else in
 * its place. Each component is opened in the one before and looked at.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kheaders.h"

#define LINKS_MOST 16

struct walk {
	int dir;
	char path[PATH_MAX];	/* of @dir, without links */
	char rest[PATH_MAX];	/* still to go */
	unsigned int links;
	bool quiet;
};

static int refuse(const struct walk *w, const char *why)
{
	return w->quiet ? STATUS_FAILED :
	       complain(STATUS_FAILED,
			"cache directory: %s: %s: or name another directory with --cache",
			w->path[0] ? w->path : "/", why);
}

static int cannot(const struct walk *w)
{
	char why[256];

	snprintf(why, sizeof(why), "%m");
	return refuse(w, why);
}

static bool trusted(uid_t owner)
{
	return owner == 0 || owner == geteuid();
}

/* Whether nobody else can put things into the directory or rename them. */
static int check_parent(const struct walk *w, const struct stat *st)
{
	if (!trusted(st->st_uid))
		return refuse(w, "belongs to another user");
	/* With the sticky bit, what belongs to us or root stays in its place. */
	if ((st->st_mode & 022) && !(st->st_mode & S_ISVTX))
		return refuse(w, "others may write to it: chmod go-w helps");
	return 0;
}

static int follow(struct walk *w, const char *name, const struct stat *st)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t size;

	if (!trusted(st->st_uid))
		return refuse(w, "leads through another user's link");
	if (++w->links > LINKS_MOST)
		return refuse(w, "too many links");
	size = readlinkat(w->dir, name, target, sizeof(target) - 1);
	if (size <= 0)
		return cannot(w);
	target[size] = 0;
	if (snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int)sizeof(rest))
		return refuse(w, "name too long");
	strcpy(w->rest, rest);
	if (target[0] == '/') {
		int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (root < 0)
			return cannot(w);
		close(w->dir);
		w->dir = root;
		w->path[0] = 0;
	}
	return 0;
}

/* Goes to @name, which is made if need be. */
static int step(struct walk *w, const char *name)
{
	size_t length = strlen(w->path);
	struct stat st;
	int fd, ret;

	if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT || (mkdirat(w->dir, name, 0700) && errno != EEXIST)) {
			snprintf(w->path + length, sizeof(w->path) - length, "/%s", name);
			return cannot(w);
		}
		memset(&st, 0, sizeof(st));
	}
	if (S_ISLNK(st.st_mode))
		return follow(w, name, &st);

	fd = openat(w->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)	/* others' home directories, say */
		fd = openat(w->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!strcmp(name, "..")) {
		char *slash = strrchr(w->path, '/');

		if (slash)
			*slash = 0;
	} else if (snprintf(w->path + length, sizeof(w->path) - length, "/%s", name) >=
		   (int)(sizeof(w->path) - length)) {
		errno = ENAMETOOLONG;
		ret = cannot(w);
		goto out;
	}
	if (fd < 0 || fstat(fd, &st)) {
		ret = cannot(w);
		goto out;
	}
	ret = check_parent(w, &st);
out:
	if (!ret) {
		close(w->dir);
		w->dir = fd;
	} else if (fd >= 0) {
		close(fd);
	}
	return ret;
}

static int open_cache(const char *path, bool quiet, int *dir, char **canonical)
{
	struct walk w = { .quiet = quiet };
	struct stat st;
	int ret = 0;

	if (snprintf(w.rest, sizeof(w.rest), "%s", path) >= (int)sizeof(w.rest))
		return complain(STATUS_FAILED, "cache directory: name too long");
	w.dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w.dir < 0)
		return cannot(&w);
	while (!ret && w.rest[0]) {
		char name[NAME_MAX + 1];
		size_t length = strcspn(w.rest, "/");

		if (length > NAME_MAX) {
			ret = refuse(&w, "name too long");
			break;
		}
		memcpy(name, w.rest, length);
		name[length] = 0;
		memmove(w.rest, w.rest + length + (w.rest[length] == '/'),
			strlen(w.rest + length + (w.rest[length] == '/')) + 1);
		if (length && strcmp(name, "."))
			ret = step(&w, name);
	}
	if (!ret && fstat(w.dir, &st))
		ret = cannot(&w);
	if (!ret && st.st_uid != geteuid())
		ret = refuse(&w, "belongs to another user");
	if (!ret && (st.st_mode & 077))
		ret = refuse(&w, "others can read or write it: chmod 700 helps");
	if (!ret && faccessat(w.dir, ".", W_OK, AT_EACCESS))
		ret = cannot(&w);
	if (!ret) {
		*canonical = strdup(w.path);
		if (!*canonical)
			ret = no_memory(NULL);
	}
	if (ret)
		close(w.dir);
	else
		*dir = w.dir;
	return ret;
}

/**
 * cachedir_open - the directory for unpacked headers, made if need be
 * @options: --cache
 * @dir: gets a descriptor of it
 * @path: gets its name, without links, to free()
 */
int cachedir_open(const struct options *options, int *dir, char **path)
{
	const char *home = getenv("HOME"), *xdg = getenv("XDG_CACHE_HOME"), *cache = options->cache;
	char name[PATH_MAX], here[PATH_MAX];

	if (!cache || !*cache)
		cache = getenv("KHEADERS_CACHE");
	if (cache && *cache) {
		if (*cache == '/')
			return open_cache(cache, false, dir, path);
		if (!getcwd(here, sizeof(here)) ||
		    snprintf(name, sizeof(name), "%s/%s", here, cache) >= (int)sizeof(name))
			return complain(STATUS_FAILED,
					"cache directory: %s: name too long, or the current directory is gone",
					cache);
		return open_cache(name, false, dir, path);
	}
	if (!geteuid()) {
		/* The root may be read-only. */
		if (!open_cache(KHEADERS_VAR_CACHE, true, dir, path))
			return 0;
		if (mkdir(KHEADERS_RUN, 0755) && errno != EEXIST)
			return open_cache(KHEADERS_VAR_CACHE, false, dir, path);
		return open_cache(KHEADERS_RUN "/cache", false, dir, path);
	}
	/* An empty or relative one is to be ignored, its specification says. */
	if (xdg && *xdg == '/')
		snprintf(name, sizeof(name), "%.4000s/kheaders", xdg);
	else if (home && *home == '/')
		snprintf(name, sizeof(name), "%.4000s/.cache/kheaders", home);
	else
		return complain(STATUS_FAILED,
				"cache directory: neither XDG_CACHE_HOME nor HOME is set: name a directory with --cache");
	return open_cache(name, false, dir, path);
}
