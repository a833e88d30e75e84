#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: clients.sh BUILD TREE [STOCK]
# bcc, bpftrace, SystemTap, libbpf and clangd, as a distribution ships them, on the
# kernel of the O= directory BUILD. Each has to report an event that the test makes
# happen, with the headers of the archive; with those of STOCK, the archive that the
# kernel before this one made; and with BUILD and the kernel's own source TREE. What
# works with one of these has to work with the archive, what with none, fail for the
# same reasons. What is found is printed as a column of the guide's table, and has to be
# what that says of the same version. What works by itself has to work under
# tools/kheaders, where nothing else is. Wants to be root, in a virtual machine with
# CONFIG_IKHEADERS=m and CONFIG_IKHEADERS_EXTMOD. ONLY names some of the tests.
set -eu

# Its mounts go with it.
[ "${CLIENTS_UNSHARED-}" ] || CLIENTS_UNSHARED=1 exec unshare -m sh "$0" "$@"

here=$(cd "$(dirname "$0")" && pwd)
build=$1
tree=$2
stock=${3-}
case $build/ in
"$tree"/*) echo "clients.sh: BUILD has to lie outside of KERNEL" >&2; exit 2 ;;
esac
for name in ${ONLY-}; do
	case $name in
	execsnoop|opensnoop|tcpconnect|bindsnoop|mountsnoop|capable) ;;
	bpftrace|libbpf|clangd|stap) ;;
	*) echo "clients.sh: ONLY=$name: no such test" >&2; exit 2 ;;
	esac
done
. "$here/tap.sh"
needs execsnoop-bpfcc:bpfcc-tools bpftrace:bpftrace bpftool:bpftool cc:gcc clang:clang \
	clangd:clangd pkg-config:pkg-config libbpf:libbpf-dev python3:python3 stap:systemtap

export TMPDIR=/run/clients PYTHONUNBUFFERED=1
rm -rf --one-file-system $TMPDIR
mkdir -m 700 $TMPDIR
mount -o remount,size=90% /run
cd $TMPDIR
said=$TMPDIR/out
unset MAKEFLAGS MAKEOVERRIDES
mkdir -p "$build/command"
make -s -C "$here/../../kheaders" O="$build/command" "$build/command/kheaders" >&2
# What is seen no longer when others are to see the archive alone.
cp "$build/command/kheaders" "$here/../../../Documentation/admin-guide/kheaders.rst" .
set +e

# bcc finds the archive by itself; the others are told where it is unpacked. The
# programs see none but the headers they are to use.
use() {	# archive|stock|tree
	unset BCC_KERNEL_SOURCE
	case $1 in
	tree)	umount "$build" "$tree"
		# kbuild wants to write to it
		mkdir -p tree upper work
		mount -t overlay -o "lowerdir=$build:$tree" -o upperdir=upper,workdir=work \
			overlay tree ||
			check "the kernel's own tree is mounted" false ;;
	*)	! mountpoint -q tree || umount tree
		mountpoint -q "$build" || mount -t tmpfs tmpfs "$build"
		mountpoint -q "$tree" || mount -t tmpfs tmpfs "$tree" ;;
	esac
	export HEADERS="$TMPDIR/$1" BPFTRACE_KERNEL_SOURCE="$TMPDIR/$1"
	[ "$1" = archive ] || export BCC_KERNEL_SOURCE="$HEADERS"
}

# The client runs until it reports the event, which is repeated meanwhile, and
# not longer than it may take to compile here.
reports() {	# PATTERN EVENT COMMAND...
	pattern=$1
	event=$2
	shift 2
	"$@" >report 2>&1 </dev/null &
	client=$!
	reported=1
	end=$(($(date +%s) + 1200))
	while [ "$(date +%s)" -lt $end ]; do
		kill -0 $client 2>/dev/null
		gone=$?
		# An event takes time that the compiler could use.
		[ $gone -ne 0 ] || sleep 3
		$event >/dev/null 2>&1
		if grep -qE "$pattern" report; then
			reported=0
			break
		fi
		[ $gone -eq 0 ] || break
	done
	kill "-${signal:-TERM}" $client 2>/dev/null
	for _ in 1 2 3 4 5 6 7 8 9; do
		kill -0 $client 2>/dev/null || break
		sleep 1
	done
	kill -9 $client 2>/dev/null
	wait $client
	ended=$?
	grep -E "$pattern" report | head -n 1 | sed "s|^|# $name: |"
	return $reported
}

# What a client complains of, without what differs from run to run.
complaints() {
	grep -iE 'error|fail|cannot|invalid' report |
		sed 's/.*error: /error: /; s/[0-9]//g; s:/[^ ]*/::g' | sort -u
}

