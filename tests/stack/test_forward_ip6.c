/* SPDX-License-Identifier: MIT */
/* Forwards over IPv6: to which of the guest's addresses, and when there is none. */
#include "tests/stack/forward_rig.h"

#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"

#define GPORT 80

static struct rig *start(void)
{
	struct rig_config cfg;
	uint16_t port;
	int fd = rig_udp_socket6(&port);

	if (fd < 0) {
		print_message("[  SKIP  ] the host has no ::1\n");
		skip();
	}
	close(fd);
	rig_config_defaults(&cfg);
	log_set_level(LOG_ERROR);
	cfg.stack.ip6 = true;
	return rig_new(&cfg);
}

static const struct stack_config *config(const struct rig *r)
{
	return &rig_config(r)->stack;
}

static struct ipaddr on_link(const struct rig *r, uint16_t host)
{
	struct ipaddr a = config(r)->prefix6;

	put_be16(a.b + 14, host);
	return a;
}

/* Where the only forward leads, as it is listed. */
static struct ipaddr leads_to(struct rig *r)
{
	struct forward_info f = fwd_listed(r);

	assert_int_equal(f.guest.port, GPORT);
	return f.guest.addr;
}

static void assert_leads_to(struct rig *r, const struct ipaddr *addr)
{
	struct ipaddr now = leads_to(r);

	assert_true(ipaddr_equal(&now, addr));
}

