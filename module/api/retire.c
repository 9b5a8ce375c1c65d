// SPDX-License-Identifier: GPL-2.0
/*
 * The parameters by which root replaces the module without losing its values, see
 * "Replacing the module" in uapi/linux/metastore.h.
 */
#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>

#include "store/store.h"
#include "ops/retire.h"

/* The module's parameters have one lock, so a change of this one is alone. */
static int retired_set(const char *text, const struct kernel_param *param)
{
	bool value;
	int err;

	if (!capable(CAP_SYS_MODULE))
		return -EPERM;
	err = kstrtobool(text, &value);
	if (err)
		return err;
	if (value)
		metastore_retire();
	else
		metastore_unretire();
	return 0;
}

static const struct kernel_param_ops retired_ops = {
	.set = retired_set,
	.get = param_get_bool,
};

module_param_cb(retired, &retired_ops, &metastore_retired, 0644);
__MODULE_PARM_TYPE(retired, "bool");
MODULE_PARM_DESC(retired, "Serve nobody but who opens the device with O_EXCL and CAP_SYS_MODULE, so that the module can be replaced (default no)");

static int version_set(const char *text, const struct kernel_param *param)
{
	u64 version;
	int err;

	err = kstrtou64(text, 0, &version);
	return err ?: metastore_store_begin_above(version);
}

static int version_get(char *buffer, const struct kernel_param *param)
{
	return scnprintf(buffer, PAGE_SIZE, "%llu\n", metastore_store_newest_version());
}

static const struct kernel_param_ops version_ops = {
	.set = version_set,
	.get = version_get,
};

module_param_cb(newest_version, &version_ops, NULL, 0400);
__MODULE_PARM_TYPE(newest_version, "ullong");
MODULE_PARM_DESC(newest_version, "Newest version of the store. When the module is loaded: one that all versions will be greater than, at most 2^63 - 1 (default: the real time in ns)");
