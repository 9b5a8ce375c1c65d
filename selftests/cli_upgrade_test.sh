#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: upgrade. lib_upgrade_test.c has what becomes of those who follow.
#
# needs: python3 (python3)
# module: buckets=50 queue_len=77 user_files=2000 max_value=100000 max_bytes=1000000
set -e
. ./cli_helpers.sh

parameters=/sys/module/metastore/parameters

# As above, for a test that loads the module itself
load_module()
{
	insmod "$METASTORE_KO" buckets=50 queue_len=77 max_value=100000 max_bytes=1000000
}

# A copy of the module's file in which each $1 is $2, of the same length.
forge()
{
	LC_ALL=C sed "s/$1/$2/g" "$METASTORE_KO" >"$work/forged.ko"
	! cmp -s "$METASTORE_KO" "$work/forged.ko" || fail "no $1 in the module"
}

# A copy of the module's file in which a parameter has another's name, and the other has its.
forge_swapped()
{
	LC_ALL=C sed "s/$1/${1^^}/g; s/$2/$1/g; s/${1^^}/$2/g" "$METASTORE_KO" >"$work/forged.ko"
	! cmp -s "$METASTORE_KO" "$work/forged.ko" || fail "no $1, no $2 in the module"
}

version_of()
{
	mstore get --json "$1" | sed -E 's/.*"version": ?"([0-9]+)".*/\1/'
}

await()
{
	local i

	for ((i = 0; i < 500 * slowness; i++)); do
		! "$@" || return 0
		pause
	done
	fail "in vain: $*"
}

is_retired()
{
	[[ $(<"$parameters/retired") == Y ]]
}

expect_served()
{
	! is_retired || fail "the module is retired"
	[[ $(mstore get k) == v ]] || fail "the value of k is gone"
	compgen -G '/run/mstore-upgrade-*' && fail "a dump is left"
	return 0
}

seconds_up()
{
	local up

	IFS=. read -r up _ </proc/uptime
	echo "$up"
}

expect_refused()
{
	local status=$1 message=$2

	mstore set k v
	run mstore upgrade "${@:3}"
	expect "$status" '' "*mstore: $message"
	expect_served
}

test_values_are_kept()
{
	local before after i

	for ((i = 0; i < 300; i++)); do
		echo "set n/$i value$i"
	done | mstore batch
	mstore set k v
	mstore set --ttl 1h timed t
	mstore set 'odd \ key' $'two\nlines'
	before=$(version_of k)
	run mstore upgrade "$METASTORE_KO"
	expect 0 ''
	expect_served
	run mstore ls n/
	expect_lines 300
	run mstore get n/299 timed 'odd \ key'
	expect 0 $'n/299 value299\ntimed t\nodd\\x20\\\\\\x20key two\\nlines\n'
	after=$(version_of k)
	((after > before)) || fail "version $after after $before"
	run mstore stat timed
	expect_line 'ttl_ms: 3[56][0-9]{5}'
}

test_versions_do_not_go_back_with_the_clock()
{
	local before after newest booted

	mstore set k v
	before=$(version_of k)
	booted=$(($(date +%s) - $(seconds_up)))
	date -s '2001-01-01' >/dev/null
	run mstore upgrade "$METASTORE_KO"
	date -s "@$((booted + $(seconds_up)))" >/dev/null
	expect 0 ''
	after=$(version_of k)
	newest=$(<"$parameters/newest_version")
	((after > before)) || fail "version $after after $before"
	((newest >= after)) || fail "newest version $newest, of k $after"
}

test_parameters_are_kept()
{
	mstore set k v
	echo 3000 >$parameters/user_files
	run mstore upgrade "$METASTORE_KO"
	expect 0 ''
	run cat $parameters/{buckets,queue_len,user_files}
	expect 0 $'50\n77\n3000\n'
	expect_served
}

test_a_command_meanwhile_waits()
{
	mstore set k v
	echo 1 >$parameters/retired
	start mstore get k
	pause
	echo 0 >$parameters/retired
	end_sub
	expect 0 $'v\n'
}

test_no_file()
{
	expect_refused 3 "$work/none.ko: No such file or directory" "$work/none.ko"
}

test_no_module()
{
	echo text >"$work/text.ko"
	expect_refused 3 "$work/text.ko: is no kernel module*" "$work/text.ko"
}

test_another_module()
{
	forge 'retired' 'resting'
	expect_refused 3 "$work/forged.ko: is no module metastore that can take another's place" \
		"$work/forged.ko"
}

test_another_kernel()
{
	local release

	release=$(uname -r)
	forge "vermagic=$release" "vermagic=0${release:1}"
	expect_refused 3 "$work/forged.ko: is for kernel 0*, and this is $release" \
		"$work/forged.ko"
}

