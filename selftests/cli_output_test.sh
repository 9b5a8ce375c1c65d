#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool's output: escapes, NUL-ended fields, JSON, errors while writing.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

# Stores the bytes from number $1 to 255 in $work/bytes.
write_bytes()
{
	local i escape

	for ((i = $1; i < 256; i++)); do
		printf -v escape '\\x%02x' "$i"
		printf %b "$escape"
	done >"$work/bytes"
}

writing_to()
{
	"${@:2}" >&"$1"
}

# Runs a command whose reader is already gone.
run_without_reader()
{
	local reader writer

	rm -f "$work/pipe"
	mkfifo "$work/pipe"
	exec {reader}<>"$work/pipe"
	exec {writer}>"$work/pipe"
	exec {reader}>&-
	run writing_to "$writer" "$@"
	exec {writer}>&-
}

# The plain form of a key's value, which get prints for several keys only.
value_line()
{
	local line

	mstore get "$1" "$1" >"$work/lines"
	IFS= read -r line <"$work/lines"
	echo "${line#* }"
}

test_values_are_escaped_in_lines()
{
	printf 'a b\tc\nd\re\\f\033\177\377\303\244' | mstore set --file - k
	run value_line k
	expect 0 'a b\tc\nd\re\\f\x1b\x7f\xff'$'\303\244\n'
}

test_the_only_value_is_not_escaped()
{
	printf 'a\\b\nc\0\377' | mstore set --file - k
	run mstore get k
	printf 'a\\b\nc\0\377\n' | cmp - "$out"
}

test_spaces_are_escaped_in_keys()
{
	mstore set 'a b' 'c d'
	run mstore ls
	expect 0 'a\x20b'$'\n'
	run mstore get 'a b' 'a b'
	expect 0 'a\x20b c d'$'\n''a\x20b c d'$'\n'
}

test_c1_controls_are_escaped()
{
	mstore set k $'\302\233J'
	run mstore get k k
	expect 0 'k \xc2\x9bJ'$'\n''k \xc2\x9bJ'$'\n'
}

test_what_is_not_utf8_is_escaped()
{
	# Overlong, surrogate, beyond the last character, cut off.
	mstore set k $'\300\200 \355\240\200 \364\220\200\200 \342\202'
	run value_line k
	expect 0 '\xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82'$'\n'
	mstore set k $'\340\240\200 \355\237\277 \364\217\277\277'
	run value_line k
	expect 0 $'\340\240\200 \355\237\277 \364\217\277\277\n'
}

test_escapes_in_messages()
{
	run mstore get $'no\033such key'
	expect 1 '' 'mstore: no\\x1bsuch\\x20key: no such key'
}

test_printf_undoes_escapes()
{
	write_bytes 0
	mstore set --file "$work/bytes" k
	printf %b "$(value_line k)" | cmp - "$work/bytes"
}

test_escaped_operands_undo_escapes()
{
	local key

	write_bytes 0
	mstore set --file "$work/bytes" k
	mstore set -e copy "$(value_line k)"
	mstore get --raw copy | cmp - "$work/bytes"
	mstore set -e 'nul\x00 in\tkey' 1
	key=$(mstore ls nul)
	[[ $key == 'nul\x00\x20in\tkey' ]]
	run mstore get -e "$key"
	expect 0 $'1\n'
	run mstore del -e "$key"
	expect 0 ''
	run mstore ls nul
	expect 0 ''
}

test_wrong_escapes_are_refused()
{
	local wrong

	for wrong in 'a\z' '\q' 'a\x' 'a\x1' '\xgg'; do
		run mstore set -e "$wrong" 1
		expect 2 '' 'mstore: set: wrong escape in*\\xHH*'
	done
	run mstore set -e k '\q'
	expect_status 2
	run mstore ls
	expect 0 ''
}

