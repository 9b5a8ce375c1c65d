#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: what is carried, in which direction, and what is not.
set -e
. ./nats_helpers.sh

# print_lines COMMAND PREFIX COUNT [VALUE]: lines for mstore batch
print_lines()
{
	local i

	for ((i = 0; i < $3; i++)); do
		echo "$1 $2$i${4+ $4}"
	done
}

test_out_carries_what_is_there_and_what_changes()
{
	begin
	mstore set cfg/a 1
	mstore set other 1
	start_ready_bridge --out b:cfg/
	await 30 bucket_has b cfg/a 1
	mstore set cfg/a 2
	mstore set cfg/b/c.d 3
	await 30 bucket_has b cfg/b/c.d 3
	mstore del cfg/a
	await 30 bucket_lacks b cfg/a
	expect_equal b cfg/
	bucket_lacks b other
	end_bridge
}

test_in_carries_what_is_there_and_what_changes()
{
	begin
	put b cfg/a 1
	put b other 1
	start_ready_bridge --in b:cfg/
	await 30 store_has cfg/a 1
	put b cfg/a 2
	put b cfg/b 3
	await 30 store_has cfg/b 3
	kv del b cfg/a
	await 30 store_lacks cfg/a
	expect_equal b cfg/
	store_lacks other
	expect_metrics applied_total=4 sent_total=0
	end_bridge
}

test_both_carries_both_ways_and_nothing_twice()
{
	local i

	begin
	start_ready_bridge --both b:
	for i in {1..10}; do
		mstore set "here/$i" "$i"
		put b "there/$i" "$i"
	done
	expect_equal b
	mstore del here/1
	kv del b there/1
	await 30 store_lacks there/1
	await 30 bucket_lacks b here/1
	expect_equal b
	# By revision: what the test stored there, and what the bridge has sent
	[[ $(kv rev b) == 22 ]]
	expect_metrics sent_total=11 applied_total=11 taken_total=11 echoes_total=11 \
		returns_total=11
	end_bridge
}

test_a_change_here_after_one_from_there_is_carried()
{
	begin
	start_ready_bridge --both b:
	put b k there
	await 30 store_has k there
	mstore set k here
	await 30 bucket_has b k here
	put b k there
	await 30 store_has k there
	mstore del k
	await 30 bucket_lacks b k
	mstore set k again
	await 30 bucket_has b k again
	expect_equal b
	expect_metrics conflicts_total=0
	[[ $(kv rev b) == 5 ]]
	end_bridge
}

# Without the condition on the revision the bucket's value would be overwritten: the bridge
# does not know of it yet.
test_what_the_bucket_got_unseen_is_not_overwritten()
{
	begin_by_proxy --both b:
	mstore set k old
	await 30 is_quiet
	tell_proxy hold
	put b k there
	mstore set k here
	await 30 proxy_said published
	bucket_has b k there
	tell_proxy release
	await 30 store_has k there
	expect_equal b
	bucket_has b k there
	log_has 'mstore-nats: k: conflict: revision 2 of KV bucket b wins over the value here: here'
	expect_metrics conflicts_total=1 sent_total=1 outvoted_total=1 applied_total=1
	[[ $(kv rev b) == 2 ]]
	end_bridge
}

test_a_deletion_that_came_unseen_is_not_undone()
{
	begin_by_proxy --both b:
	mstore set k old
	mstore set gone old
	await 30 is_quiet
	tell_proxy hold
	kv del b k
	put b gone there
	mstore set k here
	mstore del gone
	await 30 proxy_said published
	tell_proxy release
	await 30 store_lacks k
	await 30 store_has gone there
	expect_equal b
	log_has '*: k: conflict: revision 3 of KV bucket b wins over the value here: here'
	log_has '*: gone: conflict: revision 4 of KV bucket b wins over the deletion here'
	[[ $(kv rev b) == 4 ]]
	end_bridge
}

# The bridge reads a deletion that its watch has not told yet: it is newer than the value here.
test_a_deletion_that_is_read_first_is_not_undone()
{
	begin_by_proxy --both b:
	tell_proxy drop server "MSG \$KV."
	kill -STOP "$bridge"
	mstore set k here
	put b k there
	kv del b k
	kill -CONT "$bridge"
	await 30 store_lacks k
	tell_proxy release
	expect_equal b
	bucket_lacks b k
	[[ $(kv rev b) == 2 ]]
	end_bridge
}

# A change that comes from the bucket while the answer to another is under way
test_a_change_there_behind_one_from_here()
{
	begin_by_proxy --both b:
	tell_proxy hold
	mstore set k here
	await 30 bucket_has b k here
	put b k there
	put b k later
	tell_proxy release
	await 30 store_has k later
	expect_equal b
	expect_metrics conflicts_total=0 sent_total=1
	[[ $(kv rev b) == 3 ]]
	end_bridge
}

