// SPDX-License-Identifier: GPL-2.0
/*
 * Settings from the command line and its files. A line of a file is a long option without its
 * dashes, and its value.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "duration.h"
#include "map.h"
#include "option_table.h"
#include "output.h"
#include "settings.h"
#include "text.h"

#define DEFAULT_SERVER	"nats://127.0.0.1:4222"
#define DEFAULT_STATUS	60000
#define STATUS_MAX_MS	(24 * 3600 * 1000ULL)

struct settings settings = { .replicas = 1, .status_ms = DEFAULT_STATUS };

enum {
	OPT_SERVER = 256, OPT_CREDS, OPT_USER, OPT_PASSWORD_FILE, OPT_TOKEN_FILE, OPT_TLS_CA,
	OPT_TLS_CERT, OPT_TLS_KEY, OPT_OUT, OPT_IN, OPT_BOTH, OPT_CREATE, OPT_REPLICAS,
	OPT_MEMORY, OPT_OWNED, OPT_TTL, OPT_METRICS, OPT_STATUS, OPT_CHECK, OPT_STORE,
	OPT_COMPLETE,
};

static const struct tool_option options[] = {
	{ OPT_OUT, "out", "BUCKET:PREFIX", "carry keys with PREFIX to the KV bucket" },
	{ OPT_IN, "in", "BUCKET:PREFIX", "carry keys with PREFIX from the KV bucket" },
	{ OPT_BOTH, "both", "BUCKET:PREFIX", "carry them in both directions" },
	{ OPT_OWNED, "owned", "carry|skip", "keys that have an owner (default: carry)" },
	{ OPT_TTL, "ttl", "carry|skip", "keys that have a time to live (default: carry)" },
	{ OPT_SERVER, "server", "URL", "a server (default: " DEFAULT_SERVER "); repeatable" },
	{ OPT_CREDS, "creds", "FILE", "log in with the JWT and seed in FILE" },
	{ OPT_USER, "user", "NAME", "log in as NAME" },
	{ OPT_PASSWORD_FILE, "password-file", "FILE", "with the password in FILE" },
	{ OPT_TOKEN_FILE, "token-file", "FILE", "log in with the token in FILE" },
	{ OPT_TLS_CA, "tls-ca", "FILE", "use TLS, with the authorities in FILE" },
	{ OPT_TLS_CERT, "tls-cert", "FILE", "show the server the certificate in FILE" },
	{ OPT_TLS_KEY, "tls-key", "FILE", "its key" },
	{ OPT_CREATE, "create", NULL, "make KV buckets that do not exist" },
	{ OPT_REPLICAS, "replicas", "N", "on N servers, 1 to 5 (default: 1)" },
	{ OPT_MEMORY, "memory", NULL, "in the servers' memory" },
	{ OPT_METRICS, "metrics", "SOCKET", "tell metrics to each that connects to SOCKET" },
	{ OPT_STATUS, "status", "TIME",
	  "print a line of status so often, 0: never;\n1m is the default" },
	{ OPT_STORE, "store", "PATH", "store to use, instead of $METASTORE_STORE\n"
				      "or /dev/metastore" },
	{ 'c', "config", "FILE", "read options from FILE, a line each without\n"
				 "the dashes; repeatable" },
	{ 'q', "quiet", NULL, "print errors and conflicts alone" },
	{ OPT_CHECK, "check-config", NULL, "check options and files, then end" },
	{ 'V', "version", NULL, "show the version" },
	{ 'h', "help", NULL, "show this help" },
	{ OPT_COMPLETE, "complete", NULL, NULL },
	{ }
};

static noreturn void print_help(void)
{
	buffer_text(&out,
		    "Usage: mstore-nats [OPTION...]\n"
		    "Carry keys of the store to and from KV buckets of NATS JetStream.\n\n");
	print_options_help(options);
	buffer_text(&out,
		    "\nEach key belongs to the longest PREFIX that it begins with; PREFIX may be\n"
		    "empty. See man mstore-nats for more.\n");
	out_finish();
	exit(STATUS_YES);
}

/* Where an option stands: what messages about it begin with. */
static char place[PATH_MAX + 64];

