/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fuzzer: random programs against /dev/metastore and private stores, and what must
 * hold whatever they do.
 *
 *   program.c   programs: text, random ones, mutation
 *   calls.c     the table of calls: name, what its arguments may be, function
 *   lane.c      a lane, its memory, hostile pointers; one command of the module
 *   keys.c      calls that change and look up keys
 *   events.c    calls of a subscriber
 *   map.c       calls of a subscriber that has mapped its ring
 *   world.c     calls around the module: descriptors, memory, signals, CPUs
 *   check.c     what must hold of values, versions and events
 *   rest.c      what must hold of a store at rest, and of what a program leaves
 *   body.c      runs programs, one after the other
 *   memory.c    what is left of the memory that programs made the module ask for
 *   coverage.c  what of the module ran
 *   main.c      chooses programs, keeps those that reach something new, reports
 *
 * A program is a list of steps, each a call with numbers as arguments, for up to LANES
 * lanes that run at the same time: threads, or processes of their own (forked). All that
 * lanes share lies in memory that survives fork().
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>

#define DEVICE		"/dev/metastore"
#define NO_PROGRAM	"nothing"	/* name of a process that ends at once */
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define ALL_EVENTS	(METASTORE_EVENT_PUBLISHED | METASTORE_EVENT_SET | \
			 METASTORE_EVENT_DELETED)

/* A program */

#define LANES		4
#define STEPS		128
#define ARGS		8
#define PROGRAM_TEXT	32768

struct step {
	uint32_t lane;
	uint32_t call;			/* index in the table */
	uint32_t arg[ARGS];
};

struct program {
	uint32_t lanes;
	uint32_t forked;		/* bit by lane: a process of its own */
	uint32_t repeat;		/* how often each lane does its steps */
	uint32_t buckets;		/* of the private stores, like the next two */
	uint32_t queue_len;
	uint32_t max_keys;
	uint32_t nr;
	struct step steps[STEPS];
};

uint64_t random_next(uint64_t *state);
uint32_t random_below(uint64_t *state, uint32_t limit);

void program_generate(struct program *program, uint64_t *state);
/* Makes a variant of a program, which may borrow from @other */
void program_mutate(struct program *program, const struct program *other, uint64_t *state);
/* Returns the length */
size_t program_print(const struct program *program, char *text);
/* Returns whether the text is a program, and says if not */
bool program_parse(struct program *program, const char *text);

/* The table of calls */

struct lane;

/* Values that an argument may have */
struct domain {
	enum { ONE_OF, BITS_OF, MOSTLY_FIRST } how;
	uint32_t nr;
	const uint32_t *values;
};

struct call {
	const char *name;
	uint32_t weight;		/* how often among random ones */
	bool wild;			/* after it not all can be accounted for */
	void (*run)(struct lane *lane, const uint32_t *arg);
	struct {
		const char *name;
		const struct domain *domain;
	} args[ARGS];
};

extern const struct call calls[];
extern const uint32_t nr_calls;
extern const struct domain domain_mem;

/* State that all workers share */

#define KEYS		32
#define GROUP		28		/* the first of four keys that change together */
#define DIRTY		24		/* the first of four whose values may be garbage */
#define CORPUS		512
#define COVERAGE_BITS	0x100000	/* bytes of the module's code, at most */
#define WORKERS		8

struct world {
	char finding[1024];		/* the first one; empty: none */
	uint32_t has_finding;
	uint32_t stop;
	uint64_t seen[KEYS];		/* newest version known of a key of the default store */
	uint64_t operations;
	uint64_t programs;
	uint64_t per_call[64];
	uint64_t succeeded[64];
	uint32_t covered;
	uint32_t corpus_lock;
	uint32_t corpus_nr;
	uint8_t coverage[COVERAGE_BITS / 8];
	struct program corpus[CORPUS];
	uint32_t unsure;		/* programs that were not accounted for to the end */
};

extern struct world *world;
extern uint32_t slowness;

/* Notes what must not be; the first counts. */
[[gnu::format(printf, 1, 2)]] void finding(const char *format, ...);

/* State that all lanes of a program share */

enum { STORE_DEFAULT, STORE_ANY, STORE_GROUPS, STORE_OTHER, STORES };

#define SLOTS		16
#define FIRST_FD	100		/* slot 0 is this descriptor, and so on */
#define FILES		128
#define CHANGES		32768

