// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the archive in every way there is, and compares with what one reader
 * gets that starts at the beginning and takes a page at a time. To be run by
 * read.sh, which makes the archive available.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "../kselftest.h"

#define KHEADERS	"/sys/kernel/kheaders.tar.xz"
#define PAGE		4096
#define READERS		4
#define MAX_READ	20000

static int fd;
static off_t size;
static unsigned char *reference, *buffer;	/* of this size and a page */
static bool failed;				/* the test that runs */
static int rounds;				/* of each reader */

static void fail(int line, const char *what)
{
	ksft_print_msg("line %d: not so: %s (errno: %s)\n", line, what, strerror(errno));
	failed = true;
}

#define expect(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

static unsigned char *map_anonymous(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/*
 * One pread() at @offset gives something, no more than @count or the rest of the
 * archive, and the right bytes, and writes nothing behind them.
 */
static bool pread_is_right(int file, unsigned char *to, size_t count, off_t offset)
{
	size_t rest = offset < size ? size - offset : 0;
	size_t most = count < rest ? count : rest;
	ssize_t got;

	memset(to, 0xa5, most + 1);
	got = pread(file, to, count, offset);
	if (got >= 0 && got <= most && !got == !most &&
	    !memcmp(to, reference + offset, got) && to[got] == 0xa5)
		return true;

	ksft_print_msg("pread of %zu bytes at %jd of %jd gives %zd (%s)\n", count,
		       (intmax_t)offset, (intmax_t)size, got, got < 0 ? strerror(errno) : "wrong");
	return false;
}

static void sizes_and_offsets(void)
{
	size_t sizes[] = {
		0, 1, 2, 3, 7, 511, 512, 513, 4095, 4096, 4097, 8191, 12289,
		65536, 1 << 20, size - 1, size, size + 1,
	};
	off_t offsets[] = {
		0, 1, 2, 511, 4095, 4096, 4097, 8191, 65535, 65537, size / 2,
		size - 4097, size - 4096, size - 4095, size - 13, size - 2,
		size - 1, size, size + 1, size + 4096, size * 2,
	};
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (k = 0; k < ARRAY_SIZE(offsets); k++)
			expect(pread_is_right(fd, buffer, sizes[i], offsets[k]));
	expect(lseek(fd, 0, SEEK_CUR) == 0);
}

static void in_pieces(void)
{
	size_t sizes[] = { 509, 4093, 4096, 4099, 65537, INT_MAX };
	ssize_t count = 1;
	off_t done;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(buffer, 0xa5, size);
		expect(lseek(fd, 0, SEEK_SET) == 0);
		for (done = 0; done < size && count > 0; done += count)
			count = read(fd, buffer + done,
				     sizes[i] < size - done ? sizes[i] : size - done);
		expect(!memcmp(reference, buffer, size));
		expect(read(fd, buffer, sizes[i] % 4099) == 0);
		expect(lseek(fd, 0, SEEK_CUR) == size);
	}
}

static void byte_by_byte(void)
{
	off_t starts[] = { 0, 4096 - 300, size - 600 };
	unsigned char byte;
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		expect(lseek(fd, starts[i], SEEK_SET) == starts[i]);
		for (k = 0; k < 600; k++)
			expect(read(fd, &byte, 1) == 1 && byte == reference[starts[i] + k]);
	}
	expect(read(fd, &byte, 1) == 0);
}

