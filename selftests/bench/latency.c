// SPDX-License-Identifier: GPL-2.0
/*
 * The longest section of each operation: with a spinlock held, in an RCU section, or with
 * preemption off. Each is done at its largest size, while others subscribed, queued and
 * wait as much as they may. The module measures it itself, see sections.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <linux/metastore_map.h>

#include "../flood.h"
#include "../ring.h"
#include "store.h"

#define SECTIONS	"/sys/module/metastore/parameters/sections"

/* In build/out: all places of each row, for the one who mends them */
#define DETAILS		"latency.txt"

/* Open files that subscribe; those that are served in one section. */
#define CROWD		65536
#define FEW		64

/* Keys that go at once, and those of a large store. */
#define MANY_KEYS	(100 * BATCH)
#define MOST_KEYS	(1000 * BATCH)

/* Events in a queue that holds as many as it may; files with one, as memory allows. */
#define FULL_LEN	(METASTORE_QUEUE_FACTOR * QUEUE_LEN)
#define FULL_FILES	512

/* Events that the program of a mapped ring has passed, and that one push removes */
#define RING_PASSED	16

/* A mapped ring, with room for FULL_LEN events of a short key */
#define RING_SIZE	(2 << 20)

/* A value that a mapped store has in an entry of another size than VALUE_LEN, with any key */
#define MOVED_LEN	(VALUE_LEN + METASTORE_MAP_CLASS)

/* The largest that a mapped store has with a key of an atomic batch */
#define MIRRORED_MAX	384

/* Publishers that wait; those that publish the same key meanwhile. */
#define WAITING		2000
#define RIVALS		8

/* The first time memory has to be found, the second time it is there. */
#define TRIES		2

#define LONG		METASTORE_KEY_MAX

/* Bytes of a key of the largest atomic batch */
#define ATOMIC_LEN	(METASTORE_ATOMIC_KEYS / METASTORE_ATOMIC_MAX)

#define ALL_EVENTS \
	(METASTORE_EVENT_PUBLISHED | METASTORE_EVENT_SET | METASTORE_EVENT_DELETED)

static char long_key[LONG];
static int crowd[CROWD];
static unsigned int nr_crowd;
static int watching = -1;
static int alone = -1;

/* All sections as the module tells of them, the longest first. */
static void read_sections(char *text, size_t size)
{
	int file = open(SECTIONS, O_RDONLY | O_CLOEXEC);
	ssize_t len = file < 0 ? -1 : read(file, text, size - 1);

	if (len < 0)
		die(SECTIONS);
	text[len] = '\0';
	close(file);
}

static void keep_details(const struct row *row, const char *text)
{
	const char *out = getenv("OUT");
	char path[4096];
	FILE *file;

	if (!out)
		return;
	snprintf(path, sizeof(path), "%s/" DETAILS, out);
	file = fopen(path, "a");
	if (!file)
		die(path);
	fprintf(file, "%s\n%s\n", row->name, text);
	fclose(file);
}

/* The length of the longest section; its places are in row_note then. */
static double read_longest(const struct row *row)
{
	char text[8192], how[32], from[128], code[128], until[128];
	double instructions;
	bool inlined;

	read_sections(text, sizeof(text));
	if (sscanf(text, "%31[^\t]\t%lf\t%127[^\t]\t%127[^\t]\t%127[^\n]", how, &instructions,
		   from, code, until) != 5)
		die("%s: no section", row->name);
	keep_details(row, text);
	code[strcspn(code, " ")] = '\0';
	inlined = strncmp(from, code, strcspn(from, ":"));
	snprintf(row_note, sizeof(row_note), "%s %s%s%s, until %s", how, from,
		 inlined ? " in " : "", inlined ? code : "", until);
	return instructions;
}

static void forget_sections(void)
{
	int file = open(SECTIONS, O_WRONLY | O_CLOEXEC);

	if (file < 0 || write(file, "\n", 1) != 1)
		die(SECTIONS);
	close(file);
}

/* The longest section of an operation and of what the kernel puts off until later. */
static double longest(const struct row *row)
{
	char note[sizeof(row_note)] = "";
	double most = 0, now;
	unsigned int i;

	for (i = 0; i < (row->batch ?: TRIES); i++) {
		if (row->prepare)
			row->prepare(row, i);
		pause_ms(100);
		forget_sections();
		row->run(row, i);
		pause_ms(500);
		now = read_longest(row);
		if (now > most) {
			most = now;
			memcpy(note, row_note, sizeof(note));
		}
	}
	memcpy(row_note, note, sizeof(note));
	return most;
}

/* Descriptors, subscriptions and queues */

static void begin(void)
{
	const struct rlimit files = { 2 * CROWD, 2 * CROWD };

	if (setrlimit(RLIMIT_NOFILE, &files))
		die("setrlimit");
	open_store();
	memset(long_key, 'k', LONG);
	memcpy(long_key, news, KEY_LEN);
}

static void sub(int to, const char *key, unsigned int len, uint32_t flags)
{
	struct metastore_subscribe args = {
		.key = address(key),
		.key_len = len,
		.flags = flags,
		.events = flags & METASTORE_SUBSCRIBE_RESYNC ? 0 : ALL_EVENTS,
	};

	if (ioctl(to, METASTORE_IOC_SUBSCRIBE, &args))
		die("SUBSCRIBE");
}

static void unsub(int to, const char *key, unsigned int len, uint32_t flags)
{
	struct metastore_unsubscribe args = {
		.key = address(key),
		.key_len = len,
		.flags = flags,
	};

	if (ioctl(to, METASTORE_IOC_UNSUBSCRIBE, &args))
		die("UNSUBSCRIBE");
}

static void queue(int of, uint32_t len, uint32_t bytes, uint32_t policy)
{
	struct metastore_queue_info args = {
		.flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_BYTES |
			 METASTORE_QUEUE_SET_POLICY,
		.max_len = len,
		.max_bytes = bytes,
		.policy = policy,
	};

	if (ioctl(of, METASTORE_IOC_QUEUE, &args))
		die("QUEUE");
}

