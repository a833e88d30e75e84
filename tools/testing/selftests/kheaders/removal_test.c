// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module goes away while the archive is open, being read, mapped and
 * touched: readers get an error, mappings SIGBUS, and all memory comes back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "kheaders.h"
#include "../kselftest_harness.h"

#define ROUNDS		30
#define WARM_UP		5
#define ROUND_MS	60
#define VMALLOC_KB	256

static size_t size, page, length;
static unsigned char *reference;

/* What the processes tell one another. */
static struct {
	int stop;
	int removals;		/* grows when a removal is through */
	int wrong;		/* bytes or errors that must not be */
	int worked[8];
	int refused[8];		/* ended by a removal */
} *shared;

/* Why the module cannot be removed, or NULL. */
static const char *irremovable(void)
{
	if (access("/sys/module/kheaders/refcnt", F_OK))
		return "built in, or modules cannot be removed";
	return getuid() ? "only root can remove the module" : NULL;
}

FIXTURE(removal) {
};

FIXTURE_SETUP(removal)
{
	struct stat status;
	size_t done;
	ssize_t count;
	int fd;

	kheaders_end_with_parent();
	/* A test that failed may have left it unloaded. */
	ASSERT_TRUE(kheaders_load());
	fd = open(KHEADERS, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &status));
	page = sysconf(_SC_PAGESIZE);
	size = status.st_size;
	length = (size + page - 1) / page * page;
	reference = calloc(1, length);
	ASSERT_NE(NULL, reference);
	for (done = 0; done < size; done += count) {
		count = read(fd, reference + done, size - done);
		ASSERT_LT(0, count);
	}
	close(fd);
}

FIXTURE_TEARDOWN(removal)
{
	free(reference);
}

/* --- access that may end in SIGBUS */

static sigjmp_buf no_page;

static void bus_error(int signal_number)
{
	siglongjmp(no_page, 1);
}

static void catch_bus_errors(void)
{
	struct sigaction action = { .sa_handler = bus_error };

	sigaction(SIGBUS, &action, NULL);
}

enum access { RIGHT, WRONG, BUS_ERROR };

static enum access touch(const unsigned char *address, size_t bytes, size_t offset)
{
	if (sigsetjmp(no_page, 1))
		return BUS_ERROR;
	return memcmp(address, reference + offset, bytes) ? WRONG : RIGHT;
}

static size_t pages_left(unsigned char *address)
{
	size_t offset, left = 0;

	for (offset = 0; offset < length; offset += page)
		left += touch(address + offset, 1, offset) != BUS_ERROR;
	return left;
}

static unsigned char *map(int fd)
{
	return mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
}

