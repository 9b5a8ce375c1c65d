#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Commands that wait, and are stopped, frozen or suspended meanwhile: they go on.
set -e
. ./cli_helpers.sh

group=/sys/fs/cgroup/cli_interrupt_test

# Waits until a process is in that state, as ps(1) has it.
await_state()
{
	local i stat

	for ((i = 0; i < 500 * slowness; i++)); do
		stat=$(<"/proc/$1/stat")
		stat=${stat##*) }
		[[ ${stat::1} != "$2" ]] || return 0
		pause
	done
	fail "process $1 is not in state $2"
}

stop()
{
	kill -STOP "$1"
	await_state "$1" T
}

by_stop()
{
	stop "$1"
	kill -CONT "$1"
}

by_freezer()
{
	mkdir -p "$group"
	echo "$1" >"$group/cgroup.procs"
	echo 1 >"$group/cgroup.freeze"
	await_line "$group/cgroup.events" 'frozen 1'
	echo 0 >"$group/cgroup.freeze"
}

# The whole machine, as far as it goes without what wakes it up again.
by_suspend()
{
	[[ -w /sys/power/pm_test ]] || return 0
	echo freezer >/sys/power/pm_test
	echo 1 >/sys/module/suspend/parameters/pm_test_delay
	echo freeze >/sys/power/state
	echo none >/sys/power/pm_test
}

interrupt()
{
	local how

	for how in by_stop by_freezer by_suspend; do
		await_state "$1" S
		"$how" "$1"
	done
	await_state "$1" S
}

test_wait()
{
	start mstore wait k
	interrupt "$sub"
	mstore set k v
	end_sub
	expect 0 $'v\n'
}

test_sub()
{
	start_sub -n 1 k
	interrupt "$sub"
	mstore set k v
	end_sub
	expect 0 $'k v\n'
}

test_sub_exec()
{
	start_sub -n 1 --exec cat k
	interrupt "$sub"
	mstore set k v
	end_sub
	expect 0 v
}

test_monitor()
{
	start_json
	start mstore monitor --json
	await_subscribers k 1
	interrupt "$sub"
	mstore set k v
	await_line "$work/sub"
	kill -INT "$sub"
	end_sub
	expect_status 0
	expect_json "o['key'] == 'k' and o['value'] == 'v'"
}

test_lock()
{
	local holder

	mstore lock k -- sleep 1000 &
	holder=$!
	await_key k
	start mstore lock k -- echo locked
	interrupt "$sub"
	kill "$holder"
	end_sub
	expect 0 $'locked\n'
}

# So it does with a time-out, and ends when that is over.
test_pub_that_waits()
{
	local reader

	mstore sub --lossless --queue-len 1 k >/dev/null &
	reader=$!
	await_subscribers k 1
	stop "$reader"
	mstore pub --wait k 1
	start mstore pub --wait k 2
	interrupt "$sub"
	kill -CONT "$reader"
	end_sub
	expect 0 ''
	await_state "$reader" S
	stop "$reader"
	mstore pub --wait k 3
	start mstore pub --wait=3s k 4
	interrupt "$sub"
	end_sub
	expect 124 '' 'mstore: k: timed out: *'
}

run_tests
