// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unpacked headers, kept for the next run. In the cache directory are
 *
 *   HASH/headers     an unpacked archive, HASH being its SHA-256
 *   HASH/manifest    what is in it, and in which boot it was written; its mode is
 *                    0400 once all is on disk, its mtime is when it was last
 *                    used, and who needs it to stay holds a shared lock on it
 *   id-IDENTITY      the hash of an archive known by what is cheap to ask
 *   lock             held by whoever changes the above
 *   stage, old       what the holder of the lock is working on, or one that was
 *                    killed; removed by the next
 *
 * A HASH appears by rename(2), complete or not at all. Writing it to disk may
 * take long where others write, too, so it is left to a child; until that is done
 * a HASH counts in the boot that made it only.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kheaders.h"

#define KEEP_MOST	4
#define KEEP_SECONDS	(30 * 24 * 3600)

static bool is_hash(const char *name)
{
	return strlen(name) == SHA256_TEXT - 1 &&
	       strspn(name, "0123456789abcdef") == SHA256_TEXT - 1;
}

/*
 * Opens what is there, and locks it so that it stays. Returns the lock, -1 if it
 * is not there or, unless it is fresh, not as it was.
 */
static int use_entry(int cache, const char *hash, bool fresh)
{
	int entry = openat(cache, hash, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int hold = -1;

	if (entry < 0)
		return -1;
	hold = openat(entry, "manifest", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (hold >= 0 &&
	    (flock(hold, LOCK_SH | LOCK_NB) || (!fresh && !manifest_holds(entry)))) {
		close(hold);
		hold = -1;
	}
	close(entry);
	if (hold >= 0)
		futimens(hold, NULL);
	return hold;
}

static void identity_name(const struct source *source, char name[SHA256_TEXT + 3])
{
	memcpy(name, "id-", 3);
	sha256_text(source->identity, strlen(source->identity), name + 3);
}

static bool recall(int cache, const char *name, char hash[SHA256_TEXT])
{
	int fd = openat(cache, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return false;
	size = read(fd, hash, SHA256_TEXT - 1);
	close(fd);
	hash[size < 0 ? 0 : size] = 0;
	return is_hash(hash);
}

/* What cannot be remembered is worked out again. */
static void remember(int cache, const struct source *source)
{
	char name[SHA256_TEXT + 3];
	int fd;

	if (!source->identity)
		return;
	identity_name(source, name);
	fd = openat(cache, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, source->hash, SHA256_TEXT - 1) != SHA256_TEXT - 1)
		unlinkat(cache, name, 0);
	close(fd);
}

static bool older(const struct stat *st, time_t seconds)
{
	return st->st_mtim.tv_sec < time(NULL) - seconds;
}

/* Moves an entry out of sight and removes it, unless somebody holds it. */
static void drop(int cache, const char *hash)
{
	char manifest[SHA256_TEXT + 16];
	int hold;

	snprintf(manifest, sizeof(manifest), "%s/manifest", hash);
	hold = openat(cache, manifest, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (hold < 0 ? errno == ENOENT : !flock(hold, LOCK_EX | LOCK_NB)) {
		if (!renameat(cache, hash, cache, "old"))
			tree_remove(cache, "old");
	}
	if (hold >= 0)
		close(hold);
}

struct entry {
	char hash[SHA256_TEXT];
	struct timespec used;
};

static int later(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? 1 : -1;
	return x->used.tv_nsec < y->used.tv_nsec ? 1 : x->used.tv_nsec > y->used.tv_nsec ? -1 : 0;
}

/*
 * The rule: the four that were used last stay, if that was in the last 30 days;
 * so does what somebody holds, and of course @hash.
 */
static void prune(int cache, const char *hash)
{
	int copy = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct entry *entries = NULL;
	size_t count = 0;
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char name[SHA256_TEXT + 16], key[SHA256_TEXT];
		struct entry *more;
		struct stat st;

		if (!strncmp(d->d_name, "id-", 3)) {
			if (fstatat(cache, d->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
			    older(&st, KEEP_SECONDS) || !recall(cache, d->d_name, key) ||
			    faccessat(cache, key, F_OK, AT_SYMLINK_NOFOLLOW))
				unlinkat(cache, d->d_name, 0);
			continue;
		}
		if (!is_hash(d->d_name) || !strcmp(d->d_name, hash))
			continue;
		more = realloc(entries, (count + 1) * sizeof(*entries));
		if (!more)
			break;
		entries = more;
		snprintf(name, sizeof(name), "%.64s/manifest", d->d_name);
		memset(&st, 0, sizeof(st));
		fstatat(cache, name, &st, AT_SYMLINK_NOFOLLOW);
		entries[count].used = st.st_mtim;
		memcpy(entries[count].hash, d->d_name, SHA256_TEXT);
		count++;
	}
	if (dir)
		closedir(dir);
	else if (copy >= 0)
		close(copy);
	if (count)
		qsort(entries, count, sizeof(*entries), later);
	for (size_t i = 0; i < count; i++) {
		struct stat st = { .st_mtim = entries[i].used };

		if (i >= KEEP_MOST - 1 || older(&st, KEEP_SECONDS))
			drop(cache, entries[i].hash);
	}
	free(entries);
}

/* Puts the complete "stage" in its place. */
static int publish(int cache, const char *hash)
{
	if (!tree_rename(cache, "stage", hash, RENAME_NOREPLACE))
		return 0;
	if (errno == EEXIST && !tree_rename(cache, "stage", hash, RENAME_EXCHANGE)) {
		tree_remove(cache, "stage");
		return 0;
	}
	/* Not all file systems can do that. */
	if (renameat(cache, hash, cache, "old") && errno != ENOENT)
		return -1;
	if (renameat(cache, "stage", cache, hash))
		return -1;
	tree_remove(cache, "old");
	return 0;
}

/*
 * In a grandchild: it is nobody's child that "kheaders exec" then runs. An entry
 * that cannot be written to disk is one without a manifest.
 */
static void sync_later(int entry)
{
	pid_t child = fork();

	if (child > 0)
		waitpid(child, NULL, 0);
	if (child)
		return;
	setsid();
	if (fork())
		_exit(0);
	/* Whoever waits for our output, anywhere, does not wait for the disk. */
	entry = dup2(entry, STDIN_FILENO);
	for (int fd = STDOUT_FILENO; fd < 1024; fd++)
		close(fd);
	if (syncfs(entry))
		_exit(unlinkat(entry, "manifest", 0) ? STATUS_FAILED : 0);
	_exit(fchmodat(entry, "manifest", 0400, 0) ? STATUS_FAILED : 0);
}

static int fill(int cache, const struct source *source, const struct options *options)
{
	struct tree tree = { 0 };
	int stage = -1, headers = -1, ret;

	if (mkdirat(cache, "stage", 0700))
		goto failed;
	stage = openat(cache, "stage", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (stage < 0 || mkdirat(stage, "headers", 0755))
		goto failed;
	headers = openat(stage, "headers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (headers < 0 || fchmod(headers, 0755))
		goto failed;
	ret = tree_read(&source->archive, source->name, headers, options, &tree);
	if (ret)
		goto out;
	if (manifest_write(stage, &tree) || publish(cache, source->hash))
		goto failed;
	sync_later(stage);
	goto out;
failed:
	ret = complain(STATUS_FAILED, "cache directory: %m%s",
		       errno == ENOSPC || errno == EDQUOT ?
		       ": make room, or name another one with --cache" : "");
out:
	if (headers >= 0)
		close(headers);
	if (stage >= 0)
		close(stage);
	if (ret)
		tree_remove(cache, "stage");
	tree_release(&tree);
	return ret;
}

static int take_lock(int cache, const struct options *options, int *lock)
{
	int ret = 0;

	*lock = openat(cache, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*lock < 0)
		return complain(STATUS_FAILED, "cache directory: lock: %m");
	if (!flock(*lock, LOCK_EX | LOCK_NB))
		return 0;
	/* There is nothing to tidy up while this waits. */
	sigprocmask(SIG_UNBLOCK, &options->held, NULL);
	while ((ret = flock(*lock, LOCK_EX)) && errno == EINTR)
		;
	sigprocmask(SIG_BLOCK, &options->held, NULL);
	if (!ret)
		return 0;
	close(*lock);
	return complain(STATUS_FAILED, "cache directory: lock: %m");
}

/* Looks for the archive that was read, and unpacks it if need be. */
static int find_or_fill(int cache, const struct source *source, const struct options *options,
			int *hold)
{
	int lock, ret;

	ret = take_lock(cache, options, &lock);
	if (ret)
		return ret;
	*hold = use_entry(cache, source->hash, false);
	if (*hold < 0) {
		tree_remove(cache, "stage");
		tree_remove(cache, "old");
		ret = fill(cache, source, options);
		if (!ret) {
			*hold = use_entry(cache, source->hash, true);
			if (*hold < 0)
				ret = complain(STATUS_FAILED,
					       "cache directory: what was unpacked is gone");
		}
	}
	if (!ret) {
		remember(cache, source);
		prune(cache, source->hash);
	}
	/* The child that syncs has a copy of the descriptor. */
	flock(lock, LOCK_UN);
	close(lock);
	return ret;
}

/**
 * cache_path - a directory with the headers
 * @options: which, and where the cache is
 * @path: gets its name, to free()
 * @hold: gets a descriptor: as long as it is open, nobody removes the
 *	directory. -1 where it is not in the cache.
 */
int cache_path(const struct options *options, char **path, int *hold)
{
	char name[SHA256_TEXT + 3], *dir = NULL;
	struct source source;
	int cache = -1, ret;

	*path = NULL;
	*hold = -1;
	ret = source_find(&source, options);
	if (ret || source.kind == SOURCE_BUILD)
		goto out;
	ret = cachedir_open(options, &cache, &dir);
	if (ret)
		goto out;
	if (source.identity) {
		identity_name(&source, name);
		if (recall(cache, name, source.hash))
			*hold = use_entry(cache, source.hash, false);
	}
	if (*hold < 0) {
		ret = source_read(&source, options);
		if (!ret && source.kind != SOURCE_BUILD)
			ret = find_or_fill(cache, &source, options, hold);
	}
out:
	if (!ret && source.kind == SOURCE_BUILD) {
		if (options->verbose)
			complain(0, "no archive that could be read: taking %s", source.name);
		*path = strdup(source.name);
	} else if (!ret && asprintf(path, "%s/%s/headers", dir, source.hash) < 0) {
		*path = NULL;
	}
	if (!ret && !*path)
		ret = no_memory(NULL);
	if (cache >= 0)
		close(cache);
	free(dir);
	source_release(&source);
	return ret;
}
