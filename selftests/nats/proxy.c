// SPDX-License-Identifier: GPL-2.0
/*
 * nats_proxy PORT SERVER_PORT [BYTES]: a network between clients and a server, on loopback.
 * Each line of standard input is a command; "obeyed" is said once it is:
 *
 *   hold		holds what the server says, while what clients say goes through;
 *			"published" is said when that has a change in it
 *   drop SIDE TEXT	drops what SIDE (client or server) says with TEXT in it; "dropped" is
 *			said
 *   keep TEXT		keeps what clients say with TEXT in it, also when they are cut; "kept"
 *			is said
 *   release		lets go on what is held and kept, in its order; and drops and keeps
 *			nothing more
 *   cut		cuts the connections of all clients
 *
 * With BYTES the first connection is cut once the server has said so many.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS_MAX	512
#define CHUNK		4096

/* Between two that were kept: the server reads its connections side by side. */
#define PAUSE_US	200000

/**
 * struct link - connection of a client, and the one to the server that belongs to it
 * @client:	descriptor, or -1: it is closed
 * @server:	descriptor, open also while something is kept for it
 */
static struct link {
	int client;
	int server;
} links[LINKS_MAX];

/**
 * struct chunk - what is held or kept
 * @next:	next one
 * @link:	where it is to go on
 * @len:	length of @data
 * @data:	what was said
 */
struct chunk {
	struct chunk *next;
	struct link *link;
	ssize_t len;
	char data[CHUNK];
};

static int link_count;
static struct chunk *held, *kept;
static bool holds;
static char *dropped_of_client, *dropped_of_server, *kept_text;
static unsigned short server_port;
static long left = -1;

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static bool has(const struct chunk *chunk, const char *text)
{
	return text && memmem(chunk->data, chunk->len, text, strlen(text));
}

static void append(struct chunk **list, const struct chunk *chunk)
{
	struct chunk *copy = malloc(sizeof(*copy));

	if (!copy)
		err(1, "memory");
	*copy = *chunk;
	copy->next = NULL;
	while (*list)
		list = &(*list)->next;
	*list = copy;
}

static bool is_kept_for(const struct link *link)
{
	for (const struct chunk *chunk = kept; chunk; chunk = chunk->next)
		if (chunk->link == link)
			return true;
	return false;
}

static void close_link(struct link *link)
{
	if (link->client < 0)
		return;
	close(link->client);
	link->client = -1;
	if (!is_kept_for(link))
		close(link->server);
}

static void send_all(int fd, const struct chunk *chunk)
{
	ssize_t done, at = 0;

	while (at < chunk->len) {
		done = send(fd, chunk->data + at, chunk->len - at, MSG_NOSIGNAL);
		if (done < 0)
			return;
		at += done;
	}
}

static struct chunk *take(struct chunk **list)
{
	struct chunk *chunk = *list;

	if (chunk)
		*list = chunk->next;
	return chunk;
}

static void release(void)
{
	struct chunk *chunk;

	holds = false;
	dropped_of_client = NULL;
	dropped_of_server = NULL;
	kept_text = NULL;
	while ((chunk = take(&held))) {
		if (chunk->link->client >= 0)
			send_all(chunk->link->client, chunk);
		free(chunk);
	}
	while ((chunk = take(&kept))) {
		send_all(chunk->link->server, chunk);
		usleep(PAUSE_US);
		if (chunk->link->client < 0 && !is_kept_for(chunk->link))
			close(chunk->link->server);
		free(chunk);
	}
}

static void cut(void)
{
	for (int i = 0; i < link_count; i++)
		close_link(&links[i]);
}

static void obey(char *line)
{
	char *command = strsep(&line, " "), *copy = line ? strdup(line) : NULL;

	if (!strcmp(command, "hold"))
		holds = true;
	else if (!strcmp(command, "drop") && !strncmp(copy, "client ", 7))
		dropped_of_client = copy + 7;
	else if (!strcmp(command, "drop") && !strncmp(copy, "server ", 7))
		dropped_of_server = copy + 7;
	else if (!strcmp(command, "keep"))
		kept_text = copy;
	else if (!strcmp(command, "release"))
		release();
	else if (!strcmp(command, "cut"))
		cut();
	else
		errx(2, "%s: no such command", command);
	say("obeyed");
}

static void read_command(void)
{
	char line[256];

	if (!fgets(line, sizeof(line), stdin))
		exit(0);
	line[strcspn(line, "\n")] = '\0';
	obey(line);
}

static struct sockaddr_in loopback(unsigned short port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void accept_client(int listener)
{
	const struct sockaddr_in address = loopback(server_port);
	struct link *link = &links[link_count];

	link->client = accept(listener, NULL, NULL);
	link->server = socket(AF_INET, SOCK_STREAM, 0);
	if (link->client < 0 || link->server < 0 || link_count == LINKS_MAX - 1)
		err(1, "client");
	if (connect(link->server, (const struct sockaddr *)&address, sizeof(address))) {
		close(link->client);
		close(link->server);
		return;
	}
	link_count++;
}

/* Reads what one end said; false: it says nothing more. */
static bool receive(int fd, struct link *link, struct chunk *chunk)
{
	chunk->link = link;
	chunk->len = recv(fd, chunk->data, sizeof(chunk->data), 0);
	if (chunk->len > 0)
		return true;
	close_link(link);
	return false;
}

static void from_client(struct link *link)
{
	struct chunk chunk;

	if (!receive(link->client, link, &chunk))
		return;
	if (has(&chunk, dropped_of_client))
		return say("dropped");
	if (has(&chunk, kept_text)) {
		append(&kept, &chunk);
		return say("kept");
	}
	send_all(link->server, &chunk);
	if (holds && has(&chunk, "PUB $KV."))
		say("published");
}

static void from_server(struct link *link)
{
	struct chunk chunk;

	if (!receive(link->server, link, &chunk))
		return;
	if (has(&chunk, dropped_of_server))
		return say("dropped");
	if (holds)
		return append(&held, &chunk);
	send_all(link->client, &chunk);
	if (left < 0)
		return;
	left -= chunk.len;
	if (left > 0)
		return;
	left = -1;
	close_link(link);
	say("cut");
}

static int listen_on(unsigned short port)
{
	const struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		err(1, "port %d", port);
	return fd;
}

static void serve(int listener)
{
	static struct pollfd fds[2 + 2 * LINKS_MAX];
	int count = link_count;

	fds[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = listener, .events = POLLIN };
	for (int i = 0; i < count; i++) {
		int server = links[i].client < 0 ? -1 : links[i].server;

		fds[2 + 2 * i] = (struct pollfd){ .fd = links[i].client, .events = POLLIN };
		fds[3 + 2 * i] = (struct pollfd){ .fd = server, .events = POLLIN };
	}
	if (poll(fds, 2 + 2 * count, -1) < 0)
		return;
	if (fds[0].revents)
		read_command();
	if (fds[1].revents)
		accept_client(listener);
	for (int i = 0; i < count; i++) {
		if (fds[2 + 2 * i].revents && links[i].client >= 0)
			from_client(&links[i]);
		if (fds[3 + 2 * i].revents && links[i].client >= 0)
			from_server(&links[i]);
	}
}

int main(int argc, char **argv)
{
	int listener;

	if (argc < 3)
		errx(2, "usage: nats_proxy PORT SERVER_PORT [BYTES]");
	server_port = atoi(argv[2]);
	if (argc > 3)
		left = atol(argv[3]);
	listener = listen_on(atoi(argv[1]));
	setvbuf(stdin, NULL, _IONBF, 0);
	say("ready");
	for (;;)
		serve(listener);
}
