#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: batch.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

# Runs a batch with these lines.
run_batch()
{
	run mstore batch "${@:2}" <<<"$1"
}

test_operations_in_order()
{
	run_batch $'set a 1\nget a\nset a 2\nget a\npub b two  words\nget b\ndel a\nget b'
	expect 0 $'a 1\na 2\nb two  words\nb two  words\n'
	run mstore ls
	expect 0 $'b\n'
}

test_values_go_to_the_end_of_the_line()
{
	run_batch $'set a  leading and trailing \nset b \nset -- -c --json'
	expect 0 ''
	run mstore get -- a b -c
	expect 0 $'a  leading and trailing \nb \n\\x2dc --json\n'
}

test_escapes()
{
	run_batch 'set a\x20b \\ \x00\n\t é'
	expect 0 ''
	run mstore get --raw 'a b'
	printf '\\ \0\n\t é' | cmp - "$out"
	run_batch 'get a\x20b'
	expect 0 'a\x20b \\ \x00\n\t é'$'\n'
	run_batch 'get a\x20b' -0
	printf 'a b\0\\ \0\n\t é\0' | cmp - "$out"
}

test_what_get_prints_is_a_line_to_set()
{
	mstore set a 'x  \ y'
	mstore set 'b c' $'\n'
	mstore get a 'b c' >"$work/lines"
	sed 's/^/set copy\//' "$work/lines" | mstore batch
	run mstore get copy/a 'copy/b c'
	sed 's/^/copy\//' "$work/lines" | cmp - "$out"
}

test_empty_lines_and_comments()
{
	run_batch $'\n# a comment\n   \n  set   a 1\n\tget a'
	expect 0 $'a 1\n'
	run_batch ''
	expect 0 ''
	run mstore batch </dev/null
	expect 0 ''
}

test_the_last_line_needs_no_newline()
{
	run mstore batch < <(printf 'set a 1\nget a')
	expect 0 $'a 1\n'
}

test_refused_operations_do_not_stop_the_others()
{
	run_batch $'get nope\nset --replace nope 1\nset a 1\nset --create a 2\ndel --if-version 5 a\nget a'
	expect 1 $'a 1\n' "mstore: line 1: nope: no such key
mstore: line 2: nope: no such key
mstore: line 4: a: the key already exists, with version $(mstore get --version a)
mstore: line 5: a: the key has another version: $(mstore get --version a)"
}

test_conditions_and_lifetimes()
{
	mstore set a 1
	run_batch "set --if-version $(mstore get --version a) --ttl 100 a 2
pub --create --steal b 3
set --ttl=100s c 4"
	expect 0 ''
	run mstore stat a
	expect_line 'ttl_ms: [0-9]+'
	run mstore stat c
	expect_line 'ttl_ms: [0-9]+'
	run mstore stat b
	expect_line 'ttl_ms: none'
}

test_wrong_lines()
{
	local line

	for line in frobnicate 'get' 'get a b' 'set a' 'set' 'del a b' 'get --create a' 'set --json a 1' \
		'set --create --replace a 1' 'set --ttl x a 1' 'set --if-version' 'set a \q' 'del --ttl 1 a' \
		'pub -e a 1' 'set -h a 1' "get $(printf %256s '' | tr ' ' k)"; do
		run_batch $'set first 1\n'"$line"$'\nset last 1'
		expect 2 '' 'mstore: line 2: *: *'
		run mstore ls
		expect 0 $'first\n'
		mstore del first
	done
	run mstore batch < <(printf 'get a\0b\n')
	expect 2 '' 'mstore: line 1: batch: NUL byte*\\x00'
	run_batch 'frobnicate a'
	expect 2 '' "mstore: line 1: batch: 'frobnicate': must be get, set, pub, del or touch"
	run_batch 'del a --if-version 5'
	expect 2 '' 'mstore: line 1: del: --if-version comes before the operands: del --if-version 5 a; *'
	run_batch 'set --ttl 0 a 1'
	expect 2 '' "mstore: line 1: set: --ttl '0': must be 1ms to 1099511627776ms, *"
}

test_values_that_look_like_options()
{
	run_batch $'set a --ttl 5\nget a'
	expect 0 $'a --ttl 5\n'
}

test_carriage_returns_at_the_end_of_a_line_are_refused()
{
	local line

	for line in $'set a 3\r' $'get a\r' $'\r' $'# comment\r' $'set a \r\r' 'set a \r'$'\r'; do
		run_batch $'set first 1\n'"$line"$'\nset last 1'
		expect 2 '' "mstore: line 2: batch: ends with a carriage return; remove it with tr -d '*'*"
		run mstore batch < <(printf 'set first 1\n%s' "$line")
		expect 2 '' 'mstore: line 2: batch: ends with a carriage return*'
		run_batch $'set first 2\n'"$line" --atomic
		expect 2 '' 'mstore: line 2: batch: ends with a carriage return*'
		run mstore ls
		expect 0 $'first\n'
		run mstore get first
		expect 0 $'1\n'
	done
	run_batch $'set a 3\\r\nset b x\ry'
	expect 0 ''
	run mstore get a b
	expect 0 'a 3\r'$'\n''b x\ry'$'\n'
}

