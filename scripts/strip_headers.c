// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take comments and superfluous blanks out of C headers.
 *
 * usage: strip_headers --tar SECONDS MADE SRCTREE < LIST
 *        strip_headers --scan MADE SRCTREE < LIST
 *
 * LIST has a line "TREE PATH" for each file: TREE is src for a header in SRCTREE,
 * obj for one in the current directory, with a = behind it a file there that is no
 * header; made for a file in the directory MADE, and dir for a directory of that
 * name in the archive; link means nothing here. --tar writes these, headers
 * stripped, as members of an archive in the ustar format of POSIX, modified at
 * SECONDS, without the zeros that end an archive; what starts as a script or program
 * does can be executed. --scan prints for each file its line with what it takes in
 * the archive, in bytes, and a line for each header name in it:
 *
 *	file 1536 src include/linux/a.h
 *	include <linux/b.h>
 *
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
 * Exits with 1 and a message if it cannot read or write, or if a file changes
 * while it is read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPDX_TAG	"SPDX-"

#define ALL		(~0U)

#define TAR_BLOCK	512	/* all in an archive comes in these */

static void die(const char *what, const char *why)
{
	fprintf(stderr, "strip_headers: %s: %s\n", what, why);
	exit(1);
}

struct buffer {
	char *data;
	size_t room;
};

static void make_room(struct buffer *buffer, size_t room)
{
	if (room <= buffer->room)
		return;
	buffer->data = realloc(buffer->data, room);
	if (!buffer->data)
		die("memory", strerror(errno));
	buffer->room = room;
}

