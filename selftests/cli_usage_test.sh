#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: its command line, and a store that cannot be opened.
set -e
. ./cli_helpers.sh

commands='get set del pub update batch sub wait hold lock ls stat subs bucket flush info dump
	load private monitor audit doctor top stats upgrade'

test_help()
{
	local command

	run mstore get -h
	expect_status 0
	run mstore help
	expect_status 0
	expect_line 'Usage: mstore .*'
	run mstore --help
	expect_status 0
	for command in $commands; do
		expect_line "  $command .*"
		run mstore "$command" --help
		expect_status 0
		expect_line "Usage: mstore $command .*"
		expect_line '.*--store PATH .*'
		run mstore --help
	done
}

test_help_of_a_command()
{
	local command

	for command in $commands; do
		mstore "$command" --help >"$work/help"
		run mstore help "$command"
		expect 0 "$(<"$work/help")"$'\n'
	done
	run mstore help help
	expect 0 "$(mstore help)"$'\n'
	run mstore help --help
	expect 0 "$(mstore help)"$'\n'
	run mstore help frobnicate
	expect 2 '' 'mstore: frobnicate: no such command; see mstore --help'
	run mstore help set get
	expect 2 '' 'mstore: help: too many operands; give one COMMAND'
}

# The word, and the command that it is taken for.
expect_suggestion()
{
	run mstore "$1" a b
	expect 2 '' "mstore: $1: no such command; did you mean $2? See mstore --help"
}

test_a_wrong_word_suggests_the_right_one()
{
	local word

	mstore set a 1
	for word in publish:pub emit:pub subscribe:sub watch:sub put:set write:set read:get \
		delete:del rm:del remove:del unset:del list:ls keys:ls clear:flush export:dump \
		import:load flock:lock status:info \
		mon:monitor ubdate:update monitro:monitor stta:stat fluhs:flush gett:get; do
		expect_suggestion "${word%:*}" "${word#*:}"
	done
	for word in x frobnicate '' gettysburg $'\033' "$(printf %0200d 0)"; do
		run mstore "$word" a
		expect 2 '' 'mstore: *: no such command; see mstore --help'
	done
	run mstore get a
	expect 0 $'1\n'
}

test_words_without_a_command_are_explained()
{
	run mstore unlock k
	expect 2 '' 'mstore: unlock: no such command; a lock ends with the command that mstore lock runs; *'
	run mstore release k
	expect 2 '' 'mstore: release: no such command; *ends with the command that it runs. See mstore --help'
	run mstore unsubscribe
	expect 2 '' 'mstore: unsubscribe: no such command; a subscription ends with its mstore sub. See *'
}

test_the_manual_has_every_option_and_no_other()
{
	local command

	for command in $commands; do
		mstore --complete "$command"
	done | sed 's/=$//' | sort -u >"$work/tool"
	# The headings of the section are the lines behind .TP.
	sed '1,/^\.SH OPTIONS/d; /^\.SH/,$d' ../userspace/man/mstore.1 |
		sed -n '/^\.TP/ { n; s/\\-/-/g; p }' | grep -oE -- '--?[a-zA-Z0-9][a-z0-9-]*' |
		sort -u >"$work/manual"
	run diff "$work/tool" "$work/manual"
	expect 0 ''
}

test_help_needs_no_store()
{
	METASTORE_STORE=/nonexistent run mstore get --help
	expect_status 0
}

test_version()
{
	run mstore --version
	expect_status 0
	expect_err ''
	expect_line 'mstore [0-9.]+'
	run mstore version
	expect 0 "$(mstore --version)"$'\n'
	run mstore version 2
	expect 2 '' 'mstore: version: too many operands; it takes none'
}

test_no_command_or_a_wrong_one()
{
	run mstore
	expect 2 '' $'Usage:*\n  get *\n  set *\n  private *'
	run mstore frobnicate
	expect 2 '' 'mstore: frobnicate: no such command*'
	run mstore --frobnicate get k
	expect 2 '' 'mstore: --frobnicate: unknown option*'
	run mstore --store
	expect 2 '' 'mstore: --store: needs a value*'
}

