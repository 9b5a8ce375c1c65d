#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tracepoints, by tracefs and by the scripts of docs/tracing; the counters in debugfs.
#
# needs: python3 (python3)
# needs: trace-cmd (trace-cmd)
# shellcheck disable=SC2016 # words for other shells
set -e
doc_example=$PWD/doc_example
. ./cli_helpers.sh
. ./manual_helpers.sh

tracing=/sys/kernel/tracing
events=$tracing/events/metastore
scripts=$PWD/../docs/tracing
stores=/sys/kernel/debug/metastore/stores

[[ -e $tracing/events ]] || mount -t tracefs tracefs $tracing 2>/dev/null || {
	ktap_print_header
	ktap_skip_all "this kernel has no tracefs"
	exit "$KSFT_SKIP"
}
echo mono >$tracing/trace_clock
# Once for all tests: each change patches the kernel's code.
mstore set k 1
mstore get k >/dev/null
mapfile -t traced_while_off < <(grep -v '^#' $tracing/trace)
# An emulated CPU may run what another one has patched half.
second=/sys/devices/system/cpu/cpu1/online
[[ ! -w $second ]] || echo 0 >$second
echo 1 >$events/enable
trap 'echo 0 >$events/enable; [[ ! -w $second ]] || echo 1 >$second; end_jobs; rm -rf "$work"' EXIT

# The system calls that the tool does not make: commands by themselves, which take the fast
# paths. Prints the version.
cat >"$work/call" <<'END'
import ctypes, fcntl, os, struct, sys

def call(fd, number, size, fields):
    buffer = bytearray(size)
    buffer[:len(fields)] = fields
    fcntl.ioctl(fd, 3 << 30 | size << 16 | 0xe6 << 8 | number, buffer)
    return buffer

def address(data):
    return ctypes.addressof(data)

fd = os.open("/dev/metastore", os.O_RDWR)
for word in sys.argv[1:]:
    name, text = word.split("=", 1)
    text = os.fsencode(text)
    key = ctypes.create_string_buffer(text, 256)
    value = ctypes.create_string_buffer(b"four", 512)
    try:
        if name in ("set", "publish"):
            call(fd, 4 if name == "publish" else 2, 80,
                 struct.pack("QQII", address(key), address(value), len(text), 4))
        elif name == "get":
            call(fd, 1, 64, struct.pack("QQII", address(key), address(value), len(text), 512))
        elif name == "delete":
            call(fd, 3, 48, struct.pack("QI", address(key), len(text)))
        elif name == "subscribe":
            call(fd, 5, 40, struct.pack("QIIQ", address(key), len(text), 7, 77))
        elif name == "unsubscribe":
            call(fd, 6, 16, struct.pack("QI", address(key), len(text)))
        elif name == "create":
            call(fd, 13, 40, struct.pack("II", 0, os.O_RDWR))
    except OSError:
        pass
if sys.argv[-1] == "wait=":
    print("ready", flush=True)
    sys.stdin.read()
END

# Forgets what was traced so far. Programs switch the events off when they end.
clear()
{
	echo 1 >$events/enable
	echo >$tracing/trace
}

# Sets $out to what was traced since, without the columns before the event.
traced()
{
	run sed -n 's/^.*: \(metastore_[a-z]*: \)/\1/p' $tracing/trace
	expect_status 0
}

# call WORD=KEY...: through one open file.
call()
{
	python3 "$work/call" "$@"
}