static void store_long(unsigned long command, size_t size, uint32_t flags)
{
	struct metastore_set args = {
		.key = address(long_key),
		.value = address(bench_value),
		.key_len = LONG,
		.value_len = size,
		.flags = flags,
		.timeout = flags & METASTORE_F_WAIT ? METASTORE_WAIT_FOREVER : 0,
		.previous = { .value = address(buffer), .len = sizeof(buffer) },
	};

	if (ioctl(fd, command, &args))
		die("SET or PUBLISH");
}

static void delete_long(uint32_t flags)
{
	struct metastore_delete args = {
		.key = address(long_key),
		.key_len = LONG,
		.flags = flags,
		.previous = { .value = address(buffer), .len = sizeof(buffer) },
	};

	if (ioctl(fd, METASTORE_IOC_DELETE, &args))
		die("DELETE");
}

static void drain(int from)
{
	while (read(from, buffer, sizeof(buffer)) > 0)
		;
}

static void crowd_open(unsigned int nr)
{
	begin();
	while (nr_crowd < nr)
		crowd[nr_crowd++] = open_device();
}

static void crowd_close(const struct row *row)
{
	(void)row;
	while (nr_crowd)
		close(crowd[--nr_crowd]);
	if (watching >= 0)
		close(watching);
	watching = -1;
	empty_store();
}

static void crowd_subscribe(const struct row *row)
{
	struct epoll_event event = { .events = EPOLLIN };
	unsigned int i;

	crowd_open(row->subscribers);
	if (row->epoll)
		watching = epoll_create1(EPOLL_CLOEXEC);
	for (i = 0; i < nr_crowd; i++) {
		sub(crowd[i], long_key, row->flags & METASTORE_SUBSCRIBE_PREFIX ? KEY_LEN : LONG,
		    row->flags);
		if (row->epoll && epoll_ctl(watching, EPOLL_CTL_ADD, crowd[i], &event))
			die("epoll_ctl");
	}
}

static void alone_close(const struct row *row)
{
	(void)row;
	close(alone);
	alone = -1;
	empty_store();
}

/* One key and its value */

static void begin_only(const struct row *row)
{
	(void)row;
	begin();
}

static void run_get(const struct row *row, unsigned int n)
{
	struct metastore_get args = {
		.key = address(long_key),
		.value = address(buffer),
		.key_len = LONG,
		.value_len = sizeof(buffer),
		.flags = METASTORE_GET_INFO,
	};

	(void)row;
	(void)n;
	store_long(METASTORE_IOC_SET, VALUE_MAX, 0);
	set(news, VALUE_LEN);
	if (ioctl(fd, METASTORE_IOC_GET, &args))
		die("GET");
	get(news, VALUE_LEN);
}

static void run_set(const struct row *row, unsigned int n)
{
	struct metastore_touch touch = {
		.key = address(long_key),
		.key_len = LONG,
		.ttl = 1000000,
	};
	struct metastore_set args = {
		.key = address(long_key),
		.value = address(bench_value),
		.key_len = LONG,
		.value_len = VALUE_MAX,
		.flags = METASTORE_F_OWNED,
		.ttl = 1000000,
	};

	(void)row;
	(void)n;
	store_long(METASTORE_IOC_SET, VALUE_MAX, 0);
	store_long(METASTORE_IOC_SET, VALUE_MAX, METASTORE_F_PREVIOUS);
	store_long(METASTORE_IOC_PUBLISH, VALUE_MAX, 0);
	if (ioctl(fd, METASTORE_IOC_SET, &args) || ioctl(fd, METASTORE_IOC_TOUCH, &touch))
		die("SET or TOUCH");
}

static void run_delete(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	store_long(METASTORE_IOC_SET, VALUE_MAX, 0);
	delete_long(METASTORE_F_PREVIOUS);
}

/* A value that its owner subscribed to goes to another owner. */
static void steal_setup(const struct row *row)
{
	(void)row;
	begin();
	alone = open_device();
	sub(alone, long_key, LONG, 0);
}

static void run_steal(const struct row *row, unsigned int n)
{
	int thief = fd;

	(void)row;
	(void)n;
	fd = alone;
	store_long(METASTORE_IOC_SET, VALUE_MAX, METASTORE_F_OWNED);
	fd = thief;
	store_long(METASTORE_IOC_SET, VALUE_MAX, METASTORE_F_OWNED | METASTORE_F_STEAL);
	delete_long(METASTORE_F_PREVIOUS);
}

/* Publishing to many */

static void run_publish_long(const struct row *row, unsigned int n)
{
	(void)n;
	store_long(METASTORE_IOC_PUBLISH, row->size, 0);
}

/* Queues of so few events that they are soon full. */
static void crowd_full(const struct row *row)
{
	unsigned int i;

	crowd_subscribe(row);
	for (i = 0; i < nr_crowd; i++)
		queue(crowd[i], 2, METASTORE_QUEUE_FACTOR * QUEUE_BYTES,
		      METASTORE_QUEUE_DROP_OLDEST);
	for (i = 0; i < 3; i++)
		store_long(METASTORE_IOC_PUBLISH, VALUE_LEN, 0);
}

/* Queues with room for many small events, which larger ones drop that follow */
static void make_small(void)
{
	struct metastore_subscribe args = {
		.key = address("s"),
		.key_len = 1,
	};
	unsigned int i;

	for (i = 0; i < nr_crowd; i++) {
		queue(crowd[i], FULL_LEN, QUEUE_BYTES, METASTORE_QUEUE_DROP_OLDEST);
		if (ioctl(crowd[i], METASTORE_IOC_SUBSCRIBE, &args))
			die("SUBSCRIBE");
	}
}

static void crowd_drops(const struct row *row)
{
	crowd_subscribe(row);
	make_small();
}

