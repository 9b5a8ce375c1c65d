/* SPDX-License-Identifier: GPL-2.0 */
/* A full screen of a terminal, without a library: it is redrawn as a whole. */
#ifndef MSTORE_TOOL_SCREEN_H
#define MSTORE_TOOL_SCREEN_H

#include "output.h"

/** enum screen_news - why screen_wait() returned */
enum screen_news {
	SCREEN_TIME,		/* the time is over */
	SCREEN_REDRAW,		/* the size is another one */
	SCREEN_END,		/* the user wants to leave */
};

void screen_begin(void);
void screen_end(void);
int screen_rows(void);
void screen_draw(const struct buffer *text);
enum screen_news screen_wait(uint64_t deadline);

#endif
