# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the tests of the bridge to NATS, on top of cli_helpers.sh: servers on loopback,
# bridges, and the comparison of both sides. $NATS_SERVER is the program nats-server.

. ./cli_helpers.sh

url=nats://127.0.0.1:4222
bridges=0

# kv COMMAND BUCKET...: what a client of NATS does; see nats/kv.c. What prints little is asked
# of one that serves, where there is one: see start_kv.
kv_in=
kv()
{
	case ${kv_in:+$1} in
	create | put | own | del | purge | get | remove | rev)
		ask_kv "$@"
		;;
	*)
		"$BUILD/selftests/nats_kv" "$url" "$@"
		;;
	esac
}

ask_kv()
{
	local IFS=$'\037' line

	echo "$*" >&"$kv_in"
	while IFS= read -r line <&"$kv_out"; do
		[[ $line != $'\036'* ]] || return "${line#?}"
		printf '%s\n' "$line"
	done
	return 3
}

# Starts one that serves, for the commands of one shell at a time.
start_kv()
{
	[[ ! $kv_in ]] || return 0
	mkfifo "$work/kv_in" "$work/kv_out"
	"$BUILD/selftests/nats_kv" "$url" serve - <"$work/kv_in" >"$work/kv_out" 2>>"$work/kv.log" &
	exec {kv_in}>"$work/kv_in" {kv_out}<"$work/kv_out"
	rm "$work/kv_in" "$work/kv_out"
}

# Stores a value in the bucket $1 under the name $2.
put()
{
	kv put "$@" >/dev/null
}

# await SECONDS COMMAND...: ten times as long with FULL=1
await()
{
	local end=$((SECONDS + $1 * slowness * (${FULL:-0} ? 10 : 1)))

	until "${@:2}"; do
		((SECONDS < end)) || fail "in vain for $1 s: ${*:2}" || return
		pause
	done
}

port_answers()
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

port_is_free()
{
	! port_answers "$1"
}

# start_server: with $server_options; sets $server to its process. What it keeps is in
# $work/js, which is empty at first.
server_options=()
start_server()
{
	rm -rf "$work/js"
	start_server_again
}

start_server_again()
{
	# That of the test before may still be about to end.
	await 30 port_is_free 4222
	"$NATS_SERVER" -a 127.0.0.1 -p 4222 -js -sd "$work/js" "${server_options[@]}" \
		>>"$work/server.log" 2>&1 &
	server=$!
	await 30 port_answers 4222
	start_kv
}

stop_server()
{
	kill -KILL "$server"
	wait "$server" 2>/dev/null || :
}

# Bridges go by a network that can be held, and cut, also once it has carried $cut_after
# bytes; see nats/proxy.c. Sets $proxy to its process.
bridge_url=$url
cut_after=
start_proxy()
{
	: >"$work/proxy"
	rm -f "$work/to_proxy"
	mkfifo "$work/to_proxy"
	# shellcheck disable=SC2086 # a word or none
	"$BUILD/selftests/nats_proxy" 4223 4222 $cut_after <"$work/to_proxy" >"$work/proxy" 2>&1 &
	# shellcheck disable=SC2034
	proxy=$!
	exec {to_proxy}>"$work/to_proxy"
	bridge_url=nats://127.0.0.1:4223
	await 30 proxy_said ready
}

# proxy_said WORD [TIMES]: so many times at least
proxy_said()
{
	(($(grep -c "^$1" "$work/proxy") >= ${2:-1}))
}

# tell_proxy COMMAND...: returns when it is obeyed.
tell_proxy()
{
	local before

	before=$(grep -c '^obeyed' "$work/proxy" || :)
	echo "$*" >&"$to_proxy"
	await 30 proxy_said obeyed $((before + 1))
}

