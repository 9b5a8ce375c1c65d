/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the processes of the soak. A process has one role until it is killed, or
 * told to come to its end, at which it checks what it can.
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdnoreturn.h>

#ifndef METASTORE_TEST_H
#define MS_NO_HARNESS
#include "../metastore_test.h"
#endif

#define SOAK_KEYS	200	/* any/000 to any/199 */
#define SOAK_GROUP	MS_CGROUP "/metastore_soak"
#define SOAK_PRESSED	SOAK_GROUP "/pressed"
#define SOAK_OTHERS	SOAK_GROUP "/others"

enum soak_count {
	SOAK_CHANGES,
	SOAK_WAITED,
	SOAK_BATCHES,
	SOAK_EVENTS,
	SOAK_LOST,
	SOAK_FOLLOWED,
	SOAK_STORES,
	SOAK_LOCKED,
	SOAK_REFUSED,		/* ENOMEM */
	SOAK_COMMANDS,		/* of the tool */
	SOAK_KILLED,
	SOAK_UNPLUGGED,
	SOAK_RELOADED,
	SOAK_COUNTS,
};

/**
 * struct soak_board - what all processes share
 * @writers_end: those that write come to their end
 * @all_end:	all do: what waits is all that will
 * @counts:	what was done
 * @inside:	process that holds the lock
 * @error:	the first fault
 */
struct soak_board {
	int writers_end;
	int all_end;
	__u64 counts[SOAK_COUNTS];
	pid_t inside;
	char error[256];
};

extern struct soak_board *soak;

/**
 * struct soak_role - what a process does
 * @nr:		processes that do it at the same time
 * @reads:	it ends with all_end, else with writers_end
 * @run:	does it until the end. Exits by SOAK_CHECK() at a fault
 */
struct soak_role {
	const char *name;
	int nr;
	bool reads;
	void (*run)(void);
};

extern const struct soak_role soak_roles[];

/* A fault: tell the first one, and end this process. */
noreturn void soak_fail(const char *file, int line, const char *condition);

#define SOAK_CHECK(condition) \
	do { \
		if (!(condition)) \
			soak_fail(__FILE__, __LINE__, #condition); \
	} while (0)

/* The number of a key any/000 to any/199; -1: it is another one */
static inline int soak_key_number(const char *key, size_t len)
{
	char digits[4] = "";
	int number;

	if (len != 7 || memcmp(key, "any/", 4))
		return -1;
	memcpy(digits, key + 4, 3);
	number = atoi(digits);
	return number < SOAK_KEYS ? number : -1;
}

static inline void soak_count(enum soak_count count)
{
	__atomic_add_fetch(&soak->counts[count], 1, __ATOMIC_RELAXED);
}

static inline bool soak_writers_end(void)
{
	return __atomic_load_n(&soak->writers_end, __ATOMIC_ACQUIRE);
}

static inline bool soak_all_end(void)
{
	return __atomic_load_n(&soak->all_end, __ATOMIC_ACQUIRE);
}

/* write.c */
void soak_writer(void);
void soak_waiter(void);
void soak_pairs(void);
void soak_owner(void);
void soak_pressed(void);

/* read.c */
void soak_fast(void);
void soak_slow(void);
void soak_stuck(void);
void soak_lossless(void);
void soak_pair_reader(void);

/* library.c */
void soak_follower(void);
void soak_locker(void);

/* store.c */
void soak_private(void);
void soak_tool(void);

/* machine.c: what is done to the machine meanwhile, and what is left of it */
int soak_load(const char *parameters);
int soak_unload(void);
bool soak_can_unload_in_use(void);
bool soak_unplug(bool off);
bool soak_make_groups(void);
void soak_remove_groups(void);
long long soak_memory(void);
long long soak_quarantine(void);
long long soak_group_memory(void);

/* balance.c: returns what is left in the store, or NULL */
const char *soak_imbalance(void);

#endif /* SOAK_H */
