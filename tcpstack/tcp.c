/* SPDX-License-Identifier: MIT */
/*
 * TCP between the guest and host sockets: life of flows, cycle, timers.
 *
 * Theory of operation. Each connection of the guest is spliced to one socket of
 * the host, and the two sides keep their own sequence numbers, windows and
 * retransmission. The host's kernel speaks TCP with the world; we speak enough
 * of it with the guest to be correct on any link, and fast on one that loses and
 * reorders little.
 *
 * Everything that happens to a flow (a segment, a socket event, a timer, guest
 * buffers) only marks it dirty. tcp_run() serves the dirty ones: first what goes
 * to the host, then what comes from it, a bounded amount each turn, round and
 * round until nothing moves; then one ACK for each flow that owes one. Sockets
 * are edge-triggered, so a flow for which nothing can be done costs nothing.
 *
 * A flow has one timer, for the earliest of its deadlines. A deadline that moves
 * away does not touch the timer: it fires at the old time, finds nothing due and
 * is armed again. A busy flow so re-arms a few times a second at most.
 *
 * Closing. Either side's FIN is passed on as such (H31, H32); when both have gone
 * and are ACKed the socket is closed, and if ours was first the record stays a
 * moment to answer a repeated FIN. A reset of either side resets the other (H39).
 */
#include "tcpstack/tcp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct tcp_flow *flow_of_timer(struct timer *timer)
{
	return container_of(timer, struct tcp_flow, timer);
}

/* One side has closed, and nothing is on its way to the other. */
static bool is_half_closed(const struct tcp_flow *fl)
{
	return (fl->guest_fin || fl->host_eof) && !fl->tx.bytes && fl->snd_una == fl->snd_max &&
	       !tcp_rx_wants(fl);
}

/* The next time at which something is due. */
static uint64_t next_deadline(const struct tcp_flow *fl)
{
	uint64_t at;

	if (fl->state == TS_CONNECTING)
		return fl->f.opened_ns + LIMIT_TCP_CONNECT_NS;
	if (fl->state == TS_TIME_WAIT)
		return fl->rto_at;
	at = fl->f.used_ns + (is_half_closed(fl) ? LIMIT_TCP_IDLE_HALF_NS : LIMIT_TCP_IDLE_NS);
	if (fl->rto_at)
		at = MIN(at, fl->rto_at);
	if (fl->retry_at)
		at = MIN(at, fl->retry_at);
	if (fl->stall_at)
		at = MIN(at, fl->stall_at);
	return MIN(at, tcp_ack_deadline(fl));
}

/**
 * tcp_timer_update() - see to it that the timer fires in time for every deadline
 */
void tcp_timer_update(struct tcp *t, struct tcp_flow *fl)
{
	uint64_t at = next_deadline(fl);

	if (timer_armed(&fl->timer) && fl->timer_at <= at)
		return;
	fl->timer_at = at;
	timer_arm(loop_timers(t->st->loop), &fl->timer, at);
}

static void time_wait_enter(struct tcp *t, struct tcp_flow *fl)
{
	flow_ends(&fl->f, END_CLOSED, 0);
	audit_close(t->st, FLOW_TCP, &fl->f);
	fl->state = TS_TIME_WAIT;
	fl->rto_at = tcp_now(t) + LIMIT_TCP_TIME_WAIT_NS;
	dlist_del(&fl->wait);
	dlist_push_tail(&t->time_wait, &fl->wait);
}

/**
 * tcp_linger_none() - close(2) of @fd shall send a RST; 0 or -1, and it would send a FIN
 */
int tcp_linger_none(struct tcp *t, int fd)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	tcp_syscall(t);
	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void close_socket(struct tcp *t, struct tcp_flow *fl)
{
	if (fl->f.fd < 0)
		return;
	if (!bulk_end(&t->bulk, &fl->tx, fl->f.fd)) {
		tcp_syscall(t);
		close(fl->f.fd); /* leaves the epoll set by itself */
	}
	fl->f.fd = -1;
}

/* Both FINs are ACKed. True when the record is gone. */
static bool maybe_finish(struct tcp *t, struct tcp_flow *fl)
{
	if (!fl->guest_fin_done || !fl->fin_acked)
		return false;
	/* Bytes left in the socket would turn close() into a reset. */
	tcp_rx_discard(t, fl, true);
	close_socket(t, fl);
	if (!fl->closed_by_host) {
		tcp_send_acks(t, fl);
		flow_ends(&fl->f, END_CLOSED, 0);
		tcp_flow_free(t, fl);
		return true;
	}
	time_wait_enter(t, fl);
	return false;
}

