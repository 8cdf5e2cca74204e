/* SPDX-License-Identifier: MIT */
/*
 * DNS over TCP: what the guest sends to port 53 in pieces of any kind, and two resolvers
 * that answer anything, cut anywhere.
 *
 * The input is a list of records (net.h):
 *
 *	OPEN	connection number arg % CONNS begins; HOW_A: over IPv6; HOW_B: the guest's
 *		window is small
 *	SEND	bytes of the guest's on a connection, by HOW_C and HOW_D which
 *	CLOSE	the guest ends connection number arg % CONNS; HOW_A: by a reset
 *	ANSWER	a resolver answers the oldest query that waits, else goes on where it
 *		answered last; see resolver.h. HOW_B: so many zeroes follow as make the
 *		message long; HOW_C: the identifier is one off; HOW_D: the length before
 *		it says more than there is
 *	RAW	bytes of a resolver's, as they are, in the same place
 *	HANGUP	a resolver ends that connection; HOW_A: by a reset; HOW_B: it goes on reading
 *	TIME	so many milliseconds pass
 *	FLUSH	the cache is emptied
 *
 * The guest is rig_tcp.h's, which judges the stack's TCP. What it gets on a connection are
 * whole answers to its queries there, one each and in turn, or several to the last one if
 * that asks for a transfer; a resolver gets well-formed queries of the guest's, and no
 * byte beyond; no record lives longer than a resolver has said (H42).
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/dns_tcp.h"
#include "tests/fuzz/resolver.h"
#include "tests/stack/rig_tcp.h"

#define CONNS	  4
#define RESOLVERS 2
#define UPS	  16
#define SENT_MAX  (32U << 10)
#define LONG	  (16U << 10)
#define LONG_MAX  8 /* long messages of an input */
#define KEEP	  (512U << 10)
#define ROUNDS	  16

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "dnstcp",
	.done = "answers that the guest got",
	.refused = "sessions and answers refused",
	.floor = 20,
	.mutations = 300,
	.alloc_one = 256 << 10,
	.alloc_all = 4 << 20,
	.alloc_per_byte = 32768,
	.setup = setup,
};

enum what { OPEN, SEND, CLOSE, ANSWER, RAW, HANGUP, TIME, FLUSH };

/**
 * struct conn - one of the guest's, and all that went over it
 * @open:	it has sent its SYN and neither end has reset it
 * @sent, @nsent:	bytes of the guest's
 * @asked:	where in @sent the query begins that is to be answered next
 * @keep, @read:	what came, and how far it was judged
 * @begun:	the transfer that was asked for has begun
 */
struct conn {
	struct rig_conn c;
	bool open, begun;
	uint8_t sent[SENT_MAX];
	uint32_t nsent, asked;
	uint8_t keep[KEEP];
	uint32_t read;
};

/* One connection to a resolver: its query, and whether something was sent in answer. */
struct up {
	int fd;
	uint8_t in[DNS_TCP_MAX];
	uint32_t have;
	bool answered;
};

static struct conn conn[CONNS];
static struct up up[UPS];

static struct {
	struct rig *r;
	uint16_t sport;
	uint32_t nlong, ttl_max, last; /* @last: of up */
	bool forgotten;		       /* a connection that asked something was opened anew */
} g;

static int listener[RESOLVERS];
static uint16_t listener_port[RESOLVERS];

static void setup(void)
{
	net_setup();
	for (int i = 0; i < RESOLVERS; i++)
		listener[i] = rig_listen(&listener_port[i]);
	for (int i = 0; i < UPS; i++)
		up[i].fd = -1;
}

/* --- the guest's judgement --------------------------------------------------------- */

/* A message with its length before it, at @at of @len bytes. Return: its bytes, 0: not whole */
static uint32_t message_at(const uint8_t *stream, uint32_t at, uint32_t len)
{
	uint32_t n;

	if (len - at < DNS_TCP_HLEN)
		return 0;
	n = get_be16(stream + at);
	return len - at >= DNS_TCP_HLEN + n ? n : 0;
}

/* The next message that came is for the next query that was sent. */
static void judge(struct conn *k, const uint8_t *msg, uint32_t len)
{
	uint32_t n = message_at(k->sent, k->asked, k->nsent);
	const uint8_t *query = k->sent + k->asked + DNS_TCP_HLEN;
	struct dns_question q;

	FUZZ_CHECK(n > 0, "an answer to nothing");
	FUZZ_CHECK(dns_query_parse(query, n, &q) == 0, "an answer to no query");
	/* What follows in a transfer is known by its identifier alone (RFC 5936 2.2.1). */
	if (k->begun)
		FUZZ_CHECK(len >= DNS_HLEN && memcmp(msg, query, 2) == 0 &&
			   get_be16(msg + DNS_OFF_FLAGS) & DNS_FLAG_QR);
	else
		FUZZ_CHECK(resolver_repeats(msg, len, query, q.end), "an answer to another");
	FUZZ_CHECK(resolver_longest_ttl(msg, len) <= g.ttl_max, "a record that lives longer");
	fuzz_work.done++;
	k->begun = q.type == DNS_TYPE_AXFR || q.type == DNS_TYPE_IXFR;
	if (!k->begun)
		k->asked += DNS_TCP_HLEN + n;
}

