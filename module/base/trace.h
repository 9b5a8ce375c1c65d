/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints. docs/tracing.md documents them for users; names, fields and their order are
 * stable. New fields go to the end.
 *
 * The bodies below are compiled in api/trace.c alone, which knows all structures. Here they
 * are only named, so that all rooms can call the tracepoints. While one is off it costs its
 * caller one nop: pass no argument that takes work to compute.
 *
 * Most are called under a lock: what happens to a key is traced under its bucket's, so that the
 * trace has the order of versions. The work is bounded by METASTORE_KEY_MAX.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM metastore

#if !defined(METASTORE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define METASTORE_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

struct metastore_batch;
struct metastore_change;
struct metastore_file;
struct metastore_flush;
struct metastore_key;
struct metastore_notice;
struct metastore_subscribe;
struct metastore_subscription;
struct metastore_subscriptions;
struct metastore_value;

/* Values of the field op. Plain numbers, which user space finds in the event's format. */
#define METASTORE_TRACE_SET		1
#define METASTORE_TRACE_PUBLISH		2
#define METASTORE_TRACE_DELETE		3
#define METASTORE_TRACE_FLUSH		4
#define METASTORE_TRACE_EXPIRE		5
#define METASTORE_TRACE_OWNER		6

/* Values of the field end: how a subscription ended */
#define METASTORE_TRACE_UNSUBSCRIBED	1
#define METASTORE_TRACE_FLUSHED		2
#define METASTORE_TRACE_CLOSED		3

#define METASTORE_TRACE_OP_WORD(op) \
	__print_symbolic(op, \
			 { METASTORE_TRACE_SET, "set" }, \
			 { METASTORE_TRACE_PUBLISH, "publish" }, \
			 { METASTORE_TRACE_DELETE, "delete" }, \
			 { METASTORE_TRACE_FLUSH, "flush" }, \
			 { METASTORE_TRACE_EXPIRE, "expire" }, \
			 { METASTORE_TRACE_OWNER, "owner" })

#define METASTORE_TRACE_END_WORD(end) \
	__print_symbolic(end, \
			 { METASTORE_TRACE_UNSUBSCRIBED, "unsubscribe" }, \
			 { METASTORE_TRACE_FLUSHED, "flush" }, \
			 { METASTORE_TRACE_CLOSED, "close" })

/*
 * A key, as text: all but printable ASCII is a backslash and three octal digits, as in fdinfo.
 * So every tool prints it safely, and filters and histograms take it for a string.
 */
#define METASTORE_TRACE_KEY(bytes, len) \
	__dynamic_array(char, key, trace_escape(NULL, 0, bytes, len) + 1)
#define METASTORE_TRACE_ASSIGN_KEY(bytes, len) \
	trace_escape(__get_dynamic_array(key), __get_dynamic_array_len(key), bytes, len)

TRACE_EVENT(metastore_get,
	    TP_PROTO(const struct metastore_file *file, const u8 *bytes, u32 key_len, u64 version,
		     u32 len, int ret),
	    TP_ARGS(file, bytes, key_len, version, len, ret),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     METASTORE_TRACE_KEY(bytes, key_len)
			     __field(u64, version)
			     __field(u32, len)
			     __field(int, ret)),
	    TP_fast_assign(__entry->store = file->store->id;
			   __entry->file = file->subs.id;
			   METASTORE_TRACE_ASSIGN_KEY(bytes, key_len);
			   __entry->version = version;
			   __entry->len = len;
			   __entry->ret = ret;),
	    TP_printk("store=%llu file=%llu key=%s version=%llu len=%u ret=%d",
		      __entry->store, __entry->file, __get_str(key), __entry->version, __entry->len,
		      __entry->ret)
);

/* Of a value that expires @file is 0; of one that goes with its owner, it is that. */
TRACE_EVENT(metastore_change,
	    TP_PROTO(const struct metastore_change *change, const struct metastore_value *old),
	    TP_ARGS(change, old),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     __field(u32, op)
			     METASTORE_TRACE_KEY(change->key->bytes, change->key->len)
			     __field(u64, version)
			     __field(u32, len)
			     __field(u32, flags)),
	    TP_fast_assign(__entry->store = change->key->bucket->store->id;
			   __entry->file = trace_file_of(change, old);
			   __entry->op = trace_op_of(change);
			   METASTORE_TRACE_ASSIGN_KEY(change->key->bytes, change->key->len);
			   __entry->version = change->version;
			   __entry->len = change->value ? change->value->len : 0;
			   __entry->flags = change->flags;),
	    TP_printk("store=%llu file=%llu op=%s key=%s version=%llu len=%u flags=%#x",
		      __entry->store, __entry->file,
		      METASTORE_TRACE_OP_WORD(__entry->op), __get_str(key),
		      __entry->version, __entry->len, __entry->flags)
);

