#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: hold, lock, private; keys that belong to others.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

# Starts the holder of a key.
start_hold()
{
	start mstore hold "$1" "$2" -- sleep 600
	await_key "$1"
}

test_hold_becomes_the_command()
{
	# shellcheck disable=SC2016
	run mstore hold k 'a value' -- sh -c 'echo $$; mstore get k; mstore stat k; exit 5'
	expect_status 5
	expect_line 'a value'
	expect_line 'owned: yes'
	expect_line "writer: pid $(head -n 1 "$out") \(sh\), uid 0 \(root\)"
	run mstore get k
	expect 1 '' 'mstore: k: no such key'
}

# A key that --held writes belongs to the open file of hold or lock.
test_the_holder_changes_its_own_key()
{
	start_sub --format '%k %e %v %w' -n 6 k more
	run mstore hold k 1 -- sh -c 'mstore set --held k 2 && mstore pub --held k 3 &&
		mstore set --held more 4 && mstore stat more && mstore get k'
	expect_status 0
	expect_line 'owned: yes'
	expect_line 3
	end_sub
	run sed -E 's/owner [0-9]+ .*/owner/' "$out"
	expect_line 'k set 2 '
	expect_line 'k published 3 '
	expect_line 'k deleted  owner'
	expect_line 'more deleted  owner'
	run mstore ls
	expect 0 ''
}

test_the_holder_deletes_its_own_key()
{
	run mstore hold k 1 -- sh -c 'mstore del --held k && mstore get k'
	expect 1 '' 'mstore: k: no such key'
	run mstore hold k 1 -- sh -c 'mstore set --held l 1; mstore del --held l none k'
	expect 1 '' 'mstore: none: no such key'
	run mstore hold k 1 -- mstore del --held --if-version 1 k
	expect 1 '' 'mstore: k: the key has another version: *'
}

# Each goes to the one that owns it, a new one to the innermost.
test_holders_within_each_other()
{
	run mstore lock a -- mstore hold b 1 -- sh -c '
		mstore set --held a 2 && mstore set --held b 3 && mstore get a b'
	expect 0 $'a 2\nb 3\n'
	run mstore ls
	expect 0 ''
}

test_the_holder_renews_its_own_key()
{
	run mstore hold k 1 -- sh -c 'mstore set --held --ttl 100 k 2 && mstore touch --ttl 200 k'
	expect 1 '' 'mstore: k: another open file owns the key'
	run mstore lock a -- mstore hold b 1 -- sh -c '
		mstore set --held --ttl 100 a 2 && mstore set --held --ttl 100 b 2 &&
		mstore set --ttl 100 c 2 && mstore touch --held --ttl 1000 a b c none
		mstore get --json a b c'
	expect_err 'mstore: none: no such key'
	expect_json "o['owned'] and o['ttl_ms'] > 100000" "o['owned'] and o['ttl_ms'] > 100000" \
		"'owned' not in o and o['ttl_ms'] > 100000"
}

test_the_holder_updates_its_own_key()
{
	run mstore lock --value 1 a -- mstore hold b 2 -- sh -c '
		mstore update --held a -- sed s/$/a/ && mstore update --held b -- sed s/$/b/ &&
		mstore update --held c -- echo 3 && mstore get --json a b c'
	expect_json "o['value'] == '1a' and o['owned']" "o['value'] == '2b' and o['owned']" \
		"o['value'] == '3' and o['owned']"
	run mstore ls
	expect 0 ''
	# It is known before the filter runs.
	run mstore update --held a -- sh -c 'echo ran >&2'
	expect 3 '' 'mstore: --held: no mstore hold *'
}

