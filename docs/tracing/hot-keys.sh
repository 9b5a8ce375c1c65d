#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# hot-keys.sh [SECONDS]: the keys that change most, by kind of change, counted by the kernel's
# own histograms: nothing but tracefs and root is needed.

tracing=/sys/kernel/tracing
[ -e $tracing/events ] || mount -t tracefs tracefs $tracing || exit
event=$tracing/events/metastore/metastore_change
trigger='hist:keys=key,op:sort=hitcount.descending:size=4096'

echo "$trigger" >$event/trigger || exit
trap 'echo "!$trigger" >$event/trigger' EXIT
trap 'exit 130' INT
sleep "${1:-10}"
cat $event/hist