test_nothing_is_traced_while_off()
{
	((${#traced_while_off[@]} == 0))
}

# Scripts rely on the order: new fields go to the end. store, file and key are in no row of the table.
test_the_fields_and_their_documentation()
{
	local event fields field row

	cat >"$work/expected" <<'END'
metastore_batch store file nr failed flags ret
metastore_change store file op key version len flags
metastore_delivery store key version queues
metastore_flush store file key values subscriptions flags ret
metastore_get store file key version len ret
metastore_loss store file key cookie lost
metastore_refuse store file op key len flags ret
metastore_subscribe store file key cookie events flags ret
metastore_touch store file key version ttl ret
metastore_unsubscribe store file key cookie flags end
END
	for event in "$events"/metastore_*; do
		fields=$(sed -nE '/common_/! s/^\tfield:.* ([a-z]+);\toffset.*/\1/p' "$event/format")
		# shellcheck disable=SC2086 # a list of words
		echo "${event##*/}" $fields
	done >"$work/fields"
	run diff "$work/expected" "$work/fields"
	expect 0 ''
	while read -r event fields; do
		row=$(grep "^| .$event. |" "$scripts/../tracing.md")
		for field in $fields; do
			[[ $field =~ ^(store|file|key)$ || $row == *'`'"$field"'`'* ]] ||
				fail "no $field of $event"
		done
	done <"$work/fields"
}

test_the_fast_paths()
{
	local version

	clear
	call set=k
	version=$(mstore get --version k)
	call get=k get=absent publish=k delete=k delete=k
	traced
	expect_line "metastore_change: store=1 file=[0-9]+ op=set key=k version=$version len=4 flags=0x0"
	expect_line "metastore_get: store=1 file=[0-9]+ key=k version=$version len=4 ret=0"
	expect_line 'metastore_get: store=1 file=[0-9]+ key=absent version=0 len=0 ret=-2'
	expect_line "metastore_change: store=1 file=[0-9]+ op=publish key=k version=$((version + 1)) len=4 flags=0x0"
	expect_line "metastore_change: store=1 file=[0-9]+ op=delete key=k version=$((version + 2)) len=0 flags=0x0"
	expect_line 'metastore_refuse: store=1 file=[0-9]+ op=delete key=k len=0 flags=0x0 ret=-2'
}

test_each_is_traced_once()
{
	clear
	call set=k get=k delete=k
	traced
	expect_lines 3
}

test_a_change_that_is_refused()
{
	mstore set k 1
	clear
	run mstore set --create k 22
	expect_status 1
	traced
	expect_line 'metastore_refuse: store=1 file=[0-9]+ op=set key=k len=2 flags=0x1 ret=-17'
	expect_line 'metastore_batch: store=1 file=[0-9]+ nr=1 failed=0 flags=0x0 ret=0'
}

# One event for each publisher that waits, however often it tries.
test_a_publisher_that_waits()
{
	start_sub --published --lossless --queue-len 1 k
	kill -STOP "$sub"
	mstore pub --wait k 1
	clear
	run mstore pub --wait --create k 22
	expect_status 1
	run mstore pub --wait=100ms k 333
	expect_status 124
	run mstore pub --wait=0 k 4444
	kill -CONT "$sub"
	mstore pub --wait k 55555
	traced
	run grep -v 'metastore_batch\|metastore_delivery' "$out"
	expect_lines 4
	expect_line 'metastore_refuse: store=1 file=[0-9]+ op=publish key=k len=2 flags=0x[0-9a-f]+ ret=-17'
	expect_line 'metastore_refuse: store=1 file=[0-9]+ op=publish key=k len=3 flags=0x[0-9a-f]+ ret=-110'
	expect_line 'metastore_refuse: store=1 file=[0-9]+ op=publish key=k len=4 flags=0x[0-9a-f]+ ret=-11'
	expect_line 'metastore_change: store=1 file=[0-9]+ op=publish key=k version=[0-9]+ len=5 .*'
}

test_times_to_live()
{
	clear
	mstore set --ttl 1h k 1
	mstore touch --ttl 100ms k
	mstore wait --gone k
	run mstore touch --ttl 1s k
	traced
	expect_line 'metastore_touch: store=1 file=[0-9]+ key=k version=[0-9]+ ttl=100 ret=0'
	expect_line 'metastore_change: store=1 file=0 op=expire key=k version=[0-9]+ len=0 flags=0x0'
	expect_line 'metastore_touch: store=1 file=[0-9]+ key=k version=0 ttl=1000 ret=-2'
}

test_the_end_of_an_owner()
{
	local file

	clear
	mstore hold k 1 -- true
	traced
	expect_line 'metastore_change: store=1 file=[0-9]+ op=set key=k .* flags=0x8'
	file=$(sed -n 's/.*file=\([0-9]*\) op=set .*/\1/p' "$out")
	expect_line "metastore_change: store=1 file=$file op=owner key=k version=[0-9]+ len=0 flags=0x0"
}

test_a_batch()
{
	clear
	mstore batch >/dev/null <<<$'set a 1\nget a\nset b 2'
	traced
	expect_line 'metastore_get: .* key=a version=[0-9]+ len=1 ret=0'
	expect_line 'metastore_change: .* op=set key=b .*'
	expect_line 'metastore_batch: store=1 file=[0-9]+ nr=[1-3] failed=[1-3] flags=0x0 ret=0'
}

test_a_transaction()
{
	mstore set --ttl 1h c 1
	clear
	mstore batch --atomic >/dev/null <<<$'set a 1\ntouch --ttl 1m c'
	mstore batch --atomic >/dev/null <<<$'set a 1\nget c\ndel b' 2>/dev/null || :
	mstore set b 1
	mstore batch --atomic >/dev/null <<<$'set a 1\nget c\ndel b'
	traced
	expect_line 'metastore_touch: .* key=c version=[0-9]+ ttl=60000 ret=0'
	expect_line 'metastore_refuse: .* op=delete key=b len=0 flags=0x0 ret=-2'
	expect_line 'metastore_batch: store=1 file=[0-9]+ nr=3 failed=2 flags=0x1 ret=-125'
	expect_line 'metastore_change: .* op=set key=a .*'
	expect_line 'metastore_get: .* key=c version=[0-9]+ len=1 ret=0'
	expect_line 'metastore_change: .* op=delete key=b .*'
	expect_line 'metastore_batch: store=1 file=[0-9]+ nr=3 failed=3 flags=0x1 ret=0'
}

test_subscriptions()
{
	clear
	call subscribe=temp subscribe=temp unsubscribe=temp subscribe=door
	start_ready --prefix net/
	mstore flush --subscriptions net/
	kill -INT "$sub" 2>/dev/null || :
	end_sub
	traced
	expect_line 'metastore_subscribe: store=1 file=[0-9]+ key=temp cookie=77 events=0x7 flags=0x0 ret=0'
	expect_line 'metastore_subscribe: store=1 file=[0-9]+ key=temp cookie=77 events=0x7 flags=0x0 ret=-17'
	expect_line 'metastore_unsubscribe: store=1 file=[0-9]+ key=temp cookie=77 flags=0x0 end=unsubscribe'
	expect_line 'metastore_unsubscribe: store=1 file=[0-9]+ key=door cookie=77 flags=0x0 end=close'
	expect_line 'metastore_subscribe: store=1 file=[0-9]+ key=net/ cookie=[0-9]+ events=0x7 flags=0x1 ret=0'
	expect_line 'metastore_unsubscribe: store=1 file=[0-9]+ key=net/ cookie=[0-9]+ flags=0x1 end=flush'
	expect_line 'metastore_flush: store=1 file=[0-9]+ key=net/ values=0 subscriptions=1 flags=0x[0-9a-f]+ ret=0'
}

test_a_flush()
{
	mstore batch <<<$'set net/1 1\nset net/2 1\nset other 1'
	clear
	mstore flush net/
	traced
	expect_line 'metastore_change: store=1 file=[0-9]+ op=flush key=net/1 .*'
	expect_line 'metastore_change: store=1 file=[0-9]+ op=flush key=net/2 .*'
	expect_line 'metastore_flush: store=1 file=[0-9]+ key=net/ values=2 subscriptions=0 flags=0x0 ret=0'
}

test_deliveries_and_losses()
{
	local version file

	start_sub --queue-len 2 k
	kill -STOP "$sub"
	clear
	mstore set other 1
	mstore batch <<<$'set k 1\nset k 2\nset k 3\nset k 4'
	version=$(mstore get --version k)
	file=$(mstore audit --json | sed 's/.*"file":\([0-9]*\),.*/\1/')
	traced
	kill -CONT "$sub"
	expect_line "metastore_delivery: store=1 key=k version=$((version - 3)) queues=1"
	expect_line "metastore_delivery: store=1 key=k version=$version queues=1"
	expect_line "metastore_loss: store=1 file=$file key=k cookie=[0-9]+ lost=1"
	expect_line "metastore_loss: store=1 file=$file key=k cookie=[0-9]+ lost=2"
	run grep -c 'loss: .*lost=3\|delivery: .*key=other' "$out"
	expect 1 $'0\n'
}

# A delivery that releases the lock in between, and that of a transaction.
test_deliveries_to_many()
{
	local i ones=()

	for ((i = 0; i < 3; i++)); do
		mstore sub --prefix k >/dev/null &
		ones+=($!)
	done
	for ((i = 0; i < 300 * slowness; i++)); do
		[[ $(mstore info --json) != *'"subscriptions":3,'* ]] || break
		pause
	done
	clear
	mstore batch --atomic <<<$'set k1 1\nset k2 1'
	mstore set k3 1
	traced
	kill "${ones[@]}"
	expect_line 'metastore_delivery: store=1 key=k1 version=[0-9]+ queues=3'
	expect_line 'metastore_delivery: store=1 key=k2 version=[0-9]+ queues=3'
	expect_line 'metastore_delivery: store=1 key=k3 version=[0-9]+ queues=3'
}

test_keys_with_any_byte()
{
	local long

	printf -v long '\\377%.0s' {1..255}
	clear
	mstore set $'a b\n\\\177%s' 1
	call set="$(printf '%b' "${long//\\/\\0}")"
	traced
	expect_line 'metastore_change: .* key=a\\040b\\012\\134\\177%s version=.*'
	expect_line "metastore_change: .* key=(\\\\377){255} version=.*"
}

# Writers of one key at once: the trace has the order of versions.
test_the_order_of_versions()
{
	local i writers=()

	clear
	for ((i = 0; i < 4; i++)); do
		call set=k publish=k set=k publish=k set=k publish=k &
		writers+=($!)
	done
	wait "${writers[@]}"
	traced
	run sed -n 's/metastore_change: .*key=k version=\([0-9]*\) .*/\1/p' "$out"
	expect_lines 24
	sort -nC "$out"
	[[ $(sort -u "$out" | wc -l) == 24 ]]
}

test_a_filter()
{
	echo 'key ~ "net/*" && op == 2' >$events/metastore_change/filter
	clear
	call set=net/1 publish=net/2 publish=other
	traced
	echo 0 >$events/metastore_change/filter
	run grep metastore_change "$out"
	expect_lines 1
	expect_line '.* op=publish key=net/2 .*'
}

has_histograms()
{
	[[ -e $events/metastore_change/hist ]] || skip "this kernel has no histograms"
}

test_a_histogram()
{
	local trigger='hist:keys=key,op'

	has_histograms
	echo "$trigger" >$events/metastore_change/trigger
	call set=a set=a set=b publish=a
	run cat $events/metastore_change/hist
	echo "!$trigger" >$events/metastore_change/trigger
	expect_line '\{ key: a +, op: +1 \} hitcount: +2'
	expect_line '\{ key: a +, op: +2 \} hitcount: +1'
	expect_line '\{ key: b +, op: +1 \} hitcount: +1'
}

test_the_script_of_hot_keys()
{
	has_histograms
	start "$scripts/hot-keys.sh" 3
	await_that grep -q hist: $events/metastore_change/trigger
	call set=hot set=hot set=hot set=cold
	end_sub
	expect_status 0
	expect_line '\{ key: hot +, op: +1 \} hitcount: +3'
	run grep -c '^hist:' $events/metastore_change/trigger
	expect 1 $'0\n'
}

test_the_script_that_records()
{
	local version

	run "$scripts/record.sh" mstore set recorded 12345
	expect_status 0
	version=$(mstore get --version recorded)
	expect_line ".*mstore-[0-9]+ .*metastore_change: +store=1 file=[0-9]+ op=set key=recorded version=$version len=5 .*"
}

# Both are too large to be installed for this test alone: it runs where they are. .ci/run has
# them in one of its roots.
needs_perf()
{
	type -P perf >/dev/null || skip "no perf (package linux-perf)"
	perf stat -e metastore:metastore_change true 2>/dev/null || skip "perf does not know this kernel"
}

needs_bpftrace()
{
	type -P bpftrace >/dev/null || skip "no bpftrace (package bpftrace)"
	[[ -e /sys/kernel/btf/vmlinux ]] || skip "this kernel does not describe its types"
}

# Makes changes until what start started has printed this, or has ended if it is to print
# nothing. The reader that loses them is stopped.
change_until()
{
	local i reader

	mstore sub --queue-len 1 k >/dev/null &
	reader=$!
	await_subscribers k 1
	kill -STOP $reader
	for ((i = 0; i < 200 * slowness; i++)); do
		! grep -Eq "${1:-$^}" "$work/sub" || break
		kill -0 "$sub" 2>/dev/null || break
		mstore batch <<<$'set k 1\nset k 2\nset k 3\nget absent' 2>/dev/null || :
		pause
	done
	kill -CONT $reader
	kill $reader
	[[ ! ${1-} ]] || grep -Eq "$1" "$work/sub" || {
		cat "$work/sub" "$work/sub_err"
		fail "it does not print $1"
	}
}

# Commands that look for some seconds have less time here, and see changes and losses.
prepare_commands()
{
	enter_empty_directory
	program sudo 'exec "$@"'
	program sleep '
		mstore sub --queue-len 1 k >/dev/null & reader=$!
		until [[ $(mstore subs k) = 1 ]]; do :; done
		kill -STOP $reader
		mstore batch <<<$'\''set k 1\nset k 2\nset k 3\nget k'\''
		kill -CONT $reader; kill $reader; wait'
}

judge_command()
{
	case $1 in
	'sudo perf trace '*' --max-events 20')
		needs_perf
		start_text "$1 2>&1"
		change_until
		end_sub
		expect_status 0
		expect_lines 20
		expect_line '.* metastore:metastore_change\(.*' ;;
	"sudo perf stat -e 'metastore:*' -a sleep 10")
		needs_perf
		run_text "$1 2>&1"
		expect_status 0
		expect_line ' +3 +metastore:metastore_change .*' ;;
	'sudo perf record -e metastore:metastore_loss -a sleep 60')
		needs_perf
		run_text "$1"
		expect_status 0
		run perf script
		expect_line '.* metastore:metastore_loss: .*key=k .*lost=2' ;;
	'sudo trace-cmd stream -e metastore:metastore_loss')
		start_text "$1"
		change_until 'metastore_loss: .*key=k '
		# It ends with the next event.
		kill -INT -- "-$sub"
		change_until
		end_sub
		kill -KILL -- "-$sub" 2>/dev/null || : ;;
	*'@[comm] = count(); }'"'")
		needs_bpftrace
		start_text "$1"
		change_until Attaching
		change_for_a_moment
		interrupt_text
		expect_line '@\[mstore\]: [1-9][0-9]*' ;;
	*'@absent[str(args->key)] = count(); }'"'")
		needs_bpftrace
		start_text "$1"
		change_until Attaching
		change_for_a_moment
		interrupt_text
		expect_line '@absent\[absent\]: [1-9][0-9]*' ;;
	*)
		fail "no judge for: $1" ;;
	esac
}

