#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: wait, sub --exec.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

start_wait()
{
	start mstore wait "$@"
	await_subscribers k 1
}

test_wait_for_what_is_there()
{
	mstore set k 'a value'
	run_limited mstore wait k
	expect 0 $'a value\n'
	run_limited mstore wait k 'a value'
	expect 0 $'a value\n'
	run_limited mstore wait --raw k
	expect 0 'a value'
	run_limited mstore wait -0 k
	printf 'a value\0' | cmp - "$out"
	run_limited mstore wait --json k
	expect_json "o['value'] == 'a value' and o['version'] == '$(mstore get --version k)'"
	run_limited mstore wait --gone other
	expect 0 ''
}

test_wait_until_it_is_there()
{
	local how

	for how in set pub; do
		start_wait k
		mstore "$how" k 1
		end_sub
		expect 0 $'1\n'
		mstore del k
	done
}

test_wait_for_a_value()
{
	mstore set k 1
	start_wait k 3
	mstore set k 2
	mstore set k 33
	mstore del k
	pause
	kill -0 "$sub"
	mstore pub k 3
	end_sub
	expect 0 $'3\n'
	start_wait -e k '\x00\n'
	mstore set -e k '\x00\n'
	end_sub
	printf '\0\n\n' | cmp - "$out"
	start_wait k ''
	mstore set k ''
	end_sub
	expect 0 $'\n'
}

test_a_moment_is_enough()
{
	mstore set k 1
	start_wait k 2
	kill -STOP "$sub"
	mstore set k 2
	mstore del k
	kill -CONT "$sub"
	end_sub
	expect 0 $'2\n'
}

test_wait_until_it_is_gone()
{
	mstore set k 1
	start_wait --gone k
	mstore set k 2
	pause
	kill -0 "$sub"
	mstore del k
	end_sub
	expect 0 ''
	mstore set --ttl 300ms k 1
	run_limited mstore wait --gone k
	expect 0 ''
	mstore set k 1
	start_wait --gone k
	mstore flush --all
	end_sub
	expect 0 ''
}

test_wait_for_a_newer_version()
{
	mstore set k 1
	start_wait --newer "$(mstore get --version k)" k
	mstore set k 2
	end_sub
	expect 0 $'2\n'
	run_limited mstore wait --newer "$(($(mstore get --version k) - 1))" k
	expect 0 $'2\n'
	start_wait --newer "$(mstore get --version k)" k 2
	mstore set k 3
	mstore set k 2
	end_sub
	expect 0 $'2\n'
	run mstore wait --gone --newer 1 k
	expect 2 '' 'mstore: wait: --gone and --newer exclude each other*'
}

test_wait_with_a_timeout()
{
	run_limited mstore wait --timeout 0 k
	expect 124 ''
	run_limited mstore wait --timeout 0.3 k
	expect 124 ''
	mstore set k 1
	run_limited mstore wait --timeout 0 k
	expect 0 $'1\n'
	run_limited mstore wait --timeout 0.2 k 2
	expect 124 ''
	run_limited mstore wait --timeout 0.2 --gone k
	expect 124 ''
}

test_timeout_holds_while_the_key_is_busy()
{
	(while :; do mstore set k 1; done) &
	run_limited mstore wait --timeout 1 k 2
	expect 124 ''
}

test_wait_after_a_loss()
{
	head -c 60000 /dev/zero | tr '\0' x >"$work/value"
	start_wait k last
	kill -STOP "$sub"
	mstore set k last
	for _ in {1..24}; do
		mstore set --file "$work/value" k
	done
	mstore set k last
	kill -CONT "$sub"
	end_sub
	expect 0 $'last\n'
}

test_wait_outlives_a_flush_of_subscriptions()
{
	start_wait k
	mstore flush --subscriptions --all
	await_subscribers k 1
	mstore set k 1
	end_sub
	expect 0 $'1\n'
}

