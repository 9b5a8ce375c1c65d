// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation of each operation fails in turn, and so does each copy from and
 * to user space, by /proc/PID/fail-nth (see Documentation/fault-injection in the
 * kernel's source): the errno is the one that the interface promises, and nothing
 * is half done. Nothing leaks either; KERNEL=kasan, which has fail-nth, sees to
 * that.
 *
 * A further operation of the module is one more FIXTURE_VARIANT_ADD() here.
 */
#include <glob.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "flood.h"
#include "metastore_test.h"

#define DEBUGFS		"/sys/kernel/debug"

/*
 * So small that each allocation is one that has nothing to fall back to, and that there
 * is room for one private store: one that failed must have given its room back
 */
#define PARAMETERS	"buckets=4 queue_len=16 private_bytes=4096"
#define QUEUE_LEN	16

/* Slots that a table allocates at once, see <linux/generic-radix-tree.h> */
#define SLOTS		64

/* More than are told in one go */
#define MANY		100

/* The module, loaded and unloaded */

static int load(const char *parameters)
{
	int fd = open(getenv("METASTORE_KO") ?: "", O_RDONLY | O_CLOEXEC);
	int ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;

	close(fd);
	return ret;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "metastore", O_NONBLOCK) ? -errno : 0;
}

/* The kernel's fault injection, and debugfs of its shrinkers */

static bool can_inject(void)
{
	return !access(DEBUGFS "/shrinker", R_OK) &&
	       !access("/proc/thread-self/fail-nth", W_OK) &&
	       !access(DEBUGFS "/failslab/require-start", W_OK) &&
	       !access(DEBUGFS "/fail_usercopy/require-start", W_OK) &&
	       !access(DEBUGFS "/fail_page_alloc/require-start", W_OK);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;

	close(fd);
	return ret;
}

static int configure(const char *kind, const char *setting, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s/%s", kind, setting);
	return write_file(path, text);
}

struct range {
	unsigned long start, end;
};

/* Calls from the code of @what shall fail, but not from @spared; without a word in the log */
static int fail_only_in(struct range what, struct range spared)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	const struct {
		const char *setting;
		unsigned long address;
	} bounds[] = {
		{ "require-start", what.start }, { "require-end", what.end },
		{ "reject-start", spared.start }, { "reject-end", spared.end },
	};
	char text[32];
	int ret = 0;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(kinds) && !ret; i++) {
		ret = configure(kinds[i], "verbose", "0") ?:
		      configure(kinds[i], "stacktrace-depth", "32");
		for (j = 0; j < ARRAY_SIZE(bounds) && !ret; j++) {
			snprintf(text, sizeof(text), "%#lx", bounds[j].address);
			ret = configure(kinds[i], bounds[j].setting, text);
		}
	}
	/*
	 * By default what may sleep is spared. Pages for slabs, three orders of them, are
	 * left alone: it is chance whether one is needed, and that spoils the counting.
	 */
	return ret ?: configure("failslab", "ignore-gfp-wait", "N") ?:
		      configure("fail_page_alloc", "ignore-gfp-wait", "N") ?:
		      configure("fail_page_alloc", "min-order", "4");
}

static int fail_only_in_module(void)
{
	unsigned long start, size;
	int ret = -ENOENT;
	char line[256];
	FILE *f;

	f = fopen("/proc/modules", "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "metastore %lu %*s %*s %*s %lx", &size, &start) == 2)
			ret = fail_only_in((struct range){ start, start + size },
					   (struct range){});
	fclose(f);
	return ret;
}

/* Where the kernel has @function; from 0 to 0 if it is not there by that name */
static struct range find_function(const char *function)
{
	struct range range = {};
	unsigned long address;
	char line[256], name[128];
	FILE *f;

	f = fopen("/proc/kallsyms", "r");
	while (f && !range.end && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx %*s %127s", &address, name) != 2)
			continue;
		if (!strcmp(name, function))
			range.start = address;
		else if (range.start && address > range.start)
			range.end = address;
	}
	fclose(f);
	return range;
}

/*
 * do_one_initcall() calls a module's init function, and nothing else here. Up to 6.12 at
 * least, a failure in sysfs_slab_add() leaks the name of the new slab cache.
 */
static int fail_only_in_init(void)
{
	struct range init = find_function("do_one_initcall");

	return init.end ? fail_only_in(init, find_function("sysfs_slab_add")) : -ENOENT;
}

/* The @nth thing that can fail shall fail for this thread; 0: none */
static int arm(int nth)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", nth);
	return write_file("/proc/thread-self/fail-nth", text);
}

/* Whether something failed since arm() */
static bool disarm(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDONLY | O_CLOEXEC);
	char left = '?';
	ssize_t ret = read(fd, &left, 1);

	close(fd);
	arm(0);
	return ret == 1 && left == '0';
}

/* A file of the module's shrinker, in a directory whose name ends with a number */
static int open_shrinker(const char *name, int flags)
{
	glob_t found;
	int fd = -1;

	if (glob(DEBUGFS "/shrinker/metastore-*", GLOB_ONLYDIR, NULL, &found))
		return -1;
	if (found.gl_pathc == 1) {
		int dir = open(found.gl_pathv[0], O_PATH | O_CLOEXEC);

		fd = openat(dir, name, flags | O_CLOEXEC);
		close(dir);
	}
	globfree(&found);
	return fd;
}

/*
 * The memory of values that are gone is kept on their CPU for the next ones, and what comes
 * from there cannot fail. Frees all of it, of every cgroup, once nobody may be reading it any
 * more. Returns whether nothing is kept.
 */
static bool drop_kept(void)
{
	int scan = open_shrinker("scan", O_WRONLY), count = open_shrinker("count", O_RDONLY);
	char request[64], counts[64];
	ssize_t left = -1;
	struct stat root;
	int n;

	if (!stat("/sys/fs/cgroup", &root)) {
		snprintf(request, sizeof(request), "%lu 0 1000000", (unsigned long)root.st_ino);
		left = pread(count, counts, sizeof(counts), 0);
	}
	for (n = 0; n < 100 && left > 0; n++) {
		ms_await_readers();
		/* Of a machine with one CPU that was no wait. */
		if (n)
			usleep(10000);
		if (write(scan, request, strlen(request)) < 0)
			break;
		left = pread(count, counts, sizeof(counts), 0);
	}
	close(scan);
	close(count);
	return !left;
}

/* The state that operations begin with */

static const char small_value[] = "small";
static char large_value[2000];
/* Too long for kmalloc() to be all there is */
static char giant_value[60000];
static char buffer[65536];

/* Not all of them have a value */
static const char *const keys[] = { "small", "large", "giant", "new", "many" };

enum {
	ACTOR,		/* the file that does it, subscribed to "small" alone */
	OTHER,		/* is subscribed to all changes of all keys */
	SPARE,		/* to come or to go */
	FILES
};

/*
 * State as text, so that a failure shows what is different. It has no versions, but
 * whether they are those that the operation found.
 */
