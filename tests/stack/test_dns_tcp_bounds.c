/* SPDX-License-Identifier: MIT */
/* DNS over TCP: what a guest, a stranger or a resolver cannot do (H42, H43). */
#include "tests/stack/dns_tcp_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/limits.h"
#include "tcpstack/snapshot.h"

#define ADDR 0xc6336401U /* 198.51.100.1 */

static void malformed_queries_end_the_session(void **state)
{
	static struct dnsmsg q;
	uint8_t zero[2] = { 0 }, much[2] = { 0xff, 0xff };
	uint64_t n = 0;

	(void)state;
	dtcp_begin(1);
	for (uint32_t i = 0; i < 4; i++) {
		dtcp_conn_open(&dt.one, (uint16_t)(40000 + i));
		dnsmsg_query(&q, 1, "a.test", DNS_TYPE_A);
		switch (i) {
		case 0:
			rig_conn_send_bytes(dt.one.c, zero, 2);
			break;
		case 1:
			rig_conn_send_bytes(dt.one.c, much, 2);
			break;
		case 2: /* cut */
			q.len--;
			dtcp_send_message(&dt.one, &q);
			break;
		case 3: /* an answer */
			q.b[2] |= 0x80;
			dtcp_send_message(&dt.one, &q);
			break;
		}
		RIG_UNTIL(dt.d.r, (rig_conn_poll(dt.one.c), dt.one.c->fin || dt.one.c->rst));
		dtcp_conn_close(dt.one.c);
		assert_int_equal(rig_drops(dt.d.r, DROP_DNS_MALFORMED), ++n);
		assert_int_equal(dt.one.c->rx_bytes, 0);
	}
	dtcp_end();
}

static uint64_t sessions(void)
{
	struct stack_memory rows[STACK_MEMORY_ROWS];
	uint32_t n = stack_memory_rows(rig_stack(dt.d.r), rows, ARRAY_SIZE(rows));

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, "dns-tcp") == 0 && strcmp(rows[i].kind, "flows") == 0)
			return rows[i].in_use;
	fail();
	return 0;
}

/* H43: sessions are few; one that was idle for a while makes room. */
static void sessions_are_bounded_and_age(void **state)
{
	static struct dnsmsg q;
	struct rig_conn *last = &dt.conns[LIMIT_DNS_TCP + 1];

	(void)state;
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 41000);
	for (uint32_t i = 1; i <= LIMIT_DNS_TCP + 1; i++) {
		rig_conn_init(&dt.conns[i], dt.d.r, (uint16_t)(41000 + i), DNS_PORT);
		dt.conns[i].dst = DNS_RIG_ADDR;
		dtcp_group(&dt.conns[i]);
		if (i > LIMIT_DNS_TCP)
			break;
		rig_conn_syn(&dt.conns[i]);
		RIG_UNTIL(dt.d.r, (rig_conn_poll(dt.one.c), dt.conns[i].synack || dt.conns[i].rst));
		assert_int_equal(dt.conns[i].rst, i == LIMIT_DNS_TCP);
		if (!dt.conns[i].rst)
			rig_conn_ack(&dt.conns[i]);
		rig_cycle(dt.d.r);
	}
	assert_int_equal(sessions(), LIMIT_DNS_TCP);
	assert_int_equal(rig_drops(dt.d.r, DROP_DNS_LIMIT), 1);
	/* The first one asks something; the second has been idle the longest then. */
	rig_advance(dt.d.r, LIMIT_EVICT_IDLE_NS);
	dnsmsg_query(&q, 1, "gateway", DNS_TYPE_A);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	dtcp_conn_opened(last);
	RIG_UNTIL(dt.d.r, (rig_conn_poll(dt.one.c), dt.conns[1].fin));
	assert_false(dt.conns[0].fin || dt.conns[2].fin);
	assert_int_equal(sessions(), LIMIT_DNS_TCP);
	/* In the end all are idle for too long. */
	rig_advance(dt.d.r, LIMIT_DNS_TCP_IDLE_NS);
	RIG_UNTIL(dt.d.r, (rig_conn_poll(dt.one.c), sessions() == 0));
	RIG_UNTIL(dt.d.r,
		  (rig_conn_poll(dt.one.c), dt.conns[0].fin && dt.conns[2].fin && last->fin));
	dtcp_end();
}

