// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of /sys/kernel/kheaders.tar.xz, as it is registered: its node in
 * kernfs, what the callbacks of its attribute do, and the archive they return.
 */

#include <kunit/test.h>
#include <linux/crc32.h>
#include <linux/kernfs.h>
#include <linux/kmod.h>
#include <linux/kobject.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/umh.h>
#include <linux/utsname.h>
#include <linux/xz.h>

#define KHEADERS_NAME	"kheaders.tar.xz"
#define DICT_MAX	SZ_8M		/* what the archive asks of a decoder */
#define UNPACKED_SIZE	SZ_16K		/* what is unpacked at a time */
#define GUARD_SIZE	64

#ifdef KHEADERS_HAVE_KUNIT_CASE_SLOW
#define KHEADERS_CASE_SLOW	KUNIT_CASE_SLOW
#else
#define KHEADERS_CASE_SLOW	KUNIT_CASE
#endif

/* The configuration that this file was compiled with. */
asm(".pushsection .rodata, \"a\"\n\t"
	".global kheaders_test_config\n"
	"kheaders_test_config:\n\t"
	".incbin \"include/generated/autoconf.h\"\n\t"
	".byte 0\n\t"
	".popsection\n");

extern const char kheaders_test_config[];

/* The node under test, test->priv. */
struct kheaders {
	struct kernfs_node *node;
	struct bin_attribute attr;	/* a copy: that of a module may go */
	struct kunit_resource put_node;
};

/*
 * Do as kernfs does around a callback: hold the node active, and its removal
 * has to wait. False if it is being removed.
 */
static bool hold_node(struct kernfs_node *node)
{
	if (!atomic_inc_unless_negative(&node->active))
		return false;

	/* Takes a hold that lockdep knows of, and gives back the references. */
	kernfs_get(node);
	kobject_get(kernel_kobj);
	sysfs_unbreak_active_protection(node);
	atomic_dec(&node->active);
	return true;
}

static void release_node(struct kernfs_node *node)
{
	static const struct attribute attr = { .name = KHEADERS_NAME };

	sysfs_break_active_protection(kernel_kobj, &attr);
	kobject_put(kernel_kobj);
	kernfs_put(node);
}

static ssize_t kheaders_read(struct kunit *test, void *buf, loff_t off, size_t len)
{
	struct kheaders *kheaders = test->priv;
	ssize_t ret = -ENODEV;

	if (hold_node(kheaders->node)) {
		ret = kheaders->attr.read(NULL, kernel_kobj, kheaders->node->priv,
					  buf, off, len);
		release_node(kheaders->node);
	}
	return ret;
}

/* For what must be there. */
static void read_exactly(struct kunit *test, void *buf, loff_t off, size_t len)
{
	ssize_t ret = kheaders_read(test, buf, off, len);

	KUNIT_ASSERT_EQ_MSG(test, ret, (ssize_t)len,
			    "read of %zu bytes at offset %lld", len, off);
}

static void kheaders_node(struct kunit *test)
{
	struct kheaders *kheaders = test->priv;
	char path[sizeof("/kernel/" KHEADERS_NAME) + 1];

	kernfs_path(kheaders->node, path, sizeof(path));
	KUNIT_EXPECT_STREQ(test, path, "/kernel/" KHEADERS_NAME);
	KUNIT_EXPECT_EQ(test, kernfs_type(kheaders->node), KERNFS_FILE);
	KUNIT_EXPECT_EQ_MSG(test, kheaders->node->mode, S_IFREG | 0444,
			    "mode %o", kheaders->node->mode);
	KUNIT_EXPECT_TRUE_MSG(test, !kheaders->attr.write,
			      "there is a callback to write");
	KUNIT_EXPECT_EQ(test, kheaders->node->attr.size,
			(loff_t)kheaders->attr.size);
	KUNIT_EXPECT_GE(test, kheaders->attr.size, (size_t)SZ_256K);
	KUNIT_EXPECT_LE(test, kheaders->attr.size, (size_t)SZ_64M);
}

/* The offset is counted from the start, the middle or the end of the archive. */
struct read_case {
	const char *name;
	enum { START, MIDDLE, END } from;
	loff_t off;
	size_t len;
	ssize_t expected;
};

