# SPDX-License-Identifier: GPL-2.0-only
#
# In the archive of headers of a kernel that was built on another kind of machine:
# builds the programs that a build of modules runs, with the compiler that is here,
# and goes on to the kernel's own makefile.
#
#   make -C DIR modules_prepare    builds the programs, nothing else
#   make -C DIR M=$PWD modules     builds them where they are missing, and a module

HOSTCC ?= cc

programs := scripts/basic/fixdep scripts/mod/modpost
ifneq ($(wildcard scripts/genksyms/genksyms.c),)
programs += scripts/genksyms/genksyms
endif
goals := $(or $(MAKECMDGOALS),modules)

.PHONY: $(goals)
.NOTPARALLEL:
$(goals): $(programs)
	+$(if $(filter modules_prepare,$@),@:,@$(MAKE) -f Makefile $@)

scripts/basic/fixdep: scripts/basic/fixdep.c
scripts/mod/modpost: $(patsubst %,scripts/mod/%.c,modpost file2alias sumversion \
	$(if $(wildcard scripts/mod/symsearch.c),symsearch))
scripts/genksyms/genksyms: $(patsubst %,scripts/genksyms/%.c,genksyms parse.tab lex.lex)

$(programs):
	@[ -w $(@D) ] || { echo "$(CURDIR) lacks $@ for this machine: as one who may write there," \
		"run make -C $(CURDIR) modules_prepare" >&2; exit 1; }
	@echo '  HOSTCC  $@'
	@$(HOSTCC) -O2 -w -Iscripts/include -Iscripts/genksyms -o $@.tmp $^ && mv $@.tmp $@
