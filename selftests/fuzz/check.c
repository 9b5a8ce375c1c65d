// SPDX-License-Identifier: GPL-2.0
/* Checks that hold whatever programs do */
#include <stdarg.h>
#include <sys/ioctl.h>

#include "fuzz.h"

#define MOST_PENDING	UINT32_MAX	/* a queue is far shorter */

void finding(const char *format, ...)
{
	va_list args;

	if (__atomic_exchange_n(&world->has_finding, 1, __ATOMIC_ACQ_REL))
		return;
	if (shared)
		shared->found = 1;
	va_start(args, format);
	vsnprintf(world->finding, sizeof(world->finding), format, args);
	va_end(args);
	world->stop = 1;
}

/* Keys: eight of which each is a prefix of the next, eight short ones, eight long ones */

size_t key_name(uint32_t key, char *name)
{
	static const uint32_t lens[] = { 31, 63, 64, 65, 128, 200, 254, 255 };

	if (key < 8) {
		memcpy(name, "kabcdefg", key + 1);
		return key + 1;
	}
	if (key < 16) {
		memcpy(name, "kb", 2);
		name[2] = 'a' + key % 8;
		return 3;
	}
	if (key < DIRTY) {
		memset(name, 'x', lens[key % 8]);
		memcpy(name, "kc", 2);
		return lens[key % 8];
	}
	memcpy(name, key < GROUP ? "kd" : "gg", 2);
	name[2] = '0' + key % 4;
	return 3;
}

uint32_t key_index(const void *name, size_t len)
{
	char own[METASTORE_KEY_MAX];
	uint32_t key;

	for (key = 0; key < KEYS; key++)
		if (key_name(key, own) == len && !memcmp(own, name, len))
			break;
	return key;
}

/* Values: which key, how long, a number that occurs once, then bytes that follow from it */

#define STAMPED		12

void make_value(char *value, uint32_t key, uint32_t len, uint32_t stamp)
{
	uint32_t head[3] = { 0x5a5a0000 + key, len, stamp };

	if (len < STAMPED) {
		memset(value, 0x40 + key, len);
		return;
	}
	memcpy(value, head, STAMPED);
	memset(value + STAMPED, stamp * 31 + key, len - STAMPED);
}

void check_value(uint32_t key, const char *value, uint32_t len, const char *what)
{
	uint32_t head[3], i;
	char fill = 0x40 + key;

	if (key >= KEYS || (key >= DIRTY && key < GROUP) || !len)
		return;
	i = 0;
	if (len >= STAMPED) {
		memcpy(head, value, STAMPED);
		if (head[0] != 0x5a5a0000 + key || head[1] != len) {
			finding("%s: the value of key %u is %u bytes of %#x, made for %u", what,
				key, len, head[0], head[1]);
			return;
		}
		fill = head[2] * 31 + key;
		i = STAMPED;
	}
	if (i < len && (value[i] != fill || memcmp(value + i, value + i + 1, len - i - 1)))
		finding("%s: the value of key %u is torn, of %u bytes", what, key, len);
}

/* Versions */

static uint64_t *version_place(int store, uint32_t key)
{
	return store == STORE_DEFAULT ? &world->seen[key] : &shared->seen[store][key];
}

uint64_t version_known(int store, uint32_t key)
{
	if (store == STORE_OTHER)
		return 0;
	return __atomic_load_n(version_place(store, key), __ATOMIC_ACQUIRE);
}

static void version_raise(int store, uint32_t key, uint64_t version)
{
	uint64_t *place = version_place(store, key);
	uint64_t old = __atomic_load_n(place, __ATOMIC_RELAXED);

	while (store != STORE_OTHER && old < version &&
	       !__atomic_compare_exchange_n(place, &old, version, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED))
		;
}

void version_found(int store, uint32_t key, uint64_t known, uint64_t version, const char *what)
{
	if (version < known)
		finding("%s: key %u of store %d has version %llu, and had %llu before", what, key,
			store, (unsigned long long)version, (unsigned long long)known);
	version_raise(store, key, version);
}

