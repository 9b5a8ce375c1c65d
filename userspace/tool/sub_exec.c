// SPDX-License-Identifier: GPL-2.0
/*
 * mstore sub --exec: a command for each change, one at a time; or, with --restart and
 * --signal, one that serves all keys. Events are also read while a command runs, so
 * that none is lost. Only the newest state of each key is kept.
 */
#include <errno.h>
#include <metastore.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "clock.h"
#include "error.h"
#include "event.h"
#include "follow.h"
#include "operation.h"
#include "options.h"
#include "output.h"
#include "store.h"
#include "sub_exec.h"
#include "supervise.h"
#include "text.h"
#include "watch.h"

/**
 * struct state - the newest known state of a key
 * @turn:	place among the states that wait for a command, 0: none
 * @lost:	changes were lost, and no later one is known
 * @event:	type of the event, as %e of --format
 * @version:	its version
 * @value:	the value
 * @why:	cause, as %w of --format
 */
struct state {
	uint64_t turn;
	bool lost;
	const char *event;
	uint64_t version;
	struct buffer value;
	struct buffer why;
};

/**
 * struct runner - the commands of sub --exec
 * @exec:	how they are run
 * @states:	one state per key
 * @turns:	number of turns given out
 * @settled:	when the last change has settled, in ns of CLOCK_MONOTONIC
 * @current:	index of the state that the command was started with, or told of
 * @told:	it was told
 * @replaced:	it is being ended for another one
 * @lost:	some state is lost
 */
struct runner {
	const struct exec *exec;
	struct state *states;
	uint64_t turns;
	uint64_t settled;
	int current;
	bool told;
	bool replaced;
	bool lost;
};

/* Does one command serve all keys? Then only the last change matters. */
static bool serves_all(const struct runner *runner)
{
	return runner->exec->mode != EXEC_EACH;
}

static void let_wait(struct runner *runner, struct state *state, int type, uint64_t version)
{
	state->event = event_kind(type);
	state->version = version;
	state->lost = false;
	state->value.len = 0;
	state->why.len = 0;
	if (!state->turn || serves_all(runner))
		state->turn = ++runner->turns;
	runner->settled = now_ns(CLOCK_MONOTONIC) + runner->exec->settle_ns;
}

static void note_event(struct runner *runner, const struct mstore_event *event)
{
	struct state *state = &runner->states[mstore_event_cookie(event)];
	int type = mstore_event_type(event);
	struct bytes value;

	/* look() may have found this version already. */
	if (mstore_event_version(event) <= state->version)
		return;
	let_wait(runner, state, type, mstore_event_version(event));
	event_why(&state->why, event);
	if (type == MSTORE_EVENT_DELETED)
		return;
	value.data = mstore_event_value(event, &value.len);
	buffer_add(&state->value, value.data, value.len);
}

static int note_events(struct follow *follow, struct runner *runner)
{
	const struct mstore_event *event = NULL;
	int status = -1;

	if (!read_events(follow->store, follow->buffer))
		return -1;
	while (status < 0 && (event = mstore_event_next(follow->buffer, event))) {
		switch (mstore_event_type(event)) {
		case MSTORE_EVENT_PUBLISHED:
		case MSTORE_EVENT_SET:
		case MSTORE_EVENT_DELETED:
		case MSTORE_EVENT_SNAPSHOT:
			note_event(runner, event);
			break;
		case MSTORE_EVENT_LOST:
			runner->states[mstore_event_cookie(event)].lost = true;
			runner->lost = true;
			status = changes_lost(follow, event);
			break;
		case MSTORE_EVENT_FLUSHED:
			subscriptions_flushed(follow, event);
		}
	}
	return status;
}

/* The newest state of a key was lost: read it from the store. */
static void look(struct follow *follow, struct runner *runner, int index)
{
	struct state *state = &runner->states[index];
	struct operation get = { .kind = OP_GET, .key = follow->keys[index] };

	state->lost = false;
	run_operation(follow->store, &get);
	if (get.error == ENOENT) {
		let_wait(runner, state, MSTORE_EVENT_DELETED, state->version);
	} else if (get.error) {
		exit(operation_failed(&get));
	} else if (get.version > state->version) {
		let_wait(runner, state, MSTORE_EVENT_SET, get.version);
		buffer_add(&state->value, get.value.data, get.value.len);
	}
}

static void look_where_lost(struct follow *follow, struct runner *runner)
{
	runner->lost = false;
	for (int i = 0; i < follow->count; i++)
		if (runner->states[i].lost)
			look(follow, runner, i);
}

/* The one that waits longest goes first; if one command serves all, the last one. */
static bool goes_before(const struct runner *runner, const struct state *one,
			const struct state *other)
{
	return serves_all(runner) ? one->turn > other->turn : one->turn < other->turn;
}

/* Returns the index of the state that is next, -1 if none waits. */
static int next_state(const struct follow *follow, const struct runner *runner)
{
	const struct state *states = runner->states;
	int next = -1;

	for (int i = 0; i < follow->count; i++)
		if (states[i].turn &&
		    (next < 0 || goes_before(runner, &states[i], &states[next])))
			next = i;
	return next;
}

