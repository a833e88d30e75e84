// SPDX-License-Identifier: GPL-2.0-only
/* Where the headers come from, and how to tell that they are still the same. */

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kheaders.h"

/**
 * source_build_dir - the running kernel's headers from a package
 *
 * Returns: a directory to free(), or NULL.
 */
char *source_build_dir(void)
{
	char path[PATH_MAX], header[PATH_MAX];
	struct utsname uts;

	if (uname(&uts))
		return NULL;
	snprintf(path, sizeof(path), KHEADERS_MODULES "/%s/build", uts.release);
	snprintf(header, sizeof(header), KHEADERS_MODULES "/%s/build/include/generated/autoconf.h",
		 uts.release);
	return access(header, R_OK) ? NULL : realpath(path, NULL);
}

/* The value of CONFIG_IKHEADERS: y, m, n, or 0 if it cannot be read. */
static char configured(const char *release)
{
	char path[PATH_MAX], text[64], value = 0;
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	size_t kept = 0;

	snprintf(path, sizeof(path), "/boot/config-%s", release);
	if (!a || archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
	    archive_read_support_format_raw(a) != ARCHIVE_OK)
		goto out;
	if (archive_read_open_filename(a, "/proc/config.gz", 4096) != ARCHIVE_OK) {
		archive_read_free(a);
		a = archive_read_new();
		if (!a || archive_read_support_format_raw(a) != ARCHIVE_OK ||
		    archive_read_open_filename(a, path, 4096) != ARCHIVE_OK)
			goto out;
	}
	if (archive_read_next_header(a, &entry) != ARCHIVE_OK)
		goto out;
	value = 'n';
	for (char c; archive_read_data(a, &c, 1) == 1; ) {
		if (c != '\n') {
			if (kept < sizeof(text) - 1)
				text[kept++] = c;
			continue;
		}
		text[kept] = 0;
		kept = 0;
		if (!strncmp(text, "CONFIG_IKHEADERS=", 17))
			value = text[17];
	}
out:
	archive_read_free(a);
	return value;
}

static int nothing(const char *release)
{
	switch (configured(release)) {
	case 'y':
		return complain(STATUS_NONE, KHEADERS_SYSFS ": not there, although CONFIG_IKHEADERS=y: mount sysfs at /sys");
	case 'm':
		return complain(STATUS_NONE,
				"module kheaders: not installed in %s/%s: install all of this kernel's modules; in a container, have %s mounted",
				KHEADERS_MODULES, release, KHEADERS_MODULES);
	case 'n':
		return complain(STATUS_NONE,
				"no headers: this kernel (%s) is built without CONFIG_IKHEADERS: install its package of headers, or name a file with --from",
				release);
	default:
		return complain(STATUS_NONE,
				"no headers: neither %s nor a module kheaders nor %s/%s/build, and no kernel configuration that would tell why: name a file with --from",
				KHEADERS_SYSFS, KHEADERS_MODULES, release);
	}
}

/**
 * boot_id - what tells this boot from all others
 * @id: gets a line of text; an empty one where /proc is not mounted
 */
void boot_id(char id[BOOT_ID])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, id, BOOT_ID - 1);

	if (fd >= 0)
		close(fd);
	id[size > 0 ? size : 0] = 0;
	id[strcspn(id, "\n")] = 0;
}

static int identify_loaded(struct source *source, const struct stat *st)
{
	char boot[BOOT_ID];

	boot_id(boot);
	/* sysfs gives the file another inode each time it comes. */
	if (boot[0] && asprintf(&source->identity, "loaded %s %llu %llu", boot,
				(unsigned long long)st->st_ino,
				(unsigned long long)st->st_size) < 0) {
		source->identity = NULL;
		return no_memory(NULL);
	}
	return 0;
}