struct state {
	char text[2048];
};

static char scratch[65536];

FIXTURE(fault)
{
	int watch;			/* a file of ours, with no part in it */
	int fds[FILES];
	int many[MANY];
	int epoll;
	char *pages;			/* two of them */
	void *arg;
	__u64 versions[ARRAY_SIZE(keys)];
	int waiting;			/* events of OTHER before a batch */
	struct state before, after, done;
};

FIXTURE_VARIANT(fault)
{
	/* An ioctl of ACTOR, or another call */
	unsigned long command;
	int (*call)(struct _test_data_fault *self);
	const void *arg;
	size_t size;
	/* Parameters of a module loaded anew; the store is then empty. NULL: see populate() */
	const char *fresh;
	int (*prepare)(struct _test_data_fault *self);
	bool changes_nothing;
	/* Whether the argument has come back right */
	bool (*returns)(const void *arg);
	/* Of a batch: whether what was done is what was told */
	bool (*keeps_word)(struct _test_data_fault *self, int ret);
	/*
	 * How many failures refuse it, by errno, and how many at least it does not mind. A call
	 * that the fast path leaves to the slow one has its arguments copied in twice.
	 */
	int enomem;
	int efault;
	int survives;
	/* Where the [out] fields of the argument end */
	size_t out_end;
};

static int populate(struct _test_data_fault *self)
{
	int ret;
	size_t i;

	for (i = 0; i < FILES; i++)
		self->fds[i] = ms_open(O_RDWR | O_NONBLOCK);
	ret = ms_set(self->watch, "small", small_value, NULL) ?:
	      ms_setn(self->watch, "large", 5, large_value, sizeof(large_value), NULL) ?:
	      ms_setn(self->watch, "giant", 5, giant_value, sizeof(giant_value), NULL) ?:
	      ms_subscribe(self->fds[ACTOR], "small", EVENTS_ALL, 1) ?:
	      ms_subscribe(self->fds[SPARE], "large", EVENTS_ALL, 2) ?:
	      ms_subscribe(self->fds[SPARE], "spare", EVENTS_ALL, 3);
	for (i = 0; i < ARRAY_SIZE(keys) && !ret; i++)
		ret = ms_subscribe(self->fds[OTHER], keys[i], EVENTS_ALL, i);
	if (ret)
		return ret;
	/* So that each file has an event waiting */
	ms_publish(self->watch, "small", small_value, NULL);
	ms_publishn(self->watch, "large", 5, large_value, sizeof(large_value), NULL);
	return 0;
}

static void close_all(struct _test_data_fault *self)
{
	size_t i;

	for (i = 0; i < FILES; i++)
		close(self->fds[i]);
	for (i = 0; i < MANY; i++) {
		close(self->many[i]);
		self->many[i] = -1;
	}
	close(self->epoll);
}

static int reload(struct _test_data_fault *self, const char *parameters)
{
	int ret;

	close(self->watch);
	unload();
	ret = load(parameters) ?: fail_only_in_module();
	self->watch = ms_open(O_RDWR | O_NONBLOCK);
	return ret ?: self->watch < 0 ? self->watch : 0;
}

static __u64 version_of(int fd, const char *key)
{
	struct metastore_stat stat;

	return ms_stat(fd, key, &stat) ? 0 : stat.version;
}

/* The state before, the same each time. Returns 0 or a negative errno. */
static int prepare(struct _test_data_fault *self, const struct _fixture_variant_fault *variant)
{
	int ret;
	size_t i;

	close_all(self);
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (variant->fresh) {
		ret = reload(self, variant->fresh);
		self->fds[ACTOR] = ms_open(O_RDWR | O_NONBLOCK);
		self->fds[OTHER] = -1;
		self->fds[SPARE] = -1;
	} else {
		ret = ms_reset(self->watch) ?: populate(self);
	}
	if (!ret && variant->prepare)
		ret = variant->prepare(self);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		self->versions[i] = version_of(self->watch, keys[i]);
	memset(buffer, POISON, sizeof(buffer));
	self->arg = self->pages;
	memcpy(self->arg, variant->arg ?: "", variant->size);
	return ret;
}

static __u32 sum(const char *bytes, int len)
{
	__u32 hash = 0;
	int i;

	for (i = 0; i < len; i++)
		hash = hash * 31 + (__u8)bytes[i];
	return hash;
}

/* Of any number of keys, unlike the rest */
static int count_listed(int fd)
{
	struct metastore_list arg = {
		.buffer = ms_ptr(scratch),
		.buffer_len = sizeof(scratch),
		.bucket = METASTORE_ANY_BUCKET,
	};

	return ms_ioctl(fd, METASTORE_IOC_LIST, &arg) ?: (int)arg.entries;
}

/*
 * The user's charges, which go back when a call fails. Not so the queue's: a first
 * subscription that fails leaves it there.
 */
static void describe_user(struct _test_data_fault *self, FILE *f)
{
	struct metastore_user_info user = {};
	int i;

	fprintf(f, "user: %d", ms_ioctl(self->watch, METASTORE_IOC_USER, &user));
	for (i = 0; i < METASTORE_USER_KINDS; i++)
		if (i != METASTORE_USER_QUEUE_BYTES)
			fprintf(f, " %llu", user.kinds[i].use);
	fprintf(f, "\n");
}

static void describe(struct _test_data_fault *self, struct state *state)
{
	FILE *f = fmemopen(state->text, sizeof(state->text), "w");
	struct metastore_info info;
	struct metastore_stat stat;
	struct epoll_event event;
	int len, told = 0;
	__u64 version;
	size_t i;

	ms_info(self->watch, METASTORE_ANY_BUCKET, &info);
	fprintf(f, "keys %llu listed %d bytes %llu subscriptions %llu\n", info.keys,
		count_listed(self->watch), info.bytes, info.subscriptions);
	describe_user(self, f);
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		len = ms_get(self->watch, keys[i], scratch, sizeof(scratch), &version);
		fprintf(f, "key %s: length %d sum %x version %s subscribers %d", keys[i], len,
			sum(scratch, len), len < 0 ? "none" :
			version == self->versions[i] ? "old" :
			version > self->versions[i] ? "new" : "wrong",
			ms_subscribers(self->watch, keys[i]));
		if (!ms_stat(self->watch, keys[i], &stat))
			fprintf(f, " owner %u ends %d", stat.owner, !!stat.ttl);
		fprintf(f, "\n");
	}
	for (i = 0; i < FILES; i++) {
		int fd = self->fds[i];

		fprintf(f, "file %zu: subscribed %lld waiting %lld bytes %lld lost %lld next %d",
			i, ms_fdinfo(fd, "subscriptions"), ms_fdinfo(fd, "events"),
			ms_fdinfo(fd, "bytes"), ms_fdinfo(fd, "lost"), ms_pending(fd));
		fprintf(f, " keys of its store %d\n", ms_keys(fd));
	}
	for (i = 0; i < MANY; i++)
		told += ms_pending(self->many[i]) > 0;
	fprintf(f, "many: told %d; epoll: %d\n", told, epoll_wait(self->epoll, &event, 1, 0));
	fclose(f);
}

