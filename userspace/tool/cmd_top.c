// SPDX-License-Identifier: GPL-2.0
/* mstore top */
#include <errno.h>
#include <metastore.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "error.h"
#include "json.h"
#include "output.h"
#include "sample.h"
#include "screen.h"
#include "settings.h"
#include "store.h"
#include "text.h"
#include "watch.h"
#include "writer.h"

enum { OPT_ALL = OPT_OWN, OPT_INTERVAL };

static const struct tool_option options[] = {
	{ OPT_ALL, "all", NULL, "also private stores" },
	{ OPT_INTERVAL, "interval", "TIME", "look each TIME (default 1s)" },
	{ 'n', "count", "COUNT", "end after COUNT intervals" },
	OPTION_JSON, { }
};

#define INTERVAL_MIN	100	/* ms */
#define INTERVAL_MAX	3600000
#define FEW		5	/* lines of stores and of users on a terminal */

static bool all;
static uint64_t interval_ms = 1000, wanted;

/* Changes since the sample before, a second */
struct rates {
	bool known;
	uint64_t changes;
	uint64_t published;
	uint64_t matched;
	uint64_t delivered;
	uint64_t lost;
};

/* Two samples: the one before, with its open files by number, and the present one */
struct span {
	const struct sample *before;
	const struct sample *now;
};

static uint64_t rate(const struct span *span, uint64_t before, uint64_t now)
{
	uint64_t ns = span->now->time_ns - span->before->time_ns;

	return now > before && ns ? (double)(now - before) * NS_PER_SEC / ns + 0.5 : 0;
}

static const struct store_counters *find_store(const struct sample *sample, uint64_t store)
{
	for (size_t i = 0; i < sample->store_count; i++)
		if (sample->stores[i].store == store)
			return &sample->stores[i];
	return NULL;
}

static int compare_numbers(const void *a, const void *b)
{
	const struct open_file *x = a, *y = b;

	return x->file < y->file ? -1 : x->file > y->file;
}

static const struct open_file *find_file(const struct sample *before, uint64_t file)
{
	const struct open_file wanted_file = { .file = file };

	return before->files.count ? bsearch(&wanted_file, before->files.files,
					     before->files.count, sizeof(wanted_file),
					     compare_numbers) : NULL;
}

/* Makes the present sample the one before the next. */
static void move_on(struct span *span, struct open_files *files)
{
	if (files->count)
		qsort(files->files, files->count, sizeof(*files->files), compare_numbers);
	span->before = span->now;
}

/* An open file that was not there before began with nothing. */
static struct rates rates_of_file(const struct span *span, const struct open_file *file)
{
	const struct open_file *old = span->before ? find_file(span->before, file->file) : NULL;
	struct books none = { 0 };
	const struct books *books = old ? &old->books : &none;

	if (!span->before)
		return (struct rates){ 0 };
	return (struct rates){
		.known = true,
		.matched = rate(span, books->matched, file->books.matched),
		.delivered = rate(span, books->delivered, file->books.delivered),
		.lost = rate(span, books->lost, file->books.lost),
	};
}

/* Those of events are the sums of all open files that are there now. */
static struct rates rates_of_store(const struct span *span, const struct store_counters *store)
{
	struct rates rates = { 0 };
	const struct store_counters *old;

	if (!span->before)
		return rates;
	old = find_store(span->before, store->store);
	rates.known = true;
	rates.changes = rate(span, old ? old->changes : 0, store->changes);
	rates.published = rate(span, old ? old->published : 0, store->published);
	for (size_t i = 0; i < span->now->files.count; i++) {
		const struct open_file *file = &span->now->files.files[i];
		struct rates of_file;

		if (file->store != store->store)
			continue;
		of_file = rates_of_file(span, file);
		rates.matched += of_file.matched;
		rates.delivered += of_file.delivered;
		rates.lost += of_file.lost;
	}
	return rates;
}

/* For qsort(): those that lose most now, then as audit has them. */
static const struct span *sorted_span;

static int compare(const void *a, const void *b)
{
	uint64_t x = rates_of_file(sorted_span, a).lost, y = rates_of_file(sorted_span, b).lost;

	return x != y ? (x > y ? -1 : 1) : compare_files(a, b);
}

static void sort_files(const struct span *span, struct open_files *files)
{
	sorted_span = span;
	if (files->count)
		qsort(files->files, files->count, sizeof(*files->files), compare);
}

static void add_rate(struct buffer *buf, bool known, uint64_t number)
{
	if (known)
		buffer_format(buf, " %10llu", (unsigned long long)number);
	else
		buffer_format(buf, " %10s", "-");
}

