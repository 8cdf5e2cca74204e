/* SPDX-License-Identifier: MIT */
/* Forwards of TCP: peers of the host, and a guest that listens, refuses, or says nothing. */
#include "tests/stack/forward_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"

#define GUEST 0x0a00020fU
#define GPORT 80

static const struct rig_config *limits(uint32_t max_tcp, uint32_t max_rate)
{
	static struct rig_config cfg;

	rig_config_defaults(&cfg);
	log_set_level(LOG_ERROR);
	cfg.stack.max_tcp = max_tcp;
	cfg.stack.max_conn_rate = max_rate;
	return &cfg;
}

static int set_nonblocking(int fd)
{
	struct timeval now = { .tv_usec = 1 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &now, sizeof(now)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &now, sizeof(now)), 0);
	return fd;
}

static void guest_gets_syn(struct rig *r, struct rig_pkt *syn)
{
	fwd_guest_gets_syn(r, syn, GPORT);
	assert_int_equal(syn->dst, GUEST);
}

/* The guest has the SYN of a peer, and its own end of the connection to come. */
static void guest_is_asked(struct rig *r, struct rig_pkt *syn, struct rig_conn *c)
{
	guest_gets_syn(r, syn);
	fwd_guest_conn(r, syn, c);
}

static void guest_accepts(struct rig *r, struct rig_conn *c)
{
	struct rig_pkt syn;

	guest_is_asked(r, &syn, c);
	rig_conn_segment(c, RIG_SYN | RIG_ACK, c->iss, NULL, 0);
	rig_cycle(r);
}

static uint64_t active(struct rig *r)
{
	return COUNT(r, tcp_active);
}

static void bytes_flow_both_ways(void **state)
{
	static uint8_t buf[100000];
	uint64_t pos = 0, sent = 0;
	struct rig_conn c;
	struct rig_pkt syn;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, 0), "0:80");
	guest_gets_syn(p.r, &syn);
	/* The gateway stands for a peer on this host; its port is its own. */
	assert_int_equal(syn.src, RIG_GATEWAY);
	assert_int_equal(syn.sport, fwd_port_of(p.fd));
	assert_int_equal(syn.mss, 1460);
	assert_true(syn.wscale >= 0 && syn.sack_ok);
	fwd_guest_conn(p.r, &syn, &c);
	/* What the peer says before the guest has answered is not lost. */
	rig_pattern(buf, sizeof(buf), c.rx_seed, 0);
	assert_int_equal(send(p.fd, buf, 1000, 0), 1000);
	rig_cycle(p.r);
	assert_int_equal(rig_pending(p.r), 0);
	rig_conn_segment(&c, RIG_SYN | RIG_ACK, c.iss, NULL, 0);
	set_nonblocking(p.fd);
	sent = 1000;
	RIG_UNTIL(p.r, (rig_pump_write(p.fd, c.rx_seed, &sent, sizeof(buf)), rig_conn_poll(&c),
			c.rx_bytes == sizeof(buf)));
	rig_conn_send(&c, 50000);
	RIG_CONN_UNTIL(&c, (rig_pump_read(p.fd, c.tx_seed, &pos), pos == 50000));
	/* Both close, the peer first. */
	shutdown(p.fd, SHUT_WR);
	RIG_CONN_UNTIL(&c, c.fin);
	rig_conn_fin(&c);
	rig_read_eof(p.r, p.fd);
	RIG_CONN_UNTIL(&c, rig_conn_acked(&c));
	rig_advance(p.r, 3 * NS_PER_S);
	assert_int_equal(active(p.r), 0);
	assert_int_equal(rig_allocs(p.r), 0);
	assert_int_equal(COUNT(p.r, tcp_accepted), 1);
	fwd_end(&p);
}

static void a_guest_that_refuses_resets_the_peer(void **state)
{
	struct rig_conn c;
	struct rig_pkt syn;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, 0), "0:80");
	guest_is_asked(p.r, &syn, &c);
	/* A RST that acknowledges something else is not believed (H36). */
	c.rcv_nxt += 5;
	rig_conn_segment(&c, RIG_RST | RIG_ACK, 0, NULL, 0);
	rig_cycle(p.r);
	assert_int_equal(active(p.r), 1);
	c.rcv_nxt -= 5;
	rig_conn_segment(&c, RIG_RST | RIG_ACK, 0, NULL, 0);
	RIG_UNTIL(p.r, fwd_was_reset(p.fd));
	assert_int_equal(active(p.r), 0);
	fwd_end(&p);
}

