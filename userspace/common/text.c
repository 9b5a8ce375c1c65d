// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes as text on one line: \\ \n \t \r, and \xHH for other control characters and
 * for bytes that are not UTF-8. Ordinary text is unchanged, and bash's printf '%b'
 * turns escapes back into bytes.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "text.h"

/* For qsort() of struct bytes, or of what begins with one. */
int compare_bytes(const void *one, const void *other)
{
	const struct bytes *a = one, *b = other;
	int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

static bool is_tail(const unsigned char *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((s[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* Length of the character at @data, 0 if no valid one of RFC 3629 starts there. */
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

static const char letters[] = "\\ntr";
static const char meanings[] = "\\\n\t\r";

static char letter_for(char byte)
{
	const char *at = byte ? strchr(meanings, byte) : NULL;

	return at ? letters[at - meanings] : 0;
}

/* C1 controls, U+0080 to U+009F, act on terminals as the ASCII ones do. */
static bool is_control(const unsigned char *s, size_t step)
{
	if (step == 1)
		return s[0] < 0x20 || s[0] == 0x7f;
	return step == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

static void escape_byte(struct buffer *buf, unsigned char byte)
{
	char letter = letter_for(byte);

	if (letter)
		buffer_format(buf, "\\%c", letter);
	else
		buffer_format(buf, "\\x%02x", byte);
}

void escape(struct buffer *buf, struct bytes bytes, enum escape_style style)
{
	const unsigned char *s = bytes.data;
	const unsigned char *end = s + bytes.len;

	if (style == ESCAPE_KEY && s < end && *s == '-')
		escape_byte(buf, *s++);
	while (s < end) {
		size_t step = utf8_sequence(s, end - s);

		if (step && *s != '\\' && !is_control(s, step) &&
		    !(*s == ' ' && style != ESCAPE_VALUE)) {
			buffer_add(buf, s, step);
			s += step;
		} else {
			escape_byte(buf, *s++);
		}
	}
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (at - digits) % 16 : -1;
}

/*
 * Reads one byte or one escape at @text into @byte. Returns how many characters
 * that took, 0 if it is no escape of ours.
 */
size_t unescape_one(const char *text, char *byte)
{
	const char *at;

	*byte = text[0];
	if (text[0] != '\\')
		return 1;
	if (text[1] == 'x' && hex_digit(text[2]) >= 0 && hex_digit(text[3]) >= 0) {
		*byte = hex_digit(text[2]) << 4 | hex_digit(text[3]);
		return 4;
	}
	at = text[1] ? strchr(letters, text[1]) : NULL;
	if (!at)
		return 0;
	*byte = meanings[at - letters];
	return 2;
}

/* Returns false if there is a backslash that starts no escape. */
bool unescape(struct buffer *buf, const char *text)
{
	while (*text) {
		char byte;
		size_t step = unescape_one(text, &byte);

		if (!step)
			return false;
		buffer_add(buf, &byte, 1);
		text += step;
	}
	return true;
}

/* Escapes the key, so that its bytes cannot control the terminal. */
void report_key(struct bytes key, const char *why, ...)
{
	struct buffer what = { 0 };
	va_list args;

	escape(&what, key, ESCAPE_NAME);
	buffer_add(&what, "", 1);
	va_start(args, why);
	vreport(what.data, why, args);
	va_end(args);
	free(what.data);
}
