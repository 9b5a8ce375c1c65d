#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tool: values that a change removes or replaces, times to live that stay, numbers,
# and what the long list tells.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

expect_between()
{
	(($1 > $2 && $1 <= $3)) || fail "$1 is not above $2, up to $3"
}

run_batch()
{
	run mstore batch "$@" <"$work/lines"
}

test_del_prints_what_it_removes()
{
	mstore set a 1
	mstore set 'b c' $'two\nlines'
	run mstore del --print a
	expect 0 $'1\n'
	mstore set a -5
	run mstore del --print --raw a
	expect 0 -5
	run mstore del --print a
	expect 1 '' 'mstore: a: no such key'
	mstore set a ''
	run mstore del --print a 'b c' nope
	expect 1 $'a \nb\\x20c two\\nlines\n' 'mstore: nope: no such key'
	run mstore ls
	expect 0 ''
}

test_del_prints_in_other_forms()
{
	local value

	mstore set a 1
	mstore set b 2
	run mstore del --print -0 a b
	expect_status 0
	printf 'a\0001\000b\0002\000' | cmp - "$out"
	mstore set a 1
	run mstore del --print --json a
	expect_json "o['key'] == 'a' and o['value'] == '1' and int(o['version']) > 0"
	run mstore del --print --json a
	expect 1 '' 'mstore: a: no such key'
	mstore set a 1
	run mstore del --json a
	expect_json "'value' not in o"
	for value in --raw -0; do
		run mstore del "$value" a
		expect 2 '' "mstore: del: $value needs --print; see mstore del --help"
		run mstore set "$value" a 1
		expect 2 '' "mstore: set: $value needs --print; see mstore set --help"
	done
	run mstore del --print --raw --json a
	expect_status 2
	run mstore del --print --raw a b
	expect 2 '' 'mstore: del: too many operands*'
}

test_long_values_are_printed_whole()
{
	run mstore info --json
	head -c "$(sed 's/.*"max_value":\([0-9]*\).*/\1/' "$out")" /dev/urandom >"$work/long"
	mstore set --file "$work/long" a
	run mstore set --print --raw a ''
	expect_status 0
	cmp "$work/long" "$out"
	mstore set --file "$work/long" a
	run mstore del --print --raw a
	expect_status 0
	cmp "$work/long" "$out"
}

test_set_prints_what_it_replaces()
{
	run mstore set --print a 1
	expect 0 ''
	run mstore set --print a ''
	expect 0 $'1\n'
	run mstore set --print a 2
	expect 0 $'\n'
	run mstore set --print --raw a 3
	expect 0 2
	run mstore set --print --json a 4
	expect_json "o['previous'] == '3'"
	run mstore set --print --json b ''
	expect_json "'previous' not in o"
	run mstore set --print --json b 1
	expect_json "o['previous'] == ''"
	run mstore set --print --create a 5
	expect 1 '' 'mstore: a: the key already exists, with version *'
	run mstore get a
	expect 0 $'4\n'
	run mstore pub --print a 1
	expect 2 '' 'mstore: pub: unknown option --print*'
}

# The open file of lock can read, that of hold cannot.
test_held_key_is_printed_too()
{
	run mstore lock k -- sh -c 'mstore set --held k 1; mstore set --held --print k 2; mstore del --held --print k'
	expect_status 0
	expect_out $'1\n2\n'
	run mstore hold k 1 -- mstore set --held --print k 2
	expect 3 '' 'mstore: --held: fd:*: hold opened it to write alone; --print would read'
}

# Each value that was stored is printed by one of them.
test_one_of_several_takes_a_value()
{
	local i

	for ((i = 0; i < 4; i++)); do
		(
			for ((n = 0; n < 20; n++)); do
				mstore del --print k 2>/dev/null || :
			done
		) >"$work/taken.$i" &
	done
	for ((i = 0; i < 20; i++)); do
		mstore set --print k "$i"
	done >"$work/replaced"
	wait
	mstore del --print k >"$work/left" 2>/dev/null || :
	sort -n "$work"/{taken.*,replaced,left} | cmp - <(seq 0 19)
}

# The rest in ms, 0: unlimited
ttl_of()
{
	mstore get --json "$1" | sed -n 's/.*"ttl_ms":\([0-9]*\).*/\1/p; t; s/.*/0/p'
}

test_time_to_live_stays()
{
	local command

	for command in set pub; do
		mstore set --ttl 1h k 1
		mstore "$command" --keep-ttl k 2
		run mstore get k
		expect 0 $'2\n'
		run ttl_of k
		expect_between "$(<"$out")" 3500000 3600000
		mstore "$command" k 3
		mstore "$command" --keep-ttl k 4
		run ttl_of k
		expect 0 $'0\n'
		run mstore "$command" --keep-ttl --ttl 1s k 5
		expect 2 '' "mstore: $command: only one of --ttl and --keep-ttl can be given*"
		run mstore "$command" --ttl 1s --keep-ttl k 5
		expect_status 2
	done
}

