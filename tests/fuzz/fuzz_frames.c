/* SPDX-License-Identifier: MIT */
/*
 * Frames of any content from the guest, and a host that answers.
 *
 * The input is a list of records (net.h):
 *
 *	FRAME	a frame from the Ethernet header on. Its checksums are made right, unless
 *		HOW_A. HOW_B: the transport checksum is left to us; HOW_C: with
 *		segmentation; HOW_D: of a TCP segment, the acknowledgement number counts
 *		from what the guest would acknowledge
 *	TIME	so many milliseconds pass
 *	HOST	the host's end of each connection does something, see act()
 *	DRIVER	the guest's driver is reset
 *	REFILL	the guest takes no frames from its ring any more, or so many
 *	FORWARD	a port of the host leads to the guest's port 80; and somebody connects
 *
 * The host has one port that answers, 7, over TCP and UDP and both families: it sends
 * back what comes, until it is told otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/forward.h"
#include "tests/fuzz/net.h"

#define ECHO_PORT 7
#define CONNS_MAX 16
#define PEERS_MAX 16

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "frames",
	.done = "flows opened and frames to the guest",
	.refused = "frames refused",
	.floor = 150,
	.mutations = 300,
	.alloc_one = 256 << 10,
	.alloc_all = 1 << 20,
	.alloc_per_byte = 32768,
	.setup = setup,
};

enum what { FRAME, TIME, HOST, DRIVER, REFILL, FORWARD };

/* What the guest would say in a segment of its next. */
struct peer {
	uint16_t guest_port, port;
	uint32_t ack;
	bool known;
};

static struct {
	struct rig *r;
	int conn[CONNS_MAX];
	struct peer peer[PEERS_MAX];
	uint32_t npeers;
	int caller; /* of the forward, -1 = none */
	bool mute;
} g;

static int listener, udp;

/* --- the host ------------------------------------------------------------------- */

static int open_port(int type)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(ECHO_PORT) };
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0;

	if (fd < 0)
		fuzz_skip("no IPv6");
	FUZZ_CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0);
	FUZZ_CHECK(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0, "%s", strerror(errno));
	FUZZ_CHECK(type != SOCK_STREAM || listen(fd, CONNS_MAX) == 0);
	return fd;
}

static void reset(int *fd)
{
	struct linger l = { .l_onoff = 1 };

	if (*fd < 0)
		return;
	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(*fd);
	*fd = -1;
}

