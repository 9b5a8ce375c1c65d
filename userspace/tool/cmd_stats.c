// SPDX-License-Identifier: GPL-2.0
/* mstore stats */
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "json.h"
#include "outfile.h"
#include "output.h"
#include "prometheus.h"
#include "record.h"
#include "sample.h"
#include "settings.h"
#include "store.h"
#include "text.h"
#include "writer.h"

enum { OPT_ALL = OPT_OWN, OPT_PROMETHEUS };

static const struct tool_option options[] = {
	{ OPT_ALL, "all", NULL, "also private stores" },
	{ OPT_PROMETHEUS, "prometheus", NULL, "print metrics as Prometheus reads them" },
	OPTION_OUTPUT, OPTION_JSON, { }
};

static bool all, prometheus;

enum metric_type { GAUGE, COUNTER, SECONDS };

/*
 * A number of each entity of a group
 *
 * @name:	in JSON and plain; with the group's, and with what Prometheus wants behind it
 *		("_total", "_seconds"), there
 * @type:	SECONDS: a gauge in ms
 * @offset:	of the number in the entity
 * @hidden:	only debugfs tells it
 */
struct metric {
	const char *name;
	enum metric_type type;
	size_t offset;
	bool hidden;
	const char *help;
};

#define STORE(field)	offsetof(struct store_counters, field)
#define QUEUE(field)	offsetof(struct open_file, field)
#define USE(field)	offsetof(struct mstore_user_kind, field)

static const struct metric store_metrics[] = {
	{ "keys", GAUGE, STORE(keys), false, "Keys in the store" },
	{ "keys_limit", GAUGE, STORE(max_keys), false, "Keys that the store may hold" },
	{ "bytes", GAUGE, STORE(bytes), false, "Bytes that keys and values take" },
	{ "bytes_limit", GAUGE, STORE(max_bytes), false, "Bytes that they may take" },
	{ "subscriptions", GAUGE, STORE(subscriptions), false, "Subscriptions of all open files" },
	{ "open_files", GAUGE, STORE(files), true, "Open files of the store" },
	{ "changes", COUNTER, STORE(changes), true,
	  "Changes of keys, by commands, ends of owners and expiry" },
	{ "publishes", COUNTER, STORE(published), true, "Changes of keys made by publishing" },
	{ }
};

static const struct metric queue_metrics[] = {
	{ "events", GAUGE, QUEUE(events), false, "Events that wait in the queue" },
	{ "events_limit", GAUGE, QUEUE(max_len), false, "Events that the queue may hold" },
	{ "events_highest", GAUGE, QUEUE(high_len), false, "Most events that ever waited" },
	{ "bytes", GAUGE, QUEUE(bytes), false, "Bytes that the waiting events take" },
	{ "bytes_limit", GAUGE, QUEUE(max_bytes), false, "Bytes that they may take" },
	{ "oldest", SECONDS, QUEUE(oldest_ms), false, "Age of the oldest event that waits" },
	{ "subscriptions", GAUGE, QUEUE(subscriptions), false, "Subscriptions of the open file" },
	{ "matched", COUNTER, QUEUE(books.matched), false, "Events that matched a subscription" },
	{ "delivered", COUNTER, QUEUE(books.delivered), false, "Events that were read" },
	{ "conflated", COUNTER, QUEUE(books.conflated), false,
	  "Events that a newer one replaced" },
	{ "lost", COUNTER, QUEUE(books.lost), false, "Events that were lost" },
	{ "discarded", COUNTER, QUEUE(books.discarded), false,
	  "Events that the subscriber discarded" },
	{ }
};

static const struct metric user_metrics[] = {
	{ "use", GAUGE, USE(use), false, "What the user uses of a kind" },
	{ "limit", GAUGE, USE(limit), false, "What the user may use of that kind" },
	{ "refused", COUNTER, USE(refused), false, "Calls that this limit refused" },
	{ }
};

static uint64_t number_of(const struct metric *metric, const void *entity)
{
	return *(const uint64_t *)((const char *)entity + metric->offset);
}

static void add_value(struct buffer *buf, const struct metric *metric, const void *entity)
{
	unsigned long long number = number_of(metric, entity);

	if (metric->type == SECONDS)
		buffer_format(buf, "%llu.%03llu", number / 1000, number % 1000);
	else
		buffer_format(buf, "%llu", number);
}

