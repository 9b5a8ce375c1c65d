#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: each example of its manual, in the words of the manual.
#
# An example is run by bash as it stands. Programs that it names are scripts of the test
# in its PATH, and it runs in an empty directory.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh
. ./manual_helpers.sh

# The test of each example, and the example's first line.
declare -A first_lines texts
while read -r name line; do
	first_lines[$name]=$line
done <<'END'
test_lines_of_batch                 get key
test_keep_and_read                  $ mstore set temp -5
test_follow_two_keys                $ mstore sub temp door
test_loop_over_changes              mstore sub -0 temp door |
test_update                         mstore incr visits
test_one_backup                     mstore lock backup -- /usr/local/bin/backup
test_three_builds                   mstore lock --slots 3 --on-loss build -- make
test_no_later_holder                mstore lock report -- sh -c '
test_service_is_alive               mstore hold service/web up -- /usr/sbin/webserver
test_wait_for_a_service             mstore wait --timeout 30 service/web up || echo "too late"
test_follow_a_configuration         mstore sub --snapshot --exec '
test_restart_or_tell_a_server       mstore sub --snapshot --restart --settle 1s --exec 'exec server' cfg users
test_keep_a_copy                    mstore sub --snapshot --prefix --json net/ | my-program
test_keep_a_copy_in_a_shell         declare -A door
test_start_when_subscribed          exec {ready}< <(mstore sub --ready-fd 5 done 5>&1 >log)
test_lose_nothing                   mstore sub --published --lossless job | slow-worker
test_who_is_behind                  sudo mstore audit
test_move_5                         printf '%s\n' "set --if-version $va a $((a - 5))" \
test_operations_in_one_process      coproc mstore batch
test_save_and_restore               mstore dump >saved
test_wait_for_a_publication         mstore sub --published -n 1 --timeout 30 ready || echo "too late"
test_store_a_file                   mstore set --file logo.png logo
test_writers_and_times              mstore ls -0 | xargs -0r mstore stat --
test_remove_keys                    mstore flush net/ tmp/
END

read_examples mstore.1
for text in "${examples[@]}"; do
	texts[${text%%$'\n'*}]=$text
done

# Sets text to the example of the test that calls this, and lines to its lines.
example()
{
	text=${texts[${first_lines[${FUNCNAME[1]}]}]}
	[[ $text ]] || fail "the manual lacks this example"
	mapfile -t lines <<<"$text"
	enter_empty_directory
}

# The commands of an example that shows a shell, and what it shows as their output.
commands_in()
{
	sed -n 's/^\$ //p' <<<"$1"
}

output_in()
{
	sed '/^\$ /d' <<<"$1"
}

