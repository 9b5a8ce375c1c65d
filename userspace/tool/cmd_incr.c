// SPDX-License-Identifier: GPL-2.0
/* mstore incr */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "operation.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "text.h"

static const struct tool_option options[] = {
	{ OPT_TTL, "ttl", "TIME", "a number that is created expires after TIME" },
	OPTION_JSON, OPTION_ESCAPED, { }
};

/* A minus sign and digits, nothing else. */
static int64_t parse_delta(const char *text)
{
	const char *digits = text + (*text == '-');
	long long delta;
	char *end;

	errno = 0;
	delta = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)*digits) || *end || errno)
		die_usage(&cmd_incr, "N '%s': must be a number from %" PRId64 " to %" PRId64, text,
			  INT64_MIN, INT64_MAX);
	return delta;
}

/* Words of other errors would mislead: nothing steals the key here. */
static int incr_failed(struct bytes key, int error)
{
	if (error == EBUSY) {
		report_key(key, "another open file owns the key");
		return STATUS_NO;
	}
	if (error != ERANGE)
		return key_failed(key, error);
	report_key(key, "the sum must be %" PRId64 " to %" PRId64, INT64_MIN, INT64_MAX);
	return STATUS_COULD_NOT;
}

static void print_sum(struct bytes key, int64_t sum, uint64_t version)
{
	char text[32];
	json_t *object;

	snprintf(text, sizeof(text), "%" PRId64, sum);
	if (!settings.json)
		return print_value((struct bytes){ text, strlen(text) });
	object = object_new();
	object_bytes(object, "key", key);
	object_text(object, "value", text);
	object_exact(object, "version", version);
	object_print(object);
}

static int incr(int argc, char **argv)
{
	struct mstore *store;
	struct bytes key;
	uint64_t version;
	int64_t delta, sum;
	int failed;

	next_option(&cmd_incr, argc, argv);
	want_operands(&cmd_incr, argc, argv, "KEY [VALUE]");
	key = operand_key(&cmd_incr, argv[optind]);
	delta = optind + 1 < argc ? parse_delta(argv[optind + 1]) : 1;
	store = open_store(MSTORE_RDWR);
	want_feature(store, MSTORE_FEATURE_PREVIOUS);
	failed = mstore_add(store, key.data, key.len, delta, &settings.write, &sum, &version);
	if (failed)
		return incr_failed(key, errno);
	print_sum(key, sum, version);
	mstore_close(store);
	return STATUS_YES;
}

const struct command cmd_incr = {
	.name = "incr",
	.run = incr,
	.operands = "KEY [N]",
	.summary = "Add N, or 1, to a number and print the sum",
	.options = options,
};
