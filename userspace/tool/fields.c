// SPDX-License-Identifier: GPL-2.0
/* Facts for people: `name: value`, one a line, with sizes in units that fit. */
#include "fields.h"
#include "output.h"
#include "record.h"

void text_field(const char *name, const char *text)
{
	buffer_format(&out, "%s: %s", name, text);
	out_end();
}

void number_field(const char *name, uint64_t number)
{
	buffer_format(&out, "%s: %llu", name, (unsigned long long)number);
	out_end();
}

/* `64 KiB`, `1.5 GiB`: one digit behind the point unless it is a whole number. */
void add_size(struct buffer *buf, uint64_t bytes)
{
	const char *prefix = "KMGTPE";
	unsigned long long unit = 1024, rest;

	if (bytes < unit) {
		buffer_format(buf, "%d byte%s", (int)bytes, bytes == 1 ? "" : "s");
		return;
	}
	for (; bytes / unit >= 1024; unit *= 1024)
		prefix++;
	rest = bytes % unit;
	buffer_format(buf, "%llu", bytes / unit);
	if (rest)
		buffer_format(buf, ".%llu", rest / (unit / 1024) * 10 / 1024);
	buffer_format(buf, " %ciB", *prefix);
}

void size_field(const char *name, uint64_t bytes)
{
	buffer_format(&out, "%s: ", name);
	add_size(&out, bytes);
	out_end();
}
