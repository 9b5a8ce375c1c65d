// SPDX-License-Identifier: GPL-2.0
/*
 * Redis over a Unix socket, without persistence.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "bench.h"

#define SOCKET		"/tmp/bench-redis"
#define CHANNEL		"news-0123456789a"

static pid_t server;
static redisContext *client, *subscriber;
static char keys[BATCH][KEY_LEN];

static redisContext *connection(void)
{
	redisContext *new = redisConnectUnix(SOCKET);

	if (!new || new->err)
		die("Redis does not answer");
	return new;
}

static redisReply *checked(redisReply *reply)
{
	if (!reply || reply->type == REDIS_REPLY_ERROR)
		die("Redis: %s", reply ? reply->str : client->errstr);
	return reply;
}

/*
 * The program is also found as redis-check-rdb, in a package that starts no
 * server by itself; its own name tells it what to be.
 */
static void start(const struct row *row)
{
	static const char * const argv[] = {
		"redis-server", "--port", "0", "--unixsocket", SOCKET,
		"--save", "", "--appendonly", "no",
		"--enable-debug-command", "yes", NULL
	};
	const struct sockaddr_un address = { AF_UNIX, SOCKET };

	(void)row;
	server = server_start("redis-check-rdb", argv);
	server_wait(server, (const struct sockaddr *)&address, sizeof(address));
	client = connection();
}

static void stop(const struct row *row)
{
	(void)row;
	redisFree(client);
	if (subscriber)
		redisFree(subscriber);
	subscriber = NULL;
	server_stop(server);
}

static void set_keys(const struct row *row)
{
	char key[KEY_LEN];
	unsigned int i;

	for (i = 0; i < row->keys; i++) {
		bench_key(key, "key-", i);
		redisAppendCommand(client, "SET %b %b", key, (size_t)KEY_LEN,
				   bench_value, row->size);
		if (i % BATCH == BATCH - 1) {
			unsigned int pending = BATCH;
			void *reply;

			while (pending-- && !redisGetReply(client, &reply))
				freeReplyObject(checked(reply));
		}
	}
}

/*
 * As many keys as our own rows have; those that are used are spread over them. A
 * process of its own sets them: how many replies come at once is a matter of timing,
 * and what they leave of its heap too.
 */
static void fill(const struct row *row)
{
	unsigned int i;
	int status;
	pid_t pid;

	start(row);
	pid = fork();
	if (!pid) {
		client = connection();
		set_keys(row);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		die("Redis has not got its keys");
	for (i = 0; i < BATCH; i++)
		bench_key(keys[i], "key-", i * (row->keys / BATCH));
	/* It moves to a larger table little by little, and when it is idle. */
	pause_ms(20000);
}

static void subscribe(const struct row *row)
{
	start(row);
	subscriber = connection();
	freeReplyObject(checked(redisCommand(subscriber, "SUBSCRIBE %s", CHANNEL)));
}

static void run_get(const struct row *row, unsigned int n)
{
	redisReply *reply;

	while (n--) {
		reply = checked(redisCommand(client, "GET %b", keys[n], (size_t)KEY_LEN));
		if (reply->len != row->size)
			die("Redis: a value of %zu bytes", reply->len);
		freeReplyObject(reply);
	}
}

static void run_set(const struct row *row, unsigned int n)
{
	while (n--)
		freeReplyObject(checked(redisCommand(client, "SET %b %b",
						     keys[n], (size_t)KEY_LEN,
						     bench_value, row->size)));
}

static void run_publish(const struct row *row, unsigned int n)
{
	void *reply;

	while (n--) {
		freeReplyObject(checked(redisCommand(client, "PUBLISH %s %b", CHANNEL,
						     bench_value, row->size)));
		if (redisGetReply(subscriber, &reply))
			die("Redis: %s", subscriber->errstr);
		freeReplyObject(checked(reply));
	}
}

/**
 * redis_rows - rows of Redis
 */
void redis_rows(void)
{
	const struct row table[] = {
		{ "redis-get", .setup = fill, .run = run_get, .teardown = stop },
		{ "redis-set", .setup = fill, .run = run_set, .teardown = stop },
		{ "redis-publish", .setup = subscribe, .run = run_publish,
		  .teardown = stop },
	};
	struct row row;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		row = table[i];
		row.size = VALUE_LEN;
		row.keys = 50 * BATCH;
		row.batch = SHORT_BATCH;
		row_add(&row, "%s", table[i].name);
	}
}

static double memory_used(void)
{
	redisReply *reply = checked(redisCommand(client, "INFO memory"));
	const char *field = strstr(reply->str, "used_memory:");
	double used = field ? strtod(field + strlen("used_memory:"), NULL) : 0;

	freeReplyObject(reply);
	return used;
}

/* The server makes the keys itself: "key-bench:" and a number, 16 bytes mostly. */
static double memory(const struct row *row)
{
	double before = memory_used();

	freeReplyObject(checked(redisCommand(client, "DEBUG POPULATE %u key-bench %u",
					     row->keys, (unsigned int)row->size)));
	return (memory_used() - before) / 1e6;
}

/**
 * redis_memory_rows - row of the memory that a million keys take
 */
void redis_memory_rows(void)
{
	const struct row row = {
		.setup = start,
		.amount = memory,
		.unit = "MB",
		.teardown = stop,
		.size = VALUE_LEN,
		.keys = 1000 * BATCH,
	};

	row_add(&row, "memory-1M-redis");
}
