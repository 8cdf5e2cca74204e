/* SPDX-License-Identifier: MIT */
/*
 * The inside of TCP, for tcp*.c only.
 *
 * Segments of the guest come through tcp_in.c, which judges them and collects
 * payload in the flow's bulk queue; tcp_run() (tcp.c) then serves each flow that
 * has work: tcp_connect.c finishes connects, tcp_tx.c sends what was collected
 * and reckons the window, tcp_rx.c moves bytes from the socket into the guest's
 * buffers, tcp_out.c writes headers and control segments.
 *
 * Names are as seen from us: "rcv" is what the guest sends (RFC 9293 3.3.1),
 * "snd" what we send to the guest.
 */
#ifndef SLUICE_TCPSTACK_TCP_H
#define SLUICE_TCPSTACK_TCP_H

#include <errno.h>
#include <netinet/tcp.h>

#include "src/base/clock.h"
#include "tcpstack/bulk.h"
#include "tcpstack/priv.h"

/* Sequence numbers live on a circle, RFC 9293 3.4. */
static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_leq(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline bool seq_gt(uint32_t a, uint32_t b)
{
	return seq_lt(b, a);
}

static inline bool seq_geq(uint32_t a, uint32_t b)
{
	return seq_leq(b, a);
}

/**
 * struct tcp_options - what we read from a SYN, RFC 9293 3.2
 * @mss:	0 = not given
 * @wscale:	as sent; the reader caps it
 */
struct tcp_options {
	uint16_t mss;
	uint8_t wscale;
	bool has_wscale;
	bool sack_permitted;
};

/**
 * struct tcp_seg - a segment's header, read once from the private copy
 * @off:	where its payload starts in the frame
 * @len:	bytes of payload
 * @opt:	its options
 * @opt_len:	their bytes
 */
struct tcp_seg {
	uint32_t seq, ack;
	uint16_t sport, dport, wnd;
	uint8_t flags;
	uint8_t opt_len;
	uint32_t off, len;
	const uint8_t *opt;
};

/* Sequence numbers [@from, @to). */
struct tcp_range {
	uint32_t from, to;
};

/* Blocks in a SACK option, of which a header without timestamps holds four. */
#define TCP_SACK_BLOCKS 4

/* Ranges that we remember of a guest's SACKs. */
#define TCP_SACKED_MAX 16

/* What the guest has got beyond snd_una: sorted, apart from each other. */
struct sack_board {
	uint32_t count;
	struct tcp_range range[TCP_SACKED_MAX];
};

/**
 * struct early_queue - what the guest sent before its turn
 * @list:	chunks, sorted, without overlap, all behind rcv_nxt
 * @chunks:	how many
 * @last:	first sequence number of the segment that came last
 * @dup:	a range that came twice and was not reported yet; empty = none
 * @fin:	the guest's FIN has come, it stands at @fin_seq
 */
struct early_queue {
	struct dlist list;
	uint32_t chunks;
	uint32_t last;
	struct tcp_range dup;
	bool fin;
	uint32_t fin_seq;
};

/* Sequence space that a segment takes up. */
static inline uint32_t tcp_seg_space(const struct tcp_seg *s)
{
	return s->len + !!(s->flags & TH_SYN) + !!(s->flags & TH_FIN);
}

/**
 * enum tcp_state - which operations a flow allows
 * @TS_CONNECTING:	the host's connect() runs; nothing was said to the guest
 * @TS_SYN_SENT:	a peer of the host is connected to us, and our SYN to the guest is out
 * @TS_SYN_RCVD:	the host is connected and the SYN-ACK is out
 * @TS_OPEN:		data both ways; how far it is closed stands in the flags
 * @TS_TIME_WAIT:	no socket any more; a repeated FIN is still answered
 * @TS_RESET:		reset towards the host; the guest is told as soon as it takes
 *			frames, or when it speaks
 */
enum tcp_state { TS_CONNECTING, TS_SYN_SENT, TS_SYN_RCVD, TS_OPEN, TS_TIME_WAIT, TS_RESET };

/**
 * struct tcp_flow - one connection
 * @dirty:	in tcp.dirty while there is work for tcp_run()
 * @wait:	in tcp.starved; in TS_TIME_WAIT, in tcp.time_wait; in TS_RESET, in tcp.untold
 * @timer:	one for all deadlines below; fires at the earliest or before
 *
 * @rcv_nxt:	next byte expected; all before it was collected
 * @rcv_taken:	the ACK we send: bytes that the host's kernel took or that lie in
 *		our memory, and no more
 * @rcv_edge:	right edge of the window that we ever offered; never moves left
 * @rcv_told:	as much of @rcv_edge as the guest was told
 * @room:	what the socket will still take, by the last measurement
 * @room_full:	the window offered right after it
 * @fill:	payload that fits in a byte of SO_SNDBUF, in 1/256
 *
 * @sock_una:	sequence number of the first byte in the socket's queue: up to
 *		@snd_una the guest has it, and it may be discarded
 * @peek_off:	the socket's SO_PEEK_OFF, -1 before it is first set
 * @fin_seq:	sequence number of our FIN, once @host_eof
 * @sacked:	what the guest has out of turn
 * @rtx_nxt:	in fast recovery: all holes before it were filled once
 * @recover:	fast recovery ends when this is ACKed, RFC 6582
 * @rtt_seq, @rtt_start:	the segment being timed, RFC 6298 (Karn: one at a time,
 *		never a retransmitted one)
 * @rto_at:	retransmission, persist or TIME-WAIT deadline; 0 = none
 * @silent_since:	first timeout since the guest was heard, while @retries
 * @retry_at:	after a passing error of the host; 0 = none
 * @rx_since:	since when the first unread byte waits, as far as an event has told; 0 = none
 * @asked_at:	when bytes of the guest were last taken, until payload answers; 0 = answered
 * @quick_answers:	in a row, up to LIMIT_TCP_ACK_QUICK
 * @stall_at:	when the guest's frames are given back, should the socket still be
 *		full; 0 = not
 */
struct tcp_flow {
	struct flow f;
	struct dlist dirty;
	struct dlist wait;
	struct timer timer;
	struct bulk_queue tx;
	struct early_queue early;

	/* From the guest. */
	uint32_t irs, rcv_nxt, rcv_taken, rcv_edge, rcv_told;
	uint32_t room, room_full;
	uint16_t fill;
	uint8_t rcv_scale;
	bool sack; /* both sides permitted it */

	/* To the guest. */
	uint8_t snd_scale;
	uint16_t mss;
	uint32_t iss, snd_una, snd_nxt, snd_max;
	uint32_t snd_wnd, snd_wl1, snd_wl2, max_wnd;
	uint32_t cwnd, recover, rtx_nxt;
	struct sack_board sacked;
	uint32_t sock_una, fin_seq;
	int32_t peek_off;
	uint32_t rx_want;
	uint8_t reads, dupacks, retries;

	/* What waits to be done. */
	uint8_t state;
	uint8_t acks_due; /* pure ACKs owed unless data carries one */
	bool ack_waits;	  /* one is owed by tcp_ack_deadline(), unless data carries it */
	uint8_t quick_answers;
	bool sack_due; /* an ACK by itself: data segments carry no SACK option */
	uint32_t events;
	bool rx_ready;	 /* the socket may hold unread bytes */
	bool rx_rdhup;	 /* the peer's FIN is in the socket's queue */
	bool rx_urgent;	 /* the peer has sent urgent data: reads stop at it */
	bool rx_starved; /* waits for guest buffers */
	bool rx_behind;	 /* the last discard left bytes behind it in the socket */
	bool tx_nodelay; /* TCP_NODELAY is set */
	bool tx_blocked; /* the socket was full: EPOLLOUT will come */
	bool tx_stalled; /* ... for long: no frame of the guest is held any more */
	bool retransmit; /* what is lost, out of turn */
	bool recovering; /* between fast retransmit and @recover */
	bool rtt_running;

	/* How far it is closed. */
	bool guest_fin;	     /* its FIN is before rcv_nxt */
	bool guest_fin_done; /* ... and shutdown(SHUT_WR) was called */
	bool host_eof;	     /* the socket has nothing after fin_seq */
	bool fin_acked;
	bool closed_by_host; /* our FIN left before the guest's came */

	uint32_t rtt_seq;
	uint64_t rtt_start;
	uint64_t srtt, rttvar, rto, rtt_min; /* nanoseconds */
	uint64_t silent_since;
	uint64_t rto_at, retry_at, stall_at, timer_at;
	uint64_t rx_since, asked_at;
};

/* In how many slots a second's connections are counted; divides it without rest. */
#define TCP_RATE_SLOTS 64U

struct tcp {
	struct stack *st;
	struct flow_table flows;
	struct siphash_key isn_key;
	struct dlist dirty, starved;
	struct dlist time_wait; /* oldest first */
	struct dlist untold;	/* in TS_RESET */
	struct arena *arena;
	struct bulk bulk;
	struct pool *early;
	struct scratch iov;
	uint8_t *sink; /* where bytes go that no_peek_offset must read again */
	bool peek_offset;
	/* Connections of the last second, while there is a limit to their rate. */
	uint64_t rate_slot; /* the last one looked at, since the epoch of the clock */
	uint32_t rate_conns[TCP_RATE_SLOTS + 1], rate_sum;
	uint64_t challenge_ns;
	uint32_t challenges;
};

/* Most entries of one sendmsg or recvmsg: UIO_MAXIOV. */
#define TCP_IOV_MAX 1024

/* Bytes of tcp.sink. */
#define TCP_SINK_BYTES (64U << 10)

static inline uint64_t tcp_now(const struct tcp *t)
{
	return stack_now(t->st);
}

static inline void tcp_syscall(struct tcp *t)
{
	counter_inc(&t->st->n.syscalls);
}

/* There is work for tcp_run(). */
static inline void tcp_mark(struct tcp *t, struct tcp_flow *fl)
{
	if (dlist_empty(&fl->dirty))
		dlist_push_tail(&t->dirty, &fl->dirty);
}

/* Errors that pass: they end no flow. */
static inline bool tcp_passing(int err)
{
	return err == EAGAIN || err == EINTR || err == ENOBUFS || err == ENOMEM;
}

/* The host's socket is of no use any more: how the flow ends. */
static inline void tcp_host_failed(struct tcp_flow *fl, int err)
{
	flow_ends(&fl->f, err == ECONNRESET || err == EPIPE ? END_HOST_RESET : END_HOST_ERROR, err);
}

/* What is left to do after a step. */
enum tcp_step {
	STEP_IDLE, /* until an event, a segment or a timer */
	STEP_MORE, /* at once, after the other flows' turn */
	STEP_GONE, /* the flow was freed */
};

/* tcp.c */
struct tcp_flow *tcp_flow_new(struct tcp *t, const struct flow_key *key);
void tcp_flow_free(struct tcp *t, struct tcp_flow *fl);
void tcp_abort(struct tcp *t, struct tcp_flow *fl, bool tell_guest);
int tcp_linger_none(struct tcp *t, int fd);
void tcp_timer_update(struct tcp *t, struct tcp_flow *fl);
const char *tcp_state_name(const struct tcp_flow *fl);

/* tcp_opt.c */
uint32_t tcp_parse_sack(const uint8_t *opt, uint32_t len, struct tcp_range *blocks);
void tcp_parse_options(const uint8_t *opt, uint32_t len, struct tcp_options *out);

/* tcp_connect.c */
void tcp_connect_new(struct tcp *t, const struct packet *pkt, const struct tcp_seg *s);
enum tcp_step tcp_connect_event(struct tcp *t, struct tcp_flow *fl);
void tcp_connect_timeout(struct tcp *t, struct tcp_flow *fl);
bool tcp_rate_allows(struct tcp *t);
void tcp_count_refusal(struct tcp *t, enum drop_reason why);
void tcp_read_syn(struct tcp *t, struct tcp_flow *fl, const struct tcp_seg *s);
void tcp_begin_sequence(struct tcp *t, struct tcp_flow *fl, enum tcp_state state);

/* tcp_accept.c */
void tcp_syn_sent_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
			const struct tcp_seg *s);

