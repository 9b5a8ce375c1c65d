// SPDX-License-Identifier: GPL-2.0
/* Followers and locks, by the library. */
#include <metastore.h>

#include "soak.h"

static __u64 copy[SOAK_KEYS];	/* versions; 0: absent */

static void apply(const struct mstore_follow *follow, int type)
{
	size_t len;
	const char *key = mstore_follow_key(follow, &len);
	int number;

	if (type != MSTORE_FOLLOW_VALUE && type != MSTORE_FOLLOW_DELETED)
		return;
	number = soak_key_number(key, len);
	SOAK_CHECK(number >= 0);
	copy[number] = type == MSTORE_FOLLOW_VALUE ? mstore_follow_version(follow) : 0;
	soak_count(SOAK_FOLLOWED);
}

/* Once nobody writes, the copy is the store. */
static void check_copy(void)
{
	int fd = ms_open(O_RDONLY), i;
	char key[16];

	SOAK_CHECK(fd >= 0);
	for (i = 0; i < SOAK_KEYS; i++) {
		struct metastore_stat st;
		int ret;

		sprintf(key, "any/%03d", i);
		ret = ms_stat(fd, key, &st);
		SOAK_CHECK(!ret || ret == -ENOENT);
		SOAK_CHECK(copy[i] == (ret ? 0 : st.version));
	}
	close(fd);
}

/* Slowly, so that it loses events and recovers. */
void soak_follower(void)
{
	struct mstore *store = mstore_open("/dev/metastore", MSTORE_READ);
	struct mstore_follow *follow;
	int type;

	SOAK_CHECK(store);
	follow = mstore_follow_new(store, NULL);
	SOAK_CHECK(follow);
	SOAK_CHECK(!mstore_follow_add(follow, "any/", 4, MSTORE_SUBSCRIBE_PREFIX));
	while (!soak_all_end()) {
		type = mstore_follow_next(follow, 50);
		SOAK_CHECK(type >= 0);
		apply(follow, type);
		if (!(rand() % 500))
			ms_sleep(SECOND / 20);
	}
	while ((type = mstore_follow_next(follow, 200)) > 0)
		apply(follow, type);
	SOAK_CHECK(!type);
	check_copy();
	mstore_follow_free(follow);
	mstore_close(store);
}

/* Whether a process is, and not about to end, its files closed already: PF_EXITING */
static bool is_alive(pid_t pid)
{
	unsigned long flags = 4;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
		flags = 4;
	fclose(f);
	return !(flags & 4);
}

/* Inside is one at a time, or one whose predecessor was killed there. */
static void stay_inside(void)
{
	pid_t before = __atomic_exchange_n(&soak->inside, getpid(), __ATOMIC_ACQ_REL);

	SOAK_CHECK(!before || !is_alive(before));
	ms_sleep(rand() % (SECOND / 200));
	SOAK_CHECK(__atomic_exchange_n(&soak->inside, 0, __ATOMIC_ACQ_REL) == getpid());
	soak_count(SOAK_LOCKED);
}

void soak_locker(void)
{
	struct mstore *store = mstore_open("/dev/metastore", MSTORE_RDWR);
	struct mstore_lock *lock;
	int held;

	SOAK_CHECK(store);
	lock = mstore_lock_new(store, "lock/one", 8, NULL);
	SOAK_CHECK(lock);
	while (!soak_writers_end()) {
		held = mstore_lock_acquire(lock, 50);
		SOAK_CHECK(held >= 0);
		if (!held)
			continue;
		stay_inside();
		SOAK_CHECK(mstore_lock_is_held(lock) == 1);
		mstore_lock_release(lock);
	}
	mstore_lock_free(lock);
	mstore_close(store);
}