static void far_beyond_the_end(void)
{
	off_t offsets[] = {
		(off_t)INT_MAX, (off_t)UINT_MAX + 1, (off_t)1 << 52, LLONG_MAX - 8192,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		expect(pread_is_right(fd, buffer, 4096, offsets[i]));
	expect(pread(fd, buffer, 1, -1) == -1 && errno == EINVAL);
}

static void huge_counts(void)
{
	size_t counts[] = { 0x7ffff000, (size_t)3 << 30 }, i;
	unsigned char *huge = map_anonymous(counts[1]);

	if (sizeof(long) < 8 || huge == MAP_FAILED)
		return ksft_print_msg("no address space for a buffer of 3 GiB\n");
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		expect(pread_is_right(fd, huge, counts[i], 0) &&
		       pread_is_right(fd, huge, counts[i], size - 5));
	munmap(huge, counts[1]);
}

static void no_memory_behind_buffer(void)
{
	unsigned char *two = map_anonymous(2 * sysconf(_SC_PAGESIZE));
	unsigned char *end = two + sysconf(_SC_PAGESIZE);
	ssize_t count;

	munmap(end, sysconf(_SC_PAGESIZE));
	expect(pread(fd, end, 100, 0) == -1 && errno == EFAULT);
	count = pread(fd, end - 50, 100, 4);
	expect(count == -1 || count == 50);
	expect(count == -1 || !memcmp(end - 50, reference + 4, count));
	/* what follows goes on as if nothing had been */
	expect(pread_is_right(fd, two, 100, 0));
}

static void seek(void)
{
	unsigned char byte;

	expect(lseek(fd, -7, SEEK_END) == size - 7);
	expect(read(fd, &byte, 1) == 1 && byte == reference[size - 7]);
	expect(lseek(fd, 5, SEEK_CUR) == size - 1);
	expect(read(fd, &byte, 1) == 1 && byte == reference[size - 1]);
	expect(read(fd, &byte, 1) == 0);

	expect(lseek(fd, 10, SEEK_END) == size + 10);
	expect(read(fd, &byte, 1) == 0);
	expect(lseek(fd, -1, SEEK_SET) == -1 && errno == EINVAL);
	expect(lseek(fd, -size - 11, SEEK_CUR) == -1 && errno == EINVAL);
	expect(lseek(fd, 0, SEEK_CUR) == size + 10);

	/* how cp looks for holes: there are none */
	expect(lseek(fd, 100, SEEK_DATA) == 100);
	expect(lseek(fd, 100, SEEK_HOLE) == size);
}

static void vectors(void)
{
	struct iovec to[] = {
		{ buffer, 11 }, { buffer + 11, 0 }, { buffer + 11, 4090 }, { buffer + 4101, 70000 },
	};
	ssize_t count = preadv(fd, to, ARRAY_SIZE(to), 4000);

	expect(count >= 11 && !memcmp(buffer, reference + 4000, count));
}

static void by_sendfile(void)
{
	FILE *file = tmpfile();
	off_t offset = 0;

	while (offset < size && sendfile(fileno(file), fd, &offset, 1 << 20) > 0)
		;
	expect(sendfile(fileno(file), fd, &offset, 1) == 0);
	expect(pread(fileno(file), buffer, size + 1, 0) == size);
	expect(!memcmp(reference, buffer, size));
	fclose(file);
}

static void no_mmap(void)
{
	expect(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == ENODEV);
	expect(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
}

static void no_write(void)
{
	int flags[] = { O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_APPEND };
	struct stat status;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++)
		expect(open(KHEADERS, flags[i]) == -1 && errno == EACCES);
	expect(write(fd, "", 1) == -1 && errno == EBADF);
	expect(ftruncate(fd, 0) == -1);
	expect(!fstat(fd, &status) && status.st_size == size);
	expect(unlink(KHEADERS) == -1);
}

/* Root may change the mode of any attribute; that must not open a way in. */
static void no_write_whatever_the_mode(void)
{
	int file;

	if (chmod(KHEADERS, 0644))
		return ksft_print_msg("only root can change the mode\n");
	file = open(KHEADERS, O_RDWR);
	expect(chmod(KHEADERS, 0444) == 0);
	if (file < 0)
		return;
	expect(pwrite(file, "overwritten", 11, 0) == -1);
	expect(pread_is_right(file, buffer, 4096, 0));
	close(file);
}

static void many_open_files(void)
{
	int files[200], i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		files[i] = open(KHEADERS, O_RDONLY);
		expect(lseek(files[i], i * 11, SEEK_SET) == i * 11);
	}
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		expect(lseek(files[i], 0, SEEK_CUR) == i * 11);
		expect(pread_is_right(files[i], buffer, 100, i * 11));
		close(files[i]);
	}
}

struct reader {
	pthread_t thread;
	int file;
	unsigned int seed;
	bool wrong;
};

static void *read_at_random(void *argument)
{
	struct reader *reader = argument;
	unsigned char to[MAX_READ + 1];
	int i;

	for (i = 0; i < rounds && !reader->wrong; i++)
		reader->wrong = !pread_is_right(reader->file, to, rand_r(&reader->seed) % MAX_READ,
						rand_r(&reader->seed) % (size + 100));
	return NULL;
}

/* Threads that share a file. */
static bool threads_are_wrong(int file, int seed)
{
	struct reader readers[READERS];
	bool wrong = false;
	int i;

	for (i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .file = file, .seed = READERS * seed + i };
		if (pthread_create(&readers[i].thread, NULL, read_at_random, &readers[i]))
			return true;
	}
	for (i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		wrong |= readers[i].wrong;
	}
	return wrong;
}

static void threads_and_processes(void)
{
	int i, status, parent = getpid();

	fflush(stdout);
	for (i = 0; i < READERS; i++)
		if (!fork()) {
			/* Whoever ends the parent ends this, too. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(getppid() != parent ||
			      threads_are_wrong(open(KHEADERS, O_RDONLY), i));
		}
	for (i = 0; i < READERS; i++)
		expect(wait(&status) > 0 && status == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "sizes and offsets", sizes_and_offsets },
	{ "in pieces", in_pieces },
	{ "byte by byte", byte_by_byte },
	{ "far beyond the end", far_beyond_the_end },
	{ "huge counts", huge_counts },
	{ "no memory behind the buffer", no_memory_behind_buffer },
	{ "seek", seek },
	{ "vectors", vectors },
	{ "sendfile", by_sendfile },
	{ "no mmap", no_mmap },
	{ "no write", no_write },
	{ "no write whatever the mode", no_write_whatever_the_mode },
	{ "many open files", many_open_files },
	{ "threads and processes at once", threads_and_processes },
};

int main(void)
{
	const char *number = getenv("KHEADERS_ROUNDS");
	off_t done = 0;
	ssize_t count;
	size_t i;

	rounds = number ? atoi(number) : 1000;
	ksft_print_header();
	ksft_set_plan(ARRAY_SIZE(tests));
	fd = open(KHEADERS, O_RDONLY);
	if (fd < 0)
		ksft_exit_fail_msg("%s: %s\n", KHEADERS, strerror(errno));
	size = lseek(fd, 0, SEEK_END);
	lseek(fd, 0, SEEK_SET);
	reference = map_anonymous(size + PAGE);
	buffer = map_anonymous(size + PAGE);
	while ((count = read(fd, reference + done, PAGE)) > 0 && done <= size)
		done += count;
	if (count || done != size || memcmp(reference, "\3757zXZ", 6) ||
	    memcmp(reference + size - 2, "YZ", 2))
		ksft_exit_fail_msg("no .xz file of %jd bytes\n", (intmax_t)size);

	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		failed = false;
		lseek(fd, 0, SEEK_SET);
		tests[i].run();
		ksft_test_result(!failed, "%s\n", tests[i].name);
	}
	ksft_finished();
}
