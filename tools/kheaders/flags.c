// SPDX-License-Identifier: GPL-2.0-only
/*
 * kheaders cflags: what a compiler needs to be told, from compile_flags.txt or,
 * where the archive has none, worked out and tried.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kheaders.h"

struct flags {
	char **list;		/* ends in NULL */
	size_t count;
	bool no_memory;
};

static void __attribute__((format(printf, 2, 3)))
add(struct flags *flags, const char *format, ...)
{
	char **more = realloc(flags->list, (flags->count + 2) * sizeof(*more)), *flag;
	va_list args;

	if (!more) {
		flags->no_memory = true;
		return;
	}
	flags->list = more;
	va_start(args, format);
	if (vasprintf(&flag, format, args) < 0) {
		flag = NULL;
		flags->no_memory = true;
	}
	va_end(args);
	flags->list[flags->count] = flag;
	flags->list[flags->count + !!flag] = NULL;
	flags->count += !!flag;
}

static void cut(struct flags *flags, size_t count)
{
	while (flags->count > count) {
		free(flags->list[--flags->count]);
		flags->list[flags->count] = NULL;
	}
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool is_one_of(const char *text, const char * const *list)
{
	for (; *list; list++) {
		if (!strcmp(text, *list))
			return true;
	}
	return false;
}

static const char * const with_path[] = {
	"-include", "-imacros", "-isystem", "-iquote", "-idirafter", "-I", NULL
};

/*
 * The file comes from the archive, and a compiler can be told to load plugins
 * or run programs.
 */
static bool is_harmless(const char *flag)
{
	static const char * const whole[] = { "-nostdinc", "-undef", "-w", "-x", "c",
					      "-trigraphs", "-EB", "-EL", NULL };
	static const char * const front[] = { "-D", "-U", "-std=", "--target=", "-O", "-g", NULL };

	if (begins(flag, "-f"))
		return !strstr(flag, "plugin") && !strchr(flag, '/');
	if (begins(flag, "-m"))
		return !begins(flag, "-mllvm") && !strchr(flag, '/');
	if (begins(flag, "-W"))
		return !strchr(flag, ',');
	for (const char * const *f = front; *f; f++) {
		if (begins(flag, *f))
			return true;
	}
	return is_one_of(flag, whole);
}

static bool leads_out(const char *path)
{
	if (*path == '/' || !*path)
		return true;
	for (; path; path = strchr(path, '/'), path = path ? path + 1 : path) {
		if (begins(path, "..") && (!path[2] || path[2] == '/'))
			return true;
	}
	return false;
}

static void add_path(struct flags *flags, const char *option, const char *dir, const char *path)
{
	while (begins(path, "./"))
		path += 2;
	add(flags, "%s%s/%s", option, dir, path);
}

/* Whether a compiler of this machine compiles for that target, untold. */
static bool is_native(const char *target)
{
	struct utsname uts;

	if (uname(&uts))
		return false;
	if (begins(uts.machine, "ppc64"))
		return begins(target, "powerpc64") &&
		       !strstr(target, "le-") == !strstr(uts.machine, "le");
	if (begins(uts.machine, "arm"))
		return begins(target, "arm");
	return begins(target, uts.machine) && target[strlen(uts.machine)] == '-';
}

/*
 * clang needs the target of another machine's headers, and gcc a file of specs to
 * bear with it. A gcc for this machine needs neither, and specs could have it run
 * programs: they stay out of what we hand on.
 */
static bool is_for_clang_alone(const char *line)
{
	return !strcmp(line, "-specs=include/generated/compile_flags.specs") ||
	       (begins(line, "--target=") && is_native(line + strlen("--target=")));
}

static int add_line(struct flags *flags, const char *dir, const char *line)
{
	const char *last = flags->count ? flags->list[flags->count - 1] : "";
	const char *path = NULL, *option = "";

	if (!is_one_of(last, with_path) && is_for_clang_alone(line))
		return 0;
	if (is_one_of(last, with_path)) {
		path = line;
	} else if (is_one_of(line, with_path)) {
		add(flags, "%s", line);
		return 0;
	}
	for (const char * const *f = with_path; !path && *f; f++) {
		if (begins(line, *f)) {
			option = *f;
			path = line + strlen(*f);
		}
	}
	if (path ? leads_out(path) : !is_harmless(line))
		return complain(STATUS_DAMAGED,
				"%s/compile_flags.txt: %s: not a flag that headers need",
				dir, line);
	if (path)
		add_path(flags, option, dir, path);
	else
		add(flags, "%s", line);
	return 0;
}

/* Returns -1 if there is no such file. */
static int read_flags(struct flags *flags, const char *dir)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	ssize_t length;
	int ret = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/compile_flags.txt", dir);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? -1 : complain(STATUS_FAILED, "%s: %m", path);
	while (!ret && (length = getline(&line, &room, file)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		if (*line)
			ret = add_line(flags, dir, line);
	}
	if (!ret && !feof(file))
		ret = complain(STATUS_FAILED, "%s: %m", path);
	free(line);
	fclose(file);
	return ret;
}

static bool there(const char *dir, const char *path)
{
	char name[PATH_MAX];

	return snprintf(name, sizeof(name), "%s/%s", dir, path) < (int)sizeof(name) &&
	       !access(name, R_OK);
}

static int find_arch(const char *dir, char arch[NAME_MAX + 1])
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *stream;

	arch[0] = 0;
	snprintf(path, sizeof(path), "%s/arch", dir);
	stream = opendir(path);
	while (stream && (entry = readdir(stream))) {
		snprintf(path, sizeof(path), "arch/%s/include/generated", entry->d_name);
		if (entry->d_name[0] == '.' || !there(dir, path))
			continue;
		/* User Mode Linux has those of another one, too. */
		if (!arch[0] || !strcmp(entry->d_name, "um"))
			snprintf(arch, NAME_MAX + 1, "%s", entry->d_name);
	}
	if (stream)
		closedir(stream);
	return arch[0] ? 0 : complain(STATUS_NONE, "%s: no kernel headers in there", dir);
}

