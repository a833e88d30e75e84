// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of /sys/kernel/kheaders.tar.xz: the file, what reading it gives,
 * and the archive in it.
 */

#include <kunit/test.h>
#include <linux/crc32.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kmod.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <linux/uidgid.h>
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

/* The file under test, test->priv. */
struct kheaders {
	struct file *file;
	loff_t size;
};

/* In a sysfs of our own: when built-in tests run, none is mounted anywhere. */
static struct file *open_kheaders(int flags)
{
	struct vfsmount *sysfs = kern_mount(get_fs_type("sysfs"));
	struct file *file;

	if (IS_ERR(sysfs))
		return ERR_CAST(sysfs);
	file = file_open_root_mnt(sysfs, "kernel/" KHEADERS_NAME, flags, 0);
	kern_unmount(sysfs);	/* an open file holds on to it */
	return file;
}

static ssize_t kheaders_read(struct kunit *test, void *buf, loff_t off, size_t len)
{
	struct kheaders *kheaders = test->priv;

	return kernel_read(kheaders->file, buf, len, &off);
}

/* For what must be there, no more than a page. */
static void read_exactly(struct kunit *test, void *buf, loff_t off, size_t len)
{
	ssize_t ret = kheaders_read(test, buf, off, len);

	KUNIT_ASSERT_EQ_MSG(test, ret, (ssize_t)len,
			    "read of %zu bytes at offset %lld", len, off);
}

static void kheaders_file(struct kunit *test)
{
	struct kheaders *kheaders = test->priv;
	struct inode *inode = file_inode(kheaders->file);
	struct file *writable;

	KUNIT_EXPECT_EQ_MSG(test, inode->i_mode, S_IFREG | 0444,
			    "mode %o", inode->i_mode);
	KUNIT_EXPECT_TRUE_MSG(test, uid_eq(inode->i_uid, GLOBAL_ROOT_UID) &&
			      gid_eq(inode->i_gid, GLOBAL_ROOT_GID),
			      "it does not belong to root");
	KUNIT_EXPECT_GE(test, kheaders->size, (loff_t)SZ_256K);
	KUNIT_EXPECT_LE(test, kheaders->size, (loff_t)SZ_64M);

	writable = open_kheaders(O_RDWR);
	if (!IS_ERR(writable))
		fput(writable);
	KUNIT_EXPECT_EQ_MSG(test, PTR_ERR(writable), -EACCES,
			    "opened for writing");
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

/*
 * Byte by byte is the reference, and a read writes what it says it does. It
 * gives a page at least, where there is one and as much was asked for.
 */
static void kheaders_read_at(struct kunit *test)
{
	const struct read_case *c = test->param_value;
	struct kheaders *kheaders = test->priv;
	loff_t size = kheaders->size;
	loff_t off = c->off + (c->from == START ? 0 : c->from == END ? size : size / 2);
	u8 *buf, byte;
	ssize_t ret;
	size_t i;

	buf = kunit_kmalloc(test, c->len + GUARD_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf);
	memset(buf, 0xa5, c->len + GUARD_SIZE);

	ret = kheaders_read(test, buf, off, c->len);
	KUNIT_ASSERT_LE_MSG(test, ret, c->expected,
			    "read of %zu bytes at offset %lld", c->len, off);
	KUNIT_ASSERT_GE_MSG(test, ret, min_t(ssize_t, c->expected, PAGE_SIZE),
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
		KUNIT_ASSERT_LE_MSG(test, off, kheaders->size,
				    "reads go on behind the end");
	}
	KUNIT_EXPECT_EQ_MSG(test, ret, 0, "at offset %lld", off);
	KUNIT_EXPECT_EQ(test, off, kheaders->size);
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
	loff_t size = kheaders->size;
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
			      "magic of the footer, at offset %lld, is %*ph",
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
			    kheaders->size,
			    "where the xz stream ends in the archive");
	KUNIT_EXPECT_GT(test, ar->out_off, kheaders->size);
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
		/* With this the last piece of the archive begins. */
		if (IS_ENABLED(CONFIG_IKHEADERS_EXTMOD) &&
		    !strcmp(ar->path, "Module.symvers"))
			*before = '\0';
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
	{ ".config", !IS_ENABLED(CONFIG_IKHEADERS_EXTMOD) },
	{ "Makefile", !IS_ENABLED(CONFIG_IKHEADERS_EXTMOD) },
	{ "Module.symvers", !IS_ENABLED(CONFIG_IKHEADERS_EXTMOD) },
	{ "compile_flags.txt" },
	{ "kheaders_info.txt" },
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
	{ "include/generated/compile.h", .unwanted = true },
	{ "include/generated/utsversion.h", .unwanted = true },

	/* For building modules, as are the first ones. */
	{ "include/config/", .unwanted = !IS_ENABLED(CONFIG_IKHEADERS_EXTMOD) },
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

static bool no_module;

static int kheaders_test_init(struct kunit *test)
{
	struct kheaders *kheaders;
	struct file *file;

	kheaders = kunit_kzalloc(test, sizeof(*kheaders), GFP_KERNEL);
	if (!kheaders)
		return -ENOMEM;

	file = open_kheaders(O_RDONLY);
	if (IS_ERR(file) && no_module)
		kunit_skip(test, "the module kheaders is not loaded and could not be");
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(file),
			       "/sys/kernel/" KHEADERS_NAME " cannot be opened: %ld",
			       PTR_ERR(file));

	kheaders->file = file;
	kheaders->size = i_size_read(file_inode(file));
	test->priv = kheaders;
	return 0;
}

static void kheaders_test_exit(struct kunit *test)
{
	struct kheaders *kheaders = test->priv;

	if (kheaders)
		fput(kheaders->file);
	test->priv = NULL;	/* the next parameter may fail to open it */
}

#if IS_MODULE(CONFIG_IKHEADERS)
static bool loaded;

/* Lets the module in for the time of the tests. */
static int kheaders_suite_init(struct kunit_suite *suite)
{
	struct file *file = open_kheaders(O_RDONLY);

	/* The suite may run again, from debugfs. */
	loaded = false;
	no_module = false;
	if (!IS_ERR(file)) {
		fput(file);
		return 0;
	}
	no_module = request_module("kheaders");
	loaded = !no_module;
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
	KUNIT_CASE(kheaders_file),
	KUNIT_CASE_PARAM(kheaders_read_at, kheaders_read_gen_params),
	KUNIT_CASE(kheaders_read_to_end),
	KUNIT_CASE(kheaders_xz_container),
	KHEADERS_CASE_SLOW(kheaders_unpack),
	KHEADERS_CASE_SLOW(kheaders_tar_structure),
	KHEADERS_CASE_SLOW(kheaders_files),
	KHEADERS_CASE_SLOW(kheaders_release),
	KHEADERS_CASE_SLOW(kheaders_configuration),
	{}
};

static struct kunit_suite kheaders_suite = {
	.name = "kheaders",
	.suite_init = kheaders_suite_init,
	.suite_exit = kheaders_suite_exit,
	.init = kheaders_test_init,
	.exit = kheaders_test_exit,
	.test_cases = kheaders_cases,
};

kunit_test_suite(kheaders_suite);

MODULE_DESCRIPTION("KUnit tests of /sys/kernel/" KHEADERS_NAME);
MODULE_LICENSE("GPL");
