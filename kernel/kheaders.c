// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kheaders.tar.xz: the headers this kernel was built with
 *
 * The archive comes from scripts/gen_kheaders.sh. What users may rely on is in
 * Documentation/ABI/testing/sysfs-kernel-kheaders. The first form of this, in
 * Linux 5.2, was written by Joel Fernandes.
 */

#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#ifdef KHEADERS_WITH_EXTMOD
#ifdef CONFIG_IKHEADERS_EXTMOD
/*
 * Defined in kheaders_data.c, of which modpost knows nothing. With __weak, clang
 * would go through a GOT, which no module of arm64 has.
 */
asm(".weak kernel_headers_data\n\t"
	".weak kernel_headers_data_end");
#else
#include "kheaders_data.c"
#endif
#else
#include "kheaders_data.c"
#endif

extern char kernel_headers_data[];
extern char kernel_headers_data_end[];

#ifdef KHEADERS_HAVE_BIN_ATTR_SIMPLE_RO
static struct bin_attribute kheaders_attr __ro_after_init =
	__BIN_ATTR_SIMPLE_RO(kheaders.tar.xz, 0444);
#else
static ssize_t kheaders_read(struct file *file, struct kobject *kobj,
			     struct bin_attribute *attr, char *buf,
			     loff_t off, size_t count)
{
	return memory_read_from_buffer(buf, count, &off, attr->private,
				       attr->size);
}

static struct bin_attribute kheaders_attr __ro_after_init =
	__BIN_ATTR(kheaders.tar.xz, 0444, kheaders_read, NULL, 0);
#endif

static int __init kheaders_init(void)
{
	kheaders_attr.private = kernel_headers_data;
	kheaders_attr.size = kernel_headers_data_end - kernel_headers_data;
#ifdef KHEADERS_WITH_EXTMOD
	if (IS_ENABLED(CONFIG_IKHEADERS_EXTMOD) && !kheaders_attr.size)
		return -ENODATA;	/* kheaders_data.o was not linked in */
#endif
	return sysfs_create_bin_file(kernel_kobj, &kheaders_attr);
}
module_init(kheaders_init);

static void __exit kheaders_exit(void)
{
	sysfs_remove_bin_file(kernel_kobj, &kheaders_attr);
}
module_exit(kheaders_exit);

MODULE_AUTHOR("Joel Fernandes");
MODULE_DESCRIPTION("The headers this kernel was built with");
MODULE_LICENSE("GPL");
