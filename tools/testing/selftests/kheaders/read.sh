#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The archive read in every way there is: read_test.c.

. "$(dirname "$0")/kheaders.sh"
run read_test
