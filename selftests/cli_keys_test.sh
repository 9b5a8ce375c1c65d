#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: get, set, del, ls, stat, subs, bucket, flush, info.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

test_set_and_get()
{
	run metastore set temp 21
	expect 0 ''
	run metastore get temp
	expect 0 $'21\n'
	run metastore set temp 22
	run metastore get temp
	expect 0 $'22\n'
}

test_get_of_an_absent_key()
{
	run metastore get nope
	expect 1 '' 'metastore: nope: no such key'
}

test_get_of_several_keys()
{
	metastore set a 1
	metastore set b 'two words'
	run metastore get a nope b
	expect 1 $'a 1\nb two words\n' 'metastore: nope: no such key'
	run metastore get a b
	expect 0 $'a 1\nb two words\n'
}

test_get_raw_has_no_newline()
{
	metastore set k $'v\n'
	run metastore get --raw k
	expect 0 $'v\n'
	run metastore get k
	expect 0 $'v\n\n'
	run metastore get --raw k k
	expect 2 '' 'metastore: get: too many operands*'
}

test_options_end_at_the_first_operand()
{
	run metastore set temp -5
	expect 0 ''
	run metastore get temp
	expect 0 $'-5\n'
	run metastore set opt --json
	expect 0 ''
	run metastore get opt --json
	expect 1 $'opt --json\n' 'metastore: --json: no such key'
	run metastore set -- -x 1
	expect 0 ''
	run metastore get -- -x
	expect 0 $'1\n'
}

test_an_empty_value()
{
	run metastore set k ''
	expect 0 ''
	run metastore get k
	expect 0 $'\n'
	run metastore get k k
	expect 0 $'k \nk \n'
}

test_values_from_a_file()
{
	head -c 65536 /dev/urandom >"$work/value"
	run metastore set --file "$work/value" big
	expect 0 ''
	metastore get --raw big | cmp - "$work/value"
	metastore get big | head -c -1 | cmp - "$work/value"
	printf 'a\0b' | metastore set --file - piped
	run metastore get --raw piped
	printf 'a\0b' | cmp - "$out"
	metastore pub --file "$work/value" published
	metastore get --raw published | cmp - "$work/value"
}

test_values_that_are_too_long()
{
	head -c 65537 /dev/zero >"$work/value"
	run metastore set --file "$work/value" big
	expect 3 '' 'metastore: */value: longer than the store takes, 65536 bytes'
	run metastore set --file /dev/zero big
	expect 3 '' 'metastore: /dev/zero: longer than*'
	run metastore set big "$(tr '\0' x <"$work/value")"
	expect 3 '' 'metastore: big: the value is longer than the store takes*'
	run metastore get big
	expect_status 1
}

test_files_that_cannot_be_read()
{
	run metastore set --file /nonexistent k
	expect 3 '' 'metastore: /nonexistent: No such file or directory'
	run metastore pub --file / k
	expect 3 '' 'metastore: /: Is a directory'
	run metastore get k
	expect_status 1
}

test_keys_that_are_too_short_or_long()
{
	local key

	key=$(printf %255s '' | tr ' ' k)
	run metastore set "$key" 1
	expect 0 ''
	run metastore get "$key"
	expect 0 $'1\n'
	run metastore set "${key}k" 1
	expect 2 '' 'metastore: set: a key has at most 255 bytes, this one has 256*'
	run metastore get ''
	expect 2 '' 'metastore: get: a key cannot be empty*'
}

test_delete()
{
	metastore set a 1
	metastore set b 2
	run metastore del a nope b
	expect 1 '' 'metastore: nope: no such key'
	run metastore get a b
	expect 1 '' $'metastore: a: no such key\nmetastore: b: no such key'
	metastore set a 1
	run metastore del a
	expect 0 ''
}

test_list()
{
	metastore set net/a 1
	metastore set net/b 22
	metastore set disk 333
	run sh -c 'metastore ls | sort'
	expect 0 $'disk\nnet/a\nnet/b\n'
	run sh -c 'metastore ls net/ | sort'
	expect 0 $'net/a\nnet/b\n'
	run metastore ls nothing
	expect 0 ''
}

