#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: audit --users, the user of info, and what it says of a user's limits.
#
# module: max_keys=20
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

parameters=/sys/module/metastore/parameters

# as_nobody COMMAND...: as a user without rights, who may open the device.
as_nobody()
{
	chmod 666 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	chmod 660 /dev/metastore
}

# limit KIND NUMBER: 0 is the default.
limit()
{
	echo "$2" >"$parameters/user_$1"
}

test_a_user_a_line()
{
	run mstore audit --users
	expect_status 0
	expect_lines 3
	expect_line 'USER +FILES +SUBS +QUEUE-BYTES +STORES +STORE-BYTES +OWNED +WAITING +KEYS +BYTES +REFUSED'
	expect_line "\(limit\) +$(<$parameters/user_files) +$(<$parameters/user_subscriptions) .* -"
	expect_line 'root +1 +0 +0 +0 +0 +0 +0 +0 +0 +0'
}

test_what_users_use()
{
	mstore hold k 1 -- sleep 600 &
	await_key k
	run mstore audit --users
	kill "$!"
	expect_line 'root +2 +0 +0 +0 +0 +1 +0 +1 +114 +0'
}

test_as_json()
{
	limit files 1234
	run mstore audit --users --json
	limit files 0
	expect_status 0
	expect_json "o['user'] == 'root' and o['uid'] == 0 and o['files'] == \
		{'use': 1, 'limit': 1234, 'refused': 0} and o['subscriptions']['use'] == 0 and \
		o['namespace'] == $(stat -Lc %i /proc/self/ns/user) and min(o['queue_bytes']['limit'], \
		o['stores']['limit'], o['owned_keys']['limit'], o['waiting']['limit']) > 0"
}

test_without_the_right_one_sees_oneself()
{
	as_nobody mstore audit --users
	expect_status 3
	expect_err 'mstore: audit: cannot read other users; use sudo'
	expect_lines 3
	expect_line 'nobody +1 +0 .*'
}

test_of_another_namespace()
{
	unshare -U mstore hold k 1 -- sleep 600 &
	await_key k
	run mstore audit --users
	kill "$!"
	expect_status 0
	expect_line '[0-9]+@[0-9]+ +1 .*'
}

test_info_mentions_its_user()
{
	limit stores 7
	run mstore info
	expect_line 'open files of user root: 1 of [0-9]+'
	expect_line 'private stores of user root: 0 of 7'
	run mstore info --json
	expect_json "o['user']['user'] == 'root' and o['user']['stores']['limit'] == 7"
	limit stores 0
}

test_a_refusal_names_limit_and_parameter()
{
	limit owned_keys 1
	as_nobody mstore hold a 1 -- mstore hold b 1 -- true
	limit owned_keys 0
	expect_status 3
	expect_err "mstore: b: user nobody has 1 owned keys, and the limit is 1; see $parameters/user_owned_keys"
}

test_of_subscriptions()
{
	limit subscriptions 1
	as_nobody mstore sub a b
	limit subscriptions 0
	expect_status 3
	expect_err "mstore: b: user nobody has * subscriptions, and the limit is 1; see $parameters/user_subscriptions"
}

test_of_open_files()
{
	limit files 1
	as_nobody mstore hold a 1 -- mstore get a
	limit files 0
	expect_status 3
	expect_err "mstore: /dev/metastore: the user has too many open files: see $parameters/user_files"
}

test_of_private_stores()
{
	limit stores 1
	as_nobody mstore private -- mstore --store /dev/metastore private -- true
	limit stores 0
	expect_status 3
	expect_err "mstore: private: user nobody has 1 private stores, and the limit is 1; see $parameters/user_stores"
}

test_of_shares()
{
	# The whole store has so many, and half of them are for others.
	# shellcheck disable=SC2016
	as_nobody bash -c 'seq -f "set %.0f 1" 11 | mstore batch'
	expect_status 3
	expect_err "mstore: *: user nobody has 10 keys in the default store, and its share is 10*"
}

test_options_that_exclude_each_other()
{
	run mstore audit --all --users
	expect 2 '' 'mstore: audit: --all and --users exclude each other*'
}

start_json
run_tests
