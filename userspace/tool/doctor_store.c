// SPDX-License-Identifier: GPL-2.0
/* Checks of mstore doctor that ask the store. */
#include <errno.h>
#include <metastore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "openfiles.h"
#include "store.h"
#include "users.h"

#define NEAR_PERCENT	80

#define UNLOAD		"mstore dump >saved && sudo modprobe -r metastore && "
#define PARAMETERS	"/sys/module/metastore/parameters/"

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{ MSTORE_FEATURE_CONDITIONS, "conditions" },
	{ MSTORE_FEATURE_OWNERS, "owners" },
	{ MSTORE_FEATURE_TTL, "times to live" },
	{ MSTORE_FEATURE_BATCH, "batches" },
	{ MSTORE_FEATURE_PRIVATE, "private stores" },
	{ MSTORE_FEATURE_DELIVERY, "snapshots and queues" },
	{ MSTORE_FEATURE_WAIT, "waiting publishers" },
	{ MSTORE_FEATURE_TOUCH, "touch" },
	{ MSTORE_FEATURE_PREVIOUS, "previous values" },
	{ MSTORE_FEATURE_DETAILS, "values in lists" },
	{ MSTORE_FEATURE_RESYNC, "resync" },
	{ MSTORE_FEATURE_USERS, "limits of users" },
	{ MSTORE_FEATURE_MAP_RING, "mapped rings" },
	{ MSTORE_FEATURE_MAP_STORE, "mapped stores" },
};

void check_features(struct finding *finding, const struct patient *patient)
{
	uint64_t has = patient->info.features, known = 0, missing;
	const char *comma = "";

	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		known |= features[i].bit;
	missing = known & ~has;
	if (missing) {
		find(finding, VERDICT_WARN, "the module is older than this tool and lacks");
		for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
			if (!(missing & features[i].bit))
				continue;
			buffer_format(&finding->why, "%s %s", comma, features[i].name);
			comma = ",";
		}
		mend(finding, UNLOAD "sudo modprobe metastore && mstore load <saved");
	} else if (has & ~known) {
		find(finding, VERDICT_WARN,
		     "the module is newer than this tool, which does not know its features %#llx",
		     (unsigned long long)(has & ~known));
		mend(finding, "make && sudo make install");
	} else {
		find(finding, VERDICT_OK, "module and tool have the same");
	}
}

/* Whether more than NEAR_PERCENT of a limit is used; says how much in any case. */
static bool is_near(struct finding *finding, const char *what, uint64_t use, uint64_t limit)
{
	unsigned int percent = limit ? (unsigned int)((double)use * 100 / (double)limit) : 0;
	bool near = limit && (double)use * 100 > (double)limit * NEAR_PERCENT;

	find(finding, near ? VERDICT_WARN : VERDICT_OK, "%llu of %llu%s%s (%u %%)",
	     (unsigned long long)use, (unsigned long long)limit, *what ? " " : "", what, percent);
	return near;
}

static void mend_by_reload(struct finding *finding, const char *parameter, uint64_t limit)
{
	mend(finding, UNLOAD "sudo modprobe metastore %s=%llu && mstore load <saved",
	     parameter, (unsigned long long)limit * 2);
}

/* The limits of a private store are given when it is created. */
static void mend_store(struct finding *finding, const char *parameter, const char *option,
		       uint64_t limit)
{
	if (strncmp(store_path(), "fd:", 3))
		mend_by_reload(finding, parameter, limit);
	else
		mend(finding, "mstore private --%s %llu", option, (unsigned long long)limit * 2);
}

void check_keys(struct finding *finding, const struct patient *patient)
{
	const struct mstore_info *info = &patient->info;

	if (is_near(finding, "", info->keys, info->max_keys))
		mend_store(finding, "max_keys", "max-keys", info->max_keys);
}

void check_bytes(struct finding *finding, const struct patient *patient)
{
	const struct mstore_info *info = &patient->info;

	if (is_near(finding, "", info->bytes, info->max_bytes))
		mend_store(finding, "max_bytes", "max-bytes", info->max_bytes);
}

