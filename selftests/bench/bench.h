/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the benchmark share. A row is one line of its table: an
 * operation that is repeated, and what has to be there for it.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/socket.h>
#include <sys/types.h>

#define KEY_LEN		16
#define VALUE_LEN	64
#define VALUE_MAX	(64 << 10)

#define SUBSCRIBERS_MAX	1000

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/* The compiler checks arguments against the format, as for printf(). */
#define PRINTF_LIKE(format, first) \
	__attribute__((__format__(__printf__, \
				  format, first)))

/*
 * Operations of a batch, and different keys that they go round. Fewer where one
 * takes tens of thousands of instructions; more where it takes so few that what the
 * kernel happens to do meanwhile would show.
 */
#define BATCH		1000
#define SHORT_BATCH	200
#define LONG_BATCH	10000

/**
 * struct row - a line of the table
 * @name:	what it is called, by ONLY= too
 * @peers:	rows to which it is compared, separated by commas, or NULL. When
 *		@name is asked for alone, the first of them is measured too
 * @setup:	makes what the operation needs; may be NULL, as the next ones
 * @prepare:	before each batch, not measured
 * @run:	does the operation as often as it is told
 * @teardown:	undoes @setup
 * @amount:	instead of the time of @run: measures something else, in @unit
 * @unit:	unit of @amount
 * @size:	length of the value in bytes
 * @keys:	number of keys in the store
 * @subscribers: number of them
 * @prefixes:	subscriptions to prefixes that the key does not have
 * @epoll:	whether an epoll watches each
 * @flags:	METASTORE_SUBSCRIBE_* of each
 * @own:	whether it is about the module; set by rows_are_own()
 * @library:	whether the operation is done through the library
 * @batch:	operations of a batch; 0: BATCH
 * @together:	those that are done in one call
 */
struct row {
	char name[32];
	const char *peers;
	void (*setup)(const struct row *row);
	void (*prepare)(const struct row *row, unsigned int n);
	void (*run)(const struct row *row, unsigned int n);
	void (*teardown)(const struct row *row);
	double (*amount)(const struct row *row);
	const char *unit;
	size_t size;
	unsigned int keys;
	unsigned int subscribers;
	unsigned int prefixes;
	bool epoll;
	uint32_t flags;
	bool own;
	bool library;
	unsigned int batch;
	unsigned int together;
};

/* row.c: the table */
PRINTF_LIKE(2, 3) void row_add(const struct row *row, const char *name, ...);
void rows_are_own(void (*add)(void));
void rows_each(const char *only, void (*call)(const struct row *row));

/* measure.c */
extern char row_note[512];

void row_measure(const struct row *row);

/* What each file has to say, in the order of the table. */
void metastore_rows(void);
void metastore_memory_rows(void);
void metastore_keys_rows(void);
void latency_rows(void);
void kernel_rows(void);
void peers_rows(void);
void peers_memory_rows(void);
void redis_rows(void);
void redis_memory_rows(void);
void dbus_rows(void);
void nats_rows(void);
void lmdb_rows(void);

/* common.c: what several files need */
PRINTF_LIKE(1, 2) noreturn void die(const char *what, ...);
void pause_ms(unsigned int ms);
extern const struct value_size {
	const char *name;
	size_t size;
	unsigned int batch;
} value_sizes[];
extern const size_t nr_value_sizes;
extern const unsigned int subscriber_numbers[];
extern const size_t nr_subscriber_numbers;
extern char bench_value[VALUE_MAX];

void bench_key(char key[KEY_LEN], const char *prefix, unsigned int number);
pid_t server_start(const char *program, const char * const argv[]);
void server_stop(pid_t pid);
void server_wait(pid_t pid, const struct sockaddr *address, socklen_t size);

#endif /* BENCH_H */
