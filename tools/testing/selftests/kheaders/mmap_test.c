// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps the archive in every way there is, and compares with what read() gives,
 * followed by zeros up to the end of the page. What must not be had is tried,
 * too: writing, executing, and anything behind that page.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kheaders.h"
#include "../kselftest_harness.h"

#define PROCESSES	8
#define WINDOWS		300
#define COPIES		5000		/* of the last page */

FIXTURE(mapping) {
	int fd;
	size_t size;
	size_t page;
	size_t pages;
	size_t length;			/* of the pages */
	unsigned char *reference;	/* the archive and the zeros */
	int flags;
};

FIXTURE_VARIANT(mapping) {
	int flags;
};

FIXTURE_VARIANT_ADD(mapping, private) {
	.flags = MAP_PRIVATE,
};

FIXTURE_VARIANT_ADD(mapping, shared) {
	.flags = MAP_SHARED,
};

FIXTURE_SETUP(mapping)
{
	struct stat status;
	size_t done;
	ssize_t count;

	kheaders_end_with_parent();
	self->flags = variant->flags;
	self->page = sysconf(_SC_PAGESIZE);
	self->fd = open(KHEADERS, O_RDONLY);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, fstat(self->fd, &status));
	self->size = status.st_size;
	self->pages = (self->size + self->page - 1) / self->page;
	self->length = self->pages * self->page;
	ASSERT_LT(8u, self->pages);

	self->reference = calloc(self->pages, self->page);
	ASSERT_NE(NULL, self->reference);
	for (done = 0; done < self->size; done += count) {
		count = read(self->fd, self->reference + done, self->size - done);
		ASSERT_LT(0, count);
	}
}

FIXTURE_TEARDOWN(mapping)
{
	free(self->reference);
	close(self->fd);
}

static unsigned char *map(struct _test_data_mapping *self, size_t length, off_t offset)
{
	return mmap(NULL, length, PROT_READ, self->flags, self->fd, offset);
}

/* The errno of an mmap() that fails, 0 of one that does not. */
static int refusal(struct _test_data_mapping *self, size_t length, int prot, off_t offset)
{
	void *address = mmap(NULL, length, prot, self->flags, self->fd, offset);

	if (address == MAP_FAILED)
		return errno;
	munmap(address, length);
	return 0;
}

static bool is_reference(struct _test_data_mapping *self, const unsigned char *address,
			 size_t length, size_t offset)
{
	return !memcmp(address, self->reference + offset, length);
}