# As the guide calls these sets of headers.
name_sets() {	# [SET]...
	case $* in
	'') echo none ;;
	"archive tree stock") echo all ;;
	*) echo "$*" | sed 's/ /, /g' ;;
	esac
}

selected() { case " ${ONLY:-$1} " in *" $1 "*) ;; *) false ;; esac }

run() {	# NAME PATTERN EVENT COMMAND...: succeeds if it reports with the archive
	name=$1
	shift
	selected "$name" || return 1
	working=
	# The archive is last: it is what the next ones use.
	for headers in ${stock:+stock} tree archive; do
		use "$headers"
		start=$(date +%s)
		if reports "$@"; then
			working="$headers${working:+ $working}"
		fi
		echo "# $name with $headers: $(($(date +%s) - start)) s"
		[ $reported -eq 0 ] || tail -n 10 report | sed 's/^/#   /'
		cp report "report.$headers"
		complaints >"complaints.$headers"
	done
	show=report.archive
	case $working in
	archive*) check "$name reports what happens" true ;;
	'')	check "$name fails as with the kernel's own tree" \
			'[ -s complaints.tree ] && diff complaints.tree complaints.archive' ;;
	*)	check "$name works with $working, but not with the archive" false ;;
	esac
	show=
	case $working in archive*) ;; *) false ;; esac
}
# Without what others unpack with, nor the room for it in /tmp.
alone() {	# COMMAND...
	# shellcheck disable=SC2016	# the inner shell expands it
	exec unshare -m sh -c 'mount -t tmpfs -o noexec,size=2m tmpfs /tmp &&
		for program in tar xz modprobe; do
			mount --bind /dev/null "$(readlink -f "$(command -v $program)")" || exit
		done && exec env -u TMPDIR PATH=/nonexistent "$@"' sh "$@"
}
under_kheaders() {	# PATTERN EVENT COMMAND [OPTION]...
	pattern=$1 event=$2 command=$(command -v "$3")
	name="${command##*/} under kheaders exec, without tar, xz, modprobe and room in /tmp"
	shift 3
	reports "$pattern" "$event" alone $TMPDIR/kheaders exec -- "$command" "$@"
	check "$name" 'cat report; [ $reported -eq 0 ]'
}

# The guide's table has a row for each program and a column for each kernel, whose
# cells say "VERSION: SETS".
series=$(uname -r | sed 's/^\([0-9]*\.[0-9]*\).*/\1/')
guide_says() {	# ROW
	awk -v row="$1" -v column="Linux $series" -F '  +' '
		/^\.\.  / { for (i = 2; i <= NF; i++) if ($i == column) wanted = i }
		wanted && $1 == row { print $wanted; exit }' kheaders.rst
}
conclude() {	# ROW "SET..." COMMAND...: which says its version
	row=$1
	# shellcheck disable=SC2086	# words
	sets=$(name_sets $2)
	shift 2
	version=$("$@" 2>&1 | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
	expected=$(guide_says "$row")
	echo "# Linux $series, $row: $version: $sets"
	# Without STOCK nothing is known of that one.
	[ "$stock" ] || expected=$(echo "$expected" | sed 's/: all$/: archive, tree/; s/, stock$//')
	case $expected in
	'')	skip "$row works with what the guide says" "it has no Linux $series" ;;
	"$version: "*) check "$row works with what the guide says: ${expected#*: }" \
			[ "$sets" = "${expected#*: }" ] ;;
	*)	skip "$row works with what the guide says" "that is of ${expected%%: *}" ;;
	esac
}

