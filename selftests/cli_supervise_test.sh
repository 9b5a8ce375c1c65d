#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: sub --exec as a supervisor: --restart, --signal, --settle, and the end of
# the command with the tool.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

# Commands of --exec.

# Says with what it starts, and goes on.
# shellcheck disable=SC2016
serve='echo "start $METASTORE_KEY $(cat)"; exec sleep 1000'

# The same with a child of its own, which must be gone before the next one starts.
# shellcheck disable=SC2016
serve_with_child='[ ! -s "$WORK/child" ] || ! kill -0 "$(cat "$WORK/child")" 2>&- || echo both
	sleep 1000 &
	echo $! >"$WORK/child"
	echo "start $METASTORE_KEY $(cat)"
	wait'

# Says when it is told by SIGUSR1, which would end its child.
# shellcheck disable=SC2016
serve_and_listen='trap "echo told \$(mstore get k)" USR1
	sleep 1000 &
	echo $! >"$WORK/child"
	echo "start $METASTORE_KEY $(cat)"
	while kill -0 $! 2>&-; do wait; done'

export WORK=$work

expect_no_child()
{
	! kill -0 "$(cat "$work/child")" 2>/dev/null || fail "a child of the command is there"
}

interrupt_sub()
{
	kill -INT "$sub"
	end_sub
}

test_restart_with_each_change()
{
	start_sub --restart --exec "$serve_with_child" k
	mstore set k 1
	await_line "$work/sub" 'start k 1'
	mstore set k 2
	await_line "$work/sub" 'start k 2'
	mstore del k
	await_line "$work/sub" 'start k '
	interrupt_sub
	expect 0 $'start k 1\nstart k 2\nstart k \n'
	expect_no_child
}

test_restart_by_a_signal()
{
	# shellcheck disable=SC2016
	start_sub --restart=USR1 --exec 'trap "echo usr1; exit" USR1; echo start
		while :; do sleep 0.1; done' k
	mstore set k 1
	await_line "$work/sub" start
	mstore set k 2
	await_line "$work/sub" usr1
	until (($(wc -l <"$work/sub") == 3)); do
		pause
	done
	interrupt_sub
	expect 0 $'start\nusr1\nstart\nusr1\n' '*'
}

test_restart_of_what_will_not_end()
{
	local before after

	# shellcheck disable=SC2016
	start_sub --restart --exec 'trap "" TERM; echo "start $(cat)"
		while :; do sleep 1; done' k
	mstore set k 1
	await_line "$work/sub" 'start 1'
	before=$(date +%s%N)
	mstore set k 2
	mstore set k 3
	await_line "$work/sub" 'start 3'
	after=$(date +%s%N)
	((after - before >= 5000000000)) || fail "killed without a grace"
	# A second signal does not wait for the grace.
	before=$(date +%s%N)
	kill -INT "$sub"
	await_line "/proc/$sub/status" $'ShdPnd:\t0000000000000000'
	kill -INT "$sub"
	end_sub
	after=$(date +%s%N)
	expect 0 $'start 1\nstart 3\n'
	((after - before < 5000000000)) || fail "the second signal was not obeyed"
}

test_restart_of_what_ended_by_itself()
{
	start_sub --restart --exec "cat; echo; exit 3" -n 2 k
	mstore set k 1
	await_line "$work/sub_err"
	mstore set k 2
	end_sub
	expect 0 $'1\n2\n' $'mstore: k: the --exec command ended with status 3\n*status 3'
}

test_restart_with_the_last_change_of_all_keys()
{
	start_sub --restart --settle $((2 * slowness)) --exec "$serve" a b k
	mstore set a 1
	mstore set b 1
	mstore set a 2
	await_line "$work/sub" 'start a 2'
	mstore set k 3
	mstore set b 4
	await_line "$work/sub" 'start b 4'
	interrupt_sub
	expect 0 $'start a 2\nstart b 4\n'
}

test_the_last_command_that_is_counted_runs_to_its_end()
{
	# shellcheck disable=SC2016
	start_sub --restart -n 2 --exec 'echo "start $(cat)"; mstore wait go; echo end' k
	mstore set k 1
	await_line "$work/sub" 'start 1'
	mstore set k 2
	await_line "$work/sub" 'start 2'
	mstore set k 3
	mstore set go now
	end_sub
	expect 0 $'start 1\nstart 2\nnow\nend\n'
}

