#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# README.md: its commands and its programs, in the words of the page, and the session at its
# top. Each command has its judge here: one without fails.
#
# needs: cc (gcc)
# needs: pkg-config (pkg-config)
# needs: python3 (python3)
# shellcheck disable=SC2016 # words of the page
set -e
top=$(cd .. && pwd)
doc_example=$PWD/doc_example
. ./cli_helpers.sh
. ./manual_helpers.sh

# Runs each of the commands that are read, as judge_$1 says.
judge_each()
{
	local command commands

	mapfile -t commands
	((${#commands[@]}))
	for command in "${commands[@]}"; do
		"judge_$1" "$command"
	done
}

# A command that is done and prints $2.
prints()
{
	run_text "$1"
	expect 0 "$2"
}

is_now()
{
	run mstore get "${@:2}"
	expect 0 "$1"$'\n'
}

# Starts a command that subscribes to key $2.
start_subscriber()
{
	start_text "$1"
	await_subscribers "$2" 1
}

judge_keys()
{
	case $1 in
	'mstore set config/rate 20')
		prints "$1" ''
		is_now 20 config/rate ;;
	'mstore pub config/rate 21')
		start_subscriber 'mstore sub -n 1 --published config/rate' config/rate
		prints "$1" ''
		end_sub
		expect 0 $'config/rate 21\n' ;;
	'mstore set --file logo.png logo')
		printf '\0\1png' >logo.png
		prints "$1" '' ;;
	'mstore get --raw logo >copy.png')
		prints "$1" ''
		cmp logo.png copy.png ;;
	'mstore get config/rate config/missing')
		run_text "$1"
		expect 1 $'config/rate 21\n' 'mstore: config/missing: no such key' ;;
	'mstore stat config/rate')
		run_text "$1"
		expect_status 0
		for name in version size writer time subscribers; do
			expect_line "$name: .+"
		done ;;
	'mstore ls --sort config/')
		mstore set config/a 1
		prints "$1" $'config/a\nconfig/rate\n' ;;
	'mstore ls --except net/tmp config/ net/')
		mstore batch <<<$'set net/a 1\nset net/tmp/a 1'
		run_text "$1 | sort"
		expect 0 $'config/a\nconfig/rate\nnet/a\n' ;;
	'mstore sub --timeout 5 config/rate door')
		start_subscriber "$1" door
		mstore set door open
		mstore del door
		end_sub
		expect 0 $'door open\ndoor\n' ;;
	'mstore sub -n 1 job && echo "job changed"')
		start_subscriber "$1" job
		mstore set job 1
		end_sub
		expect 0 $'job 1\njob changed\n' ;;
	'mstore del config/rate')
		prints "$1" ''
		run mstore get config/rate
		expect_status 1 ;;
	'mstore flush logo')
		prints "$1" ''
		run mstore ls --sort
		expect 0 $'config/a\njob\nnet/a\nnet/tmp/a\n' ;;
	*)
		fail "no judge for: $1" ;;
	esac
}

test_the_keys_of_the_shell()
{
	enter_empty_directory
	judge_each keys < <("$doc_example" README.md 'From the shell' 1)
}

# The program that a command names notes what it sees of the store.
program_that_notes()
{
	program "$1" "{ $2; } >\"\$WORK/here/seen\""
}

has_seen()
{
	run cat seen
	expect 0 "$1"$'\n'
}

judge_conditions()
{
	case $1 in
	'mstore set --create leader node1')
		prints "$1" ''
		run_text "$1"
		expect 1 '' 'mstore: leader: the key already exists*'
		is_now node1 leader ;;
	'mstore set cfg old')
		prints "$1" '' ;;
	'version=$(mstore get --version cfg)')
		eval "$1"
		export version ;;
	'mstore set --if-version "$version" cfg new')
		prints "$1" ''
		run_text "$1"
		expect 1 '' 'mstore: cfg: *'
		is_now new cfg ;;
	'mstore incr visits')
		prints "$1" $'1\n'
		prints "$1" $'2\n' ;;
	"mstore set json '{}'")
		prints "$1" '' ;;
	'mstore update json -- jq .x=1')
		program jq '[[ $* == .x=1 ]] && sed "s/}$/\"x\":1}/"'
		prints "$1" ''
		is_now '{"x":1}' json ;;
	'mstore del --print job')
		mstore set job compile
		prints "$1" $'compile\n'
		run_text "$1"
		expect_status 1 ;;
	'mstore set --ttl 5s session/42 open')
		prints "$1" ''
		run mstore stat session/42
		expect_line 'ttl_ms: [1-5][0-9]{0,3}' ;;
	'mstore touch --ttl 5s session/42')
		mstore touch --ttl 1h session/42
		prints "$1" ''
		run mstore stat session/42
		expect_line 'ttl_ms: [1-5][0-9]{0,3}' ;;
	'mstore hold service/web up -- /usr/sbin/webserver')
		program_that_notes /usr/sbin/webserver 'mstore get service/web'
		prints "$1" ''
		has_seen up
		mstore wait --gone --timeout 60 service/web ;;
	"mstore hold service/web starting -- sh -c 'load; mstore set --held service/web up; exec serve'")
		program load 'mstore get service/web'
		program serve 'mstore get service/web'
		prints "$1" $'starting\nup\n'
		mstore wait --gone --timeout 60 service/web ;;
	'mstore lock backup -- /usr/local/bin/backup')
		program_that_notes /usr/local/bin/backup 'mstore get backup | grep -o "/usr.*"'
		prints "$1" ''
		has_seen /usr/local/bin/backup ;;
	'mstore lock --slots 3 --on-loss build -- make')
		program make 'mstore del --steal build.slot/1; exec sleep 600'
		run_text "$1"
		expect 143 '' '*' ;;
	'mstore wait --timeout 30 service/web up')
		start_subscriber "$1" service/web
		mstore set service/web starting
		mstore set service/web up
		end_sub
		expect 0 $'up\n' ;;
	'mstore sub --follow --prefix config/')
		mstore set config/a 1
		start_text "$1"
		await_line "$work/sub" 'config/a 1'
		mstore set config/a 2
		await_line "$work/sub" 'config/a 2'
		interrupt_text
		expect_status 0 ;;
	*' cfg;'*|*"' cfg")
		judge_followers "$1" ;;
	"printf 'set a 1\nset b 2\ndel cfg\n' | mstore batch --atomic")
		prints "$1" ''
		is_now $'a 1\nb 2' a b
		run_text "$1"
		expect 1 '' '*cfg*'
		is_now $'a 1\nb 2' a b ;;
	'mstore private -- make test')
		program_that_notes make 'echo "$@"; mstore set other 1; mstore ls'
		prints "$1" ''
		has_seen $'test\nother'
		run mstore get other
		expect_status 1 ;;
	'mstore dump >saved; mstore load <saved')
		mstore ls --sort >before
		prints "$1" ''
		mstore flush --all
		run_text "${1#*; }"
		run mstore ls --sort
		expect 0 "$(<before)"$'\n' ;;
	*)
		fail "no judge for: $1" ;;
	esac
}

