// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel offers without us: the floor under every system call, and
 * its own ways to pass a message or to keep a map.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/metastore.h>

#include "bench.h"

#define QUEUE_NAME	"/bench"

static int fds[2];
static char buffer[VALUE_MAX];

static void expect(ssize_t got, ssize_t wanted, const char *what)
{
	if (got != wanted)
		die("%s", what);
}

static void close_both(const struct row *row)
{
	(void)row;
	close(fds[0]);
	close(fds[1]);
}

static void null_open(const struct row *row)
{
	(void)row;
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	if (fds[0] < 0 || fds[1] < 0)
		die("/dev/null");
}

static void null_ioctl(const struct row *row, unsigned int n)
{
	struct metastore_get get = {};

	(void)row;
	while (n--)
		if (ioctl(fds[0], METASTORE_IOC_GET, &get) != -1 || errno != ENOTTY)
			die("/dev/null has an ioctl");
}

static void zero_read(const struct row *row, unsigned int n)
{
	while (n--)
		expect(read(fds[1], buffer, row->size), row->size, "/dev/zero");
}

static void eventfd_open(const struct row *row)
{
	(void)row;
	fds[0] = eventfd(0, EFD_CLOEXEC);
	if (fds[0] < 0)
		die("eventfd");
	fds[1] = dup(fds[0]);
}

static void eventfd_both(const struct row *row, unsigned int n)
{
	uint64_t count = 1;

	(void)row;
	while (n--) {
		expect(write(fds[0], &count, sizeof(count)), sizeof(count), "eventfd");
		expect(read(fds[0], &count, sizeof(count)), sizeof(count), "eventfd");
	}
}

static void pipe_open(const struct row *row)
{
	(void)row;
	if (pipe2(fds, O_CLOEXEC))
		die("pipe");
}

static void pipe_both(const struct row *row, unsigned int n)
{
	while (n--) {
		expect(write(fds[1], bench_value, row->size), row->size, "pipe");
		expect(read(fds[0], buffer, row->size), row->size, "pipe");
	}
}

static int readers[SUBSCRIBERS_MAX], writers[SUBSCRIBERS_MAX];

static void pipes_open(const struct row *row)
{
	unsigned int i;

	for (i = 0; i < row->subscribers; i++) {
		pipe_open(row);
		readers[i] = fds[0];
		writers[i] = fds[1];
	}
}

static void pipes_empty(const struct row *row, unsigned int n)
{
	unsigned int i;
	int len;

	(void)n;
	for (i = 0; i < row->subscribers; i++)
		while (!ioctl(readers[i], FIONREAD, &len) && len)
			if (read(readers[i], buffer, sizeof(buffer)) <= 0)
				die("pipe");
}

/* To each of them the same, as who has no one to do it would. */
static void pipes_write(const struct row *row, unsigned int n)
{
	unsigned int i;

	while (n--)
		for (i = 0; i < row->subscribers; i++)
			expect(write(writers[i], bench_value, row->size), row->size, "pipe");
}

static void pipes_close(const struct row *row)
{
	unsigned int i;

	for (i = 0; i < row->subscribers; i++) {
		close(readers[i]);
		close(writers[i]);
	}
}

static void socket_open(const struct row *row)
{
	(void)row;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds))
		die("socketpair");
}

static void socket_both(const struct row *row, unsigned int n)
{
	while (n--) {
		expect(send(fds[1], bench_value, row->size, 0), row->size, "send");
		expect(recv(fds[0], buffer, sizeof(buffer), 0), row->size, "recv");
	}
}

static void mqueue_open(const struct row *row)
{
	struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = row->size };

	fds[0] = mq_open(QUEUE_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
	if (fds[0] < 0)
		die("mq_open");
}

static void mqueue_both(const struct row *row, unsigned int n)
{
	while (n--) {
		expect(mq_send(fds[0], bench_value, row->size, 0), 0, "mq_send");
		expect(mq_receive(fds[0], buffer, row->size, NULL), row->size, "mq_receive");
	}
}

static void mqueue_close(const struct row *row)
{
	(void)row;
	mq_close(fds[0]);
	mq_unlink(QUEUE_NAME);
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static char bpf_keys[BATCH][KEY_LEN];

/* The same number of keys as our own rows have. */
static void map_open(const struct row *row)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = KEY_LEN,
		.value_size = row->size,
		.max_entries = row->keys,
	};
	char key[KEY_LEN];
	unsigned int i;

	fds[0] = bpf(BPF_MAP_CREATE, &attr);
	if (fds[0] < 0)
		die("BPF_MAP_CREATE");
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = fds[0];
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)bench_value;
	for (i = 0; i < row->keys; i++) {
		bench_key(key, "key-", i);
		if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
			die("BPF_MAP_UPDATE_ELEM");
	}
	for (i = 0; i < BATCH; i++)
		bench_key(bpf_keys[i], "key-", i * (row->keys / BATCH));
}

static void map_access(int command, void *value, unsigned int n)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = fds[0];
	attr.value = (uintptr_t)value;
	while (n--) {
		attr.key = (uintptr_t)bpf_keys[n];
		if (bpf(command, &attr))
			die("bpf");
	}
}

static void map_lookup(const struct row *row, unsigned int n)
{
	(void)row;
	map_access(BPF_MAP_LOOKUP_ELEM, buffer, n);
}

static void map_update(const struct row *row, unsigned int n)
{
	(void)row;
	map_access(BPF_MAP_UPDATE_ELEM, bench_value, n);
}

static void map_close(const struct row *row)
{
	(void)row;
	close(fds[0]);
}

static void pipes_rows(void)
{
	struct row row = {
		.setup = pipes_open,
		.prepare = pipes_empty,
		.run = pipes_write,
		.teardown = pipes_close,
		.size = VALUE_LEN,
	};
	size_t i;

	for (i = 0; i < nr_subscriber_numbers; i++) {
		row.subscribers = subscriber_numbers[i];
		row.batch = row.subscribers < 99 ? BATCH : SHORT_BATCH;
		row_add(&row, "pipes-%u", row.subscribers);
	}
}

/**
 * kernel_rows - rows of what the kernel offers without us
 */
void kernel_rows(void)
{
	static const struct row table[] = {
		{ "ioctl", .setup = null_open, .run = null_ioctl, .teardown = close_both,
		  .batch = LONG_BATCH },
		{ "read-zero", .setup = null_open, .run = zero_read, .teardown = close_both,
		  .batch = LONG_BATCH },
		{ "eventfd", .setup = eventfd_open, .run = eventfd_both, .teardown = close_both },
		{ "pipe", .setup = pipe_open, .run = pipe_both, .teardown = close_both },
		{ "unix-datagram", .setup = socket_open, .run = socket_both,
		  .teardown = close_both },
		{ "mqueue", .setup = mqueue_open, .run = mqueue_both,
		  .teardown = mqueue_close },
		{ "bpf-lookup", .setup = map_open, .run = map_lookup, .teardown = map_close },
		{ "bpf-update", .setup = map_open, .run = map_update, .teardown = map_close },
	};
	struct row row;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		row = table[i];
		row.size = VALUE_LEN;
		row.keys = 50 * BATCH;
		row_add(&row, "%s", table[i].name);
	}
	row = table[3];
	for (i = 0; i < nr_value_sizes; i++) {
		row.size = value_sizes[i].size;
		row.batch = value_sizes[i].batch;
		if (row.size)
			row_add(&row, "pipe-%s", value_sizes[i].name);
	}
	pipes_rows();
}
