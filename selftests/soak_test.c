// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once (soak/): processes that write, subscribe, wait, own, lock and make
 * stores; some of them killed at any moment, some short of memory; a processor that goes
 * and comes; the module unloaded and loaded. In the end of each round the books balance,
 * nothing is left in the store, and memory is back.
 *
 * module: none
 *
 * SOAK_SECONDS= in the environment says how long, as make soak does.
 */
#include "metastore_test.h"
#include "soak/soak.h"

#define SLOTS		64
#define ROUND		20	/* seconds, then the module is loaded anew */
#define SLACK		4096	/* KiB that the kernel may have more than after the first round */
#define GROUP_SLACK	1024	/* KiB that may stay charged to the groups */

struct soak_board *soak;

const struct soak_role soak_roles[] = {
	{ "writer", 3, false, soak_writer },
	{ "waiter", 2, false, soak_waiter },
	{ "pairs", 2, false, soak_pairs },
	{ "owner", 2, false, soak_owner },
	{ "pressed", 2, false, soak_pressed },
	{ "fast", 2, true, soak_fast },
	{ "slow", 2, true, soak_slow },
	{ "stuck", 2, true, soak_stuck },
	{ "lossless", 2, true, soak_lossless },
	{ "pair reader", 1, true, soak_pair_reader },
	{ "follower", 2, true, soak_follower },
	{ "locker", 3, false, soak_locker },
	{ "private", 2, false, soak_private },
	{ "tool", 1, false, soak_tool },
};

static const char *const count_names[SOAK_COUNTS] = {
	"changes", "publishes that waited", "batches", "events", "LOST records",
	"changes followed", "private stores", "locks taken", "writes refused (ENOMEM)",
	"commands of the tool", "processes killed", "processors unplugged",
	"reloads of the module",
};

/* A process and its role */
static struct slot {
	const struct soak_role *role;
	pid_t pid;
} slots[SLOTS];

static int nr_slots;

void soak_fail(const char *file, int line, const char *condition)
{
	if (!soak->error[0])
		snprintf(soak->error, sizeof(soak->error), "%s:%d: %s (%s)", file, line,
			 condition, strerrorname_np(errno));
	_exit(1);
}

static void start(struct slot *slot)
{
	slot->pid = ms_fork();
	if (slot->pid)
		return;
	srand(getpid() ^ ms_now(CLOCK_MONOTONIC));
	if (ms_cgroup_write(SOAK_OTHERS, "cgroup.procs", 0))
		soak_fail(__FILE__, __LINE__, "cgroup.procs");
	slot->role->run();
	_exit(0);
}

static void start_all(void)
{
	size_t i;
	int j;

	nr_slots = 0;
	soak->writers_end = 0;
	soak->all_end = 0;
	soak->inside = 0;
	for (i = 0; i < ARRAY_SIZE(soak_roles); i++)
		for (j = 0; j < soak_roles[i].nr; j++) {
			slots[nr_slots].role = &soak_roles[i];
			start(&slots[nr_slots++]);
		}
}

/* How a process ended that nobody killed. */
static bool is_good_end(const struct slot *slot, int status)
{
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	/* The OOM killer of its group: its own memory counts too. */
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
	    !strcmp(slot->role->name, "pressed"))
		return true;
	if (!soak->error[0])
		snprintf(soak->error, sizeof(soak->error), "%s ended with status %#x",
			 slot->role->name, status);
	return false;
}

static void kill_and_start(struct slot *slot)
{
	int status;

	kill(slot->pid, SIGKILL);
	waitpid(slot->pid, &status, 0);
	if (WIFEXITED(status))
		is_good_end(slot, status);
	soak_count(SOAK_KILLED);
	start(slot);
}

/* Something happens to the machine or to a process. */
static void disturb(void)
{
	static bool off;

	switch (rand() % 8) {
	case 0:
		if (soak_unplug(!off)) {
			off = !off;
			if (off)
				soak_count(SOAK_UNPLUGGED);
		}
		break;
	case 1:
		if (soak_can_unload_in_use())
			snprintf(soak->error, sizeof(soak->error), "unloaded while in use");
		break;
	default:
		kill_and_start(&slots[rand() % nr_slots]);
	}
}

/* Processes that have not ended yet, of those that read or of the others */
static int left(bool reads)
{
	int i, status, nr = 0;

	for (i = 0; i < nr_slots; i++) {
		if (!slots[i].pid || slots[i].role->reads != reads)
			continue;
		if (waitpid(slots[i].pid, &status, WNOHANG) == slots[i].pid) {
			slots[i].pid = 0;
			is_good_end(&slots[i], status);
		} else {
			nr++;
		}
	}
	return nr;
}

/* They have been told to end. */
static void join(bool reads)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(60 * SECOND);
	int i;

	while (left(reads) && !soak->error[0] && ms_now(CLOCK_MONOTONIC) < end)
		ms_sleep(SECOND / 100);
	for (i = 0; i < nr_slots && !soak->error[0]; i++)
		if (slots[i].pid && slots[i].role->reads == reads)
			snprintf(soak->error, sizeof(soak->error), "%s does not end",
				 slots[i].role->name);
}

