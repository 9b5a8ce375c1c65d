#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: options, files of options, messages, signals.
set -e
. ./nats_helpers.sh

refuses()
{
	local pattern=$1

	run_limited mstore-nats "${@:2}"
	expect 2 '' "$pattern"
}

# The same of a file of options
file_refuses()
{
	printf '%s\n' "$2" >"$work/conf"
	refuses "mstore-nats: $work/conf, line $1: $3; see mstore-nats --help" -c "$work/conf"
}

test_help_and_version()
{
	run mstore-nats --help
	expect_status 0
	expect_line 'Usage: mstore-nats \[OPTION\.\.\.\]'
	expect_line ' +--both BUCKET:PREFIX'
	run mstore-nats --version
	expect_status 0
	expect_line 'mstore-nats [0-9]+\..*'
}

test_wrong_options()
{
	refuses 'mstore-nats: options: no prefix is to be carried: give --out, --in or --both; *'
	refuses 'mstore-nats: --nonsense: unknown option*' --nonsense
	refuses 'mstore-nats: --both: needs a value; *' --both
	refuses 'mstore-nats: operand: not an option; there are no operands; *' --both b: operand
	refuses "mstore-nats: --both: 'b': must be BUCKET:PREFIX; *" --both b
	refuses "mstore-nats: --both: ':a': must be BUCKET:PREFIX; *" --both :a
	refuses "mstore-nats: --both: 'b.c:a': must be BUCKET:PREFIX; *" --both b.c:a
	refuses "mstore-nats: --out: 'b:a\\\\q': a backslash in the prefix begins no escape:*" \
		--out 'b:a\q'
	refuses "mstore-nats: --in: 'c:a/': another mapping has this prefix; *" --out b:a/ --in c:a/
	refuses "mstore-nats: --in: 'b:x*': the prefix is longer than any key, 255 bytes; *" \
		--in "b:$(printf 'x%.0s' {1..256})"
	refuses 'mstore-nats: --server: a login does not belong into a URL: *' \
		--both b: --server nats://me:secret@127.0.0.1
	refuses "mstore-nats: --owned: 'x': must be carry or skip; *" --both b: --owned x
	refuses "mstore-nats: --ttl: '': must be carry or skip; *" --both b: --ttl ''
	refuses "mstore-nats: --replicas: '6': must be a number from 1 to 5; *" --replicas 6
	refuses "mstore-nats: --replicas: '12': must be a number from 1 to 5; *" --replicas 12
	refuses "mstore-nats: --status: '25h': must be 0 to 24h, *" --status 25h
	refuses "mstore-nats: --status: 'x': must be 0 to 24h, *" --status x
	refuses "mstore-nats: --metrics: '': must be a path of 1 to 107 bytes; *" --metrics ''
	refuses 'mstore-nats: options: --user and --password-file belong together; *' \
		--both b: --user u
	refuses 'mstore-nats: options: --tls-cert and --tls-key belong together; *' \
		--both b: --tls-key /dev/null
	echo secret >"$work/secret"
	refuses 'mstore-nats: options: only one of --creds, --user and --token-file can be given; *' \
		--both b: --creds "$work/secret" --token-file "$work/secret"
}

test_files_that_are_not_there()
{
	run_limited mstore-nats -c "$work/none"
	expect 3 '' "mstore-nats: $work/none: No such file or directory"
	run_limited mstore-nats --tls-ca "$work/none" --both b:
	expect 3 '' "mstore-nats: --tls-ca: $work/none: No such file or directory"
	run_limited mstore-nats --token-file "$work/none" --both b:
	expect 3 '' "mstore-nats: --token-file: $work/none: No such file or directory"
	run_limited mstore-nats --token-file /dev/null --both b:
	expect 3 '' 'mstore-nats: --token-file: /dev/null: must have a line with the secret'
	run_limited mstore-nats --store "$work/none" --both b:
	expect 3 '' "mstore-nats: $work/none: No such file or directory"
	run_limited mstore-nats --store /dev/null --both b:
	expect_status 3
}

test_a_file_of_options()
{
	printf '%s\n' '# comment' '' '  both   config:cfg/  ' 'out presence:a\x20b' 'in rest:' \
		'server nats://127.0.0.1:1' 'create' 'replicas 3' 'owned skip' >"$work/conf"
	run mstore-nats --config "$work/conf" --check-config
	expect 0 $'both config:cfg/\nout presence:a\\x20b\nin rest:\n'
	run mstore-nats --config "$work/conf" --check-config -q
	expect 0 ''
	file_refuses 1 'nonsense 1' "unknown option 'nonsense'"
	file_refuses 2 $'create\nboth b' "'b': must be BUCKET:PREFIX; *"
	file_refuses 1 'create now' 'create takes no value'
	file_refuses 1 'both' 'both needs a value, BUCKET:PREFIX'
	file_refuses 1 'config other' "unknown option 'config'"
	file_refuses 1 'check-config' "unknown option 'check-config'"
}

test_a_bucket_that_is_not_there()
{
	start_server
	start_bridge --both b:
	await 30 log_has 'mstore-nats: cannot connect: KV bucket b: there is none; --create makes it'
	kv create b
	await 30 is_carrying
	end_bridge
	start_ready_bridge --both made: --create --memory
	mstore set k 1
	await 30 bucket_has made k 1
	end_bridge
	# And not one that it did not ask for.
	kv rev made >/dev/null
}