/* A change that was not made */
TRACE_EVENT(metastore_refuse,
	    TP_PROTO(const struct metastore_change *change, int ret),
	    TP_ARGS(change, ret),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     __field(u32, op)
			     METASTORE_TRACE_KEY(change->key->bytes, change->key->len)
			     __field(u32, len)
			     __field(u32, flags)
			     __field(int, ret)),
	    TP_fast_assign(__entry->store = change->key->bucket->store->id;
			   __entry->file = trace_file_of(change, NULL);
			   __entry->op = trace_op_of(change);
			   METASTORE_TRACE_ASSIGN_KEY(change->key->bytes, change->key->len);
			   __entry->len = change->value ? change->value->len : 0;
			   __entry->flags = change->flags;
			   __entry->ret = ret;),
	    TP_printk("store=%llu file=%llu op=%s key=%s len=%u flags=%#x ret=%d",
		      __entry->store, __entry->file,
		      METASTORE_TRACE_OP_WORD(__entry->op), __get_str(key),
		      __entry->len, __entry->flags, __entry->ret)
);

TRACE_EVENT(metastore_touch,
	    TP_PROTO(const struct metastore_change *change, u64 ttl, int ret),
	    TP_ARGS(change, ttl, ret),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     METASTORE_TRACE_KEY(change->key->bytes, change->key->len)
			     __field(u64, version)
			     __field(u64, ttl)
			     __field(int, ret)),
	    TP_fast_assign(__entry->store = change->key->bucket->store->id;
			   __entry->file = trace_file_of(change, NULL);
			   METASTORE_TRACE_ASSIGN_KEY(change->key->bytes, change->key->len);
			   __entry->version = change->version;
			   __entry->ttl = ttl;
			   __entry->ret = ret;),
	    TP_printk("store=%llu file=%llu key=%s version=%llu ttl=%llu ret=%d",
		      __entry->store, __entry->file, __get_str(key), __entry->version, __entry->ttl,
		      __entry->ret)
);

/* A delivery that is complete; none is made for a key without a subscriber. */
TRACE_EVENT(metastore_delivery,
	    TP_PROTO(const struct metastore_notice *notice, u32 queues),
	    TP_ARGS(notice, queues),
	    TP_STRUCT__entry(__field(u64, store)
			     METASTORE_TRACE_KEY(notice->key->bytes, notice->key->len)
			     __field(u64, version)
			     __field(u32, queues)),
	    TP_fast_assign(__entry->store = notice->key->bucket->store->id;
			   METASTORE_TRACE_ASSIGN_KEY(notice->key->bytes, notice->key->len);
			   __entry->version = notice->record.version;
			   __entry->queues = queues;),
	    TP_printk("store=%llu key=%s version=%llu queues=%u",
		      __entry->store, __get_str(key), __entry->version, __entry->queues)
);

/* @key is the key or prefix of the subscription. @lost counts all that it lost so far. */
TRACE_EVENT(metastore_loss,
	    TP_PROTO(const struct metastore_subscription *sub),
	    TP_ARGS(sub),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     METASTORE_TRACE_KEY(sub->topic->node.key, sub->topic->node.key_len)
			     __field(u64, cookie)
			     __field(u64, lost)),
	    TP_fast_assign(__entry->store = sub->subs->store->id;
			   __entry->file = sub->subs->id;
			   METASTORE_TRACE_ASSIGN_KEY(sub->topic->node.key,
						      sub->topic->node.key_len);
			   __entry->cookie = sub->cookie;
			   __entry->lost = sub->books.lost;),
	    TP_printk("store=%llu file=%llu key=%s cookie=%llu lost=%llu",
		      __entry->store, __entry->file, __get_str(key), __entry->cookie, __entry->lost)
);

