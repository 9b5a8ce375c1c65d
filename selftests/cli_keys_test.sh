#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: get, set, del, ls, stat, subs, bucket, flush, info.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

test_set_and_get()
{
	run mstore set temp 21
	expect 0 ''
	run mstore get temp
	expect 0 $'21\n'
	run mstore set temp 22
	run mstore get temp
	expect 0 $'22\n'
}

test_get_of_an_absent_key()
{
	run mstore get nope
	expect 1 '' 'mstore: nope: no such key'
}

test_get_of_several_keys()
{
	mstore set a 1
	mstore set b 'two words'
	run mstore get a nope b
	expect 1 $'a 1\nb two words\n' 'mstore: nope: no such key'
	run mstore get a b
	expect 0 $'a 1\nb two words\n'
}

test_get_in_pairs_whatever_the_number_of_keys()
{
	local version

	mstore set a $'1\n'
	mstore set 'b c' 2
	run mstore get --pairs a
	expect 0 $'a 1\\n\n'
	run mstore get --pairs a 'b c'
	expect 0 $'a 1\\n\nb\\x20c 2\n'
	run mstore get --pairs -0 'b c'
	printf 'b c\0002\0' | cmp - "$out"
	version=$(mstore get --version a)
	run mstore get --pairs --version a
	expect 0 "a $version"$'\n'
	run mstore get --pairs nope
	expect 1 '' 'mstore: nope: no such key'
	run mstore get --pairs --raw a
	expect 2 '' 'mstore: get: --raw excludes --pairs: give one form of output; see *'
	run mstore get --pairs --json a
	expect 2 '' 'mstore: get: --json excludes --pairs: give one form of output; see *'
}

test_get_raw_has_no_newline()
{
	mstore set k $'v\n'
	run mstore get --raw k
	expect 0 $'v\n'
	run mstore get k
	expect 0 $'v\n\n'
	run mstore get --raw k k
	expect 2 '' 'mstore: get: too many operands*'
}

test_options_end_at_the_first_operand()
{
	run mstore set temp -5
	expect 0 ''
	run mstore get temp
	expect 0 $'-5\n'
	run mstore set opt --json
	expect 0 ''
	run mstore get -- opt --json
	expect 1 $'opt --json\n' 'mstore: --json: no such key'
	run mstore set -- -x 1
	expect 0 ''
	run mstore get -- -x
	expect 0 $'1\n'
}

test_an_empty_value()
{
	run mstore set k ''
	expect 0 ''
	run mstore get k
	expect 0 $'\n'
	run mstore get k k
	expect 0 $'k \nk \n'
}

test_values_from_a_file()
{
	head -c 65536 /dev/urandom >"$work/value"
	run mstore set --file "$work/value" big
	expect 0 ''
	mstore get --raw big | cmp - "$work/value"
	mstore get big | head -c -1 | cmp - "$work/value"
	printf 'a\0b' | mstore set --file - piped
	run mstore get --raw piped
	printf 'a\0b' | cmp - "$out"
	mstore pub --file "$work/value" published
	mstore get --raw published | cmp - "$work/value"
}

test_values_that_are_too_long()
{
	head -c 65537 /dev/zero >"$work/value"
	run mstore set --file "$work/value" big
	expect 3 '' 'mstore: */value: too long: the store takes at most 65536 bytes'
	run mstore set --file /dev/zero big
	expect 3 '' 'mstore: /dev/zero: too long: *'
	run mstore set big "$(tr '\0' x <"$work/value")"
	expect 3 '' 'mstore: big: the value is too long*'
	run mstore get big
	expect_status 1
}

test_files_that_cannot_be_read()
{
	run mstore set --file /nonexistent k
	expect 3 '' 'mstore: /nonexistent: No such file or directory'
	run mstore pub --file / k
	expect 3 '' 'mstore: /: Is a directory'
	run mstore get k
	expect_status 1
}

test_keys_that_are_too_short_or_long()
{
	local key

	key=$(printf %255s '' | tr ' ' k)
	run mstore set "$key" 1
	expect 0 ''
	run mstore get "$key"
	expect 0 $'1\n'
	run mstore set "${key}k" 1
	expect 2 '' 'mstore: set: key of 256 bytes: must be 1 to 255 bytes*'
	run mstore get ''
	expect 2 '' 'mstore: get: empty key: must be 1 to 255 bytes*'
}

