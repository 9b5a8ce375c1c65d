#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: stats, and what docs/ says of its metrics.
#
# needs: python3 (python3)
set -e
. ./cli_helpers.sh

docs=$PWD/../docs

# Says what is wrong with text that Prometheus shall read, format 0.0.4; and prints the names of
# the metrics.
cat >"$work/promtool" <<'END'
import re, sys

name = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
sample = re.compile(rf"({name})(?:{{({label}(?:,{label})*)?}})? (-?[0-9]+(?:\.[0-9]+)?)")
text = open(sys.argv[1], newline="").read()
assert text.endswith("\n"), "no newline at the end"
types, helps, seen, current = {}, {}, set(), None
for line in text[:-1].split("\n"):
    if match := re.fullmatch(rf"# HELP ({name}) (.+)", line):
        assert match[1] not in helps, "HELP twice: " + line
        helps[match[1]] = match[2]
        current = match[1]
    elif match := re.fullmatch(rf"# TYPE ({name}) (counter|gauge)", line):
        assert match[1] == current and match[1] not in types, "TYPE: " + line
        types[match[1]] = match[2]
    else:
        match = sample.fullmatch(line)
        assert match, "no sample: " + line
        assert match[1] == current and match[1] in types, "not below its TYPE: " + line
        assert (match[1], match[2]) not in seen, "twice: " + line
        seen.add((match[1], match[2]))
for metric, kind in types.items():
    assert metric.endswith("_total") == (kind == "counter"), metric + " is a " + kind
    assert metric.startswith("metastore_"), metric
print("\n".join(sorted(types)))
END

# One that reads, one that does not, and a private store.
start_readers()
{
	mstore sub --queue-len 2 k >/dev/null &
	behind=$!
	await_subscribers k 1
	kill -STOP "$behind"
	mstore batch <<<$'set k 1\nset k 2\npub k 3\nset other 4'
}

end_readers()
{
	kill -CONT "$behind"
	kill "$behind"
}

test_plain()
{
	local behind file

	start_readers
	file=$(mstore audit --json | sed 's/.*"file":\([0-9]*\),.*/\1/')
	run mstore stats
	end_readers
	expect_status 0
	expect_line 'store.1.keys 2'
	expect_line 'store.1.keys_limit 16777216'
	expect_line 'store.1.subscriptions 1'
	expect_line 'store.1.open_files 1'
	expect_line 'store.1.changes [0-9]+'
	expect_line "queue.$file.events 2"
	expect_line "queue.$file.lost 1"
	expect_line "queue.$file.matched 3"
	expect_line "queue.$file.oldest [0-9]+\.[0-9]{3}"
	expect_line 'user.0.subscriptions.use 1'
	expect_line 'user.0.files.limit [0-9]+'
	expect_line 'user.0.keys.refused 0'
}

test_json()
{
	local behind

	start_readers
	run mstore stats --json
	expect_status 0
	expect_json "len(o['stores']) == 1 and o['stores'][0]['keys'] == 2 and \
		o['stores'][0]['publishes'] >= 1 and \
		len(o['queues']) == 1 and o['queues'][0]['pid'] == $behind and \
		o['queues'][0]['command'] == 'mstore' and o['queues'][0]['lost'] == 1 and \
		o['users'][0]['subscriptions']['use'] == 1"
	end_readers
}

# Such a user has the number of the namespace behind its own.
test_users_of_another_namespace()
{
	local holder ns

	unshare -U mstore hold k 1 -- sleep 600 &
	holder=$!
	await_key k
	ns=$(readlink /proc/$holder/ns/user)
	run mstore stats
	kill $holder
	expect_status 0
	expect_line "user\.[0-9]+@${ns//[^0-9]/}\.owned_keys\.use 1"
	expect_line 'user\.0\.owned_keys\.use [0-9]+'
}

test_without_the_right_to_read_users()
{
	run setpriv --bounding-set=-sys_admin mstore stats
	expect_status 3
	expect_err 'mstore: stats: cannot read other users; use sudo'
	expect_line 'store.1.changes [0-9]+'
}

test_changes_are_counted()
{
	local before after

	before=$(mstore stats | sed -n 's/^store.1.changes //p')
	mstore batch <<<$'set a 1\nset a 2\npub a 3\ndel a'
	after=$(mstore stats | sed -n 's/^store.1.changes //p')
	((after == before + 4))
}

test_prometheus()
{
	local behind

	start_readers
	run mstore stats --prometheus
	end_readers
	expect_status 0
	expect_line '# TYPE metastore_store_keys gauge'
	expect_line 'metastore_store_keys\{store="1"\} 2'
	expect_line 'metastore_store_changes_total\{store="1"\} [0-9]+'
	expect_line "metastore_queue_lost_total\\{store=\"1\",file=\"[0-9]+\",pid=\"$behind\",command=\"mstore\"\\} 1"
	expect_line "metastore_queue_oldest_seconds\\{.*\\} [0-9]+\\.[0-9]{3}"
	expect_line 'metastore_user_use\{uid="0",namespace="[0-9]+",user="root",kind="subscriptions"\} 1'
	expect_line 'metastore_unreadable_processes 0'
	run python3 "$work/promtool" "$out"
	expect_status 0
	expect_lines 24
}

test_labels_with_any_byte()
{
	local name=$'q"\\\n\303\244'

	cp "$(type -P sleep)" "$work/$name"
	mstore hold k 1 -- "$work/$name" 600 &
	await_key k
	run mstore stats --prometheus
	kill $!
	expect_status 0
	expect_line '.*,command="q\\"\\\\.*",?.* .*'
	run python3 "$work/promtool" "$out"
	expect_status 0
}