void version_made(int store, uint32_t key, uint64_t known, const struct change *change)
{
	uint32_t at;

	if (change->version <= known || change->version <= change->previous)
		finding("key %u of store %d: version %llu made after %llu, in place of %llu",
			key, store, (unsigned long long)change->version,
			(unsigned long long)known, (unsigned long long)change->previous);
	version_raise(store, key, change->version);
	if (store == STORE_OTHER)
		return;
	at = __atomic_fetch_add(&shared->nr_changes, 1, __ATOMIC_RELAXED);
	if (at >= CHANGES) {
		shared->overran = 1;
		return;
	}
	shared->changes[at] = *change;
	shared->changes[at].key = store * KEYS + key;
	shared->changes[at].step = this_lane->step;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_version(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return compare(x->key, y->key) ?: compare(x->version, y->version);
}

static int by_previous(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return compare(x->key, y->key) ?: compare(x->previous, y->previous);
}

static void tell_changes(const char *what, const struct change *a, const struct change *b)
{
	finding("key %u of store %u: %s: version %llu for %llu by step %u, %llu for %llu by %u",
		a->key % KEYS, a->key / KEYS, what,
		(unsigned long long)a->version, (unsigned long long)a->previous, a->step,
		(unsigned long long)b->version, (unsigned long long)b->previous, b->step);
}

/* No version was made twice, none was replaced twice, none was passed over. */
void check_changes(void)
{
	uint32_t nr = shared->nr_changes < CHANGES ? shared->nr_changes : CHANGES, i;
	bool all = !shared->unsure && !shared->overran;
	struct change *c = shared->changes;

	qsort(c, nr, sizeof(*c), by_version);
	for (i = 1; i < nr; i++) {
		if (c[i].key != c[i - 1].key || !c[i - 1].version)
			continue;
		if (c[i].version == c[i - 1].version)
			tell_changes("made twice", &c[i - 1], &c[i]);
		if (all && c[i].key >= KEYS && c[i].knows_previous && c[i].previous &&
		    c[i].previous != c[i - 1].version)
			tell_changes("passed over", &c[i - 1], &c[i]);
	}
	qsort(c, nr, sizeof(*c), by_previous);
	for (i = 1; i < nr; i++)
		if (c[i].key == c[i - 1].key && c[i].previous && c[i].previous == c[i - 1].previous)
			tell_changes("replaced twice", &c[i - 1], &c[i]);
}

/*
 * Events. A cookie says what its subscription is to (a key or how much of its name, and
 * which events), so that each event can be held against it. No two are the same.
 */

#define COOKIE_MARK	0xa5

uint64_t make_cookie(uint32_t key, uint32_t prefix, uint32_t events)
{
	uint64_t number = __atomic_add_fetch(&shared->cookie, 1, __ATOMIC_RELAXED);

	return number << 40 | (uint64_t)prefix << 24 | (events & 0x7f) << 16 |
	       COOKIE_MARK << 8 | key;
}

/* Not one that the kernel took from memory that changed under it? */
static bool cookie_is_ours(uint64_t cookie)
{
	return (cookie >> 8 & 0xff) == COOKIE_MARK && (cookie & 0xff) < KEYS &&
	       cookie >> 40 <= shared->cookie;
}

/* Returns NULL for a cookie that is not ours, or one too many */
static struct told *told_of(uint64_t cookie)
{
	return cookie_is_ours(cookie) && cookie >> 40 < COOKIES ? &shared->told[cookie >> 40] :
								 NULL;
}

static void tell(uint64_t cookie, uint32_t received, uint64_t lost)
{
	struct told *told = told_of(cookie);

	if (!told)
		return;
	__atomic_add_fetch(&told->received, received, __ATOMIC_RELAXED);
	__atomic_add_fetch(&told->lost, lost, __ATOMIC_RELAXED);
}

static bool cookie_matches(uint64_t cookie, const char *name, uint32_t len)
{
	char own[METASTORE_KEY_MAX];
	uint32_t prefix = cookie >> 24 & 0xffff, own_len = key_name(cookie & 0xff, own);

	if (prefix == COOKIE_EXACT)
		return len == own_len && !memcmp(own, name, len);
	return len >= prefix && !memcmp(own, name, prefix);
}

static bool is_wanted(const struct metastore_event *event, uint32_t asked)
{
	uint32_t by = METASTORE_EVENT_BY_DELETE;

	if (event->type & (METASTORE_EVENT_SNAPSHOT | METASTORE_EVENT_SNAPSHOT_END))
		return true;
	if (event->flags & METASTORE_EVENT_F_STOLEN)
		return true;
	if (event->flags & METASTORE_EVENT_F_FLUSH)
		by = METASTORE_EVENT_BY_FLUSH;
	if (event->flags & METASTORE_EVENT_F_EXPIRED)
		by = METASTORE_EVENT_BY_EXPIRY;
	if (event->flags & METASTORE_EVENT_F_OWNER)
		by = METASTORE_EVENT_BY_OWNER;
	if (!asked)
		asked = METASTORE_EVENT_PUBLISHED;
	return asked & event->type || (event->type == METASTORE_EVENT_DELETED && asked & by);
}

/* Of a subscription, the versions of a key only grow; a snapshot's may be the one known. */
static void check_order(struct lane *lane, int file, uint32_t key,
			const struct metastore_event *event)
{
	uint64_t hash = (event->cookie * 31 + key) * 0x9e3779b97f4a7c15ULL;
	bool is_change = event->type != METASTORE_EVENT_SNAPSHOT;
	struct seen *seen = &lane->seen[hash >> 32 & (ORDER_ENTRIES - 1)];

	if (seen->cookie == event->cookie && seen->key == key && seen->file == (uint32_t)file &&
	    event->version < seen->version + is_change)
		finding("file %d, cookie %#llx: version %llu of key %u came after %llu (type %#x)",
			file, event->cookie, event->version, key,
			(unsigned long long)seen->version, event->type);
	*seen = (struct seen) { event->cookie, file, key, event->version };
}

static void check_event(struct lane *lane, int file, const struct metastore_event *event,
			const char *name)
{
	uint32_t key = key_index(name, event->key_len);

	if (event->type != METASTORE_EVENT_SNAPSHOT_END && !event->version)
		finding("an event without a version, of type %#x", event->type);
	if (!(event->flags & METASTORE_EVENT_F_NO_VALUE))
		check_value(key, name + event->key_len, event->value_len, "event");
	else if (event->value_len)
		finding("an event without its value has %u bytes", event->value_len);
	if (!cookie_is_ours(event->cookie))
		return;
	if (!is_wanted(event, event->cookie >> 16 & 0x7f))
		finding("an event of type %#x, flags %#x, and cookie %#llx did not ask for it",
			event->type, event->flags, event->cookie);
	if (event->type == METASTORE_EVENT_SNAPSHOT_END)
		return;
	if (!cookie_matches(event->cookie, name, event->key_len))
		finding("an event of key %u for cookie %#llx", key, event->cookie);
	if (key < KEYS)
		check_order(lane, file, key, event);
}

void check_events(struct lane *lane, int file, const char *buffer, size_t len, uint64_t *received)
{
	struct metastore_event event;
	uint64_t used;
	size_t at;

	for (at = 0; at < len; at += event.len) {
		memcpy(&event, buffer + at, sizeof(event));
		used = (event.header_len + event.key_len + event.value_len + 7ULL) / 8 * 8;
		if (len - at < sizeof(event) || event.len > len - at || event.len != used ||
		    event.header_len < sizeof(event)) {
			finding("read(): a broken record at %zu of %zu", at, len);
			return;
		}
		switch (event.type) {
		case METASTORE_EVENT_LOST:
		case METASTORE_EVENT_FLUSHED:
			if (!event.count)
				finding("a record of type %#x counts none", event.type);
			if (event.type == METASTORE_EVENT_LOST)
				tell(event.cookie, 0, event.count);
			continue;
		case METASTORE_EVENT_PUBLISHED:
		case METASTORE_EVENT_SET:
		case METASTORE_EVENT_DELETED:
		case METASTORE_EVENT_SNAPSHOT:
			(*received)++;
			tell(event.cookie, 1, 0);
			break;
		case METASTORE_EVENT_SNAPSHOT_END:
			break;
		default:
			finding("a record of type %#x", event.type);
		}
		check_event(lane, file, &event, buffer + at + event.header_len);
	}
}

/*
 * Books. What matched is all accounted for, and once all is read nothing is pending, each
 * subscription was told of as many events as it has delivered and of as many losses as it has,
 * but for those that METASTORE_SUBSCRIBE_RESYNC settled.
 */

/*
 * The pending events of a subscription are what the other counters leave: the sum always
 * matches, but a wrong counter shows in a number that no queue can hold.
 */
static void check_books(const char *what, uint64_t matched, const uint64_t parts[5])
{
	uint64_t sum = parts[0] + parts[1] + parts[2] + parts[3] + parts[4];

	if (sum != matched || parts[4] > MOST_PENDING)
		finding("%s: %llu matched, sum %llu of (%llu %llu %llu %llu %llu)", what,
			(unsigned long long)matched, (unsigned long long)sum,
			(unsigned long long)parts[0], (unsigned long long)parts[1],
			(unsigned long long)parts[2], (unsigned long long)parts[3],
			(unsigned long long)parts[4]);
}

void check_queue(const struct metastore_queue_info *info, const char *what)
{
	uint64_t parts[] = { info->delivered, info->conflated, info->lost, info->discarded,
			     info->pending };

	check_books(what, info->matched, parts);
	/* Events that readers copy just now count as pending, yet do not wait. */
	if (info->len > info->pending || info->bytes > info->max_bytes ||
	    info->high_len < info->len)
		finding("%s: %u events (%u once), %llu pending, %u bytes of %u", what, info->len,
			info->high_len, info->pending, info->bytes, info->max_bytes);
}

void check_subscription(const struct metastore_subscription_info *info)
{
	uint64_t parts[] = { info->delivered, info->conflated, info->lost, info->discarded,
			     info->pending };

	check_books("SUBSCRIPTION", info->matched, parts);
}

/* The books of a subscription, as a line of fdinfo has them */
struct books {
	unsigned long long cookie, matched;
	uint64_t parts[5];
};

static bool books_parse(struct books *books, const char *line)
{
	unsigned long long p[5];
	size_t i;

	if (sscanf(line, "subscription: %llu %*s %*s %llu %llu %llu %llu %llu %llu",
		   &books->cookie, &books->matched, &p[0], &p[1], &p[2], &p[4], &p[3]) != 7)
		return false;
	for (i = 0; i < ARRAY_SIZE(p); i++)
		books->parts[i] = p[i];
	return true;
}

static void check_books_read(const struct books *books, bool resynced)
{
	const struct told *told = told_of(books->cookie);
	bool lost_as_told;

	if (books->parts[4])
		finding("all is read, and of cookie %#llx %llu events are pending, %llu lost",
			books->cookie, (unsigned long long)books->parts[4],
			(unsigned long long)books->parts[2]);
	if (!told || shared->unsure)
		return;
	lost_as_told = resynced ? books->parts[2] >= told->lost :
				  books->parts[2] == told->lost;
	if (books->parts[0] != told->received || !lost_as_told)
		finding("cookie %#llx: %llu delivered, %llu lost, but read %u and %u",
			books->cookie, (unsigned long long)books->parts[0],
			(unsigned long long)books->parts[2], told->received, told->lost);
}

static FILE *fdinfo_open(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return fopen(path, "re");
}

/* The next subscription of a file, whose books are checked */
static bool fdinfo_next(FILE *f, struct books *books)
{
	char line[2048];

	while (f && fgets(line, sizeof(line), f)) {
		if (!books_parse(books, line))
			continue;
		check_books("fdinfo", books->matched, books->parts);
		return true;
	}
	if (f)
		fclose(f);
	return false;
}

void check_fdinfo(int fd)
{
	FILE *f = fdinfo_open(fd);
	struct books books;

	while (fdinfo_next(f, &books))
		;
}

void check_fdinfo_read(int fd, bool resynced)
{
	FILE *f = fdinfo_open(fd);
	struct books books;

	while (fdinfo_next(f, &books))
		check_books_read(&books, resynced);
}
