#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: its command line, and a store that cannot be opened.
set -e
. ./cli_helpers.sh

commands='get set del pub update batch sub wait hold lock ls stat subs bucket flush info dump
	load private monitor audit'

test_help()
{
	local command

	run metastore get -h
	expect_status 0
	run metastore help
	expect_status 0
	expect_line 'Usage: metastore .*'
	run metastore --help
	expect_status 0
	for command in $commands; do
		expect_line "  $command .*"
		run metastore "$command" --help
		expect_status 0
		expect_line "Usage: metastore $command .*"
		expect_line '.*--store PATH .*'
		run metastore --help
	done
}

test_help_needs_no_store()
{
	METASTORE_STORE=/nonexistent run metastore get --help
	expect_status 0
}

test_version()
{
	run metastore --version
	expect_status 0
	expect_err ''
	expect_line 'metastore [0-9.]+'
}

test_no_command_or_a_wrong_one()
{
	run metastore
	expect 2 '' 'Usage:*'
	run metastore frobnicate
	expect 2 '' 'metastore: frobnicate: no such command*'
	run metastore --frobnicate get k
	expect 2 '' 'metastore: --frobnicate: unknown option*'
	run metastore --store
	expect 2 '' 'metastore: --store: needs a value*'
}

test_operands_that_are_missing()
{
	local command

	for command in get set del pub update sub wait hold lock stat subs bucket private; do
		run metastore "$command"
		expect 2 '' "metastore: $command: too few operands*"
	done
	run metastore set k
	expect 2 '' 'metastore: set: too few operands*'
	run metastore pub k
	expect 2 '' 'metastore: pub: too few operands*'
	run metastore hold k v
	expect 2 '' 'metastore: hold: too few operands*'
	run metastore hold k v --
	expect 2 '' 'metastore: hold: too few operands*'
	run metastore lock k true true
	expect 2 '' "metastore: lock: '--' must follow the operands*"
	run metastore update k true true
	expect 2 '' "metastore: update: '--' must follow the operands*"
	run metastore ls
	expect 0 ''
}

test_operands_that_are_too_many()
{
	local line

	for line in 'set k v w' 'pub k v w' 'set --file /dev/null k v' 'ls a b' 'subs a b' \
		'bucket a b' 'flush a b' 'info a' 'batch a' 'wait a b c' 'wait --gone a b' \
		'del --if-version 1 a b' 'dump a b' 'load a b' 'monitor a b' 'audit a'; do
		# shellcheck disable=SC2086
		run metastore $line
		expect 2 '' "metastore: ${line%% *}: too many operands*"
	done </dev/null
	run metastore ls
	expect 0 ''
}

test_unknown_options()
{
	local command

	for command in $commands; do
		run metastore "$command" --frobnicate k v
		expect 2 '' "metastore: $command: unknown option --frobnicate*"
		run metastore "$command" -Z k v
		expect 2 '' "metastore: $command: unknown option -Z*"
	done
	run metastore set -0 k v
	expect 2 '' 'metastore: set: unknown option -0*'
	run metastore sub --timeout
	expect 2 '' 'metastore: sub: option --timeout needs a value*'
	run metastore ls
	expect 0 ''
}

test_numbers_are_read_strictly()
{
	local number

	for number in '' x 1x ' 1' +1 -1 0 1.5 0x10 99999999999999999999; do
		run_limited metastore sub -n "$number" k
		expect 2 '' 'metastore: sub: -n takes a number*'
	done
	for number in '' x 1x ' 1' -1 . 1.2.3 1e3 inf; do
		run_limited metastore sub --timeout "$number" k
		expect 2 '' 'metastore: sub: --timeout takes seconds*'
	done
	for number in '' x -1 1.5 18446744073709551616; do
		run metastore set --if-version "$number" k v
		expect 2 '' 'metastore: set: --if-version takes a number*'
	done
	for number in '' x -1 0 1.5 1099511627777; do
		run metastore set --ttl "$number" k v
		expect 2 '' 'metastore: set: --ttl takes a number*'
		run metastore private --max-keys "${number/#109*/-}" -- true
		expect 2 '' 'metastore: private: --max-keys takes a number*'
	done
	for number in '' x -1 1.5 4294967295; do
		run metastore pub --wait="$number" k v
		expect 2 '' 'metastore: pub: --wait takes a number*'
		run_limited metastore sub --queue-len "${number/#42*/0}" k
		expect 2 '' 'metastore: sub: --queue-len takes a number*'
	done
	for number in '' x -1 1.5 99999999999; do
		run metastore ls --bucket "$number"
		expect 2 '' 'metastore: ls: --bucket takes a number*'
	done
}

test_without_the_module_it_says_what_to_do()
{
	local line

	for line in 'get k' 'set k v' 'del k' 'pub k v' 'sub k' ls 'stat k' 'subs k' 'bucket k' \
		'flush --all' info 'update k -- cat' batch 'wait k' 'hold k v -- true' \
		'lock k -- true' dump load 'private true' monitor audit \
		'sub --prefix' 'pub --wait k v'; do
		# shellcheck disable=SC2086
		METASTORE_STORE=/nonexistent run metastore $line
		expect 3 '' 'metastore: /nonexistent: no such store*modprobe metastore*insmod*'
	done
}

test_store_is_chosen_by_option_and_environment()
{
	metastore set k 1
	METASTORE_STORE=/nonexistent run metastore --store /dev/metastore get k
	expect 0 $'1\n'
	METASTORE_STORE=/nonexistent run metastore get --store /dev/metastore k
	expect 0 $'1\n'
	METASTORE_STORE=/dev/metastore run metastore --store=/nonexistent get k
	expect 3 '' 'metastore: /nonexistent: no such store*'
	METASTORE_STORE='' run metastore get k
	expect 0 $'1\n'
}

test_what_is_no_store()
{
	run metastore --store /dev/null get k
	expect 3 '' 'metastore: *: not a metastore*'
	run metastore --store /dev/null info
	expect 3 '' 'metastore: /dev/null: not a metastore*'
	run metastore --store / info
	expect_status 3
}

test_without_permission_it_says_who_has_it()
{
	metastore set k 1
	run setpriv --reuid=65534 --regid=65534 --clear-groups metastore get k
	expect 3 '' 'metastore: /dev/metastore: permission denied: owner root, group root, mode 0660*'
}

test_one_descriptor_that_is_closed_is_not_taken_for_the_store()
{
	metastore set k 1
	run sh -c 'metastore get k 2>&-'
	expect 0 $'1\n'
	run sh -c 'metastore get nope 2>&-'
	expect 1 ''
	run sh -c 'metastore set --file - k <&-'
	expect 3 '' 'metastore: standard input: Bad file descriptor'
	run metastore get k
	expect 0 $'1\n'
}

run_tests
