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
 * User space can map the archive, so it begins at a page. In a module's .rodata
 * that would leave other data a page on either side. With .data..ro_after_init
 * only jump labels share pages, and there are none here, which is why this does
 * without get_page().
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
".Lkheaders_" __stringify(KHEADERS_SHA1) ":\n"
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

/*
 * The pages from this one on are copies: the last page, where other things
 * follow the archive, and all of them where processes cannot map pages of the
 * kernel's image.
 */
#define KHEADERS_FIRST_COPY						\
	(IS_BUILTIN(CONFIG_IKHEADERS) &&				\
	 (IS_ENABLED(CONFIG_UML) || IS_ENABLED(CONFIG_XIP_KERNEL) ||	\
	  IS_ENABLED(CONFIG_SPARC64) || IS_ENABLED(CONFIG_IA64)) ?	\
	 0 : KHEADERS_SIZE / PAGE_SIZE)

/* Maps a copy, filled up with zeros. The mapping alone holds it then. */
static vm_fault_t kheaders_map_copy(struct vm_area_struct *vma,
				    unsigned long user_addr, pgoff_t pgoff)
{
	unsigned long offset = pgoff << PAGE_SHIFT;
	struct page *page;
	vm_fault_t ret;

	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return VM_FAULT_OOM;
	memcpy_to_page(page, 0, kernel_headers_data + offset,
		       min(KHEADERS_SIZE - offset, PAGE_SIZE));
	ret = vmf_insert_page(vma, user_addr, page);
	__free_page(page);
	return ret;
}

static vm_fault_t kheaders_map_page(struct vm_area_struct *vma,
				    unsigned long user_addr, pgoff_t pgoff)
{
	const char *addr = kernel_headers_data + (pgoff << PAGE_SHIFT);

	if (IS_BUILTIN(CONFIG_IKHEADERS))
		return vmf_insert_page(vma, user_addr,
				       pfn_to_page(PHYS_PFN(__pa_symbol(addr))));
	return vmf_insert_page(vma, user_addr, vmalloc_to_page(addr));
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
	pgoff_t pgoff = vmf->pgoff;
	pgoff_t end;
	vm_fault_t ret;

	if (pgoff >= KHEADERS_PAGES)
		return VM_FAULT_SIGBUS;
	if (pgoff >= KHEADERS_FIRST_COPY)
		return kheaders_map_copy(vma, user_addr, pgoff);

	/* Most users read on: spare them the next faults. */
	end = min3(pgoff + 16, vma->vm_pgoff + vma_pages(vma), KHEADERS_FIRST_COPY);
	ret = kheaders_map_page(vma, user_addr, pgoff);
	while (ret == VM_FAULT_NOPAGE && ++pgoff < end) {
		user_addr += PAGE_SIZE;
		if (kheaders_map_page(vma, user_addr, pgoff) != VM_FAULT_NOPAGE)
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
