// SPDX-License-Identifier: GPL-2.0
/* Which keys a command is about: those with one of some prefixes, but for exceptions. */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "selection.h"
#include "settings.h"

struct selection selection;

static bool starts_with(struct bytes key, struct bytes prefix)
{
	return key.len >= prefix.len && !memcmp(key.data, prefix.data, prefix.len);
}

static struct bytes *prefixes_new(int count)
{
	struct bytes *prefixes = calloc(count + 1, sizeof(*prefixes));

	if (!prefixes)
		call_failed("memory", ENOMEM);
	return prefixes;
}

/* A prefix that starts with another one is covered by it. */
static void add_prefix(struct bytes prefix)
{
	int kept = 0;

	for (int i = 0; i < selection.count; i++)
		if (starts_with(prefix, selection.prefixes[i]))
			return;
	for (int i = 0; i < selection.count; i++)
		if (!starts_with(selection.prefixes[i], prefix))
			selection.prefixes[kept++] = selection.prefixes[i];
	selection.prefixes[kept++] = prefix;
	selection.count = kept;
}

/* An empty one, as of a variable that is not set, would leave out every key. */
static void add_exceptions(const struct command *cmd)
{
	selection.except = prefixes_new(settings.except_count);
	for (int i = 0; i < settings.except_count; i++) {
		struct bytes prefix = operand_prefix(cmd, settings.except[i]);

		if (!prefix.len)
			die_usage(cmd, "--except: PREFIX is empty: must be 1 to %d bytes",
				  MSTORE_KEY_MAX);
		selection.except[selection.except_count++] = prefix;
	}
}

/* Reads the operands, which are prefixes, and --except. No operand is every key. */
void select_prefixes(const struct command *cmd, int argc, char **argv)
{
	want_operands(cmd, argc, argv, "[PREFIX...]");
	selection.prefixes = prefixes_new(argc - optind);
	for (int i = optind; i < argc; i++)
		add_prefix(operand_prefix(cmd, argv[i]));
	if (optind == argc)
		add_prefix((struct bytes){ "", 0 });
	add_exceptions(cmd);
}

/* Is @key, which has one of the prefixes, none of the exceptions? */
bool is_selected(struct bytes key)
{
	for (int i = 0; i < selection.except_count; i++)
		if (starts_with(key, selection.except[i]))
			return false;
	return true;
}
