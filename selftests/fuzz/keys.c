// SPDX-License-Identifier: GPL-2.0
/* Calls that change and look up keys */
#include <sys/ioctl.h>

#include "fuzz.h"

/* Where things lie in the good part of a lane's memory, behind the structure */
#define PREVIOUS_AT	PAGE
#define VALUE_AT	(24 * PAGE)
#define PREVIOUS_SIZE	65536
#define OPS_AT		(42 * PAGE)
#define RAW_AT		(60 * PAGE)

/* One command about one key, as far as all have it in common */
struct deed {
	struct open_file *file;
	uint32_t turn;
	uint32_t key;
	uint64_t name;
	uint32_t name_len;
	uint64_t known;			/* newest version before it began */
};

static bool begin(struct lane *lane, struct deed *deed, uint32_t slot, uint32_t key, uint32_t mem)
{
	char name[METASTORE_KEY_MAX];
	size_t len;

	deed->file = slot_use(slot, &deed->turn);
	if (!deed->file)
		return false;
	deed->key = key % KEYS;
	len = key_name(deed->key, name);
	deed->name = lane_place(lane, mem, AT_KEY, KEY_AT, name, len);
	deed->name_len = lane_length(mem, AT_KEY, len);
	deed->known = version_known(deed->file->store, deed->key);
	return true;
}

/* For calls that change: not a key of a group, whose value only may be odd if it is dirty */
static uint32_t changing_key(uint32_t key, uint32_t mem)
{
	if (hostile_of(mem, AT_VALUE) != GOOD && hostile_of(mem, AT_VALUE) != ODD)
		return DIRTY + key % 4;
	key %= GROUP;
	return key;
}

static uint64_t pick_version(uint32_t how, uint64_t known)
{
	switch (how) {
	case 0:
		return 0;
	case 1:
		return known;
	case 2:
		return known ? known - 1 : 1;
	default:
		return 1ULL << 62;
	}
}

static uint64_t pick_ttl(uint32_t ttl)
{
	return ttl == ~0U ? METASTORE_TTL_MAX + 1 : ttl;
}

static uint32_t new_stamp(void)
{
	return __atomic_add_fetch(&shared->stamp, 1, __ATOMIC_RELAXED);
}

static void place_previous(struct lane *lane, struct metastore_previous *previous, uint32_t mem)
{
	previous->value = lane_place(lane, mem, AT_PREVIOUS, PREVIOUS_AT, NULL, PREVIOUS_SIZE);
	previous->len = lane_length(mem, AT_PREVIOUS, PREVIOUS_SIZE);
}

/*
 * Notes a change that was made, with the version that it replaced if that is known:
 * IF_VERSION says so as well.
 */
static void note_change(const struct deed *deed, uint32_t flags,
			uint64_t wanted, uint64_t version,
			const struct metastore_previous *previous)
{
	struct change change = { .version = version };

	if (flags & METASTORE_F_PREVIOUS) {
		change.knows_previous = true;
		change.previous = previous->version;
		if (previous->version)
			check_value(deed->key, (char *)(uintptr_t)previous->value, previous->len,
				    "previous value");
	}
	if (flags & METASTORE_F_IF_VERSION) {
		if (flags & METASTORE_F_PREVIOUS && previous->version != wanted)
			finding("key %u: a change of version %llu only replaced %llu", deed->key,
				(unsigned long long)wanted, previous->version);
		change.knows_previous = true;
		change.previous = wanted;
	}
	if (flags & METASTORE_F_CREATE && flags & METASTORE_F_PREVIOUS && previous->version)
		finding("key %u was created over version %llu", deed->key, previous->version);
	if (flags & METASTORE_F_REPLACE && flags & METASTORE_F_PREVIOUS && !previous->version)
		finding("key %u was replaced, and was not there", deed->key);
	version_made(deed->file->store, deed->key, deed->known, &change);
}