test_long_list_is_aligned()
{
	local version

	metastore set a 1
	metastore set bb 55555
	run metastore stat bb
	version=$(sed -n 's/^version: //p' "$out")
	run metastore ls -l b
	expect 0 "$(printf '%10d %20s bb' 5 "$version")"$'\n'
	run sh -c 'metastore ls -l | awk "{ print length(\$0) - length(\$3) }" | sort -u | wc -l'
	expect 0 $'1\n'
}

test_list_of_one_bucket()
{
	local bucket

	metastore set here 1
	bucket=$(metastore bucket here)
	run metastore ls --bucket "$bucket"
	expect 0 $'here\n'
	run metastore ls --bucket $(((bucket + 1) % 1000))
	expect 0 ''
	run metastore ls --bucket 1000
	expect 3 '' 'metastore: ls: no such bucket'
}

test_stat_has_a_name_and_value_a_line()
{
	metastore set temp 21
	run metastore stat temp
	expect_status 0
	expect_err ''
	run sed 's/:.*//' "$out"
	expect_out $'key\nversion\nsize\nwriter\ntime\ntime_ns\nttl_ms\nowned\nsubscribers\nbucket\n'
	run metastore stat temp
	expect_line 'key: temp'
	expect_line 'size: 2'
	expect_line 'subscribers: 0'
	expect_line "bucket: $(metastore bucket temp)"
	expect_line 'writer: pid [0-9]+, uid 0 \(root\)'
	expect_line 'ttl_ms: none'
	expect_line 'owned: no'
}

test_stat_tells_the_time_of_writing()
{
	local before after seconds text

	before=$(date +%s)
	metastore set temp 21
	after=$(date +%s)
	run metastore stat temp
	seconds=$(sed -n 's/^time_ns: \(.*\).........$/\1/p' "$out")
	((before <= seconds && seconds <= after))
	text=$(sed -n 's/^time: //p' "$out")
	[[ $(date -d "$text" +%s.%N) == "$(sed -n 's/^time_ns: \(.*\)\(.........\)$/\1.\2/p' "$out")" ]]
}

# Stores a value and stays: the tool itself is gone when one looks.
hold_writer()
{
	python3 -c '
import ctypes, fcntl, os, struct, sys, time
fd = os.open("/dev/metastore", os.O_RDWR)
key, value = (ctypes.create_string_buffer(text) for text in (b"alive", b"1"))
arguments = struct.pack("QQIIIIQ", ctypes.addressof(key), ctypes.addressof(value), 5, 1, 0, 0, 0)
fcntl.ioctl(fd, 0xc028e602, bytearray(arguments))
print(flush=True)
time.sleep(60)' &
}

test_stat_names_a_writer_that_still_runs()
{
	hold_writer >"$work/ready"
	await_line "$work/ready"
	run metastore stat alive
	kill $!
	expect_line "writer: pid $! \(python3\), uid 0 \(root\)"
	run metastore stat --json alive
	expect_json "o['pid'] == $! and o['uid'] == 0 and o['user'] == 'root'"
}

# Runs a command while there is a process with the number $1, which is free.
with_number()
{
	python3 -c '
import ctypes, os, signal, subprocess, sys
number = ctypes.c_int(int(sys.argv[1]))
clone_args = (ctypes.c_uint64 * 11)()
clone_args[4] = signal.SIGCHLD
clone_args[8] = ctypes.addressof(number)
clone_args[9] = 1
child = ctypes.CDLL(None).syscall(435, clone_args, ctypes.sizeof(clone_args))
if child == 0:
    signal.pause()
if child != number.value:
    sys.exit("no process got that number")
status = subprocess.call(sys.argv[2:])
os.kill(child, signal.SIGKILL)
sys.exit(status)' "$@"
}

test_stat_does_not_name_a_process_that_came_later()
{
	local pid

	metastore set k 1
	run metastore stat k
	pid=$(sed -n 's/^writer: pid \([0-9]*\),.*/\1/p' "$out")
	run with_number "$pid" metastore stat k
	expect_line "writer: pid $pid, uid 0 \(root\)"
}