/* One open file, whatever descriptors there are of it */
struct open_file {
	int store;
	uint64_t received;		/* events that readers got */
	bool resynced;			/* losses may be settled of which no reader was told */
};

/* A change of a key that was reported */
struct change {
	uint32_t key;			/* its index and its store's */
	uint32_t step;			/* that made it */
	bool knows_previous;
	uint64_t version;
	uint64_t previous;		/* version that it replaced; 0: none */
};

/* Counts that readers were told about a subscription */
#define COOKIES		4096

struct told {
	uint32_t received;		/* events */
	uint32_t lost;			/* events, by records of losses */
};

struct lane {
	int number;
	pid_t pid, tid;
	uint32_t done;
	uint32_t step;
	uint64_t since;			/* when the step began, ns; 0: none runs */
	uint64_t operations;
	uint32_t per_call[64], succeeded[64];
	uint64_t random;

	/* The rest is of the lane alone. */
	uint32_t fail;			/* which thing that can fail in the next step shall */
	bool worked;			/* the step did something */
	bool pinned;
	bool has_timer;
	timer_t timer;
	char *memory;
	struct seen *seen;		/* newest events */
	int epoll, fault;
	struct ring *ring;
	struct map *map;
	struct program *program;
};

struct shared {
	struct lane lanes[LANES];
	struct open_file files[FILES];
	uint32_t nr_files;
	uint64_t seen[STORES][KEYS];
	uint32_t unsure;		/* a change or an event may be unaccounted for */
	uint32_t overran;		/* changes were left out */
	uint32_t stamp;
	uint32_t cookie;
	uint32_t nr_ready, go;		/* processes of lanes start at the same time */
	uint32_t nr_done;
	uint32_t nr_changes;
	/* Cleared as far as they were in use */
	struct change changes[CHANGES];
	struct told told[COOKIES];	/* by the number of the subscription's cookie */

	/* The rest is not of one program. */
	struct program program;
	uint64_t began;			/* when it did, ns */
	uint32_t nr_programs;
	uint32_t found;			/* the first finding is of this program */
};

extern struct shared *shared;
extern __thread struct lane *this_lane;	/* NULL: none */

/* A descriptor by its slot; threads share them, a forked lane has its own. */
struct slot {
	pthread_mutex_t lock;		/* while it changes */
	uint32_t turn;			/* odd: it changes */
	int file;			/* index in shared->files; -1: none */
};

extern struct slot slots[SLOTS];
extern int roots[STORES];		/* descriptors that steps do not use */
extern int sockets[2];

/* lane.c */

#define PAGE		4096
#define GOOD_SIZE	(64 * PAGE)	/* of the good part of a lane's memory */
#define FLIP_PAGES	4		/* pages that other lanes take away meanwhile */
#define KEY_AT		1024		/* in the good part, behind the structure */

/* Faults of a pointer, a length or a structure. Which one: 16 times that. */
enum hostile {
	GOOD, NOWHERE, UNMAPPED, KERNEL, EDGE, FLIPPING, READ_ONLY, NON_CANONICAL,
	ODD, NO_LENGTH, LONG_LENGTH, HUGE_LENGTH, UNKNOWN_BITS, SHORTER, LONGER, LONGER_DIRTY,
};

enum { AT_STRUCT = 0, AT_KEY = 16, AT_VALUE = 32, AT_PREVIOUS = 48 };

/* Once in a process: memory, which the lane of that number uses again and again */
bool lane_map(int lane);
/* Before a program; the lane is all zeroes. */
void lane_init(struct lane *lane);
void lane_exit(struct lane *lane);
/* How the pointer @which is to be, of the argument mem of a call */
enum hostile hostile_of(uint32_t mem, uint32_t which);
/* Where @len bytes lie that the kernel is to read or write; @content may be NULL */
uint64_t lane_place(struct lane *lane, uint32_t mem, uint32_t which, uint32_t offset,
		    const void *content, size_t len);
uint32_t lane_length(uint32_t mem, uint32_t which, uint32_t len);
/* A command; returns as ms_ioctl() does. An undocumented errno is a finding. */
int lane_ioctl(struct lane *lane, int fd, unsigned long command, void *arg, size_t size,
	       uint32_t mem);
