# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2154,SC2034,SC2086,SC2015
# Part of command.sh: a running kernel that is made up, with a module that is
# loaded as kmod.c says.

sysfs=$tmp/sys/kheaders.tar.xz
export FAKE_KMOD="$tmp/kmod"
mkdir kmod
release=$(uname -r)

# --- built in
cp ours.tar.xz "$sysfs"
path() { run path --cache "$tmp/r"; }
running() { path && [ "$status" = 0 ] && [ ! -s stderr ] && same_as ours; }
check 'running kernel: path' running
inode=$(stat -c %i "$(cat out)" || :)
check 'running kernel: path, again' 'running && [ "$(stat -c %i "$(cat out)")" = "$inode" ]'
cp new.tar.xz sys/new
mv sys/new "$sysfs"
check 'running kernel: path, with another archive' 'path && [ "$status" = 0 ] && same_as new'
check 'running kernel: info' 'run info && grep -qx "kind: running kernel" out'
if [ "$root" ]; then
	check 'running kernel: path, as a user' '
		run_as_user path && [ "$status" = 0 ] && same_as new'
fi
rm "$sysfs"

# --- neither
check 'no archive, no module' 'path; says 3 "\(CONFIG_IKHEADERS\|--from\)"'
packaged=$tmp/modules/$release/build
mkdir -p "$packaged/include/generated"
touch "$packaged/include/generated/autoconf.h"
check "a package's headers" '
	runs -v path && prints "$packaged" && grep -q "no archive" stderr &&
	run info && grep -qx "kind: directory: no archive that could be read" out'
package_exec() {
	run exec -- sh -c 'echo "$KDIR ${BCC_KERNEL_SOURCE-none}"'
	prints "$packaged none"
}
check "exec with a package's headers" package_exec
check "extract does not take a package's headers" '
	run extract x2; says 3 "the headers are in"'
mv modules/"$release" package

# --- a module
touch kmod/kheaders.ko
cp ours.tar.xz kmod/archive
unloaded() { [ ! -e "$sysfs" ] && [ ! -e run/kheaders/loaded ]; }
log() { [ "$(tr '\n' ' ' <kmod/log)" = "$1" ] && unloaded; }
fresh() { rm -rf r kmod/log "$sysfs"; }
if [ ! "$root" ]; then
	check 'module: not for ordinary users' 'path; says 1 "as root: kheaders path"'
	rm kmod/kheaders.ko
	return 0
fi

check 'module: loaded and removed' 'fresh; running && log "inserted removed "'
check 'module: not loaded if the headers are in the cache' 'running && log "inserted removed "'
changed_module() { touch kmod/kheaders.ko; running && log 'inserted removed inserted removed '; }
check 'module: loaded if its file has changed' changed_module
stays() { fresh; cp ours.tar.xz "$sysfs"; running && [ ! -e kmod/log ] && [ -e "$sysfs" ]; }
check 'module: stays if it was loaded before' stays
check 'module: info' '
	fresh; run info; grep -qx "kind: module, loaded to read it" out && log "inserted removed "'
head -c 500 ours.tar.xz >hostile-archive
cp hostile-archive kmod/archive
check 'module: removed if its archive is damaged' '
	fresh; path; [ "$status" = 4 ] && log "inserted removed "'
cp ours.tar.xz kmod/archive
for fail in '1:not permitted' '8:Exec format error' '12:Cannot allocate'; do
	check "module: cannot be loaded: ${fail#*:}" 'fresh; echo "${fail%%:*}" >kmod/fail
		path; rm kmod/fail; says 1 "${fail#*:}" && unloaded'
done
check 'module: modprobe.d says otherwise' 'fresh; touch kmod/install
	path; rm kmod/install; says 1 "modprobe.d has a command" && [ ! -e kmod/log ]'
check 'module: not for ordinary users' 'fresh; rm -rf home/.cache
	run_as_user path; says 1 "as root: kheaders path" && [ ! -e kmod/log ]'
check 'module: removed if /sys is not mounted' 'fresh; touch kmod/unseen
	path; rm kmod/unseen; says 1 "mount sysfs" && log "inserted removed "'
mv package modules/"$release"
check "module: root without the right to load it gets a package's headers" '
	echo 1 >kmod/fail; path; rm kmod/fail; says 0 "not permitted" && prints "$packaged"'
