/* SPDX-License-Identifier: MIT */
/*
 * A strict reader of the pcapng files that we write.
 *
 * Stricter than tcpdump: one section, one interface of Ethernet with nanoseconds, then
 * packets, then exactly one statistics block at the very end; both lengths of a block
 * agree; padding is zero; each list of options has its end and nothing behind it;
 * what is not expected is an error.
 */
#ifndef SLUICE_TESTS_UNIT_PCAPNGCHECK_H
#define SLUICE_TESTS_UNIT_PCAPNGCHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"

/* A packet; its pointers are into the text. */
struct png_packet {
	uint64_t time_ns, lost;
	uint32_t len, orig_len, flags;
	const uint8_t *data;
	char comment[64];
};

/**
 * struct png - a file being read
 * @at:		bytes read
 * @ended:	the statistics block was there; @seen and so on are from it
 */
struct png {
	const uint8_t *p;
	size_t len, at;
	uint32_t snaplen;
	char filter[256], program[64];
	bool ended;
	uint64_t start_ns, end_ns, seen, matched, lost, written;
	char why[128];
};

PRINTF(2, 3) static inline int png_bad(struct png *f, const char *fmt, ...)
{
	int n = snprintf(f->why, sizeof(f->why), "at %zu: ", f->at);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->why + n, sizeof(f->why) - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

/* The next block: its type, or -1; *@body without lengths. */
static inline int64_t png_block(struct png *f, const uint8_t **body, uint32_t *len)
{
	uint32_t total;

	*body = f->p;
	*len = 0;
	if (f->len - f->at < 12)
		return png_bad(f, "half a block");
	total = get_le32(f->p + f->at + 4);
	if (total < 12 || total % 4 || total > f->len - f->at)
		return png_bad(f, "a block of %u bytes", total);
	if (get_le32(f->p + f->at + total - 4) != total)
		return png_bad(f, "its lengths differ");
	*body = f->p + f->at + 8;
	*len = total - 12;
	f->at += total;
	return get_le32(*body - 8);
}

/* The next option: its code, 0 at the end, or -1. */
static inline int png_option(struct png *f, const uint8_t **p, const uint8_t *end,
			     const uint8_t **value, uint16_t *len)
{
	uint16_t code;

	*value = *p;
	*len = 0;
	if (end - *p < 4)
		return png_bad(f, "options without an end");
	code = get_le16(*p);
	*len = get_le16(*p + 2);
	*value = *p + 4;
	if (end - *value < (*len + 3) / 4 * 4)
		return png_bad(f, "option %u is too long", code);
	*p = *value + (*len + 3) / 4 * 4;
	for (const uint8_t *pad = *value + *len; pad < *p; pad++)
		if (*pad)
			return png_bad(f, "padding of option %u", code);
	if (code == 0 && (*len || *p != end))
		return png_bad(f, "something behind the options");
	return code;
}

static inline void png_text(char *out, size_t size, const uint8_t *value, uint16_t len)
{
	snprintf(out, size, "%.*s", (int)len, (const char *)value);
}

static inline uint64_t png_time(const uint8_t *p)
{
	return (uint64_t)get_le32(p) << 32 | get_le32(p + 4);
}

/* Section and interface. 0 or -1 */
static inline int png_begin(struct png *f, const void *p, size_t len)
{
	const uint8_t *b, *end, *v;
	bool resolution = false;
	uint32_t n;
	uint16_t vlen;
	int code;

	*f = (struct png){ .p = p, .len = len };
	if (png_block(f, &b, &n) != 0x0a0d0d0a)
		return png_bad(f, "no section");
	if (n < 16 || get_le32(b) != 0x1a2b3c4d || get_le16(b + 4) != 1 || get_le16(b + 6) != 0 ||
	    get_le64(b + 8) != UINT64_MAX)
		return png_bad(f, "the section");
	end = b + n;
	for (b += 16; (code = png_option(f, &b, end, &v, &vlen)) > 0;) {
		if (code != 4)
			return png_bad(f, "option %d of the section", code);
		png_text(f->program, sizeof(f->program), v, vlen);
	}
	if (code < 0)
		return -1;
	if (png_block(f, &b, &n) != 1)
		return png_bad(f, "no interface");
	if (n < 8 || get_le16(b) != 1 || get_le16(b + 2) != 0)
		return png_bad(f, "the interface");
	f->snaplen = get_le32(b + 4);
	end = b + n;
	for (b += 8; (code = png_option(f, &b, end, &v, &vlen)) > 0;) {
		if (code == 9 && vlen == 1 && v[0] == 9)
			resolution = true;
		else if (code == 11 && vlen > 1 && v[0] == 0)
			png_text(f->filter, sizeof(f->filter), v + 1, vlen - 1);
		else if (code != 2 || vlen != 5 || memcmp(v, "guest", 5) != 0)
			return png_bad(f, "option %d of the interface", code);
	}
	if (code == 0 && !resolution)
		return png_bad(f, "no nanoseconds");
	return code;
}

static inline int png_stats(struct png *f, const uint8_t *b, uint32_t n)
{
	uint64_t *const values[] = {
		[4] = &f->seen, [5] = &f->lost, [6] = &f->matched, [7] = NULL, [8] = &f->written
	};
	const uint8_t *end = b + n, *v;
	uint16_t vlen;
	int code;

	if (n < 12 || get_le32(b) != 0)
		return png_bad(f, "the statistics");
	for (b += 12; (code = png_option(f, &b, end, &v, &vlen)) > 0;) {
		if (vlen != 8)
			return png_bad(f, "option %d of the statistics", code);
		if (code == 2)
			f->start_ns = png_time(v);
		else if (code == 3)
			f->end_ns = png_time(v);
		else if (code < (int)ARRAY_SIZE(values) && values[code])
			*values[code] = get_le64(v);
		else
			return png_bad(f, "option %d of the statistics", code);
	}
	if (code == 0 && f->at != f->len)
		return png_bad(f, "something behind the statistics");
	f->ended = true;
	return code;
}

static inline int png_packet_body(struct png *f, const uint8_t *b, uint32_t n, struct png_packet *k)
{
	const uint8_t *end = b + n, *v;
	uint16_t vlen;
	int code;

	*k = (struct png_packet){ .len = 0 };
	if (n < 20 || get_le32(b) != 0)
		return png_bad(f, "a packet's head");
	k->time_ns = png_time(b + 4);
	k->len = get_le32(b + 12);
	k->orig_len = get_le32(b + 16);
	k->data = b + 20;
	if (k->len > k->orig_len || k->len > f->snaplen || n - 20 < (k->len + 3) / 4 * 4)
		return png_bad(f, "a packet of %u of %u bytes", k->len, k->orig_len);
	for (b = k->data + k->len; b < k->data + (k->len + 3) / 4 * 4; b++)
		if (*b)
			return png_bad(f, "padding of a packet");
	while ((code = png_option(f, &b, end, &v, &vlen)) > 0) {
		if (code == 2 && vlen == 4)
			k->flags = get_le32(v);
		else if (code == 4 && vlen == 8)
			k->lost = get_le64(v);
		else if (code == 1)
			png_text(k->comment, sizeof(k->comment), v, vlen);
		else
			return png_bad(f, "option %d of a packet", code);
	}
	return code < 0 ? -1 : 1;
}

/* The next packet: 1; 0 at the file's end, with its statistics; or -1. */
static inline int png_next(struct png *f, struct png_packet *k)
{
	const uint8_t *b;
	uint32_t n;
	int64_t type;

	if (f->at == f->len)
		return f->ended ? 0 : png_bad(f, "no statistics");
	type = png_block(f, &b, &n);
	if (type == 6)
		return png_packet_body(f, b, n, k);
	if (type == 5)
		return png_stats(f, b, n);
	return type < 0 ? -1 : png_bad(f, "a block of type %lld", (long long)type);
}

#endif
