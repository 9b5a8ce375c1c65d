/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of /dev/metastore share. They talk to it by ioctl() and
 * read() alone, so that a fault of the library cannot hide one of the module.
 *
 * Functions return 0 or a number, or a negative errno, so that a test can say
 * EXPECT_EQ(-ENOENT, ms_get(...)) and a failure shows the errno there was.
 */
#ifndef METASTORE_TEST_H
#define METASTORE_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <linux/metastore.h>

#include "slowness.h"

#define DEVICE		"/dev/metastore"

/* What [out] fields and buffers hold before a call */
#define POISON		0xcc
#define POISON32	0xccccccccU
#define POISON64	0xccccccccccccccccULL

#define EVENTS_ALL	(METASTORE_EVENT_PUBLISHED | METASTORE_EVENT_SET | \
			 METASTORE_EVENT_DELETED)

#define SECOND		1000000000ULL

static inline __u64 ms_ptr(const void *p)
{
	return (uintptr_t)p;
}

static inline int ms_ioctl(int fd, unsigned long command, void *arg)
{
	int ret = ioctl(fd, command, arg);

	return ret < 0 ? -errno : ret;
}

/* The command of the same number for a struct of another size */
static inline unsigned long ms_resized(unsigned long command, size_t size)
{
	return _IOC(_IOC_DIR(command), _IOC_TYPE(command), _IOC_NR(command), size);
}

static inline int ms_store(int fd, unsigned long command, const void *key, __u32 key_len,
			   const void *value, __u32 value_len, struct metastore_set *arg)
{
	*arg = (struct metastore_set) {
		.key = ms_ptr(key),
		.value = ms_ptr(value),
		.key_len = key_len,
		.value_len = value_len,
		.queues = POISON32,
		.version = POISON64,
	};
	return ms_ioctl(fd, command, arg);
}

/* @version may be NULL, here and below */
static inline int ms_setn(int fd, const void *key, __u32 key_len, const void *value,
			  __u32 value_len, __u64 *version)
{
	struct metastore_set arg;
	int ret = ms_store(fd, METASTORE_IOC_SET, key, key_len, value, value_len, &arg);

	if (version)
		*version = arg.version;
	return ret;
}

static inline int ms_set(int fd, const char *key, const char *value, __u64 *version)
{
	return ms_setn(fd, key, strlen(key), value, strlen(value), version);
}

/* Returns how many queues took the event */
static inline int ms_publishn(int fd, const void *key, __u32 key_len, const void *value,
			      __u32 value_len, __u64 *version)
{
	struct metastore_set arg;
	int ret = ms_store(fd, METASTORE_IOC_PUBLISH, key, key_len, value, value_len, &arg);

	if (version)
		*version = arg.version;
	return ret ?: (int)arg.queues;
}

static inline int ms_publish(int fd, const char *key, const char *value, __u64 *version)
{
	return ms_publishn(fd, key, strlen(key), value, strlen(value), version);
}

/* Returns the length of the value; the rest of the buffer holds POISON */
static inline int ms_getn(int fd, const void *key, __u32 key_len, void *buf, __u32 size,
			  __u64 *version)
{
	struct metastore_get arg = {
		.key = ms_ptr(key),
		.value = ms_ptr(buf),
		.key_len = key_len,
		.value_len = size,
		.version = POISON64,
	};
	int ret;

	if (size)
		memset(buf, POISON, size);
	ret = ms_ioctl(fd, METASTORE_IOC_GET, &arg);
	if (version)
		*version = arg.version;
	return ret ?: (int)arg.value_len;
}

static inline int ms_get(int fd, const char *key, void *buf, __u32 size, __u64 *version)
{
	return ms_getn(fd, key, strlen(key), buf, size, version);
}

/* The value as a string for EXPECT_STREQ, or the name of the errno */
static inline const char *ms_str(int fd, const char *key)
{
	static char buf[256];
	int len = ms_get(fd, key, buf, sizeof(buf) - 1, NULL);

	if (len < 0)
		return strerrorname_np(-len);
	buf[len] = '\0';
	return buf;
}