# shellcheck disable=SC2002	# the pipeline is the one users type
unpack() { cat /sys/kernel/kheaders.tar.xz | tar -xJ -C archive; }
execute() { /bin/echo witness-of-exec; }
open_file() { cat /run/witness-of-open; }
connect() { python3 -c 'import socket; socket.create_connection(("127.0.0.1", 7777))'; }
bind() { python3 -c 'import socket; socket.socket().bind(("127.0.0.1", 7778))'; }
mount_something() { mkdir -p /run/mnt; mount -t tmpfs witness-of-mount /run/mnt; umount /run/mnt; }
change_owner() { touch /run/owned; chown 1000 /run/owned; }
touch /run/witness-of-open

mkdir archive stock
if [ "$stock" ]; then
	check "the archive of before is unpacked" tar -xJf "$stock" -C stock
fi
use archive
check "no headers, and no archive before it is asked for" \
	[ ! -e "/lib/modules/$(uname -r)/build" -a ! -e /sys/kernel/kheaders.tar.xz ]
modprobe kheaders
check "cat | tar -xJ" unpack
rmmod kheaders
# for stap, where a kernel's package would have put it
symbols=/boot/System.map-$(uname -r)
check "symbols" sh -c 'mkdir -p /boot && cat /proc/kallsyms >"$1"' sh "$symbols"

# With which headers all of them work.
bcc_works="archive tree stock"
bcc() {	# TOOL PATTERN EVENT [OPTION]...
	tool=$1 pattern=$2 event=$3
	shift 3
	run "$tool" "$pattern" "$event" "$tool-bpfcc" "$@"
	status=$?
	all=
	for headers in $bcc_works; do
		case $working in *$headers*) all="$all $headers" ;; esac
	done
	bcc_works=$all
	return $status
}
working=$bcc_works
bcc execsnoop witness-of-exec execute && under_kheaders witness-of-exec execute execsnoop-bpfcc
bcc opensnoop witness-of-open open_file
bcc tcpconnect '127\.0\.0\.1.* 7777' connect
bcc bindsnoop '127\.0\.0\.1.* 7778' bind
bcc mountsnoop witness-of-mount mount_something
bcc capable 'chown .*CAP_CHOWN' change_owner
if [ ! "${ONLY-}" ]; then
	conclude bcc "$bcc_works" python3 -c 'import bcc; print(bcc.__version__)'
	case $bcc_works in
	*archive*) check "bcc unpacked the archive by itself" \
			[ -f "kheaders-$(uname -r)/include/linux/kconfig.h" ] ;;
	esac
	check "bcc leaves no module behind" [ ! -e /sys/kernel/kheaders.tar.xz ]
fi

cat >opens.bt <<-'EOF'
	#include <linux/sched.h>
	#include <linux/path.h>
	#include <linux/dcache.h>

	kprobe:vfs_open
	{
		$task = (struct task_struct *)curtask;
		$path = (struct path *)arg0;
		printf("%s opens %s\n", $task->comm, str($path->dentry->d_name.name));
	}
	END { printf("ended by itself\n"); }
EOF
interrupted() { [ "$ended" -eq 0 ] && grep -x 'ended by itself' report; }
same_status() {
	./kheaders exec -- bpftrace -e 'kprobe:no_such_function { }'
	status=$?
	bpftrace -e 'kprobe:no_such_function { }'
	[ "$status" -eq $? ] && [ "$status" -ne 0 ]
}
if run bpftrace 'cat opens witness-of-open' open_file bpftrace opens.bt; then
	signal=INT
	under_kheaders 'cat opens witness-of-open' open_file bpftrace -e "$(cat opens.bt)"
	signal=
	check "SIGINT ends bpftrace, whose status it is" interrupted
	check "that of an error comes through, too" same_status
	check "and the command removed the module again" [ ! -e /sys/kernel/kheaders.tar.xz ]
fi
! selected bpftrace || conclude bpftrace "$working" bpftrace --version

# The flags that the archive has, for the headers in use.
absolute_flags() {
	sed -E "s:^(-specs=)?(include/generated/compile_flags):\\1$TMPDIR/archive/\\2:
		s:^-I:&$HEADERS/:; s:^(include|arch)/:$HEADERS/&:" \
		"$TMPDIR/archive/compile_flags.txt"
}

