#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: top.
#
# needs: python3 (python3)
# needs: jq (jq)
set -e
doc_example=$PWD/doc_example
. ./cli_helpers.sh
. ./manual_helpers.sh

# Its intervals are shortened.
test_the_command_of_the_page()
{
	enter_empty_directory
	# shellcheck disable=SC2016
	program sudo 'exec "$@"'
	mstore set k 1
	run_hurried "$("$doc_example" docs/observability.md Live 1)" 10s
	expect_status 0
	run grep -c '"keys": 1,' "$out"
	expect 0 $'6\n'
}

test_one_interval_in_a_pipe()
{
	mstore set k 1
	start_sub --lossless k
	run_limited mstore top --interval 100ms -n 1
	kill "$sub"
	expect_status 0
	expect_line 'STORE +KEYS +BYTES +FILES +SUBS +CHANGES/S +PUBLISH/S +EVENTS/S +READ/S +LOST/S'
	expect_line ' +1 +1 +[0-9]+ +1 +1 +0 +0 +0 +0 +0'
	expect_line ' *FILE +SUBS +POLICY +WAITING +AGE-MS +EVENTS/S +READ/S +LOST/S +LOST +PROCESSES'
	expect_line " *[0-9]+ +1 lossless +0 +0 +0 +0 +0 +0 +$sub mstore"
	expect_line 'USER +FILES .*'
	expect_line 'root .*'
	# Nothing for a terminal is in it.
	run grep -c $'\033' "$out"
	expect 1 $'0\n'
}

test_several_intervals()
{
	run_limited mstore top --interval 100ms -n 3
	expect_status 0
	run grep -c ^STORE "$out"
	expect 0 $'3\n'
}

test_rates_of_a_steady_writer()
{
	local writer behind

	start_losses
	run_limited mstore top --json --interval 1s -n 1
	end_losses
	expect_status 0
	expect_json "0 < o['stores'][0]['published_per_second'] < o['stores'][0]['changes_per_second'] and \
		abs(o['stores'][0]['events_per_second'] - o['stores'][0]['changes_per_second']) \
			<= 2 + 0.2 * o['stores'][0]['changes_per_second'] and \
		o['files'][0]['pids'] == [$behind] and o['files'][0]['lost_per_second'] > 0 and \
		o['files'][0]['read_per_second'] == 0 and o['files'][0]['lost'] > 0"
}

test_the_worst_comes_first()
{
	local ones=() i

	for i in k1 k2 k3; do
		mstore sub --queue-len "${i#k}" $i >/dev/null &
		ones+=($!)
		await_subscribers $i 1
	done
	kill -STOP "${ones[@]}"
	for i in 1 2 3 4; do
		mstore batch <<<$'set k1 1\nset k2 1\nset k3 1'
	done
	run_limited mstore top --json --interval 100ms -n 1
	kill -CONT "${ones[@]}"
	expect_status 0
	expect_json "[f['lost'] for f in o['files']] == [3, 2, 1] and \
		o['files'][0]['pids'] == [${ones[0]}] and o['users'][0]['user'] == 'root'"
}

# Starts a process that loses events of k all the time, and one that makes them: $behind, $writer
start_losses()
{
	mstore sub --queue-len 1 k >/dev/null &
	behind=$!
	await_subscribers k 1
	kill -STOP "$behind"
	while echo 'set k 1' && echo 'pub k 2'; do
		read -rt 0.01 -u "$never" || :
	done 2>/dev/null | mstore batch &
	writer=$!
	await_key k
}

end_losses()
{
	kill "$writer"
	kill -CONT "$behind"
}

# Ahead of one that lost more before
test_what_loses_now_comes_first()
{
	local before behind writer

	mstore sub --queue-len 1 old >/dev/null &
	before=$!
	await_subscribers old 1
	kill -STOP "$before"
	printf 'set old 1\n%.0s' {1..5000} | mstore batch
	start_losses
	run_limited mstore top --json --interval 500ms -n 1
	end_losses
	kill -CONT "$before"
	expect_json "[f['pids'] for f in o['files'][:2]] == [[$behind], [$before]] and \
		o['files'][0]['lost'] < o['files'][1]['lost']"
}

# All that it has by now it got since.
test_rates_of_a_new_reader()
{
	start mstore top --json --interval 2s -n 2
	await_line "$work/sub"
	mstore sub --queue-len 1 k >/dev/null &
	await_subscribers k 1
	kill -STOP $!
	printf 'set k 1\n%.0s' {1..100} | mstore batch
	end_sub
	kill -CONT $!
	expect_json "o['files'] == []" \
		"45 <= o['files'][0]['events_per_second'] <= 50 and o['files'][0]['lost_per_second'] > 40"
}

# Those of one store are not in another's row.
test_rates_of_two_stores()
{
	local behind writer private

	mstore private -- sleep 600 &
	private=$!
	start_losses
	run_limited mstore top --all --json --interval 500ms -n 1
	end_losses
	kill $private
	expect_json "[s['events_per_second'] > 0 for s in o['stores']] == [True, False] and \
		[s['lost_per_second'] > 0 for s in o['stores']] == [True, False]"
}