static inline __u64 ms_version(int fd, const char *key)
{
	char buf[256];
	__u64 version;

	return ms_get(fd, key, buf, sizeof(buf), &version) < 0 ? 0 : version;
}

/*
 * SET or PUBLISH of strings, with the flags, the version and the time to live that
 * @arg has
 */
static inline int ms_store_with(int fd, unsigned long command, const char *key,
				const char *value, struct metastore_set *arg)
{
	arg->key = ms_ptr(key);
	arg->value = ms_ptr(value);
	arg->key_len = strlen(key);
	arg->value_len = strlen(value);
	arg->queues = POISON32;
	return ms_ioctl(fd, command, arg);
}

/* @version: the one that is asked for, then the one that came back */
static inline int ms_set_if(int fd, const char *key, const char *value, __u32 flags,
			    __u64 *version)
{
	struct metastore_set arg = {
		.flags = flags,
		.version = version ? *version : POISON64,
	};
	int ret = ms_store_with(fd, METASTORE_IOC_SET, key, value, &arg);

	if (version)
		*version = arg.version;
	return ret;
}

static inline int ms_own(int fd, const char *key, const char *value, __u64 *version)
{
	struct metastore_set arg = { .flags = METASTORE_F_OWNED, .version = POISON64 };
	int ret = ms_store_with(fd, METASTORE_IOC_SET, key, value, &arg);

	if (version)
		*version = arg.version;
	return ret;
}

static inline int ms_set_ttl(int fd, const char *key, const char *value, __u64 ttl,
			     __u64 *version)
{
	struct metastore_set arg = { .version = POISON64, .ttl = ttl };
	int ret = ms_store_with(fd, METASTORE_IOC_SET, key, value, &arg);

	if (version)
		*version = arg.version;
	return ret;
}

static inline int ms_deleten(int fd, const void *key, __u32 key_len, __u64 *version)
{
	struct metastore_delete arg = {
		.key = ms_ptr(key),
		.key_len = key_len,
		.version = POISON64,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_DELETE, &arg);

	if (version)
		*version = arg.version;
	return ret;
}

static inline int ms_delete(int fd, const char *key, __u64 *version)
{
	return ms_deleten(fd, key, strlen(key), version);
}

/* @version as in ms_set_if() */
static inline int ms_touch(int fd, const char *key, __u64 ttl, __u32 flags, __u64 *version)
{
	struct metastore_touch arg = {
		.key = ms_ptr(key),
		.key_len = strlen(key),
		.flags = flags,
		.version = version ? *version : POISON64,
		.ttl = ttl,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_TOUCH, &arg);

	if (version)
		*version = arg.version;
	return ret;
}

/* @version as in ms_set_if() */
static inline int ms_delete_if(int fd, const char *key, __u32 flags, __u64 *version)
{
	struct metastore_delete arg = {
		.key = ms_ptr(key),
		.key_len = strlen(key),
		.flags = flags,
		.version = version ? *version : POISON64,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_DELETE, &arg);

	if (version)
		*version = arg.version;
	return ret;
}

static inline int ms_subscriben(int fd, const void *key, __u32 key_len, __u32 events,
				__u64 cookie)
{
	struct metastore_subscribe arg = {
		.key = ms_ptr(key),
		.key_len = key_len,
		.events = events,
		.cookie = cookie,
	};

	return ms_ioctl(fd, METASTORE_IOC_SUBSCRIBE, &arg);
}

static inline int ms_subscribe(int fd, const char *key, __u32 events, __u64 cookie)
{
	return ms_subscriben(fd, key, strlen(key), events, cookie);
}

/* With the mask, the cookie, the flags and the version that @arg has */
static inline int ms_subscribe_with(int fd, const char *key, struct metastore_subscribe arg)
{
	arg.key = ms_ptr(key);
	arg.key_len = strlen(key);
	return ms_ioctl(fd, METASTORE_IOC_SUBSCRIBE, &arg);
}

