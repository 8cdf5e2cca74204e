/* SPDX-License-Identifier: MIT */
/* Forwards of UDP: limits, ages, and what ends a flow of a peer. */
#include "tests/stack/forward_rig.h"

#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/snapshot.h"

#define GPORT 5300

static uint64_t active(struct rig *r)
{
	return COUNT(r, udp_active);
}

static const struct rig_config *limits(uint32_t max_udp, bool ip6)
{
	static struct rig_config cfg;

	log_set_level(LOG_ERROR);
	rig_config_defaults(&cfg);
	cfg.stack.ip6 = ip6;
	cfg.stack.max_udp = max_udp;
	return &cfg;
}

/* A stranger in the middle of a batch is left out, and nobody behind it suffers (H43). */
static void a_full_table_refuses_then_evicts_the_quietest(void **state)
{
	struct rig *r = rig_new(limits(2, false));
	struct forward_info f = fwd_add(r, "0:5300/udp");
	struct rig_pkt pkt;
	int fd[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		fd[i] = fwd_peer(&f);
	for (uint64_t i = 0; i < 2; i++) {
		fwd_peer_sends(fd[i], 100, i);
		fwd_guest_gets(r, &pkt, GPORT, 100, i);
	}
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 3; i++)
			fwd_peer_sends(fd[(i + 2) % 3], 10 + i, i);
		fwd_peer_sends(fd[2], 9, 9);
		fwd_guest_gets(r, &pkt, GPORT, 11, 1);
		fwd_guest_gets(r, &pkt, GPORT, 12, 2);
		rig_cycle(r);
		assert_int_equal(rig_pending(r), 0);
	}
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 6);
	assert_int_equal(fwd_listed(r).refused, 6);
	assert_int_equal(fwd_listed(r).accepted, 2);
	assert_int_equal(active(r), 2);
	/* The guest's own flows are under the same limit. */
	rig_send_udp(r, GPORT, RIG_GATEWAY, 9, "x", 1);
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 7);

	rig_advance(r, 6 * NS_PER_S);
	fwd_peer_sends(fd[1], 20, 20);
	fwd_guest_gets(r, &pkt, GPORT, 20, 20);
	fwd_peer_sends(fd[2], 30, 30);
	fwd_guest_gets(r, &pkt, GPORT, 30, 30);
	fwd_guest_answers(r, &pkt, 31, 31);
	fwd_peer_gets(r, fd[2], 31, 31);
	assert_int_equal(active(r), 2);
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 7);
	assert_int_equal(rig_allocs(r), 0);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	rig_free(r);
}

/* RFC 4787 REQ-5, and REQ-6: what the guest sends keeps it as well. */
static void a_peers_flow_ages_like_any_other(void **state)
{
	struct rig_pkt pkt;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, false), "0:5300/udp");
	fwd_peer_sends(p.fd, 10, 1);
	fwd_guest_gets(p.r, &pkt, GPORT, 10, 1);
	/* The peer is silent from here on. */
	rig_advance(p.r, 170 * NS_PER_S);
	fwd_guest_answers(p.r, &pkt, 20, 2);
	fwd_peer_gets(p.r, p.fd, 20, 2);
	rig_advance(p.r, 170 * NS_PER_S);
	assert_int_equal(active(p.r), 1);
	rig_advance(p.r, 20 * NS_PER_S);
	assert_int_equal(active(p.r), 0);
	/* It is a new one when it comes again. */
	fwd_peer_sends(p.fd, 30, 3);
	fwd_guest_gets(p.r, &pkt, GPORT, 30, 3);
	assert_int_equal(fwd_listed(p.r).accepted, 2);
	fwd_end(&p);
}

static void a_name_servers_clients_are_soon_forgotten(void **state)
{
	struct rig *r = rig_new(limits(16, false));
	struct forward_info f = fwd_add(r, "0:53/udp");
	struct rig_pkt pkt;
	int answered = fwd_peer(&f), unanswered = fwd_peer(&f);

	(void)state;
	fwd_peer_sends(unanswered, 10, 1);
	fwd_guest_gets(r, &pkt, 53, 10, 1);
	fwd_peer_sends(answered, 20, 2);
	fwd_guest_gets(r, &pkt, 53, 20, 2);
	fwd_guest_answers(r, &pkt, 30, 3);
	fwd_peer_gets(r, answered, 30, 3);
	rig_advance(r, 11 * NS_PER_S);
	assert_int_equal(active(r), 1);
	rig_advance(r, 180 * NS_PER_S);
	assert_int_equal(active(r), 0);
	close(answered);
	close(unanswered);
	rig_free(r);
}

