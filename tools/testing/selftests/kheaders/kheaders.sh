# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# For the tests beside this to source: makes the archive available, prints
# KTAP and leaves things as they were, also when interrupted.

export LC_ALL=C
# where rmmod is, and an ordinary user's PATH does not lead
export PATH="$PATH:/usr/sbin:/sbin"
archive=/sys/kernel/kheaders.tar.xz

number=0
failed=0
tmp=
loaded=

skip_all()
{
	echo "1..0 # SKIP $*"
	exit 4
}

bail_out()
{
	echo "Bail out! $*"
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
	! type at_exit >/dev/null 2>&1 || at_exit
	[ ! "$tmp" ] || rm -rf "$tmp"
	[ ! "$loaded" ] || rmmod kheaders
}

plan()
{
	echo "1..$1"
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

# skip NAME REASON...
skip()
{
	number=$((number + 1))
	name=$1
	shift
	echo "ok $number $name # SKIP $*"
}

finish()
{
	exit $failed
}

trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

echo "TAP version 13"
if [ ! -e "$archive" ]; then
	[ "$(id -u)" -eq 0 ] || skip_all "no $archive, and only root can load the module"
	modprobe -n -q kheaders || skip_all "this kernel has no kheaders"
	loaded=yes
	modprobe kheaders || { loaded=; bail_out "kheaders cannot be loaded"; }
	[ -e "$archive" ] || bail_out "no $archive in spite of kheaders"
fi
tmp=$(mktemp -d) || bail_out "no temporary directory"
