/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Retirement: the module serves nobody any more, so that it can be replaced.
 */
#ifndef METASTORE_RETIRE_H
#define METASTORE_RETIRE_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "ops/file.h"

extern bool metastore_retired;

/**
 * metastore_is_retired() - Check whether the module is retired for an open file
 * @file:	open file
 *
 * Return: true if its commands fail with ENODEV.
 */
static __always_inline bool metastore_is_retired(const struct metastore_file *file)
{
	return unlikely(READ_ONCE(metastore_retired)) && !file->exempt;
}

void metastore_retire(void);
void metastore_unretire(void);
void metastore_retire_enter(struct metastore_file *file);
void metastore_retire_leave(struct metastore_file *file);

#endif /* METASTORE_RETIRE_H */
