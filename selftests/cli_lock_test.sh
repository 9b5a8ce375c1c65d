#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: lock with several slots, its order, its loss, and what the command gets.
# (cli_hold_test.sh has what lock and hold have in common.)
set -e
. ./cli_helpers.sh

# Starts a holder of a lock with these arguments; its process is $holder.
start_holder()
{
	mstore lock "$@" &
	holder=$!
}

# Waits until the queue of lock $1 has $2 tickets.
await_waiters()
{
	local i

	for ((i = 0; i < 300 * slowness; i++)); do
		[[ $(mstore ls "$1.lock/" | wc -l) != "$2" ]] || return 0
		pause
	done
	fail "not $2 wait for $1"
}

test_so_many_hold_it_at_a_time()
{
	local first

	start_holder --slots 2 k -- sleep 600
	first=$holder
	await_key k.slot/1
	start_holder --slots 2 k -- sleep 600
	await_key k.slot/2
	run mstore get k.slot/1 k.slot/2
	expect 0 "k.slot/1 $first sleep 600"$'\n'"k.slot/2 $holder sleep 600"$'\n'
	run mstore get k
	expect 1 '' 'mstore: k: no such key'
	run mstore lock --slots 2 --timeout 0.2 k -- echo no
	expect 124 ''
	# shellcheck disable=SC2016
	start mstore lock --slots 2 k -- sh -c 'echo slot $METASTORE_LOCK_SLOT'
	await_waiters k 1
	kill "$first"
	end_sub
	expect 0 $'slot 1\n'
	kill "$holder"
	mstore wait --gone k.slot/2
	run mstore lock --slots 3 k -- mstore get k.lock
	expect 0 $'3\n'
}

test_all_agree_on_the_number()
{
	start_holder --slots 3 k -- sleep 600
	await_key k.slot/1
	run mstore lock k -- echo no
	expect 1 '' 'mstore: k: --slots 1: the lock is in use with 3 slots; give --slots 3'
	run mstore lock --slots 4 --timeout 0 k -- echo no
	expect 1 '' 'mstore: k: --slots 4: the lock is in use with 3 slots; give --slots 3'
	kill "$holder"
	mstore wait --gone k.slot/1
	run mstore lock k -- mstore lock --slots 3 k -- echo no
	expect 1 '' 'mstore: k: --slots 3: an open file owns this key, as an exclusive lock; give --slots 1 to wait for it'
	run mstore lock k -- mstore ls
	expect 0 $'k\n'
}

test_keys_that_a_lock_needs_and_others_have()
{
	# A number of slots that was, and is not in use, is not blamed.
	mstore set k.lock 2
	mstore set k plain
	run mstore lock --slots 3 k -- echo no
	expect 1 '' 'mstore: k: --slots 3: this key exists, and must be absent for several slots; delete it, or name another lock'
	mstore del k
	run mstore lock --slots 3 k -- echo yes
	expect 0 $'yes\n'
	mstore set 'a b.lock' garbage
	run mstore lock 'a b' -- echo no
	expect 3 '' 'mstore: a\\x20b.lock: the lock needs this key, but it has a value of another kind; delete it, or name another lock'
	run mstore hold l.lock '1 0000000000000001' -- mstore lock l -- echo no
	expect 1 '' 'mstore: l.lock: the lock needs this key, but an open file owns it; name another lock'
}

test_what_is_refused()
{
	local long

	for number in 0 65 -1 1.5 x; do
		run mstore lock --slots $number k -- echo no
		expect 2 '' "mstore: lock: --slots '$number': must be a number from 1 to 64; see *"
	done
	run mstore lock --on-loss=HANGUP k -- echo no
	expect 2 '' "mstore: lock: --on-loss 'HANGUP': must be a signal*"
	printf -v long '%0234d' 0
	run mstore lock "$long" -- echo no
	expect 2 '' 'mstore: lock: key of 234 bytes: must be 1 to 233 bytes for a lock; see *'
	run mstore lock "${long:1}" -- mstore lock --timeout 0 "${long:1}" -- echo no
	expect 124 ''
	mstore set k.lock garbage
	run mstore lock k -- echo no
	expect 3 '' 'mstore: k.lock: the lock needs this key, but it has a value of another kind; *'
	mstore del k.lock
	# shellcheck disable=SC2016
	run mstore private --max-value 40 -- sh -c '
		mstore lock --close k -- sh -c "
			mstore lock k -- true & mstore lock k -- true &
			until [ \$(mstore ls k.lock/ | wc -l) = 2 ]; do :; done
			mstore lock k -- echo no"
		status=$?
		until [ -z "$(mstore ls)" ]; do :; done
		exit $status'
	expect 3 '' 'mstore: k: too many wait for the lock *'
	run mstore lock --value "$(printf '%065537d' 0)" k -- echo no
	expect 3 '' 'mstore: k: the value is too long *'
	run mstore ls
	expect 0 ''
}