# start_bridge OPTION...: starts a bridge, sets $bridge to its process, $log to the file of
# its messages and $socket to its metrics.
start_bridge()
{
	((bridges += 1))
	log=$work/bridge$bridges.log
	socket=$work/bridge$bridges.sock
	last_command="mstore-nats $*"
	out=/dev/null
	err=$log
	: >"$log"
	# shellcheck disable=SC2086 # words
	${bridge_under-} mstore-nats --server ${bridge_url//,/ --server } --metrics "$socket" --status 0 "$@" \
		>"$log" 2>&1 &
	bridge=$!
}

# The same, and waits until all is compared.
start_ready_bridge()
{
	start_bridge "$@"
	await 60 is_carrying
}

end_bridge()
{
	local status=0

	kill "$bridge"
	wait "$bridge" || status=$?
	((status == 0)) || fail "the bridge ended with status $status"
}

kill_bridge()
{
	kill -KILL "$bridge"
	wait "$bridge" 2>/dev/null || :
}

# Reads all metrics of the bridge into the array metric, without what is common to the names.
declare -A metric
read_metrics()
{
	metric=()
	if [[ $kv_in ]]; then
		printf 'numbers\037%s\n' "$socket" >&"$kv_in"
		read_numbers <&"$kv_out"
	else
		read_numbers < <("$BUILD/selftests/nats_kv" - numbers "$socket" 2>/dev/null)
	fi
	[[ ${metric[taken_total]-} ]]
}

read_numbers()
{
	local name value

	while read -r name value && [[ $name != $'\036'* ]]; do
		metric[$name]=$value
	done
}

is_carrying()
{
	read_metrics && [[ ${metric[connected]} == 1 ]]
}

# Is nothing left to be carried?
is_quiet()
{
	is_carrying && [[ ${metric[pending]} == 0 ]]
}

# has METRIC COUNT: is it at least so many?
has()
{
	read_metrics && ((${metric[$1]} >= $2))
}

# Every change is accounted for, and every entry of a bucket.
expect_balance()
{
	read_metrics || fail "no metrics"
	local sent=${metric[sent_total]} conflated=${metric[conflated_total]}
	local refused=${metric[refused_total]}

	((metric[taken_total] == sent + conflated + refused + metric[pending])) ||
		fail "taken ${metric[taken_total]} = $sent + $conflated + $refused + ${metric[pending]}"
	((refused == metric[too_large_total] + metric[outvoted_total] +
		metric[skipped_total] + metric[reverted_total] + metric[failed_total])) ||
		fail "refused $refused is not the sum of its reasons"
	((metric[received_total] == metric[applied_total] + metric[unchanged_total] +
		metric[overruled_total] + metric[unfit_total])) ||
		fail "received ${metric[received_total]} is not the sum of what became of it"
}

# expect_metrics NAME=COUNT...
expect_metrics()
{
	local word

	read_metrics || fail "no metrics"
	for word; do
		[[ ${metric[${word%=*}]} == "${word#*=}" ]] ||
			fail "${word%=*} is ${metric[${word%=*}]}, not ${word#*=}"
	done
}

# Keys and values that the store and the bucket $1 have below the prefix $2, of plain text
list_store()
{
	mstore sub --follow --prefix --timeout 0 "$1" | sort
}

list_bucket()
{
	kv ls "$1" | awk -v prefix="${2-}" '$3 != "-" && index($2, prefix) == 1 { print $2, $3 }' | sort
}

are_equal()
{
	[[ $(list_store "${2-}") == "$(list_bucket "$1" "${2-}")" ]]
}

# Waits until both are equal and nothing is on its way; then each change must be in the books.
expect_equal()
{
	await 60 is_quiet
	await 60 are_equal "$@" || {
		diff <(list_store "${2-}") <(list_bucket "$@") | head -n 20 | sed 's/^/# /'
		return 1
	}
	expect_balance
}

# Has the bucket $1 the value $3 under the name $2? And has it none?
bucket_has()
{
	local value

	value=$(kv get "$1" "$2") && [[ $value == "$3" ]]
}

bucket_lacks()
{
	local status=0

	kv get "$1" "$2" >/dev/null || status=$?
	((status == 1))
}

# The same of the store.
store_has()
{
	local value

	value=$(mstore get "$1" 2>/dev/null) && [[ $value == "$2" ]]
}

store_lacks()
{
	local status=0

	mstore get "$1" >/dev/null 2>&1 || status=$?
	((status == 1))
}

# log_has PATTERN: is there such a line in the bridge's messages, as in [[ ]]?
log_has()
{
	local line

	while IFS= read -r line; do
		# shellcheck disable=SC2053
		[[ $line != $1 ]] || return 0
	done <"$log"
	return 1
}

log_lacks()
{
	! log_has "$1"
}

# A server and the bucket b
begin()
{
	start_server
	kv create b
}

# begin_by_proxy OPTION...: the same, and a bridge that goes by the proxy
begin_by_proxy()
{
	begin
	start_proxy
	start_ready_bridge "$@"
}
