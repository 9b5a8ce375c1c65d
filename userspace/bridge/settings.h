/* SPDX-License-Identifier: GPL-2.0 */
/* Settings from the command line and its files. */
#ifndef MSTORE_BRIDGE_SETTINGS_H
#define MSTORE_BRIDGE_SETTINGS_H

#include "tool.h"

/**
 * struct settings - what the command line and its files say
 * @store:	path of the store; NULL: $METASTORE_STORE, or the default one
 * @servers:	array of URLs of servers
 * @server_count: number of @servers
 * @creds:	file with a user's JWT and seed, or NULL
 * @user:	user, or NULL
 * @password:	that user's password, or NULL
 * @token:	token, or NULL
 * @tls_ca:	file with certificates of authorities, or NULL
 * @tls_cert:	file with the certificate of this client, or NULL
 * @tls_key:	file with its key, or NULL
 * @create:	make buckets that do not exist
 * @replicas:	number of servers that keep each bucket that is made
 * @memory:	these keep it in memory
 * @skip_owned:	keys that have an owner stay here
 * @skip_ttl:	keys that have a time to live stay here
 * @metrics:	path of the socket that tells metrics, or NULL
 * @status_ms:	time between two lines of status in ms, 0: none
 * @quiet:	print no line that is no error and no conflict
 * @check:	check the settings, and do nothing else
 */
struct settings {
	const char *store;
	const char **servers;
	int server_count;
	const char *creds;
	const char *user;
	const char *password;
	const char *token;
	const char *tls_ca;
	const char *tls_cert;
	const char *tls_key;
	bool create;
	int replicas;
	bool memory;
	bool skip_owned;
	bool skip_ttl;
	const char *metrics;
	uint64_t status_ms;
	bool quiet;
	bool check;
};

extern struct settings settings;

void settings_read(int argc, char **argv);

#endif
