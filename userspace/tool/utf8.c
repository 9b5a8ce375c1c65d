// SPDX-License-Identifier: GPL-2.0
/* What is UTF-8 and what is not, by RFC 3629. */
#include "tool.h"

static bool is_tail(const unsigned char *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((s[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* Length of the character at @data, 0 if no valid one starts there. */
size_t utf8_sequence(const void *data, size_t len)
{
	const unsigned char *s = data;
	size_t tail;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	tail = s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
	if (len <= tail || !is_tail(s + 1, tail))
		return 0;
	/* Longer than needed, surrogates, beyond U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return tail + 1;
}
