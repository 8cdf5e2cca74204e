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

static struct rig *start(uint32_t max_tcp, uint32_t max_rate)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	log_set_level(LOG_ERROR);
	cfg.stack.max_tcp = max_tcp;
	cfg.stack.max_conn_rate = max_rate;
	return rig_new(&cfg);
}

static int set_nonblocking(int fd)
{
	struct timeval now = { .tv_usec = 1 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &now, sizeof(now)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &now, sizeof(now)), 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	return ntohs(sin.sin_port);
}

static void guest_gets_syn(struct rig *r, struct rig_pkt *syn)
{
	fwd_guest_gets_syn(r, syn, GPORT);
	assert_int_equal(syn->dst, GUEST);
}

static void guest_accepts(struct rig *r, struct rig_conn *c)
{
	struct rig_pkt syn;

	guest_gets_syn(r, &syn);
	fwd_guest_conn(r, &syn, c);
	rig_conn_segment(c, RIG_SYN | RIG_ACK, c->iss, NULL, 0);
	rig_cycle(r);
}

static uint64_t active(struct rig *r)
{
	return COUNT(r, tcp_active);
}

static void bytes_flow_both_ways(void **state)
{
	struct rig *r = start(16, 0);
	struct forward_info f = fwd_add(r, "0:80");
	static uint8_t buf[100000];
	uint64_t pos = 0, sent = 0;
	struct rig_conn c;
	struct rig_pkt syn;
	int fd = fwd_peer(&f);

	(void)state;
	guest_gets_syn(r, &syn);
	/* The gateway stands for a peer on this host; its port is its own. */
	assert_int_equal(syn.src, RIG_GATEWAY);
	assert_int_equal(syn.sport, port_of(fd));
	assert_int_equal(syn.mss, 1460);
	assert_true(syn.wscale >= 0 && syn.sack_ok);
	fwd_guest_conn(r, &syn, &c);
	/* What the peer says before the guest has answered is not lost. */
	rig_pattern(buf, sizeof(buf), c.rx_seed, 0);
	assert_int_equal(send(fd, buf, 1000, 0), 1000);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	rig_conn_segment(&c, RIG_SYN | RIG_ACK, c.iss, NULL, 0);
	set_nonblocking(fd);
	sent = 1000;
	RIG_UNTIL(r, (rig_pump_write(fd, c.rx_seed, &sent, sizeof(buf)), rig_conn_poll(&c),
		      c.rx_bytes == sizeof(buf)));
	rig_conn_send(&c, 50000);
	RIG_CONN_UNTIL(&c, (rig_pump_read(fd, c.tx_seed, &pos), pos == 50000));
	/* Both close, the peer first. */
	shutdown(fd, SHUT_WR);
	RIG_CONN_UNTIL(&c, c.fin);
	rig_conn_fin(&c);
	rig_read_eof(r, fd);
	RIG_CONN_UNTIL(&c, rig_conn_acked(&c));
	rig_advance(r, 3 * NS_PER_S);
	assert_int_equal(active(r), 0);
	assert_int_equal(rig_allocs(r), 0);
	assert_int_equal(COUNT(r, tcp_accepted), 1);
	close(fd);
	rig_free(r);
}

static void a_guest_that_refuses_resets_the_peer(void **state)
{
	struct rig *r = start(16, 0);
	struct forward_info f = fwd_add(r, "0:80");
	struct rig_conn c;
	struct rig_pkt syn;
	int fd = fwd_peer(&f);

	(void)state;
	guest_gets_syn(r, &syn);
	fwd_guest_conn(r, &syn, &c);
	/* A RST that acknowledges something else is not believed (H36). */
	c.rcv_nxt += 5;
	rig_conn_segment(&c, RIG_RST | RIG_ACK, 0, NULL, 0);
	rig_cycle(r);
	assert_int_equal(active(r), 1);
	c.rcv_nxt -= 5;
	rig_conn_segment(&c, RIG_RST | RIG_ACK, 0, NULL, 0);
	RIG_UNTIL(r, fwd_was_reset(fd));
	assert_int_equal(active(r), 0);
	close(fd);
	rig_free(r);
}