static const struct read_case read_cases[] = {
	{ "nothing", START, 0, 0, 0 },
	{ "first byte", START, 0, 1, 1 },
	{ "second byte", START, 1, 1, 1 },
	{ "a page", START, 0, PAGE_SIZE, PAGE_SIZE },
	{ "a page but its first byte", START, 1, PAGE_SIZE - 1, PAGE_SIZE - 1 },
	{ "across pages", START, PAGE_SIZE - 1, 2, 2 },
	{ "more than a page", START, PAGE_SIZE + 7, PAGE_SIZE + 13, PAGE_SIZE + 13 },
	{ "in the middle", MIDDLE, 0, 511, 511 },
	{ "odd offset in the middle", MIDDLE, 4097, 4095, 4095 },
	{ "last byte", END, -1, 1, 1 },
	{ "up to the end", END, -100, 100, 100 },
	{ "across the end", END, -1, 2, 1 },
	{ "pages across the end", END, 1 - (loff_t)PAGE_SIZE, 2 * PAGE_SIZE, PAGE_SIZE - 1 },
	{ "nothing at the end", END, 0, 0, 0 },
	{ "at the end", END, 0, 1, 0 },
	{ "behind the end", END, 1, PAGE_SIZE, 0 },
	{ "pages behind the end", END, 3 * PAGE_SIZE, PAGE_SIZE, 0 },
	{ "at 4 GiB", START, SZ_4G, 1, 0 },
	{ "far behind the end", START, LLONG_MAX - PAGE_SIZE, PAGE_SIZE, 0 },
};

static void read_case_desc(const struct read_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kheaders_read, read_cases, read_case_desc);

/* Byte by byte is the reference, and a read writes what it says it does. */
static void kheaders_read_at(struct kunit *test)
{
	const struct read_case *c = test->param_value;
	struct kheaders *kheaders = test->priv;
	size_t size = kheaders->attr.size;
	loff_t off = c->off + (c->from == START ? 0 : c->from == END ? size : size / 2);
	u8 *buf, byte;
	ssize_t ret;
	size_t i;

	buf = kunit_kmalloc(test, c->len + GUARD_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf);
	memset(buf, 0xa5, c->len + GUARD_SIZE);

	ret = kheaders_read(test, buf, off, c->len);
	KUNIT_ASSERT_EQ_MSG(test, ret, c->expected,
			    "read of %zu bytes at offset %lld", c->len, off);

	for (i = 0; i < ret; i++) {
		read_exactly(test, &byte, off + i, 1);
		KUNIT_ASSERT_EQ_MSG(test, buf[i], byte,
				    "at offset %lld + %zu", off, i);
	}
	for (; i < c->len + GUARD_SIZE; i++)
		KUNIT_ASSERT_EQ_MSG(test, buf[i], 0xa5,
				    "written to behind the %zd bytes read", ret);
}

static void kheaders_read_to_end(struct kunit *test)
{
	struct kheaders *kheaders = test->priv;
	size_t chunk = PAGE_SIZE - 3;
	loff_t off = 0;
	ssize_t ret;
	void *buf;

	buf = kunit_kmalloc(test, chunk, GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf);

	while ((ret = kheaders_read(test, buf, off, chunk)) > 0) {
		off += ret;
		KUNIT_ASSERT_LE_MSG(test, off, (loff_t)kheaders->attr.size,
				    "reads go on behind the end");
	}
	KUNIT_EXPECT_EQ_MSG(test, ret, 0, "at offset %lld", off);
	KUNIT_EXPECT_EQ(test, off, (loff_t)kheaders->attr.size);
}

struct xz_header {
	u8 magic[6];
	u8 flags[2];
	__le32 crc;		/* of flags */
} __packed;

struct xz_footer {
	__le32 crc;		/* of index_size and flags */
	__le32 index_size;	/* in 4 bytes, less one */
	u8 flags[2];
	u8 magic[2];
} __packed;

static u32 xz_crc32(const void *data, size_t len)
{
	return ~crc32_le(~0, data, len);
}