/* One that begins, or begins anew, is traced under the topic's lock: it gets what comes behind. */
TRACE_EVENT(metastore_subscribe,
	    TP_PROTO(const struct metastore_subscriptions *subs, const struct metastore_key *name,
		     const struct metastore_subscribe *args, int ret),
	    TP_ARGS(subs, name, args, ret),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     METASTORE_TRACE_KEY(name->bytes, name->len)
			     __field(u64, cookie)
			     __field(u32, events)
			     __field(u32, flags)
			     __field(int, ret)),
	    TP_fast_assign(__entry->store = subs->store->id;
			   __entry->file = subs->id;
			   METASTORE_TRACE_ASSIGN_KEY(name->bytes, name->len);
			   __entry->cookie = args->cookie;
			   __entry->events = args->events;
			   __entry->flags = args->flags;
			   __entry->ret = ret;),
	    TP_printk("store=%llu file=%llu key=%s cookie=%llu events=%#x flags=%#x ret=%d",
		      __entry->store, __entry->file, __get_str(key), __entry->cookie,
		      __entry->events, __entry->flags, __entry->ret)
);

/* The end of a subscription, however it came */
TRACE_EVENT(metastore_unsubscribe,
	    TP_PROTO(const struct metastore_subscription *sub, u32 end),
	    TP_ARGS(sub, end),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     METASTORE_TRACE_KEY(sub->topic->node.key, sub->topic->node.key_len)
			     __field(u64, cookie)
			     __field(u32, flags)
			     __field(u32, end)),
	    TP_fast_assign(__entry->store = sub->subs->store->id;
			   __entry->file = sub->subs->id;
			   METASTORE_TRACE_ASSIGN_KEY(sub->topic->node.key,
						      sub->topic->node.key_len);
			   __entry->cookie = sub->cookie;
			   __entry->flags = sub->flags;
			   __entry->end = end;),
	    TP_printk("store=%llu file=%llu key=%s cookie=%llu flags=%#x end=%s",
		      __entry->store, __entry->file, __get_str(key), __entry->cookie,
		      __entry->flags, METASTORE_TRACE_END_WORD(__entry->end))
);

/* After its operations, which are traced too. @failed: as in struct metastore_batch */
TRACE_EVENT(metastore_batch,
	    TP_PROTO(const struct metastore_file *file, const struct metastore_batch *batch,
		     int ret),
	    TP_ARGS(file, batch, ret),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     __field(u32, nr)
			     __field(u32, failed)
			     __field(u32, flags)
			     __field(int, ret)),
	    TP_fast_assign(__entry->store = file->store->id;
			   __entry->file = file->subs.id;
			   __entry->nr = batch->nr;
			   __entry->failed = batch->failed;
			   __entry->flags = batch->flags;
			   __entry->ret = ret;),
	    TP_printk("store=%llu file=%llu nr=%u failed=%u flags=%#x ret=%d",
		      __entry->store, __entry->file, __entry->nr, __entry->failed, __entry->flags,
		      __entry->ret)
);

/* After its changes and ends of subscriptions, which are traced too. @key is the prefix. */
TRACE_EVENT(metastore_flush,
	    TP_PROTO(const struct metastore_file *file, const u8 *prefix,
		     const struct metastore_flush *args, int ret),
	    TP_ARGS(file, prefix, args, ret),
	    TP_STRUCT__entry(__field(u64, store)
			     __field(u64, file)
			     METASTORE_TRACE_KEY(prefix, args->prefix_len)
			     __field(u64, values)
			     __field(u64, subscriptions)
			     __field(u32, flags)
			     __field(int, ret)),
	    TP_fast_assign(__entry->store = file->store->id;
			   __entry->file = file->subs.id;
			   METASTORE_TRACE_ASSIGN_KEY(prefix, args->prefix_len);
			   __entry->values = args->values;
			   __entry->subscriptions = args->subscriptions;
			   __entry->flags = args->flags;
			   __entry->ret = ret;),
	    TP_printk("store=%llu file=%llu key=%s values=%llu subscriptions=%llu flags=%#x ret=%d",
		      __entry->store, __entry->file, __get_str(key), __entry->values,
		      __entry->subscriptions, __entry->flags, __entry->ret)
);

#endif /* METASTORE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH base
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
