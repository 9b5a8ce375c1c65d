#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool's completion for bash.
set -e
. ./cli_helpers.sh
. ../userspace/completions/mstore

# The words offered for a line with the cursor at its end, sorted, one a line.
complete_line()
{
	local COMP_LINE=$1 COMP_POINT=${#1}

	_mstore
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

offers()
{
	run complete_line "$1"
	shift
	expect 0 "$(printf '%s\n' "$@")"$'\n'
}

test_commands()
{
	offers 'mstore s' set stat stats sub subs
	offers 'mstore m' monitor
	offers 'mstore b' batch bucket
	offers 'mstore x' ''
	offers 'mstore help s' set stat stats sub subs
	offers 'mstore help set s' ''
}

test_every_command_of_the_tool_is_known()
{
	run complete_line 'mstore '
	mstore --help | sed -n 's/^  \([a-z]*\) .*/\1/p' | sort | cmp - "$out"
}

test_every_option_of_the_tool_is_known()
{
	local command

	for command in $(mstore --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
		run complete_line "mstore $command --"
		mstore "$command" --help | sed -n 's/^  .*\(--[a-z-]*\).*/\1/p' | sort |
			cmp - "$out"
	done
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
	mstore del tempest
	offers 'mstore get te' temp
}

test_only_where_a_key_belongs()
{
	mstore set temp 1
	offers 'mstore set te' temp
	offers 'mstore set temp te' ''
	offers 'mstore info te' ''
	offers 'mstore sub --format te' ''
	offers 'mstore get -- te' temp
	offers 'mstore ls x te' temp
	offers 'mstore flush --except te' temp
	offers 'mstore sub --signal SIGHU' SIGHUP
	offers 'mstore doctor te' ''
	offers 'mstore doctor --dump ./cli_he' ./cli_helpers.sh
}

test_commands_to_run()
{
	mstore set timeout/key 1
	offers 'mstore lock timeou' timeout/key
	offers 'mstore lock k -- timeou' timeout
	offers 'mstore hold k v -- timeou' timeout
	offers 'mstore private -- timeou' timeout
	offers 'mstore private timeou' timeout
	offers 'mstore private --buckets 3 timeou' timeout
	offers 'mstore private --buckets timeou' ''
	offers 'mstore private timeout ./cli_h' ./cli_helpers.sh ./cli_hold_test.sh
	offers 'mstore private timeout timeou' ''
	offers 'mstore private --max-k' --max-keys
	offers 'mstore lock k -- timeout ./cli_h' ./cli_helpers.sh ./cli_hold_test.sh
	offers 'mstore set k -- timeou' ''
}

test_keys_that_bash_would_split()
{
	mstore set net:eth0 1
	mstore set net:eth1 1
	mstore set 'two words' 1
	mstore set "it's" 1
	offers 'mstore get net:e' eth0 eth1
	offers 'mstore get tw' 'two\ words'
	offers 'mstore get two\ w' 'two\ words'
	offers 'mstore get it' "it\\'s"
}

test_without_a_store()
{
	export METASTORE_STORE=/nonexistent
	offers 'mstore get t' ''
	offers 'mstore ge' get
}

run_tests
