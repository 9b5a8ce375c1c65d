#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: dump, load. FULL=1 does so with a million keys.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

# The same in any order of lines.
same()
{
	cmp <(sort "$1") <(sort "$2")
}

# Loads these lines.
run_load()
{
	run mstore load "${@:2}" <<<"$1"
}

test_a_dump_is_json()
{
	mstore set a $'1 "\\\n\001'
	run mstore dump
	expect_json "o == { 'key': 'a', 'value': '1 \"\\\\\n\x01' }" \
		"o == { 'whole': True, 'keys': 1 }"
	mstore del a
	run mstore dump
	expect 0 $'{"whole":true,"keys":0}\n'
}

test_any_bytes_come_back()
{
	local i

	for i in {0..255}; do
		printf 'set k\\x%02x\\x00%s v\\xff\\x%02x%s\n' "$i" "$i" "$i" "${i/#*[02468]/}"
	done | mstore batch
	head -c 65536 /dev/urandom | mstore set --file - big
	mstore set empty ''
	mstore set $'\342\202\254' $'\303\244\000'
	mstore dump >"$work/dump"
	mstore flush --all
	run mstore load <"$work/dump"
	expect 0 ''
	mstore dump >"$work/again"
	same "$work/dump" "$work/again"
	run wc -l "$work/dump"
	expect_line '260 .*'
}

test_a_prefix()
{
	mstore set a/1 x
	mstore set a/2 y
	mstore set b z
	run mstore dump a/
	expect_lines 3
	expect_line '\{"whole":true,"keys":2,"prefix":"a/"\}'
	mstore dump >"$work/dump"
	mstore flush --all
	run mstore load a/ <"$work/dump"
	expect 0 ''
	run sh -c 'mstore ls | sort'
	expect 0 $'a/1\na/2\n'
	run mstore dump -e 'a\x2f1'
	expect_json "o['key'] == 'a/1'" "o == { 'whole': True, 'keys': 1, 'prefix': 'a/1' }"
}

test_owned_keys_are_left_out()
{
	mstore set free 1
	mstore hold mine 1 -- sleep 600 &
	await_key mine
	run mstore dump
	expect_json "o['key'] == 'free'" "o['keys'] == 1"
}

test_what_is_left_of_a_time_to_live()
{
	mstore set --ttl 100s k 1
	run mstore dump
	expect_json "0 < o['ttl_ms'] <= 100000" "o['keys'] == 1"
	mstore flush --all
	run mstore load <"$out"
	expect 0 ''
	run mstore stat --json k
	expect_json "0 < o['ttl_ms'] <= 100000"
	run_load '{"key":"k","value":"2"}'
	run mstore stat k
	expect_line 'ttl_ms: none'
}

test_merge_and_replace()
{
	mstore set old 1
	mstore set both 1
	run_load '{"key":"both","value":"2"}' --merge
	expect 0 ''
	run mstore get old both
	expect 0 $'old 1\nboth 2\n'
	run_load '{"key":"new","value":"3"}' --json
	expect_json "o == { 'mode': 'merge', 'stored': 1, 'removed': 0 }"
	run_load $'{"key":"both","value":"4"}\n{"key":"newer","value":"4"}' --json --replace --partial
	expect_json "o == { 'mode': 'replace', 'stored': 2, 'removed': 2, 'left': 0 }"
	run sh -c 'mstore ls | sort'
	expect 0 $'both\nnewer\n'
}

test_replace_keeps_to_its_prefix()
{
	mstore set a/old 1
	mstore set b 1
	run_load $'{"key":"a/new","value":"2"}\n{"key":"b","value":"2"}\n{"whole":true,"keys":2}' --replace a/
	expect 0 ''
	run sh -c 'mstore ls | sort'
	expect 0 $'a/new\nb\n'
	run mstore get b
	expect 0 $'1\n'
	run_load '{"whole":true,"keys":0}' --replace
	expect 0 ''
	run mstore ls
	expect 0 ''
}