TEST_F_TIMEOUT(removal, one_by_one, 120)
{
	unsigned char *address, *fresh;
	struct iovec first;
	int fd, ends[2];
	char buffer[10], *spliced;

	if (irremovable())
		SKIP(return, "%s", irremovable());
	catch_bus_errors();

	fd = open(KHEADERS, O_RDONLY);
	ASSERT_LE(0, fd);
	address = map(fd);
	ASSERT_NE(MAP_FAILED, address);
	/* Half of it is there when the module goes, and a pipe has a page. */
	ASSERT_EQ(RIGHT, touch(address, length / 2, 0));
	spliced = malloc(page);
	ASSERT_NE(NULL, spliced);
	ASSERT_EQ(0, pipe(ends));
	first.iov_base = address;
	first.iov_len = page;
	EXPECT_EQ(page, vmsplice(ends[1], &first, 1, 0));

	ASSERT_EQ(0, kheaders_unload());
	EXPECT_EQ(0, pages_left(address));
	EXPECT_EQ(-1, read(fd, buffer, sizeof(buffer)));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, pread(fd, buffer, sizeof(buffer), 100));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, map(fd));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, open(KHEADERS, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(page, read(ends[0], spliced, page));
	EXPECT_EQ(0, memcmp(spliced, reference, page));
	EXPECT_EQ(-1, write(ends[1], address, page));
	EXPECT_EQ(EFAULT, errno);

	/* The old mapping and descriptor stay as they are, new ones work. */
	ASSERT_TRUE(kheaders_load());
	EXPECT_EQ(0, pages_left(address));
	EXPECT_EQ(-1, read(fd, buffer, sizeof(buffer)));
	EXPECT_EQ(ENODEV, errno);
	close(fd);
	fd = open(KHEADERS, O_RDONLY);
	ASSERT_LE(0, fd);
	fresh = map(fd);
	ASSERT_NE(MAP_FAILED, fresh);
	EXPECT_EQ(RIGHT, touch(fresh, length, 0));
	munmap(fresh, length);
	munmap(address, length);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

/* --- all at once: each works on until it is told to stop */

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static void count(int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static int value(int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void complain(const char *what, long detail)
{
	printf("# %s: %ld\n", what, detail);
	fflush(stdout);
	count(&shared->wrong);
}

/* True if the file can be read on. */
static bool read_is_right(int fd, unsigned char *buffer, size_t bytes, off_t offset)
{
	ssize_t got = pread(fd, buffer, bytes, offset);

	if (got < 0) {
		if (errno != ENODEV)
			complain("pread: errno", errno);
		return false;
	}
	if (!got || memcmp(buffer, reference + offset, got))
		complain("pread: wrong bytes", got);
	return true;
}

static void read_in_order(int fd, int id)
{
	unsigned char buffer[4096];
	size_t offset = 0;

	while (!value(&shared->stop)) {
		size_t bytes = size - offset < sizeof(buffer) ? size - offset : sizeof(buffer);

		if (!read_is_right(fd, buffer, bytes, offset)) {
			count(&shared->refused[id]);
			return;
		}
		offset = (offset + bytes) % size;
		count(&shared->worked[id]);
	}
}

static void read_anywhere(int fd, int id)
{
	static unsigned int seed = 1;
	unsigned char buffer[9000];

	while (!value(&shared->stop)) {
		size_t offset = rand_r(&seed) % size;
		size_t bytes = 1 + rand_r(&seed) % sizeof(buffer);

		if (!read_is_right(fd, buffer, bytes, offset)) {
			count(&shared->refused[id]);
			return;
		}
		count(&shared->worked[id]);
	}
}

/* Holds it open, and looks at it again when the module has gone. */
static void hold(int fd, int id)
{
	int removals = value(&shared->removals);
	char c;

	count(&shared->worked[id]);
	while (!value(&shared->stop) && value(&shared->removals) == removals)
		sleep_ms(1);
	/* Opened before this removal, or after it. */
	if (pread(fd, &c, 1, 0) < 0)
		count(&shared->refused[id]);
}

/*
 * Maps it, touches page after page until that fails, and then none may be left.
 * Some forget all pages in each turn, so that they have page faults all the time.
 */
static void touch_until_removal(int fd, int id, bool forget)
{
	int removals = value(&shared->removals);
	unsigned char *address = map(fd);
	size_t offset = 0, left;
	enum access access;

	if (address == MAP_FAILED) {
		if (errno != ENODEV)
			complain("mmap: errno", errno);
		return;
	}
	while (!value(&shared->stop)) {
		if (forget && !offset)
			madvise(address, length, MADV_DONTNEED);
		access = touch(address + offset, page, offset);
		if (access == WRONG)
			complain("mmap: wrong bytes in the page at", offset);
		if (access == BUS_ERROR) {
			while (!value(&shared->stop) && value(&shared->removals) == removals)
				sleep_ms(1);
			if (value(&shared->stop))
				break;
			left = pages_left(address);
			if (left)
				complain("mmap: pages left after removal", left);
			count(&shared->refused[id]);
			break;
		}
		offset = (offset + page) % length;
		count(&shared->worked[id]);
	}
	munmap(address, length);
}

static void touch_on(int fd, int id)
{
	touch_until_removal(fd, id, false);
}

static void fault_on(int fd, int id)
{
	touch_until_removal(fd, id, true);
}

/* Maps, unmaps and moves all the time. */
static void map_and_unmap(int fd, int id)
{
	unsigned char *address, *moved;

	while (!value(&shared->stop)) {
		address = map(fd);
		if (address == MAP_FAILED) {
			if (errno != ENODEV)
				complain("mmap: errno", errno);
			count(&shared->refused[id]);
			return;
		}
		touch(address, page * 20, 0);
		moved = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		moved = mremap(address, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, moved);
		if (moved == MAP_FAILED)
			complain("mremap: errno", errno);
		else if (touch(moved, page * 40, 0) == WRONG)
			complain("mremap: wrong bytes", 0);
		munmap(moved + length / 2 / page * page, page);
		munmap(moved, length);
		count(&shared->worked[id]);
	}
}

/* Children inherit a mapping and touch it, where it was touched and beyond. */
static void fork_on(int fd, int id)
{
	unsigned char *address = map(fd);
	int status;
	pid_t child;

	if (address == MAP_FAILED)
		return;
	while (!value(&shared->stop)) {
		if (touch(address, page * 20, 0) == BUS_ERROR) {
			count(&shared->refused[id]);
			break;
		}
		child = fork();
		if (!child) {
			if (touch(address, page * 40, 0) == WRONG)
				complain("fork: wrong bytes", 0);
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			complain("fork: status", status);
		count(&shared->worked[id]);
	}
	munmap(address, length);
}

static void (*const workers[])(int fd, int id) = {
	read_in_order, read_anywhere, hold, touch_on, fault_on, fault_on,
	map_and_unmap, fork_on,
};

#define WORKERS		((int)(sizeof(workers) / sizeof(*workers)))

static void work(int id)
{
	kheaders_end_with_parent();
	catch_bus_errors();
	while (!value(&shared->stop)) {
		int fd = open(KHEADERS, O_RDONLY);

		if (fd < 0) {
			if (errno != ENOENT && errno != ENODEV)
				complain("open: errno", errno);
			sleep_ms(1);
			continue;
		}
		workers[id](fd, id);
		close(fd);
	}
	_exit(0);
}

static void rounds(struct __test_metadata *_metadata, int number)
{
	while (number--) {
		ASSERT_TRUE(kheaders_load());
		sleep_ms(ROUND_MS);
		ASSERT_EQ(0, kheaders_unload());
		count(&shared->removals);
		sleep_ms(number % 4 * 5);
	}
}

TEST_F_TIMEOUT(removal, all_at_once, 400)
{
	long vmalloc, available;
	pid_t child[WORKERS];
	int i, status;

	if (irremovable())
		SKIP(return, "%s", irremovable());
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);

	ASSERT_EQ(0, kheaders_unload());
	rounds(_metadata, WARM_UP);
	vmalloc = kheaders_kb("VmallocUsed");
	available = kheaders_kb("MemAvailable");

	fflush(stdout);
	for (i = 0; i < WORKERS; i++) {
		child[i] = fork();
		ASSERT_LE(0, child[i]);
		if (!child[i])
			work(i);
	}
	rounds(_metadata, ROUNDS);
	shared->stop = 1;
	for (i = 0; i < WORKERS; i++) {
		ASSERT_EQ(child[i], waitpid(child[i], &status, 0));
		EXPECT_EQ(0, status);
		TH_LOG("process %d: worked %d times, ended by removal %d times", i,
		       shared->worked[i], shared->refused[i]);
		EXPECT_LT(0, shared->worked[i]);
		EXPECT_LT(0, shared->refused[i]);
	}
	EXPECT_EQ(0, shared->wrong);

	/*
	 * Were an archive left behind each time, or half of one, this would
	 * show. What a module took is freed a little later.
	 */
	available -= (long)(size >> 10) * ROUNDS / 4;
	for (i = 0; i < 20 && (kheaders_kb("VmallocUsed") > vmalloc + VMALLOC_KB ||
			       kheaders_kb("MemAvailable") < available); i++)
		sleep_ms(500);
	TH_LOG("VmallocUsed: %ld kB before, %ld after; MemAvailable: %ld wanted, %ld there",
	       vmalloc, kheaders_kb("VmallocUsed"), available, kheaders_kb("MemAvailable"));
	EXPECT_GE(vmalloc + VMALLOC_KB, kheaders_kb("VmallocUsed"));
	EXPECT_LE(available, kheaders_kb("MemAvailable"));
	EXPECT_TRUE(kheaders_load());
}

TEST_HARNESS_MAIN
