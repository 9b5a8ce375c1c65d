#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The programs of userspace/examples.
#
# needs: pkill (procps)
set -e
. ./cli_helpers.sh

examples=$BUILD/user/examples

test_hello()
{
	run "$examples/hello"
	expect 0 $'hello\n'
}

test_config_reloads_itself()
{
	mstore set cfg 'rate=1'
	start "$examples/config" cfg
	await_line "$work/sub" running
	mstore set cfg 'rate=2'
	await_line "$work/sub" 'configuration: rate=2'
	mstore pub cfg 'rate=3'
	await_line "$work/sub" 'configuration: rate=3'
	mstore del cfg
	await_line "$work/sub" 'the configuration was deleted, the last one stays'
	kill "$sub"
	end_sub
	expect_out $'configuration: rate=1\nrunning\nconfiguration: rate=2\nconfiguration: rate=3\nthe configuration was deleted, the last one stays\n'
}

await_subscriptions()
{
	until (($(mstore info --json | sed 's/.*"subscriptions":\([0-9]*\).*/\1/') == $1)); do
		pause
	done
}

# Each goes on, with what there is then.
test_subscriptions_that_are_flushed_come_back()
{
	start "$examples/config" k
	await_line "$work/sub" running
	mstore flush --subscriptions --all
	await_subscriptions 1
	mstore set k 1
	await_line "$work/sub" 'configuration: 1'
	kill "$sub"
	end_sub

	start "$examples/presence"
	await_subscriptions 1
	mstore flush --subscriptions --all
	await_subscriptions 1
	mstore set presence/x ''
	await_line "$work/sub" 'x is here'
	kill "$sub"
	end_sub
}

# It is stopped while more keys change than its queue holds.
test_dashboard_after_a_loss()
{
	local i

	mstore set s/gone 1
	start "$examples/dashboard" s/
	await_line "$work/sub" "$(printf '%-30s 1' s/gone)"
	kill -STOP "$sub"
	for i in {1..3000}; do
		echo "set s/$i $i"
		((i % 100 == 0)) || echo "del s/$i"
	done | mstore batch
	mstore del s/gone
	mstore set s/last 1
	kill -CONT "$sub"
	await_line "$work/sub" "$(printf '%-30s 1' s/last)"
	kill "$sub"
	end_sub
	run tail -n 32 "$work/sub"
	expect_lines 32
	expect_line "$(printf '%-30s 3000' s/3000)"
	run grep -E '^s/(gone|1) ' "$out"
	expect 1 ''
}

test_presence()
{
	local ben

	"$examples/presence" ben >/dev/null 2>&1 &
	ben=$!
	await_key presence/ben
	start "$examples/presence" anna
	await_line "$work/sub" 'ben is here'
	await_line "$work/sub" 'anna is here'
	run "$examples/presence" anna
	expect 1 '' 'metastore: File exists'
	kill -KILL "$ben"
	await_line "$work/sub" 'ben is gone: killed by signal 9'
	kill "$sub"
	run mstore wait --gone --timeout 60 presence/anna
	expect 0 ''
}

test_work_queue()
{
	local i

	start "$examples/work_queue" 3
	await_subscribers job 1
	# They wait, so that a worker may take several: all must be done.
	pkill -STOP -P "$sub"
	for i in "$(printf %0500d 0)" {1..29}; do
		echo "$i" >>"$work/jobs"
		mstore pub --wait job "$i"
	done
	pkill -CONT -P "$sub"
	until (($(wc -l <"$work/sub") >= 30)); do
		pause
	done
	for i in 1 2 3; do
		mstore pub --wait job stop
	done
	end_sub
	expect_status 0
	expect_lines 30
	# Each job went to one worker.
	sed 's/worker [123]: //' "$out" | sort -n | cmp - "$work/jobs"
}

test_dashboard_follows_a_table()
{
	mstore set sensor/b 1
	mstore set other 1
	start "$examples/dashboard" sensor/
	await_line "$work/sub" "$(printf '%-30s 1' sensor/b)"
	mstore set sensor/a 2
	await_line "$work/sub" "$(printf '%-30s 2' sensor/a)"
	mstore set sensor/b 3
	await_line "$work/sub" "$(printf '%-30s 3' sensor/b)"
	run tail -n 3 "$work/sub"
	expect 0 "$(printf '%-30s 2\n%-30s 3' sensor/a sensor/b)"$'\n\n'
	mstore del sensor/a
	mstore set sensor/c 4
	await_line "$work/sub" "$(printf '%-30s 4' sensor/c)"
	kill "$sub"
	run tail -n 3 "$work/sub"
	expect 0 "$(printf '%-30s 3\n%-30s 4' sensor/b sensor/c)"$'\n\n'
}

run_tests
