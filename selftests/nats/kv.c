// SPDX-License-Identifier: GPL-2.0
/*
 * nats_kv URL COMMAND BUCKET [OPERAND...]: what the tests of the bridge do to a bucket, as
 * the program nats does, which Debian lacks.
 *
 *   create [REPLICAS [HISTORY]]	makes the bucket, in memory; 1, and a history of 64
 *   put KEY VALUE	prints the revision
 *   own KEY VALUE	the same as the key's owner in another store
 *   del KEY
 *   purge KEY		deletes the key's messages, without a marker
 *   remove		deletes the bucket
 *   get KEY		prints the value; status 1: there is none
 *   ls			prints REVISION KEY VALUE, a line each, with - for a deletion
 *   history		the same, with all that was ever stored
 *   rev		prints the last revision
 *   leader		prints the name of the server that leads it
 *   limit BYTES		lets it have so many
 *   load PREFIX COUNT [FROM]	stores as many keys, many at once, numbered from 0
 *   bench COUNT	stores one after the other, prints how many a second
 *   lag COUNT		reads values that are times, CLOCK_REALTIME in ns; prints how late
 *			they came: median, 90 %, 99 % in us, and how many came a second
 *
 * nats_kv - metrics SOCKET prints what a bridge's socket tells, numbers SOCKET the same without
 * comments and without what is common to the names.
 *
 * nats_kv URL serve - obeys lines of standard input, each COMMAND BUCKET [OPERAND...] with
 * \037 in between, and ends what each prints by a line of \036 and the status. So a test
 * starts no process and no connection for each. One that was lost is made again.
 */
#include <err.h>
#include <setjmp.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <nats/nats.h>

#define HISTORY		64
#define WAIT_MS		30000
#define PENDING_MAX	4096

static natsConnection *connection;
static jsCtx *js;
static kvStore *kv;

static bool serving;
static jmp_buf failed;

static void check(natsStatus status, const char *what)
{
	if (status == NATS_OK)
		return;
	warnx("%s: %s: %s", what, natsStatus_GetText(status), nats_GetLastError(NULL));
	if (serving)
		longjmp(failed, 3);
	exit(3);
}

static uint64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void create(const char *bucket, const char *replicas, const char *history)
{
	kvConfig config;

	kvConfig_Init(&config);
	config.Bucket = bucket;
	config.History = history ? atoi(history) : HISTORY;
	config.StorageType = js_MemoryStorage;
	config.Replicas = replicas ? atoi(replicas) : 1;
	check(js_CreateKeyValue(&kv, js, &config), bucket);
}

static void put(const char *key, const char *value)
{
	uint64_t rev;

	check(kvStore_PutString(&rev, kv, key, value), key);
	printf("%" PRIu64 "\n", rev);
}

/* The header is what the bridge of that store gives it. */
static void own(const char *bucket, const char *key, const char *value)
{
	char subject[512];
	natsMsg *msg;

	snprintf(subject, sizeof(subject), "$KV.%s.%s", bucket, key);
	check(natsMsg_Create(&msg, subject, NULL, value, strlen(value)), key);
	check(natsMsgHeader_Set(msg, "Mstore-Owned", "1"), key);
	check(js_PublishMsg(NULL, js, msg, NULL, NULL), key);
	natsMsg_Destroy(msg);
}

static void purge(const char *bucket, const char *key)
{
	char stream[256], subject[512];
	jsOptions options;

	snprintf(stream, sizeof(stream), "KV_%s", bucket);
	snprintf(subject, sizeof(subject), "$KV.%s.%s", bucket, key);
	jsOptions_Init(&options);
	options.Stream.Purge.Subject = subject;
	check(js_PurgeStream(js, stream, &options, NULL), key);
}

static int get(const char *key)
{
	kvEntry *entry = NULL;
	natsStatus status = kvStore_Get(&entry, kv, key);

	if (status == NATS_NOT_FOUND)
		return 1;
	check(status, key);
	printf("%.*s\n", kvEntry_ValueLen(entry), (const char *)kvEntry_Value(entry));
	kvEntry_Destroy(entry);
	return 0;
}