/* The command gets this state, or is told of it. */
static void take_state(struct follow *follow, struct runner *runner, int index)
{
	runner->states[index].turn = 0;
	for (int i = 0; i < follow->count && serves_all(runner); i++)
		runner->states[i].turn = 0;
	runner->current = index;
	follow->seen++;
}

static void set_environment(const char *operand, struct state *state)
{
	char version[24];

	snprintf(version, sizeof(version), "%llu", (unsigned long long)state->version);
	buffer_add(&state->why, "", 1);
	if (setenv("METASTORE_KEY", operand, 1) || setenv("METASTORE_EVENT", state->event, 1) ||
	    setenv("METASTORE_VERSION", version, 1) ||
	    setenv("METASTORE_WHY", state->why.data, 1))
		call_failed("memory", errno);
}

static void start(struct follow *follow, struct runner *runner, int index)
{
	char shell[] = "sh", option[] = "-c";
	char *const argv[] = { shell, option, runner->exec->command, NULL };
	struct state *state = &runner->states[index];

	set_environment(follow->operands[index], state);
	supervise_start(argv, (struct bytes){ state->value.data, state->value.len });
	runner->told = false;
	runner->replaced = false;
	take_state(follow, runner, index);
}

static void tell(struct follow *follow, struct runner *runner, int index)
{
	if (!supervise_tell(runner->exec->signal))
		return;
	runner->told = true;
	take_state(follow, runner, index);
}

/* Does what the change that is next asks for, if it is time. */
static void act(struct follow *follow, struct runner *runner)
{
	int index = next_state(follow, runner);

	if (index < 0 || is_complete(follow) || ms_until(runner->settled))
		return;
	if (!supervise_runs()) {
		start(follow, runner, index);
	} else if (runner->exec->mode == EXEC_RESTART) {
		runner->replaced = true;
		supervise_end();
	} else if (runner->exec->mode == EXEC_SIGNAL) {
		tell(follow, runner, index);
	}
}

/*
 * A command that fails does not end the others. One that the signal ended was not ready
 * for it, and starts anew.
 */
static void note_end(struct follow *follow, struct runner *runner, int status)
{
	bool by_signal = WIFSIGNALED(status) && WTERMSIG(status) == runner->exec->signal;

	if (runner->told && by_signal) {
		if (next_state(follow, runner) < 0)
			runner->states[runner->current].turn = ++runner->turns;
		follow->seen--;
	} else if (status && !runner->replaced) {
		report_key(follow->keys[runner->current],
			   "the --exec command ended with status %d", shell_status(status));
	}
}

/* Of two times as poll() takes them. */
static int sooner(int one, int other)
{
	return (unsigned int)one < (unsigned int)other ? one : other;
}

/* How long nothing is to be done, unless something happens. */
static int time_to_act(const struct follow *follow, const struct runner *runner)
{
	bool waits = next_state(follow, runner) >= 0 && !is_complete(follow);
	int timeout = supervise_timeout();
	int unsettled = ms_until(runner->settled);

	if (runner->lost)
		return 0;
	return waits && unsettled ? sooner(timeout, unsettled) : timeout;
}

/* Waits until an event can be read, unless no more are wanted, or something is to be done. */
static bool wait_for_event(const struct follow *follow, bool no_more, int timeout)
{
	struct pollfd fds[] = {
		{ },
		{ .fd = no_more ? -1 : mstore_fd(follow->store), .events = POLLIN },
		{ .fd = supervise_fd(), .events = POLLIN },
	};

	poll_with_output(fds, ARRAY_SIZE(fds), timeout, STATUS_YES);
	return fds[1].revents;
}

/*
 * Whether all is done: as many commands as were wanted; or, when the time is @over, those
 * for the changes so far. A command that serves all is not waited for then.
 */
static bool is_done(const struct follow *follow, const struct runner *runner, bool over)
{
	if (over && serves_all(runner))
		return true;
	if (supervise_runs())
		return false;
	return is_complete(follow) || (over && next_state(follow, runner) < 0);
}

/* Returns a status to end with, or -1 when all is done. */
static int run_commands(struct follow *follow, struct runner *runner)
{
	bool over = false;
	int timeout, ended, status = -1;

	for (;;) {
		act(follow, runner);
		if (is_done(follow, runner, over))
			return -1;
		timeout = over ? -1 : time_left_ms();
		if (wait_for_event(follow, over || is_complete(follow),
				   sooner(timeout, time_to_act(follow, runner))))
			status = note_events(follow, runner);
		else if (runner->lost)
			look_where_lost(follow, runner);
		if (status >= 0)
			return status;
		over = over || !timeout;
		if (over)
			runner->settled = 0;
		if (supervise_turn(&ended))
			note_end(follow, runner, ended);
	}
}

/* Returns the status to end with. */
int follow_with_command(struct follow *follow, const struct exec *exec)
{
	struct runner runner = {
		.exec = exec,
		.states = calloc(follow->count, sizeof(*runner.states)),
	};
	int status;

	if (!runner.states)
		call_failed("memory", ENOMEM);
	supervise_begin(exec->mode == EXEC_RESTART ? exec->signal : SIGTERM,
			follow->counted ? STATUS_NO : STATUS_YES);
	status = run_commands(follow, &runner);
	if (status < 0 && is_complete(follow))
		status = STATUS_YES;
	free(runner.states);
	return follow_status(follow, status);
}
