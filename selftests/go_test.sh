#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The Go binding: its own tests, as go/build built them, and what docs/go.md has. Each test
# in Go is one here: in a 64-bit program, a 32-bit one, and with the race detector where
# Debian has that.
#
# needs: go (golang-go)

# shellcheck source=/dev/null
. "$KSFT/kselftest/ktap_helpers.sh"

built=$BUILD/selftests/go
docs=$built/docs
doc_example=$PWD/doc_example
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export METASTORE_LAYOUT=$built/layout
results=()

# Adds a result: pass, fail or skip, and its description.
result()
{
	results+=("$1 $2")
}

# Runs the tests of a program. One that does not say how it ended has failed.
run_go_tests()
{
	local program=$built/$1 label=$2 name
	local -A ended=()

	"$program" -test.v -test.timeout $((150 * SLOWNESS))s >"$work/out" 2>&1
	while read -r _ how name _; do
		ended[$name]=${how%:}
	done < <(grep -E '^--- (PASS|FAIL|SKIP): ' "$work/out")
	while read -r name; do
		case ${ended[$name]-} in
		PASS) result pass "$label: $name" ;;
		SKIP) result skip "$label: $name" ;;
		*)    result fail "$label: $name" ;;
		esac
	done < <("$program" -test.list .)
	# A report of the race detector ends the program alone.
	grep -q '^PASS$' "$work/out" || {
		result fail "$label: the whole"
		grep -v '^--- PASS\|^=== ' "$work/out" | tail -n 60 | sed 's/^/# /'
	}
}

# The programs of the page print what it says.
run_programs()
{
	local program name

	for program in "$docs"/*.program; do
		name=${program%.program}
		timeout $((60 * SLOWNESS)) "$program" >"$work/out" 2>&1
		if diff "$name.text" "$work/out" >"$work/diff"; then
			result pass "docs/go.md: program ${name##*/}"
		else
			result fail "docs/go.md: program ${name##*/}"
			sed 's/^/# /' "$work/diff"
		fi
	done
}

# Its commands, as written, build its first program from what was installed.
run_commands()
{
	local how=fail

	mkdir "$work/door"
	cp "$docs/1.go" "$work/door/door.go"
	if (
		cd "$work/door" || exit
		export GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-buildvcs=false
		export GOCACHE=$built/../../go-cache
		bash -e < <("$doc_example" docs/go.md Install 1) && ./door
	) >"$work/out" 2>&1 && [[ $(tail -n 1 "$work/out") == "$(<"$docs/1.text")" ]]; then
		how=pass
	else
		sed 's/^/# /' "$work/out"
	fi
	result "$how" "docs/go.md: its commands build its first program"
}

run_go_tests metastore.test go
run_go_tests metastore_386.test "go, 32 bits"
if [[ -e $built/metastore_race.test ]]; then
	run_go_tests metastore_race.test "go, race detector"
else
	result skip "go, race detector: Debian's Go has none here"
fi
run_programs
run_commands

ktap_print_header
ktap_set_plan ${#results[@]}
for line in "${results[@]}"; do
	"ktap_test_${line%% *}" "${line#* }"
done
ktap_finished
