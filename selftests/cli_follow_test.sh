#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: what sub follows and how, pub --wait, monitor.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

test_a_prefix_is_all_keys_that_start_so()
{
	mstore set net/eth0 old
	start_ready --prefix -n 3 net/
	mstore set net/eth0 1
	mstore set other 2
	mstore set net/eth1 3
	mstore del net/eth0
	end_sub
	expect 0 $'net/eth0 1\nnet/eth1 3\nnet/eth0\n'
}

test_several_prefixes()
{
	start_ready --prefix -n 2 b/ a
	mstore set b 1
	mstore set a 2
	mstore set b/1 3
	end_sub
	expect 0 $'a 2\nb/1 3\n'
}

test_the_empty_prefix_is_every_key()
{
	start_ready --prefix -n 1
	mstore set any 1
	end_sub
	expect 0 $'any 1\n'
	start_ready --prefix -n 1 ''
	mstore set any 2
	end_sub
	expect 0 $'any 2\n'
}

test_a_snapshot_comes_first()
{
	mstore set k 1
	start_ready --snapshot -n 2 k
	await_line "$work/sub" 'k 1'
	mstore set k 2
	end_sub
	expect 0 $'k 1\nk 2\n'
}

test_a_snapshot_of_nothing_prints_nothing()
{
	start_ready --snapshot --prefix -n 1 net/
	mstore set net/eth0 1
	end_sub
	expect 0 $'net/eth0 1\n'
}

test_a_snapshot_of_a_prefix()
{
	local i

	for i in {1..20}; do
		echo "set t/$i $i"
	done | mstore batch
	run_limited mstore sub --snapshot --prefix -n 20 t/
	expect_status 0
	sort "$out" >"$work/got"
	mstore get t/{1..20} | sort | cmp - "$work/got"
}

test_json_tells_the_end_of_a_snapshot()
{
	mstore set k 1
	run_limited mstore sub --snapshot --json --timeout 1 k
	expect_json "o['event'] == 'snapshot' and o['key'] == 'k' and o['value'] == '1' and o['pid'] > 0" \
		"o == { 'event': 'snapshot_end', 'key': 'k' }"
	run_limited mstore sub --snapshot --prefix --json --timeout 1 none/
	expect_status 0
	expect_json "o == { 'event': 'snapshot_end', 'prefix': 'none/' }"
}

test_null_tells_the_end_of_a_snapshot()
{
	mstore set k 1
	run_limited mstore sub -0 --snapshot --prefix --timeout 1 k none
	expect_status 0
	printf 'snapshot\0k\0001\0snapshot_end\0k\0\0snapshot_end\0none\0\0' | cmp - "$out"
	run_limited mstore sub -0 --snapshot --format %k --timeout 1 k
	expect_status 0
	printf 'k\0' | cmp - "$out"
}

test_only_what_is_newer()
{
	local version

	mstore set k 1
	version=$(mstore get --version k)
	run_limited mstore sub --newer "$version" --timeout 0.5 k
	expect 0 ''
	run_limited mstore sub --newer $((version - 1)) --timeout 0.5 k
	expect 0 $'k 1\n'
	run mstore sub --newer 1 --prefix k
	expect 2 '' 'mstore: sub: --newer excludes --prefix; name the keys*'
}

test_latest_shows_the_last_one()
{
	start_ready --latest k
	kill -STOP "$sub"
	mstore set k 1
	mstore set k 2
	mstore set k 3
	kill -CONT "$sub"
	await_line "$work/sub" 'k 3'
	kill "$sub"
	end_sub
	expect 0 $'k 3\n'
}

test_values_are_left_out()
{
	start_ready --no-value -n 3 k
	mstore set k 1
	mstore pub k 2
	mstore del k
	end_sub
	expect 0 $'k \nk \nk\n'
	start_ready --no-value --json -n 1 k
	mstore set k 1
	end_sub
	expect_json "o['event'] == 'set' and 'value' not in o and o['pid'] > 0"
	start_ready --no-value --format '%e:%v:%s:%u' -n 1 k
	mstore set k 1
	end_sub
	expect 0 $'set:::0\n'
}

