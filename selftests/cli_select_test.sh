#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: which keys: several prefixes, and --except.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

keys=(a ab abc abcd ac aca b ba bab c)

# Prefixes to leave out, and prefixes that are the operands.
cases=(';' ';a' ';a b' ';a ab' ';ab a' ';a a' ';ab ac abc' ';abc ac ab b a' 'a;' 'ab;' 'ab;a'
	'ab b;' 'ab abc;a b' 'a;ab' 'abcd;abc ab' 'c;' 'd;' 'b;d a')

store_keys()
{
	printf 'set %s x\n' "${keys[@]}" | mstore batch
}

# Does $1 start with one of the others?
starts_with()
{
	local prefix

	for prefix in "${@:2}"; do
		[[ $1 != "$prefix"* ]] || return 0
	done
	return 1
}

# Sets, for a line of cases: operands, options, and the keys selected and others.
take_case()
{
	local key without

	read -ra without <<<"${1%;*}"
	read -ra operands <<<"${1#*;}"
	options=("${without[@]/#/--except=}")
	selected=() others=()
	for key in "${keys[@]}"; do
		if starts_with "$key" "${operands[@]-}" && ! starts_with "$key" "${without[@]}"; then
			selected+=("$key")
		else
			others+=("$key")
		fi
	done
}