test_a_signal_tells_the_command_alone()
{
	local child

	start_sub --signal USR1 --exec "$serve_and_listen" k
	mstore set k 1
	await_line "$work/sub" 'start k 1'
	child=$(cat "$work/child")
	mstore set k 2
	await_line "$work/sub" 'told 2'
	mstore set k 3
	await_line "$work/sub" 'told 3'
	kill -0 "$child"
	interrupt_sub
	expect 0 $'start k 1\ntold 2\ntold 3\n'
	expect_no_child
}

test_signals_are_counted()
{
	start_sub --signal USR1 -n 3 --exec "$serve_and_listen" k
	mstore set k 1
	await_line "$work/sub" 'start k 1'
	mstore set k 2
	await_line "$work/sub" 'told 2'
	mstore set k 3
	await_line "$work/sub" 'told 3'
	kill "$(cat "$work/child")"
	end_sub
	expect 0 $'start k 1\ntold 2\ntold 3\n' '*'
}

test_a_signal_that_ends_the_command_starts_it_anew()
{
	start_sub --signal HUP --exec "$serve_with_child" k
	mstore set k 1
	await_line "$work/sub" 'start k 1'
	mstore set k 2
	await_line "$work/sub" 'start k 2'
	interrupt_sub
	expect 0 $'start k 1\nstart k 2\n'
	expect_no_child
}

test_a_change_while_the_group_ends_is_for_the_next_command()
{
	# Only the second command is ready for the signal. The child is killed after the grace.
	# shellcheck disable=SC2016
	start_sub --signal HUP -n 3 --exec '[ ! -s "$WORK/first" ] || trap "echo told; exit" HUP
		(trap "" TERM HUP; exec sleep 1000) &
		echo $! >>"$WORK/first"
		echo "start $(cat)"
		wait' k
	mstore set k 1
	await_line "$work/sub" 'start 1'
	mstore set k 2
	mstore set k 3
	await_line "$work/sub" 'start 3'
	mstore set k 4
	end_sub
	# Its status is then that of the signal, which did not end it.
	expect 0 $'start 1\nstart 3\ntold\n' '*'
	kill -KILL "$(tail -n 1 "$work/first")"
}

test_a_signal_when_the_command_has_ended_starts_it()
{
	start_sub --signal HUP --exec "echo start; cat; exit 3" -n 2 k
	mstore set k $'1\n'
	await_line "$work/sub_err"
	mstore set k $'2\n'
	end_sub
	expect 0 $'start\n1\nstart\n2\n' $'mstore: k: *status 3\nmstore: k: *status 3'
}

test_settle_runs_each_key_once()
{
	local before after

	# shellcheck disable=SC2016
	start_sub --settle $((2 * slowness)) --exec 'echo "$METASTORE_KEY $(cat)"' -n 2 a k
	mstore set k 1
	mstore set a 1
	mstore set k 2
	before=$(date +%s%N)
	mstore set a 2
	end_sub
	after=$(date +%s%N)
	expect 0 $'k 2\na 2\n'
	((after - before >= 2000000000 * slowness)) || fail "it did not wait"
}

test_the_end_of_the_time_settles_all()
{
	start_sub --settle 1d --timeout $((3 * slowness)) --exec 'cat; echo' k
	mstore set k 1
	end_sub
	expect 0 $'1\n'
}

test_the_end_of_the_time_ends_what_goes_on()
{
	local mode

	for mode in --restart --signal=USR1; do
		start_sub "$mode" --timeout $((3 * slowness)) --exec "$serve_with_child" k
		mstore set k 1
		end_sub
		expect 0 $'start k 1\n'
		expect_no_child
		start_sub "$mode" --timeout $((3 * slowness)) -n 2 --exec "$serve_with_child" k
		mstore set k 1
		end_sub
		expect 124 $'start k 1\n'
		expect_no_child
	done
}

test_the_group_ends_with_the_tool()
{
	local end

	for end in INT:0 TERM:0 HUP:129 QUIT:131; do
		start env --default-signal mstore sub --exec "$serve_with_child" k
		await_subscribers k 1
		mstore set k 1
		await_line "$work/sub" 'start k 1'
		kill -"${end%:*}" "$sub"
		end_sub
		expect "${end#*:}" $'start k 1\n'
		expect_no_child
	done
}

test_the_group_ends_with_a_failure()
{
	start_sub --exec "$serve_with_child" k
	mstore set k 1
	await_line "$work/sub" 'start k 1'
	mstore flush --subscriptions --all
	end_sub
	expect 3 $'start k 1\n' 'mstore: sub: flush --subscriptions removed 1 subscription'
	expect_no_child
}