static void change(struct lane *lane, unsigned long command, const uint32_t *arg,
		   uint32_t timeout, uint32_t mem)
{
	char value[65540];
	struct metastore_set set = {};
	uint64_t wanted;
	struct deed deed;
	int ret;

	if (!begin(lane, &deed, arg[0], changing_key(arg[1], mem), mem))
		return;
	set.key = deed.name;
	set.key_len = deed.name_len;
	set.value_len = arg[2] % sizeof(value);
	make_value(value, deed.key, set.value_len, new_stamp());
	set.value = lane_place(lane, mem, AT_VALUE, VALUE_AT, value, set.value_len);
	set.value_len = lane_length(mem, AT_VALUE, set.value_len);
	set.flags = arg[3];
	wanted = arg[3] & METASTORE_F_IF_VERSION ? pick_version(arg[4], deed.known) : 0;
	set.version = wanted;
	set.ttl = arg[3] & METASTORE_F_KEEP_TTL ? 0 : pick_ttl(arg[5]);
	set.timeout = timeout;
	place_previous(lane, &set.previous, mem);
	/* Changes by other lanes in the meantime are newer than they may seem to them. */
	ret = lane_ioctl(lane, slot_fd(arg[0]), command, &set, sizeof(set), mem);
	if (!lane_is_clean(lane, mem) || !slot_is_same(arg[0], deed.turn))
		lane_unsure();
	else if (!ret)
		note_change(&deed, set.flags, wanted, set.version, &set.previous);
}

void call_set(struct lane *lane, const uint32_t *arg)
{
	change(lane, METASTORE_IOC_SET, arg, 0, arg[6]);
}

void call_publish(struct lane *lane, const uint32_t *arg)
{
	change(lane, METASTORE_IOC_PUBLISH, arg, arg[3] & METASTORE_F_WAIT ? arg[6] : 0, arg[7]);
}

void call_delete(struct lane *lane, const uint32_t *arg)
{
	struct metastore_delete delete = {};
	uint32_t mem = arg[5];
	struct deed deed;
	uint64_t wanted;
	int ret;

	if (!begin(lane, &deed, arg[0], arg[1] % GROUP, mem))
		return;
	delete.key = deed.name;
	delete.key_len = deed.name_len;
	delete.flags = arg[2];
	wanted = arg[2] & METASTORE_F_IF_VERSION ? pick_version(arg[3], deed.known) : 0;
	delete.version = wanted;
	place_previous(lane, &delete.previous, mem);
	ret = lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_DELETE, &delete, sizeof(delete), mem);
	if (!lane_is_clean(lane, mem) || !slot_is_same(arg[0], deed.turn))
		lane_unsure();
	else if (!ret)
		note_change(&deed, arg[2], wanted, delete.version, &delete.previous);
}

void call_get(struct lane *lane, const uint32_t *arg)
{
	uint32_t mem = arg[4], size = arg[2] == 40 ? 65536 : arg[2];
	struct metastore_get get = {};
	struct deed deed;
	int ret;

	if (!begin(lane, &deed, arg[0], arg[1], mem))
		return;
	get.key = deed.name;
	get.key_len = deed.name_len;
	get.value_len = lane_length(mem, AT_VALUE, size);
	get.value = lane_place(lane, mem, AT_VALUE, VALUE_AT, NULL, size);
	get.flags = arg[3];
	ret = lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_GET, &get, sizeof(get), mem);
	if (!lane_is_clean(lane, mem) || !slot_is_same(arg[0], deed.turn) ||
	    (ret && ret != -ERANGE))
		return;
	version_found(deed.file->store, deed.key, deed.known, get.version, "GET");
	if (!ret && get.value_len > size)
		finding("GET: %u bytes in a buffer of %u", get.value_len, size);
	else if (!ret)
		check_value(deed.key, (char *)(uintptr_t)get.value, get.value_len, "GET");
}

void call_stat(struct lane *lane, const uint32_t *arg)
{
	struct metastore_stat stat = {};
	struct deed deed;

	if (!begin(lane, &deed, arg[0], arg[1], arg[2]))
		return;
	stat.key = deed.name;
	stat.key_len = deed.name_len;
	if (!lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_STAT, &stat, sizeof(stat), arg[2]) &&
	    lane_is_clean(lane, arg[2]) && slot_is_same(arg[0], deed.turn))
		version_found(deed.file->store, deed.key, deed.known, stat.version, "STAT");
}