static void add_store(struct buffer *buf, const struct span *span,
		      const struct store_counters *store)
{
	struct rates rates = rates_of_store(span, store);

	buffer_format(buf, "%5llu %10llu %12llu", (unsigned long long)store->store,
		      (unsigned long long)store->keys, (unsigned long long)store->bytes);
	if (store->known)
		buffer_format(buf, " %6llu", (unsigned long long)store->files);
	else
		buffer_format(buf, " %6s", "-");
	buffer_format(buf, " %6llu", (unsigned long long)store->subscriptions);
	add_rate(buf, rates.known && store->known, rates.changes);
	add_rate(buf, rates.known && store->known, rates.published);
	add_rate(buf, rates.known, rates.matched);
	add_rate(buf, rates.known, rates.delivered);
	add_rate(buf, rates.known, rates.lost);
	buffer_text(buf, "\n");
}

static void add_stores(struct buffer *buf, const struct span *span, size_t most)
{
	buffer_format(buf, "%5s %10s %12s %6s %6s %10s %10s %10s %10s %10s\n", "STORE", "KEYS",
		      "BYTES", "FILES", "SUBS", "CHANGES/S", "PUBLISH/S", "EVENTS/S", "READ/S",
		      "LOST/S");
	for (size_t i = 0; i < span->now->store_count && i < most; i++)
		add_store(buf, span, &span->now->stores[i]);
}

static void add_processes(struct buffer *buf, const struct open_file *file)
{
	for (size_t i = 0; i < file->holder_count; i++) {
		const char *command = holder_command(file->holders[i]);

		buffer_format(buf, "%s%d ", i ? ", " : "  ", file->holders[i]);
		escape(buf, (struct bytes){ command, strlen(command) }, ESCAPE_VALUE);
	}
}

static void add_file(struct buffer *buf, const struct span *span, const struct open_file *file)
{
	struct rates rates = rates_of_file(span, file);

	if (all)
		buffer_format(buf, "%5llu ", (unsigned long long)file->store);
	buffer_format(buf, "%5llu %6zu %-11s %8llu %8llu", (unsigned long long)file->file,
		      file->sub_count, file->policy, (unsigned long long)file->books.pending,
		      (unsigned long long)file->oldest_ms);
	add_rate(buf, rates.known, rates.matched);
	add_rate(buf, rates.known, rates.delivered);
	add_rate(buf, rates.known, rates.lost);
	buffer_format(buf, " %10llu", (unsigned long long)file->books.lost);
	add_processes(buf, file);
	buffer_text(buf, "\n");
}

static void add_files(struct buffer *buf, const struct span *span, size_t most)
{
	if (all)
		buffer_format(buf, "%5s ", "STORE");
	buffer_format(buf, "%5s %6s %-11s %8s %8s %10s %10s %10s %10s  %s\n", "FILE", "SUBS",
		      "POLICY", "WAITING", "AGE-MS", "EVENTS/S", "READ/S", "LOST/S", "LOST",
		      "PROCESSES");
	for (size_t i = 0; i < span->now->files.count && i < most; i++)
		add_file(buf, span, &span->now->files.files[i]);
}

static void add_users(struct buffer *buf, const struct sample *sample, size_t most)
{
	struct users users = sample->users;

	if (users.count > most)
		users.count = most;
	add_user_table(buf, &users);
}

