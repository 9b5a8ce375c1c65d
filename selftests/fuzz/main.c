// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz [-s SEED] [-t SECONDS] [-n OPERATIONS] [-w WORKERS] [-o DIRECTORY] [-r] [PROGRAM...]
 *
 * Runs random programs and variants of those that are given, or with -r only these,
 * again and again. Before a program runs it is written to DIRECTORY, so that whoever
 * looks at a kernel that did not survive finds it there. Every few seconds all ends, what
 * must hold of an idle module is checked, and it is loaded anew if METASTORE_KO names it.
 * Status 1: a finding, which is in DIRECTORY/finding.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fuzz.h"

#define ROUND_S		30		/* until the module is loaded anew */
#define KEPT		4		/* programs of a worker that are on record */
#define PROGRAM_S	120		/* that a program may take, at most */
#define PROGRAMS	64		/* that run in one process */

struct world *world;
struct shared *shared;
uint32_t slowness = 1;

/* A reproducer has its program built in. */
#ifndef EMBEDDED_PROGRAM
#define EMBEDDED_PROGRAM NULL
#endif

static struct {
	uint64_t seed;
	uint64_t seconds;
	uint64_t operations;		/* enough; 0: no matter */
	uint32_t workers;
	const char *directory;		/* NULL: nothing is written */
	bool only_given;
	uint32_t given;			/* programs at the start of the corpus */
} options = { .seconds = 10, .workers = 2 };

static uint64_t end_ns;

/* Programs */

static void corpus_add(const struct program *program)
{
	uint32_t at;

	while (__atomic_exchange_n(&world->corpus_lock, 1, __ATOMIC_ACQUIRE))
		sched_yield();
	at = world->corpus_nr < CORPUS ? world->corpus_nr : now_ns() % CORPUS;
	world->corpus[at] = *program;
	if (world->corpus_nr < CORPUS)
		__atomic_store_n(&world->corpus_nr, at + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&world->corpus_lock, 0, __ATOMIC_RELEASE);
}

static bool corpus_load(const char *path)
{
	static char text[PROGRAM_TEXT];
	static struct program program;
	FILE *f = fopen(path, "re");
	size_t len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[len] = '\0';
	if (!program_parse(&program, text)) {
		fprintf(stderr, "fuzz: %s holds no program\n", path);
		return false;
	}
	corpus_add(&program);
	return true;
}

static void choose(struct program *program, uint64_t *state)
{
	uint32_t nr = __atomic_load_n(&world->corpus_nr, __ATOMIC_ACQUIRE);
	const struct program *other;

	if (options.only_given) {
		*program = world->corpus[random_below(state, options.given)];
	} else if (!nr || random_below(state, 3) == 0) {
		program_generate(program, state);
	} else {
		*program = world->corpus[random_below(state, nr)];
		other = &world->corpus[random_below(state, nr)];
		program_mutate(program, other, state);
	}
}

/* Files of the record */

static char *path_of(char *path, const char *format, ...)
{
	va_list args;
	int len = snprintf(path, 256, "%s/", options.directory);

	va_start(args, format);
	vsnprintf(path + len, 256 - len, format, args);
	va_end(args);
	return path;
}

static void write_program(const char *path, const struct program *program)
{
	static char text[PROGRAM_TEXT];
	size_t len = program_print(program, text);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		perror(path);
	close(fd);
}

static void record(int worker)
{
	char path[256];

	if (options.directory)
		write_program(path_of(path, "last-%d-%u", worker, shared->nr_programs % KEPT),
			      &shared->program);
	shared->nr_programs++;
}

static void write_finding(const struct program *program)
{
	char path[256];
	FILE *f;

	if (!options.directory)
		return;
	write_program(path_of(path, "finding"), program);
	f = fopen(path, "ae");
	if (f) {
		fprintf(f, "# %s\n", world->finding);
		fclose(f);
	}
}

/* Workers */

static void clear_shared(void)
{
	uint32_t nr = shared->nr_changes < CHANGES ? shared->nr_changes : CHANGES;
	uint32_t cookies = shared->cookie < COOKIES ? shared->cookie + 1 : COOKIES;

	memset(shared, 0, offsetof(struct shared, changes));
	memset(shared->changes, 0, nr * sizeof(shared->changes[0]));
	memset(shared->told, 0, cookies * sizeof(shared->told[0]));
}

static void count(const struct program *program)
{
	uint32_t i, n;

	for (i = 0; i < program->lanes; i++) {
		__atomic_add_fetch(&world->operations, shared->lanes[i].operations,
				   __ATOMIC_RELAXED);
		for (n = 0; n < nr_calls; n++) {
			__atomic_add_fetch(&world->per_call[n], shared->lanes[i].per_call[n],
					   __ATOMIC_RELAXED);
			__atomic_add_fetch(&world->succeeded[n], shared->lanes[i].succeeded[n],
					   __ATOMIC_RELAXED);
		}
	}
	__atomic_add_fetch(&world->programs, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&world->unsure, shared->unsure, __ATOMIC_RELAXED);
}

static bool is_hung(void)
{
	uint64_t began = __atomic_load_n(&shared->began, __ATOMIC_RELAXED);

	return now_ns() > began + PROGRAM_S * 1000000000ULL * slowness;
}

/* After a finding it gets a moment to end by itself. */
static void await_body(pid_t pid)
{
	struct pollfd pollfd = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int status = 0;

	while (poll(&pollfd, 1, 1000) <= 0 && !world->stop && !is_hung())
		;
	if (poll(&pollfd, 1, 1000) <= 0) {
		finding("a program does not end");
		kill(pid, SIGKILL);
	}
	close(pollfd.fd);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		finding("the fuzzer itself ended by signal %d", WTERMSIG(status));
}