/* ms_subscribe_as(fd, key, .flags = …, .events = …, …) */
#define ms_subscribe_as(fd, key, ...) \
	ms_subscribe_with(fd, key, (struct metastore_subscribe) { __VA_ARGS__ })

static inline int ms_subscribe_prefixn(int fd, const void *prefix, __u32 len, __u32 events,
				       __u64 cookie)
{
	struct metastore_subscribe arg = {
		.key = ms_ptr(prefix),
		.key_len = len,
		.events = events,
		.cookie = cookie,
		.flags = METASTORE_SUBSCRIBE_PREFIX,
	};

	return ms_ioctl(fd, METASTORE_IOC_SUBSCRIBE, &arg);
}

static inline int ms_subscribe_prefix(int fd, const char *prefix, __u32 events, __u64 cookie)
{
	return ms_subscribe_prefixn(fd, prefix, strlen(prefix), events, cookie);
}

static inline int ms_unsubscribe_prefixn(int fd, const void *prefix, __u32 len)
{
	struct metastore_unsubscribe arg = {
		.key = ms_ptr(prefix),
		.key_len = len,
		.flags = METASTORE_SUBSCRIBE_PREFIX,
	};

	return ms_ioctl(fd, METASTORE_IOC_UNSUBSCRIBE, &arg);
}

static inline int ms_unsubscribe_prefix(int fd, const char *prefix)
{
	return ms_unsubscribe_prefixn(fd, prefix, strlen(prefix));
}

static inline int ms_unsubscriben(int fd, const void *key, __u32 key_len)
{
	struct metastore_unsubscribe arg = {
		.key = ms_ptr(key),
		.key_len = key_len,
	};

	return ms_ioctl(fd, METASTORE_IOC_UNSUBSCRIBE, &arg);
}

static inline int ms_unsubscribe(int fd, const char *key)
{
	return ms_unsubscriben(fd, key, strlen(key));
}

static inline int ms_subscribers(int fd, const char *key)
{
	struct metastore_subscribers arg = {
		.key = ms_ptr(key),
		.key_len = strlen(key),
		.subscribers = POISON32,
	};

	return ms_ioctl(fd, METASTORE_IOC_SUBSCRIBERS, &arg) ?: (int)arg.subscribers;
}

static inline int ms_bucketn(int fd, const void *key, __u32 key_len)
{
	struct metastore_key_bucket arg = {
		.key = ms_ptr(key),
		.key_len = key_len,
		.bucket = POISON32,
		.buckets = POISON32,
	};

	return ms_ioctl(fd, METASTORE_IOC_BUCKET, &arg) ?: (int)arg.bucket;
}

static inline int ms_bucket(int fd, const char *key)
{
	return ms_bucketn(fd, key, strlen(key));
}

static inline int ms_stat(int fd, const char *key, struct metastore_stat *arg)
{
	memset(arg, POISON, sizeof(*arg));
	arg->key = ms_ptr(key);
	arg->key_len = strlen(key);
	arg->flags = 0;
	arg->reserved = 0;
	arg->reserved2 = 0;
	return ms_ioctl(fd, METASTORE_IOC_STAT, arg);
}

/* METASTORE_OWNER_* */
static inline int ms_owner(int fd, const char *key)
{
	struct metastore_stat st;

	return ms_stat(fd, key, &st) ?: (int)st.owner;
}

static inline int ms_info(int fd, __u32 bucket, struct metastore_info *arg)
{
	memset(arg, POISON, sizeof(*arg));
	arg->bucket = bucket;
	arg->flags = 0;
	return ms_ioctl(fd, METASTORE_IOC_INFO, arg);
}

/* What there is of the queue */
static inline int ms_queue(int fd, struct metastore_queue_info *arg)
{
	memset(arg, POISON, sizeof(*arg));
	arg->flags = 0;
	return ms_ioctl(fd, METASTORE_IOC_QUEUE, arg);
}

