# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2034	# failed is what tests exit with
#
# For the tests beside this to source: makes the archive available, prints
# KTAP and leaves things as they were, also when interrupted.

export LC_ALL=C
# where rmmod is, and an ordinary user's PATH does not lead
export PATH="$PATH:/usr/sbin:/sbin"
archive=/sys/kernel/kheaders.tar.xz
bin=$(dirname "$0")
[ ! -x "${OUTPUT-}/read_test" ] || bin=$OUTPUT	# of make run_tests O=

number=0
failed=0
tmp=
was_there=	# yes or no, once it is known
programs=	# to be ended

skip_all()
{
	printf 'TAP version 13\n1..0 # SKIP %s\n' "$*"
	exit 4
}

bail_out()
{
	printf 'TAP version 13\nBail out! %s\n' "$*"
	exit 1
}

# needs COMMAND
needs()
{
	command -v "$1" >/dev/null || skip_all "no $1"
}

cleanup()
{
	trap '' HUP INT TERM
	# shellcheck disable=SC2086	# one or more
	[ ! "$programs" ] || kill $programs
	wait
	[ ! "$tmp" ] || rm -rf "$tmp"
	case $was_there in
	yes) [ -e "$archive" ] || modprobe kheaders ;;
	no) [ ! -e "$archive" ] || rmmod kheaders ;;
	esac
}

# run PROGRAM: one that prints KTAP itself. Its output passes through a pipe,
# which ends when the last process has that it started, also if it is killed.
run()
{
	mkfifo "$tmp/pipe"
	cat "$tmp/pipe" &
	"$bin/$1" >"$tmp/pipe" &
	programs=$!
	status=0
	wait "$programs" || status=$?
	programs=
	wait
	return $status
}

plan()
{
	printf 'TAP version 13\n1..%d\n' "$1"
}

# check NAME COMMAND...: what the command prints is shown if it fails
check()
{
	number=$((number + 1))
	name=$1
	shift
	if "$@" >"$tmp/.output" 2>&1; then
		echo "ok $number $name"
	else
		failed=1
		echo "not ok $number $name"
		head -n 20 "$tmp/.output" | sed 's/^/# /'
	fi
}

# skip NAME REASON
skip()
{
	number=$((number + 1))
	echo "ok $number $1 # SKIP $2"
}

# with PROGRAM NAME COMMAND...: a check that needs it
with()
{
	command -v "$1" >/dev/null || { skip "$2" "no $1"; return; }
	shift
	check "$@"
}

trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -e "$archive" ]; then
	was_there=yes
else
	[ "$(id -u)" -eq 0 ] || skip_all "no $archive, and only root can load the module"
	modprobe -n -q kheaders || skip_all "this kernel has no kheaders"
	was_there=no
	modprobe kheaders || bail_out "kheaders cannot be loaded"
	[ -e "$archive" ] || bail_out "no $archive in spite of kheaders"
fi
tmp=$(mktemp -d) || bail_out "no temporary directory"