static int call(struct _test_data_fault *self, const struct _fixture_variant_fault *variant)
{
	if (variant->call)
		return variant->call(self);
	return ms_ioctl(self->fds[ACTOR], variant->command, self->arg);
}

/* The operations */

#define PTR(p)		((__u64)(uintptr_t)(p))
#define ARG(type, ...) \
	.arg = &(const struct metastore_##type) { __VA_ARGS__ }, \
	.size = sizeof(struct metastore_##type)
#define KEY(name)	.key = PTR(name), .key_len = sizeof(name) - 1
#define VALUE(bytes)	.value = PTR(bytes), .value_len = sizeof(bytes)
#define BUFFER(size)	.buffer = PTR(buffer), .buffer_len = (size)

static int open_spare(struct _test_data_fault *self)
{
	self->fds[SPARE] = ms_open(O_RDWR | O_NONBLOCK);
	return self->fds[SPARE];
}

static int close_spare(struct _test_data_fault *self)
{
	return close(self->fds[SPARE]) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(fault, open) {
	.call = open_spare,
	.prepare = close_spare,
	.enomem = 1,
};

/* Nobody can be told that it failed */
FIXTURE_VARIANT_ADD(fault, close) {
	.call = close_spare,
};

static int let_spare_own(struct _test_data_fault *self)
{
	return ms_own(self->fds[SPARE], "small", small_value, NULL) ?:
	       ms_own(self->fds[SPARE], "new", large_value, NULL);
}

/* Nor that what belonged to it could not go */
FIXTURE_VARIANT_ADD(fault, close_owner) {
	.call = close_spare,
	.prepare = let_spare_own,
};

static int open_spare_by(struct _test_data_fault *self, unsigned long command)
{
	int fd = ms_ioctl(self->fds[ACTOR], command, self->arg);

	self->fds[SPARE] = fd < 0 ? -1 : fd;
	return fd;
}

static int create_as_spare(struct _test_data_fault *self)
{
	return open_spare_by(self, METASTORE_IOC_CREATE);
}

/* The store, its buckets, the open file as the module and as the kernel has it, its name */
FIXTURE_VARIANT_ADD(fault, create) {
	.call = create_as_spare,
	ARG(create, .open_flags = O_RDWR | O_NONBLOCK),
	.prepare = close_spare,
	.enomem = 6,
	.efault = 1,
};

static int reopen_as_spare(struct _test_data_fault *self)
{
	return open_spare_by(self, METASTORE_IOC_OPEN);
}

FIXTURE_VARIANT_ADD(fault, reopen) {
	.call = reopen_as_spare,
	ARG(open, .open_flags = O_RDWR | O_NONBLOCK),
	.prepare = close_spare,
	.enomem = 4,
	.efault = 1,
};

/* A user that has no open file, another one each time since they go after a grace period */
static int reopen_as_new_user(struct _test_data_fault *self)
{
	static uid_t uid = 100000;
	int ret;

	if (seteuid(uid++))
		return -errno;
	ret = reopen_as_spare(self);
	return seteuid(0) ? -errno : ret;
}

FIXTURE_VARIANT_ADD(fault, reopen_as_new_user) {
	.call = reopen_as_new_user,
	ARG(open, .open_flags = O_RDWR | O_NONBLOCK),
	.prepare = close_spare,
	.enomem = 5,
	.efault = 1,
};

static bool is_small(const void *arg)
{
	const struct metastore_get *get = arg;

	return get->value_len == sizeof(small_value) - 1 && get->version &&
	       !memcmp(buffer, small_value, get->value_len);
}

FIXTURE_VARIANT_ADD(fault, get) {
	.command = METASTORE_IOC_GET,
	ARG(get, KEY("small"), VALUE(buffer)),
	.changes_nothing = true,
	.returns = is_small,
	.efault = 3,
	.out_end = offsetof(struct metastore_get, time),
};

static bool is_large(const void *arg)
{
	const struct metastore_get *get = arg;

	return get->value_len == sizeof(large_value) && get->version &&
	       !memcmp(buffer, large_value, sizeof(large_value));
}

FIXTURE_VARIANT_ADD(fault, get_large) {
	.command = METASTORE_IOC_GET,
	ARG(get, KEY("large"), VALUE(buffer)),
	.changes_nothing = true,
	.returns = is_large,
	.efault = 5,
	.out_end = offsetof(struct metastore_get, time),
};

static bool is_small_by_us(const void *arg)
{
	const struct metastore_get *get = arg;

	return is_small(arg) && get->time && get->tgid == getpid();
}

FIXTURE_VARIANT_ADD(fault, get_info) {
	.command = METASTORE_IOC_GET,
	ARG(get, KEY("small"), VALUE(buffer), .flags = METASTORE_GET_INFO),
	.changes_nothing = true,
	.returns = is_small_by_us,
	.efault = 4,
	.out_end = sizeof(struct metastore_get),
};

FIXTURE_VARIANT_ADD(fault, set_new) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("new"), VALUE("new value")),
	.enomem = 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* The bytes are apart from the header */
FIXTURE_VARIANT_ADD(fault, set_new_large) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("new"), VALUE(large_value)),
	.enomem = 2,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* Single pages will do where several in a row are not to be had */
FIXTURE_VARIANT_ADD(fault, set_new_giant) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("new"), VALUE(giant_value)),
	.enomem = 1,
	.efault = 3,
	.survives = 1,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, set_existing) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("small"), VALUE("another value")),
	.enomem = 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, set_existing_large) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("large"), .value = PTR(large_value), .value_len = sizeof(large_value) - 1),
	.enomem = 2,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* Owner and time stand ahead of the value, in the same allocation */
FIXTURE_VARIANT_ADD(fault, set_owned) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("new"), VALUE("new value"), .flags = METASTORE_F_OWNED),
	.enomem = 1,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, set_owned_large) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("new"), VALUE(large_value), .flags = METASTORE_F_OWNED),
	.enomem = 2,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, set_stealing) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("small"), VALUE("another value"),
	    .flags = METASTORE_F_OWNED | METASTORE_F_STEAL),
	.prepare = let_spare_own,
	.enomem = 1,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* In ms; an hour, so that it does not end while this looks */
#define TTL	3600000

FIXTURE_VARIANT_ADD(fault, set_with_ttl) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("small"), VALUE("another value"), .ttl = TTL),
	.enomem = 1,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, set_large_with_ttl) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("large"), .value = PTR(large_value), .value_len = sizeof(large_value) - 1,
	    .ttl = TTL),
	.enomem = 2,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* The table's first slots must be had */
FIXTURE_VARIANT_ADD(fault, set_first_of_bucket) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("new"), VALUE("new value")),
	.fresh = "buckets=1",
	.enomem = 2,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

