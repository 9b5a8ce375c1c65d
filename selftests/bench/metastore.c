// SPDX-License-Identifier: GPL-2.0
/*
 * The module's rows, each by ioctl() and read() and again through the library
 * (with -lib behind its name).
 *
 * Which bucket and which place in its chain a key gets is drawn anew with each
 * load of the module. So a batch of those that depend on it goes round BATCH keys
 * spread over the whole store; the others have the store for themselves, and come
 * first, since a bucket that once had other keys may still have their room.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "bench.h"

#define DEVICE		"/dev/metastore"

/* Keys in the store unless a row says otherwise */
#define KEYS		(50 * BATCH)

#define SUBSCRIBERS_MAX	1000

/* Events that a queue holds, as the module is loaded */
#define QUEUE_LEN	1024

/* Of an event with a key of KEY_LEN and a value of VALUE_LEN */
#define EVENT_SIZE	(sizeof(struct metastore_event) + KEY_LEN + VALUE_LEN)

static int fd = -1;
static struct mstore *store;

/* How many keys the store holds, "key-" and a number each. */
static unsigned int nr_keys;
static char keys[BATCH][KEY_LEN];
static char new_keys[BATCH][KEY_LEN];
static char missing[BATCH][KEY_LEN];
static const char news[KEY_LEN] = "news-0123456789a";

static int subscribers[SUBSCRIBERS_MAX];
static int prefixes;
static int epoll = -1;
static struct mstore *reader;
static struct mstore_event_buffer *events;

static char buffer[VALUE_MAX + EVENT_SIZE];

static uint64_t address(const void *p)
{
	return (uintptr_t)p;
}

static int open_device(void)
{
	int new = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (new < 0)
		die(DEVICE);
	return new;
}

static inline void get(const char *key, size_t size)
{
	struct metastore_get args = {
		.key = address(key),
		.value = address(buffer),
		.key_len = KEY_LEN,
		.value_len = size,
	};

	if (ioctl(fd, METASTORE_IOC_GET, &args))
		die("GET");
}

/* Returns how many queues took it. */
static inline unsigned int store_value(unsigned long command, const char *key,
				       size_t size)
{
	struct metastore_set args = {
		.key = address(key),
		.value = address(bench_value),
		.key_len = KEY_LEN,
		.value_len = size,
	};

	if (ioctl(fd, command, &args))
		die("SET or PUBLISH");
	return args.queues;
}

static inline void set(const char *key, size_t size)
{
	store_value(METASTORE_IOC_SET, key, size);
}

static inline unsigned int publish(const char *key, size_t size)
{
	return store_value(METASTORE_IOC_PUBLISH, key, size);
}

static inline void delete(const char *key)
{
	struct metastore_delete args = {
		.key = address(key),
		.key_len = KEY_LEN,
	};

	if (ioctl(fd, METASTORE_IOC_DELETE, &args))
		die("DELETE");
}

static inline void lib_get(const char *key, size_t room)
{
	size_t size = room;

	if (mstore_get(store, key, KEY_LEN, buffer, &size, NULL))
		die("mstore_get");
}

static inline void lib_set(const char *key, size_t size)
{
	if (mstore_set(store, key, KEY_LEN, bench_value, size, NULL))
		die("mstore_set");
}

static inline unsigned int lib_publish(const char *key, size_t size)
{
	int queues = mstore_publish(store, key, KEY_LEN, bench_value, size, NULL);

	if (queues < 0)
		die("mstore_publish");
	return queues;
}

static inline void read_event(int from, size_t size)
{
	if (read(from, buffer, size) <= 0)
		die("read");
}

/* Reads what is there, and looks at it. */
static inline unsigned int lib_read_events(void)
{
	const struct mstore_event *event = NULL;
	unsigned int n = 0;
	size_t len;

	if (mstore_read_events(reader, events) < 0)
		die("mstore_read_events");
	while ((event = mstore_event_next(events, event))) {
		mstore_event_value(event, &len);
		n++;
	}
	return n;
}

static void flush(void)
{
	struct metastore_flush args = { .bucket = METASTORE_ANY_BUCKET };

	if (ioctl(fd, METASTORE_IOC_FLUSH, &args))
		die("FLUSH");
	nr_keys = 0;
}

/* Once, and with room for all subscribers. */
static void open_store(void)
{
	struct rlimit files = { 4 * SUBSCRIBERS_MAX, 4 * SUBSCRIBERS_MAX };
	int i;

	if (fd >= 0)
		return;
	setrlimit(RLIMIT_NOFILE, &files);
	fd = open_device();
	store = mstore_open(NULL, MSTORE_RDWR);
	if (!store)
		die("mstore_open");
	flush();
	for (i = 0; i < BATCH; i++) {
		bench_key(new_keys[i], "new-", i);
		bench_key(missing[i], "none", i);
	}
}

