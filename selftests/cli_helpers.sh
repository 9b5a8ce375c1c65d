# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the tests of the tool. A test is a function named test_*; its name,
# with spaces, is its description. It fails when a command in it fails; what was
# run last is then shown. skip ends it. Each begins with an empty store.
#
# The checks are done by bash itself: in an emulated machine each process started
# takes some hundredths of a second.

# shellcheck source=/dev/null
. "$KSFT/kselftest/ktap_helpers.sh"

work=$(mktemp -d)
trap 'end_jobs; rm -rf "$work"' EXIT

end_jobs()
{
	# shellcheck disable=SC2046 # a list of numbers
	set -- $(jobs -p)
	# Those that are stopped end when they go on.
	kill "$@" 2>/dev/null || :
	kill -CONT "$@" 2>/dev/null || :
}

# How long to wait for what must come: see slowness.h.
slowness=${SLOWNESS:-1}

runs=0
last_command=none
out=/dev/null
err=/dev/null

# Runs a command; what it said (files $out and $err) and how it ended is for the
# expect_ functions. The files of the run before can be its arguments.
run()
{
	last_command=$*
	((runs += 1))
	out=$work/$runs.out
	err=$work/$runs.err
	status=0
	"$@" >"$out" 2>"$err" || status=$?
}

fail()
{
	echo "# $*"
	return 1
}

# Starts a program that maps the ring of a device, or of a private store, and closes that;
# its process is in $mapper.
start_mapper()
{
	cat >"$work/mapper.py" <<-'END'
		import ctypes, os, sys, time

		name = os.environ.get("METASTORE_STORE", "")
		fd = int(name[3:]) if name.startswith("fd:") else os.open(name, os.O_RDWR)
		page = os.sysconf("SC_PAGESIZE")
		mmap = ctypes.CDLL(None).mmap
		mmap.restype = ctypes.c_void_p
		mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
				 ctypes.c_int, ctypes.c_long]
		at = mmap(None, 3 * page, 1, 1, fd, page)
		sys.exit("mmap") if at == 2**64 - 1 else None
		os.close(fd)
		open(sys.argv[1], "w").close()
		time.sleep(1000)
	END
	rm -f "$work/mapped"
	if [ "$1" = private ]; then
		mstore private -- python3 "$work/mapper.py" "$work/mapped" &
	else
		METASTORE_STORE=$1 python3 "$work/mapper.py" "$work/mapped" &
	fi
	mapper=$!
	for _ in {1..300}; do
		[ ! -e "$work/mapped" ] || return 0
		pause
	done
	fail "no ring was mapped"
}

end_mapper()
{
	kill "$mapper"
	wait "$mapper" 2>/dev/null || :
}

# Reads a file into the variable text. It fails if there is a NUL byte in it.
read_text()
{
	! IFS= read -rd '' text <"$1" || fail "NUL bytes in $1"
}

# Ends a test that cannot be run here.
skip()
{
	echo "$*" >"$work/skipped"
	exit "$KSFT_SKIP"
}

expect_status()
{
	[[ $status == "$1" ]] || fail "status $status, not $1"
}

# The whole of standard output; a newline at the end is as given.
expect_out()
{
	local text

	read_text "$out"
	[[ $text == "$1" ]] || fail "output is not: ${1@Q}"
}

# The whole of standard error, but for the last newline: a pattern as in [[ ]].
expect_err()
{
	local text

	read_text "$err"
	# shellcheck disable=SC2053
	[[ ${text%$'\n'} == $1 ]] || fail "standard error is not: $1"
}

expect()
{
	expect_status "$1"
	expect_out "$2"
	expect_err "${3-}"
}