static void publish_small(unsigned int nr)
{
	struct metastore_set args = {
		.key = address("s"),
		.key_len = 1,
	};

	while (nr--)
		if (ioctl(fd, METASTORE_IOC_PUBLISH, &args))
			die("PUBLISH");
}

static void fill_drops(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	publish_small(FULL_LEN);
}

/* Prefixes that conflate: a full queue of other keys, whose index is searched. */
static void crowd_latest(const struct row *row)
{
	char key[KEY_LEN];
	unsigned int i;

	crowd_open(row->subscribers);
	for (i = 0; i < nr_crowd; i++)
		sub(crowd[i], "news", 4,
		    METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_LATEST);
	for (i = 0; i < row->keys; i++) {
		bench_key(key, "news", i);
		publish(key, 0);
	}
}

static void crowd_lossless(const struct row *row)
{
	unsigned int i;

	crowd_subscribe(row);
	for (i = 0; i < nr_crowd; i++)
		queue(crowd[i], QUEUE_LEN, QUEUE_BYTES, METASTORE_QUEUE_LOSSLESS);
}

static int open_waiting(void)
{
	int new = open("/dev/metastore", O_RDWR | O_CLOEXEC);

	if (new < 0)
		die("/dev/metastore");
	return new;
}

static void run_publish_wait_long(const struct row *row, unsigned int n)
{
	int nonblocking = fd;

	(void)n;
	fd = open_waiting();
	store_long(METASTORE_IOC_PUBLISH, row->size, METASTORE_F_WAIT);
	close(fd);
	fd = nonblocking;
}

/* Others that publish the same key: a writer of a busy key completes the delivery first. */
static void *publish_thread(void *arg)
{
	const struct row *row = arg;

	store_long(METASTORE_IOC_PUBLISH, row->size, 0);
	return NULL;
}

static void run_threads(pthread_t *threads, unsigned int nr, void *(*start)(void *),
			const void *arg)
{
	pthread_attr_t attr;
	unsigned int i;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (i = 0; i < nr; i++)
		if (pthread_create(&threads[i], &attr, start, (void *)arg))
			die("pthread_create");
	pthread_attr_destroy(&attr);
}

static void join_threads(const pthread_t *threads, unsigned int nr)
{
	while (nr)
		pthread_join(threads[--nr], NULL);
}

static void run_publish_rivals(const struct row *row, unsigned int n)
{
	pthread_t threads[RIVALS];

	(void)n;
	run_threads(threads, RIVALS, publish_thread, row);
	join_threads(threads, RIVALS);
}

/* Publishers that wait for one queue, and are woken when it is read. */
static int wait_fd = -1;
static pthread_t waiting[WAITING];

static void *wait_thread(void *arg)
{
	struct metastore_set args = {
		.key = address(news),
		.key_len = KEY_LEN,
		.flags = METASTORE_F_WAIT,
		.timeout = METASTORE_WAIT_FOREVER,
	};

	(void)arg;
	if (ioctl(wait_fd, METASTORE_IOC_PUBLISH, &args))
		die("PUBLISH");
	return NULL;
}

static void wait_setup(const struct row *row)
{
	(void)row;
	begin();
	alone = open_device();
	wait_fd = open_waiting();
	queue(alone, 2 * WAITING, METASTORE_QUEUE_FACTOR * QUEUE_BYTES, METASTORE_QUEUE_LOSSLESS);
	sub(alone, news, KEY_LEN, 0);
}

static void wait_prepare(const struct row *row, unsigned int n)
{
	unsigned int i;

	(void)row;
	(void)n;
	for (i = 0; i < 2 * WAITING; i++)
		publish(news, 0);
	run_threads(waiting, WAITING, wait_thread, NULL);
	pause_ms(1000);
}

static void wait_run(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	drain(alone);
	join_threads(waiting, WAITING);
	drain(alone);
}

static void wait_close(const struct row *row)
{
	close(wait_fd);
	alone_close(row);
}

static void close_wait_prepare(const struct row *row, unsigned int n)
{
	if (alone < 0)
		wait_setup(row);
	wait_prepare(row, n);
}

static void close_wait_run(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	close(alone);
	alone = -1;
	join_threads(waiting, WAITING);
	close(wait_fd);
}

/* Prefixes */

/* Each file has the key and all its prefixes. */
static void crowd_prefixes(const struct row *row)
{
	unsigned int i, len;

	crowd_open(row->subscribers);
	for (i = 0; i < nr_crowd; i++) {
		sub(crowd[i], long_key, LONG, 0);
		for (len = 1; len <= LONG; len++)
			sub(crowd[i], long_key, len, METASTORE_SUBSCRIBE_PREFIX);
	}
}

/* A prefix that leaves the key at each of its bits. */
static void other_prefixes(const struct row *row)
{
	char key[LONG];
	unsigned int i;

	(void)row;
	begin();
	alone = open_device();
	for (i = 0; i < 8 * LONG; i++) {
		memcpy(key, long_key, LONG);
		key[i / 8] ^= 0x80 >> i % 8;
		sub(alone, key, i / 8 + 1, METASTORE_SUBSCRIBE_PREFIX);
	}
}

static void run_stat(const struct row *row, unsigned int n)
{
	struct metastore_stat stat = {
		.key = address(long_key),
		.key_len = LONG,
	};
	struct metastore_subscribers count = {
		.key = address(long_key),
		.key_len = LONG,
	};
	struct metastore_info info = { .bucket = METASTORE_ANY_BUCKET };

	(void)n;
	store_long(METASTORE_IOC_SET, row->size, 0);
	if (ioctl(fd, METASTORE_IOC_STAT, &stat) ||
	    ioctl(fd, METASTORE_IOC_SUBSCRIBERS, &count) || ioctl(fd, METASTORE_IOC_INFO, &info))
		die("STAT, SUBSCRIBERS or INFO");
}