test_the_holder_changes_its_own_keys_in_a_batch()
{
	printf '%s\n' 'get a' 'set a 3' 'pub b 4' 'set --ttl 100 c 5' 'touch --ttl 1000 c' 'get c' \
		'set d 6' 'del d' 'del none' >"$work/lines"
	# shellcheck disable=SC2016
	run mstore lock --value 1 a -- mstore hold b 2 -- \
		sh -c 'mstore batch --held <"$0"; echo $?; mstore get --json a b c' "$work/lines"
	expect_err 'mstore: line 9: none: no such key'
	run tail -n +4 "$out"
	expect_json "o['value'] == '3' and o['owned']" "o['value'] == '4' and o['owned']" \
		"o['value'] == '5' and o['owned'] and o['ttl_ms'] > 100000"
	run mstore batch --held <<<'set a 1'
	expect 3 '' 'mstore: --held: no mstore hold *'
	run mstore ls
	expect 0 ''
}

# It goes through one open file: the one that owns its keys.
test_the_holder_changes_its_own_keys_in_an_atomic_batch()
{
	printf 'get a\nset a 3\nset c 4\n' >"$work/lines"
	# shellcheck disable=SC2016
	run mstore lock --value 1 a -- mstore lock --value 2 b -- \
		sh -c 'mstore batch --atomic --held <"$0" && mstore get a b c' "$work/lines"
	expect 2 '' 'mstore: line 2: batch: --atomic: line 1 already has this key*'
	sed -i 's/get a/get b/' "$work/lines"
	# shellcheck disable=SC2016
	run mstore lock --value 1 a -- mstore lock --value 2 b -- \
		sh -c 'mstore batch --atomic --held <"$0" && mstore get a b c' "$work/lines"
	expect 0 $'b 2\na 3\nb 2\nc 4\n'
	# Two owners do not fit into one moment.
	printf 'set c 5\nset b 3\nset a 3\n' >"$work/lines"
	# shellcheck disable=SC2016
	run mstore lock --value 1 a -- mstore lock --value 2 b -- \
		sh -c 'mstore batch --atomic --held <"$0"; echo $?; mstore get a b c' "$work/lines"
	expect_status 1
	expect_line 'b 2'
	expect_err $'mstore: line 2: b: another open file owns the key*\nmstore: c: no such key'
	run mstore hold a 1 -- sh -c 'printf "get b\nset a 2\n" | mstore batch --atomic --held'
	expect 3 '' 'mstore: --held: fd:100: hold opened it to write alone; *'
	run mstore hold a 1 -- sh -c 'printf "set b 2\nset a 2\n" | mstore batch --atomic --held &&
		mstore get a b'
	expect 0 $'a 2\nb 2\n'
}

test_other_contents_of_the_variable_of_held()
{
	local held

	for held in abc '100 ' ' 100' 100,7 -1 1x 0x10 9999999999; do
		METASTORE_HELD=$held run mstore set --held k 1
		expect 3 '' "mstore: --held: METASTORE_HELD is '$held': must be as mstore hold and lock set it, *"
		METASTORE_HELD=$held run mstore hold k 1 -- mstore set --held k 2
		expect 0 ''
	done
	METASTORE_HELD=abc run mstore del --held k
	expect 3 '' 'mstore: --held: METASTORE_HELD is *'
	METASTORE_HELD='' run mstore set --held k 1
	expect 3 '' 'mstore: --held: no mstore hold *'
	run mstore ls
	expect 0 ''
}

test_nothing_is_held()
{
	local holder

	run mstore set --held k 1
	expect 3 '' 'mstore: --held: no mstore hold or mstore lock is around this command'
	run mstore hold k 1 -- bash -c 'exec 100>&-; mstore set --held k 2'
	expect 3 '' 'mstore: --held: fd:100: no such descriptor; *'
	run mstore hold k 1 -- bash -c 'exec 100>/dev/null; mstore set --held k 2'
	expect 3 '' 'mstore: --held: fd:100: not a metastore*'
	mstore hold k 1 -- sleep 600 &
	holder=$!
	await_key k
	run mstore hold other 1 -- mstore set --held k 2
	expect 1 '' 'mstore: k: another open file owns the key*'
	run mstore get k
	expect 0 $'1\n'
	kill "$holder"
}