static void list(bool history)
{
	kvWatchOptions options;
	kvWatcher *watcher;
	kvEntry *entry;

	kvWatchOptions_Init(&options);
	options.IncludeHistory = history;
	check(kvStore_WatchAll(&watcher, kv, &options), "watch");
	for (;;) {
		check(kvWatcher_Next(&entry, watcher, WAIT_MS), "watch");
		if (!entry)
			break;
		printf("%" PRIu64 " %s ", kvEntry_Revision(entry), kvEntry_Key(entry));
		if (kvEntry_Operation(entry) == kvOp_Put)
			printf("%.*s\n", kvEntry_ValueLen(entry),
			       (const char *)kvEntry_Value(entry));
		else
			puts("-");
		kvEntry_Destroy(entry);
	}
	kvWatcher_Destroy(watcher);
}

static jsStreamInfo *stream_info(const char *bucket)
{
	jsStreamInfo *info = NULL;
	char name[256];

	snprintf(name, sizeof(name), "KV_%s", bucket);
	check(js_GetStreamInfo(&info, js, name, NULL, NULL), bucket);
	return info;
}

static void revision(const char *bucket)
{
	jsStreamInfo *info = stream_info(bucket);

	printf("%" PRIu64 "\n", info->State.LastSeq);
	jsStreamInfo_Destroy(info);
}

static void leader(const char *bucket)
{
	jsStreamInfo *info = stream_info(bucket);

	puts(info->Cluster && info->Cluster->Leader ? info->Cluster->Leader : "");
	jsStreamInfo_Destroy(info);
}

static void limit(const char *bucket, const char *bytes)
{
	jsStreamInfo *info = stream_info(bucket);

	info->Config->MaxBytes = atoll(bytes);
	check(js_UpdateStream(NULL, js, info->Config, NULL, NULL), bucket);
	jsStreamInfo_Destroy(info);
}

static void load(const char *bucket, const char *prefix, int count, int from)
{
	char subject[512], value[32];
	jsPubOptions options;

	for (int i = from; i < from + count; i++) {
		int len = snprintf(value, sizeof(value), "%d", i);

		snprintf(subject, sizeof(subject), "$KV.%s.%s%d", bucket, prefix, i);
		check(js_PublishAsync(js, subject, value, len, NULL), subject);
	}
	jsPubOptions_Init(&options);
	options.MaxWait = WAIT_MS;
	check(js_PublishAsyncComplete(js, &options), "load");
}

static void put_many(int count)
{
	uint64_t start = now(CLOCK_MONOTONIC);
	char key[32];

	for (int i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "key%d", i % 100);
		check(kvStore_PutString(NULL, kv, key, "0123456789abcdef"), key);
	}
	printf("%.0f\n", count * 1e9 / (now(CLOCK_MONOTONIC) - start));
}

static int compare(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

static void lag(int count)
{
	uint64_t *lags = calloc(count, sizeof(*lags)), start = 0;
	kvWatcher *watcher;
	kvEntry *entry;
	char text[32];
	int seen = 0;

	check(kvStore_WatchAll(&watcher, kv, NULL), "watch");
	while (seen < count) {
		check(kvWatcher_Next(&entry, watcher, WAIT_MS), "watch");
		if (!entry) {
			puts("ready");
			fflush(stdout);
			continue;
		}
		if (!start)
			start = now(CLOCK_MONOTONIC);
		snprintf(text, sizeof(text), "%.*s", kvEntry_ValueLen(entry),
			 (const char *)kvEntry_Value(entry));
		lags[seen++] = now(CLOCK_REALTIME) - strtoull(text, NULL, 10);
		kvEntry_Destroy(entry);
	}
	qsort(lags, count, sizeof(*lags), compare);
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %.0f\n", lags[count / 2] / 1000,
	       lags[count * 9 / 10] / 1000, lags[count * 99 / 100] / 1000,
	       count * 1e9 / (now(CLOCK_MONOTONIC) - start));
	kvWatcher_Destroy(watcher);
	free(lags);
}

static void print_numbers(char *text)
{
	static const char prefix[] = "metastore_nats_";
	char *line;

	while ((line = strsep(&text, "\n")))
		if (!strncmp(line, prefix, strlen(prefix)))
			puts(line + strlen(prefix));
}

