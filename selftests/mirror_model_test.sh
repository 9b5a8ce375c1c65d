#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# mirror_model_test.sh: the protocol of mapped stores, mirror_model.pml, in every order of its
# steps: it holds, and does not without any one of its barriers and checks.
#
# module: none
# needs: spin (spin) gcc (gcc)

# shellcheck source=/dev/null
. "$KSFT/kselftest/ktap_helpers.sh"

model=$PWD/mirror_model.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# errors PART WITHOUT: how many spin finds
errors() {
	(cd "$work" && spin -a "-D$1" "-DWITHOUT=$2" "$model" >/dev/null &&
		gcc -O0 -w -DSAFETY -o pan pan.c && ./pan) |
		sed -n 's/.*errors: \([0-9]*\).*/\1/p'
}

# judge PART WITHOUT ERRORS WHAT
judge() {
	local found

	found=$(errors "$1" "$2")
	if [ "$found" = "$3" ]; then
		ktap_test_pass "$4"
	else
		ktap_test_fail "$4: $found errors"
	fi
}

ktap_print_header
ktap_set_plan 17
judge ENTRY 0 0 "no value is torn, too old or too new"
judge SLOT 0 0 "no key is missed"
for without in 1 2 3 4 5 6 7 21; do
	judge ENTRY "$without" 1 "it takes each step of an entry: $without"
done
for without in 11 12 13 14 15 16 17; do
	judge SLOT "$without" 1 "it takes each step of a slot: $without"
done
ktap_finished
