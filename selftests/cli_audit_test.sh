#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: audit.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

# Starts mstore sub so in the background, as one of several.
start_one()
{
	mstore sub "$@" >/dev/null 2>&1 &
	ones+=($!)
	await_subscribers "${*: -1}" 1
}

test_nobody_has_it_open()
{
	run mstore audit
	expect_status 0
	expect_lines 1
	expect_line ' *FILE +SUBS +POLICY .*'
	run mstore audit --json
	expect 0 ''
}

test_each_open_file_with_its_process()
{
	local ones=()

	start_one --lossless k
	start_one a b c
	run mstore audit
	expect_status 0
	expect_lines 3
	expect_line " *[0-9]+ +1 lossless +0 +0 +0 +0 +0 +0 +${ones[0]} mstore"
	expect_line " *[0-9]+ +3 drop-oldest +0 +0 +0 +0 +0 +0 +${ones[1]} mstore"
}

test_the_worst_comes_first()
{
	local ones=() i

	start_one --queue-len 2 k1
	start_one --queue-len 1 k2
	start_one k3
	kill -STOP "${ones[@]}"
	for i in k1 k2 k3; do
		mstore set "$i" 1
		mstore set "$i" 2
		mstore set "$i" 3
	done
	run mstore audit --json
	expect_status 0
	expect_json "o['processes'][0]['pid'] == ${ones[1]} and o['lost'] == 2 and o['pending'] == 1" \
		"o['processes'][0]['pid'] == ${ones[0]} and o['lost'] == 1 and o['high_len'] == 2" \
		"o['processes'][0]['pid'] == ${ones[2]} and o['lost'] == 0 and o['events'] == 3"
	kill -CONT "${ones[@]}"
}

test_the_books_of_each_subscription()
{
	local ones=() line

	start_one --latest --prefix $'odd \\\n\377/'
	kill -STOP "${ones[@]}"
	mstore set $'odd \\\n\377/1' 1
	mstore set $'odd \\\n\377/1' 2
	run mstore audit --json
	expect_json "o['policy'] == 'drop-oldest' and o['matched'] == 2 and len(o['subscriptions']) == 1 and \
		base64.b64decode(o['subscriptions'][0]['prefix_base64']) == b'odd \\\\\\n\\xff/' and \
		o['subscriptions'][0]['latest'] and o['subscriptions'][0]['conflated'] == 1 and \
		o['subscriptions'][0]['pending'] == 1 and 'unbalanced' not in o and \
		o['subscriptions'][0]['changes'] == ['set', 'published', 'deleted']"
	kill -CONT "${ones[@]}"
}

test_one_open_file_of_several_processes()
{
	# The child has the file of its parent.
	# shellcheck disable=SC2016
	mstore hold k 1 -- bash -c 'sleep 600 & mstore set child $!; wait' &
	await_key child
	run mstore audit --json
	kill "$(mstore get child)"
	expect_status 0
	expect_json "sorted(p['command'] for p in o['processes']) == ['bash', 'sleep']"
}

test_private_stores_only_on_demand()
{
	mstore private -- mstore hold k 1 -- sleep 600 &
	for _ in {1..300}; do
		run mstore audit --all
		grep -q sleep "$out" && break
		pause
	done
	expect_status 0
	expect_line ' *STORE +FILE .*'
	expect_line ' *[0-9]+ +[0-9]+ +0 drop-oldest .* [0-9]+ sleep'
	run mstore audit
	expect_lines 1
	kill "$!"
}

test_in_a_private_store_one_sees_that()
{
	mstore hold k 1 -- sleep 600 &
	await_key k
	# shellcheck disable=SC2016
	run mstore private -- sh -c 'mstore hold k 1 -- sh -c "mstore audit --json"'
	expect_status 0
	run grep -c '"command":"sleep"' "$out"
	expect 1 $'0\n'
	kill "$!"
}

test_an_open_file_that_is_only_mapped()
{
	local store

	for store in /dev/metastore private; do
		start_mapper "$store"
		run mstore audit
		end_mapper
		expect_status 3
		expect_lines 1
		expect_err "mstore: audit: process $mapper (python3) has mapped a store and has no descriptor: its open file may be missing here"
	done
	run mstore audit
	expect_status 0
}

test_without_the_right_it_says_so()
{
	chmod 666 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups mstore audit
	chmod 660 /dev/metastore
	expect_status 3
	expect_err 'mstore: audit: cannot read +([0-9]) processes; use sudo'
}

test_what_is_no_store()
{
	run mstore --store /dev/null audit
	expect 3 '' 'mstore: *: not a metastore*'
}

# Events that a follower discards when it begins anew count as such.
test_discarded_events()
{
	local ones=() i zeros

	start_one --follow --queue-len 200 k
	kill -STOP "${ones[@]}"
	printf -v zeros '%01000d' 0
	printf "set k %s$zeros\\n" {1..300} | mstore batch
	kill -CONT "${ones[@]}"
	for ((i = 0; i < 300 * slowness; i++)); do
		run mstore audit --json
		! expect_json "o['discarded'] > 0 and o['pending'] == 0 and 'unbalanced' not in o and \
			o['subscriptions'][0]['discarded'] == o['discarded'] and \
			o['subscriptions'][0]['key'] == 'k'" >/dev/null || return 0
		pause
	done
	fail "no event was discarded"
}

start_json
run_tests
