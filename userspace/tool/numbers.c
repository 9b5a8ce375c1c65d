// SPDX-License-Identifier: GPL-2.0
/* The command line: numbers and durations. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "duration.h"
#include "options.h"

/* Digits and nothing else: strtoull() alone would take " -1". */
uint64_t parse_number(const struct command *cmd, const char *option, const char *text,
		      uint64_t least, uint64_t most)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || number < least || number > most)
		die_usage(cmd, "%s '%s': must be a number from %llu to %llu", option, text,
			  (unsigned long long)least, (unsigned long long)most);
	return number;
}

/* The ranges of both are those of the module's parameters. */
uint32_t parse_queue_len(const struct command *cmd, const char *text)
{
	return parse_number(cmd, "--queue-len", text, 1, 1048576);
}

uint32_t parse_queue_bytes(const struct command *cmd, const char *text)
{
	return parse_number(cmd, "--queue-bytes", text, 4096, 1073741824);
}

int parse_bucket(const struct command *cmd, const char *text)
{
	return parse_number(cmd, "--bucket", text, 0, INT_MAX);
}

/* With a unit: a number alone can be anything. */
bool is_duration(const char *text)
{
	uint64_t ns;

	return text[strspn(text, "0123456789.")] && read_duration(text, &ns);
}

/* Returns milliseconds, rounded up. */
uint64_t parse_duration(const struct command *cmd, const char *option, const char *text,
			uint64_t least_ms, uint64_t most_ms)
{
	char least[32], most[32];
	uint64_t ns;

	if (!read_duration(text, &ns) || ns < least_ms * NS_PER_MS || ns > most_ms * NS_PER_MS)
		die_usage(cmd,
			  "%s '%s': must be %s to %s, such as 500ms, 5s or 2h; without a unit it is seconds",
			  option, text, duration_text(least, least_ms),
			  duration_text(most, most_ms));
	return (ns + NS_PER_MS - 1) / NS_PER_MS;
}