test_null_ends_fields_and_escapes_nothing()
{
	mstore set $'a\nb' $'c\\ d\n'
	mstore set e ''
	run mstore get -0 $'a\nb'
	printf 'c\\ d\n\0' | cmp - "$out"
	run mstore get --null $'a\nb' e
	printf 'a\nb\0c\\ d\n\0e\0\0' | cmp - "$out"
	mstore del e
	run mstore ls -0
	printf 'a\nb\0' | cmp - "$out"
}

test_json_of_text()
{
	mstore set k $'"quote\\ \n\t\001\177 \303\244'
	run mstore get --json k
	expect_status 0
	expect_json "o['key'] == 'k' and o['value'] == '\"quote\\\\ \n\t\x01\x7f \xe4'"
	run python3 -m json.tool "$out"
	expect_status 0
}

test_json_of_bytes()
{
	local length

	# Each padding that base64 has.
	for length in 1 2 3 4 5 256; do
		write_bytes $((256 - length))
		mstore set --file "$work/bytes" k
		run mstore get --json k
		expect_json "base64.b64decode(o['value_base64'], validate=True) == \
			every_byte[-$length:] and 'value' not in o"
	done
	mstore set $'\377' v
	run mstore ls --json $'\377'
	expect_json "o['key_base64'] == '/w==' and 'key' not in o"
}

test_json_of_each_command()
{
	run mstore set --json k 12
	expect_json "o['key'] == 'k' and int(o['version']) > 0"
	run mstore pub --json k 123
	expect_json "o['key'] == 'k' and int(o['version']) > 0 and o['queues'] == 0"
	run mstore ls --json
	expect_json "o['key'] == 'k' and o['size'] == 3 and int(o['version']) > 0"
	run mstore subs --json k
	expect_json "o == { 'key': 'k', 'subscribers': 0 }"
	run mstore stat --json k
	expect_json "o['size'] == 3 and o['uid'] == 0 and o['user'] == 'root' and o['pid'] > 0 and \
		len(o['time_ns']) == 19 and o['time'].endswith('Z') and o['subscribers'] == 0"
	run mstore del --json k
	expect_json "o['key'] == 'k' and int(o['version']) > 0"
}

test_json_of_several_keys_is_a_line_each()
{
	mstore set a 1
	mstore set b 2
	run mstore get --json a nope b
	expect_status 1
	expect_json "o['value'] == '1'" "o['value'] == '2'"
}

test_json_versions_are_those_of_the_key()
{
	local version

	version=$(mstore set --json k 1 | sed 's/.*"version":"\([0-9]*\)".*/\1/')
	run mstore get --json k
	expect_json "o['version'] == '$version'"
	run mstore stat k
	expect_line "version: $version"
}

# The two options that the message must name, and the arguments.
expect_excluded()
{
	run_limited mstore "${@:3}" </dev/null
	expect 2 '' "mstore: $3: $1 excludes $2: give one form of output; see mstore $3 --help"
}

test_forms_of_output_exclude_each_other()
{
	mstore set k 1
	expect_excluded --json -0 get --json -0 k
	expect_excluded --raw --json get --json --raw k
	expect_excluded --version -0 get --null --version k
	expect_excluded -l -0 ls -l -0
	expect_excluded --json -0 ls --null --json
	expect_excluded --json --count pub --count --json k 2
	expect_excluded --raw -0 wait --raw -0 k
	expect_excluded --json -0 batch --json -0
	run mstore get k
	expect 0 $'1\n'
}

# Runs a command with a terminal as its output, and prints what the terminal got.
at_terminal()
{
	run_limited python3 -c '
import os, pty, subprocess, sys

master, slave = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
os.close(slave)
try:
    while text := os.read(master, 1000):
        os.write(1, text.replace(b"\r\n", b"\n"))
except OSError:
    pass
sys.exit(child.wait())' "$@"
}