static int metrics(const char *path, bool numbers)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char text[65536] = "";
	size_t len = 0;
	ssize_t more;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		warn("%s", path);
		close(fd);
		return 3;
	}
	while ((more = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += more;
	close(fd);
	if (numbers)
		print_numbers(text);
	else
		fputs(text, stdout);
	return 0;
}

static int run(const char *command, const char *bucket, char **operands)
{
	if (!strcmp(command, "put"))
		put(operands[0], operands[1]);
	else if (!strcmp(command, "own"))
		own(bucket, operands[0], operands[1]);
	else if (!strcmp(command, "purge"))
		purge(bucket, operands[0]);
	else if (!strcmp(command, "remove"))
		check(js_DeleteKeyValue(js, bucket), bucket);
	else if (!strcmp(command, "del"))
		check(kvStore_Delete(kv, operands[0]), operands[0]);
	else if (!strcmp(command, "get"))
		return get(operands[0]);
	else if (!strcmp(command, "ls"))
		list(false);
	else if (!strcmp(command, "history"))
		list(true);
	else if (!strcmp(command, "rev"))
		revision(bucket);
	else if (!strcmp(command, "leader"))
		leader(bucket);
	else if (!strcmp(command, "limit"))
		limit(bucket, operands[0]);
	else if (!strcmp(command, "load"))
		load(bucket, operands[0], atoi(operands[1]),
		     operands[2] ? atoi(operands[2]) : 0);
	else if (!strcmp(command, "bench"))
		put_many(atoi(operands[0]));
	else if (!strcmp(command, "lag"))
		lag(atoi(operands[0]));
	else if (strcmp(command, "create"))
		errx(2, "%s: no such command", command);
	return 0;
}

/* URLs with commas between them */
static natsStatus set_servers(natsOptions *options, const char *urls)
{
	char *copy = strdup(urls), *list[8];
	natsStatus status;
	int count = 0;

	for (char *url = strtok(copy, ","); url && count < 8; url = strtok(NULL, ","))
		list[count++] = url;
	status = natsOptions_SetServers(options, (const char **)list, count);
	free(copy);
	return status;
}

static void disconnect(void)
{
	kvStore_Destroy(kv);
	jsCtx_Destroy(js);
	natsConnection_Destroy(connection);
	kv = NULL;
	js = NULL;
	connection = NULL;
}

static void connect_to(const char *urls)
{
	natsOptions *options;
	jsOptions js_options;

	check(natsOptions_Create(&options), "options");
	check(set_servers(options, urls), urls);
	check(natsOptions_SetSendAsap(options, true), "options");
	check(natsOptions_SetAllowReconnect(options, false), "options");
	check(natsConnection_Connect(&connection, options), urls);
	jsOptions_Init(&js_options);
	js_options.PublishAsync.MaxPending = PENDING_MAX;
	js_options.PublishAsync.StallWait = WAIT_MS;
	check(natsConnection_JetStream(&js, connection, &js_options), "JetStream");
	natsOptions_Destroy(options);
}

static int obey(const char *urls, char **words)
{
	const char *command = words[0], *bucket = words[1];

	if (!strcmp(command, "metrics") || !strcmp(command, "numbers"))
		return metrics(bucket, command[0] == 'n');
	if (!connection || natsConnection_Status(connection) != NATS_CONN_STATUS_CONNECTED) {
		disconnect();
		connect_to(urls);
	}
	kvStore_Destroy(kv);
	kv = NULL;
	if (!strcmp(command, "create"))
		create(bucket, words[2], words[2] ? words[3] : NULL);
	else
		check(js_KeyValue(&kv, js, bucket), bucket);
	return run(command, bucket, words + 2);
}

static int serve(const char *urls)
{
	char *line = NULL, *words[8];
	size_t size = 0;

	serving = true;
	while (getline(&line, &size, stdin) > 0) {
		int count = 0, status;

		line[strcspn(line, "\n")] = '\0';
		memset(words, 0, sizeof(words));
		for (char *rest = line; rest && count < 7; count++)
			words[count] = strsep(&rest, "\037");
		status = setjmp(failed);
		if (!status)
			status = obey(urls, words);
		printf("\036%d\n", status);
		fflush(stdout);
	}
	free(line);
	return 0;
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 4)
		errx(2, "usage: nats_kv URL COMMAND BUCKET [OPERAND...]");
	if (!strcmp(argv[2], "serve"))
		status = serve(argv[1]);
	else
		status = obey(argv[1], argv + 2);
	disconnect();
	nats_Close();
	return status;
}