test_changes_that_wait_are_conflated()
{
	local i

	begin_by_proxy --out b:
	mstore set k 0
	await 30 is_quiet
	tell_proxy hold
	for i in {1..20}; do
		mstore set k "$i"
	done
	tell_proxy release
	await 30 bucket_has b k 20
	expect_equal b
	read_metrics
	# The first of them was on its way while the others were set.
	((metric[sent_total] <= 4 && metric[conflated_total] >= 17)) ||
		fail "sent ${metric[sent_total]}, conflated ${metric[conflated_total]}"
	[[ $(kv rev b) == "${metric[sent_total]}" ]]
	end_bridge
}

test_in_reverts_what_is_changed_here()
{
	begin
	put b k there
	start_ready_bridge --in b:
	await 30 store_has k there
	mstore set k here
	await 30 store_has k there
	mstore set new 1
	await 30 store_lacks new
	mstore del k
	await 30 store_has k there
	expect_equal b
	log_has '*: k: conflict: revision 1 of KV bucket b wins over the value here: here'
	expect_metrics reverted_total=3 sent_total=0
	[[ $(kv rev b) == 1 ]]
	end_bridge
}

test_out_overrules_what_is_changed_there()
{
	begin
	mstore set k here
	start_ready_bridge --out b:
	await 30 bucket_has b k here
	put b k there
	await 30 bucket_has b k here
	put b foreign 1
	await 30 bucket_lacks b foreign
	expect_equal b
	store_has k here
	log_has '*: k: conflict: the value here wins over revision 2 of KV bucket b: there'
	[[ $(kv rev b) == 5 ]]
	end_bridge
}

test_the_longest_prefix_decides()
{
	begin
	kv create other
	start_ready_bridge --out b:host/me/ --in b:host/ --both other:
	mstore set host/me/x 1
	put b host/you/x 2
	mstore set rest 3
	await 30 bucket_has b host/me/x 1
	await 30 store_has host/you/x 2
	await 30 bucket_has other rest 3
	await 30 is_quiet
	expect_balance
	bucket_lacks other host/me/x
	bucket_lacks b rest
	[[ $(kv rev b) == 2 && $(kv rev other) == 1 ]]
	end_bridge
}

test_the_end_of_an_owner_is_a_deletion_at_once()
{
	local holder

	begin
	start_ready_bridge --out b:
	mstore hold k up -- sleep 600 &
	holder=$!
	await 30 bucket_has b k up
	kill -KILL "$holder"
	await 30 bucket_lacks b k
	expect_equal b
	mstore set --ttl "$((3 * slowness))s" t 1
	await 30 bucket_has b t 1
	await 30 bucket_lacks b t
	expect_equal b
	expect_metrics sent_total=4
	end_bridge
}

# At once, and not as the next comparison would find it; but not what another has set by then.
test_the_end_of_an_owner_deletes_its_own_value()
{
	local holder

	begin_by_proxy --both b:
	mstore hold k up -- sleep 600 &
	holder=$!
	await 30 bucket_has b k up
	await 30 is_quiet
	kill -KILL "$holder"
	await 5 bucket_lacks b k
	mstore hold k mine -- sleep 600 &
	holder=$!
	await 30 bucket_has b k mine
	await 30 is_quiet
	tell_proxy hold
	kv own b k theirs
	kill -KILL "$holder"
	await 30 proxy_said published
	bucket_has b k theirs
	tell_proxy release
	await 30 store_has k theirs
	expect_equal b
	bucket_has b k theirs
	[[ $(kv rev b) == 4 ]]
	expect_metrics sessions_total=1 comparisons_total=1
	end_bridge
}

# set_clock SECONDS: by so many
set_clock()
{
	date -s "@$((EPOCHSECONDS + $1))" >/dev/null
}

# Keys that came and went are forgotten. One that comes back is carried all the same, whatever
# the clock says of it and of its marker.
test_dead_keys_are_forgotten()
{
	local i

	begin_by_proxy --both b:
	for i in 1 2 3; do
		print_lines set "$i/" 1500 1 | mstore batch >/dev/null
		print_lines del "$i/" 1500 | mstore batch >/dev/null
		await 60 is_quiet
	done
	mstore set new 1
	await 60 is_quiet
	expect_balance
	((metric[keys] <= 2000)) || fail "${metric[keys]} keys are remembered of 1"
	set_clock -3600
	mstore set 1/0 again
	await 30 bucket_has b 1/0 again
	put b 1/1 there
	await 30 store_has 1/1 there
	expect_metrics sessions_total=1
	kill -STOP "$bridge"
	tell_proxy cut
	mstore set 1/2 again
	kill -CONT "$bridge"
	await 30 bucket_has b 1/2 again
	set_clock 3600
	expect_equal b
	expect_metrics sessions_total=2 conflicts_total=0
	end_bridge
}