# The output, which may be in any order, is these lines.
expect_sorted()
{
	run sort "$out"
	if (($#)); then
		expect 0 "$(printf '%s\n' "$@")"$'\n'
	else
		expect 0 ''
	fi
}

test_ls_shows_each_selected_key_once()
{
	local case operands options selected others

	store_keys
	for case in "${cases[@]}"; do
		take_case "$case"
		run mstore ls "${options[@]}" "${operands[@]}"
		expect_sorted "${selected[@]}"
	done
}

test_dump_shows_each_selected_key_once()
{
	local case operands options selected others

	store_keys
	for case in "${cases[@]}"; do
		take_case "$case"
		mstore dump "${options[@]}" "${operands[@]}" |
			sed -n 's/.*"key":"\([a-z]*\)".*/\1/p' >"$work/dumped"
		run cat "$work/dumped"
		expect_sorted "${selected[@]}"
	done
}

test_flush_removes_what_is_selected_alone()
{
	local case operands options selected others

	for case in "${cases[@]}"; do
		store_keys
		take_case "$case"
		((${#operands[@]})) || options+=(--all)
		run mstore flush --json "${options[@]}" "${operands[@]}"
		expect_json "o['values'] == ${#selected[@]}"
		run mstore ls
		expect_sorted "${others[@]}"
	done
}

test_sub_shows_each_selected_change_once()
{
	local case operands options selected others

	for case in "${cases[@]}"; do
		take_case "$case"
		((${#selected[@]})) || continue
		start_ready --no-value --prefix -n ${#selected[@]} "${options[@]}" "${operands[@]}"
		store_keys
		end_sub
		expect_status 0
		expect_sorted "${selected[@]/%/ }"
	done
}

test_a_snapshot_has_each_selected_value_once()
{
	local case operands options selected others

	store_keys
	for case in "${cases[@]}"; do
		take_case "$case"
		((${#selected[@]})) || continue
		run_limited mstore sub --snapshot --prefix -n ${#selected[@]} "${options[@]}" \
			"${operands[@]}"
		expect_status 0
		expect_sorted "${selected[@]/%/ x}"
	done
	run_limited mstore sub --snapshot --prefix --timeout 0.5 --except b --except ac a ab b
	expect_status 0
	expect_sorted 'a x' 'ab x' 'abc x' 'abcd x'
}

test_what_is_left_out_is_not_counted_but_its_loss_is_told()
{
	start_ready --prefix --queue-len 2 --except b/ -n 1
	kill -STOP "$sub"
	mstore set a lost
	mstore set b/1 1
	mstore set b/2 2
	kill -CONT "$sub"
	await_line "$work/sub_err"
	mstore set a 3
	end_sub
	expect 0 $'a 3\n' 'mstore: \*: lost 1 event'
}

test_no_next_event_is_announced_that_is_left_out()
{
	start_ready --prefix --json -n 2 --except b
	printf 'set a 1\nset b 1\n' | mstore batch --atomic
	mstore set a 2
	end_sub
	expect_status 0
	expect_json "o['value'] == '1' and 'more' not in o" "o['value'] == '2'"
}

# Nothing goes wrong where keys are read alone.
test_an_empty_prefix_is_every_key_for_readers()
{
	mstore set a 1
	mstore set b 1
	run mstore ls ''
	expect_sorted a b
	run mstore ls b ''
	expect_sorted a b
	run mstore dump ''
	expect_lines 3
	expect_line '\{"whole":true,"keys":2\}'
	run_limited mstore sub --snapshot --prefix -n 2 ''
	expect_sorted 'a 1' 'b 1'
	start mstore monitor -n 1 ''
	await_subscribers k 1
	mstore set k 1
	end_sub
	expect_status 0
	expect_line '.* k +1'
}

test_monitor_of_several_prefixes()
{
	start mstore monitor -n 3 --except net/lo net/ net/eth disk
	await_subscribers net/eth0 1
	mstore set net/lo 1
	mstore set net/eth0 2
	mstore set other 3
	mstore set disk 4
	mstore set net/lo2 5
	mstore set net/wlan0 6
	end_sub
	expect_status 0
	expect_lines 3
	expect_line '.* net/eth0 +2'
	expect_line '.* disk +4'
	expect_line '.* net/wlan0 +6'
}

test_exceptions_have_escapes_wherever_the_option_stands()
{
	mstore set -e 'a\n1' x
	mstore set -e 'a\x001' x
	mstore set a1 x
	run mstore ls --except 'a\n' -e --except 'a\x00'
	expect 0 $'a1\n'
}

test_ls_forms()
{
	mstore set a 1
	mstore set ab 2
	mstore set b 3
	run mstore ls --json --except ab a b
	expect_status 0
	expect_json "o['key'] == 'a'" "o['key'] == 'b'"
	run mstore ls --bucket "$(mstore bucket b)" --except a
	expect 0 $'b\n'
	run mstore ls --bucket "$(mstore bucket b)" --except b
	run grep -cx b "$out"
	expect 1 $'0\n'
	run mstore ls --bucket 100000 a b
	expect 3 '' 'mstore: ls: --bucket 100000: must be 0 to +([0-9])'
}

test_flush_with_an_exception_leaves_what_others_own()
{
	start mstore hold a/owned x -- sleep 60
	await_key a/owned
	mstore set a/1 x
	mstore set a/2 x
	run mstore flush --json --except a/2 a/
	expect_status 1
	expect_json "o['values'] == 1 and o['left'] == 1"
	run mstore flush --except a/ --all
	expect 0 ''
	run mstore flush --json --except a/2 --steal a/
	expect_json "o['values'] == 1"
	run mstore ls
	expect 0 $'a/2\n'
}

test_flush_with_an_exception_is_a_deletion_of_each()
{
	mstore set a 1
	mstore set b 1
	start_ready --prefix --format '%e %k %w' -n 2
	mstore flush --except b --all
	mstore flush b
	end_sub
	expect 0 $'deleted a \ndeleted b flushed\n'
}

test_flush_with_an_exception_of_one_bucket()
{
	local bucket

	mstore set a 1
	mstore set b 1
	bucket=$(mstore bucket a)
	run mstore flush --bucket $(((bucket + 1) % 1000)) --except b a
	expect 0 ''
	run mstore get a
	expect 0 $'1\n'
	run mstore flush --bucket "$bucket" --except b --all
	expect 0 ''
	run mstore ls
	expect 0 $'b\n'
	run mstore flush --bucket 100000 --except b --all
	expect 3 '' 'mstore: flush: --bucket 100000: must be 0 to +([0-9])'
}

test_what_is_refused_changes_nothing()
{
	local command

	mstore set a 1
	for command in 'flush --all' ls dump 'sub --prefix' monitor; do
		# shellcheck disable=SC2086
		run_limited mstore $command --except ''
		expect 2 '' "mstore: ${command%% *}: --except: PREFIX is empty: must be 1 to 255 bytes*"
	done
	run mstore flush a ''
	expect 2 '' 'mstore: flush: PREFIX is empty; use --all to remove all keys*'
	run mstore flush '' a
	expect 2 '' 'mstore: flush: PREFIX is empty; use --all to remove all keys*'
	run mstore flush --except b
	expect 2 '' 'mstore: flush: give a PREFIX, or --all*'
	run mstore flush --except b --all a
	expect 2 '' 'mstore: flush: too many operands*'
	run mstore flush --subscriptions --except b a
	expect 2 '' 'mstore: flush: --subscriptions excludes --except*'
	run mstore ls --except "$(printf %0256d 0)"
	expect 2 '' 'mstore: ls: key of 256 bytes: must be 1 to 255 bytes*'
	run_limited mstore sub --except b a
	expect 2 '' 'mstore: sub: --except needs --prefix*'
	run mstore get a
	expect 0 $'1\n'
}

start_json
run_tests