/* Atomic batches */

static char atomic_keys[METASTORE_ATOMIC_MAX][ATOMIC_LEN];
static unsigned int atomic_len = ATOMIC_LEN;

static void choose_atomic(void)
{
	unsigned int i;

	for (i = 0; i < METASTORE_ATOMIC_MAX; i++) {
		memset(atomic_keys[i], 'a', ATOMIC_LEN);
		bench_key(atomic_keys[i], "atom", i);
	}
}

static void atomic_begin(void)
{
	begin();
	choose_atomic();
}

static void crowd_atomic(const struct row *row)
{
	unsigned int i, key;

	atomic_begin();
	crowd_open(row->subscribers);
	for (i = 0; i < nr_crowd; i++)
		for (key = 0; key < METASTORE_ATOMIC_MAX; key++)
			sub(crowd[i], atomic_keys[key], ATOMIC_LEN, row->flags);
}

/* Files that have all prefixes of all keys: they hear of each change that often. */
static void crowd_atomic_prefixes(const struct row *row)
{
	unsigned int i, key, len;

	crowd_atomic(row);
	for (i = 0; i < nr_crowd; i++)
		for (key = 0; key < METASTORE_ATOMIC_MAX; key++)
			for (len = key ? KEY_LEN : 1; len <= ATOMIC_LEN; len++)
				sub(crowd[i], atomic_keys[key], len, METASTORE_SUBSCRIBE_PREFIX);
}

static void run_batch(uint32_t op, size_t size)
{
	struct metastore_op ops[METASTORE_ATOMIC_MAX];
	struct metastore_batch args = {
		.ops = address(ops),
		.nr = METASTORE_ATOMIC_MAX,
		.op_size = sizeof(ops[0]),
		.flags = METASTORE_BATCH_ATOMIC,
	};
	unsigned int i;

	for (i = 0; i < METASTORE_ATOMIC_MAX; i++)
		ops[i] = (struct metastore_op) {
			.op = op,
			.key = address(atomic_keys[i]),
			.value = op == METASTORE_OP_DELETE ? 0 : address(buffer),
			.key_len = atomic_len,
			.value_len = op == METASTORE_OP_DELETE ? 0 : size,
		};
	if (ioctl(fd, METASTORE_IOC_BATCH, &args) || args.failed != args.nr)
		die("BATCH");
}

static void run_atomic(const struct row *row, unsigned int n)
{
	(void)n;
	run_batch(METASTORE_OP_SET, row->size);
	run_batch(METASTORE_OP_PUBLISH, row->size);
	run_batch(METASTORE_OP_GET, sizeof(buffer));
	run_batch(METASTORE_OP_DELETE, 0);
}

/* Half of the threads publish one of the batch's keys. */
static void *atomic_thread(void *arg)
{
	static unsigned int number;
	struct metastore_set args = {
		.key = address(atomic_keys[0]),
		.key_len = ATOMIC_LEN,
	};

	(void)arg;
	if (__atomic_fetch_add(&number, 1, __ATOMIC_RELAXED) % 2)
		run_batch(METASTORE_OP_SET, 0);
	else if (ioctl(fd, METASTORE_IOC_PUBLISH, &args))
		die("PUBLISH");
	return NULL;
}

static void run_atomic_rivals(const struct row *row, unsigned int n)
{
	pthread_t threads[RIVALS];

	(void)n;
	run_threads(threads, RIVALS, atomic_thread, row);
	join_threads(threads, RIVALS);
}

/* All subscribe to the same key of the batch. */
static void crowd_atomic_one(const struct row *row)
{
	unsigned int i;

	atomic_begin();
	crowd_open(row->subscribers);
	for (i = 0; i < nr_crowd; i++)
		sub(crowd[i], atomic_keys[0], ATOMIC_LEN, 0);
}

/* The same, but none wants what the batch does to it. */
static void crowd_atomic_deaf(const struct row *row)
{
	struct metastore_subscribe args = {
		.key = address(atomic_keys[0]),
		.key_len = ATOMIC_LEN,
		.events = METASTORE_EVENT_PUBLISHED,
	};
	unsigned int i;

	atomic_begin();
	crowd_open(row->subscribers);
	for (i = 0; i < nr_crowd; i++)
		if (ioctl(crowd[i], METASTORE_IOC_SUBSCRIBE, &args))
			die("SUBSCRIBE");
}

static void run_atomic_deaf(const struct row *row, unsigned int n)
{
	struct metastore_op op = {
		.op = METASTORE_OP_SET,
		.key = address(atomic_keys[0]),
		.key_len = ATOMIC_LEN,
	};
	struct metastore_batch args = {
		.ops = address(&op),
		.nr = 1,
		.op_size = sizeof(op),
		.flags = METASTORE_BATCH_ATOMIC,
	};

	(void)row;
	(void)n;
	if (ioctl(fd, METASTORE_IOC_BATCH, &args))
		die("BATCH");
}

/* An open file with its queue and its subscriptions */

/* A queue of as many events as it may hold, of keys of their own. */
static void full_setup(const struct row *row)
{
	(void)row;
	begin();
	alone = open_device();
	queue(alone, FULL_LEN, METASTORE_QUEUE_FACTOR * QUEUE_BYTES, METASTORE_QUEUE_DROP_OLDEST);
	sub(alone, "full", 4, METASTORE_SUBSCRIBE_PREFIX | row->flags);
}

static void full_prepare(const struct row *row, unsigned int n)
{
	char key[KEY_LEN];
	unsigned int i;

	(void)n;
	drain(alone);
	for (i = 0; i < row->keys; i++) {
		bench_key(key, "full", i);
		publish(key, 0);
	}
}

/* A full queue, half of whose events are of another subscription. */
static void mixed_setup(const struct row *row)
{
	full_setup(row);
	sub(alone, "", 0, METASTORE_SUBSCRIBE_PREFIX);
}

static void run_read(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	drain(alone);
}