# Expects that of all that can happen --changes $1 shows the other arguments.
shows_changes()
{
	start_ready --changes "$1" --format '%e %w' -n $(($# - 1)) k
	mstore set k 1
	mstore pub k 2
	mstore del k
	mstore set k 3
	mstore flush k
	mstore set --ttl 1ms k 4
	mstore wait --gone --timeout 60 k
	mstore hold k 5 -- true
	end_sub
	expect_status 0
	run sed -E 's/ owner.*/ owner/; s/ *$//' "$out"
	expect 0 "$(printf '%s\n' "${@:2}")"$'\n'
}

test_changes_are_chosen()
{
	shows_changes set set set set set
	shows_changes delete,owner deleted 'deleted owner'
	shows_changes flushed,expired 'deleted flushed' 'deleted expired'
	shows_changes published,deleted published deleted 'deleted flushed' 'deleted expired' \
		'deleted owner'
}

test_wrong_changes_are_refused()
{
	local list

	for list in '' x 'set,' ',set' 'set deleted' SET; do
		run_limited mstore sub --changes "$list" k
		expect 2 '' 'mstore: sub: --changes *: must be set, published,*'
	done
}

test_ready_is_told_once_and_the_descriptor_closed()
{
	# shellcheck disable=SC2016
	run_limited bash -c 'mstore sub --ready-fd 5 --timeout 0.5 k 5>"$1"; stat -c %s "$1"' - \
		"$work/told"
	expect 0 $'1\n'
	run_limited mstore sub --ready-fd 5 k 5</dev/null
	expect 3 '' 'mstore: --ready-fd: Bad file descriptor'
	run_limited mstore sub --ready-fd 77 k
	expect 2 '' 'mstore: sub: --ready-fd: descriptor 77 is not open*'
	run_limited mstore sub --ready-fd 1 k
	expect 2 '' 'mstore: sub: --ready-fd *: must be a number from 3 to *'
	# The program that waited is gone: that is no reason not to go on.
	start bash -c 'exec 5> >(:); sleep 0.3; exec mstore sub --ready-fd 5 -n 1 k'
	await_subscribers k 1
	mstore set k 1
	end_sub
	expect 0 $'k 1\n'
}

test_a_longer_queue_loses_later()
{
	start_ready --queue-len 3 k
	kill -STOP "$sub"
	for _ in {1..5}; do
		mstore set k 1
	done
	kill -CONT "$sub"
	await_line "$work/sub" 'k 1'
	kill "$sub"
	end_sub
	expect_err 'mstore: k: lost 2 events'
	run_limited mstore sub --queue-len 1048577 k
	expect 2 '' "mstore: sub: --queue-len '1048577': must be a number from 1 to 1048576*"
	run_limited mstore sub --queue-bytes 1 k
	expect 2 '' "mstore: sub: --queue-bytes '1': must be a number from 4096 to 1073741824*"
}

test_a_queue_that_is_not_allowed()
{
	run_limited setpriv --bounding-set -sys_resource mstore sub --queue-len 100000 k
	expect 3 '' 'mstore: queue: more than 16 times *'
	# A place for the longest value is reserved for each.
	run_limited mstore sub --latest a b c d e f g h i
	expect 3 '' 'mstore: sub: --latest: the queue lacks room for 9 keys; give --queue-bytes 1188864'
	# As told, it has room for all of them.
	run_limited mstore sub --latest --queue-bytes 1188864 --timeout 0 a b c d e f g h i
	expect 0 ''
	run_limited mstore private --max-value 1 -- mstore sub --latest --timeout 0 {1..1500}
	expect 3 '' 'mstore: sub: --latest: the queue lacks room for 1500 keys; give --queue-bytes 1539000'
	run_limited mstore private --max-value 1 -- mstore sub --latest --queue-bytes 1539000 \
		--timeout 0 {1..1500}
	expect 0 ''
}

test_more_keys_than_an_open_file_subscribes_to()
{
	run_limited mstore sub --timeout 0 {1..65537}
	expect 3 '' 'mstore: sub: 65537 keys or prefixes: must be 1 to 65536'
}

test_the_loss_of_a_prefix_names_it()
{
	start_ready --queue-len 1 --prefix --strict --json a/ 'b '
	kill -STOP "$sub"
	mstore set 'b 1' 1
	mstore set 'b 2' 1
	kill -CONT "$sub"
	end_sub
	expect_status 1
	expect_err 'mstore: b\\x20\*: lost 1 event'
	expect_json "o['event'] == 'lost' and o['prefix'] == 'b ' and o['count'] == 1"
}

test_pub_waits_for_who_is_lossless()
{
	start_ready --lossless --queue-len 1 -n 3 k
	kill -STOP "$sub"
	run mstore pub --wait=10s --count k 1
	expect 0 $'1\n'
	run mstore pub --wait=0.1 k 2
	expect 124 '' "mstore: k: timed out: a lossless subscriber's queue is full"
	run mstore pub --wait=0 k 2
	expect 124 '' 'mstore: k: timed out: *queue is full'
	run mstore get k
	expect 0 $'1\n'
	# A publisher that did not ask to wait does not.
	run mstore pub --count k lost
	expect 0 $'0\n'
	mstore pub --wait k 3 &
	pause
	kill -CONT "$sub"
	wait $!
	mstore pub --wait k 4
	end_sub
	expect_status 0
	expect_out $'k 1\nk 3\nk 4\n'
	expect_err 'mstore: k: lost 1 event'
}

test_pub_waits_for_nobody_else()
{
	start_ready --queue-len 1 k
	kill -STOP "$sub"
	mstore pub --wait k 1
	run_limited mstore pub --wait k 2
	expect 0 ''
	kill -CONT "$sub"
	run mstore pub --wait --create k 3
	expect 1 '' 'mstore: k: the key already exists*'
}

test_where_pub_cannot_wait()
{
	run mstore pub --wait=x k v
	expect 2 '' 'mstore: pub: --wait *: must be 0 to 4294967294ms, *'
	run mstore set --wait k v
	expect 2 '' 'mstore: set: unknown option --wait*'
	run mstore batch <<<'pub --wait k v'
	expect 2 '' 'mstore: line 1: pub: unknown option --wait*'
}

test_exec_with_a_snapshot()
{
	mstore set cfg 1
	# shellcheck disable=SC2016
	run_limited mstore sub --snapshot -n 1 \
		--exec 'read -r v; echo "$METASTORE_KEY $METASTORE_EVENT $v"' cfg
	expect 0 $'cfg snapshot 1\n'
	run mstore sub --prefix --exec true cfg
	expect 2 '' 'mstore: sub: --exec excludes --prefix; name the keys*'
}

# Starts monitor, and waits until it follows.
start_monitor()
{
	start mstore monitor "$@"
	await_subscribers net/probe 1
}

test_monitor_shows_all_that_happens()
{
	start_monitor -n 5
	mstore set net/eth0 up
	mstore pub 'two words' $'a\tb'
	mstore del net/eth0
	mstore flush 'two words'
	mstore set long "$(printf %0100d 0)"
	end_sub
	expect_status 0
	expect_line '[0-9:]{8}\.[0-9]{6} set +[0-9]+ root +net/eth0 +up'
	expect_line '[0-9:]{8}\.[0-9]{6} published +[0-9]+ root +two\\x20words +a\\tb'
	expect_line '[0-9:]{8}\.[0-9]{6} deleted +- - +net/eth0 *'
	expect_line '[0-9:]{8}\.[0-9]{6} deleted +- - +two\\x20words +\(flushed\)'
	expect_line '[0-9:]{8}\.[0-9]{6} set +[0-9]+ root +long +0{60}\.\.\. \(100 bytes\)'
}

test_monitor_of_a_prefix()
{
	start_monitor -n 1 net/
	mstore set other 1
	mstore set net/eth0 up
	end_sub
	expect_status 0
	expect_lines 1
	expect_line '.* net/eth0 +up'
}

test_monitor_in_json()
{
	start_monitor -n 2 --json
	mstore set k 1
	mstore del k
	end_sub
	expect_json "o['event'] == 'set' and o['key'] == 'k' and o['value'] == '1'" \
		"o['event'] == 'deleted' and o['key'] == 'k'"
}

test_monitor_ends_by_interrupt()
{
	start_monitor
	kill -INT "$sub"
	end_sub
	expect 0 ''
}

test_monitor_shows_rates_on_a_terminal()
{
	run_limited python3 -c '
import os, pty, signal, subprocess, sys, time

master, slave = pty.openpty()
child = subprocess.Popen(["mstore", "monitor"], stdout=subprocess.PIPE, stderr=slave)
text = b""
while b"changes/s, 0 in all, 0 lost" not in text:
    text += os.read(master, 1000)
child.send_signal(signal.SIGINT)
status = child.wait()
os.close(slave)
try:
    while more := os.read(master, 1000):
        text += more
except OSError:
    pass
print(status, text.endswith(b"\r\x1b[K"))'
	expect 0 $'0 True\n'
}

start_json
run_tests
