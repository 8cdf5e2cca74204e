/* SPDX-License-Identifier: MIT */
/* Options of a guest's SYN, RFC 9293 3.2 and RFC 7323. */
#include "tcpstack/tcp.h"

#define OPT_END	   0
#define OPT_NOP	   1
#define OPT_MSS	   2
#define OPT_WSCALE 3
#define OPT_SACK   4

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
	const uint8_t *kind, *size, *body;

	*out = (struct tcp_options){ .mss = 0 };
	while ((kind = cursor_pull(&c, 1)) && *kind != OPT_END) {
		if (*kind == OPT_NOP)
			continue;
		size = cursor_pull(&c, 1);
		if (!size || *size < 2)
			return;
		body = cursor_pull(&c, *size - 2U);
		if (!body)
			return;
		if (*kind == OPT_MSS && *size == 4) {
			out->mss = get_be16(body);
		} else if (*kind == OPT_WSCALE && *size == 3) {
			out->wscale = *body;
			out->has_wscale = true;
		} else if (*kind == OPT_SACK && *size == 2) {
			out->sack_permitted = true;
		}
	}
}
