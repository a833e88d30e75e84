// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take comments and superfluous blanks out of C headers.
 *
 * usage: strip_headers < HEADER
 *        strip_headers --tar [PATH...] < TAR
 *
 * The result goes to standard output: the one header, or the archive in the
 * ustar format of POSIX with all the files in it stripped but those at PATH.
 * A file keeps exactly the preprocessing tokens it had, in the sense of
 * C11 5.1.1.2 and as GCC lexes them, assembler text included:
 *
 *  - a comment becomes one blank, unless it holds an SPDX tag, then it stays;
 *  - a run of blanks becomes one, at either end of a line none, but one before
 *    a # that stands first;
 *  - empty lines go;
 *  - literals, header names and line continuations stay as they are.
 *
 * A comment without an end, and all that follows it, stays too: a compiler has
 * to see the same mistake.
 *
 * Exits with 1 and a message if it cannot read or write, or if the archive is
 * damaged or has a member that is neither a file nor a directory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPDX_TAG	"SPDX-"

#define ALL		(~0U)

#define TAR_BLOCK	512	/* all in an archive comes in these */
#define TAR_RECORD	10240	/* what its size is a multiple of */

struct lexer {
	const char *p;		/* next byte to look at */
	const char *end;
	char *start;		/* output; never longer than the input */
	char *out;
	bool blank;		/* blanks or a comment since the last token */
	bool spliced;		/* nothing since a line continuation */
	bool open;		/* the line has output, tokens or continuations */
	bool tokens;		/* the line has tokens */
	bool directive;		/* the line's first token is # */
	bool first_name;	/* # was the last token */
	bool keep_comments;	/* up to the end of the line */
	unsigned int header_names;	/* so many of the next tokens may be one */
};

/* NUL, too: compilers ignore it, with a warning. */
static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\0';
}

static bool is_newline(char c)
{
	return c == '\n' || c == '\r';
}

/* What follows the end of line at @p: LF, CR LF or, as for GCC, CR alone. */
static const char *after_newline(const struct lexer *lx, const char *p)
{
	return p[0] == '\r' && p + 1 < lx->end && p[1] == '\n' ? p + 2 : p + 1;
}

