# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the tests of the manual, on top of cli_helpers.sh: they take the examples from
# its source, so that what runs is what a reader sees.

manual=$PWD/../userspace/man

# Prints the examples (.EX to .EE) of page $1 as a reader sees them, each between a
# newline before it and a record separator (octal 036) after it. Roff that it does
# not know is marked with octal 002.
print_examples()
{
	echo
	sed -n '/^\.EX/,/^\.EE/ {
		/^\.EX/d
		s/^\.EE.*/\x1e/
		# .BI joins its words
		/^\.BI / {
			s///
			s/"\([^" ]*\) \([^" ]*\)"/\1\\ \2/g
			s/\([^\\]\) /\1/g
		}
		s/^[.'\'']/\x02&/
		s/\\f[BIPR]//g
		s/\\&//g
		s/\\\([- ]\)/\1/g
		s/\\(aq/'\''/g
		s/\\(dq/"/g
		s/\\(ha/^/g
		s/\\(rs\|\\e/\x01/g
		s/\\/\x02&/g
		s/\x01/\\/g
		p
	}' "$manual/$1"
}

# Sets the array examples to those of page $1.
read_examples()
{
	local example

	examples=()
	while IFS= read -rd $'\036' example; do
		example=${example#$'\n'}
		[[ $example != *$'\2'* ]] || fail "roff in an example of $1 that the test cannot read: $example"
		examples+=("${example%$'\n'}")
	done < <(print_examples "$1")
}

# Waits until a command succeeds.
await_that()
{
	local i

	# shellcheck disable=SC2154
	for ((i = 0; i < 3000 * slowness; i++)); do
		! "$@" || return 0
		pause
	done
	fail "in vain: $*"
}