static int fill_table(struct _test_data_fault *self)
{
	int ret = 0;
	__u64 i;

	for (i = 0; i < SLOTS && !ret; i++)
		ret = ms_setn(self->watch, &i, sizeof(i), "v", 1, NULL);
	return ret;
}

/* Further slots only make it faster: a level of its tree and a leaf */
FIXTURE_VARIANT_ADD(fault, set_when_table_grows) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("new"), VALUE("new value")),
	.fresh = "buckets=1",
	.prepare = fill_table,
	.enomem = 1,
	.efault = 3,
	.survives = 2,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* A publish that failed reaches nobody */
FIXTURE_VARIANT_ADD(fault, publish) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, KEY("small"), VALUE("another value")),
	.enomem = 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, publish_large) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, KEY("new"), VALUE(large_value)),
	.enomem = 2,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

static int fill_queues(struct _test_data_fault *self)
{
	int i, ret = 0;

	for (i = 0; i < QUEUE_LEN && ret >= 0; i++)
		ret = ms_publish(self->watch, "small", small_value, NULL);
	return ret < 0 ? ret : 0;
}

/* Others' events go to make room, or none does */
FIXTURE_VARIANT_ADD(fault, publish_to_full_queues) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, KEY("small"), VALUE("another value")),
	.prepare = fill_queues,
	.enomem = 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

static int subscribe_many(struct _test_data_fault *self)
{
	int i, ret = 0;

	for (i = 0; i < MANY && !ret; i++) {
		self->many[i] = ms_open(O_RDONLY | O_NONBLOCK);
		ret = ms_subscribe(self->many[i], "many", EVENTS_ALL, 0);
	}
	return ret;
}

FIXTURE_VARIANT_ADD(fault, publish_to_many) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, KEY("many"), VALUE("value")),
	.prepare = subscribe_many,
	.enomem = 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, delete) {
	.command = METASTORE_IOC_DELETE,
	ARG(delete, KEY("small")),
	.efault = 2,
	.out_end = offsetof(struct metastore_delete, previous),
};

/* The value is copied out once the change is made */
static bool is_done_or_not(struct _test_data_fault *self, int ret)
{
	bool done = !strcmp(self->done.text, self->after.text);
	bool undone = !strcmp(self->before.text, self->after.text);

	if (!ret)
		return done;
	return undone || (done && ret == -EFAULT);
}

#define PREVIOUS(buf) \
	.flags = METASTORE_F_PREVIOUS, .previous = { .value = PTR(buf), .len = sizeof(buf) }

FIXTURE_VARIANT_ADD(fault, set_previous) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("small"), VALUE("another value"), PREVIOUS(buffer)),
	.keeps_word = is_done_or_not,
	.enomem = 1,
	.efault = 5,
	.out_end = sizeof(struct metastore_set),
};

FIXTURE_VARIANT_ADD(fault, delete_previous) {
	.command = METASTORE_IOC_DELETE,
	ARG(delete, KEY("small"), PREVIOUS(buffer)),
	.keeps_word = is_done_or_not,
	.efault = 4,
	.out_end = sizeof(struct metastore_delete),
};

FIXTURE_VARIANT_ADD(fault, delete_previous_large) {
	.command = METASTORE_IOC_DELETE,
	ARG(delete, KEY("large"), PREVIOUS(buffer)),
	.keeps_word = is_done_or_not,
	.efault = 4,
	.out_end = sizeof(struct metastore_delete),
};

FIXTURE_VARIANT_ADD(fault, set_keeping_ttl) {
	.command = METASTORE_IOC_SET,
	ARG(set, KEY("small"), VALUE("another value"), .flags = METASTORE_F_KEEP_TTL),
	.enomem = 1,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, delete_large) {
	.command = METASTORE_IOC_DELETE,
	ARG(delete, KEY("large")),
	.efault = 2,
	.out_end = offsetof(struct metastore_delete, previous),
};

/* Slots of the table, ring of the queue, key and subscription */
FIXTURE_VARIANT_ADD(fault, subscribe_first) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, KEY("small")),
	.fresh = PARAMETERS,
	.enomem = 4,
	.efault = 2,
};

FIXTURE_VARIANT_ADD(fault, subscribe_further) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, KEY("new")),
	.enomem = 2,
	.efault = 2,
};

/* A cursor */
FIXTURE_VARIANT_ADD(fault, resync) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, KEY("small"), .flags = METASTORE_SUBSCRIBE_RESYNC),
	.enomem = 1,
	.efault = 2,
};

FIXTURE_VARIANT_ADD(fault, unsubscribe_and_discard) {
	.command = METASTORE_IOC_UNSUBSCRIBE,
	ARG(unsubscribe, KEY("small"), .flags = METASTORE_SUBSCRIBE_DISCARD),
	.efault = 2,
};

FIXTURE_VARIANT_ADD(fault, unsubscribe) {
	.command = METASTORE_IOC_UNSUBSCRIBE,
	ARG(unsubscribe, KEY("small")),
	.efault = 2,
};

/* Subscription, prefix, and the place where it may part from another one */
FIXTURE_VARIANT_ADD(fault, subscribe_prefix) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, KEY("sm"), .flags = METASTORE_SUBSCRIBE_PREFIX),
	.enomem = 2,
	.efault = 2,
};

FIXTURE_VARIANT_ADD(fault, subscribe_latest) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, KEY("new"), .flags = METASTORE_SUBSCRIBE_LATEST),
	.enomem = 2,
	.efault = 2,
};

/* A ring with an index, which is two tables, as well */
FIXTURE_VARIANT_ADD(fault, subscribe_latest_of_prefix) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, KEY("sm"),
	    .flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_LATEST),
	.enomem = 5,
	.efault = 2,
};

FIXTURE_VARIANT_ADD(fault, subscribe_with_snapshot) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, KEY("new"), .flags = METASTORE_SUBSCRIBE_SNAPSHOT),
	.enomem = 3,
	.efault = 2,
};

static int subscribe_prefixes(struct _test_data_fault *self)
{
	return ms_subscribe_prefix(self->fds[ACTOR], "sm", EVENTS_ALL, 4) ?:
	       ms_subscribe_prefix(self->fds[SPARE], "", EVENTS_ALL, 5);
}

FIXTURE_VARIANT_ADD(fault, unsubscribe_prefix) {
	.command = METASTORE_IOC_UNSUBSCRIBE,
	ARG(unsubscribe, KEY("sm"), .flags = METASTORE_SUBSCRIBE_PREFIX),
	.prepare = subscribe_prefixes,
	.efault = 2,
};

FIXTURE_VARIANT_ADD(fault, publish_to_prefixes) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, KEY("small"), VALUE("another value")),
	.prepare = subscribe_prefixes,
	.enomem = 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* The value: what is noted of the first queues that must have room needs no memory */
FIXTURE_VARIANT_ADD(fault, publish_that_waits) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, KEY("small"), VALUE("another value"), .flags = METASTORE_F_WAIT),
	.enomem = 1,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* The value, and what is noted of the others */