/* Makes the store hold exactly row->keys, and chooses those to be used. */
static void fill(const struct row *row)
{
	char key[KEY_LEN];
	unsigned int i;

	open_store();
	if (nr_keys > row->keys)
		flush();
	for (; nr_keys < row->keys; nr_keys++) {
		bench_key(key, "key-", nr_keys);
		set(key, VALUE_LEN);
	}
	for (i = 0; i < BATCH && nr_keys; i++)
		bench_key(keys[i], "key-", i * (nr_keys / BATCH));
}

static void run_get(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_get(keys[n], row->size);
	else
		while (n--)
			get(keys[n], row->size);
}

static void run_miss(const struct row *row, unsigned int n)
{
	struct metastore_get args = {
		.value = address(buffer),
		.key_len = KEY_LEN,
	};
	size_t size = row->size;

	if (row->library)
		while (n--) {
			if (!mstore_get(store, missing[n], KEY_LEN, buffer, &size, NULL) ||
			    errno != ENOENT)
				die("mstore_get found what is not there");
		}
	else
		while (n--) {
			args.key = address(missing[n]);
			args.value_len = row->size;
			if (!ioctl(fd, METASTORE_IOC_GET, &args) || errno != ENOENT)
				die("GET found what is not there");
		}
}

static void run_set(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set(keys[n], row->size);
	else
		while (n--)
			set(keys[n], row->size);
}

static void run_set_new(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set(new_keys[n], row->size);
	else
		while (n--)
			set(new_keys[n], row->size);
}

static void run_delete(const struct row *row, unsigned int n)
{
	if (!row->library)
		while (n--)
			delete(new_keys[n]);
	else
		while (n--)
			if (mstore_delete(store, new_keys[n], KEY_LEN, NULL))
				die("mstore_delete");
}

static void set_new_keys(const struct row *row, unsigned int n)
{
	while (n--)
		set(new_keys[n], row->size);
}

static void delete_new_keys(const struct row *row, unsigned int n)
{
	struct metastore_delete args = { .key_len = KEY_LEN };

	(void)row;
	while (n--) {
		args.key = address(new_keys[n]);
		if (ioctl(fd, METASTORE_IOC_DELETE, &args) && errno != ENOENT)
			die("DELETE");
	}
}

static void end_new_keys(const struct row *row)
{
	delete_new_keys(row, BATCH);
}

/* The same key each time: cost against the size of the value. */
static void one_key(const struct row *row)
{
	open_store();
	flush();
	set(news, row->size);
}

static void run_get_one(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_get(news, row->size);
	else
		while (n--)
			get(news, row->size);
}

static void run_set_one(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set(news, row->size);
	else
		while (n--)
			set(news, row->size);
}

static void subscribe(int to)
{
	struct metastore_subscribe args = {
		.key = address(news),
		.key_len = KEY_LEN,
	};

	if (ioctl(to, METASTORE_IOC_SUBSCRIBE, &args))
		die("SUBSCRIBE");
}

static void watch(int what)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll < 0)
		epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, what, &event))
		die("epoll_ctl");
}

static void subscribe_all(const struct row *row)
{
	unsigned int i;

	one_key(row);
	for (i = 0; i < row->subscribers; i++) {
		subscribers[i] = open_device();
		subscribe(subscribers[i]);
		if (row->epoll)
			watch(subscribers[i]);
	}
}

static void unsubscribe_all(const struct row *row)
{
	unsigned int i;

	for (i = 0; i < row->subscribers; i++)
		close(subscribers[i]);
	if (epoll >= 0)
		close(epoll);
	epoll = -1;
}

/* So that no queue has to drop an event during the batch. */
static void empty_queues(const struct row *row, unsigned int n)
{
	unsigned int i;

	(void)n;
	for (i = 0; i < row->subscribers; i++)
		while (read(subscribers[i], buffer, sizeof(buffer)) > 0)
			;
	if (row->epoll) {
		struct epoll_event ready[SUBSCRIBERS_MAX];

		epoll_wait(epoll, ready, SUBSCRIBERS_MAX, 0);
	}
}

static void run_publish(const struct row *row, unsigned int n)
{
	unsigned int queues = 0, wanted = n * row->subscribers;

	if (row->library)
		while (n--)
			queues += lib_publish(news, row->size);
	else
		while (n--)
			queues += publish(news, row->size);
	if (queues != wanted)
		die("%u queues took an event, not %u", queues, wanted);
}