test_operands_that_are_missing()
{
	local command

	for command in get set del pub update sub wait hold lock stat subs bucket; do
		run mstore "$command"
		expect 2 '' "mstore: $command: KEY is missing*"
	done
	for command in set pub hold; do
		run mstore "$command" k
		expect 2 '' "mstore: $command: VALUE is missing*"
	done
	run mstore hold k -- true
	expect 2 '' 'mstore: hold: VALUE is missing*'
	run mstore set --file /dev/null
	expect 2 '' 'mstore: set: KEY is missing*'
	for command in 'hold k v' 'hold k v --' 'lock k' 'lock k --' 'update k' 'update k --' \
		private 'private --'; do
		# shellcheck disable=SC2086
		run mstore $command
		expect 2 '' "mstore: ${command%% *}: COMMAND is missing*"
	done
	run mstore lock k true true
	expect 2 '' "mstore: lock: '--' must follow the operands*"
	run mstore update k true true
	expect 2 '' "mstore: update: '--' must follow the operands*"
	run mstore ls
	expect 0 ''
}

test_operands_that_are_too_many()
{
	local line

	for line in 'set k v w' 'pub k v w' 'set --file /dev/null k v' 'subs a b' \
		'bucket a b' 'flush --all a' 'info a' 'batch a' 'wait a b c' 'wait --gone a b' \
		'del --if-version 1 a b' 'load a b' 'audit a' 'doctor a' 'top a' 'stats a'; do
		# shellcheck disable=SC2086
		run mstore $line
		expect 2 '' "mstore: ${line%% *}: too many operands*"
	done </dev/null
	run mstore ls
	expect 0 ''
}

# The arguments, and the order that the message must show.
expect_order()
{
	# shellcheck disable=SC2086
	run_limited mstore $1
	expect 2 '' "mstore: ${1%% *}: $2 comes before the operands: mstore $3; write -- before *"
}

test_options_behind_an_operand_are_refused()
{
	mstore set a 1
	mstore set 5 1
	expect_order 'del a --if-version 5' --if-version 'del --if-version 5 a'
	expect_order 'del a --if-version=5' --if-version 'del --if-version=5 a'
	expect_order 'del 5 --steal a' --steal 'del --steal 5 a'
	expect_order 'get a --json' --json 'get --json a'
	expect_order 'get -0 a 5 --vers' --vers 'get -0 --vers a 5'
	expect_order 'get a -0e 5' -0e 'get -0e a 5'
	expect_order 'sub door -n 1' -n 'sub -n 1 door'
	expect_order 'sub door -n1 a' -n1 'sub -n1 door a'
	expect_order 'wait a --gone' --gone 'wait --gone a'
	expect_order 'stat a --store x' --store 'stat --store x a'
	expect_order 'ls a -l' -l 'ls -l a'
	expect_order 'flush a --all' --all 'flush --all a'
	expect_order 'set a 1 --ttl 5 --json' --ttl 'set --ttl 5 --json a 1'
	expect_order 'set a --ttl 5 1' --ttl 'set --ttl 5 a 1'
	expect_order 'lock a --timeout 5 -- true -e' --timeout 'lock --timeout 5 a -- true -e'
	expect_order 'hold a 1 --steal -- true' --steal 'hold --steal a 1 -- true'
	run mstore del a "it's" --steal $'\033'
	expect 2 '' "mstore: del: --steal *: mstore del --steal a 'it'\"'\"'s' '\\\\x1b'; *"
	run mstore get 5 a
	expect 0 $'5 1\na 1\n'
}

test_operands_that_only_look_like_options()
{
	run mstore set temp -5
	expect 0 ''
	run mstore set k --json
	expect 0 ''
	run mstore pub l -e
	expect 0 ''
	run mstore wait k --json
	expect 2 '' 'mstore: wait: --json comes before the operands: *'
	run mstore wait temp -5
	expect 0 $'-5\n'
	run mstore wait -- k --json
	expect 0 $'--json\n'
	run mstore set -- --json 1
	expect 0 ''
	run mstore get -- temp --json
	expect 0 $'temp -5\n\\x2d-json 1\n'
	run mstore get temp -5
	expect 1 $'temp -5\n' 'mstore: -5: no such key'
	run mstore del -- temp --json
	expect 0 ''
	run mstore lock k2 -- echo --timeout 5
	expect 0 $'--timeout 5\n'
	run mstore private echo -- -e
	expect 0 $'-- -e\n'
	# The value of the last option, not the end of the options.
	run_limited mstore sub --format -- k -n 1
	expect 2 '' 'mstore: sub: -n comes before the operands: mstore sub --format -- -n 1 k;*'
}

