// SPDX-License-Identifier: GPL-2.0
/* Processes that write. Any of them may be killed in any call. */
#include "soak.h"

static int any_key(char *key)
{
	return sprintf(key, "any/%03d", rand() % SOAK_KEYS);
}

static __u32 any_value(char *value)
{
	__u32 len = rand() % 64 ? rand() % 600 : 20000 + rand() % 40000;

	memset(value, rand(), len);
	return len;
}

static int any_batch(int fd, const char *value)
{
	char keys[8][16];
	struct metastore_op ops[8];
	int i, nr = 1 + rand() % 8;

	for (i = 0; i < nr; i++) {
		any_key(keys[i]);
		ops[i] = ms_op(rand() % 2 ? METASTORE_OP_SET : METASTORE_OP_PUBLISH, keys[i],
			       value, rand() % 300);
	}
	soak_count(SOAK_BATCHES);
	/* Two keys may be the same: that is refused. */
	return ms_batch(fd, ops, nr, rand() % 2 ? METASTORE_BATCH_ATOMIC : 0, NULL);
}

static int any_change(int fd, char *value)
{
	char key[16];
	__u32 key_len = any_key(key), len = any_value(value);
	struct metastore_flush flush;

	switch (rand() % 40) {
	case 0:
		return ms_flush(fd, "any/1", METASTORE_ANY_BUCKET, 0, &flush);
	case 1:
	case 2:
	case 3:
	case 4:
		return ms_set_ttl(fd, key, "mortal", 1 + rand() % 100, NULL);
	case 5:
		return ms_touch(fd, key, 1 + rand() % 100, 0, NULL);
	case 6:
	case 7:
	case 8:
	case 9:
		return ms_delete(fd, key, NULL);
	case 10:
	case 11:
	case 12:
	case 13:
		return any_batch(fd, value);
	}
	if (rand() % 2)
		return ms_setn(fd, key, key_len, value, len, NULL);
	return ms_publishn(fd, key, key_len, value, len, NULL);
}

void soak_writer(void)
{
	char *value = malloc(65536);
	int fd = ms_open(O_RDWR), ret;

	SOAK_CHECK(fd >= 0 && value);
	while (!soak_writers_end()) {
		ret = any_change(fd, value);
		SOAK_CHECK(ret >= 0 || ret == -ENOENT || ret == -ENODATA || ret == -EINVAL);
		soak_count(SOAK_CHANGES);
	}
}

/* Lossless queues get every number of every publisher, see soak_lossless(). */
void soak_waiter(void)
{
	__u64 value[2] = { getpid() * 1000000000ULL + ms_now(CLOCK_MONOTONIC) % 1000000000, 0 };
	int fd = ms_open(O_WRONLY), ret;
	char key[16];

	SOAK_CHECK(fd >= 0);
	while (!soak_writers_end()) {
		struct metastore_set arg = {
			.key = ms_ptr(key),
			.key_len = sprintf(key, "wait/%d", rand() % 4),
			.value = ms_ptr(value),
			.value_len = sizeof(value),
			.flags = METASTORE_F_WAIT,
			.timeout = 1 + rand() % 100,
		};

		ret = ms_ioctl(fd, METASTORE_IOC_PUBLISH, &arg);
		SOAK_CHECK(!ret || ret == -ETIMEDOUT);
		if (ret)
			continue;
		value[1]++;
		soak_count(SOAK_WAITED);
	}
}

/* Two keys that no atomic batch ever finds different */
void soak_pairs(void)
{
	int fd = ms_open(O_RDWR);
	__u64 value, a = 0, b = 0;

	SOAK_CHECK(fd >= 0);
	while (!soak_writers_end()) {
		struct metastore_op set[2] = {
			ms_op(METASTORE_OP_SET, "pair/a", &value, sizeof(value)),
			ms_op(METASTORE_OP_PUBLISH, "pair/b", &value, sizeof(value)),
		};
		struct metastore_op get[2] = {
			ms_op_get("pair/a", &a, sizeof(a)), ms_op_get("pair/b", &b, sizeof(b)),
		};

		value = ms_now(CLOCK_MONOTONIC) ^ getpid();
		SOAK_CHECK(!ms_batch(fd, set, 2, METASTORE_BATCH_ATOMIC, NULL));
		SOAK_CHECK(!ms_batch(fd, get, 2, METASTORE_BATCH_ATOMIC, NULL));
		SOAK_CHECK(!get[0].result && !get[1].result && a == b);
		soak_count(SOAK_BATCHES);
	}
}

/* Its keys go with it, however it ends. */
void soak_owner(void)
{
	char key[32], buf[16];
	int fd, i;

	while (!soak_writers_end()) {
		fd = ms_open(O_RDWR);
		SOAK_CHECK(fd >= 0);
		for (i = 0; i < 20; i++) {
			sprintf(key, "own/%d.%d", getpid(), i);
			SOAK_CHECK(!ms_own(fd, key, "mine", NULL));
			soak_count(SOAK_CHANGES);
		}
		for (i = 0; i < 20 && !soak_writers_end(); i++)
			ms_sleep(SECOND / 100);
		sprintf(key, "own/%d.%d", getpid(), 7);
		SOAK_CHECK(ms_get(fd, key, buf, sizeof(buf), NULL) == 4);
		close(fd);
	}
}

/*
 * More than its memory cgroup allows: it is refused, and nobody else is. It enters the
 * group with its own memory taken and its predecessor's values gone, so that it is not
 * itself what there is no memory for.
 */
void soak_pressed(void)
{
	char *value = calloc(1, 60000), key[32];
	int fd = ms_open(O_RDWR), ret, i;
	struct metastore_flush flush;

	SOAK_CHECK(fd >= 0 && value);
	SOAK_CHECK(!ms_flush(fd, "press/", METASTORE_ANY_BUCKET, 0, &flush));
	SOAK_CHECK(!mlockall(MCL_CURRENT | MCL_FUTURE));
	SOAK_CHECK(!ms_cgroup_write(SOAK_PRESSED, "cgroup.procs", 0));
	while (!soak_writers_end()) {
		for (i = 0; i < 400 && !soak_writers_end(); i++) {
			sprintf(key, "press/%03d", i);
			ret = ms_setn(fd, key, strlen(key), value, 60000, NULL);
			SOAK_CHECK(!ret || ret == -ENOMEM);
			if (!ret)
				continue;
			soak_count(SOAK_REFUSED);
			break;
		}
		while (i--) {
			sprintf(key, "press/%03d", i);
			ret = ms_delete(fd, key, NULL);
			SOAK_CHECK(!ret || ret == -ENOENT);
		}
	}
}