/*
 * Stores, queues, or kinds of use: all that has the same metrics
 *
 * @name:	name of the group
 * @metrics:	its metrics; one without a name ends them
 * @get:	the entity number @i, or NULL behind the last
 * @labels:	adds what tells it from others, for Prometheus
 * @path:	adds the same for plain output
 * @knows:	whether the hidden metrics of an entity are known, or NULL: there are none
 */
struct group {
	const char *name;
	const struct metric *metrics;
	const void *(*get)(const struct sample *sample, size_t i);
	void (*labels)(struct buffer *buf, const struct sample *sample, size_t i);
	void (*path)(struct buffer *buf, const struct sample *sample, size_t i);
	bool (*knows)(const void *entity);
};

static const void *get_store(const struct sample *sample, size_t i)
{
	return i < sample->store_count ? &sample->stores[i] : NULL;
}

static void label_store(struct buffer *buf, const struct sample *sample, size_t i)
{
	add_number_label(buf, "store", sample->stores[i].store);
}

static void path_of_store(struct buffer *buf, const struct sample *sample, size_t i)
{
	buffer_number(buf, sample->stores[i].store);
}

static bool store_is_known(const void *entity)
{
	return ((const struct store_counters *)entity)->known;
}

static const void *get_queue(const struct sample *sample, size_t i)
{
	return i < sample->files.count ? &sample->files.files[i] : NULL;
}

static void label_queue(struct buffer *buf, const struct sample *sample, size_t i)
{
	const struct open_file *file = &sample->files.files[i];

	add_number_label(buf, "store", file->store);
	add_number_label(buf, "file", file->file);
	add_number_label(buf, "pid", file->holders[0]);
	add_label(buf, "command", holder_command(file->holders[0]));
}

static void path_of_queue(struct buffer *buf, const struct sample *sample, size_t i)
{
	buffer_number(buf, sample->files.files[i].file);
}

/* Users come with all kinds one after the other. */
static const void *get_use(const struct sample *sample, size_t i)
{
	size_t user = i / USER_KIND_COUNT;

	return user < sample->users.count ?
	       &sample->users.users[user].kinds[i % USER_KIND_COUNT] : NULL;
}

static void label_use(struct buffer *buf, const struct sample *sample, size_t i)
{
	const struct mstore_user_info *user = &sample->users.users[i / USER_KIND_COUNT];

	add_number_label(buf, "uid", user->uid);
	add_number_label(buf, "namespace", user->ns);
	add_label(buf, "user", user_name(user->uid));
	add_label(buf, "kind", user_kinds[i % USER_KIND_COUNT].name);
}

static void path_of_use(struct buffer *buf, const struct sample *sample, size_t i)
{
	const struct mstore_user_info *user = &sample->users.users[i / USER_KIND_COUNT];

	buffer_number(buf, user->uid);
	if (user->ns != sample->users.own.ns)
		buffer_format(buf, "@%u", user->ns);
	buffer_format(buf, ".%s", user_kinds[i % USER_KIND_COUNT].name);
}

static const struct group groups[] = {
	{ "store", store_metrics, get_store, label_store, path_of_store, store_is_known },
	{ "queue", queue_metrics, get_queue, label_queue, path_of_queue, NULL },
	{ "user", user_metrics, get_use, label_use, path_of_use, NULL },
};

static bool has_metric(const struct group *group, const struct metric *metric,
		       const void *entity)
{
	return !metric->hidden || group->knows(entity);
}

/* All entities of a metric are together, below its HELP and TYPE. */
static void print_metric(const struct group *group, const struct metric *metric,
			 const struct sample *sample)
{
	const void *entity;
	char name[64];

	snprintf(name, sizeof(name), "metastore_%s_%s%s", group->name, metric->name,
		 metric->type == COUNTER ? "_total" : metric->type == SECONDS ? "_seconds" : "");
	add_heading(&out, name, metric->type == COUNTER ? "counter" : "gauge", metric->help);
	for (size_t i = 0; (entity = group->get(sample, i)); i++) {
		struct buffer labels = { 0 };

		if (!has_metric(group, metric, entity))
			continue;
		group->labels(&labels, sample, i);
		buffer_format(&out, "%s{%.*s} ", name, (int)labels.len, labels.data);
		add_value(&out, metric, entity);
		out_end();
		free(labels.data);
	}
}