test_hold_ends_however_the_command_ends()
{
	start_sub --format '%e %w' -n 6 k
	mstore hold k 1 -- true
	mstore hold k 1 -- sh -c 'exit 3' || :
	# shellcheck disable=SC2016
	mstore hold k 1 -- sh -c 'kill -KILL $$' || :
	end_sub
	expect_status 0
	run sed -E 's/owner [0-9]+ /owner /' "$out"
	expect 0 $'set \ndeleted owner exited 0\nset \ndeleted owner exited 3\nset \ndeleted owner killed 9\n'
}

test_json_tells_how_an_owner_ended()
{
	local holder

	mstore hold k 1 -- sleep 600 &
	holder=$!
	await_key k
	start_sub --json -n 1 k
	kill -KILL "$holder"
	end_sub
	expect_json "o['event'] == 'deleted' and o['owner_pid'] == $holder and \
		o['owner_end'] == 'killed' and o['owner_code'] == 9"
}

test_descriptors_prolong_ownership()
{
	mstore hold k 1 -- sh -c 'sleep 600 >/dev/null 2>&1 & echo $!' >"$work/child"
	run mstore get k
	expect 0 $'1\n'
	kill "$(cat "$work/child")"
	run mstore wait --gone --timeout 60 k
	expect 0 ''
}

test_the_owned_descriptor_is_out_of_the_way()
{
	# shellcheck disable=SC2016
	run mstore hold k 1 -- sh -c 'exec 3>/dev/null 9>/dev/null; mstore get k; ls /proc/$$/fd'
	expect_status 0
	expect_line 1
	expect_line '1[0-9][0-9]'
	run sh -c 'ulimit -n 50; exec mstore hold k 1 -- mstore get k'
	expect 0 $'1\n'
}

test_what_belongs_to_others_is_refused()
{
	start_hold k 1
	run mstore set k 2
	expect 1 '' 'mstore: k: another open file owns the key; --steal overrides'
	run mstore pub k 2
	expect 1 '' 'mstore: k: another open file owns*'
	run mstore del k
	expect 1 '' 'mstore: k: another open file owns*'
	run mstore update k -- cat
	expect 1 '' 'mstore: k: another open file owns*'
	run mstore hold k 2 -- true
	expect 1 '' 'mstore: k: another open file owns*'
	run sh -c 'echo "set k 2" | mstore batch'
	expect 1 '' 'mstore: line 1: k: another open file owns*'
	run mstore flush --json --all
	expect_status 1
	expect_json "o == { 'values': 0, 'subscriptions': 0, 'left': 1 }"
	expect_err 'mstore: flush: left 1 key that other open files own; --steal removes it'
	run mstore get k
	expect 0 $'1\n'
	run mstore get --json k
	expect_json "o['owned'] is True"
	run mstore stat --json k
	expect_json "o['owned'] is True"
}

test_flush_says_how_many_keys_of_others_it_left()
{
	start_hold net/a 1
	mstore set net/b 1
	mstore set disk 1
	run mstore hold net/c 1 -- mstore hold disk2 1 -- mstore flush net/
	expect 1 '' 'mstore: flush: left 2 keys that other open files own; --steal removes them'
	run mstore flush disk
	expect 0 ''
	run mstore flush --bucket $((($(mstore bucket net/a) + 1) % 1000)) --all
	expect 0 ''
	# Without the right to read it cannot know.
	chmod 222 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups mstore flush --json --all
	chmod 660 /dev/metastore
	expect_status 0
	expect_err ''
	expect_json "o == { 'values': 0, 'subscriptions': 0 }"
	run mstore flush --steal --json --all
	expect_json "o == { 'values': 1, 'subscriptions': 0, 'left': 0 }"
	expect_err ''
}

