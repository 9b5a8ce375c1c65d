#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: it is killed at any point, and its module replaced.
set -e
. ./nats_helpers.sh

rounds=6
((${FULL:-0} == 0)) || rounds=100

# Writes keys until the file stop is there: what a writer of one side does.
write_here()
{
	local i=0

	while [[ ! -e $work/stop ]]; do
		((i += 1))
		echo "set here$((i % 20)) $i"
		((i % 7)) || echo "del here$((i % 20))"
		((i % 50)) || pause
	done | mstore batch >/dev/null 2>&1 || :
}

write_there()
{
	local i=0 kv_in=

	while [[ ! -e $work/stop ]]; do
		((i += 1))
		put b "there$((i % 20))" "$i"
		((i % 7)) || kv del b "there$((i % 20))"
	done
}

start_writers()
{
	rm -f "$work/stop"
	write_here &
	writers=$!
	write_there &
	writers+=" $!"
}

end_writers()
{
	: >"$work/stop"
	# shellcheck disable=SC2086 # a list
	wait $writers
}

# How often was the same value stored under the same name, one right behind the other?
stored_twice()
{
	kv history b | awk '{ if (last[$2] == $3 && $3 != "-") twice++; last[$2] = $3 }
		END { print twice + 0 }'
}

test_killed_again_and_again()
{
	local i

	begin
	start_writers
	for ((i = 0; i < rounds; i++)); do
		start_bridge --both b:
		((i % 2)) || await 60 is_carrying
		sleep "0.$((RANDOM % 10))"
		kill_bridge
	done
	start_ready_bridge --both b:
	end_writers
	expect_equal b
	[[ $(stored_twice) == 0 ]]
	end_bridge
}

# A change that waited for its answer is not sent again if it got there.
test_killed_before_the_answer()
{
	begin_by_proxy --both b:
	tell_proxy hold
	mstore set k 1
	await 30 bucket_has b k 1
	kill_bridge
	tell_proxy release
	start_ready_bridge --both b:
	expect_equal b
	[[ $(kv rev b) == 1 ]]
	expect_metrics sent_total=0 taken_total=0
	end_bridge
}

test_the_module_is_replaced()
{
	local i

	begin
	mstore set kept 1
	start_ready_bridge --both b:
	await 30 bucket_has b kept 1
	for i in 1 2; do
		mstore upgrade "$METASTORE_KO"
		await 60 has renewals_total "$i"
		await 60 is_carrying
		mstore set "after$i" "$i"
		put b "there$i" "$i"
		await 30 bucket_has b "after$i" "$i"
		await 30 store_has "there$i" "$i"
	done
	expect_equal b
	# Nothing was sent again.
	[[ $(kv rev b) == 5 ]]
	end_bridge
}

# Another module begins with an empty store, which the bucket fills again. Carried out, the
# bucket is emptied.
test_the_module_is_loaded_anew()
{
	begin
	kv create o
	start_ready_bridge --both b:both/ --out o:out/
	mstore set both/k 1
	mstore set out/k 1
	await 30 bucket_has b both/k 1
	await 30 bucket_has o out/k 1
	echo 1 >/sys/module/metastore/parameters/retired
	await 60 rmmod metastore
	sleep 0.5
	insmod "$METASTORE_KO"
	await 60 has renewals_total 1
	await 60 is_carrying
	await 30 store_has both/k 1
	await 30 bucket_lacks o out/k
	expect_equal b both/
	expect_equal o out/
	[[ $(kv rev b) == 1 && $(kv rev o) == 2 ]]
	end_bridge
}

test_nothing_leaks_and_nothing_is_wrong_by_valgrind()
{
	local i

	type -P valgrind >/dev/null || skip 'no valgrind'
	((slowness == 1)) || skip 'valgrind on a slow kernel takes minutes, and tells the same'
	begin
	start_proxy
	put b there 1
	bridge_under="valgrind --quiet --leak-check=full --show-leak-kinds=definite
		--errors-for-leak-kinds=definite --error-exitcode=99 --log-file=$work/valgrind"
	start_ready_bridge --both b: --in b:in/ --status 1s
	for i in {1..6}; do
		mstore set "k$i" "$i"
		put b "there$i" "$i"
	done
	mstore del k1
	kv del b there1
	put b a=41 1
	# The bridge reads a key by itself before it changes it back.
	put b in/k 1
	await 60 store_has in/k 1
	mstore set in/k 2
	await 60 store_has in/k 1
	await 60 is_quiet
	kv del b a=41
	tell_proxy cut
	mstore set k2 other
	put b k2 there
	await 60 has sessions_total 2
	await 60 is_quiet
	expect_equal b
	end_bridge || {
		sed 's/^/# /' "$work/valgrind" | head -n 60
		return 1
	}
	[[ ! -s $work/valgrind ]] || {
		sed 's/^/# /' "$work/valgrind" | head -n 60
		return 1
	}
}

run_tests
