// SPDX-License-Identifier: GPL-2.0
/* The command line: numbers and durations. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "options.h"

/* Largest number that parse_seconds() reads: it stops after 10 digits. */
#define SECONDS_MAX	9999999999

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

int parse_bucket(const struct command *cmd, const char *text)
{
	return parse_number(cmd, "--bucket", text, 0, INT_MAX);
}

/* Reads seconds, with a fraction if need be; returns nanoseconds. */
uint64_t parse_seconds(const struct command *cmd, const char *option, const char *text)
{
	const char *s = text;
	uint64_t seconds = 0, fraction = 0, unit = NS_PER_SEC;

	for (; isdigit((unsigned char)*s) && seconds < NS_PER_SEC; s++)
		seconds = seconds * 10 + (*s - '0');
	if (*s == '.')
		for (s++; isdigit((unsigned char)*s); s++) {
			unit /= 10;
			fraction += unit * (*s - '0');
		}
	if (*s || s == text || !strcmp(text, "."))
		die_usage(cmd, "%s '%s': must be 0 to %llu seconds, such as 2 or 0.5", option,
			  text, (unsigned long long)SECONDS_MAX);
	return seconds * NS_PER_SEC + fraction;
}
