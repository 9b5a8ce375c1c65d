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

	run mstore get -h
	expect_status 0
	run mstore help
	expect_status 0
	expect_line 'Usage: mstore .*'
	run mstore --help
	expect_status 0
	for command in $commands; do
		expect_line "  $command .*"
		run mstore "$command" --help
		expect_status 0
		expect_line "Usage: mstore $command .*"
		expect_line '.*--store PATH .*'
		run mstore --help
	done
}

test_the_manual_has_every_option_and_no_other()
{
	local command

	for command in $commands; do
		mstore --complete "$command"
	done | sed 's/=$//' | sort -u >"$work/tool"
	# The headings of the section are the lines behind .TP.
	sed '1,/^\.SH OPTIONS/d; /^\.SH/,$d' ../userspace/man/mstore.1 |
		sed -n '/^\.TP/ { n; s/\\-/-/g; p }' | grep -oE -- '--?[a-zA-Z0-9][a-z0-9-]*' |
		sort -u >"$work/manual"
	run diff "$work/tool" "$work/manual"
	expect 0 ''
}

test_help_needs_no_store()
{
	METASTORE_STORE=/nonexistent run mstore get --help
	expect_status 0
}

test_version()
{
	run mstore --version
	expect_status 0
	expect_err ''
	expect_line 'mstore [0-9.]+'
}

test_no_command_or_a_wrong_one()
{
	run mstore
	expect 2 '' 'Usage:*'
	run mstore frobnicate
	expect 2 '' 'mstore: frobnicate: no such command*'
	run mstore --frobnicate get k
	expect 2 '' 'mstore: --frobnicate: unknown option*'
	run mstore --store
	expect 2 '' 'mstore: --store: needs a value*'
}

test_operands_that_are_missing()
{
	local command

	for command in get set del pub update sub wait hold lock stat subs bucket private; do
		run mstore "$command"
		expect 2 '' "mstore: $command: too few operands*"
	done
	run mstore set k
	expect 2 '' 'mstore: set: too few operands*'
	run mstore pub k
	expect 2 '' 'mstore: pub: too few operands*'
	run mstore hold k v
	expect 2 '' 'mstore: hold: too few operands*'
	run mstore hold k v --
	expect 2 '' 'mstore: hold: too few operands*'
	run mstore lock k true true
	expect 2 '' "mstore: lock: '--' must follow the operands*"
	run mstore update k true true
	expect 2 '' "mstore: update: '--' must follow the operands*"
	run mstore ls
	expect 0 ''
}

test_operands_that_are_too_many()
{
	local line

	for line in 'set k v w' 'pub k v w' 'set --file /dev/null k v' 'ls a b' 'subs a b' \
		'bucket a b' 'flush a b' 'info a' 'batch a' 'wait a b c' 'wait --gone a b' \
		'del --if-version 1 a b' 'dump a b' 'load a b' 'monitor a b' 'audit a'; do
		# shellcheck disable=SC2086
		run mstore $line
		expect 2 '' "mstore: ${line%% *}: too many operands*"
	done </dev/null
	run mstore ls
	expect 0 ''
}

test_unknown_options()
{
	local command

	for command in $commands; do
		run mstore "$command" --frobnicate k v
		expect 2 '' "mstore: $command: unknown option --frobnicate*"
		run mstore "$command" -Z k v
		expect 2 '' "mstore: $command: unknown option -Z*"
	done
	run mstore set -0 k v
	expect 2 '' 'mstore: set: unknown option -0*'
	run mstore sub --timeout
	expect 2 '' 'mstore: sub: option --timeout needs a value*'
	run mstore ls
	expect 0 ''
}

test_numbers_are_read_strictly()
{
	local number

	for number in '' x 1x ' 1' +1 -1 0 1.5 0x10 99999999999999999999; do
		run_limited mstore sub -n "$number" k
		expect 2 '' 'mstore: sub: -n *: must be a number from 1 to *'
	done
	for number in '' x 1x ' 1' -1 . 1.2.3 1e3 inf; do
		run_limited mstore sub --timeout "$number" k
		expect 2 '' 'mstore: sub: --timeout *: must be 0 to * seconds*'
	done
	for number in '' x -1 1.5 18446744073709551616; do
		run mstore set --if-version "$number" k v
		expect 2 '' 'mstore: set: --if-version *: must be a number from 0 to *'
	done
	for number in '' x -1 0 1.5 1099511627777; do
		run mstore set --ttl "$number" k v
		expect 2 '' 'mstore: set: --ttl *: must be a number from 1 to 1099511627776*'
		run mstore private --max-keys "${number/#109*/-}" -- true
		expect 2 '' 'mstore: private: --max-keys *: must be a number from 1 to *'
	done
	for number in '' x -1 1.5 4294967295; do
		run mstore pub --wait="$number" k v
		expect 2 '' 'mstore: pub: --wait *: must be a number from 0 to *'
		run_limited mstore sub --queue-len "${number/#42*/0}" k
		expect 2 '' 'mstore: sub: --queue-len *: must be a number from 1 to *'
	done
	for number in '' x -1 1.5 99999999999; do
		run mstore ls --bucket "$number"
		expect 2 '' 'mstore: ls: --bucket *: must be a number from 0 to *'
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
		METASTORE_STORE=/nonexistent run mstore $line
		expect 3 '' 'mstore: /nonexistent: no such store*modprobe metastore*insmod*'
	done
}

test_store_is_chosen_by_option_and_environment()
{
	mstore set k 1
	METASTORE_STORE=/nonexistent run mstore --store /dev/metastore get k
	expect 0 $'1\n'
	METASTORE_STORE=/nonexistent run mstore get --store /dev/metastore k
	expect 0 $'1\n'
	METASTORE_STORE=/dev/metastore run mstore --store=/nonexistent get k
	expect 3 '' 'mstore: /nonexistent: no such store*'
	METASTORE_STORE='' run mstore get k
	expect 0 $'1\n'
}

test_what_is_no_store()
{
	run mstore --store /dev/null get k
	expect 3 '' 'mstore: *: not a metastore*'
	run mstore --store /dev/null info
	expect 3 '' 'mstore: /dev/null: not a metastore*'
	run mstore --store / info
	expect_status 3
}

test_without_permission_it_says_who_has_it()
{
	mstore set k 1
	run setpriv --reuid=65534 --regid=65534 --clear-groups mstore get k
	expect 3 '' 'mstore: /dev/metastore: permission denied: owner root, group root, mode 0660*'
}

test_one_descriptor_that_is_closed_is_not_taken_for_the_store()
{
	mstore set k 1
	run sh -c 'mstore get k 2>&-'
	expect 0 $'1\n'
	run sh -c 'mstore get nope 2>&-'
	expect 1 ''
	run sh -c 'mstore set --file - k <&-'
	expect 3 '' 'mstore: standard input: Bad file descriptor'
	run mstore get k
	expect 0 $'1\n'
}

run_tests
