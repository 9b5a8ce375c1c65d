// SPDX-License-Identifier: GPL-2.0
/* Signals by their names. */
#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "signals.h"

/* Returns 0 if there is no such number. */
static int numbered(const char *text)
{
	char *end;
	long number = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;

	return number && !*end && number <= SIGRTMAX ? number : 0;
}

/* Returns 0 if there is no such name. */
static int named(const char *text)
{
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (int number = 1; number < SIGRTMIN; number++) {
		const char *name = sigabbrev_np(number);

		if (name && !strcasecmp(text, name))
			return number;
	}
	return 0;
}

/* A name in capitals: a number, or a word in small letters, can be anything. */
bool is_signal(const char *text)
{
	return isupper((unsigned char)*text) && named(text);
}

int parse_signal(const struct command *cmd, const char *option, const char *text)
{
	int number = numbered(text);

	if (!number)
		number = named(text);
	if (!number)
		die_usage(cmd, "%s '%s': must be a signal such as HUP, SIGHUP, or 1 to %d", option,
			  text, SIGRTMAX);
	return number;
}
