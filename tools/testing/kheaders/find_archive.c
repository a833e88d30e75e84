// SPDX-License-Identifier: GPL-2.0-only
/*
 * usage: find_archive IMAGE >kheaders.tar.xz
 * What tools/kheaders takes for the archive, also where it is none, as in tests
 * of images that hold noise.
 */

#include <stdio.h>
#include <stdlib.h>

#include "kheaders.h"

int main(int argc, char **argv)
{
	struct blob image = { 0 }, archive = { 0 };
	FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
	int ret = STATUS_USAGE;
	long size;

	if (!file || fseek(file, 0, SEEK_END))
		return ret;
	size = ftell(file);
	rewind(file);
	image.data = malloc(size + 1);
	if (image.data && fread(image.data, 1, size, file) == (size_t)size)
		ret = image_find(image.data, size, argv[1], &archive);
	fclose(file);
	if (!ret && fwrite(archive.data, 1, archive.size, stdout) != archive.size)
		ret = STATUS_FAILED;
	free(image.data);
	free(archive.data);
	return ret;
}