/* tcp_ack.c */
bool tcp_ack_may_wait(const struct tcp *t, struct tcp_flow *fl, uint32_t bytes);
void tcp_ack_answered(const struct tcp *t, struct tcp_flow *fl);
uint64_t tcp_ack_deadline(const struct tcp_flow *fl);
void tcp_ack_overdue(const struct tcp *t, struct tcp_flow *fl);

/* tcp_tx.c */
enum tcp_step tcp_tx_flow(struct tcp *t, struct tcp_flow *fl);
void tcp_tx_offer_first(struct tcp_flow *fl);
void tcp_tx_writable(struct tcp_flow *fl);
void tcp_tx_port_down(struct tcp *t, struct tcp_flow *fl);

/* tcp_early.c */
uint32_t tcp_early_put(struct tcp *t, struct tcp_flow *fl, uint32_t seq,
		       const struct tx_frame *frame, uint32_t off, uint32_t len);
void tcp_early_take(struct tcp *t, struct tcp_flow *fl);
void tcp_early_clear(struct tcp *t, struct tcp_flow *fl);
uint32_t tcp_early_blocks(const struct tcp_flow *fl, struct tcp_range *blocks);

/* tcp_probe.c */
bool tcp_probe_peek_offset(void);

/* tcp_rx.c */
enum tcp_step tcp_rx_flow(struct tcp *t, struct tcp_flow *fl);
int tcp_rx_discard(struct tcp *t, struct tcp_flow *fl, bool all);
bool tcp_rx_wants(const struct tcp_flow *fl);