FIXTURE_VARIANT_ADD(fault, publish_that_waits_for_many) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, KEY("many"), VALUE("value"), .flags = METASTORE_F_WAIT),
	.prepare = subscribe_many,
	.enomem = 2,
	.efault = 4,
	.out_end = offsetof(struct metastore_set, ttl),
};

/* A new ring, of which nothing is to be seen */
FIXTURE_VARIANT_ADD(fault, queue) {
	.command = METASTORE_IOC_QUEUE,
	ARG(queue_info, .flags = METASTORE_QUEUE_SET_LEN, .max_len = QUEUE_LEN),
	.changes_nothing = true,
	.enomem = 1,
	.efault = 1,
	.out_end = sizeof(struct metastore_queue_info),
};

static bool are_two(const void *arg)
{
	const struct metastore_subscribers *subscribers = arg;

	return subscribers->subscribers == 2;
}

FIXTURE_VARIANT_ADD(fault, subscribers) {
	.command = METASTORE_IOC_SUBSCRIBERS,
	ARG(subscribers, KEY("small")),
	.changes_nothing = true,
	.returns = are_two,
	.efault = 2,
	.out_end = offsetof(struct metastore_subscribers, reserved),
};

static bool is_a_bucket(const void *arg)
{
	const struct metastore_key_bucket *bucket = arg;

	return bucket->buckets && bucket->bucket < bucket->buckets;
}

FIXTURE_VARIANT_ADD(fault, bucket) {
	.command = METASTORE_IOC_BUCKET,
	ARG(key_bucket, KEY("small")),
	.changes_nothing = true,
	.returns = is_a_bucket,
	.efault = 2,
	.out_end = sizeof(struct metastore_key_bucket),
};

static bool is_stat_of_small(const void *arg)
{
	const struct metastore_stat *stat = arg;

	return stat->value_len == sizeof(small_value) - 1 && stat->subscribers == 2;
}

FIXTURE_VARIANT_ADD(fault, stat) {
	.command = METASTORE_IOC_STAT,
	ARG(stat, KEY("small")),
	.changes_nothing = true,
	.returns = is_stat_of_small,
	.efault = 3,
	.out_end = sizeof(struct metastore_stat),
};

static bool are_three_entries(const void *arg)
{
	const struct metastore_list *list = arg;

	/* Of 32 bytes each */
	return list->entries == 3 && list->buffer_len == 3 * 32;
}

/* A prefix of no bytes cannot fail, here and below */
FIXTURE_VARIANT_ADD(fault, list) {
	.command = METASTORE_IOC_LIST,
	ARG(list, BUFFER(METASTORE_LIST_MIN), .bucket = METASTORE_ANY_BUCKET),
	.changes_nothing = true,
	.returns = are_three_entries,
	.enomem = 3,
	.efault = 2,
	.out_end = sizeof(struct metastore_list),
};

static bool is_one_entry(const void *arg)
{
	const struct metastore_list *list = arg;

	return list->entries == 1 && list->buffer_len == 32;
}

FIXTURE_VARIANT_ADD(fault, list_prefix) {
	.command = METASTORE_IOC_LIST,
	ARG(list, BUFFER(METASTORE_LIST_MIN), .prefix = PTR("l"), .prefix_len = 1,
	    .bucket = METASTORE_ANY_BUCKET),
	.changes_nothing = true,
	.returns = is_one_entry,
	.enomem = 3,
	.efault = 3,
	.out_end = sizeof(struct metastore_list),
};

static char cursor[5];

/* The first key in the store's order; all have the same length */
static int find_cursor(struct _test_data_fault *self)
{
	struct metastore_list_entry *first = (void *)scratch;

	if (count_listed(self->watch) != 3 || first->key_len != sizeof(cursor))
		return -EBADMSG;
	memcpy(cursor, scratch + first->header_len, sizeof(cursor));
	return 0;
}

static bool are_two_entries(const void *arg)
{
	const struct metastore_list *list = arg;

	return list->entries == 2 && list->buffer_len == 2 * 32;
}

FIXTURE_VARIANT_ADD(fault, list_after_cursor) {
	.command = METASTORE_IOC_LIST,
	ARG(list, BUFFER(METASTORE_LIST_MIN), .cursor = PTR(cursor),
	    .cursor_len = sizeof(cursor), .bucket = METASTORE_ANY_BUCKET),
	.prepare = find_cursor,
	.changes_nothing = true,
	.returns = are_two_entries,
	.enomem = 3,
	.efault = 3,
	.out_end = sizeof(struct metastore_list),
};

FIXTURE_VARIANT_ADD(fault, list_into_large_buffer) {
	.command = METASTORE_IOC_LIST,
	ARG(list, BUFFER(sizeof(buffer)), .bucket = METASTORE_ANY_BUCKET),
	.changes_nothing = true,
	.returns = are_three_entries,
	.enomem = 2,
	.efault = 2,
	.survives = 1,
	.out_end = sizeof(struct metastore_list),
};

static bool are_three_values(const void *arg)
{
	const struct metastore_list *list = arg;

	return list->entries == 3 && list->buffer_len > sizeof(large_value) + sizeof(giant_value);
}

/* Of each entry its header, its key and its value */
FIXTURE_VARIANT_ADD(fault, list_values) {
	.command = METASTORE_IOC_LIST,
	ARG(list, BUFFER(sizeof(buffer)), .bucket = METASTORE_ANY_BUCKET,
	    .flags = METASTORE_LIST_VALUES),
	.changes_nothing = true,
	.returns = are_three_values,
	.enomem = 2,
	.efault = 1 + 3 * 3,
	.out_end = sizeof(struct metastore_list),
};

/* Values go, whatever memory there is */
FIXTURE_VARIANT_ADD(fault, flush) {
	.command = METASTORE_IOC_FLUSH,
	ARG(flush, .bucket = METASTORE_ANY_BUCKET),
	.efault = 1,
	.out_end = sizeof(struct metastore_flush),
};

FIXTURE_VARIANT_ADD(fault, flush_prefix) {
	.command = METASTORE_IOC_FLUSH,
	ARG(flush, .prefix = PTR("s"), .prefix_len = 1, .bucket = METASTORE_ANY_BUCKET),
	.efault = 2,
	.out_end = sizeof(struct metastore_flush),
};

FIXTURE_VARIANT_ADD(fault, flush_subscriptions) {
	.command = METASTORE_IOC_FLUSH,
	ARG(flush, .bucket = METASTORE_ANY_BUCKET, .flags = METASTORE_FLUSH_SUBSCRIPTIONS),
	.efault = 1,
	.out_end = sizeof(struct metastore_flush),
};

static bool is_info(const void *arg)
{
	const struct metastore_info *info = arg;

	return info->keys == 3 && info->queue_len == QUEUE_LEN;
}

