// SPDX-License-Identifier: GPL-2.0
/* mstore-nats: carries keys between the store and buckets of NATS JetStream. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "books.h"
#include "carry.h"
#include "clock.h"
#include "handover.h"
#include "link.h"
#include "map.h"
#include "metrics.h"
#include "output.h"
#include "session.h"
#include "settings.h"
#include "store.h"
#include "text.h"

/* So much is done of one kind before the other ones get their turn. */
#define BATCH		256

/* Between two tries to connect: the first time, and at most */
#define FIRST_PAUSE_NS	(250 * NS_PER_MS)
#define LAST_PAUSE_NS	(30 * NS_PER_SEC)

/* How long the changes that wait may take at the end; mstore-nats(8) tells it */
#define DRAIN_NS	(5 * NS_PER_SEC)

#define TICK_MS		1000

/* Why a session ended */
#define REPLACED	"the module was replaced: all is compared anew"

const char *const program_name = "mstore-nats";

/**
 * struct state - what the main loop knows
 * @in_step:	all values of the store were told
 * @up:		the session is connected
 * @more:	the store has more changes to tell
 * @drained:	all changes that were made before the end was wanted were taken
 * @sessions:	number of the last session
 * @try_at:	when to begin a session, of CLOCK_MONOTONIC
 * @pause:	how long to wait after a session that failed, in ns
 * @status_at:	when to print the next line of status; 0: never
 * @end_at:	when to end at the latest; 0: no end is wanted
 * @last_why:	why the last session ended
 * @signals:	descriptor for signals
 * @metrics:	descriptor for those who want metrics, or -1
 */
static struct state {
	bool in_step;
	bool up;
	bool more;
	bool drained;
	unsigned int sessions;
	uint64_t try_at;
	uint64_t pause;
	uint64_t status_at;
	uint64_t end_at;
	char last_why[160];
	int signals;
	int metrics;
} state = { .pause = FIRST_PAUSE_NS };

