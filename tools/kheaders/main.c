// SPDX-License-Identifier: GPL-2.0-only
/* kheaders: the headers that a kernel carries, at hand. See kheaders.8.rst. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "kheaders.h"

#ifndef KHEADERS_VERSION
#define KHEADERS_VERSION "unknown"
#endif

static const char usage[] =
"usage: kheaders [OPTION]... COMMAND\n"
"\n"
"The headers of the running kernel, or of a file.\n"
"\n"
"  path                  print a directory that has them, unpacking them once\n"
"  extract DIR           unpack them to DIR, which is new or empty\n"
"  cflags                print flags for a compiler, one a line\n"
"  exec -- COMMAND       run COMMAND so that bcc, bpftrace and make find them\n"
"  mount DIR             mount them on DIR, read-only\n"
"  umount DIR            undo that\n"
"  info                  say what they are\n"
"\n"
"  --from FILE           from an archive, a kernel image or a module instead\n"
"  --cache DIR           keep what is unpacked there\n"
"  --dir DIR             cflags: for headers that are there\n"
"  --mount               exec: mount them, for COMMAND alone; keep nothing\n"
"  --exec                mount: programs in there may be run\n"
"  --json                info: as JSON\n"
"  --max-size BYTES      unpack no more than that (1G; K, M and G are known)\n"
"  --max-files NUMBER    nor more files (100000)\n"
"  --threads NUMBER      threads to unpack with\n"
"  -v, --verbose         say where they are from if that is no archive\n"
"  -h, --help            this\n"
"  -V, --version         the version\n"
"\n"
"Exit status: 0; 1 failure, 2 wrong usage, 3 no headers, 4 damaged or hostile\n"
"archive; of exec that of COMMAND, 126 if it cannot be run, 127 if it is not there\n";

enum {
	OPTION_FROM = 256, OPTION_CACHE, OPTION_DIR, OPTION_MOUNT, OPTION_EXEC, OPTION_JSON,
	OPTION_MAX_SIZE, OPTION_MAX_FILES, OPTION_THREADS,
};

static const struct option long_options[] = {
	{ "from",	required_argument, NULL, OPTION_FROM },
	{ "cache",	required_argument, NULL, OPTION_CACHE },
	{ "dir",	required_argument, NULL, OPTION_DIR },
	{ "mount",	no_argument,	   NULL, OPTION_MOUNT },
	{ "exec",	no_argument,	   NULL, OPTION_EXEC },
	{ "json",	no_argument,	   NULL, OPTION_JSON },
	{ "max-size",	required_argument, NULL, OPTION_MAX_SIZE },
	{ "max-files",	required_argument, NULL, OPTION_MAX_FILES },
	{ "threads",	required_argument, NULL, OPTION_THREADS },
	{ "verbose",	no_argument,	   NULL, 'v' },
	{ "help",	no_argument,	   NULL, 'h' },
	{ "version",	no_argument,	   NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

static int wrong_usage(const char *what, const char *why)
{
	return complain(STATUS_USAGE, "%s: %s: kheaders --help tells more", what, why);
}

static bool parse_number(const char *text, bool units, uint64_t *number)
{
	unsigned int shift = 0;
	unsigned long long value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (units && *end)
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
	if (shift)
		end++;
	*number = value << shift;
	return !errno && !*end && value && *number >> shift == value;
}

/*
 * Takes options from @argv at optind on, up to the first other argument. Returns
 * -1, or what to exit with.
 */
static int parse(int argc, char **argv, const char *letters, struct options *options)
{
	uint64_t threads;
	int option;

	while ((option = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_FROM:
			options->from = optarg;
			break;
		case OPTION_CACHE:
			options->cache = optarg;
			break;
		case OPTION_DIR:
			options->dir = optarg;
			break;
		case OPTION_MOUNT:
			options->mount = true;
			break;
		case OPTION_EXEC:
			options->exec = true;
			break;
		case OPTION_JSON:
			options->json = true;
			break;
		case OPTION_MAX_SIZE:
			if (!parse_number(optarg, true, &options->max_size))
				return wrong_usage(optarg, "not a number of bytes");
			break;
		case OPTION_MAX_FILES:
			if (!parse_number(optarg, false, &options->max_files))
				return wrong_usage(optarg, "not a number of files");
			break;
		case OPTION_THREADS:
			if (!parse_number(optarg, false, &threads) || threads > 1024)
				return wrong_usage(optarg, "not a number of threads");
			options->threads = threads;
			break;
		case 'v':
			options->verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("kheaders " KHEADERS_VERSION);
			return 0;
		default:
			return STATUS_USAGE;
		}
	}
	return -1;
}