test_what_belongs_to_others_is_stolen_on_demand()
{
	start_hold k 1
	run mstore set --steal k 2
	expect 0 ''
	run mstore stat k
	expect_line 'owned: no'
	kill "$sub"
	end_sub
	run mstore get k
	expect 0 $'2\n'
	start_hold k2 1
	run mstore del --steal k2
	expect 0 ''
	end_jobs
	start_hold k3 1
	run mstore update --steal k3 -- sed s/1/3/
	expect 0 ''
	run mstore get k3
	expect 0 $'3\n'
	end_jobs
	start_hold k4 1
	run mstore flush --steal --json k4
	expect_json "o['values'] == 1"
}

test_sub_says_that_a_key_was_stolen()
{
	local events

	start_hold k 1
	mstore sub --format '%e %v %w' -n 2 k >"$work/events" &
	events=$!
	await_subscribers k 1
	mstore set --steal k 2
	mstore set k 3
	wait "$events"
	run cat "$work/events"
	expect 0 $'set 2 stolen\nset 3 \n'
}

test_hold_has_conditions()
{
	mstore set k 1
	run mstore hold --create k 2 -- echo no
	expect 1 '' 'mstore: k: the key already exists, with version *'
	run mstore hold --if-version "$(mstore get --version k)" k 2 -- mstore get k
	expect 0 $'2\n'
	run mstore hold --replace k 2 -- echo no
	expect 1 '' 'mstore: k: no such key'
}

test_hold_takes_the_value_from_a_file()
{
	printf 'a\0b' >"$work/value"
	run mstore hold --file "$work/value" k -- mstore get --raw k
	expect_status 0
	printf 'a\0b' | cmp - "$out"
	run sh -c 'echo input | mstore hold --file - k -- mstore get k'
	expect 0 $'input\n\n'
}

test_commands_that_do_not_run()
{
	local line

	for line in 'hold k v --' 'lock k --' 'private --'; do
		# shellcheck disable=SC2086
		run mstore $line /nonexistent
		expect 127 '' 'mstore: /nonexistent: No such file or directory'
		# shellcheck disable=SC2086
		run mstore $line /
		expect 126 '' 'mstore: /: Permission denied'
	done
	run mstore ls
	expect 0 ''
}

test_commands_find_files_and_signals_as_they_were()
{
	run sh -c 'mstore hold k v -- sh -c "echo input >&0" <&- 2>&1'
	[[ $status != 0 ]]
	run env --default-signal=PIPE mstore hold k v -- sh -c 'grep SigIgn /proc/self/status'
	expect_line 'SigIgn:.0+'
	run env --ignore-signal=PIPE mstore hold k v -- sh -c 'grep SigIgn /proc/self/status'
	expect_line 'SigIgn:.0*1000'
	run env --ignore-signal=CHLD mstore hold k v -- grep SigIgn /proc/self/status
	expect_line 'SigIgn:.0*10000'
}

# A parent that ignores SIGCHLD bequeaths that.
test_the_status_of_a_command_is_known_without_the_signal_of_its_end()
{
	run env --ignore-signal=CHLD mstore update k -- sh -c 'cat; echo new; exit 0'
	expect 0 ''
	run mstore get k
	expect 0 $'new\n'
	run env --ignore-signal=CHLD mstore update k -- sh -c 'exit 5'
	expect 5 ''
	run env --ignore-signal=CHLD mstore lock --close lock -- sh -c 'exit 6'
	expect 6 ''
	run_limited env --ignore-signal=CHLD mstore sub --snapshot --exec 'exit 7' -n 1 k
	expect 0 '' 'mstore: k: the --exec command ended with status 7'
	run env --ignore-signal=CHLD mstore update k -- grep SigIgn /proc/self/status
	run mstore get k
	expect_line 'SigIgn:.0*10000'
}

