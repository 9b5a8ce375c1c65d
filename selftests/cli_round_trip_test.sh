#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: what it prints plainly is input for it, whatever bytes keys and values have.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

# Every key of one byte; every key of two bytes that has one a parser may mistake (FULL=1: every
# key of two bytes), each with itself as its value; and longer random keys, most of such bytes.
# Writes them as input for load, and as hexadecimal text.
make_pairs()
{
	local seed=$RANDOM

	echo "# seed $seed"
	python3 -c '
import base64, json, random, sys
random.seed(int(sys.argv[1]))
nasty = [b"-", b"--ttl", b" ", b"\t", b"\\", b"\n", b"\r", b"#", b"=", b"\0", b"x2d", b"\xef\xbb\xbf"]

def some(least, most):
    parts = [random.choice(nasty) if random.random() < 0.7 else random.randbytes(3)
             for _ in range(random.randint(least, most))]
    return b"".join(parts)[:255]

one = [bytes([i]) for i in range(256)]
special = one if sys.argv[2] != "0" else [bytes([i]) for i in b"\0\t\n\r\"#-=\\x0 \x7f\x80\xc3\xff"]
pairs = {key: key for key in one + [a + b for a in one for b in special] +
                             [a + b for a in special for b in one]}
pairs.update((some(1, 40), some(0, 100)) for _ in range(2000))
for key, value in pairs.items():
    print(json.dumps({"key_base64": base64.b64encode(key).decode(),
                      "value_base64": base64.b64encode(value).decode()}))
    print(key.hex(), value.hex(), file=sys.stderr)' $seed "${FULL:-0}" >"$work/pairs" 2>"$work/hex"
	mapfile -t pairs <"$work/pairs"
}

# Loads the pairs, and has the dump of them to compare with in $work/dump.
load_pairs()
{
	mstore load <"$work/pairs"
	mstore dump | sort >"$work/dump"
}

# Runs a batch of the lines of file $2, each with the word $1 in front.
run_each()
{
	sed "s/^/$1 /" "$2" >"$work/batch"
	run mstore batch <"$work/batch"
}

# These lines, with set in front, make a store of which the dump is the same.
expect_copy()
{
	sed 's/^/set /' "$1" >"$work/batch"
	run mstore private -- sh -c 'mstore batch && mstore dump' <"$work/batch"
	expect_status 0
	expect_err ''
	sort "$out" | cmp - "$work/dump"
}

test_a_dump_has_these_bytes()
{
	load_pairs
	python3 -c '
import base64, json, sys

def field(o, name):
    return o[name].encode() if name in o else base64.b64decode(o[name + "_base64"])

for line in sys.stdin:
    o = json.loads(line)
    if "key" in o or "key_base64" in o:
        print(field(o, "key").hex(), field(o, "value").hex())' <"$work/dump" | sort >"$work/dumped"
	sort "$work/hex" | cmp - "$work/dumped"
}

test_lines_of_ls_are_keys_of_batch()
{
	load_pairs
	mstore ls >"$work/keys"
	run_each get "$work/keys"
	expect_status 0
	expect_err ''
	expect_copy "$out"
	run_each del "$work/keys"
	expect 0 ''
	run mstore ls
	expect 0 ''
}

# No -- before the keys.
test_lines_of_ls_are_operands_of_get()
{
	load_pairs
	mstore ls | tr '\n' '\0' >"$work/keys"
	xargs -0 -x -n 100000 -s 2000000 mstore get -e <"$work/keys" >"$work/lines"
	expect_copy "$work/lines"
}

test_lines_of_sub_are_pairs_of_batch()
{
	load_pairs
	mstore sub --snapshot --prefix -n "${#pairs[@]}" >"$work/lines"
	expect_copy "$work/lines"
}

await_subscribers_of_all()
{
	until [[ $(mstore info --json) == *'"subscriptions":1,'* ]]; do
		pause
	done
}

test_lines_of_monitor_have_keys_of_batch()
{
	local i

	start mstore monitor -n 257
	await_subscribers_of_all
	mstore set - -
	for ((i = 0; i < 256; i++)); do
		printf 'set \\x2d\\x%02x \\x2d\\x%02x\n' $i $i
	done | mstore batch
	end_sub
	expect_status 0
	mstore dump | sort >"$work/dump"
	awk '{ print "get", $5 }' "$out" | mstore batch >"$work/lines"
	expect_copy "$work/lines"
}

test_a_key_is_no_option()
{
	mstore set -- --ttl '1000 other gone'
	mstore set -- -h x
	run mstore get -- --ttl -h
	expect 0 $'\\x2d-ttl 1000 other gone\n\\x2dh x\n'
	run_each set "$out"
	expect 0 ''
	mstore get -- --ttl | sed 's/^/set /' | mstore batch
	run sh -c 'mstore ls | sort'
	expect 0 $'1000\n\\x2d-ttl\n\\x2dh\n'
	run mstore stat -- --ttl
	expect_line 'key: \\x2d-ttl'
	expect_line 'ttl_ms: none'
	run mstore get -- -nope
	expect 1 '' 'mstore: -nope: no such key'
}

test_without_escapes_a_key_stays_as_it_is()
{
	mstore set -- -k -v
	run mstore ls -0
	printf -- '-k\0' | cmp - "$out"
	run mstore ls --json
	expect_json "o['key'] == '-k'"
	run mstore get -0 -- -k -k
	printf -- '-k\0-v\0-k\0-v\0' | cmp - "$out"
}

# Scripts compute with it: it is no field of a line.
test_the_only_value_is_an_operand_as_it_is()
{
	local i value

	for ((i = 0; i < 256; i++)); do
		printf 'set v%03d \\x2d\\x%02x\n' $i $i
	done | mstore batch
	for ((i = 0; i < 256; i++)); do
		printf -v value 'v%03d' $i
		mstore get "$value"
	done >"$work/values"
	for ((i = 0; i < 256; i++)); do
		printf -v value '\\x%02x' $i
		printf "%b\n" "-$value"
	done | cmp - "$work/values"
	for value in -5 -- - --ttl '--ttl 1000 other gone' $'-a\n-b' '\q' '\n' '#' ' '; do
		mstore set k "$value"
		mstore set copy "$(mstore get k)"
		run mstore get --raw copy
		expect 0 "$value"
		mstore set copy "$(mstore wait k "$value")"
		run mstore get --raw copy
		expect 0 "$value"
	done
	run mstore ls other
	expect 0 ''
}

start_json
make_pairs
run_tests
