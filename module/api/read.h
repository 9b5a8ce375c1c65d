/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_READ_H
#define METASTORE_READ_H

#include <linux/types.h>

#include "events/ring.h"

struct iov_iter;

int metastore_events_copy(const struct metastore_record *records, int nr,
			  struct iov_iter *to);

#endif /* METASTORE_READ_H */
