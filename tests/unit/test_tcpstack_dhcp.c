/* SPDX-License-Identifier: MIT */
/* DHCPv4 messages: what the parser refuses, and what each request is answered with. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/dhcp_msg.h"

#define GUEST	0x0a00020fU
#define GATEWAY 0x0a000202U
#define DNS	0x0a000203U
#define OTHER	0x0a000263U
#define XID	0x5eed1234U

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static const struct stack_config cfg = {
	.guest4 = GUEST,
	.gateway4 = GATEWAY,
	.dns4 = DNS,
	.prefix4 = 24,
	.mtu = 9000,
	.hostname = "sandbox",
};

/* A client's message under construction. */
struct msg {
	uint8_t b[DHCP_REQUEST_MAX + 1];
	uint32_t len;
};

static void msg_begin(struct msg *m, uint8_t type)
{
	*m = (struct msg){ .b = { 1, 1, 6 }, .len = 240 };
	put_be32(m->b + 4, XID);
	memcpy(m->b + 28, mac, 6);
	put_be32(m->b + 236, 0x63825363);
	m->b[m->len++] = 53;
	m->b[m->len++] = 1;
	m->b[m->len++] = type;
}

static void msg_option(struct msg *m, uint8_t code, const void *data, uint8_t len)
{
	m->b[m->len++] = code;
	m->b[m->len++] = len;
	memcpy(m->b + m->len, data, len);
	m->len += len;
}

static void msg_option32(struct msg *m, uint8_t code, uint32_t v)
{
	uint8_t be[4];

	put_be32(be, v);
	msg_option(m, code, be, 4);
}

static void msg_end(struct msg *m)
{
	m->b[m->len++] = 255;
}

/* The data of option @code in a reply, its length in @len; NULL when absent. */
static const uint8_t *reply_option(const struct dhcp_reply *r, uint8_t code, uint8_t *len)
{
	uint32_t i = 240;

	assert_int_equal(get_be32(r->msg + 236), 0x63825363);
	while (r->msg[i] != 255) {
		if (r->msg[i] == code) {
			*len = r->msg[i + 1];
			return r->msg + i + 2;
		}
		i += 2U + r->msg[i + 1];
		assert_true(i < r->len);
	}
	return NULL;
}

static uint32_t reply_option32(const struct dhcp_reply *r, uint8_t code)
{
	uint8_t len = 0;
	const uint8_t *p = reply_option(r, code, &len);

	assert_non_null(p);
	assert_int_equal(len, 4);
	return get_be32(p);
}

static void answer(struct msg *m, struct dhcp_reply *reply)
{
	struct dhcp_request req;

	msg_end(m);
	assert_int_equal(dhcp_parse(m->b, m->len, &req), 0);
	assert_int_equal(dhcp_answer(&cfg, &req, reply), 0);
}

static void discover_gets_an_offer_with_the_whole_configuration(void **state)
{
	struct dhcp_reply r;
	struct msg m;
	uint8_t len;

	(void)state;
	msg_begin(&m, DHCP_DISCOVER);
	answer(&m, &r);

	assert_int_equal(r.type, DHCP_OFFER);
	assert_int_equal(r.dst, GUEST);
	assert_int_equal(r.len, 300);
	assert_int_equal(r.msg[0], 2);
	assert_int_equal(get_be32(r.msg + 4), XID);
	assert_int_equal(get_be32(r.msg + 12), 0);
	assert_int_equal(get_be32(r.msg + 16), GUEST);
	assert_memory_equal(r.msg + 28, mac, 6);
	assert_int_equal(reply_option32(&r, 1), 0xffffff00);
	assert_int_equal(reply_option32(&r, 3), GATEWAY);
	assert_int_equal(reply_option32(&r, 6), DNS);
	assert_int_equal(reply_option32(&r, 28), 0x0a0002ff);
	assert_int_equal(reply_option32(&r, 54), GATEWAY);
	assert_true(reply_option32(&r, 51) > 0);
	assert_int_equal(get_be16(reply_option(&r, 26, &len)), 9000);
	assert_int_equal(len, 2);
	assert_memory_equal(reply_option(&r, 12, &len), "sandbox", 7);
	assert_int_equal(len, 7);
}

