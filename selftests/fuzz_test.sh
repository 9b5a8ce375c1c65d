#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The fuzzer for a few seconds, and each program of its corpus again. That it finds
# anything at all is what fuzz/plants shows.

. "$KSFT/kselftest/ktap_helpers.sh"

FUZZ=$BUILD/fuzz/fuzz
SECONDS_EACH=3

# run DESCRIPTION ARGUMENT...
run() {
	local description=$1 output

	shift
	if output=$("$FUZZ" -t "$SECONDS_EACH" "$@" 2>&1); then
		ktap_test_pass "$description"
	else
		ktap_test_fail "$description"
	fi
	ktap_print_msg "${output##*$'\n'}"
}

programs=(fuzz/corpus/*.txt)
ktap_print_header
ktap_set_plan $((${#programs[@]} + 1))
for program in "${programs[@]}"; do
	run "${program##*/}" -r "$program"
done
SECONDS_EACH=10
run "random programs" -s 1 "${programs[@]}"
ktap_finished
