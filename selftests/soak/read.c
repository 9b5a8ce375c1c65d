// SPDX-License-Identifier: GPL-2.0
/*
 * Subscribers. At any time the kernel's books agree with the events that a subscriber has
 * read and the losses that it was told; at the end nothing is pending.
 */
#include "soak.h"

#define SUBS	2	/* most of a reader */

/**
 * struct sub - subscription to a prefix, whose cookie is its number
 * @flags:	METASTORE_SUBSCRIBE_*
 * @lost:	as it was told
 * @versions:	of the last events of keys any/000 to any/199
 */
struct sub {
	const char *prefix;
	__u32 flags;
	__u64 received;
	__u64 lost;
	__u64 versions[SOAK_KEYS];
};

struct reader {
	int fd;
	__u64 reads;
	int nr;
	struct sub subs[SUBS];
};

static void subscribe(struct reader *r, const char *prefix, __u32 flags)
{
	struct sub *sub = &r->subs[r->nr];

	sub->prefix = prefix;
	sub->flags = flags;
	SOAK_CHECK(!ms_subscribe_as(r->fd, prefix, .events = EVENTS_ALL, .cookie = r->nr,
				    .flags = METASTORE_SUBSCRIBE_PREFIX | flags));
	r->nr++;
}

static struct reader *new_reader(void)
{
	struct reader *r = calloc(1, sizeof(*r));

	SOAK_CHECK(r);
	r->fd = ms_open(O_RDWR | O_NONBLOCK);
	SOAK_CHECK(r->fd >= 0);
	return r;
}

/* Of each subscription: no event of a key is older than the one before. */
static void check_order(struct sub *sub, const struct metastore_event *ev)
{
	int key = soak_key_number(ms_event_key(ev), ev->key_len);

	if (key < 0)
		return;
	SOAK_CHECK(ev->version > sub->versions[key]);
	sub->versions[key] = ev->version;
}

static void take(struct reader *r, const struct metastore_event *ev)
{
	struct sub *sub = &r->subs[ev->cookie];

	SOAK_CHECK(ev->cookie < (__u64)r->nr && ev->type != METASTORE_EVENT_FLUSHED);
	if (ev->type == METASTORE_EVENT_LOST) {
		sub->lost += ev->count;
		soak_count(SOAK_LOST);
		return;
	}
	if (ev->type == METASTORE_EVENT_SNAPSHOT_END)
		return;
	sub->received++;
	soak_count(SOAK_EVENTS);
	check_order(sub, ev);
}

/* One read(). Returns whether there was something. */
static bool read_once(struct reader *r, char *buf, size_t size,
		      void (*also)(const struct metastore_event *ev))
{
	const struct metastore_event *ev;
	ssize_t pos, len = ms_read(r->fd, buf, size);

	if (len == -EAGAIN)
		return false;
	SOAK_CHECK(len > 0);
	for (pos = 0; pos < len; pos += ev->len) {
		ev = (const void *)(buf + pos);
		SOAK_CHECK(ms_event_valid(ev, len - pos));
		take(r, ev);
		if (also)
			also(ev);
	}
	return true;
}

static void check_sub(const struct reader *r, const struct sub *sub, bool end)
{
	struct metastore_subscription_info info;

	SOAK_CHECK(!ms_subscription(r->fd, sub->prefix, METASTORE_SUBSCRIBE_PREFIX, &info));
	SOAK_CHECK(info.matched == info.delivered + info.conflated + info.lost +
				   info.discarded + info.pending);
	SOAK_CHECK(info.delivered == sub->received && info.lost >= sub->lost);
	SOAK_CHECK(sub->flags & METASTORE_SUBSCRIBE_LATEST || !info.conflated);
	if (end)
		SOAK_CHECK(info.lost == sub->lost && !info.pending);
}

