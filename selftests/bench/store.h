/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files with rows of the module share: the store and its keys, and what
 * they do by ioctl() and read(), and through the library.
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "bench.h"

/* Keys in the store unless a row says otherwise */
#define KEYS		(50 * BATCH)

/* Those of a flood */
#define FLOOD_KEYS	(1000 * BATCH)

/* Events and bytes that a queue holds, as the module is loaded */
#define QUEUE_LEN	1024
#define QUEUE_BYTES	(1024 * 1024)

/* Of an event with a key of KEY_LEN and a value of VALUE_LEN */
#define EVENT_SIZE	(sizeof(struct metastore_event) + KEY_LEN + VALUE_LEN)

/* The one key of rows that have one */
static const char news[KEY_LEN] = "news-0123456789a";

/* store.c: the store and its keys, of which a batch goes round all in each array */
extern int fd;
extern struct mstore *store;
extern char keys[BATCH][KEY_LEN];
extern char new_keys[BATCH][KEY_LEN];
extern char missing[BATCH][KEY_LEN];
extern char buffer[VALUE_MAX + EVENT_SIZE];

int open_device(void);
void open_store(void);
void empty_store(void);
void choose_keys(void);
void one_key(const struct row *row);
void fill(const struct row *row);
struct row compared(const struct row *row, const char *peers);
void add_both(const struct row *row, const char *name);

/* flood.c: others' keys, all in one chain with those to be used */
void flood_hash_setup(const struct row *row);
void flood_slot_setup(const struct row *row);
void flood_teardown(const struct row *row);

/* publish.c: subscribers of the one key */
extern int subscribers[SUBSCRIBERS_MAX];

void subscribe_all(const struct row *row);
void subscribe_roomy(const struct row *row);
void make_roomy(int file);
void unsubscribe_all(const struct row *row);
void empty_queues(const struct row *row, unsigned int n);
void run_publish(const struct row *row, unsigned int n);

/* What each file has to say */
void one_key_rows(void);
void key_rows(void);
void private_rows(void);
void mapped_rows(void);
void mapped_keys_rows(void);
void batch_rows(void);
void flood_rows(void);
void publish_rows(void);
void bystander_rows(void);
void read_rows(void);
void ring_rows(void);
void snapshot_rows(void);

static inline uint64_t address(const void *p)
{
	return (uintptr_t)p;
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

/*
 * Returns how many queues took it. The version may be NULL if the flags ask for
 * none; else that of the new value comes back.
 */
static inline unsigned int store_value(unsigned long command, const char *key,
				       size_t size, uint32_t flags, uint64_t *version)
{
	struct metastore_set args = {
		.key = address(key),
		.value = address(bench_value),
		.key_len = KEY_LEN,
		.value_len = size,
		.flags = flags,
		.version = version ? *version : 0,
		.timeout = flags & METASTORE_F_WAIT ? METASTORE_WAIT_FOREVER : 0,
	};

	if (ioctl(fd, command, &args))
		die("SET or PUBLISH");
	if (version)
		*version = args.version;
	return args.queues;
}

static inline void set(const char *key, size_t size)
{
	store_value(METASTORE_IOC_SET, key, size, 0, NULL);
}

static inline unsigned int publish(const char *key, size_t size)
{
	return store_value(METASTORE_IOC_PUBLISH, key, size, 0, NULL);
}

static inline void set_if(uint32_t condition, const char *key, size_t size,
			  uint64_t *version)
{
	store_value(METASTORE_IOC_SET, key, size, condition, version);
}

static inline unsigned int publish_wait(const char *key, size_t size)
{
	return store_value(METASTORE_IOC_PUBLISH, key, size, METASTORE_F_WAIT, NULL);
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

static inline void lib_set_if(int condition, const char *key, size_t size,
			      uint64_t *version)
{
	const struct mstore_options options = {
		.flags = condition,
		.version = version ? *version : 0,
	};

	if (mstore_set_with(store, key, KEY_LEN, bench_value, size, &options, version))
		die("mstore_set_with");
}

static inline unsigned int lib_publish(const char *key, size_t size)
{
	int queues = mstore_publish(store, key, KEY_LEN, bench_value, size, NULL);

	if (queues < 0)
		die("mstore_publish");
	return queues;
}

static inline unsigned int lib_publish_wait(const char *key, size_t size)
{
	static const struct mstore_options options = {
		.flags = MSTORE_WAIT,
		.timeout_ms = MSTORE_WAIT_FOREVER,
	};
	int queues = mstore_publish_with(store, key, KEY_LEN, bench_value, size,
					 &options, NULL);

	if (queues < 0)
		die("mstore_publish_with");
	return queues;
}

static inline void read_event(int from, size_t size)
{
	if (read(from, buffer, size) <= 0)
		die("read");
}

#endif /* BENCH_STORE_H */
