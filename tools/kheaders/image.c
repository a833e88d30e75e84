// SPDX-License-Identifier: GPL-2.0-only
/*
 * The archive in a kernel image or module. With ours comes a marker, the one
 * that scripts/extract-kheaders looks for. That of a stock kernel is told from
 * other .xz streams by what it unpacks to.
 */

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "kheaders.h"

#define MARKER		"kheaders.tar.xz:"
#define XZ_SMALLEST	32
#define MEMORY_MOST	(512ull << 20)
#define UNPACKED_MOST	(2ull << 30)	/* all in all */
#define NESTED_MOST	3
#define TRIES_MOST	64	/* per format, of what looks like a beginning */

struct search {
	const char *name;
	struct blob *archive;
	const char *damage;	/* what stood in the way */
	const char *format;
	uint64_t left;			/* of UNPACKED_MOST */
	bool no_memory;
};

struct piece {
	const unsigned char *data;
	size_t size;
};

static const struct format {
	const char *name;
	const char *magic;
	size_t magic_size;
	int (*filter)(struct archive *a);	/* NULL: liblzma does it */
} formats[] = {
	{ "gzip",  "\x1f\x8b\x08", 3, archive_read_support_filter_gzip },
	{ "xz",    "\xfd" "7zXZ\0", 6, NULL },
	{ "zstd",  "\x28\xb5\x2f\xfd", 4, archive_read_support_filter_zstd },
	{ "lz4",   "\x02\x21\x4c\x18", 4, archive_read_support_filter_lz4 },
	{ "lz4",   "\x04\x22\x4d\x18", 4, archive_read_support_filter_lz4 },
	{ "lzop",  "\x89LZO\0\r\n\x1a\n", 9, archive_read_support_filter_lzop },
	{ "bzip2", "BZh", 3, archive_read_support_filter_bzip2 },
	{ "lzma",  "\x5d\0\0", 3, NULL },
};

static uint32_t number(struct piece file, size_t at, unsigned int bytes)
{
	uint32_t value = 0;

	if (at > file.size || file.size - at < bytes)
		return 0;
	while (bytes--)
		value = value << 8 | file.data[at + bytes];
	return value;
}

static bool holds(struct piece file, size_t at, const char *text, size_t size)
{
	return at <= file.size && file.size - at >= size && !memcmp(file.data + at, text, size);
}

static int keep(struct search *s, const unsigned char *data, size_t size)
{
	if (size > ARCHIVE_MOST)
		return complain(STATUS_DAMAGED, "%s: larger than any archive", s->name);
	s->archive->data = malloc(size);
	if (!s->archive->data)
		return no_memory(s->name);
	memcpy(s->archive->data, data, size);
	s->archive->size = size;
	return 0;
}

/*
 * kernel/kheaders.c puts the marker right behind the archive, and after it the
 * archive's size, a decimal number on a line. Any text may hold the marker's
 * letters, so the rest has to fit, too.
 */
static bool find_marked(struct piece file, struct piece *found)
{
	const unsigned char *from = file.data, *end = file.data + file.size, *at, *c;

	for (; (at = memmem(from, end - from, MARKER, strlen(MARKER))); from = at + 1) {
		uint64_t size = 0;
		unsigned int digits = 0;

		for (c = at + strlen(MARKER); c < end && *c >= '0' && *c <= '9'; c++) {
			size = size * 10 + *c - '0';
			if (++digits > 10)
				break;
		}
		if (c == end || *c != '\n' || !digits || at[strlen(MARKER)] == '0' ||
		    size < XZ_SMALLEST || size > (size_t)(at - file.data))
			continue;
		*found = (struct piece){ at - size, size };
		if (holds(*found, 0, "\xfd" "7zXZ", 6) && !memcmp(at - 2, "YZ", 2))
			return true;
	}
	return false;
}

/*
 * Unpacks an .xz or .lzma stream, at most @limit bytes. Returns liblzma's
 * result. @used is how far it got.
 */
