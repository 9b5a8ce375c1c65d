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
changed_keys=3000
if ((${FULL:-0})); then
	count=20000
	memory_keys='100000 500000 1000000'
	changed_keys=100000
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

# print_keys FROM COUNT [VALUE]: lines for mstore batch, as kv load stores them
print_keys()
{
	awk -v from="$1" -v count="$2" -v value="${3-}" 'BEGIN {
		for (i = from; i < from + count; i++)
			print "set", "k" i, value i
	}'
}

# Has both sides have so many keys, of which they had some.
fill_both()
{
	print_keys "$1" $(($2 - $1)) | mstore batch >/dev/null
	kv load b k $(($2 - $1)) "$1"
}

# Memory depends on the number of keys, and changes of those that the bridge knows take none,
# however many.
test_memory_stays()
{
	local i before after keys have=0

	start_server
	kv create b 1 1
	for keys in $memory_keys; do
		fill_both "$have" "$keys"
		have=$keys
		start_bridge --both b:
		await 150 is_carrying
		await 60 is_quiet
		expect_metrics "keys=$keys" "unchanged_total=$keys" taken_total=0
		before=$(resident_kb)
		echo "# $keys keys: $before KiB"
		# The entry of a key in the bridge, that of the follower, and libnats
		((before < 40000 + keys / 3)) || fail "$before KiB for $keys keys"
		((keys == ${memory_keys##* })) || end_bridge
	done
	for i in 1 2; do
		print_keys 0 "$changed_keys" "$i" | mstore batch >/dev/null
		await 150 bucket_has b "k$((changed_keys - 1))" "$i$((changed_keys - 1))"
		await 150 is_quiet
		after=$(resident_kb)
		echo "# after $((i * changed_keys)) changes: $after KiB"
	done
	expect_balance
	((after < before + before / 10 + 4096)) || fail "$before KiB have become $after KiB"
	end_bridge
}

run_tests
