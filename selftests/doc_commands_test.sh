#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# README.md and docs/: each of their examples is run by a test, which takes it from the page
# by doc_example. A command that none takes fails here.
#
# needs: python3 (python3)
# shellcheck disable=SC2016 # marks of the pages
set -e
top=$(cd .. && pwd)
doc_example=$PWD/doc_example
. ./cli_helpers.sh
. ./manual_helpers.sh

# Commands that no call of doc_example takes. Blocks of these languages are taken whole:
#   page	language	what takes them
by_language='
docs/go.md	go	selftests/go/build
docs/go.md	text	selftests/go/build
docs/python.md	python	selftests/python/test_docs.py
'
# and these are not run:
#   page	heading	number	pattern	why not
not_run="
README.md	What it costs	1	make bench*	minutes each: .ci/run has ONLY=hot and COMPARE=
docs/install.md	Secure Boot	1	*mokutil --*	firmware that has Secure Boot
docs/install.md	Secure Boot	1	sudo reboot	the same
"
# Runners that are no tests themselves:
#   script	what calls it
called_by='
selftests/vm/fresh	.ci/run
selftests/vm/package-root	selftests/vm/package-check
selftests/vm/page-live	selftests/vm/package-root
selftests/vm/package-check	.ci/run
selftests/vm/reboot-test	selftests/vm/check
'

# The patterns of commands that are taken, a line each, by "page|heading|number"
declare -A taken callers

# Reads the calls in a file. Their arguments are written out, in quotes or without.
read_calls()
{
	local call words
	local word="('[^']*'|\"[^\"]*\"|[^]['\"\$ )|;>]+)"

	while IFS= read -r call; do
		eval "words=(${call#*doc_example})"
		take "${words[0]}|${words[1]}|${words[2]}" "${words[3]-*}"
		callers[$1]=1
	done < <(grep -v '^ *#' "$top/$1" | grep -oE "doc_example\"? $word $word [0-9]+( $word)?" |
		sed 's/doc_example"/doc_example/')
}

take()
{
	taken[$1]+=$2$'\n'
}

# Is there a pattern for the command $2 of the block $1?
is_taken()
{
	local pattern

	while IFS= read -r pattern; do
		# shellcheck disable=SC2053 # a pattern
		[[ ! $pattern || $2 != $pattern ]] || return 0
	done <<<"${taken[$1]-}"
	return 1
}

# Says which commands of a block no test takes; of another block, whether none takes it.
look_at_block()
{
	local block="$1|$2|$3" language=$4 line lines

	[[ $by_language != *$'\n'"$1"$'\t'"$language"$'\t'* ]] || return 0
	case $language in
	text)       return ;;
	none)       fail "$1, '$2': block $3 names no language"; return ;;
	console|sh) mapfile -t lines < <("$doc_example" "$1" "$2" "$3") ;;
	*)          lines=("the $language") ;;
	esac
	for line in "${lines[@]}"; do
		is_taken "$block" "$line" || fail "$1, '$2', $3: no test runs: $line" || untaken=1
	done
}

test_each_example_is_run()
{
	local page language number heading untaken=

	shopt -s extglob
	for page in "$top"/README.md "$top"/docs/*.md; do
		page=${page#"$top/"}
		while read -r language number heading; do
			look_at_block "$page" "$heading" "$number" "$language" || untaken=1
		done < <("$doc_example" --list "$page")
	done
	[[ ! $untaken ]]
}

# And what is said to be taken, or not to be run, is on its page.
test_no_example_is_missed()
{
	local block pattern page heading number

	for block in "${!taken[@]}"; do
		IFS='|' read -r page heading number <<<"$block"
		while IFS= read -r pattern; do
			"$doc_example" "$page" "$heading" "$number" "$pattern" >/dev/null
		done <<<"${taken[$block]%$'\n'}"
	done
}

test_what_takes_them_is_run()
{
	local caller row page language script

	for caller in "${!callers[@]}"; do
		[[ $caller != *_test.sh ]] || continue
		row=$(grep "^$caller	" <<<"$called_by") || fail "nothing runs $caller"
		grep -q "${caller##*/}" "$top/${row#*	}"
	done
	while IFS=$'\t' read -r page language script; do
		[[ ! $page ]] || grep -q "$page" "$top/$script"
	done <<<"$by_language"
}

# Commands of the tool in the text of the pages, which are only looked at: they print
# something, or go on until they are ended. Those without their operands are names.
test_the_commands_within_the_text()
{
	local command commands

	enter_empty_directory
	program sudo 'exec "$@"'
	mapfile -t commands < <(
		awk '/^```/ { inside = !inside } !inside' "$top/README.md" "$top"/docs/*.md |
		grep -oE '`(sudo )?(mstore (--)?[a-z]|cat /)[^`]*`' | tr -d '\`' | sort -u)
	((${#commands[@]} > 8))
	for command in "${commands[@]}"; do
		case $command in
		'mstore sub'|'mstore lock'|'mstore upgrade'|'mstore dump --output'|'mstore load --create --whole')
			continue ;;
		esac
		run bash -c "exec timeout -s INT 2 $command"
		[[ $status == 0 || $status == 124 ]] || fail "$command: status $status"
		expect_err ''
	done
}

test_the_package_for_python_is_found()
{
	enter_empty_directory
	program sudo 'exec "$@"'
	run_text "cd '$top'; $("$doc_example" docs/python.md Install 1)"
	expect 0 ''
	run python3 -c 'import metastore; metastore.Store(text=True)["from/python"] = metastore.__file__'
	expect 0 ''
	run mstore get from/python
	expect_line '/usr/.*/metastore/__init__.py'
	rm -r "$(dirname "$(<"$out")")"
}

for file in *_test.sh vm/*; do
	[[ ! -f $file ]] || read_calls "selftests/$file"
done
while IFS=$'\t' read -r page heading number pattern _; do
	[[ ! $page ]] || take "$page|$heading|$number" "$pattern"
done <<<"$not_run"
run_tests