static void run_resync(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	sub(alone, "full", 4, METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_RESYNC);
}

static void run_discard(const struct row *row, unsigned int n)
{
	(void)n;
	unsub(alone, "full", 4, METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_DISCARD);
	sub(alone, "full", 4, METASTORE_SUBSCRIBE_PREFIX | row->flags);
}

/* A queue that becomes larger, and then so small that it drops all it has. */
static void run_queue(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	queue(alone, FULL_LEN - 1, METASTORE_QUEUE_FACTOR * QUEUE_BYTES,
	      METASTORE_QUEUE_DROP_OLDEST);
	queue(alone, 1, 4096, METASTORE_QUEUE_DROP_OLDEST);
	queue(alone, FULL_LEN, METASTORE_QUEUE_FACTOR * QUEUE_BYTES, METASTORE_QUEUE_DROP_OLDEST);
}

/* The first subscription that conflates indexes what the queue holds. */
static void run_subscribe_move(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	sub(alone, "f", 1, METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_LATEST);
	unsub(alone, "f", 1, METASTORE_SUBSCRIBE_PREFIX);
}

/* One that keeps its latest event has a place in the queue, which was full. */
static void run_subscribe_latest(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	sub(alone, long_key, LONG, METASTORE_SUBSCRIBE_LATEST);
	unsub(alone, long_key, LONG, 0);
}

static void move_prepare(const struct row *row, unsigned int n)
{
	if (alone >= 0)
		close(alone);
	full_setup(row);
	full_prepare(row, n);
}

static void run_snapshot_read(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	sub(alone, "", 0, METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_SNAPSHOT);
	drain(alone);
	unsub(alone, "", 0, METASTORE_SUBSCRIBE_PREFIX);
}

/* A file with as many subscriptions as it may have */
static void subscriptions_prepare(const struct row *row, unsigned int n)
{
	char key[KEY_LEN];
	unsigned int i;

	(void)n;
	begin();
	if (alone < 0)
		alone = open_device();
	for (i = 0; i < row->keys; i++) {
		bench_key(key, "subs", i);
		sub(alone, key, KEY_LEN, i % 2 ? METASTORE_SUBSCRIBE_PREFIX : 0);
	}
}

static void subscriptions_setup(const struct row *row)
{
	subscriptions_prepare(row, 0);
}

static void run_close(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	close(alone);
	alone = -1;
}

static void run_subscribe(const struct row *row, unsigned int n)
{
	char key[KEY_LEN];
	unsigned int i;

	(void)row;
	(void)n;
	for (i = 0; i < BATCH; i++) {
		bench_key(key, "more", i);
		sub(alone, key, KEY_LEN, METASTORE_SUBSCRIBE_PREFIX);
		unsub(alone, key, KEY_LEN, METASTORE_SUBSCRIBE_PREFIX);
	}
}

static void run_fdinfo(const struct row *row, unsigned int n)
{
	char path[64];
	int file;

	(void)row;
	(void)n;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", alone);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		die(path);
	drain(file);
	close(file);
}

static void run_flush_subscriptions(const struct row *row, unsigned int n)
{
	struct metastore_flush args = {
		.bucket = METASTORE_ANY_BUCKET,
		.flags = METASTORE_FLUSH_SUBSCRIPTIONS,
	};

	(void)row;
	(void)n;
	if (ioctl(fd, METASTORE_IOC_FLUSH, &args))
		die("FLUSH");
}

static void crowd_prepare(const struct row *row, unsigned int n)
{
	(void)n;
	crowd_subscribe(row);
}

/* Many keys */

static void set_many(int by, const struct row *row, uint32_t flags, uint64_t end_ms)
{
	struct metastore_set args = {
		.value = address(bench_value),
		.key_len = KEY_LEN,
		.value_len = VALUE_LEN,
		.flags = flags,
	};
	char key[KEY_LEN];
	struct timespec ts;
	unsigned int i;

	args.key = address(key);
	for (i = 0; i < row->keys; i++) {
		bench_key(key, "many", i);
		if (end_ms) {
			clock_gettime(CLOCK_BOOTTIME, &ts);
			args.ttl = end_ms - ts.tv_sec * 1000 - ts.tv_nsec / 1000000;
		}
		if (ioctl(by, METASTORE_IOC_SET, &args))
			die("SET");
	}
}

static void keys_prepare(const struct row *row, unsigned int n)
{
	(void)n;
	begin();
	set_many(fd, row, 0, 0);
}

static void keys_setup(const struct row *row)
{
	keys_prepare(row, 0);
}

static void owner_prepare(const struct row *row, unsigned int n)
{
	(void)n;
	begin();
	alone = open_device();
	set_many(alone, row, METASTORE_F_OWNED, 0);
}

static void run_flush(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	empty_store();
}

/* All end at the same time, so long from now that they are stored by then. */
static void run_expiry(const struct row *row, unsigned int n)
{
	struct metastore_info info = { .bucket = METASTORE_ANY_BUCKET };
	struct timespec ts;

	(void)n;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	set_many(fd, row, 0, ts.tv_sec * 1000 + 10000);
	pause_ms(15000);
	if (ioctl(fd, METASTORE_IOC_INFO, &info) || info.keys)
		die("%u keys do not end", (unsigned int)info.keys);
}

/* A private store in place of the device's */
static int shared_fd = -1;

static void open_private(uint32_t flags, uint32_t buckets)
{
	struct metastore_create args = {
		.flags = flags,
		.open_flags = O_RDWR | O_CLOEXEC | O_NONBLOCK,
		.buckets = buckets,
	};

	begin();
	shared_fd = fd;
	fd = ioctl(shared_fd, METASTORE_IOC_CREATE, &args);
	if (fd < 0)
		die("CREATE");
}

static void close_private(const struct row *row)
{
	(void)row;
	close(fd);
	fd = shared_fd;
}