void call_touch(struct lane *lane, const uint32_t *arg)
{
	struct metastore_touch touch = {};
	struct deed deed;

	if (!begin(lane, &deed, arg[0], arg[1] % GROUP, arg[4]))
		return;
	touch.key = deed.name;
	touch.key_len = deed.name_len;
	touch.flags = arg[2] ? METASTORE_F_IF_VERSION : 0;
	touch.version = touch.flags ? pick_version(arg[2], deed.known) : 0;
	touch.ttl = pick_ttl(arg[3]);
	if (!lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_TOUCH, &touch, sizeof(touch),
			arg[4]) &&
	    lane_is_clean(lane, arg[4]) && slot_is_same(arg[0], deed.turn))
		version_found(deed.file->store, deed.key, deed.known, touch.version, "TOUCH");
}

static void check_list(const char *buffer, uint32_t len, uint32_t entries)
{
	const struct metastore_list_entry *entry;
	uint32_t at, n = 0;

	for (at = 0; at < len; at += entry->len, n++) {
		entry = (const void *)(buffer + at);
		if (len - at < sizeof(*entry) || entry->len % 8 || entry->len > len - at ||
		    entry->header_len + entry->key_len > entry->len) {
			finding("LIST: a broken entry at %u of %u", at, len);
			return;
		}
	}
	if (n != entries)
		finding("LIST: %u entries, and it says %u", n, entries);
}

void call_list(struct lane *lane, const uint32_t *arg)
{
	struct metastore_list list = {};
	uint32_t mem = arg[6];
	struct deed deed;
	int ret;

	/* The key is cursor and prefix, whatever is asked for. */
	if (!begin(lane, &deed, arg[0], arg[5], mem))
		return;
	list.cursor = deed.name;
	list.cursor_len = arg[4] % 2 ? deed.name_len : 0;
	list.prefix = deed.name;
	list.prefix_len = hostile_of(mem, AT_KEY) ? deed.name_len :
			  arg[4] < deed.name_len ? arg[4] : deed.name_len;
	list.buffer = lane_place(lane, mem, AT_VALUE, VALUE_AT, NULL, arg[1]);
	list.buffer_len = lane_length(mem, AT_VALUE, arg[1] % (64 * 1024 + 1));
	list.bucket = arg[3];
	list.flags = arg[2];
	ret = lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_LIST, &list, sizeof(list), mem);
	if (!ret && lane_is_clean(lane, mem))
		check_list((char *)(uintptr_t)list.buffer, list.buffer_len, list.entries);
}

void call_flush(struct lane *lane, const uint32_t *arg)
{
	struct metastore_flush flush = {};
	uint32_t prefix = arg[1];
	struct deed deed;

	/* Of the group a FLUSH would leave a part for a moment. */
	if (!begin(lane, &deed, arg[0], 8, arg[4]))
		return;
	if (deed.file->store == STORE_GROUPS && !prefix)
		prefix = 1;
	flush.prefix = deed.name;
	flush.prefix_len = hostile_of(arg[4], AT_KEY) ? deed.name_len :
			   prefix < deed.name_len ? prefix : deed.name_len;
	flush.bucket = arg[2];
	flush.flags = arg[3];
	/* It might have no prefix after all. */
	if (hostile_of(arg[4], AT_KEY) && deed.file->store == STORE_GROUPS)
		return;
	lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_FLUSH, &flush, sizeof(flush), arg[4]);
}

void call_info(struct lane *lane, const uint32_t *arg)
{
	struct metastore_info info = { .bucket = arg[1] };
	uint32_t turn;

	if (!slot_use(arg[0], &turn) ||
	    lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_INFO, &info, sizeof(info), arg[2]) ||
	    !lane_is_clean(lane, arg[2]))
		return;
	if (info.keys > info.max_keys || info.bytes > info.max_bytes ||
	    info.bytes < info.keys * (METASTORE_VALUE_OVERHEAD + 1))
		finding("INFO: %llu keys of %llu, %llu bytes of %llu", info.keys, info.max_keys,
			info.bytes, info.max_bytes);
}

