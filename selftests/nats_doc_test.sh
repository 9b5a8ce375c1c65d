#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bridge to NATS: each command of docs/nats.md and of mstore-nats(8), as it stands there;
# the unit, and the completion.
#
# needs: pkill (procps)
# shellcheck disable=SC2016 # scripts
set -e
doc_example=$PWD/doc_example
top=$(cd .. && pwd)
. ./nats_helpers.sh
. ./manual_helpers.sh

# Programs of the pages: nats-server is that of the test.
enter()
{
	enter_empty_directory
	program nats-server "exec '$NATS_SERVER' \"\$@\""
	rm -rf /var/tmp/nats
}

await_text()
{
	local text

	text=$("$@" 2>/dev/null) && [[ $text ]]
}

test_try_it()
{
	enter
	# The output of the last command is on the page.
	start_text "$("$doc_example" docs/nats.md 'Try it' 1)"
	await_line "$work/sub" 20
	await 30 bucket_has config cfg/rate 20
	interrupt_text || :
	rm -rf /var/tmp/nats
}

test_as_a_service()
{
	local unit=/usr/lib/systemd/system/mstore-nats@.service

	enter
	start_server
	kv create config
	kv create presence
	mkdir -p /etc/mstore-nats
	# The page's own file of options, with the server of the test
	"$doc_example" docs/nats.md 'As a service' 1 >"$work/conf" 2>/dev/null ||
		awk '/^```text/ { inside = ++n == 1; next } /^```/ { inside = 0 } inside' \
			"$top/docs/nats.md" >"$work/conf"
	grep -q '^both config:cfg/$' "$work/conf"
	grep -vE '^(server|creds|tls-ca) ' "$work/conf" >/etc/mstore-nats/main.conf
	run_text "$("$doc_example" docs/nats.md 'As a service' 2 'mstore-nats *')"
	expect 0 $'both config:cfg/\nout presence:host/web1/\nin presence:host/\n'
	# The command that systemd would start
	program systemctl '[[ "$*" == "enable --now mstore-nats@main.service" ]] || exit 1
		mkdir -p /run/mstore-nats/main
		start=$(sed -n "s/^ExecStart=//p" '"$unit"' | sed "s/%i/main/g")
		RUNTIME_DIRECTORY=/run/mstore-nats/main bash -c "exec $start" 2>'"$work"'/service &'
	run_text "$("$doc_example" docs/nats.md 'As a service' 2 'systemctl *')"
	expect_status 0
	mstore set cfg/rate 20
	await 30 bucket_has config cfg/rate 20
	mstore set host/web1/up 1
	await 30 bucket_has presence host/web1/up 1
	program socat '[[ "$1 $2 $3" == "-u UNIX-CONNECT:/run/mstore-nats/main/metrics -" ]] || exit 1
		exec '"$BUILD"'/selftests/nats_kv - metrics "${2#UNIX-CONNECT:}"'
	run_text "$("$doc_example" docs/nats.md 'As a service' 3)"
	expect_status 0
	expect_line 'metastore_nats_sent_total 2'
	pkill -TERM -x mstore-nats
	rm -r /etc/mstore-nats /run/mstore-nats
}

print_block()
{
	awk -v heading="## $1" '$0 == heading { found = 1 } found && /^```$/ { exit }
		inside { print } found && /^```text/ { inside = 1 }' "$top/docs/nats.md"
}

expect_no_violation()
{
	local line

	line=$(grep -i violation "$work/server.log") || return 0
	fail "the login lacks something: $line"
}

# Makes the connection, carries both ways, asks for a key, and ends the watch.
carry_with_this_login()
{
	start_ready_bridge --both config:cfg/ --in config:in/ --user web1 \
		--password-file "$work/secret" "$@"
	mstore set cfg/k 1
	await 30 bucket_has config cfg/k 1
	put config cfg/k 2
	await 30 store_has cfg/k 2
	mstore set in/k 1
	await 30 store_lacks in/k
	await 30 is_quiet
	end_bridge
}

test_what_its_login_may_do()
{
	local create='$JS.API.STREAM.CREATE.KV_config'

	enter
	print_block 'Permissions of the login' >"$work/login.conf"
	grep -q '^ *publish: ' "$work/login.conf"
	echo secret >"$work/secret"
	url=nats://admin:other@127.0.0.1:4222
	server_options=(-c "$work/login.conf")
	start_server
	kv create config
	: >"$work/server.log"
	carry_with_this_login
	expect_no_violation
	stop_server
	grep -q -F "\`$create\`" "$top/docs/nats.md"
	sed -i "s/publish: \[/&\"$create\", /" "$work/login.conf"
	start_server
	carry_with_this_login --create
	expect_no_violation
}

test_the_unit_is_right()
{
	type -P systemd-analyze >/dev/null || skip 'no systemd-analyze'
	run systemd-analyze verify --man=no /usr/lib/systemd/system/mstore-nats@.service
	expect_status 0
	expect_err ''
}

# The message of a conflict that the page shows is the program's.
test_the_conflict_of_the_page()
{
	local line

	line=$(grep '^mstore-nats: cfg/rate: conflict: ' "$top/docs/nats.md")
	enter
	start_server
	kv create config
	for _ in {1..7}; do
		put config cfg/rate 30
	done
	mstore set cfg/rate 20
	start_ready_bridge --both config:cfg/
	await 30 log_has "$line"
	end_bridge
}

test_the_manual()
{
	local text

	enter
	start_server
	mkdir -p /etc/mstore-nats
	echo 'both config:cfg/' >/etc/mstore-nats/main.conf
	read_examples mstore-nats.8
	((${#examples[@]} == 3))
	for text in "${examples[@]}"; do
		case $text in
		*--check-config)
			run_text "$text"
			expect 0 $'both config:cfg/\n'
			;;
		*--both*)
			start_text "exec $text"
			mstore set cfg/x 1
			await 30 bucket_has config cfg/x 1
			interrupt_text
			expect_status 0
			;;
		*--out*)
			start_text "exec $text"
			mstore set host/web1/x 1
			await 30 bucket_has presence host/web1/x 1
			put presence host/web2/x 2
			await 30 store_has host/web2/x 2
			interrupt_text
			expect_status 0
			;;
		*)	fail "an example that nothing runs: $text" ;;
		esac
	done
	rm -r /etc/mstore-nats
}

# Each option is in the manual, and no other.
test_the_manual_has_all_options()
{
	local option

	sed 's/\\-/-/g' "$manual/mstore-nats.8" >"$work/page"
	while read -r option; do
		option=${option%=}
		[[ $option != -? ]] || continue
		grep -q -e "$option\>" "$work/page" || fail "$option is not in the manual"
	done < <(mstore-nats --complete)
	while read -r option; do
		mstore-nats --complete | grep -qx -e "$option=\?" || fail "$option is no option"
	done < <(grep -o -e '--[a-z][a-z-]*' "$work/page" | sort -u)
}

test_the_completion()
{
	local COMPREPLY

	. /usr/share/bash-completion/completions/mstore-nats
	_mstore_nats mstore-nats --bo mstore-nats
	[[ ${COMPREPLY[*]} == --both ]]
	_mstore_nats mstore-nats s --owned
	[[ ${COMPREPLY[*]} == skip ]]
	cd "$work"
	: >some.conf
	_mstore_nats mstore-nats some -c
	[[ ${COMPREPLY[*]} == some.conf ]]
	_mstore_nats mstore-nats some --password-file
	[[ ${COMPREPLY[*]} == some.conf ]]
}

run_tests
