// SPDX-License-Identifier: GPL-2.0-only

#include <stdarg.h>
#include <stdio.h>

#include "kheaders.h"

const char out_of_memory[] = "not enough memory";

/**
 * complain - say what went wrong
 * @status: what to return
 * @format: "WHAT: WHY: what to try", without a newline
 *
 * One call writes one line, also where several processes share stderr.
 */
int complain(int status, const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* Names from files may be there to trick a terminal. */
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	fprintf(stderr, "kheaders: %s\n", line);
	return status;
}
