// SPDX-License-Identifier: GPL-2.0
/*
 * Room in lossless queues that is claimed for an event before it comes.
 */
#include <linux/bsearch.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "base/types.h"
#include "store/bucket.h"
#include "store/store.h"
#include "events/queue.h"
#include "events/reservation.h"

/* Claims that there is memory for at first. */
#define CLAIMS_FIRST	16

static int claims_compare(const void *a, const void *b)
{
	const struct metastore_source *first = ((const struct metastore_claim *)a)->source;
	const struct metastore_source *second = ((const struct metastore_claim *)b)->source;

	return first < second ? -1 : first > second;
}

/**
 * metastore_claims_find - find the claim of a subscription
 * @claims:	the claims
 * @source:	the subscription
 *
 * Return: the claim, or NULL.
 */
struct metastore_claim *metastore_claims_find(const struct metastore_claims *claims,
					      const struct metastore_source *source)
{
	struct metastore_claim wanted = { .source = (struct metastore_source *)source };

	return bsearch(&wanted, claims->claims, claims->nr, sizeof(wanted), claims_compare);
}

/**
 * metastore_claims_hold - are they all that are needed?
 * @claims:	the claims
 * @key:	the key that they are for
 *
 * Context: with the bucket's lock held.
 */
bool metastore_claims_hold(const struct metastore_claims *claims,
			   const struct metastore_key *key)
{
	return claims->epoch == atomic64_read(&key->bucket->store->room.epoch);
}

/* Makes sure that there is memory for one more. */
static int claims_grow(struct metastore_claims *claims)
{
	u32 max = claims->max ? 2 * claims->max : CLAIMS_FIRST;
	struct metastore_claim *more;

	if (claims->nr < claims->max)
		return 0;
	more = kvmalloc_array(max, sizeof(*more), METASTORE_GFP);
	if (!more)
		return -ENOMEM;
	memcpy(more, claims->claims, claims->nr * sizeof(*more));
	kvfree(claims->claims);
	claims->claims = more;
	claims->max = max;
	return 0;
}

/**
 * metastore_claims_add - claim room for an event, if a queue is lossless
 * @claims:	the claims
 * @source:	the subscription
 * @value:	the event's
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -EAGAIN if the queue has no room.
 */
int metastore_claims_add(struct metastore_claims *claims, struct metastore_source *source,
			 const struct metastore_value *value)
{
	u32 charge;
	int err;

	err = claims_grow(claims) ?: metastore_queue_claim(source, value, &charge);
	if (err || !charge)
		return err;
	claims->claims[claims->nr++] = (struct metastore_claim) {
		.source = source,
		.charge = charge,
	};
	return 0;
}

/**
 * metastore_claims_release - give back what was not used
 * @claims:	the claims
 *
 * Context: may sleep.
 */
void metastore_claims_release(struct metastore_claims *claims)
{
	u32 i;

	for (i = 0; i < claims->nr; i++) {
		if (!claims->claims[i].used)
			metastore_queue_unclaim(claims->claims[i].source,
						claims->claims[i].charge);
		cond_resched();
	}
	claims->nr = 0;
}

/**
 * metastore_claims_sort - let claims be found
 * @claims:	the claims, which are all
 */
void metastore_claims_sort(struct metastore_claims *claims)
{
	sort(claims->claims, claims->nr, sizeof(*claims->claims), claims_compare, NULL);
}
