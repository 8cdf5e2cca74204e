/* SPDX-License-Identifier: MIT */
/*
 * What the guest says it has got out of turn (RFC 2018), and so what it lacks.
 *
 * Theory of operation: a sorted list of ranges above snd_una that is too short for
 * a wild guest and long enough for a link that loses one frame in a hundred. A range
 * for which there is no place is forgotten: it is sent again needlessly, no more. On a
 * retransmission timeout all is forgotten, for a guest may have changed its mind
 * (RFC 2018 8).
 */
#include "tcpstack/tcp.h"

/* Ranges that touch or cross @r become one with it, at index @i. */
static void merge(struct sack_board *b, uint32_t i, const struct tcp_range *r)
{
	uint32_t last = i;

	b->range[i].from = seq_lt(r->from, b->range[i].from) ? r->from : b->range[i].from;
	b->range[i].to = seq_gt(r->to, b->range[i].to) ? r->to : b->range[i].to;
	while (last + 1 < b->count && seq_leq(b->range[last + 1].from, b->range[i].to))
		last++;
	if (last == i)
		return;
	if (seq_gt(b->range[last].to, b->range[i].to))
		b->range[i].to = b->range[last].to;
	memmove(&b->range[i + 1], &b->range[last + 1], (b->count - last - 1) * sizeof(b->range[0]));
	b->count -= last - i;
}

static bool add(struct sack_board *b, const struct tcp_range *r)
{
	uint32_t i = 0;

	while (i < b->count && seq_lt(b->range[i].to, r->from))
		i++;
	if (i < b->count && seq_leq(b->range[i].from, r->to)) {
		if (seq_leq(b->range[i].from, r->from) && seq_geq(b->range[i].to, r->to))
			return false;
		merge(b, i, r);
		return true;
	}
	if (b->count == TCP_SACKED_MAX)
		return false;
	memmove(&b->range[i + 1], &b->range[i], (b->count - i) * sizeof(b->range[0]));
	b->range[i] = *r;
	b->count++;
	return true;
}

/**
 * tcp_sack_input() - the blocks of a segment whose ACK was found valid
 *
 * Blocks below snd_una (RFC 2883: duplicates) and beyond what was sent are ignored.
 * Return: true when they tell something new.
 */
bool tcp_sack_input(struct tcp_flow *fl, const struct tcp_seg *s)
{
	struct tcp_range blocks[TCP_SACK_BLOCKS];
	uint32_t n = fl->sack && s->opt_len ? tcp_parse_sack(s->opt, s->opt_len, blocks) : 0;
	bool news = false;

	for (uint32_t i = 0; i < n; i++) {
		if (seq_lt(blocks[i].from, blocks[i].to) && seq_gt(blocks[i].from, fl->snd_una) &&
		    seq_leq(blocks[i].to, fl->snd_max))
			news |= add(&fl->sacked, &blocks[i]);
	}
	return news;
}

/**
 * tcp_sack_acked() - snd_una has moved: ranges below it say nothing any more
 */
void tcp_sack_acked(struct tcp_flow *fl)
{
	struct sack_board *b = &fl->sacked;
	uint32_t gone = 0;

	while (gone < b->count && seq_leq(b->range[gone].from, fl->snd_una))
		gone++;
	b->count -= gone;
	memmove(b->range, b->range + gone, b->count * sizeof(b->range[0]));
}

/**
 * tcp_sack_bytes() - how many the guest has out of turn
 */
uint32_t tcp_sack_bytes(const struct tcp_flow *fl)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < fl->sacked.count; i++)
		n += fl->sacked.range[i].to - fl->sacked.range[i].from;
	return n;
}

/**
 * tcp_sack_hole() - the first range from @from on that the guest lacks
 *
 * Only what lies below something that it has: the rest may be on its way.
 * Return: false when there is none.
 */
bool tcp_sack_hole(const struct tcp_flow *fl, uint32_t from, struct tcp_range *hole)
{
	const struct sack_board *b = &fl->sacked;

	for (uint32_t i = 0; i < b->count; i++) {
		if (seq_lt(from, b->range[i].from)) {
			*hole = (struct tcp_range){ from, b->range[i].from };
			return true;
		}
		if (seq_lt(from, b->range[i].to))
			from = b->range[i].to;
	}
	return false;
}
