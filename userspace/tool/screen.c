// SPDX-License-Identifier: GPL-2.0
/*
 * A full screen of a terminal, without a library: it is redrawn as a whole.
 *
 * Signals come by a descriptor, so that the terminal is as before however this ends, but for
 * SIGKILL. Ctrl-Z leaves the screen until the shell lets this go on.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "error.h"
#include "screen.h"
#include "watch.h"

#define ENTER		"\033[?1049h\033[?25l"	/* another screen, without a cursor */
#define LEAVE		"\033[?25h\033[?1049l"
#define HOME		"\033[H"
#define CLEAR_REST	"\033[K"
#define CLEAR_BELOW	"\033[J"

#define DEFAULT_ROWS	24
#define DEFAULT_COLUMNS	80

static struct termios before;
static bool reads_keys, entered;
static int signals = -1;

static void enter(void)
{
	struct termios now = before;

	if (reads_keys) {
		now.c_lflag &= ~(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
	}
	buffer_text(&out, ENTER);
	out_flush();
	entered = true;
}

/* Leaves the terminal as it was. Does nothing if it is so already. */
void screen_end(void)
{
	ssize_t written;

	if (!entered)
		return;
	entered = false;
	written = write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1);
	(void)written;
	if (reads_keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

/* An ignored signal stays ignored: nohup and shells rely on that. */
static void take(sigset_t *set, int signal)
{
	struct sigaction action;

	if (!sigaction(signal, NULL, &action) && action.sa_handler != SIG_IGN)
		sigaddset(set, signal);
}

/* Takes the terminal that is standard output. */
void screen_begin(void)
{
	sigset_t set;

	sigemptyset(&set);
	take(&set, SIGINT);
	take(&set, SIGTERM);
	take(&set, SIGHUP);
	take(&set, SIGTSTP);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		call_failed("signals", errno);
	reads_keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &before);
	atexit(screen_end);
	enter();
}

static void size(int *rows, int *columns)
{
	struct winsize window = { 0 };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
	*rows = window.ws_row ?: DEFAULT_ROWS;
	*columns = window.ws_col ?: DEFAULT_COLUMNS;
}

int screen_rows(void)
{
	int rows, columns;

	size(&rows, &columns);
	return rows;
}

/* How many bytes of a line fit. Bytes that continue a character take no column. */
static size_t fitting(const char *line, size_t len, int columns)
{
	size_t i = 0;

	for (; i < len; i++)
		if ((line[i] & 0xc0) != 0x80 && columns-- == 0)
			break;
	return i;
}

/* Shows the lines of @text, as many and as much of each as there is room for. */
void screen_draw(const struct buffer *text)
{
	const char *at = text->data, *end = at + text->len;
	int rows, columns;

	size(&rows, &columns);
	buffer_text(&out, HOME);
	for (int row = 0; row < rows && at < end; row++) {
		size_t len = (char *)memchr(at, '\n', end - at) - at;

		if (row)
			buffer_text(&out, "\r\n");
		buffer_add(&out, at, fitting(at, len, columns));
		buffer_text(&out, CLEAR_REST);
		at += len + 1;
	}
	buffer_text(&out, CLEAR_BELOW);
	out_flush();
}

/* Sleeps until the shell lets this go on, with the terminal as it was. */
static void stop(void)
{
	screen_end();
	raise(SIGSTOP);
	enter();
}

static enum screen_news read_signal(void)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return SCREEN_REDRAW;
	if (info.ssi_signo == SIGTSTP)
		stop();
	return info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH ? SCREEN_REDRAW :
									 SCREEN_END;
}

/* Also ends when there are no more keys. Others than q do nothing. */
static bool key_ends(void)
{
	char key;

	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

/* Waits until @deadline, of CLOCK_MONOTONIC in ns, or until something is to be done. */
enum screen_news screen_wait(uint64_t deadline)
{
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = reads_keys ? STDIN_FILENO : -1, .events = POLLIN },
	};

	for (;;) {
		int ready = poll(fds, ARRAY_SIZE(fds), ms_until(deadline));

		if (ready < 0 && errno != EINTR)
			call_failed("terminal", errno);
		if (!ready)
			return SCREEN_TIME;
		if (ready > 0 && fds[0].revents)
			return read_signal();
		if (ready > 0 && fds[1].revents && key_ends())
			return SCREEN_END;
	}
}
