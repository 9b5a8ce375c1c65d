#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: servers that go, networks that are cut, losses.
set -e
. ./nats_helpers.sh

many=3000
((${FULL:-0} == 0)) || many=100000

test_the_server_is_gone_for_a_while()
{
	start_server
	kv create f
	# On disk, since this server comes back
	start_ready_bridge --both b: --create
	mstore set a 1
	mstore set b 1
	await 30 is_quiet
	stop_server
	await 30 log_has 'mstore-nats: connection ended: *'
	mstore set a 2
	mstore set a 3
	mstore del b
	mstore set c 1
	start_server_again
	await 60 bucket_has b a 3
	await 60 is_quiet
	expect_equal b
	bucket_lacks b b
	bucket_has b c 1
	# Two were sent before, three after that.
	[[ $(kv rev b) == 5 ]]
	expect_metrics sessions_total=2 conflicts_total=0
	end_bridge
}

# Both sides change while neither hears of the other.
test_the_network_is_cut()
{
	begin_by_proxy --both b:
	mstore set both 0
	mstore set here 0
	mstore set there 0
	mstore set gone 0
	await 30 is_quiet
	kill -STOP "$proxy"
	mstore set both here
	mstore set here 1
	mstore set new 1
	put b both there
	put b there 1
	put b other 1
	kv del b gone
	# Nothing is answered any more, until the connection is given up.
	await 60 log_has 'mstore-nats: connection ended: *'
	kill -CONT "$proxy"
	tell_proxy cut
	await 90 has sessions_total 2
	await 60 is_quiet
	expect_equal b
	store_has both there
	store_has there 1
	bucket_has b here 1
	store_lacks gone
	expect_metrics conflicts_total=1
	log_has '*: both: conflict: *the value here: here'
	end_bridge
}

# The answer is lost: the change got there, and is not sent again.
test_the_answer_is_lost()
{
	begin_by_proxy --both b:
	mstore set k 0
	await 30 is_quiet
	tell_proxy hold
	mstore set k 1
	await 30 bucket_has b k 1
	mstore set k 2
	tell_proxy cut
	tell_proxy release
	await 60 bucket_has b k 2
	await 60 is_quiet
	expect_equal b
	expect_metrics conflicts_total=0 sent_total=3 taken_total=3
	[[ $(kv rev b) == 3 ]]
	end_bridge
}

# The change did not get there, and is sent again.
test_the_change_is_lost()
{
	begin_by_proxy --both b:
	mstore set k 0
	await 30 is_quiet
	kill -STOP "$proxy"
	mstore set k 1
	sleep 0.3
	# Changes that it has not read go with it.
	kill -KILL "$proxy"
	wait "$proxy" 2>/dev/null || :
	bucket_has b k 0
	start_proxy
	await 60 bucket_has b k 1
	await 60 is_quiet
	expect_equal b
	expect_metrics conflicts_total=0
	[[ $(kv rev b) == 2 ]]
	end_bridge
}

# Two changes get there after their connections were given up: the newer value here is not lost
# to them.
test_changes_arrive_late()
{
	begin_by_proxy --both b:
	mstore set k 0
	await 30 is_quiet
	tell_proxy keep "PUB \$KV."
	mstore set k 1
	await 30 proxy_said kept 1
	mstore set k 2
	tell_proxy cut
	await 60 proxy_said kept 2
	mstore set k 3
	tell_proxy cut
	await 60 proxy_said kept 3
	bucket_has b k 0
	tell_proxy release
	await 60 bucket_has b k 3
	await 60 is_quiet
	expect_equal b
	store_has k 3
	# The bucket took the first of them, and what was sent last.
	[[ $(kv rev b) == 3 ]]
	expect_metrics conflicts_total=0
	end_bridge
}

# A key is purged, so that the bucket has not even a marker, while there is no connection and
# while there is one.
test_a_key_is_purged()
{
	begin_by_proxy --both b:b/ --in c:c/ --create
	mstore set b/k 1
	put c c/k 1
	await 30 is_quiet
	await 30 store_has c/k 1
	kill -STOP "$proxy"
	kv purge b b/k
	kv purge c c/k
	kill -CONT "$proxy"
	tell_proxy cut
	await 60 bucket_has b b/k 1
	await 60 store_lacks c/k
	await 60 is_quiet
	expect_metrics sessions_total=2
	kv purge b b/k
	mstore set b/k 2
	await 60 bucket_has b b/k 2
	await 60 is_quiet
	expect_equal b b/
	# The bridge asked for the present value, and no session ended.
	expect_metrics sessions_total=2 conflicts_total=0
	end_bridge
}

