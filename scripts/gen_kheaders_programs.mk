# SPDX-License-Identifier: GPL-2.0-only
#
# The GNUmakefile of an archive of headers that modules can be built from. make
# takes it before the kernel's own Makefile, to which it goes on: with what would
# try to build the kernel kept away, as there is nothing to build it from, and with
# programs built that were left out as they cannot run on the kernel's machine.
#
#   make -C DIR M=$PWD modules     builds a module, and the programs if need be
#   make -C DIR modules_prepare    builds the programs, nothing else
#   make -C DIR kernelrelease      and other questions

HOSTCC ?= cc

goals := $(or $(MAKECMDGOALS),modules)
.DEFAULT_GOAL := modules
questions := kernelrelease kernelversion image_name help

ifeq ($(M)$(KBUILD_EXTMOD)$(filter modules_prepare $(questions),$(goals)),)
$(error this tree is for external modules: make -C $(CURDIR) M=DIRECTORY)
endif

# Where their sources are, they are to be built.
programs := $(patsubst %.c,%,$(wildcard scripts/basic/fixdep.c scripts/mod/modpost.c \
	scripts/genksyms/genksyms.c))
ifneq ($(programs),)
ifneq ($(shell grep -s ^CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT=y include/config/auto.conf),)
programs += scripts/recordmcount
endif
endif

.PHONY: $(goals)
.NOTPARALLEL:

modules_prepare: $(programs)
	@:

kernelrelease:
	@cat include/config/kernel.release

$(filter-out modules_prepare kernelrelease,$(goals)): $(if $(filter-out $(questions) clean,$(goals)),$(programs))
	+@$(MAKE) -f Makefile $@

scripts/basic/fixdep: scripts/basic/fixdep.c
scripts/mod/modpost: $(patsubst %,scripts/mod/%.c,modpost file2alias sumversion \
	$(if $(wildcard scripts/mod/symsearch.c),symsearch))
scripts/genksyms/genksyms: $(patsubst %,scripts/genksyms/%.c,genksyms parse.tab lex.lex)
scripts/recordmcount: scripts/recordmcount.c

quiet := $(findstring s,$(firstword -$(MAKEFLAGS)))
$(programs):
	@[ -w $(@D) ] || { echo "$(CURDIR) lacks $@ for this machine: as one who may write there," \
		"run make -C $(CURDIR) modules_prepare" >&2; exit 1; }
	@$(if $(quiet),:,echo '  HOSTCC  $@')
	@$(HOSTCC) -O2 -w -Iscripts/include -Iscripts/genksyms -o $@.$$$$.tmp $^ && mv $@.$$$$.tmp $@
