#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The library: each example of its manual, in the words of the manual. Programs and
# fragments are compiled and run; structures are compared to those of the header.
#
# An example is named after its page and its number there: mstore_set_3_2 is the second
# of mstore_set(3). Fragments are functions of that name in one program, $work/fragments,
# which runs those that its arguments name.
set -e
. ./cli_helpers.sh
. ./manual_helpers.sh

programs=()
fragments=()
structures=()

# The text before the fragments: the names that they use.
print_start()
{
	cat <<'END'
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <metastore.h>

#define SAME(manual, header, member)						\
	_Static_assert(offsetof(manual, member) == offsetof(header, member) &&	\
		       __builtin_types_compatible_p(				\
			       __typeof__(((manual *)0)->member),		\
			       __typeof__(((header *)0)->member)), #member)

static struct mstore *store;
static struct mstore_event_buffer *buffer;
static uint64_t from_version, to_version;

static int more_pages(void)
{
	static int pages;

	return pages++ < 2;
}

static void print_page(uint64_t number)
{
	printf("%d\n", number > 0);
	fflush(stdout);
	if (system(getenv("print_page")))
		exit(1);
}

/* As if another process counted while the example does. */
static long atol_late(const char *text)
{
	const char *late = getenv("late");

	if (late && system(late))
		exit(1);
	unsetenv("late");
	return atol(text);
}

static void serve(void)
{
	printf("served\n");
}

/* A table of keys and values, as the number of its rows and the last change. */
static int rows;
static char last[600];

static void draw_table(void)
{
	printf("%d rows, %s\n", rows, last);
}

static void set_row(const struct mstore_follow *follow)
{
	const char *key, *value;
	size_t key_len, value_len;

	key = mstore_follow_key(follow, &key_len);
	value = mstore_follow_value(follow, &value_len);
	snprintf(last, sizeof(last), "%.*s=%.*s", (int)key_len, key, (int)value_len, value);
	rows++;
}

static void remove_row(const struct mstore_follow *follow)
{
	size_t len;
	const char *key = mstore_follow_key(follow, &len);

	snprintf(last, sizeof(last), "%.*s gone", (int)len, key);
	rows--;
}

static uint64_t version_of(const char *key)
{
	uint64_t version = 0;

	free(mstore_get_alloc(store, key, MSTORE_STRLEN, NULL, &version));
	return version;
}

#define atol(text) atol_late(text)
END
}

print_end()
{
	local fragment

	printf 'static const struct {\n\tconst char *name;\n\tvoid (*run)(void);\n} fragments[] = {\n'
	for fragment in "${fragments[@]}"; do
		printf '\t{ "%s", %s },\n' "$fragment" "$fragment"
	done
	cat <<'END'
};

int main(int argc, char **argv)
{
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	store = mstore_open(NULL, MSTORE_RDWR);
	buffer = mstore_event_buffer_new(0);
	if (!store || !buffer)
		err(2, "metastore");
	from_version = version_of("from");
	to_version = getenv("stale") ? 1 : version_of("to");
	while (--argc) {
		argv++;
		for (i = 0; i < sizeof(fragments) / sizeof(*fragments); i++)
			if (!strcmp(fragments[i].name, *argv))
				break;
		if (i == sizeof(fragments) / sizeof(*fragments))
			errx(2, "%s: no such fragment", *argv);
		fragments[i].run();
	}
}
END
}

print_fragment()
{
	printf 'static void %s(void)\n{\n#line 1 "%s"\n%s\n}\n' "$1" "$1" "$2"
}

# All members are where they are in the header, and no other but reserved ones.
print_structure()
{
	local type member

	type=$(sed -n '1s/ {$//p' <<<"$2")
	printf 'typedef %s header_%s;\nvoid %s(void);\nvoid %s(void)\n{\n#line 1 "%s"\n%s\n' \
		"$type" "$1" "$1" "$1" "$1" "$2"
	sed -nE 's/^\t[a-z0-9_]+ +([a-z0-9_]+);.*/\1/p' <<<"$2" | while read -r member; do
		echo "SAME($type, header_$1, $member);"
	done
	echo "_Static_assert(sizeof($type) == offsetof(header_$1, reserved), \"members\");"
	echo "}"
}

# Takes the example $1, which is $2.
add_example()
{
	if [[ $2 == *'int main('* ]]; then
		programs+=("$1")
		echo "$2" >"$work/$1.c"
	elif [[ $2 =~ ^struct\ [a-z_]+\ \{$'\n' ]]; then
		structures+=("$1")
		print_structure "$1" "$2" >>"$work/examples"
	else
		fragments+=("$1")
		print_fragment "$1" "$2" >>"$work/examples"
	fi
}

read_pages()
{
	local page i

	for page in "$manual"/*.[2-7]; do
		page=${page##*/}
		read_examples "$page"
		for i in "${!examples[@]}"; do
			add_example "${page/./_}_$((i + 1))" "${examples[i]}"
		done
	done
}

# Compiles program $1 as the manual of the library says.
compile()
{
	# shellcheck disable=SC2046 # a list of words
	run cc -Wall -Wextra -Werror -o "$work/$1" "$work/$1.c" $(pkg-config --cflags --libs metastore)
	[[ $status == 0 ]] || sed 's/^/# /' "$err"
}

run_fragments()
{
	run_limited "$work/fragments" "$@"
}