test_delete()
{
	mstore set a 1
	mstore set b 2
	run mstore del a nope b
	expect 1 '' 'mstore: nope: no such key'
	run mstore get a b
	expect 1 '' $'mstore: a: no such key\nmstore: b: no such key'
	mstore set a 1
	run mstore del a
	expect 0 ''
}

test_list()
{
	mstore set net/a 1
	mstore set net/b 22
	mstore set disk 333
	run sh -c 'mstore ls | sort'
	expect 0 $'disk\nnet/a\nnet/b\n'
	run sh -c 'mstore ls net/ | sort'
	expect 0 $'net/a\nnet/b\n'
	run mstore ls nothing
	expect 0 ''
}

test_list_in_order()
{
	local keys key

	keys=$(printf '%s\n' B Z a aa ab b $'b\\x01' bb '\xc3\xa4' '\xff' | sort -R)
	for key in $keys; do
		mstore set -e "$key" 1
	done
	run mstore ls --sort
	expect 0 $'B\nZ\na\naa\nab\nb\nb\\x01\nbb\n\303\244\n\\xff\n'
	run mstore ls --sort -0 b
	printf 'b\0b\001\0bb\0' | cmp - "$out"
	run mstore ls --sort --json a
	expect_json "o['key'] == 'a' and o['size'] == 1 and int(o['version']) > 0" \
		"o['key'] == 'aa'" "o['key'] == 'ab'"
	run mstore ls --sort -l a
	expect_lines 4
	expect_line ' +1 byte .* ab'
	run mstore ls --sort nothing
	expect 0 ''
	seq -f 'set n/%05.0f 1' 0 2999 | sort -R | mstore batch
	run mstore ls --sort n/
	seq -f 'n/%05.0f' 0 2999 | cmp - "$out"
}

test_list_of_one_bucket()
{
	local bucket

	mstore set here 1
	bucket=$(mstore bucket here)
	run mstore ls --bucket "$bucket"
	expect 0 $'here\n'
	run mstore ls --bucket $(((bucket + 1) % 1000))
	expect 0 ''
	run mstore ls --bucket 1000
	expect 3 '' 'mstore: ls: --bucket +([0-9]): must be 0 to +([0-9])'
}

test_stat_has_a_name_and_value_a_line()
{
	mstore set temp 21
	run mstore stat temp
	expect_status 0
	expect_err ''
	run sed 's/:.*//' "$out"
	expect_out $'key\nversion\nsize\nwriter\ntime\ntime_ns\nttl_ms\nowned\nsubscribers\nbucket\n'
	run mstore stat temp
	expect_line 'key: temp'
	expect_line 'size: 2 bytes'
	expect_line 'subscribers: 0'
	expect_line "bucket: $(mstore bucket temp)"
	expect_line 'writer: pid [0-9]+, uid 0 \(root\)'
	expect_line 'ttl_ms: none'
	expect_line 'owned: no'
}

test_sizes_that_a_person_reads()
{
	local size

	for size in '0:0 bytes' '1:1 byte' '1023:1023 bytes' '1024:1 KiB' '1025:1\.0 KiB' \
		'1536:1\.5 KiB' '40000:39\.0 KiB' '65535:63\.9 KiB' '65536:64 KiB'; do
		head -c "${size%%:*}" /dev/zero | mstore set --file - k
		run mstore stat k
		expect_line "size: ${size#*:}"
		run mstore stat --json k
		expect_json "o['size'] == ${size%%:*}"
	done
	run mstore private --max-bytes 3221225472 --queue-bytes 1572864 -- mstore info
	expect_line 'most memory of keys: 3 GiB'
	expect_line 'most memory of a queue: 1\.5 MiB'
}

test_stat_tells_the_time_of_writing()
{
	local before after seconds text

	before=$(date +%s)
	mstore set temp 21
	after=$(date +%s)
	run mstore stat temp
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
	run mstore stat alive
	kill $!
	expect_line "writer: pid $! \(python3\), uid 0 \(root\)"
	run mstore stat --json alive
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

	mstore set k 1
	run mstore stat k
	pid=$(sed -n 's/^writer: pid \([0-9]*\),.*/\1/p' "$out")
	run with_number "$pid" mstore stat k
	expect_line "writer: pid $pid, uid 0 \(root\)"
}