test_each_example_has_a_test()
{
	local line test all

	((${#texts[@]} == ${#examples[@]})) || fail "two examples begin with the same line"
	printf -v all '\n%s\n' "${first_lines[@]}"
	for line in "${!texts[@]}"; do
		[[ $all == *$'\n'"$line"$'\n'* ]] || fail "an example without a test: $line"
	done
	for test in "${!first_lines[@]}"; do
		[[ ${texts[${first_lines[$test]}]} ]] || fail "$test: a test without an example"
		[[ $(declare -f "$test") == *$'\n    example;\n'* ]] || fail "$test does not run its example"
	done
	((${#first_lines[@]} == ${#examples[@]})) || fail "${#examples[@]} examples, ${#first_lines[@]} tests"
}

test_each_example_is_marked_as_one()
{
	run grep -n '^\.nf' "$manual/mstore.1"
	expect 1 ''
}

# A line of batch as the manual writes it: without its options, then with each of them.
forms_of()
{
	local plain option

	# shellcheck disable=SC2001
	plain=$(sed 's/\[[^]]*\] //g' <<<"$1")
	echo "$plain"
	while read -r option; do
		echo "${plain%% *} $option ${plain#* }"
	done < <(grep -o '\[[^]]*\]' <<<"$1" | tr -d '[]' | tr '|' '\n')
}

# Starts a process that owns the key.
own_key()
{
	mstore hold --steal key old -- sleep 600 &
	await_that key_is_owned
}

key_is_owned()
{
	[[ $(mstore stat key) == *'owned: yes'* ]]
}

# Runs batch with such a form, where it needs all the options that it has.
run_form()
{
	local line=${1/ time/ 100s} version

	mstore set --steal --ttl 50s key old
	[[ $line != *--create* ]] || mstore del key
	[[ $line != *--steal* ]] || own_key
	version=$(mstore get --version key 2>/dev/null || :)
	run mstore batch <<<"${line/--if-version v/--if-version $version}"
}

# The milliseconds that the key has to live.
ttl_of_key()
{
	mstore stat --json key | sed 's/.*"ttl_ms":\([0-9]*\).*/\1/'
}

expect_form_done()
{
	local printed=''

	[[ $1 != get* && $1 != *--print* ]] || printed=$'key old\n'
	expect 0 "$printed"
	case $1 in
	del*)       run mstore get key; expect_status 1 ;;
	touch*)     (($(ttl_of_key) > 50000)) ;;
	set*|pub*)  run mstore get key; expect 0 $'value\n' ;;
	esac
	[[ $1 != *--ttl* ]] || (($(ttl_of_key) > 50000))
	[[ $1 != *--keep-ttl* ]] || (($(ttl_of_key) > 0 && $(ttl_of_key) <= 50000))
}

test_lines_of_batch()
{
	local line form

	example
	[[ ${lines[3]} == 'pub as set, without --print' ]]
	# The line of set goes on in the next one.
	lines[1]+=${lines[2]/#    / }
	lines[2]=${lines[1]/#set '[--print]'/pub}
	unset 'lines[3]'
	for line in "${lines[@]}"; do
		while read -r form; do
			run_form "$form"
			expect_form_done "$form"
		done < <(forms_of "$line")
	done
	((${#lines[@]} == 5))
}

test_keep_and_read()
{
	example
	run_text "$(commands_in "$text")"
	expect 0 "$(output_in "$text")"$'\n'
}

test_follow_two_keys()
{
	example
	start_text "$(commands_in "$text")"
	await_subscribers door 1
	mstore pub temp -4
	mstore set door open
	mstore del door
	await_line "$work/sub" door
	interrupt_text
	expect 0 "$(output_in "$text")"$'\n'
}

test_loop_over_changes()
{
	example
	start_text "$text"
	await_subscribers door 1
	mstore pub temp $'1\n2 '
	mstore set door ''
	mstore del door
	await_line "$work/sub" 'door was deleted: '
	interrupt_text
	expect_out $'temp was published: 1\n2 \ndoor was set: \ndoor was deleted: \n'
}

test_update()
{
	local i adders=()

	example
	program jq '[[ $* == .x=1 ]] && sed "s/}$/,\"x\":1}/"'
	mstore set cfg '{"y":2}'
	run_text "$text"
	expect 0 $'1\n'
	run mstore get visits cfg
	expect 0 $'visits 1\ncfg {"y":2,"x":1}\n'
	for i in 1 2 3 4; do
		bash -ec "${lines[0]};${lines[0]};${lines[0]}" >/dev/null &
		adders+=($!)
	done
	wait "${adders[@]}"
	run mstore get visits
	expect 0 $'13\n'
}

one_waits_for()
{
	[[ $(mstore ls "$1.lock/" | wc -l) == 1 ]]
}

test_one_backup()
{
	example
	# shellcheck disable=SC2016
	program /usr/local/bin/backup 'echo begin >>"$WORK/here/log"; mstore wait go; echo end >>"$WORK/here/log"'
	: >log
	start_text "${lines[0]}"
	await_line log begin
	run_text "${lines[1]}"
	expect 0 "$sub /usr/local/bin/backup"$'\n'
	bash -c "${lines[0]}" >/dev/null &
	await_that one_waits_for backup
	mstore set go 1
	end_sub
	expect_status 0
	wait $!
	run cat log
	expect 0 $'begin\nend\nbegin\nend\n'
}

# Is there a process in file $1, and not $2?
another_has()
{
	[[ -s $1 && $(<"$1") != "$2" ]]
}

test_three_builds()
{
	local i builds=() lost

	example
	# shellcheck disable=SC2016
	program make 'echo $$ >"$WORK/here/slot$METASTORE_LOCK_SLOT"; exec sleep 600'
	touch slot{1..3}
	for i in 1 2 3 4; do
		bash -c "$text" &
		builds+=($!)
	done
	for i in 1 2 3; do
		await_line "slot$i"
	done
	await_that one_waits_for build
	read -r lost <slot2
	mstore del --steal build.slot/2
	# The fourth gets its slot.
	await_that another_has slot2 "$lost"
	! kill -0 "$lost" 2>/dev/null || fail "the build that lost its lock goes on"
	kill "${builds[@]}" 2>/dev/null || :
	wait "${builds[@]}" || :
}

test_no_later_holder()
{
	local number before=0

	example
	for _ in 1 2; do
		run_text "$text"
		expect 0 ''
		run mstore get last
		expect_line '[0-9]+ done'
		read -r number _ <"$out"
		((number > before))
		before=$number
	done
	mstore set last "$((number + (1 << 61))) later"
	run_text "$text"
	expect 9 '' '*'
	run mstore get last
	expect 0 "$((number + (1 << 61))) later"$'\n'
	run mstore ls
	expect_lines 1
}

test_service_is_alive()
{
	local server

	example
	program /usr/sbin/webserver 'exec sleep 600'
	bash -c "${lines[0]}" &
	server=$!
	await_key service/web up
	start_text "${lines[1]}"
	await_subscribers service/web 1
	kill -KILL "$server"
	wait "$server" 2>/dev/null || :
	await_line "$work/sub"
	interrupt_text
	expect 0 "service/web deleted owner $server killed 9"$'\n'
}

test_wait_for_a_service()
{
	example
	mstore set service/web starting
	start_text "$text"
	await_subscribers service/web 1
	mstore set service/web up
	end_sub
	expect 0 $'up\n'
	mstore set service/web starting
	run_hurried "$text" 30
	expect 0 $'too late\n' '*'
}

three_are_read()
{
	[[ $(mstore audit --json) == *'"delivered":3,'* ]]
}

test_follow_a_configuration()
{
	example
	# shellcheck disable=SC2016
	program systemctl 'echo "$*: $(cat /run/app.conf)" >>"$WORK/here/log"'
	: >log
	mstore set cfg rate=1
	start_text "$text"
	await_line log 'reload app: rate=1'
	mstore set cfg rate=2
	await_line log 'reload app: rate=2'
	mstore del cfg
	# A command that a newer change overtakes is not run.
	await_that three_are_read
	mstore set cfg rate=3
	await_line log 'reload app: rate=3'
	interrupt_text
	expect 0 ''
	run cat log
	expect 0 $'reload app: rate=1\nreload app: rate=2\nreload app: rate=3\n'
}

three_lines()
{
	[[ $(wc -l <"$work/sub") == 3 ]]
}

test_keep_a_copy_in_a_shell()
{
	example
	mstore set door/front open
	start_text "$text"
	await_line "$work/sub" '1 doors, open: open'
	mstore set door/back open
	await_line "$work/sub" '2 doors, open: open open'
	mstore del door/front
	await_that three_lines
	interrupt_text
	expect_out $'1 doors, open: open\n2 doors, open: open open\n1 doors, open: open\n'
}

# A server that reads its configuration when it starts, and when it is told to.
server='
trap "echo again; read_it" HUP
read_it() { mstore get cfg users; }
echo start; read_it
sleep 600 & until wait; do :; done'

test_restart_or_tell_a_server()
{
	local changed

	example
	program server "$server"
	printf 'set cfg %d\nset users %d\n' 1 1 2 2 >changes
	head -n 2 changes | mstore batch --atomic
	start_text "${lines[0]}"
	await_line "$work/sub" 'users 1'
	changed=${EPOCHREALTIME/./}
	tail -n 2 changes | mstore batch --atomic
	await_line "$work/sub" 'users 2'
	((${EPOCHREALTIME/./} - changed >= 1000000)) || fail "it was restarted at once"
	interrupt_text
	expect 0 $'start\ncfg 1\nusers 1\nstart\ncfg 2\nusers 2\n'
	mstore del users
	start_text "${lines[1]}"
	await_line "$work/sub" 'cfg 2'
	mstore set users 3
	await_line "$work/sub" 'users 3'
	interrupt_text
	expect_status 0
	expect_out $'start\ncfg 2\nagain\ncfg 2\nusers 3\n'
}

test_keep_a_copy()
{
	example
	program my-program 'exec cat'
	mstore set net/a 1
	mstore set other 1
	start_text "$text"
	await_line "$work/sub" '{"event":"snapshot_end","prefix":"net/"}'
	mstore set net/a 2
	mstore set other 2
	mstore del net/a
	await_that grep -q '"deleted"' "$work/sub"
	interrupt_text
	expect_json "o['event'] == 'snapshot' and o['key'] == 'net/a' and o['value'] == '1'" \
		"o == { 'event': 'snapshot_end', 'prefix': 'net/' }" \
		"o['event'] == 'set' and o['key'] == 'net/a' and o['value'] == '2'" \
		"o['event'] == 'deleted' and o['key'] == 'net/a'"
}

test_start_when_subscribed()
{
	example
	program start-the-work 'mstore subs done; exec mstore set done yes'
	start_text "$text"
	end_sub
	expect 0 $'1\n'
	await_line log 'done yes'
	kill -- "-$sub"
}

test_lose_nothing()
{
	local published=0 filler

	example
	program slow-worker 'mstore wait go; exec grep --line-buffered -o "^job [^_]*"'
	start_text "${lines[0]}"
	await_subscribers job 1
	printf -v filler %060000d 0
	# Until the worker's pipe and then the queue are full
	while ((published < 100)) && mstore pub --wait=100ms job "${published}_$filler" 2>/dev/null; do
		((published += 1))
	done
	((published > 1 && published < 100))
	run_hurried "${lines[1]}" =5s
	expect 0 $'too busy\n' '*'
	mstore set go on
	run_text "${lines[1]}"
	expect 0 ''
	await_line "$work/sub" 'job next one'
	interrupt_text
	expect_out "on
$(seq -f 'job %g' 0 $((published - 1)))
job next one
"
}

test_who_is_behind()
{
	local reader

	example
	# shellcheck disable=SC2016
	program sudo 'exec "$@"'
	start mstore sub --queue-len 2 temp
	await_subscribers temp 1
	reader=$sub
	kill -STOP "$reader"
	mstore batch <<<$'set temp 1\nset temp 2\nset temp 3\nset temp 4\nset temp 5'
	run_text "$text"
	expect_status 0
	expect_lines 2
	expect_line " *FILE +SUBS +POLICY .* LOST .*"
	expect_line " *[0-9]+ +1 drop-oldest +2 +2 +[0-9]+ +3 +0 +0 +$reader mstore"
}

test_move_5()
{
	local va vb a=10 b=1

	example
	mstore set a $a
	mstore set b $b
	va=$(mstore get --version a)
	vb=$(mstore get --version b)
	export va vb a b
	run_text "$text"
	expect 0 ''
	run mstore get a b
	expect 0 $'a 5\nb 6\n'
	# Only b has changed since they were read.
	va=$(mstore get --version a)
	a=5 b=6
	run_text "$text"
	expect 1 '' '*'
	run mstore get a b
	expect 0 $'a 5\nb 6\n'
}

test_operations_in_one_process()
{
	example
	run_text "$text"$'\necho "$key is $value"'
	expect 0 $'temp is 21\n'
	run mstore get temp
	expect 0 $'21\n'
}

test_save_and_restore()
{
	example
	mstore set a 1
	run_text "${lines[0]}"
	mstore set a 2
	mstore set b 2
	run_text "${lines[1]}"
	expect 0 ''
	run mstore get --pairs a
	expect 0 $'a 1\n'
	run mstore ls
	expect_lines 1
	run_text "${lines[2]}" <<<$'mstore set b 3\nmstore get a b'
	expect 0 $'a 1\nb 3\n'
	run mstore ls
	expect 0 $'a\n'
}

test_wait_for_a_publication()
{
	example
	start_text "$text"
	await_subscribers ready 1
	mstore set ready soon
	mstore pub ready now
	end_sub
	expect 0 $'ready now\n'
	run_hurried "$text" 30
	expect 0 $'too late\n' '*'
}

test_store_a_file()
{
	example
	head -c 3000 /dev/urandom >logo.png
	cp logo.png copy
	run_text "${lines[0]}"
	expect 0 ''
	rm logo.png
	run_text "${lines[1]}"
	expect 0 ''
	run cmp logo.png copy
	expect 0 ''
}

test_writers_and_times()
{
	example
	run_text "${lines[0]}"
	expect 0 ''
	mstore set -- -x 1
	mstore set $'two\nlines' 2
	run_text "${lines[0]}"
	expect_status 0
	expect_line 'key: \\x2dx'
	expect_line 'key: two\\nlines'
	run grep -cE '^(writer|time): .' "$out"
	expect 0 $'4\n'
	start_text "${lines[1]}"
	await_subscribers temp 1
	mstore set temp 5
	await_line "$work/sub"
	interrupt_text
	expect_status 0
	expect_lines 1
	expect_line '20[0-9-]+T[0-9:.]+Z root temp=5'
}

test_remove_keys()
{
	example
	mstore set net/a 1
	mstore set tmp/a 1
	mstore set other 1
	mstore set config/a 1
	mstore set $'config/two\nlines' 1
	mstore set config/two 1
	run_text "${lines[0]}"
	expect 0 ''
	run mstore ls --sort
	expect 0 $'config/a\nconfig/two\nconfig/two\\nlines\nother\n'
	run_text "$text"
	expect 0 ''
	run mstore ls --sort
	expect 0 $'config/a\nconfig/two\n'
}

start_json
run_tests