FIXTURE_VARIANT_ADD(fault, info) {
	.command = METASTORE_IOC_INFO,
	ARG(info, .bucket = METASTORE_ANY_BUCKET),
	.changes_nothing = true,
	.returns = is_info,
	.efault = 2,
	.out_end = sizeof(struct metastore_info),
};

static bool is_user(const void *arg)
{
	const struct metastore_user_info *user = arg;

	return user->uid == 0 && user->kinds[METASTORE_USER_FILES].use == FILES + 1;
}

FIXTURE_VARIANT_ADD(fault, user) {
	.command = METASTORE_IOC_USER,
	ARG(user_info, .flags = 0),
	.changes_nothing = true,
	.returns = is_user,
	.efault = 2,
	.out_end = sizeof(struct metastore_user_info),
};

static bool is_size_of_small(const void *arg)
{
	const int *size = arg;

	return *size == sizeof(struct metastore_event) + 16;
}

FIXTURE_VARIANT_ADD(fault, fionread) {
	.command = FIONREAD,
	.changes_nothing = true,
	.returns = is_size_of_small,
	.out_end = sizeof(int),
};

static int poll_actor(struct _test_data_fault *self)
{
	return ms_poll(self->fds[ACTOR], 0) == POLLIN ? 0 : -1;
}

FIXTURE_VARIANT_ADD(fault, poll) {
	.call = poll_actor,
	.changes_nothing = true,
};

static int watch_actor(struct _test_data_fault *self)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->fds[ACTOR], &event) ? -errno : 0;
}

/* The entry in the file's list of who waits is allocated by who calls its poll */
FIXTURE_VARIANT_ADD(fault, epoll) {
	.call = watch_actor,
	.enomem = 1,
};

/* Batches: of each kind of operation one, of different keys */

#define NR_OPS	4

static struct metastore_op ops[NR_OPS];

static int prepare_ops(struct _test_data_fault *self)
{
	size_t i;

	self->waiting = ms_fdinfo(self->fds[OTHER], "events");
	ops[0] = ms_op_get("small", buffer, sizeof(buffer));
	ops[1] = ms_op_set("new", "new value");
	ops[2] = ms_op(METASTORE_OP_PUBLISH, "large", large_value, sizeof(large_value) - 1);
	ops[3] = ms_op_delete("giant");
	for (i = 0; i < NR_OPS; i++)
		ops[i].result = POISON32;
	return 0;
}

static bool is_told(const struct metastore_op *op)
{
	return op->result != (__s32)POISON32;
}

/* Why an operation failed, and not because another one did; 0: none has */
static int first_failure(void)
{
	size_t i;

	for (i = 0; i < NR_OPS; i++)
		if (is_told(&ops[i]) && ops[i].result && ops[i].result != -ECANCELED)
			return ops[i].result;
	return 0;
}

/* The index of the first operation with another result than 0 */
static __u32 first_failed(void)
{
	__u32 i;

	for (i = 0; i < NR_OPS && !ops[i].result; i++)
		;
	return i;
}

static bool got_small(void)
{
	return ops[0].value_len == sizeof(small_value) - 1 &&
	       !memcmp(buffer, small_value, sizeof(small_value) - 1);
}

/* Whether two states say the same of the key of an operation */
static bool are_equal(const struct state *a, const struct state *b, const struct metastore_op *op)
{
	const char *line_of_a, *line_of_b;
	char start[32];

	snprintf(start, sizeof(start), "key %s:", (const char *)(uintptr_t)op->key);
	line_of_a = strstr(a->text, start);
	line_of_b = strstr(b->text, start);
	return !strncmp(line_of_a, line_of_b, strcspn(line_of_a, "\n") + 1);
}

/*
 * An operation with result 0 was done, one with an error was not. The call as a whole
 * fails at most once it could not read or write an operation: that one says nothing, and
 * none behind it is done.
 */
static bool is_told_in_turn(struct _test_data_fault *self, int ret)
{
	const struct metastore_batch *arg = self->arg;
	bool ended = false, done, undone, right;
	int i, changes = 0;

	for (i = 0; i < NR_OPS; i++) {
		done = are_equal(&self->done, &self->after, &ops[i]);
		undone = are_equal(&self->before, &self->after, &ops[i]);
		if (is_told(&ops[i]))
			right = !ended && (ops[i].result ? undone : done);
		else
			right = undone || (!ended && done);
		if (!right)
			return false;
		ended |= !is_told(&ops[i]);
		changes += !undone;
	}
	if (ms_fdinfo(self->fds[OTHER], "events") != self->waiting + changes)
		return false;
	if (!ops[0].result && !got_small())
		return false;
	if (!ret)
		return !ended && arg->failed == first_failed();
	return ret == -EFAULT && arg->failed == POISON32;
}

/* All or nothing; which of them is told, but if the results could not be written */
static bool is_told_at_once(struct _test_data_fault *self, int ret)
{
	bool done = !strcmp(self->done.text, self->after.text);
	bool undone = !strcmp(self->before.text, self->after.text);
	const struct metastore_batch *arg = self->arg;
	int i, told = 0, cancelled = 0;

	for (i = 0; i < NR_OPS; i++) {
		told += is_told(&ops[i]);
		cancelled += ops[i].result == -ECANCELED;
	}
	switch (ret) {
	case 0:
		/* A buffer that is bad is found out when all is done */
		return done && told == NR_OPS && arg->failed == NR_OPS &&
		       (ops[0].result == -EFAULT || (!ops[0].result && got_small())) &&
		       !ops[1].result && !ops[2].result && !ops[3].result;
	case -ECANCELED:
		return undone && told == NR_OPS && cancelled == NR_OPS - 1 &&
		       arg->failed < NR_OPS && ops[arg->failed].result == first_failure();
	case -EFAULT:
		return arg->failed == POISON32 && (done || (undone && !told));
	}
	return undone && !told && arg->failed == POISON32;
}

#define BATCH(how) \
	.command = METASTORE_IOC_BATCH, \
	ARG(batch, .ops = PTR(ops), .nr = NR_OPS, .op_size = sizeof(struct metastore_op), \
	    .flags = (how), .failed = POISON32), \
	.prepare = prepare_ops, \
	.out_end = sizeof(struct metastore_batch)

FIXTURE_VARIANT_ADD(fault, batch) {
	BATCH(0),
	.keeps_word = is_told_in_turn,
	.enomem = 3,
	.efault = 16,
};

/* The transaction itself is one more */
FIXTURE_VARIANT_ADD(fault, atomic_batch) {
	BATCH(METASTORE_BATCH_ATOMIC),
	.keeps_word = is_told_at_once,
	.enomem = 4,
	.efault = 16,
};

/* Keys of one hash: as many as a chain may have, and more of them make it a tree */

#define CHAIN_MAX	16

static char crowd[CHAIN_MAX + 3][FLOOD_KEY_LEN];

#define CROWD_KEY(i)	.key = PTR(crowd[i]), .key_len = FLOOD_KEY_LEN