static noreturn PRINTF_LIKE(1, 2) void wrong(const char *why, ...)
{
	char text[1024];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	die(STATUS_USAGE, place, "%s; see mstore-nats --help", text);
}

static char *checked(char *text)
{
	if (!text)
		die(STATUS_COULD_NOT, "memory", "no room for the options");
	return text;
}

static const char *readable(const char *path)
{
	if (access(path, R_OK))
		die(STATUS_COULD_NOT, place, "%s: %s", path, strerror(errno));
	return checked(strdup(path));
}

/* Returns the first line of a file: a secret, which no command line shows. */
static const char *first_line(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		die(STATUS_COULD_NOT, place, "%s: %s", path, strerror(errno));
	if (getline(&line, &size, file) < 0)
		die(STATUS_COULD_NOT, place, "%s: must have a line with the secret", path);
	line[strcspn(line, "\r\n")] = '\0';
	fclose(file);
	return line;
}

static void add_server(const char *url)
{
	size_t size = (settings.server_count + 1) * sizeof(*settings.servers);
	const char **servers = realloc(settings.servers, size);

	if (!servers)
		die(STATUS_COULD_NOT, "memory", "no room for the options");
	/* It would be in the list of processes, and libnats puts it into the log. */
	if (strchr(url, '@'))
		wrong("a login does not belong into a URL: see --user, --token-file and --creds");
	settings.servers = servers;
	servers[settings.server_count++] = checked(strdup(url));
}

static void add_map(enum direction direction, const char *text)
{
	const char *why = map_add(direction, text);

	if (why)
		wrong("'%s': %s", text, why);
}

static bool skips(const char *text)
{
	if (strcmp(text, "carry") && strcmp(text, "skip"))
		wrong("'%s': must be carry or skip", text);
	return *text == 's';
}

static int replicas(const char *text)
{
	if (!isdigit((unsigned char)text[0]) || text[1] || *text < '1' || *text > '5')
		wrong("'%s': must be a number from 1 to 5", text);
	return *text - '0';
}

static uint64_t interval(const char *text)
{
	uint64_t ns;

	if (!read_duration(text, &ns) || ns > STATUS_MAX_MS * NS_PER_MS)
		wrong("'%s': must be 0 to 24h, such as 30s or 5m", text);
	return (ns + NS_PER_MS - 1) / NS_PER_MS;
}

static const char *socket_path(const char *text)
{
	/* As long as struct sockaddr_un has room for */
	if (!*text || strlen(text) > 107)
		wrong("'%s': must be a path of 1 to 107 bytes", text);
	return checked(strdup(text));
}

static void read_file(const char *path);

static noreturn void end_with(const char *text)
{
	buffer_text(&out, text);
	out_finish();
	exit(STATUS_YES);
}

static void obey_login(int option, const char *value)
{
	switch (option) {
	case OPT_CREDS:
		settings.creds = readable(value);
		break;
	case OPT_USER:
		settings.user = checked(strdup(value));
		break;
	case OPT_PASSWORD_FILE:
		settings.password = first_line(value);
		break;
	case OPT_TOKEN_FILE:
		settings.token = first_line(value);
		break;
	case OPT_TLS_CA:
		settings.tls_ca = readable(value);
		break;
	case OPT_TLS_CERT:
		settings.tls_cert = readable(value);
		break;
	case OPT_TLS_KEY:
		settings.tls_key = readable(value);
		break;
	}
}

