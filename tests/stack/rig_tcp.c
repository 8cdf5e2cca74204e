/* SPDX-License-Identifier: MIT */
/* A guest's end of a TCP connection. */
#include "tests/stack/rig_tcp.h"

#include <errno.h>

#include "src/base/base.h"

#define SEGMENT_MAX 60000

/* Frames that a guest can send before its ring is full. */
#define RIG_TX_BATCH 256

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/**
 * rig_conn_init() - a connection to the host's loopback: MSS 1460, scale 7, 1 MiB of window
 */
void rig_conn_init(struct rig_conn *c, struct rig *r, uint16_t sport, uint16_t dport)
{
	*c = (struct rig_conn){
		.r = r,
		.dst = RIG_GATEWAY,
		.sport = sport,
		.dport = dport,
		.iss = (uint32_t)rig_random(r),
		.mss = (uint16_t)(rig_config(r)->stack.mtu - 40),
		.wscale = 7,
		.window = 1U << 20,
		.auto_ack = true,
		.rx_seed = 1000U + sport,
		.tx_seed = 2000U + sport,
		.group = c,
		.group_size = 1,
	};
}

/**
 * rig_conn_init6() - the same over IPv6
 */
void rig_conn_init6(struct rig_conn *c, struct rig *r, uint16_t sport, uint16_t dport)
{
	rig_conn_init(c, r, sport, dport);
	c->v6 = true;
	c->dst6 = rig_config(r)->stack.gateway6;
	c->mss = (uint16_t)(rig_config(r)->stack.mtu - 60);
}

/* A SACK option with what came last in front; the ranges may touch, as a guest may have it. */
static uint32_t sack_option(const struct rig_conn *c, uint8_t *opt)
{
	uint32_t n = MIN(c->early_count, 4U);

	if (n == 0)
		return 0;
	put_be32(opt, 0x01010500U | (2 + 8 * n));
	for (uint32_t i = 0; i < n; i++) {
		put_be32(opt + 4 + 8 * i, c->early[c->early_count - 1 - i].from);
		put_be32(opt + 8 + 8 * i, c->early[c->early_count - 1 - i].to);
	}
	return 4 + 8 * n;
}

/**
 * rig_conn_segment() - any segment; ACK and window as they stand
 */
enum tx_verdict rig_conn_segment(struct rig_conn *c, uint8_t flags, uint32_t seq, const void *data,
				 uint32_t len)
{
	uint32_t scale = c->wscale > 0 && !(flags & RIG_SYN) ? (uint32_t)MIN(c->wscale, 14) : 0;
	struct offload off = { .needs_csum = true };
	struct rig_tcp_seg seg = {
		.dst = c->dst,
		.dst6 = c->v6 ? &c->dst6 : NULL,
		.sport = c->sport,
		.dport = c->dport,
		.seq = seq,
		.ack = flags & RIG_ACK ? c->rcv_nxt : 0,
		.flags = flags,
		.window = (uint16_t)MIN(c->window >> scale, 65535U),
	};
	uint8_t opts[12] = { 2, 4, 0, 0, 1, 3, 3, 0, 1, 1, 4, 2 }, sack[36];

	put_be16(opts + 2, c->mss);
	opts[7] = (uint8_t)c->wscale;
	if (flags & RIG_SYN) {
		seg.opts = c->mss ? opts : opts + 4;
		seg.opts_len = (c->mss ? 4 : 0) + (c->wscale >= 0 ? 4 : 0);
		if (c->sack) {
			memcpy(opts + seg.opts_len + (c->mss ? 0 : 4), opts + 8, 4);
			seg.opts_len += 4;
		}
	} else if (len == 0 && c->sack && c->peer_sack) {
		seg.opts = sack;
		seg.opts_len = sack_option(c, sack);
	} else if (len > rig_config(c->r)->stack.mtu - (c->v6 ? 60U : 40U)) {
		off.gso = c->v6 ? GSO_TCP6 : GSO_TCP4;
		off.gso_size = c->mss;
		seg.off = &off;
	}
	return rig_send_tcp(c->r, &seg, data, len);
}

void rig_conn_syn(struct rig_conn *c)
{
	c->snd_una = c->iss;
	c->snd_nxt = c->snd_max = c->iss + 1;
	rig_conn_segment(c, RIG_SYN, c->iss, NULL, 0);
}

void rig_conn_ack(struct rig_conn *c)
{
	rig_conn_segment(c, RIG_ACK, c->snd_nxt, NULL, 0);
}

/**
 * rig_conn_open() - the whole handshake
 * @listener:	where it arrives
 *
 * Return: the server's socket
 */
int rig_conn_open(struct rig_conn *c, int listener)
{
	int fd;

	rig_conn_syn(c);
	rig_cycle(c->r);
	RIG_CONN_UNTIL(c, c->synack);
	rig_conn_ack(c);
	fd = rig_accept(c->r, listener);
	rig_cycle(c->r);
	return fd;
}