/* A table that is as large as the whole store */
static void one_bucket(const struct row *row)
{
	(void)row;
	open_private(0, 1);
}

static void run_grow(const struct row *row, unsigned int n)
{
	(void)n;
	set_many(fd, row, 0, 0);
}

static void run_list(const struct row *row, unsigned int n)
{
	struct metastore_list args = {
		.buffer = address(buffer),
		.bucket = METASTORE_ANY_BUCKET,
		.flags = row->flags,
	};
	const struct metastore_list_entry *entry;
	char cursor[METASTORE_KEY_MAX];
	unsigned int i;
	size_t at;

	(void)n;
	args.cursor = address(cursor);
	do {
		args.buffer_len = sizeof(buffer);
		if (ioctl(fd, METASTORE_IOC_LIST, &args))
			die("LIST");
		for (i = 0, at = 0; i < args.entries; i++, at += entry->len) {
			entry = (const void *)(buffer + at);
			args.cursor_len = entry->key_len;
			memcpy(cursor, buffer + at + entry->header_len, entry->key_len);
		}
	} while (args.entries);
}

/* A prefix that no key has: each call looks for one as long as it may. */
static void run_list_prefix(const struct row *row, unsigned int n)
{
	struct metastore_list args = {
		.prefix = address("none"),
		.prefix_len = 4,
		.buffer = address(buffer),
		.buffer_len = sizeof(buffer),
		.bucket = METASTORE_ANY_BUCKET,
	};

	(void)row;
	(void)n;
	if (ioctl(fd, METASTORE_IOC_LIST, &args))
		die("LIST");
}

/* One chain of as many keys as somebody wants. */
static void run_flood(const struct row *row, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		set(new_keys[i], VALUE_LEN);
		get(keys[i], VALUE_LEN);
		delete(new_keys[i]);
	}
	run_list(row, n);
	run_list_prefix(row, n);
}

/* Mapped stores */

static void open_mapped(const struct row *row)
{
	(void)row;
	open_private(METASTORE_CREATE_MAPPED, 0);
}

static void one_mapped_bucket(const struct row *row)
{
	(void)row;
	open_private(METASTORE_CREATE_MAPPED, 1);
}

static void mapped_atomic(const struct row *row)
{
	open_mapped(row);
	choose_atomic();
}

/* Keys in as many chains as a batch fills. Whoever maps a store knows the seed of its hash. */
static void mapped_atomic_flood(const struct row *row)
{
	const struct metastore_map_header *header;
	unsigned int i;

	open_mapped(row);
	header = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, METASTORE_MAP_STORE);
	if (header == MAP_FAILED)
		die("mmap");
	atomic_len = FLOOD_KEY_LEN;
	for (i = 0; i < METASTORE_ATOMIC_MAX; i++)
		flood_key(atomic_keys[i], FLOOD_KEY_LEN, header->seed,
			  i / METASTORE_MAP_CHAIN, i);
	munmap((void *)header, 4096);
}

static void close_mapped_flood(const struct row *row)
{
	atomic_len = ATOMIC_LEN;
	close_private(row);
}

/* A new key, in place, in an entry of another size, in none, and gone */
static void run_mapped_set(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	store_long(METASTORE_IOC_SET, VALUE_LEN, 0);
	store_long(METASTORE_IOC_SET, VALUE_LEN, METASTORE_F_PREVIOUS);
	store_long(METASTORE_IOC_PUBLISH, MOVED_LEN, 0);
	store_long(METASTORE_IOC_SET, VALUE_MAX, 0);
	store_long(METASTORE_IOC_SET, 0, 0);
	delete_long(METASTORE_F_PREVIOUS);
}

/* The same with all keys of a batch */
static void run_mapped_atomic(const struct row *row, unsigned int n)
{
	(void)n;
	run_batch(METASTORE_OP_SET, row->size);
	run_batch(METASTORE_OP_PUBLISH, row->size);
	run_batch(METASTORE_OP_DELETE, 0);
}

static void run_mapped_atomic_moves(const struct row *row, unsigned int n)
{
	(void)n;
	run_batch(METASTORE_OP_SET, VALUE_LEN);
	run_batch(METASTORE_OP_SET, row->size);
	run_batch(METASTORE_OP_SET, VALUE_LEN);
	run_batch(METASTORE_OP_SET, VALUE_MAX);
	run_batch(METASTORE_OP_DELETE, 0);
}

/* Mapped rings, whose programs have read nothing */

static struct ring rings[FEW];

static void map_rings(const int *files, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (ring_map(&rings[i], files[i], RING_SIZE))
			die("mmap");
}

/* The areas hold the open files. */
static void unmap_rings(unsigned int nr)
{
	while (nr)
		ring_unmap(&rings[--nr]);
}

static void rings_close(const struct row *row)
{
	unmap_rings(nr_crowd);
	crowd_close(row);
}

static void rings_drops(const struct row *row)
{
	crowd_drops(row);
	map_rings(crowd, nr_crowd);
}

/* Each program has passed as many events as one push removes. */
static void rings_pass(const struct row *row, unsigned int n)
{
	unsigned int i;

	(void)row;
	(void)n;
	publish_small(RING_PASSED);
	for (i = 0; i < nr_crowd; i++)
		while (ring_take(&rings[i], buffer, sizeof(buffer)) > 0)
			;
}

static void run_rings_passed(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	publish_small(1);
}

static void rings_atomic(const struct row *row)
{
	crowd_atomic(row);
	make_small();
	map_rings(crowd, nr_crowd);
}

/* Each event has the bytes of some small ones. */
static void run_rings_atomic(const struct row *row, unsigned int n)
{
	(void)n;
	run_batch(METASTORE_OP_PUBLISH, row->size);
}

static void ring_setup(const struct row *row)
{
	full_setup(row);
	map_rings(&alone, 1);
}

static void ring_close(const struct row *row)
{
	unmap_rings(1);
	alone_close(row);
}