static void run_publish_read(const struct row *row, unsigned int n)
{
	unsigned int i;

	while (n--) {
		publish(news, row->size);
		for (i = 0; i < row->subscribers; i++)
			read_event(subscribers[i], sizeof(buffer));
	}
}

/* One whole queue of them; no more than one fits into the buffer. */
static void fill_queue(const struct row *row, unsigned int n)
{
	empty_queues(row, n);
	while (n--)
		publish(news, row->size);
}

static void run_read_one(const struct row *row, unsigned int n)
{
	(void)row;
	while (n--)
		read_event(subscribers[0], EVENT_SIZE);
}

static void run_read_many(const struct row *row, unsigned int n)
{
	ssize_t len;

	(void)row;
	while (n) {
		len = read(subscribers[0], buffer, VALUE_MAX);
		if (len <= 0)
			die("read");
		n -= len / EVENT_SIZE;
	}
}

static void lib_subscribe_sized(const struct row *row, size_t capacity)
{
	one_key(row);
	reader = mstore_open(NULL, MSTORE_RDWR | MSTORE_NONBLOCK);
	events = mstore_event_buffer_new(capacity);
	if (!reader || !events ||
	    mstore_subscribe(reader, news, KEY_LEN, 0, 0))
		die("mstore_subscribe");
}

static void lib_subscribe(const struct row *row)
{
	lib_subscribe_sized(row, 0);
}

static void lib_subscribe_small(const struct row *row)
{
	lib_subscribe_sized(row, EVENT_SIZE);
}

static void lib_unsubscribe(const struct row *row)
{
	(void)row;
	mstore_event_buffer_free(events);
	mstore_close(reader);
}

static void lib_fill_queue(const struct row *row, unsigned int n)
{
	while (mstore_read_events(reader, events) > 0)
		;
	while (n--)
		publish(news, row->size);
}

static void run_lib_publish_read(const struct row *row, unsigned int n)
{
	while (n--) {
		lib_publish(news, row->size);
		lib_read_events();
	}
}

static void run_lib_read(const struct row *row, unsigned int n)
{
	(void)row;
	while (n)
		n -= lib_read_events();
}

/* A copy that outlives the string. */
static struct row compared(const struct row *row, const char *peers)
{
	struct row copy = *row;

	copy.peers = strdup(peers);
	return copy;
}

/* Adds a row, and the same through the library. */
static void add_both(const struct row *row, const char *name)
{
	struct row library = compared(row, name);

	row_add(row, "%s", name);
	library.library = true;
	row_add(&library, "%s-lib", name);
}

static void single_rows(void)
{
	struct row table[] = {
		{ "get", "ioctl,bpf-lookup,redis-get,lmdb-get",
		  .setup = fill, .run = run_get },
		{ "get-miss", "ioctl", .setup = fill, .run = run_miss },
		{ "set", "bpf-update,redis-set", .setup = fill, .run = run_set },
		{ "set-new", "bpf-update,redis-set", .setup = fill,
		  .prepare = delete_new_keys, .run = run_set_new,
		  .teardown = end_new_keys },
		{ "delete", "ioctl", .setup = fill, .prepare = set_new_keys,
		  .run = run_delete },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].size = VALUE_LEN;
		table[i].keys = KEYS;
		add_both(&table[i], table[i].name);
	}
}

static void publish_rows(void)
{
	static const unsigned int numbers[] = { 0, 1, 10, 99, 1000 };
	struct row row = {
		.setup = subscribe_all,
		.prepare = empty_queues,
		.run = run_publish,
		.teardown = unsubscribe_all,
		.size = VALUE_LEN,
	}, watched;
	char name[sizeof(row.name)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		row.subscribers = numbers[i];
		row.batch = numbers[i] < 99 ? BATCH : SHORT_BATCH;
		snprintf(name, sizeof(name), "publish-%u", numbers[i]);
		add_both(&row, name);
		if (!numbers[i])
			continue;
		watched = compared(&row, name);
		watched.epoll = true;
		snprintf(name, sizeof(name), "publish-%u-epoll", numbers[i]);
		add_both(&watched, name);
	}
}