test_stat_names_another_user()
{
	chmod 666 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups mstore set theirs 1
	chmod 660 /dev/metastore
	expect 0 ''
	run mstore stat theirs
	expect_line 'writer: pid [0-9]+, uid 65534 \(nobody\)'
}

test_stat_of_several_keys()
{
	mstore set a 1
	mstore set b 2
	run mstore stat a nope b
	expect_status 1
	expect_err 'mstore: nope: no such key'
	expect_lines 21
}

test_versions_rise()
{
	local first second

	mstore set a 1
	first=$(mstore stat a | sed -n 's/^version: //p')
	mstore del a
	mstore set a 1
	second=$(mstore stat a | sed -n 's/^version: //p')
	((second > first))
}

test_bucket_is_a_number()
{
	run mstore bucket temp
	expect_status 0
	expect_line '[0-9]+'
	run mstore bucket --json temp
	expect_json "0 <= o['bucket'] < o['buckets'] == 1000 and o['key'] == 'temp'"
	run mstore bucket temp temp
	expect 2 '' 'mstore: bucket: too many operands*'
}

test_subs_is_a_number()
{
	run mstore subs temp
	expect 0 $'0\n'
	start_sub temp
	run mstore subs temp
	expect 0 $'1\n'
	kill "$sub"
	end_sub
	await_subscribers temp 0
}

test_pub_counts_its_subscribers()
{
	run mstore pub k 1
	expect 0 ''
	run mstore pub --count k 2
	expect 0 $'0\n'
	start_sub -n 1 k
	run mstore pub --count k 3
	expect 0 $'1\n'
	end_sub
	run mstore get k
	expect 0 $'3\n'
}

test_flush_of_a_prefix_and_of_all()
{
	mstore set net/a 1
	mstore set net/b 2
	mstore set disk 3
	run mstore flush net/
	expect 0 ''
	run mstore ls
	expect 0 $'disk\n'
	run mstore flush --json --all
	expect_json "o == { 'values': 1, 'subscriptions': 0, 'left': 0 }"
	run mstore ls
	expect 0 ''
}

test_flush_wants_to_be_told_what()
{
	mstore set a 1
	run mstore flush
	expect 2 '' 'mstore: flush: give a PREFIX, or --all*'
	run mstore flush ''
	expect 2 '' 'mstore: flush: PREFIX is empty*'
	run mstore flush --all a
	expect 2 '' 'mstore: flush: too many operands*'
	run mstore get a
	expect 0 $'1\n'
}

test_flush_of_one_bucket()
{
	local bucket

	mstore set here 1
	bucket=$(mstore bucket here)
	run mstore flush --bucket $(((bucket + 1) % 1000)) --all
	expect 0 ''
	run mstore get here
	expect_status 0
	run mstore flush --bucket "$bucket" --all
	expect 0 ''
	run mstore get here
	expect_status 1
	run mstore flush --bucket 1000 --all
	expect 3 '' 'mstore: flush: --bucket +([0-9]): must be 0 to +([0-9])'
}

test_flush_of_subscriptions_is_privileged()
{
	mstore set a 1
	chmod 666 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups mstore flush --subscriptions --all
	chmod 660 /dev/metastore
	expect 3 '' 'mstore: flush: --subscriptions needs CAP_SYS_ADMIN, or the creator of the private store'
	run mstore get a
	expect_status 0
}

test_info()
{
	mstore set a 1
	run mstore info
	expect_status 0
	expect_line 'store: /dev/metastore'
	expect_line 'keys: 1'
	expect_line 'memory of keys: 50 bytes'
	expect_line 'buckets: 1000'
	expect_line 'longest value: 64 KiB'
	# The same layout as that of stat.
	run grep -vxE '[a-z ]+: .+' "$out"
	expect 1 ''
	run mstore info --json
	expect_json "o['keys'] == 1 and o['bytes'] == 1 + 1 + 48 and o['key_max'] == 255"
	run mstore info --json --bucket $((($(mstore bucket a) + 1) % 1000))
	expect_json "o['keys'] == 0"
	run mstore info --bucket 1000
	expect 3 '' 'mstore: info: --bucket +([0-9]): must be 0 to +([0-9])'
}

start_json
run_tests
