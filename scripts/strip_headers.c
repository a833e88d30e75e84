// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take comments and superfluous blanks out of C headers, in place.
 *
 * usage: strip_headers < LIST
 *
 * LIST names the files, each name ended by a NUL byte. A file keeps exactly
 * the preprocessing tokens it had, in the sense of C11 5.1.1.2 and as GCC
 * lexes them, assembler text included:
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
 * Exits with 1 and a message that names the file if one cannot be read or
 * written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPDX_TAG	"SPDX-"

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
	bool header_name;	/* the next < or " starts a header name */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
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
	return p < lx->end && *p == '\n' ? p + 1 : NULL;
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

	while (p < lx->end && *p != '\n') {
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
	while ((p = skip_continuations(lx, p)) < lx->end && *p != '\n') {
		char c = *p++;

		if (c == quote)
			break;
		if (c == '\\' && escapes) {
			p = skip_continuations(lx, p);
			if (p < lx->end && *p != '\n')
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

/* Passes the input up to @end on as one token. */
static void emit_token(struct lexer *lx, const char *end)
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
	lx->tokens = true;
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
	if (lx->open)
		*lx->out++ = '\n';
	lx->p++;
	lx->blank = false;
	lx->spliced = false;
	lx->open = false;
	lx->tokens = false;
	lx->directive = false;
	lx->header_name = false;
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
	if (after_backslash(lx) ||
	    memmem(lx->p, end - lx->p, SPDX_TAG, strlen(SPDX_TAG))) {
		emit_token(lx, end);
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
		end = end_of_literal(lx, lx->p + 1, *lx->p, !lx->header_name);
	lx->header_name = false;
	emit_token(lx, end);
}

static void lex_less(struct lexer *lx)
{
	const char *end = lx->p + 1;

	if (lx->header_name) {
		const char *close = end_of_literal(lx, end, '>', false);

		if (close[-1] == '>')
			end = close;
		lx->header_name = false;
	}
	emit_token(lx, end);
}

/* In a directive: find out whether a header name may follow. */
static void lex_ident(struct lexer *lx)
{
	static const char * const names[] = {
		"include", "include_next", "import",
		"__has_include", "__has_include_next",
	};
	const char *end = lx->p;
	size_t i;

	while (end < lx->end && is_ident(*end))
		end++;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if ((size_t)(end - lx->p) == strlen(names[i]) &&
		    !memcmp(lx->p, names[i], end - lx->p))
			lx->header_name = true;
	emit_token(lx, end);
}

/* Bytes that mean nothing to us: the greater part, so take them in one go. */
static void lex_others(struct lexer *lx)
{
	const char *end = lx->p + 1;

	if (*lx->p == '#' && !lx->tokens)
		lx->directive = true;
	while (end < lx->end && !strchr(" \t\v\f\r\n\\/\"'<#", *end) &&
	       !(lx->directive && is_ident(*end)))
		end++;
	emit_token(lx, end);
}

/* Returns the length of what it leaves in @out, which has room for @len. */
static size_t strip(const char *text, size_t len, char *out)
{
	struct lexer lx = {
		.p = text, .end = text + len, .start = out, .out = out,
	};

	while (lx.p < lx.end) {
		if (*lx.p == '\n') {
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
		} else if (lx.directive && is_ident(*lx.p)) {
			lex_ident(&lx);
		} else {
			lex_others(&lx);
		}
	}
	return lx.out - out;
}

static void die(const char *path)
{
	fprintf(stderr, "strip_headers: %s: %s\n", path, strerror(errno));
	exit(1);
}

static void strip_file(const char *path)
{
	static char *text, *out;
	static size_t room;
	size_t size, len, done;
	struct stat st;
	ssize_t n;
	int fd;

	fd = open(path, O_RDWR);
	if (fd < 0 || fstat(fd, &st))
		die(path);

	size = st.st_size;
	if (size > room) {
		room = size;
		text = realloc(text, room);
		out = realloc(out, room);
		if (!text || !out)
			die(path);
	}
	for (done = 0; done < size; done += n) {
		n = pread(fd, text + done, size - done, done);
		if (n == 0)
			errno = EIO;	/* shorter than it was a moment ago */
		if (n <= 0)
			die(path);
	}

	len = strip(text, size, out);
	for (done = 0; done < len; done += n) {
		n = pwrite(fd, out + done, len - done, done);
		if (n < 0)
			die(path);
	}
	if (ftruncate(fd, len) || close(fd))
		die(path);
}

int main(int argc, char **argv)
{
	size_t room = 0;
	char *path = NULL;

	if (argc > 1) {
		fprintf(stderr, "usage: %s < LIST of files, each ended by a NUL byte\n",
			argv[0]);
		return 1;
	}
	while (getdelim(&path, &room, '\0', stdin) > 0)
		strip_file(path);
	if (ferror(stdin))
		die("list of files");
	free(path);
	return 0;
}