static void on_timer(void *ctx, struct timer *timer);

/**
 * tcp_flow_new() - a record for a new connection
 *
 * If the table is full the oldest flow in TIME-WAIT makes room. Return: NULL when
 * there is none.
 */
struct tcp_flow *tcp_flow_new(struct tcp *t, const struct flow_key *key)
{
	struct tcp_flow *fl;

	if (t->flows.used >= t->flows.limit && !dlist_empty(&t->time_wait))
		tcp_flow_free(t, container_of(t->time_wait.next, struct tcp_flow, wait));
	fl = (struct tcp_flow *)flow_alloc(&t->flows, key, tcp_now(t));
	if (!fl)
		return NULL;
	dlist_init(&fl->dirty);
	dlist_init(&fl->wait);
	timer_init(&fl->timer, on_timer, t);
	bulk_queue_init(&fl->tx);
	dlist_init(&fl->early.list);
	fl->state = TS_CONNECTING;
	fl->peek_off = -1;
	fl->cwnd = UINT32_MAX;
	fl->rx_want = LIMIT_TCP_RX_FIRST;
	fl->rto = LIMIT_TCP_RTO_INIT_NS;
	counter_set(&t->st->n.tcp_active, t->flows.used);
	probe_flow_open(fl->f.id.index, fl->f.id.gen, fl->f.inbound);
	return fl;
}

/**
 * tcp_flow_free() - the end of a flow: socket closed, tokens returned, record free
 */
void tcp_flow_free(struct tcp *t, struct tcp_flow *fl)
{
	uint64_t life = tcp_now(t) - fl->f.opened_ns;

	audit_close(t->st, FLOW_TCP, &fl->f);
	probe_flow_close(fl->f.id.index, fl->f.id.gen, fl->f.tx_bytes, fl->f.rx_bytes, life);
	hist_add(&t->st->n.life_ns, life);
	close_socket(t, fl);
	DEBUG_BUG_ON(fl->tx.frames || fl->tx.loan);
	tcp_early_clear(t, fl);
	timer_cancel(loop_timers(t->st->loop), &fl->timer);
	dlist_del(&fl->dirty);
	dlist_del(&fl->wait);
	flow_free(&t->flows, &fl->f);
	counter_inc(&t->st->n.tcp_closed);
	counter_set(&t->st->n.tcp_active, t->flows.used);
}

/*
 * What closes the socket will send a RST: a FIN would tell the host that this was all. Also
 * in TS_CONNECTING: the kernel may be connected, and we have not heard of it yet.
 */
static void reset_host(struct tcp *t, struct tcp_flow *fl)
{
	if (fl->f.fd < 0 || !tcp_linger_none(t, fl->f.fd))
		return;
	/* Where the option cannot be had; but nothing that is lent may be torn from its reader. */
	if (bulk_is_lent(&fl->tx))
		fl->tx.loan->disconnect = true;
	else
		bulk_disconnect(&t->bulk, fl->f.fd);
}

/* Reset the host's side at once, and the guest's by tell_guests(): nobody repeats a RST. */
static void abort_untold(struct tcp *t, struct tcp_flow *fl)
{
	audit_close(t->st, FLOW_TCP, &fl->f);
	reset_host(t, fl);
	close_socket(t, fl);
	tcp_early_clear(t, fl);
	timer_cancel(loop_timers(t->st->loop), &fl->timer);
	dlist_del(&fl->dirty);
	dlist_del(&fl->wait);
	dlist_push_tail(&t->untold, &fl->wait);
	fl->state = TS_RESET;
	fl->rx_starved = false;
}

/**
 * tcp_abort() - reset the host's side, and end the flow
 * @tell_guest:	send the guest a RST too; now, or when it next takes frames (H60)
 */
void tcp_abort(struct tcp *t, struct tcp_flow *fl, bool tell_guest)
{
	if (tell_guest && !tcp_send_reset(t, fl)) {
		abort_untold(t, fl);
		return;
	}
	reset_host(t, fl);
	tcp_flow_free(t, fl);
}

/* RSTs that are due, as far as the guest has room for them. */
static void tell_guests(struct tcp *t)
{
	struct tcp_flow *fl;

	while (t->st->port && !dlist_empty(&t->untold)) {
		fl = container_of(t->untold.next, struct tcp_flow, wait);
		if (!tcp_send_reset(t, fl))
			return;
		tcp_flow_free(t, fl);
	}
}