static lzma_ret unlzma(struct search *s, struct piece in, bool xz, uint64_t limit,
		       struct blob *out, size_t *used)
{
	lzma_stream lzma = LZMA_STREAM_INIT;
	size_t room = 0;
	lzma_ret ret;

	if (limit > s->left)
		limit = s->left;
	ret = xz ? lzma_stream_decoder(&lzma, MEMORY_MOST, 0) :
		   lzma_alone_decoder(&lzma, MEMORY_MOST);
	lzma.next_in = in.data;
	lzma.avail_in = in.size;
	while (ret == LZMA_OK) {
		unsigned char *more;

		out->size = lzma.total_out;
		if (out->size == room) {
			if (room >= limit)
				break;
			room = room ? 2 * room : 65536;
			if (room > limit)
				room = limit;
			more = realloc(out->data, room);
			if (!more) {
				ret = LZMA_MEM_ERROR;
				break;
			}
			out->data = more;
		}
		lzma.next_out = out->data + out->size;
		lzma.avail_out = room - out->size;
		ret = lzma_code(&lzma, LZMA_FINISH);
	}
	out->size = lzma.total_out;
	*used = lzma.total_in;
	lzma_end(&lzma);
	s->left -= out->size;
	s->no_memory |= ret == LZMA_MEM_ERROR;
	return ret;
}

/* Whether what begins here unpacks to a tar archive. */
static bool is_archive(struct search *s, struct piece xz)
{
	lzma_stream_flags flags;
	struct blob head = { 0 };
	size_t used;
	bool is;

	if (xz.size < XZ_SMALLEST || lzma_stream_header_decode(&flags, xz.data) != LZMA_OK)
		return false;
	unlzma(s, xz, true, 512, &head, &used);
	is = head.size == 512 && !memcmp(head.data + 257, "ustar", 5);
	free(head.data);
	return is;
}

/* Without a marker. Returns -1 if there is none. */
static int find_stock(struct search *s, struct piece file)
{
	const unsigned char *from = file.data, *end = file.data + file.size, *at;
	unsigned int tries = TRIES_MOST;

	for (; tries && (at = memmem(from, end - from, "\xfd" "7zXZ", 6)); from = at + 1) {
		struct piece rest = { at, end - at };
		struct blob tar = { 0 };
		bool headers;
		size_t used;
		lzma_ret ret;

		if (!is_archive(s, rest))
			continue;
		tries--;
		ret = unlzma(s, rest, true, s->left, &tar, &used);
		headers = tar.data && memmem(tar.data, tar.size, KCONFIG_H, strlen(KCONFIG_H));
		free(tar.data);
		if (!headers)
			continue;
		if (ret == LZMA_STREAM_END)
			return keep(s, at, used);
		s->format = "the archive in it";
		s->damage = ret == LZMA_BUF_ERROR ? "cut short" : "damaged";
	}
	return -1;
}

/* Where the compressed kernel is inside of a bootable image, if it says so. */
static bool find_payload(struct piece file, struct piece *payload)
{
	uint64_t at, size;

	if (holds(file, 0x202, "HdrS", 4) && number(file, 0x206, 2) >= 0x208) {	/* x86 */
		at = 512 * ((number(file, 0x1f1, 1) ?: 4) + 1) + (uint64_t)number(file, 0x248, 4);
		size = number(file, 0x24c, 4);
	} else if (holds(file, 4, "zimg", 4)) {					/* EFI zboot */
		at = number(file, 8, 4);
		size = number(file, 12, 4);
	} else {
		return false;
	}
	if (at > file.size)
		at = file.size;
	if (size > file.size - at)
		size = file.size - at;
	*payload = (struct piece){ file.data + at, size };
	return true;
}

static const struct format *format_of(struct piece file)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		if (holds(file, 0, formats[i].magic, formats[i].magic_size))
			return &formats[i];
	}
	return NULL;
}

