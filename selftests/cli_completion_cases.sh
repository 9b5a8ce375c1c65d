# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Words that the completion of zsh and of fish offers. The test that includes this starts its shell,
# which reads lines. After each it prints the words that are offered with the cursor at its
# end, sorted, one a line, and then a dot.

# start_shell COMMAND...
start_shell()
{
	coproc "$@" 2>&1
	# Those of the coprocess are closed in subshells.
	exec {shell_in}>&"${COPROC[1]}" {shell_out}<&"${COPROC[0]}"
}

complete_line()
{
	local line

	printf '%s\n' "$1" >&"$shell_in"
	# shellcheck disable=SC2154 # of cli_helpers.sh
	while IFS= read -rt $((60 * slowness)) -u "$shell_out" line && [[ $line != . ]]; do
		[[ ! $line ]] || printf '%s\n' "$line"
	done
}

# offers LINE WORD...: sorted, in any shell the same
offers()
{
	run complete_line "$1"
	shift
	expect 0 "${1:+$(printf '%s\n' "$@" | sort)$'\n'}"
}

test_commands()
{
	offers 'mstore s' set stat stats sub subs
	offers 'mstore m' monitor
	offers 'mstore x'
	offers 'mstore help s' set stat stats sub subs
	offers 'mstore help set s'
}

test_options()
{
	offers 'mstore --sto' --store
	offers 'mstore sub --queue' --queue-bytes --queue-len
	offers 'mstore sub k --queue'
	offers 'mstore get -- --queue'
}

test_keys_that_live()
{
	mstore set temp 1
	mstore set tempest 1
	mstore set door 1
	offers 'mstore get te' temp tempest
	offers 'mstore get door t' temp tempest
	offers 'mstore sub -n 1 --timeout 2 d' door
	offers 'mstore --store /dev/metastore get d' door
	offers 'mstore --store /dev/null get d'
	offers 'mstore get --store=/dev/null d'
	mstore del tempest
	offers 'mstore get te' temp
}

test_only_where_a_key_belongs()
{
	mstore set temp 1
	offers 'mstore set te' temp
	offers 'mstore set temp te'
	offers 'mstore info te'
	offers 'mstore sub --format te'
	offers 'mstore get -- te' temp
	offers 'mstore ls x te' temp
	offers 'mstore flush --except te' temp
	offers 'mstore sub --signal SIGHU' SIGHUP
	offers 'mstore set --file ./cli_hel' ./cli_helpers.sh
}

test_keys_that_a_shell_would_split()
{
	mstore set net:eth0 1
	mstore set 'two words' 1
	mstore set "it's" 1
	offers 'mstore get net:e' net:eth0
	offers 'mstore get tw' 'two words'
	offers 'mstore get two\ w' 'two words'
	offers 'mstore get it' "it's"
}

test_without_a_store()
{
	# The shell that completes runs already and does not see this variable.
	offers 'mstore --store /nonexistent get t'
	offers 'mstore --store /nonexistent ge' get
}