static void add_title(struct buffer *buf, const struct sample *sample)
{
	char when[TIME_TEXT_SIZE];

	time_text(when, now_ns(CLOCK_REALTIME));
	buffer_format(buf, "mstore top  %.19s  each %llu.%llus  q: end", when,
		      (unsigned long long)interval_ms / 1000,
		      (unsigned long long)interval_ms % 1000 / 100);
	if (sample->files.denied)
		buffer_format(buf, "  %u processes unreadable: use sudo", sample->files.denied);
	buffer_text(buf, "\n\n");
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Open files get the rows that titles, headings, limits, stores and users leave. */
static void draw(const struct span *span)
{
	size_t taken = 8 + least(span->now->store_count, FEW) +
		       least(span->now->users.count, FEW);
	size_t rows = screen_rows();
	struct buffer text = { 0 };

	add_title(&text, span->now);
	add_stores(&text, span, FEW);
	buffer_text(&text, "\n");
	add_files(&text, span, rows > taken ? rows - taken : 0);
	buffer_text(&text, "\n");
	add_users(&text, span->now, FEW);
	screen_draw(&text);
	free(text.data);
}

static void print_plain(const struct span *span)
{
	static bool later;

	if (later)
		buffer_text(&out, "\n");
	later = true;
	add_stores(&out, span, SIZE_MAX);
	buffer_text(&out, "\n");
	add_files(&out, span, SIZE_MAX);
	buffer_text(&out, "\n");
	add_users(&out, span->now, SIZE_MAX);
}

static void add_event_rates(json_t *object, const struct rates *rates)
{
	object_number(object, "events_per_second", rates->matched);
	object_number(object, "read_per_second", rates->delivered);
	object_number(object, "lost_per_second", rates->lost);
}

static json_t *json_stores(const struct span *span)
{
	json_t *array = array_new();

	for (size_t i = 0; i < span->now->store_count; i++) {
		const struct store_counters *store = &span->now->stores[i];
		struct rates rates = rates_of_store(span, store);
		json_t *object = object_new();

		object_number(object, "store", store->store);
		object_number(object, "keys", store->keys);
		object_number(object, "bytes", store->bytes);
		object_number(object, "subscriptions", store->subscriptions);
		if (store->known) {
			object_number(object, "files", store->files);
			object_number(object, "changes_per_second", rates.changes);
			object_number(object, "published_per_second", rates.published);
		}
		add_event_rates(object, &rates);
		array_add(array, object);
	}
	return array;
}

static json_t *json_files(const struct span *span)
{
	json_t *array = array_new();

	for (size_t i = 0; i < span->now->files.count; i++) {
		const struct open_file *file = &span->now->files.files[i];
		struct rates rates = rates_of_file(span, file);
		json_t *object = object_new(), *pids = array_new();

		object_number(object, "store", file->store);
		object_number(object, "file", file->file);
		for (size_t j = 0; j < file->holder_count; j++)
			array_add(pids, json_integer(file->holders[j]));
		object_add(object, "pids", pids);
		object_number(object, "subscriptions", file->sub_count);
		object_number(object, "pending", file->books.pending);
		object_number(object, "oldest_ms", file->oldest_ms);
		object_number(object, "lost", file->books.lost);
		add_event_rates(object, &rates);
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

static void print_json(const struct span *span)
{
	json_t *object = object_new();
	char when[TIME_TEXT_SIZE];

	time_text(when, now_ns(CLOCK_REALTIME));
	object_text(object, "time", when);
	object_add(object, "stores", json_stores(span));
	object_add(object, "files", json_files(span));
	object_add(object, "users", json_users(span->now));
	object_print(object);
}

/* Waits for the end of an interval. Returns false if the user wants to leave. */
static bool wait_on_screen(const struct span *span, uint64_t deadline)
{
	enum screen_news news;

	while ((news = screen_wait(deadline)) == SCREEN_REDRAW)
		draw(span);
	return news == SCREEN_TIME;
}

/* Ctrl-C ends this, and so does the end of the reader. */
static bool wait_in_pipe(uint64_t deadline)
{
	struct pollfd fds[1];

	while (ms_until(deadline))
		poll_with_output(fds, ARRAY_SIZE(fds), ms_until(deadline), STATUS_YES);
	return true;
}

static int look(struct mstore *store, bool screen)
{
	struct sample samples[2];
	struct span span = { 0 };
	uint64_t done = 0;
	int status;

	for (int i = 0;; i = !i) {
		uint64_t deadline;

		sample_read(&samples[i], store, all);
		span.now = &samples[i];
		sort_files(&span, &samples[i].files);
		if (screen)
			draw(&span);
		else if (span.before && settings.json)
			print_json(&span);
		else if (span.before)
			print_plain(&span);
		out_flush();
		if (span.before) {
			sample_free(&samples[!i]);
			done++;
		}
		deadline = samples[i].time_ns + interval_ms * NS_PER_MS;
		if ((wanted && done == wanted) ||
		    !(screen ? wait_on_screen(&span, deadline) : wait_in_pipe(deadline)))
			break;
		move_on(&span, &samples[i].files);
	}
	if (screen)
		screen_end();
	status = sample_status(span.now, "top");
	sample_free((struct sample *)span.now);
	return status;
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_top, argc, argv)) != -1) {
		if (option == OPT_ALL)
			all = true;
		else if (option == 'n')
			wanted = parse_number(&cmd_top, "-n", optarg, 1, UINT64_MAX);
		else
			interval_ms = parse_duration(&cmd_top, "--interval", optarg, INTERVAL_MIN,
						     INTERVAL_MAX);
	}
	want_operands(&cmd_top, argc, argv, "");
}

static int top(int argc, char **argv)
{
	struct mstore *store;
	bool screen;
	int status;

	parse_options(argc, argv);
	screen = !settings.json && isatty(STDOUT_FILENO);
	store = open_store(MSTORE_READ);
	if (screen)
		screen_begin();
	else
		end_on_signals(wanted ? STATUS_NO : STATUS_YES);
	status = look(store, screen);
	mstore_close(store);
	return status;
}

const struct command cmd_top = {
	.name = "top",
	.run = top,
	.operands = "",
	.summary = "Show live what the store does: rates, open files that lag, users",
	.options = options,
};
