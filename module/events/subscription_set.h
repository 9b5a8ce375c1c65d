/* SPDX-License-Identifier: GPL-2.0 */
/* Internals of the subscriptions of an open file, for subscription.c. */
#ifndef METASTORE_SUBSCRIPTION_SET_H
#define METASTORE_SUBSCRIPTION_SET_H

#include "events/subscription.h"

int metastore_subscription_add(struct metastore_subscription *sub);
void metastore_subscription_remove(struct metastore_subscription *sub);
struct metastore_subscription *
metastore_subscription_any(const struct metastore_subscriptions *subs);
bool metastore_subscription_go_on(struct metastore_subscriptions *subs,
				  struct metastore_key_buffer *at);

#endif /* METASTORE_SUBSCRIPTION_SET_H */
