/* SPDX-License-Identifier: GPL-2.0 */
/* The few things that every file of the programs knows. */
#ifndef MSTORE_TOOL_H
#define MSTORE_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

/* The compiler checks the arguments of functions that take a format as printf() does. */
#define PRINTF_LIKE(format_arg, first_arg) \
	__attribute__((__format__(__printf__, \
				  format_arg, first_arg)))

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/** struct bytes - a key or a value: any bytes, with a length */
struct bytes {
	const void *data;
	size_t len;
};

/** enum status - the exit statuses, the same for every subcommand */
enum status {
	STATUS_YES = 0,
	STATUS_NO = 1,		/* absent, or a condition was not met */
	STATUS_USAGE = 2,
	STATUS_COULD_NOT = 3,	/* device, permission, limit, output */
	STATUS_TIMED_OUT = 124,
};

#endif
