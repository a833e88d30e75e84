#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: extmod.sh --reference BUILD [MAKE]
#        extmod.sh BUILD
# Modules built from the archive, on the kernel of the O= directory BUILD, where there
# are no other headers: with the symbol versions that the whole tree gives, by an
# ordinary user, from a read-only tree, and with programs that are built there. What
# the whole tree gives is made first, with --reference, where BUILD was, by MAKE if
# that takes more than make -C BUILD. Wants to be root, in a virtual machine.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
unset MAKEFLAGS MAKEOVERRIDES MAKELEVEL

sources() {	# DIRECTORY
	mkdir -p "$1"
	cat >"$1/Makefile" <<-'END'
	obj-m := versions.o
	versions-y := one.o two.o
	END
	cat >"$1/one.c" <<-'END'
	#include <linux/module.h>
	#include <linux/slab.h>

	int versions_two(void);
	void *versions_one(void);
	void *versions_one(void) { return kmalloc(versions_two(), GFP_KERNEL); }
	EXPORT_SYMBOL_GPL(versions_one);
	static int __init versions_init(void) { kfree(versions_one()); return 0; }
	module_init(versions_init);
	static void __exit versions_exit(void) { }
	module_exit(versions_exit);
	MODULE_DESCRIPTION("Of what symbol versions are tested with");
	MODULE_LICENSE("GPL");
	END
	cat >"$1/two.c" <<-'END'
	#include <linux/jiffies.h>
	#include <linux/random.h>
	#include <linux/wait.h>

	int versions_two(void);
	int versions_two(void)
	{
		DECLARE_WAIT_QUEUE_HEAD_ONSTACK(queue);

		return 1 + (get_random_u32() + jiffies + waitqueue_active(&queue)) % 64;
	}
	END
}
# All forms that this kernel has, relocations apart; without any, what else the
# kernel looks at.
versions() {	# MODULE FILE
	if grep -q '^CONFIG_MODVERSIONS=y' "$build/.config"; then
		readelf -x __versions -x __version_ext_crcs -x __version_ext_names "$1" \
			>"$2" 2>/dev/null && grep -q "'__versions'" "$2"
	else
		readelf -p .modinfo "$1" >"$2" && grep -q vermagic= "$2" &&
			! readelf -WS "$1" | grep -q __version
	fi
}

