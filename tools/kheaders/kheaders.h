/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kheaders: the parts of the command, and what each offers the others
 *
 * Functions that return int return 0 or, having said on stderr what went wrong,
 * the status that the command is to exit with.
 */
#ifndef KHEADERS_H
#define KHEADERS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A test build has these point to files of its own. */
#ifndef KHEADERS_SYSFS
#define KHEADERS_SYSFS		"/sys/kernel/kheaders.tar.xz"
#endif
#ifndef KHEADERS_RUN
#define KHEADERS_RUN		"/run/kheaders"
#endif
#ifndef KHEADERS_MODULES
#define KHEADERS_MODULES	"/lib/modules"
#endif
#ifndef KHEADERS_VAR_CACHE
#define KHEADERS_VAR_CACHE	"/var/cache/kheaders"
#endif

#define ARCHIVE_MOST		(256u << 20)

/* What no archive of headers is without, as bcc has it. */
#define KCONFIG_H		"include/linux/kconfig.h"

enum status {
	STATUS_FAILED	= 1,
	STATUS_USAGE	= 2,
	STATUS_NONE	= 3,	/* no headers for this kernel, or in this file */
	STATUS_DAMAGED	= 4,	/* or made to do harm */
	STATUS_CANNOT_RUN = 126,
	STATUS_NO_COMMAND = 127,
};

struct options {
	const char *from;	/* --from, otherwise the running kernel */
	const char *cache;	/* --cache */
	const char *dir;	/* --dir */
	uint64_t max_size;	/* bytes unpacked */
	uint64_t max_files;
	unsigned int threads;
	sigset_t held;		/* signals that wait until all is tidy */
	bool exec;
	bool json;
	bool mount;
	bool verbose;
};

/* complain.c */
extern const char out_of_memory[];	/* what is no fault of the archive's */
bool is_control(const char *text, size_t at);
int complain(int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int no_memory(const char *name);

/* sha256.c */
#define SHA256_TEXT 65
void sha256_text(const void *data, size_t size, char text[SHA256_TEXT]);

/* Bytes in memory from malloc() */
struct blob {
	unsigned char *data;
	size_t size;
};

/* image.c */
int image_find(const unsigned char *data, size_t size, const char *name,
	       struct blob *archive);

/* stream.c */
struct stream;
int stream_open(struct stream **stream, const void *data, size_t size,
		unsigned int threads);
ssize_t stream_read(struct stream *stream, const void **data);
const char *stream_error(struct stream *stream);
void stream_close(struct stream *stream);
uint64_t stream_unpacked_size(const void *data, size_t size);

/* tree.c */
struct file {
	char *name;
	off_t size;		/* these as of what was written */
	struct timespec changed;
};

struct tree {
	struct file *files;	/* and links */
	size_t count;
	size_t directories;
	uint64_t bytes;
	char *release;		/* what utsrelease.h says */
	char *arch;		/* a directory below arch/ */
	char *about;		/* kheaders_info.txt */
	bool has_kconfig;
	bool has_modpost;
	bool has_flags;
};

int tree_read(const struct blob *archive, const char *name, int dir,
	      const struct options *options, struct tree *tree);
void tree_release(struct tree *tree);
int tree_empty(int dir);
int tree_remove(int parent, const char *name);
int tree_rename(int parent, const char *from, const char *to, unsigned int flags);

/* loan.c */
struct loan;
int loan_module(char **path);
int loan_take(struct loan **loan, const struct options *options);
int loan_return(struct loan *loan);
int loan_reader(void);

/* source.c */
#define BOOT_ID 40
void boot_id(char id[BOOT_ID]);

enum source_kind {
	SOURCE_SYSFS,
	SOURCE_MODULE,		/* would be there if the module was loaded */
	SOURCE_FILE,
	SOURCE_BUILD,		/* no archive, but /lib/modules/R/build */
};

struct source {
	enum source_kind kind;
	char *name;
	char *identity;		/* the same as long as the archive is; or NULL */
	struct blob archive;	/* once it is read */
	char hash[SHA256_TEXT];
};

int source_find(struct source *source, const struct options *options);
int source_read(struct source *source, const struct options *options);
int source_archive(struct source *source, const struct options *options);
void source_release(struct source *source);
char *source_build_dir(void);

/* cachedir.c */
int cachedir_open(const struct options *options, int *dir, char **path);

/* manifest.c */
int manifest_write(int entry, const struct tree *tree);
bool manifest_holds(int entry);

/* cache.c */
int cache_path(const struct options *options, char **path, int *hold);

/* flags.c */
int flags_print(const char *dir);

/* info.c */
int info_print(const struct options *options);

/* mount.c */
int mount_tree(const struct source *source, const struct options *options, int target);
int mount_command(const char *dir, const struct options *options);
int umount_command(const char *dir);

/* exec.c */
int exec_command(char **command, const struct options *options);

/* extract.c */
int extract_command(const char *dir, const struct options *options);

#endif
