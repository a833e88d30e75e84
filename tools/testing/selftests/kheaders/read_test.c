// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the archive in every way there is, and compares with what one reader
 * gets that starts at the beginning and takes a page at a time.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kheaders.h"
#include "../kselftest_harness.h"

#define READERS		4
#define READS		3000
#define MAX_READ	20000

FIXTURE(archive) {
	int fd;
	size_t size;
	unsigned char *reference;
	unsigned char *buffer;	/* of the same size and a page */
	size_t page;
};

static unsigned char *map_anonymous(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

FIXTURE_SETUP(archive)
{
	struct stat status;
	size_t done;
	ssize_t count;

	kheaders_end_with_parent();
	self->page = sysconf(_SC_PAGESIZE);
	self->fd = open(KHEADERS, O_RDONLY);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, fstat(self->fd, &status));
	ASSERT_LT(64, status.st_size);
	self->size = status.st_size;

	self->reference = map_anonymous(self->size + self->page);
	ASSERT_NE(MAP_FAILED, self->reference);
	self->buffer = map_anonymous(self->size + self->page);
	ASSERT_NE(MAP_FAILED, self->buffer);

	for (done = 0; done <= self->size; done += count) {
		count = read(self->fd, self->reference + done, self->page);
		ASSERT_LE(0, count);
		if (!count)
			break;
	}
	ASSERT_EQ(self->size, done);
	ASSERT_EQ(0, memcmp(self->reference, "\3757zXZ", 6));
	ASSERT_EQ(0, memcmp(self->reference + self->size - 2, "YZ", 2));
	ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
}

FIXTURE_TEARDOWN(archive)
{
	munmap(self->reference, self->size + self->page);
	munmap(self->buffer, self->size + self->page);
	close(self->fd);
}

/*
 * True if one pread() at @offset gives something, no more than @count or the
 * rest of the archive, and the right bytes, and writes nothing behind them.
 */
static bool pread_is_right(int fd, const unsigned char *reference, size_t size,
			   unsigned char *buffer, size_t count, off_t offset)
{
	size_t rest = offset < size ? size - offset : 0;
	size_t most = count < rest ? count : rest;
	ssize_t got;

	memset(buffer, 0xa5, most + 1);
	got = pread(fd, buffer, count, offset);
	if (got >= 0 && got <= most && !got == !most &&
	    !memcmp(buffer, reference + offset, got) && buffer[got] == 0xa5)
		return true;

	printf("# pread of %zu bytes at %jd of %zu gives %zd (%s)\n",
	       count, (intmax_t)offset, size, got, got < 0 ? strerror(errno) : "wrong");
	return false;
}

TEST_F(archive, sizes_and_offsets)
{
	size_t sizes[] = {
		0, 1, 2, 3, 7, 511, 512, 513, 4095, 4096, 4097, 8191, 12289,
		65536, 1 << 20, self->size - 1, self->size, self->size + 1,
	};
	size_t offsets[] = {
		0, 1, 2, 511, 4095, 4096, 4097, 8191, 65535, 65537,
		self->size / 2, self->size - 4097, self->size - 4096,
		self->size - 4095, self->size - 13, self->size - 2,
		self->size - 1, self->size, self->size + 1,
		self->size + 4096, self->size * 2,
	};
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (k = 0; k < ARRAY_SIZE(offsets); k++)
			EXPECT_TRUE(pread_is_right(self->fd, self->reference, self->size,
						   self->buffer, sizes[i], offsets[k]));
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_CUR));
}

TEST_F(archive, in_pieces)
{
	size_t sizes[] = { 509, 4093, 4096, 4099, 65537, INT_MAX };
	size_t i, done;
	ssize_t count;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(self->buffer, 0xa5, self->size);
		ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
		for (done = 0; done < self->size; done += count) {
			count = read(self->fd, self->buffer + done,
				     sizes[i] < self->size - done ? sizes[i] : self->size - done);
			ASSERT_LT(0, count);
		}
		EXPECT_EQ(0, memcmp(self->reference, self->buffer, self->size));
		EXPECT_EQ(0, read(self->fd, self->buffer, sizes[i] % 4099));
		EXPECT_EQ(self->size, lseek(self->fd, 0, SEEK_CUR));
	}
}