static void kheaders_xz_container(struct kunit *test)
{
	static const u8 header_magic[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	static const u8 footer_magic[] = { 'Y', 'Z' };
	static const u8 check_crc32[] = { 0, 1 };
	struct kheaders *kheaders = test->priv;
	size_t size = kheaders->attr.size;
	struct xz_header header;
	struct xz_footer footer;
	loff_t index;
	u8 indicator;

	read_exactly(test, &header, 0, sizeof(header));
	KUNIT_EXPECT_TRUE_MSG(test, !memcmp(header.magic, header_magic, 6),
			      "magic of the header is %*ph", 6, header.magic);
	KUNIT_EXPECT_TRUE_MSG(test, !memcmp(header.flags, check_crc32, 2),
			      "flags of the header are %*ph, 00 01 is CRC32",
			      2, header.flags);
	KUNIT_EXPECT_EQ_MSG(test, le32_to_cpu(header.crc),
			    xz_crc32(header.flags, sizeof(header.flags)),
			    "CRC of the header");

	read_exactly(test, &footer, size - sizeof(footer), sizeof(footer));
	KUNIT_ASSERT_TRUE_MSG(test, !memcmp(footer.magic, footer_magic, 2),
			      "magic of the footer, at offset %zu, is %*ph",
			      size - 2, 2, footer.magic);
	KUNIT_EXPECT_TRUE_MSG(test, !memcmp(footer.flags, header.flags, 2),
			      "flags of the footer are %*ph, of the header %*ph",
			      2, footer.flags, 2, header.flags);
	KUNIT_EXPECT_EQ_MSG(test, le32_to_cpu(footer.crc),
			    xz_crc32(&footer.index_size, sizeof(footer.index_size) +
				     sizeof(footer.flags)),
			    "CRC of the footer");

	index = size - sizeof(footer) - 4 * (le32_to_cpu(footer.index_size) + 1LL);
	KUNIT_ASSERT_GT_MSG(test, index, (loff_t)sizeof(header),
			    "offset of the index");
	read_exactly(test, &indicator, index, 1);
	KUNIT_EXPECT_EQ_MSG(test, indicator, 0,
			    "first byte of the index, at offset %lld", index);
}

/* The archive, unpacked as far as a test has come. */
struct archive {
	struct kunit *test;
	struct xz_dec *xz;
	struct kunit_resource end_xz;
	struct xz_buf buf;
	enum xz_ret status;
	u8 *in;
	loff_t in_off;		/* of the byte behind buf.in */
	loff_t out_off;		/* of the next byte that unpack() gives */
	size_t out_taken;	/* from buf.out, by unpack() */

	/* of the tar in it, what next_entry() found: */
	struct tar_header {
		char name[100];
		char mode[8];
		char uid[8];
		char gid[8];
		char size[12];
		char mtime[12];
		char checksum[8];
		char type;
		char linkname[100];
		char magic[8];
		char uname[32];
		char gname[32];
		char dev[16];
		char prefix[155];
		char pad[12];
	} header;
	char path[257];
	u64 size;
	u64 padded_size;	/* of its data still to come */
};

static void end_xz(struct kunit_resource *res)
{
	xz_dec_end(res->data);
}

static struct archive *open_archive(struct kunit *test)
{
	struct archive *ar;

	ar = kunit_kzalloc(test, sizeof(*ar), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ar);
	ar->test = test;
	ar->in = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ar->in);
	ar->buf.in = ar->in;
	ar->buf.out = kunit_kmalloc(test, UNPACKED_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ar->buf.out);
	ar->buf.out_size = UNPACKED_SIZE;
	ar->xz = xz_dec_init(XZ_DYNALLOC, DICT_MAX);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ar->xz);
	kunit_add_resource(test, NULL, end_xz, &ar->end_xz, ar->xz);

	return ar;
}

