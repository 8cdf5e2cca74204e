/* SPDX-License-Identifier: MIT */
/* A stack rig whose resolvers speak TCP, and a guest's connections to port 53. */
#include "tests/stack/dns_tcp_rig.h"

#include <unistd.h>

#include "src/base/base.h"

struct dtcp dt = { .one.c = &dt.conns[0], .two.c = &dt.conns[1] };

void dtcp_init(uint8_t resolvers)
{
	dns_rig_init(&dt.d, 0);
	dt.d.cfg.stack.ip6 = false;
	dt.d.cfg.stack.nresolvers = resolvers;
	for (uint8_t i = 0; i < DTCP_RESOLVERS; i++)
		dt.lfd[i] = -1;
	for (uint8_t i = 0; i < resolvers; i++) {
		dt.lfd[i] = rig_listen(&dt.d.cfg.stack.resolvers[i].port);
		dt.d.cfg.stack.resolvers[i].addr = ipaddr_from_v4(INADDR_LOOPBACK);
	}
}

void dtcp_end(void)
{
	for (uint8_t i = 0; i < DTCP_RESOLVERS; i++)
		if (dt.lfd[i] >= 0)
			close(dt.lfd[i]);
	dns_rig_end(&dt.d);
}

void dtcp_begin(uint8_t resolvers)
{
	dtcp_init(resolvers);
	dns_rig_start(&dt.d);
}

/* Frames of one connection are found while those of another are looked for. */
void dtcp_group(struct rig_conn *c)
{
	c->group = dt.conns;
	c->group_size = ARRAY_SIZE(dt.conns);
}

void dtcp_conn_init(struct conn *k, uint16_t sport)
{
	rig_conn_init(k->c, dt.d.r, sport, DNS_PORT);
	dtcp_group(k->c);
	k->c->dst = DNS_RIG_ADDR;
	k->c->keep = k->keep;
	k->c->keep_max = sizeof(k->keep);
	k->read = 0;
}

/* The rest of the handshake. */
void dtcp_conn_opened(struct rig_conn *c)
{
	rig_conn_syn(c);
	RIG_UNTIL(dt.d.r, (rig_conn_poll(c), c->synack));
	rig_conn_ack(c);
}

void dtcp_conn_open(struct conn *k, uint16_t sport)
{
	dtcp_conn_init(k, sport);
	dtcp_conn_opened(k->c);
}

/* The guest has had enough, or the stack has. */
void dtcp_conn_close(struct rig_conn *c)
{
	if (!c->fin_sent && !c->rst)
		rig_conn_fin(c);
	RIG_UNTIL(dt.d.r, (rig_conn_poll(c), c->rst || (c->fin && rig_conn_acked(c))));
}

void dtcp_send_message(struct conn *k, const struct dnsmsg *q)
{
	uint8_t buf[2 + 2048];

	put_be16(buf, (uint16_t)q->len);
	memcpy(buf + 2, q->b, q->len);
	rig_conn_send_bytes(k->c, buf, q->len + 2);
}

bool dtcp_message_is_here(struct conn *k)
{
	rig_conn_poll(k->c);
	return k->c->rx_bytes >= k->read + 2 &&
	       k->c->rx_bytes >= k->read + 2 + get_be16(k->keep + k->read);
}

/* The next answer goes to `got`; it is to @q. */
void dtcp_get_message(struct conn *k, const struct dnsmsg *q)
{
	RIG_UNTIL(dt.d.r, dtcp_message_is_here(k));
	dt.got.len = get_be16(k->keep + k->read);
	memcpy(dt.got.b, k->keep + k->read + 2, dt.got.len);
	k->read += 2 + dt.got.len;
	assert_int_equal(get_be16(dt.got.b), get_be16(q->b));
	assert_true(dnsmsg_flags(&dt.got) & DNS_FLAG_QR);
	assert_true(dt.got.len >= q->question);
	assert_memory_equal(dt.got.b + DNS_HLEN, q->b + DNS_HLEN, q->question - DNS_HLEN);
	dt.got.question = q->question;
}

/* Resolver @i is connected to, and gets the query of @q's question into `m`. */
int dtcp_resolver_gets(uint32_t i, const struct dnsmsg *q)
{
	int fd = rig_accept(dt.d.r, dt.lfd[i]);
	struct dns_question question;
	uint8_t len[2];

	rig_read_all(dt.d.r, fd, len, 2);
	dt.m.len = get_be16(len);
	rig_read_all(dt.d.r, fd, dt.m.b, dt.m.len);
	assert_int_equal(dns_query_parse(dt.m.b, dt.m.len, &question), 0);
	dt.m.question = question.end;
	assert_int_equal(dt.m.len, q->len);
	assert_memory_equal(dt.m.b + 2, q->b + 2, q->len - 2);
	return fd;
}

/* What `m` has become goes to the stack. */
void dtcp_resolver_sends(int fd)
{
	uint8_t len[2];

	put_be16(len, (uint16_t)dt.m.len);
	rig_write_all(dt.d.r, fd, len, 2);
	rig_write_all(dt.d.r, fd, dt.m.b, dt.m.len);
}

void dtcp_resolver_answers(int fd, uint16_t rcode, uint32_t addr)
{
	dnsmsg_answer(&dt.m, rcode);
	if (rcode == 0)
		dnsmsg_a(&dt.m, 60, addr);
	dtcp_resolver_sends(fd);
}

void dtcp_assert_address(uint32_t addr)
{
	assert_int_equal(dnsmsg_rcode(&dt.got), 0);
	assert_int_equal(dnsmsg_records(&dt.got, DNS_ANSWER), 1);
	assert_int_equal(get_be32(dnsmsg_get(&dt.got, DNS_ANSWER, 0).rdata), addr);
}

/* @resolver gets @q, answers it with one address, and the guest has that. */
void dtcp_served_by(uint32_t resolver, struct conn *k, const struct dnsmsg *q, uint32_t addr)
{
	int fd = dtcp_resolver_gets(resolver, q);

	dtcp_resolver_answers(fd, 0, addr);
	dtcp_get_message(k, q);
	dtcp_assert_address(addr);
	close(fd);
}

/* One query of its own, answered by resolver 0 with an address. */
void dtcp_resolve(struct conn *k, const char *name, uint32_t addr)
{
	static struct dnsmsg q;

	dnsmsg_query(&q, 77, name, DNS_TYPE_A);
	dtcp_send_message(k, &q);
	dtcp_served_by(0, k, &q, addr);
}

void dtcp_ask(struct conn *k, struct dnsmsg *q)
{
	static uint16_t id;
	char name[24];

	snprintf(name, sizeof(name), "n%u.test", (unsigned int)++id);
	dnsmsg_query(q, id, name, DNS_TYPE_A);
	dtcp_send_message(k, q);
}
