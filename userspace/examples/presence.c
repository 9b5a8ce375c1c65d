// SPDX-License-Identifier: GPL-2.0
/*
 * Presence: each process owns a key. The kernel deletes the key when the process
 * ends, for whatever reason. Each process subscribes to all of them.
 *
 *	cc presence.c $(pkg-config --cflags --libs metastore)
 *	./a.out anna &
 *	./a.out ben &
 *	kill -9 %1
 */
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX	"presence/"

static void print_end(const struct mstore_event *event)
{
	int code;

	switch (mstore_event_end(event, NULL, &code)) {
	case MSTORE_END_KILLED:
		printf(": killed by signal %d", code);
		break;
	case MSTORE_END_EXITED:
		printf(": exited with %d", code);
		break;
	}
}

static void handle(const struct mstore_event *event)
{
	const char *key;
	size_t len;

	key = mstore_event_key(event, &len);
	switch (mstore_event_type(event)) {
	case MSTORE_EVENT_SNAPSHOT:
	case MSTORE_EVENT_SET:
		printf("%.*s is here", (int)(len - strlen(PREFIX)), key + strlen(PREFIX));
		break;
	case MSTORE_EVENT_DELETED:
		printf("%.*s is gone", (int)(len - strlen(PREFIX)), key + strlen(PREFIX));
		print_end(event);
		break;
	case MSTORE_EVENT_LOST:
	case MSTORE_EVENT_FLUSHED:
		fprintf(stderr, "events were lost or flushed: the list is incomplete\n");
		exit(1);
	default:
		return;
	}
	printf("\n");
	fflush(stdout);
}

static int announce(struct mstore *store, const char *name)
{
	const struct mstore_options owned = { .flags = MSTORE_OWNED | MSTORE_CREATE };
	char key[MSTORE_KEY_MAX + 1];

	snprintf(key, sizeof(key), PREFIX "%s", name);
	return mstore_set_with(store, key, MSTORE_STRLEN, "", 0, &owned, NULL);
}

int main(int argc, char **argv)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_PREFIX | MSTORE_SUBSCRIBE_SNAPSHOT,
		.events = MSTORE_EVENT_SET | MSTORE_EVENT_DELETED,
	};
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR);
	struct mstore_event_buffer *events = mstore_event_buffer_new(0);
	const struct mstore_event *event;

	if (!store || !events || (argc > 1 && announce(store, argv[1])) ||
	    mstore_subscribe_with(store, PREFIX, MSTORE_STRLEN, &options)) {
		perror("metastore");
		return 1;
	}
	while (mstore_read_events(store, events) > 0) {
		event = NULL;
		while ((event = mstore_event_next(events, event)))
			handle(event);
	}
	perror("metastore");
	return 1;
}