/* tcp_sack.c */
bool tcp_sack_input(struct tcp_flow *fl, const struct tcp_seg *s);
void tcp_sack_acked(struct tcp_flow *fl);
uint32_t tcp_sack_bytes(const struct tcp_flow *fl);
bool tcp_sack_hole(const struct tcp_flow *fl, uint32_t from, struct tcp_range *hole);

/* tcp_rtx.c */
bool tcp_lost(const struct tcp_flow *fl, struct tcp_range *lost);
void tcp_ack_input(struct tcp *t, struct tcp_flow *fl, const struct tcp_seg *s);
bool tcp_on_rto(struct tcp *t, struct tcp_flow *fl);
void tcp_rtt_sample(struct tcp_flow *fl, uint64_t rtt_ns);
void tcp_sent(struct tcp *t, struct tcp_flow *fl, uint32_t from, uint32_t to);

/* tcp_out.c */
void tcp_header(struct tcp_flow *fl, uint8_t *h, uint32_t seq, uint8_t flags);
void tcp_send_control(struct tcp *t, struct tcp_flow *fl, uint32_t seq, uint8_t flags);
void tcp_send_synack(struct tcp *t, struct tcp_flow *fl);
void tcp_send_acks(struct tcp *t, struct tcp_flow *fl);
bool tcp_send_reset(struct tcp *t, struct tcp_flow *fl);
void tcp_answer_reset(struct stack *st, const struct packet *pkt, const struct tcp_seg *s);
void tcp_challenge(struct tcp *t, struct tcp_flow *fl);

#endif
