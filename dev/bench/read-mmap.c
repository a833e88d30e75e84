// SPDX-License-Identifier: GPL-2.0-only
/*
 * usage: read-mmap [ROUNDS]
 * Adds up the bytes of the archive, once read and once mapped, and prints for
 * each the system calls and page faults it takes and the time of the fastest
 * round. read asks for a page, as much as it gets, and for 1 MiB.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ARCHIVE "/sys/kernel/kheaders.tar.xz"

static size_t size;
static long calls;

static uint64_t sum(const void *data, size_t bytes)
{
	const unsigned char *byte = data, *end = byte + bytes;
	uint64_t sum = 0;

	while (byte < end)
		sum += *byte++;
	return sum;
}

static uint64_t by_read(int fd, size_t chunk)
{
	static unsigned char buffer[1 << 20];
	uint64_t total = 0;
	ssize_t count;

	do {
		count = read(fd, buffer, chunk);
		if (count < 0)
			err(1, "read");
		calls++;
		total += sum(buffer, count);
	} while (count);
	return total;
}

static uint64_t by_mmap(int fd, size_t ignored)
{
	void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	uint64_t total;

	(void)ignored;
	if (data == MAP_FAILED)
		err(1, "mmap");
	total = sum(data, size);
	munmap(data, size);
	calls += 2;
	return total;
}

static long page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*add_up)(int fd, size_t chunk);
		size_t chunk;
	} ways[] = {
		{ "read-page", by_read, 4096 },
		{ "read-1MiB", by_read, 1 << 20 },
		{ "mmap", by_mmap, 0 },
	};
	int rounds = argc > 1 ? atoi(argv[1]) : 20;
	uint64_t expected = 0;
	struct stat status;
	size_t i;

	if (stat(ARCHIVE, &status))
		err(1, ARCHIVE);
	size = status.st_size;
	printf("archive bytes %zu\n", size);

	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		double best = 0;
		long faults = 0;
		int round;

		for (round = 0; round < rounds; round++) {
			double start = now_ms(), took;
			int fd = open(ARCHIVE, O_RDONLY);
			uint64_t total;

			if (fd < 0)
				err(1, ARCHIVE);
			faults = page_faults();
			calls = 0;
			total = ways[i].add_up(fd, ways[i].chunk);
			faults = page_faults() - faults;
			close(fd);
			took = now_ms() - start;
			if (!round || took < best)
				best = took;
			if (!expected)
				expected = total;
			if (total != expected)
				errx(1, "%s: other bytes than before", ways[i].name);
		}
		printf("%s calls %ld faults %ld ms %.2f\n", ways[i].name, calls, faults, best);
	}
	return 0;
}
