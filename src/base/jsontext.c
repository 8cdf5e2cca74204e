/* SPDX-License-Identifier: MIT */
/* JSON strings (RFC 8259 section 7) of bytes that may be anything. */
#include "src/base/jsontext.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * Length of the well-formed UTF-8 sequence at @s, RFC 3629 section 4; 0 = it is
 * none: cut, overlong, a surrogate or beyond U+10FFFF.
 */
static size_t utf8_len(const uint8_t *s, size_t len)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t n;

	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (len < n)
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* What stands for the character at @s; *@used = its bytes there. Return: bytes at @out */
static size_t one(char out[JSON_TEXT_MAX + 1], const uint8_t *s, size_t len, size_t *used)
{
	*used = 1;
	if (*s == '"' || *s == '\\') {
		out[0] = '\\';
		out[1] = (char)*s;
		return 2;
	}
	if (*s < 0x20 || *s == 0x7f)
		return (size_t)snprintf(out, JSON_TEXT_MAX + 1, "\\u%04x", *s);
	if (*s < 0x80) {
		out[0] = (char)*s;
		return 1;
	}
	*used = utf8_len(s, len);
	if (*used) {
		memcpy(out, s, *used);
		return *used;
	}
	*used = 1;
	memcpy(out, "\\ufffd", 7);
	return 6;
}

/**
 * json_text() - @s as the inside of a JSON string
 * @out:	@room bytes; not terminated
 * @s:		@len bytes of anything; what is not UTF-8 becomes U+FFFD
 *
 * Where the room ends, so does the text, between two characters. Any thread.
 * Return: bytes written
 */
size_t json_text(char *out, size_t room, const char *s, size_t len)
{
	size_t at = 0, n = 0, used;
	char c[JSON_TEXT_MAX + 1];

	while (at < len) {
		size_t add = one(c, (const uint8_t *)s + at, len - at, &used);

		if (add > room - n)
			break;
		memcpy(out + n, c, add);
		n += add;
		at += used;
	}
	return n;
}