test_first_come_first_served()
{
	local i waiters=()

	start_holder k -- sleep 600
	await_key k
	for i in 1 2 3 4; do
		mstore lock k -- sh -c "echo $i >>$work/order" &
		waiters+=($!)
		await_waiters k "$i"
	done
	# One that is killed as it waits holds up nobody.
	kill -KILL "${waiters[1]}"
	kill "$holder"
	wait "${waiters[0]}" "${waiters[2]}" "${waiters[3]}"
	run cat "$work/order"
	expect 0 $'1\n3\n4\n'
	run mstore ls
	expect 0 ''
}

test_a_time_out_leaves_the_queue()
{
	start_holder k -- sleep 600
	await_key k
	run mstore lock --timeout 0.1 k -- echo no
	expect 124 ''
	run mstore ls
	expect 0 $'k\n'
}

test_the_command_gets_a_fencing_number()
{
	local i last=0

	for i in 1 2 3; do
		# shellcheck disable=SC2016
		run mstore lock k -- sh -c 'echo $METASTORE_LOCK_NUMBER $(mstore get --version k) \
			$METASTORE_LOCK_SLOT'
		expect_status 0
		read -r number version slot <"$out"
		((number > last && number == version && slot == 1))
		last=$number
	done
}

# It takes a number and a value, and refuses what is older than the newest it has seen.
fenced_write()
{
	# shellcheck disable=SC2016
	mstore update resource -- sh -c '
		read -r newest value
		[ "$1" -ge "${newest:-0}" ] || exit 9
		echo "$1" "$2"' sh "$1" "$2"
}

test_a_fenced_resource_refuses_an_outdated_holder()
{
	local old new

	# The first holder is stopped, and loses the lock without noticing.
	# shellcheck disable=SC2016
	start mstore lock k -- sh -c 'echo $METASTORE_LOCK_NUMBER; exec sleep 600'
	await_line "$work/sub"
	old=$(<"$work/sub")
	kill -STOP "$sub"
	fenced_write "$old" first
	mstore del --steal k
	# shellcheck disable=SC2016
	new=$(mstore lock k -- sh -c 'echo $METASTORE_LOCK_NUMBER')
	fenced_write "$new" second
	run fenced_write "$old" late
	expect 9 ''
	run mstore get resource
	expect 0 "$new second"$'\n'
	kill -KILL "$sub"
}

# The examples of the manual.
test_examples()
{
	local i

	for i in 1 2; do
		# shellcheck disable=SC2016
		run mstore lock report -- sh -c '
			mstore update last -- sh -c "
				read -r highest text
				[ $METASTORE_LOCK_NUMBER -ge \${highest:-0} ] || exit 9
				echo $METASTORE_LOCK_NUMBER done"'
		expect 0 ''
	done
	# shellcheck disable=SC2016
	METASTORE_LOCK_NUMBER=5 run sh -c '
		mstore update last -- sh -c "
			read -r highest text
			[ $METASTORE_LOCK_NUMBER -ge \${highest:-0} ] || exit 9
			echo $METASTORE_LOCK_NUMBER done"'
	expect 9 ''
	run mstore get last
	expect_line '[0-9]{19} done'
	run mstore lock --slots 3 --on-loss build -- echo made
	expect 0 $'made\n'
}

# Starts a command that says what it gets. It ends by itself, with status 7.
start_lossy()
{
	# shellcheck disable=SC2016
	start mstore lock "$@" k -- bash -c '
		trap "echo TERM; exit 7" TERM
		trap "echo USR1; exit 7" USR1
		trap "echo HUP; exit 7" HUP
		trap "echo INT; exit 7" INT
		exec 9<> <(:)
		echo started
		while :; do read -rt 0.05 -u 9 || :; done'
	await_line "$work/sub" started
}