/**
 * rig_conn_open_all() - @n connections, whose frames come together, whoever polls
 * @c, @fd:	arrays of @n; out: both ends
 * @sport:	of the first
 * @dport:	where @listener is
 */
void rig_conn_open_all(struct rig_conn *c, int *fd, uint32_t n, struct rig *r, uint16_t sport,
		       uint16_t dport, int listener)
{
	for (uint32_t i = 0; i < n; i++) {
		rig_conn_init(&c[i], r, (uint16_t)(sport + i), dport);
		c[i].group = c;
		c[i].group_size = i + 1;
		fd[i] = rig_conn_open(&c[i], listener);
	}
	for (uint32_t i = 0; i < n; i++)
		c[i].group_size = n;
}

static void got_synack(struct rig_conn *c, const struct rig_pkt *p)
{
	assert_int_equal(p->ack, c->iss + 1);
	c->synack = true;
	c->irs = p->seq;
	c->rcv_nxt = p->seq + 1;
	c->peer_mss = p->mss;
	c->peer_wscale = p->wscale;
	c->peer_sack = p->sack_ok;
	c->snd_una = p->ack;
	c->edge = p->ack + p->window;
	/* Scaling is used only if both have offered it. */
	assert_true(c->wscale >= 0 || p->wscale < 0);
	assert_int_equal(p->sack_ok, c->sack);
}

static void check_sack(const struct rig_conn *c, const struct rig_pkt *p)
{
	assert_true(p->sack_count == 0 || (c->sack && c->peer_sack && p->payload_len == 0));
	for (uint32_t i = 0; i < p->sack_count; i++) {
		const uint32_t *b = p->sack[i];
		bool dup = i == 0 && !before(p->ack, b[1]);

		assert_true(before(b[0], b[1]));
		assert_false(before(c->snd_max, b[1]));
		assert_true(dup || before(p->ack, b[0]));
		for (uint32_t j = dup ? 1 : 0; j < i && i > 0; j++)
			assert_false(before(b[0], p->sack[j][1]) && before(p->sack[j][0], b[1]));
	}
}

static void got_ack(struct rig_conn *c, const struct rig_pkt *p)
{
	uint32_t scale = c->wscale >= 0 && c->peer_wscale > 0 ? (uint32_t)c->peer_wscale : 0;
	uint32_t edge = p->ack + ((uint32_t)p->window << scale);

	assert_false(before(c->snd_max, p->ack)); /* nothing unsent */
	assert_false(before(p->ack, c->snd_una)); /* no way back */
	assert_false(before(edge, c->edge));	  /* H38 */
	check_sack(c, p);
	c->snd_una = p->ack;
	c->edge = edge;
	if (before(c->snd_nxt, p->ack)) {
		/* Gone back, and then ACKed beyond: the stream goes on from there. */
		c->tx_bytes += p->ack - c->snd_nxt - (c->fin_sent && p->ack == c->snd_max);
		c->snd_nxt = p->ack;
	}
}

/* What came early and is now in turn. */
static void advance(struct rig_conn *c)
{
	for (uint32_t i = 0; i < c->early_count; i++) {
		struct rig_range *e = &c->early[i];

		if (before(c->rcv_nxt, e->from))
			continue;
		if (before(c->rcv_nxt, e->to)) {
			c->rx_bytes += e->to - c->rcv_nxt;
			c->rcv_nxt = e->to;
		}
		*e = c->early[--c->early_count];
		i = UINT32_MAX; /* from the start again */
	}
}

/* Every byte is compared when it comes; what is early is kept in mind, as a guest would. */
static void got_payload(struct rig_conn *c, const struct rig_pkt *p)
{
	uint32_t end = p->seq + p->payload_len;
	/* A FIN takes a number of its own and is no byte. */
	uint64_t at = c->rx_bytes + (uint64_t)(int64_t)(int32_t)(p->seq - (c->rcv_nxt - c->fin));

	c->frames++;
	c->gso_frames += p->off.gso != GSO_NONE;
	c->max_payload = MAX(c->max_payload, p->payload_len);
	if (c->keep) {
		assert_true(at + p->payload_len <= c->keep_max);
		memcpy(c->keep + at, p->payload, p->payload_len);
	} else {
		rig_pattern_check(p->payload, p->payload_len, c->rx_seed, at);
	}
	if (!before(c->rcv_nxt, end))
		return;
	assert_true(c->early_count < RIG_EARLY_MAX);
	c->early[c->early_count++] = (struct rig_range){ p->seq, end };
	advance(c);
}

/**
 * rig_conn_input() - a frame for this connection; rig_conn_poll() finds the right one
 */