/* Gets the next bytes into buf.out, false if there are none. */
static bool refill(struct archive *ar)
{
	static const char * const errors[] = {
		[XZ_UNSUPPORTED_CHECK] = "unsupported check",
		[XZ_MEM_ERROR] = "out of memory",
		[XZ_MEMLIMIT_ERROR] = "its dictionary is too large",
		[XZ_FORMAT_ERROR] = "not in xz format",
		[XZ_OPTIONS_ERROR] = "unsupported options",
		[XZ_DATA_ERROR] = "corrupt",
		[XZ_BUF_ERROR] = "truncated",
	};
	struct kunit *test = ar->test;
	struct xz_buf *b = &ar->buf;

	b->out_pos = 0;
	ar->out_taken = 0;
	while (!b->out_pos && ar->status == XZ_OK) {
		if (b->in_pos == b->in_size) {
			ssize_t ret = kheaders_read(test, ar->in, ar->in_off, PAGE_SIZE);

			KUNIT_ASSERT_GE_MSG(test, ret, 0, "read at offset %lld",
					    ar->in_off);
			b->in_pos = 0;
			b->in_size = ret;
			ar->in_off += ret;
		}
		ar->status = xz_dec_run(ar->xz, b);
		KUNIT_ASSERT_LE_MSG(test, ar->status, XZ_STREAM_END,
				    "unpacking at offset %lld: %s",
				    ar->in_off - b->in_size + b->in_pos,
				    errors[ar->status]);
		cond_resched();
	}
	return b->out_pos;
}

/* Returns how many of @len bytes there were; without @to they are dropped. */
static size_t unpack(struct archive *ar, void *to, size_t len)
{
	size_t done, n;

	for (done = 0; done < len; done += n) {
		if (ar->out_taken == ar->buf.out_pos && !refill(ar))
			break;
		n = min(len - done, ar->buf.out_pos - ar->out_taken);
		if (to)
			memcpy(to + done, ar->buf.out + ar->out_taken, n);
		ar->out_taken += n;
	}
	ar->out_off += done;
	return done;
}

static void unpack_exactly(struct archive *ar, void *to, size_t len)
{
	loff_t off = ar->out_off;
	size_t done = unpack(ar, to, len);

	KUNIT_ASSERT_EQ_MSG(ar->test, done, len,
			    "the tar ends at its offset %lld, in what starts at %lld",
			    ar->out_off, off);
}

/* The decoder verifies the CRCs of all blocks and of the index. */
static void kheaders_unpack(struct kunit *test)
{
	struct kheaders *kheaders = test->priv;
	struct archive *ar = open_archive(test);

	while (unpack(ar, NULL, UNPACKED_SIZE))
		;
	KUNIT_EXPECT_EQ(test, ar->status, XZ_STREAM_END);
	KUNIT_EXPECT_EQ_MSG(test, ar->in_off - ar->buf.in_size + ar->buf.in_pos,
			    (loff_t)kheaders->attr.size,
			    "where the xz stream ends in the archive");
	KUNIT_EXPECT_GT(test, ar->out_off, (loff_t)kheaders->attr.size);
}

