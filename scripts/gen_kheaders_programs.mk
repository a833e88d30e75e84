# SPDX-License-Identifier: GPL-2.0-only
#
# The GNUmakefile of an archive of headers that modules can be built from. make
# takes it before the kernel's own Makefile, to which it goes on: with what would
# try to build the kernel kept away, as there is nothing to build it from, with the
# kernel's kind of compiler, and with programs built that were left out as they
# cannot run on the kernel's machine.
#
#   make -C DIR M=$PWD modules     builds a module, and the programs if need be
#   make -C DIR modules_prepare    builds the programs, nothing else
#   make -C DIR kernelrelease      and other questions

include include/config/auto.conf

goals := $(or $(MAKECMDGOALS),modules)
.DEFAULT_GOAL := modules
questions := kernelrelease kernelversion image_name
building := $(filter-out $(questions) clean help,$(goals))

# The kernel's Makefile takes M from the command line alone.
ifeq ($(if $(filter command,$(origin M)),$(M))$(KBUILD_EXTMOD),)
ifneq ($(filter-out modules_prepare $(questions),$(goals)),)
$(error this tree is for external modules: make -C $(CURDIR) M=DIRECTORY)
endif
endif

# A compiler named on the command line is left alone.
settings :=
ifeq ($(CONFIG_CC_IS_CLANG)$(filter command,$(origin CC))$(LLVM),y)
settings += $(if $(CONFIG_LD_IS_LLD),LLVM=1,CC=clang) $(if $(CONFIG_AS_IS_GNU),LLVM_IAS=0)
endif

# User Mode Linux has its host's machine.
settings += $(if $(wildcard arch/um/Makefile),ARCH=um)

# BTF of a module is built on the kernel's. Without, any pahole will do, and none.
ifeq ($(and $(wildcard vmlinux),$(wildcard tools/bpf/resolve_btfids/resolve_btfids)),)
settings += CONFIG_DEBUG_INFO_BTF_MODULES= PAHOLE_VERSION=$(CONFIG_PAHOLE_VERSION)
endif

# Without a key, modules are installed unsigned rather than not at all.
key := $(subst ",,$(CONFIG_MODULE_SIG_KEY))
ifeq ($(and $(wildcard scripts/sign-file),$(wildcard $(key))$(filter pkcs11:%,$(key))),)
settings += CONFIG_MODULE_SIG_ALL=
endif

HOSTCC ?= $(if $(CONFIG_CC_IS_CLANG),clang,cc)

# Where their sources are, they are to be built.
programs := $(patsubst %.c,%,$(wildcard scripts/basic/fixdep.c scripts/mod/modpost.c \
	scripts/genksyms/genksyms.c scripts/asn1_compiler.c))
ifneq ($(programs),)
programs += $(if $(CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT),scripts/recordmcount)
else ifneq ($(building),)
answer := $(shell scripts/basic/fixdep 2>&1 || :)
$(if $(findstring Usage,$(answer)),,$(error this tree's programs do not run here ($(answer)): \
	they need a C library like that of the machine that built the kernel, and no noexec))
endif

# Modules that are named are built in one go, as one may need another.
modules := $(filter %.ko,$(goals))
others := $(filter-out modules_prepare kernelrelease $(modules),$(goals))

.PHONY: $(goals) modules-named
.NOTPARALLEL:

modules_prepare: $(programs)
	@:

kernelrelease:
	@cat include/config/kernel.release

$(others): $(if $(building),$(programs))
	+@$(MAKE) -f Makefile $(settings) $@

$(modules): modules-named ;
modules-named: $(programs)
	+@$(MAKE) -f Makefile $(settings) $(modules)

scripts/basic/fixdep: scripts/basic/fixdep.c
scripts/mod/modpost: $(patsubst %,scripts/mod/%.c,modpost file2alias sumversion \
	$(if $(wildcard scripts/mod/symsearch.c),symsearch))
scripts/genksyms/genksyms: $(patsubst %,scripts/genksyms/%.c,genksyms parse.tab lex.lex)
scripts/recordmcount: scripts/recordmcount.c
scripts/asn1_compiler: scripts/asn1_compiler.c

quiet := $(findstring s,$(firstword -$(MAKEFLAGS)))
$(programs):
	@[ -w $(@D) ] || { echo "$(CURDIR) lacks $@ for this machine: as one who may write there," \
		"run make -C $(CURDIR) modules_prepare" >&2; exit 1; }
	@$(if $(quiet),:,echo '  HOSTCC  $@')
	@$(HOSTCC) -O2 -w -Iscripts/include -Iscripts/genksyms -idirafter include \
		-o $@.$$$$.tmp $^ && mv $@.$$$$.tmp $@