# A program that says that it is attaching may not have done so.
change_for_a_moment()
{
	local i

	for ((i = 0; i < 50; i++)); do
		mstore batch <<<$'set k 1\nget absent' 2>/dev/null || :
		pause
	done
}

# Those of the page with this program
judge_commands()
{
	local command commands

	prepare_commands
	mapfile -t commands < <("$doc_example" docs/tracing.md 'From the shell' 1)
	((${#commands[@]}))
	for command in "${commands[@]}"; do
		[[ $command != "sudo $1 "* ]] || judge_command "$command"
	done
}

test_the_commands_of_perf()
{
	judge_commands perf
}

test_the_commands_of_trace_cmd()
{
	judge_commands trace-cmd
}

test_the_commands_of_bpftrace()
{
	judge_commands bpftrace
}

test_each_command_has_a_judge()
{
	run "$doc_example" docs/tracing.md 'From the shell' 1
	run grep -vE '^sudo (perf|trace-cmd|bpftrace) ' "$out"
	expect 1 ''
}

# Ctrl-C is a limit of time here.
test_the_commands_of_tracefs()
{
	enter_empty_directory
	clear
	echo 0 >$events/enable
	program cat '
		mstore batch <<<$'\''set net/1 1\nset other 1'\''
		timeout -s INT 1 /bin/cat "$@" || :'
	run_text "$("$doc_example" docs/tracing.md 'From the shell' 2)"
	expect_status 0
	expect_lines 1
	expect_line '.* metastore_change: .* key=net/1 .*'
	run cat $events/metastore_change/filter
	expect 0 $'none\n'
}

test_bpftrace_losses()
{
	needs_bpftrace
	start bpftrace -B line "$scripts/losses.bt"
	change_until 'mstore +[0-9]+ +makes file [0-9]+ lose an event of k, [0-9]+ so far'
	interrupt
	expect_line '@losses\[[0-9]+, k\]: [0-9]+'
}

# It warns of nothing.
test_bpftrace_writers()
{
	needs_bpftrace
	start bpftrace -B line "$scripts/writers.bt"
	change_until '@changes\[mstore, k\]: [0-9]+'
	interrupt
	expect_line '@queues\[k\]: .*'
	expect_err ''
}

test_bpftrace_latency()
{
	needs_bpftrace
	start bpftrace -B line "$scripts/latency.bt"
	change_until Attaching
	change_for_a_moment
	interrupt
	expect_line '@us\[mstore\]: '
}

interrupt()
{
	kill -INT "$sub"
	end_sub
}

# column NAME STORE: of the file in debugfs
column()
{
	awk -v name="$1" -v store="$2" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
		NR > 1 && $at["store"] == store { print $at[name] }' $stores
}

test_counters_of_the_default_store()
{
	local changes published

	changes=$(column changes 1)
	published=$(column published 1)
	mstore set a 1
	mstore set b 1
	mstore pub a 2
	mstore del b
	mstore set --ttl 20ms c 1
	mstore wait --gone c
	[[ $(column changes 1) == $((changes + 6)) ]]
	[[ $(column published 1) == $((published + 1)) ]]
	[[ $(column keys 1) == 1 && $(column kind 1) == default ]]
	[[ $(column bytes 1) == $(mstore info --json | sed 's/.*"keys":1,"bytes":\([0-9]*\),.*/\1/') ]]
	[[ $(column max_keys 1) == 16777216 && $(column buckets 1) == 1000 ]]
	start_sub a b
	[[ $(column subscriptions 1) == 2 && $(column files 1) == 1 ]]
}

test_counters_of_private_stores()
{
	local number

	mstore private -- sh -c 'mstore pub k 1; exec sleep 600' &
	for _ in {1..300}; do
		number=$(awk '$2 == "private" { print $1 }' $stores)
		[[ ! $number || $(column published "$number") != 1 ]] || break
		pause
	done
	[[ $(column kind "$number") == private && $(column uid "$number") == 0 ]]
	[[ $(column published "$number") == 1 && $(column keys "$number") == 1 ]]
	[[ $(column files "$number") == 1 ]]
	kill $!
	wait $! || :
	[[ ! $(column kind "$number") ]]
}

test_only_root_reads_them()
{
	[[ $(stat -c %a $stores) == 400 ]]
	run setpriv --reuid=65534 --regid=65534 --clear-groups cat $stores
	expect_status 1
}

# However small the pieces are in which they are read, each store is there once.
test_many_stores_in_pieces()
{
	local reader i

	: >"$work/made"
	# shellcheck disable=SC2046 # 150 words
	python3 "$work/call" $(printf 'create=%d ' {1..150}) wait= <&"$never" >"$work/made" &
	reader=$!
	await_line "$work/made" ready
	for ((i = 0; i < 3; i++)); do
		run dd status=none bs=50 if=$stores
		expect_lines 152
		sed 1d "$out" | cut -d ' ' -f 1 | sort -nC -u
	done
	kill $reader
}

run_tests
