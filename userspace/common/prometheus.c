// SPDX-License-Identifier: GPL-2.0
/* Metrics as Prometheus reads them. */
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "prometheus.h"
#include "text.h"

/* In Prometheus's text only these need an escape. Bytes that are no text have this tool's. */
void add_label(struct buffer *buf, const char *name, const char *text)
{
	struct buffer safe = { 0 };

	escape(&safe, (struct bytes){ text, strlen(text) }, ESCAPE_VALUE);
	buffer_format(buf, "%s%s=\"", buf->len ? "," : "", name);
	for (size_t i = 0; i < safe.len; i++) {
		if (safe.data[i] == '\\' || safe.data[i] == '"')
			buffer_add(buf, "\\", 1);
		buffer_add(buf, &safe.data[i], 1);
	}
	buffer_add(buf, "\"", 1);
	free(safe.data);
}

void add_number_label(struct buffer *buf, const char *name, uint64_t number)
{
	buffer_format(buf, "%s%s=\"%llu\"", buf->len ? "," : "", name,
		      (unsigned long long)number);
}

void add_heading(struct buffer *buf, const char *name, const char *type, const char *help)
{
	buffer_format(buf, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}
