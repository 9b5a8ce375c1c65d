// SPDX-License-Identifier: GPL-2.0
/* The value of a key in a KV bucket, as a watch tells it and as it is read. */
#include <string.h>

#include "remote.h"

/* The value belongs to @told. */
struct remote remote_of_entry(kvEntry *told)
{
	struct remote remote = {
		.rev = kvEntry_Revision(told),
		.created = kvEntry_Created(told),
		.there = kvEntry_Operation(told) == kvOp_Put,
	};

	if (remote.there)
		remote.value = (struct bytes){ kvEntry_Value(told), kvEntry_ValueLen(told) };
	return remote;
}

static bool is_deletion(natsMsg *read)
{
	const char *operation;

	return natsMsgHeader_Get(read, OPERATION_HEADER, &operation) == NATS_OK &&
	       (!strcmp(operation, "DEL") || !strcmp(operation, "PURGE"));
}

/* The value belongs to @read, which has no revision if there is nothing. */
struct remote remote_of_message(natsMsg *read)
{
	const char *owned;
	struct remote remote = { .rev = natsMsg_GetSequence(read), .read = true };

	if (!remote.rev)
		return remote;
	remote.created = natsMsg_GetTime(read);
	remote.there = !is_deletion(read);
	remote.owned = natsMsgHeader_Get(read, OWNED_HEADER, &owned) == NATS_OK;
	if (remote.there)
		remote.value = (struct bytes){
			natsMsg_GetData(read), natsMsg_GetDataLength(read)
		};
	return remote;
}
