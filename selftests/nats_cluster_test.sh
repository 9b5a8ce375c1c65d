#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: three servers, of which the leader is killed, twice.
set -e
. ./nats_helpers.sh

start_cluster()
{
	local i

	pids=()
	for i in 1 2 3; do
		start_member "$i"
	done
	for i in 1 2 3; do
		await 60 port_answers "422$i"
	done
}

start_member()
{
	"$NATS_SERVER" -a 127.0.0.1 -p "422$1" -js -sd "$work/js$1" -n "n$1" \
		--cluster_name c --cluster "nats://127.0.0.1:622$1" \
		--routes nats://127.0.0.1:6221,nats://127.0.0.1:6222,nats://127.0.0.1:6223 \
		>>"$work/server$1.log" 2>&1 &
	pids[$1]=$!
}

make_bucket()
{
	kv create b 3 2>/dev/null
}

# Sets $leader. A member that was just started may have no answer yet.
find_leader()
{
	leader=$(kv leader b 2>/dev/null) && [[ $leader ]]
}

# Has the key $2 changed $3 times in the bucket $1? A server that was just started may tell less.
has_changes()
{
	[[ $(kv history "$1" | awk -v key="$2" '$2 == key' | wc -l) == "$3" ]]
}

test_another_leader()
{
	local leader i

	start_cluster
	url=nats://127.0.0.1:4221,nats://127.0.0.1:4222,nats://127.0.0.1:4223
	bridge_url=$url
	await 60 make_bucket
	start_ready_bridge --both b:
	mstore set k 0
	await 60 put b there 0
	await 60 is_quiet
	for i in 1 2; do
		await 60 find_leader
		leader=${leader#n}
		kill -KILL "${pids[leader]}"
		wait "${pids[leader]}" 2>/dev/null || :
		mstore set k "$i"
		await 90 bucket_has b k "$i"
		await 60 put b there "$i"
		await 90 store_has there "$i"
		start_member "$leader"
		await 60 port_answers "422$leader"
	done
	await 60 is_quiet
	expect_equal b
	expect_metrics conflicts_total=0
	await 60 has_changes b k 3
	end_bridge
	kill -KILL "${pids[@]}"
}

run_tests
