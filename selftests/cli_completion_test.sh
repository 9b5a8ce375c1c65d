#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool's completion for bash.
set -e
. ./cli_helpers.sh
. ../userspace/completions/metastore

# What is offered for a line with the cursor at its end, sorted, one a line.
complete_line()
{
	local COMP_LINE=$1 COMP_POINT=${#1}

	_metastore
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
	offers 'metastore s' set stat sub subs
	offers 'metastore m' monitor
	offers 'metastore b' batch bucket
	offers 'metastore x' ''
}

test_every_command_of_the_tool_is_known()
{
	run complete_line 'metastore '
	metastore --help | sed -n 's/^  \([a-z]*\) .*/\1/p' | sort | cmp - "$out"
}

test_every_option_of_the_tool_is_known()
{
	local command

	for command in $(metastore --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
		run complete_line "metastore $command --"
		metastore "$command" --help | sed -n 's/^  .*\(--[a-z-]*\).*/\1/p' | sort |
			cmp - "$out"
	done
}

test_keys_that_live()
{
	metastore set temp 1
	metastore set tempest 1
	metastore set door 1
	offers 'metastore get te' temp tempest
	offers 'metastore get door t' temp tempest
	offers 'metastore sub -n 1 --timeout 2 d' door
	offers 'metastore --store /dev/metastore get d' door
	metastore del tempest
	offers 'metastore get te' temp
}

test_only_where_a_key_belongs()
{
	metastore set temp 1
	offers 'metastore set te' temp
	offers 'metastore set temp te' ''
	offers 'metastore info te' ''
	offers 'metastore sub --format te' ''
	offers 'metastore get -- te' temp
}

test_commands_to_run()
{
	metastore set timeout/key 1
	offers 'metastore lock timeou' timeout/key
	offers 'metastore lock k -- timeou' timeout
	offers 'metastore hold k v -- timeou' timeout
	offers 'metastore private -- timeou' timeout
	offers 'metastore lock k -- timeout ./cli_h' ./cli_helpers.sh ./cli_hold_test.sh
	offers 'metastore set k -- timeou' ''
}

test_keys_that_bash_would_split()
{
	metastore set net:eth0 1
	metastore set net:eth1 1
	metastore set 'two words' 1
	metastore set "it's" 1
	offers 'metastore get net:e' eth0 eth1
	offers 'metastore get tw' 'two\ words'
	offers 'metastore get two\ w' 'two\ words'
	offers 'metastore get it' "it\\'s"
}

test_without_a_store()
{
	export METASTORE_STORE=/nonexistent
	offers 'metastore get t' ''
	offers 'metastore ge' get
}

run_tests