test_wrong_way_back()
{
	forge 'srcversion=..' 'srcversion=--'
	expect_refused 2 "$work/forged.ko: is not the module that is loaded" \
		--back "$work/forged.ko" "$METASTORE_KO"
}

test_no_way_back()
{
	local installed

	installed=/lib/modules/$(uname -r)/updates
	mkdir -p "$installed"
	forge 'srcversion=..' 'srcversion=--'
	cp "$work/forged.ko" "$installed/metastore.ko"
	depmod 2>/dev/null
	expect_refused 2 "upgrade: the loaded module's file is not known; give it by --back, or --no-back" \
		"$work/forged.ko"
	# The one that modprobe knows
	cp "$METASTORE_KO" "$installed/metastore.ko"
	run mstore upgrade "$work/forged.ko"
	expect 0 ''
	expect_served
	run mstore upgrade --no-back "$METASTORE_KO"
	rm -r "$installed"
	depmod 2>/dev/null
	expect 0 ''
	expect_served
}

test_both_ways()
{
	expect_refused 2 "upgrade: only one of --back and --no-back can be given*" \
		--back "$METASTORE_KO" --no-back "$METASTORE_KO"
}

test_private_store()
{
	start mstore private -- sh -c "mstore set here 1; >$work/made; exec sleep 1000"
	await test -e "$work/made"
	expect_refused 1 "*private store*private stores end with the module; end these processes, or give --lose-private" \
		"$METASTORE_KO"
	kill "$sub"
}

test_who_keeps_the_device_open()
{
	start mstore hold held v -- sleep 1000
	await_key held
	expect_refused 124 "*process $sub * still has the device open*the device is still open; the loaded module stays" \
		--timeout 200ms "$METASTORE_KO"
	run mstore get held
	expect 0 $'v\n'
	kill "$sub"
}

test_who_keeps_the_device_mapped()
{
	start_mapper /dev/metastore
	expect_refused 124 "*process $mapper (python3) still has a store mapped*the device is still open; the loaded module stays" \
		--timeout 200ms "$METASTORE_KO"
	end_mapper
}

test_private_store_that_is_only_mapped()
{
	start_mapper private
	expect_refused 1 "*process $mapper (python3) has mapped a store that may be private*private stores end with the module; *" \
		"$METASTORE_KO"
	end_mapper
}

test_interrupt()
{
	mstore set k v
	start mstore hold held v -- sleep 1000
	await_key held
	holder=$sub
	start mstore upgrade --timeout 1h "$METASTORE_KO"
	await is_retired
	kill -INT "$sub"
	end_sub
	expect 3 '' 'mstore: upgrade: interrupted; the loaded module stays'
	expect_served
	kill "$holder"
}

test_new_module_that_cannot_be_loaded()
{
	mstore set k v
	forge 'hrtimer_' 'hrtimex_'
	run mstore upgrade --back "$METASTORE_KO" "$work/forged.ko"
	expect 3 '' "*$work/forged.ko could not take its place*the old module is loaded again, with its values"
	expect_served
}

# 250,000 bytes of values, one of which is longer than a module takes by default
set_much()
{
	local i

	mstore set k v
	mstore set --ttl 1h timed t
	for ((i = 0; i < 32; i++)); do
		mstore set "much/$i" "$(printf '%05000d' "$i")"
	done
	printf '%090000d' 7 | mstore set --file - much/long
	version=$(version_of k)
}

expect_much()
{
	local now

	expect_served
	run mstore ls much/
	expect_lines 33
	[[ $(mstore get much/31) == "$(printf '%05000d' 31)" ]] || fail "much/31 is another"
	[[ $(mstore get much/long) == "$(printf '%090000d' 7)" ]] || fail "much/long is another"
	run mstore stat timed
	expect_line 'ttl_ms: 3[56][0-9]{5}'
	now=$(version_of k)
	((now > version)) || fail "version $now after $version"
	run cat $parameters/{max_value,max_bytes}
	expect 0 $'100000\n1000000\n'
	mstore flush much/
}

test_new_module_that_does_not_take_a_value()
{
	set_much
	forge max_value max_other
	run mstore upgrade --back "$METASTORE_KO" "$work/forged.ko"
	expect 3 '' "mstore: line *: load: value of 90000 bytes: must be 0 to 65536 bytes*$work/forged.ko could not take its place*the old module is loaded again, with its values"
	expect_much
}

# It is full when it has a part of them.
test_new_module_whose_store_is_too_small()
{
	set_much
	forge_swapped max_value max_bytes
	run mstore upgrade --back "$METASTORE_KO" "$work/forged.ko"
	expect 3 '' "*mstore: load: stopped after [1-9]* keys were stored*$work/forged.ko could not take its place*the old module is loaded again, with its values"
	expect_much
}

