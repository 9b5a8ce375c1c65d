// SPDX-License-Identifier: GPL-2.0
/*
 * The module beside a plain model of its contract (model/): the same random calls by
 * several open files of one store, from one thread. Each result, each event read and all
 * counters are compared.
 *
 * Where they differ, the test tells the seed, and the shortest sequence of steps that it
 * finds which still differs. MODEL_SEED= in the environment makes the same steps again,
 * MODEL_STEPS= says how many. The hash of a store is random, so its order of LIST is
 * another one each time, and what depends on it may not come again.
 */
#include "metastore_test.h"
#include "model/world.h"

#define STEPS_OF_STORE	1000	/* then there is a new one, with other limits */
#define SHRINK_TIME	(30 * SECOND)

/* Steps to be made, by number */
struct sequence {
	__u64 seed;
	int steps[STEPS_OF_STORE];
	int nr;
};

FIXTURE(model)
{
	int fd;
	struct world world;
};

FIXTURE_SETUP(model)
{
	self->fd = ms_open(O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(model)
{
	close(self->fd);
}

static __u64 number_of(const char *name, __u64 otherwise)
{
	const char *number = getenv(name);

	return number ? strtoull(number, NULL, 0) : otherwise;
}

static bool is_same_after(struct world *w)
{
	int i;

	w->what[0] = '\0';
	world_say(w, "at the end: all is read");
	for (i = 0; i < MODEL_FILES; i++)
		if (w->model.files[i].is_open && w->model.files[i].mode != O_WRONLY &&
		    !step_drain(w, i))
			return false;
	return check_all(w);
}

/*
 * Make the steps of a sequence. Returns how many were made before module and model
 * differed, or -1 if they did not.
 */
static int run(struct world *w, int fd, const struct sequence *seq, bool tell)
{
	int i, wrong = -1;

	if (!world_create(w, fd, world_hash(seq->seed)))
		return 0;
	for (i = 0; i < seq->nr && wrong < 0; i++) {
		if (!world_step(w, world_hash(seq->seed + seq->steps[i] + 1)))
			wrong = i;
		if (tell)
			printf("# step %d: %s\n", seq->steps[i], w->what);
	}
	if (wrong < 0 && !is_same_after(w))
		wrong = seq->nr;
	world_destroy(w);
	return wrong;
}

/* Cut so many steps out, if without them it differs all the same. */
static bool shrink_by(struct world *w, int fd, struct sequence *seq, int from, int nr)
{
	static struct sequence shorter;
	int wrong;

	shorter.seed = seq->seed;
	shorter.nr = seq->nr - nr;
	memcpy(shorter.steps, seq->steps, from * sizeof(*seq->steps));
	memcpy(shorter.steps + from, seq->steps + from + nr,
	       (shorter.nr - from) * sizeof(*seq->steps));
	wrong = run(w, fd, &shorter, false);
	if (wrong < 0)
		return false;
	if (wrong + 1 < shorter.nr)
		shorter.nr = wrong + 1;
	*seq = shorter;
	return true;
}

static void shrink(struct world *w, int fd, struct sequence *seq)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + SHRINK_TIME;
	int from, nr;

	for (nr = seq->nr / 2; nr; nr /= 2)
		for (from = 0; from + nr <= seq->nr && ms_now(CLOCK_MONOTONIC) < end;)
			if (!shrink_by(w, fd, seq, from, nr))
				from += nr;
}

/* Tell how they differ, by as few steps as it takes. */
static void explain(struct world *w, int fd, struct sequence *seq, int wrong)
{
	printf("# MODEL_SEED=%llu, step %d: %s\n", seq->seed, wrong, w->what);
	printf("# %s\n", w->wrong);
	if (wrong < seq->nr)
		seq->nr = wrong + 1;
	shrink(w, fd, seq);
	printf("# %d of these steps:\n", seq->nr);
	if (run(w, fd, seq, true) < 0)
		printf("# no difference this time\n");
	else
		printf("# %s\n# %s\n", w->what, w->wrong);
}

static void all_steps(struct sequence *seq, __u64 seed)
{
	seq->seed = seed;
	for (seq->nr = 0; seq->nr < STEPS_OF_STORE; seq->nr++)
		seq->steps[seq->nr] = seq->nr;
}

TEST_F_TIMEOUT(model, same, 170)
{
	__u64 first = number_of("MODEL_SEED", ms_now(CLOCK_REALTIME) & 0xffffffff);
	__u64 steps = number_of("MODEL_STEPS", ms_size(50000, 1000000)), done;
	__u64 begin = ms_now(CLOCK_MONOTONIC);
	struct sequence seq;
	int wrong;

	for (done = 0; done < steps; done += STEPS_OF_STORE) {
		all_steps(&seq, first + done / STEPS_OF_STORE);
		wrong = run(&self->world, self->fd, &seq, false);
		if (wrong >= 0)
			explain(&self->world, self->fd, &seq, wrong);
		ASSERT_EQ(-1, wrong)
			TH_LOG("after %llu operations", done + wrong);
	}
	TH_LOG("%llu operations in %llu ms, seed %llu", done,
	       (ms_now(CLOCK_MONOTONIC) - begin) / 1000000, first);
}

TEST_HARNESS_MAIN
