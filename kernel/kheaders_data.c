// SPDX-License-Identifier: GPL-2.0-only
/*
 * The archive that kernel/kheaders.c makes readable
 *
 * kheaders.c includes this.
#ifdef KHEADERS_WITH_EXTMOD
 * With CONFIG_IKHEADERS_EXTMOD, where the archive has to wait for the versions of
 * all symbols, it is an object of its own, which comes in with the last link:
 * scripts/Makefile.kheaders.
#endif
 */

#include <linux/stringify.h>

#include "kheaders_data.h"

/*
 * What follows the archive is for scripts/extract-kheaders, which looks for the
 * marker in an image or module: the number of bytes before it. As text it is the
 * same for every assembler and machine. The digest is for caches of compilers.
 */
asm(".pushsection .rodata, \"a\"\n\t"
	".global kernel_headers_data\n"
	"kernel_headers_data:\n"
	".Lkheaders_" __stringify(KHEADERS_SHA1) ":\n\t"
	".incbin \"kernel/kheaders_data.tar.xz\"\n\t"
	".global kernel_headers_data_end\n"
	"kernel_headers_data_end:\n\t"
	".ascii \"kheaders.tar.xz:" __stringify(KHEADERS_SIZE) "\\n\"\n\t"
	".popsection\n");