/*
 * How long a zstd frame or an lzop file is, 0 if it is cut short. libarchive
 * takes what follows for another one, and loses the last bytes where it is not.
 */
static size_t zstd_frame(struct piece file)
{
	static const unsigned int id_sizes[] = { 0, 1, 2, 4 }, content_sizes[] = { 0, 2, 4, 8 };
	unsigned int flags = number(file, 4, 1), single = flags >> 5 & 1;
	size_t at = 5 + !single + id_sizes[flags & 3] + content_sizes[flags >> 6];

	if (single && !(flags >> 6))
		at++;
	while (at < file.size && file.size - at >= 3) {
		uint32_t block = number(file, at, 3);

		at += 3 + ((block >> 1 & 3) == 1 ? 1 : block >> 3);
		if (block & 1) {
			at += flags >> 2 & 1 ? 4 : 0;
			return at <= file.size ? at : 0;
		}
	}
	return 0;
}

static size_t lzop_file(struct piece file)
{
	uint32_t flags = __builtin_bswap32(number(file, 17, 4)), unpacked, packed;
	uint64_t at = 33 + (flags & 0x800 ? 4 : 0);

	if (number(file, 9, 1) < 0x09)
		return 0;
	for (at += 1 + number(file, at, 1) + 4; at < file.size; at += packed) {
		unpacked = __builtin_bswap32(number(file, at, 4));
		at += 4;
		if (!unpacked)
			return at <= file.size ? at : 0;
		packed = __builtin_bswap32(number(file, at, 4));
		/* checksums of what was packed, and of what it became if that is less */
		at += 4 + (flags & 1 ? 4 : 0) + (flags & 0x100 ? 4 : 0);
		if (packed < unpacked)
			at += (flags & 2 ? 4 : 0) + (flags & 0x200 ? 4 : 0);
	}
	return 0;
}

static const char *unpack_by_libarchive(struct search *s, struct piece in,
					const struct format *format, struct blob *out)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	const char *error = out_of_memory;
	unsigned char *more;
	uint64_t room = 0;
	ssize_t got;
	int filter;

	if (!a || archive_read_support_format_raw(a) != ARCHIVE_OK)
		goto out;
	filter = format->filter(a);
	if (filter < ARCHIVE_WARN)
		goto out;
	error = filter == ARCHIVE_OK ? "cut short or damaged" :
		"cut short or damaged, or there is no such program: install lzop";
	if (archive_read_open_memory(a, in.data, in.size) != ARCHIVE_OK ||
	    archive_read_next_header(a, &entry) != ARCHIVE_OK)
		goto out;
	for (;;) {
		if (out->size == room) {
			room = room ? 2 * room : 4 << 20;
			if (room > s->left)
				room = s->left;
			if (room == out->size)
				goto out;
			more = realloc(out->data, room);
			if (!more) {
				s->no_memory = true;
				goto out;
			}
			out->data = more;
		}
		got = archive_read_data(a, out->data + out->size, room - out->size);
		if (got <= 0)
			break;
		out->size += got;
	}
	if (!got)
		error = NULL;
out:
	s->left -= out->size;
	s->no_memory |= !a || archive_errno(a) == ENOMEM;
	archive_read_free(a);
	return error;
}

/* Unpacks what it can. Returns what was wrong, or NULL. */
static const char *unpack(struct search *s, struct piece in, const struct format *format,
			  struct blob *out)
{
	size_t size;
	lzma_ret ret;

	if (format->filter) {
		size = !strcmp(format->name, "zstd") ? zstd_frame(in) :
		       !strcmp(format->name, "lzop") ? lzop_file(in) : 0;
		if (size)
			in.size = size;
		return unpack_by_libarchive(s, in, format, out);
	}
	ret = unlzma(s, in, !strcmp(format->name, "xz"), s->left, out, &size);
	return ret == LZMA_STREAM_END ? NULL :
	       ret == LZMA_BUF_ERROR ? "cut short" :
	       ret == LZMA_MEMLIMIT_ERROR ? "asks for more than 512 MiB of memory" : "damaged";
}