test_new_module_whose_store_is_too_small_and_no_way_back()
{
	local dump

	set_much
	forge_swapped max_value max_bytes
	run mstore upgrade --no-back "$work/forged.ko"
	expect 3 '' "*$work/forged.ko could not take its place*the values are in /run/mstore-upgrade-*: load a module, then mstore load </run/*"
	[[ ! -e /dev/metastore ]] || fail "a module with a part of the values serves"
	dump=$(compgen -G '/run/mstore-upgrade-*')
	load_module
	mstore load <"$dump"
	rm "$dump"
	expect_much
}

test_neither_module_can_be_loaded()
{
	local dump

	mstore set k v
	forge 'hrtimer_' 'hrtimex_'
	run mstore upgrade --no-back "$work/forged.ko"
	expect 3 '' "*the values are in /run/mstore-upgrade-*: load a module, then mstore load </run/*"
	dump=$(compgen -G '/run/mstore-upgrade-*')
	[[ $(stat -c %a "$dump") == 600 ]] || fail "others can read the dump"
	load_module
	mstore load <"$dump"
	rm "$dump"
	expect_served
}

test_two_at_a_time()
{
	mstore set k v
	start mstore hold held v -- sleep 1000
	await_key held
	holder=$sub
	start mstore upgrade --timeout 1h "$METASTORE_KO"
	await is_retired
	run mstore upgrade "$METASTORE_KO"
	expect 3 '' '*mstore: upgrade: another mstore upgrade is running'
	is_retired || fail "the second one ended the retirement"
	kill "$holder"
	end_sub
	expect 0 ''
	expect_served
	[[ ! -s /run/mstore-upgrade.lock ]] || fail "the lock tells of an upgrade"
}

# As if somebody else had unloaded the retired module.
test_the_dump_stays_if_the_module_cannot_serve()
{
	local dump

	mstore set k v
	start mstore hold held v -- sleep 1000
	await_key held
	holder=$sub
	start mstore upgrade --timeout 1h "$METASTORE_KO"
	await is_retired
	await grep -qs whole /run/mstore-upgrade-*
	mkdir "$work/nothing"
	mount --bind "$work/nothing" $parameters
	kill -INT "$sub"
	end_sub
	umount $parameters
	echo 0 >$parameters/retired
	kill "$holder"
	expect 3 '' '*the module stays retired*the values are in /run/mstore-upgrade-*'
	dump=$(compgen -G '/run/mstore-upgrade-*')
	grep -q '"k"' "$dump" || fail "the dump lacks k"
	rm "$dump"
	expect_served
}

test_values_that_do_not_fit()
{
	mkdir -p "$work/small"
	mount -t tmpfs -o size=8k small "$work/small"
	mstore set k v
	head -c 60000 /dev/zero | mstore set --file - large
	expect_refused 3 "$work/small: has no room for 6* bytes of values; see --directory" \
		--directory "$work/small" "$METASTORE_KO"
	umount "$work/small"
}

test_owner_and_mode_are_kept()
{
	mstore set k v
	chmod 0640 /dev/metastore
	chown 0:5 /dev/metastore
	run mstore upgrade "$METASTORE_KO"
	expect 0 ''
	[[ $(stat -c '%a %u %g' /dev/metastore) == '640 0 5' ]] || fail "the mode is another"
	expect_served
}

test_not_root()
{
	mstore set k v
	run setpriv --reuid 1000 --clear-groups mstore upgrade "$METASTORE_KO"
	expect 3 '' 'mstore: *'
	expect_served
}

test_too_old_a_module()
{
	mstore set k v
	mount --bind "$work" $parameters
	run mstore upgrade "$METASTORE_KO"
	umount $parameters
	expect 3 '' 'mstore: upgrade: the loaded module is too old for this; use mstore dump, modprobe and mstore load'
	expect_served
}

test_persistence_goes_on()
{
	mkdir -p /run/metastore
	mstore set k v
	stat -c '%i %W' /dev/metastore >/run/metastore/device
	run mstore upgrade "$METASTORE_KO"
	expect 0 ''
	[[ $(</run/metastore/device) == "$(stat -c '%i %W' /dev/metastore)" ]] ||
		fail "metastore-persist.service would not save"
	# Values of another device were not restored.
	echo '1 2' >/run/metastore/device
	run mstore upgrade "$METASTORE_KO"
	expect 0 ''
	[[ $(</run/metastore/device) == '1 2' ]] || fail "metastore-persist.service would save"
	rm -r /run/metastore
}

run_tests
