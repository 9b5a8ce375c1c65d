#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The runner of these tests: a process that a test leaves behind is one failure, of that
# test, and the next one starts with a module that was loaded anew.
#
# module: none

# shellcheck disable=SC2317 # functions that a variable names
. "$KSFT/kselftest/ktap_helpers.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# plant TEST: a test of one result that does what stands on standard input.
plant() {
	{
		echo '#!/bin/bash'
		cat
		echo 'echo 1..1; echo ok 1 planted'
	} >"$work/$1_test.sh"
	chmod +x "$work/$1_test.sh"
	planted+=("$work/$1_test.sh")
}

# It holds the device, is in no group or session of the test's, and heeds no signal that
# can be ignored.
plant leaves <<'END'
setsid bash -c 'trap "" TERM HUP INT; touch "$0"; exec -a leftover sleep 1000' \
	"${0%/*}/ready" </dev/metastore >/dev/null 2>&1 &
until [ -e "${0%/*}/ready" ]; do sleep 0.1; done
END
# This one has descriptors of nothing.
plant leaves_another <<'END'
setsid bash -c 'touch "$0"; exec sleep 2000' "${0%/*}/another" </dev/null >/dev/null 2>&1 &
until [ -e "${0%/*}/another" ]; do sleep 0.1; done
END
plant is_next <<'END'
echo "# refs $(cat /sys/module/metastore/refcnt)"
END

: >"$work/log"
# One after the other: what runs beside run-tests would be a leftover too.
vm/run-tests "${planted[@]}" >"$work/said"
vm/judge 0 "$work" "${planted[@]}" <"$work/said" >"$work/judged"

# check DESCRIPTION COMMAND...
check() {
	if "${@:2}"; then
		ktap_test_pass "$1"
	else
		sed 's/^/# /' "$work/said" "$work/judged"
		ktap_test_fail "$1"
	fi
}

is_one_failure() {
	grep -qx "FAILED  $work/$1_test.sh: 1 passed, 1 failed" "$work/judged"
}

is_named() {
	[ "$(grep -c "left behind: process [0-9]*, .*$1" "$work/judged")" = 1 ]
}

has_ended() {
	! grep -qas "$1" /proc/[0-9]*/cmdline
}

starts_clean() {
	grep -qx "ok      $work/is_next_test.sh: 1 passed" "$work/judged" &&
	grep -qx '# refs 0' "$work/said"
}

has_sums() {
	[ "$(tail -n 1 "$work/judged")" = "@@@ 3 2 0" ]
}

ktap_print_header
ktap_set_plan 7
check "a process that a test leaves is one failure of it" is_one_failure leaves
check "it is named" is_named "leftover 1000"
check "it is ended" has_ended leftover
check "a process that holds nothing is one failure as well" is_one_failure leaves_another
check "it is named too" is_named "sleep 2000"
check "the next test starts clean" starts_clean
check "nothing else fails" has_sums
ktap_finished