static int search(struct search *s, struct piece file, unsigned int nested);

/* Looks into what is compressed. Returns -1 if there is nothing. */
static int search_packed(struct search *s, struct piece packed, const struct format *format,
			 unsigned int nested)
{
	struct blob out = { 0 };
	const char *error = unpack(s, packed, format, &out);
	int ret = -1;

	/* Something may stand behind, and the archive has checksums of its own. */
	if (out.size)
		ret = search(s, (struct piece){ out.data, out.size }, nested + 1);
	if (ret < 0 && error && nested < NESTED_MOST && !s->damage) {
		s->format = format->name;
		s->damage = error;
	}
	free(out.data);
	return ret;
}

/*
 * A kernel whose text can be read is not compressed. What unpacks that of s390
 * has the text "Linux version %s".
 */
static bool is_readable(struct piece file)
{
	static const char text[] = "Linux version ";
	const unsigned char *from = file.data, *end = file.data + file.size, *at;

	for (; (at = memmem(from, end - from, text, strlen(text))); from = at + 1) {
		const unsigned char *digit = at + strlen(text);

		if (digit < end && *digit >= '0' && *digit <= '9')
			return true;
	}
	return false;
}

static int search(struct search *s, struct piece file, unsigned int nested)
{
	const struct format *format;
	struct piece found;
	int ret;

	if (find_marked(file, &found))
		return keep(s, found.data, found.size);
	ret = find_stock(s, file);
	if (ret >= 0 || nested == NESTED_MOST)
		return ret;

	if (!find_payload(file, &found))
		found = file;
	format = format_of(found);
	if (format)
		return search_packed(s, found, format, nested);

	if ((nested && number(file, 0x24, 4) != 0x016f2818) || is_readable(file))
		return -1;

	/* Others, such as arm's zImage, do not say where the kernel is in them. */
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		const unsigned char *from = file.data, *end = file.data + file.size, *at;
		unsigned int tries = TRIES_MOST;

		format = &formats[i];
		while (tries &&
		       (at = memmem(from, end - from, format->magic, format->magic_size))) {
			struct piece rest = { at, end - at };
			const char *damage = s->damage;

			from = at + 1;
			if (format->magic_size < 4 &&
			    (rest.size < 16 || (at[3] >= 0x20 && at[0] != 'B')))
				continue;
			tries--;
			ret = search_packed(s, rest, format, NESTED_MOST - 1);
			if (ret >= 0)
				return ret;
			s->damage = damage;	/* chance, most likely */
		}
	}
	return -1;
}

/**
 * image_find - find the archive of headers in a file
 * @data: the file: the archive itself, an image or a module, compressed or not
 * @size: its bytes
 * @name: what to call it in messages
 * @archive: gets a copy of the archive
 */
int image_find(const unsigned char *data, size_t size, const char *name, struct blob *archive)
{
	struct search s = { .name = name, .archive = archive, .left = UNPACKED_MOST };
	struct piece file = { data, size };
	int ret;

	/* All of it, so that what is wrong with it is said in its own words. */
	if (is_archive(&s, file))
		return keep(&s, data, size);
	ret = search(&s, file, 0);
	if (ret >= 0)
		return ret;
	if (s.no_memory)
		return no_memory(name);
	if (!s.left)
		return complain(STATUS_DAMAGED, "%s: more than 2 GiB unpacked", name);
	if (s.damage)
		return complain(STATUS_DAMAGED, "%s: %s: %s", name, s.format, s.damage);
	return complain(STATUS_NONE,
			"%s: no kernel headers in there: neither a kernel built with CONFIG_IKHEADERS=y nor its module kheaders, or cut short",
			name);
}