test_stat_names_another_user()
{
	chmod 666 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups metastore set theirs 1
	chmod 660 /dev/metastore
	expect 0 ''
	run metastore stat theirs
	expect_line 'writer: pid [0-9]+, uid 65534 \(nobody\)'
}

test_stat_of_several_keys()
{
	metastore set a 1
	metastore set b 2
	run metastore stat a nope b
	expect_status 1
	expect_err 'metastore: nope: no such key'
	expect_lines 21
}

test_versions_rise()
{
	local first second

	metastore set a 1
	first=$(metastore stat a | sed -n 's/^version: //p')
	metastore del a
	metastore set a 1
	second=$(metastore stat a | sed -n 's/^version: //p')
	((second > first))
}

test_bucket_is_a_number()
{
	run metastore bucket temp
	expect_status 0
	expect_line '[0-9]+'
	run metastore bucket --json temp
	expect_json "0 <= o['bucket'] < o['buckets'] == 1000 and o['key'] == 'temp'"
	run metastore bucket temp temp
	expect 2 '' 'metastore: bucket: too many operands*'
}

test_subs_is_a_number()
{
	run metastore subs temp
	expect 0 $'0\n'
	start_sub temp
	run metastore subs temp
	expect 0 $'1\n'
	kill "$sub"
	end_sub
	await_subscribers temp 0
}

test_pub_counts_its_subscribers()
{
	run metastore pub k 1
	expect 0 ''
	run metastore pub --count k 2
	expect 0 $'0\n'
	start_sub -n 1 k
	run metastore pub --count k 3
	expect 0 $'1\n'
	end_sub
	run metastore get k
	expect 0 $'3\n'
}

test_flush_of_a_prefix_and_of_all()
{
	metastore set net/a 1
	metastore set net/b 2
	metastore set disk 3
	run metastore flush net/
	expect 0 ''
	run metastore ls
	expect 0 $'disk\n'
	run metastore flush --json --all
	expect_json "o == { 'values': 1, 'subscriptions': 0 }"
	run metastore ls
	expect 0 ''
}

test_flush_wants_to_be_told_what()
{
	metastore set a 1
	run metastore flush
	expect 2 '' 'metastore: flush: give a PREFIX, or --all*'
	run metastore flush ''
	expect 2 '' 'metastore: flush: PREFIX is empty*'
	run metastore flush --all a
	expect 2 '' 'metastore: flush: too many operands*'
	run metastore get a
	expect 0 $'1\n'
}

test_flush_of_one_bucket()
{
	local bucket

	metastore set here 1
	bucket=$(metastore bucket here)
	run metastore flush --bucket $(((bucket + 1) % 1000)) --all
	expect 0 ''
	run metastore get here
	expect_status 0
	run metastore flush --bucket "$bucket" --all
	expect 0 ''
	run metastore get here
	expect_status 1
	run metastore flush --bucket 1000 --all
	expect 3 '' 'metastore: flush: no such bucket'
}

test_flush_of_subscriptions_is_privileged()
{
	metastore set a 1
	chmod 666 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups metastore flush --subscriptions --all
	chmod 660 /dev/metastore
	expect 3 '' 'metastore: flush: removing subscriptions needs CAP_SYS_ADMIN'
	run metastore get a
	expect_status 0
}

test_info()
{
	metastore set a 1
	run metastore info
	expect_status 0
	expect_line 'keys +1'
	expect_line 'buckets +1000'
	expect_line 'longest value +65536 bytes'
	run metastore info --json
	expect_json "o['keys'] == 1 and o['bytes'] == 1 + 1 + 48 and o['key_max'] == 255"
	run metastore info --json --bucket $((($(metastore bucket a) + 1) % 1000))
	expect_json "o['keys'] == 0"
	run metastore info --bucket 1000
	expect 3 '' 'metastore: info: no such bucket'
}

start_json
run_tests
