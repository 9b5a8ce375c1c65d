#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# docs/abi.md: its example, in the words of the page.
#
# needs: perl (perl-base)
set -e
. ./cli_helpers.sh

page=../docs/abi.md

test_the_first_program()
{
	local lines

	./doc_example docs/abi.md 'A first program' 1 >"$work/first.pl"
	mapfile -t lines <"$work/first.pl"
	((${#lines[@]} > 5 && ${#lines[@]} <= 10)) || fail "${#lines[@]} lines"
	run_limited perl -w "$work/first.pl"
	# shellcheck disable=SC2016
	expect 0 "$(sed -n 's/^It prints `\(.*\)`\. .*/\1/p' "$page")"$'\n'
	run mstore get door/state
	expect 0 $'open\n'
}

# The size of its buffer is the one of the formula, whose numbers are INFO's.
test_the_buffer_is_that_of_the_formula()
{
	local info size

	info=$(mstore info --json)
	[[ $info =~ \"key_max\":([0-9]+),\"max_value\":([0-9]+) ]]
	size=$(((56 + BASH_REMATCH[1] + BASH_REMATCH[2] + 7) & ~7))
	run sed -n 's/^sysread.* \([0-9]*\)).*/\1/p' "$page"
	expect 0 "$size"$'\n'
}

run_tests