/* Its flows had no other socket than the forward's. */
static void a_forward_that_goes_takes_its_flows_with_it(void **state)
{
	enum { PEERS = 20 };
	struct rig *r = rig_new(limits(64, false));
	struct forward_info f = fwd_add(r, "0:5300/udp"), other = fwd_add(r, "0:5301/udp");
	struct rig_pkt pkt, kept, last;
	int fd[PEERS], stays = fwd_peer(&other);
	struct flow_cursor at = { .proto = FLOW_UDP };
	struct flow_snap s[PEERS];
	char spec[64], byte;

	(void)state;
	fwd_peer_sends(stays, 10, 1);
	fwd_guest_gets(r, &kept, 5301, 10, 1);
	for (uint64_t i = 0; i < PEERS; i++) {
		fd[i] = fwd_peer(&f);
		fwd_peer_sends(fd[i], 100, i);
		fwd_guest_gets(r, &last, GPORT, 100, i);
	}
	/* Under load: half of what is here has not been read. */
	for (uint64_t i = 0; i < PEERS; i++) {
		if (i == PEERS / 2)
			rig_cycle(r);
		fwd_peer_sends(fd[i], 100, i);
	}
	assert_int_equal(stack_forward_del(rig_stack(r), PROTO_TCP, &f.bind), -ENOENT);
	assert_int_equal(stack_forward_del(rig_stack(r), PROTO_UDP, &f.bind), 0);
	assert_int_equal(stack_forward_del(rig_stack(r), PROTO_UDP, &f.bind), -ENOENT);
	rig_cycle(r);
	assert_int_equal(active(r), 1);
	assert_int_equal(stack_snap_flows(rig_stack(r), &at, s, PEERS), 1);
	assert_true(s[0].inbound);
	assert_int_equal(s[0].guest.port, 5301);
	while (rig_pop(r, &pkt))
		assert_int_equal(pkt.dport, GPORT);
	/* What the guest still says to a peer does not come from the port that it knows. */
	fwd_guest_answers(r, &last, 10, 1);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_ICMP);
	for (int i = 0; i < PEERS; i++) {
		assert_true(recv(fd[i], &byte, 1, MSG_DONTWAIT) < 0);
		close(fd[i]);
	}
	fwd_guest_answers(r, &kept, 40, 4);
	fwd_peer_gets(r, stays, 40, 4);
	/* The port is free, and the next one of that number has nothing of the old. */
	snprintf(spec, sizeof(spec), "%u:5302/udp", f.bind.port);
	f = fwd_add(r, spec);
	fd[0] = fwd_peer(&f);
	fwd_peer_sends(fd[0], 50, 5);
	fwd_guest_gets(r, &pkt, 5302, 50, 5);
	close(fd[0]);
	close(stays);
	rig_free(r);
}

/* One number is two ports: of TCP and of UDP. */
static void both_protocols_have_the_port(void **state)
{
	struct rig *r = rig_new(limits(16, false));
	struct forward_info udp = fwd_add(r, "0:5300/udp"), tcp;
	struct rig_pkt pkt;
	char spec[64];
	int u, t;

	(void)state;
	snprintf(spec, sizeof(spec), "%u:80", udp.bind.port);
	tcp = fwd_add(r, spec);
	assert_int_equal(stack_forward_list(rig_stack(r), NULL, 0), 2);
	t = fwd_peer(&tcp);
	fwd_guest_gets_syn(r, &pkt, 80);
	u = fwd_peer(&udp);
	fwd_peer_sends(u, 10, 1);
	fwd_guest_gets(r, &pkt, GPORT, 10, 1);
	assert_int_equal(stack_forward_del(rig_stack(r), PROTO_UDP, &udp.bind), 0);
	assert_int_equal(stack_forward_list(rig_stack(r), &tcp, 1), 1);
	assert_int_equal(tcp.proto, PROTO_TCP);
	close(t);
	close(u);
	rig_free(r);
}

