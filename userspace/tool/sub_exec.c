// SPDX-License-Identifier: GPL-2.0
/*
 * mstore sub --exec: a command for each change, one at a time. Events are also read
 * while a command runs, so that none is lost. Only the newest state of each key is
 * kept.
 */
#include <errno.h>
#include <metastore.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "child.h"
#include "error.h"
#include "event.h"
#include "follow.h"
#include "operation.h"
#include "options.h"
#include "output.h"
#include "store.h"
#include "sub_exec.h"
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
 * @states:	one state per key
 * @turns:	number of turns given out
 * @pid:	running command, 0: none
 * @pidfd:	descriptor of @pid
 * @key:	key of the running command
 * @lost:	some state is lost
 */
struct runner {
	struct state *states;
	uint64_t turns;
	pid_t pid;
	int pidfd;
	struct bytes key;
	bool lost;
};

static void let_wait(struct runner *runner, struct state *state, int type, uint64_t version)
{
	state->event = event_kind(type);
	state->version = version;
	state->lost = false;
	state->value.len = 0;
	state->why.len = 0;
	if (!state->turn)
		state->turn = ++runner->turns;
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

/* Returns the index of the state that waits longest, -1 if none does. */
static int next_state(const struct follow *follow, const struct runner *runner)
{
	const struct state *states = runner->states;
	int next = -1;

	for (int i = 0; i < follow->count; i++)
		if (states[i].turn && (next < 0 || states[i].turn < states[next].turn))
			next = i;
	return next;
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

/* Returns false when no change waits for a command. */
static bool start_next(struct follow *follow, struct runner *runner)
{
	char shell[] = "sh", option[] = "-c";
	char *const argv[] = { shell, option, follow->command, NULL };
	int index = next_state(follow, runner);
	struct state *state;

	if (index < 0)
		return false;
	state = &runner->states[index];
	set_environment(follow->operands[index], state);
	runner->key = follow->keys[index];
	runner->pid = start_command(argv, (struct bytes){ state->value.data, state->value.len },
				    -1);
	runner->pidfd = pidfd_open(runner->pid, 0);
	if (runner->pidfd < 0)
		call_failed("command", errno);
	state->turn = 0;
	return true;
}

/* A command that fails does not end the others. */
static void finish_command(struct follow *follow, struct runner *runner)
{
	int status = wait_for_command(runner->pid);

	close(runner->pidfd);
	runner->pid = 0;
	follow->seen++;
	if (status)
		report_key(runner->key, "the --exec command ended with status %d", status);
}

/* Results of wait_for_either(), none of them when @timeout is over. */
enum { READY_EVENT = 1, READY_COMMAND = 2 };

/* Waits for an event, unless no more are wanted, or for the end of the command. */
static int wait_for_either(const struct follow *follow, const struct runner *runner, bool no_more,
			   int timeout)
{
	struct pollfd fds[] = {
		{ },
		{ .fd = no_more ? -1 : mstore_fd(follow->store), .events = POLLIN },
		{ .fd = runner->pid ? runner->pidfd : -1, .events = POLLIN },
	};

	poll_with_output(fds, ARRAY_SIZE(fds), timeout, STATUS_YES);
	return (fds[1].revents ? READY_EVENT : 0) | (fds[2].revents ? READY_COMMAND : 0);
}

/* Returns a status to end with, or -1 when the time is over and all is done. */
static int run_commands(struct follow *follow, struct runner *runner)
{
	bool over = false;
	int ready, timeout, status = -1;

	while (status < 0) {
		if (!runner->pid && !start_next(follow, runner) && over)
			break;
		timeout = over ? -1 : time_left_ms();
		ready = wait_for_either(follow, runner, over, runner->lost ? 0 : timeout);
		over = over || !timeout;
		if (ready & READY_EVENT)
			status = note_events(follow, runner);
		else if (runner->lost)
			look_where_lost(follow, runner);
		if (ready & READY_COMMAND)
			finish_command(follow, runner);
		if (status < 0 && is_complete(follow))
			status = STATUS_YES;
	}
	return status;
}

/* Returns the status to end with. */
int follow_with_command(struct follow *follow)
{
	struct runner runner = { .states = calloc(follow->count, sizeof(*runner.states)) };
	int status;

	if (!runner.states)
		call_failed("memory", ENOMEM);
	status = run_commands(follow, &runner);
	free(runner.states);
	return follow_status(follow, status);
}