/* Of a value of that size; peers are those of the size that the others have. */
static void add_publish_read(const struct value_size *size, const char *peers,
			     const char *name)
{
	struct row raw = {
		.setup = subscribe_all,
		.run = run_publish_read,
		.teardown = unsubscribe_all,
		.size = size->size,
		.batch = size->batch,
		.subscribers = 1,
	};
	struct row library = {
		.setup = lib_subscribe,
		.run = run_lib_publish_read,
		.teardown = lib_unsubscribe,
		.size = size->size,
		.batch = size->batch,
	};

	raw = compared(&raw, peers);
	row_add(&raw, "%s", name);
	library = compared(&library, name);
	row_add(&library, "%s-lib", name);
}

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
	/* What is stuck is full from the beginning. */
	for (n = 0; n < QUEUE_LEN; n++) {
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

/* What others' subscriptions cost a publisher who has nothing to do with them. */
static void bystander_rows(void)
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

static void read_rows(void)
{
	static const struct value_size usual = { "", VALUE_LEN, BATCH };
	struct row table[] = {
		{ "publish-read-99", "", subscribe_all, NULL, run_publish_read,
		  unsubscribe_all, .subscribers = 99, .batch = SHORT_BATCH },
		{ "read-one", "read-zero", subscribe_all, fill_queue, run_read_one,
		  unsubscribe_all, .subscribers = 1 },
		{ "read-one-lib", "read-one", lib_subscribe_small, lib_fill_queue,
		  run_lib_read, lib_unsubscribe },
		{ "read-many", "read-one", subscribe_all, fill_queue, run_read_many,
		  unsubscribe_all, .subscribers = 1 },
		{ "read-many-lib", "read-many", lib_subscribe, lib_fill_queue,
		  run_lib_read, lib_unsubscribe },
	};
	size_t i;

	add_publish_read(&usual, "pipe,unix-datagram,mqueue,redis-publish,dbus-signal,nats-publish",
			 "publish-read");
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].size = VALUE_LEN;
		row_add(&table[i], "%s", table[i].name);
	}
}

static void size_rows(void)
{
	struct row get_row = { .setup = one_key, .run = run_get_one };
	struct row set_row = { .setup = one_key, .run = run_set_one };
	const struct value_size *size;
	char name[sizeof(get_row.name)], peer[sizeof(get_row.name)];

	for (size = value_sizes; size < value_sizes + nr_value_sizes; size++) {
		get_row.size = size->size;
		get_row.batch = size->batch;
		snprintf(name, sizeof(name), "get-%s", size->name);
		add_both(&get_row, name);
		set_row.size = size->size;
		set_row.batch = size->batch;
		snprintf(name, sizeof(name), "set-%s", size->name);
		add_both(&set_row, name);
		snprintf(name, sizeof(name), "publish-read-%s", size->name);
		snprintf(peer, sizeof(peer), "pipe-%s", size->name);
		add_publish_read(size, size->size ? peer : "", name);
	}
}

/**
 * metastore_rows - rows of the module and of its library
 */
void metastore_rows(void)
{
	size_rows();
	publish_rows();
	bystander_rows();
	read_rows();
	single_rows();
}

/* What the kernel has allocated for itself, with what it could not make use of. */
static double kernel_memory(void)
{
	double kib, sum = 0;
	char line[128];
	FILE *file;

	pause_ms(10000);
	file = fopen("/proc/meminfo", "r");
	if (!file)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %lf", &kib) == 1 ||
		    sscanf(line, "VmallocUsed: %lf", &kib) == 1)
			sum += kib;
	fclose(file);
	return sum * 1024;
}

static double memory(const struct row *row)
{
	double before;

	open_store();
	before = kernel_memory();
	fill(row);
	return (kernel_memory() - before) / 1e6;
}

/**
 * metastore_memory_rows - row of the memory that a million keys take
 *
 * To be measured before the store holds any.
 */
void metastore_memory_rows(void)
{
	const struct row row = {
		.peers = "memory-1M-redis",
		.amount = memory,
		.unit = "MB",
		.keys = 1000 * BATCH,
	};

	row_add(&row, "memory-1M");
}

/**
 * metastore_keys_rows - rows of stores with ever more keys
 */
void metastore_keys_rows(void)
{
	static const struct {
		const char *name;
		unsigned int keys;
	} numbers[] = {
		{ "1k", 1000 }, { "100k", 100000 }, { "1M", 1000000 }, { "10M", 10000000 },
	};
	struct row hit = { .setup = fill, .run = run_get, .size = VALUE_LEN };
	struct row miss = { .setup = fill, .run = run_miss, .size = VALUE_LEN };
	char name[sizeof(hit.name)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		hit.keys = numbers[i].keys;
		snprintf(name, sizeof(name), "get-keys-%s", numbers[i].name);
		add_both(&hit, name);
		hit.peers = "get-keys-1k";
		miss.keys = numbers[i].keys;
		snprintf(name, sizeof(name), "get-miss-keys-%s", numbers[i].name);
		add_both(&miss, name);
		miss.peers = "get-miss-keys-1k";
	}
}
