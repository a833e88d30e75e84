// SPDX-License-Identifier: GPL-2.0-only
/*
 * In the place of libkmod, for tests where no module can be loaded: in the
 * directory $FAKE_KMOD, "kheaders.ko" is the module, and "archive" or, if there
 * is a "slow", a fifo appears as KHEADERS_SYSFS while it is loaded. What happens
 * goes to "log" and, if it is there, the fifo "events". "fail" holds an errno.
 * Loading does not end before the fifo "hold" has been written to, if it is there.
 * With "unseen" the module has no file.
 */

#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char name[PATH_MAX];

static const char *file(const char *what)
{
	snprintf(name, sizeof(name), "%s/%s", getenv("FAKE_KMOD") ?: "/nonexistent", what);
	return name;
}

static void happened(const char *what)
{
	int log = open(file("log"), O_WRONLY | O_APPEND | O_CREAT, 0644), events;

	dprintf(log, "%s\n", what);
	close(log);
	if (access(file("events"), F_OK))
		return;
	events = open(file("events"), O_WRONLY);
	dprintf(events, "%s\n", what);
	close(events);
}

struct kmod_ctx *kmod_new(const char *dir, const char * const *config)
{
	return (struct kmod_ctx *)name;
}

struct kmod_ctx *kmod_unref(struct kmod_ctx *ctx)
{
	return NULL;
}

void kmod_set_log_fn(struct kmod_ctx *ctx,
		     void (*fn)(void *data, int priority, const char *file, int line,
				const char *function, const char *format, va_list args),
		     const void *data)
{
}

int kmod_module_new_from_lookup(struct kmod_ctx *ctx, const char *alias, struct kmod_list **list)
{
	*list = access(file("kheaders.ko"), F_OK) ? NULL : (struct kmod_list *)name;
	return 0;
}

struct kmod_module *kmod_module_get_module(const struct kmod_list *list)
{
	return (struct kmod_module *)list;
}

int kmod_module_unref_list(struct kmod_list *list)
{
	return 0;
}

struct kmod_module *kmod_module_unref(struct kmod_module *module)
{
	return NULL;
}

const char *kmod_module_get_path(const struct kmod_module *module)
{
	return file("kheaders.ko");
}

const char *kmod_module_get_install_commands(const struct kmod_module *module)
{
	return access(file("install"), F_OK) ? NULL : "false";
}

int kmod_module_probe_insert_module(struct kmod_module *module, unsigned int flags,
				    const char *options,
				    int (*run)(struct kmod_module *, const char *, void *),
				    const void *data,
				    void (*print)(struct kmod_module *, bool, const char *))
{
	char command[2 * PATH_MAX];
	FILE *fail = fopen(file("fail"), "r");
	int error = 0;

	if (fail) {
		if (fscanf(fail, "%d", &error) != 1)
			error = EIO;
		fclose(fail);
		return -error;
	}
	if (!access(KHEADERS_SYSFS, F_OK))
		return -EEXIST;
	if (!access(file("slow"), F_OK)) {
		if (mkfifo(KHEADERS_SYSFS, 0444))
			return -errno;
	} else if (access(file("unseen"), F_OK)) {
		snprintf(command, sizeof(command), "cp %s %s.new && mv %s.new %s", file("archive"),
			 KHEADERS_SYSFS, KHEADERS_SYSFS, KHEADERS_SYSFS);
		if (system(command))
			return -EIO;
	}
	happened("inserted");
	if (!access(file("hold"), F_OK))
		close(open(file("hold"), O_RDONLY));
	return 0;
}

int kmod_module_remove_module(struct kmod_module *module, unsigned int flags)
{
	if (unlink(KHEADERS_SYSFS) && access(file("unseen"), F_OK))
		return -ENOENT;
	happened("removed");
	return 0;
}
