# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2154,SC2034,SC2086,SC2015
# Part of command.sh: the cache, whatever happens to it.

path_of() {	# FILE: leaves $dir
	run path --from "$1" --cache "$tmp/cache"
	dir=$(cat out)
	[ "$status" = 0 ] && [ ! -s stderr ]
}
hash_of() { sha256sum <"$1" | cut -d ' ' -f 1; }
whole() {	# TREE
	diff -r --no-dereference "$1" "$dir" >>stderr && [ ! -e cache/stage ] && [ ! -e cache/old ]
}
check 'path: unpacks' '
	path_of ours.tar.xz && whole ours && prints "$tmp/cache/$(hash_of ours.tar.xz)/headers"'
private() { [ "$(stat -c %a cache)" = 700 ] && [ "$(stat -c %a "$(dirname "$dir")")" = 700 ]; }
check 'path: ... for one user alone' private
same_again() {	# not unpacked again
	before=$(stat -c %i "$dir") || return 1
	path_of ours.tar.xz && [ "$(stat -c %i "$dir")" = "$before" ] && whole ours
}
check 'path: not again' same_again
check 'path: not again under another name' '
	cp ours.tar.xz copy.tar.xz; before=$dir; path_of copy.tar.xz && [ "$dir" = "$before" ]'
headers new 'int new;'
ours new
check 'path: again where the file has changed' '
	cp new.tar.xz copy.tar.xz; path_of copy.tar.xz && whole new'

rebuilt() {	# COMMAND...: does something to the entry
	path_of ours.tar.xz || return 1
	before=$(stat -c %i "$dir/..")
	# Longer than the clock of file times takes to tick.
	sleep 0.1
	(cd "$dir/.." && "$@") >>stderr 2>&1 || return 1
	path_of ours.tar.xz && whole ours && [ "$(stat -c %i "$dir/..")" != "$before" ]
}
change() {
	echo '#define KCONFIX' >headers/include/linux/kconfig.h
	touch -r headers/script headers/include/linux/kconfig.h
}
cut_manifest() { chmod 600 manifest; truncate -s 100 manifest; }
on_disk() {	# the child that sees to that has nothing left to do
	for _ in $(seq 600); do
		[ "$(stat -c %a manifest)" != 400 ] || return 0
		sleep 0.1
	done
	return 1
}
join_manifest() {
	on_disk || return 1
	printf '%send\n' "$(head -n -1 manifest)" >joined
	chmod 400 joined
	mv -f joined manifest
}
of_another_boot() { sed 's/^kheaders manifest 1 .*/kheaders manifest 1 another/' "$@"; }
another_boot() { on_disk && of_another_boot -i manifest && chmod 600 manifest; }
while read -r what command; do
	# shellcheck disable=SC2086
	check "path: unpacked again after $(echo "$what" | tr _ ' ')" rebuilt $command
done <<-END
	a_file_was_removed		rm headers/include/linux/n7.h
	one_was_changed			change
	one_was_cut_short		truncate -s 1 headers/include/linux/n9.h
	one_became_unreadable		chmod 0 headers/include/linux/n9.h
	one_became_a_link		ln -sf /etc/passwd headers/include/linux/n9.h
	a_directory_was_removed		rm -r headers/include/generated
	all_was				rm -r headers
	the_manifest_was		rm manifest
	the_manifest_was_cut_short	cut_manifest
	its_last_lines_became_one	join_manifest
	a_crash_in_another_boot		another_boot