static inline int ms_queue_set_len(int fd, __u32 len)
{
	struct metastore_queue_info arg = {
		.flags = METASTORE_QUEUE_SET_LEN,
		.policy = POISON32,
		.max_len = len,
		.max_bytes = POISON32,
	};

	return ms_ioctl(fd, METASTORE_IOC_QUEUE, &arg);
}

static inline int ms_queue_set_bytes(int fd, __u32 bytes)
{
	struct metastore_queue_info arg = {
		.flags = METASTORE_QUEUE_SET_BYTES,
		.policy = POISON32,
		.max_len = POISON32,
		.max_bytes = bytes,
	};

	return ms_ioctl(fd, METASTORE_IOC_QUEUE, &arg);
}

static inline int ms_queue_set_policy(int fd, __u32 policy)
{
	struct metastore_queue_info arg = {
		.flags = METASTORE_QUEUE_SET_POLICY,
		.policy = policy,
		.max_len = POISON32,
		.max_bytes = POISON32,
	};

	return ms_ioctl(fd, METASTORE_IOC_QUEUE, &arg);
}

/* @flags: METASTORE_SUBSCRIBE_PREFIX or 0 */
static inline int ms_subscription(int fd, const char *key, __u32 flags,
				  struct metastore_subscription_info *arg)
{
	memset(arg, POISON, sizeof(*arg));
	arg->key = ms_ptr(key);
	arg->key_len = strlen(key);
	arg->flags = flags;
	arg->reserved = 0;
	return ms_ioctl(fd, METASTORE_IOC_SUBSCRIPTION, arg);
}

/* How many keys there are */
static inline int ms_keys(int fd)
{
	struct metastore_info info;

	return ms_info(fd, METASTORE_ANY_BUCKET, &info) ?: (int)info.keys;
}

static inline int ms_flush(int fd, const char *prefix, __u32 bucket, __u32 flags,
			   struct metastore_flush *arg)
{
	*arg = (struct metastore_flush) {
		.prefix = ms_ptr(prefix),
		.prefix_len = prefix ? strlen(prefix) : 0,
		.bucket = bucket,
		.flags = flags,
		.values = POISON64,
		.subscriptions = POISON64,
	};
	return ms_ioctl(fd, METASTORE_IOC_FLUSH, arg);
}

/* An empty store, whatever the test before left */
static inline int ms_reset(int fd)
{
	struct metastore_flush arg;

	return ms_flush(fd, NULL, METASTORE_ANY_BUCKET,
			METASTORE_FLUSH_SUBSCRIPTIONS | METASTORE_FLUSH_STEAL, &arg);
}

