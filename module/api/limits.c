// SPDX-License-Identifier: GPL-2.0
/*
 * The limits of each user, which root can change while the module is loaded. Their
 * defaults, with reasons, are in store/user.c.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>

#include "store/user.h"

static int limits_set(const char *text, const struct kernel_param *param)
{
	u64 limit;
	int err;

	err = kstrtoull(text, 0, &limit);
	return err ?: metastore_user_set_limit((uintptr_t)param->arg, limit);
}

static int limits_get(char *buffer, const struct kernel_param *param)
{
	return scnprintf(buffer, PAGE_SIZE, "%llu\n",
			 metastore_user_limit((uintptr_t)param->arg));
}

static const struct kernel_param_ops limits_ops = {
	.set = limits_set,
	.get = limits_get,
};

module_param_cb(user_files, &limits_ops, (void *)METASTORE_USER_FILES, 0644);
__MODULE_PARM_TYPE(user_files, "ullong");
MODULE_PARM_DESC(user_files, "Open files of a user (0, the default: 8192)");

module_param_cb(user_subscriptions, &limits_ops, (void *)METASTORE_USER_SUBSCRIPTIONS, 0644);
__MODULE_PARM_TYPE(user_subscriptions, "ullong");
MODULE_PARM_DESC(user_subscriptions, "Subscriptions of a user's open files (0, the default: 131072)");

module_param_cb(user_queue_bytes, &limits_ops, (void *)METASTORE_USER_QUEUE_BYTES, 0644);
__MODULE_PARM_TYPE(user_queue_bytes, "ullong");
MODULE_PARM_DESC(user_queue_bytes, "Bytes that the queues of a user's open files may hold (0, the default: a quarter of the RAM, at least 536870912)");

module_param_cb(user_stores, &limits_ops, (void *)METASTORE_USER_STORES, 0644);
__MODULE_PARM_TYPE(user_stores, "ullong");
MODULE_PARM_DESC(user_stores, "Private stores of a user (0, the default: 1024)");

module_param_cb(user_store_bytes, &limits_ops, (void *)METASTORE_USER_STORE_BYTES, 0644);
__MODULE_PARM_TYPE(user_store_bytes, "ullong");
MODULE_PARM_DESC(user_store_bytes, "Bytes that a user's private stores may take (0, the default: a sixteenth of the RAM)");

module_param_cb(user_owned_keys, &limits_ops, (void *)METASTORE_USER_OWNED_KEYS, 0644);
__MODULE_PARM_TYPE(user_owned_keys, "ullong");
MODULE_PARM_DESC(user_owned_keys, "Keys that a user's open files may own (0, the default: 65536)");

module_param_cb(user_waiting, &limits_ops, (void *)METASTORE_USER_WAITING, 0644);
__MODULE_PARM_TYPE(user_waiting, "ullong");
MODULE_PARM_DESC(user_waiting, "Publishers of a user that may wait at a time (0, the default: 1024)");
