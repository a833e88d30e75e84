#compdef kheaders
# SPDX-License-Identifier: GPL-2.0-only

_kheaders()
{
	local -a commands
	commands=(
		'path:print a directory that has the headers'
		'extract:unpack them to a directory'
		'cflags:print flags for a compiler'
		'exec:run a command that finds them'
		'mount:mount them on a directory'
		'umount:undo that'
		'info:say what they are'
	)
	_arguments -S \
		'--from[an archive, kernel image or module]:file:_files' \
		'--cache[keep what is unpacked there]:directory:_directories' \
		'--dir[cflags of headers that are there]:directory:_directories' \
		'--mount[exec\: mount them for the command alone]' \
		'--exec[mount\: programs in there may be run]' \
		'--json[info as JSON]' \
		'--max-size[bytes to unpack at most]:bytes' \
		'--max-files[files to unpack at most]:number' \
		'--threads[threads to unpack with]:number' \
		'(-v --verbose)'{-v,--verbose}'[say where they are from]' \
		'(-h --help)'{-h,--help}'[help]' \
		'(-V --version)'{-V,--version}'[version]' \
		'1:command:{_describe command commands}' \
		'*::argument:{ case $words[1] in extract|mount|umount) _directories ;; exec) _normal ;; esac }'
}

_kheaders "$@"