END
tree_away() { rm -r "$(dirname "$dir")"; path_of ours.tar.xz && whole ours; }
check 'path: unpacked again after everything was removed' tree_away
synced_before() {
	before=$(stat -c %i "$dir")
	of_another_boot "$dir/../manifest" >manifest
	chmod 400 manifest
	mv -f manifest "$dir/../manifest"
	path_of ours.tar.xz && [ "$(stat -c %i "$dir")" = "$before" ]
}
check 'path: not again in another boot if it is on disk' synced_before
leftovers() {
	rm -r "$(dirname "$dir")"
	mkdir -p cache/stage/headers/include cache/old/headers
	touch cache/stage/headers/include/a cache/old/manifest
	path_of ours.tar.xz && whole ours
}
check 'path: what a killed run left is removed' leftovers
at_once() {
	rm -rf cache
	for n in 1 2 3 4 5; do
		"$tmp/kheaders" path --from stock.tar.xz --cache "$tmp/cache" \
			>"once.$n" 2>"once.err.$n" &
	done
	s=0
	for _ in 1 2 3 4 5; do wait || s=1; done
	cat once.err.* >stderr
	[ "$s" = 0 ] && [ ! -s stderr ] && [ "$(cat once.[0-9] | sort -u | wc -l)" = 1 ] || return 1
	dir=$(cat once.1)
	whole stock
}
check 'path: five at once' at_once
killed() {	# at any time, what is there is whole
	for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		rm -rf cache/[0-9a-f]* cache/id-*
		timeout -s KILL "0.0$((n * 4 + 10))" "$tmp/kheaders" path --from stock.tar.xz \
			--cache "$tmp/cache" >/dev/null 2>&1 || :
		dir=cache/$(hash_of stock.tar.xz)/headers
		[ ! -e "$dir" ] || diff -r --no-dereference stock "$dir" >>stderr || return 1
		path_of stock.tar.xz && whole stock || return 1
	done
}
check 'path: killed by SIGKILL' killed
interrupted() {	# while it waits for another one
	rm -rf cache/[0-9a-f]* cache/id-*
	exec 9>cache/lock
	flock 9
	s=0
	timeout --preserve-status -s TERM 2 "$tmp/kheaders" path --from stock.tar.xz \
		--cache "$tmp/cache" >out 2>stderr 9>&- || s=$?
	exec 9>&-
	[ "$s" = 143 ]
}
check 'path: ended by SIGTERM' interrupted
check '... and fine afterwards' 'path_of stock.tar.xz && whole stock'
reading() {	# a file, for long
	head -c 64M /dev/zero | gzip -1 >bomb.gz
	for _ in $(seq 64); do echo; cat bomb.gz; done >bombs
	s=0
	timeout --preserve-status -s TERM 1 "$tmp/kheaders" --from bombs info >out 2>stderr || s=$?
	[ "$s" = 143 ] && [ ! -s stderr ]
}
check '--from: ended by SIGTERM' reading
check '--from: unpacks 2 GiB at most' 'run --from bombs info; says 4 "more than 2 GiB"'
rm bombs
nothing_stays() { [ ! -e x ] && [ ! "$(find . -maxdepth 1 -name '.kheaders-*')" ]; }
unheard() {
	rm -rf x
	mkfifo unheard
	exec 8<>unheard
	exec 9>unheard 8<&-
	head -c 500 ours.tar.xz >half.tar.xz
	s=0
	"$tmp/kheaders" --from half.tar.xz extract x 2>&9 || s=$?
	exec 9>&-
	[ "$s" = 141 ] && nothing_stays
}
check 'extract: nothing stays if nobody reads its messages' unheard
swapped() {	# by whoever may rename what is beside it
	mkdir -p theirs/precious
	touch theirs/precious/file
	mkfifo full
	exec 8<>full
	dd if=/dev/zero of=full bs=4k oflag=nonblock 2>/dev/null
	"$tmp/kheaders" --from half.tar.xz extract theirs/x 2>&8 8<&- &	# stops at its message
	until stage=$(find theirs -name '.kheaders-*') && [ "$stage" ]; do sleep 0.1; done
	mv "$stage" theirs/moved
	mv theirs/precious "$stage"
	dd if=full of=/dev/null bs=4k iflag=nonblock 2>/dev/null
	wait
	exec 8<&-
	[ -e "$stage/file" ] && [ ! "$(ls -A theirs/moved)" ]
}
check 'extract: removes nothing but what it made' swapped
limited() {
	headers large "$(seq 1000 | tr '\n' ' ')"
	ours large
	s=0
	prlimit --core=0 --fsize=1024 "$tmp/kheaders" --from large.tar.xz extract x 2>stderr || s=$?
	[ "$s" = 153 ] && grep -q 'sched.h: File too large' stderr && nothing_stays
}
check 'extract: nor with a limit on the size of files' limited

# --- exec
executes() { run exec --from ours.tar.xz --cache "$tmp/cache" "$@"; }
check 'exec: a command that a signal ends' \
	'executes -- sh -c "kill -9 \$\$"; [ "$status" = 137 ]'
variables() {
	executes -- sh -c 'echo $KDIR $BCC_KERNEL_SOURCE
		echo $BPFTRACE_KERNEL_SOURCE $BPFTRACE_KERNEL_BUILD; exit 7'
	[ "$status" = 7 ] && prints "$dir $dir
$dir $dir"
}
path_of ours.tar.xz
check 'exec: variables and exit status' variables
check "exec: the command's options are its own" \
	'executes printf "<%s>" -e --json; prints "<-e><--json>"'
check 'exec: no such command' 'executes -- no-such-command; says 127 no-such-command'
check 'exec: not executable' 'executes -- ./ours.tar.xz; says 126 ours.tar.xz'
blocked() {
	as="env --block-signal=TERM"
	executes -- grep SigBlk /proc/self/status
	as=
	grep -q '0000000000004000$' out
}
check 'exec: signals that were blocked still are' blocked
terminated() {
	mkfifo ready
	"$tmp/kheaders" exec --from ours.tar.xz --cache "$tmp/cache" -- \
		sh -c 'trap "exit 5" TERM; echo >ready; while :; do sleep 0.1; done' >out 2>stderr &
	pid=$!
	read -r _ <ready
	kill -TERM $pid
	s=0
	wait $pid || s=$?
	rm ready
	[ "$s" = 5 ]
}
check 'exec: signals reach the command' terminated

# --- pruned
for n in 1 2 3 4 5 6; do
	headers "tree$n" "int n$n;"
	ours "tree$n"
