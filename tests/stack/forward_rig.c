/* SPDX-License-Identifier: MIT */
/* Forwards and their peers; see the header. */
#include "tests/stack/forward_rig.h"

#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"

/**
 * fwd_add() - forward what @spec says, one port; it is served from now on
 */
struct forward_info fwd_add(struct rig *r, const char *text)
{
	struct forward_spec spec;
	struct forward_info f;
	char why[128];
	int fd;

	if (forward_parse(&spec, text, why, sizeof(why)))
		fail_msg("%s", why);
	fd = forward_socket(&spec, 0, &f);
	if (fd < 0)
		fail_msg("%s: %s", text, forward_error(fd));
	assert_int_not_equal(f.bind.port, 0);
	assert_int_equal(stack_forward_add(rig_stack(r), &f, fd), 0);
	return f;
}

/**
 * fwd_listed() - the stack's only forward, as it is listed
 */
struct forward_info fwd_listed(struct rig *r)
{
	struct forward_info f;

	assert_int_equal(stack_forward_list(rig_stack(r), &f, 1), 1);
	return f;
}

/**
 * fwd_peer() - a socket of this host, connected to the forward @f
 *
 * Of TCP, the kernel shakes hands by itself, so the connection is there at once.
 */
int fwd_peer(const struct forward_info *f)
{
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&f->bind, &sa);
	int type = f->proto == PROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(sa.sa.sa_family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &sa.sa, len), 0);
	return fd;
}

/**
 * fwd_port_of() - the peer @fd's own port
 */
uint16_t fwd_port_of(int fd)
{
	union sockaddr_any sa;
	socklen_t len = sizeof(sa);
	struct endpoint ep;

	assert_int_equal(getsockname(fd, &sa.sa, &len), 0);
	assert_int_equal(endpoint_from_sockaddr(&sa, &ep), 0);
	return ep.port;
}

/**
 * fwd_open() - a stack with the forward @spec, and a peer of this host
 * @cfg:	NULL = the defaults
 */
void fwd_open(struct fwd_pair *p, const struct rig_config *cfg, const char *spec)
{
	p->r = rig_new(cfg);
	p->f = fwd_add(p->r, spec);
	p->fd = fwd_peer(&p->f);
}

void fwd_end(struct fwd_pair *p)
{
	close(p->fd);
	rig_free(p->r);
}

/**
 * fwd_was_reset() - has the peer @fd been reset? It has got nothing before that
 */
bool fwd_was_reset(int fd)
{
	uint8_t byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	assert_true(n < 0);
	return errno == ECONNRESET;
}

/**
 * fwd_guest_conn() - the guest's end of what @syn opens
 */
void fwd_guest_conn(struct rig *r, const struct rig_pkt *syn, struct rig_conn *c)
{
	if (syn->ethertype == ETHERTYPE_IP6)
		rig_conn_init6(c, r, syn->dport, syn->sport);
	else
		rig_conn_init(c, r, syn->dport, syn->sport);
	c->dst = syn->src;
	c->dst6 = syn->src6;
	c->irs = syn->seq;
	c->rcv_nxt = syn->seq + 1;
	c->peer_wscale = syn->wscale;
	c->snd_una = c->edge = c->iss + 1;
	c->snd_nxt = c->snd_max = c->iss + 1;
}

/**
 * fwd_guest_gets_syn() - cycle until the guest is asked for a connection to @port
 */
void fwd_guest_gets_syn(struct rig *r, struct rig_pkt *syn, uint16_t port)
{
	RIG_UNTIL(r, rig_pop(r, syn));
	assert_int_equal(syn->proto, PROTO_TCP);
	assert_int_equal(syn->flags, RIG_SYN);
	assert_int_equal(syn->ack, 0);
	assert_int_equal(syn->dport, port);
}

/**
 * fwd_guest_probes() - the guest makes @addr its own (RFC 4862 5.4)
 */
void fwd_guest_probes(struct rig *r, const struct ipaddr *addr)
{
	const struct ipaddr nobody = { { 0 } };
	const struct ipaddr group = { { 0xff, 2, [11] = 1, 0xff, addr->b[13], addr->b[14],
					addr->b[15] } };
	uint8_t buf[128], *icmp;
	struct rig_pkt pkt;
	uint32_t at = rig_build_ip6(r, buf, &nobody, &group, PROTO_ICMP6, 24);

	icmp = buf + at;
	memset(icmp, 0, 24);
	icmp[0] = 135;
	memcpy(icmp + 8, addr->b, 16);
	buf[ETH_HLEN + 7] = 255;
	rig_finish(buf, 24);
	rig_send(r, buf, at + 24, NULL);
	rig_cycle(r);
	while (rig_pop(r, &pkt)) /* nobody objects; a router may introduce itself */
		assert_int_equal(pkt.icmp_type, 134);
}

static uint8_t data[65536];

/**
 * fwd_peer_at() - a datagram socket at @addr and @port, connected to the forward @f
 * @addr:	host order
 * @port:	0 = any
 */
int fwd_peer_at(const struct forward_info *f, uint32_t addr, uint16_t port)
{
	struct endpoint self = { ipaddr_from_v4(addr), port };
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&self, &sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &sa.sa, len), 0);
	len = endpoint_to_sockaddr(&f->bind, &sa);
	assert_int_equal(connect(fd, &sa.sa, len), 0);
	return fd;
}

/**
 * fwd_peer_sends() - the peer @fd sends the guest a datagram
 */
void fwd_peer_sends(int fd, uint32_t len, uint64_t seed)
{
	rig_pattern(data, len, seed, 0);
	assert_int_equal(send(fd, data, len, 0), len);
}

static bool try_receive(int fd, ssize_t *n)
{
	*n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
	assert_true(*n >= 0 || errno == EAGAIN);
	return *n >= 0;
}

/**
 * fwd_peer_gets() - cycle until the peer @fd has an answer
 */
void fwd_peer_gets(struct rig *r, int fd, uint32_t len, uint64_t seed)
{
	ssize_t n;

	RIG_UNTIL(r, try_receive(fd, &n));
	assert_int_equal(n, len);
	rig_pattern_check(data, len, seed, 0);
}

/**
 * fwd_guest_gets() - cycle until the guest has a datagram for its @port
 */
void fwd_guest_gets(struct rig *r, struct rig_pkt *pkt, uint16_t port, uint32_t len, uint64_t seed)
{
	RIG_UNTIL(r, rig_pop(r, pkt));
	assert_int_equal(pkt->proto, PROTO_UDP);
	assert_int_equal(pkt->dport, port);
	assert_int_equal(pkt->payload_len, len);
	rig_pattern_check(pkt->payload, len, seed, 0);
}

/**
 * fwd_guest_answers() - the guest sends a datagram back to where @pkt has come from
 */
void fwd_guest_answers(struct rig *r, const struct rig_pkt *pkt, uint32_t len, uint64_t seed)
{
	static uint8_t frame[PORT_FRAME_MAX];
	uint32_t n;

	rig_pattern(data, len, seed, 0);
	n = pkt->ethertype == ETHERTYPE_IP6
		    ? rig_build_udp6(r, frame, pkt->dport, &pkt->src6, pkt->sport, data, len)
		    : rig_build_udp(r, frame, pkt->dport, pkt->src, pkt->sport, data, len);
	assert_int_equal(rig_send(r, frame, n, NULL), TX_DONE);
}