# A program of the kind that libbpf-bootstrap has: its eBPF part is compiled with the
# kernel's headers and goes into the program, which loads it by libbpf.
cat >execs.bpf.c <<-'EOF'
	#include <linux/bpf.h>
	#include <linux/binfmts.h>
	#include <linux/sched.h>
	#include <bpf/bpf_helpers.h>

	struct {
		__uint(type, BPF_MAP_TYPE_RINGBUF);
		__uint(max_entries, 4096 * 16);
	} events SEC(".maps");

	/* Its arguments are the task, the process it was before, and the program. */
	SEC("raw_tracepoint/sched_process_exec")
	int on_exec(struct bpf_raw_tracepoint_args *context)
	{
		struct linux_binprm *program = (struct linux_binprm *)context->args[2];
		char *event = bpf_ringbuf_reserve(&events, TASK_COMM_LEN + 64, 0);
		const char *name;

		if (!event)
			return 0;
		bpf_get_current_comm(event, TASK_COMM_LEN);
		bpf_probe_read_kernel(&name, sizeof(name), &program->filename);
		bpf_probe_read_kernel_str(event + TASK_COMM_LEN, 64, name);
		bpf_ringbuf_submit(event, 0);
		return 0;
	}

	char _license[] SEC("license") = "GPL";
EOF
cat >execs.c <<-'EOF'
	#include <stdio.h>
	#include <bpf/libbpf.h>
	#include "execs.skel.h"

	static int show(void *context, void *event, size_t size)
	{
		printf("%s executes %s\n", (char *)event, (char *)event + 16);
		return fflush(stdout);
	}

	int main(void)
	{
		struct execs_bpf *program = execs_bpf__open_and_load();
		struct ring_buffer *events;

		if (!program || execs_bpf__attach(program))
			return 1;
		events = ring_buffer__new(bpf_map__fd(program->maps.events), show, NULL, NULL);
		while (events && ring_buffer__poll(events, -1) >= 0)
			;
		return 1;
	}
EOF
bootstrap() {
	absolute_flags >flags
	clang @flags -idirafter /usr/include -D__BPF_TRACING__ -g -O2 -w -emit-llvm \
		-Xclang -disable-llvm-passes -c execs.bpf.c -o execs.bc &&
		clang --target=bpf -g -O2 -w -c execs.bc -o execs.bpf.o &&
		bpftool gen skeleton execs.bpf.o name execs_bpf >execs.skel.h &&
		cc -O2 execs.c -o execs -lbpf || exit
	exec ./execs
}
run libbpf 'executes /bin/echo' execute bootstrap
! selected libbpf || conclude "clang, libbpf" "$working" clang --version

cat >task.c <<-'EOF'
	#include <linux/sched.h>
	#include <linux/skbuff.h>

	int length(struct sk_buff *buffer)
	{
		return current->pid + skb_headlen(buffer);
	}
EOF
clangd_checks() {
	mkdir -p "$HEADERS/editor" && cp task.c "$HEADERS/editor" && cd "$HEADERS/editor" || exit
	# The archive has its own, in the directory above.
	[ -f ../compile_flags.txt ] || absolute_flags >compile_flags.txt
	clangd --check=task.c >said 2>&1
	status=$?
	cat said
	# Of what it finds in headers it says so, and ends well.
	[ "$status" -eq 0 ] && ! grep -q '^E\[' said && echo "no complaints"
}
run clangd '^no complaints' true clangd_checks
! selected clangd || conclude clangd "$working" clangd --version

cat >opens.stp <<-'EOF'
	probe begin { println("begins") }
	probe kprobe.function("vfs_open") { println(execname(), " opens") }
	probe timer.s(1) { println("ticks") }
EOF
# shellcheck disable=SC2016	# the inner shell expands it
if run stap 'cat opens' open_file sh -c 'exec stap -r "$HEADERS" opens.stp'; then
	show=report
	check "so do its other probes" 'grep begins report && grep ticks report'
	show=
fi
! selected stap || conclude SystemTap "$working" stap --version
check "the kernel has nothing to complain" sh -c '! dmesg | grep -E "WARNING|BUG|Oops|Call Trace"'
done_testing
