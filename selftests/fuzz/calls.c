// SPDX-License-Identifier: GPL-2.0
/* The calls that programs are made of */
#include "fuzz.h"

#define VALUES(...)	((const uint32_t[]){ __VA_ARGS__ })
#define DOMAIN(how_, ...) \
	{ .how = how_, .nr = ARRAY_SIZE(VALUES(__VA_ARGS__)), .values = VALUES(__VA_ARGS__) }

/* Slots 0, 1 and 2 are open from the start: the default store, a private one, groups. */
static const struct domain slot = DOMAIN(ONE_OF, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6);
static const struct domain new_slot = DOMAIN(ONE_OF, 3, 3, 3, 4, 4, 4, 5, 6);
static const struct domain stores = DOMAIN(ONE_OF, STORE_DEFAULT, STORE_ANY, STORE_ANY,
					   STORE_GROUPS);
static const struct domain open_flags = DOMAIN(ONE_OF, O_RDWR, O_RDWR | O_NONBLOCK,
	O_RDWR | O_NONBLOCK, O_RDWR | O_NONBLOCK, O_RDWR | O_NONBLOCK, O_RDONLY,
	O_RDONLY | O_NONBLOCK, O_WRONLY | O_NONBLOCK);
/* Few are used much, so that lanes meet. */
static const struct domain key = DOMAIN(ONE_OF, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9,
	10, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 31);
static const struct domain len = DOMAIN(ONE_OF, 0, 1, 15, 16, 17, 40, 40, 100, 400, 511, 512,
	513, 1000, 4000, 4096, 9000, 65536, 65537);
static const struct domain set_flags = DOMAIN(BITS_OF, METASTORE_F_CREATE, METASTORE_F_REPLACE,
	METASTORE_F_IF_VERSION, METASTORE_F_IF_VERSION, METASTORE_F_OWNED, METASTORE_F_STEAL,
	METASTORE_F_STEAL, METASTORE_F_PREVIOUS, METASTORE_F_PREVIOUS, METASTORE_F_KEEP_TTL, 0, 0);
static const struct domain publish_flags = DOMAIN(BITS_OF, METASTORE_F_CREATE,
	METASTORE_F_REPLACE, METASTORE_F_IF_VERSION, METASTORE_F_OWNED, METASTORE_F_STEAL,
	METASTORE_F_STEAL, METASTORE_F_WAIT, METASTORE_F_WAIT, METASTORE_F_PREVIOUS,
	METASTORE_F_KEEP_TTL, 0, 0);
static const struct domain delete_flags = DOMAIN(BITS_OF, METASTORE_F_IF_VERSION,
	METASTORE_F_STEAL, METASTORE_F_STEAL, METASTORE_F_PREVIOUS);
