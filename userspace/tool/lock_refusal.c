// SPDX-License-Identifier: GPL-2.0
/* Why a lock cannot be waited for: an errno, and what its keys have. */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>

#include "error.h"
#include "lock_refusal.h"
#include "output.h"
#include "text.h"

static const char exclusive[] =
	"an open file owns this key, as an exclusive lock; give --slots 1 to wait for it";
static const char must_be_absent[] =
	"this key exists, and must be absent for several slots; delete it, or name another lock";

/* The key that has the number of slots, then those that wait: KEY.lock. */
static struct bytes queue_key(struct bytes key)
{
	struct buffer buf = { 0 };

	buffer_add(&buf, key.data, key.len);
	buffer_text(&buf, ".lock");
	return (struct bytes){ buf.data, buf.len };
}

static bool exists(struct mstore *store, struct bytes key, bool *owned)
{
	struct mstore_stat stat;

	if (mstore_stat(store, key.data, key.len, &stat))
		return false;
	*owned = stat.owner != MSTORE_OWNER_NONE;
	return true;
}

/* Returns the number of slots that a lock is in use with, 0: unknown. */
static unsigned long slots_in_use(struct mstore *store, struct bytes queue)
{
	char *text = mstore_get_alloc(store, queue.data, queue.len, NULL, NULL);
	unsigned long slots = text ? strtoul(text, NULL, 10) : 0;

	free(text);
	return slots;
}

/* Another number of slots, a key that must be absent, or one that an open file owns. */
static void report_busy(struct mstore *store, struct bytes key, struct bytes queue, int slots)
{
	unsigned long used = slots_in_use(store, queue);
	bool owned;

	if (slots > 1 && exists(store, key, &owned))
		report_key(key, "--slots %d: %s", slots, owned ? exclusive : must_be_absent);
	else if (exists(store, queue, &owned) && owned)
		report_key(queue,
			   "the lock needs this key, but an open file owns it; name another lock");
	else if (used && used != (unsigned long)slots)
		report_key(key, "--slots %d: the lock is in use with %lu slot%s; give --slots %lu",
			   slots, used, used == 1 ? "" : "s", used);
	else
		report_key(key,
			   "--slots %d: the lock was in use with another number of slots; try again",
			   slots);
}

/* Says why mstore_lock_acquire() failed. Returns a status. */
int lock_refused(struct mstore *store, struct bytes key, int slots, int error)
{
	struct bytes queue = queue_key(key);

	switch (error) {
	case EBUSY:
		report_busy(store, key, queue, slots);
		return STATUS_NO;
	case EMSGSIZE:
		report_key(key, "too many wait for the lock (see 'longest value' of mstore info)");
		return STATUS_COULD_NOT;
	case EPROTO:
		report_key(queue,
			   "the lock needs this key, but it has a value of another kind; delete it, or name another lock");
		return STATUS_COULD_NOT;
	default:
		return key_failed(key, error);
	}
}
