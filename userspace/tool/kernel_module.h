/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel module: what it is loaded with, and its files. */
#ifndef MSTORE_TOOL_KERNEL_MODULE_H
#define MSTORE_TOOL_KERNEL_MODULE_H

#include "output.h"
#include "tool.h"

/* Words of insmod's command line behind the file: each parameter, and NULL. */
struct parameters {
	char **words;
	size_t count;
};

bool module_parameter_is_there(const char *name);
int module_set_parameter(const char *name, const char *value);
void module_read_parameters(struct parameters *parameters);
bool module_field(const char *file, const char *field, struct buffer *text);
bool module_installed_file(struct buffer *file);
bool module_attribute(const char *name, struct buffer *text);
bool module_load(const char *file, const struct parameters *parameters);
int module_unload(void);

#endif
