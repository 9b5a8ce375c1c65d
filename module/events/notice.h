/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_NOTICE_H
#define METASTORE_NOTICE_H

#include <linux/types.h>

#include "store/value.h"
#include "events/ring.h"

struct metastore_key;
struct metastore_reservations;

/** METASTORE_IMAGE_BLOCK - words of an image that are copied at once */
#define METASTORE_IMAGE_BLOCK	8

/**
 * struct metastore_image - an event as mapped rings show it
 * @uses:	number of rings that got it
 * @size:	its length in bytes, a multiple of 8; 0: it is not built, or rings cannot
 *		show it
 * @copied:	@size, rounded up to whole blocks
 * @words:	the event without its subscription's cookie, and zeros up to the end of a block
 *
 * Built with the second ring, and copied to those behind it.
 */
struct metastore_image {
	u32 uses;
	u32 size;
	u32 copied;
	u64 words[(sizeof(struct metastore_event) + METASTORE_INLINE_MAX) / sizeof(u64) +
		  METASTORE_IMAGE_BLOCK];
};

/**
 * struct metastore_notice - event on its way to the queues
 * @key:	the key
 * @record:	the event, without subscription
 * @mask:	METASTORE_EVENT_*; a subscriber must have asked for one of these
 * @former:	number of the open file that the value was stolen from. Its subscriptions get
 *		the event whatever their masks are. 0: none
 * @reserved:	room reserved for the event, or NULL
 * @image:	the event for mapped rings, protected by the bucket's lock; NULL for events of
 *		a group, which are not pushed with their notice
 */
struct metastore_notice {
	const struct metastore_key *key;
	struct metastore_record record;
	u32 mask;
	u64 former;
	struct metastore_reservations *reserved;
	struct metastore_image *image;
};

#endif /* METASTORE_NOTICE_H */
