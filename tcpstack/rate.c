/* SPDX-License-Identifier: MIT */
/*
 * Pacing in both directions, without loss.
 *
 * Theory of operation. What passes is counted anyway: a bucket follows the
 * counters of frames and bytes, and is charged for what they have gained since it
 * was last looked at. So nothing on the way of a frame knows of rates, and what
 * was given up half-way (EAGAIN, a ring that was full) was never charged (H59).
 *
 * Guest to host: when the bucket is empty the port takes no more from the transmit
 * ring (stack_tx_may()), and the guest's own queues fill. Host to guest: TCP and
 * UDP find no room in the receive ring (stack_rx_alloc()) and do what they do when
 * it is full; the bytes wait in the sockets, whose windows close. What we originate
 * (ACKs, ARP, DNS) is charged but never waits. A timer wakes whoever waits when
 * there are tokens again.
 *
 * One frame may be longer than what is left: the bucket goes into debt, and the
 * next one waits the longer. A guest's frame that is dropped because its socket is
 * full is refunded: it will be sent again.
 */
#include "tcpstack/rate.h"

#include <errno.h>

#include "src/base/clock.h"
#include "tcpstack/priv.h"

static void bucket_set(struct bucket *b, uint64_t rate, uint64_t least, uint32_t burst_ms,
		       uint64_t now, uint64_t counter)
{
	bool fresh = b->rate == 0;

	b->rate = rate;
	b->burst = (int64_t)MAX(rate * burst_ms / 1000, least);
	b->tokens = fresh ? b->burst : MIN(b->tokens, b->burst);
	if (fresh) {
		b->last_ns = now;
		b->seen = counter;
	}
}

/* Charge what has passed, gain what time has brought. */
static void bucket_update(struct bucket *b, uint64_t counter, uint64_t now)
{
	uint64_t gain;

	b->tokens -= (int64_t)(counter - b->seen);
	b->seen = counter;
	/* rate and a second are bounded so that the product fits. */
	gain = b->rate * MIN(now - b->last_ns, (uint64_t)NS_PER_S) / NS_PER_S;
	if (gain == 0)
		return;
	b->tokens = MIN(b->tokens + (int64_t)gain, b->burst);
	/* What is less than a token is not lost, but for what time beyond a second brings. */
	b->last_ns = now - b->last_ns > NS_PER_S ? now : b->last_ns + gain * NS_PER_S / b->rate;
}

/* When there will be a token. */
static uint64_t bucket_next(const struct bucket *b)
{
	uint64_t lacking = b->tokens > 0 ? 0 : (uint64_t)(1 - b->tokens);

	return b->last_ns + (lacking * NS_PER_S + b->rate - 1) / b->rate;
}

static bool may(struct stack *st, struct rate *r, const struct counter *bytes,
		const struct counter *packets, struct counter *waits)
{
	uint64_t now = stack_now(st), at = 0, n;

	if (r->bytes.rate) {
		n = counter_get(bytes);
		if (n != r->bytes.seen)
			r->promised = 0; /* it has come */
		bucket_update(&r->bytes, n, now);
		if (r->bytes.tokens <= (int64_t)r->promised)
			at = bucket_next(&r->bytes);
	}
	if (r->packets.rate) {
		bucket_update(&r->packets, counter_get(packets), now);
		if (r->packets.tokens <= 0)
			at = MAX(at, bucket_next(&r->packets));
	}
	if (at == 0)
		return true;
	if (!timer_armed(&r->timer)) {
		counter_inc(waits);
		timer_arm(loop_timers(st->loop), &r->timer, at);
	}
	return false;
}

static bool limited(const struct rate *r)
{
	return r->bytes.rate || r->packets.rate;
}

/**
 * stack_tx_may() - may the port take the next frame from the guest? The stack's thread
 *
 * False: not before the loop has woken up for it.
 */