test_lock_says_who_has_it()
{
	# shellcheck disable=SC2016
	run mstore lock k -- sh -c 'mstore get k; echo $$; exit 4'
	expect_status 4
	expect_line "$(tail -n 1 "$out") sh -c mstore get k; echo .*; exit 4"
	run mstore lock --value me k -- mstore get k
	expect 0 $'me\n'
	run mstore lock -e --value 'two\nlines' k -- mstore get k
	expect 0 $'two\nlines\n'
	# As much of it as the store takes.
	run mstore private --max-value 10 -- mstore lock k -- mstore get k
	expect_status 0
	expect_line '[0-9]+ ms.*'
}

test_lock_waits_for_its_turn()
{
	start_hold k 1
	mstore lock k -- echo mine >"$work/mine" &
	await_subscribers k 1
	[[ ! -s $work/mine ]]
	kill -KILL "$sub"
	await_line "$work/mine" mine
	wait $! || :
	run mstore wait --gone --timeout 60 k
	expect 0 ''
}

test_lock_waits_for_values_without_owner_too()
{
	mstore set --ttl 300ms k 1
	run mstore lock --timeout 60 k -- echo mine
	expect 0 $'mine\n'
}

test_lock_with_a_timeout()
{
	start_hold k 1
	run mstore lock --timeout 0 k -- echo mine
	expect 124 ''
	run mstore lock --timeout 0.3 k -- echo mine
	expect 124 ''
	kill "$sub"
	mstore wait --gone k
	run mstore lock --timeout 0 k -- echo mine
	expect 0 $'mine\n'
}

test_lock_outlives_a_flush_of_subscriptions()
{
	start_hold k 1
	mstore lock k -- echo mine >"$work/mine" &
	await_subscribers k 1
	# The waiter, at once, may be between two tickets of its own.
	run mstore flush --subscriptions --all
	expect 1 '' 'mstore: flush: left [12] key*'
	await_subscribers k 1
	kill -KILL "$sub"
	await_line "$work/mine" mine
}

# Takes the lock again and again. A holder that finds another's name in place of its own
# was not alone. (A lock of a file is no witness: what a process has open when it ends goes in
# no certain order, so that the key may be free before the file is.)
take_turns()
{
	local i ended

	for ((i = 0; i < $1; i++)); do
		ended=0
		# shellcheck disable=SC2016
		mstore lock turn -- sh -c '
			echo $$ >"$1"
			sleep 0.05
			[ "$(cat "$1")" = $$ ] || exit 99' sh "$work/witness" || ended=$?
		echo "$ended" >>"$work/turns"
	done
}

test_a_lock_is_never_held_twice_nor_stuck()
{
	local takers=() i

	for _ in {1..5}; do
		take_turns 5 &
		takers+=($!)
	done
	for ((i = 0; i < 4; i++)); do
		sleep 0.5
		kill -KILL "$(mstore get turn 2>/dev/null | cut -d ' ' -f 1)" 2>/dev/null || :
	done
	for sub in "${takers[@]}"; do
		wait "$sub"
	done
	run sort -u "$work/turns"
	[[ $(<"$out") == 0 || $(<"$out") == $'0\n137' ]]
	run wc -l "$work/turns"
	expect_line '25 .*'
}

test_private_is_a_store_of_its_own()
{
	mstore set k common
	# shellcheck disable=SC2016
	run mstore private -- sh -c 'mstore ls; mstore set k private; mstore get k; echo $METASTORE_STORE'
	expect 0 $'private\nfd:100\n'
	run mstore get k
	expect 0 $'common\n'
}

# With -- and without, the options of the command are its own.
test_private_runs_what_follows_its_options()
{
	mstore set k common
	run mstore private mstore get --json k
	expect 1 '' 'mstore: k: no such key'
	run mstore private --max-keys 3 sh -c 'mstore info --json'
	expect_json "o['max_keys'] == 3 and o['keys'] == 0"
	run mstore private --max-keys 3 -- echo --max-keys 4
	expect 0 $'--max-keys 4\n'
	run mstore private echo --max-keys 4 -- -x
	expect 0 $'--max-keys 4 -- -x\n'
}

