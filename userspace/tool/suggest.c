// SPDX-License-Identifier: GPL-2.0
/* The subcommand that an unknown word may stand for. It is named and never run. */
#include <string.h>

#include "suggest.h"

/* A longer word is no slip of a subcommand's name. */
#define WORD_MAX	12

/* Names that other tools have for it. */
static const struct {
	const char *word;
	const char *name;
} synonyms[] = {
	{ "publish", "pub" }, { "emit", "pub" }, { "send", "pub" }, { "notify", "pub" },
	{ "subscribe", "sub" }, { "watch", "sub" }, { "listen", "sub" }, { "follow", "sub" },
	{ "tail", "sub" },
	{ "put", "set" }, { "write", "set" }, { "store", "set" }, { "add", "set" },
	{ "read", "get" }, { "cat", "get" }, { "show", "get" }, { "print", "get" },
	{ "delete", "del" }, { "rm", "del" }, { "remove", "del" }, { "unset", "del" },
	{ "list", "ls" }, { "keys", "ls" }, { "clear", "flush" }, { "edit", "update" },
	{ "export", "dump" }, { "save", "dump" }, { "backup", "dump" },
	{ "import", "load" }, { "restore", "load" },
	{ "exec", "batch" }, { "multi", "batch" },
	{ "status", "info" }, { "subscribers", "subs" },
	{ "own", "hold" }, { "flock", "lock" },
};

/* Words for what ends by itself, or has no command for another reason. */
static const struct {
	const char *word;
	const char *why;
} absences[] = {
	{ "unlock",
	  "a lock ends with the command that mstore lock runs; mstore del --steal takes it away" },
	{ "release", "a lock or a hold ends with the command that it runs" },
	{ "unsubscribe", "a subscription ends with its mstore sub" },
};

/* Returns why there is no such command, or NULL. */
const char *explain_absence(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(absences); i++)
		if (!strcmp(absences[i].word, word))
			return absences[i].why;
	return NULL;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* How many letters must be changed, added, dropped, or swapped with the next one. */
static int distance(const char *a, const char *b)
{
	int rows[WORD_MAX + 1][WORD_MAX + 1];
	int rows_end = strlen(a), row_end = strlen(b);

	for (int i = 0; i <= rows_end; i++)
		for (int j = 0; j <= row_end; j++) {
			if (!i || !j) {
				rows[i][j] = i + j;
				continue;
			}
			rows[i][j] = least(rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
					   least(rows[i - 1][j], rows[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1);
		}
	return rows[rows_end][row_end];
}

/* How far a word is from a name: 0 for an abbreviation of it. */
static int slips(const char *word, const char *name)
{
	size_t len = strlen(word);

	return len > 1 && !strncmp(name, word, len) ? 0 : distance(word, name);
}

/* Returns NULL if no name is near enough. @commands ends with NULL. */
const char *suggest(const struct command *const *commands, const char *word)
{
	int nearest = strlen(word) < 5 ? 2 : 3;
	const char *name = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(synonyms); i++)
		if (!strcmp(synonyms[i].word, word))
			return synonyms[i].name;
	if (strlen(word) > WORD_MAX)
		return NULL;
	for (; *commands; commands++) {
		int far = slips(word, (*commands)->name);

		if (far < nearest) {
			nearest = far;
			name = (*commands)->name;
		}
	}
	return name;
}