/* Version: 0, 1: what is known to be newest, 2: one older, 3: nonsense */
static const struct domain version = DOMAIN(ONE_OF, 1, 1, 1, 0, 2, 3);
static const struct domain ttl = DOMAIN(MOSTLY_FIRST, 0, 1, 2, 5, 20, 100000, 100000, ~0U);
static const struct domain new_ttl = DOMAIN(ONE_OF, 5, 20, 1000, 100000, 100000, 0, ~0U);
static const struct domain timeout = DOMAIN(ONE_OF, 0, 1, 3, 10, METASTORE_WAIT_FOREVER);
static const struct domain small = DOMAIN(ONE_OF, 0, 1, 2, 3, 4, 5, 8, 16);
static const struct domain wait_ms = DOMAIN(ONE_OF, 0, 0, 1, 2);
static const struct domain seed = DOMAIN(ONE_OF, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
static const struct domain nr = DOMAIN(ONE_OF, 0, 1, 2, 3, 4, 8, 8, 16, 28, 128, 129, 256, 257);
static const struct domain events = DOMAIN(BITS_OF, 7, 7, 7, 1, 2, 4, 8, 16, 32, 64, 0);
static const struct domain sub_flags = DOMAIN(BITS_OF, METASTORE_SUBSCRIBE_PREFIX,
	METASTORE_SUBSCRIBE_PREFIX, METASTORE_SUBSCRIBE_SNAPSHOT, METASTORE_SUBSCRIBE_NEWER,
	METASTORE_SUBSCRIBE_LATEST, METASTORE_SUBSCRIBE_LATEST, METASTORE_SUBSCRIBE_NO_VALUE,
	METASTORE_SUBSCRIBE_RESYNC, 0);
static const struct domain unsub_flags = DOMAIN(BITS_OF, METASTORE_SUBSCRIBE_PREFIX,
	METASTORE_SUBSCRIBE_DISCARD);
static const struct domain prefix_flag = DOMAIN(ONE_OF, 0, METASTORE_SUBSCRIBE_PREFIX);
static const struct domain prefix = DOMAIN(ONE_OF, 0, 0, 1, 2, 3, 5, 8, 254, 255, 256);
static const struct domain bucket = DOMAIN(MOSTLY_FIRST, METASTORE_ANY_BUCKET, 0, 1, 7, 64);
static const struct domain flush_flags = DOMAIN(BITS_OF, METASTORE_FLUSH_SUBSCRIPTIONS,
	METASTORE_FLUSH_STEAL, 0, 0, 0);
static const struct domain queue_flags = DOMAIN(BITS_OF, METASTORE_QUEUE_SET_LEN,
	METASTORE_QUEUE_SET_BYTES, METASTORE_QUEUE_SET_POLICY, 0);
static const struct domain queue_len = DOMAIN(ONE_OF, 1, 2, 3, 16, 64, 100, 4096, 5000, 0);
static const struct domain queue_bytes = DOMAIN(ONE_OF, 4096, 8192, 70000, 1000000, 16000000, 0);
static const struct domain map_pages = DOMAIN(ONE_OF, 1, 1, 2, 4, 16, 256, 0, 3);
static const struct domain map_parts = DOMAIN(ONE_OF, 3, 3, 3, 3, 1, 2);
static const struct domain tails = DOMAIN(ONE_OF, 0, 0, 0, 1, 2, 3, 4);
static const struct domain distance = DOMAIN(ONE_OF, 8, 56, 64, 128, 1, 4096, 65536, ~0U);
static const struct domain size = DOMAIN(ONE_OF, 65536, 65536, 131072, 4096, 1000, 200, 100, 57,
	56, 8, 0);
static const struct domain flag = DOMAIN(ONE_OF, 0, 1);
static const struct domain lane = DOMAIN(ONE_OF, 0, 1, 2, 3);
static const struct domain after = DOMAIN(ONE_OF, 0, 20, 100, 300, 1000, 3000);
static const struct domain nth = DOMAIN(ONE_OF, 1, 1, 2, 2, 3, 4, 5, 6, 8, 12);
static const struct domain kind = DOMAIN(ONE_OF, 0, 0, 1, 1, 2, 3, 4);
static const struct domain list_len = DOMAIN(ONE_OF, 65536, 131072, 512, 600, 4096, 511, 0);
static const struct domain list_flags = DOMAIN(ONE_OF, 0, METASTORE_LIST_VALUES);
static const struct domain get_flags = DOMAIN(ONE_OF, 0, 0, METASTORE_GET_INFO);
static const struct domain numbers = DOMAIN(ONE_OF, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15, 16, 17, 18, 255);

/* One pointer or length in so many */
const struct domain domain_mem = DOMAIN(MOSTLY_FIRST, 0,
	AT_STRUCT + NOWHERE, AT_STRUCT + UNMAPPED, AT_STRUCT + KERNEL, AT_STRUCT + EDGE,
	AT_STRUCT + FLIPPING, AT_STRUCT + READ_ONLY, AT_STRUCT + NON_CANONICAL, AT_STRUCT + ODD,
	AT_STRUCT + UNKNOWN_BITS, AT_STRUCT + SHORTER, AT_STRUCT + LONGER,
	AT_STRUCT + LONGER_DIRTY,
	AT_KEY + NOWHERE, AT_KEY + UNMAPPED, AT_KEY + KERNEL, AT_KEY + EDGE, AT_KEY + FLIPPING,
	AT_KEY + NON_CANONICAL, AT_KEY + ODD, AT_KEY + NO_LENGTH, AT_KEY + LONG_LENGTH,
	AT_KEY + HUGE_LENGTH,
	AT_VALUE + NOWHERE, AT_VALUE + UNMAPPED, AT_VALUE + KERNEL, AT_VALUE + EDGE,
	AT_VALUE + FLIPPING, AT_VALUE + READ_ONLY, AT_VALUE + NON_CANONICAL, AT_VALUE + ODD,
	AT_VALUE + NO_LENGTH, AT_VALUE + LONG_LENGTH, AT_VALUE + HUGE_LENGTH,
	AT_PREVIOUS + NOWHERE, AT_PREVIOUS + KERNEL, AT_PREVIOUS + EDGE, AT_PREVIOUS + FLIPPING,
	AT_PREVIOUS + READ_ONLY, AT_PREVIOUS + NO_LENGTH, AT_PREVIOUS + HUGE_LENGTH);

#define MEM		{ "mem", &domain_mem }

const struct call calls[] = {
	/* Descriptors */
	{ "open", 8, false, call_open,
	  { { "slot", &new_slot }, { "store", &stores }, { "flags", &open_flags } } },
	{ "reopen", 6, false, call_reopen,
	  { { "slot", &new_slot }, { "from", &slot }, { "flags", &open_flags }, MEM } },
	{ "create", 3, false, call_create,
	  { { "slot", &new_slot }, { "from", &slot }, { "buckets", &nr }, { "value", &len },
	    { "queue", &queue_len }, { "keys", &nr }, MEM } },
	{ "dup", 6, false, call_dup,
	  { { "slot", &new_slot }, { "from", &slot } } },
	{ "close", 8, false, call_close,
	  { { "slot", &new_slot } } },
	{ "send", 3, false, call_send,
	  { { "slot", &slot } } },
	{ "receive", 3, false, call_receive,
	  { { "slot", &new_slot } } },
	{ "nonblock", 2, false, call_nonblock,
	  { { "slot", &slot }, { "on", &flag } } },
	/* Keys */
	{ "set", 40, false, call_set,
	  { { "slot", &slot }, { "key", &key }, { "len", &len }, { "flags", &set_flags },
	    { "version", &version }, { "ttl", &ttl }, MEM } },
	{ "publish", 40, false, call_publish,
	  { { "slot", &slot }, { "key", &key }, { "len", &len }, { "flags", &publish_flags },
	    { "version", &version }, { "ttl", &ttl }, { "timeout", &timeout }, MEM } },
	{ "get", 24, false, call_get,
	  { { "slot", &slot }, { "key", &key }, { "len", &len }, { "flags", &get_flags }, MEM } },
	{ "stat", 6, false, call_stat,
	  { { "slot", &slot }, { "key", &key }, MEM } },
	{ "delete", 14, false, call_delete,
	  { { "slot", &slot }, { "key", &key }, { "flags", &delete_flags },
	    { "version", &version }, { "len", &len }, MEM } },
	{ "touch", 6, false, call_touch,
	  { { "slot", &slot }, { "key", &key }, { "version", &version },
	    { "ttl", &new_ttl }, MEM } },
	{ "list", 6, false, call_list,
	  { { "slot", &slot }, { "len", &list_len }, { "flags", &list_flags },
	    { "bucket", &bucket }, { "prefix", &prefix }, { "key", &key }, MEM } },
	{ "flush", 4, false, call_flush,
	  { { "slot", &slot }, { "prefix", &prefix }, { "bucket", &bucket },
	    { "flags", &flush_flags }, MEM } },
	{ "info", 4, false, call_info,
	  { { "slot", &slot }, { "bucket", &bucket }, MEM } },
	{ "bucket", 2, false, call_bucket,
	  { { "slot", &slot }, { "key", &key }, MEM } },
	{ "subscribers", 4, false, call_subscribers,
	  { { "slot", &slot }, { "key", &key }, MEM } },
	{ "batch", 16, false, call_batch,
	  { { "slot", &slot }, { "nr", &nr }, { "atomic", &flag }, { "seed", &seed }, MEM } },
	{ "group_change", 16, false, call_group_change,
	  { { "slot", &slot }, { "kind", &kind }, { "len", &len } } },
	{ "group_look", 16, false, call_group_look,
	  { { "slot", &slot } } },
	{ "raw", 3, true, call_raw,
	  { { "slot", &slot }, { "number", &numbers }, { "size", &size }, { "seed", &seed } } },
	/* Events */
	{ "subscribe", 32, false, call_subscribe,
	  { { "slot", &slot }, { "key", &key }, { "prefix", &prefix }, { "events", &events },
	    { "flags", &sub_flags }, { "version", &version }, MEM } },
	{ "unsubscribe", 8, false, call_unsubscribe,
	  { { "slot", &slot }, { "key", &key }, { "prefix", &prefix },
	    { "flags", &unsub_flags }, MEM } },
	{ "queue", 8, false, call_queue,
	  { { "slot", &slot }, { "flags", &queue_flags }, { "policy", &small },
	    { "len", &queue_len }, { "bytes", &queue_bytes }, MEM } },
	{ "subscription", 8, false, call_subscription,
	  { { "slot", &slot }, { "key", &key }, { "prefix", &prefix },
	    { "flags", &prefix_flag }, MEM } },
	{ "read", 40, false, call_read,
	  { { "slot", &slot }, { "size", &size }, MEM } },
	{ "readv", 6, false, call_readv,
	  { { "slot", &slot }, { "size", &size }, { "parts", &small }, MEM } },
	{ "poll", 5, false, call_poll,
	  { { "slot", &slot }, { "timeout", &wait_ms } } },
	{ "epoll_add", 4, false, call_epoll_add,
	  { { "slot", &slot }, { "how", &small } } },
	{ "epoll_wait", 4, false, call_epoll_wait,
	  { { "timeout", &wait_ms } } },
	{ "fionread", 3, false, call_fionread,
	  { { "slot", &slot } } },
	{ "uring_read", 5, false, call_uring_read,
	  { { "slot", &slot }, { "size", &size } } },
	{ "uring_reap", 4, false, call_uring_reap,
	  { { "timeout", &wait_ms } } },
	{ "fdinfo", 3, false, call_fdinfo,
	  { { "slot", &slot } } },
	{ "map", 10, false, call_map,
	  { { "slot", &slot }, { "pages", &map_pages }, { "parts", &map_parts } } },
	{ "tail", 20, false, call_tail,
	  { { "where", &tails }, { "distance", &distance } } },
	{ "remap", 2, false, call_remap,
	  { { "how", &small } } },
	{ "unmap", 4, false, call_unmap,
	  { } },
	/* Changes of memory and tasks around the calls */
	{ "protect", 16, true, call_protect,
	  { { "lane", &lane }, { "page", &small }, { "kind", &kind } } },
	{ "signal", 10, false, call_signal,
	  { { "lane", &lane }, { "after", &after } } },
	{ "kill", 3, true, call_kill,
	  { { "lane", &lane }, { "after", &after } } },
	{ "fail", 20, true, call_fail,
	  { { "nth", &nth } } },
	{ "cpu", 1, false, call_cpu,
	  { { "number", &flag }, { "on", &flag } } },
	{ "pause", 3, false, call_pause,
	  { { "after", &after } } },
	{ "pin", 3, false, call_pin,
	  { { "number", &flag } } },
	{ "fork", 1, false, call_fork,
	  { { "how", &flag }, { "after", &after } } },
};

const uint32_t nr_calls = ARRAY_SIZE(calls);