test_loss_is_told()
{
	start_lossy --on-loss
	mstore set --steal k mine
	end_sub
	expect 7 $'started\nTERM\n'
	run mstore get k
	expect 0 $'mine\n'
	mstore del k
	start_lossy --on-loss=usr1
	mstore del --steal k
	end_sub
	expect 7 $'started\nUSR1\n'
	start_lossy --on-loss=SIGHUP
	mstore flush --steal k
	end_sub
	expect 7 $'started\nHUP\n'
	start_lossy --on-loss=10 --close
	mstore pub --steal k mine
	end_sub
	expect 7 $'started\nUSR1\n'
}

test_loss_of_a_slot_is_told()
{
	start_holder --slots 2 k -- sleep 600
	await_key k.slot/1
	start_lossy --slots 2 --on-loss
	mstore del --steal k.slot/1
	mstore set other 1
	mstore del --steal k.slot/2
	end_sub
	expect 7 $'started\nTERM\n'
}

# The lock has a new holder at once. The old one is told, and takes its time to end.
test_loss_lets_the_next_one_in()
{
	start_lossy --on-loss=CONT
	mstore lock k -- echo mine >"$work/mine" &
	await_waiters k 1
	mstore del --steal k
	await_line "$work/mine" mine
	kill -TERM "$sub"
	end_sub
	expect 7 $'started\nTERM\n'
}

test_beside_it_a_command_ends_as_ever()
{
	local option

	for option in --on-loss --close; do
		run mstore lock $option k -- sh -c 'cat; exit 5' <<<input
		expect 5 $'input\n'
		# shellcheck disable=SC2016
		run mstore lock $option k -- sh -c 'kill -KILL $$'
		expect 137 ''
		run mstore lock $option k -- /nonexistent
		expect 127 '' 'mstore: /nonexistent: No such file or directory'
		run mstore lock $option k -- /
		expect 126 '' 'mstore: /: Permission denied'
		run env --default-signal=PIPE mstore lock $option k -- grep Sig /proc/self/status
		expect_line 'SigIgn:.0+'
		expect_line 'SigBlk:.0+'
		run mstore ls
		expect 0 ''
	done
}

test_signals_are_forwarded()
{
	local name

	for name in TERM INT HUP; do
		start_lossy --on-loss
		kill -$name "$sub"
		end_sub
		expect 7 $'started\n'$name$'\n'
	done
}

# Leaves a process behind, whose number it says, and ends.
leave_behind()
{
	run mstore lock "$@" k -- sh -c 'sleep 600 >/dev/null 2>&1 & echo $!'
	expect_status 0
	left=$(<"$out")
}

test_what_is_left_behind_holds_it_on()
{
	local option

	for option in --value=v --on-loss; do
		leave_behind $option
		run mstore lock --timeout 0 k -- echo no
		expect 124 ''
		kill "$left"
		run mstore lock --timeout 60 k -- echo mine
		expect 0 $'mine\n'
	done
}

test_close_what_is_left_behind_does_not_hold_it()
{
	leave_behind --close
	run mstore lock --timeout 0 k -- echo mine
	expect 0 $'mine\n'
	kill "$left"
	leave_behind --close --on-loss
	run mstore lock --timeout 0 k -- echo mine
	expect 0 $'mine\n'
	kill "$left"
	# shellcheck disable=SC2016
	run mstore lock --close k -- sh -c 'mstore get k; ls -l /proc/$$/fd | grep -c metastore'
	expect_status 1
	expect_line '[0-9]+ sh -c .*'
	expect_line 0
	# Neither does anything stay of several slots.
	run mstore lock --close --slots 2 k -- mstore ls k.slot/
	expect 0 $'k.slot/1\n'
	run mstore ls
	expect 0 ''
}

# The lock ends with the process that holds it, and that is not the command.
test_close_the_command_is_told_when_the_holder_is_killed()
{
	start_lossy --close --on-loss
	kill -KILL "$sub"
	await_line "$work/sub" TERM
	run mstore lock --timeout 60 k -- echo mine
	expect 0 $'mine\n'
}

run_tests