test_private_stores_only_on_demand()
{
	mstore private -- sleep 600 &
	for _ in {1..300}; do
		run mstore stats --all
		! grep -q '^store.[2-9][0-9]*\.keys 0' "$out" || break
		pause
	done
	expect_line 'store.[0-9]+.open_files 1'
	expect_line 'queue.[0-9]+.events 0'
	run mstore stats
	run grep -c '^queue\|^store\.[^1]' "$out"
	expect 1 $'0\n'
	kill $!
}

test_without_the_right_it_says_so()
{
	mstore set k 1
	chmod 666 /dev/metastore
	run setpriv --reuid=65534 --regid=65534 --clear-groups mstore stats --prometheus
	chmod 660 /dev/metastore
	expect_status 3
	expect_err 'mstore: stats: cannot read +([0-9]) processes; use sudo'
	expect_line 'metastore_store_keys\{store="1"\} 1'
	run grep -c '^metastore_store_changes_total' "$out"
	expect 1 $'0\n'
}

test_a_file_is_replaced_in_one_step()
{
	local i inode

	echo old >"$work/metastore.prom"
	inode=$(stat -c %i "$work/metastore.prom")
	run mstore stats --prometheus --output "$work/metastore.prom"
	expect 0 ''
	[[ $(stat -c '%a' "$work/metastore.prom") == 644 ]]
	[[ $(stat -c %i "$work/metastore.prom") != "$inode" ]]
	run python3 "$work/promtool" "$work/metastore.prom"
	expect_status 0
	for ((i = 0; i < 20; i++)); do
		mstore stats --prometheus --output "$work/metastore.prom"
	done &
	while kill -0 $! 2>/dev/null; do
		run tail -n 1 "$work/metastore.prom"
		expect 0 $'metastore_unreadable_processes 0\n'
	done
	[[ $(echo "$work"/metastore.prom*) == "$work/metastore.prom" ]]
}

test_a_file_that_cannot_be_written()
{
	run mstore stats --output "$work/absent/file"
	expect 3 '' "mstore: $work/absent/file: No such file or directory"
	mkdir "$work/folder"
	run mstore stats --output "$work/folder"
	expect 3 '' "mstore: $work/folder: Is a directory"
	[[ $(echo "$work"/folder*) == "$work/folder" ]]
}

test_one_form_of_output()
{
	run mstore stats --json --prometheus
	expect 2 '' 'mstore: stats: *--prometheus excludes --json*'
	run mstore stats now
	expect 2 '' 'mstore: stats: too many operands*'
}

# Names of metrics in a file
metrics_in()
{
	grep -oE 'metastore_(store|queue|user|unreadable)_[a-z_]+' "$1" | sort -u
}

test_the_documentation_has_each_metric_and_no_other()
{
	local behind

	start_readers
	mstore stats --prometheus >"$work/now"
	end_readers
	python3 "$work/promtool" "$work/now" >"$work/names"
	metrics_in "$docs/observability.md" >"$work/documented"
	run diff "$work/names" "$work/documented"
	expect 0 ''
}

# As written, by a machine that has the directory of node_exporter.
test_the_command_of_the_page()
{
	local dir=/var/lib/prometheus/node-exporter

	mkdir -p $dir
	rm -f $dir/metastore.prom
	run bash -ec "$(./doc_example docs/observability.md Prometheus 1)"
	expect 0 ''
	mstore stats --all --prometheus >"$work/now"
	run cat $dir/metastore.prom
	grep -q '^metastore_store_keys{store="1"} 0$' "$out"
	# For a collector that runs as another user
	[[ $(stat -c %a $dir/metastore.prom) == 644 ]]
	run diff <(metrics_in "$work/now") <(metrics_in $dir/metastore.prom)
	expect 0 ''
}

test_the_alerts_of_the_page()
{
	local rules

	./doc_example docs/observability.md Prometheus 5 >"$work/prometheus.yml"
	rules=$(sed -n 's/^  - \(.*\.yml\)$/\1/p' "$work/prometheus.yml")
	grep -q "^.*/etc/prometheus/$rules" "$docs/observability.md"
	./doc_example docs/observability.md Prometheus 6 >"$work/rules"
	run grep -c 'expr: ' "$work/rules"
	expect 0 "$(grep -c 'alert: ' "$work/rules")"$'\n'
	start_readers
	mstore stats --prometheus >"$work/now"
	end_readers
	python3 "$work/promtool" "$work/now" >"$work/names"
	run comm -13 "$work/names" <(metrics_in "$work/rules")
	expect 0 ''
}

test_the_dashboard_asks_for_metrics_that_exist()
{
	python3 -c '
import json, sys

board = json.load(open(sys.argv[1]))
assert board["title"] == "metastore" and board["schemaVersion"] >= 36
ids = [panel["id"] for panel in board["panels"]]
assert len(ids) == len(set(ids)) and all(panel["targets"] for panel in board["panels"])
for panel in board["panels"]:
    for target in panel["targets"]:
        print(target["expr"])
' "$docs/grafana/metastore.json" >"$work/queries"
	[[ $(wc -l <"$work/queries") -ge 8 ]]
	run grep -vc metastore_ "$work/queries"
	expect 1 $'0\n'
	mstore stats --prometheus >"$work/now"
	python3 "$work/promtool" "$work/now" >"$work/names"
	metrics_in "$docs/grafana/metastore.json" >"$work/asked"
	run comm -13 "$work/names" "$work/asked"
	expect 0 ''
}

start_json
run_tests
