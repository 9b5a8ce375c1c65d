#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: sub.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

test_all_changes_are_shown()
{
	start_sub -n 5 k
	mstore set k 1
	mstore pub k 'two words'
	mstore set k ''
	mstore del k
	mstore pub k 3
	end_sub
	expect 0 $'k 1\nk two words\nk \nk\nk 3\n'
}

test_published_shows_nothing_else()
{
	start_sub -n 2 --published k
	mstore set k 1
	mstore pub k 2
	mstore del k
	mstore pub k 3
	end_sub
	expect 0 $'k 2\nk 3\n'
}

test_several_keys_say_which()
{
	start_sub -n 3 a b 'c d'
	mstore set b 1
	mstore set other 2
	mstore pub 'c d' 3
	mstore set a 4
	end_sub
	expect 0 $'b 1\nc\\x20d 3\na 4\n'
}

test_a_key_given_twice_is_one()
{
	start_sub -n 2 k k
	mstore set k 1
	mstore set k 2
	end_sub
	expect 0 $'k 1\nk 2\n'
}

test_what_was_before_is_not_shown()
{
	mstore set k old
	start_sub -n 1 k
	mstore set k new
	end_sub
	expect 0 $'k new\n'
}

test_lines_are_escaped()
{
	start_sub -n 1 k
	mstore set k $'two\nlines \\'
	end_sub
	expect 0 $'k two\\nlines \\\\\n'
}

test_null_gives_three_fields()
{
	start_sub -0 -n 4 $'k\n'
	mstore set $'k\n' $'1\n'
	mstore pub $'k\n' 2
	mstore set $'k\n' ''
	mstore del $'k\n'
	end_sub
	expect_status 0
	printf 'set\0k\n\0001\n\0published\0k\n\0002\0set\0k\n\0\0deleted\0k\n\0\0' |
		cmp - "$out"
}

test_json()
{
	local version

	start_sub --json -n 4 k
	version=$(mstore set --json k $'\377' | sed 's/.*"version":"\([0-9]*\)".*/\1/')
	mstore pub k 2
	mstore del k
	mstore set k 3
	end_sub
	expect_status 0
	expect_json "o['event'] == 'set' and o['value_base64'] == '/w==' and o['version'] == '$version'" \
		"o['event'] == 'published' and o['value'] == '2' and o['uid'] == 0 and o['pid'] > 0" \
		"o['event'] == 'deleted' and set(o) == { 'event', 'key', 'version' }" \
		"o['key'] == 'k' and o['value'] == '3' and len(o['time_ns']) == 19"
}

test_json_tells_a_flush()
{
	mstore set k 1
	start_sub --json -n 1 k
	mstore flush --all
	end_sub
	expect_json "o['event'] == 'deleted' and o['flush'] is True"
}

test_format()
{
	start_sub -n 2 --format '%e %k=%v %s %u %U\t\x41%%' 'k k'
	mstore set 'k k' $'a b\n'
	mstore del 'k k'
	end_sub
	expect 0 'set k\x20k=a b\n 4 0 root'$'\tA%\ndeleted k\\x20k=   \tA%\n'
}

test_format_of_version_time_and_process()
{
	start_sub -n 1 --format '%r %T %p %t' k
	mstore set k 1
	end_sub
	expect_status 0
	mstore stat k | awk '/^version/ { v = $2 } /^time_ns/ { n = $2 } /^time:/ { t = $2 }
		/^writer/ { p = $3 + 0 } END { print v, n, p, t }' | cmp - "$out"
}

test_format_with_null()
{
	start_sub -0 -n 2 --format '%k=%v' k
	mstore set k $'a\n'
	mstore set k b
	end_sub
	expect_status 0
	printf 'k=a\n\0k=b\0' | cmp - "$out"
}

test_wrong_formats_are_refused()
{
	local format

	for format in %z % 'x\q' '%k\x1'; do
		run_limited mstore sub --format "$format" k
		expect 2 '' 'mstore: sub: unknown directive or escape*'
	done
	run mstore sub --json --format %k k
	expect 2 '' 'mstore: sub: --json excludes --format: *'
}

test_timeout_without_any_change()
{
	run_limited mstore sub --timeout 0.2 k
	expect 0 ''
	run_limited mstore sub --timeout 0 k
	expect 0 ''
	run_limited mstore sub -n 1 --timeout .1 k
	expect 124 ''
}

test_timeout_lasts_as_long_as_it_says()
{
	local before after

	before=$(date +%s%N)
	run_limited mstore sub --timeout 1.5 k
	after=$(date +%s%N)
	expect_status 0
	((after - before >= 1500000000 && after - before < 15000000000))
}

