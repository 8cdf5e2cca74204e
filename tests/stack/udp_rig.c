/* SPDX-License-Identifier: MIT */
/* Datagrams of known content between a guest port and a server; see the header. */
#include "tests/stack/udp_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

uint8_t udp_in[65536];
static uint8_t out_data[65536];

/* A stack and a server; @cfg NULL = the defaults. */
void udp_start(struct udp_pair *u, const struct rig_config *cfg)
{
	*u = (struct udp_pair){ .r = rig_new(cfg) };
	u->fd = rig_udp_socket(&u->port);
}

/* ... and a flow of the guest's, from GPORT. */
void udp_open(struct udp_pair *u, const struct rig_config *cfg)
{
	udp_start(u, cfg);
	udp_guest_sends(u->r, GPORT, u->port, 10, 1);
	u->peer = udp_server_gets(u->r, u->fd, 10, 1);
}

void udp_end(struct udp_pair *u)
{
	close(u->fd);
	rig_free(u->r);
}

/* A datagram at the server, and who sent it. */
bool udp_try_receive(int fd, struct sockaddr_in *peer, ssize_t *n)
{
	socklen_t len = sizeof(*peer);

	*n = recvfrom(fd, udp_in, sizeof(udp_in), 0, (struct sockaddr *)peer, &len);
	assert_true(*n >= 0 || errno == EAGAIN);
	return *n >= 0;
}

/* Cycle until the server has a datagram, which must be @len bytes of @seed's pattern. */
struct sockaddr_in udp_server_gets(struct rig *r, int fd, uint32_t len, uint64_t seed)
{
	struct sockaddr_in peer;
	ssize_t n;

	RIG_UNTIL(r, udp_try_receive(fd, &peer, &n));
	assert_int_equal(n, len);
	rig_pattern_check(udp_in, len, seed, 0);
	assert_int_equal(ntohl(peer.sin_addr.s_addr), LOOPBACK);
	return peer;
}

void udp_server_sends(int fd, const struct sockaddr_in *to, uint32_t len, uint64_t seed)
{
	rig_pattern(out_data, len, seed, 0);
	assert_int_equal(sendto(fd, out_data, len, 0, (const struct sockaddr *)to, sizeof(*to)),
			 len);
}

void udp_guest_sends(struct rig *r, uint16_t sport, uint16_t dport, uint32_t len, uint64_t seed)
{
	rig_pattern(out_data, len, seed, 0);
	assert_int_equal(rig_send_udp(r, sport, GATEWAY, dport, out_data, len), TX_DONE);
}

/* Cycle until the guest has a datagram from @sport, @len bytes of @seed's pattern. */
struct rig_pkt udp_guest_gets(struct rig *r, uint16_t sport, uint16_t dport, uint32_t len,
			      uint64_t seed)
{
	struct rig_pkt pkt;

	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_UDP);
	assert_int_equal(pkt.src, GATEWAY);
	assert_int_equal(pkt.dst, GUEST);
	assert_int_equal(pkt.sport, sport);
	assert_int_equal(pkt.dport, dport);
	assert_int_equal(pkt.payload_len, len);
	rig_pattern_check(pkt.payload, len, seed, 0);
	return pkt;
}
