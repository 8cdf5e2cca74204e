/* SPDX-License-Identifier: MIT */
/* Options of a guest's segments, RFC 9293 3.2, RFC 7323 and RFC 2018. */
#include "tcpstack/tcp.h"

#define OPT_END	   0
#define OPT_NOP	   1
#define OPT_MSS	   2
#define OPT_WSCALE 3
#define OPT_SACKOK 4
#define OPT_SACK   5

/* The next option but NOPs: its body, with the kind and the body's length; NULL = no more. */
static const uint8_t *next_option(struct cursor *c, uint8_t *kind, uint32_t *len)
{
	const uint8_t *k, *size;

	while ((k = cursor_pull(c, 1)) && *k != OPT_END) {
		if (*k == OPT_NOP)
			continue;
		size = cursor_pull(c, 1);
		if (!size || *size < 2)
			return NULL;
		*kind = *k;
		*len = *size - 2U;
		return cursor_pull(c, *len);
	}
	return NULL;
}

/**
 * tcp_parse_options() - read what we use of a SYN's options; any thread
 * @opt:	private copy of the option bytes
 * @len:	how many, 0..40
 * @out:	overwritten
 *
 * Options of the wrong length are skipped; a length that leads out of the
 * header ends the list. Values are as sent.
 */
void tcp_parse_options(const uint8_t *opt, uint32_t len, struct tcp_options *out)
{
	struct cursor c = { opt, len };
	const uint8_t *body;
	uint32_t size;
	uint8_t kind;

	*out = (struct tcp_options){ .mss = 0 };
	while ((body = next_option(&c, &kind, &size))) {
		if (kind == OPT_MSS && size == 2) {
			out->mss = get_be16(body);
		} else if (kind == OPT_WSCALE && size == 1) {
			out->wscale = *body;
			out->has_wscale = true;
		} else if (kind == OPT_SACKOK && size == 0) {
			out->sack_permitted = true;
		}
	}
}

/**
 * tcp_parse_sack() - the blocks of a segment's SACK option; any thread
 * @opt:	private copy of the option bytes
 * @len:	how many, 0..40
 * @blocks:	receives up to TCP_SACK_BLOCKS, as sent
 *
 * Return: how many; 0 without the option, or when its length is wrong
 */
uint32_t tcp_parse_sack(const uint8_t *opt, uint32_t len, struct tcp_range *blocks)
{
	struct cursor c = { opt, len };
	const uint8_t *body;
	uint32_t size, n = 0;
	uint8_t kind;

	while ((body = next_option(&c, &kind, &size)) && kind != OPT_SACK)
		;
	if (!body || size % 8)
		return 0;
	for (; n < size / 8 && n < TCP_SACK_BLOCKS; n++, body += 8)
		blocks[n] = (struct tcp_range){ get_be32(body), get_be32(body + 4) };
	return n;
}