done
entry() { echo "cache/$(hash_of "tree$1.tar.xz")"; }
entries() { find cache -mindepth 1 -maxdepth 1 -name '[0-9a-f]*' ! -name 'id-*' | wc -l; }
pruned() {
	rm -rf cache
	for n in 1 2 3; do path_of tree$n.tar.xz || return 1; done
	path_of tree1.tar.xz && path_of tree4.tar.xz && path_of tree5.tar.xz || return 1
	[ "$(entries)" = 4 ] && [ -e "$(entry 1)" ] && [ ! -e "$(entry 2)" ]
}
check 'the four archives used last are kept' pruned
aged() {
	touch -d '-31 days' "$(entry 4)/manifest"
	path_of tree6.tar.xz && [ ! -e "$(entry 4)" ] && [ -e "$(entry 5)" ]
}
check '... for 30 days' aged
held() {
	run exec --from tree1.tar.xz --cache "$tmp/cache" -- sh -c '
		for n in 2 3 4 5 6; do "$0" path --from tree$n.tar.xz --cache cache || exit 1; done
		[ -e "$KDIR/include/linux/kconfig.h" ]' "$tmp/kheaders"
	[ "$status" = 0 ]
}
check '... and what a command still uses' held
check 'records of what is gone go, too' '[ "$(find cache -name "id-*" | wc -l)" -le 6 ]'

# --- where it may be
cache_in() { runs path --from ours.tar.xz --cache "$tmp/places/$1" && [ -e "$(cat out)/script" ]; }
not_in() {	# DIR WHY
	run path --from ours.tar.xz --cache "$tmp/places/$1"
	says 1 "$2"
}
mkdir -p places/group/own places/open places/sticky places/away
chmod 775 places/group
chmod 750 places/open
chmod 1777 places/sticky
ln -s "$tmp/places/away" places/link
ln -s ../places/./away places/relative
ln -s loop places/loop
touch places/file
check 'cache: made' cache_in new/below
check 'cache: relative to the current directory' '
	runs path --from ours.tar.xz --cache places/relative-cache && [ -e "$(cat out)/script" ]'
check 'cache: through a link of our own' cache_in link/a
check 'cache: through a relative one' cache_in relative/b
check 'cache: through a loop' not_in loop/a 'too many links'
check 'cache: below a sticky directory' cache_in sticky/a
check 'cache: not below what others may write to' \
	not_in group/own/a 'places/group: others may write'
check 'cache: not one that others may read' not_in open 'places/open: others can read'
check 'cache: not a file' not_in file 'places/file: Not a directory'
check 'cache: a name too long' not_in "$(printf %5000s a | tr ' ' a)" 'name too long'
if [ "$root" ]; then
	chown 65534 places/away
	check "cache: not through another user's directory" not_in away/a 'belongs to another user'
	as_user ln -s "$tmp/places/new" places/sticky/link
	check "cache: not through another user's link" not_in sticky/link/a "another user's link"
	as_user mkdir -m 700 places/sticky/theirs
	check "cache: not another user's" not_in sticky/theirs 'belongs to another user'
	in_cache() { [ "$(dirname "$(dirname "$(cat out)")")" = "$1" ]; }
	home() {	# WANTED VARIABLE...
		wanted=$1
		shift
		s=0
		as_user "$@" "$tmp/kheaders" path --from ours.tar.xz >out 2>stderr || s=$?
		[ "$s" = 0 ] && in_cache "$wanted"
	}
	check "cache: a user's, by HOME" home "$tmp/home/.cache/kheaders" XDG_CACHE_HOME=relative
	check "cache: a user's, by XDG_CACHE_HOME" home "$tmp/home/xdg/kheaders" \
		XDG_CACHE_HOME="$tmp/home/xdg"
	no_home() {
		status=0
		as_user env -u HOME "$tmp/kheaders" path --from ours.tar.xz >out 2>stderr ||
			status=$?
		says 1 'neither XDG_CACHE_HOME nor HOME'
	}
	check "cache: a user's, without either" no_home
	roots() { runs path --from ours.tar.xz && in_cache "$1"; }
	check "cache: root's" roots "$tmp/var/kheaders"
	chmod 755 var/kheaders
	check "cache: root's, where that cannot be trusted" roots "$tmp/run/kheaders/cache"
	chmod 700 var/kheaders
	if mkdir small && mount -t tmpfs -o size=400k,mode=700 tmpfs small 2>/dev/null; then
		no_space() {
			dd if=/dev/zero of=small/fill bs=1k count=320 2>/dev/null
			run path --from ours.tar.xz --cache "$tmp/small"
			says 1 'no space left for it: about 1 MB are needed' &&
				[ "$(ls small)" = "$(printf 'fill\nlock')" ] || return 1
			run extract small/x --from ours.tar.xz
			says 1 'no space left' &&
				[ "$(ls -A small)" = "$(printf 'fill\nlock')" ] || return 1
			rm small/fill
			mount -o remount,size=4m small
			runs path --from ours.tar.xz --cache "$tmp/small"
		}
		check 'cache: no space' no_space
		umount -l small	# which may still be written to disk
	else
		skip 'cache: no space' 'no file system can be mounted'
	fi
else
	skip "cache: another user's" 'needs root'
fi