static int path_command(const struct options *options)
{
	char *path;
	int hold, ret = cache_path(options, &path, &hold);

	if (!ret)
		puts(path);
	if (hold >= 0)
		close(hold);
	free(path);
	return ret;
}

static int cflags_command(const struct options *options)
{
	char *path = NULL;
	int hold = -1, ret = 0;

	if (!options->dir)
		ret = cache_path(options, &path, &hold);
	if (!ret)
		ret = flags_print(options->dir ? options->dir : path);
	if (hold >= 0)
		close(hold);
	free(path);
	return ret;
}

static int run(const char *command, int count, char **operands, const struct options *options)
{
	static const struct {
		const char *name;
		int operands;
	} commands[] = {
		{ "path", 0 }, { "extract", 1 }, { "cflags", 0 }, { "exec", -1 },
		{ "mount", 1 }, { "umount", 1 }, { "info", 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (!strcmp(command, commands[i].name))
			break;
	}
	if (i == sizeof(commands) / sizeof(*commands))
		return wrong_usage(command, "no such command");
	if (commands[i].operands < 0 ? count < 1 : count != commands[i].operands)
		return wrong_usage(command, !commands[i].operands ? "takes no argument" :
				   *command == 'e' && command[2] == 'e' ? "wants a command" :
				   "wants one directory");
	if (options->mount && strcmp(command, "exec"))
		return wrong_usage("--mount", "is for exec");
	if (options->exec && !options->mount && strcmp(command, "mount"))
		return wrong_usage("--exec", "is for mount, and for exec --mount");
	if (options->json && strcmp(command, "info"))
		return wrong_usage("--json", "is for info");
	if (options->dir && strcmp(command, "cflags"))
		return wrong_usage("--dir", "is for cflags");

	switch (i) {
	case 0:
		return path_command(options);
	case 1:
		return extract_command(operands[0], options);
	case 2:
		return cflags_command(options);
	case 3:
		return exec_command(operands, options);
	case 4:
		return mount_command(operands[0], options);
	case 5:
		return umount_command(operands[0]);
	default:
		return info_print(options);
	}
}

/* As many as this process may use, but no herd of them. */
static unsigned int processors(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) ? 2 : CPU_COUNT(&set);

	return count > 8 ? 8 : count;
}

/* What interrupts waits until the rest is tidy, unless it does anyway or is ignored. */
static void hold_signals(struct options *options)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGXFSZ };
	struct sigaction action;
	sigset_t blocked;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	sigemptyset(&options->held);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		if (!sigaction(signals[i], NULL, &action) && action.sa_handler != SIG_IGN &&
		    !sigismember(&blocked, signals[i]))
			sigaddset(&options->held, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &options->held, NULL);
	/* Where it is ignored, waitpid() finds nobody. */
	signal(SIGCHLD, SIG_DFL);
}

int main(int argc, char **argv)
{
	struct options options = {
		.max_size = 1ull << 30,
		.max_files = 100000,
		.threads = processors(),
	};
	const char *command;
	int fd, ret;

	/* A file opened in the place of a closed stdout would get the output. */
	do {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	if (getauxval(AT_SECURE))
		return complain(STATUS_FAILED, "not made to be run setuid");

	ret = parse(argc, argv, "+vhV", &options);
	if (ret >= 0)
		goto out;
	if (optind == argc)
		return wrong_usage("no command", "nothing to do");
	command = argv[optind];
	argc -= optind;
	argv += optind;
	optind = 0;
	ret = parse(argc, argv, strcmp(command, "exec") ? "vhV" : "+vhV", &options);
	if (ret >= 0)
		goto out;
	hold_signals(&options);
	ret = run(command, argc - optind, argv + optind, &options);
out:
	/* If a signal waits, this is where it ends us. */
	sigprocmask(SIG_UNBLOCK, &options.held, NULL);
	if (fflush(stdout) || ferror(stdout) || (close(STDOUT_FILENO) && errno != EBADF))
		ret = ret ? ret : complain(STATUS_FAILED, "standard output: %m");
	return ret;
}
