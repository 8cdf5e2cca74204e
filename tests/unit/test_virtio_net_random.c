/* SPDX-License-Identifier: MIT */
/*
 * virtio-net under a random driver, seeded. The stack sends every frame back.
 *
 * A driver that makes mistakes among good chains: each chain comes back exactly
 * once, a bad one with length 0, and every good frame returns whole and in
 * order. A driver that writes rubbish: nothing crashes (meant for the
 * sanitizers), and a reset always brings the device back.
 */
#include "tests/unit/vnetrig.h"

#define STEPS	 200000
#define FRAMES	 512 /* under way, at most */
#define FRAME_AT 8192
#define LEN_MAX	 3000

static uint64_t rng;

static uint32_t rnd(uint32_t below)
{
	/* xorshift64* */
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return (uint32_t)((rng * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

struct echo {
	uint32_t len, seed, token;
	bool held;
};

/*
 * @sent, @taken, @echoed, @got: good frames that the driver has sent, the stack
 * has been given, has sent back, and the driver has received; free-running
 * @tx_out, @rx_out: by head, chains that are the device's; @bad: and must come
 * back with length 0
 */
struct game {
	struct rig *r;
	struct echo frames[FRAMES];
	uint32_t sent, taken, echoed, got;
	bool tx_out[QSIZE], rx_out[QSIZE], rx_bad[QSIZE];
	uint32_t tx_count, rx_count;
	uint64_t bad;
};

static struct game *game;

static uint8_t byte_of(const struct echo *e, uint32_t i)
{
	return pattern(e->seed * 977 + i);
}

static void check_input(struct stack *st, const struct tx_frame *f)
{
	struct echo *e = &game->frames[game->taken++ % FRAMES];
	uint32_t at = 0;

	assert_true(game->taken - 1 < game->sent);
	assert_int_equal(f->len, e->len);
	for (uint32_t i = 0; i < f->iovcnt; i++)
		for (size_t k = 0; k < f->iov[i].iov_len; k++)
			assert_int_equal(((const uint8_t *)f->iov[i].iov_base)[k],
					 byte_of(e, at++));
	e->token = f->token;
	e->held = rnd(3) == 0;
	st->verdict = e->held ? TX_HELD : TX_DONE;
}

/* --- the driver ----------------------------------------------------------- */

static void send_good(struct game *g)
{
	struct rig *r = g->r;
	struct echo e = { .len = 14 + rnd(LEN_MAX - 13), .seed = g->sent };
	uint32_t left = HDR + e.len, at = 0;
	struct vdesc b[8];
	uint16_t n = 0;
	uint64_t gpa;
	uint8_t *p;
	int head;

	if (g->sent - g->got >= FRAMES)
		return;
	gpa = r->tx_buf + (g->sent % FRAMES) * (uint64_t)FRAME_AT;
	while (n < 7 && left > 1 && rnd(3)) {
		uint32_t part = rnd(4) ? rnd(left) : 0; /* also none */

		b[n++] = (struct vdesc){ gpa + at, part, false };
		at += part;
		left -= part;
	}
	b[n++] = (struct vdesc){ gpa + at, left, false };
	head = vdq_chain(&r->tx, b, n, rnd(2));
	if (head < 0)
		return;
	p = vdriver_ptr(&r->drv, gpa);
	memset(p, 0, HDR);
	for (uint32_t i = 0; i < e.len; i++)
		p[HDR + i] = byte_of(&e, i);
	g->frames[g->sent++ % FRAMES] = e;
	g->tx_out[head] = true;
	g->tx_count++;
	vdq_offer(&r->tx, (uint16_t)head);
	vdq_show(&r->tx);
}

static void send_bad(struct game *g)
{
	struct rig *r = g->r;
	struct vdesc b[2] = { { r->misc, 100, false }, { r->misc, 100, false } };
	int head, kind = (int)rnd(6);
	struct vring_desc *last;

	if (kind == 0)
		b[1].gpa = UINT64_MAX - rnd(4096);
	else if (kind == 1)
		b[1].write = true;
	else if (kind == 2)
		b[0].len = b[1].len = rnd(13);
	else if (kind == 3)
		b[0].gpa = r->misc + 4096; /* a header that makes no sense */
	head = vdq_chain(&r->tx, b, 2, false);
	if (head < 0)
		return;
	last = &r->tx.desc[r->tx.next[head]];
	if (kind == 4) {
		last->flags = VRING_DESC_F_NEXT;
		last->next = (uint16_t)head;
	} else if (kind == 5) {
		last->flags = VRING_DESC_F_NEXT;
		last->next = (uint16_t)(QSIZE + rnd(1000));
	}
	g->tx_out[head] = true;
	g->tx_count++;
	g->bad++;
	vdq_offer(&r->tx, (uint16_t)head);
	vdq_show(&r->tx);
}

static void post_rx(struct game *g)
{
	struct rig *r = g->r;
	bool bad = rnd(20) == 0;
	struct vdesc b[3];
	uint16_t n = (uint16_t)(1 + rnd(3));
	int head;

	for (uint16_t i = 0; i < n; i++)
		b[i] = (struct vdesc){ 0, (bad ? 1 : 12) + rnd(bad ? 3 : 1500), true };
	if (bad && rnd(2))
		b[n - 1].write = false;
	if (r->rx.nfree < n)
		return;
	/* Each descriptor has its own memory, so that no two chains share any. */
	for (uint16_t i = 0; i < n; i++)
		b[i].gpa = r->rx_buf +
			   (r->rx.free[r->rx.nfree - 1] * 4ULL + i) * (uint64_t)FRAME_AT;
	head = vdq_chain(&r->rx, b, n, n > 1);
	assert_true(head >= 0);
	g->rx_out[head] = true;
	g->rx_bad[head] = bad;
	g->rx_count++;
	vdq_offer(&r->rx, (uint16_t)head);
	vdq_show(&r->rx);
}

static void reap_tx(struct game *g)
{
	uint16_t head;
	uint32_t len;

	while (vdq_take(&g->r->tx, &head, &len)) {
		assert_true(g->tx_out[head]);
		assert_int_equal(len, 0);
		g->tx_out[head] = false;
		g->tx_count--;
	}
}

/* Append the first @len bytes of chain @head to @bytes. */
static uint32_t append_chain(struct game *g, uint16_t head, uint32_t len, uint8_t *bytes)
{
	const struct vring_desc *d = &g->r->rx.desc[head];
	uint32_t total = 0;

	if (d->flags & VRING_DESC_F_INDIRECT)
		d = vdriver_ptr(&g->r->drv, d->addr);
	for (;; d++) {
		uint32_t n = MIN(len - total, d->len);

		memcpy(bytes + total, vdriver_ptr(&g->r->drv, d->addr), n);
		total += n;
		if (!(d->flags & VRING_DESC_F_NEXT))
			break;
	}
	assert_int_equal(total, len);
	return total;
}

static void reap_rx(struct game *g)
{
	static uint8_t bytes[HDR + LEN_MAX + 8192];
	uint32_t total = 0, buffers = 0, len;
	uint16_t head;

	while (vdq_take(&g->r->rx, &head, &len)) {
		const struct echo *e = &g->frames[g->got % FRAMES];

		assert_true(g->rx_out[head]);
		g->rx_out[head] = false;
		g->rx_count--;
		if (g->rx_bad[head]) {
			assert_int_equal(len, 0);
			continue;
		}
		assert_true(len > 0 && len <= sizeof(bytes) - total);
		total += append_chain(g, head, len, bytes + total);
		if (!buffers)
			buffers = ((const struct virtio_net_hdr_v1 *)(const void *)bytes)
					  ->num_buffers;
		if (--buffers)
			continue;
		assert_true(g->got < g->echoed);
		assert_int_equal(total, HDR + e->len);
		for (uint32_t i = 0; i < e->len; i++)
			assert_int_equal(bytes[HDR + i], byte_of(e, i));
		g->got++;
		total = 0;
	}
	assert_int_equal(total, 0);
}

/* --- the stack ------------------------------------------------------------ */

static void fill(const struct rx_frame *f, const struct echo *e)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < f->iovcnt; i++)
		for (size_t k = 0; k < f->iov[i].iov_len && at < e->len; k++)
			((uint8_t *)f->iov[i].iov_base)[k] = byte_of(e, at++);
	assert_int_equal(at, e->len);
}

/* Send back what has been taken, several frames under construction at a time. */
static void echo(struct game *g)
{
	static const struct offload none;
	struct stack *st = &g->r->st;
	struct rx_frame f[8];
	uint32_t n = 0, commit;

	while (n < ARRAY_SIZE(f) && g->echoed + n < g->taken) {
		const struct echo *e = &g->frames[(g->echoed + n) % FRAMES];

		if (st->ops->rx_alloc(st->ctx, e->len + rnd(3000), &f[n]))
			break;
		fill(&f[n], e);
		n++;
	}
	commit = n ? rnd(n + 1) : 0;
	for (uint32_t i = 0; i < commit; i++) {
		struct echo *e = &g->frames[g->echoed++ % FRAMES];

		st->ops->rx_commit(st->ctx, &f[i], e->len, &none);
		if (e->held)
			st->ops->tx_done(st->ctx, e->token);
		e->held = false;
	}
	st->ops->rx_rewind(st->ctx);
}

static void cycle(struct game *g)
{
	vnet_tx_drain(g->r->v);
	vnet_ctrl_drain(g->r->v);
	echo(g);
	vnet_publish(g->r->v);
	if (rnd(4) == 0)
		vnet_notify_on(g->r->v);
}

static void every_good_frame_returns(void **state)
{
	struct game *g = calloc(1, sizeof(*g));

	(void)state;
	rng = 0x5157c0ffee;
	g->r = begin(ALL);
	game = g;
	memset(vdriver_ptr(&g->r->drv, g->r->misc + 4096), 0xff, HDR);
	g->r->st.on_input = check_input;
	for (int step = 0; step < STEPS; step++) {
		switch (rnd(12)) {
		case 0 ... 3:
			send_good(g);
			break;
		case 4:
			send_bad(g);
			break;
		case 5 ... 7:
			post_rx(g);
			break;
		case 8:
			reap_tx(g);
			break;
		case 9:
			reap_rx(g);
			break;
		default:
			cycle(g);
		}
	}
	/* Let all of it come home. */
	for (int i = 0; i < 100000 && (g->got < g->sent || g->tx_count); i++) {
		post_rx(g);
		cycle(g);
		reap_tx(g);
		reap_rx(g);
	}
	assert_int_equal(g->got, g->sent);
	assert_int_equal(g->tx_count, 0);
	assert_true(g->sent > STEPS / 20 && g->bad > STEPS / 100);
	assert_int_equal(g->r->broken, 0);
	print_message("%u frames both ways, %llu bad chains\n", g->sent,
		      (unsigned long long)g->bad);
	end(g->r);
	free(g);
}

/* --- rubbish --------------------------------------------------------------- */

static void keep_all(struct stack *st, const struct tx_frame *f)
{
	(void)f;
	st->verdict = rnd(2) ? TX_DONE : TX_HELD;
}

/* A few random bytes, most of them near numbers that matter. */
static void scribble(struct rig *r, struct vdqueue *q)
{
	static const uint32_t magic[] = { 0,	 1,  2,	   12,	   14,	       16,	  QSIZE - 1,
					  QSIZE, 64, 4096, 0xffff, 0x7fffffff, 0xffffffff };
	struct vring_desc *d = &q->desc[rnd(QSIZE)];
	uint16_t head = (uint16_t)rnd(QSIZE);
	uint64_t buf = q == &r->rx ? r->rx_buf : r->tx_buf;

	switch (rnd(16)) {
	case 0:
		d->addr = rnd(2) ? buf + rnd(65536)
				 : magic[rnd(ARRAY_SIZE(magic))] * 1ULL << rnd(33);
		break;
	case 1:
		d->len = magic[rnd(ARRAY_SIZE(magic))];
		break;
	case 2:
		d->flags = (uint16_t)(rnd(4) ? rnd(8) : rnd(65536));
		break;
	case 3:
		d->next = (uint16_t)rnd(rnd(8) ? QSIZE : 65536);
		break;
	case 4:
	case 9:
		q->avail->idx = (uint16_t)(rnd(256) ? q->avail->idx + 1U : rnd(65536));
		break;
	case 5:
		q->avail->ring[rnd(QSIZE)] = rnd(256) ? head : (uint16_t)rnd(65536);
		break;
	case 6:
		*d = (struct vring_desc){ r->tx_buf + rnd(4096), 16 * rnd(QSIZE + 2),
					  VRING_DESC_F_INDIRECT, 0 };
		break;
	case 7:
		*(struct vring_desc *)vdriver_ptr(&r->drv, r->tx_buf + 16ULL * rnd(256)) =
			(struct vring_desc){ buf + rnd(65536), rnd(3000), (uint16_t)rnd(8),
					     (uint16_t)rnd(QSIZE) };
		break;
	default:
		*d = (struct vring_desc){ buf + rnd(65536), rnd(3000),
					  (uint16_t)(q == &r->rx ? 2 : 0), 0 };
	}
}

static void rubbish_cycle(struct rig *r, uint32_t *inputs, uint32_t *commits)
{
	static const struct offload none;
	struct stack *st = &r->st;
	uint32_t before = st->nseen, want = 14 + rnd(5000);
	struct rx_frame f;

	vnet_tx_drain(r->v);
	vnet_ctrl_drain(r->v);
	*inputs += st->nseen - before;
	if (!st->ops->rx_alloc(st->ctx, want, &f)) {
		for (uint32_t i = 0; i < f.iovcnt; i++)
			memset(f.iov[i].iov_base, 0x77, f.iov[i].iov_len);
		st->ops->rx_commit(st->ctx, &f, want, &none);
		++*commits;
	}
	vnet_publish(r->v);
	vnet_notify_on(r->v);
}

static void rubbish_crashes_nothing(void **state)
{
	struct rig *r = begin(ALL);
	struct vdqueue *q[] = { &r->rx, &r->tx, &r->ctrl };
	uint32_t inputs = 0, commits = 0, lives = 0;

	(void)state;
	rng = 0xdecafbad;
	r->st.on_input = keep_all;
	for (int step = 0; step < STEPS; step++) {
		scribble(r, q[rnd(3)]);
		if (rnd(4))
			continue;
		rubbish_cycle(r, &inputs, &commits);
		if (!r->broken && rnd(200))
			continue;
		vnet_stop(r->v, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(q); i++) {
			q[i]->avail->idx = 0;
			q[i]->used->idx = 0;
		}
		r->broken = 0;
		lives++;
		assert_int_equal(vnet_start(r->v, &r->start), 0);
	}
	/* H83: it must have got somewhere, or it tests nothing. */
	print_message("%u frames in, %u out, %u lives\n", inputs, commits, lives);
	assert_true(inputs > 500 && commits > 500 && lives > 100);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_good_frame_returns),
		cmocka_unit_test(rubbish_crashes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
