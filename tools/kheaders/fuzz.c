// SPDX-License-Identifier: GPL-2.0-only
/*
 * For libFuzzer: hostile images, .xz streams and tar archives. The first byte
 * says what the rest is. Tar archives are compressed here, since no fuzzer
 * would get past the checksums.
 */

#include <dirent.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kheaders.h"

#define DIRECTORY "fuzz.outside/inside"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct options options = {
	.max_size = 4 << 20,
	.max_files = 200,
	.threads = 1,
};

/* Unpacks, and looks whether anything went elsewhere. */
static void unpack(const struct blob *archive)
{
	unsigned int entries = 0;
	struct tree tree;
	DIR *outside;
	int dir;

	mkdir("fuzz.outside", 0700);
	mkdir(DIRECTORY, 0700);
	dir = open(DIRECTORY, O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		abort();
	tree_read(archive, "input", dir, &options, &tree);
	tree_release(&tree);
	outside = opendir("fuzz.outside");
	while (outside && readdir(outside))
		entries++;
	if (!outside || entries != 3 || tree_empty(dir))
		abort();
	closedir(outside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct blob found = { 0 }, tar = { 0 };
	size_t room;

	if (!size)
		return 0;
	switch (data[0]) {
	case 'i':
		if (!image_find(data + 1, size - 1, "input", &found))
			unpack(&found);
		free(found.data);
		break;
	case 'x':
		unpack(&(struct blob){ (unsigned char *)data + 1, size - 1 });
		break;
	case 't':
		room = lzma_stream_buffer_bound(size);
		tar.data = malloc(room);
		if (tar.data &&
		    lzma_easy_buffer_encode(0, LZMA_CHECK_NONE, NULL, data + 1, size - 1,
					    tar.data, &tar.size, room) == LZMA_OK)
			unpack(&tar);
		free(tar.data);
		break;
	}
	return 0;
}