static void check_books(const struct reader *r, bool end)
{
	struct metastore_queue_info info;
	__u64 received = 0;
	int i;

	SOAK_CHECK(!ms_queue(r->fd, &info));
	SOAK_CHECK(info.matched == info.delivered + info.conflated + info.lost +
				   info.discarded + info.pending);
	for (i = 0; i < r->nr; i++) {
		check_sub(r, &r->subs[i], end);
		received += r->subs[i].received;
	}
	SOAK_CHECK(info.delivered == received);
	if (end)
		SOAK_CHECK(!info.pending && !info.len);
}

/* Until the end, with a pause of @ms; 0: until something comes */
static void follow(struct reader *r, size_t size, int ms,
		   void (*also)(const struct metastore_event *ev))
{
	char *buf = malloc(size);

	while (!soak_all_end()) {
		if (ms)
			ms_sleep(ms * SECOND / 1000);
		else
			ms_poll(r->fd, 50);
		read_once(r, buf, size, also);
		if (!(++r->reads % 64))
			check_books(r, false);
	}
	while (read_once(r, buf, size, also))
		;
	check_books(r, true);
	free(buf);
}

void soak_fast(void)
{
	struct reader *r = new_reader();

	subscribe(r, "any/", METASTORE_SUBSCRIBE_SNAPSHOT);
	follow(r, MS_READER_SIZE, 0, NULL);
}

void soak_slow(void)
{
	struct reader *r = new_reader();

	subscribe(r, "", METASTORE_SUBSCRIBE_LATEST);
	subscribe(r, "any/1", 0);
	follow(r, 65536, 5, NULL);
}

void soak_stuck(void)
{
	struct reader *r = new_reader();

	subscribe(r, "", METASTORE_SUBSCRIBE_NO_VALUE);
	subscribe(r, "any/", 0);
	while (!soak_all_end())
		ms_sleep(SECOND / 20);
	follow(r, MS_READER_SIZE, 0, NULL);
}

/* Numbers of publishers that wait, as far as they were seen */
#define PUBLISHERS	1024

static struct publisher {
	__u64 id;
	__u64 number;
} publishers[PUBLISHERS];

/* A new one, or the number after the one before: none is left out */
static void check_number(const struct metastore_event *ev)
{
	struct publisher *p = publishers;
	__u64 value[2];

	SOAK_CHECK(ev->type == METASTORE_EVENT_PUBLISHED);
	SOAK_CHECK(ev->value_len == sizeof(value));
	memcpy(value, ms_event_value(ev), sizeof(value));
	while (p->id && p->id != value[0])
		SOAK_CHECK(++p < publishers + PUBLISHERS);
	SOAK_CHECK(!p->id || value[1] == p->number + 1);
	p->id = value[0];
	p->number = value[1];
}

void soak_lossless(void)
{
	struct reader *r = new_reader();

	SOAK_CHECK(!ms_queue_set_policy(r->fd, METASTORE_QUEUE_LOSSLESS));
	SOAK_CHECK(!ms_queue_set_len(r->fd, 8));
	subscribe(r, "wait/", 0);
	follow(r, 1024, rand() % 2, check_number);
	SOAK_CHECK(!r->subs[0].lost);
}

/* Of an atomic batch both events come, one right behind the other, of the same value. */
static void check_pair(const struct metastore_event *ev)
{
	static bool more;
	static __u64 first;
	__u64 value = 0;

	if (ev->type == METASTORE_EVENT_LOST) {
		more = false;
		return;
	}
	if (ev->type == METASTORE_EVENT_DELETED)
		return;
	SOAK_CHECK(ev->value_len == sizeof(value));
	memcpy(&value, ms_event_value(ev), sizeof(value));
	if (more)
		SOAK_CHECK(value == first && ms_event_key(ev)[5] == 'b');
	more = ev->flags & METASTORE_EVENT_F_MORE;
	first = value;
}

void soak_pair_reader(void)
{
	struct reader *r = new_reader();

	subscribe(r, "pair/", 0);
	follow(r, 4096, 0, check_pair);
}