/* The number in a field of the header. */
static u64 tar_number(struct archive *ar, const char *field, size_t len)
{
	u64 number = 0;
	size_t i;

	for (i = 0; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		number = number * 8 + field[i] - '0';
	KUNIT_ASSERT_TRUE_MSG(ar->test, i && i < len && (!field[i] || field[i] == ' '),
			      "%s: '%.*s' at byte %td of its header is no octal number",
			      ar->path, (int)len, field, field - ar->header.name);
	return number;
}

static u64 tar_checksum(const struct tar_header *header)
{
	const u8 *bytes = (const u8 *)header;
	size_t start = offsetof(struct tar_header, checksum);
	u64 sum = 0;
	size_t i;

	for (i = 0; i < sizeof(*header); i++)
		sum += i - start < sizeof(header->checksum) ? ' ' : bytes[i];
	return sum;
}

/* A tar ends in two blocks of zeros or more. */
static void expect_end(struct archive *ar)
{
	struct tar_header *block = &ar->header;
	int blocks = 1;
	size_t len;

	while ((len = unpack(ar, block, sizeof(*block)))) {
		KUNIT_ASSERT_EQ_MSG(ar->test, len, sizeof(*block),
				    "the tar ends within a block of 512 bytes");
		KUNIT_ASSERT_TRUE_MSG(ar->test, !memchr_inv(block, 0, sizeof(*block)),
				      "something is behind the end of the tar, before offset %lld",
				      ar->out_off);
		blocks++;
	}
	KUNIT_ASSERT_GE_MSG(ar->test, blocks, 2, "blocks of zeros at the end of the tar");
}

/* Goes to the next entry of the tar, false if that was the last one. */
static bool next_entry(struct archive *ar)
{
	struct tar_header *h = &ar->header;
	struct kunit *test = ar->test;

	BUILD_BUG_ON(sizeof(*h) != 512);

	unpack_exactly(ar, NULL, ar->padded_size);
	unpack_exactly(ar, h, sizeof(*h));
	if (!memchr_inv(h, 0, sizeof(*h))) {
		expect_end(ar);
		return false;
	}

	KUNIT_ASSERT_TRUE_MSG(test, !memcmp(h->magic, "ustar\00000", sizeof(h->magic)),
			      "no header of a ustar behind %s, before offset %lld",
			      ar->path, ar->out_off);
	snprintf(ar->path, sizeof(ar->path), "%.*s%s%.*s",
		 (int)sizeof(h->prefix), h->prefix, h->prefix[0] ? "/" : "",
		 (int)sizeof(h->name), h->name);
	KUNIT_ASSERT_EQ_MSG(test, tar_number(ar, h->checksum, sizeof(h->checksum)),
			    tar_checksum(h), "%s: checksum of the header", ar->path);
	ar->size = tar_number(ar, h->size, sizeof(h->size));
	KUNIT_ASSERT_LE_MSG(test, ar->size, (u64)SZ_64M, "%s: size", ar->path);
	ar->padded_size = ALIGN(ar->size, sizeof(*h));
	cond_resched();
	return true;
}

/* Sorted within each directory, and what is in one follows it at once. */
static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	if (*a == '/' || *b == '/')
		return (*b == '/' && *a) - (*a == '/' && *b);
	return (u8)*a - (u8)*b;
}

/* No part of the path is empty, "." or "..", but for the slash of a directory. */
static bool sane_path(const char *path)
{
	size_t len;

	if (!*path)
		return false;
	for (; *path; path += len + !!path[len]) {
		len = strcspn(path, "/");
		if (!len || (len <= 2 && !memcmp(path, "..", len)))
			return false;
	}
	return true;
}

/* How much of the path is the directory that it is in. */
static size_t parent_len(const char *path)
{
	size_t len = strlen(path);

	if (len)
		len--;		/* the slash of a directory */
	while (len && path[len - 1] != '/')
		len--;
	return len;
}

static void kheaders_tar_structure(struct kunit *test)
{
	struct archive *ar = open_archive(test);
	struct tar_header *h = &ar->header;
	char *before;
	u64 mtime, first_mtime = 0;
	size_t entries = 0, parent;

	before = kunit_kzalloc(test, sizeof(ar->path), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, before);

	for (; next_entry(ar); entries++) {
		char type = h->type;
		u64 mode = tar_number(ar, h->mode, sizeof(h->mode));
		bool is_dir;

		KUNIT_ASSERT_TRUE_MSG(test, sane_path(ar->path),
				      "name of an entry: '%s'", ar->path);
		is_dir = ar->path[strlen(ar->path) - 1] == '/';
		KUNIT_ASSERT_EQ_MSG(test, type, is_dir ? '5' : '0',
				    "%s: neither a file nor a directory", ar->path);
		KUNIT_ASSERT_TRUE_MSG(test, !is_dir || !ar->size,
				      "%s: a directory with data", ar->path);
		KUNIT_ASSERT_LT_MSG(test, compare_paths(before, ar->path), 0,
				    "'%s' stands behind '%s'", ar->path, before);
		parent = parent_len(ar->path);
		KUNIT_ASSERT_TRUE_MSG(test, !strncmp(before, ar->path, parent),
				      "%s: its directory is not before it", ar->path);
		KUNIT_ASSERT_EQ_MSG(test, mode & 07466, 0444ULL,
				    "%s: mode %llo", ar->path, mode);
		KUNIT_ASSERT_EQ_MSG(test, tar_number(ar, h->uid, sizeof(h->uid)), 0ULL,
				    "%s: owner", ar->path);
		KUNIT_ASSERT_EQ_MSG(test, tar_number(ar, h->gid, sizeof(h->gid)), 0ULL,
				    "%s: group", ar->path);
		KUNIT_ASSERT_TRUE_MSG(test, !h->uname[0] && !h->gname[0],
				      "%s: owner or group has a name", ar->path);
		mtime = tar_number(ar, h->mtime, sizeof(h->mtime));
		if (!entries)
			first_mtime = mtime;
		KUNIT_ASSERT_EQ_MSG(test, mtime, first_mtime,
				    "%s: time differs from the first entry's", ar->path);
		strscpy(before, ar->path, sizeof(ar->path));
	}
	KUNIT_EXPECT_GT(test, entries, 1000);
}