# With these arguments load refuses $work/input because of $why and changes nothing.
expect_untouched()
{
	local version

	version=$(mstore get --version old)
	run mstore load "$@" <"$work/input"
	expect 2 '' "mstore: load: $why; see mstore load --help"
	run mstore ls
	expect 0 $'old\n'
	run mstore get --version old
	expect 0 "$version"$'\n'
}

test_replace_wants_a_whole_dump()
{
	local why line dump

	for line in 1 2 3; do
		mstore set "k$line" "$line"
	done
	mstore dump >"$work/dump"
	mstore flush --all
	mstore set old 1
	why='--replace: the input lacks the last line of a dump, so keys may be missing; give all *, or --partial'
	: >"$work/input"
	expect_untouched --replace
	for line in 1 2 3; do
		head -n "$line" "$work/dump" >"$work/input"
		expect_untouched --replace
		expect_untouched --replace k
	done
	cat "$work/dump" - <<<'{"key":"k","value":"v"}' >"$work/input"
	expect_untouched --replace
	why='--replace: the input has 2 keys, but 3 were dumped; give all of a dump, or --partial'
	sed 2d "$work/dump" >"$work/input"
	expect_untouched --replace
	why='--replace: the input has 6 keys, but 3 were dumped; *'
	cat "$work/dump" "$work/dump" >"$work/input"
	expect_untouched --replace
	# Cut anywhere else, it is not JSON.
	dump=$(<"$work/dump")
	run_load "${dump::-1}" --replace
	expect 2 '' 'mstore: line 4: load: not a JSON object*'
	run mstore ls
	expect 0 $'old\n'
	run mstore load --replace <"$work/dump"
	expect 0 ''
	run mstore dump
	same "$out" "$work/dump"
}

test_whole_wants_a_whole_dump()
{
	local why

	mstore set k1 1
	mstore set k2 2
	mstore dump >"$work/dump"
	mstore flush --all
	mstore set old 1
	why='--whole: the input lacks the last line of a dump, so keys may be missing; give all of a dump'
	head -n 2 "$work/dump" >"$work/input"
	expect_untouched --whole
	expect_untouched --create --whole
	why='--whole: the input has 1 keys, but 2 were dumped; give all of a dump'
	sed 1d "$work/dump" >"$work/input"
	expect_untouched --whole
	why='--partial and --whole exclude each other'
	expect_untouched --replace --partial --whole
	run mstore load --whole <"$work/dump"
	expect 0 ''
	run mstore ls --sort
	expect 0 $'k1\nk2\nold\n'
}

test_create_leaves_what_exists()
{
	local why='only one of --replace and --create can be given'

	mstore set both new
	run_load $'{"key":"both","value":"old"}\n{"key":"gone","value":"back"}' --create --json
	expect_json "o == { 'mode': 'merge', 'stored': 1, 'removed': 0, 'existing': 1 }"
	run mstore get both gone
	expect 0 $'both new\ngone back\n'
	echo '{"key":"k","value":"v"}' >"$work/input"
	mstore flush --all
	mstore set old 1
	expect_untouched --create --replace
}

# FILE is the old one or the new one, and nothing else is left beside it.
test_dump_into_a_file()
{
	mkdir "$work/d"
	mstore set k 1
	run mstore dump --output "$work/d/dump"
	expect 0 ''
	same "$work/d/dump" <(mstore dump)
	[ "$(stat -c %a "$work/d/dump")" = 600 ]
	cp "$work/d/dump" "$work/before"
	mstore set k 2
	# It fails after it began, since no file may grow.
	run bash -o pipefail -c 'trap "" XFSZ
		(ulimit -f 0; exec mstore dump --output "$1") 2>&1 | cat' - "$work/d/dump"
	expect 3 $'mstore: standard output: File too large\n'
	cmp "$work/d/dump" "$work/before"
	run ls -A "$work/d"
	expect 0 $'dump\n'
	run mstore dump --output "$work/none/dump"
	expect 3 '' "mstore: $work/none/dump: No such file or directory"
}

