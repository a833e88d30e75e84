// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tar archive: libarchive reads it, and what it says is not believed. Each
 * name is taken apart here and each directory opened in the one above, so that
 * nothing that was in the archive before can lead the next entry elsewhere.
 */

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kheaders.h"

#define DEPTH		32
#define CAPTURE_SIZE	4096

struct writer {
	const char *archive;		/* for messages */
	const struct options *options;
	struct tree *tree;
	struct stream *stream;
	uint64_t unpacked_size;		/* as far as the index tells */
	uint64_t streamed;
	uint64_t zeros;			/* at the end of that */
	bool too_large;
	bool writing;

	/* The directory that is open, and those above it. */
	char path[PATH_MAX];
	int fds[DEPTH + 1];
	size_t ends[DEPTH + 1];		/* in @path */
	unsigned int depth;
	void *directories;		/* names of all that were made */
};

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static const char twice[] = "twice in the archive, or upper and lower case are the same here";

static int refuse(const struct writer *w, const char *name, const char *why)
{
	return complain(STATUS_DAMAGED, "%s: %s: %s: not unpacked", w->archive, name, why);
}

static int cannot(const struct writer *w, const char *name)
{
	if (errno == ENOSPC || errno == EDQUOT)
		return complain(STATUS_FAILED,
				"%s: %s: no space left for it: about %llu MB are needed",
				w->archive, name,
				(unsigned long long)w->unpacked_size * 3 / 2 / 1000000 + 1);
	return complain(STATUS_FAILED, "%s: %s: %m", w->archive, name);
}

/* Remembers a directory. Returns 1 if it is new, 0 if not, -1 without memory. */
static int remember(struct writer *w, const char *name)
{
	char *copy;

	if (tfind(name, &w->directories, compare))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -1;
	if (!tsearch(copy, &w->directories, compare)) {
		free(copy);
		return -1;
	}
	w->tree->directories++;
	return 1;
}

static void leave(struct writer *w)
{
	if (w->writing)
		close(w->fds[w->depth]);
	w->depth--;
	w->path[w->ends[w->depth]] = 0;
}