static void a_wrong_ack_is_answered_by_rst_and_opens_nothing(void **state)
{
	struct rig_conn c;
	struct rig_pkt syn, pkt;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, 0), "0:80");
	guest_is_asked(p.r, &syn, &c);
	c.rcv_nxt += 5;
	rig_conn_segment(&c, RIG_SYN | RIG_ACK, c.iss, NULL, 0);
	RIG_UNTIL(p.r, rig_pop(p.r, &pkt));
	assert_int_equal(pkt.flags, RIG_RST);
	assert_int_equal(pkt.seq, c.rcv_nxt);
	assert_int_equal(COUNT(p.r, tcp_established), 0);
	fwd_end(&p);
}

static void a_silent_guest_is_asked_again_then_given_up(void **state)
{
	struct rig_pkt syn, again;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, 0), "0:80");
	guest_gets_syn(p.r, &syn);
	rig_advance(p.r, 1100 * NS_PER_MS);
	guest_gets_syn(p.r, &again);
	assert_int_equal(again.seq, syn.seq);
	rig_advance(p.r, 200 * NS_PER_S);
	assert_true(fwd_was_reset(p.fd));
	assert_int_equal(active(p.r), 0);
	fwd_end(&p);
}

static void a_guest_without_window_scale_gets_none(void **state)
{
	static uint8_t buf[200000];
	struct rig_conn c;
	struct rig_pkt syn;
	uint64_t sent = 0;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, 0), "0:80");
	guest_is_asked(p.r, &syn, &c);
	c.wscale = -1;
	c.window = 60000;
	rig_conn_segment(&c, RIG_SYN | RIG_ACK, c.iss, NULL, 0);
	set_nonblocking(p.fd);
	RIG_UNTIL(p.r, (rig_pump_write(p.fd, c.rx_seed, &sent, sizeof(buf)), rig_conn_poll(&c),
			c.rx_bytes == sizeof(buf)));
	fwd_end(&p);
}

static void a_peer_that_leaves_early_is_not_forgotten(void **state)
{
	struct rig_conn c;
	struct rig_pkt syn, pkt;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, 0), "0:80");
	guest_is_asked(p.r, &syn, &c);
	rig_reset_close(p.fd);
	RIG_UNTIL(p.r, rig_pop(p.r, &pkt));
	assert_true(pkt.flags & RIG_RST);
	assert_int_equal(pkt.seq, syn.seq + 1);
	assert_int_equal(active(p.r), 0);

	/* With a FIN it gets its connection, and the FIN goes on. */
	p.fd = fwd_peer(&p.f);
	shutdown(p.fd, SHUT_WR);
	guest_accepts(p.r, &c);
	RIG_CONN_UNTIL(&c, c.fin);
	fwd_end(&p);
}

static void limits_count_what_comes_in(void **state)
{
	struct rig *r = rig_new(limits(1, 0));
	struct forward_info f = fwd_add(r, "0:80"), list[2];
	struct rig_pkt syn;
	int fd = fwd_peer(&f), over;

	(void)state;
	guest_gets_syn(r, &syn);
	over = fwd_peer(&f);
	RIG_UNTIL(r, fwd_was_reset(over));
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 1);
	assert_int_equal(stack_forward_list(rig_stack(r), list, 2), 1);
	assert_int_equal(list[0].accepted, 1);
	assert_int_equal(list[0].refused, 1);
	close(fd);
	close(over);
	rig_free(r);

	r = rig_new(limits(16, 1));
	f = fwd_add(r, "0:80");
	fd = fwd_peer(&f);
	guest_gets_syn(r, &syn);
	over = fwd_peer(&f);
	RIG_UNTIL(r, fwd_was_reset(over));
	assert_int_equal(rig_drops(r, DROP_CONN_RATE), 1);
	close(fd);
	close(over);
	rig_free(r);
}