/* The program has passed all events, of which the queue does not know yet. */
static void run_ring_passed(const struct row *row, unsigned int n)
{
	(void)row;
	(void)n;
	while (ring_take(&rings[0], buffer, sizeof(buffer)) > 0)
		;
	publish("full-after-this", 0);
	drain(alone);
}

static void flood_flush(const struct row *row, unsigned int n)
{
	if (n) {
		flood_teardown(row);
		flood_hash_setup(row);
	}
}

static void add_publish_rows(void)
{
	static const struct row table[] = {
		{ "publish-%u", .setup = crowd_subscribe },
		{ "publish-%u-64K", .setup = crowd_subscribe, .size = VALUE_MAX },
		{ "publish-%u-epoll", .setup = crowd_subscribe, .epoll = true },
		{ "publish-%u-full", .setup = crowd_full },
		{ "publish-%u-latest", .setup = crowd_subscribe,
		  .flags = METASTORE_SUBSCRIBE_LATEST },
		{ "publish-%u-lossless", .setup = crowd_lossless, .run = run_publish_wait_long },
		{ "publish-%u-rivals", .setup = crowd_subscribe, .run = run_publish_rivals },
	};
	static const unsigned int numbers[] = { FEW, CROWD };
	struct row row;
	char name[32];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		for (j = 0; j < ARRAY_SIZE(table); j++) {
			row = table[j];
			row.subscribers = numbers[i];
			row.size = row.size ?: VALUE_LEN;
			row.run = row.run ?: run_publish_long;
			row.teardown = crowd_close;
			row.amount = longest;
			row.unit = "instructions";
			snprintf(name, sizeof(name), row.name, numbers[i]);
			row_add(&row, "latency-%s", name);
		}
}