test_private_is_a_whole_store()
{
	# shellcheck disable=SC2016
	run mstore private -- sh -c '
		mstore set k 1
		mstore sub -n 2 k &
		until [ "$(mstore subs k)" = 1 ]; do :; done
		mstore pub k 2
		mstore update k -- sed s/2/3/
		wait
		mstore hold h 1 -- mstore lock l -- mstore ls | sort
		echo "del k" | mstore batch --atomic
		mstore flush --subscriptions --json --all
		exit 6'
	expect 6 $'k 2\nk 3\nh\nk\nl\n{"values":0,"subscriptions":0,"left":0}\n'
}

test_private_in_private()
{
	run mstore private -- sh -c '
		mstore set k outer
		mstore private -- sh -c "mstore set k inner; mstore ls; mstore get k"
		mstore get k'
	expect 0 $'k\ninner\nouter\n'
}

test_private_has_limits_of_its_own()
{
	run mstore private --buckets 3 --max-value 10 --max-keys 2 --max-bytes 10000 \
		--queue-len 7 --queue-bytes 5000 -- mstore info --json
	expect_json "o['buckets'] == 3 and o['max_value'] == 10 and o['max_keys'] == 2 and \
		o['max_bytes'] == 10000 and o['queue_len'] == 7 and o['queue_bytes'] == 5000"
	run mstore private --max-keys 1 -- sh -c 'mstore set a 1; mstore set b 1'
	expect 3 '' 'mstore: b: the store is full*'
	run mstore private --max-value 1 -- sh -c 'mstore set a 22'
	expect 3 '' 'mstore: a: the value is too long*'
	run mstore private --buckets 65537 -- true
	expect 2 '' "mstore: private: --buckets '65537': must be a number from 1 to 65536*"
	run mstore private --max-value 16777217 -- true
	expect 2 '' "mstore: private: --max-value '16777217': must be a number from 1 to 16777216*"
	run mstore private --max-keys 2147483649 -- true
	expect 2 '' "mstore: private: --max-keys *: must be a number from 1 to 2147483648*"
	run mstore private --max-bytes 4095 -- true
	expect 2 '' "mstore: private: --max-bytes '4095': must be a number from 4096 to *"
	run mstore private --queue-len 1048577 -- true
	expect 2 '' "mstore: private: --queue-len *: must be a number from 1 to 1048576*"
	run mstore private --queue-bytes 4095 -- true
	expect 2 '' "mstore: private: --queue-bytes *: must be a number from 4096 to 1073741824*"
	# The module takes all that the tool lets pass.
	run mstore private --buckets 65536 --max-value 16777216 --max-keys 2147483648 \
		--max-bytes 9223372036854775807 --queue-len 1048576 --queue-bytes 1073741824 -- true
	expect 0 ''
	run mstore private --buckets 1 --max-value 1 --max-keys 1 --max-bytes 4096 --queue-len 1 \
		--queue-bytes 4096 -- true
	expect 0 ''
	run mstore private --max-keys 5 -- \
		setpriv --bounding-set=-sys_resource mstore private --max-keys 6 -- true
	expect 3 '' 'mstore: private: a limit above that*CAP_SYS_RESOURCE'
}

test_a_store_that_was_not_inherited()
{
	METASTORE_STORE=fd:77 run mstore get k
	expect 3 '' 'mstore: fd:77: no such descriptor*'
	METASTORE_STORE=fd:0 run mstore get k </dev/null
	expect 3 '' 'mstore: fd:0: not a metastore*'
	METASTORE_STORE=fd:5 run sh -c 'exec mstore set k 1 5</dev/metastore'
	expect 3 '' 'mstore: fd:5: the descriptor lacks the access that this command needs'
}

start_json
run_tests