/* A hash of the first bucket such that no other key is in one slot of 16 or more with it */
static uint32_t lonely_hash(uint32_t seed)
{
	uint32_t taken = 1U << flood_hash("spare", strlen("spare"), seed) % 16;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		taken |= 1U << flood_hash(keys[i], strlen(keys[i]), seed) % 16;
	return __builtin_ctz(~taken);
}

static int choose_crowd(struct _test_data_fault *self)
{
	static bool chosen;
	uint32_t seed, hash;
	size_t i;

	if (chosen)
		return 0;
	if (!flood_find_seed(self->watch, &seed))
		return -EBADMSG;
	hash = lonely_hash(seed);
	for (i = 0; i < ARRAY_SIZE(crowd); i++)
		flood_key(crowd[i], FLOOD_KEY_LEN, seed, hash, i);
	chosen = true;
	return 0;
}

static int set_crowd(struct _test_data_fault *self, int nr)
{
	int i, ret = choose_crowd(self);

	for (i = 0; i < nr && !ret; i++)
		ret = ms_setn(self->watch, crowd[i], FLOOD_KEY_LEN, "v", 1, NULL);
	return ret;
}

static int fill_chain(struct _test_data_fault *self)
{
	return set_crowd(self, CHAIN_MAX);
}

static int grow_tree(struct _test_data_fault *self)
{
	return set_crowd(self, CHAIN_MAX + 1);
}

/* The value; a node for each key, and what has them all */
FIXTURE_VARIANT_ADD(fault, set_that_makes_a_tree) {
	.command = METASTORE_IOC_SET,
	ARG(set, CROWD_KEY(CHAIN_MAX), VALUE("new value")),
	.prepare = fill_chain,
	.enomem = 1 + CHAIN_MAX + 1 + 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, set_in_a_tree) {
	.command = METASTORE_IOC_SET,
	ARG(set, CROWD_KEY(CHAIN_MAX + 1), VALUE("new value")),
	.prepare = grow_tree,
	.enomem = 2,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, set_existing_in_a_tree) {
	.command = METASTORE_IOC_PUBLISH,
	ARG(set, CROWD_KEY(0), VALUE("another value")),
	.prepare = grow_tree,
	.enomem = 1,
	.efault = 3,
	.out_end = offsetof(struct metastore_set, ttl),
};

FIXTURE_VARIANT_ADD(fault, delete_from_a_tree) {
	.command = METASTORE_IOC_DELETE,
	ARG(delete, CROWD_KEY(0)),
	.prepare = grow_tree,
	.efault = 2,
	.out_end = offsetof(struct metastore_delete, previous),
};

FIXTURE_VARIANT_ADD(fault, flush_of_a_tree) {
	.command = METASTORE_IOC_FLUSH,
	ARG(flush, .bucket = METASTORE_ANY_BUCKET),
	.prepare = grow_tree,
	.efault = 1,
	.out_end = sizeof(struct metastore_flush),
};

static int subscribe_crowd(struct _test_data_fault *self)
{
	int i, ret = choose_crowd(self);

	for (i = 0; i < CHAIN_MAX && !ret; i++)
		ret = ms_subscriben(self->fds[OTHER], crowd[i], FLOOD_KEY_LEN, 0, i);
	return ret;
}

/* Key and subscription besides */
FIXTURE_VARIANT_ADD(fault, subscribe_that_makes_a_tree) {
	.command = METASTORE_IOC_SUBSCRIBE,
	ARG(subscribe, CROWD_KEY(CHAIN_MAX)),
	.prepare = subscribe_crowd,
	.enomem = 2 + CHAIN_MAX + 1 + 1,
	.efault = 2,
};

/* Why nothing was done, if so */
static int set_two_at_once(struct _test_data_fault *self)
{
	struct metastore_op two[2];
	__u32 failed;
	int i, ret;

	for (i = 0; i < 2; i++) {
		two[i] = ms_op_set("", "v");
		two[i].key = PTR(crowd[CHAIN_MAX + i]);
		two[i].key_len = FLOOD_KEY_LEN;
	}
	ret = ms_batch(self->fds[ACTOR], two, 2, METASTORE_BATCH_ATOMIC, &failed);
	return ret == -ECANCELED ? two[failed].result : ret;
}

/* The results may be what could not be written */
static bool is_all_or_none(struct _test_data_fault *self, int ret)
{
	bool done = !strcmp(self->done.text, self->after.text);
	bool undone = !strcmp(self->before.text, self->after.text);

	return !ret ? done : undone || (ret == -EFAULT && done);
}

/* The array that has both; either of them could be the one that makes the tree */
FIXTURE_VARIANT_ADD(fault, atomic_batch_that_makes_a_tree) {
	.call = set_two_at_once,
	.prepare = fill_chain,
	.keeps_word = is_all_or_none,
	.enomem = 1 + 2 * (1 + CHAIN_MAX + 1 + 1),
	.efault = 9,
};

FIXTURE_SETUP(fault)
{
	size_t i;

	for (i = 0; i < FILES; i++)
		self->fds[i] = -1;
	for (i = 0; i < MANY; i++)
		self->many[i] = -1;
	self->watch = -1;
	self->epoll = -1;
	memset(large_value, 'l', sizeof(large_value));
	memset(giant_value, 'g', sizeof(giant_value));
	self->pages = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	ASSERT_NE(MAP_FAILED, self->pages);
	/* A page that is not there yet would be one more thing that can fail */
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	/* So that the same is kept for the operation each time */
	ASSERT_EQ(0, ms_one_cpu());
	ASSERT_EQ(0, reload(self, PARAMETERS));
}

