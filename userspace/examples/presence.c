// SPDX-License-Identifier: GPL-2.0
/*
 * Presence: each process owns a key. The kernel deletes the key when the process
 * ends, for whatever reason. Each process follows all of them. A follower recovers from
 * lost events by itself, so the list is right also in a process that was stopped.
 *
 *	cc presence.c $(pkg-config --cflags --libs metastore)
 *	./a.out anna &
 *	./a.out ben &
 *	kill -9 %1
 */
#include <metastore.h>
#include <stdio.h>
#include <string.h>

#define PREFIX	"presence/"

/* @event: NULL if it was lost: only that the key is gone is known then */
static void print_end(const struct mstore_event *event)
{
	int code;

	switch (event ? mstore_event_end(event, NULL, &code) : -1) {
	case MSTORE_END_KILLED:
		printf(": killed by signal %d", code);
		break;
	case MSTORE_END_EXITED:
		printf(": exited with %d", code);
		break;
	}
}

static void handle(const struct mstore_follow *follow, int type)
{
	const char *key;
	size_t len;

	if (type == MSTORE_FOLLOW_IN_STEP)
		return;
	key = mstore_follow_key(follow, &len);
	printf("%.*s is %s", (int)(len - strlen(PREFIX)), key + strlen(PREFIX),
	       type == MSTORE_FOLLOW_VALUE ? "here" : "gone");
	if (type == MSTORE_FOLLOW_DELETED)
		print_end(mstore_follow_event(follow));
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
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR);
	struct mstore_follow *follow = store ? mstore_follow_new(store, NULL) : NULL;
	int type;

	if (!follow || (argc > 1 && announce(store, argv[1])) ||
	    mstore_follow_add(follow, PREFIX, MSTORE_STRLEN, MSTORE_SUBSCRIBE_PREFIX)) {
		perror("metastore");
		return 1;
	}
	while ((type = mstore_follow_next(follow, -1)) > 0)
		handle(follow, type);
	perror("metastore");
	return 1;
}
