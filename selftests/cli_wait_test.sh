#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: wait, sub --exec.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

start_wait()
{
	start metastore wait "$@"
	await_subscribers k 1
}

test_wait_for_what_is_there()
{
	metastore set k 'a value'
	run_limited metastore wait k
	expect 0 $'a value\n'
	run_limited metastore wait k 'a value'
	expect 0 $'a value\n'
	run_limited metastore wait --raw k
	expect 0 'a value'
	run_limited metastore wait -0 k
	printf 'a value\0' | cmp - "$out"
	run_limited metastore wait --json k
	expect_json "o['value'] == 'a value' and o['version'] == '$(metastore get --version k)'"
	run_limited metastore wait --gone other
	expect 0 ''
}

test_wait_until_it_is_there()
{
	local how

	for how in set pub; do
		start_wait k
		metastore "$how" k 1
		end_sub
		expect 0 $'1\n'
		metastore del k
	done
}

test_wait_for_a_value()
{
	metastore set k 1
	start_wait k 3
	metastore set k 2
	metastore set k 33
	metastore del k
	pause
	kill -0 "$sub"
	metastore pub k 3
	end_sub
	expect 0 $'3\n'
	start_wait -e k '\x00\n'
	metastore set -e k '\x00\n'
	end_sub
	printf '\0\n\n' | cmp - "$out"
	start_wait k ''
	metastore set k ''
	end_sub
	expect 0 $'\n'
}

test_a_moment_is_enough()
{
	metastore set k 1
	start_wait k 2
	kill -STOP "$sub"
	metastore set k 2
	metastore del k
	kill -CONT "$sub"
	end_sub
	expect 0 $'2\n'
}

test_wait_until_it_is_gone()
{
	metastore set k 1
	start_wait --gone k
	metastore set k 2
	pause
	kill -0 "$sub"
	metastore del k
	end_sub
	expect 0 ''
	metastore set --ttl 300 k 1
	run_limited metastore wait --gone k
	expect 0 ''
	metastore set k 1
	start_wait --gone k
	metastore flush --all
	end_sub
	expect 0 ''
}

test_wait_for_a_newer_version()
{
	metastore set k 1
	start_wait --newer "$(metastore get --version k)" k
	metastore set k 2
	end_sub
	expect 0 $'2\n'
	run_limited metastore wait --newer "$(($(metastore get --version k) - 1))" k
	expect 0 $'2\n'
	start_wait --newer "$(metastore get --version k)" k 2
	metastore set k 3
	metastore set k 2
	end_sub
	expect 0 $'2\n'
	run metastore wait --gone --newer 1 k
	expect 2 '' 'metastore: wait: what is gone has no version*'
}

test_wait_with_a_timeout()
{
	run_limited metastore wait --timeout 0 k
	expect 124 ''
	run_limited metastore wait --timeout 0.3 k
	expect 124 ''
	metastore set k 1
	run_limited metastore wait --timeout 0 k
	expect 0 $'1\n'
	run_limited metastore wait --timeout 0.2 k 2
	expect 124 ''
	run_limited metastore wait --timeout 0.2 --gone k
	expect 124 ''
}

test_timeout_holds_while_the_key_is_busy()
{
	(while :; do metastore set k 1; done) &
	run_limited metastore wait --timeout 1 k 2
	expect 124 ''
}

test_wait_after_a_loss()
{
	head -c 60000 /dev/zero | tr '\0' x >"$work/value"
	start_wait k last
	kill -STOP "$sub"
	metastore set k last
	for _ in {1..24}; do
		metastore set --file "$work/value" k
	done
	metastore set k last
	kill -CONT "$sub"
	end_sub
	expect 0 $'last\n'
}

test_wait_outlives_a_flush_of_subscriptions()
{
	start_wait k
	metastore flush --subscriptions --all
	await_subscribers k 1
	metastore set k 1
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
	metastore set k 1
	await_line "$work/sub" 'k set : 1'
	metastore pub a $'2\n3'
	await_line "$work/sub" '3'
	metastore set --ttl 1 k ''
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
	start env COPY="$work/copy" metastore sub -e -n 1 --exec 'cat >"$COPY"
		metastore get -e --version "$METASTORE_KEY"; echo $METASTORE_VERSION' 'k\x00\n'
	until [[ $(metastore subs -e 'k\x00\n') == 1 ]]; do
		pause
	done
	metastore set -e --file "$work/value" 'k\x00\n'
	end_sub
	expect_status 0
	cmp "$work/value" "$work/copy"
	expect_lines 2
	[[ $(head -n 1 "$out") == "$(tail -n 1 "$out")" ]]
}

test_one_command_at_a_time_with_the_newest_state()
{
	local i

	start_sub --exec "echo begin; metastore wait go; $tell" -n 3 a k
	metastore set k 1
	await_line "$work/sub" begin
	metastore set a old
	for ((i = 2; i < 10; i++)); do
		metastore set k "$i"
	done
	metastore set a new
	metastore set go ...
	end_sub
	expect 0 $'begin\n...\nk set : 1\nbegin\n...\na set : new\nbegin\n...\nk set : 9\n'
}

test_commands_that_fail()
{
	# shellcheck disable=SC2016
	start_sub --exec 'read -r v; exit $v' -n 2 k
	metastore set k 3
	await_line "$work/sub_err"
	metastore set k 0
	end_sub
	expect 0 '' 'metastore: k: the command ended with status 3'
}

test_a_command_for_what_was_lost()
{
	head -c 60000 /dev/zero | tr '\0' x >"$work/value"
	start_sub --exec "$tell" a k
	kill -STOP "$sub"
	metastore set a 1
	metastore set a 2
	for _ in {1..24}; do
		metastore set --file "$work/value" k
	done
	metastore set k last
	kill -CONT "$sub"
	await_line "$work/sub" 'a set : 2'
	await_line "$work/sub" 'k set : last'
	kill "$sub"
	end_sub
	expect_status 0
	expect_err 'metastore: a: lost 2 events
metastore: k: lost +([0-9]) events'
}

test_the_time_is_over()
{
	run_limited metastore sub --exec "$tell" --timeout 0.2 k
	expect 124 ''
	start_sub --exec "$tell; sleep 2" --timeout 2 k
	metastore set k 1
	end_sub
	expect 0 $'k set : 1\n'
}

test_interrupt_ends_it()
{
	start_sub --exec "$tell" k
	metastore set k 1
	await_line "$work/sub" 'k set : 1'
	kill -INT "$sub"
	end_sub
	expect 0 $'k set : 1\n'
	await_subscribers k 0
}

test_exec_is_a_form_of_output()
{
	run metastore sub --exec true --json k
	expect 2 '' 'metastore: sub: the options ask for different forms*'
	run metastore sub --exec true --format %k k
	expect 2 '' 'metastore: sub: the options ask for different forms*'
}

start_json
run_tests