/* Goes one directory down from the one that is open. */
static int descend(struct writer *w, const char *component, size_t length)
{
	size_t end = w->ends[w->depth], start = end;
	int new, fd = -1;

	if (w->depth == DEPTH || end + length + 2 > sizeof(w->path))
		return refuse(w, w->path, "directories too deep");
	if (end)
		w->path[end++] = '/';
	memcpy(w->path + end, component, length);
	w->path[end + length] = 0;

	new = remember(w, w->path);
	if (new < 0)
		return no_memory(w->archive);
	if (new && w->tree->count + w->tree->directories > w->options->max_files)
		return refuse(w, w->path, "too many files: --max-files allows more");
	if (w->writing) {
		/* One that is there and is not ours differs in case alone. */
		if (new && mkdirat(w->fds[w->depth], w->path + end, 0755))
			return errno == EEXIST ? refuse(w, w->path, twice) :
						 cannot(w, w->path);
		fd = openat(w->fds[w->depth], w->path + end,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return cannot(w, w->path);
	}
	w->depth++;
	w->fds[w->depth] = fd;
	w->ends[w->depth] = end + length;
	if (w->path[start] == '/')
		start++;

	/* arch/X/include. User Mode Linux has another one's headers, too. */
	if (w->depth == 3 && !strncmp(w->path, "arch/", 5) &&
	    !strcmp(w->path + start, "include") &&
	    (!w->tree->arch || !strncmp(w->path, "arch/um/", 8))) {
		free(w->tree->arch);
		w->tree->arch = strndup(w->path + 5, start - 6);
		if (!w->tree->arch)
			return no_memory(w->archive);
	}
	return 0;
}

/* Makes the directory of this name the one that is open. */
static int enter(struct writer *w, const char *name, size_t length)
{
	size_t start;
	int ret;

	while (w->depth) {
		size_t end = w->ends[w->depth];

		if (end <= length && !memcmp(w->path, name, end) &&
		    (end == length || name[end] == '/'))
			break;
		leave(w);
	}
	for (start = w->ends[w->depth]; start < length; ) {
		const char *component = name + start + (name[start] == '/');
		const char *slash = memchr(component, '/', name + length - component);
		size_t end = slash ? (size_t)(slash - name) : length;

		ret = descend(w, component, name + end - component);
		if (ret)
			return ret;
		start = end;
	}
	return 0;
}

/*
 * Takes "./" from the front and slashes from the end. Returns NULL for what is
 * no name of something below the directory that is unpacked to.
 */
static const char *plain_name(const char *name, size_t *length)
{
	const char *component;

	while (name[0] == '.' && name[1] == '/')
		for (name++; *name == '/'; name++)
			;
	*length = strlen(name);
	while (*length > 1 && name[*length - 1] == '/')
		--*length;
	if (*length == 1 && *name == '.')
		*length = 0;
	if (*length >= PATH_MAX)
		return NULL;

	for (component = name; component < name + *length; ) {
		const char *c = component;

		for (; c < name + *length && *c != '/'; c++)
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				return NULL;
		if (c == component || c - component > NAME_MAX ||
		    (c - component == 1 && *component == '.') ||
		    (c - component == 2 && !memcmp(component, "..", 2)))
			return NULL;
		component = c + 1;
	}
	return name;
}

/*
 * Whether a link in a directory of that depth stays inside. ".." is fine at the
 * front, where it leads through directories that were made here. Behind a name
 * that may be a link itself, nobody knows where it leads.
 */
static bool stays_inside(const char *target, unsigned int depth)
{
	const char *c = target;

	if (!*c || *c == '/' || strlen(c) >= PATH_MAX)
		return false;
	while (!strncmp(c, "../", 3)) {
		if (!depth--)
			return false;
		for (c += 3; *c == '/'; c++)
			;
	}
	if (!strcmp(c, ".."))
		return depth;
	for (; c; c = strchr(c, '/'), c = c ? c + 1 : c) {
		if (!strncmp(c, "..", 2) && (!c[2] || c[2] == '/'))
			return false;
	}
	return true;
}

/* Keeps a copy of the first bytes of small files that tell about the archive. */
static char **wanted(struct writer *w, const char *name)
{
	if (!strcmp(name, "include/generated/utsrelease.h"))
		return &w->tree->release;
	if (!strcmp(name, "kheaders_info.txt"))
		return &w->tree->about;
	return NULL;
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *bytes = data;

	while (size) {
		ssize_t done = write(fd, bytes, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		bytes += done;
		size -= done;
	}
	return 0;
}

static int broken(const struct writer *w, struct archive *a)
{
	const char *why = stream_error(w->stream);

	if (w->too_large)
		return complain(STATUS_DAMAGED,
				"%s: more than %llu bytes unpacked: --max-size allows more",
				w->archive, (unsigned long long)w->options->max_size);
	if (!why && archive_errno(a) == ENOMEM)
		why = out_of_memory;
	if (!why)
		why = archive_error_string(a);
	return complain(why == out_of_memory ? STATUS_FAILED : STATUS_DAMAGED, "%s: %s",
			w->archive, why ? why : "damaged");
}

static int copy_data(struct writer *w, struct archive *a, const char *name, int fd,
		     char **captured)
{
	int64_t position = 0, offset;
	size_t size, kept = 0;
	const void *data;
	int ret;

	while ((ret = archive_read_data_block(a, &data, &size, &offset)) == ARCHIVE_OK) {
		if (offset != position)
			return refuse(w, name, "a file with holes");
		position += size;
		if (fd >= 0 && write_all(fd, data, size))
			return cannot(w, name);
		if (captured && kept < CAPTURE_SIZE) {
			size_t more = size < CAPTURE_SIZE - kept ? size : CAPTURE_SIZE - kept;

			memcpy(*captured + kept, data, more);
			kept += more;
		}
	}
	if (ret != ARCHIVE_EOF)
		return broken(w, a);
	w->tree->bytes += position;
	return 0;
}

/* Notes what was just written. */
static void note(struct tree *tree, const struct stat *st)
{
	tree->files[tree->count - 1].size = st->st_size;
	tree->files[tree->count - 1].changed = st->st_ctim;
}

static int write_file(struct writer *w, struct archive *a, struct archive_entry *entry,
		      const char *name, const char *base)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	bool runs = archive_entry_perm(entry) & 0111;
	char **captured = wanted(w, name);
	struct stat st;
	int fd = -1, ret = 0;

	if (archive_entry_perm(entry) & (S_ISUID | S_ISGID))
		return refuse(w, name, "setuid or setgid");
	if (captured && *captured)
		return refuse(w, name, twice);
	if (captured) {
		*captured = calloc(1, CAPTURE_SIZE + 1);
		if (!*captured)
			return no_memory(w->archive);
	}
	if (w->writing) {
		fd = openat(w->fds[w->depth], base, O_WRONLY | O_CREAT | O_EXCL |
			    O_NOFOLLOW | O_CLOEXEC, runs ? 0755 : 0644);
		if (fd < 0)
			return errno == EEXIST ? refuse(w, name, twice) :
						 cannot(w, name);
	}
	ret = copy_data(w, a, name, fd, captured);
	/* make compares the times of what it finds. */
	times[1].tv_sec = archive_entry_mtime(entry);
	if (fd >= 0 && !ret) {
		if (futimens(fd, times) || fstat(fd, &st))
			ret = cannot(w, name);
		else
			note(w->tree, &st);
	}
	if (fd >= 0 && close(fd) && !ret)
		ret = cannot(w, name);
	return ret;
}

static int write_link(struct writer *w, struct archive_entry *entry, const char *name,
		      const char *base)
{
	const char *target = archive_entry_symlink(entry);
	struct stat st;

	if (!target || !stays_inside(target, w->depth))
		return refuse(w, name, "a link that leads out");
	if (!w->writing)
		return 0;
	if (symlinkat(target, w->fds[w->depth], base))
		return errno == EEXIST ? refuse(w, name, twice) :
					 cannot(w, name);
	if (fstatat(w->fds[w->depth], base, &st, AT_SYMLINK_NOFOLLOW))
		return cannot(w, name);
	note(w->tree, &st);
	return 0;
}

static int add_name(struct writer *w, const char *name, size_t length)
{
	struct tree *tree = w->tree;

	if (tree->count + tree->directories >= w->options->max_files)
		return refuse(w, name, "too many files: --max-files allows more");
	if (!(tree->count & (tree->count - 1))) {
		size_t room = tree->count ? 2 * tree->count : 1;
		struct file *more = realloc(tree->files, room * sizeof(*more));

		if (!more)
			return no_memory(w->archive);
		tree->files = more;
	}
	tree->files[tree->count] = (struct file){ .name = strndup(name, length) };
	if (!tree->files[tree->count].name)
		return no_memory(w->archive);
	tree->count++;

	if (!strcmp(name, KCONFIG_H))
		tree->has_kconfig = true;
	if (!strcmp(name, "scripts/mod/modpost") || !strcmp(name, "scripts/mod/modpost.c"))
		tree->has_modpost = true;
	if (!strcmp(name, "compile_flags.txt"))
		tree->has_flags = true;
	return 0;
}

static int unpack_entry(struct writer *w, struct archive *a, struct archive_entry *entry)
{
	const char *given = archive_entry_pathname(entry), *name, *base;
	size_t length;
	int ret;

	if (!given)
		return refuse(w, "?", "a name that cannot be read");
	name = plain_name(given, &length);
	if (!name)
		return refuse(w, given, "not the name of a file below");
	if (archive_entry_hardlink(entry))
		return refuse(w, name, "a hard link");
	if (archive_entry_sparse_count(entry))
		return refuse(w, name, "a file with holes");
	if (archive_entry_filetype(entry) == AE_IFDIR)
		return enter(w, name, length);
	if (!length || name[length])
		return refuse(w, given, "not the name of a file below");

	base = strrchr(name, '/');
	ret = enter(w, name, base ? base - name : 0);
	if (ret)
		return ret;
	base = base ? base + 1 : name;
	if (tfind(name, &w->directories, compare))
		return refuse(w, name, twice);
	ret = add_name(w, name, length);
	if (ret)
		return ret;
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return write_file(w, a, entry, name, base);
	case AE_IFLNK:
		return write_link(w, entry, name, base);
	default:
		return refuse(w, name, "neither a file nor a directory nor a link");
	}
}

