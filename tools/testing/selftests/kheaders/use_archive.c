// SPDX-License-Identifier: GPL-2.0-only
/*
 * usage: use_archive WAY REFERENCE
 * Uses the archive as an ordinary user in a way of the table below, again and
 * again until SIGTERM, and compares what it gets with a copy. It may go away
 * meanwhile, with ENODEV, and come back. Fails if there was anything else, or
 * if one of both never was; exits with 4 where the kernel does not know the way.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define KHEADERS	"/sys/kernel/kheaders.tar.xz"
#define NOBODY		65534
#define BYTES		(16 * 4096)

enum outcome { WORKED, REFUSED, ABSENT };

static bool wrong;
static size_t size;
static unsigned char *reference;
static unsigned char buffer[BYTES];
static int first[2], second[2];
static FILE *file;

/* SIGTERM is blocked, so that it interrupts nothing. */
static bool stop(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGTERM);
}

static void complain(const char *what, long detail)
{
	printf("%s: %ld\n", what, detail);
	wrong = true;
}

/* What came of a call that got so many bytes from @offset on. */
static enum outcome outcome(const char *call, ssize_t got, off_t offset)
{
	if (got <= 0) {
		if (!got || errno != ENODEV)
			complain(call, got ? -errno : 0);
		return REFUSED;
	}
	if (memcmp(buffer, reference + offset, got))
		complain(call, offset);
	return WORKED;
}

static void wait_for_removal(void)
{
	while (!stop() && !access(KHEADERS, F_OK))
		usleep(1000);
}

static enum outcome in_order(int fd)
{
	static off_t offset;
	ssize_t got = pread(fd, buffer, 4096, offset);
	off_t start = offset;

	offset = (offset + (got > 0 ? got : 0)) % size;
	return outcome("pread", got, start);
}

static enum outcome at_random(int fd)
{
	off_t offset = rand() % (off_t)size;

	return outcome("pread", pread(fd, buffer, 1 + rand() % 9000, offset), offset);
}

static enum outcome held_open(int fd)
{
	if (rand() % 8 == 0)
		wait_for_removal();
	return outcome("pread", pread(fd, buffer, 1, 0), 0);
}

/* What is in the pipe has to be right also when the module has gone. */
static enum outcome drain(const char *call, int *ends, ssize_t bytes, off_t offset)
{
	ssize_t done = 0, got = 1;

	while (done < bytes && got > 0) {
		got = read(ends[0], buffer + done, bytes - done);
		done += got;
	}
	return outcome(call, done, offset);
}

static enum outcome by_vmsplice(int fd)
{
	off_t offset = rand() % (off_t)size;
	ssize_t got = pread(fd, buffer, 4096, offset);
	struct iovec pages = { buffer, got };

	if (got <= 0)
		return outcome("pread", got, offset);
	if (vmsplice(first[1], &pages, 1, 0) != got || tee(first[0], second[1], got, 0) != got)
		err(1, "vmsplice or tee");
	if (rand() % 8 == 0)
		wait_for_removal();
	drain("vmsplice", first, got, offset);
	return drain("tee", second, got, offset);
}

static enum outcome by_splice(int fd)
{
	loff_t start = rand() % (off_t)size, offset = start;
	ssize_t got = splice(fd, &offset, first[1], NULL, BYTES, 0);

	if (got <= 0)
		return outcome("splice", got, start);
	if (rand() % 8 == 0)
		wait_for_removal();
	return drain("splice", first, got, start);
}

static enum outcome by_sendfile(int fd)
{
	off_t start = rand() % (off_t)size, offset = start;
	ssize_t got;

	lseek(fileno(file), 0, SEEK_SET);
	got = sendfile(fileno(file), fd, &offset, BYTES);
	return outcome("sendfile", got > 0 ? pread(fileno(file), buffer, got, 0) : got, start);
}