test_unknown_options()
{
	local command

	for command in $commands; do
		run mstore "$command" --frobnicate k v
		expect 2 '' "mstore: $command: unknown option --frobnicate*"
		run mstore "$command" -Z k v
		expect 2 '' "mstore: $command: unknown option -Z*"
	done
	run mstore touch -0 --ttl 1s k
	expect 2 '' 'mstore: touch: unknown option -0*'
	run mstore sub --timeout
	expect 2 '' 'mstore: sub: option --timeout needs a value*'
	run mstore ls
	expect 0 ''
}

test_options_can_be_abbreviated()
{
	mstore set k 1
	run mstore get --js --st /dev/metastore k
	expect_status 0
	expect_line '\{.*\}'
	run mstore --vers
	expect_line 'mstore [0-9.]+'
	run mstore set --if=1 k 2
	expect 1 '' 'mstore: k: the key has another version: *'
}

test_abbreviations_of_several_options_are_refused()
{
	run_limited mstore sub --re k
	expect 2 '' 'mstore: sub: --re abbreviates several options; give one of --restart --ready-fd; see *'
	run_limited mstore sub --queue=5 k
	expect 2 '' 'mstore: sub: --queue=5 abbreviates several options; give one of --queue-len --queue-bytes; *'
	run mstore set --s k v
	expect 2 '' 'mstore: set: --s abbreviates several options; give one of --steal --store; *'
	run mstore ls
	expect 0 ''
}

test_options_that_take_no_value()
{
	run mstore get --json=1 k
	expect 2 '' 'mstore: get: option --json takes no value; *'
	run mstore get --escaped= k
	expect 2 '' 'mstore: get: option --escaped takes no value; *'
	run mstore get --json -Ze k
	expect 2 '' 'mstore: get: unknown option -Z; *'
}

test_numbers_are_read_strictly()
{
	local number

	for number in '' x 1x ' 1' +1 -1 0 1.5 0x10 99999999999999999999; do
		run_limited mstore sub -n "$number" k
		expect 2 '' 'mstore: sub: -n *: must be a number from 1 to *'
	done
	for number in '' x -1 1.5 18446744073709551616; do
		run mstore set --if-version "$number" k v
		expect 2 '' 'mstore: set: --if-version *: must be a number from 0 to *'
	done
	for number in '' x -1 0 1.5 1099511627777; do
		run mstore private --max-keys "${number/#109*/-}" -- true
		expect 2 '' 'mstore: private: --max-keys *: must be a number from 1 to *'
	done
	for number in '' x -1 1.5 4294967295; do
		run_limited mstore sub --queue-len "${number/#42*/0}" k
		expect 2 '' 'mstore: sub: --queue-len *: must be a number from 1 to *'
	done
	for number in '' x -1 1.5 99999999999; do
		run mstore ls --bucket "$number"
		expect 2 '' 'mstore: ls: --bucket *: must be a number from 0 to *'
	done
}

test_durations_are_read_strictly()
{
	local time

	for time in '' x 1x ' 1' -1 . .s 1.2.3 1e3 inf 5S '5 s' 1s1 ms 99999999999999999999 \
		1999999999999999999999999; do
		run_limited mstore sub --timeout "$time" k
		expect 2 '' "mstore: sub: --timeout '$time': must be 0 to 100000d, such as *"
		run mstore set --ttl "$time" k v
		expect 2 '' "mstore: set: --ttl '$time': must be 1ms to 1099511627776ms, such as *"
		run mstore pub --wait="$time" k v
		expect 2 '' "mstore: pub: --wait '$time': must be 0 to 4294967294ms, such as *"
	done
	for time in 0 0ms 0.0 0.9ms 1099511627777ms 12726d; do
		run mstore set --ttl "$time" k v
		expect 2 '' "mstore: set: --ttl '$time': must be 1ms to *"
	done
	run mstore pub --wait=4294967295ms k v
	expect 2 '' 'mstore: pub: --wait *'
	run_limited mstore sub --timeout 100001d k
	expect 2 '' 'mstore: sub: --timeout *'
	run mstore ls
	expect 0 ''
}