static void obey(int option, const char *value)
{
	switch (option) {
	case OPT_OUT:
		return add_map(OUT, value);
	case OPT_IN:
		return add_map(IN, value);
	case OPT_BOTH:
		return add_map(BOTH, value);
	case OPT_SERVER:
		return add_server(value);
	case OPT_CREATE:
		settings.create = true;
		return;
	case OPT_REPLICAS:
		settings.replicas = replicas(value);
		return;
	case OPT_MEMORY:
		settings.memory = true;
		return;
	case OPT_OWNED:
		settings.skip_owned = skips(value);
		return;
	case OPT_TTL:
		settings.skip_ttl = skips(value);
		return;
	case OPT_METRICS:
		settings.metrics = socket_path(value);
		return;
	case OPT_STATUS:
		settings.status_ms = interval(value);
		return;
	case OPT_STORE:
		settings.store = checked(strdup(value));
		return;
	case 'c':
		return read_file(value);
	case 'q':
		settings.quiet = true;
		return;
	case OPT_CHECK:
		settings.check = true;
		return;
	case 'V':
		end_with("mstore-nats " METASTORE_VERSION "\n");
	case OPT_COMPLETE:
		print_option_words(options);
		end_with("");
	case 'h':
		print_help();
	default:
		obey_login(option, value);
	}
}

static const struct tool_option *find_option(const char *name)
{
	for (const struct tool_option *option = options; option->name; option++)
		if (option->help && !strcmp(option->name, name))
			return option;
	return NULL;
}

/* Options that mean nothing in a file */
static bool is_for_command_line(int option)
{
	return option == 'c' || option == 'h' || option == 'V' || option == OPT_CHECK;
}

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* Obeys `name value`. */
static void obey_line(char *line)
{
	const struct tool_option *option;
	char *name = trim(line), *value;

	if (!*name || *name == '#')
		return;
	value = name + strcspn(name, " \t");
	if (*value)
		*value++ = '\0';
	value = trim(value);
	option = find_option(name);
	if (!option || is_for_command_line(option->value))
		wrong("unknown option '%s'", name);
	if (option->arg && !*value)
		wrong("%s needs a value, %s", name, option->arg);
	if (!option->arg && *value)
		wrong("%s takes no value", name);
	obey(option->value, value);
}

static void read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		die(STATUS_COULD_NOT, path, "%s", strerror(errno));
	for (int number = 1; getline(&line, &size, file) >= 0; number++) {
		snprintf(place, sizeof(place), "%s, line %d", path, number);
		obey_line(line);
	}
	if (ferror(file))
		die(STATUS_COULD_NOT, path, "%s", strerror(errno));
	free(line);
	fclose(file);
}

static void name_place(int option)
{
	for (const struct tool_option *o = options; o->name; o++)
		if (o->value == option)
			snprintf(place, sizeof(place), "--%s", o->name);
}

static void check_all(void)
{
	snprintf(place, sizeof(place), "options");
	if (!maps.count)
		wrong("no prefix is to be carried: give --out, --in or --both");
	if (!settings.user != !settings.password)
		wrong("--user and --password-file belong together");
	if (!settings.tls_cert != !settings.tls_key)
		wrong("--tls-cert and --tls-key belong together");
	if (!!settings.creds + !!settings.user + !!settings.token > 1)
		wrong("only one of --creds, --user and --token-file can be given");
	if (!settings.server_count)
		add_server(DEFAULT_SERVER);
}

/* Reads the command line, and ends if there is anything wrong with it. */
void settings_read(int argc, char **argv)
{
	int option, before;

	for (;;) {
		before = optind;
		option = read_option(argc, argv, options, NULL);
		if (option == -1)
			break;
		snprintf(place, sizeof(place), "%s", argv[before]);
		if (option == '?')
			wrong("unknown option, or one that takes no value");
		if (option == ':')
			wrong("needs a value");
		name_place(option);
		obey(option, optarg);
	}
	if (optind < argc) {
		snprintf(place, sizeof(place), "%s", argv[optind]);
		wrong("not an option; there are no operands");
	}
	check_all();
}