static void kill_all(void)
{
	int i;

	for (i = 0; i < nr_slots; i++) {
		if (!slots[i].pid)
			continue;
		kill(slots[i].pid, SIGKILL);
		waitpid(slots[i].pid, NULL, 0);
		slots[i].pid = 0;
	}
}

/* First the writers end, then those that read the rest. */
static void end_all(void)
{
	__atomic_store_n(&soak->writers_end, 1, __ATOMIC_RELEASE);
	join(false);
	/* Until all values that have a time to live have expired. */
	ms_sleep(SECOND / 2);
	__atomic_store_n(&soak->all_end, 1, __ATOMIC_RELEASE);
	if (!soak->error[0])
		join(true);
	kill_all();
}

/* A command of a process that was killed may run for a second more. */
static const char *balance(void)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(5 * SECOND);
	const char *wrong;

	while ((wrong = soak_imbalance()) && ms_now(CLOCK_MONOTONIC) < end)
		ms_sleep(SECOND / 10);
	return wrong;
}

static void tell(const char *word, int seconds)
{
	int i;

	printf("# %s after %d s:", word, seconds);
	for (i = 0; i < SOAK_COUNTS; i++)
		printf("%s %llu %s", i ? "," : "", soak->counts[i], count_names[i]);
	printf("\n");
	fflush(stdout);
}

/* Disturbs for so many seconds, as long as there is no fault. */
static void disturb_for(int seconds)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + seconds * SECOND;

	while (ms_now(CLOCK_MONOTONIC) < end && !soak->error[0]) {
		ms_sleep(SECOND / 15);
		disturb();
	}
	soak_unplug(false);
}

/* One life of the module. Returns what is wrong, or NULL. */
static const char *life(int number, int seconds)
{
	static const char *const parameters[] = {
		"", "buckets=1", "queue_len=16", "queue_bytes=65536 max_value=65536",
	};
	const char *wrong;

	if (soak_load(parameters[number % ARRAY_SIZE(parameters)]))
		return "the module cannot be loaded";
	start_all();
	disturb_for(seconds);
	end_all();
	if (soak->error[0])
		return soak->error;
	wrong = balance();
	if (wrong)
		return wrong;
	if (soak_unload())
		return "the module is in use though no process is left";
	soak_count(SOAK_RELOADED);
	return NULL;
}

/* The first kind of work that was never done, or "". There may be one processor only. */
static const char *missing(void)
{
	int i;

	for (i = 0; i < SOAK_COUNTS; i++)
		if (!soak->counts[i] && i != SOAK_UNPLUGGED)
			return count_names[i];
	return "";
}

/* At least two lives, since memory is compared with what it was after the first one */
static int life_seconds(int number, int all, int over)
{
	int seconds = number ? all - over : all / 2;

	if (seconds < 1)
		return 1;
	return seconds < ROUND ? seconds : ROUND;
}

FIXTURE(soak)
{
	int seconds;
};

FIXTURE_SETUP(soak)
{
	const char *seconds = getenv("SOAK_SECONDS");

	self->seconds = seconds ? atoi(seconds) : (int)ms_size(6, 120);
	ASSERT_LT(0, self->seconds);
	soak = ms_shared(sizeof(*soak));
	ASSERT_TRUE(!!soak);
	ASSERT_EQ(0, soak_unload());
	ASSERT_TRUE(soak_make_groups());
}

FIXTURE_TEARDOWN(soak)
{
	kill_all();
	soak_unplug(false);
	soak_unload();
	soak_remove_groups();
}

/* Seconds in which each kind of work happens, however slow the machine is */
#define ALL_KINDS	30

/* Only a bound of time that no soak reaches: it ends by itself. */
TEST_F_TIMEOUT(soak, all, 1000000)
{
	__u64 begin = ms_now(CLOCK_MONOTONIC);
	long long first = 0, now, charged;
	int number, seconds = 0;
	const char *wrong;

	for (number = 0; number < 2 || seconds < self->seconds; number++) {
		wrong = life(number, life_seconds(number, self->seconds, seconds));
		ASSERT_EQ(NULL, wrong)
			TH_LOG("%s", wrong);
		now = soak_memory();
		charged = soak_group_memory();
		if (!number)
			first = now;
		seconds = (ms_now(CLOCK_MONOTONIC) - begin) / SECOND;
		tell("all well", seconds);
		printf("# the kernel's memory: %+lld KiB since the first round, charged %lld KiB\n",
		       now - first, charged);
		EXPECT_GE(SLACK + soak_quarantine(), now - first);
		EXPECT_GE(GROUP_SLACK, charged);
	}
	/* In a few seconds on a busy machine not all need have happened. */
	if (self->seconds >= ALL_KINDS)
		EXPECT_STREQ("", missing());
}

TEST_HARNESS_MAIN