/* H17: what comes while no driver is there waits; another guest knows nobody. */
static void forwards_outlive_drivers_and_resets(void **state)
{
	struct rig_pkt pkt;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, false), "0:5300/udp");
	fwd_peer_sends(p.fd, 10, 1);
	fwd_guest_gets(p.r, &pkt, GPORT, 10, 1);
	rig_detach(p.r);
	fwd_peer_sends(p.fd, 20, 2);
	rig_cycle(p.r);
	rig_cycle(p.r);
	rig_attach(p.r);
	fwd_guest_gets(p.r, &pkt, GPORT, 20, 2);
	assert_int_equal(fwd_listed(p.r).accepted, 1);
	rig_detach(p.r);
	stack_reset(rig_stack(p.r));
	assert_int_equal(active(p.r), 0);
	rig_attach(p.r);
	fwd_peer_sends(p.fd, 30, 3);
	fwd_guest_gets(p.r, &pkt, GPORT, 30, 3);
	fwd_guest_answers(p.r, &pkt, 40, 4);
	fwd_peer_gets(p.r, p.fd, 40, 4);
	assert_int_equal(fwd_listed(p.r).accepted, 2);
	fwd_end(&p);
}

static void without_an_address_datagrams_are_counted(void **state)
{
	struct ipaddr first;
	struct rig_pkt pkt, old;
	struct fwd_pair p;

	(void)state;
	fwd_open(&p, limits(16, true), "[::1]:0:5300/udp");
	fwd_peer_sends(p.fd, 10, 1);
	RIG_UNTIL(p.r, rig_drops(p.r, DROP_FORWARD_ADDRESS) == 1);
	assert_int_equal(fwd_listed(p.r).refused, 1);
	assert_int_equal(active(p.r), 0);
	first = rig_config(p.r)->stack.prefix6;
	first.b[15] = 0x77;
	fwd_guest_probes(p.r, &first);
	fwd_peer_sends(p.fd, 20, 2);
	fwd_guest_gets(p.r, &old, GPORT, 20, 2);
	assert_true(ipaddr_equal(&old.dst6, &first));
	assert_true(ipaddr_equal(&old.src6, &rig_config(p.r)->stack.gateway6));
	/* The guest has another address from now on; the peer is led there. */
	fwd_guest_probes(p.r, &rig_config(p.r)->stack.guest6);
	fwd_peer_sends(p.fd, 30, 3);
	fwd_guest_gets(p.r, &pkt, GPORT, 30, 3);
	assert_true(ipaddr_equal(&pkt.dst6, &rig_config(p.r)->stack.guest6));
	fwd_guest_answers(p.r, &pkt, 40, 4);
	fwd_peer_gets(p.r, p.fd, 40, 4);
	fwd_end(&p);
}

/* The host's network says no to one peer; that costs the others nothing. */
static void a_peer_that_is_gone_disturbs_nobody(void **state)
{
	struct rig *r = rig_new(limits(16, false));
	struct forward_info f = fwd_add(r, "0:5300/udp");
	struct rig_pkt gone, here;
	int dead = fwd_peer(&f), fd = fwd_peer(&f);

	(void)state;
	fwd_peer_sends(dead, 10, 1);
	fwd_guest_gets(r, &gone, GPORT, 10, 1);
	fwd_peer_sends(fd, 20, 2);
	fwd_guest_gets(r, &here, GPORT, 20, 2);
	close(dead);
	for (uint64_t i = 0; i < 10; i++) {
		fwd_guest_answers(r, &gone, 30, i);
		fwd_guest_answers(r, &here, 40, i);
		fwd_peer_gets(r, fd, 40, i);
	}
	assert_int_equal(rig_drops(r, DROP_UDP_SEND), 0);
	close(fd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_table_refuses_then_evicts_the_quietest),
		cmocka_unit_test(a_peers_flow_ages_like_any_other),
		cmocka_unit_test(a_name_servers_clients_are_soon_forgotten),
		cmocka_unit_test(a_forward_that_goes_takes_its_flows_with_it),
		cmocka_unit_test(both_protocols_have_the_port),
		cmocka_unit_test(forwards_outlive_drivers_and_resets),
		cmocka_unit_test(without_an_address_datagrams_are_counted),
		cmocka_unit_test(a_peer_that_is_gone_disturbs_nobody),
	};

	if (!rig_own_network(NULL, 0)) {
		print_message("SKIP: no network namespace: %s\n", strerror(errno));
		return 0;
	}
	return cmocka_run_group_tests_name("forward_udp_edges", tests, NULL, NULL);
}