/* The signal that ends a process which reads or writes there, or 0. */
static int signal_at(unsigned char *address, bool write)
{
	int status;
	pid_t child = fork();

	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		if (write)
			__atomic_store_n(address, 1, __ATOMIC_RELAXED);
		else
			__atomic_load_n(address, __ATOMIC_RELAXED);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* True if the child ends with 0. */
static bool child_is_content(pid_t child)
{
	int status;

	return waitpid(child, &status, 0) == child && WIFEXITED(status) &&
		!WEXITSTATUS(status);
}

TEST_F(mapping, whole)
{
	unsigned char *address = map(self, self->length, 0);

	ASSERT_NE(MAP_FAILED, address);
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	EXPECT_EQ(0, munmap(address, self->length));
}

TEST_F(mapping, of_the_size_in_bytes)
{
	unsigned char *address = map(self, self->size, 0);

	ASSERT_NE(MAP_FAILED, address);
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	EXPECT_EQ(0, munmap(address, self->size));
}

TEST_F(mapping, outlives_the_descriptor)
{
	unsigned char *address = map(self, self->length, 0);

	ASSERT_NE(MAP_FAILED, address);
	close(self->fd);
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	munmap(address, self->length);
	self->fd = -1;
}

TEST_F(mapping, each_page_alone)
{
	size_t offset;

	for (offset = 0; offset < self->length; offset += self->page) {
		unsigned char *address = map(self, self->page, offset);

		ASSERT_NE(MAP_FAILED, address);
		ASSERT_TRUE(is_reference(self, address, self->page, offset)) {
			TH_LOG("page at %zu", offset);
		}
		ASSERT_EQ(0, munmap(address, self->page));
	}
}

/* Windows of any size at any page, touched from any byte on. */
static bool windows_are_right(struct _test_data_mapping *self, unsigned int seed, int count)
{
	while (count--) {
		size_t first = rand_r(&seed) % self->pages;
		size_t pages = 1 + rand_r(&seed) % (self->pages - first);
		size_t length = pages * self->page;
		size_t skip = rand_r(&seed) % length;
		unsigned char *address = map(self, length, first * self->page);
		bool right;

		if (address == MAP_FAILED)
			return false;
		right = is_reference(self, address + skip, length - skip,
				     first * self->page + skip) &&
			is_reference(self, address, skip, first * self->page);
		if (munmap(address, length) || !right)
			return false;
	}
	return true;
}

TEST_F(mapping, windows)
{
	EXPECT_TRUE(windows_are_right(self, 1, WINDOWS));
}

TEST_F(mapping, many_processes)
{
	pid_t child[PROCESSES];
	int i;

	for (i = 0; i < PROCESSES; i++) {
		child[i] = fork();
		ASSERT_LE(0, child[i]);
		if (!child[i])
			_exit(!windows_are_right(self, i, WINDOWS / PROCESSES));
	}
	for (i = 0; i < PROCESSES; i++)
		EXPECT_TRUE(child_is_content(child[i]));
}

TEST_F(mapping, zeros_behind_the_archive)
{
	size_t last = self->length - self->page, i;
	unsigned char *address = map(self, self->page, last);

	ASSERT_NE(MAP_FAILED, address);
	for (i = self->size - last; i < self->page; i++)
		ASSERT_EQ(0, address[i]) {
			TH_LOG("byte %zu of the last page", i);
		}
	munmap(address, self->page);
}

TEST_F(mapping, refused_behind_the_archive)
{
	const struct {
		size_t length;
		unsigned long long offset;
	} beyond[] = {
		{ self->length + 1, 0 },
		{ self->length + self->page, 0 },
		{ self->length, self->page },
		{ self->page + 1, self->length - self->page },
		{ self->page, self->length },
		{ self->page, self->length + self->page },
		{ self->page, 1ULL << 31 },
		{ self->page, 1ULL << 32 },
		{ self->page, 1ULL << 43 },
		{ self->page, (1ULL << 63) - self->page },
		{ self->page, 0 - (unsigned long long)self->page },
		{ self->length, 0 - (unsigned long long)self->page },
		{ (size_t)1 << 30, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(beyond) / sizeof(*beyond); i++) {
		int error = refusal(self, beyond[i].length, PROT_READ, beyond[i].offset);

		EXPECT_TRUE(error == EINVAL || error == EOVERFLOW) {
			TH_LOG("%zu bytes at %#llx: errno %d", beyond[i].length,
			       beyond[i].offset, error);
		}
	}
	EXPECT_EQ(EINVAL, refusal(self, self->page, PROT_READ, 1));
	EXPECT_EQ(EINVAL, refusal(self, self->page, PROT_READ, self->page - 1));
}

TEST_F(mapping, refused_for_writing_and_executing)
{
	int prot;

	EXPECT_EQ(-1, open(KHEADERS, O_RDWR));
	EXPECT_EQ(EACCES, errno);
	for (prot = 1; prot <= (PROT_READ | PROT_WRITE | PROT_EXEC); prot++) {
		int error = refusal(self, self->page, prot, 0);

		if (!(prot & (PROT_WRITE | PROT_EXEC)))
			continue;
		EXPECT_TRUE(error == EACCES || error == EPERM) {
			TH_LOG("protection %d: errno %d", prot, error);
		}
	}
}

TEST_F(mapping, mprotect_to_more_refused)
{
	unsigned char *address = map(self, self->length, 0);
	int prot;

	ASSERT_NE(MAP_FAILED, address);
	for (prot = 1; prot <= (PROT_READ | PROT_WRITE | PROT_EXEC); prot++) {
		if (!(prot & (PROT_WRITE | PROT_EXEC)))
			continue;
		EXPECT_EQ(-1, mprotect(address, self->length, prot));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(-1, mprotect(address + self->page, self->page, prot));
		EXPECT_EQ(EACCES, errno);
	}
	EXPECT_EQ(SIGSEGV, signal_at(address, true));
	EXPECT_TRUE(is_reference(self, address, self->length, 0));

	/* Less and back is fine. */
	EXPECT_EQ(0, mprotect(address, self->length, PROT_NONE));
	EXPECT_EQ(SIGSEGV, signal_at(address, false));
	EXPECT_EQ(0, mprotect(address, self->length, PROT_READ));
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	munmap(address, self->length);
}

TEST_F(mapping, debuggers_cannot_write)
{
	unsigned char *address = map(self, self->length, 0);
	int mem = open("/proc/self/mem", O_RDWR);
	int status;
	pid_t child;

	ASSERT_NE(MAP_FAILED, address);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pwrite(mem, "x", 1, (uintptr_t)address));
	close(mem);

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, child, address, NULL));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	munmap(address, self->length);
}

