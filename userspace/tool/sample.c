// SPDX-License-Identifier: GPL-2.0
/* All counters that the module has, read at about one time: for top and stats. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "output.h"
#include "sample.h"
#include "store.h"

#define DEBUGFS		"/sys/kernel/debug/metastore/stores"
#define COLUMNS_MAX	64

/* Columns that are not known are left out. */
static uint64_t *column(struct store_counters *counters, const char *name)
{
	const struct {
		const char *name;
		uint64_t *number;
	} columns[] = {
		{ "store", &counters->store },
		{ "files", &counters->files },
		{ "subscriptions", &counters->subscriptions },
		{ "keys", &counters->keys },
		{ "max_keys", &counters->max_keys },
		{ "bytes", &counters->bytes },
		{ "max_bytes", &counters->max_bytes },
		{ "changes", &counters->changes },
		{ "published", &counters->published },
	};

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (!strcmp(columns[i].name, name))
			return columns[i].number;
	return NULL;
}

/* Splits a line at its spaces. Returns the number of @words. */
static size_t split(char *line, char *words[COLUMNS_MAX])
{
	char *rest = NULL;
	size_t count = 0;

	for (char *word = strtok_r(line, "\n ", &rest); word && count < COLUMNS_MAX;
	     word = strtok_r(NULL, "\n ", &rest))
		words[count++] = word;
	return count;
}

static struct store_counters *append_store(struct sample *sample)
{
	sample->stores = reallocarray(sample->stores, sample->store_count + 1,
				      sizeof(*sample->stores));
	if (!sample->stores)
		call_failed("memory", ENOMEM);
	sample->stores[sample->store_count] = (struct store_counters){ 0 };
	return &sample->stores[sample->store_count++];
}

static void read_line(struct store_counters *counters, char **names, char **words, size_t count)
{
	counters->known = true;
	for (size_t i = 0; i < count; i++) {
		uint64_t *number = column(counters, names[i]);

		if (number)
			*number = strtoull(words[i], NULL, 10);
		else if (!strcmp(names[i], "kind"))
			counters->private = !strcmp(words[i], "private");
	}
}

/* As audit does, this leaves the tool's own open file out. */
static void forget_own_file(struct store_counters *counters, uint64_t store)
{
	if (counters->store == store && counters->files)
		counters->files--;
}

/* Reads the stores that debugfs tells of; none unless this is root. The first line has names. */
static void read_debugfs(struct sample *sample, uint64_t store, bool all)
{
	char *heading = NULL, *line = NULL, *names[COLUMNS_MAX], *words[COLUMNS_MAX];
	FILE *file = fopen(DEBUGFS, "re");
	size_t size = 0, line_size = 0, count, words_count;
	struct store_counters *counters;

	if (!file)
		return;
	count = getline(&heading, &size, file) > 0 ? split(heading, names) : 0;
	while (getline(&line, &line_size, file) > 0) {
		words_count = split(line, words);
		counters = append_store(sample);
		read_line(counters, names, words, count < words_count ? count : words_count);
		forget_own_file(counters, store);
		if (!all && counters->store != store)
			sample->store_count--;
	}
	free(heading);
	free(line);
	fclose(file);
}

/* Counters that the store tells all who may open it */
static void read_info(struct sample *sample, struct mstore *store, uint64_t number)
{
	struct store_counters *counters;
	struct mstore_info info;

	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		call_failed(store_path(), errno);
	counters = append_store(sample);
	counters->store = number;
	counters->keys = info.keys;
	counters->max_keys = info.max_keys;
	counters->bytes = info.bytes;
	counters->max_bytes = info.max_bytes;
	counters->subscriptions = info.subscriptions;
}

/**
 * sample_read() - read all counters
 * @sample:	where to write them
 * @store:	the tool's own open store, of which the counters are
 * @all:	of all stores instead
 */
void sample_read(struct sample *sample, struct mstore *store, bool all)
{
	uint64_t number;

	*sample = (struct sample){ .time_ns = now_ns(CLOCK_MONOTONIC) };
	number = open_files_read(&sample->files, store);
	if (!all)
		open_files_keep(&sample->files, number);
	if (sample->files.count)
		qsort(sample->files.files, sample->files.count, sizeof(*sample->files.files),
		      compare_files);
	read_debugfs(sample, number, all);
	if (!sample->store_count)
		read_info(sample, store, number);
	users_read(&sample->users, store);
}

void sample_free(struct sample *sample)
{
	open_files_free(&sample->files);
	free(sample->users.users);
	free(sample->stores);
}

/* Says what could not be read. Returns a status. */
int sample_status(const struct sample *sample, const char *command)
{
	if (!sample->files.denied && !sample->users.denied && sample->stores[0].known)
		return STATUS_YES;
	if (sample->files.denied)
		report(command, "cannot read %u processes; use sudo", sample->files.denied);
	else if (sample->users.denied)
		report(command, "cannot read other users; use sudo");
	else
		report(command, "cannot read " DEBUGFS "; use sudo, or mount debugfs");
	return STATUS_COULD_NOT;
}