static void bytes_flow_both_ways_over_ip6(void **state)
{
	enum { TOTAL = 300000 };
	struct rig *r = start();
	struct forward_info f = fwd_add(r, "[::1]:0:80");
	struct timeval soon = { .tv_usec = 1 };
	uint64_t written = 0, read = 0;
	struct rig_pkt syn;
	struct rig_conn c;
	int fd;

	(void)state;
	fwd_guest_probes(r, &config(r)->guest6);
	fd = fwd_peer(&f);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
	fwd_guest_gets_syn(r, &syn, GPORT);
	/* The gateway stands for a peer on this host, in its own family. */
	assert_true(ipaddr_equal(&syn.src6, &config(r)->gateway6));
	assert_true(ipaddr_equal(&syn.dst6, &config(r)->guest6));
	assert_int_equal(syn.mss, config(r)->mtu - 60);
	fwd_guest_conn(r, &syn, &c);
	rig_conn_segment(&c, RIG_SYN | RIG_ACK, c.iss, NULL, 0);
	RIG_UNTIL(r, (rig_pump_write(fd, c.rx_seed, &written, TOTAL), rig_conn_poll(&c),
		      c.rx_bytes == TOTAL));
	RIG_UNTIL(r, (rig_conn_upload(&c, TOTAL, 1440), rig_pump_read(fd, c.tx_seed, &read),
		      rig_conn_poll(&c), read == TOTAL));
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* Whoever comes before the guest has an address is told so, not kept waiting. */
static void without_an_address_peers_are_reset(void **state)
{
	struct rig *r = start();
	struct forward_info f = fwd_add(r, "[::1]:0:80"), list;
	struct ipaddr none = { { 0 } }, link_local = { { 0xfe, 0x80, [15] = 9 } };
	struct rig_pkt syn;
	int fd;

	(void)state;
	assert_leads_to(r, &none);
	fd = fwd_peer(&f);
	RIG_UNTIL(r, fwd_was_reset(fd));
	close(fd);
	assert_int_equal(rig_drops(r, DROP_FORWARD_ADDRESS), 1);
	stack_forward_list(rig_stack(r), &list, 1);
	assert_int_equal(list.refused, 1);
	/* Neither of these is one that peers could be led to. */
	fwd_guest_probes(r, &config(r)->prefix6);
	fwd_guest_probes(r, &link_local);
	assert_leads_to(r, &none);
	fwd_guest_probes(r, &config(r)->guest6);
	fd = fwd_peer(&f);
	fwd_guest_gets_syn(r, &syn, GPORT);
	close(fd);
	rig_free(r);
}

static void the_address_that_was_shown_last_is_used(void **state)
{
	struct rig *r = start();
	struct ipaddr first = on_link(r, 0x77), second = on_link(r, 0x78), none = { { 0 } };
	uint8_t buf[128];
	uint32_t at;
	uint16_t port;
	int ufd = rig_udp_socket6(&port);

	(void)state;
	fwd_add(r, "[::1]:0:80");
	fwd_guest_probes(r, &first);
	assert_leads_to(r, &first);
	fwd_guest_probes(r, &second);
	assert_leads_to(r, &second);
	/* A flow shows that its source is in use. */
	at = rig_build_ip6(r, buf, &first, &config(r)->gateway6, PROTO_UDP, 9);
	put_be16(buf + at, 5000);
	put_be16(buf + at + 2, port);
	put_be16(buf + at + 4, 9);
	buf[at + 8] = 'x';
	rig_finish(buf, 9);
	rig_send(r, buf, at + 9, NULL);
	assert_leads_to(r, &first);
	/* The one that DHCPv6 hands out comes before all others, and stays. */
	fwd_guest_probes(r, &config(r)->guest6);
	fwd_guest_probes(r, &second);
	assert_leads_to(r, &config(r)->guest6);
	/* So it does when the driver is set up anew; another guest has other addresses. */
	rig_detach(r);
	rig_attach(r);
	assert_leads_to(r, &config(r)->guest6);
	rig_detach(r);
	stack_reset(rig_stack(r));
	rig_attach(r);
	assert_leads_to(r, &none);
	close(ufd);
	rig_free(r);
}

/* [::] is not 0.0.0.0: each has its own port, and its own family in the guest. */
static void families_stay_apart(void **state)
{
	struct rig *r = start();
	struct forward_info f4 = fwd_add(r, "0.0.0.0:0:80"), f6;
	struct rig_pkt syn;
	char spec[64];
	int fd;

	(void)state;
	snprintf(spec, sizeof(spec), "[::]:%u:80", f4.bind.port);
	f6 = fwd_add(r, spec);
	fwd_guest_probes(r, &config(r)->guest6);
	f4.bind.addr = ipaddr_from_v4(0x7f000001);
	fd = fwd_peer(&f4);
	fwd_guest_gets_syn(r, &syn, GPORT);
	assert_int_equal(syn.ethertype, ETHERTYPE_IP4);
	close(fd);
	rig_cycle(r);
	while (rig_pop(r, &syn))
		;
	f6.bind.addr = (struct ipaddr){ { [15] = 1 } };
	fd = fwd_peer(&f6);
	fwd_guest_gets_syn(r, &syn, GPORT);
	assert_int_equal(syn.ethertype, ETHERTYPE_IP6);
	close(fd);
	rig_free(r);
}

static void a_guest_without_ip6_has_no_such_forward(void **state)
{
	struct forward_spec spec;
	struct forward_info f;
	struct rig_config cfg;
	struct rig *r;
	char why[128];
	int fd;

	(void)state;
	rig_free(start()); /* skips where the host has no IPv6 */
	rig_config_defaults(&cfg);
	cfg.stack.ip6 = false;
	r = rig_new(&cfg);
	assert_int_equal(forward_parse(&spec, "[::1]:0:80", why, sizeof(why)), 0);
	fd = forward_socket(&spec, 0, &f);
	assert_true(fd >= 0);
	assert_int_equal(stack_forward_add(rig_stack(r), &f, fd), -EPFNOSUPPORT);
	assert_non_null(strstr(forward_error(-EPFNOSUPPORT), "--ipv6"));
	close(fd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_flow_both_ways_over_ip6),
		cmocka_unit_test(without_an_address_peers_are_reset),
		cmocka_unit_test(the_address_that_was_shown_last_is_used),
		cmocka_unit_test(families_stay_apart),
		cmocka_unit_test(a_guest_without_ip6_has_no_such_forward),
	};

	return cmocka_run_group_tests_name("forward_ip6", tests, NULL, NULL);
}