test_byte_order_marks_are_refused()
{
	run_batch $'\xef\xbb\xbfset a 1\nset b 1'
	expect 2 '' 'mstore: line 1: batch: starts with a byte order mark; remove it with tail -c +4'
	run mstore batch < <(printf 'set a 1\n' | iconv -t UTF-16)
	expect 2 '' 'mstore: line 1: batch: starts with a byte order mark of UTF-16; convert it *'
	run mstore batch < <(printf '\376\377\0s')
	expect 2 '' 'mstore: line 1: batch: starts with a byte order mark of UTF-16; convert it *'
	run mstore ls
	expect 0 ''
	run_batch $'set \xef\xbb\xbfa 1\nget \xef\xbb\xbfa'
	expect 0 $'\xef\xbb\xbfa 1\n'
}

test_json()
{
	run_batch $'set a 1\nget a\npub a 2\nget nope\nset --create a 3\ndel a' --json
	expect_status 1
	expect_json "o['op'] == 'set' and o['key'] == 'a' and int(o['version']) > 0" \
		"o['op'] == 'get' and o['value'] == '1'" \
		"o['op'] == 'pub' and o['queues'] == 0" \
		"o == { 'op': 'get', 'key': 'nope', 'error': 'ENOENT' }" \
		"o['error'] == 'EEXIST' and int(o['version']) > 0" \
		"o['op'] == 'del' and 'error' not in o"
}

test_many_lines()
{
	local i

	for ((i = 0; i < 1000; i++)); do
		echo "set k$i v$i"
		echo "get k$i"
	done >"$work/lines"
	run mstore batch <"$work/lines"
	expect_status 0
	sed -n 's/^set //p' "$work/lines" | cmp - "$out"
}

test_long_values()
{
	head -c 65536 /dev/zero | tr '\0' x >"$work/value"
	{
		echo "set a $(<"$work/value")"
		for _ in {1..50}; do
			echo "get a"
		done
	} >"$work/lines"
	run mstore batch <"$work/lines"
	expect_status 0
	expect_lines 50
	run_batch "set a $(<"$work/value")x"
	expect 3 '' 'mstore: line 1: a: the value is too long*'
}

test_atomic_does_all()
{
	mstore set a 1
	run_batch $'get a\nset b 2\npub c 3\nset d 4' --atomic
	expect 0 $'a 1\n'
	run mstore get b c d
	expect 0 $'b 2\nc 3\nd 4\n'
	run_batch $'del b\nget nope\ndel c' --atomic
	expect 1 '' 'mstore: line 2: nope: no such key'
	run mstore ls
	expect_lines 2
}

test_atomic_does_nothing()
{
	mstore set a 1
	run_batch $'set a 2\nset b 2\nset --create a2 1\ndel nope\nget a3' --atomic
	expect 1 '' 'mstore: line 4: nope: no such key'
	run mstore ls
	expect 0 $'a\n'
	run mstore get a
	expect 0 $'1\n'
	run_batch $'set b 2\nset --replace nope 1' --atomic --json
	expect_status 1
	expect_json "o['error'] == 'ECANCELED'" "o['error'] == 'ENOENT'"
}

test_atomic_with_a_wrong_line_does_nothing()
{
	run_batch $'set a 1\nset b' --atomic
	expect 2 '' 'mstore: line 2: set: VALUE is missing'
	run mstore ls
	expect 0 ''
}

test_atomic_has_its_limits()
{
	run mstore batch --atomic < <(printf 'set k%s 1\n' {1..129})
	expect 2 '' 'mstore: line 129: batch: --atomic: must be 1 to 128 operations'
	run mstore batch --atomic < <(printf 'set %0200d 1\n' {1..41})
	expect 2 '' 'mstore: line 41: batch: --atomic: the keys must have at most 8192 bytes together'
	run_batch $'set a 1\nset b 1\nget a' --atomic
	expect 2 '' 'mstore: line 3: batch: --atomic: line 1 already has this key'
	run mstore ls
	expect 0 ''
	run mstore batch --atomic < <(printf 'set k%s 1\n' {1..128})
	expect 0 ''
	run mstore ls
	expect_lines 128
}

test_events_of_an_atomic_batch_are_together()
{
	start_sub --json -n 3 a b
	run_batch $'set a 1\nset b 2' --atomic
	mstore set b 3
	end_sub
	expect_json "o['more'] is True" "'more' not in o" "'more' not in o"
}

test_answers_come_at_once()
{
	local answers key value

	coproc mstore batch
	exec {answers}<&"${COPROC[0]}"
	echo 'set a 1' >&"${COPROC[1]}"
	echo 'get a' >&"${COPROC[1]}"
	read -rt 60 -u "$answers" key value
	[[ $key == a && $value == 1 ]]
	printf 'set a 2\nget' >&"${COPROC[1]}"
	await_key a 2
	echo ' a' >&"${COPROC[1]}"
	read -rt 60 -u "$answers" key value
	[[ $key == a && $value == 2 ]]
}

start_json
run_tests