/* What the kernel says of the mapping: flags, as two letters each. */
TEST_F(mapping, flags)
{
	unsigned char *address = map(self, self->length, 0);
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[1000], flags[1000] = "";
	bool ours = false;
	unsigned long start;

	ASSERT_NE(MAP_FAILED, address);
	if (!smaps)
		SKIP(return, "no /proc/self/smaps");
	while (!*flags && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-", &start) == 1 && strchr(line, '-'))
			ours = start == (uintptr_t)address;
		else if (ours && !strncmp(line, "VmFlags:", 8))
			snprintf(flags, sizeof(flags), "%s", line);
	}
	fclose(smaps);
	ASSERT_NE('\0', *flags);
	EXPECT_NE(NULL, strstr(flags, " rd ")) TH_LOG("%s", flags);
	EXPECT_EQ(NULL, strstr(flags, " wr ")) TH_LOG("%s", flags);
	EXPECT_EQ(NULL, strstr(flags, " ex ")) TH_LOG("%s", flags);
	EXPECT_EQ(NULL, strstr(flags, " mw ")) TH_LOG("%s", flags);
	EXPECT_EQ(NULL, strstr(flags, " me ")) TH_LOG("%s", flags);
	EXPECT_NE(NULL, strstr(flags, " de ")) TH_LOG("%s", flags);
	EXPECT_NE(NULL, strstr(flags, " dd ")) TH_LOG("%s", flags);
	munmap(address, self->length);
}

TEST_F(mapping, across_fork)
{
	unsigned char *address = map(self, self->length, 0);
	size_t half = self->pages / 2 * self->page;
	int start[2];
	pid_t child;
	char c;

	ASSERT_NE(MAP_FAILED, address);
	ASSERT_EQ(0, pipe(start));
	/* The parent has touched half of it, and unmaps it first. */
	EXPECT_TRUE(is_reference(self, address, half, 0));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(start[1]);
		if (read(start[0], &c, 1))
			_exit(1);
		_exit(!is_reference(self, address, self->length, 0));
	}
	EXPECT_EQ(0, munmap(address, self->length));
	close(start[1]);
	close(start[0]);
	EXPECT_TRUE(child_is_content(child));
}

