#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: leaks.sh [clear]
# Prints what kmemleak takes for lost memory since the last "clear",
# and fails if there is any. Exits with 4 where the kernel has no kmemleak.
kmemleak=/sys/kernel/debug/kmemleak
[ -e $kmemleak ] || exit 4
if [ "${1-}" = clear ]; then
	echo clear >$kmemleak
	exit
fi
# An object counts as lost that is old enough in two scans.
for _ in 1 2; do
	sleep 6
	echo scan >$kmemleak
done
! grep . $kmemleak