/* What ends in a slash stands for all that is in a directory. */
static const struct {
	const char *path;
	bool unwanted;
} files[] = {
	{ "compile_flags.txt" },
	{ "include/asm-generic/bug.h" },
	{ "include/generated/autoconf.h" },
	{ "include/generated/bounds.h" },
	{ "include/generated/utsrelease.h" },
	{ "include/generated/uapi/linux/version.h" },
	{ "include/linux/compiler-version.h" },
	{ "include/linux/compiler_types.h" },
	{ "include/linux/kconfig.h" },
	{ "include/linux/sched.h" },
	{ "include/linux/types.h" },
	{ "include/linux/atomic/atomic-instrumented.h" },
	{ "include/uapi/linux/bpf.h" },
	{ "include/uapi/linux/types.h" },
	{ "arch/" KHEADERS_SRCARCH "/include/asm/page.h" },
	{ "arch/" KHEADERS_SRCARCH "/include/generated/asm/" },
	{ "arch/" KHEADERS_HEADER_ARCH "/include/asm/" },
	{ "arch/" KHEADERS_HEADER_ARCH "/include/uapi/asm/" },
	{ "arch/" KHEADERS_HEADER_ARCH "/include/uapi/asm/ptrace.h" },

	/* These change with each build, and carry no meaning. */
	{ "include/generated/autoksyms.h", .unwanted = true },
	{ "include/generated/compile.h", .unwanted = true },
	{ "include/generated/utsversion.h", .unwanted = true },
	{ "include/config/", .unwanted = true },
};

static void kheaders_files(struct kunit *test)
{
	struct archive *ar = open_archive(test);
	bool found[ARRAY_SIZE(files)] = {};
	size_t i, len;

	while (next_entry(ar)) {
		for (i = 0; i < ARRAY_SIZE(files); i++) {
			len = strlen(files[i].path);
			/* A file has its end compared, too. */
			if (files[i].path[len - 1] != '/')
				len++;
			if (!strncmp(ar->path, files[i].path, len) &&
			    (ar->size || files[i].unwanted))
				found[i] = true;
		}
	}
	for (i = 0; i < ARRAY_SIZE(files); i++)
		KUNIT_EXPECT_EQ_MSG(test, found[i], !files[i].unwanted,
				    "%s: %s in the archive", files[i].path,
				    files[i].unwanted ? "should not be" : "missing or empty");
}

static char *read_file(struct kunit *test, const char *path)
{
	struct archive *ar = open_archive(test);
	char *text;

	do {
		KUNIT_ASSERT_TRUE_MSG(test, next_entry(ar),
				      "%s: not in the archive", path);
	} while (strcmp(ar->path, path));

	KUNIT_ASSERT_LE_MSG(test, ar->size, (u64)SZ_1M, "%s: size", path);
	text = kunit_kzalloc(test, ar->size + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, text);
	unpack_exactly(ar, text, ar->size);
	return text;
}

/* Is this the archive of the kernel that runs? */
static void kheaders_release(struct kunit *test)
{
	char expected[sizeof("#define UTS_RELEASE \"\"\n") + __NEW_UTS_LEN];

	snprintf(expected, sizeof(expected), "#define UTS_RELEASE \"%s\"\n",
		 init_utsname()->release);
	KUNIT_EXPECT_STREQ(test, read_file(test, "include/generated/utsrelease.h"),
			   expected);
}