# Whether an owner elsewhere has set what is there cannot be read: that is no reason to take it
# for nobody's, and holds up no other key.
test_a_read_is_not_answered()
{
	begin_by_proxy --both b:
	mstore hold k mine -- sleep 600 &
	await 30 bucket_has b k mine
	await 30 is_quiet
	tell_proxy drop client STREAM.MSG.GET
	kv own b k theirs
	await 30 proxy_said dropped
	mstore set other 1
	await 30 bucket_has b other 1
	log_lacks '*: connection ended: *'
	await 30 log_has '*: connection ended: KV bucket b: a key cannot be read: *'
	tell_proxy release
	await 60 log_has '*: k: revision 2 of KV bucket b is not taken: an open file owns the key here'
	await 60 is_quiet
	expect_balance
	bucket_has b k theirs
	store_has k mine
	[[ $(kv rev b) == 3 ]]
	end_bridge
}

# Keys that are to be read hold up no change of another bucket.
test_many_reads_are_not_answered()
{
	local i

	begin_by_proxy --in b:in/ --both c:c/ --create
	tell_proxy drop client STREAM.MSG.GET
	for ((i = 0; i < 600; i++)); do
		echo "set in/$i 1"
	done | mstore batch >/dev/null
	await 30 proxy_said dropped
	mstore set c/k 1
	await 30 bucket_has c c/k 1
	log_lacks '*: connection ended: *'
	tell_proxy release
	await 60 store_lacks in/599
	expect_equal b in/
	end_bridge
}

# The server answers pings, but JetStream does not answer: another connection is tried.
test_a_bucket_that_does_not_answer()
{
	begin
	start_proxy
	tell_proxy drop client STREAM.INFO
	start_bridge --both b:
	await 30 proxy_said dropped
	tell_proxy release
	await 15 is_carrying
	log_has '*: cannot connect: KV bucket b: *'
	mstore set k 1
	await 30 bucket_has b k 1
	expect_equal b
	end_bridge
}

# A bucket that is deleted and made again; and one of which the consumer is silent.
test_watches_that_tell_nothing()
{
	local first first_log

	begin
	kv create c
	start_ready_bridge --both b:b/
	mstore set b/k 1
	await 30 bucket_has b b/k 1
	await 30 is_quiet
	first=$bridge first_log=$log
	kv remove b
	kv create b
	put c c/k 1
	start_proxy
	tell_proxy drop server "MSG \$KV."
	start_bridge --both c:c/
	await 60 log_has '*: connection ended: KV bucket c: its watch does not tell all that there is'
	store_lacks c/k
	tell_proxy release
	await 60 store_has c/k 1
	await 60 is_quiet
	expect_equal c c/
	end_bridge
	bridge=$first log=$first_log
	await 60 bucket_has b b/k 1
	log_has '*: connection ended: KV bucket b: *'
	log_has '*: b was made anew, or lost revisions: *'
	end_bridge
}

# Values of both sides while the bucket tells all that it has
test_cut_in_the_middle_of_the_snapshot()
{
	begin
	kv load b k/ "$many"
	cut_after=$((many * 40))
	start_proxy
	start_bridge --both b:
	await 60 proxy_said cut
	mstore set k/5 here 2>/dev/null
	mstore set new 1
	await 120 is_quiet
	expect_equal b
	grep -qE 'mstore-nats: (connection ended|cannot connect): ' "$log"
	[[ $(mstore ls | wc -l) == $((many + 1)) ]]
	# k/5 had come already, or not: then the bucket's value stays.
	[[ $(kv rev b) == $((many + 1)) || $(kv rev b) == $((many + 2)) ]]
	end_bridge
}