check "module: ... who get a package's headers" '
	run_as_user path; [ "$status" = 0 ] && prints "$packaged"'
mv modules/"$release" package
check 'module: a user, while it is loaded' '
	cp ours.tar.xz "$sysfs"; run_as_user path; rm "$sysfs"; [ "$status" = 0 ]'

# While a run reads the fifo that is the archive now, it has the module loaded.
# What happens is told by another fifo, 7.
event() { timeout 60 sh -c 'read -r line && echo "$line"' <&7; }
start() {	# [FIFO]: leaves $pid, a run that has loaded the module
	fresh
	rm -f kmod/events
	mkfifo kmod/events "$@"
	exec 7<>kmod/events
	"$tmp/kheaders" path --cache "$tmp/r" >slow.out 2>slow.err &
	pid=$!
	[ "$(event)" = inserted ]
}
slow() {	# the same, and it reads what is written to 9
	touch kmod/slow
	start || return 1
	exec 9>"$sysfs"
	rm kmod/slow
}
finish() { cat ours.tar.xz >&9; exec 9>&-; }
keeper() { cat "/proc/$pid/task/$pid/children"; }

ends() {
	slow || return 1
	finish
	[ "$(event)" = removed ] && wait "$pid" && [ ! -s slow.err ] && log 'inserted removed '
}
check 'module: removed when it was read' ends
for signal in KILL TERM; do
	killed_reading() {
		slow || return 1
		kill -$signal "$pid"
		if [ $signal = KILL ]; then exec 9>&-; else finish; fi
		[ "$(event)" = removed ] || return 1
		wait "$pid" || :
		# The keeper has the lock until it is done.
		flock run/kheaders/lock true
		log 'inserted removed '
	}
	check "module: removed if a run is ended by SIG$signal" killed_reading
done
killed_loading() {
	start kmod/hold || return 1
	kill -KILL "$pid"
	wait "$pid" || :
	: >kmod/hold
	rm kmod/hold
	[ "$(event)" = removed ] || return 1
	flock run/kheaders/lock true
	log 'inserted removed ' && [ ! -e run/kheaders/loaded ]
}
check 'module: removed if a run is killed while it is loaded' killed_loading
keeper_killed() {
	slow || return 1
	kill -KILL "$(keeper)"
	finish
	[ "$(event)" = removed ] && wait "$pid" && log 'inserted removed '
}
check 'module: removed if the child that is to remove it is killed' keeper_killed
kill_both() { slow && kill -KILL "$(keeper)" "$pid" && exec 9>&- && { wait "$pid" || :; }; }
both_killed() {
	kill_both || return 1
	[ -e "$sysfs" ] && [ -s run/kheaders/loaded ] || return 1
	cat ours.tar.xz >"$sysfs" &
	"$tmp/kheaders" path --cache "$tmp/r" >out 2>stderr &
	pid=$!
	[ "$(event)" = removed ] && wait $pid && log 'inserted removed '
}
check 'module: removed by the next run if both are killed' both_killed
reloaded() {
	kill_both || return 1
	rm "$sysfs"
	touch sys/other sys/another	# so that the inode is not the same
	cp ours.tar.xz "$sysfs"
	running && [ -e "$sysfs" ] && [ ! -e run/kheaders/loaded ]
}
check 'module: stays if somebody else has loaded it again' reloaded
two() {
	slow || return 1
	"$tmp/kheaders" path --cache "$tmp/r" >out 2>stderr 9>&- &
	other=$!
	finish
	# The other one may find the headers in the cache, or have to load the module.
	wait "$pid" && wait $other && [ ! -s stderr ] && cmp -s slow.out out || return 1
	log 'inserted removed ' || log 'inserted removed inserted removed '
}
check 'module: two at once' two
one_of_two() {
	slow || return 1
	"$tmp/kheaders" path --cache "$tmp/r" >out 2>stderr 9>&- &
	other=$!
	kill -KILL "$pid"
	exec 9>&-
	for what in removed inserted removed; do [ "$(event)" = $what ] || return 1; done
	wait "$pid" || :
	wait $other && same_as ours && log 'inserted removed inserted removed '
}
check 'module: two at once, of which one is killed' one_of_two
other_reader() {	# ours without the right to load modules
	slow || return 1
	exec 8<run/kheaders/readers
	flock -s 8
	finish
	echo released >>kmod/log
	exec 8<&-
	[ "$(event)" = removed ] && wait "$pid" && log 'inserted released removed '
}
touch run/kheaders/readers
check 'module: not removed while a user reads' other_reader
exec 7<&-
rm kmod/events
waiting() {	# for the one that has the module
	fresh
	flock run/kheaders/lock sh -c '"$@" || echo $? >status' sh \
		timeout -k 5 -s TERM --preserve-status 1 "$tmp/kheaders" info >out 2>stderr
	[ "$(cat status)" = 143 ]
}
check 'module: a run that waits is ended by SIGTERM' waiting
locked_out() {	# whoever may read a file can lock it for himself alone
	fresh
	: >locked
	cp ours.tar.xz "$sysfs"
	as_user flock -x run/kheaders/readers sh -c 'echo $$; exec sleep 60' >locked &
	until [ -s locked ]; do sleep 0.1; done
	as="timeout -s KILL 30"
	path
	as=
	kill "$(cat locked)" && wait
	[ "$status" = 0 ]
}
check 'module: read whatever a user has locked' locked_out
many() {
	fresh
	for n in 1 2 3 4 5 6; do
		"$tmp/kheaders" path --cache "$tmp/r$n" >"many.$n" 2>"many.err.$n" &
	done
	s=0
	for _ in 1 2 3 4 5 6; do wait || s=1; done
	cat many.err.* >stderr
	[ ! -s stderr ] && [ ! -e "$sysfs" ] && [ ! -e run/kheaders/loaded ] || return 1
	for n in 1 2 3 4 5 6; do diff -r ours "$(cat many.$n)" >>stderr || return 1; done
}
check 'module: six at once, each with a cache of its own' many
rm kmod/kheaders.ko