# The time to live that the argument gives: at most this, in ms, and not much less.
expect_ttl()
{
	mstore set --ttl "$1" k v
	run mstore stat k
	expect_line 'ttl_ms: [0-9]+'
	ttl=$(sed -n 's/^ttl_ms: //p' "$out")
	((ttl <= $2 && ttl > $2 - 60000)) || fail "$1 is ${ttl}ms, not $2ms"
}

test_units_of_durations()
{
	local ttl

	expect_ttl 70 70000
	expect_ttl 70.5s 70500
	expect_ttl 70000ms 70000
	expect_ttl 3m 180000
	expect_ttl 1.5h 5400000
	expect_ttl .5d 43200000
	expect_ttl 12725d 1099440000000
	expect_ttl 1099511627776ms 1099511627776
	expect_ttl 70000.1ms 70001
}

# Runs a command where /dev is empty.
without_module()
{
	# shellcheck disable=SC2016
	run unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' - "$@"
}

test_without_the_module_it_says_what_to_do()
{
	local line

	for line in 'get k' 'set k v' 'del k' 'pub k v' 'sub k' ls 'stat k' 'subs k' 'bucket k' \
		'flush --all' info 'update k -- cat' 'wait k' 'hold k v -- true' \
		'lock k -- true' dump load 'private true' monitor audit top stats \
		'sub --prefix' 'pub --wait k v'; do
		# shellcheck disable=SC2086
		without_module mstore $line
		expect 3 '' 'mstore: /dev/metastore: no such store; load the module: modprobe metastore, or insmod metastore.ko'
	done
	without_module mstore batch <<<'get k'
	expect 3 '' 'mstore: /dev/metastore: no such store; load the module: *'
}

test_store_is_chosen_by_option_and_environment()
{
	mstore set k 1
	METASTORE_STORE=/nonexistent run mstore --store /dev/metastore get k
	expect 0 $'1\n'
	METASTORE_STORE=/nonexistent run mstore get --store /dev/metastore k
	expect 0 $'1\n'
	METASTORE_STORE=/dev/metastore run mstore --store=/nonexistent get k
	expect 3 '' 'mstore: /nonexistent: no such file; --store *'
	METASTORE_STORE='' run mstore get k
	expect 0 $'1\n'
}

test_what_is_no_store()
{
	local other='; --store says so, the default is /dev/metastore' command

	for command in 'get k' 'set k v' 'stat k' info 'sub k' 'wait k' 'flush --all' monitor; do
		# shellcheck disable=SC2086
		run_limited mstore --store /dev/null $command
		expect 3 '' "mstore: /dev/null: not a metastore but a file of another kind$other"
	done
	run mstore --store /dev/random get k
	expect 3 '' "mstore: /dev/random: not a metastore but a file of another kind$other"
	run mstore --store / get k
	expect 3 '' "mstore: /: not a metastore but a file of another kind$other"
	run mstore --store / set k v
	expect 3 '' "mstore: /: Is a directory$other"
	run mstore --store /nonexistent get k
	expect 3 '' "mstore: /nonexistent: no such file$other"
	run mstore --store /etc/passwd/x get k
	expect 3 '' "mstore: /etc/passwd/x: Not a directory$other"
	METASTORE_STORE=/nonexistent run mstore get k
	expect 3 '' "mstore: /nonexistent: no such file; METASTORE_STORE says so, the default *"
	mknod "$work/node" c 240 77
	run mstore --store "$work/node" get k
	expect 3 '' "mstore: $work/node: no driver has this device; load the module: *$other"
}