# Only a file is replaced, and it keeps its mode. A link stays one.
test_dump_into_what_exists()
{
	mkdir "$work/e"
	mstore set k 1
	run mstore dump --output /dev/null
	expect 0 ''
	[ -c /dev/null ]
	: >"$work/e/file"
	chmod 640 "$work/e/file"
	ln -s file "$work/e/link"
	run mstore dump --output "$work/e/link"
	expect 0 ''
	[ -L "$work/e/link" ]
	[ "$(stat -c %a "$work/e/file")" = 640 ]
	same "$work/e/file" <(mstore dump)
	mkfifo "$work/e/pipe"
	cat "$work/e/pipe" >"$work/e/copy" &
	run mstore dump --output "$work/e/pipe"
	expect 0 ''
	wait "$!"
	[ -p "$work/e/pipe" ]
	cmp "$work/e/copy" "$work/e/file"
}

# A signal leaves nothing behind; one that is ignored does not end it.
test_dump_into_a_file_and_a_signal()
{
	local i

	mkdir "$work/f"
	for i in {1..2000}; do
		echo "set key$i $i"
	done | mstore batch
	run bash -c 'trap "" HUP; mstore dump --output "$1" & kill -HUP $!; wait $!' - "$work/f/dump"
	expect 0 ''
	same "$work/f/dump" <(mstore dump)
	for i in {1..10}; do
		mstore dump --output "$work/f/dump" &
		kill "$!"
		wait "$!" || :
	done
	run ls -A "$work/f"
	expect 0 $'dump\n'
	same "$work/f/dump" <(mstore dump)
}

test_partial_says_that_it_is_meant()
{
	local why='--partial needs --replace'

	mstore set old 1
	run_load '{"key":"k","value":"v"}' --replace --partial
	expect 0 ''
	run mstore ls
	expect 0 $'k\n'
	run mstore load --partial --replace </dev/null
	expect 0 ''
	run mstore ls
	expect 0 ''
	mstore set old 1
	echo '{"key":"k","value":"v"}' >"$work/input"
	expect_untouched --partial
	expect_untouched --partial --merge
}

test_a_dump_of_a_prefix_replaces_no_more()
{
	local why

	mstore set a/1 x
	mstore dump a/ >"$work/input"
	mstore flush --all
	mstore set old 1
	why='--replace: the dump has only keys that start with a/; give that PREFIX, or --partial'
	expect_untouched --replace
	expect_untouched --replace a
	expect_untouched --replace b/
	run mstore load --replace a/1 <"$work/input"
	expect 0 ''
	run mstore load --replace a/ <"$work/input"
	expect 0 ''
	run sh -c 'mstore ls | sort'
	expect 0 $'a/1\nold\n'
	run mstore load --replace --partial <"$work/input"
	expect 0 ''
	run mstore ls
	expect 0 $'a/1\n'
	run mstore dump -e '\x20\xff'
	expect 0 $'{"whole":true,"keys":0,"prefix_base64":"IP8="}\n'
	run mstore load --replace <"$out"
	expect 2 '' 'mstore: load: --replace: the dump has only keys that start with \\x20\\xff; give *'
}

test_an_empty_prefix_is_refused()
{
	local why='PREFIX is empty; leave it out to load all keys'

	mstore set old 1
	mstore dump >"$work/input"
	expect_untouched --replace ''
	expect_untouched --replace --partial ''
	expect_untouched ''
}

test_a_merge_takes_any_part()
{
	mstore set a 1
	mstore set b 2
	mstore dump >"$work/dump"
	mstore flush --all
	run mstore load < <(head -n 1 "$work/dump")
	expect 0 ''
	run mstore load < <(cat "$work/dump" "$work/dump")
	expect 0 ''
	run mstore load < <(sed 1d "$work/dump")
	expect 0 ''
	run mstore get a b
	expect 0 $'a 1\nb 2\n'
}

test_a_sorted_dump_is_whole()
{
	local locale

	mstore set -e '\xff' '\xff'
	mstore set z 1
	mstore set -- - 1
	for locale in C C.UTF-8; do
		mstore dump | LC_ALL=$locale sort >"$work/dump"
		run mstore load --replace <"$work/dump"
		expect 0 ''
	done
}

