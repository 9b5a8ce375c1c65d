// SPDX-License-Identifier: GPL-2.0
/*
 * A configuration that reloads itself: the present value first, then each change.
 *
 *	cc config.c $(pkg-config --cflags --libs metastore)
 *	mstore set config/demo 'rate=20'
 *	./a.out config/demo
 *
 * Only the newest state counts. If changes come faster than they are loaded, the
 * subscription conflates them.
 */
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>

static void load(const struct mstore_event *event)
{
	const char *value;
	size_t len;

	value = mstore_event_value(event, &len);
	printf("configuration: %.*s\n", (int)len, value);
}

static void handle(const struct mstore_event *event)
{
	switch (mstore_event_type(event)) {
	case MSTORE_EVENT_SNAPSHOT:
	case MSTORE_EVENT_SET:
	case MSTORE_EVENT_PUBLISHED:
		load(event);
		break;
	case MSTORE_EVENT_DELETED:
		printf("the configuration was deleted, the last one stays\n");
		break;
	case MSTORE_EVENT_SNAPSHOT_END:
		printf("running\n");
		break;
	case MSTORE_EVENT_FLUSHED:
		fprintf(stderr, "the subscription was removed\n");
		exit(1);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_SNAPSHOT | MSTORE_SUBSCRIBE_LATEST,
		.events = MSTORE_EVENT_SET | MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_DELETED,
	};
	struct mstore *store = mstore_open(NULL, MSTORE_READ);
	struct mstore_event_buffer *events = mstore_event_buffer_new(0);
	const struct mstore_event *event;
	const char *key = argc > 1 ? argv[1] : "config/demo";

	if (!store || !events || mstore_subscribe_with(store, key, MSTORE_STRLEN, &options)) {
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
