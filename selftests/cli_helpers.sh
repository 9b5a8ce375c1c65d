# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests of the tool share. A test is a function named test_*; its name,
# with spaces, is its description. It fails when a command in it fails; what was
# run last is then shown. Each begins with an empty store.

# shellcheck source=/dev/null
. "$KSFT/kselftest/ktap_helpers.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs a command; what it said and how it ended is for the expect_ functions.
run()
{
	echo "$*" >"$work/command"
	status=0
	"$@" >"$work/new_out" 2>"$work/new_err" || status=$?
	# Only now: what was printed before may be what the command reads.
	mv "$work/new_out" "$work/out"
	mv "$work/new_err" "$work/err"
}

fail()
{
	echo "# $*"
	return 1
}

expect_status()
{
	[[ $status == "$1" ]] || fail "status $status, not $1"
}

# The whole of standard output; a newline at the end is as given.
expect_out()
{
	printf %s "$1" >"$work/expected"
	cmp -s "$work/expected" "$work/out" || fail "output is not: $(printf %q "$1")"
}

# The whole of standard error, a pattern as in [[ ]].
expect_err()
{
	# shellcheck disable=SC2053
	[[ $(<"$work/err") == $1 ]] || fail "standard error is not: $1"
}

expect()
{
	expect_status "$1"
	expect_out "$2"
	expect_err "${3-}"
}

# Runs a command whose reader is already gone.
run_without_reader()
{
	run python3 -c '
import os, subprocess, sys
reader, writer = os.pipe()
os.close(reader)
sys.exit(subprocess.run(sys.argv[1:], stdout=writer).returncode)' "$@"
}

# Checks each line of JSON in the output: the Python expression $1 must be true of
# it, called o. There must be as many lines as expressions.
expect_json()
{
	python3 -c '
import base64, json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len(lines) == len(sys.argv) - 2, lines
for o, expression in zip(lines, sys.argv[2:]):
    assert eval(expression), (expression, o)' "$work/out" "$@"
}

# Starts metastore sub in the background and waits until it has subscribed to the
# last key given. Its output goes to $work/sub and $work/sub_err, its number is
# $sub. It can be interrupted even where job control is off.
start_sub()
{
	local key=${*: -1} before

	before=$(metastore subs "$key")
	echo "metastore sub $*" >"$work/command"
	env --default-signal=INT,TERM metastore sub "$@" >"$work/sub" 2>"$work/sub_err" &
	sub=$!
	await_subscribers "$key" $((before + 1))
}

await_subscribers()
{
	local i

	for ((i = 0; i < 500; i++)); do
		[[ $(metastore subs "$1") != "$2" ]] || return 0
		sleep 0.02
	done
	fail "subscribers of $1 are not $2"
}

# Waits for the end of what start_sub started; then the expect_ functions see it.
end_sub()
{
	status=0
	wait "$sub" || status=$?
	mv "$work/sub" "$work/out"
	mv "$work/sub_err" "$work/err"
}

# Waits until file $1 has a line, or the line $2.
await_line()
{
	local i

	for ((i = 0; i < 500; i++)); do
		! grep -qx -- "${2-.*}" "$1" || return 0
		sleep 0.02
	done
	fail "no line ${2-} in $1"
}

show_failure()
{
	local name

	for name in command out err sub sub_err; do
		[[ ! -s $work/$name ]] || sed "s/^/# $name: /" "$work/$name" | cat -v | head -n 20
	done
}

run_test()
{
	local status

	rm -f "$work"/*
	metastore flush --all
	# Not in a condition: there set -e would mean nothing.
	set +e
	(set -e; "$1")
	status=$?
	set -e
	if ((status)); then
		show_failure
		ktap_test_fail "$2"
	else
		ktap_test_pass "$2"
	fi
}

run_tests()
{
	local tests name description

	mapfile -t tests < <(declare -F | sed -n 's/^declare -f \(test_\)/\1/p')
	ktap_print_header
	ktap_set_plan "${#tests[@]}"
	for name in "${tests[@]}"; do
		description=${name#test_}
		run_test "$name" "${description//_/ }"
	done
	ktap_finished
}