/* Two peers of one port number, from two addresses that are both the gateway to the guest. */
static void peers_that_look_alike_are_told_apart(void **state)
{
	struct rig *r = rig_new(limits(16, 0));
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct forward_info f = fwd_add(r, "0:80");
	struct rig_pkt syn;
	uint16_t first, port;
	int fd[2];

	(void)state;
	fd[0] = fwd_peer(&f);
	guest_gets_syn(r, &syn);
	first = syn.sport;
	fd[1] = socket(AF_INET, SOCK_STREAM, 0);
	sin.sin_port = htons(fwd_port_of(fd[0]));
	sin.sin_addr.s_addr = htonl(0x7f000002);
	if (bind(fd[1], (struct sockaddr *)&sin, sizeof(sin))) {
		print_message("[  SKIP  ] no second loopback address: %s\n", strerror(errno));
		close(fd[0]);
		close(fd[1]);
		rig_free(r);
		skip();
	}
	sin.sin_port = htons(f.bind.port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd[1], (struct sockaddr *)&sin, sizeof(sin)), 0);
	guest_gets_syn(r, &syn);
	port = syn.sport;
	assert_int_not_equal(port, first);
	assert_int_equal(active(r), 2);
	close(fd[0]);
	close(fd[1]);
	rig_free(r);
}

static void a_hundred_clients_at_once(void **state)
{
	enum { CLIENTS = 100 };
	static struct rig_conn c[CLIENTS];
	struct rig *r = rig_new(limits(256, 0));
	struct forward_info f = fwd_add(r, "0:80");
	uint64_t pos[CLIENTS] = { 0 };
	int fd[CLIENTS];
	bool all;

	(void)state;
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = set_nonblocking(fwd_peer(&f));
	for (int i = 0; i < CLIENTS; i++) {
		struct rig_pkt syn;

		guest_is_asked(r, &syn, &c[i]);
		c[i].group = c;
		c[i].group_size = CLIENTS;
	}
	for (int i = 0; i < CLIENTS; i++) {
		rig_conn_segment(&c[i], RIG_SYN | RIG_ACK, c[i].iss, NULL, 0);
		rig_conn_send(&c[i], 1000);
	}
	/* Clients have been accepted in the order of their connects. */
	do {
		rig_conn_cycle(c);
		all = true;
		for (int i = 0; i < CLIENTS; i++) {
			rig_pump_read(fd[i], c[i].tx_seed, &pos[i]);
			all &= pos[i] == 1000;
		}
	} while (!all);
	assert_int_equal(active(r), CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	rig_free(r);
}

static void a_forward_that_goes_leaves_its_connections(void **state)
{
	struct rig *r = rig_new(limits(16, 0));
	struct forward_info f = fwd_add(r, "0:80"), other = fwd_add(r, "0:80");
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&f.bind, &sa);
	uint64_t pos = 0;
	struct rig_conn c;
	int fd = set_nonblocking(fwd_peer(&f)), late = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	guest_accepts(r, &c);
	assert_int_equal(stack_forward_del(rig_stack(r), PROTO_TCP, &f.bind), 0);
	assert_int_equal(stack_forward_del(rig_stack(r), PROTO_TCP, &f.bind), -ENOENT);
	assert_int_equal(stack_forward_list(rig_stack(r), NULL, 0), 1);
	assert_int_equal(connect(late, &sa.sa, len), -1);
	assert_int_equal(errno, ECONNREFUSED);
	rig_conn_send(&c, 1000);
	RIG_CONN_UNTIL(&c, (rig_pump_read(fd, c.tx_seed, &pos), pos == 1000));
	/* The port of a forward outlives a driver, and a reset of all flows. */
	rig_detach(r);
	stack_reset(rig_stack(r));
	rig_attach(r);
	RIG_UNTIL(r, fwd_was_reset(fd));
	close(fd);
	fd = fwd_peer(&other);
	guest_accepts(r, &c);
	close(fd);
	close(late);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_flow_both_ways),
		cmocka_unit_test(a_guest_that_refuses_resets_the_peer),
		cmocka_unit_test(a_wrong_ack_is_answered_by_rst_and_opens_nothing),
		cmocka_unit_test(a_silent_guest_is_asked_again_then_given_up),
		cmocka_unit_test(a_guest_without_window_scale_gets_none),
		cmocka_unit_test(a_peer_that_leaves_early_is_not_forgotten),
		cmocka_unit_test(limits_count_what_comes_in),
		cmocka_unit_test(peers_that_look_alike_are_told_apart),
		cmocka_unit_test(a_hundred_clients_at_once),
		cmocka_unit_test(a_forward_that_goes_leaves_its_connections),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
