// SPDX-License-Identifier: GPL-2.0
/*
 * D-Bus: a signal from one connection to another, through dbus-daemon.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <systemd/sd-bus.h>

#include "bench.h"

#define SOCKET		"/tmp/bench-dbus"
#define ADDRESS		"unix:path=" SOCKET
#define CONFIG		"/tmp/bench-dbus.conf"

/* An hour; see server_wait() */
#define TIMEOUT_MS	"3600000"
#define TIMEOUT_US	3600000000ULL

#define PATH		"/bench"
#define INTERFACE	"org.metastore.Bench"
#define MEMBER		"News"

static pid_t server;
static sd_bus *sender, *receiver;
static unsigned int received;

static void check(int ret, const char *what)
{
	if (ret < 0) {
		errno = -ret;
		die("D-Bus: %s", what);
	}
}

static void write_config(void)
{
	FILE *file = fopen(CONFIG, "w");

	if (!file)
		die(CONFIG);
	fputs("<busconfig>\n"
	      "<listen>" ADDRESS "</listen>\n"
	      "<policy context=\"default\">\n"
	      "<allow send_destination=\"*\"/><allow eavesdrop=\"true\"/>\n"
	      "</policy>\n"
	      "<limit name=\"auth_timeout\">" TIMEOUT_MS "</limit>\n"
	      "</busconfig>\n", file);
	fclose(file);
}

static sd_bus *connection(void)
{
	sd_bus *bus;

	check(sd_bus_new(&bus), "sd_bus_new");
	sd_bus_set_address(bus, ADDRESS);
	sd_bus_set_bus_client(bus, 1);
	sd_bus_set_method_call_timeout(bus, TIMEOUT_US);
	check(sd_bus_start(bus), "sd_bus_start");
	return bus;
}

static int on_signal(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const void *bytes;
	size_t len;

	(void)data;
	(void)error;
	check(sd_bus_message_read_array(message, 'y', &bytes, &len), "read_array");
	received++;
	return 0;
}

static void start(const struct row *row)
{
	static const char * const argv[] = {
		"dbus-daemon", "--nofork", "--nopidfile", "--config-file=" CONFIG, NULL
	};
	const struct sockaddr_un address = { AF_UNIX, SOCKET };

	(void)row;
	write_config();
	server = server_start(argv[0], argv);
	server_wait(server, (const struct sockaddr *)&address, sizeof(address));
	sender = connection();
	receiver = connection();
	check(sd_bus_match_signal(receiver, NULL, NULL, PATH, INTERFACE, MEMBER,
				  on_signal, NULL), "match_signal");
}

static void stop(const struct row *row)
{
	(void)row;
	sd_bus_flush_close_unref(sender);
	sd_bus_flush_close_unref(receiver);
	server_stop(server);
}

static void send_signal(const struct row *row)
{
	sd_bus_message *message;

	check(sd_bus_message_new_signal(sender, &message, PATH, INTERFACE, MEMBER),
	      "new_signal");
	check(sd_bus_message_append_array(message, 'y', bench_value, row->size),
	      "append_array");
	check(sd_bus_send(sender, message, NULL), "send");
	sd_bus_message_unref(message);
	check(sd_bus_flush(sender), "flush");
}

static void receive_signal(void)
{
	unsigned int before = received;
	int ret;

	while (received == before) {
		ret = sd_bus_process(receiver, NULL);
		check(ret, "process");
		if (!ret)
			check(sd_bus_wait(receiver, UINT64_MAX), "wait");
	}
}

static void run_signal(const struct row *row, unsigned int n)
{
	while (n--) {
		send_signal(row);
		receive_signal();
	}
}

/**
 * dbus_rows - row of D-Bus
 */
void dbus_rows(void)
{
	const struct row row = {
		.setup = start,
		.run = run_signal,
		.teardown = stop,
		.size = VALUE_LEN,
		.batch = SHORT_BATCH,
	};

	row_add(&row, "dbus-signal");
}