/* A guest that does not read holds up its own session, for a while. */
static void a_guest_that_does_not_read_is_waited_for(void **state)
{
	static struct dnsmsg q;
	uint32_t room;
	int fd;

	(void)state;
	dtcp_begin(1);
	dtcp_conn_init(&dt.one, 40000);
	dt.one.c->window = 2000;
	dt.one.c->wscale = -1;
	dt.one.c->auto_ack = false;
	dtcp_conn_opened(dt.one.c);
	dnsmsg_query(&q, 1, "long.test", 16);
	dtcp_send_message(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	dnsmsg_answer(&dt.m, 0);
	room = 60000;
	rig_pattern(dt.got.b, room, 5, 0);
	dnsmsg_record(&dt.m, DNS_OFF_ANCOUNT, DNS_HLEN, 16, 60, dt.got.b, (uint16_t)room);
	dtcp_resolver_sends(fd);
	close(fd);
	for (int i = 0; i < 20; i++) {
		rig_cycle(dt.d.r);
		rig_conn_poll(dt.one.c);
	}
	assert_in_range(dt.one.c->rx_bytes, 1, 2000);
	dt.one.c->auto_ack = true;
	dt.one.c->window = 60000;
	rig_conn_ack(dt.one.c);
	dtcp_get_message(&dt.one, &q);
	rig_pattern_check(dt.got.b + dt.got.len - room, room, 5, 0);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* The resolver writes what goes, the guest looks at what has come. Did anything go? */
static bool pump(int fd, const uint8_t *stream, uint32_t *sent, uint32_t total)
{
	ssize_t n = send(fd, stream + *sent, total - *sent, MSG_DONTWAIT);

	*sent += n > 0 ? (uint32_t)n : 0;
	rig_conn_poll(dt.one.c);
	return n > 0;
}

/* More than all sockets on the way can hold: written piece by piece, and no byte is lost. */
static void a_guest_that_reads_late_gets_every_byte(void **state)
{
	enum { MESSAGE = 60000, MESSAGES = 66, TOTAL = MESSAGES * (MESSAGE + 2) };
	static uint8_t stream[TOTAL];
	static struct dnsmsg q;
	uint32_t sent = 0, idle = 0;
	int fd;

	(void)state;
	dtcp_init(1);
	dt.d.cfg.stack.rcvbuf = 8192;
	dns_rig_start(&dt.d);
	dtcp_conn_init(&dt.one, 40000);
	dt.one.c->window = 2000;
	dt.one.c->auto_ack = false;
	dtcp_conn_opened(dt.one.c);
	dnsmsg_query(&q, 0x1234, "zone.test", DNS_TYPE_AXFR);
	dtcp_send_message(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ 8192 }, sizeof(int)), 0);
	dnsmsg_answer(&dt.m, 0);
	rig_pattern(stream, TOTAL, 3, 0);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		put_be16(stream + i * (MESSAGE + 2), MESSAGE);
		memcpy(stream + i * (MESSAGE + 2) + 2, dt.m.b, dt.m.len);
	}
	while (idle < 50) {
		idle = pump(fd, stream, &sent, TOTAL) ? 0 : idle + 1;
		rig_cycle(dt.d.r);
	}
	assert_true(sent < TOTAL); /* or this test shows nothing */
	dt.one.c->auto_ack = true;
	dt.one.c->window = 1U << 20;
	rig_conn_ack(dt.one.c);
	RIG_UNTIL(dt.d.r, (pump(fd, stream, &sent, TOTAL), dt.one.c->rx_bytes == TOTAL));
	for (uint32_t i = 0; i < MESSAGES; i++)
		put_be16(stream + i * (MESSAGE + 2) + 2, 0x1234);
	assert_memory_equal(dt.one.keep, stream, TOTAL);
	close(fd);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* RFC 5936: many messages for one question, the last of which only the resolver knows. */