# It counts as a value with an end only if it has one.
test_update_keeps_the_time_to_live()
{
	local bytes

	mstore set k 1
	bytes=$(mstore info --json | sed 's/.*"bytes":\([0-9]*\).*/\1/')
	mstore update k -- tr 1 2
	run mstore info --json
	expect_json "o['bytes'] == $bytes"
	mstore set --ttl 1h k 1
	mstore update k -- tr 1 2
	run ttl_of k
	expect_between "$(<"$out")" 3500000 3600000
	mstore update --ttl 2h k -- tr 2 3
	run ttl_of k
	expect_between "$(<"$out")" 7100000 7200000
}

test_numbers()
{
	run mstore incr n
	expect 0 $'1\n'
	run mstore incr n 41
	expect 0 $'42\n'
	run mstore incr n -50
	expect 0 $'-8\n'
	run mstore incr n 0
	expect 0 $'-8\n'
	run mstore get n
	expect 0 $'-8\n'
	run mstore incr --json n 9223372036854775807
	expect_json "o['key'] == 'n' and o['value'] == '9223372036854775799' and o['version']"
	run mstore incr n 9
	expect 3 '' 'mstore: n: the sum must be -9223372036854775808 to 9223372036854775807'
	run mstore get n
	expect 0 $'9223372036854775799\n'
	run mstore incr -e 'x\n' -9223372036854775808
	expect 0 $'-9223372036854775808\n'
}

test_what_is_no_number()
{
	local text

	for text in '' 1.5 ' 1' 007 x 0x1 +1; do
		mstore set n "$text"
		run mstore incr n
		expect 3 '' 'mstore: n: the value is no number of 64 bits in decimal'
		run mstore get n
		expect 0 "$text"$'\n'
	done
	for text in '' x 1.5 +1 ' 1' '1 ' - -- 9223372036854775808 -9223372036854775809; do
		run mstore incr n "$text"
		expect 2 '' "mstore: incr: N '$text': must be a number from -9223372036854775808 to *"
	done
	run mstore incr
	expect 2 '' 'mstore: incr: KEY is missing*'
	run mstore incr n 1 2
	expect 2 '' 'mstore: incr: too many operands*'
}

test_number_keeps_what_it_has()
{
	run mstore incr --ttl 1h n
	expect 0 $'1\n'
	run mstore incr --ttl 3h n
	expect 0 $'2\n'
	run ttl_of n
	expect_between "$(<"$out")" 3500000 3600000
	run mstore incr n
	expect 0 $'3\n'
	run ttl_of n
	expect_between "$(<"$out")" 3500000 3600000
	run mstore hold k 1 -- mstore incr k
	expect 1 '' 'mstore: k: another open file owns the key'
}

test_no_addition_is_lost()
{
	local i

	for ((i = 0; i < 4; i++)); do
		for ((n = 0; n < 25; n++)); do
			mstore incr n
		done >/dev/null &
	done
	wait
	run mstore get n
	expect 0 $'100\n'
}

test_batch_does_the_same()
{
	local lines

	mstore set --ttl 1h a 1
	lines='set --print a 2\nset --print b x\\ny\nset --keep-ttl a 3\ndel --print b\ndel --print b\nget a\n'
	# shellcheck disable=SC2059
	printf "$lines" >"$work/lines"
	run_batch
	expect 1 $'a 1\nb x\\ny\na 3\n' 'mstore: line 5: b: no such key'
	mstore set a 1
	printf 'del --print a\nset --print b 1\n' >"$work/lines"
	run_batch --atomic --json
	expect_json "o['op'] == 'del' and o['value'] == '1'" \
		"o['op'] == 'set' and 'previous' not in o"
	printf 'get b\nincr b\n' >"$work/lines"
	run_batch
	expect 2 $'b 1\n' 'mstore: line 2: batch: incr is no single operation*'
	printf 'pub --print b 1\n' >"$work/lines"
	run_batch
	expect 2 '' 'mstore: line 1: pub: unknown option --print'
}

test_long_list_tells_all()
{
	mstore set --ttl 1h a 12345
	mstore set --ttl 100m bb ''
	mstore set --file <(head -c 2048 /dev/zero) c
	run mstore hold d 1 -- mstore ls --long --sort
	expect_status 0
	expect_line '      SIZE      TTL OWNED WRITER               TIME                 KEY'
	[[ $(cut -c 1-25 "$out" | tail -n 4) == "\
   5 bytes      60m -    
   0 bytes     100m -    
     2 KiB        - -    
    1 byte        - yes  " ]] || fail 'the columns differ'
	[[ $(awk '{ print $NF }' "$out") == $'KEY\na\nbb\nc\nd' ]] || fail 'the keys differ'
	[[ $(cut -c 69- "$out") == $'KEY\na\nbb\nc\nd' ]] || fail 'the keys are not aligned'
	grep -q "[0-9]/root  *$(date -u +%Y)-[0-9-]*T[0-9:]*Z a$" "$out"
	run mstore hold d 1 -- mstore ls -l --json --sort
	expect_json "o['key'] == 'a' and o['size'] == 5 and 3500000 < o['ttl_ms'] <= 3600000" \
		"o['user'] == 'root' and o['time_ns'] and 'owned' not in o" \
		"o['size'] == 2048 and 'ttl_ms' not in o" \
		"o['owned'] and o['pid'] and o['uid'] == 0 and o['version']"
	run mstore ls --json a
	expect_json "sorted(o) == ['key', 'size', 'version']"
	run mstore ls -l -0
	expect_status 2
}

start_json
run_tests