if [ "$1" = --reference ]; then
	build=$2
	reference=$build/extmod
	shift 2
	[ $# -gt 0 ] || set -- make -C "$build"
	rm -rf "$reference"
	sources "$reference"
	"$@" -s M="$reference" modules >"$reference/log" 2>&1 &&
		versions "$reference/versions.ko" "$reference/versions" ||
		{ cat "$reference/log" >&2; exit 1; }
	exit
fi

build=$1
reference=$build/extmod
tree=$(cd "$here/../../.." && pwd)
work=/run/extmod
mkdir $work
mount -t tmpfs tmpfs $work
cd $work
said=$work/output
. "$here/tap.sh"

unpacked() {
	[ -e /sys/kernel/kheaders.tar.xz ] || modprobe kheaders
	mkdir headers && tar -xJf /sys/kernel/kheaders.tar.xz -C headers
}
# That a cross compiler is another one than the machine's own, kbuild may say.
quiet() {
	"$@" >said 2>&1 || { cat said; return 1; }
	cat said
	! grep -v -e 'the compiler differs from the one used' -e "missing 'System.map' file" said |
		grep -i -e warning -e error: -e skipping
}
configured() { grep -q "^CONFIG_$1=y" headers/.config; }
built() {	# DIRECTORY [COMMAND...]
	sources "$1"
	module=$PWD/$1
	shift
	quiet "$@" make -C "${headers:-$work/headers}" M="$module" modules
}
same_versions() { versions "$1/versions.ko" versions && cmp versions "$reference/versions"; }
loads() { insmod "$1/versions.ko" && rmmod versions; }

check "the archive is unpacked" unpacked
check "all symbols are there" cmp headers/Module.symvers "$build/Module.symvers"
check "and the archive says so" grep -x 'symbols: all' headers/kheaders_info.txt
check "a module is built" built module
check "it has the versions of one from the whole tree, bit for bit" same_versions module
check "it loads" loads module
check "make clean removes it" 'make -C headers M="$PWD/module" clean && [ ! -e module/versions.ko ]'
check "make without a target builds it again" make -C headers M="$PWD/module"
check "the same" same_versions module
asked() {
	files=$(find headers | sort)
	for wrong in modules "modules_prepare prepare" "kernelversion modules" help; do
		# shellcheck disable=SC2086	# words
		! M=$PWD/module make -C headers $wrong || return 1
	done
	make -C headers modules_prepare &&
		[ "$(make -sC headers kernelrelease)" = "$(uname -r)" ] &&
		! make -C headers && [ "$(find headers | sort)" = "$files" ]
}
check "make without a module leaves the tree alone" asked
check "make W=1" 'sources extra; make -C headers M="$PWD/extra" W=1 modules'

together() {
	sources pair
	echo 'obj-m += other.o' >>pair/Makefile
	cat >pair/other.c <<-'END'
	#include <linux/module.h>
	#include <linux/slab.h>

	void *versions_one(void);
	static int __init other_init(void) { kfree(versions_one()); return 0; }
	module_init(other_init);
	MODULE_DESCRIPTION("Of the symbol of another one");
	MODULE_LICENSE("GPL");
	END
	quiet make -C headers M="$PWD/pair" versions.ko other.ko &&
		[ -e pair/versions.ko ] && [ -e pair/other.ko ]
}
check "modules named with make find each other's symbols" together
installs() {
	quiet make -C headers M="$PWD/module" INSTALL_MOD_PATH="$PWD/root" modules_install &&
		! grep -i -e key -e sign said && find root | grep '/versions[.]ko'
}
check "make modules_install" installs

as_user() {
	chmod 777 .
	chown -R nobody user
	setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
}
mkdir user
check "an ordinary user builds one" built user as_user
check "of the same versions" same_versions user

check "a tree that is read-only" 'mount --bind headers headers && mount -o remount,bind,ro headers'
check "is enough" built from-read-only
umount headers

wrong_version() {
	awk -F '\t' -v OFS='\t' '$2 == "kfree" { $1 = "0x12345678" } { print }' \
		"$build/Module.symvers" >headers/Module.symvers
	built wrong && ! insmod wrong/versions.ko &&
		dmesg | tail -n 5 | grep 'disagrees about version of symbol kfree'
	status=$?
	cp "$build/Module.symvers" headers
	return "$status"
}
if configured MODVERSIONS; then
	check "a module with a wrong version is refused" wrong_version
else
	check "the archive says that there are no versions" \
		'grep -x "symbol-versions: no" headers/kheaders_info.txt &&
			! grep -v ^0x00000000 headers/Module.symvers'
fi

if configured EXTENDED_MODVERSIONS; then
	check "versions have both forms" grep "'__version_ext_crcs'" "$reference/versions"
fi
without_its_plugin() {
	plugin=headers/scripts/gcc-plugins/randomize_layout_plugin.so
	mv "$plugin" . && ! built without-plugin && mv randomize_layout_plugin.so "$plugin"
}
if configured GCC_PLUGIN_RANDSTRUCT; then
	check "a module is of the kernel's layout" \
		'modinfo -F vermagic module/versions.ko | grep RANDSTRUCT_'
	check "or not built" without_its_plugin
fi
btf() {
	ln -s /sys/kernel/btf/vmlinux headers/vmlinux && built btf && rm headers/vmlinux &&
		readelf -S btf/versions.ko | grep -F .BTF &&
		insmod btf/versions.ko && [ -s /sys/kernel/btf/versions ] && rmmod versions
}
if configured DEBUG_INFO_BTF_MODULES; then
	check "with a link to the kernel's BTF, a module has its own" btf
fi
asn1() {
	mkdir grammar
	echo 'obj-m := number.asn1.o' >grammar/Makefile
	echo 'Number ::= SEQUENCE { number INTEGER }' >grammar/number.asn1
	quiet make -C headers M="$PWD/grammar" number.asn1.o
}
if configured ASN1; then
	check "a grammar in ASN.1 is compiled" asn1
fi
trimmed() {
	sources gone
	sed -i s/get_random_u32/get_random_u64/ gone/two.c
	! make -C headers M="$PWD/gone" modules >said 2>&1 && cat said &&
		grep 'modpost: "get_random_u64" .* undefined!' said && [ ! -e gone/versions.ko ]
}
if configured TRIM_UNUSED_KSYMS; then
	check "a module that wants a symbol not exported is refused" trimmed
fi

other_library() {
	cp -a headers other
	sed -i s:/ld-linux:/no-linux: other/scripts/basic/fixdep
	! make -C other M="$PWD/module" modules >said 2>&1 && cat said &&
		grep 'programs do not run here (.*not found): they need' said &&
		make -C other kernelrelease && make -C other M="$PWD/module" clean
}
if [ ! -e headers/scripts/basic/fixdep.c ]; then	# they came with it
	check "where its programs do not run, the tree says why" other_library
fi

unpack_foreign() {
	mkdir foreign && tar -xJf "$1" -C foreign && [ ! -e foreign/scripts/mod/modpost ]
}
really_foreign() { unpack_foreign /sys/kernel/kheaders.tar.xz; }
# As if the kernel were built on another machine: what scripts/mod/empty.o is made for.
foreign() {
	set -- scripts/basic/fixdep scripts/mod/modpost
	! configured MODVERSIONS || set -- "$@" scripts/genksyms/genksyms
	(
		cd "$build" && printf '\377' |
			dd of=scripts/mod/empty.o bs=1 seek=18 conv=notrunc 2>/dev/null
		export srctree="$tree" SRCARCH=x86 CC=gcc XZ="${XZ:-xz}"
		gen() { sh "$tree/scripts/gen_kheaders.sh" "$@"; }
		mkdir /run/pieces
		cp kernel/kheaders_data/module.lds /run/pieces
		gen manifest kernel/kheaders_data/names 1 /run/pieces/manifest "$@" &&
			gen block /run/pieces/1.list /run/pieces/1.xz &&
			gen tail /run/pieces/1.list /run/pieces/tail.xz Module.symvers &&
			gen join /run/foreign.tar.xz /run/pieces/1.xz /run/pieces/tail.xz
	) && unpack_foreign /run/foreign.tar.xz &&
		# Other machines have no use for it; this one cannot do without. Nor without
		# gcc's plugins, which are not built there.
		mkdir -p foreign/tools/objtool &&
		cp headers/tools/objtool/objtool foreign/tools/objtool &&
		{ [ ! -d headers/scripts/gcc-plugins ] ||
			cp -r headers/scripts/gcc-plugins foreign/scripts; }
}
[ "$(uname -m)" = x86_64 ] && how=foreign || how=really_foreign
check "of a kernel built on another machine, the archive has no programs" "$how"
foreign_read_only() {
	mount --bind foreign foreign && mount -o remount,bind,ro foreign
	headers=$work/foreign
	built not-built && return 1
	umount foreign
	grep "run make -C $work/foreign modules_prepare" said
}
check "where they cannot be written it says what to do" foreign_read_only
headers=$work/foreign
check "otherwise they are built, unasked" built rebuilt
check "and do the same" same_versions rebuilt
check "it loads, too" loads rebuilt
remade() {
	rm foreign/scripts/mod/modpost && make -C foreign modules_prepare &&
		[ -x foreign/scripts/mod/modpost ]
}
check "make modules_prepare builds them, too" remade
check "the kernel has nothing to complain" sh -c '! dmesg | grep -E "WARNING|BUG|Oops|Call Trace"'
done_testing
