# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # variables of cli_helpers.sh
#
# Shared by the tests of the manual and of docs/, on top of cli_helpers.sh: they take the
# examples from their source, so that what runs is what a reader sees.

manual=$PWD/../userspace/man

# Where an example runs, and with which programs before all others.
export WORK=$work
mkdir "$work/hurry"
original_path=$PATH
PATH=$work/bin:$PATH

enter_empty_directory()
{
	rm -rf "${work:?}/bin" "$work/here"
	mkdir "$work/bin" "$work/here"
	cd "$work/here" || return
}

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

# Ends those that start_text started with all of their group.
end_jobs()
{
	local job

	for job in $(jobs -p); do
		kill -- "$job" "-$job" || :
		kill -CONT -- "$job" "-$job" || :
	done 2>/dev/null
}

# Makes a program $1 of the lines $2. One with a path must be there nowhere else: a link
# in its place goes nowhere once the test has ended.
program()
{
	local file=$work/bin/${1##*/}

	printf '#!/bin/bash\n%s\n' "$2" >"$file"
	chmod +x "$file"
	[[ $1 != /* ]] || [[ $1 -ef $file ]] || [[ ! -e $1 ]] || fail "$1 is a program of this machine"
	[[ $1 != /* ]] || ln -sfn "$file" "$1"
}

# Runs words of the manual.
run_text()
{
	run timeout -s KILL $((60 * slowness)) bash -ec "$1"
}

# The same in the background, as a process group.
start_text()
{
	start setsid bash -c "$1"
}

# Ends what start_text started, as Ctrl-C does.
interrupt_text()
{
	kill -INT -- "-$sub"
	end_sub
}

# Runs words of the manual with a mstore that waits a moment instead of $2.
run_hurried()
{
	# shellcheck disable=SC2016
	printf '#!/bin/bash\nPATH=%q exec mstore "${@/%%%q/0.1s}"\n' "$original_path" "$2" >"$work/hurry/mstore"
	chmod +x "$work/hurry/mstore"
	PATH=$work/hurry:$PATH run_text "$1"
}

# Waits until a command succeeds.
await_that()
{
	local i

	for ((i = 0; i < 3000 * slowness; i++)); do
		! "$@" || return 0
		pause
	done
	fail "in vain: $*"
}