/* Takes the next line that defines something; of length 0 at the end. */
static int next_define(const char **text, const char **line)
{
	while (**text) {
		int len = strcspn(*text, "\n");

		*line = *text;
		*text += len + !!(*line)[len];
		if (!strncmp(*line, "#define ", 8))
			return len;
	}
	*line = "";
	return 0;
}

static void kheaders_configuration(struct kunit *test)
{
	const char *found = read_file(test, "include/generated/autoconf.h");
	const char *expected = kheaders_test_config;
	const char *found_line, *expected_line;
	int found_len, expected_len;

	do {
		found_len = next_define(&found, &found_line);
		expected_len = next_define(&expected, &expected_line);
		KUNIT_ASSERT_TRUE_MSG(test, found_len == expected_len &&
				      !memcmp(found_line, expected_line, found_len),
				      "expected '%.*s', the archive has '%.*s'",
				      expected_len, expected_line,
				      found_len, found_line);
	} while (expected_len);
}

/* A mapping in an address space of its own, as far as callbacks look at it. */
static struct vm_area_struct *new_vma(struct kunit *test, unsigned long pgoff,
				      unsigned long pages, unsigned long flags)
{
	struct vm_area_struct *vma;
	struct mm_struct *mm;

	mm = kunit_kzalloc(test, sizeof(*mm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mm);
	init_rwsem(&mm->mmap_lock);

	vma = kunit_kzalloc(test, sizeof(*vma), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, vma);
	vma->vm_mm = mm;
	vma->vm_end = pages << PAGE_SHIFT;
	vma->vm_pgoff = pgoff;
#ifdef KHEADERS_HAVE_VM_FLAGS_CLEAR
	vm_flags_init(vma, flags);
#else
	vma->vm_flags = flags;
#endif
	return vma;
}

static int kheaders_mmap(struct kunit *test, struct vm_area_struct *vma)
{
	struct kheaders *kheaders = test->priv;
	int ret = -ENODEV;

	mmap_write_lock(vma->vm_mm);
#ifdef CONFIG_PER_VMA_LOCK
	/* Locked, as a new mapping is. The sequence is a seqcount_t or an int. */
	vma->vm_lock_seq = *(unsigned int *)&vma->vm_mm->mm_lock_seq;
#endif
	if (hold_node(kheaders->node)) {
		ret = kheaders->attr.mmap(NULL, kernel_kobj, kheaders->node->priv,
					vma);
		release_node(kheaders->node);
	}
	mmap_write_unlock(vma->vm_mm);
	return ret;
}

/* Pages beyond 0 are counted from the end of the archive if @at_end. */
struct mmap_case {
	const char *name;
	bool at_end;
	long pgoff;
	long pages;
	unsigned long flags;
	int expected;
};

#define PRIVATE	(VM_READ | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)
#define SHARED	(PRIVATE | VM_SHARED | VM_MAYSHARE)

static const struct mmap_case mmap_cases[] = {
	{ "first page", false, 0, 1, PRIVATE, 0 },
	{ "first page shared", false, 0, 1, SHARED, 0 },
	{ "second page", false, 1, 1, PRIVATE, 0 },
	{ "last page", true, -1, 1, PRIVATE, 0 },
	{ "private writable", false, 0, 1, PRIVATE | VM_WRITE, -EACCES },
	{ "shared writable", false, 0, 1, SHARED | VM_WRITE, -EACCES },
	{ "executable", false, 0, 1, PRIVATE | VM_EXEC, -EACCES },
	{ "page behind the end", true, 0, 1, PRIVATE, -EINVAL },
	{ "page across the end", true, -1, 2, PRIVATE, -EINVAL },
	{ "far behind the end", false, LONG_MAX, 1, PRIVATE, -EINVAL },
	{ "offset that wraps around", false, -1, 2, PRIVATE, -EINVAL },
};

static void mmap_case_desc(const struct mmap_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kheaders_mmap, mmap_cases, mmap_case_desc);

static void kheaders_mmap_flags(struct kunit *test)
{
	const struct mmap_case *c = test->param_value;
	struct kheaders *kheaders = test->priv;
	unsigned long end = DIV_ROUND_UP(kheaders->attr.size, PAGE_SIZE);
	struct vm_area_struct *vma;

	if (!IS_ENABLED(CONFIG_MMU))
		kunit_skip(test, "nothing can be mapped without an MMU");

	KUNIT_ASSERT_NOT_ERR_OR_NULL_MSG(test, kheaders->attr.mmap,
					 "there is no callback to map");
	vma = new_vma(test, c->pgoff + (c->at_end ? end : 0), c->pages, c->flags);
	KUNIT_ASSERT_EQ(test, kheaders_mmap(test, vma), c->expected);
	if (c->expected)
		return;

	KUNIT_EXPECT_EQ_MSG(test, vma->vm_flags & (VM_MAYWRITE | VM_MAYEXEC), 0,
			    "mprotect() could make it writable or executable");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, vma->vm_ops);
	KUNIT_EXPECT_TRUE_MSG(test, !vma->vm_ops->close, "kernfs refuses a close");
}