TEST_F(archive, byte_by_byte)
{
	size_t starts[] = { 0, 4096 - 300, self->size - 600 };
	size_t i, k;
	unsigned char byte;

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		ASSERT_EQ(starts[i], lseek(self->fd, starts[i], SEEK_SET));
		for (k = 0; k < 600; k++) {
			ASSERT_EQ(1, read(self->fd, &byte, 1));
			ASSERT_EQ(self->reference[starts[i] + k], byte);
		}
	}
	EXPECT_EQ(0, read(self->fd, &byte, 1));
}

TEST_F(archive, far_beyond_the_end)
{
	off_t offsets[] = {
		(off_t)INT_MAX, (off_t)UINT_MAX + 1, (off_t)1 << 52, LLONG_MAX - 8192,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		EXPECT_TRUE(pread_is_right(self->fd, self->reference, self->size,
					   self->buffer, 4096, offsets[i]));
	EXPECT_EQ(-1, pread(self->fd, self->buffer, 1, -1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(archive, huge_counts)
{
	size_t counts[] = { 0x7ffff000, (size_t)3 << 30 };
	unsigned char *buffer = map_anonymous(counts[1]);
	size_t i;

	if (sizeof(long) < 8 || buffer == MAP_FAILED)
		SKIP(return, "no address space for a buffer of 3 GiB");

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		EXPECT_TRUE(pread_is_right(self->fd, self->reference, self->size,
					   buffer, counts[i], 0));
		EXPECT_TRUE(pread_is_right(self->fd, self->reference, self->size,
					   buffer, counts[i], self->size - 5));
	}
	munmap(buffer, counts[1]);
}

TEST_F(archive, no_memory_behind_buffer)
{
	unsigned char *end = self->buffer + self->page;
	ssize_t count;

	ASSERT_EQ(0, munmap(end, self->page));
	EXPECT_EQ(-1, pread(self->fd, end, 100, 0));
	EXPECT_EQ(EFAULT, errno);

	count = pread(self->fd, end - 50, 100, 4);
	EXPECT_TRUE(count == -1 || count == 50);
	if (count > 0)
		EXPECT_EQ(0, memcmp(end - 50, self->reference + 4, count));

	/* what follows goes on as if nothing had been */
	EXPECT_TRUE(pread_is_right(self->fd, self->reference, self->size, self->buffer, 100, 0));
}

TEST_F(archive, seek)
{
	off_t size = self->size;
	unsigned char byte;

	EXPECT_EQ(size - 7, lseek(self->fd, -7, SEEK_END));
	EXPECT_EQ(1, read(self->fd, &byte, 1));
	EXPECT_EQ(self->reference[size - 7], byte);
	EXPECT_EQ(size - 1, lseek(self->fd, 5, SEEK_CUR));
	EXPECT_EQ(1, read(self->fd, &byte, 1));
	EXPECT_EQ(self->reference[size - 1], byte);
	EXPECT_EQ(0, read(self->fd, &byte, 1));

	EXPECT_EQ(size + 10, lseek(self->fd, 10, SEEK_END));
	EXPECT_EQ(0, read(self->fd, &byte, 1));
	EXPECT_EQ(size + 10, lseek(self->fd, 0, SEEK_CUR));

	EXPECT_EQ(-1, lseek(self->fd, -1, SEEK_SET));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(self->fd, -size - 11, SEEK_CUR));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(size + 10, lseek(self->fd, 0, SEEK_CUR));

	/* how cp looks for holes: there are none */
	EXPECT_EQ(100, lseek(self->fd, 100, SEEK_DATA));
	EXPECT_EQ(size, lseek(self->fd, 100, SEEK_HOLE));
}

TEST_F(archive, vectors)
{
	struct iovec vectors[] = {
		{ self->buffer, 11 },
		{ self->buffer + 11, 0 },
		{ self->buffer + 11, 4090 },
		{ self->buffer + 4101, 70000 },
	};
	ssize_t count = preadv(self->fd, vectors, ARRAY_SIZE(vectors), 4000);

	ASSERT_LE(11, count);
	EXPECT_EQ(0, memcmp(self->buffer, self->reference + 4000, count));
}

TEST_F(archive, sendfile)
{
	FILE *file = tmpfile();
	off_t offset = 0;
	ssize_t count;

	ASSERT_NE(NULL, file);
	while (offset < self->size) {
		count = sendfile(fileno(file), self->fd, &offset, 1 << 20);
		ASSERT_LT(0, count);
	}
	EXPECT_EQ(0, sendfile(fileno(file), self->fd, &offset, 1));
	ASSERT_EQ(self->size, pread(fileno(file), self->buffer, self->size + 1, 0));
	EXPECT_EQ(0, memcmp(self->reference, self->buffer, self->size));
	fclose(file);
}

TEST_F(archive, no_write)
{
	int flags[] = { O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_APPEND };
	struct stat status;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(-1, open(KHEADERS, flags[i]));
		EXPECT_EQ(EACCES, errno);
	}
	EXPECT_EQ(-1, write(self->fd, "", 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(0, fstat(self->fd, &status));
	EXPECT_EQ(self->size, status.st_size);
	EXPECT_EQ(-1, unlink(KHEADERS));
}

/* Root may change the mode of any attribute; that must not open a way in. */
TEST_F(archive, no_write_whatever_the_mode)
{
	int fd;

	if (chmod(KHEADERS, 0644))
		SKIP(return, "only root can change the mode");
	fd = open(KHEADERS, O_RDWR);
	EXPECT_EQ(0, chmod(KHEADERS, 0444));
	if (fd < 0)
		return;
	EXPECT_EQ(-1, pwrite(fd, "overwritten", 11, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_TRUE(pread_is_right(fd, self->reference, self->size, self->buffer, 4096, 0));
	close(fd);
}

TEST_F(archive, many_open_files)
{
	int fds[200];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open(KHEADERS, O_RDONLY);
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(i * 11, lseek(fds[i], i * 11, SEEK_SET));
	}
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_EQ(i * 11, lseek(fds[i], 0, SEEK_CUR));
		EXPECT_TRUE(pread_is_right(fds[i], self->reference, self->size,
					   self->buffer, 100, i * 11));
		close(fds[i]);
	}
}

struct reader {
	pthread_t thread;
	int fd;
	size_t size;
	const unsigned char *reference;
	unsigned int seed;
	unsigned long wrong;
};

static void *read_at_random(void *argument)
{
	struct reader *reader = argument;
	unsigned char buffer[MAX_READ + 1];
	int i;

	for (i = 0; i < READS; i++) {
		size_t count = rand_r(&reader->seed) % MAX_READ;
		off_t offset = rand_r(&reader->seed) % (reader->size + 100);

		if (!pread_is_right(reader->fd, reader->reference, reader->size,
				    buffer, count, offset))
			reader->wrong++;
	}
	return NULL;
}

TEST_F_TIMEOUT(archive, threads_share_a_file, 120)
{
	struct reader readers[READERS];
	int i;

	for (i = 0; i < READERS; i++) {
		readers[i] = (struct reader){
			.fd = self->fd, .size = self->size,
			.reference = self->reference, .seed = i,
		};
		ASSERT_EQ(0, pthread_create(&readers[i].thread, NULL,
					    read_at_random, &readers[i]));
	}
	for (i = 0; i < READERS; i++) {
		ASSERT_EQ(0, pthread_join(readers[i].thread, NULL));
		EXPECT_EQ(0, readers[i].wrong);
	}
}

TEST_F_TIMEOUT(archive, processes_at_once, 120)
{
	pid_t pids[READERS];
	int i, status;

	for (i = 0; i < READERS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			struct reader reader = {
				.fd = open(KHEADERS, O_RDONLY), .size = self->size,
				.reference = self->reference, .seed = 100 + i,
			};

			read_at_random(&reader);
			_exit(reader.wrong > 0);
		}
	}
	for (i = 0; i < READERS; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

TEST_HARNESS_MAIN
