#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# record.sh COMMAND...: runs a command, and then prints everything that happened in all stores
# meanwhile. It needs trace-cmd and root.

data=$(mktemp) || exit
trap 'rm -f "$data"' EXIT
trace-cmd record -q -o "$data" -e metastore "$@" >&2
status=$?
trace-cmd report -q "$data" || exit
exit $status
