// SPDX-License-Identifier: GPL-2.0
/* Durations as text. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "duration.h"
#include "tool.h"

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
bool read_duration(const char *text, uint64_t *ns)
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

/* In the largest unit that tells it exactly. */
const char *duration_text(char text[32], uint64_t ms)
{
	const struct unit *unit = units;

	while (ms * NS_PER_MS % unit->ns)
		unit++;
	snprintf(text, 32, "%llu%s", (unsigned long long)(ms * NS_PER_MS / unit->ns),
		 ms ? unit->name : "");
	return text;
}
