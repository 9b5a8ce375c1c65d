// SPDX-License-Identifier: GPL-2.0
/* Fields of standard output: a line each with escapes, or as they are with a NUL behind. */
#include "output.h"
#include "record.h"
#include "settings.h"
#include "text.h"

#define GATHER_MAX	65536

/* Ends a line, or a field with -0. */
void out_end(void)
{
	buffer_add(&out, settings.null ? "" : "\n", 1);
	if (out.len >= GATHER_MAX)
		out_flush();
}

void out_key(struct bytes key)
{
	if (settings.null)
		buffer_add(&out, key.data, key.len);
	else
		escape(&out, key, ESCAPE_KEY);
}

void out_value(struct bytes value)
{
	if (settings.null)
		buffer_add(&out, value.data, value.len);
	else
		escape(&out, value, ESCAPE_VALUE);
}
