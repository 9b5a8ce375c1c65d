#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Loading and unloading: parameters, the device, what stands in the way of an
# unload, and that nothing is left behind.
#
# module: none

# shellcheck disable=SC2317 # functions that a variable names
. "$KSFT/kselftest/ktap_helpers.sh"

PROGRAMS=$BUILD/selftests
# Fewer where each takes long.
CYCLES=$((SLOWNESS < 3 ? 3 / SLOWNESS : 1))

loaded() {
	[ -d /sys/module/metastore ]
}

load() {
	insmod "$METASTORE_KO" "$@" 2>/dev/null
}

unload() {
	rmmod metastore 2>/dev/null
}

# check DESCRIPTION COMMAND...
check() {
	local description=$1

	shift
	if "$@"; then
		ktap_test_pass "$description"
	else
		ktap_test_fail "$description"
	fi
}

# Not loaded, and not half loaded.
refused() {
	! load "$@" && ! loaded && [ ! -e /dev/metastore ]
}

# accepted NAME=VALUE: it is loaded, says so and works.
accepted() {
	local good=1

	load "$1" || return
	[ "$(cat "/sys/module/metastore/parameters/${1%=*}")" = "${1#*=}" ] || good=
	[ -c /dev/metastore ] || good=
	# Nothing may hold it
	true 3<>/dev/metastore || good=
	unload && [ "$good" ]
}

not_loadable_twice() {
	load || return
	! load && loaded && [ -c /dev/metastore ] && unload
}

node() {
	local mode

	load || return
	mode=$(stat -c '%F %a %u %g' /dev/metastore)
	unload
	[ "$mode" = 'character special file 660 0 0' ] || { echo "# $mode"; false; }
}

no_node_without_module() {
	load && unload && [ ! -e /dev/metastore ]
}

busy_while_open() {
	local good=1

	load || return
	exec 3<>/dev/metastore
	unload && good=
	loaded || good=
	[ "$(cat /sys/module/metastore/refcnt)" = 1 ] || good=
	# Refused is not half done: it can be opened still
	true 4<>/dev/metastore || good=
	exec 3<&-
	unload && [ "$good" ]
}

# The last of them, whoever has it
busy_while_inherited() {
	local good=1 child

	load || return
	sleep 60 3<>/dev/metastore &
	child=$!
	for ((i = 0; i < 100 * SLOWNESS; i++)); do
		[ "$(cat /sys/module/metastore/refcnt)" = 1 ] && break
		sleep 0.1
	done
	unload && good=
	kill "$child"
	wait "$child" 2>/dev/null
	unload && [ "$good" ]
}

# A name that it gave up is taken again, and a store that was left is empty again.
twenty_times() {
	local i

	for ((i = 0; i < 20; i++)); do
		load && [ -c /dev/metastore ] && unload || return
	done
	! loaded
}

# Values end while their store goes, and some would long after.
unload_with_timers() {
	local i

	for ((i = 0; i < 5; i++)); do
		load && "$PROGRAMS/ttl_test" -t leave >/dev/null && unload || return
	done
}

empty_after_reload() {
	load && "$PROGRAMS/million_test" -t leave >/dev/null && unload &&
		load && "$PROGRAMS/ops_test" -t list_empty -t info_counts >/dev/null && unload
}

# What the kernel holds, in KiB, as two numbers: what was handed out by kmalloc(),
# to the object, and all that a module may have, to the page. Slabs give back
# first what they keep in stock.
held() {
	local cache

	for cache in /sys/kernel/slab/*/shrink; do
		echo 1 >"$cache" 2>/dev/null
	done
	awk '/^kmalloc/ { objects += $2 * $4 / 1024 }
	     /^(SUnreclaim|VmallocUsed|Percpu|KernelStack):/ { pages += $2 }
	     END { printf "%d %d\n", objects, pages }' /proc/slabinfo /proc/meminfo
}

# settled OBJECTS PAGES: waits until no more than that is held. Some of it is freed
# seconds after it was given up, by RCU.
settled() {
	local objects pages i

	for ((i = 0; i < 20 * SLOWNESS; i++)); do
		read -r objects pages < <(held)
		[ "$objects" -le "$1" ] && [ "$pages" -le "$2" ] && return
		sleep 0.5
	done
	echo "# $((objects - $1)) KiB of objects and $((pages - $2)) KiB of pages too many"
	return 1
}

# A leak grows: a small one in CYCLES times, and past what is noise.
nothing_left_behind() {
	local i objects pages used_objects used_pages

	# The first time fills what the kernel keeps for ever
	for ((i = 0; i <= CYCLES; i++)); do
		load || return
		"$PROGRAMS/million_test" -t leave >/dev/null || return
		read -r used_objects used_pages < <(held)
		unload || return
		if [ "$i" = 0 ]; then
			sleep 6
			read -r objects pages < <(held)
		fi
	done
	echo "# $((used_objects - objects)) KiB of objects and $((used_pages - pages)) KiB of pages" \
		"with the module in use"
	# Or else there was nothing to leak
	[ $((used_objects - objects)) -gt $((10000 / SLOWNESS)) ] &&
		[ $((used_pages - pages)) -gt $((5000 / SLOWNESS)) ] &&
		settled $((objects + 200)) $((pages + 3000))
}

# A load that fails has to undo what it did; one that succeeds, when it is unloaded.
nothing_left_by_loading() {
	local i objects pages

	load "buckets=65536" && unload
	sleep 1
	read -r objects pages < <(held)
	for ((i = 0; i < 5; i++)); do
		load buckets=65536 && unload
		load buckets=65536 queue_bytes=1 && return 1
	done
	settled $((objects + 200)) $((pages + 3000))
}

REFUSED="buckets=0 buckets=65537 buckets=-1 buckets=x buckets= buckets=4294967296
	max_value=0 max_value=16777217 max_keys=0 max_keys=2147483649
	max_bytes=1 max_bytes=4095 max_bytes=9223372036854775808 private_bytes=x private_bytes=-1
	queue_len=0 queue_len=1048577 queue_bytes=0 queue_bytes=4095 queue_bytes=1073741825"
# The ends of each range
ACCEPTED="buckets=1 buckets=65536 max_value=1 max_value=16777216 max_keys=1
	max_keys=2147483648 max_bytes=4096 max_bytes=9223372036854775807 private_bytes=1
	private_bytes=18446744073709551615 queue_len=1
	queue_len=1048576 queue_bytes=4096 queue_bytes=1073741824"
OTHERS="node no_node_without_module not_loadable_twice busy_while_open busy_while_inherited
	twenty_times unload_with_timers empty_after_reload nothing_left_by_loading nothing_left_behind"

ktap_print_header
# shellcheck disable=SC2086 # lists of words
set -- $REFUSED $ACCEPTED $OTHERS
ktap_set_plan $#

unload
for parameter in $REFUSED; do
	check "refused: $parameter" refused "$parameter"
	unload
done
for parameter in $ACCEPTED; do
	check "accepted: $parameter" accepted "$parameter"
	unload
done
for name in $OTHERS; do
	check "${name//_/ }" "$name"
	unload
done
ktap_finished