static void put_node(struct kunit_resource *res)
{
	sysfs_put(res->data);
}

static bool no_module;

static int kheaders_test_init(struct kunit *test)
{
	struct kheaders *kheaders;

	kheaders = kunit_kzalloc(test, sizeof(*kheaders), GFP_KERNEL);
	if (!kheaders)
		return -ENOMEM;

	kheaders->node = sysfs_get_dirent(kernel_kobj->sd, KHEADERS_NAME);
	if (!kheaders->node && no_module)
		kunit_skip(test, "the module kheaders is not loaded and could not be");
	KUNIT_ASSERT_NOT_NULL_MSG(test, kheaders->node,
				  "/sys/kernel/" KHEADERS_NAME " is not there");

	kunit_add_resource(test, NULL, put_node, &kheaders->put_node, kheaders->node);
	if (!hold_node(kheaders->node))
		return -ENODEV;
	kheaders->attr = *(struct bin_attribute *)kheaders->node->priv;
	release_node(kheaders->node);
	test->priv = kheaders;
	return 0;
}

#if IS_MODULE(CONFIG_IKHEADERS)
static bool loaded;

/* Lets the module in for the time of the tests. */
static int kheaders_suite_init(struct kunit_suite *suite)
{
	struct kernfs_node *node = sysfs_get_dirent(kernel_kobj->sd, KHEADERS_NAME);

	no_module = !node && request_module("kheaders");
	loaded = !node && !no_module;
	sysfs_put(node);
	return 0;
}

static void kheaders_suite_exit(struct kunit_suite *suite)
{
	static char *envp[3] = { "HOME=/", "PATH=/sbin:/bin:/usr/sbin:/usr/bin", NULL };
	char *argv[4] = { CONFIG_MODPROBE_PATH, "-r", "kheaders", NULL };

	if (loaded)
		call_usermodehelper(argv[0], argv, envp, UMH_WAIT_PROC);
}
#else
#define kheaders_suite_init	NULL
#define kheaders_suite_exit	NULL
#endif

static struct kunit_case kheaders_cases[] = {
	KUNIT_CASE(kheaders_node),
	KUNIT_CASE_PARAM(kheaders_read_at, kheaders_read_gen_params),
	KUNIT_CASE(kheaders_read_to_end),
	KUNIT_CASE(kheaders_xz_container),
	KHEADERS_CASE_SLOW(kheaders_unpack),
	KHEADERS_CASE_SLOW(kheaders_tar_structure),
	KHEADERS_CASE_SLOW(kheaders_files),
	KHEADERS_CASE_SLOW(kheaders_release),
	KHEADERS_CASE_SLOW(kheaders_configuration),
	KUNIT_CASE_PARAM(kheaders_mmap_flags, kheaders_mmap_gen_params),
	{}
};

static struct kunit_suite kheaders_suite = {
	.name = "kheaders",
	.suite_init = kheaders_suite_init,
	.suite_exit = kheaders_suite_exit,
	.init = kheaders_test_init,
	.test_cases = kheaders_cases,
};

kunit_test_suite(kheaders_suite);

MODULE_DESCRIPTION("KUnit tests of /sys/kernel/" KHEADERS_NAME);
MODULE_LICENSE("GPL");
