// SPDX-License-Identifier: LGPL-2.1-or-later
/* Changes that return the previous value, and additions to a number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

/* Enough for most values, so that the first try succeeds. */
#define FIRST_CAPACITY	512

/* The longest number, which is INT64_MIN. */
#define NUMBER_MAX	20

static int invalid(void)
{
	errno = EINVAL;
	return -1;
}

/* Make @previous the only room for the previous value. Returns 0, or -1 with EINVAL. */
static int prepare(struct mstore_options *with, const struct mstore_options *options,
		   struct mstore_previous *previous)
{
	if (options && options->previous)
		return invalid();
	*with = options ? *options : (struct mstore_options){ 0 };
	*previous = (struct mstore_previous){ .size = FIRST_CAPACITY };
	with->previous = previous;
	return 0;
}

/*
 * Make room for @size bytes and the NUL behind them. Returns 0, or -1 with ENOMEM. The
 * kernel copies the value out when the change is made, so its pages must be there by then:
 * each is written to here.
 */
static int make_room(struct mstore_previous *previous)
{
	void *larger = realloc(previous->buffer, previous->size + 1);

	if (!larger)
		return -1;
	memset(larger, 0, previous->size + 1);
	previous->buffer = larger;
	return 0;
}

static void end_value(const struct mstore_previous *previous)
{
	((char *)previous->buffer)[previous->size] = '\0';
}

char *mstore_take(struct mstore *store, const void *key, size_t key_len,
		  const struct mstore_options *options, size_t *value_len,
		  uint64_t *version)
{
	struct mstore_previous taken;
	struct mstore_options with;
	size_t size;
	int ret;

	if (prepare(&with, options, &taken))
		return NULL;
	/* The value can grow again between two tries. */
	do {
		size = taken.size;
		ret = make_room(&taken);
		if (ret)
			break;
		ret = mstore_delete_with(store, key, key_len, &with, version);
	} while (ret && errno == ERANGE && taken.size > size);
	if (ret) {
		free(taken.buffer);
		return NULL;
	}

	end_value(&taken);
	if (value_len)
		*value_len = taken.size;
	if (version)
		*version = taken.version;
	return taken.buffer;
}

int mstore_swap(struct mstore *store, const void *key, size_t key_len,
		const void *value, size_t value_len,
		const struct mstore_options *options,
		struct mstore_previous *previous, uint64_t *version)
{
	struct mstore_previous found;
	struct mstore_options with;
	size_t size;
	int ret;

	if (prepare(&with, options, &found))
		return -1;
	do {
		size = found.size;
		ret = make_room(&found);
		if (ret)
			break;
		ret = mstore_set_with(store, key, key_len, value, value_len, &with, version);
	} while (ret && errno == ERANGE && found.size > size);
	if (ret || !found.version) {
		free(found.buffer);
		found.buffer = NULL;
	} else {
		end_value(&found);
	}
	if (ret)
		return -1;
	*previous = found;
	return found.buffer ? 1 : 0;
}

/*
 * Read a number that is written as mstore_add() writes it. Returns 0, or -1 with EBADMSG.
 * Only one text for each number: what has leading zeros may be a code rather than a
 * number, and would lose them.
 */
static int parse_number(const char *text, size_t len, int64_t *number)
{
	bool negative = len && text[0] == '-';
	const char *digits = text + negative, *end = text + len;

	*number = 0;
	if (digits == end || (*digits == '0' && len > 1))
		goto bad;
	for (; digits < end; digits++) {
		int digit = *digits - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, negative ? -digit : digit, number))
			goto bad;
	}
	return 0;

bad:
	errno = EBADMSG;
	return -1;
}

/* Write a number to the end of @text, as parse_number() reads it. Returns its start. */
static char *format_number(char text[NUMBER_MAX], int64_t number)
{
	uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
	char *start = text + NUMBER_MAX;

	do {
		*--start = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (number < 0)
		*--start = '-';
	return start;
}

/*
 * Read the number under a key, and what its next value needs: the condition that it is
 * unchanged, its owner, and its time to live. An absent one is created by @options.
 * Returns 0, or -1.
 */
static int read_number(struct mstore *store, const void *key, size_t key_len,
		       const struct mstore_options *options, int64_t *number,
		       struct mstore_options *write)
{
	char text[NUMBER_MAX];
	struct metastore_get get = {
		.key = address(key),
		.value = address(text),
		.key_len = length(key, key_len),
		.value_len = sizeof(text),
	};

	if (ioctl(store->fd, METASTORE_IOC_GET, &get)) {
		if (errno == ERANGE)
			errno = EBADMSG;
		if (errno != ENOENT)
			return -1;
		*number = 0;
		*write = options ? *options : (struct mstore_options){ 0 };
		write->flags |= MSTORE_CREATE;
		return 0;
	}

	*write = (struct mstore_options){
		.flags = MSTORE_IF_VERSION,
		.version = get.version,
	};
	if (get.owner == METASTORE_OWNER_SELF)
		write->flags |= MSTORE_OWNED;
	/* Only a write limits an unlimited one, so the version vouches for this. */
	if (get.ttl)
		write->flags |= MSTORE_KEEP_TTL;
	return parse_number(text, get.value_len, number);
}

int mstore_add(struct mstore *store, const void *key, size_t key_len, int64_t delta,
	       const struct mstore_options *options, int64_t *result,
	       uint64_t *version)
{
	struct mstore_options write;
	char text[NUMBER_MAX], *number;
	uint64_t stored;
	int64_t sum;
	int ret;

	if (options && (options->flags & ~MSTORE_OWNED || options->previous ||
			mstore_check_batch_options(options)))
		return invalid();
	do {
		if (read_number(store, key, key_len, options, &sum, &write))
			return -1;
		if (__builtin_add_overflow(sum, delta, &sum)) {
			errno = ERANGE;
			return -1;
		}
		number = format_number(text, sum);
		ret = mstore_set_with(store, key, key_len, number,
				      (size_t)(text + NUMBER_MAX - number), &write, &stored);
	} while (ret && (errno == ESTALE || errno == EEXIST));
	if (ret)
		return -1;
	if (result)
		*result = sum;
	if (version)
		*version = stored;
	return 0;
}
