// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/metastore/stores: a line of names, then one line of counters for each
 * store. metastore(4) documents it. New columns go to the end.
 *
 * No lock is held from one store to the next, nor from one bucket to the next. A reader goes
 * on behind the number of the last store, whatever has come or gone meanwhile.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#include "store/store.h"
#include "store/user.h"
#include "api/api.h"

static struct dentry *debugfs_dir;

/* The position is 0 for the line of names, then one more than the number behind which to go on. */
static void *debugfs_at(loff_t pos)
{
	return pos ? metastore_store_get_next(pos - 1) : SEQ_START_TOKEN;
}

static void *debugfs_start(struct seq_file *m, loff_t *pos)
{
	return debugfs_at(*pos);
}

static void debugfs_put(void *at)
{
	if (at && at != SEQ_START_TOKEN)
		metastore_store_put(at);
}

static void *debugfs_next(struct seq_file *m, void *at, loff_t *pos)
{
	*pos = at == SEQ_START_TOKEN ? 1 : ((struct metastore_store *)at)->id + 1;
	debugfs_put(at);
	return debugfs_at(*pos);
}

static void debugfs_stop(struct seq_file *m, void *at)
{
	debugfs_put(at);
}

/* Open files have a reference each; so have this reader and, to the default store, the module. */
static unsigned int debugfs_files(const struct metastore_store *store)
{
	unsigned int others = store->maker ? 1 : 2;

	return max(refcount_read(&store->refs), others) - others;
}

static int debugfs_show(struct seq_file *m, void *at)
{
	struct metastore_counters counters;
	struct metastore_store *store = at;
	kuid_t uid;

	if (at == SEQ_START_TOKEN) {
		seq_puts(m, "store kind uid files subscriptions buckets keys max_keys bytes max_bytes changes published\n");
		return 0;
	}
	/* A read has many stores, and each may have many buckets. */
	if (fatal_signal_pending(current))
		return -EINTR;
	uid = store->maker ? store->maker->uid : GLOBAL_ROOT_UID;
	metastore_store_count_all(store, &counters);
	seq_printf(m, "%llu %s %u %u %llu %u %llu %llu %llu %llu %llu %llu\n", store->id,
		   store->maker ? "private" : "default",
		   from_kuid_munged(seq_user_ns(m), uid), debugfs_files(store),
		   counters.subscriptions, store->limits.buckets, counters.keys,
		   store->limits.max_keys, counters.bytes, store->limits.max_bytes,
		   counters.changes, counters.published);
	return 0;
}

static const struct seq_operations debugfs_sops = {
	.start = debugfs_start,
	.next = debugfs_next,
	.stop = debugfs_stop,
	.show = debugfs_show,
};

DEFINE_SEQ_ATTRIBUTE(debugfs);

/**
 * metastore_debugfs_create() - Create the files in debugfs
 *
 * Without debugfs, or without memory, there are none.
 *
 * Context: Process context, may sleep.
 */
void metastore_debugfs_create(void)
{
	debugfs_dir = debugfs_create_dir("metastore", NULL);
	debugfs_create_file("stores", 0400, debugfs_dir, NULL, &debugfs_fops);
}

/** metastore_debugfs_remove() - Remove them, and wait for their readers */
void metastore_debugfs_remove(void)
{
	debugfs_remove(debugfs_dir);
}