/*
 * Where the sources' headers are: beside the generated ones, or, as in some packages
 * and with make O=, in a directory whose Makefile that of the build includes.
 */
static void find_source(const char *dir, char source[PATH_MAX])
{
	char path[PATH_MAX], line[PATH_MAX], *end;
	FILE *file;

	snprintf(source, PATH_MAX, "%s", dir);
	if (there(dir, KCONFIG_H))
		return;
	snprintf(path, sizeof(path), "%s/Makefile", dir);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		end = strstr(line, "/Makefile\n");
		if (!begins(line, "include ") || !end)
			continue;
		*end = 0;
		if (line[strlen("include ")] == '/')
			snprintf(source, PATH_MAX, "%s", line + strlen("include "));
		else
			snprintf(source, PATH_MAX, "%s/%s", dir, line + strlen("include "));
		break;
	}
	if (file)
		fclose(file);
}

/* VERSION * 65536 + PATCHLEVEL * 256 + SUBLEVEL */
static long kernel_version(const char *dir)
{
	static const char name[] = "#define LINUX_VERSION_CODE ";
	char path[PATH_MAX], line[256];
	long version = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/include/generated/uapi/linux/version.h", dir);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (begins(line, name))
			version = strtol(line + strlen(name), NULL, 10);
	}
	if (file)
		fclose(file);
	return version;
}

/* The order of LINUXINCLUDE, and what Makefiles alone say. */
static void derive(struct flags *flags, const char *dir, const char *source, const char *arch,
		   long version)
{
	static const char * const dirs[] = { "arch/%s/include", "arch/%s/include/generated", "include",
		"arch/%s/include/uapi", "arch/%s/include/generated/uapi", "include/uapi",
		"include/generated/uapi", NULL };
	static const char * const files[] = { "include/linux/compiler-version.h", KCONFIG_H,
					      "include/linux/compiler_types.h", NULL };
	char path[PATH_MAX];

	add(flags, "-nostdinc");
	for (const char * const *d = dirs; *d; d++) {
		if (strstr(*d, "%s"))
			snprintf(path, sizeof(path), "arch/%s%s", arch, *d + strlen("arch/%s"));
		else
			snprintf(path, sizeof(path), "%s", *d);
		add_path(flags, "-I", strstr(path, "generated") ? dir : source, path);
		if (!strcmp(path, "include") && strcmp(dir, source))
			add_path(flags, "-I", dir, path);
	}
	for (const char * const *f = files; *f; f++) {
		if (there(source, *f)) {
			add(flags, "-include");
			add_path(flags, "", source, *f);
		}
	}
	add(flags, "-D__KERNEL__");
	add(flags, version >= 0x51200 ? "-std=gnu11" : "-std=gnu89");
	add(flags, "-fshort-wchar");
	if (version >= 0x60200)
		add(flags, "-funsigned-char");
	if (!strcmp(arch, "arm64"))
		add(flags, "-DKASAN_SHADOW_SCALE_SHIFT=3");
}

