#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool's completion for zsh, with functions of ours in place of those that zsh has only
# while a line is edited.
#
# needs: zsh (zsh)
set -e
. ./cli_helpers.sh

# Prints what is offered for each line that it reads, sorted, one a line, then a dot.
cat >"$work/zsh" <<'END'
compadd()
{
	local -a offered

	while [[ $1 == -* ]]; do
		case $1 in
		-J) shift 2 ;;
		-a) offered=("${(@P)2}"); shift 2 ;;
		--) shift; break ;;
		esac
	done
	offered+=("$@")
	print -rl -- ${(M)offered:#${(b)${(Q)PREFIX}}*}
}
_files() { print -rl -- $PREFIX*(N) }
_normal() { print -r -- "$CURRENT of $words" }

while IFS= read -r line; do
	words=(${(z)line})
	[[ $line != *[[:space:]] ]] || words+=('')
	CURRENT=$#words PREFIX=$words[-1]
	source ../userspace/completions/_mstore | sort
	print .
done
END

. ./cli_completion_cases.sh
start_shell zsh -f "$work/zsh"

test_commands_to_run()
{
	offers 'mstore lock k -- timeou' '1 of timeou'
	offers 'mstore lock k -- timeout 1 l' '3 of timeout 1 l'
	offers 'mstore private timeou' '1 of timeou'
	offers 'mstore private -- timeou' '1 of timeou'
	offers 'mstore private --buckets 3 timeou' '1 of timeou'
	offers 'mstore private --buckets timeou'
	offers 'mstore private --max-k' --max-keys
	offers 'mstore set k -- timeou'
}

run_tests
