// SPDX-License-Identifier: GPL-2.0
/*
 * The table of rows, and which of them ONLY= asks for.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define ROWS_MAX	256

static struct row rows[ROWS_MAX];
static unsigned int nr_rows;

/**
 * row_add - add a row to the table
 * @row:	the row, without its name; is copied
 * @name:	format of the name
 */
void row_add(const struct row *row, const char *name, ...)
{
	va_list args;

	if (nr_rows == ROWS_MAX)
		die("too many rows");
	rows[nr_rows] = *row;
	va_start(args, name);
	vsnprintf(rows[nr_rows].name, sizeof(rows[nr_rows].name), name, args);
	va_end(args);
	nr_rows++;
}

/**
 * rows_are_own - say that rows are about the module
 * @add:	adds them
 */
void rows_are_own(void (*add)(void))
{
	unsigned int i = nr_rows;

	add();
	for (; i < nr_rows; i++)
		rows[i].own = true;
}

/* Does the name begin with that word, or is it the word before a full stop? */
static bool is_meant(const char *name, const char *word, size_t len)
{
	if (word[len - 1] == '.')
		return strlen(name) == len - 1 && !strncmp(name, word, len - 1);
	return !strncmp(name, word, len);
}

static bool is_wanted(const struct row *row, const char *only)
{
	const char *word;
	size_t len;

	if (!*only)
		return true;
	for (word = only; *word; word += len + (word[len] == ',')) {
		len = strcspn(word, ",");
		if (len && is_meant(row->name, word, len))
			return true;
	}
	return false;
}

static bool is_first_peer_of(const struct row *peer, const struct row *row)
{
	size_t len = strlen(peer->name);

	return row->peers && !strncmp(row->peers, peer->name, len) &&
	       (!row->peers[len] || row->peers[len] == ',');
}

/* A row, or what one of those asked for is compared to. */
static bool is_needed(const struct row *row, const char *only)
{
	unsigned int i;

	if (is_wanted(row, only))
		return true;
	for (i = 0; i < nr_rows; i++)
		if (is_wanted(&rows[i], only) && is_first_peer_of(row, &rows[i]))
			return true;
	return false;
}

/**
 * rows_each - call a function for each row that is needed
 * @only:	beginnings of names, separated by commas, or names with a full stop behind;
 *		empty: all
 * @call:	the function
 */
void rows_each(const char *only, void (*call)(const struct row *row))
{
	unsigned int i;

	for (i = 0; i < nr_rows; i++)
		if (is_needed(&rows[i], only))
			call(&rows[i]);
}