static inline int ms_open(int flags)
{
	int fd = open(DEVICE, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A descriptor on a new store; what @limits does not say is as in the store of @fd */
static inline int ms_create(int fd, __u32 open_flags, struct metastore_create limits)
{
	limits.open_flags = open_flags | O_CLOEXEC;
	return ms_ioctl(fd, METASTORE_IOC_CREATE, &limits);
}

/* A further descriptor on the same store */
static inline int ms_reopen(int fd, __u32 open_flags)
{
	struct metastore_open arg = { .open_flags = open_flags | O_CLOEXEC };

	return ms_ioctl(fd, METASTORE_IOC_OPEN, &arg);
}

static inline int ms_batch(int fd, struct metastore_op *ops, __u32 nr, __u32 flags,
			   __u32 *failed)
{
	struct metastore_batch arg = {
		.ops = ms_ptr(ops),
		.nr = nr,
		.op_size = sizeof(*ops),
		.flags = flags,
		.failed = POISON32,
	};
	int ret;
	__u32 i;

	for (i = 0; i < nr; i++)
		ops[i].result = POISON32;
	ret = ms_ioctl(fd, METASTORE_IOC_BATCH, &arg);
	if (failed)
		*failed = arg.failed;
	return ret;
}

/* The operations of a batch; flags and version, if wanted, are set afterwards */
static inline struct metastore_op ms_op(__u32 op, const char *key, const void *value,
					__u32 value_len)
{
	return (struct metastore_op) {
		.op = op,
		.key = ms_ptr(key),
		.value = ms_ptr(value),
		.key_len = strlen(key),
		.value_len = value_len,
	};
}

static inline struct metastore_op ms_op_get(const char *key, void *buf, __u32 size)
{
	return ms_op(METASTORE_OP_GET, key, buf, size);
}

static inline struct metastore_op ms_op_set(const char *key, const char *value)
{
	return ms_op(METASTORE_OP_SET, key, value, strlen(value));
}

static inline struct metastore_op ms_op_publish(const char *key, const char *value)
{
	return ms_op(METASTORE_OP_PUBLISH, key, value, strlen(value));
}

static inline struct metastore_op ms_op_delete(const char *key)
{
	return ms_op(METASTORE_OP_DELETE, key, NULL, 0);
}

/* So many open files, each subscribed to the key, with its number as the cookie */
static inline int ms_open_many(int *fds, int count, const char *key, __u32 events)
{
	int i, ret;

	for (i = 0; i < count; i++) {
		fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
		if (fds[i] < 0)
			return fds[i];
		ret = ms_subscribe(fds[i], key, events, i);
		if (ret)
			return ret;
	}
	return 0;
}

static inline void ms_close_many(int *fds, int count)
{
	while (count--)
		close(fds[count]);
}

static inline int ms_send_fd(int sock, int fd)
{
	char c = 0, control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static inline int ms_receive_fd(int sock)
{
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static inline struct metastore_op ms_op_if(struct metastore_op op, __u64 version)
{
	op.flags |= METASTORE_F_IF_VERSION;
	op.version = version;
	return op;
}

/* The size of the next record */
static inline int ms_pending(int fd)
{
	int size = POISON;

	return ms_ioctl(fd, FIONREAD, &size) ?: size;
}

static inline int ms_poll(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int ret = poll(&pfd, 1, timeout_ms);

	return ret < 0 ? -errno : ret ? pfd.revents : 0;
}

/* Not read(): the compiler knows that one, and that NULL is no buffer */
static inline ssize_t ms_read(int fd, void *buf, size_t size)
{
	ssize_t ret = syscall(SYS_read, fd, buf, size);

	return ret < 0 ? -errno : ret;
}

/* Of an event with METASTORE_EVENT_F_OWNER alone */
static inline struct metastore_owner_end ms_event_end(const struct metastore_event *ev)
{
	return *(const struct metastore_owner_end *)(ev + 1);
}

/* Of what may be none */
static inline int ms_event_type(const struct metastore_event *ev)
{
	return ev ? ev->type : -errno;
}

static inline const char *ms_event_key(const struct metastore_event *ev)
{
	return (const char *)ev + ev->header_len;
}

static inline const char *ms_event_value(const struct metastore_event *ev)
{
	return ms_event_key(ev) + ev->key_len;
}

/* Why it was deleted is one thing at most, and only DELETE and FLUSH take from an owner */
static inline bool ms_flags_valid(const struct metastore_event *ev)
{
	__u16 flags = ev->flags & ~(METASTORE_EVENT_F_MORE | METASTORE_EVENT_F_NO_VALUE);

	if (ev->flags & METASTORE_EVENT_F_NO_VALUE && ev->value_len)
		return false;
	switch (flags) {
	case 0:
	case METASTORE_EVENT_F_STOLEN:
		return true;
	case METASTORE_EVENT_F_FLUSH:
	case METASTORE_EVENT_F_FLUSH | METASTORE_EVENT_F_STOLEN:
	case METASTORE_EVENT_F_EXPIRED:
	case METASTORE_EVENT_F_OWNER:
		/* None of these is an operation of a batch */
		return ev->type == METASTORE_EVENT_DELETED &&
		       !(ev->flags & METASTORE_EVENT_F_MORE);
	}
	return false;
}

/* Whether the record keeps the promises of the header and ends within @left bytes */
static inline bool ms_event_valid(const struct metastore_event *ev, size_t left)
{
	size_t size = sizeof(*ev);
	const char *pad;

	if (left < size || ev->len > left)
		return false;
	if (ev->flags & METASTORE_EVENT_F_OWNER)
		size += sizeof(struct metastore_owner_end);
	if (ev->header_len != size)
		return false;
	size += ev->key_len + ev->value_len;
	if (ev->len != (size + 7) / 8 * 8)
		return false;
	for (pad = (const char *)ev + size; pad < (const char *)ev + ev->len; pad++)
		if (*pad)
			return false;
	switch (ev->type) {
	case METASTORE_EVENT_PUBLISHED:
	case METASTORE_EVENT_SET:
	case METASTORE_EVENT_DELETED:
		return ev->version && ev->key_len && ev->time && ms_flags_valid(ev);
	case METASTORE_EVENT_SNAPSHOT:
		return ev->version && ev->key_len && ev->time && ms_flags_valid(ev) &&
		       !(ev->flags & ~METASTORE_EVENT_F_NO_VALUE);
	case METASTORE_EVENT_SNAPSHOT_END:
		return !ev->version && !ev->key_len && !ev->value_len && !ev->time &&
		       !ev->tgid && !ev->uid && !ev->flags;
	case METASTORE_EVENT_LOST:
		return ev->count && !ev->key_len && !ev->value_len && !ev->time && !ev->tgid &&
		       !ev->uid && !ev->flags;
	case METASTORE_EVENT_FLUSHED:
		return ev->count && !ev->key_len && !ev->value_len && !ev->time && !ev->tgid &&
		       !ev->uid && !ev->flags && !ev->cookie;
	}
	return false;
}

/* Reads as much as there is, hands it out record by record */
struct ms_reader {
	int fd;
	size_t size;
	size_t pos;
	size_t len;
	char *buf;
};

#define MS_READER_SIZE	(128 * 1024)

static inline struct ms_reader ms_reader(int fd, size_t size)
{
	return (struct ms_reader) { .fd = fd, .size = size, .buf = malloc(size) };
}

/* NULL, and errno, when there is none; EBADMSG: one that no module may send */
static inline const struct metastore_event *ms_next(struct ms_reader *r)
{
	const struct metastore_event *ev;
	ssize_t ret;

	if (r->pos == r->len) {
		r->pos = 0;
		r->len = 0;
		memset(r->buf, POISON, r->size < 4096 ? r->size : 4096);
		ret = read(r->fd, r->buf, r->size);
		if (ret < 0)
			return NULL;
		if (!ret) {
			errno = EBADMSG;
			return NULL;
		}
		r->len = ret;
	}
	ev = (const void *)(r->buf + r->pos);
	if (!ms_event_valid(ev, r->len - r->pos)) {
		errno = EBADMSG;
		return NULL;
	}
	r->pos += ev->len;
	return ev;
}

/* Waits for a record that comes from elsewhere */
static inline bool ms_await(struct ms_reader *r)
{
	return r->pos < r->len || ms_poll(r->fd, ms_limit(20000)) == POLLIN;
}

struct ms_want {
	__u16 type;
	__u16 flags;
	__u64 cookie;
	__u64 version;		/* or count; 0: it is not known, but above @newer */
	__u64 newer;
	const char *key;
	const char *value;
	struct metastore_owner_end end;	/* with METASTORE_EVENT_F_OWNER */
};

static inline bool ms_event_is(const struct metastore_event *ev, const struct ms_want *want)
{
	const char *key = want->key ?: "";
	const char *value = want->value ?: "";

	if (ev->flags & METASTORE_EVENT_F_OWNER &&
	    memcmp(ev + 1, &want->end, sizeof(want->end)))
		return false;
	if (want->type == METASTORE_EVENT_SNAPSHOT_END ? ev->version :
	    want->version ? ev->version != want->version : ev->version <= want->newer)
		return false;
	return ev->type == want->type && ev->flags == want->flags &&
	       ev->cookie == want->cookie &&
	       ev->key_len == strlen(key) && ev->value_len == strlen(value) &&
	       !memcmp(ms_event_key(ev), key, ev->key_len) &&
	       !memcmp(ms_event_value(ev), value, ev->value_len);
}

#ifndef MS_NO_HARNESS
static inline void ms_expect_event(struct __test_metadata *_metadata, int line,
				   struct ms_reader *r, struct ms_want want)
{
	const struct metastore_event *ev = ms_next(r);

	if (!ev) {
		TH_LOG("line %d: no event: %s", line, strerrorname_np(errno));
		_metadata->exit_code = KSFT_FAIL;
		return;
	}
	if (ms_event_is(ev, &want))
		return;
	TH_LOG("line %d: wanted type %#x flags %#x cookie %#llx version %llu \"%s\"=\"%s\"", line,
	       want.type, want.flags, want.cookie, want.version, want.key ?: "", want.value ?: "");
	TH_LOG("line %d: got    type %#x flags %#x cookie %#llx version %llu \"%.*s\"=\"%.*s\"",
	       line, ev->type, ev->flags, ev->cookie, ev->version, ev->key_len, ms_event_key(ev),
	       ev->value_len < 64 ? ev->value_len : 64, ms_event_value(ev));
	if (ev->flags & METASTORE_EVENT_F_OWNER)
		TH_LOG("its owner: tgid %d how %u code %u", ms_event_end(ev).tgid,
		       ms_event_end(ev).how, ms_event_end(ev).code);
	_metadata->exit_code = KSFT_FAIL;
}

/* EXPECT_EVENT(&reader, .type = …, .cookie = …, …) */
#define EXPECT_EVENT(reader, ...) \
	ms_expect_event(_metadata, __LINE__, reader, (struct ms_want) { __VA_ARGS__ })

#endif

/* As above, for a value whose owner is gone; the arguments say how */
#define MS_ENDED(...) \
	.type = METASTORE_EVENT_DELETED, .flags = METASTORE_EVENT_F_OWNER, .end = { __VA_ARGS__ }

/* By all three ways to ask; @fd is non-blocking */
static inline bool ms_silent(int fd)
{
	char buf[sizeof(struct metastore_event)];

	return ms_poll(fd, 0) == 0 && ms_pending(fd) == 0 &&
	       ms_read(fd, buf, sizeof(buf)) == -EAGAIN;
}

/* What one subscription's reader has to show for itself */
struct ms_books {
	__u64 received;
	__u64 lost;
	__u64 flushed;
	__u64 ends;		/* of snapshots */
	__u64 last;		/* version */
	__u64 disorder;		/* events not above the version before */
};

/* Takes all that waits. Returns 0, or an errno other than EAGAIN, negative. */
static inline int ms_drain(struct ms_reader *r, struct ms_books *books)
{
	const struct metastore_event *ev;

	while ((ev = ms_next(r))) {
		switch (ev->type) {
		case METASTORE_EVENT_LOST:
			books->lost += ev->count;
			break;
		case METASTORE_EVENT_FLUSHED:
			books->flushed += ev->count;
			break;
		case METASTORE_EVENT_SNAPSHOT_END:
			books->ends++;
			break;
		default:
			books->received++;
			books->disorder += ev->version <= books->last;
			books->last = ev->version;
		}
	}
	return errno == EAGAIN ? 0 : -errno;
}

/* Counts what a read() that may have met a fault has delivered */
static inline int ms_count(const char *buf, ssize_t len, struct ms_books *books)
{
	const struct metastore_event *ev;
	ssize_t pos;

	for (pos = 0; pos < len; pos += ev->len) {
		ev = (const void *)(buf + pos);
		if (!ms_event_valid(ev, len - pos))
			return -EBADMSG;
		if (ev->type == METASTORE_EVENT_LOST)
			books->lost += ev->count;
		else if (ev->type == METASTORE_EVENT_FLUSHED)
			books->flushed += ev->count;
		else if (ev->type == METASTORE_EVENT_SNAPSHOT_END)
			books->ends++;
		else
			books->received++;
	}
	return 0;
}

/* A number that show_fdinfo() tells; -1: it does not */
static inline long long ms_fdinfo(int fd, const char *field)
{
	char path[64], line[256], name[64];
	long long number, found = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[^:]: %lld", name, &number) == 2 && !strcmp(name, field))
			found = number;
	fclose(f);
	return found;
}

/* Control groups */
#define MS_CGROUP	"/sys/fs/cgroup"

static inline int ms_cgroup_write(const char *group, const char *file, long long number)
{
	char path[256], text[32];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	snprintf(text, sizeof(text), "%lld", number);
	fd = open(path, O_WRONLY);
	ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* The number in a file of a group: after @name, or the first one if @name is empty; -1: none */
static inline long long ms_cgroup_read(const char *group, const char *file, const char *name)
{
	char path[256], line[256];
	long long number = -1;
	size_t len = strlen(name);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, len) || (len && line[len] != ' '))
			continue;
		number = strtoll(line + len, NULL, 10);
		break;
	}
	fclose(f);
	return number;
}

static inline __u64 ms_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Until this moment of CLOCK_BOOTTIME is over, by which lifetimes are counted */
static inline void ms_wait_until(__u64 boottime)
{
	struct timespec ts = { .tv_sec = boottime / SECOND, .tv_nsec = boottime % SECOND };

	while (ms_now(CLOCK_BOOTTIME) <= boottime)
		clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &ts, NULL);
}

static inline void ms_sleep(__u64 ns)
{
	struct timespec ts = { .tv_sec = ns / SECOND, .tv_nsec = ns % SECOND };

	nanosleep(&ts, NULL);
}

/* A child that does not outlive a test that failed */
static inline pid_t ms_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static inline int ms_schedule(int policy, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	return sched_setscheduler(0, policy, &param) ? -errno : 0;
}

/* From here on the process has that CPU alone, as its children will */
static inline int ms_on_cpu(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus) ? -errno : 0;
}

