# SPDX-License-Identifier: GPL-2.0-only
	if is_enabled CONFIG_IKHEADERS && is_enabled CONFIG_IKHEADERS_EXTMOD; then
		objs="${objs} kernel/kheaders_data.o"
	fi
