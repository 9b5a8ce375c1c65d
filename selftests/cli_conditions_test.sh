#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: conditions, times to live, update.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

version_of()
{
	metastore get --version "$1"
}

test_create_only_what_is_absent()
{
	run metastore set --create k 1
	expect 0 ''
	run metastore set --create k 2
	expect 1 '' "metastore: k: it exists already, with version $(version_of k)"
	run metastore pub --create k 3
	expect 1 '' 'metastore: k: it exists already, with version *'
	run metastore get k
	expect 0 $'1\n'
	run metastore pub --create other 4
	expect 0 ''
}

test_replace_only_what_is_there()
{
	run metastore set --replace k 1
	expect 1 '' 'metastore: k: no such key'
	run metastore pub --replace k 1
	expect 1 '' 'metastore: k: no such key'
	metastore set k 1
	run metastore set --replace k 2
	expect 0 ''
	run metastore get k
	expect 0 $'2\n'
}

test_write_only_a_version()
{
	local version

	metastore set k 1
	version=$(version_of k)
	run metastore set --if-version "$version" k 2
	expect 0 ''
	run metastore set --if-version "$version" k 3
	expect 1 '' "metastore: k: it has another version: $(version_of k)"
	run metastore pub --if-version "$version" k 3
	expect_status 1
	run metastore del --if-version "$version" k
	expect 1 '' "metastore: k: it has another version: $(version_of k)"
	run metastore get k
	expect 0 $'2\n'
	run metastore del --if-version "$(version_of k)" k
	expect 0 ''
}

test_version_0_is_an_absent_key()
{
	run metastore set --if-version 0 k 1
	expect 0 ''
	run metastore set --if-version 0 k 2
	expect 1 '' "metastore: k: it has another version: $(version_of k)"
	run metastore set --if-version 5 other 2
	expect 1 '' 'metastore: other: no such key'
	run metastore get k other
	expect 1 $'k 1\n' 'metastore: other: no such key'
}

test_only_one_condition()
{
	run metastore set --create --replace k 1
	expect 2 '' 'metastore: set: only one of*'
	run metastore pub --if-version 1 --create k 1
	expect 2 '' 'metastore: pub: only one of*'
	run metastore ls
	expect 0 ''
}

test_versions_are_printed_alone()
{
	local version

	metastore set k value
	version=$(metastore stat k | sed -n 's/^version: //p')
	run metastore get --version k
	expect 0 "$version"$'\n'
	metastore set 'k 2' value
	run metastore get --version k nope 'k 2'
	expect 1 "k $version"$'\n'"k\\x202 $(version_of 'k 2')"$'\n' 'metastore: nope: no such key'
	run metastore get --version --json k
	expect_status 2
}

test_several_hundred_keys_in_one_go()
{
	printf 'set k%s value\n' {1..600} | metastore batch
	run metastore get k{1..600}
	expect 0 "$(printf 'k%s value\n' {1..600})"$'\n'
	run metastore del nope k{1..600}
	expect 1 '' 'metastore: nope: no such key'
	run metastore ls
	expect 0 ''
}

test_a_time_to_live_ends()
{
	start_sub --format '%k %e %w.' -n 2 k
	metastore set --ttl 1 k 1
	end_sub
	expect 0 $'k set .\nk deleted expired.\n'
	run metastore get k
	expect 1 '' 'metastore: k: no such key'
	run metastore pub --ttl 1 k 2
	run metastore wait --timeout 60 --gone k
	expect 0 ''
}

test_a_time_to_live_is_told()
{
	metastore set --ttl 100000 k 1
	run metastore stat k
	expect_line 'ttl_ms: [0-9]+'
	run metastore stat --json k
	expect_json "0 < o['ttl_ms'] <= 100000"
	run metastore get --json k
	expect_json "0 < o['ttl_ms'] <= 100000 and o['value'] == '1'"
	metastore set k 2
	run metastore stat k
	expect_line 'ttl_ms: none'
	run metastore get --json k
	expect_json "set(o) == { 'key', 'value', 'version' }"
}

test_json_tells_that_a_key_expired()
{
	start_sub --json -n 2 k
	metastore set --ttl 1 k 1
	end_sub
	expect_json "o['event'] == 'set'" "o['event'] == 'deleted' and o['expired'] is True"
}

test_update_is_a_filter()
{
	metastore set k 'a b'
	run metastore update k -- tr a-z A-Z
	expect 0 ''
	run metastore get k
	expect 0 $'A B\n'
	run metastore update --json k -- cat
	expect_json "o['key'] == 'k' and o['version'] == '$(version_of k)'"
}

test_update_of_an_absent_key()
{
	run metastore update k -- sh -c 'wc -c; echo new'
	expect 0 ''
	run metastore get k
	expect 0 $'0\nnew\n'
}

test_update_drops_a_newline_that_is_new()
{
	metastore set k 1
	metastore update k -- sh -c 'cat; echo'
	run metastore get --raw k
	expect 0 1
	metastore update k -- printf '2\n\n'
	run metastore get --raw k
	expect 0 $'2\n'
	metastore update k -- printf '3\n'
	run metastore get --raw k
	expect 0 $'3\n'
	metastore set k 4
	metastore update --raw k -- echo 5
	run metastore get --raw k
	expect 0 $'5\n'
}

test_update_of_any_bytes()
{
	head -c 65536 /dev/urandom >"$work/value"
	metastore set --file "$work/value" k
	metastore update --raw k -- cat
	metastore get --raw k | cmp - "$work/value"
	metastore update --raw k -- head -c 0
	run metastore get --raw k
	expect 0 ''
}

test_update_by_a_filter_that_fails()
{
	metastore set k 1
	run metastore update k -- sh -c 'echo 2; exit 7'
	expect 7 ''
	# shellcheck disable=SC2016
	run metastore update k -- sh -c 'echo 2; kill $$'
	expect 143 ''
	run metastore update k -- /nonexistent
	expect 127 '' 'metastore: /nonexistent: No such file or directory'
	run metastore update k -- /
	expect 126 '' 'metastore: /: Permission denied'
	run metastore update k -- head -c 65537 /dev/zero
	expect 3 '' 'metastore: head: longer than the store takes, 65536 bytes'
	run metastore get k
	expect 0 $'1\n'
}

test_update_begins_anew_when_the_key_was_changed()
{
	metastore set k 1
	# The filter itself changes the key, once.
	# shellcheck disable=SC2016
	run metastore update k -- sh -c 'read -r v; [ "$v" != 1 ] || metastore set k 5; echo $((v + 1))'
	expect 0 ''
	run metastore get k
	expect 0 $'6\n'
}

test_update_keeps_what_is_left_of_a_time_to_live()
{
	metastore set --ttl 100000 k 1
	metastore update k -- cat
	run metastore stat --json k
	expect_json "0 < o['ttl_ms'] <= 100000"
	metastore update --ttl 900000 k -- cat
	run metastore stat --json k
	expect_json "100000 < o['ttl_ms'] <= 900000"
	metastore set k 1
	metastore update k -- cat
	run metastore stat k
	expect_line 'ttl_ms: none'
}

count_up()
{
	local i

	for ((i = 0; i < $1; i++)); do
		# shellcheck disable=SC2016
		metastore update n -- sh -c 'read -r n; echo $((n + 1))'
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
	run metastore get n
	expect 0 $'24\n'
}

start_json
run_tests