static void judge_all(struct conn *k)
{
	uint32_t n;

	while ((n = message_at(k->keep, k->read, (uint32_t)k->c.rx_bytes)) > 0) {
		judge(k, k->keep + k->read + DNS_TCP_HLEN, n);
		k->read += DNS_TCP_HLEN + n;
	}
}

/* A frame to the guest: of a connection that it knows, or it does not care. */
static void heard(const struct rig_pkt *pkt)
{
	for (int i = 0; i < CONNS; i++) {
		struct conn *k = &conn[i];
		bool had = k->c.synack;

		if (pkt->proto != PROTO_TCP || !k->open || k->c.sport != pkt->dport ||
		    pkt->sport != DNS_PORT)
			continue;
		rig_conn_input(&k->c, pkt);
		if (!had && k->c.synack)
			rig_conn_ack(&k->c);
		if (k->c.rst)
			k->open = false;
		judge_all(k);
	}
}

/* --- the resolvers ------------------------------------------------------------------ */

static void up_close(struct up *u, bool reset)
{
	if (u->fd >= 0 && reset)
		rig_reset_close(u->fd);
	else if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
}

/* Is it one that the guest has sent and has no answer to? */
static bool is_asked(const struct conn *k, const uint8_t *query, uint32_t len)
{
	uint32_t n;

	for (uint32_t at = k->asked; (n = message_at(k->sent, at, k->nsent)) > 0;
	     at += DNS_TCP_HLEN + n)
		if (n == len && memcmp(k->sent + at + DNS_TCP_HLEN + 2, query + 2, len - 2) == 0)
			return true;
	return false;
}

static bool is_guests(const uint8_t *query, uint32_t len)
{
	for (int i = 0; i < CONNS; i++)
		if (is_asked(&conn[i], query, len))
			return true;
	return g.forgotten;
}

static void check_query(const struct up *u)
{
	uint32_t n = message_at(u->in, 0, u->have);
	struct dns_question q;

	if (n == 0)
		return;
	FUZZ_CHECK(u->have == DNS_TCP_HLEN + n, "%u bytes of %u", u->have, n);
	FUZZ_CHECK(dns_query_parse(u->in + DNS_TCP_HLEN, n, &q) == 0, "a malformed query");
	FUZZ_CHECK(is_guests(u->in + DNS_TCP_HLEN, n), "a query of nobody's");
}

/* Return: whether something has come */
static bool up_turn(struct up *u)
{
	ssize_t n;

	if (u->fd < 0)
		return false;
	n = recv(u->fd, u->in + u->have, sizeof(u->in) - u->have, MSG_DONTWAIT);
	if (n > 0) {
		u->have += (uint32_t)n;
		check_query(u);
	}
	return n > 0;
}