/* With all closed and deleted nothing is left that the store counts, or that holds the module */
FIXTURE_TEARDOWN(fault)
{
	struct metastore_info info;

	close_all(self);
	EXPECT_EQ(0, ms_reset(self->watch));
	EXPECT_EQ(0, ms_info(self->watch, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.bytes);
	EXPECT_EQ(0, info.subscriptions);
	close(self->watch);
	EXPECT_EQ(0, unload());
	/* The next test loads it, with its own parameters: that takes long on kasan */
}

/* With what fails the n-th time, for n = 1, 2, … until nothing is left that could */
TEST_F_TIMEOUT(fault, in_turn, 600)
{
	int n, ret, err, enomem = 0, efault = 0, survived = 0;
	char became[256] = "";	/* each failure: M: ENOMEM, F: EFAULT, s: it survived */
	bool failed = true;

	ASSERT_EQ(0, prepare(self, variant));
	ASSERT_LE(0, call(self, variant));
	describe(self, &self->done);
	for (n = 1; failed; n++) {
		ASSERT_EQ(0, prepare(self, variant));
		ASSERT_TRUE(drop_kept());
		describe(self, &self->before);
		ASSERT_EQ(0, arm(n));
		ret = call(self, variant);
		failed = disarm();
		describe(self, &self->after);
		err = ret < 0 ? ret : 0;
		if (variant->keeps_word) {
			err = first_failure() ?: err;
			ASSERT_TRUE(variant->keeps_word(self, ret)) {
				TH_LOG("failure %d: %s\n%s", n, strerrorname_np(-ret),
				       self->after.text);
			}
		} else if (err) {
			ASSERT_STREQ(self->before.text, self->after.text) {
				TH_LOG("half done: failure %d: %s", n, strerrorname_np(-ret));
			}
			ASSERT_EQ(0, memcmp(self->arg, variant->arg ?: "", variant->size));
		} else {
			ASSERT_STREQ(self->done.text, self->after.text) {
				TH_LOG("not all done: failure %d", n);
			}
			if (variant->returns)
				ASSERT_TRUE(variant->returns(self->arg));
		}
		enomem += err == -ENOMEM;
		efault += err == -EFAULT;
		survived += failed && !err;
		ASSERT_GT(sizeof(became), n);
		became[n - 1] = err == -ENOMEM ? 'M' : err == -EFAULT ? 'F' :
				err ? '?' : failed ? 's' : '.';
	}
	ASSERT_LE(0, ret);
	EXPECT_EQ(variant->changes_nothing, !strcmp(self->before.text, self->done.text));
	EXPECT_EQ(variant->enomem, enomem) TH_LOG("became: %s", became);
	EXPECT_EQ(variant->efault, efault) TH_LOG("became: %s", became);
	EXPECT_LE(variant->survives, survived);
	/* No other errno */
	EXPECT_EQ(n - 2, enomem + efault + survived) TH_LOG("became: %s", became);
}

/*
 * Done, not reported: of the argument less and less can be written. Fields have 4 or 8 bytes; but
 * for the last one, only FULL=1 tells those of 4 apart.
 */
TEST_F_TIMEOUT(fault, no_room_for_the_result, 600)
{
	ssize_t room, end = variant->out_end;
	int ret;

	for (room = end; room >= 0; room -= room == end || ms_full() ? 4 : 8) {
		ASSERT_EQ(0, prepare(self, variant));
		self->arg = self->pages + 4096 - room;
		memcpy(self->arg, variant->arg ?: "", variant->size);
		ASSERT_EQ(0, mprotect(self->pages + 4096, 4096, PROT_READ));
		ret = call(self, variant);
		ASSERT_EQ(0, mprotect(self->pages + 4096, 4096, PROT_READ | PROT_WRITE));
		describe(self, &self->after);
		if (room == end) {
			ASSERT_LE(0, ret);
			self->done = self->after;
			continue;
		}
		ASSERT_EQ(-EFAULT, ret);
		ASSERT_STREQ(self->done.text, self->after.text);
	}
}

FIXTURE(reader)
{
	int fd;
	struct ms_reader r;
};

FIXTURE_SETUP(reader)
{
	memset(large_value, 'l', sizeof(large_value));
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	unload();
	ASSERT_EQ(0, load(PARAMETERS));
	ASSERT_EQ(0, fail_only_in_module());
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(reader)
{
	close(self->fd);
}

/* A file with all kinds of records: LOST for two events, QUEUE_LEN events, FLUSHED for two */
static int open_reader(struct _test_data_reader *self)
{
	int i, ret, fd = ms_open(O_RDONLY | O_NONBLOCK);

	ret = ms_subscribe(fd, "k", 0, 1) ?: ms_subscribe(fd, "l", 0, 2);
	for (i = 0; i < QUEUE_LEN + 1 && ret >= 0; i++)
		ret = ms_publish(self->fd, "k", "v", NULL);
	if (ret >= 0)
		ret = ms_publishn(self->fd, "l", 1, large_value, sizeof(large_value), NULL);
	if (ret >= 0)
		ret = ms_reset(self->fd);
	return ret < 0 ? ret : fd;
}

/* Events that could not be copied out count as lost, and those that could are whole */
TEST_F_TIMEOUT(reader, in_turn, 600)
{
	bool failed = true;
	int n, ret;

	self->r = ms_reader(-1, MS_READER_SIZE);
	for (n = 1; failed; n++) {
		struct ms_books books = {};

		self->r.fd = open_reader(self);
		ASSERT_LE(0, self->r.fd);
		ASSERT_EQ(0, arm(n));
		ret = ms_read(self->r.fd, buffer, sizeof(buffer));
		failed = disarm();
		if (ret < 0) {
			ASSERT_EQ(-EFAULT, ret);
			ASSERT_TRUE(failed);
		} else {
			ASSERT_EQ(0, ms_count(buffer, ret, &books));
		}
		ASSERT_EQ(failed, ms_pending(self->r.fd) > 0);
		ASSERT_EQ(0, ms_drain(&self->r, &books));
		ASSERT_EQ(QUEUE_LEN + 2, books.received + books.lost);
		ASSERT_EQ(2, books.flushed);
		ASSERT_EQ(books.lost, ms_fdinfo(self->r.fd, "lost"));
		ASSERT_EQ(0, ms_fdinfo(self->r.fd, "events"));
		ASSERT_EQ(0, ms_fdinfo(self->r.fd, "bytes"));
		close(self->r.fd);
	}
	/*
	 * The small ones together; header, key, value and padding of a large one; LOST and
	 * FLUSHED have a header alone.
	 */
	EXPECT_EQ(1 + 4 + 2, n - 2);
}

FIXTURE(loading)
{
};

FIXTURE_SETUP(loading)
{
	unload();
	ASSERT_EQ(0, fail_only_in_init());
}

FIXTURE_TEARDOWN(loading)
{
	load("");
}

/* It is not loaded, or it works */
TEST_F_TIMEOUT(loading, in_turn, 600)
{
	int n, ret, fd, enomem = 0, survived = 0;
	bool failed = true;

	for (n = 1; failed; n++) {
		ASSERT_EQ(0, arm(n));
		ret = load(PARAMETERS);
		failed = disarm();
		if (ret < 0) {
			ASSERT_EQ(-ENOMEM, ret);
			ASSERT_NE(0, access("/sys/module/metastore", F_OK));
			ASSERT_NE(0, access(DEVICE, F_OK));
			enomem++;
			continue;
		}
		fd = ms_open(O_RDWR);
		/* Without memory devtmpfs may make no node, and nobody is told */
		if (fd != -ENOENT || !failed) {
			ASSERT_EQ(0, ms_set(fd, "k", "v", NULL));
			ASSERT_STREQ("v", ms_str(fd, "k"));
		}
		close(fd);
		ASSERT_EQ(0, unload());
		survived += failed;
	}
	/* The store, its buckets, and what the device needs */
	EXPECT_LE(3, enomem);
	EXPECT_EQ(n - 2, enomem + survived);
	TH_LOG("%d failures refused it, %d did not", enomem, survived);
}

int main(int argc, char **argv)
{
	if (!can_inject())
		ksft_exit_skip("no fail-nth, or no debugfs of shrinkers; KERNEL=kasan has\n");
	if (!getenv("METASTORE_KO"))
		ksft_exit_skip("METASTORE_KO= names no module to load\n");
	return test_harness_run(argc, argv);
}
