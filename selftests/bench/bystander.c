// SPDX-License-Identifier: GPL-2.0
/*
 * What subscriptions that have nothing to do with a publisher cost it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "store.h"

static int prefixes;

static void read_all(unsigned int first, unsigned int last)
{
	for (; first < last; first++)
		while (read(subscribers[first], buffer, sizeof(buffer)) > 0)
			;
}

/* What a publish takes while all but the first @stuck read each event at once. */
static double publish_beside_readers(const struct row *row, unsigned int stuck)
{
	struct timespec before, after;
	unsigned int n;
	double sum = 0;

	subscribe_all(row);
	/* What is stuck is full from the beginning, and has dropped as many as others read. */
	for (n = 0; n < 2 * QUEUE_LEN; n++) {
		publish(news, row->size);
		read_all(stuck, row->subscribers);
	}
	pause_ms(1000);
	for (n = 0; n < BATCH; n++) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		publish(news, row->size);
		clock_gettime(CLOCK_MONOTONIC, &after);
		sum += (after.tv_sec - before.tv_sec) * 1e9 + after.tv_nsec - before.tv_nsec;
		read_all(stuck, row->subscribers);
	}
	unsubscribe_all(row);
	return sum / BATCH;
}

static double publish_two_live(const struct row *row)
{
	return publish_beside_readers(row, 0);
}

static double publish_one_stuck(const struct row *row)
{
	return publish_beside_readers(row, 1);
}

/*
 * Prefixes that do not begin the key, of all lengths. They differ from it at once, or
 * behind up to all but its last bytes.
 */
static void subscribe_prefixes(const struct row *row, bool alike)
{
	struct metastore_subscribe args = {
		.flags = METASTORE_SUBSCRIBE_PREFIX,
	};
	char prefix[METASTORE_KEY_MAX];
	unsigned int i, j, same;

	prefixes = open_device();
	srandom(1);
	for (i = 0; i < row->prefixes; i++) {
		args.key = address(prefix);
		args.key_len = 4 + i % (METASTORE_KEY_MAX - 3);
		same = alike ? random() % MIN(args.key_len - 3, KEY_LEN) : 0;
		memcpy(prefix, news, same);
		for (j = same; j < args.key_len; j++)
			prefix[j] = random();
		/* No byte of the key has that bit. */
		prefix[same] |= 0x80;
		if (ioctl(prefixes, METASTORE_IOC_SUBSCRIBE, &args))
			die("SUBSCRIBE to a prefix");
	}
}

static void subscribe_beside_prefixes(const struct row *row)
{
	subscribe_all(row);
	subscribe_prefixes(row, false);
}

static void subscribe_beside_alike(const struct row *row)
{
	subscribe_all(row);
	subscribe_prefixes(row, true);
}

static void unsubscribe_prefixes(const struct row *row)
{
	unsubscribe_all(row);
	close(prefixes);
}

/**
 * bystander_rows - rows of a publisher beside others' subscriptions
 */
void bystander_rows(void)
{
	struct row row = {
		.prepare = empty_queues,
		.run = run_publish,
		.teardown = unsubscribe_prefixes,
		.size = VALUE_LEN,
		.subscribers = 1,
		.prefixes = 10000,
		.peers = "publish-1",
	};
	struct row pair = {
		.size = VALUE_LEN,
		.subscribers = 2,
		.unit = "instructions",
	};

	row.setup = subscribe_beside_prefixes;
	row_add(&row, "publish-1-prefixes-10k");
	row.setup = subscribe_beside_alike;
	row_add(&row, "publish-1-prefixes-alike-10k");
	pair.amount = publish_two_live;
	row_add(&pair, "publish-two-live");
	pair.amount = publish_one_stuck;
	pair.peers = "publish-two-live";
	row_add(&pair, "publish-one-stuck");
}