/* Can what a call did be told from its result? */
bool lane_is_clean(struct lane *lane, uint32_t mem);
void lane_unsure(void);
int slot_fd(uint32_t slot);
/* Begins the use of a slot; NULL: it is empty or changes. @turn is for slot_is_same() */
struct open_file *slot_use(uint32_t slot, uint32_t *turn);
bool slot_is_same(uint32_t slot, uint32_t turn);
uint64_t now_ns(void);

/* check.c */

size_t key_name(uint32_t key, char *name);
/* Returns KEYS when it is none of ours */
uint32_t key_index(const void *name, size_t len);
void make_value(char *value, uint32_t key, uint32_t len, uint32_t stamp);
void check_value(uint32_t key, const char *value, uint32_t len, const char *what);
/* The newest version that is known now, which whatever begins later must not fall behind */
uint64_t version_known(int store, uint32_t key);
void version_found(int store, uint32_t key, uint64_t known, uint64_t version, const char *what);
/* A change was reported */
void version_made(int store, uint32_t key, uint64_t known, const struct change *change);
/* All lanes have ended: the changes that were noted fit together */
void check_changes(void);
/* Returns a cookie that says what its events must be; @prefix: so many bytes of the key */
#define COOKIE_EXACT	0xffff
uint64_t make_cookie(uint32_t key, uint32_t prefix, uint32_t events);
/* Check the records that read() returned; adds those that count as delivered to @received */
void check_events(struct lane *lane, int file, const char *buffer, size_t len,
		  uint64_t *received);
void check_queue(const struct metastore_queue_info *info, const char *what);
void check_subscription(const struct metastore_subscription_info *info);
void check_fdinfo(int fd);
/* The same of an open file of which all was read, in a store that nobody changes */
void check_fdinfo_read(int fd, bool resynced);

/* rest.c */

/* Nobody writes: all ways to look at the store agree */
void check_store(int fd, const char *what);
/* Nobody has a subscription or owns a key any more; empties the store */
void check_store_end(int fd, const char *what);
/* All lanes have ended. */
void check_program(void);

/* The newest event of a subscription and key that a lane read, as far as it remembers */
#define ORDER_ENTRIES	256
struct seen {
	uint64_t cookie;
	uint32_t file, key;
	uint64_t version;
};

/* body.c: runs programs, in a process of its own; both return whether it can go on. */
bool body_begin(void);
bool body_run(struct program *program, uint64_t seed);

/* memory.c */
void memory_init(void);
void memory_join(void);			/* a process, and those that it forks */
void memory_check(void);		/* the module is gone, or was */

/* coverage.c */
bool coverage_init(void);		/* before workers start */
void coverage_find_module(void);	/* whenever it was loaded */
void coverage_begin_worker(void);
void coverage_begin_lane(int lane);
void coverage_end_lane(int lane);
bool coverage_collect(void);		/* returns whether anything is new */

/* world.c */
bool write_file(const char *path, const char *text);
void fail_only_in_module(void);
void fail_begin(struct lane *lane);
void fail_end(struct lane *lane);
void cpus_on(void);
void timer_end(struct lane *lane);
void unpin(struct lane *lane);
int slot_put(uint32_t slot, int fd, int file);
int file_new(int store);
void ring_close(struct lane *lane);
void map_close(struct lane *lane);

#define CALL(name) void call_##name(struct lane *lane, const uint32_t *arg)
CALL(open); CALL(reopen); CALL(create); CALL(dup); CALL(close); CALL(send); CALL(receive);
CALL(nonblock); CALL(protect); CALL(signal); CALL(kill); CALL(fail); CALL(cpu); CALL(pause);
CALL(pin); CALL(fork);
CALL(set); CALL(publish); CALL(get); CALL(stat); CALL(delete); CALL(touch); CALL(list);
CALL(flush); CALL(info); CALL(bucket); CALL(subscribers); CALL(batch); CALL(group_change);
CALL(group_look); CALL(raw);
CALL(subscribe); CALL(unsubscribe); CALL(queue); CALL(subscription); CALL(read); CALL(readv);
CALL(poll); CALL(epoll_add); CALL(epoll_wait); CALL(fionread); CALL(uring_read);
CALL(uring_reap); CALL(fdinfo); CALL(map); CALL(tail); CALL(remap); CALL(unmap);

#endif /* FUZZ_H */
