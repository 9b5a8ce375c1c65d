/* SPDX-License-Identifier: GPL-2.0 */
/* Metrics as Prometheus reads them. */
#ifndef MSTORE_PROMETHEUS_H
#define MSTORE_PROMETHEUS_H

#include "output.h"

void add_label(struct buffer *buf, const char *name, const char *text);
void add_number_label(struct buffer *buf, const char *name, uint64_t number);
void add_heading(struct buffer *buf, const char *name, const char *type, const char *help);

#endif