# --- mounted
mkdir -p mnt
run mount mnt --from ours.tar.xz
if [ "$status" = 0 ]; then
	check 'mount: all is there' diff -r ours mnt
	read_only() {
		! touch mnt/a 2>/dev/null &&
		[ "$(grep -c " $tmp/mnt .*nosuid,nodev,noexec.* - tmpfs kheaders ro," \
			/proc/self/mountinfo)" = 1 ]
	}
	check 'mount: read-only, without programs to run' read_only
	check 'umount' 'runs umount mnt && [ ! "$(ls mnt)" ]'
	check 'mount --exec' 'runs mount --exec mnt --from ours.tar.xz && mnt/script'
	busy() { (cd mnt && run umount . && cd "$tmp" && says 1 'somebody works in there'); }
	check 'umount: while somebody works in there' busy
	run umount mnt
	check 'mount: nothing of a damaged archive' '
		run mount mnt --from hostile-archive; [ "$status" = 4 ] && [ ! "$(ls mnt)" ] &&
		! grep -q " $tmp/mnt " /proc/self/mountinfo'
	mount -t tmpfs tmpfs mnt
	check 'umount: what is not ours' 'run umount mnt; says 1 "not mounted by kheaders"'
	umount mnt
else
	skip 'mount' "$(cat stderr)"
fi
check 'mount and umount: directories that are not there, or not mounted' '
	run umount mnt; says 1 "not mounted by kheaders" &&
	run mount nowhere --from ours.tar.xz && says 1 "No such file"'
check 'mount: not for ordinary users' '
	run_as_user mount mnt --from ours.tar.xz; says 1 "as root: kheaders mount"'
private_mount() {	# RUNNER
	$1 exec --mount --from ours.tar.xz -- sh -c 'id -u && ! touch "$KDIR/a" 2>/dev/null &&
		cmp ours/compile_flags.txt "$KDIR/compile_flags.txt"'
	[ "$status" = 0 ] || return 1
	prints "$2" && ! grep -q kheaders /proc/self/mountinfo
}
check 'exec --mount' private_mount run 0
run_as_user exec --mount --from ours.tar.xz -- true
if says 1 'keep ordinary users from that'; then
	skip 'exec --mount: as a user' 'not permitted here'
else
	check 'exec --mount: as a user' private_mount run_as_user 65534
fi
