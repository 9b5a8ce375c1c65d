#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: sub --follow, which goes on after a loss and after a flush.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

test_the_present_values_come_first()
{
	mstore set k 1
	start_ready --follow -n 4 k absent
	await_line "$work/sub" 'k 1'
	mstore set k 2
	mstore del k
	mstore pub absent 3
	end_sub
	expect 0 $'k 1\nk 2\nk\nabsent 3\n'
}

test_a_prefix_with_exceptions()
{
	mstore set net/eth0 1
	mstore set net/lo 2
	start_ready --follow -n 2 --prefix --except net/lo net/
	await_line "$work/sub" 'net/eth0 1'
	mstore set net/lo 3
	mstore set net/eth1 4
	end_sub
	expect 0 $'net/eth0 1\nnet/eth1 4\n'
}

# Do the lines of sub give what is in the file dump? "KEY VALUE" stores, "KEY" deletes.
gives_dump()
{
	awk 'NF == 1 { delete copy[$1]; next } { copy[$1] = $2 }
		END { for (key in copy) print key, copy[key] }' "$1" | sort | cmp -s - "$work/dump"
}

# It is stopped until it has lost events: also of keys that are deleted then.
test_after_a_loss_it_has_what_the_store_has()
{
	local i

	mstore set a/gone 1
	mstore set a/stays 1
	start_ready --follow --prefix --queue-len 8 a/
	await_line "$work/sub" 'a/stays 1'
	await_line "$work/sub" 'a/gone 1'
	kill -STOP "$sub"
	{
		echo 'del a/gone'
		for i in {1..500}; do
			echo "set a/$((i % 20)) $i"
		done
		echo 'del a/7'
		echo 'set a/last yes'
	} | mstore batch
	kill -CONT "$sub"
	mstore ls a/ | xargs mstore get | sort >"$work/dump"
	for ((i = 0; i < 300 * slowness; i++)); do
		! gives_dump "$work/sub" || break
		pause
	done
	kill -TERM "$sub"
	end_sub
	expect_status 0
	expect_err ''
	expect_line a/gone
	gives_dump "$out" || fail 'another state than that of the store'
}

test_a_flush_of_subscriptions_does_not_end_it()
{
	mstore set k 1
	start_ready --follow -n 4 k
	await_line "$work/sub" 'k 1'
	mstore flush --subscriptions --all
	await_line "$work/sub" k
	await_subscribers k 1
	mstore set k 2
	await_line "$work/sub" 'k 2'
	mstore del k
	end_sub
	expect 0 $'k 1\nk\nk 2\nk\n'
}

test_json_says_when_it_is_in_step()
{
	mstore set k 1
	run_limited mstore sub --follow --json --timeout 1 k
	expect_json "o['event'] == 'snapshot' and o['key'] == 'k' and o['value'] == '1'" \
		"o == { 'event': 'in_step' }"
	run_limited mstore sub --follow -0 --timeout 1 k
	tr '\0' '|' <"$out" >"$work/fields"
	read -r fields <"$work/fields" || :
	[[ $fields == 'snapshot|k|1|in_step|||' ]] || fail "fields: $fields"
}

# Deletes k while the follower of one event is stopped, and lets it go on to its end.
delete_unheard()
{
	kill -STOP "$sub"
	mstore del k
	mstore set other 1
	kill -CONT "$sub"
	end_sub
	expect_status 0
}

# Of that one there is no event: neither a version nor a cause.
test_json_of_a_deletion_found_by_comparison()
{
	mstore set k 1
	start_ready --follow --json --queue-len 1 -n 3 --prefix ''
	until grep -q in_step "$work/sub"; do
		pause
	done
	delete_unheard
	expect_json "o['event'] == 'snapshot' and o['key'] == 'k'" "o['event'] == 'in_step'" \
		"o['event'] == 'set' and o['key'] == 'other'" \
		"o == { 'event': 'deleted', 'key': 'k' }"
}

test_a_format_of_a_deletion_found_by_comparison()
{
	mstore set k 1
	start_ready --follow --format '%e %k %r[%v%w]%%' --queue-len 1 -n 3 --prefix ''
	until grep -q 'snapshot k' "$work/sub"; do
		pause
	done
	delete_unheard
	expect_line 'snapshot k [0-9]+\[1\]%'
	expect_line 'set other [0-9]+\[1\]%'
	expect_line 'deleted k \[\]%'
}

test_only_the_newest()
{
	start_ready --follow --latest -n 1 k
	kill -STOP "$sub"
	mstore set k 1
	mstore set k 2
	mstore set k 3
	kill -CONT "$sub"
	end_sub
	expect 0 $'k 3\n'
}

test_no_value()
{
	mstore set k 1
	run_limited mstore sub --follow --no-value -n 1 k
	expect 0 $'k \n'
}

test_the_end_of_the_time()
{
	run_limited mstore sub --follow --timeout 10ms k
	expect 0 ''
	run_limited mstore sub --follow --timeout 10ms -n 1 k
	expect 124 ''
}

# However short the time is, what is there is shown: many keys take several reads.
test_no_time()
{
	local i

	for i in {1..3000}; do
		echo "set net/$i $i"
	done | mstore batch
	run_limited mstore sub --follow --timeout 0 --prefix net/
	expect_status 0
	expect_err ''
	expect_lines 3000
	run_limited mstore sub --follow --timeout 0 -n 2 --prefix net/
	expect_status 0
	expect_lines 2
	run_limited mstore sub --follow --timeout 0 --json --prefix net/1 net/2999
	expect_status 0
	expect_lines 1113
	[[ $(tail -n 1 "$out") == *in_step* ]] || fail 'not in step at the end'
	run_limited mstore sub --follow --timeout 0 absent
	expect 0 ''
}

test_what_excludes_it()
{
	local other

	for other in '--exec true' --strict '--newer 1' '--changes set' --published; do
		# shellcheck disable=SC2086 # an option and its argument
		run mstore sub --follow $other k
		expect 2 '' 'mstore: sub: --follow excludes --*'
	done
}

start_json
run_tests
