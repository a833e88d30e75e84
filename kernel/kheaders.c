// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kheaders.tar.xz: the headers this kernel was built with
 *
 * The archive comes from scripts/gen_kheaders.sh. What users may rely on is in
 * Documentation/ABI/testing/sysfs-kernel-kheaders.
 */

#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/stringify.h>
#include <linux/sysfs.h>

#include "kheaders_data.h"

/*
 * User space can map the archive, so it begins at a page. In a module that
 * leaves the rest of .rodata a page on either side; in .data..ro_after_init
 * there is at most a jump table.
 */
#ifdef MODULE
#define KHEADERS_SECTION ".data..ro_after_init, \"aw\""
#else
#define KHEADERS_SECTION ".rodata.kheaders, \"a\""
#endif

/*
 * What follows the archive is for scripts/extract-kheaders, which looks for the
 * marker in an image or module: the number of bytes before it. As text it is
 * the same for every assembler and machine.
 */
asm (
"	.pushsection " KHEADERS_SECTION "\n"
"	.p2align " __stringify(PAGE_SHIFT) "\n"
"	.global kernel_headers_data\n"
"kernel_headers_data:\n"
"	.incbin \"kernel/kheaders_data.tar.xz\"\n"
"	.ascii \"kheaders.tar.xz:" __stringify(KHEADERS_SIZE) "\\n\"\n"
"	.popsection\n"
);

extern const char kernel_headers_data[];

#define KHEADERS_PAGES DIV_ROUND_UP(KHEADERS_SIZE, PAGE_SIZE)

static ssize_t kheaders_read(struct file *file, struct kobject *kobj,
#ifdef KHEADERS_HAVE_CONST_BIN_ATTR_READ
			     const struct bin_attribute *attr,
#else
			     struct bin_attribute *attr,
#endif
			     char *buf, loff_t off, size_t count)
{
	return memory_read_from_buffer(buf, count, &off, kernel_headers_data,
				       attr->size);
}

/* Where processes cannot map pages of the kernel's image, they get copies. */
#define KHEADERS_COPIES							\
	(IS_BUILTIN(CONFIG_IKHEADERS) &&				\
	 (IS_ENABLED(CONFIG_UML) || IS_ENABLED(CONFIG_XIP_KERNEL) ||	\
	  IS_ENABLED(CONFIG_SPARC64) || IS_ENABLED(CONFIG_IA64)))

/*
 * Returns a page of the archive with a reference for the caller, or NULL if
 * there is no memory for a copy. In the last page other things follow the
 * archive, so that is a copy, too, filled up with zeros.
 */
static struct page *kheaders_get_page(pgoff_t pgoff)
{
	unsigned long offset = pgoff << PAGE_SHIFT;
	const char *addr = kernel_headers_data + offset;
	size_t size = min(KHEADERS_SIZE - offset, PAGE_SIZE);
	struct page *page;

	if (KHEADERS_COPIES || size < PAGE_SIZE) {
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (page)
			memcpy_to_page(page, 0, addr, size);
		return page;
	}

	if (IS_BUILTIN(CONFIG_IKHEADERS))
		page = pfn_to_page(PHYS_PFN(__pa_symbol(addr)));
	else
		page = vmalloc_to_page(addr);
	get_page(page);
	return page;
}

static vm_fault_t kheaders_map_page(struct vm_area_struct *vma,
				    unsigned long user_addr, pgoff_t pgoff)
{
	struct page *page;
	vm_fault_t ret;

	if (pgoff >= KHEADERS_PAGES)
		return VM_FAULT_SIGBUS;

	page = kheaders_get_page(pgoff);
	if (!page)
		return VM_FAULT_OOM;
	ret = vmf_insert_page(vma, user_addr, page);
	put_page(page);
	return ret;
}

/*
 * kernfs calls this only while the attribute is there. Removal waits for the
 * call to end and then unmaps all that is mapped. So do not leave the mapping
 * to our caller's caller, which has it done after removal, too.
 */
static vm_fault_t kheaders_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long user_addr = vmf->address & PAGE_MASK;
	unsigned long pages = (vma->vm_end - user_addr) >> PAGE_SHIFT;
	pgoff_t pgoff = vmf->pgoff;
	vm_fault_t ret;

	ret = kheaders_map_page(vma, user_addr, pgoff);

	/*
	 * Most users read on: spare them the next faults, where that takes no
	 * memory.
	 */
	pages = KHEADERS_COPIES ? 1 : min(pages, 16UL);
	while (ret == VM_FAULT_NOPAGE && --pages) {
		user_addr += PAGE_SIZE;
		if (kheaders_map_page(vma, user_addr, ++pgoff) != VM_FAULT_NOPAGE)
			break;
	}
	return ret;
}

static const struct vm_operations_struct kheaders_vm_ops = {
	.fault = kheaders_fault,
};

static int kheaders_mmap(struct file *file, struct kobject *kobj,
#ifdef KHEADERS_HAVE_CONST_BIN_ATTR_MMAP
			 const struct bin_attribute *attr,
#else
			 struct bin_attribute *attr,
#endif
			 struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EACCES;

	if (vma->vm_pgoff >= KHEADERS_PAGES ||
	    vma_pages(vma) > KHEADERS_PAGES - vma->vm_pgoff)
		return -EINVAL;

#ifdef KHEADERS_HAVE_VM_FLAGS_CLEAR
	vm_flags_mod(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP,
		     VM_MAYWRITE | VM_MAYEXEC);
#else
	vma->vm_flags |= VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP;
	vma->vm_flags &= ~(VM_MAYWRITE | VM_MAYEXEC);
#endif
	vma->vm_ops = &kheaders_vm_ops;
	return 0;
}

static const struct bin_attribute kheaders_attr = {
	.attr = {
		.name = "kheaders.tar.xz",
		.mode = 0444,
	},
	.size = KHEADERS_SIZE,
	.read = kheaders_read,
	.mmap = IS_ENABLED(CONFIG_MMU) ? kheaders_mmap : NULL,
};

static int __init kheaders_init(void)
{
	return sysfs_create_bin_file(kernel_kobj, &kheaders_attr);
}
module_init(kheaders_init);

static void __exit kheaders_exit(void)
{
	sysfs_remove_bin_file(kernel_kobj, &kheaders_attr);
}
module_exit(kheaders_exit);

MODULE_DESCRIPTION("The headers this kernel was built with");
MODULE_LICENSE("GPL");