static int identify_file(struct source *source, const char *kind, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return 0;
	if (asprintf(&source->identity, "%s %s %llu %llu %llu %lld.%09ld %lld.%09ld", kind, path,
		     (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		     (unsigned long long)st.st_size,
		     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		     (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec) < 0) {
		source->identity = NULL;
		return no_memory(NULL);
	}
	return 0;
}

/**
 * source_find - see what there is, without reading it
 * @source: gets it; source_release() in any case
 * @options: --from
 */
int source_find(struct source *source, const struct options *options)
{
	struct utsname uts;
	struct stat st;
	int ret;

	memset(source, 0, sizeof(*source));
	if (options->from) {
		source->kind = SOURCE_FILE;
		source->name = strdup(options->from);
		return source->name ? identify_file(source, "file", source->name) : no_memory(NULL);
	}
	if (!stat(KHEADERS_SYSFS, &st)) {
		source->kind = SOURCE_SYSFS;
		source->name = strdup(KHEADERS_SYSFS);
		return source->name ? identify_loaded(source, &st) : no_memory(NULL);
	}
	source->kind = SOURCE_MODULE;
	ret = loan_module(&source->name);
	if (ret)
		return ret;
	if (source->name)
		return identify_file(source, "module", source->name);
	source->kind = SOURCE_BUILD;
	source->name = source_build_dir();
	if (source->name)
		return 0;
	return uname(&uts) ? complain(STATUS_FAILED, "uname: %m") : nothing(uts.release);
}

/* Returns -1, with errno set, if reading fails. */
static int read_all(int fd, const char *name, struct blob *blob)
{
	size_t room = blob->size;
	ssize_t got;

	do {
		if (blob->size == room) {
			unsigned char *more;

			room = room ? 2 * room : 8 << 20;
			if (room > ARCHIVE_MOST)
				return complain(STATUS_DAMAGED,
						"%s: larger than any archive", name);
			more = realloc(blob->data, room);
			if (!more)
				return no_memory(NULL);
			blob->data = more;
		}
		got = read(fd, blob->data + blob->size, room - blob->size);
		if (got > 0)
			blob->size += got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	return got < 0 ? -1 : 0;
}

/* Returns -1, with errno set, if the file is not there, or not any more. */
static int read_sysfs(struct source *source)
{
	int reader = loan_reader();
	int fd = open(KHEADERS_SYSFS, O_RDONLY | O_CLOEXEC);
	int ret = -1, error;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st)) {
		ret = read_all(fd, KHEADERS_SYSFS, &source->archive);
		/* This may be another one than that which was found. */
		if (!ret && source->kind == SOURCE_SYSFS) {
			free(source->identity);
			source->identity = NULL;
			ret = identify_loaded(source, &st);
		}
	}
	error = errno;
	if (ret < 0) {
		free(source->archive.data);
		source->archive = (struct blob){ 0 };
	}
	if (fd >= 0)
		close(fd);
	if (reader >= 0)
		close(reader);
	errno = error;
	return ret;
}

/* Returns whether there is one. */
static bool take_package(struct source *source)
{
	char *build = source_build_dir();

	if (!build)
		return false;
	free(source->name);
	source->name = build;
	source->kind = SOURCE_BUILD;
	return true;
}

static int read_running(struct source *source, const struct options *options)
{
	struct loan *loan = NULL;
	bool root = !geteuid(), lent;
	int ret = -1, returned;

	if (source->kind == SOURCE_MODULE && !root)
		return take_package(source) ? 0 :
		       complain(STATUS_FAILED,
				"module kheaders: not loaded, and you may not load it: as root: kheaders path; or, for ordinary users, as root: modprobe kheaders");
	/* Another run may be about to remove what it loaded, or just have done so. */
	lent = root && (source->kind == SOURCE_MODULE || !access(KHEADERS_RUN "/loaded", F_OK));
	if (!lent)
		ret = read_sysfs(source);
	if (root && ret < 0) {
		ret = loan_take(&loan, options);
		/* Root of a container may not, either. */
		if (ret)
			return take_package(source) ? 0 : ret;
		ret = read_sysfs(source);
	}
	if (ret < 0)
		ret = complain(STATUS_FAILED, KHEADERS_SYSFS ": %m: removed meanwhile, perhaps: try again");
	returned = loan_return(loan);
	return ret ? ret : returned;
}

static void cut_short(int signal)
{
	static const char text[] = "kheaders: --from: the file became shorter while it was read\n";

	(void)signal;
	_exit(write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ? STATUS_FAILED : STATUS_DAMAGED);
}

static int read_file(struct source *source, const struct options *options)
{
	struct sigaction action = { .sa_handler = cut_short }, before;
	int fd = open(source->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	void *map;
	int ret = 0;

	/* It may take long, and there is nothing to tidy up. */
	sigprocmask(SIG_UNBLOCK, &options->held, NULL);
	if (fd < 0 || fstat(fd, &st)) {
		ret = complain(STATUS_FAILED, "%s: %m", source->name);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = complain(STATUS_FAILED, "%s: not a regular file", source->name);
		goto out;
	}
	map = st.st_size > 0 ? mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (map == MAP_FAILED) {
		/* as with files in sysfs */
		struct blob file = { 0 };

		ret = read_all(fd, source->name, &file);
		if (ret < 0)
			ret = complain(STATUS_FAILED, "%s: %m", source->name);
		if (!ret)
			ret = image_find(file.data, file.size, source->name, &source->archive);
		free(file.data);
		goto out;
	}
	sigaction(SIGBUS, &action, &before);
	ret = image_find(map, st.st_size, source->name, &source->archive);
	sigaction(SIGBUS, &before, NULL);
	munmap(map, st.st_size);
out:
	sigprocmask(SIG_BLOCK, &options->held, NULL);
	if (fd >= 0)
		close(fd);
	return ret;
}

/**
 * source_read - get the archive
 * @source: from source_find(). Its kind becomes SOURCE_BUILD where the archive
 *	cannot be had and that can.
 * @options: signals that wait
 */
int source_read(struct source *source, const struct options *options)
{
	int ret = source->kind == SOURCE_BUILD ? 0 :
		  source->kind == SOURCE_FILE ? read_file(source, options) :
						read_running(source, options);

	if (!ret && source->kind != SOURCE_BUILD)
		sha256_text(source->archive.data, source->archive.size, source->hash);
	return ret;
}

/**
 * source_archive - get the archive, where a package's headers will not do
 * @source: gets it; source_release() in any case
 * @options: --from
 */
int source_archive(struct source *source, const struct options *options)
{
	int ret = source_find(source, options);

	if (!ret)
		ret = source_read(source, options);
	if (!ret && source->kind == SOURCE_BUILD)
		ret = complain(STATUS_NONE,
			       "no archive that could be read: the headers are in %s",
			       source->name);
	return ret;
}

void source_release(struct source *source)
{
	free(source->name);
	free(source->identity);
	free(source->archive.data);
}