static inline int ms_one_cpu(void)
{
	return ms_on_cpu(0);
}

/*
 * Forks a child on the same CPU and of a lower rank: it goes on only while we sleep,
 * however busy the machine is. Returns as fork() does.
 */
static inline pid_t ms_fork_below(void)
{
	pid_t pid;

	if (ms_one_cpu() || ms_schedule(SCHED_FIFO, 1))
		return -1;
	pid = ms_fork();
	if (!pid && ms_schedule(SCHED_OTHER, 0))
		_exit(1);
	return pid;
}

/* The exit status of the child; -1 if it had none */
static inline int ms_join(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/*
 * Until readers who may be on a value that is gone by now are through: this waits for a
 * grace period of RCU.
 */
static inline int ms_await_readers(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}

/* Zeroed memory that children share */
static inline void *ms_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* @pages that can be used, with one behind them that cannot */
static inline char *ms_guarded(size_t pages)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p + pages * page, page))
		return NULL;
	return p;
}

/* As ps has it: R, S, D, Z, …; 0: there is no such process */
static inline char ms_state(pid_t pid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state;
}

/* Waits until the child sleeps, which it does in the call under test */
static inline bool ms_asleep(pid_t pid)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);
	char state;

	while ((state = ms_state(pid)) && ms_now(CLOCK_MONOTONIC) < end) {
		if (state == 'S')
			return true;
		ms_sleep(SECOND / 1000);
	}
	return false;
}

#endif /* METASTORE_TEST_H */
