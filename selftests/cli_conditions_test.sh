#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: conditions, times to live, update.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

version_of()
{
	mstore get --version "$1"
}

test_create_only_what_is_absent()
{
	run mstore set --create k 1
	expect 0 ''
	run mstore set --create k 2
	expect 1 '' "mstore: k: the key already exists, with version $(version_of k)"
	run mstore pub --create k 3
	expect 1 '' 'mstore: k: the key already exists, with version *'
	run mstore get k
	expect 0 $'1\n'
	run mstore pub --create other 4
	expect 0 ''
}

test_replace_only_what_is_there()
{
	run mstore set --replace k 1
	expect 1 '' 'mstore: k: no such key'
	run mstore pub --replace k 1
	expect 1 '' 'mstore: k: no such key'
	mstore set k 1
	run mstore set --replace k 2
	expect 0 ''
	run mstore get k
	expect 0 $'2\n'
}

test_write_only_a_version()
{
	local version

	mstore set k 1
	version=$(version_of k)
	run mstore set --if-version "$version" k 2
	expect 0 ''
	run mstore set --if-version "$version" k 3
	expect 1 '' "mstore: k: the key has another version: $(version_of k)"
	run mstore pub --if-version "$version" k 3
	expect_status 1
	run mstore del --if-version "$version" k
	expect 1 '' "mstore: k: the key has another version: $(version_of k)"
	run mstore get k
	expect 0 $'2\n'
	run mstore del --if-version "$(version_of k)" k
	expect 0 ''
}

test_version_0_is_an_absent_key()
{
	run mstore set --if-version 0 k 1
	expect 0 ''
	run mstore set --if-version 0 k 2
	expect 1 '' "mstore: k: the key has another version: $(version_of k)"
	run mstore set --if-version 5 other 2
	expect 1 '' 'mstore: other: no such key'
	run mstore get k other
	expect 1 $'k 1\n' 'mstore: other: no such key'
}

test_only_one_condition()
{
	run mstore set --create --replace k 1
	expect 2 '' 'mstore: set: only one of*'
	run mstore pub --if-version 1 --create k 1
	expect 2 '' 'mstore: pub: only one of*'
	run mstore ls
	expect 0 ''
}

test_versions_are_printed_alone()
{
	local version

	mstore set k value
	version=$(mstore stat k | sed -n 's/^version: //p')
	run mstore get --version k
	expect 0 "$version"$'\n'
	mstore set 'k 2' value
	run mstore get --version k nope 'k 2'
	expect 1 "k $version"$'\n'"k\\x202 $(version_of 'k 2')"$'\n' 'mstore: nope: no such key'
	run mstore get --version --json k
	expect_status 2
}

test_several_hundred_keys_in_one_go()
{
	printf 'set k%s value\n' {1..600} | mstore batch
	run mstore get k{1..600}
	expect 0 "$(printf 'k%s value\n' {1..600})"$'\n'
	run mstore del nope k{1..600}
	expect 1 '' 'mstore: nope: no such key'
	run mstore ls
	expect 0 ''
}

test_a_time_to_live_ends()
{
	start_sub --format '%k %e %w.' -n 2 k
	mstore set --ttl 1ms k 1
	end_sub
	expect 0 $'k set .\nk deleted expired.\n'
	run mstore get k
	expect 1 '' 'mstore: k: no such key'
	run mstore pub --ttl 1ms k 2
	run mstore wait --timeout 60 --gone k
	expect 0 ''
}

test_a_time_to_live_is_told()
{
	mstore set --ttl 100 k 1
	run mstore stat k
	expect_line 'ttl_ms: [0-9]+'
	run mstore stat --json k
	expect_json "0 < o['ttl_ms'] <= 100000"
	run mstore get --json k
	expect_json "0 < o['ttl_ms'] <= 100000 and o['value'] == '1'"
	mstore set k 2
	run mstore stat k
	expect_line 'ttl_ms: none'
	run mstore get --json k
	expect_json "set(o) == { 'key', 'value', 'version' }"
}

test_touch_renews_a_time_to_live()
{
	local version

	mstore set --ttl 100 k 1
	version=$(mstore get --version k)
	start_sub -n 1 k
	run mstore touch --ttl 1000 k
	expect 0 ''
	run mstore stat --json k
	expect_json "100000 < o['ttl_ms'] <= 1000000 and o['version'] == '$version'"
	run mstore touch --json --if-version "$version" --ttl 500ms k
	expect_json "o == { 'key': 'k', 'version': '$version' }"
	# The first that the subscriber hears of
	end_sub
	expect_status 0
	run mstore touch --ttl 1 k
	expect 1 '' 'mstore: k: no such key'
}