# The bucket is made anew, or loses keys without a marker: what is here fills it.
test_a_bucket_that_lost_all()
{
	begin
	start_ready_bridge --both b:
	mstore set k 1
	await 30 is_quiet
	stop_server
	begin
	await 60 bucket_has b k 1
	await 60 is_quiet
	expect_equal b
	end_bridge
}

# Its revisions say nothing of those that the bridge knows, even if they have the same numbers.
test_a_bucket_that_was_made_anew()
{
	begin_by_proxy --both b:
	mstore set k 1
	await 30 is_quiet
	kill -STOP "$proxy"
	kv remove b
	kv create b
	put b k theirs
	mstore set k 2
	sleep 0.3
	# A change that it has not read goes with it.
	kill -KILL "$proxy"
	wait "$proxy" 2>/dev/null || :
	start_proxy
	await 60 store_has k theirs
	await 60 is_quiet
	expect_equal b
	[[ $(kv rev b) == 1 ]]
	log_has '*: k: conflict: revision 1 of KV bucket b wins over the value here: 2'
	end_bridge
}

# Carries k, copies what the server keeps to $work/copy, carries more and stops the server.
begin_with_copy()
{
	start_server
	# On disk, as a copy is
	start_ready_bridge --both b: --create
	mstore set k 1
	await 30 is_quiet
	stop_server
	rm -rf "$work/copy"
	cp -R "$work/js" "$work/copy"
	start_server_again
	mstore set k 2
	mstore set other 1
	await 60 is_quiet
	stop_server
}

# Servers that are choosing a leader say that the bucket has less than it had: nothing is taken
# from them, and no change of another is seen in what the bucket has later.
test_servers_that_have_less_for_a_while()
{
	begin_with_copy
	mv "$work/js" "$work/after"
	cp -R "$work/copy" "$work/js"
	mstore set k 3
	start_server_again
	await 60 log_has '*: cannot connect: KV bucket b: its servers say that it has lost revisions'
	bucket_has b k 1
	store_has k 3
	stop_server
	rm -rf "$work/js"
	mv "$work/after" "$work/js"
	start_server_again
	await 60 bucket_has b k 3
	await 60 is_quiet
	expect_equal b
	[[ $(kv rev b) == 4 ]]
	expect_metrics conflicts_total=0
	end_bridge
}

# If they say so for a minute it is so: all is compared as at a start.
test_servers_that_have_less()
{
	((${FULL:-0})) || skip "takes more than a minute: FULL=1"
	begin_with_copy
	rm -rf "$work/js"
	mv "$work/copy" "$work/js"
	start_server_again
	await 120 bucket_has b other 1
	await 60 is_quiet
	expect_equal b
	store_has k 1
	log_has '*: k: conflict: revision 1 of KV bucket b wins over the value here: 2'
	log_has '*: b was made anew, or lost revisions: *'
	end_bridge
}

# The follower loses events: it is stopped while more keys change than its queue holds.
test_losses_here_are_mended()
{
	local i

	begin
	start_ready_bridge --both b:
	for ((i = 0; i < 3000; i++)); do
		echo "set a$i $i"
	done | mstore batch >/dev/null
	await 60 is_quiet
	kill -STOP "$bridge"
	for ((i = 0; i < 3000; i += 2)); do
		echo "del a$i"
	done | mstore batch >/dev/null
	for ((i = 1; i < 3000; i += 2)); do
		echo "set a$i x$i"
	done | mstore batch >/dev/null
	kill -CONT "$bridge"
	await 60 has events_lost_total 1
	await 60 is_quiet
	expect_equal b
	end_bridge
}

# A server refuses what it has no room for; once there is room it is sent.
test_a_server_without_room()
{
	begin
	start_ready_bridge --both b:
	mstore set k 1
	await 30 is_quiet
	"$BUILD/selftests/nats_kv" "$url" limit b 300
	head -c 1000 /dev/zero | tr '\0' x | mstore set --file - large
	await 30 log_has '*: large: not carried: KV bucket b: *'
	expect_metrics failed_total=1
	await 30 is_quiet
	expect_balance
	"$BUILD/selftests/nats_kv" "$url" limit b 1000000
	# All is compared again a minute later, or when the connection is a new one.
	end_bridge
	start_ready_bridge --both b:
	expect_equal b
	end_bridge
}

run_tests