/* What the socket's events mean. STEP_GONE when they ended the flow. */
static enum tcp_step take_events(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t events = fl->events;
	enum tcp_step step = STEP_IDLE;
	int err = 0;
	socklen_t len = sizeof(err);

	if (!events || fl->f.fd < 0)
		return STEP_IDLE;
	if (fl->state == TS_CONNECTING) {
		step = tcp_connect_event(t, fl);
		if (step == STEP_GONE)
			return step;
	}
	fl->events = 0;
	if (!fl->rx_ready && events & EPOLLIN)
		fl->rx_since = tcp_now(t);
	fl->rx_ready |= !!(events & (EPOLLIN | EPOLLRDHUP));
	fl->rx_rdhup |= !!(events & EPOLLRDHUP);
	fl->rx_urgent |= !!(events & EPOLLPRI);
	if (events & EPOLLOUT)
		tcp_tx_writable(fl);
	if (!(events & EPOLLERR))
		return STEP_IDLE;
	/* Notifications of zero-copy sends make it, too, and are no error. */
	if (bulk_is_lent(&fl->tx)) {
		bulk_reap(&t->bulk, fl->tx.loan);
		if (!(events & EPOLLHUP))
			return STEP_IDLE;
	}
	tcp_syscall(t);
	if (getsockopt(fl->f.fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (err == 0 || tcp_passing(err))
		return STEP_IDLE;
	counter_inc(&t->st->n.tcp_reset);
	tcp_host_failed(fl, err);
	tcp_abort(t, fl, true);
	return STEP_GONE;
}

/* One turn of a dirty flow. */
static void serve(struct tcp *t, struct tcp_flow *fl)
{
	enum tcp_step step = take_events(t, fl);

	if (step == STEP_GONE)
		return;
	if (fl->state == TS_OPEN) {
		if (tcp_tx_flow(t, fl) == STEP_GONE)
			return;
		step = tcp_rx_flow(t, fl);
		if (step == STEP_GONE || maybe_finish(t, fl))
			return;
	}
	if (step == STEP_MORE) {
		tcp_mark(t, fl);
		return;
	}
	tcp_ack_overdue(t, fl);
	tcp_send_acks(t, fl);
	tcp_timer_update(t, fl);
}

/* An idle flow's end; a deadline that moved away is none. */
static bool timed_out(struct tcp *t, struct tcp_flow *fl, uint64_t now)
{
	if (now < next_deadline(fl))
		return false;
	if (fl->state == TS_CONNECTING) {
		tcp_connect_timeout(t, fl);
		return true;
	}
	if (fl->state == TS_TIME_WAIT) {
		tcp_flow_free(t, fl);
		return true;
	}
	if (fl->retry_at && now >= fl->retry_at) {
		fl->retry_at = 0;
		return false;
	}
	if ((fl->stall_at && now >= fl->stall_at) || now >= tcp_ack_deadline(fl))
		return false;
	if (!fl->rto_at || now < fl->rto_at) {
		flow_ends(&fl->f, fl->snd_una == fl->snd_max ? END_IDLE : END_GUEST_SILENT, 0);
		tcp_abort(t, fl, true);
		return true;
	}
	if (fl->state == TS_SYN_RCVD || fl->state == TS_SYN_SENT) {
		if (++fl->retries > LIMIT_TCP_SYN_RETRIES) {
			flow_ends(&fl->f, END_GUEST_SILENT, 0);
			tcp_abort(t, fl, true);
			return true;
		}
		counter_inc(&t->st->n.tcp_retransmits);
		fl->rtt_running = false;
		fl->rto = MIN(fl->rto * 2, (uint64_t)LIMIT_TCP_RTO_MAX_NS);
		fl->rto_at = now + fl->rto;
		tcp_send_synack(t, fl);
		return false;
	}
	if (!tcp_on_rto(t, fl)) {
		flow_ends(&fl->f, END_GUEST_SILENT, 0);
		tcp_abort(t, fl, true);
		return true;
	}
	return false;
}

/* stack_run() fires timers before it calls tcp_run(). */
static void on_timer(void *ctx, struct timer *timer)
{
	struct tcp *t = ctx;
	struct tcp_flow *fl = flow_of_timer(timer);

	if (!timed_out(t, fl, tcp_now(t)))
		tcp_mark(t, fl);
}

static void on_event(void *ctx, uint64_t token, uint32_t events)
{
	struct tcp *t = ctx;
	struct tcp_flow *fl = (struct tcp_flow *)flow_of_token(&t->flows, token);

	if (!fl)
		return; /* it ended in this very batch of events (H53) */
	fl->events |= events;
	flow_touch(&t->flows, &fl->f, tcp_now(t));
	tcp_mark(t, fl);
}

static void on_room(struct bulk *b, struct bulk_queue *q)
{
	tcp_mark(b->st->tcp, container_of(q, struct tcp_flow, tx));
}

/* Memory for all that is ever collected or parked. */
static int make_arena(struct tcp *t)
{
	struct pool_config pools[] = {
		{ "tcp-seg", sizeof(struct bulk_seg), LIMIT_TCP_SEGMENTS },
		{ "tcp-park", LIMIT_TCP_PARK_BUF_BYTES, LIMIT_TCP_PARK_BUFS },
		{ "tcp-loan", sizeof(struct bulk_loan), LIMIT_BULK_LOANS },
		{ "tcp-early", LIMIT_TCP_EARLY_CHUNK_BYTES, LIMIT_TCP_EARLY_ALL },
	};
	struct arena_config cfg = { .name = "tcp", .pools = pools, .npools = ARRAY_SIZE(pools) };

	return arena_new(&t->arena, &cfg);
}

static_assert(LIMIT_TCP_PARK_BUF_BYTES >= 65535, "a segment's payload fits in one buffer");

/**
 * tcp_init() - take all memory that TCP will ever use and register its events
 *
 * Asks the kernel, over a loopback connection, whether SO_PEEK_OFF works for TCP.
 * Return: 0 or -errno, and then nothing is left behind.
 */
int tcp_init(struct stack *st)
{
	struct tcp *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return -ENOMEM;
	t->st = st;
	dlist_init(&t->dirty);
	dlist_init(&t->starved);
	dlist_init(&t->time_wait);
	dlist_init(&t->untold);
	st->env.random(st->env.ctx, &t->isn_key, sizeof(t->isn_key));
	t->peek_offset = !st->cfg.no_peek_offset && tcp_probe_peek_offset();

	ret = flow_table_init(&t->flows, stack_flow_cap(st->cfg.max_tcp, LIMIT_TCP_FLOWS),
			      sizeof(struct tcp_flow), &st->hash_key);
	if (ret)
		goto free_tcp;
	t->flows.limit = st->cfg.max_tcp;
	ret = make_arena(t);
	if (ret)
		goto free_flows;
	ret = scratch_init(&t->iov, "tcp-iov", TCP_IOV_MAX, sizeof(struct iovec));
	if (ret)
		goto free_arena;
	t->sink = malloc(TCP_SINK_BYTES);
	if (!t->sink) {
		ret = -ENOMEM;
		goto free_iov;
	}
	bulk_init(&t->bulk, st, arena_pool(t->arena, "tcp-seg"), arena_pool(t->arena, "tcp-park"),
		  arena_pool(t->arena, "tcp-loan"), &t->iov);
	t->bulk.on_room = on_room;
	bulk_engines_init(&t->bulk);
	t->early = arena_pool(t->arena, "tcp-early");
	loop_on_token(st->loop, TOKEN_TCP, on_event, t);
	memory_add_arena(st, t->arena);
	memory_add_table(st, "tcp", &t->flows);
	memory_add_scratch(st, &t->iov);
	st->tcp = t;
	return 0;

free_iov:
	scratch_fini(&t->iov);
free_arena:
	arena_free(t->arena);
free_flows:
	flow_table_fini(&t->flows);
free_tcp:
	free(t);
	return ret;
}

/**
 * tcp_reset_all() - reset every connection towards the host; the guest hears nothing
 */
void tcp_reset_all(struct stack *st)
{
	struct flow *f;

	while ((f = flow_oldest(&st->tcp->flows))) {
		flow_ends(f, END_SHUTDOWN, 0);
		tcp_abort(st->tcp, (struct tcp_flow *)f, false);
	}
}

/**
 * tcp_fini() - reset every connection and free; NULL-safe
 */
void tcp_fini(struct stack *st)
{
	struct tcp *t = st->tcp;

	if (!t)
		return;
	tcp_reset_all(st);
	loop_on_token(st->loop, TOKEN_TCP, NULL, NULL);
	bulk_engines_fini(&t->bulk);
	free(t->sink);
	scratch_fini(&t->iov);
	arena_free(t->arena);
	flow_table_fini(&t->flows);
	free(t);
	st->tcp = NULL;
}

/**
 * tcp_run() - serve every flow that has work, in turns, until none can move
 *
 * Ends: a turn moves bytes, and those end with the guest's buffers or window.
 */
void tcp_run(struct stack *st)
{
	struct tcp *t = st->tcp;
	struct dlist *n;

	bulk_poll(&t->bulk);
	while ((n = dlist_pop_head(&t->dirty)))
		serve(t, container_of(n, struct tcp_flow, dirty));
	bulk_wake(&t->bulk);
	counter_set(&st->n.parked_bytes, t->bulk.bytes);
	counter_set(&st->n.held_frames, t->bulk.frames);
}

/**
 * tcp_rx_refilled() - the guest has added receive buffers: RSTs first, then the starved, in turn
 */
void tcp_rx_refilled(struct stack *st)
{
	struct tcp *t = st->tcp;
	struct dlist *n;

	tell_guests(t);
	while ((n = dlist_pop_head(&t->starved))) {
		struct tcp_flow *fl = container_of(n, struct tcp_flow, wait);

		fl->rx_starved = false;
		tcp_mark(t, fl);
	}
}

/**
 * tcp_port_changed() - a driver came or went
 * @up:		came: whatever waited for buffers tries again. Goes: held frames'
 *		tokens are returned while the port can still be called, and what
 *		lay in them is forgotten; it was not ACKed.
 *
 * Flows stay: their state does not lie in the driver's memory. Only those are
 * reset whose sockets still refer to it, after a short wait for their peers; the
 * guest hears of that from the next driver, or from this one when it starts again.
 */
void tcp_port_changed(struct stack *st, bool up)
{
	struct tcp *t = st->tcp;
	struct flow *f, *next;

	if (up) {
		tcp_rx_refilled(st);
		return;
	}
	bulk_drain(&t->bulk);
	for (f = flow_next(&t->flows, NULL); f; f = next) {
		struct tcp_flow *fl = (struct tcp_flow *)f;

		next = flow_next(&t->flows, f);
		if (!bulk_is_lent(&fl->tx)) {
			tcp_tx_port_down(t, fl);
			continue;
		}
		flow_ends(f, END_DRIVER_GONE, 0);
		abort_untold(t, fl);
	}
	bulk_abandon(&t->bulk);
}

/**
 * tcp_state_name() - RFC 9293's name for what the guest sees as our state
 */
const char *tcp_state_name(const struct tcp_flow *fl)
{
	bool fin_sent = fl->host_eof && seq_gt(fl->snd_max, fl->fin_seq);

	switch ((enum tcp_state)fl->state) {
	case TS_CONNECTING:
		return "CONNECTING";
	case TS_SYN_SENT:
		return "SYN-SENT";
	case TS_SYN_RCVD:
		return "SYN-RECEIVED";
	case TS_TIME_WAIT:
		return "TIME-WAIT";
	case TS_RESET:
		return "CLOSED";
	case TS_OPEN:
		break;
	}
	if (!fin_sent)
		return fl->guest_fin ? "CLOSE-WAIT" : "ESTABLISHED";
	if (!fl->guest_fin)
		return fl->fin_acked ? "FIN-WAIT-2" : "FIN-WAIT-1";
	return fl->closed_by_host ? "CLOSING" : "LAST-ACK";
}

/**
 * tcp_dump() - one line for each flow, least recently used first
 */
void tcp_dump(const struct stack *st, FILE *out)
{
	const struct tcp *t = st->tcp;
	char guest[ENDPOINT_STRLEN], remote[ENDPOINT_STRLEN];

	for (const struct flow *f = flow_next(&t->flows, NULL); f; f = flow_next(&t->flows, f)) {
		const struct tcp_flow *fl = (const struct tcp_flow *)f;

		fprintf(out,
			"tcp %s -> %s %s tx %" PRIu64 " rx %" PRIu64
			" parked %u in-flight %u window %u/%u by-ref %" PRIu64 " lent %u%s%s\n",
			endpoint_format(&f->key.guest, guest),
			endpoint_format(&f->key.remote, remote), tcp_state_name(fl), f->tx_bytes,
			f->rx_bytes, fl->tx.bytes, fl->snd_max - fl->snd_una,
			fl->rcv_edge - fl->rcv_nxt, fl->snd_wnd, fl->tx.by_ref,
			fl->tx.loan ? fl->tx.loan->bytes : 0, fl->tx_blocked ? " host-full" : "",
			fl->rx_starved ? " no-buffers" : "");
	}
}