static void a_wrong_ack_is_answered_by_rst_and_opens_nothing(void **state)
{
	struct rig *r = start(16, 0);
	struct forward_info f = fwd_add(r, "0:80");
	struct rig_conn c;
	struct rig_pkt syn, pkt;
	int fd = fwd_peer(&f);

	(void)state;
	guest_gets_syn(r, &syn);
	fwd_guest_conn(r, &syn, &c);
	c.rcv_nxt += 5;
	rig_conn_segment(&c, RIG_SYN | RIG_ACK, c.iss, NULL, 0);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.flags, RIG_RST);
	assert_int_equal(pkt.seq, c.rcv_nxt);
	assert_int_equal(COUNT(r, tcp_established), 0);
	close(fd);
	rig_free(r);
}

static void a_silent_guest_is_asked_again_then_given_up(void **state)
{
	struct rig *r = start(16, 0);
	struct forward_info f = fwd_add(r, "0:80");
	struct rig_pkt syn, again;
	int fd = fwd_peer(&f);

	(void)state;
	guest_gets_syn(r, &syn);
	rig_advance(r, 1100 * NS_PER_MS);
	guest_gets_syn(r, &again);
	assert_int_equal(again.seq, syn.seq);
	rig_advance(r, 200 * NS_PER_S);
	assert_true(fwd_was_reset(fd));
	assert_int_equal(active(r), 0);
	close(fd);
	rig_free(r);
}

static void a_guest_without_window_scale_gets_none(void **state)
{
	struct rig *r = start(16, 0);
	struct forward_info f = fwd_add(r, "0:80");
	static uint8_t buf[200000];
	struct rig_conn c;
	struct rig_pkt syn;
	uint64_t sent = 0;
	int fd = fwd_peer(&f);

	(void)state;
	guest_gets_syn(r, &syn);
	fwd_guest_conn(r, &syn, &c);
	c.wscale = -1;
	c.window = 60000;
	rig_conn_segment(&c, RIG_SYN | RIG_ACK, c.iss, NULL, 0);
	set_nonblocking(fd);
	RIG_UNTIL(r, (rig_pump_write(fd, c.rx_seed, &sent, sizeof(buf)), rig_conn_poll(&c),
		      c.rx_bytes == sizeof(buf)));
	close(fd);
	rig_free(r);
}

static void a_peer_that_leaves_early_is_not_forgotten(void **state)
{
	struct rig *r = start(16, 0);
	struct forward_info f = fwd_add(r, "0:80");
	struct rig_conn c;
	struct rig_pkt syn, pkt;
	int fd = fwd_peer(&f);

	(void)state;
	guest_gets_syn(r, &syn);
	fwd_guest_conn(r, &syn, &c);
	rig_reset_close(fd);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_true(pkt.flags & RIG_RST);
	assert_int_equal(pkt.seq, syn.seq + 1);
	assert_int_equal(active(r), 0);

	/* With a FIN it gets its connection, and the FIN goes on. */
	fd = fwd_peer(&f);
	shutdown(fd, SHUT_WR);
	guest_accepts(r, &c);
	RIG_CONN_UNTIL(&c, c.fin);
	close(fd);
	rig_free(r);
}

static void limits_count_what_comes_in(void **state)
{
	struct rig *r = start(1, 0);
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

	r = start(16, 1);
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
	struct rig *r = start(16, 0);
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
	sin.sin_port = htons(port_of(fd[0]));
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
	struct rig *r = start(256, 0);
	struct forward_info f = fwd_add(r, "0:80");
	uint64_t pos[CLIENTS] = { 0 };
	int fd[CLIENTS];
	bool all;

	(void)state;
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = set_nonblocking(fwd_peer(&f));
	for (int i = 0; i < CLIENTS; i++) {
		struct rig_pkt syn;

		guest_gets_syn(r, &syn);
		fwd_guest_conn(r, &syn, &c[i]);
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
	struct rig *r = start(16, 0);
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
	assert_true(fwd_was_reset(fd));
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
