// SPDX-License-Identifier: GPL-2.0
/*
 * A configuration that reloads itself: the present value first, then each change.
 *
 *	cc config.c $(pkg-config --cflags --libs metastore)
 *	mstore set config/demo 'rate=20'
 *	./a.out config/demo
 *
 * Only the newest state counts. If changes come faster than they are loaded, the
 * follower conflates them.
 */
#include <metastore.h>
#include <stdio.h>

static void load(const struct mstore_follow *follow)
{
	const char *value;
	size_t len;

	value = mstore_follow_value(follow, &len);
	printf("configuration: %.*s\n", (int)len, value);
}

static void handle(const struct mstore_follow *follow, int type)
{
	switch (type) {
	case MSTORE_FOLLOW_VALUE:
		load(follow);
		break;
	case MSTORE_FOLLOW_DELETED:
		printf("the configuration was deleted, the last one stays\n");
		break;
	case MSTORE_FOLLOW_IN_STEP:
		printf("running\n");
		break;
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct mstore *store = mstore_open(NULL, MSTORE_READ);
	struct mstore_follow *follow = store ? mstore_follow_new(store, NULL) : NULL;
	const char *key = argc > 1 ? argv[1] : "config/demo";
	int type;

	if (!follow || mstore_follow_add(follow, key, MSTORE_STRLEN, 0)) {
		perror("metastore");
		return 1;
	}
	while ((type = mstore_follow_next(follow, -1)) > 0)
		handle(follow, type);
	perror("metastore");
	return 1;
}
