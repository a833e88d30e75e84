# SPDX-License-Identifier: GPL-2.0-only
# bash completion of kheaders(8)

_kheaders()
{
	local word=${COMP_WORDS[COMP_CWORD]#=} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' i
	local commands='path extract cflags exec mount umount info'

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--from|--cache|--dir|--max-size|--max-files|--threads)
			[[ ${COMP_WORDS[i + 1]} != = ]] || ((i++))	# --from=FILE is three words
			((i++)) ;;
		--)
			if declare -F _command_offset >/dev/null; then
				_command_offset $((i + 1))
			else
				mapfile -t COMPREPLY < <(compgen -c -- "$word")
			fi
			return ;;
		-*) ;;
		*) [[ $command ]] || command=${COMP_WORDS[i]} ;;
		esac
	done
	[[ $previous != = ]] || previous=${COMP_WORDS[COMP_CWORD - 2]}
	case $previous in
	--from)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return ;;
	--cache|--dir)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return ;;
	--max-size|--max-files|--threads) return ;;
	esac
	if [[ $word == -* ]]; then
		local options='--from --cache --max-size --max-files --threads --verbose --help --version'
		case $command in
		cflags) options+=' --dir' ;;
		exec) options+=' --mount --exec' ;;
		mount) options+=' --exec' ;;
		info) options+=' --json' ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
		return
	fi
	case $command in
	'') mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word") ;;
	extract|mount|umount)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	exec) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
	esac
}
complete -F _kheaders kheaders