static bool is_ident(char c)
{
	return c == '_' || c == '$' || (c >= '0' && c <= '9') ||
	       (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * What follows the line continuation at @p, or NULL if there is none. GCC and
 * clang allow blanks between the backslash and the end of the line.
 */
static const char *continuation(const struct lexer *lx, const char *p)
{
	if (p == lx->end || *p != '\\')
		return NULL;
	p++;
	while (p < lx->end && is_blank(*p))
		p++;
	return p < lx->end && is_newline(*p) ? after_newline(lx, p) : NULL;
}

static const char *skip_continuations(const struct lexer *lx, const char *p)
{
	const char *next = continuation(lx, p);

	while (next) {
		p = next;
		next = continuation(lx, p);
	}
	return p;
}

static const char *end_of_line(const struct lexer *lx, const char *p)
{
	const char *next;

	while (p < lx->end && !is_newline(*p)) {
		next = continuation(lx, p);
		p = next ? next : p + 1;
	}
	return p;
}

/* The end of the block comment whose text starts at @p, or NULL. */
static const char *end_of_block(const struct lexer *lx, const char *p)
{
	const char *star, *slash;

	for (;; p = star + 1) {
		star = memchr(p, '*', lx->end - p);
		if (!star)
			return NULL;
		slash = skip_continuations(lx, star + 1);
		if (slash < lx->end && *slash == '/')
			return slash + 1;
	}
}

/*
 * The end of the literal whose text starts at @p. One that is not closed on
 * its line reaches to the end of it, as in "#error don't".
 */
static const char *end_of_literal(const struct lexer *lx, const char *p,
				  char quote, bool escapes)
{
	while ((p = skip_continuations(lx, p)) < lx->end && !is_newline(*p)) {
		char c = *p++;

		if (c == quote)
			break;
		if (c == '\\' && escapes) {
			p = skip_continuations(lx, p);
			if (p < lx->end && !is_newline(*p))
				p++;
		}
	}
	return p;
}

/* R"x(...)x": nothing inside means anything before the same x is back. */
static const char *end_of_raw_string(const struct lexer *lx, const char *p)
{
	char closing[18] = ")";		/* the standard allows 16 for x */
	const char *paren = memchr(p, '(', lx->end - p);
	const char *found;

	if (!paren || paren - p > 16)
		return NULL;
	memcpy(closing + 1, p, paren - p);
	closing[1 + paren - p] = '"';
	found = memmem(paren, lx->end - paren, closing, paren - p + 2);

	return found ? found + (paren - p + 2) : lx->end;
}

/* Is the quote that comes next the start of a raw string? */
static bool after_raw_prefix(const struct lexer *lx)
{
	static const char * const prefixes[] = { "R", "LR", "uR", "UR", "u8R" };
	size_t len = 0, i;

	if (lx->blank || lx->spliced)
		return false;
	while (len < (size_t)(lx->out - lx->start) && is_ident(lx->out[-1 - len]))
		len++;
	for (i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (len == strlen(prefixes[i]) &&
		    !memcmp(lx->out - len, prefixes[i], len))
			return true;
	return false;
}

/*
 * Does the token that comes next need a blank before it? At the start of a line
 * only #: to traditional and to preprocessed C, an indented # is no directive.
 */
static bool needs_blank(const struct lexer *lx)
{
	if (!lx->blank)
		return false;
	if (!lx->open)
		return *lx->p == '#';
	return !(lx->spliced && lx->out - lx->start > 2 && lx->out[-3] == ' ');
}

/* Passes the input up to @end on. */
static void emit(struct lexer *lx, const char *end)
{
	size_t len = end - lx->p;

	if (needs_blank(lx))
		*lx->out++ = ' ';
	memmove(lx->out, lx->p, len);
	lx->out += len;
	lx->p = end;
	lx->blank = false;
	lx->spliced = false;
	lx->open = true;
}

/* Counts down to where no header name can be any more. */
static void emit_token(struct lexer *lx, const char *end)
{
	if (lx->header_names && lx->header_names != ALL)
		lx->header_names = *lx->p == '(' ? lx->header_names - 1 : 0;
	lx->tokens = true;
	lx->first_name = false;
	emit(lx, end);
}

static void emit_continuation(struct lexer *lx, const char *end)
{
	if (lx->blank && lx->open && !lx->spliced)
		*lx->out++ = ' ';
	*lx->out++ = '\\';
	*lx->out++ = '\n';
	lx->p = end;
	lx->blank = lx->blank && lx->spliced;
	lx->spliced = true;
	lx->open = true;
}

static void emit_newline(struct lexer *lx)
{
	/* Behind a CR that ended a continued line, LF would be part of that end. */
	if (lx->open && lx->out[-1] == '\r')
		*lx->out++ = '\r';
	if (lx->open)
		*lx->out++ = '\n';
	lx->p = after_newline(lx, lx->p);
	lx->blank = false;
	lx->spliced = false;
	lx->open = false;
	lx->tokens = false;
	lx->directive = false;
	lx->first_name = false;
	lx->keep_comments = false;
	lx->header_names = 0;
}

/*
 * Without the comment behind it, a lone backslash could come to stand at the
 * end of a line and continue that.
 */
static bool after_backslash(const struct lexer *lx)
{
	return lx->out > lx->start && lx->out[-1] == '\\';
}

static void lex_comment(struct lexer *lx, const char *end)
{
	if (lx->keep_comments || after_backslash(lx) ||
	    memmem(lx->p, end - lx->p, SPDX_TAG, strlen(SPDX_TAG))) {
		emit(lx, end);
	} else {
		lx->blank = true;
		lx->p = end;
	}
}

static void lex_backslash(struct lexer *lx)
{
	const char *next = continuation(lx, lx->p);

	if (next)
		emit_continuation(lx, next);
	else
		emit_token(lx, lx->p + 1);
}

static void lex_slash(struct lexer *lx)
{
	const char *next = skip_continuations(lx, lx->p + 1);
	const char *end;

	if (next < lx->end && *next == '/') {
		lex_comment(lx, end_of_line(lx, next));
	} else if (next < lx->end && *next == '*') {
		end = end_of_block(lx, next + 1);
		if (end)
			lex_comment(lx, end);
		else
			emit_token(lx, lx->end);
	} else {
		emit_token(lx, lx->p + 1);
	}
}

static void lex_quote(struct lexer *lx)
{
	const char *end = NULL;

	if (*lx->p == '"' && after_raw_prefix(lx))
		end = end_of_raw_string(lx, lx->p + 1);
	if (!end)
		end = end_of_literal(lx, lx->p + 1, *lx->p, !lx->header_names);
	emit_token(lx, end);
}

static void lex_less(struct lexer *lx)
{
	const char *end = lx->p + 1;

	if (lx->header_names) {
		const char *close = end_of_literal(lx, end, '>', false);

		/* Taking a comment of several lines out could bring the > here. */
		if (close[-1] == '>')
			end = close;
		else
			lx->keep_comments = true;
	}
	emit_token(lx, end);
}

static bool is_one_of(const char *name, size_t len, const char * const *names)
{
	while (*names && (len != strlen(*names) || memcmp(name, *names, len)))
		names++;
	return *names;
}

/* In a directive: find out whether a header name may follow. */
static void lex_ident(struct lexer *lx)
{
	static const char * const directives[] = {
		"include", "include_next", "import", NULL
	};
	static const char * const operators[] = {
		"__has_include", "__has_include_next", NULL
	};
	bool first_name = lx->first_name;
	const char *name = lx->p;
	const char *end = name;

	while (end < lx->end && is_ident(*end))
		end++;
	emit_token(lx, end);
	if (first_name && is_one_of(name, end - name, directives))
		lx->header_names = ALL;
	else if (!lx->header_names && is_one_of(name, end - name, operators))
		lx->header_names = 2;	/* it, or a parenthesis and it */
}

/* Bytes that mean nothing to us: the greater part, so take them in one go. */
static void lex_others(struct lexer *lx)
{
	const char *end = lx->p + 1;

	while (end < lx->end && !strchr(" \t\v\f\r\n\\/\"'<#", *end) &&
	       !(lx->directive && is_ident(*end)) && !lx->header_names)
		end++;
	emit_token(lx, end);
}

/* A # or what stands for it. */
static void lex_hash(struct lexer *lx, const char *end)
{
	bool first = !lx->tokens;

	emit_token(lx, end);
	if (first) {
		lx->directive = true;
		lx->first_name = true;
	}
}

/* Returns the length of what it leaves in @out, which has room for @len. */
static size_t strip(const char *text, size_t len, char *out)
{
	struct lexer lx = {
		.p = text, .end = text + len, .start = out, .out = out,
	};

	/* A byte order mark is no token. */
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		emit(&lx, text + 3);

	while (lx.p < lx.end) {
		if (is_newline(*lx.p)) {
			emit_newline(&lx);
		} else if (is_blank(*lx.p)) {
			lx.blank = true;
			lx.p++;
		} else if (*lx.p == '\\') {
			lex_backslash(&lx);
		} else if (*lx.p == '/') {
			lex_slash(&lx);
		} else if (*lx.p == '"' || *lx.p == '\'') {
			lex_quote(&lx);
		} else if (*lx.p == '<') {
			lex_less(&lx);
		} else if (*lx.p == '#') {
			lex_hash(&lx, lx.p + 1);
		} else if (*lx.p == '%' && lx.p + 1 < lx.end && lx.p[1] == ':') {
			lex_hash(&lx, lx.p + 2);
		} else if (lx.directive && is_ident(*lx.p)) {
			lex_ident(&lx);
		} else {
			lex_others(&lx);
		}
	}
	return lx.out - out;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "strip_headers: %s: %s\n", what, why);
	exit(1);
}

static void *grow(void *buffer, size_t size)
{
	buffer = realloc(buffer, size);
	if (!buffer)
		die("memory", strerror(errno));
	return buffer;
}

static void write_out(const void *data, size_t len)
{
	if (fwrite(data, 1, len, stdout) != len)
		die("writing", strerror(errno));
}

static void write_zeros(size_t len)
{
	static const char zeros[TAR_RECORD];

	write_out(zeros, len);
}

/* What is missing to a multiple of @unit. */
static size_t padding(size_t len, size_t unit)
{
	return (unit - len % unit) % unit;
}

static void strip_header(void)
{
	size_t room = 1 << 20, len = 0, got;
	char *text = grow(NULL, room);
	char *out;

	while ((got = fread(text + len, 1, room - len, stdin))) {
		len += got;
		if (len == room) {
			room *= 2;
			text = grow(text, room);
		}
	}
	if (ferror(stdin))
		die("reading", strerror(errno));
	out = grow(NULL, room);
	write_out(out, strip(text, len, out));
	free(text);
	free(out);
}

/* The head of a member of an archive: POSIX.1-2017, pax, "ustar". */
struct tar_head {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char pad[12];
};

static unsigned int tar_checksum(const struct tar_head *head)
{
	const unsigned char *byte = (const unsigned char *)head;
	size_t at = offsetof(struct tar_head, checksum), i;
	unsigned int sum = 0;

	/* of itself the checksum thinks as of blanks */
	for (i = 0; i < sizeof(*head); i++)
		sum += i >= at && i < at + sizeof(head->checksum) ? ' ' : byte[i];
	return sum;
}

static void read_tar(void *data, size_t len)
{
	if (fread(data, 1, len, stdin) != len)
		die("reading", ferror(stdin) ? strerror(errno) :
		    "the archive ends too early");
}

/* Reads the next head; false if there is none. */
static bool read_head(struct tar_head *head)
{
	static const struct tar_head end;
	char digits[sizeof(head->checksum) + 1] = "";

	read_tar(head, sizeof(*head));
	if (!memcmp(head, &end, sizeof(end)))
		return false;
	memcpy(digits, head->checksum, sizeof(head->checksum));
	if (memcmp(head->magic, "ustar", sizeof(head->magic)) ||
	    strtoul(digits, NULL, 8) != tar_checksum(head))
		die("reading", "not an archive of tar, or a damaged one");
	return true;
}

static void write_head(struct tar_head *head, size_t size)
{
	snprintf(head->size, sizeof(head->size), "%011zo", size);
	snprintf(head->checksum, sizeof(head->checksum) - 1, "%06o",
		 tar_checksum(head));
	head->checksum[sizeof(head->checksum) - 1] = ' ';
	write_out(head, sizeof(*head));
}

static void strip_tar(const char * const *untouched)
{
	char digits[sizeof(((struct tar_head *)NULL)->size) + 1] = "";
	char path[sizeof(((struct tar_head *)NULL)->prefix) + 1 +
		  sizeof(((struct tar_head *)NULL)->name) + 1];
	size_t room = 1 << 20, written = 0, size, len;
	char *text = grow(NULL, room), *out = grow(NULL, room);
	struct tar_head head;

	while (read_head(&head)) {
		snprintf(path, sizeof(path), "%.*s%s%.*s",
			 (int)sizeof(head.prefix), head.prefix,
			 *head.prefix ? "/" : "",
			 (int)sizeof(head.name), head.name);
		if (head.type != '0' && head.type != '5')
			die(path, "neither a file nor a directory");

		memcpy(digits, head.size, sizeof(head.size));
		size = strtoul(digits, NULL, 8);
		len = size + padding(size, TAR_BLOCK);
		if (len > room) {
			room = len;
			text = grow(text, room);
			out = grow(out, room);
		}
		read_tar(text, len);
		if (is_one_of(path, strlen(path), untouched))
			memcpy(out, text, size);
		else
			size = strip(text, size, out);

		write_head(&head, size);
		write_out(out, size);
		write_zeros(padding(size, TAR_BLOCK));
		written += sizeof(head) + size + padding(size, TAR_BLOCK);
	}
	free(text);
	free(out);

	/* What comes now is zeros: tar is to end without an error of its own. */
	while (fread(&head, 1, sizeof(head), stdin) == sizeof(head))
		;
	write_zeros(2 * TAR_BLOCK);
	write_zeros(padding(written + 2 * TAR_BLOCK, TAR_RECORD));
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		strip_header();
	} else if (!strcmp(argv[1], "--tar")) {
		strip_tar((const char * const *)argv + 2);
	} else {
		fprintf(stderr, "usage: %s < HEADER\n"
			"       %s --tar [PATH...] < TAR\n", argv[0], argv[0]);
		return 1;
	}
	if (fclose(stdout))
		die("writing", strerror(errno));
	return 0;
}
