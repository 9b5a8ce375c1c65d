/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Children of a test that all do something at the same time. Harness and fork do
 * not mix: a child says what it did not like by CHECK(), and the test has
 *
 *	ASSERT_TRUE(crew_init());
 *	if (crew_child()) {
 *		CHECK(...);
 *		_exit(0);
 *	}
 *	crew_start();
 *	EXPECT_TRUE(crew_join(0, 1));
 *	EXPECT_STREQ("", crew.board->error);
 */
#ifndef CREW_H
#define CREW_H

#include "metastore_test.h"

/* Children; a test with more of them says so first */
#ifndef CREW_MAX
#define CREW_MAX	16
#endif

/* What all of them share */
struct crew_board {
	__u32 done;
	__u64 counts[CREW_MAX];
	char error[256];		/* the first one */
};

static struct {
	int gate[2];
	pid_t pids[CREW_MAX];
	int size;
	struct crew_board *board;
} crew;

static inline bool crew_init(void)
{
	crew.size = 0;
	crew.board = ms_shared(sizeof(*crew.board));
	return crew.board && !pipe(crew.gate);
}

static inline void crew_fail(int line, const char *condition)
{
	struct crew_board *board = crew.board;

	if (!board->error[0])
		snprintf(board->error, sizeof(board->error), "line %d: %s (%s)", line, condition,
			 strerrorname_np(errno));
	_exit(1);
}

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			crew_fail(__LINE__, #condition); \
	} while (0)

/*
 * True in the child, once the test has started them all; each has random numbers
 * of its own.
 */
static inline bool crew_child(void)
{
	pid_t pid = ms_fork();
	char c;

	if (pid) {
		crew.pids[crew.size++] = pid;
		return false;
	}
	close(crew.gate[1]);
	if (read(crew.gate[0], &c, 1))
		_exit(1);
	srand(crew.size * 7919 + 1);
	return true;
}

static inline void crew_start(void)
{
	close(crew.gate[0]);
	close(crew.gate[1]);
}

/* For those that go on until the others have ended */
static inline bool crew_done(void)
{
	return __atomic_load_n(&crew.board->done, __ATOMIC_ACQUIRE);
}

static inline void crew_finish(void)
{
	__atomic_store_n(&crew.board->done, 1, __ATOMIC_RELEASE);
}

/* Joins children from number @from to before @to; true if all were content */
static inline bool crew_join(int from, int to)
{
	bool good = true;

	while (from < to)
		good &= ms_join(crew.pids[from++]) == 0;
	return good;
}

#endif /* CREW_H */