static void broadcast_flag_sends_the_reply_to_everyone(void **state)
{
	struct dhcp_reply r;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_DISCOVER);
	m.b[10] = 0x80;
	answer(&m, &r);
	assert_int_equal(r.dst, 0xffffffff);
	assert_int_equal(get_be16(r.msg + 10), 0x8000);
}

static void selecting_request_is_acknowledged(void **state)
{
	struct dhcp_reply r;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_REQUEST);
	msg_option32(&m, 50, GUEST);
	msg_option32(&m, 54, GATEWAY);
	answer(&m, &r);
	assert_int_equal(r.type, DHCP_ACK);
	assert_int_equal(get_be32(r.msg + 16), GUEST);
}

static void request_for_another_server_gets_silence(void **state)
{
	struct dhcp_reply r;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_REQUEST);
	msg_option32(&m, 50, GUEST);
	msg_option32(&m, 54, OTHER);
	answer(&m, &r);
	assert_int_equal(r.type, 0);
}

static void wrong_address_gets_a_broadcast_nak_without_configuration(void **state)
{
	struct dhcp_reply r;
	struct msg m;
	uint8_t len;

	(void)state;
	msg_begin(&m, DHCP_REQUEST);
	msg_option32(&m, 50, OTHER);
	answer(&m, &r);
	assert_int_equal(r.type, DHCP_NAK);
	assert_int_equal(r.dst, 0xffffffff);
	assert_int_equal(get_be32(r.msg + 16), 0);
	assert_null(reply_option(&r, 51, &len));
	assert_null(reply_option(&r, 3, &len));
}

static void renewal_is_acknowledged_to_the_address_in_use(void **state)
{
	struct dhcp_reply r;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_REQUEST);
	put_be32(m.b + 12, GUEST);
	m.b[10] = 0x80; /* ciaddr takes precedence over the flag */
	answer(&m, &r);
	assert_int_equal(r.type, DHCP_ACK);
	assert_int_equal(r.dst, GUEST);
	assert_int_equal(get_be32(r.msg + 12), GUEST);
}

static void renewal_of_a_foreign_address_gets_a_nak(void **state)
{
	struct dhcp_reply r;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_REQUEST);
	put_be32(m.b + 12, OTHER);
	answer(&m, &r);
	assert_int_equal(r.type, DHCP_NAK);
}

static void inform_gets_configuration_but_no_lease(void **state)
{
	struct dhcp_reply r;
	struct msg m;
	uint8_t len;

	(void)state;
	msg_begin(&m, DHCP_INFORM);
	put_be32(m.b + 12, GUEST);
	answer(&m, &r);
	assert_int_equal(r.type, DHCP_ACK);
	assert_int_equal(get_be32(r.msg + 16), 0);
	assert_null(reply_option(&r, 51, &len));
	assert_int_equal(reply_option32(&r, 6), DNS);
}

static void release_and_decline_get_silence(void **state)
{
	struct dhcp_reply r;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_RELEASE);
	answer(&m, &r);
	assert_int_equal(r.type, 0);
	msg_begin(&m, DHCP_DECLINE);
	answer(&m, &r);
	assert_int_equal(r.type, 0);
}

static void longest_client_id_comes_back_beside_the_configuration(void **state)
{
	struct stack_config full = cfg;
	struct dhcp_request req;
	struct dhcp_reply r;
	uint8_t id[255], len = 0;
	struct msg m;

	(void)state;
	memset(full.hostname, 'h', sizeof(full.hostname) - 1);
	for (uint32_t i = 0; i < sizeof(id); i++)
		id[i] = (uint8_t)(i * 7);
	msg_begin(&m, DHCP_DISCOVER);
	msg_option(&m, 61, id, sizeof(id));
	msg_end(&m);
	assert_int_equal(dhcp_parse(m.b, m.len, &req), 0);
	assert_int_equal(dhcp_answer(&full, &req, &r), 0);
	assert_memory_equal(reply_option(&r, 61, &len), id, sizeof(id));
	assert_int_equal(len, 255);
	assert_int_equal(reply_option32(&r, 6), DNS);
	assert_true(r.len <= DHCP_REPLY_MAX);
}

