// SPDX-License-Identifier: GPL-2.0-only
/*
 * usage: read [ROUNDS]
 * Reads the archive, asking for a page, as much as it gets, and for 1 MiB, and
 * prints the system calls that takes and the time of the fastest round.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ARCHIVE "/sys/kernel/kheaders.tar.xz"

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
		size_t bytes;
	} ways[] = {
		{ "read-page", 4096 },
		{ "read-1MiB", 1 << 20 },
	};
	static unsigned char buffer[1 << 20];
	int rounds = argc > 1 ? atoi(argv[1]) : 20;
	struct stat status;
	size_t i;

	if (stat(ARCHIVE, &status))
		err(1, ARCHIVE);
	printf("archive bytes %jd\n", (intmax_t)status.st_size);

	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		double best = 0;
		long calls = 0;
		int round;

		for (round = 0; round < rounds; round++) {
			double start = now_ms(), took;
			int fd = open(ARCHIVE, O_RDONLY);
			ssize_t count = 1;
			off_t total = 0;

			for (calls = 0; count > 0; calls++) {
				count = read(fd, buffer, ways[i].bytes);
				total += count;
			}
			if (total != status.st_size)
				err(1, ARCHIVE);
			close(fd);
			took = now_ms() - start;
			if (!round || took < best)
				best = took;
		}
		printf("%s calls %ld ms %.2f\n", ways[i].name, calls, best);
	}
	return 0;
}
