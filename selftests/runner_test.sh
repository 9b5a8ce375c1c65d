#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The runner of these tests: a process that a test leaves behind is one failure, of that
# test, and the next one starts with a module that was loaded anew. The kernel's message
# about a full memory cgroup is no splat.
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
	grep -qx "FAILED  $work/$1_test.sh: 1 passed, 1 failed, [0-9]* s" "$work/judged"
}

is_named() {
	[ "$(grep -c "left behind: process [0-9]*, .*$1" "$work/judged")" = 1 ]
}

has_ended() {
	! grep -qas "$1" /proc/[0-9]*/cmdline
}

starts_clean() {
	grep -qx "ok      $work/is_next_test.sh: 1 passed, [0-9]* s" "$work/judged" &&
	grep -qx '# refs 0' "$work/said"
}

has_sums() {
	[ "$(tail -n 1 "$work/judged")" = "@@@ 3 2 0" ]
}

# log LINE...: a kernel log, of a full memory cgroup if LINE is the right one, and of more.
log() {
	printf '%s\n' 'before' 'eat invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL)' \
		'Call Trace:' ' out_of_memory+0x1' "$@" 'after'
}

# is_left_out LINE: it ends what the kernel says of a full memory cgroup.
is_left_out() {
	[ "$(log "$1" | vm/without-ooms)" = $'before\nafter' ]
}

# stays LINE...: after these lines all that the log has is still there.
stays() {
	[ "$(log "$@" | vm/without-ooms)" = "$(log "$@")" ]
}

# A splat after it stays, and so does one ahead of a process that is killed next.
hides_nothing() {
	[ "$(log "$exiting" 'WARNING: CPU: 0' | vm/without-ooms)" = \
		$'before\nWARNING: CPU: 0\nafter' ] &&
	[ "$({ log 'WARNING: CPU: 0'; log "$killed"; } | vm/without-ooms)" = \
		"$(log 'WARNING: CPU: 0'; echo before; echo after)" ]
}

is_no_cache() {
	[ "$(printf '%s\n' before '__kmem_cache_create_args(metastore_mark) failed with error -12' \
		'Call Trace:' ' <TASK>' ' </TASK>' 'WARNING: after' | vm/without-ooms)" = \
		$'before\nWARNING: after' ]
}

killed='Memory cgroup out of memory: Killed process 7 (eat) total-vm:1kB'
exiting='Memory cgroup out of memory: OOM victim 7 (eat) is already exiting. Skip killing the task'
none='Out of memory and no killable processes...'

ktap_print_header
ktap_set_plan 14
check "a process that a test leaves is one failure of it" is_one_failure leaves
check "it is named" is_named "leftover 1000"
check "it is ended" has_ended leftover
check "a process that holds nothing is one failure as well" is_one_failure leaves_another
check "it is named too" is_named "sleep 2000"
check "the next test starts clean" starts_clean
check "nothing else fails" has_sums
check "a process killed in a full cgroup is no splat" is_left_out "$killed"
check "nor is one that was ending by itself" is_left_out "$exiting"
check "nor is a full cgroup without processes" is_left_out "$none"
check "a process killed in a full machine is one" stays 'Out of memory: Killed process 7 (eat)'
check "so is a call trace that does not end so" stays
check "other splats stay" hides_nothing
check "no memory for the module's cache, on purpose, is no splat" is_no_cache
ktap_finished