static ssize_t more_bytes(struct archive *a, void *arg, const void **data)
{
	struct writer *w = arg;
	ssize_t size = stream_read(w->stream, data);

	if (size < 0)
		archive_set_error(a, EIO, "%s", stream_error(w->stream));
	if (size > 0) {
		const char *bytes = *data;
		ssize_t zeros = 0;

		w->streamed += size;
		while (zeros < size && !bytes[size - 1 - zeros])
			zeros++;
		w->zeros = zeros == size ? w->zeros + size : (uint64_t)zeros;
	}
	if (w->streamed > w->options->max_size) {
		w->too_large = true;
		archive_set_error(a, EFBIG, "too large");
		return -1;
	}
	return size;
}

static bool interrupted(const struct options *options)
{
	sigset_t pending, both;

	return !sigpending(&pending) && !sigandset(&both, &pending, &options->held) &&
	       !sigisemptyset(&both);
}

static int unpack_all(struct writer *w, struct archive *a)
{
	struct archive_entry *entry;
	const void *data;
	int ret;

	ret = archive_read_open(a, w, NULL, more_bytes, NULL);
	if (ret != ARCHIVE_OK)
		return broken(w, a);
	while ((ret = archive_read_next_header(a, &entry)) == ARCHIVE_OK) {
		ret = unpack_entry(w, a, entry);
		if (ret)
			return ret;
		if (interrupted(w->options))
			return complain(STATUS_FAILED, "%s: interrupted", w->archive);
	}
	if (ret != ARCHIVE_EOF)
		return broken(w, a);
	/* The stream's last check covers what is behind the tar archive, too. */
	do {
		ret = more_bytes(a, w, &data);
	} while (ret > 0);
	if (ret < 0)
		return broken(w, a);
	/* libarchive does not miss the end. */
	if (w->zeros < 1024)
		return complain(STATUS_DAMAGED,
				"%s: the tar archive in it is cut short", w->archive);
	if (!w->tree->has_kconfig)
		return complain(STATUS_DAMAGED,
				"%s: not an archive of kernel headers: %s is not in there",
				w->archive, KCONFIG_H);
	return 0;
}

