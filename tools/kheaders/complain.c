// SPDX-License-Identifier: GPL-2.0-only

#include <stdarg.h>
#include <stdio.h>

#include "kheaders.h"

const char out_of_memory[] = "not enough memory";

/**
 * is_control - whether a byte is what terminals take commands from
 * @text: text from a file, which may be there to trick one
 * @at: where the byte is, of a C0 character or, in UTF-8, a C1 one
 */
bool is_control(const char *text, size_t at)
{
	unsigned char c = text[at];

	return c < ' ' || c == 0x7f || (c == 0xc2 && (text[at + 1] & 0xe0) == 0x80) ||
	       ((c & 0xe0) == 0x80 && at && text[at - 1] == '\xc2');
}

/**
 * complain - say what went wrong
 * @status: what to return
 * @format: "WHAT: WHY: what to try", without a newline
 *
 * One call writes one line, also where several processes share stderr.
 */
int complain(int status, const char *format, ...)
{
	char line[4096], safe[4096] = "";
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (size_t i = 0; line[i]; i++)
		safe[i] = is_control(line, i) ? '?' : line[i];
	fprintf(stderr, "kheaders: %s\n", safe);
	return status;
}

/**
 * no_memory - say that there is none left
 * @name: for what, or NULL
 *
 * Returns: STATUS_FAILED.
 */
int no_memory(const char *name)
{
	return complain(STATUS_FAILED, "%s%s%s", name ? name : "", name ? ": " : "", out_of_memory);
}