test_timeout_after_some_changes()
{
	start_sub --timeout 2 k
	mstore set k 1
	end_sub
	expect 0 $'k 1\n'
	start_sub -n 2 --timeout 2 k
	mstore set k 1
	end_sub
	expect 124 $'k 1\n'
}

test_timeout_holds_while_a_key_is_busy()
{
	local busy

	(while :; do mstore set k 1; done) &
	busy=$!
	run_limited mstore sub --timeout 1 k
	kill "$busy"
	expect_status 0
	[[ -s $out ]]
}

test_each_line_comes_at_once()
{
	start_sub k
	mstore set k 1
	await_line "$work/sub"
	kill "$sub"
	end_sub
	expect_out $'k 1\n'
}

test_interrupt_is_a_clean_end()
{
	local signal

	for signal in INT TERM; do
		start_sub k
		mstore set k 1
		await_line "$work/sub"
		kill -"$signal" "$sub"
		end_sub
		expect 0 $'k 1\n'
		await_subscribers k 0
	done
}

test_interrupt_before_the_number_is_reached()
{
	start_sub -n 2 k
	mstore set k 1
	await_line "$work/sub"
	kill -INT "$sub"
	end_sub
	expect 1 $'k 1\n'
}

test_interrupt_while_the_reader_does_not_read()
{
	local value reader

	mkfifo "$work/pipe"
	# shellcheck disable=SC2034 # it is only kept open
	exec {reader}<>"$work/pipe"
	value=$(printf %60000s '')
	env --default-signal=INT mstore sub k >"$work/pipe" 2>"$work/sub_err" &
	sub=$!
	await_subscribers k 1
	mstore set k "$value"
	mstore set k "$value"
	sleep 1
	kill -INT "$sub"
	: >"$work/sub"
	end_sub
	expect 0 ''
}

test_ignored_interrupt_stays_ignored()
{
	env --ignore-signal=INT mstore sub -n 1 k >"$work/sub" 2>"$work/sub_err" &
	sub=$!
	await_subscribers k 1
	kill -INT "$sub"
	mstore set k 1
	end_sub
	expect 0 $'k 1\n'
}

test_it_ends_with_its_reader()
{
	mkfifo "$work/output"
	mstore sub k >"$work/output" 2>"$work/sub_err" &
	sub=$!
	head -n 1 <"$work/output" >"$work/sub" &
	await_subscribers k 1
	mstore set k 1
	# Without another change.
	end_sub
	expect 0 $'k 1\n'
	await_subscribers k 0
}

test_output_errors_end_it()
{
	env mstore sub k >/dev/full 2>"$work/sub_err" &
	sub=$!
	await_subscribers k 1
	mstore set k 1
	: >"$work/sub"
	end_sub
	expect 3 '' 'mstore: standard output: No space left on device'
}

# Makes the stopped subscriber lose some of 24 changes: its queue holds 1 MiB.
overflow()
{
	head -c 60000 /dev/zero | tr '\0' x >"$work/value"
	kill -STOP "$sub"
	for _ in {1..24}; do
		mstore pub --file "$work/value" k
	done
	kill -CONT "$sub"
}

test_loss_is_reported_and_counted()
{
	local lost

	start_sub --format '%k %s' k
	overflow
	mstore pub k last
	await_line "$work/sub" 'k 4'
	kill "$sub"
	end_sub
	expect_status 0
	expect_err 'mstore: k: lost +([0-9]) events'
	lost=$(sed 's/.*lost \(.*\) events/\1/' "$err")
	expect_lines $((25 - lost))
}

test_loss_ends_a_strict_subscriber()
{
	start_sub --strict --format %s a k
	overflow
	end_sub
	expect_status 1
	expect_err 'mstore: k: lost +([0-9]) events'
}

test_loss_in_json()
{
	start_sub --strict --json a k
	overflow
	end_sub
	expect_status 1
	run tail -n 1 "$out"
	expect_json "o['event'] == 'lost' and o['key'] == 'k' and o['count'] > 0"
}

test_flush_of_subscriptions_ends_it()
{
	start_sub k
	run mstore flush --subscriptions --json --all
	expect_json "o['subscriptions'] == 1"
	end_sub
	expect 3 '' 'mstore: sub: flush --subscriptions removed 1 subscription'
}

test_flush_of_values_does_not_end_it()
{
	mstore set k 1
	start_sub -n 2 k
	mstore flush --all
	mstore set k 2
	end_sub
	expect 0 $'k\nk 2\n'
}

start_json
run_tests
