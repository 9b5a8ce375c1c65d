// SPDX-License-Identifier: GPL-2.0
/*
 * metastore: a string map with publish/subscribe for the whole machine.
 *
 * Module parameters, loading and unloading.
 */
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>

#include "store/store.h"
#include "store/user.h"
#include "store/value_cache.h"
#include "events/topic.h"
#include "ops/change.h"
#include "api/api.h"

/* By default values may take 1 / RAM_SHARE of the RAM. */
#define RAM_SHARE	8

static struct metastore_store *store;

static unsigned int buckets = 1000;
module_param(buckets, uint, 0444);
MODULE_PARM_DESC(buckets, "Number of buckets, 1 to 65536 (default 1000)");

static unsigned int max_value = SZ_64K;
module_param(max_value, uint, 0444);
MODULE_PARM_DESC(max_value, "Longest value in bytes, 1 to 16777216 (default 65536)");

static unsigned long max_keys = SZ_16M;
module_param(max_keys, ulong, 0444);
MODULE_PARM_DESC(max_keys, "Keys that the store may hold, 1 to 2147483648 (default 16777216)");

static unsigned long max_bytes;
module_param(max_bytes, ulong, 0444);
MODULE_PARM_DESC(max_bytes, "Bytes that keys and values may take, 48 each included, at least 4096 (0, the default: an eighth of the RAM)");

static unsigned long private_bytes;
module_param(private_bytes, ulong, 0444);
MODULE_PARM_DESC(private_bytes, "Bytes that all private stores together may take, at least 1 (0, the default: an eighth of the RAM)");

static bool mapped;
module_param(mapped, bool, 0444);
MODULE_PARM_DESC(mapped, "Let programs map the store's small values, which takes up to max_bytes more (default no)");

static unsigned int queue_len = 1024;
module_param(queue_len, uint, 0444);
MODULE_PARM_DESC(queue_len, "Events that an open file's queue holds, 1 to 1048576 (default 1024)");

static unsigned int queue_bytes = SZ_1M;
module_param(queue_bytes, uint, 0444);
MODULE_PARM_DESC(queue_bytes, "Bytes that they may take, key and 48 each included, 4096 to 1073741824 (default 1048576)");

/* A parameter may be read at any time: newest_version looks at the store. */
static void put_store(void)
{
	kernel_param_lock(THIS_MODULE);
	metastore_store_put(store);
	kernel_param_unlock(THIS_MODULE);
}

static int __init metastore_init(void)
{
	struct metastore_limits limits;
	int err;

	BUILD_BUG_ON(!IS_ENABLED(CONFIG_64BIT));
	if (!max_bytes)
		max_bytes = totalram_pages() / RAM_SHARE * PAGE_SIZE;
	if (!private_bytes)
		private_bytes = totalram_pages() / RAM_SHARE * PAGE_SIZE;
	metastore_trace_init();
	metastore_user_init();
	metastore_private_limit(min_t(u64, private_bytes, S64_MAX));
	limits = (struct metastore_limits) {
		.buckets = buckets,
		.max_value = max_value,
		.queue_len = queue_len,
		.queue_bytes = queue_bytes,
		.max_keys = max_keys,
		.max_bytes = max_bytes,
		.mapped = mapped,
	};
	if (max_value + METASTORE_KEY_MAX + METASTORE_VALUE_OVERHEAD > queue_bytes)
		pr_warn("metastore: subscribers cannot get the longest values: max_value is above queue_bytes\n");
	err = metastore_value_cache_init();
	if (err)
		return err;
	kernel_param_lock(THIS_MODULE);
	store = metastore_store_create(&limits, false, metastore_change_expire_all);
	kernel_param_unlock(THIS_MODULE);
	if (IS_ERR(store)) {
		err = PTR_ERR(store);
		if (err == -EINVAL)
			pr_err("metastore: a parameter is out of its range, see modinfo\n");
		goto exit_value_cache;
	}
	err = metastore_device_register(store);
	if (err)
		goto exit_store;
	metastore_debugfs_create();
	return 0;

exit_store:
	put_store();
exit_value_cache:
	metastore_value_cache_exit();
	return err;
}

static void __exit metastore_exit(void)
{
	metastore_debugfs_remove();
	metastore_device_unregister();
	put_store();
	metastore_value_cache_exit();
	/* Wait for callbacks of call_rcu(), which are code of this module. */
	rcu_barrier();
}

module_init(metastore_init);
module_exit(metastore_exit);

MODULE_AUTHOR("The metastore developers");
MODULE_DESCRIPTION("String map with publish/subscribe for the whole machine");
MODULE_LICENSE("GPL");
/* With it the module has a srcversion, by which mstore upgrade knows its file. */
MODULE_VERSION(METASTORE_VERSION);