test_interrupted_wait()
{
	local signal

	for signal in INT TERM; do
		start_wait k
		kill -"$signal" "$sub"
		end_sub
		expect 1 ''
	done
}

# A command for sub --exec that prints all that it is told.
# shellcheck disable=SC2016
tell='echo "$METASTORE_KEY $METASTORE_EVENT $METASTORE_WHY: $(cat)"'

test_a_command_for_each_change()
{
	start_sub --exec "$tell" a k
	mstore set k 1
	await_line "$work/sub" 'k set : 1'
	mstore pub a $'2\n3'
	await_line "$work/sub" '3'
	mstore set --ttl 1ms k ''
	await_line "$work/sub" 'k deleted expired: '
	kill "$sub"
	end_sub
	expect_status 0
	expect_err ''
	expect_line 'a published : 2'
}

test_a_command_gets_key_version_and_value_as_they_are()
{
	head -c 65536 /dev/urandom >"$work/value"
	# shellcheck disable=SC2016
	start env COPY="$work/copy" mstore sub -e -n 1 --exec 'cat >"$COPY"
		mstore get -e --version "$METASTORE_KEY"; echo $METASTORE_VERSION' 'k\x00\n'
	until [[ $(mstore subs -e 'k\x00\n') == 1 ]]; do
		pause
	done
	mstore set -e --file "$work/value" 'k\x00\n'
	end_sub
	expect_status 0
	cmp "$work/value" "$work/copy"
	expect_lines 2
	[[ $(head -n 1 "$out") == "$(tail -n 1 "$out")" ]]
}

test_one_command_at_a_time_with_the_newest_state()
{
	local i

	start_sub --exec "echo begin; mstore wait go; $tell" -n 3 a k
	mstore set k 1
	await_line "$work/sub" begin
	mstore set a old
	for ((i = 2; i < 10; i++)); do
		mstore set k "$i"
	done
	mstore set a new
	mstore set go ...
	end_sub
	expect 0 $'begin\n...\nk set : 1\nbegin\n...\na set : new\nbegin\n...\nk set : 9\n'
}

test_commands_that_fail()
{
	# shellcheck disable=SC2016
	start_sub --exec 'read -r v; exit $v' -n 2 k
	mstore set k 3
	await_line "$work/sub_err"
	mstore set k 0
	end_sub
	expect 0 '' 'mstore: k: the --exec command ended with status 3'
}

test_a_command_for_what_was_lost()
{
	head -c 60000 /dev/zero | tr '\0' x >"$work/value"
	start_sub --exec "$tell" a k
	kill -STOP "$sub"
	mstore set a 1
	mstore set a 2
	for _ in {1..24}; do
		mstore set --file "$work/value" k
	done
	mstore set k last
	kill -CONT "$sub"
	await_line "$work/sub" 'a set : 2'
	await_line "$work/sub" 'k set : last'
	kill "$sub"
	end_sub
	expect_status 0
	expect_err 'mstore: a: lost 2 events
mstore: k: lost +([0-9]) events'
}

test_the_time_is_over()
{
	run_limited mstore sub --exec "$tell" --timeout 0.2 k
	expect 0 ''
	start_sub --exec "$tell; sleep 2" --timeout 2 k
	mstore set k 1
	end_sub
	expect 0 $'k set : 1\n'
}

test_interrupt_ends_it()
{
	start_sub --exec "$tell" k
	mstore set k 1
	await_line "$work/sub" 'k set : 1'
	kill -INT "$sub"
	end_sub
	expect 0 $'k set : 1\n'
	await_subscribers k 0
}

test_exec_is_a_form_of_output()
{
	run mstore sub --exec true --json k
	expect 2 '' 'mstore: sub: --json excludes --exec: *'
	run mstore sub --exec true --format %k k
	expect 2 '' 'mstore: sub: --format excludes --exec: *'
	run mstore sub --exec true -0 k
	expect 2 '' 'mstore: sub: -0 excludes --exec: *'
}

start_json
run_tests
