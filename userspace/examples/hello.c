// SPDX-License-Identifier: GPL-2.0
/*
 * Subscribe, publish and receive:
 *
 *	cc hello.c $(pkg-config --cflags --libs metastore)
 */
#include <metastore.h>
#include <stdio.h>

int main(void)
{
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR);
	struct mstore_event_buffer *events = mstore_event_buffer_new(0);
	const char *value;
	size_t len;

	if (!store || !events ||
	    mstore_subscribe(store, "greeting", MSTORE_STRLEN,
			     MSTORE_EVENT_PUBLISHED, 0) < 0 ||
	    mstore_publish(store, "greeting", MSTORE_STRLEN,
			   "hello", MSTORE_STRLEN, NULL) < 0 ||
	    mstore_read_events(store, events) < 0) {
		perror("metastore");
		return 1;
	}
	value = mstore_event_value(mstore_event_next(events, NULL), &len);
	printf("%.*s\n", (int)len, value);
	return 0;
}