void rig_conn_input(struct rig_conn *c, const struct rig_pkt *p)
{
	c->last = *p;
	if (p->flags & RIG_RST) {
		c->rst = true;
		return;
	}
	assert_true(p->flags & RIG_ACK);
	if (p->flags & RIG_SYN) {
		got_synack(c, p);
		return;
	}
	got_ack(c, p);
	c->acks += p->payload_len == 0 && !(p->flags & RIG_FIN);
	if (p->payload_len && (c->lose || (c->loss && rig_random(c->r) % 100 < c->loss))) {
		c->lose -= c->lose > 0;
		c->lost++;
		return;
	}
	if (p->payload_len)
		got_payload(c, p);
	if (p->flags & RIG_FIN && p->seq + p->payload_len == c->rcv_nxt && !c->fin) {
		c->fin = true;
		c->rcv_nxt++;
	}
	/* Whatever takes sequence space is ACKed, also what was known or out of order. */
	if (c->auto_ack && (p->payload_len || p->flags & RIG_FIN))
		rig_conn_ack(c);
	else if (c->auto_ack && before(p->seq, c->rcv_nxt))
		rig_conn_ack(c); /* a probe */
}

/**
 * rig_conn_poll() - every frame that waits goes to the connection it belongs to
 *
 * Frames of no connection of the group fail the test.
 */
void rig_conn_poll(struct rig_conn *c)
{
	struct rig_pkt p;

	while (rig_pop(c->r, &p)) {
		struct rig_conn *to = c->group, *end = to + c->group_size;

		assert_int_equal(p.proto, PROTO_TCP);
		while (to < end && !(to->sport == p.dport && to->dport == p.sport))
			to++;
		assert_true(to < end);
		rig_conn_input(to, &p);
	}
}

/**
 * rig_conn_cycle() - one cycle, and the guest takes what has come
 */
void rig_conn_cycle(struct rig_conn *c)
{
	rig_cycle(c->r);
	rig_conn_poll(c);
}

/**
 * rig_conn_room() - bytes that the window lets the guest send now
 */
uint32_t rig_conn_room(const struct rig_conn *c)
{
	return before(c->snd_nxt, c->edge) ? c->edge - c->snd_nxt : 0;
}

/**
 * rig_conn_send() - the next @len bytes of the stream, in one segment
 */
void rig_conn_send(struct rig_conn *c, uint32_t len)
{
	uint8_t data[SEGMENT_MAX];

	assert_true(len <= sizeof(data));
	rig_pattern(data, len, c->tx_seed, c->tx_bytes);
	rig_conn_send_bytes(c, data, len);
}

/**
 * rig_conn_send_bytes() - the same with bytes of the test's own
 */
void rig_conn_send_bytes(struct rig_conn *c, const void *data, uint32_t len)
{
	rig_conn_segment(c, RIG_ACK | RIG_PSH, c->snd_nxt, data, len);
	c->snd_nxt += len;
	c->tx_bytes += len;
	if (before(c->snd_max, c->snd_nxt))
		c->snd_max = c->snd_nxt;
}

void rig_conn_fin(struct rig_conn *c)
{
	rig_conn_segment(c, RIG_ACK | RIG_FIN, c->snd_nxt, NULL, 0);
	c->fin_sent = true;
	c->snd_nxt++;
	c->snd_max = c->snd_nxt;
}

/**
 * rig_conn_upload() - send as far as the window goes, up to byte @total of the stream
 * @size:	of each segment
 */
void rig_conn_upload(struct rig_conn *c, uint64_t total, uint32_t size)
{
	for (uint32_t i = 0; i < RIG_TX_BATCH && c->tx_bytes < total; i++) {
		uint32_t len = (uint32_t)MIN((uint64_t)size, total - c->tx_bytes);

		if (rig_conn_room(c) < len)
			return;
		rig_conn_send(c, len);
	}
}

/**
 * rig_conn_resend() - the guest's retransmission timer: back to the first byte not ACKed
 */
void rig_conn_resend(struct rig_conn *c)
{
	c->tx_bytes -= c->snd_nxt - c->snd_una;
	c->snd_nxt = c->snd_una;
	c->resends++;
}

/**
 * rig_conn_acked() - everything sent so far is ACKed
 */
bool rig_conn_acked(const struct rig_conn *c)
{
	return c->snd_una == c->snd_max;
}

/**
 * rig_pump_write() - the server writes what its socket takes now, up to byte @total
 */
void rig_pump_write(int fd, uint64_t seed, uint64_t *pos, uint64_t total)
{
	uint8_t buf[16384];

	while (*pos < total) {
		size_t len = (size_t)MIN((uint64_t)sizeof(buf), total - *pos);
		ssize_t n;

		rig_pattern(buf, len, seed, *pos);
		n = send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		assert_true(n > 0 || errno == EAGAIN);
		if (n <= 0)
			return;
		*pos += (uint64_t)n;
	}
}

/**
 * rig_pump_read() - the server reads what is there, and compares it
 */
void rig_pump_read(int fd, uint64_t seed, uint64_t *pos)
{
	uint8_t buf[65536];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		rig_pattern_check(buf, (size_t)n, seed, *pos);
		*pos += (uint64_t)n;
	}
	assert_true(n == 0 || errno == EAGAIN);
}