# How many lines the output has.
expect_lines()
{
	local lines

	mapfile -t lines <"$out"
	((${#lines[@]} == $1)) || fail "${#lines[@]} lines of output, not $1"
}

# Is there a line in the output that is this extended regular expression?
expect_line()
{
	local line

	while IFS= read -r line; do
		[[ ! $line =~ ^($1)$ ]] || return 0
	done <"$out"
	fail "no such line in the output: $1"
}

# Waits for an answer to expect_json() in the background.
start_json()
{
	mkfifo "$work/ask" "$work/answer"
	exec {ask}<>"$work/ask" {answer}<>"$work/answer"
	python3 -c '
import base64, json, sys

every_byte = bytes(range(256))

def judge(name, expressions):
    lines = [json.loads(line) for line in open(name)]
    if len(lines) != len(expressions):
        return "%d lines of JSON" % len(lines)
    for o, expression in zip(lines, expressions):
        if not eval(expression):
            return "not true: " + expression
    return ""

while name := sys.stdin.readline().rstrip("\n"):
    expressions = [sys.stdin.readline().rstrip("\n") for _ in range(int(sys.stdin.readline()))]
    try:
        print(judge(name, expressions), flush=True)
    except Exception as error:
        print(repr(error), flush=True)' <"$work/ask" >"$work/answer" &
}

# Checks each line of JSON in the output: a Python expression for each, which must
# be true of the line, called o. The test's file must have called start_json.
expect_json()
{
	local text

	printf '%s\n' "$out" $# "$@" >&"$ask"
	IFS= read -rt $((60 * slowness)) -u "$answer" text
	[[ ! $text ]] || fail "JSON: $text"
}

# Runs a command that may not end when it is wrong.
run_limited()
{
	run timeout -s KILL $((60 * slowness)) "$@"
}

# Sleeps for a moment.
pause()
{
	read -rt 0.02 -u "$never" || :
}

# Starts a command in the background. Its output goes to $work/sub and
# $work/sub_err, its number is $sub. It can be interrupted even where job control is
# off.
start()
{
	last_command=$*
	# A look at once finds files, and not those of the one before.
	: >"$work/sub" 2>"$work/sub_err"
	env --default-signal=INT,TERM "$@" >"$work/sub" 2>"$work/sub_err" &
	sub=$!
}

# Starts mstore sub so and waits until it has subscribed to the last key given.
start_sub()
{
	start mstore sub "$@"
	await_subscribers "${*: -1}" 1
}

# The same, but waits until it says that it has subscribed: for prefixes too.
start_ready()
{
	local ready

	rm -f "$work/ready"
	mkfifo "$work/ready"
	exec {ready}<>"$work/ready"
	last_command="mstore sub $*"
	env --default-signal=INT,TERM mstore sub --ready-fd "$ready" "$@" >"$work/sub" \
		2>"$work/sub_err" &
	sub=$!
	read -rt $((60 * slowness)) -u "$ready" || fail "no word of being ready"
	exec {ready}>&-
}

await_subscribers()
{
	local i

	for ((i = 0; i < 300 * slowness; i++)); do
		[[ $(mstore subs "$1") != "$2" ]] || return 0
		pause
	done
	fail "subscribers of $1 are not $2"
}

# Waits until file $1 has a line, or the line $2.
await_line()
{
	local i line

	for ((i = 0; i < 3000 * slowness; i++)); do
		while IFS= read -r line; do
			[[ $line != "${2-$line}" ]] || return 0
		done <"$1"
		pause
	done
	fail "no line ${2-} in $1"
}

# Waits until a key is there, and has the value $2 if that is given.
await_key()
{
	mstore wait --timeout 60 "$@" >/dev/null || fail "$* is not there"
}

# Waits for the end of what start started; then the expect_ functions see it.
end_sub()
{
	local i

	for ((i = 0; i < 3000 * slowness; i++)); do
		kill -0 "$sub" 2>/dev/null || break
		pause
	done
	kill -KILL "$sub" 2>/dev/null || :
	status=0
	wait "$sub" || status=$?
	out=$work/sub
	err=$work/sub_err
}

show_failure()
{
	echo "# last command: ${last_command@Q}"
	echo "# its output:"
	head -n 20 "$out" | cat -v | cut -c 1-200 | sed 's/^/#   /'
	echo "# its messages:"
	head -n 20 "$err" | cat -v | cut -c 1-200 | sed 's/^/#   /'
}

run_test()
{
	local status

	rm -f "$work/skipped"
	mstore flush --steal --all
	# Not in a condition: there set -e would mean nothing.
	set +e
	(
		trap '(($? == 0)) || [[ -e $work/skipped ]] || show_failure; end_jobs' EXIT
		set -e
		"$1"
	)
	status=$?
	set -e
	if ((status == KSFT_SKIP)) && [[ -e $work/skipped ]]; then
		ktap_test_skip "$2: $(<"$work/skipped")"
	elif ((status)); then
		ktap_test_fail "$2"
	else
		ktap_test_pass "$2"
	fi
}

run_tests()
{
	local tests name description

	mkfifo "$work/never"
	exec {never}<>"$work/never"
	mapfile -t tests < <(declare -F | sed -n 's/^declare -f \(test_\)/\1/p')
	ktap_print_header
	ktap_set_plan "${#tests[@]}"
	for name in "${tests[@]}"; do
		description=${name#test_}
		run_test "$name" "${description//_/ }"
	done
	ktap_finished
}
