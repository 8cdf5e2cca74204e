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
