// SPDX-License-Identifier: GPL-2.0
/*
 * What /proc/PID/fdinfo/FD says of an open file.
 */
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "ops/file.h"
#include "api/fdinfo.h"
#include "api/file.h"

static void show_number(struct seq_file *m, const char *name, u64 number)
{
	seq_printf(m, "%s:\t%llu\n", name, number);
}

static void show_queue(struct seq_file *m, struct metastore_file *file)
{
	struct metastore_queue_info info;

	metastore_queue_tell(&file->queue, &info);
	show_number(m, "events", info.len);
	show_number(m, "bytes", info.bytes);
	show_number(m, "lost", info.lost);
	seq_printf(m, "policy:\t%s\n",
		   info.policy == METASTORE_QUEUE_LOSSLESS ? "lossless" : "drop-oldest");
	show_number(m, "max_len", info.max_len);
	show_number(m, "max_bytes", info.max_bytes);
	show_number(m, "high_len", info.high_len);
	show_number(m, "matched", info.matched);
	show_number(m, "delivered", info.delivered);
	show_number(m, "conflated", info.conflated);
	show_number(m, "pending", info.pending);
	show_number(m, "oldest", info.oldest);
}

static void show_key(struct seq_file *m, const struct metastore_key *key)
{
	u32 i;

	for (i = 0; i < key->len; i++) {
		u8 c = key->bytes[i];

		if (c > ' ' && c < 0x7f && c != '\\')
			seq_putc(m, c);
		else
			seq_printf(m, "\\%03o", c);
	}
}

/*
 * One after the other, since they are many and each is behind a lock; and no further
 * than the buffer reaches, since then all of it is done again with a larger one.
 */
static void show_subscriptions(struct seq_file *m, struct metastore_file *file)
{
	struct metastore_subscription_info info = {};
	struct metastore_key_buffer at = {};

	while (!seq_has_overflowed(m) &&
	       metastore_subscription_next(&file->subs, &at, &info)) {
		seq_printf(m, "subscription:\t%llu %#x %#x %llu %llu %llu %llu %llu ",
			   info.cookie, info.events, info.flags, info.matched,
			   info.delivered, info.conflated, info.lost, info.pending);
		show_key(m, &at.key);
		seq_putc(m, '\n');
		cond_resched();
	}
}

/**
 * metastore_fdinfo_show - the device's show_fdinfo
 * @m:		where to
 * @filp:	its open file
 *
 * Context: may sleep.
 */
void metastore_fdinfo_show(struct seq_file *m, struct file *filp)
{
	struct metastore_file *file = filp->private_data;

	show_number(m, "store", file->store->id);
	show_number(m, "file", file->id);
	show_number(m, "subscriptions", READ_ONCE(file->subs.nr));
	show_queue(m, file);
	show_subscriptions(m, file);
}