static uint64_t now(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

static void tell_systemd(const char *word)
{
	sd_notifyf(0, "%sSTATUS=%s%s", word,
		   state.up ? "connected to " : "not connected: ",
		   state.up ? session_url() : *state.last_why ? state.last_why : "just begun");
}

/* The pause is drawn from half of it up, so that many bridges do not come at once. */
static void pause_session(void)
{
	state.try_at = now() + state.pause / 2 + (uint64_t)random() % (state.pause / 2);
	if (state.pause < LAST_PAUSE_NS)
		state.pause *= 2;
}

static void end_session(const char *why)
{
	bool was_up = state.up;

	/* Not once for each try to connect, unless there is another reason. */
	if (was_up || strcmp(why, state.last_why))
		report(was_up ? "connection ended" : "cannot connect", "%s", why);
	snprintf(state.last_why, sizeof(state.last_why), "%s", why);
	session_end();
	state.up = false;
	carry_session_ended();
	pause_session();
	tell_systemd("");
}

static void handle_up(void)
{
	state.up = true;
	state.last_why[0] = '\0';
	if (!state.in_step)
		return end_session(REPLACED);
	carry_session_begins();
	session_go_on();
	if (!settings.quiet)
		report("connected", "%s", session_url());
	tell_systemd("");
}

static void handle_notice(struct notice *notice)
{
	const char *why = NULL;

	if (notice->type == SESSION_UP)
		handle_up();
	else if (notice->type == SESSION_DOWN)
		why = notice->text;
	else
		why = carry_notice(notice);
	if (notice->type == BUCKET_TOLD && carry_is_complete())
		state.pause = FIRST_PAUSE_NS;
	if (why)
		end_session(why);
}

static void handle_notices(void)
{
	struct notice *notice;

	for (int i = 0; i < BATCH && (notice = handover_take()); i++) {
		handle_notice(notice);
		notice_free(notice);
	}
}

static void handle_replaced(void)
{
	state.in_step = false;
	carry_forget();
	if (state.up)
		end_session(REPLACED);
	state.pause = FIRST_PAUSE_NS;
	state.try_at = 0;
}

static void handle_in_step(void)
{
	static bool told;

	state.in_step = true;
	if (!told)
		tell_systemd("READY=1\n");
	told = true;
}

/* The follower may pause among records that tell nothing, or for a signal. */
static bool store_waits(void)
{
	struct pollfd fd = { .fd = store_fd(), .events = POLLIN };

	return poll(&fd, 1, 0);
}

static void handle_changes(void)
{
	struct change change;
	enum store_news news = STORE_NOTHING;

	for (int i = 0; i < BATCH; i++) {
		news = store_next(&change);
		if (news == STORE_NOTHING)
			break;
		if (news == STORE_REPLACED)
			handle_replaced();
		else if (news == STORE_IN_STEP)
			handle_in_step();
		else
			carry_change(&change, news == STORE_DELETED, !state.in_step);
	}
	state.more = news != STORE_NOTHING;
	state.drained = state.end_at && !state.more && !store_waits();
}

static void print_status(void)
{
	struct buffer text = { 0 };

	books_line(&text);
	report("status", "%s; %.*s", state.up ? session_url() : "not connected", (int)text.len,
	       text.data);
	free(text.data);
}

static void handle_times(void)
{
	const char *why = NULL;

	if (state.status_at && now() >= state.status_at) {
		state.status_at = now() + settings.status_ms * NS_PER_MS;
		print_status();
	}
	if (state.up)
		why = carry_send();
	if (why)
		end_session(why);
	else if (state.up && carry_wants_comparison())
		end_session("something was refused: all is compared anew");
	carry_tidy();
	if (state.in_step && store_is_there() && !session_has_begun() && now() >= state.try_at)
		session_begin(++state.sessions);
}

static void handle_signals(void)
{
	struct signalfd_siginfo info;

	if (read(state.signals, &info, sizeof(info)) != sizeof(info))
		return;
	/* A second one ends it at once. */
	state.end_at = state.end_at ? now() : now() + DRAIN_NS;
	/* To connect without a pause */
	state.try_at = 0;
	state.pause = FIRST_PAUSE_NS;
	sd_notify(0, "STOPPING=1");
}

static bool is_over(void)
{
	if (!state.end_at)
		return false;
	return now() >= state.end_at || (state.drained && !books.pending);
}

static int wait_ms(void)
{
	if (state.more)
		return 0;
	return state.up && !state.end_at ? TICK_MS : 50;
}

static void run(void)
{
	struct pollfd fds[] = {
		{ .fd = store_fd(), .events = POLLIN },
		{ .fd = handover_fd(), .events = POLLIN },
		{ .fd = state.signals, .events = POLLIN },
		{ .fd = state.metrics, .events = POLLIN },
	};

	while (!is_over()) {
		if (poll(fds, ARRAY_SIZE(fds), wait_ms()) < 0 && errno != EINTR)
			die(STATUS_COULD_NOT, "poll", "%s", strerror(errno));
		if (fds[2].revents)
			handle_signals();
		handle_notices();
		if (!state.drained)
			handle_changes();
		fds[0].fd = state.drained ? -1 : fds[0].fd;
		handle_times();
		if (fds[3].revents)
			metrics_tell(state.metrics);
	}
}

/* Before any thread starts, so that all have them blocked. */
static void begin_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	state.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (state.signals < 0)
		die(STATUS_COULD_NOT, "signalfd", "%s", strerror(errno));
}

static void begin(void)
{
	srandom((unsigned int)getpid() ^ (unsigned int)now());
	begin_signals();
	if (nats_Open(-1) != NATS_OK)
		die(STATUS_COULD_NOT, "libnats", "cannot be initialized");
	handover_begin();
	store_begin();
	state.metrics = metrics_begin();
	if (settings.status_ms && !settings.quiet)
		state.status_at = now() + settings.status_ms * NS_PER_MS;
}

static void end(void)
{
	carry_tell_left();
	if (!settings.quiet)
		print_status();
	metrics_end();
	/* A session that is about to connect would take its time. */
	if (session_has_begun() && !state.up)
		_exit(STATUS_YES);
	session_end();
	carry_session_ended();
	carry_end();
	store_end();
	nats_CloseAndWait(ACK_WAIT_MS);
}

static void print_maps(void)
{
	for (int i = 0; i < maps.count; i++) {
		const struct map *map = &maps.maps[i];

		buffer_format(&out, "%s %s:", direction_names[map->direction], map->bucket->name);
		escape(&out, map->prefix, ESCAPE_NAME);
		buffer_text(&out, "\n");
	}
	out_finish();
}

int main(int argc, char **argv)
{
	settings_read(argc, argv);
	if (settings.check) {
		if (!settings.quiet)
			print_maps();
		return STATUS_YES;
	}
	begin();
	run();
	end();
	return STATUS_YES;
}