static void answer(int fd)
{
	static uint8_t buf[65536];
	ssize_t n = g.mute ? -1 : recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0 && send(fd, buf, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		g.mute = true;
}

static void host_turn(void)
{
	static uint8_t buf[65536];
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	ssize_t n;

	for (int i = 0; i < CONNS_MAX; i++) {
		if (g.conn[i] < 0)
			g.conn[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (g.conn[i] >= 0)
			answer(g.conn[i]);
	}
	if (g.caller >= 0)
		answer(g.caller);
	while ((n = recvfrom(udp, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &len)) >= 0)
		if (!g.mute)
			(void)sendto(udp, buf, (size_t)n, MSG_DONTWAIT,
				     (const struct sockaddr *)&from, len);
}

/* What the host's end of every connection does. */
static void act(uint16_t what)
{
	static uint8_t bytes[1 << 17];

	g.mute = what % 8 == 6;
	for (int i = 0; i < CONNS_MAX; i++) {
		int *fd = &g.conn[i];

		if (*fd < 0)
			continue;
		switch (what % 8) {
		case 0:
			(void)send(*fd, bytes, 1000, MSG_DONTWAIT | MSG_NOSIGNAL);
			break;
		case 1:
			(void)send(*fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
			break;
		case 2:
			shutdown(*fd, SHUT_WR);
			break;
		case 3:
			close(*fd);
			*fd = -1;
			break;
		case 4:
			reset(fd);
			break;
		default:
			break;
		}
	}
}

/* Flows of the last input may have left something behind. */
static void host_end(void)
{
	uint8_t byte;
	int fd;

	for (int i = 0; i < CONNS_MAX; i++)
		reset(&g.conn[i]);
	reset(&g.caller);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		reset(&fd);
	while (recv(udp, &byte, 1, MSG_DONTWAIT) >= 0)
		;
}

static void forward(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct forward_spec spec;
	struct forward_info f;
	char why[128];
	int fd;

	FUZZ_CHECK(forward_parse(&spec, "127.0.0.1:8080:80", why, sizeof(why)) == 0, "%s", why);
	fd = g.caller < 0 ? forward_socket(&spec, 0, &f) : -1;
	if (fd < 0)
		return;
	if (stack_forward_add(rig_stack(g.r), &f, fd) < 0)
		return;
	g.caller = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	sa.sin_port = htons(f.bind.port);
	(void)connect(g.caller, (const struct sockaddr *)&sa, sizeof(sa));
	(void)send(g.caller, "hello", 5, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* --- the guest ------------------------------------------------------------------- */

static struct peer *peer_of(uint16_t guest_port, uint16_t port)
{
	struct peer *p;

	for (uint32_t i = 0; i < PEERS_MAX; i++) {
		p = &g.peer[i];
		if (p->known && p->guest_port == guest_port && p->port == port)
			return p;
	}
	p = &g.peer[g.npeers++ % PEERS_MAX];
	*p = (struct peer){ .guest_port = guest_port, .port = port };
	return p;
}

static void hear(void)
{
	struct rig_pkt pkt;

	rig_cycle(g.r);
	host_turn();
	rig_cycle(g.r);
	while (rig_pop(g.r, &pkt)) {
		struct peer *p;

		fuzz_work.done++;
		if (pkt.proto != PROTO_TCP || (pkt.flags & RIG_RST))
			continue;
		p = peer_of(pkt.dport, pkt.sport);
		p->known = true;
		p->ack = pkt.seq + pkt.payload_len + !!(pkt.flags & RIG_SYN) +
			 !!(pkt.flags & RIG_FIN);
	}
}

/* The number in the segment counts from what the guest has got. */
static void make_ack(uint8_t *frame, uint32_t len)
{
	uint32_t l4_len, at;
	uint8_t proto, *tcp;

	at = net_l4(frame, len, &proto, &l4_len);
	tcp = frame + at;
	if (at && proto == PROTO_TCP && l4_len >= TCP_HLEN)
		put_be32(tcp + 8,
			 get_be32(tcp + 8) + peer_of(get_be16(tcp), get_be16(tcp + 2))->ack);
}

/* What a driver may leave to us: the transport checksum; with HOW_A wherever it likes. */
static struct offload make_offload(const uint8_t *frame, uint32_t len, uint8_t how)
{
	struct offload off = { .gso = GSO_NONE };
	uint32_t l4_len, at;
	uint8_t proto = 0;

	at = net_l4(frame, len, &proto, &l4_len);
	if (how & NET_HOW_A) {
		off.csum_start = (uint16_t)(ETH_HLEN + frame[0] % 64);
		off.csum_offset = frame[1] % 32;
	} else {
		off.csum_start = (uint16_t)at;
		off.csum_offset = proto == PROTO_TCP ? 16 : 6;
	}
	/* The port sees to it that the place is in the frame. */
	off.needs_csum = off.csum_start >= ETH_HLEN && off.csum_start + off.csum_offset + 2U <= len;
	if (!off.needs_csum)
		return (struct offload){ .gso = GSO_NONE };
	if (how & NET_HOW_C) {
		off.gso = proto == PROTO_UDP			  ? GSO_UDP_L4
			  : get_be16(frame + 12) == ETHERTYPE_IP4 ? GSO_TCP4
								  : GSO_TCP6;
		off.gso_size = 500;
	}
	return off;
}

static void send_frame(const struct net_record *rec)
{
	struct offload off = { .gso = GSO_NONE };
	uint8_t *frame = malloc(rec->len ? rec->len : 1);

	FUZZ_CHECK(frame, "out of memory");
	memcpy(frame, rec->data, rec->len);
	if (rec->how & NET_HOW_D)
		make_ack(frame, rec->len);
	if (!(rec->how & NET_HOW_A))
		net_finish(g.r, frame, rec->len);
	/* Frames of another station are refused; ours are the guest's. */
	if (rec->len >= 12 && !(frame[6] & 1))
		memcpy(frame + 6, rig_config(g.r)->stack.guest_mac, 6);
	if (rec->how & NET_HOW_B && rec->len >= ETH_HLEN)
		off = make_offload(frame, rec->len, rec->how);
	rig_send(g.r, frame, rec->len, &off);
	free(frame);
	hear();
}

static void one(const struct net_record *rec)
{
	switch ((enum what)rec->what) {
	case FRAME:
		if (rec->len <= PORT_FRAME_MAX && rec->len > 0)
			send_frame(rec);
		break;
	case TIME:
		rig_advance(g.r, rec->arg * NS_PER_MS);
		hear();
		break;
	case HOST:
		act(rec->arg);
		hear();
		break;
	case DRIVER:
		rig_detach(g.r);
		rig_attach(g.r);
		hear();
		break;
	case REFILL:
		rig_set_auto_refill(g.r, rec->arg == UINT16_MAX);
		rig_refill(g.r, rec->arg);
		hear();
		break;
	case FORWARD:
		forward();
		hear();
		break;
	}
}

static void setup(void)
{
	net_setup();
	listener = open_port(SOCK_STREAM);
	udp = open_port(SOCK_DGRAM);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	const struct stack_counters *n;
	struct net_record rec;
	struct rig_config cfg;

	memset(&g, 0, sizeof(g));
	memset(g.conn, 0xff, sizeof(g.conn));
	g.caller = -1;
	net_config(&cfg);
	g.r = net_begin(&cfg, len);
	while (net_next(&data, &len, 1U << FRAME, &rec))
		one(&rec);
	n = stack_counters(rig_stack(g.r));
	FUZZ_CHECK(counter_get(&n->tcp_active) <= cfg.stack.max_tcp &&
		   counter_get(&n->udp_active) <= cfg.stack.max_udp &&
		   counter_get(&n->ping_active) <= cfg.stack.max_ping);
	fuzz_work.done += counter_get(&n->tcp_established) + counter_get(&n->udp_opened) +
			  counter_get(&n->ping_opened);
	fuzz_work.refused += net_drops(g.r);
	net_end(g.r);
	host_end();
}