/* Those of a namespace count to its creator too, who is among the users of @ns. */
static uint64_t sum_private(struct mstore *store, uint32_t ns)
{
	struct mstore_user_info next = { 0 };
	uint64_t sum = 0;

	while (!mstore_user_next(store, &next))
		if (next.ns == ns)
			sum += next.kinds[MSTORE_USER_STORE_BYTES].use;
	return sum;
}

void check_private(struct finding *finding, const struct patient *patient)
{
	struct mstore_user_info own;
	uint64_t sum;

	if (mstore_user_info(patient->store, &own)) {
		find(finding, VERDICT_OK, "the module does not count them");
		return;
	}
	sum = sum_private(patient->store, own.ns);
	if (errno != ENOENT)
		find_hidden(finding, "other users");
	else if (is_near(finding, "bytes", sum, patient->info.private_bytes))
		mend_by_reload(finding, "private_bytes", patient->info.private_bytes);
}

/* The kind that is nearest to its limit. */
static int nearest_kind(const struct mstore_user_info *user)
{
	int nearest = 0;
	double most = 0;

	for (int i = 0; i < USER_KIND_COUNT; i++) {
		const struct mstore_user_kind *kind = &user->kinds[i];
		double part = kind->limit ? (double)kind->use / (double)kind->limit : 0;

		if (part > most) {
			most = part;
			nearest = i;
		}
	}
	return nearest;
}

/* A share of the moment can be less than the module's parameter, which then is no help. */
static bool is_share(const struct user_kind *what, uint64_t limit)
{
	unsigned long long parameter;
	char path[128];
	FILE *file;
	bool known;

	if (what->shared)
		return true;
	snprintf(path, sizeof(path), PARAMETERS "user_%s", what->name);
	file = fopen(path, "re");
	if (!file)
		return false;
	known = fscanf(file, "%llu", &parameter) == 1;
	fclose(file);
	return known && parameter != limit;
}

void check_user(struct finding *finding, const struct patient *patient)
{
	const struct user_kind *what;
	struct mstore_user_info own;
	int kind;

	if (mstore_user_info(patient->store, &own)) {
		find(finding, VERDICT_OK, "the module does not limit users");
		return;
	}
	kind = nearest_kind(&own);
	what = &user_kinds[kind];
	if (!is_near(finding, what->title, own.kinds[kind].use, own.kinds[kind].limit))
		return;
	if (is_share(what, own.kinds[kind].limit))
		mend(finding, "sudo mstore audit --users");
	else
		mend(finding, "echo %llu | sudo tee " PARAMETERS "user_%s",
		     (unsigned long long)own.kinds[kind].limit * 2, what->name);
}

static void count_losses(struct finding *finding, const struct open_files *files)
{
	uint64_t subscriptions = 0, events = 0;

	for (size_t i = 0; i < files->count; i++)
		for (size_t j = 0; j < files->files[i].sub_count; j++) {
			events += files->files[i].subs[j].books.lost;
			subscriptions += files->files[i].subs[j].books.lost != 0;
		}
	if (subscriptions) {
		find(finding, VERDICT_WARN, "%llu subscriptions lost %llu events",
		     (unsigned long long)subscriptions, (unsigned long long)events);
		mend(finding, "sudo mstore audit");
	} else if (files->denied) {
		find(finding, VERDICT_WARN, "none seen, but %u processes cannot be looked at",
		     files->denied);
		mend(finding, "sudo mstore doctor");
	} else {
		find(finding, VERDICT_OK, "no subscription lost an event");
	}
}

void check_losses(struct finding *finding, const struct patient *patient)
{
	struct open_files files;

	if (!(patient->info.features & MSTORE_FEATURE_DELIVERY)) {
		find(finding, VERDICT_OK, "the module does not count them");
		return;
	}
	if (access("/proc/self/fdinfo", R_OK)) {
		find_hidden(finding, "/proc/self/fdinfo");
		return;
	}
	open_files_read(&files, patient->store);
	count_losses(finding, &files);
	open_files_free(&files);
}
