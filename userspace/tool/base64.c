// SPDX-License-Identifier: GPL-2.0
/* Bytes as text of RFC 4648, section 4. */
#include <string.h>

#include "tool.h"

static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buffer *buf, struct bytes bytes)
{
	const unsigned char *s = bytes.data;

	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t bits = s[i] << 16 | (left > 1 ? s[i + 1] << 8 : 0) |
				(left > 2 ? s[i + 2] : 0);
		char group[4] = {
			digits[bits >> 18], digits[bits >> 12 & 63],
			left > 1 ? digits[bits >> 6 & 63] : '=',
			left > 2 ? digits[bits & 63] : '=',
		};

		buffer_add(buf, group, sizeof(group));
	}
}

/* Adds the bytes of a group of four digits; the last one may end in one or two '='. */
static bool decode_group(struct buffer *buf, const char *group, bool last)
{
	uint32_t bits = 0;
	char bytes[3];
	int padding = 0;

	if (last && group[3] == '=')
		padding = group[2] == '=' ? 2 : 1;
	for (int i = 0; i < 4 - padding; i++) {
		const char *at = group[i] ? strchr(digits, group[i]) : NULL;

		if (!at)
			return false;
		bits |= (uint32_t)(at - digits) << (18 - 6 * i);
	}
	/* Nothing may be lost: one text for the same bytes. */
	if (bits & ((1U << 8 * padding) - 1))
		return false;
	bytes[0] = bits >> 16;
	bytes[1] = bits >> 8;
	bytes[2] = bits;
	buffer_add(buf, bytes, 3 - padding);
	return true;
}

/* Returns false if @text is not what base64_encode() would make of any bytes. */
bool base64_decode(struct buffer *buf, struct bytes text)
{
	const char *s = text.data;

	if (text.len % 4)
		return false;
	for (size_t i = 0; i < text.len; i += 4)
		if (!decode_group(buf, s + i, i + 4 == text.len))
			return false;
	return true;
}
