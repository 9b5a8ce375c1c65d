// SPDX-License-Identifier: GPL-2.0
/* The command mstore: finds the subcommand and runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "options.h"
#include "output.h"
#include "settings.h"
#include "suggest.h"

const char *const program_name = "mstore";

static const struct command *const commands[] = {
	&cmd_get,
	&cmd_set,
	&cmd_del,
	&cmd_touch,
	&cmd_pub,
	&cmd_update,
	&cmd_incr,
	&cmd_batch,
	&cmd_sub,
	&cmd_monitor,
	&cmd_wait,
	&cmd_hold,
	&cmd_lock,
	&cmd_ls,
	&cmd_stat,
	&cmd_subs,
	&cmd_bucket,
	&cmd_flush,
	&cmd_info,
	&cmd_audit,
	&cmd_doctor,
	&cmd_top,
	&cmd_stats,
	&cmd_dump,
	&cmd_load,
	&cmd_private,
	&cmd_upgrade,
	NULL
};

enum { OPT_COMPLETE = OPT_OWN };

static const struct tool_option options[] = {
	{ 'V', "version", NULL, "show the version" },
	{ OPT_COMPLETE, "complete", NULL, NULL },
	{ }
};

static const char usage[] = "Usage: mstore [--store PATH] COMMAND [OPTION...] [OPERAND...]\n";

static void add_usage(struct buffer *buf)
{
	buffer_text(buf, usage);
	buffer_text(buf, "A string map with publish/subscribe for the whole machine.\n\n");
	for (int i = 0; commands[i]; i++)
		buffer_format(buf, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	buffer_text(buf,
		    "\nmstore COMMAND --help shows the options of a command.\n"
		    "Exit status: 0 yes, 1 no or absent, 2 wrong usage, 3 failed, 124 timed out.\n");
}

/*
 * A descriptor that is not open would be given to the store, and output would
 * end up there. These fail on use as a closed one does, and commands that are run
 * find theirs closed.
 */
static void occupy_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null",
			     O_CLOEXEC | (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

static const struct command *find_command(const char *name)
{
	const char *other, *why;

	for (int i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	why = explain_absence(name);
	if (why)
		die(STATUS_USAGE, name, "no such command; %s. See mstore --help", why);
	other = suggest(commands, name);
	if (other)
		die(STATUS_USAGE, name, "no such command; did you mean %s? See mstore --help",
		    other);
	die(STATUS_USAGE, name, "no such command; see mstore --help");
}

/* For the completion: the words that can follow the tool itself, or a command. */
static void print_words(const char *name)
{
	if (name)
		print_option_words(find_command(name)->options);
	else
		print_option_words(options);
	print_option_words(common_options);
	for (int i = 0; !name && commands[i]; i++)
		buffer_format(&out, "%s\n", commands[i]->name);
}

static void print_usage_error(void)
{
	struct buffer buf = { 0 };

	add_usage(&buf);
	dprintf(STDERR_FILENO, "%.*s", (int)buf.len, buf.data);
	free(buf.data);
}

static void print_version(void)
{
	buffer_text(&out, "mstore " METASTORE_VERSION "\n");
}

/* Returns the status to end with, or -1 when a subcommand follows at argv[optind]. */
static int parse_options(int argc, char **argv)
{
	int option;

	while ((option = read_option(argc, argv, options, common_options)) != -1) {
		switch (option) {
		case 'h':
			add_usage(&out);
			return STATUS_YES;
		case 'V':
			print_version();
			return STATUS_YES;
		case OPT_COMPLETE:
			print_words(argv[optind]);
			return STATUS_YES;
		case OPT_STORE:
			set_store(optarg);
			break;
		default:
			die(STATUS_USAGE, argv[optind - 1], "%s; see mstore --help",
			    option == ':' ? "needs a value" : "unknown option");
		}
	}
	if (optind < argc)
		return -1;
	print_usage_error();
	return STATUS_USAGE;
}

static int run_command(int argc, char **argv)
{
	const struct command *command = find_command(argv[0]);

	/* 0 rather than 1 makes getopt_long() forget the options before the command. */
	optind = 0;
	return command->run(argc, argv);
}

static bool is_help(const char *word)
{
	return !strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h");
}

static int show_help(int argc, char **argv)
{
	char option[] = "--help", *words[] = { argv[1], option, NULL };

	if (argc > 2)
		die(STATUS_USAGE, "help", "too many operands; give one COMMAND");
	if (argc == 2 && !is_help(argv[1]))
		return run_command(2, words);
	add_usage(&out);
	return STATUS_YES;
}

static int show_version(int argc, char **argv)
{
	if (argc > 1)
		die(STATUS_USAGE, argv[0], "too many operands; it takes none");
	print_version();
	return STATUS_YES;
}

/* Not in the table are words that new users try before they know a command. */
static int run_word(int argc, char **argv)
{
	if (!strcmp(argv[0], "help"))
		return show_help(argc, argv);
	if (!strcmp(argv[0], "version"))
		return show_version(argc, argv);
	return run_command(argc, argv);
}

int main(int argc, char **argv)
{
	int status;

	occupy_standard_descriptors();
	set_signals();
	status = parse_options(argc, argv);
	if (status < 0)
		status = run_word(argc - optind, argv + optind);
	out_finish();
	return status;
}