test_a_dump_that_failed_has_no_last_line()
{
	local i

	for ((i = 0; i < 3000; i++)); do
		echo "set k$i $i"
	done | mstore batch
	run sh -c 'mstore dump | head -n 1000 | mstore load --replace'
	expect_status 2
	# shellcheck disable=SC2016
	run sh -c 'ulimit -f 64; trap "" XFSZ; mstore dump >"$0"' "$work/dump"
	expect 3 '' 'mstore: standard output: *'
	run grep -c whole "$work/dump"
	expect 1 $'0\n'
	run sh -c 'mstore ls | wc -l'
	expect 0 $'3000\n'
}

test_the_last_line_of_a_key_counts()
{
	run_load $'{"key":"k","value":"1"}\n\n{"key":"k","value":"2"}'
	expect 0 ''
	run mstore get k
	expect 0 $'2\n'
}

test_what_get_prints_can_be_loaded()
{
	mstore set k 1
	run mstore get --json k
	mstore del k
	run mstore load <"$out"
	expect 0 ''
	run mstore get k
	expect 0 $'1\n'
}

test_a_wrong_line_writes_nothing()
{
	local line key

	key=$(printf %256s '' | tr ' ' k)
	mstore set old 1
	for line in 'x' '{' '[]' '{"key":"k"}' '{"value":"v"}' '{"key":"k","value":1}' \
		'{"key":"","value":"v"}' '{"key":"k","key_base64":"aw==","value":"v"}' \
		'{"key":"k","value_base64":"a"}' '{"key":"k","value_base64":"ab=="}' \
		'{"key":"k","value_base64":"a==="}' '{"key":"k","value_base64":"aw==aw=="}' \
		'{"key":"k","value":"v","ttl_ms":0}' '{"key":"k","value":"v","ttl_ms":1.5}' \
		'{"key":"k","value":"v","ttl_ms":"1"}' '{"key":"k","value":"v","ttl_ms":1099511627777}' \
		'{"key":"k","key":"l","value":"v"}' '{"key":"k","value":"v"}}' '{"key":"k","value":"\ud800"}' \
		'{"whole":false,"keys":1}' '{"whole":true}' '{"whole":true,"keys":-1}' \
		'{"whole":true,"keys":"1"}' '{"whole":true,"keys":1,"prefix":1}' \
		'{"key":"k","value":"v","whole":true}' '{"whole":true,"keys":2,"key":"k"}' \
		"{\"key\":\"$key\",\"value\":\"v\"}" $'{"key":"k","value":"\377"}'; do
		run_load $'{"key":"first","value":"1"}\n'"$line"$'\n{"key":"last","value":"1"}' --replace
		expect 2 '' 'mstore: line 2: load: *'
	done
	head -c 65537 /dev/zero | tr '\0' x >"$work/value"
	run_load "{\"key\":\"k\",\"value\":\"$(<"$work/value")\"}"
	expect 2 '' 'mstore: line 1: load: value of * bytes: must be 0 to *'
	run mstore ls
	expect 0 $'old\n'
}

test_a_field_that_is_not_known_is_refused()
{
	run_load $'{"key":"a","value":"1"}\n{"key":"k","value":"2","ttl":5000}'
	expect 2 '' 'mstore: line 2: load: unknown field "ttl": misspelt, or of a newer version; correct or remove it'
	run_load '{"whole":true,"keys":0,"except":"x"}' --replace
	expect 2 '' 'mstore: line 1: load: unknown field "except": *'
	run_load '{"key":"k","value":"2","\u001b\n":1}' --partial --replace
	expect 2 '' 'mstore: line 1: load: unknown field "\\x1b\\n": *'
	run mstore ls
	expect 0 ''
}

