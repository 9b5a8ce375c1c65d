// SPDX-License-Identifier: GPL-2.0
/* The command line: numbers and durations. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
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

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "d", 24 * 3600 * NS_PER_SEC },
	{ "h", 3600 * NS_PER_SEC },
	{ "m", 60 * NS_PER_SEC },
	{ "s", NS_PER_SEC },
	{ "ms", NS_PER_MS },
	{ "", NS_PER_SEC },
};

/* Returns 0 if there is none of that name. */
static uint64_t unit_ns(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(units[i].name, name))
			return units[i].ns;
	return 0;
}

/* Reads `1.5h`. Returns false if it is none, or too long to be told in ns. */
static bool read_duration(const char *text, uint64_t *ns)
{
	const char *end = text + strspn(text, "0123456789.");
	uint64_t unit = unit_ns(end), whole = 0, fraction = 0;
	const char *s = text;

	if (!unit || text + strspn(text, ".") == end)
		return false;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, *s - '0', &whole))
			return false;
	if (__builtin_mul_overflow(whole, unit, &whole))
		return false;
	if (*s == '.')
		for (s++; isdigit((unsigned char)*s); s++) {
			unit /= 10;
			fraction += unit * (*s - '0');
		}
	return s == end && !__builtin_add_overflow(whole, fraction, ns);
}

/* With a unit: a number alone can be anything. */
bool is_duration(const char *text)
{
	uint64_t ns;

	return text[strspn(text, "0123456789.")] && read_duration(text, &ns);
}

/* In the largest unit that tells it exactly. */
static const char *duration_text(char text[32], uint64_t ms)
{
	const struct unit *unit = units;

	while (ms * NS_PER_MS % unit->ns)
		unit++;
	snprintf(text, 32, "%llu%s", (unsigned long long)(ms * NS_PER_MS / unit->ns),
		 ms ? unit->name : "");
	return text;
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