/* Runs a compiler, with nothing of what it says shown. Returns its status. */
static int run(char *const *command, int output)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t child;
	int status = -1;

	sigemptyset(&none);
	if (posix_spawn_file_actions_init(&actions))
		return -1;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&actions);
		return -1;
	}
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (!posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) &&
	    !posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) &&
	    !(output >= 0 ? posix_spawn_file_actions_adddup2(&actions, output, 1) :
	      posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)) &&
	    !posix_spawnp(&child, command[0], &actions, &attributes, command, environ)) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	}
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return status;
}

/* Where the compiler's own headers are: up to 5.15 the kernel takes stdarg.h. */
static bool compiler_include(const char *cc, char path[PATH_MAX])
{
	char *command[] = { (char *)cc, "-print-file-name=include", NULL };
	size_t size = 0;
	ssize_t got;
	int ends[2];
	bool ok;

	if (pipe2(ends, O_CLOEXEC))
		return false;
	/* One line, which fits into the pipe. */
	ok = !run(command, ends[1]);
	close(ends[1]);
	while (ok && (got = read(ends[0], path + size, PATH_MAX - 1 - size)) > 0)
		size += got;
	close(ends[0]);
	path[size] = 0;
	path[strcspn(path, "\n")] = 0;
	return ok && path[0] == '/';
}

static bool compiles(const char *cc, const struct flags *flags, const char *source)
{
	struct flags command = { 0 };
	bool ok;

	add(&command, "%s", cc);
	for (size_t i = 0; i < flags->count; i++)
		add(&command, "%s", flags->list[i]);
	add(&command, "-w");
	add(&command, "-fsyntax-only");
	add(&command, "-include");
	add_path(&command, "", source, "include/linux/sched.h");
	add(&command, "-x");
	add(&command, "c");
	add(&command, "/dev/null");
	ok = !command.no_memory && !run(command.list, -1);
	cut(&command, 0);
	free(command.list);
	return ok;
}

/* Tries what differs between versions, architectures and compilers. */
static void try_flags(struct flags *flags, const char *source)
{
	static const char * const more[] = { "", "-fms-extensions", "-DCONFIG_CC_IS_CLANG",
					     "-DCC_HAVE_ASM_GOTO", NULL };
	const char *named = getenv("CC");
	const char *compilers[] = { named && *named ? named : "clang", "gcc", "cc" };
	char include[PATH_MAX], *version[] = { NULL, "--version", NULL };
	size_t count = flags->count;

	for (size_t i = 0; i < sizeof(compilers) / sizeof(*compilers); i++) {
		version[0] = (char *)compilers[i];
		if (run(version, -1))
			continue;
		for (int own = 0; own < 2; own++) {
			for (const char * const *m = more; *m; m++) {
				if (own && compiler_include(compilers[i], include)) {
					add(flags, "-isystem");
					add(flags, "%s", include);
				}
				if (**m)
					add(flags, "-fms-extensions");
				if (**m && strcmp(*m, "-fms-extensions"))
					add(flags, "%s", *m);
				if (compiles(compilers[i], flags, source))
					return;
				cut(flags, count);
			}
		}
		complain(0,
			 "%s: %s does not compile linux/sched.h with the flags worked out: it may be too new or too old for this kernel",
			 source, compilers[i]);
		return;
	}
}

/* As in a file for the compiler's @: what separates words there is escaped. */
static void print(const struct flags *flags)
{
	for (size_t i = 0; i < flags->count; i++) {
		for (const char *c = flags->list[i]; *c; c++) {
			if (strchr(" \t\\'\"", *c))
				putchar('\\');
			putchar(*c);
		}
		putchar('\n');
	}
}

/**
 * flags_print - print a compiler's flags, with absolute paths
 * @name: the directory that has the headers
 */
int flags_print(const char *name)
{
	struct flags flags = { 0 };
	char arch[NAME_MAX + 1], source[PATH_MAX], *dir = realpath(name, NULL);
	int ret;

	if (!dir)
		return complain(STATUS_FAILED, "%s: %m", name);
	ret = read_flags(&flags, dir);
	if (ret < 0) {
		ret = find_arch(dir, arch);
		if (!ret) {
			find_source(dir, source);
			derive(&flags, dir, source, arch, kernel_version(dir));
			try_flags(&flags, source);
		}
	}
	if (!ret && flags.no_memory)
		ret = no_memory(NULL);
	if (!ret)
		print(&flags);
	cut(&flags, 0);
	free(flags.list);
	free(dir);
	return ret;
}
