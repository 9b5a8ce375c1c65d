#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: changes a second through it, beside puts by themselves in the same run;
# how late they come; its memory. Bounds are wide: the machine may be emulated, and busy.
#
# module: max_keys=4000000 max_bytes=2147483648
set -e
. ./nats_helpers.sh

count=2000
memory_keys=3000
if ((${FULL:-0})); then
	count=20000
	memory_keys=1000000
fi

# Prints lines for mstore batch: as many keys, each with the time of now in ns.
print_sets()
{
	local i

	for ((i = 0; i < $1; i++)); do
		echo "set k$i ${EPOCHREALTIME/./}000"
	done
}

# Starts a reader of the bucket; it writes to the file lag when it has got $1 changes.
start_reader()
{
	: >"$work/lag"
	kv lag b "$1" >"$work/lag" &
	reader=$!
	await_line "$work/lag" ready
}

# Sets median, p90, p99 (us) and rate (changes a second).
end_reader()
{
	wait "$reader"
	read -r median p90 p99 rate < <(tail -n 1 "$work/lag")
}

test_changes_a_second()
{
	local puts

	begin
	kv create alone
	puts=$(kv bench alone $((count / 4)))
	start_ready_bridge --out b:
	start_reader "$count"
	print_sets "$count" | mstore batch >/dev/null
	end_reader
	expect_equal b
	echo "# $rate changes a second through the bridge, $puts puts a second by themselves"
	((rate * 3 > puts)) || fail "$rate changes a second, but $puts puts"
	end_bridge
}

test_how_late_they_come()
{
	local i

	begin
	start_ready_bridge --out b:
	start_reader 200
	for ((i = 0; i < 200; i++)); do
		echo "set k$i ${EPOCHREALTIME/./}000"
		pause
	done | mstore batch >/dev/null
	end_reader
	await 60 is_quiet
	expect_balance
	echo "# lag: median $median us, 90 % $p90 us, 99 % $p99 us"
	((p90 < 1000000 * slowness)) || fail "90 % of the changes came after $p90 us"
	((metric[lag_seconds_count] == 200)) || fail "${metric[lag_seconds_count]} lags of 200"
	end_bridge
}

resident_kb()
{
	awk '/^VmRSS:/ { print $2 }' "/proc/$bridge/status"
}

# Changes of keys that it knows take no memory, however many.
test_memory_stays()
{
	local i before after

	begin
	start_ready_bridge --both b:
	print_sets "$memory_keys" | mstore batch >/dev/null
	await 1500 is_quiet
	before=$(resident_kb)
	for i in 1 2; do
		print_sets "$memory_keys" | mstore batch >/dev/null
		await 1500 is_quiet
	done
	after=$(resident_kb)
	expect_balance
	echo "# $memory_keys keys: $before KiB, after two changes of each $after KiB"
	((after < before + before / 10 + 4096)) || fail "$before KiB have become $after KiB"
	# The entry of a key in the bridge, that of the follower, and libnats
	((after < 40000 + memory_keys / 2)) || fail "$after KiB for $memory_keys keys"
	end_bridge
}

run_tests
