#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: what is carried, in which direction, and what is not.
set -e
. ./nats_helpers.sh

# Each test has a server of its own, and a bucket.
begin()
{
	rm -rf "$work/js"
	start_server
	kv create b
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
	kv put b cfg/a 1
	kv put b other 1
	start_ready_bridge --in b:cfg/
	await 30 store_has cfg/a 1
	kv put b cfg/a 2
	kv put b cfg/b 3
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
		kv put b "there/$i" "$i"
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
	kv put b k there
	await 30 store_has k there
	mstore set k here
	await 30 bucket_has b k here
	kv put b k there
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

run_tests