test_private_stores_only_on_demand()
{
	mstore private -- sleep 600 &
	for _ in {1..100}; do
		run_limited mstore top --all --interval 100ms -n 1 --json
		! grep -q '"pids":\['$! "$out" || break
	done
	expect_json "len(o['stores']) == 2 and len(o['files']) == 1 and \
		o['files'][0]['store'] == o['stores'][1]['store']"
	run_limited mstore top --interval 100ms -n 1 --json
	kill $!
	expect_json "len(o['stores']) == 1 and not o['files']"
}

test_without_the_right_it_says_so()
{
	chmod 666 /dev/metastore
	run_limited setpriv --reuid=65534 --regid=65534 --clear-groups \
		mstore top --json --interval 100ms -n 1
	expect_json "not {'files', 'changes_per_second', 'published_per_second'} & set(o['stores'][0]) and \
		o['stores'][0]['lost_per_second'] == 0"
	run_limited setpriv --reuid=65534 --regid=65534 --clear-groups \
		mstore top --interval 100ms -n 1
	chmod 660 /dev/metastore
	expect_status 3
	expect_err 'mstore: top: cannot read +([0-9]) processes; use sudo'
	expect_line ' +1 +0 +0 +- +0 +- +- +0 +0 +0'
}

test_it_ends_with_its_reader()
{
	run timeout -s KILL $((60 * slowness)) sh -c 'mstore top --interval 100ms | head -n 1'
	expect_status 0
	expect_lines 1
}

test_ctrl_c_in_a_pipe()
{
	start mstore top --interval 100ms
	await_line "$work/sub"
	kill -INT "$sub"
	end_sub
	expect_status 0
}

test_wrong_options()
{
	run mstore top --interval 1ms
	expect 2 '' "mstore: top: --interval '1ms': must be 100ms to 1h, *"
	run mstore top -n 0
	expect 2 '' "mstore: top: -n '0': must be a number *"
	run mstore top now
	expect 2 '' 'mstore: top: too many operands*'
}

# Runs mstore top on a terminal of 10 lines and 60 columns, does what the arguments say one
# after the other, and says how it ended:
#   key=q signal=NAME   what to send
#   size=ROWSxCOLUMNS   a new size
#   see=TEXT            waits for that
# The output is in the file $work/screen. The terminal must be as before in any case.
on_terminal()
{
	run timeout -s KILL $((120 * slowness)) python3 - "$work/screen" "$@" <<'END'
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

def resize(rows, columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

def read_until(text):
    global seen
    at = len(kept)
    while text not in seen:
        ready, _, _ = select.select([master], [], [], 60)
        assert ready, f"no {text!r} in {seen!r}"
        data = os.read(master, 65536)
        seen += data
        kept.extend(data)
    seen = b""

master, slave = pty.openpty()
resize(10, 60)
before = termios.tcgetattr(slave)
pid = os.fork()
if not pid:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.execvp("mstore", ["mstore", "top", "--interval", "200ms"])
seen, kept = b"", bytearray()
read_until(b"USER")
assert not termios.tcgetattr(slave)[3] & termios.ICANON, "keys come by line"
for word in sys.argv[2:]:
    what, value = word.split("=", 1)
    if what == "key":
        os.write(master, value.encode())
    elif what == "signal":
        os.kill(pid, getattr(signal, "SIG" + value))
    elif what == "size":
        resize(*map(int, value.split("x")))
    elif what == "stopped":
        _, status = os.waitpid(pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), status
        assert termios.tcgetattr(slave) == before, "stopped with another terminal"
    else:
        read_until(value.encode())
_, status = os.waitpid(pid, 0)
while select.select([master], [], [], 0)[0]:
    kept.extend(os.read(master, 65536))
open(sys.argv[1], "wb").write(kept)
assert termios.tcgetattr(slave) == before, "the terminal is another one"
assert kept.startswith(b"\033[?1049h") and kept.count(b"\033[?1049h") == kept.count(b"\033[?1049l")
assert kept.rstrip().endswith(b"\033[?1049l"), kept[-60:]
frames = bytes(kept).split(b"\033[H")[1:]
# The terminal puts a further \r before each newline.
first = re.sub(rb"\033\[[?0-9]*[a-zA-Z]", b"", frames[0]).replace(b"\r", b"").split(b"\n")
assert len(first) <= 10 and max(map(len, first)) <= 60, first
print(os.waitstatus_to_exitcode(status), max(frame.count(b"\n") for frame in frames))
END
	expect_status 0
}

test_q_ends_it_and_leaves_the_terminal_as_it_was()
{
	on_terminal key=x key=q
	expect_line '0 [0-9]+'
}

test_signals_end_it_likewise()
{
	on_terminal key=$'\003'
	expect_line '0 [0-9]+'
	on_terminal signal=TERM
	expect_line '0 [0-9]+'
}

test_another_size()
{
	local ones=() i

	for i in {1..12}; do
		mstore sub k >/dev/null &
		ones+=($!)
	done
	await_subscribers k 12
	on_terminal size=40x200 see=PROCESSES see="mstore" key=q
	kill "${ones[@]}"
	# More lines than before: all open files.
	read -r status lines <"$out"
	((status == 0 && lines >= 20))
}

test_ctrl_z_leaves_the_screen_meanwhile()
{
	on_terminal key=$'\032' stopped= signal=CONT see=USER key=q
	expect_line '0 [0-9]+'
}

start_json
run_tests