void call_bucket(struct lane *lane, const uint32_t *arg)
{
	struct metastore_key_bucket bucket = {};
	struct deed deed;

	if (!begin(lane, &deed, arg[0], arg[1], arg[2]))
		return;
	bucket.key = deed.name;
	bucket.key_len = deed.name_len;
	if (!lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_BUCKET, &bucket, sizeof(bucket),
			arg[2]) &&
	    lane_is_clean(lane, arg[2]) && bucket.bucket >= bucket.buckets)
		finding("BUCKET: %u of %u", bucket.bucket, bucket.buckets);
}

void call_subscribers(struct lane *lane, const uint32_t *arg)
{
	struct metastore_subscribers subscribers = {};
	struct deed deed;

	if (!begin(lane, &deed, arg[0], arg[1], arg[2]))
		return;
	subscribers.key = deed.name;
	subscribers.key_len = deed.name_len;
	if (!lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_SUBSCRIBERS, &subscribers,
			sizeof(subscribers), arg[2]) &&
	    lane_is_clean(lane, arg[2]) && subscribers.subscribers > 100000)
		finding("SUBSCRIBERS: %u", subscribers.subscribers);
}

/* Batches */

#define OPS	257

/* The operations as asked for, since only the module's part of an operation comes back */
struct batch {
	struct metastore_batch head;
	struct metastore_op ops[OPS];
	uint32_t keys[OPS];
	uint64_t wanted[OPS];
	struct open_file *file;
	uint64_t known[KEYS];
};

static void batch_add(struct lane *lane, struct batch *batch, uint32_t op, uint32_t key,
		      uint32_t flags, uint32_t len)
{
	uint32_t i = batch->head.nr++;
	struct metastore_op *o = &batch->ops[i];
	char name[METASTORE_KEY_MAX], value[1024];
	/* Names and values lie where those of single commands do, one after the other. */
	uint32_t at = VALUE_AT + i * 256;

	*o = (struct metastore_op) { .op = op, .flags = flags };
	batch->keys[i] = key;
	o->key_len = key_name(key, name);
	o->key = lane_place(lane, 0, AT_KEY, KEY_AT + 256 * (key % KEYS), name, o->key_len);
	if (op == METASTORE_OP_SET || op == METASTORE_OP_PUBLISH) {
		o->value_len = len;
		make_value(value, key, len, new_stamp());
		o->value = lane_place(lane, 0, AT_VALUE, at, value, len);
	} else if (op == METASTORE_OP_GET) {
		o->value_len = 256;
		o->value = lane_place(lane, 0, AT_VALUE, at, NULL, 256);
	} else if (op == METASTORE_OP_TOUCH) {
		o->ttl = 1 + len;
	}
	if (flags & METASTORE_F_IF_VERSION)
		batch->wanted[i] = pick_version(len % 3, batch->known[key]);
	o->version = batch->wanted[i];
}

static void batch_begin(struct batch *batch, struct open_file *file)
{
	uint32_t key;

	*batch = (struct batch) { .file = file };
	for (key = 0; key < KEYS; key++)
		batch->known[key] = version_known(file->store, key);
}

static void batch_check_op(struct batch *batch, uint32_t i)
{
	const struct metastore_op *op = &batch->ops[i];
	struct deed deed = { .file = batch->file, .key = batch->keys[i],
			     .known = batch->known[batch->keys[i]] };

	if (op->result)
		return;
	if (op->op == METASTORE_OP_GET) {
		version_found(batch->file->store, deed.key, deed.known, op->version, "batch GET");
		check_value(deed.key, (char *)(uintptr_t)op->value, op->value_len, "batch GET");
	} else if (op->op == METASTORE_OP_TOUCH) {
		version_found(batch->file->store, deed.key, deed.known, op->version, "batch TOUCH");
	} else {
		note_change(&deed, op->flags & METASTORE_F_IF_VERSION, batch->wanted[i],
			    op->version, &op->previous);
	}
}

