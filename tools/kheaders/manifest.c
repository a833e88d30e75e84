// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a directory in the cache holds: each file's size and time of change,
 * which no program can set. Cleaners remove files one by one, and half a tree
 * compiles into something else, or not at all.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kheaders.h"

#define HEAD	"kheaders manifest 1 "
#define TAIL	"end\n"
#define SLICES	4

/* A head line, which names the boot: what was written before a crash may be lost. */
static void head_line(char line[BOOT_ID + sizeof(HEAD)])
{
	char boot[BOOT_ID];

	boot_id(boot);
	sprintf(line, HEAD "%s\n", boot);
}

/**
 * manifest_write - list what was unpacked
 * @entry: the directory that has it in "headers"
 * @tree: what tree_read() wrote there
 *
 * Returns: 0, otherwise -1, with errno set.
 */
int manifest_write(int entry, const struct tree *tree)
{
	char head[BOOT_ID + sizeof(HEAD)];
	int fd, ret = -1;
	FILE *file;

	fd = openat(entry, "manifest", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -1;
	}
	head_line(head);
	fputs(head, file);
	for (size_t i = 0; i < tree->count; i++) {
		const struct file *f = &tree->files[i];

		fprintf(file, "%lld %lld %ld %s\n", (long long)f->size,
			(long long)f->changed.tv_sec, f->changed.tv_nsec, f->name);
	}
	fputs(TAIL, file);
	if (!fflush(file) && !ferror(file))
		ret = 0;
	if (fclose(file))
		ret = -1;
	return ret;
}

struct slice {
	pthread_t thread;
	bool threaded;
	int headers;
	char *from, *to;	/* whole lines */
	bool same;
};

static bool is_same(int headers, char *line)
{
	long long size = strtoll(line, &line, 10);
	long long seconds = strtoll(line, &line, 10);
	long nanoseconds = strtol(line, &line, 10);
	struct stat st;

	return *line == ' ' && !fstatat(headers, line + 1, &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_size == size && st.st_ctim.tv_sec == seconds &&
	       st.st_ctim.tv_nsec == nanoseconds;
}

static void *compare(void *arg)
{
	struct slice *slice = arg;
	char *line = slice->from, *end;

	for (slice->same = true; slice->same && line < slice->to; line = end + 1) {
		end = memchr(line, '\n', slice->to - line);
		*end = 0;
		slice->same = is_same(slice->headers, line);
	}
	return NULL;
}

/* Asking about thousands of files is most of what a run does: share it out. */
static bool compare_all(int headers, char *from, char *to)
{
	struct slice slices[SLICES];
	bool same = true;

	for (int i = 0; i < SLICES; i++) {
		char *middle = from + (to - from) / (SLICES - i), *end = to;

		if (middle < to)
			end = (char *)memchr(middle, '\n', to - middle) + 1;
		slices[i] = (struct slice){ .headers = headers, .from = from, .to = end };
		slices[i].threaded = i < SLICES - 1 &&
			!pthread_create(&slices[i].thread, NULL, compare, &slices[i]);
		if (!slices[i].threaded)
			compare(&slices[i]);
		from = end;
	}
	for (int i = 0; i < SLICES; i++) {
		if (slices[i].threaded)
			pthread_join(slices[i].thread, NULL);
		same &= slices[i].same;
	}
	return same;
}

/* All of it, to free(), or NULL. */
static char *read_manifest(int entry, size_t *size, bool *synced)
{
	int fd = openat(entry, "manifest", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char *text = NULL;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st)) {
		*size = st.st_size;
		*synced = !(st.st_mode & S_IWUSR);
		text = malloc(*size + 1);
		if (text && read(fd, text, *size) != st.st_size) {
			free(text);
			text = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	return text;
}

/**
 * manifest_holds - whether all is there as it was unpacked
 * @entry: the directory that has it in "headers"
 */
bool manifest_holds(int entry)
{
	char head[BOOT_ID + sizeof(HEAD)], *text, *lines;
	size_t size, tail = strlen(TAIL);
	bool holds = false, synced;
	int headers;

	text = read_manifest(entry, &size, &synced);
	headers = openat(entry, "headers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!text || headers < 0 || size < strlen(HEAD) + tail ||
	    memcmp(text, HEAD, strlen(HEAD)) || text[size - tail - 1] != '\n' ||
	    memcmp(text + size - tail, TAIL, tail))
		goto out;
	head_line(head);
	if (!synced && strncmp(text, head, strlen(head)))
		goto out;
	lines = memchr(text, '\n', size);
	holds = compare_all(headers, lines + 1, text + size - tail);
out:
	free(text);
	if (headers >= 0)
		close(headers);
	return holds;
}