test_colours_on_a_terminal_alone()
{
	local TERM=xterm busy red=$'\033[31m' end=$'\033[m'

	export TERM
	at_terminal mstore get nope
	expect 1 "${red}mstore:$end nope: no such key"$'\n'
	run mstore get nope
	expect 1 '' 'mstore: nope: no such key'
	NO_COLOR=1 at_terminal mstore get nope
	expect 1 $'mstore: nope: no such key\n'
	TERM=dumb at_terminal mstore get nope
	expect 1 $'mstore: nope: no such key\n'
	NO_COLOR='' at_terminal mstore get nope
	expect 1 "${red}mstore:$end nope: no such key"$'\n'
	(while :; do mstore pub k 1; mstore set k 2; mstore del k; done) &
	busy=$!
	at_terminal mstore monitor -n 6
	expect_status 0
	expect_line $'.* \033.32mpublished\033.m .*'
	expect_line $'.* \033.31mdeleted  \033.m .*'
	expect_line '[^m]* set  .* 2'
	run_limited mstore monitor -n 6
	kill "$busy"
	expect_status 0
	expect_line '[^m]* published .*'
}

test_a_full_disk_is_an_error()
{
	local command

	mstore set k 1
	for command in 'get k' 'ls' 'stat k' 'info' 'subs k' 'bucket k' '--help' 'get --help'; do
		run sh -c "mstore $command >/dev/full"
		expect 3 '' 'mstore: standard output: No space left on device'
	done
}

test_closed_output_is_an_error()
{
	mstore set k 1
	run sh -c 'mstore get k >&-'
	expect 3 '' 'mstore: standard output: Bad file descriptor'
	# Nothing is printed, so nothing is wrong.
	run sh -c 'mstore set k 2 <&- >&- 2>&-'
	expect 0 ''
	run mstore get k
	expect 0 $'2\n'
}

test_a_reader_that_is_gone_is_no_error()
{
	mstore set k 1
	run_without_reader mstore get k
	expect_status 0
	expect_err ''
	run_without_reader mstore ls
	expect_status 0
	expect_err ''
	run_without_reader mstore info
	expect_status 0
	expect_err ''
}

# Runs a command that waits, and whose reader goes meanwhile.
run_until_unread()
{
	# shellcheck disable=SC2016
	run_limited bash -c '"$@" | sleep 0.3; exit "${PIPESTATUS[0]}"' - "$@"
}

test_waits_end_with_their_reader()
{
	local command

	mstore set k 1
	mstore set locked 1
	for command in 'wait nope' 'wait --gone k' 'wait k 2' 'wait --timeout 1h nope' \
		'wait --newer 9000000000000000000 k' 'sub k' 'sub --prefix' 'sub -n 1 k' \
		'sub --exec true k' 'sub -n 2 --snapshot --exec true k' 'monitor' 'monitor -n 1'; do
		# shellcheck disable=SC2086
		run_until_unread mstore $command
		expect 0 ''
	done
	# A command runs all the while.
	run_until_unread mstore sub --snapshot --exec 'exec sleep 5 >/dev/null' k
	expect 0 ''
	# No lock, no command: that is no success.
	run_until_unread mstore lock locked -- touch "$work/taken"
	expect 1 ''
	run ls "$work/taken"
	expect_status 2
	# A reader that is gone already is no reason not to take it.
	run_without_reader mstore lock free -- touch "$work/taken"
	expect_status 0
	run ls "$work/taken"
	expect_status 0
}

test_output_that_would_block_is_waited_for()
{
	head -c 65536 /dev/urandom >"$work/value"
	mstore set --file "$work/value" k
	run python3 -c '
import os, subprocess, sys, time
reader, writer = os.pipe()
os.set_blocking(writer, False)
child = subprocess.Popen(["mstore", "get", "k"], stdout=writer)
os.close(writer)
time.sleep(0.3)
with os.fdopen(reader, "rb") as pipe:
    sys.stdout.buffer.write(pipe.read())
sys.exit(child.wait())'
	expect_status 0
	head -c -1 "$out" | cmp - "$work/value"
}

start_json
run_tests