/* A wrong number reaches operations behind the last one: what earlier batches left is cleared. */
static void batch_clear_rest(struct lane *lane, uint32_t nr)
{
	struct metastore_op *ops = (void *)(lane->memory + OPS_AT);

	memset(&ops[nr], 0, (OPS - nr) * sizeof(*ops));
}

/* Returns what the command does; -EAGAIN when its result is not to be trusted */
static int batch_run(struct lane *lane, struct batch *batch, uint32_t slot, uint32_t turn,
		     uint32_t mem)
{
	size_t size = batch->head.nr * sizeof(struct metastore_op);
	uint64_t ops = lane_place(lane, mem, AT_VALUE, OPS_AT, batch->ops,
				  hostile_of(mem, AT_VALUE) == FLIPPING ? 0 : size);
	uint32_t nr = batch->head.nr, i;
	int ret;

	if (hostile_of(mem, AT_KEY))
		batch_clear_rest(lane, nr);
	batch->head.ops = ops;
	batch->head.op_size = lane_length(mem, AT_PREVIOUS, sizeof(struct metastore_op));
	batch->head.nr = lane_length(mem, AT_KEY, nr);
	ret = lane_ioctl(lane, slot_fd(slot), METASTORE_IOC_BATCH, &batch->head,
			 sizeof(batch->head), mem);
	if (!lane_is_clean(lane, mem) || !slot_is_same(slot, turn)) {
		lane_unsure();
		return -EAGAIN;
	}
	if (ret && ret != -ECANCELED)
		return ret;
	memcpy(batch->ops, (void *)(uintptr_t)ops, size);
	for (i = 0; i < nr; i++) {
		if (ret == -ECANCELED && !batch->ops[i].result)
			finding("a batch was cancelled, and operation %u was not", i);
		batch_check_op(batch, i);
	}
	return ret;
}

void call_batch(struct lane *lane, const uint32_t *arg)
{
	static const uint32_t ops[] = { METASTORE_OP_GET, METASTORE_OP_SET, METASTORE_OP_SET,
		METASTORE_OP_DELETE, METASTORE_OP_PUBLISH, METASTORE_OP_PUBLISH,
		METASTORE_OP_TOUCH };
	static const uint32_t flags[] = { 0, 0, 0, METASTORE_F_CREATE, METASTORE_F_IF_VERSION,
		METASTORE_F_OWNED, METASTORE_F_STEAL, METASTORE_F_KEEP_TTL };
	uint64_t state = arg[3] * 0x9e3779b97f4a7c15ULL + 1;
	uint32_t turn, i, nr = arg[1] % (OPS + 1);
	struct open_file *file = slot_use(arg[0], &turn);
	struct batch *batch;

	if (!file)
		return;
	batch = malloc(sizeof(*batch));
	batch_begin(batch, file);
	batch->head.flags = arg[2] ? METASTORE_BATCH_ATOMIC : 0;
	for (i = 0; i < nr; i++) {
		uint32_t op = ops[random_below(&state, ARRAY_SIZE(ops))];
		uint32_t flag = flags[random_below(&state, ARRAY_SIZE(flags))];
		/* No key twice, mostly */
		uint32_t key = arg[2] && nr <= GROUP ? (i * 5 + arg[3]) % GROUP :
			       random_below(&state, GROUP);

		if (op == METASTORE_OP_GET)
			flag = 0;
		if (op == METASTORE_OP_TOUCH)
			flag &= METASTORE_F_IF_VERSION;
		if (op == METASTORE_OP_DELETE)
			flag &= METASTORE_F_IF_VERSION | METASTORE_F_STEAL;
		batch_add(lane, batch, op, key, flag, random_below(&state, 200));
	}
	batch_run(lane, batch, arg[0], turn, arg[4]);
	free(batch);
}