static enum outcome by_io_uring(int fd)
{
	static struct io_uring_params p;
	static unsigned char *rings;
	static struct io_uring_sqe *sqe;
	static int ring;
	off_t offset = rand() % (off_t)size;
	struct io_uring_cqe *cqe;
	unsigned int *tail, *head;

	if (!ring) {
		ring = syscall(SYS_io_uring_setup, 1, &p);
		if (ring < 0 || !(p.features & IORING_FEAT_SINGLE_MMAP))
			return ABSENT;
		rings = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(int),
			     PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
		sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
			   ring, IORING_OFF_SQES);
		if (rings == MAP_FAILED || sqe == MAP_FAILED)
			err(1, "mmap of the rings");
	}
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = fd,
		.addr = (uintptr_t)buffer, .len = 1 + rand() % 9000, .off = offset,
	};
	tail = (unsigned int *)(rings + p.sq_off.tail);
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		err(1, "io_uring_enter");

	head = (unsigned int *)(rings + p.cq_off.head);
	cqe = (struct io_uring_cqe *)(rings + p.cq_off.cqes) +
		(*head & *(unsigned int *)(rings + p.cq_off.ring_mask));
	errno = cqe->res < 0 ? -cqe->res : 0;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return outcome("io_uring", cqe->res, offset);
}

/*
 * Were it possible to map pages of the module and to hold references on them, this
 * would crash the kernel: pipes have them still when it has mapped them no longer.
 */
static enum outcome mmap_is_refused(int fd)
{
	struct iovec pages = { .iov_len = BYTES };

	pages.iov_base = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (pages.iov_base == MAP_FAILED)
		return outcome("mmap", -1, 0);

	complain("mmap gives a mapping, where ENODEV is due", 0);
	if (vmsplice(first[1], &pages, 1, 0) < 0)
		err(1, "vmsplice");
	while (!stop() && tee(first[0], second[1], BYTES, 0) > 0)
		splice(second[0], NULL, fileno(file), &(loff_t){ 0 }, BYTES, 0);
	return WORKED;
}

static const struct {
	const char *name;
	enum outcome (*step)(int fd);
} ways[] = {
	{ "in_order", in_order },
	{ "at_random", at_random },
	{ "held_open", held_open },
	{ "by_vmsplice", by_vmsplice },
	{ "by_splice", by_splice },
	{ "by_sendfile", by_sendfile },
	{ "by_io_uring", by_io_uring },
	{ "mmap_is_refused", mmap_is_refused },
};

#define WAYS	((int)(sizeof(ways) / sizeof(*ways)))

int main(int argc, char **argv)
{
	int counts[3] = {}, copy, fd, i = 0;
	enum outcome out = WORKED;
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	while (i < WAYS && argc == 3 && strcmp(argv[1], ways[i].name))
		i++;
	if (argc != 3 || i == WAYS)
		errx(1, "usage: use_archive WAY REFERENCE");
	file = tmpfile();
	copy = open(argv[2], O_RDONLY);
	size = lseek(copy, 0, SEEK_END);
	reference = mmap(NULL, size, PROT_READ, MAP_PRIVATE, copy, 0);
	if (reference == MAP_FAILED || !file || pipe(first) || pipe(second))
		err(1, "%s, or a temporary file, or a pipe", argv[2]);
	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		err(1, "setresuid");

	while (!stop() && out != ABSENT) {
		fd = open(KHEADERS, O_RDONLY);
		if (fd < 0) {
			if (errno != ENOENT && errno != ENODEV)
				complain("open", errno);
			usleep(1000);
			continue;
		}
		do {
			out = ways[i].step(fd);
			counts[out]++;
		} while (out == WORKED && !stop());
		close(fd);
	}
	if (out == ABSENT)
		return 4;
	printf("worked %d times, refused %d times\n", counts[WORKED], counts[REFUSED]);
	return wrong || !counts[REFUSED] || !counts[WORKED] != (ways[i].step == mmap_is_refused);
}
