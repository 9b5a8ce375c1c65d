#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: two stores, each with a bridge, and one server between them. FULL=1: as
# many keys as are meant to be.
# shellcheck disable=SC2016 # what the other side is to expand
set -e
. ./nats_helpers.sh

keys=200
((${FULL:-0} == 0)) || keys=100000

# The other side is a private store, which this file runs in once more; it tells by files.
# side COMMAND: what the other side is to do.
start_side()
{
	rm -f "$work/side"
	mkfifo "$work/side"
	mstore private --max-keys $((4 * keys)) -- bash -c '
		cd "$1"; work=$2
		while read -r line; do
			eval "$line" >"$work/side_out" 2>"$work/side_err"
			echo $? >"$work/side_status.new"
			mv "$work/side_status.new" "$work/side_status"
		done <"$work/side"' - "$PWD" "$work" &
	exec {side_fd}>"$work/side"
}

side_is_done()
{
	[[ -e $work/side_status ]]
}

side()
{
	rm -f "$work/side_status"
	echo "$*" >&"$side_fd"
	await 300 side_is_done
	[[ $(<"$work/side_status") == 0 ]] || fail "the other side: $*: $(<"$work/side_err")"
}

# Starts both bridges; those of the other side are $log2 and $socket2.
start_bridges()
{
	log2=$work/side.log
	socket2=$work/side.sock
	start_side
	side "exec 3>&-; mstore-nats --server $url --metrics $socket2 --status 0 $* \
		>$log2 2>&1 & bridge=\$!"
	start_ready_bridge "$@"
	with_side await 60 is_carrying
}

# with_side COMMAND...: with the metrics of the bridge of the other side
with_side()
{
	local socket=$socket2

	"$@"
}

end_bridges()
{
	side 'kill $bridge; wait $bridge'
	exec {side_fd}>&-
	end_bridge
}

list_side()
{
	side 'mstore sub --follow --prefix --timeout 0 "" | sort'
	cat "$work/side_out"
}

sides_are_equal()
{
	list_store '' >"$work/here"
	list_side >"$work/there"
	cmp -s "$work/here" "$work/there" && list_bucket b | cmp -s - "$work/here"
}

expect_equal_sides()
{
	await 120 is_quiet
	with_side await 120 is_quiet
	await 120 sides_are_equal || {
		diff "$work/here" "$work/there" | head -n 20 | sed 's/^/# /'
		return 1
	}
	expect_balance
	with_side expect_balance
}

# The changes that both sides sent are all that the bucket has ever got.
expect_revisions()
{
	local sent rev

	read_metrics
	sent=${metric[sent_total]}
	with_side read_metrics
	rev=$(kv rev b)
	((sent + metric[sent_total] == rev)) ||
		fail "$sent and ${metric[sent_total]} changes were sent, $rev revisions are there"
}

write_keys()
{
	local i

	for ((i = 0; i < keys; i++)); do
		echo "set $1$((i % (keys / 2 + 1))) $1$i"
	done
}

test_a_key_of_one_store_appears_in_the_other()
{
	begin
	start_bridges --both b:
	mstore set k here
	side 'mstore wait --timeout 60 k here'
	side 'mstore set k there'
	mstore wait --timeout 60 k there
	side 'mstore del k'
	await 60 store_lacks k
	expect_equal_sides
	expect_revisions
	end_bridges
}

test_writers_on_both_sides()
{
	begin
	write_keys a >"$work/a"
	write_keys b >"$work/b"
	start_bridges --both b:
	mstore batch <"$work/a" &
	side "mstore batch <$work/b"
	wait $!
	expect_equal_sides
	[[ $(wc -l <"$work/here") == $((2 * (keys / 2 + 1))) ]]
	expect_revisions
	end_bridges
}

# Both write the same keys, so that they meet: the sides end equal all the same, and what was
# lost by a conflict is in the messages.
test_writers_of_the_same_keys()
{
	local i lost

	begin
	for ((i = 0; i < keys; i++)); do
		echo "set k$((i % 10)) here$i" >>"$work/c"
		echo "set k$(((keys - i) % 10)) there$i" >>"$work/d"
	done
	start_bridges --both b:
	mstore batch <"$work/c" &
	side "mstore batch <$work/d"
	wait $!
	expect_equal_sides
	[[ $(wc -l <"$work/here") == 10 ]]
	expect_revisions
	read_metrics
	lost=$(grep -c ': conflict: ' "$log" || :)
	((lost == metric[conflicts_total])) || fail "$lost conflicts told of ${metric[conflicts_total]}"
	end_bridges
}

test_an_owner_here_is_gone_there()
{
	local holder

	begin
	start_bridges --both b:
	mstore hold k up -- sleep 600 &
	holder=$!
	side 'mstore wait --timeout 60 k up'
	kill "$holder"
	side 'mstore wait --gone --timeout 60 k'
	expect_equal_sides
	end_bridges
}

# Owners on both sides: neither is overwritten, and neither bridge sends without an end.
test_two_owners_of_a_key()
{
	local holder

	begin
	start_bridges --both b:
	mstore hold k here -- sleep 600 &
	holder=$!
	side 'mstore wait --timeout 60 k here'
	# The bridge had written it there; the steal makes another owner.
	side 'mstore hold --steal k there -- sleep 600 & holder=$!'
	await 60 log_has '*: k: revision 2 of KV bucket b is not taken: an open file owns the key here'
	await 60 is_quiet
	with_side await 60 is_quiet
	expect_balance
	with_side expect_balance
	[[ $(kv rev b) == 2 ]]
	store_has k here
	kill "$holder"
	# Now it yields.
	await 60 store_has k there
	side 'kill $holder'
	await 60 store_lacks k
	expect_equal_sides
	end_bridges
}

run_tests