/*
 * Four keys of which all are set by one batch, to values of one stamp, or all removed. A
 * batch that reads them finds them so. Some of the batches fail, at their last operation.
 */
void call_group_change(struct lane *lane, const uint32_t *arg)
{
	static const uint32_t ops[] = { METASTORE_OP_SET, METASTORE_OP_PUBLISH, METASTORE_OP_DELETE,
					METASTORE_OP_SET, METASTORE_OP_PUBLISH };
	uint32_t turn, i, kind = arg[1] % ARRAY_SIZE(ops), stamp = new_stamp();
	struct open_file *file = slot_use(arg[0], &turn);
	struct batch *batch;
	char value[256];

	if (!file || file->store != STORE_GROUPS)
		return;
	batch = malloc(sizeof(*batch));
	batch_begin(batch, file);
	batch->head.flags = METASTORE_BATCH_ATOMIC;
	for (i = 0; i < 4; i++) {
		uint32_t len = 20 + (arg[2] + i) % 200;

		batch_add(lane, batch, ops[kind], GROUP + i, 0, len);
		if (ops[kind] == METASTORE_OP_DELETE)
			continue;
		make_value(value, GROUP + i, len, stamp);
		memcpy((void *)(uintptr_t)batch->ops[i].value, value, len);
	}
	if (kind >= 3) {
		batch_add(lane, batch, METASTORE_OP_SET, 0, METASTORE_F_IF_VERSION, 20);
		batch->wanted[4] = 1;
		batch->ops[4].version = 1;
	}
	if (!batch_run(lane, batch, arg[0], turn, 0) && kind >= 3)
		finding("a batch took effect, though one of its conditions is not met");
	free(batch);
}

void call_group_look(struct lane *lane, const uint32_t *arg)
{
	uint32_t turn, i, found = 0, stamp, stamps[4] = {};
	struct open_file *file = slot_use(arg[0], &turn);
	struct batch *batch;

	if (!file || file->store != STORE_GROUPS)
		return;
	batch = malloc(sizeof(*batch));
	batch_begin(batch, file);
	batch->head.flags = METASTORE_BATCH_ATOMIC;
	for (i = 0; i < 4; i++)
		batch_add(lane, batch, METASTORE_OP_GET, GROUP + i, 0, 0);
	if (!batch_run(lane, batch, arg[0], turn, 0)) {
		for (i = 0; i < 4; i++) {
			if (batch->ops[i].result)
				continue;
			/* Where make_value() writes it */
			memcpy(&stamp, (char *)(uintptr_t)batch->ops[i].value + 8, sizeof(stamp));
			stamps[found++] = stamp;
		}
		if (found && (found != 4 || stamps[0] != stamps[1] || stamps[0] != stamps[2] ||
			      stamps[0] != stamps[3]))
			finding("an atomic batch is seen in part: %u of 4 keys, stamps %u %u %u %u",
				found, stamps[0], stamps[1], stamps[2], stamps[3]);
	}
	free(batch);
}

/* Any number, any size, any content; the pointers are wild, or to a name of no other call */
void call_raw(struct lane *lane, const uint32_t *arg)
{
	uint64_t state = arg[3] + 1, words[64];
	uint32_t turn, i, size = arg[2] % sizeof(words) / 8 * 8;
	struct open_file *file = slot_use(arg[0], &turn);

	/* It would tear the groups, or make a descriptor that nobody knows of. */
	if (!file || file->store == STORE_GROUPS || arg[1] == _IOC_NR(METASTORE_IOC_CREATE) ||
	    arg[1] == _IOC_NR(METASTORE_IOC_OPEN))
		return;
	memcpy(lane->memory + RAW_AT, "raw", 3);
	for (i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = random_below(&state, 3) ? random_below(&state, 4) :
			   random_below(&state, 2) ? random_next(&state) :
			   (uintptr_t)lane->memory + RAW_AT;
	lane->worked = !ioctl(slot_fd(arg[0]), _IOC(_IOC_READ | _IOC_WRITE, METASTORE_IOC_MAGIC,
						    arg[1], size), words);
	lane_unsure();
}