test_what_has_an_end_can_stay_here()
{
	local holder

	begin
	start_ready_bridge --both b: --owned skip --ttl skip
	mstore hold k up -- sleep 600 &
	holder=$!
	await 30 store_has k up
	mstore set --ttl 1h t 1
	mstore set plain 1
	await 30 bucket_has b plain 1
	await 30 is_quiet
	expect_balance
	expect_metrics sent_total=1 skipped_total=2
	kill -KILL "$holder"
	await 30 store_lacks k
	mstore del t
	await 30 is_quiet
	expect_equal b
	[[ $(kv rev b) == 1 ]]
	end_bridge
}

# Its owner's end here is no deletion of what the bucket has, since that is not the owner's.
test_what_stays_here_deletes_nothing_there()
{
	local holder

	begin
	put b held there
	put b limited there
	start_ready_bridge --both b: --owned skip --ttl skip
	await 30 store_has held there
	await 30 store_has limited there
	mstore hold held mine -- sleep 600 &
	holder=$!
	await 30 store_has held mine
	mstore set --ttl 1h limited mine
	await 30 has skipped_total 2
	kill -KILL "$holder"
	mstore del limited
	await 30 store_has held there
	await 30 store_has limited there
	expect_equal b
	[[ $(kv rev b) == 2 ]]
	expect_metrics sent_total=0 skipped_total=2 conflicts_total=0
	end_bridge
}

# The kernel lets nobody else overwrite it.
test_an_owner_keeps_its_key()
{
	begin
	start_ready_bridge --both b:
	mstore hold k mine -- sleep 600 &
	await 30 bucket_has b k mine
	put b k theirs
	await 30 bucket_has b k mine
	store_has k mine
	expect_equal b
	log_has '*: k: conflict: the value here wins over revision 2 of KV bucket b: theirs'
	[[ $(kv rev b) == 3 ]]
	end_bridge
}

test_a_value_that_is_too_large_is_refused()
{
	printf 'max_payload: 4096\n' >"$work/small.conf"
	server_options=(-c "$work/small.conf")
	begin
	start_ready_bridge --both b:
	mstore set k small
	head -c 5000 /dev/zero | tr '\0' x | mstore set --file - k
	await 30 log_has \
		'*: k: not carried: 5000 bytes and the headers are above max_payload of the server, 4096'
	head -c 4090 /dev/zero | tr '\0' x | mstore set --file - k
	await 30 log_has '*: k: not carried: 4090 bytes and the headers are above *'
	await 30 is_quiet
	expect_balance
	expect_metrics too_large_total=2
	bucket_has b k small
	mstore set k again
	await 30 bucket_has b k again
	expect_equal b
	end_bridge
}

test_a_value_that_the_store_refuses_is_counted()
{
	begin
	start_ready_bridge --both b:
	head -c 70000 /dev/zero | tr '\0' x >"$work/large"
	put b k "$(<"$work/large")"
	await 30 log_has '*: k: revision 1 of KV bucket b is not taken: Message too long'
	put b k small
	await 30 store_has k small
	expect_equal b
	expect_metrics unfit_total=1 applied_total=1
	end_bridge
}

test_any_bytes_are_carried()
{
	local key=$'a b\xff..\n\001*>' value=$'\xff\n v\t'

	begin
	start_ready_bridge --both b:
	printf %s "$value" | mstore set --file - "$key"
	mstore set empty ''
	await 30 is_quiet
	kv ls b | grep -aq '^1 a=20b=FF.=2E=0A=01=2A=3E '
	mstore del "$key"
	put b a=20b=FF.=2E=0A=01=2A=3E back
	await 30 store_has "$key" back
	bucket_has b empty ''
	# No key has these names.
	put b a=41 1
	await 30 log_has '*: KV bucket: b: a=41 is the name of no key'
	await 30 is_quiet
	expect_balance
	end_bridge
}

# The bridge was not there as both sides changed.
test_the_first_comparison()
{
	begin
	mstore set same 1
	mstore set differs here
	mstore set here 1
	mstore set old 1
	put b same 1
	put b differs there
	put b there 1
	put b old 1
	kv del b old
	put b gone 1
	kv del b gone
	mstore set gone newer
	start_ready_bridge --both b:
	expect_equal b
	store_has differs there
	store_has there 1
	bucket_has b here 1
	store_lacks old
	bucket_has b gone newer
	log_has '*: differs: conflict: revision 2 of KV bucket b wins over the value here: here'
	[[ $(kv rev b) == 9 ]]
	end_bridge
}

run_tests