TEST_F(mapping, mremap)
{
	size_t half = self->pages / 2 * self->page;
	unsigned char *address = map(self, self->length, 0);
	unsigned char *place = mmap(NULL, self->length, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, address);
	ASSERT_NE(MAP_FAILED, place);
	EXPECT_TRUE(is_reference(self, address, half, 0));

	EXPECT_EQ(MAP_FAILED, mremap(address, self->length,
				     self->length + self->page, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(address, 0, self->length, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(address, 0, self->length * 2, MREMAP_MAYMOVE));

	ASSERT_EQ(place, mremap(address, self->length, self->length,
				MREMAP_MAYMOVE | MREMAP_FIXED, place));
	EXPECT_EQ(SIGSEGV, signal_at(address, false));
	EXPECT_TRUE(is_reference(self, place, self->length, 0));

	ASSERT_EQ(place, mremap(place, self->length, half, 0));
	EXPECT_EQ(SIGSEGV, signal_at(place + half, false));
	EXPECT_TRUE(is_reference(self, place, half, 0));
	EXPECT_EQ(MAP_FAILED, mremap(place, half, half + self->page, MREMAP_MAYMOVE));
	munmap(place, half);
}

TEST_F(mapping, munmap_of_the_middle)
{
	size_t third = self->pages / 3 * self->page;
	unsigned char *address = map(self, self->length, 0);

	ASSERT_NE(MAP_FAILED, address);
	EXPECT_TRUE(is_reference(self, address, third + self->page, 0));
	ASSERT_EQ(0, munmap(address + third, third));
	EXPECT_EQ(SIGSEGV, signal_at(address + third, false));
	EXPECT_EQ(SIGSEGV, signal_at(address + 2 * third - 1, false));
	EXPECT_TRUE(is_reference(self, address, third, 0));
	EXPECT_TRUE(is_reference(self, address + 2 * third,
				 self->length - 2 * third, 2 * third));
	munmap(address, third);
	munmap(address + 2 * third, self->length - 2 * third);
}

TEST_F(mapping, given_up_and_read_anew)
{
	unsigned char *address = map(self, self->length, 0);
	unsigned char residency;

	ASSERT_NE(MAP_FAILED, address);
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	EXPECT_EQ(0, madvise(address, self->length, MADV_DONTNEED));
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	mincore(address, self->page, &residency);
	/* Whatever comes of them, they must do no harm. */
	madvise(address, self->length, MADV_WILLNEED);
	madvise(address, self->length, 21 /* MADV_PAGEOUT */);
	madvise(address, self->length, 22 /* MADV_POPULATE_READ */);
	mlock(address, self->length);
	munlock(address, self->length);
	msync(address, self->length, MS_SYNC);
	EXPECT_TRUE(is_reference(self, address, self->length, 0));
	munmap(address, self->length);
}

/*
 * The last page is a copy, which returns when it is given up. Other processes
 * take memory, too, but hardly as much in each of a few turns.
 */
TEST_F(mapping, copies_return)
{
	size_t offset = self->length - self->page;
	unsigned char *address = map(self, self->page, offset);
	long taken, all = COPIES * (self->page >> 10);
	int turn, i;

	ASSERT_NE(MAP_FAILED, address);
	for (turn = 0, taken = all; turn < 5 && taken > all / 2; turn++) {
		taken = kheaders_kb("MemAvailable");
		for (i = 0; i < COPIES; i++) {
			ASSERT_TRUE(is_reference(self, address, self->page, offset));
			ASSERT_EQ(0, madvise(address, self->page, MADV_DONTNEED));
		}
		taken -= kheaders_kb("MemAvailable");
	}
	EXPECT_GE(all / 2, taken);
	munmap(address, self->page);
}

/* The kernel takes the data from the mapping, by copying and by reference. */
TEST_F(mapping, as_the_source_of_system_calls)
{
	unsigned char *address = map(self, self->length, 0);
	unsigned char *copy = malloc(self->length);
	struct iovec from = { address + self->page, self->page };
	int ends[2], mem;
	ssize_t rest;

	ASSERT_NE(MAP_FAILED, address);
	ASSERT_NE(NULL, copy);
	ASSERT_EQ(0, pipe(ends));
	EXPECT_EQ(self->page, write(ends[1], address, self->page));
	EXPECT_EQ(self->page, read(ends[0], copy, self->page));
	EXPECT_TRUE(is_reference(self, copy, self->page, 0));

	EXPECT_EQ(self->page, vmsplice(ends[1], &from, 1, 0));
	EXPECT_EQ(0, munmap(address + self->page, self->page));
	EXPECT_EQ(self->page, read(ends[0], copy, self->page));
	EXPECT_TRUE(is_reference(self, copy, self->page, self->page));
	EXPECT_EQ(0, munmap(address, self->page));

	/* This is how debuggers read. */
	address += 2 * self->page;
	rest = self->length - 2 * self->page;
	mem = open("/proc/self/mem", O_RDONLY);
	ASSERT_LE(0, mem);
	EXPECT_EQ(rest, pread(mem, copy, rest, (uintptr_t)address));
	EXPECT_TRUE(is_reference(self, copy, rest, 2 * self->page));
	close(mem);
	munmap(address, rest);
	free(copy);
	close(ends[0]);
	close(ends[1]);
}

TEST_HARNESS_MAIN