static bool resolvers_turn(void)
{
	bool more = false;

	for (int i = 0; i < UPS; i++) {
		for (int k = 0; k < RESOLVERS && up[i].fd < 0; k++) {
			up[i].fd = accept4(listener[k], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			up[i].have = 0;
			up[i].answered = false;
		}
		more |= up_turn(&up[i]);
	}
	return more;
}

/* The oldest whose query waits for an answer, or the one that was answered last. */
static struct up *whose_turn(void)
{
	for (uint32_t i = 0; i < UPS; i++)
		if (up[i].fd >= 0 && !up[i].answered && message_at(up[i].in, 0, up[i].have)) {
			g.last = i;
			break;
		}
	return up[g.last].fd >= 0 ? &up[g.last] : NULL;
}

static void up_send(struct up *u, const uint8_t *data, uint32_t len)
{
	u->answered = true;
	if (send(u->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
		up_close(u, true);
}

static void answer(struct up *u, const struct net_record *rec)
{
	static uint8_t msg[DNS_TCP_HLEN + LONG];
	uint32_t len = resolver_make_answer(u->in + DNS_TCP_HLEN, message_at(u->in, 0, u->have),
					    rec, msg + DNS_TCP_HLEN);

	if (rec->how & NET_HOW_B && g.nlong++ < LONG_MAX && len < LONG) {
		memset(msg + DNS_TCP_HLEN + len, 0, LONG - len);
		len = LONG;
	}
	if (rec->how & NET_HOW_C && len >= 2)
		msg[DNS_TCP_HLEN + 1] ^= 1;
	g.ttl_max = MAX(g.ttl_max, resolver_longest_ttl(msg + DNS_TCP_HLEN, len));
	put_be16(msg, (uint16_t)(len + (rec->how & NET_HOW_D ? 2 : 0)));
	up_send(u, msg, DNS_TCP_HLEN + len);
}

/* --- what happens ------------------------------------------------------------------- */

static void hear(void)
{
	bool more = true;

	for (int i = 0; i < ROUNDS && more; i++) {
		struct rig_pkt pkt;

		rig_cycle(g.r);
		more = resolvers_turn() || i == 0;
		for (; rig_pop(g.r, &pkt); more = true)
			heard(&pkt);
	}
}

static void open_conn(struct conn *k, uint8_t how)
{
	const struct stack_config *cfg = &rig_config(g.r)->stack;

	g.forgotten |= k->nsent > 0;
	k->nsent = k->asked = k->read = 0;
	k->begun = false;
	k->open = true;
	if (how & NET_HOW_A) {
		rig_conn_init6(&k->c, g.r, ++g.sport, DNS_PORT);
		k->c.dst6 = cfg->dns6;
	} else {
		rig_conn_init(&k->c, g.r, ++g.sport, DNS_PORT);
		k->c.dst = cfg->dns4;
	}
	k->c.keep = k->keep;
	k->c.keep_max = sizeof(k->keep);
	if (how & NET_HOW_B)
		k->c.window = 2000;
	rig_conn_syn(&k->c);
}

static void guest_sends(struct conn *k, const struct net_record *rec)
{
	uint32_t n = MIN(rec->len, rig_conn_room(&k->c));

	n = MIN(n, SENT_MAX - k->nsent);
	if (!k->open || !k->c.synack || k->c.fin_sent || n == 0)
		return;
	memcpy(k->sent + k->nsent, rec->data, n);
	k->nsent += n;
	rig_conn_send_bytes(&k->c, rec->data, n);
}

static void guest_closes(struct conn *k, uint8_t how)
{
	if (!k->open || !k->c.synack || k->c.fin_sent)
		return;
	if (how & NET_HOW_A) {
		rig_conn_segment(&k->c, RIG_RST | RIG_ACK, k->c.snd_nxt, NULL, 0);
		k->open = false;
	} else {
		rig_conn_fin(&k->c);
	}
}

static void resolver_does(const struct net_record *rec)
{
	struct up *u = whose_turn();

	if (!u)
		return;
	if (rec->what == ANSWER) {
		answer(u, rec);
	} else if (rec->what == RAW) {
		g.ttl_max = UINT32_MAX; /* whatever it may become with what comes next */
		up_send(u, rec->data, rec->len);
	} else if (rec->how & NET_HOW_B) {
		u->answered = true;
		shutdown(u->fd, SHUT_WR);
	} else {
		up_close(u, rec->how & NET_HOW_A);
	}
}

static void one(const struct net_record *rec)
{
	switch ((enum what)rec->what) {
	case OPEN:
		open_conn(&conn[rec->arg % CONNS], rec->how);
		break;
	case SEND:
		guest_sends(&conn[rec->how >> 6], rec);
		break;
	case CLOSE:
		guest_closes(&conn[rec->arg % CONNS], rec->how);
		break;
	case ANSWER:
	case RAW:
	case HANGUP:
		resolver_does(rec);
		break;
	case TIME:
		rig_advance(g.r, rec->arg * NS_PER_MS);
		break;
	case FLUSH:
		stack_dns_flush(rig_stack(g.r));
		break;
	}
	hear();
}

/* Whoever has connected and was not accepted is none of the next input's. */
static void resolvers_end(void)
{
	int fd;

	for (int i = 0; i < UPS; i++)
		up_close(&up[i], true);
	for (int k = 0; k < RESOLVERS; k++)
		while ((fd = accept4(listener[k], NULL, NULL, SOCK_CLOEXEC)) >= 0)
			rig_reset_close(fd);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct net_record rec;
	struct rig_config cfg;

	for (int i = 0; i < CONNS; i++) {
		conn[i].open = false;
		conn[i].nsent = 0;
	}
	memset(&g, 0, sizeof(g));
	g.ttl_max = 300; /* of what we say ourselves */
	g.sport = 40000;
	net_config_services(&cfg);
	cfg.stack.nresolvers = RESOLVERS;
	for (int i = 0; i < RESOLVERS; i++)
		cfg.stack.resolvers[i] = (struct endpoint){ .addr = ipaddr_from_v4(INADDR_LOOPBACK),
							    .port = listener_port[i] };
	cfg.stack.dns_cache = 16;
	g.r = net_begin(&cfg, len);
	while (net_next(&data, &len, 1U << SEND | 1U << ANSWER | 1U << RAW, &rec))
		one(&rec);
	fuzz_work.refused += net_drops(g.r);
	net_end(g.r);
	resolvers_end();
}