/* Leaves of the text of utsrelease.h what is between the quotes. */
static void pick_release(char *text)
{
	char *from = strstr(text, "UTS_RELEASE \""), *to;

	from = from ? from + strlen("UTS_RELEASE \"") : text + strlen(text);
	to = strchr(from, '"');
	memmove(text, from, to ? (size_t)(to - from) : 0);
	text[to ? to - from : 0] = 0;
}

/**
 * tree_read - unpack an archive, or only look through it
 * @archive: the .xz file
 * @name: what to call it in messages
 * @dir: an empty directory to unpack to, or -1
 * @options: limits
 * @tree: gets what is in there; tree_release() in any case
 *
 * What a failure leaves in @dir is the caller's to remove.
 */
int tree_read(const struct blob *archive, const char *name, int dir,
	      const struct options *options, struct tree *tree)
{
	struct writer w = {
		.archive = name, .options = options, .tree = tree,
		.writing = dir >= 0, .fds = { dir },
		.unpacked_size = stream_unpacked_size(archive->data, archive->size),
	};
	mode_t mask = umask(022);
	struct archive *a = NULL;
	int ret;

	memset(tree, 0, sizeof(*tree));
	ret = stream_open(&w.stream, archive->data, archive->size, options->threads);
	if (ret)
		goto restore_mask;
	a = archive_read_new();
	if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK)
		ret = no_memory(w.archive);
	else
		ret = unpack_all(&w, a);
	if (!ret && tree->release)
		pick_release(tree->release);
	while (w.depth)
		leave(&w);
	tdestroy(w.directories, free);
	archive_read_free(a);
	stream_close(w.stream);
restore_mask:
	umask(mask);
	return ret;
}

void tree_release(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		free(tree->files[i].name);
	free(tree->files);
	free(tree->release);
	free(tree->arch);
	free(tree->about);
}

/**
 * tree_empty - remove all that is in a directory
 * @dir: the directory, which is closed, so that this takes no more descriptors
 *	than it took to fill it
 *
 * Returns: 0, otherwise -1.
 */
int tree_empty(int dir)
{
	DIR *stream = fdopendir(dir);
	struct dirent *entry;
	int ret = 0;

	if (!stream) {
		close(dir);
		return -1;
	}
	while ((entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (tree_remove(dir, entry->d_name))
			ret = -1;
	}
	closedir(stream);
	return ret;
}

/**
 * tree_remove - remove a file, or a directory with all that is in it
 * @parent: the directory it is in
 * @name: its name there
 *
 * Returns: 0, otherwise -1, with errno set.
 */
int tree_remove(int parent, const char *name)
{
	int dir;

	if (!unlinkat(parent, name, 0))
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0)
		tree_empty(dir);
	return unlinkat(parent, name, AT_REMOVEDIR);
}

/**
 * tree_rename - renameat2(), which not every libc has
 * @parent: the directory of both
 * @from: a name
 * @to: the new one
 * @flags: RENAME_*
 *
 * Returns: 0, otherwise -1, with errno set.
 */
int tree_rename(int parent, const char *from, const char *to, unsigned int flags)
{
	return syscall(SYS_renameat2, parent, from, parent, to, flags);
}