static void print_prometheus(const struct sample *sample)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		for (const struct metric *metric = groups[i].metrics; metric->name; metric++)
			print_metric(&groups[i], metric, sample);
	add_heading(&out, "metastore_unreadable_processes", "gauge",
		    "Processes whose open files could not be read");
	buffer_format(&out, "metastore_unreadable_processes %u\n", sample->files.denied);
}

static void print_plain_entity(const struct group *group, const struct sample *sample, size_t i)
{
	const void *entity = group->get(sample, i);

	for (const struct metric *metric = group->metrics; metric->name; metric++) {
		if (!has_metric(group, metric, entity))
			continue;
		buffer_format(&out, "%s.", group->name);
		group->path(&out, sample, i);
		buffer_format(&out, ".%s ", metric->name);
		add_value(&out, metric, entity);
		out_end();
	}
}

static void print_plain(const struct sample *sample)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		for (size_t j = 0; groups[i].get(sample, j); j++)
			print_plain_entity(&groups[i], sample, j);
}

static void add_metrics(json_t *object, const struct group *group, const void *entity)
{
	for (const struct metric *metric = group->metrics; metric->name; metric++) {
		if (!has_metric(group, metric, entity))
			continue;
		if (metric->type == SECONDS)
			object_add(object, metric->name,
				   json_real((double)number_of(metric, entity) / 1000));
		else
			object_number(object, metric->name, number_of(metric, entity));
	}
}

static json_t *json_stores(const struct sample *sample)
{
	json_t *array = array_new();

	for (size_t i = 0; i < sample->store_count; i++) {
		json_t *object = object_new();

		object_number(object, "store", sample->stores[i].store);
		add_metrics(object, &groups[0], &sample->stores[i]);
		array_add(array, object);
	}
	return array;
}

static json_t *json_queues(const struct sample *sample)
{
	json_t *array = array_new();

	for (size_t i = 0; i < sample->files.count; i++) {
		const struct open_file *file = &sample->files.files[i];
		json_t *object = object_new();

		object_number(object, "store", file->store);
		object_number(object, "file", file->file);
		object_number(object, "pid", file->holders[0]);
		object_text(object, "command", holder_command(file->holders[0]));
		add_metrics(object, &groups[1], file);
		array_add(array, object);
	}
	return array;
}

static json_t *json_users(const struct sample *sample)
{
	json_t *array = array_new();

	for (size_t i = 0; i < sample->users.count; i++) {
		json_t *object = object_new();

		add_user(object, &sample->users.users[i]);
		array_add(array, object);
	}
	return array;
}

static void print_json(const struct sample *sample)
{
	json_t *object = object_new();

	object_add(object, "stores", json_stores(sample));
	object_add(object, "queues", json_queues(sample));
	object_add(object, "users", json_users(sample));
	object_print(object);
}

static void print(const struct sample *sample)
{
	if (prometheus)
		print_prometheus(sample);
	else if (settings.json)
		print_json(sample);
	else
		print_plain(sample);
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_stats, argc, argv)) != -1)
		*(option == OPT_ALL ? &all : &prometheus) = true;
	want_operands(&cmd_stats, argc, argv, "");
	want_one_form(&cmd_stats, (const struct form[]){
		{ "--prometheus", prometheus }, { "--json", settings.json }, { } });
}

static int stats(int argc, char **argv)
{
	struct mstore *store;
	struct sample sample;
	int status;

	parse_options(argc, argv);
	store = open_store(MSTORE_READ);
	sample_read(&sample, store, all);
	/* For a collector that runs as another user */
	outfile_begin(0644);
	print(&sample);
	outfile_commit();
	status = sample_status(&sample, "stats");
	sample_free(&sample);
	mstore_close(store);
	return status;
}

const struct command cmd_stats = {
	.name = "stats",
	.run = stats,
	.operands = "",
	.summary = "Print all counters once, for scripts and for Prometheus",
	.options = options,
};