test_the_command_ends_when_the_tool_is_killed()
{
	# shellcheck disable=SC2016
	start_sub --exec 'trap "mstore set ended yes; exit" TERM; echo start
		while :; do sleep 0.1; done' k
	mstore set k 1
	await_line "$work/sub" start
	kill -KILL "$sub"
	await_key ended
}

test_an_interrupt_while_commands_are_counted()
{
	start_sub -n 1 --exec "$serve_with_child" k
	mstore set k 1
	await_line "$work/sub" 'start k 1'
	interrupt_sub
	expect 1 $'start k 1\n'
	expect_no_child
}

test_ignored_signals_stay_ignored()
{
	start env --ignore-signal=HUP mstore sub --exec 'cat; echo' k
	await_subscribers k 1
	kill -HUP "$sub"
	mstore set k 1
	await_line "$work/sub" 1
	interrupt_sub
	expect 0 $'1\n'
}

test_the_command_has_its_own_group_and_no_signal_blocked()
{
	# dash, the usual sh, would unblock all signals itself.
	mkdir -p "$work/bin"
	ln -s /bin/bash "$work/bin/sh"
	# shellcheck disable=SC2016
	PATH=$work/bin:$PATH start_sub -n 1 --exec 'read -r pid _ _ _ group _ </proc/$$/stat
		echo "$BASH $((pid == group))"; grep SigBlk /proc/$$/status' k
	mstore set k 1
	end_sub
	expect 0 "$work/bin/sh 1"$'\nSigBlk:\t0000000000000000\n'
}

test_what_a_command_leaves_behind_goes_on()
{
	# shellcheck disable=SC2016
	start_sub -n 1 --exec 'sleep 1000 >/dev/null 2>&1 & echo $!' k
	mstore set k 1
	end_sub
	expect_status 0
	kill "$(cat "$out")"
}

test_a_stop_by_the_terminal_stops_the_command()
{
	run_limited python3 -c '
import os, signal, subprocess, time

def states(pid):
    return open(f"/proc/{pid}/stat").read().split()[2]

def await_state(pid, wanted):
    while states(pid) not in wanted:
        time.sleep(0.02)

tool = subprocess.Popen(["mstore", "sub", "--exec", "echo $$; exec sleep 1000", "k"],
                        stdout=subprocess.PIPE, process_group=0)
while subprocess.check_output(["mstore", "subs", "k"]) != b"1\n":
    pass
subprocess.check_call(["mstore", "set", "k", "1"])
command = int(tool.stdout.readline())
await_state(command, "S")
tool.send_signal(signal.SIGTSTP)
print(os.WIFSTOPPED(os.waitpid(tool.pid, os.WUNTRACED)[1]))
await_state(command, "T")
tool.send_signal(signal.SIGCONT)
await_state(command, "S")
tool.send_signal(signal.SIGINT)
print(tool.wait(), os.path.exists(f"/proc/{command}"))'
	expect 0 $'True\n0 False\n'
}

test_signals_have_names_and_numbers()
{
	local signal

	for signal in TERM SIGTERM sigterm 15 64; do
		run_limited mstore sub --restart="$signal" --exec true --timeout 0 k
		expect 0 ''
	done
	for signal in '' 0 65 -1 SIG TERMX 15x ' 15' SIGSIGTERM; do
		run_limited mstore sub --restart="$signal" --exec true k
		expect 2 '' 'mstore: sub: --restart *: must be a signal such as HUP, SIGHUP, or 1 to 64*'
		run_limited mstore sub --signal "$signal" --exec true k
		expect 2 '' 'mstore: sub: --signal *: must be a signal such as HUP, SIGHUP, or 1 to 64*'
	done
}

test_what_excludes_each_other()
{
	local number

	run_limited mstore sub --restart --signal HUP --exec true k
	expect 2 '' 'mstore: sub: --restart excludes --signal*'
	run_limited mstore sub --signal HUP --exec true --restart k
	expect 2 '' 'mstore: sub: --restart excludes --signal*'
	run_limited mstore sub --restart k
	expect 2 '' 'mstore: sub: --restart needs --exec*'
	run_limited mstore sub --signal HUP k
	expect 2 '' 'mstore: sub: --signal needs --exec*'
	run_limited mstore sub --settle 5 k
	expect 2 '' 'mstore: sub: --settle needs --exec*'
	run_limited mstore sub --restart --exec true --prefix k
	expect 2 '' 'mstore: sub: --exec excludes --prefix*'
	for number in '' x -1 0 1.5x 86401; do
		run_limited mstore sub --settle "$number" --exec true k
		expect 2 '' 'mstore: sub: --settle *: must be 1ms to 1d, *'
	done
}

run_tests
