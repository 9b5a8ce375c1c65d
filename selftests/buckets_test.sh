#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tests again with one bucket, where all keys share a lock and a table, and
# with other limits than the default ones.
#
# module: none

. "$KSFT/kselftest/ktap_helpers.sh"

PROGRAMS=$BUILD/selftests

# run PARAMETERS PROGRAM [OPTION...]
run() {
	local parameters=$1 program=$2 log

	shift 2
	log=$(mktemp)
	# shellcheck disable=SC2086 # a list of words
	if insmod "$METASTORE_KO" $parameters && "$PROGRAMS/$program" "$@" >"$log" 2>&1; then
		grep -E '^# +[0-9]+ (keys|KiB)' "$log"
		ktap_test_pass "$program with $parameters"
	else
		# What is not "ok", and none of it as a result of this script
		grep -v '^ok ' "$log" | sed 's/^/# /'
		ktap_test_fail "$program with $parameters"
	fi
	rmmod metastore
	rm -f "$log"
}

rmmod metastore 2>/dev/null
ktap_print_header
ktap_set_plan 7
run buckets=1 ops_test
run buckets=1 event_test
# Without what is about one bucket or one key in any case.
run buckets=1 stress_test -T small_table_breathes
run buckets=1 fanout_test -t all_at_once
run buckets=1 million_test -T leave
run max_value=16777216 ops_test
# Those in which queues fill.
run "queue_len=64 queue_bytes=200000" stress_test -t order_of_two_publishers \
	-t order_of_all_changes -t books_balance -t subscriptions_come_and_go -t readers_of_one_file
ktap_finished