static const struct row table[] = {
	{ "get", .setup = begin_only, .run = run_get },
	{ "set", .setup = begin_only, .run = run_set },
	{ "delete", .setup = begin_only, .run = run_delete },
	{ "steal", .setup = steal_setup, .run = run_steal, .teardown = alone_close },
	{ "drops-64", .setup = crowd_drops, .prepare = fill_drops,
	  .run = run_publish_long, .teardown = crowd_close, .subscribers = FEW,
	  .size = VALUE_MAX },
	{ "drops-512", .setup = crowd_drops, .prepare = fill_drops,
	  .run = run_publish_long, .teardown = crowd_close, .subscribers = FULL_FILES,
	  .size = VALUE_MAX },
	{ "drops-rivals", .setup = crowd_drops, .prepare = fill_drops,
	  .run = run_publish_rivals, .teardown = crowd_close, .subscribers = FULL_FILES,
	  .size = VALUE_MAX },
	{ "publish-latest-prefix", .setup = crowd_latest, .run = run_publish_long,
	  .teardown = crowd_close, .subscribers = FULL_FILES, .keys = QUEUE_LEN },
	{ "publish-2000-waiting", .setup = wait_setup, .prepare = wait_prepare,
	  .run = wait_run, .teardown = wait_close },
	{ "close-2000-waiting", .prepare = close_wait_prepare, .run = close_wait_run },
	{ "publish-prefixes-256", .setup = crowd_prefixes, .run = run_publish_long,
	  .teardown = crowd_close, .subscribers = 1 },
	{ "publish-prefixes-65536", .setup = crowd_prefixes, .run = run_publish_long,
	  .teardown = crowd_close, .subscribers = CROWD / (LONG + 1) },
	{ "publish-prefixes-rivals", .setup = crowd_prefixes, .run = run_publish_rivals,
	  .teardown = crowd_close, .subscribers = CROWD / (LONG + 1) },
	{ "stat-prefixes-65536", .setup = crowd_prefixes, .run = run_stat,
	  .teardown = crowd_close, .subscribers = CROWD / (LONG + 1) },
	{ "publish-other-prefixes", .setup = other_prefixes, .run = run_publish_long,
	  .teardown = alone_close },
	{ "atomic", .setup = crowd_atomic, .run = run_atomic, .teardown = crowd_close,
	  .size = VALUE_LEN },
	{ "atomic-64K", .setup = crowd_atomic, .run = run_atomic, .teardown = crowd_close,
	  .size = VALUE_MAX },
	{ "atomic-64", .setup = crowd_atomic, .run = run_atomic, .teardown = crowd_close,
	  .subscribers = FEW },
	{ "atomic-512", .setup = crowd_atomic, .run = run_atomic, .teardown = crowd_close,
	  .subscribers = FULL_FILES },
	{ "atomic-512-drops", .setup = crowd_atomic, .run = run_atomic,
	  .teardown = crowd_close, .subscribers = FULL_FILES, .size = VALUE_MAX },
	{ "atomic-8-prefixes", .setup = crowd_atomic_prefixes, .run = run_atomic,
	  .teardown = crowd_close, .subscribers = 8 },
	{ "atomic-512-rivals", .setup = crowd_atomic, .run = run_atomic_rivals,
	  .teardown = crowd_close, .subscribers = FULL_FILES },
	{ "atomic-65536-rivals", .setup = crowd_atomic_one, .run = run_atomic_rivals,
	  .teardown = crowd_close, .subscribers = CROWD },
	{ "atomic-deaf", .setup = crowd_atomic_deaf, .run = run_atomic_deaf,
	  .teardown = crowd_close, .subscribers = CROWD },
	{ "read", .setup = full_setup, .prepare = full_prepare, .run = run_read,
	  .teardown = alone_close, .keys = FULL_LEN },
	{ "read-latest", .setup = full_setup, .prepare = full_prepare, .run = run_read,
	  .teardown = alone_close, .keys = FULL_LEN, .flags = METASTORE_SUBSCRIBE_LATEST },
	{ "resync", .setup = full_setup, .prepare = full_prepare, .run = run_resync,
	  .teardown = alone_close, .keys = FULL_LEN },
	{ "resync-latest", .setup = full_setup, .prepare = full_prepare, .run = run_resync,
	  .teardown = alone_close, .keys = FULL_LEN, .flags = METASTORE_SUBSCRIBE_LATEST },
	{ "resync-mixed", .setup = mixed_setup, .prepare = full_prepare, .run = run_resync,
	  .teardown = alone_close, .keys = FULL_LEN / 2 },
	{ "discard", .setup = full_setup, .prepare = full_prepare, .run = run_discard,
	  .teardown = alone_close, .keys = FULL_LEN },
	{ "discard-mixed", .setup = mixed_setup, .prepare = full_prepare, .run = run_discard,
	  .teardown = alone_close, .keys = FULL_LEN / 2 },
	{ "queue", .setup = full_setup, .prepare = full_prepare, .run = run_queue,
	  .teardown = alone_close, .keys = METASTORE_QUEUE_MOVE_MAX },
	{ "subscribe-move", .prepare = move_prepare, .run = run_subscribe_move,
	  .teardown = alone_close, .keys = METASTORE_QUEUE_MOVE_MAX },
	{ "subscribe-latest", .setup = full_setup, .prepare = full_prepare,
	  .run = run_subscribe_latest, .teardown = alone_close, .keys = FULL_LEN },
	{ "fdinfo", .setup = subscriptions_setup, .run = run_fdinfo, .teardown = alone_close,
	  .keys = CROWD },
	{ "subscribe", .setup = subscriptions_setup, .run = run_subscribe,
	  .teardown = alone_close, .keys = CROWD - 1 },
	{ "close-subscriptions", .prepare = subscriptions_prepare, .run = run_close,
	  .keys = CROWD },
	{ "close-queue", .prepare = move_prepare, .run = run_close, .keys = FULL_LEN },
	{ "close-owner", .prepare = owner_prepare, .run = run_close, .keys = MANY_KEYS },
	{ "flush-subscriptions", .prepare = crowd_prepare, .run = run_flush_subscriptions,
	  .teardown = crowd_close, .subscribers = CROWD },
	{ "flush-subscriptions-one", .prepare = subscriptions_prepare,
	  .run = run_flush_subscriptions, .teardown = alone_close, .keys = CROWD },
	{ "flush", .prepare = keys_prepare, .run = run_flush, .keys = MANY_KEYS },
	{ "expiry", .setup = begin_only, .run = run_expiry, .keys = MANY_KEYS },
	{ "snapshot", .setup = full_setup, .prepare = keys_prepare, .run = run_snapshot_read,
	  .teardown = alone_close, .keys = MANY_KEYS },
	{ "list", .setup = keys_setup, .run = run_list,
	  .keys = MANY_KEYS },
	{ "list-values", .setup = keys_setup, .run = run_list,
	  .keys = MANY_KEYS, .flags = METASTORE_LIST_VALUES },
	{ "list-prefix", .setup = keys_setup, .run = run_list_prefix,
	  .keys = MANY_KEYS },
	{ "flood-hash", .setup = flood_hash_setup, .run = run_flood,
	  .teardown = flood_teardown, .keys = MANY_KEYS },
	{ "flood-slot", .setup = flood_slot_setup, .run = run_flood,
	  .teardown = flood_teardown, .keys = MANY_KEYS },
	{ "flood-flush", .setup = flood_hash_setup, .prepare = flood_flush, .run = run_flush,
	  .teardown = flood_teardown, .keys = MANY_KEYS },
	{ "grow", .setup = one_bucket, .run = run_grow, .teardown = close_private,
	  .keys = MOST_KEYS, .batch = 1 },
	{ "shrink", .setup = one_bucket, .prepare = keys_prepare, .run = run_flush,
	  .teardown = close_private, .keys = MOST_KEYS, .batch = 1 },
	{ "mapped-set", .setup = open_mapped, .run = run_mapped_set,
	  .teardown = close_private },
	{ "mapped-atomic", .setup = mapped_atomic, .run = run_mapped_atomic,
	  .teardown = close_private, .size = VALUE_LEN },
	{ "mapped-atomic-moves", .setup = mapped_atomic, .run = run_mapped_atomic_moves,
	  .teardown = close_private, .size = MIRRORED_MAX },
	{ "mapped-atomic-flood", .setup = mapped_atomic_flood, .run = run_mapped_atomic_moves,
	  .teardown = close_mapped_flood, .size = MIRRORED_MAX },
	{ "mapped-flush", .setup = open_mapped, .prepare = keys_prepare, .run = run_flush,
	  .teardown = close_private, .keys = MANY_KEYS },
	{ "mapped-grow", .setup = one_mapped_bucket, .run = run_grow,
	  .teardown = close_private, .keys = MOST_KEYS, .batch = 1 },
	{ "ring-drops", .setup = rings_drops, .prepare = fill_drops, .run = run_publish_long,
	  .teardown = rings_close, .subscribers = FEW, .size = VALUE_MAX },
	{ "ring-passed-64", .setup = rings_drops, .prepare = rings_pass, .run = run_rings_passed,
	  .teardown = rings_close, .subscribers = FEW },
	{ "ring-atomic", .setup = rings_atomic, .prepare = fill_drops, .run = run_rings_atomic,
	  .teardown = rings_close, .subscribers = FEW, .size = 4 * VALUE_LEN },
	{ "ring-read", .setup = ring_setup, .prepare = full_prepare, .run = run_read,
	  .teardown = ring_close, .keys = FULL_LEN },
	{ "ring-passed", .setup = ring_setup, .prepare = full_prepare, .run = run_ring_passed,
	  .teardown = ring_close, .keys = FULL_LEN },
};

/**
 * latency_rows - rows of the longest section of each operation
 */
void latency_rows(void)
{
	struct row row;
	size_t i;

	add_publish_rows();
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		row = table[i];
		row.amount = longest;
		row.unit = "instructions";
		row_add(&row, "latency-%s", table[i].name);
	}
}