test_touch_refuses()
{
	mstore set plain 1
	mstore set --ttl 100 k 1
	run mstore touch k
	expect 2 '' 'mstore: touch: --ttl is missing; *'
	run mstore touch --ttl 5
	expect 2 '' 'mstore: touch: KEY is missing; *'
	run mstore touch --ttl 0 k
	expect 2 '' "mstore: touch: --ttl '0': must be 1ms to *"
	run mstore touch --ttl 5 --steal k
	expect 2 '' 'mstore: touch: unknown option --steal; *'
	run mstore touch --ttl 5 absent plain k
	expect 1 '' 'mstore: absent: no such key
mstore: plain: the value has no time to live; *'
	run mstore touch --ttl 5 --if-version 1 k
	expect 1 '' 'mstore: k: the key has another version: *'
	mstore hold --steal k 1 -- sleep 1000 &
	await_key k
	until [[ $(mstore stat --json k) == *owned* ]]; do
		pause
	done
	run mstore touch --ttl 5 k
	expect 1 '' 'mstore: k: another open file owns the key'
	kill $!
}

test_touch_in_a_batch()
{
	mstore set --ttl 100 a 1
	run mstore batch --json --atomic <<<$'touch --ttl 1000 a\nset b 2'
	expect_status 0
	expect_json "o['op'] == 'touch' and o['key'] == 'a'" "o['op'] == 'set'"
	run mstore stat --json a
	expect_json "100000 < o['ttl_ms']"
	run mstore batch <<<'touch a'
	expect 2 '' 'mstore: line 1: touch: --ttl is missing'
	run mstore batch <<<'touch --ttl 5 b'
	expect 1 '' 'mstore: line 1: b: the value has no time to live; *'
}

test_json_tells_that_a_key_expired()
{
	start_sub --json -n 2 k
	mstore set --ttl 1ms k 1
	end_sub
	expect_json "o['event'] == 'set'" "o['event'] == 'deleted' and o['expired'] is True"
}

test_update_is_a_filter()
{
	mstore set k 'a b'
	run mstore update k -- tr a-z A-Z
	expect 0 ''
	run mstore get k
	expect 0 $'A B\n'
	run mstore update --json k -- cat
	expect_json "o['key'] == 'k' and o['version'] == '$(version_of k)'"
}

test_update_of_an_absent_key()
{
	run mstore update k -- sh -c 'wc -c; echo new'
	expect 0 ''
	run mstore get k
	expect 0 $'0\nnew\n'
}

test_update_drops_a_newline_that_is_new()
{
	mstore set k 1
	mstore update k -- sh -c 'cat; echo'
	run mstore get --raw k
	expect 0 1
	mstore update k -- printf '2\n\n'
	run mstore get --raw k
	expect 0 $'2\n'
	mstore update k -- printf '3\n'
	run mstore get --raw k
	expect 0 $'3\n'
	mstore set k 4
	mstore update --raw k -- echo 5
	run mstore get --raw k
	expect 0 $'5\n'
}

test_update_of_any_bytes()
{
	head -c 65536 /dev/urandom >"$work/value"
	mstore set --file "$work/value" k
	mstore update --raw k -- cat
	mstore get --raw k | cmp - "$work/value"
	mstore update --raw k -- head -c 0
	run mstore get --raw k
	expect 0 ''
}

test_update_by_a_filter_that_fails()
{
	mstore set k 1
	run mstore update k -- sh -c 'echo 2; exit 7'
	expect 7 ''
	# shellcheck disable=SC2016
	run mstore update k -- sh -c 'echo 2; kill $$'
	expect 143 ''
	run mstore update k -- /nonexistent
	expect 127 '' 'mstore: /nonexistent: No such file or directory'
	run mstore update k -- /
	expect 126 '' 'mstore: /: Permission denied'
	run mstore update k -- head -c 65537 /dev/zero
	expect 3 '' 'mstore: head: too long: the store takes at most 65536 bytes'
	run mstore get k
	expect 0 $'1\n'
}

test_update_begins_anew_when_the_key_was_changed()
{
	mstore set k 1
	# The filter itself changes the key, once.
	# shellcheck disable=SC2016
	run mstore update k -- sh -c 'read -r v; [ "$v" != 1 ] || mstore set k 5; echo $((v + 1))'
	expect 0 ''
	run mstore get k
	expect 0 $'6\n'
}

test_update_keeps_what_is_left_of_a_time_to_live()
{
	mstore set --ttl 100 k 1
	mstore update k -- cat
	run mstore stat --json k
	expect_json "0 < o['ttl_ms'] <= 100000"
	mstore update --ttl 15m k -- cat
	run mstore stat --json k
	expect_json "100000 < o['ttl_ms'] <= 900000"
	mstore set k 1
	mstore update k -- cat
	run mstore stat k
	expect_line 'ttl_ms: none'
}

count_up()
{
	local i

	for ((i = 0; i < $1; i++)); do
		# shellcheck disable=SC2016
		mstore update n -- sh -c 'read -r n; echo $((n + 1))'
	done
}

test_no_increment_is_lost()
{
	local counters=()

	for _ in {1..4}; do
		count_up 6 &
		counters+=($!)
	done
	for sub in "${counters[@]}"; do
		wait "$sub"
	done
	run mstore get n
	expect 0 $'24\n'
}

start_json
run_tests