static void zone_transfers_pass_until_the_resolver_closes(void **state)
{
	static struct dnsmsg q, first;
	uint8_t len[2];
	int fd;

	(void)state;
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 40000);
	dnsmsg_query(&q, 0x1234, "zone.test", DNS_TYPE_AXFR);
	dtcp_send_message(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	dnsmsg_answer(&dt.m, 0);
	dnsmsg_soa(&dt.m, 60, 60);
	first = dt.m;
	dtcp_resolver_sends(fd);
	dtcp_get_message(&dt.one, &q);
	for (uint32_t i = 0; i < 5; i++) {
		rig_advance(dt.d.r, 10 * NS_PER_S); /* it takes its time */
		/* Without a question. */
		dt.m = first;
		put_be16(dt.m.b + DNS_OFF_QDCOUNT, 0);
		put_be32(dt.m.b + dt.m.question, i);
		put_be16(len, (uint16_t)dt.m.len);
		rig_write_all(dt.d.r, fd, len, 2);
		rig_write_all(dt.d.r, fd, dt.m.b, 5);
		rig_cycle(dt.d.r);
		rig_advance(dt.d.r, 10 * NS_PER_S); /* also within a message */
		rig_write_all(dt.d.r, fd, dt.m.b + 5, dt.m.len - 5);
		RIG_UNTIL(dt.d.r, dtcp_message_is_here(&dt.one));
		assert_int_equal(get_be16(dt.one.keep + dt.one.read), dt.m.len);
		assert_int_equal(get_be16(dt.one.keep + dt.one.read + 2), 0x1234);
		assert_memory_equal(dt.one.keep + dt.one.read + 4, dt.m.b + 2, dt.m.len - 2);
		dt.one.read += 2 + dt.m.len;
	}
	assert_false(dt.one.c->fin);
	close(fd);
	RIG_CONN_UNTIL(dt.one.c, dt.one.c->fin);
	assert_int_equal(dt.one.c->rx_bytes, dt.one.read);
	dtcp_conn_close(dt.one.c);
	/* What belongs to another question ends it. */
	dtcp_conn_open(&dt.one, 40001);
	dtcp_send_message(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	dnsmsg_answer(&dt.m, 0);
	dtcp_resolver_sends(fd);
	dtcp_get_message(&dt.one, &q);
	dt.m.b[0] ^= 1;
	dtcp_resolver_sends(fd);
	RIG_CONN_UNTIL(dt.one.c, dt.one.c->fin);
	assert_int_equal(dt.one.c->rx_bytes, dt.one.read);
	assert_int_equal(rig_drops(dt.d.r, DROP_DNS_MALFORMED), 1);
	close(fd);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* Where the guest's connection really goes: to a port of ours on this host. */
static struct endpoint our_port(void)
{
	struct flow_cursor at = { 0 };
	struct flow_snap flow;

	assert_int_equal(stack_snap_flows(rig_stack(dt.d.r), &at, &flow, 1), 1);
	return flow.host;
}

static int dial(const struct endpoint *ep)
{
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(ep, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &sa.sa, len), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Nobody but the guest is served, not even who knows the port. */
static void strangers_are_turned_away(void **state)
{
	static struct dnsmsg q;
	struct endpoint here;
	uint8_t byte;
	int fd;

	(void)state;
	log_set_level(LOG_ERROR);
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 40000);
	here = our_port();
	assert_true(ipaddr_is_loopback(&here.addr));
	fd = dial(&here);
	RIG_UNTIL(dt.d.r, recv(fd, &byte, 1, 0) == 0 || errno == ECONNRESET);
	close(fd);
	assert_int_equal(sessions(), 1);
	/* Nor the guest itself by another way. */
	rig_conn_init(dt.two.c, dt.d.r, 40001, here.port);
	dtcp_group(dt.two.c);
	dtcp_conn_opened(dt.two.c);
	dtcp_conn_close(dt.two.c);
	assert_int_equal(sessions(), 1);
	dnsmsg_query(&q, 1, "gateway", DNS_TYPE_A);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* The guest goes while a resolver is asked; what comes then finds nobody. */
static void a_guest_that_resets_leaves_nothing_behind(void **state)
{
	static struct dnsmsg q;
	int fd;

	(void)state;
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 40000);
	dtcp_ask(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	rig_conn_segment(dt.one.c, RIG_RST | RIG_ACK, dt.one.c->snd_nxt, NULL, 0);
	rig_cycle(dt.d.r);
	dtcp_resolver_answers(fd, 0, 1);
	RIG_UNTIL(dt.d.r, sessions() == 0);
	rig_conn_poll(dt.one.c);
	close(fd);
	/* All of them, when the driver goes for good. */
	dtcp_conn_open(&dt.one, 40001);
	dtcp_ask(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	assert_int_equal(sessions(), 1);
	rig_detach(dt.d.r);
	stack_reset(rig_stack(dt.d.r));
	assert_int_equal(sessions(), 0);
	rig_attach(dt.d.r);
	rig_read_eof(dt.d.r, fd);
	close(fd);
	/* A reset may still be told to the connection that was. */
	dtcp_conn_open(&dt.two, 40002);
	dtcp_resolve(&dt.two, "a.test", ADDR);
	dtcp_conn_close(dt.two.c);
	dtcp_end();
}

/* What we read ourselves is never lent: nobody would say that it was read. */
static void queries_are_copied_whatever_the_engine(void **state)
{
	static struct dnsmsg q;
	uint8_t all[60000];
	uint32_t len = 0, n = 0;

	(void)state;
	dtcp_init(1);
	dt.d.cfg.stack.bulk = STACK_BULK_SPLICE;
	dns_rig_start(&dt.d);
	dtcp_conn_open(&dt.one, 40000);
	dnsmsg_query(&q, 1, "gateway", DNS_TYPE_A);
	while (len + 2 + q.len <= sizeof(all)) {
		put_be16(all + len, (uint16_t)q.len);
		memcpy(all + len + 2, q.b, q.len);
		len += 2 + q.len;
		n++;
	}
	rig_conn_send_bytes(dt.one.c, all, len);
	while (n-- > 0)
		dtcp_get_message(&dt.one, &q);
	assert_int_equal(counter_get(&dns_rig_counters(&dt.d)->bulk_splice_bytes), 0);
	assert_int_equal(counter_get(&dns_rig_counters(&dt.d)->bulk_copy_bytes), len);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* By the IPv6 address of the service, too; the resolver is the same. */
static void the_ip6_address_serves_as_well(void **state)
{
	(void)state;
	dtcp_init(1);
	dt.d.cfg.stack.ip6 = true;
	dns_rig_start(&dt.d);
	rig_conn_init6(dt.one.c, dt.d.r, 40000, DNS_PORT);
	dt.one.c->dst6 = dt.d.cfg.stack.dns6;
	dt.one.c->keep = dt.one.keep;
	dt.one.c->keep_max = sizeof(dt.one.keep);
	dtcp_group(dt.one.c);
	dt.one.read = 0;
	dtcp_conn_opened(dt.one.c);
	dtcp_resolve(&dt.one, "a.test", ADDR);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_queries_end_the_session),
		cmocka_unit_test(sessions_are_bounded_and_age),
		cmocka_unit_test(a_guest_that_does_not_read_is_waited_for),
		cmocka_unit_test(a_guest_that_reads_late_gets_every_byte),
		cmocka_unit_test(zone_transfers_pass_until_the_resolver_closes),
		cmocka_unit_test(strangers_are_turned_away),
		cmocka_unit_test(a_guest_that_resets_leaves_nothing_behind),
		cmocka_unit_test(queries_are_copied_whatever_the_engine),
		cmocka_unit_test(the_ip6_address_serves_as_well),
	};

	return cmocka_run_group_tests_name("dns tcp bounds", tests, NULL, NULL);
}