bool stack_tx_may(struct stack *st)
{
	struct rate *r = &st->rate_out;

	if (likely(!limited(r)) ||
	    may(st, r, &st->n.tx_bytes, &st->n.tx_frames, &st->n.rate_out_waits))
		return true;
	log_limited(LOG_INFO, "rate", "what the guest sends is held back (--rate-out)");
	return false;
}

/**
 * stack_rx_alloc() - room for a frame of payload to the guest, if the rate allows
 *
 * As the port's rx_alloc(); -ENOBUFS also for want of tokens, and then
 * stack_rx_refilled() is called when there are some.
 */
int stack_rx_alloc(struct stack *st, uint32_t want, struct rx_frame *frame)
{
	struct rate *r = &st->rate_in;
	int err;

	if (unlikely(limited(r)) &&
	    !may(st, r, &st->n.rx_bytes, &st->n.rx_frames, &st->n.rate_in_waits)) {
		log_limited(LOG_INFO, "rate", "what the guest receives is held back (--rate-in)");
		return -ENOBUFS;
	}
	err = st->port->rx_alloc(st->port_ctx, want, frame);
	if (err == 0 && limited(r))
		r->promised += want;
	return err;
}

/**
 * rate_in_waits() - is it for want of tokens that nothing goes to the guest?
 */
bool rate_in_waits(const struct stack *st)
{
	return timer_armed(&st->rate_in.timer);
}

/**
 * rate_refund() - a frame of the guest's went nowhere and will come again
 * @bytes:	of the frame, counted in this very call of stack_input()
 */
void rate_refund(struct stack *st, uint32_t bytes)
{
	st->rate_out.bytes.seen += bytes;
	st->rate_out.packets.seen++;
}

/* That there is a next cycle is all: the port looks at the ring in each. */
static void on_out(void *ctx, struct timer *t)
{
	(void)ctx;
	(void)t;
}

static void on_in(void *ctx, struct timer *t)
{
	struct stack *st = ctx;

	(void)t;
	/* Frames that were allocated and given back were promised, and never came. */
	st->rate_in.promised = 0;
	if (st->port)
		stack_rx_refilled(st);
}

/**
 * rate_apply() - put the configuration's rates in force; the stack's thread
 */
void rate_apply(struct stack *st)
{
	const struct stack_config *c = &st->cfg;
	uint64_t now = stack_now(st);

	bucket_set(&st->rate_out.bytes, c->rate_out, PORT_FRAME_MAX, c->rate_burst_ms, now,
		   counter_get(&st->n.tx_bytes));
	bucket_set(&st->rate_out.packets, c->rate_out_packets, LIMIT_RATE_PACKETS_MIN,
		   c->rate_burst_ms, now, counter_get(&st->n.tx_frames));
	bucket_set(&st->rate_in.bytes, c->rate_in, PORT_FRAME_MAX, c->rate_burst_ms, now,
		   counter_get(&st->n.rx_bytes));
	bucket_set(&st->rate_in.packets, c->rate_in_packets, LIMIT_RATE_PACKETS_MIN,
		   c->rate_burst_ms, now, counter_get(&st->n.rx_frames));
	/* Whoever waits looks again. */
	if (timer_armed(&st->rate_out.timer))
		timer_arm(loop_timers(st->loop), &st->rate_out.timer, now);
	if (timer_armed(&st->rate_in.timer))
		timer_arm(loop_timers(st->loop), &st->rate_in.timer, now);
}

/**
 * rate_init() - buckets as full as they get; nothing waits
 */
void rate_init(struct stack *st)
{
	timer_init(&st->rate_out.timer, on_out, st);
	timer_init(&st->rate_in.timer, on_in, st);
	rate_apply(st);
}

/**
 * rate_fini() - harmless without an init
 */
void rate_fini(struct stack *st)
{
	if (!st->rate_out.timer.fn)
		return;
	timer_cancel(loop_timers(st->loop), &st->rate_out.timer);
	timer_cancel(loop_timers(st->loop), &st->rate_in.timer);
}