test_they_compile()
{
	local program

	for program in fragments "${programs[@]}"; do
		[[ -x $work/$program ]] || fail "$program was not compiled"
	done
	((${#programs[@]} && ${#fragments[@]} && ${#structures[@]}))
}

test_each_program_and_fragment_has_a_test()
{
	local example all

	all=$(declare -f)
	for example in "${programs[@]}" "${fragments[@]}"; do
		[[ $all =~ [\ /]${example}[^0-9] ]] || fail "no test runs $example"
	done
}

test_program()
{
	run_limited "$work/libmetastore_3_1"
	expect 0 $'hello\n'
}

test_batch()
{
	mstore set from 100
	mstore set to 100
	run_fragments mstore_batch_3_1
	expect 0 ''
	run mstore get from to
	expect 0 $'from 90\nto 110\n'
	mstore set from 100
	stale=1 run_fragments mstore_batch_3_1
	expect 0 '' 'operation 1: Stale file handle'
	run mstore get from to
	expect 0 $'from 100\nto 110\n'
}

test_create()
{
	mkdir "$work/bin"
	# shellcheck disable=SC2016
	printf '#!/bin/bash\necho "$METASTORE_STORE" "$@"\nmstore set inside 1\nexec mstore ls\n' \
		>"$work/bin/program"
	chmod +x "$work/bin/program"
	mstore set outside 1
	PATH=$work/bin:$PATH run_fragments mstore_create_3_2
	expect_status 0
	expect_lines 2
	expect_line 'fd:[0-9]+'
	expect_line inside
	run mstore ls
	expect 0 $'outside\n'
}

test_get()
{
	run_fragments mstore_get_3_2
	expect 0 ''
	mstore set greeting hello
	run_fragments mstore_get_3_2
	expect 0 $'hello\n'
}

test_list()
{
	mstore set net/a 1
	mstore set net/b 1
	mstore set other 1
	run_fragments mstore_list_3_1
	expect_status 0
	expect_lines 2
	expect_line net/a
	expect_line net/b
}

# The store of the device is not mapped here, so the program goes on without.
test_map()
{
	mstore set limit 42
	run_fragments mstore_map_3_1
	expect 0 $'42\n' 'fragments: reading by system calls: Operation not supported'
}

test_lock()
{
	print_page='mstore ls printer' run_fragments mstore_lock_3_1
	expect 0 $'1\nprinter\n1\nprinter\n'
	print_page='mstore del --steal printer' run_fragments mstore_lock_3_1
	expect 0 $'1\n'
	run mstore get printer
	expect_status 1
}

# Starts those that subscribe and read, after others.
start_reader()
{
	start "$work/fragments" "$@" mstore_subscribe_3_3 mstore_read_events_3_1
}

lines_are()
{
	(($(wc -l <"$work/sub") == $1))
}

test_subscribe_and_read()
{
	mstore set net/a 1
	mstore set other 1
	start_reader
	await_line "$work/sub" 1
	mstore set net/b 2
	mstore set other 2
	mstore pub net/a 3
	mstore del net/b
	await_that lines_are 5
	kill "$sub"
	end_sub
	# The end of the snapshot has no value; a deletion has the one that it removed.
	expect_out $'1\n\n2\n3\n2\n'
}

test_follow()
{
	mstore set net/a 1
	mstore set other 1
	start "$work/fragments" mstore_follow_3_2
	await_line "$work/sub" '1 rows, net/a=1'
	mstore set net/b 2
	await_line "$work/sub" '2 rows, net/b=2'
	mstore del net/a
	await_line "$work/sub" '1 rows, net/a gone'
	kill "$sub"
	end_sub
	# The store, and no descriptor for the follower's own
	run_limited bash -c 'ulimit -n 4; exec "$@"' - "$work/fragments" mstore_follow_3_2
	expect 1 '' 'fragments: net/: Too many open files'
}

# Of an event that both subscriptions get, one is shown.
test_versions()
{
	start "$work/fragments" mstore_versions_3_1
	await_subscribers net/uplink 2
	mstore set net/uplink 1
	await_line "$work/sub" 'net/uplink 2'
	mstore set net/other 1
	await_line "$work/sub" 'net/other 2'
	mstore del net/uplink
	await_line "$work/sub" 'net/uplink 4'
	mstore del net/other
	await_line "$work/sub" 'net/other 4'
	kill "$sub"
	end_sub
	expect_out $'net/uplink 2\nnet/other 2\nnet/uplink 4\nnet/other 4\n'
}

test_take()
{
	run_fragments mstore_take_3_1
	expect 0 ''
	mstore set job compile
	run_fragments mstore_take_3_1
	expect 0 $'compile\n'
	run mstore get job
	expect_status 1
}

test_limit_calls()
{
	run_fragments mstore_take_3_2
	expect 0 $'served\n'
	mstore set calls 99
	run_fragments mstore_take_3_2 mstore_take_3_2
	expect 0 $'served\n'
	run mstore get calls
	expect 0 $'101\n'
}

test_lossless_queue()
{
	mstore set net/a 1
	start_reader mstore_queue_3_3
	await_line "$work/sub" 1
	run mstore audit
	expect_lines 2
	expect_line ".* 1 lossless .* $sub fragments"
	kill "$sub"
	end_sub
}

test_set()
{
	run_fragments mstore_set_3_3
	expect 0 ''
	run mstore get temperature
	expect 0 $'-5\n'
}

test_count()
{
	run_fragments mstore_set_3_4
	expect 0 ''
	run mstore get n
	expect 0 $'0\n'
	late='mstore set n 21' run_fragments mstore_set_3_4
	expect 0 ''
	run mstore get n
	expect 0 $'42\n'
}

test_own()
{
	start_sub -n 2 --format '%k %e %w' alive/server
	run_fragments mstore_set_3_5
	expect 0 ''
	end_sub
	expect_status 0
	expect_lines 2
	expect_line 'alive/server set '
	expect_line 'alive/server deleted owner [0-9]+ exited 0'
}

read_pages
{ print_start; cat "$work/examples"; print_end; } >"$work/fragments.c"
compile fragments
for program in "${programs[@]}"; do
	compile "$program"
done
run_tests