struct lexer {
	const char *p;		/* next byte to look at */
	const char *end;
	char *start;		/* output */
	char *out;
	char *limit;		/* where the room for it ends */
	bool report;		/* print header names */
	bool blank;		/* blanks or a comment since the last token */
	bool spliced;		/* nothing since a line continuation */
	bool open;		/* the line has output, tokens or continuations */
	size_t tokens;		/* so many has the line */
	bool directive;		/* the line's first token is # */
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

/* Can the quote that comes next be the start of a raw string, as in R"x(...)x"? */
static bool after_raw_prefix(const struct lexer *lx)
{
	const char *end = lx->out;

	while (end - lx->start > 2 && !memcmp(end - 2, "\\\n", 2))
		end -= 2;
	return !lx->blank && end > lx->start && end[-1] == 'R';
}

/*
 * A byte of input makes at most two of output: a lone CR may become CR LF, and a
 * backslash, blanks and CR, a blank, a backslash and LF.
 */
static void put(struct lexer *lx, const char *text, size_t len)
{
	if (len > (size_t)(lx->limit - lx->out))
		abort();
	memcpy(lx->out, text, len);
	lx->out += len;
}

/*
 * Does the token that comes next need a blank before it? At the start of a line
 * only # and %:, the same: to traditional and to preprocessed C, an indented one
 * begins no directive.
 */
static bool needs_blank(const struct lexer *lx)
{
	if (!lx->blank)
		return false;
	if (!lx->open)
		return *lx->p == '#' || *lx->p == '%';
	return !(lx->spliced && lx->out - lx->start > 2 && lx->out[-3] == ' ');
}

/* Passes the input up to @end on. */
static void emit(struct lexer *lx, const char *end)
{
	if (needs_blank(lx))
		put(lx, " ", 1);
	put(lx, lx->p, end - lx->p);
	lx->p = end;
	lx->blank = false;
	lx->spliced = false;
	lx->open = true;
}

/*
 * Prints a header name, for gen_kheaders_manifest.pl, and counts down to where there
 * can be none any more.
 */
static void emit_token(struct lexer *lx, const char *end)
{
	if (lx->report && lx->header_names && (*lx->p == '<' || *lx->p == '"') &&
	    !memchr(lx->p, '\n', end - lx->p))
		printf("include %.*s\n", (int)(end - lx->p), lx->p);
	if (lx->header_names && lx->header_names != ALL)
		lx->header_names = *lx->p == '(' ? lx->header_names - 1 : 0;
	lx->tokens++;
	emit(lx, end);
}

static void emit_continuation(struct lexer *lx, const char *end)
{
	if (lx->blank && lx->open && !lx->spliced)
		put(lx, " ", 1);
	put(lx, "\\\n", 2);
	lx->p = end;
	lx->blank = lx->blank && lx->spliced;
	lx->spliced = true;
	lx->open = true;
}

static void emit_newline(struct lexer *lx)
{
	/* Behind a CR that ended a continued line, LF would be part of that end. */
	if (lx->open && lx->out[-1] == '\r')
		put(lx, "\r", 1);
	if (lx->open)
		put(lx, "\n", 1);
	*lx = (struct lexer) {
		.p = after_newline(lx, lx->p), .end = lx->end, .start = lx->start,
		.out = lx->out, .limit = lx->limit, .report = lx->report,
	};
}

static void lex_comment(struct lexer *lx, const char *end)
{
	/*
	 * Without the comment behind it, a lone backslash could come to stand at the
	 * end of a line and continue that.
	 */
	bool backslash = lx->out > lx->start && lx->out[-1] == '\\';

	if (backslash || memmem(lx->p, end - lx->p, SPDX_TAG, strlen(SPDX_TAG))) {
		emit(lx, end);
	} else {
		lx->blank = true;
		lx->p = end;
	}
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

/*
 * R"x(...)x" is one token to C, but not to the assembler's preprocessor: what
 * follows its start is not touched.
 */
static void lex_quote(struct lexer *lx)
{
	const char *end = end_of_literal(lx, lx->p + 1, *lx->p, !lx->header_names);

	emit_token(lx, *lx->p == '"' && after_raw_prefix(lx) ? lx->end : end);
}

static void lex_less(struct lexer *lx)
{
	const char *end = lx->p + 1;

	/* Taking a comment of several lines out could bring a missing > here. */
	if (lx->header_names) {
		end = end_of_literal(lx, end, '>', false);
		if (end[-1] != '>')
			end = lx->end;
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
		"include", "include_next", "import", "embed", NULL
	};
	static const char * const operators[] = {
		"__has_include", "__has_include_next", "__has_embed", NULL
	};
	bool first_name = lx->tokens == 1;
	const char *name = lx->p;
	const char *end = name, *next;

	while (end < lx->end && is_ident(*end))
		end++;
	/* One that goes on behind a continuation may be any: all else stays. */
	next = skip_continuations(lx, end);
	emit_token(lx, next > end && next < lx->end && is_ident(*next) ? lx->end : end);
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

/* The end of the # at hand, or of what stands for it; NULL if there is none. */
static const char *end_of_hash(const struct lexer *lx)
{
	const char *colon;

	if (*lx->p != '%')
		return *lx->p == '#' ? lx->p + 1 : NULL;
	colon = skip_continuations(lx, lx->p + 1);
	return colon < lx->end && *colon == ':' ? colon + 1 : NULL;
}

static void lex_hash(struct lexer *lx)
{
	if (!lx->tokens)
		lx->directive = true;
	emit_token(lx, end_of_hash(lx));
}

/* Returns the length of what it leaves in @out. */
static size_t strip(const char *text, size_t len, struct buffer *out, bool report)
{
	struct lexer lx = { .p = text, .end = text + len, .report = report };

	make_room(out, 2 * len);	/* see put() */
	lx.start = out->data;
	lx.out = lx.start;
	lx.limit = lx.out + out->room;

	/* A byte order mark is no token. */
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		emit(&lx, text + 3);

	while (lx.p < lx.end) {
		const char *spliced = continuation(&lx, lx.p);

		if (spliced) {
			emit_continuation(&lx, spliced);
		} else if (is_newline(*lx.p)) {
			emit_newline(&lx);
		} else if (is_blank(*lx.p)) {
			lx.blank = true;
			lx.p++;
		} else if (*lx.p == '/') {
			lex_slash(&lx);
		} else if (*lx.p == '"' || *lx.p == '\'') {
			lex_quote(&lx);
		} else if (*lx.p == '<') {
			lex_less(&lx);
		} else if (end_of_hash(&lx)) {
			lex_hash(&lx);
		} else if (lx.directive && is_ident(*lx.p)) {
			lex_ident(&lx);
		} else {
			lex_others(&lx);
		}
	}
	return lx.out - lx.start;
}

static void write_out(const void *data, size_t len)
{
	if (len && fwrite(data, 1, len, stdout) != len)
		die("writing", strerror(errno));
}

/* What is missing to whole blocks. */
static size_t padding(size_t len)
{
	return -len % TAR_BLOCK;
}

/*
 * Reads the file at @path in the directory @dir. One that is written to while
 * it is read would be neither what it was nor what it will be.
 */
static size_t read_file(int dir, const char *path, struct buffer *text)
{
	struct stat before, after;
	size_t len = 0;
	ssize_t got;
	int fd;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &before))
		die(path, strerror(errno));
	make_room(text, before.st_size + 1);
	do {
		got = read(fd, text->data + len, before.st_size + 1 - len);
		if (got < 0)
			die(path, strerror(errno));
		len += got;
	} while (got);
	if (fstat(fd, &after))
		die(path, strerror(errno));
	close(fd);
	if (len != (size_t)before.st_size || before.st_size != after.st_size ||
	    before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
	    before.st_mtim.tv_nsec != after.st_mtim.tv_nsec)
		die(path, "changed while it was read: run make again");

	return len;
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

/* A name that is too long for one field is cut at a slash into two. */
static void write_head(const char *path, size_t size, unsigned long mtime,
		       bool executable)
{
	bool is_dir = path[strlen(path) - 1] == '/';
	struct tar_head head = {
		.uid = "0000000", .gid = "0000000", .magic = "ustar",
		.version = { '0', '0' }, .major = "0000000", .minor = "0000000",
	};
	const unsigned char *byte = (const unsigned char *)&head;
	const char *name = path;
	unsigned int sum = 0;
	size_t i;

	if (strlen(path) > sizeof(head.name)) {
		name = strchr(path + strlen(path) - sizeof(head.name) - 1, '/');
		if (!name || !name[1] || (size_t)(name - path) > sizeof(head.prefix))
			die(path, "name too long for a tar archive");
		memcpy(head.prefix, path, name - path);
		name++;
	}
	memcpy(head.name, name, strlen(name));
	memcpy(head.mode, is_dir || executable ? "0000755" : "0000644",
	       sizeof(head.mode));
	snprintf(head.size, sizeof(head.size), "%011zo", size);
	snprintf(head.mtime, sizeof(head.mtime), "%011lo", mtime);
	head.type = is_dir ? '5' : '0';
	/* For its own sum the field counts as blanks. */
	memset(head.checksum, ' ', sizeof(head.checksum));
	for (i = 0; i < sizeof(head); i++)
		sum += byte[i];
	snprintf(head.checksum, sizeof(head.checksum) - 1, "%06o", sum);
	write_out(&head, sizeof(head));
}

struct tree {
	const char *name;	/* in LIST */
	int dir;
	bool headers;		/* to be stripped */
};

/* Cuts @line at the blank into tree and path. */
static const struct tree *tree_of(const struct tree *tree, char *line, const char **path)
{
	char *blank = strchr(line, ' ');

	if (!blank)
		die(line, "not a line \"TREE PATH\"");
	*blank = '\0';
	*path = blank + 1;
	while (tree->name && strcmp(line, tree->name))
		tree++;
	if (!tree->name)
		die(line, "no such tree");
	return tree;
}

static bool is_executable(const char *text, size_t len)
{
	return (len > 2 && !memcmp(text, "#!", 2)) ||
	       (len > 4 && !memcmp(text, "\177ELF", 4));
}

static void strip_list(const struct tree *trees, bool scan, unsigned long mtime)
{
	static const char zeros[TAR_BLOCK];
	struct buffer text = { NULL }, out = { NULL };
	size_t room = 0, len;
	const struct tree *tree;
	const char *path;
	char *line = NULL;
	ssize_t got;

	while ((got = getline(&line, &room, stdin)) > 0) {
		if (line[got - 1] == '\n')
			line[got - 1] = '\0';
		if (!strncmp(line, "link ", 5))
			continue;
		if (!strncmp(line, "dir ", 4)) {
			write_head(line + 4, 0, mtime, false);
			continue;
		}
		tree = tree_of(trees, line, &path);
		len = read_file(tree->dir, path, &text);
		if (tree->headers)
			len = strip(text.data, len, &out, scan);
		if (scan) {
			printf("file %zu %s %s\n",
			       len + padding(len) + TAR_BLOCK, line, path);
			continue;
		}
		write_head(path, len, mtime,
			   !tree->headers && is_executable(text.data, len));
		write_out(tree->headers ? out.data : text.data, len);
		write_out(zeros, padding(len));
	}
	if (ferror(stdin))
		die("reading", strerror(errno));
	free(line);
	free(text.data);
	free(out.data);
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(path, strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	bool tar = argc == 5 && !strcmp(argv[1], "--tar");
	bool scan = argc == 4 && !strcmp(argv[1], "--scan");

	if (tar || scan) {
		int made = open_dir(argv[argc - 2]), src = open_dir(argv[argc - 1]);
		const struct tree trees[] = {
			{ "src", src, true }, { "src=", src, false },
			{ "obj", AT_FDCWD, true }, { "obj=", AT_FDCWD, false },
			{ "made", made, false }, { NULL, 0, false },
		};

		strip_list(trees, scan, tar ? strtoul(argv[2], NULL, 10) : 0);
	} else {
		fprintf(stderr, "usage: %s --tar SECONDS MADE SRCTREE < LIST\n"
			"       %s --scan MADE SRCTREE < LIST\n", argv[0], argv[0]);
		return 1;
	}
	if (fclose(stdout))
		die("writing", strerror(errno));
	return 0;
}