test_without_permission_it_says_who_has_it()
{
	mstore set k 1
	run setpriv --reuid=65534 --regid=65534 --clear-groups mstore get k
	expect 3 '' 'mstore: /dev/metastore: permission denied: owner root, group root, mode 0660*'
}

test_a_value_that_may_be_left_out_stands_behind_an_equals_sign()
{
	run mstore pub --wait 5s k
	expect 2 '' "mstore: pub: '5s' behind --wait: write --wait=5s, *"
	run mstore sub --exec true --restart HUP k
	expect 2 '' "mstore: sub: 'HUP' behind --restart: write --restart=HUP, *"
	run mstore lock --on-loss USR1 -- true
	expect 2 '' "mstore: lock: 'USR1' behind --on-loss: write --on-loss=USR1, *"
	run mstore pub --wait -- 5s v
	expect 0 ''
	run mstore pub --wait 5 v
	expect 0 ''
	run mstore get 5s 5
	expect 0 $'5s v\n5 v\n'
}

test_an_empty_store_is_not_the_default_one()
{
	mstore set k 1
	run mstore --store '' flush --all
	expect 2 '' 'mstore: --store: PATH is empty; *'
	run mstore flush --store '' --all
	expect 2 '' 'mstore: --store: PATH is empty; *'
	METASTORE_STORE='' run mstore get k
	expect 0 $'1\n'
}

# Runs a command of the table by a user who may only read the device, or only write it.
as_user()
{
	# A file, so that all lines are there at once.
	# shellcheck disable=SC2059
	printf "$2" >"$work/input"
	chmod "$1" /dev/metastore
	run_limited setpriv --reuid=65534 --regid=65534 --clear-groups "${@:3}" <"$work/input"
	chmod 660 /dev/metastore
}

# Access that the device must be open for, the input, and the command.
access_table="
read get a
read ls
read ls --sort
read ls --long
read stat a
read subs a
read bucket a
read info
read audit
read top --interval 100ms -n 1
read stats
read dump
read sub --timeout 0 a
read sub --timeout 0 --exec true a
read monitor --timeout 0
read wait a
read get\x20a\n batch
read get\x20a\n batch --atomic
write set b 1
write pub b 1
write pub --wait b 1
both set --print b 1
write set --keep-ttl b 1
write del a
both del --print a
both incr limited
write touch --ttl 100 limited
write hold b 1 -- true
write flush a
write load
write private -- true
write private -- mstore ls
write set\x20b\x201\npub\x20b\x202\ndel\x20b\n batch
write set\x20b\x201\n batch --atomic
both set\x20--print\x20b\x201\n batch
both del\x20--print\x20a\n batch --atomic
both lock b -- true
both update a -- cat
both load --replace --partial none/
both get\x20a\nset\x20b\x201\n batch
both get\x20a\nset\x20b\x201\n batch --atomic"

test_each_command_opens_the_store_for_no_more_than_it_does()
{
	local access input command mode

	while read -r access command; do
		[[ $access ]] || continue
		input=''
		[[ $command != *\\n\ * ]] || { input=${command%% *}; command=${command#* }; }
		for mode in 444 222 666; do
			mstore flush --all
			mstore set a 1
			mstore set --ttl 100 limited 1
			# shellcheck disable=SC2086
			as_user $mode "$input" mstore $command
			case $access$mode/$command in
			read444/audit | *666/audit | read444/top* | *666/top* | read444/stats | *666/stats)
				expect_err "mstore: ${command%% *}: cannot read *"
				;;
			read444/* | write222/* | *666/*) expect_status 0 ;;
			*) expect 3 '' 'mstore: /dev/metastore: permission denied: *' ;;
			esac
		done
	done <<<"$access_table"
}

test_one_descriptor_that_is_closed_is_not_taken_for_the_store()
{
	mstore set k 1
	run sh -c 'mstore get k 2>&-'
	expect 0 $'1\n'
	run sh -c 'mstore get nope 2>&-'
	expect 1 ''
	run sh -c 'mstore set --file - k <&-'
	expect 3 '' 'mstore: standard input: Bad file descriptor'
	run mstore get k
	expect 0 $'1\n'
}

run_tests
