# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2154	# said
# Results as TAP, for the tests that source this, with or without set -e. What a
# command prints goes to the file $said, set before; behind a failure it is
# shown, and with it the files that $show names, if any.
#
#   check WHAT COMMAND...   passes if the command succeeds, in this very shell; a
#                           command of one word is shell code
#   skip WHAT WHY
#   needs TOOL[:PACKAGE]... ends the test unless all are there: commands, libNAME
#                           as pkg-config knows it, libNAME.a as clang finds it
#   done_testing            prints the plan and exits: 1 if anything failed

tap_count=0 tap_failed=0

check() {
	tap_what=$1
	shift
	[ $# -gt 1 ] || set -- eval "$1"
	tap_count=$((tap_count + 1))
	if "$@" >"$said" 2>&1; then
		echo "ok $tap_count - $tap_what"
	else
		tap_failed=1
		echo "not ok $tap_count - $tap_what"
		# shellcheck disable=SC2086	# names
		for tap_file in "$said" ${show-}; do
			[ ! -f "$tap_file" ] || tail -n 30 "$tap_file" | tr -d '\r' | sed 's/^/# /'
		done
	fi
}

skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

needs() {
	tap_missing='' tap_packages=''
	for tap_tool; do
		case $tap_tool in
		lib*.a:*) [ -f "$(clang -print-file-name="${tap_tool%:*}")" ] ;;
		lib*) pkg-config --exists "${tap_tool%:*}" ;;
		*) command -v "${tap_tool%:*}" ;;
		esac >/dev/null 2>&1 && continue
		tap_missing="$tap_missing ${tap_tool%:*}"
		tap_packages="$tap_packages ${tap_tool#*:}"
	done
	[ "$tap_missing" ] || return 0
	echo "${0##*/}: not found:$tap_missing: on Debian, apt-get install$tap_packages" >&2
	exit 1
}

done_testing() {
	echo "1..$tap_count"
	exit $tap_failed
}