# Commands that run another now, and for each change of cfg
judge_followers()
{
	case $1 in
	*--exec*/tmp/cfg*)
		rm -f /tmp/cfg
		start_text "$1"
		await_line "$work/sub" snapshot
		run cat /tmp/cfg
		expect 0 new
		mstore set cfg newer
		await_line "$work/sub" set
		run cat /tmp/cfg
		expect 0 newer ;;
	*--restart*--settle*)
		program server 'mstore get cfg; exec sleep 600'
		start_text "$1"
		await_line "$work/sub" newer
		mstore set cfg newest
		await_line "$work/sub" newest ;;
	*)
		fail "no judge for: $1" ;;
	esac
	interrupt_text
	expect_status 0
}

test_conditions_and_lives_in_the_shell()
{
	enter_empty_directory
	judge_each conditions < <("$doc_example" README.md 'From the shell' 2)
}

judge_following()
{
	local reader

	case $1 in
	'sudo mstore audit')
		program sudo 'exec "$@"'
		start mstore sub --queue-len 1 temp
		await_subscribers temp 1
		reader=$sub
		kill -STOP "$reader"
		mstore batch <<<$'set temp 1\nset temp 2\nset temp 3'
		run_text "$1"
		kill -CONT "$reader"
		kill "$reader"
		expect_lines 2
		expect_line ' *FILE +SUBS +POLICY +WAITING +HIGHEST +AGE-MS +LOST .*'
		expect_line " *[0-9]+ +1 drop-oldest +1 .* $reader mstore" ;;
	'mstore monitor net/')
		start_text "$1"
		await_that has_subscription
		mstore set other 1
		mstore set net/a 1
		await_line "$work/sub"
		interrupt_text
		expect_status 0
		expect_lines 1
		expect_line '[0-9:.]+ set +[0-9]+ root +net/a +1' ;;
	*)
		fail "no judge for: $1" ;;
	esac
}

has_subscription()
{
	[[ $(mstore info --json) == *'"subscriptions":1,'* ]]
}

test_following_in_the_shell()
{
	enter_empty_directory
	judge_each following < <("$doc_example" README.md 'Following changes' 1)
}

# Both commands of the text below it, too
test_the_program_in_c()
{
	local command

	enter_empty_directory
	"$doc_example" README.md 'From C' 1 >door.c
	command=$(sed -n 's/^After .*build it with `\(cc .*)\)`\. Then$/\1/p' "$top/README.md")
	[[ $command ]] || fail "no command that builds it"
	prints "$command -Wall -Werror" ''
	prints ./door $'open\n'
}

test_the_program_in_python()
{
	"$doc_example" README.md 'From Python' 1 >"$work/door.py"
	PYTHONPATH=$top/userspace/python run_limited python3 "$work/door.py"
	expect 0 $'1\nSNAPSHOT door open\nSNAPSHOT_END  \n'
}

# The drawing has what the session prints, but for numbers of processes and versions.
test_the_session()
{
	local numbers='s/[0-9][0-9]*/N/g'

	sed -n 's/^<text [^>]*>\(.*\)<.text>$/\1/p' ../docs/session/session.svg |
		sed "s/&#x27;/'/g; s/&amp;/\&/g; s/&gt;/>/g; s/&lt;/</g; $numbers" >"$work/drawn"
	run_limited ../docs/session/play
	expect_status 0
	run diff <(sed "$numbers" "$out") "$work/drawn"
	expect 0 ''
}

run_tests