test_text_of_other_systems_is_refused()
{
	run_load $'{"key":"first","value":"1"}\n{"key":"k","value":"1"}\r'
	expect 2 '' 'mstore: line 2: load: ends with a carriage return; remove it *'
	run_load $'{"key":"first","value":"1"}\n\r'
	expect 2 '' 'mstore: line 2: load: ends with a carriage return; remove it *'
	run_load $'\xef\xbb\xbf{"key":"k","value":"1"}'
	expect 2 '' 'mstore: line 1: load: starts with a byte order mark; remove it *'
	run mstore load < <(printf '{"key":"k","value":"1"}\n' | iconv -t UTF-16)
	expect 2 '' 'mstore: line 1: load: starts with a byte order mark of UTF-16; convert it *'
	run mstore ls
	expect 0 ''
	run_load '{"key":"k","value":"1\r"}'
	expect 0 ''
	run mstore get --raw k
	expect 0 $'1\r'
}

test_keys_that_belong_to_others()
{
	mstore hold mine 1 -- sleep 600 &
	await_key mine
	run_load $'{"key":"mine","value":"2"}\n{"key":"k","value":"2"}' --replace --partial
	expect 1 '' 'mstore: mine: another open file owns the key*'
	run mstore get mine k
	expect 0 $'mine 1\nk 2\n'
	run_load '{"key":"other","value":"2"}' --replace --partial
	expect 0 '' 'mstore: load: left 1 key that other open files own; --steal removes it'
	run_load '{"key":"other","value":"2"}' --replace --partial --json
	expect_status 0
	expect_json "o == { 'mode': 'replace', 'stored': 1, 'removed': 0, 'left': 1 }"
	run_load '{"key":"m","value":"2"}' --replace --partial m
	expect 0 '' 'mstore: load: left 1 key *'
	run_load '{"key":"n","value":"2"}' --replace --partial n
	expect 0 ''
	run mstore get mine
	expect 0 $'1\n'
	run_load '{"key":"mine","value":"2"}' --steal
	expect 0 ''
	run mstore get mine
	expect 0 $'2\n'
	mstore hold other2 1 -- sleep 600 &
	await_key other2
	run_load '{"key":"k","value":"2"}' --replace --partial --steal
	expect 0 ''
	run mstore ls
	expect 0 $'k\n'
}

test_a_store_that_is_full()
{
	printf '{"key":"k%d","value":"1"}\n' {1..600} >"$work/dump"
	# shellcheck disable=SC2016
	run mstore private --max-keys 300 -- sh -c 'mstore set old 1
		mstore load --replace --partial; echo $?; mstore ls | wc -l; mstore get old' <"$work/dump"
	expect 0 $'3\n300\n1\n' 'mstore: k300: the store is full*stopped after 299 of 600 keys were stored'
}

test_dumps_while_others_write()
{
	local writer

	for ((i = 0; i < 2000; i++)); do
		echo "set steady$i $i"
	done | mstore batch
	mstore dump steady | grep '"key"' | sort >"$work/steady"
	while :; do
		for ((i = 0; i < 500; i++)); do
			echo "set busy$i $i"
			echo "del busy$i"
		done
	done | mstore batch &
	writer=$!
	await_key busy0
	for _ in {1..5}; do
		run mstore dump
		expect_status 0
		expect_err ''
		grep '"steady' "$out" | sort | cmp - "$work/steady"
	done
	kill -0 "$writer"
}

# $1 keys of 16 bytes with values of 32: a million take 96 MB.
many_keys()
{
	python3 -c '
for i in range('"$1"'):
    print("{\"key\":\"key/%012d\",\"value\":\"%032d\"}" % (i, i))'
}

test_many_keys_come_back()
{
	local keys=20000

	((!${FULL:-0})) || keys=1000000
	many_keys "$keys" >"$work/keys"
	run mstore load --json <"$work/keys"
	expect_json "o['stored'] == $keys"
	# shellcheck disable=SC2016
	run mstore private -- sh -c 'mstore --store /dev/metastore dump | mstore load --replace && mstore dump'
	expect_status 0
	mstore flush --all
	echo "{\"whole\":true,\"keys\":$keys}" >>"$work/keys"
	sort "$out" | cmp - "$work/keys"
}

start_json
run_tests