static bool is_over(void)
{
	return world->has_finding || now_ns() > end_ns ||
	       (options.operations && world->operations >= options.operations);
}

static void run_programs(int worker, uint64_t seed, uint64_t round_end)
{
	struct program *program = &shared->program;
	uint64_t state = seed;
	bool goes_on = body_begin();
	uint32_t i;

	if (!goes_on)
		finding("no device or no memory: %s", strerrorname_np(errno));
	for (i = 0; goes_on && i < PROGRAMS && !is_over() && now_ns() < round_end; i++) {
		choose(program, &state);
		record(worker);
		clear_shared();
		__atomic_store_n(&shared->began, now_ns(), __ATOMIC_RELAXED);
		goes_on = body_run(program, random_next(&state));
		count(program);
		if (coverage_collect() && !options.only_given)
			corpus_add(program);
	}
	_exit(0);
}

static void worker_main(int number, uint64_t seed, uint64_t round_end)
{
	uint64_t state = seed, body_seed;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory_join();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	coverage_begin_worker();
	while (!is_over() && now_ns() < round_end) {
		body_seed = random_next(&state);
		shared->began = now_ns();
		pid = fork();
		if (!pid)
			run_programs(number, body_seed, round_end);
		if (pid < 0)
			finding("no process: %s", strerrorname_np(errno));
		else
			await_body(pid);
		if (shared->found)
			write_finding(&shared->program);
	}
	_exit(0);
}

/* The module between rounds */

static void reload(void)
{
	const char *file = getenv("METASTORE_KO"), *parameters = getenv("FUZZ_MODPARAMS");
	int fd, i;

	if (!file)
		return;
	/* The kernel's worker that closes files may need a moment. */
	for (i = 0; i < 1000 && syscall(SYS_delete_module, "metastore", O_NONBLOCK); i++)
		usleep(5000);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (syscall(SYS_finit_module, fd, parameters ?: "", 0))
		finding("the module cannot be unloaded and loaded: %s", strerrorname_np(errno));
	close(fd);
}

static void check_rest(void)
{
	int fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		finding("open of %s: %s", DEVICE, strerrorname_np(errno));
		return;
	}
	check_store(fd, "the default store");
	check_store_end(fd, "the default store");
	close(fd);
}

static void one_round(uint64_t number)
{
	uint64_t round_end = now_ns() + ROUND_S * 1000000000ULL;
	pid_t pids[WORKERS];
	uint32_t i;

	coverage_find_module();
	fail_only_in_module();
	for (i = 0; i < options.workers; i++) {
		pids[i] = fork();
		if (!pids[i])
			worker_main(i, (options.seed + 1) * 1000003 + number * 97 + i, round_end);
	}
	for (i = 0; i < options.workers; i++)
		waitpid(pids[i], NULL, 0);
	cpus_on();
	if (world->has_finding)
		return;
	check_rest();
	reload();
	memory_check();
}

/* Output */

static void say_progress(uint64_t start)
{
	double seconds = (now_ns() - start) / 1e9;

	printf("fuzz: %.0f s, %llu operations in %llu programs (%llu unsure), %.0f/s, ", seconds,
	       (unsigned long long)world->operations,
	       (unsigned long long)world->programs, (unsigned long long)world->unsure,
	       world->operations / seconds);
	printf("coverage %u, %u programs kept\n", world->covered, world->corpus_nr);
	fflush(stdout);
}

static void write_results(void)
{
	char path[256];
	uint32_t i;
	FILE *f;

	if (!options.directory)
		return;
	f = fopen(path_of(path, "calls"), "we");
	for (i = 0; f && i < nr_calls; i++)
		fprintf(f, "%-14s %10llu %10llu\n", calls[i].name,
			(unsigned long long)world->per_call[i],
			(unsigned long long)world->succeeded[i]);
	if (f)
		fclose(f);
	mkdir(path_of(path, "corpus"), 0755);
	for (i = options.given; i < world->corpus_nr; i++)
		write_program(path_of(path, "corpus/%u", i), &world->corpus[i]);
}

static bool parse_options(int argc, char **argv)
{
	const char *words = getenv("SLOWNESS"), *embedded = EMBEDDED_PROGRAM;
	int option;

	slowness = words && atoi(words) > 0 ? atoi(words) : 1;
	while ((option = getopt(argc, argv, "s:t:n:w:o:r")) != -1) {
		switch (option) {
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			options.seconds = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			options.operations = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			options.workers = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			options.directory = optarg;
			break;
		case 'r':
			options.only_given = true;
			break;
		default:
			return false;
		}
	}
	for (; optind < argc; optind++)
		if (!corpus_load(argv[optind]))
			return false;
	if (embedded) {
		options.only_given = program_parse(&world->corpus[0], embedded);
		world->corpus_nr = 1;
	}
	options.given = world->corpus_nr;
	return options.workers && options.workers <= WORKERS &&
	       (options.given || !options.only_given);
}

int main(int argc, char **argv)
{
	uint64_t start = now_ns(), number = 0;

	if (!strcmp(argv[0], NO_PROGRAM))
		return 0;
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	if (world == MAP_FAILED || !parse_options(argc, argv)) {
		fprintf(stderr, "fuzz: -s SEED -t SECONDS -n NUMBER -w NUMBER -o DIR -r\n");
		return 2;
	}
	if (options.directory)
		mkdir(options.directory, 0755);
	signal(SIGPIPE, SIG_IGN);
	coverage_init();
	memory_init();
	end_ns = start + options.seconds * 1000000000ULL;
	do {
		one_round(number++);
		say_progress(start);
	} while (!is_over());
	write_results();
	printf("fuzz: findings: %s\n", world->has_finding ? world->finding : "none");
	return world->has_finding;
}