test_a_login()
{
	printf '%s\n' 'authorization: { user: me, password: secret }' >"$work/auth.conf"
	server_options=(-c "$work/auth.conf")
	url=nats://me:secret@127.0.0.1:4222
	start_server
	kv create b
	echo wrong >"$work/wrong"
	start_bridge --both b: --user me --password-file "$work/wrong"
	await 30 log_has 'mstore-nats: cannot connect: *[Aa]uth*'
	end_bridge
	echo secret >"$work/secret"
	# No password goes to a server that was to use TLS, and does not.
	bridge_url=tls://127.0.0.1:4222
	start_bridge --both b: --user me --password-file "$work/secret"
	await 30 log_has 'mstore-nats: cannot connect: *'
	end_bridge
	bridge_url=nats://127.0.0.1:4222
	start_ready_bridge --both b: --user me --password-file "$work/secret"
	mstore set k 1
	await 30 bucket_has b k 1
	end_bridge
}

test_tls()
{
	type -P openssl >/dev/null || skip 'no openssl'
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost \
		-keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
	server_options=(--tls --tlscert "$work/cert.pem" --tlskey "$work/key.pem"
		--tlscacert "$work/cert.pem" --tlsverify)
	start_server
	bridge_url=nats://localhost:4222
	start_bridge --both b: --create
	await 30 log_has 'mstore-nats: cannot connect: *'
	end_bridge
	start_ready_bridge --both b: --create --tls-ca "$work/cert.pem" \
		--tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
	mstore set k 1
	await 30 has sent_total 1
	end_bridge
}

test_signals_end_it_with_all_that_waits()
{
	begin
	start_ready_bridge --both b:
	kill -STOP "$bridge"
	mstore set k 1
	kill -INT "$bridge"
	kill -CONT "$bridge"
	wait "$bridge"
	bucket_has b k 1
	log_has 'mstore-nats: status: nats://127.0.0.1:4222; 1 keys; taken 1 = sent 1 + *'
	[[ ! -e $socket ]]
	# With no server there it ends all the same.
	stop_server
	start_bridge --both b:
	await 30 log_has 'mstore-nats: cannot connect: *'
	end_bridge
	log_has '*: end: the sides are not compared; the next start does that'
}

# All that was set before the signal, also while there was no connection
test_the_end_waits_for_what_was_taken()
{
	local i

	begin_by_proxy --both b:
	tell_proxy cut
	kill -STOP "$proxy"
	await 60 log_has '*: connection ended: *'
	kill -STOP "$bridge"
	for ((i = 0; i < 1000; i++)); do
		echo "set k$i $i"
	done | mstore batch >/dev/null
	kill "$bridge"
	kill -CONT "$proxy"
	kill -CONT "$bridge"
	wait "$bridge"
	[[ $(kv ls b | wc -l) == 1000 ]]
	log_has '*status: *; taken 1000 = sent 1000 + conflated 0 + refused 0 + pending 0; *'
	log_lacks '*: end: *'
}

# A change without an answer for 5 s is left, and told.
test_the_end_says_what_is_left()
{
	local start

	begin_by_proxy --both b:
	tell_proxy hold
	mstore set k 1
	await 30 proxy_said published
	mstore set k 2
	mstore set other 1
	start=$SECONDS
	end_bridge
	((SECONDS - start >= 4 && SECONDS - start < 5 + 10 * slowness)) ||
		fail "it took $((SECONDS - start)) s"
	log_has '*: k: not carried: KV bucket b does not have the last change'
	log_has '*: other: it is not known whether KV bucket b has the last change'
	log_has '*: end: changes of 2 keys are left; the next start compares all anew'
	log_lacks '*status: *pending 0*'
}

# Nothing of it was to be carried.
test_the_end_says_what_is_not_reverted()
{
	begin_by_proxy --in b:
	tell_proxy hold
	mstore set k 1
	end_bridge
	log_has '*: k: the change here is not reverted yet to what KV bucket b has'
	store_has k 1
}

test_lines_of_status()
{
	begin
	start_ready_bridge --both b: --status 0.2s
	await 30 log_has 'mstore-nats: status: nats://127.0.0.1:4222; 0 keys; taken 0 = *'
	end_bridge
	start_ready_bridge --both b: --status 0.2s --quiet
	sleep 0.5
	end_bridge
	[[ ! -s $log ]]
}

# As systemd listens: --property=Type=notify of systemd-run needs a whole system.
test_it_tells_systemd()
{
	begin
	NOTIFY_SOCKET=$work/notify
	export NOTIFY_SOCKET
	: >"$work/told"
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(s.recv(4096).decode(), flush=True)' "$NOTIFY_SOCKET" >"$work/told" &
	await_line "$work/told" bound
	start_ready_bridge --both b:
	await 30 grep -q '^READY=1' "$work/told"
	await 30 grep -q '^STATUS=connected to nats://127.0.0.1:4222' "$work/told"
	stop_server
	await 30 grep -q '^STATUS=not connected: ' "$work/told"
	end_bridge
	await 30 grep -q '^STOPPING=1' "$work/told"
}

test_metrics_are_as_prometheus_reads_them()
{
	begin
	start_ready_bridge --both b:
	mstore set k 1
	await 30 has sent_total 1
	run "$BUILD/selftests/nats_kv" - metrics "$socket"
	expect_status 0
	expect_line '# TYPE metastore_nats_taken_total counter'
	expect_line 'metastore_nats_lag_seconds_bucket\{le="\+Inf"\} 1'
	expect_line 'metastore_nats_lag_seconds_count 1'
	expect_line 'metastore_nats_connected 1'
	[[ $(grep -c '^# HELP' "$out") == "$(grep -c '^# TYPE' "$out")" ]]
	end_bridge
	echo text >"$work/file"
	run_limited mstore-nats --metrics "$work/file" --both b:
	expect 3 '' "mstore-nats: $work/file: Address already in use"
	[[ $(<"$work/file") == text ]]
}

run_tests