static void relayed_message_is_refused(void **state)
{
	struct dhcp_request req;
	struct dhcp_reply r;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_DISCOVER);
	put_be32(m.b + 24, OTHER);
	msg_end(&m);
	assert_int_equal(dhcp_parse(m.b, m.len, &req), 0);
	assert_int_equal(dhcp_answer(&cfg, &req, &r), -EINVAL);
}

static void assert_refused(const struct msg *m)
{
	struct dhcp_request req;

	assert_int_equal(dhcp_parse(m->b, m->len, &req), -EBADMSG);
}

static void every_cut_of_a_message_is_refused(void **state)
{
	struct dhcp_request req;
	struct msg m;

	(void)state;
	msg_begin(&m, DHCP_REQUEST);
	msg_option32(&m, 50, GUEST);
	msg_option32(&m, 54, GATEWAY);
	msg_end(&m);
	for (uint32_t len = 0; len < m.len; len++) {
		uint8_t exact[300];

		memcpy(exact + sizeof(exact) - len, m.b, len);
		assert_int_equal(dhcp_parse(exact + sizeof(exact) - len, len, &req), -EBADMSG);
	}
	assert_int_equal(dhcp_parse(m.b, m.len, &req), 0);
}

static void malformed_messages_are_refused(void **state)
{
	static const uint8_t bad_types[] = { 0, DHCP_OFFER, DHCP_ACK, DHCP_NAK, 9, 255 };
	struct msg m;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(bad_types); i++) {
		msg_begin(&m, bad_types[i]);
		msg_end(&m);
		assert_refused(&m);
	}
	for (uint32_t off = 0; off < 3; off++) { /* op, htype, hlen */
		msg_begin(&m, DHCP_DISCOVER);
		msg_end(&m);
		m.b[off]++;
		assert_refused(&m);
	}
	msg_begin(&m, DHCP_DISCOVER);
	msg_end(&m);
	m.b[236] ^= 1; /* magic */
	assert_refused(&m);

	msg_begin(&m, DHCP_DISCOVER);
	msg_option(&m, 50, mac, 3); /* an address of three bytes */
	msg_end(&m);
	assert_refused(&m);

	msg_begin(&m, DHCP_DISCOVER);
	m.b[m.len++] = 12;
	m.b[m.len++] = 200; /* runs past the end */
	msg_end(&m);
	assert_refused(&m);

	msg_begin(&m, DHCP_DISCOVER);
	msg_end(&m);
	m.len = DHCP_REQUEST_MAX + 1;
	assert_refused(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(discover_gets_an_offer_with_the_whole_configuration),
		cmocka_unit_test(broadcast_flag_sends_the_reply_to_everyone),
		cmocka_unit_test(selecting_request_is_acknowledged),
		cmocka_unit_test(request_for_another_server_gets_silence),
		cmocka_unit_test(wrong_address_gets_a_broadcast_nak_without_configuration),
		cmocka_unit_test(renewal_is_acknowledged_to_the_address_in_use),
		cmocka_unit_test(renewal_of_a_foreign_address_gets_a_nak),
		cmocka_unit_test(inform_gets_configuration_but_no_lease),
		cmocka_unit_test(release_and_decline_get_silence),
		cmocka_unit_test(longest_client_id_comes_back_beside_the_configuration),
		cmocka_unit_test(relayed_message_is_refused),
		cmocka_unit_test(every_cut_of_a_message_is_refused),
		cmocka_unit_test(malformed_messages_are_refused),
	};

	return cmocka_run_group_tests_name("tcpstack_dhcp", tests, NULL, NULL);
}
