/* SPDX-License-Identifier: MIT */
/* DHCPv6 messages: what is refused, what is granted, and what is met with silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "src/base/base.h"
#include "tcpstack/dhcp6_msg.h"
#include "tcpstack/limits.h"

#define IA_NA 3
#define IA_TA 4
#define IA_PD 25

static const uint8_t client_duid[14] = { 0, 1, 0, 1, 9, 8, 7, 6, 0x52, 0x54, 0, 1, 2, 3 };
static uint8_t server_duid[10] = { 0, 3, 0, 1 };

static struct stack_config cfg;

/* A message under construction. */
struct message {
	uint8_t b[DHCP6_MSG_MAX];
	uint32_t len;
};

static void option(struct message *m, uint16_t code, const void *data, uint32_t len)
{
	put_be16(m->b + m->len, code);
	put_be16(m->b + m->len + 2, (uint16_t)len);
	memcpy(m->b + m->len + 4, data, len);
	m->len += 4 + len;
}

static struct message message(uint8_t type, bool client, bool server)
{
	struct message m = { { type, 0xab, 0xcd, 0xef }, 4 };

	stack_config_defaults(&cfg);
	memcpy(server_duid + 4, cfg.our_mac, 6);
	if (client)
		option(&m, 1, client_duid, sizeof(client_duid));
	if (server)
		option(&m, 2, server_duid, sizeof(server_duid));
	return m;
}

/* An association with @addr in it, or none. */
static void ia(struct message *m, uint16_t kind, uint32_t id, const struct ipaddr *addr)
{
	uint32_t fixed = kind == IA_TA ? 4 : 12;
	uint8_t b[64] = { 0 };

	put_be32(b, id);
	if (addr) {
		put_be16(b + fixed, 5);
		put_be16(b + fixed + 2, 24);
		memcpy(b + fixed + 4, addr->b, 16);
	}
	option(m, kind, b, fixed + (addr ? 28 : 0));
}

static struct dhcp6_reply answer(const struct message *m)
{
	struct dhcp6_request req;
	struct dhcp6_reply reply = { 0 };

	assert_int_equal(dhcp6_parse(m->b, m->len, &req), 0);
	dhcp6_answer(&cfg, &req, &reply);
	if (reply.type) {
		assert_int_equal(reply.msg[0], reply.type);
		assert_memory_equal(reply.msg + 1, m->b + 1, 3);
	}
	return reply;
}

/* The @nth option @code between @p and @end, its length in *@len; NULL if there is none. */
static const uint8_t *find(const uint8_t *p, const uint8_t *end, uint16_t code, uint32_t nth,
			   uint32_t *len)
{
	while (p < end) {
		assert_true(end - p >= 4 && get_be16(p + 2) <= end - p - 4);
		*len = get_be16(p + 2);
		if (get_be16(p) == code && nth-- == 0)
			return p + 4;
		p += 4 + *len;
	}
	assert_ptr_equal(p, end);
	return NULL;
}

static const uint8_t *in_reply(const struct dhcp6_reply *r, uint16_t code, uint32_t nth,
			       uint32_t *len)
{
	return find(r->msg + 4, r->msg + r->len, code, nth, len);
}

static void check_ids(const struct dhcp6_reply *r)
{
	uint32_t len;
	const uint8_t *p = in_reply(r, 2, 0, &len);

	assert_non_null(p);
	assert_int_equal(len, sizeof(server_duid));
	assert_memory_equal(p, server_duid, len);
	p = in_reply(r, 1, 0, &len);
	assert_non_null(p);
	assert_int_equal(len, sizeof(client_duid));
	assert_memory_equal(p, client_duid, len);
}

/* The lease is in the @nth IA_NA, which has the number @id. */
static void check_lease(const struct dhcp6_reply *r, uint32_t nth, uint32_t id)
{
	uint32_t len, n;
	const uint8_t *p = in_reply(r, IA_NA, nth, &len), *a;

	assert_non_null(p);
	assert_int_equal(get_be32(p), id);
	assert_true(get_be32(p + 4) <= get_be32(p + 8) && get_be32(p + 8) < LIMIT_DHCP_LEASE_S);
	a = find(p + 12, p + len, 5, 0, &n);
	assert_non_null(a);
	assert_memory_equal(a, cfg.guest6.b, 16);
	assert_int_equal(get_be32(a + 16), LIMIT_DHCP_LEASE_S);
	assert_int_equal(get_be32(a + 20), LIMIT_DHCP_LEASE_S);
}

static void check_dns(const struct dhcp6_reply *r)
{
	uint32_t len;
	const uint8_t *p = in_reply(r, 23, 0, &len);

	assert_non_null(p);
	assert_int_equal(len, 16);
	assert_memory_equal(p, cfg.dns6.b, 16);
}

static uint16_t status_of(const struct dhcp6_reply *r)
{
	uint32_t len;
	const uint8_t *p = in_reply(r, 13, 0, &len);

	assert_non_null(p);
	return get_be16(p);
}

static void four_messages_give_the_address_and_the_resolver(void **state)
{
	static const uint8_t takers[] = { DHCP6_REQUEST, DHCP6_RENEW };
	struct message m = message(DHCP6_SOLICIT, true, false);
	struct dhcp6_reply r;

	(void)state;
	ia(&m, IA_NA, 7, NULL);
	r = answer(&m);
	assert_int_equal(r.type, DHCP6_ADVERTISE);
	check_ids(&r);
	check_lease(&r, 0, 7);
	check_dns(&r);
	for (size_t i = 0; i < ARRAY_SIZE(takers); i++) {
		m = message(takers[i], true, true);
		ia(&m, IA_NA, 7, &cfg.guest6);
		r = answer(&m);
		assert_int_equal(r.type, DHCP6_REPLY);
		check_ids(&r);
		check_lease(&r, 0, 7);
		check_dns(&r);
	}
	m = message(DHCP6_REBIND, true, false);
	ia(&m, IA_NA, 7, &cfg.guest6);
	r = answer(&m);
	assert_int_equal(r.type, DHCP6_REPLY);
	check_lease(&r, 0, 7);
}

static void rapid_commit_takes_two(void **state)
{
	struct message m = message(DHCP6_SOLICIT, true, false);
	struct dhcp6_reply r;
	uint32_t len;

	(void)state;
	option(&m, 14, "", 0);
	ia(&m, IA_NA, 1, NULL);
	r = answer(&m);
	assert_int_equal(r.type, DHCP6_REPLY);
	assert_non_null(in_reply(&r, 14, 0, &len));
	check_lease(&r, 0, 1);
}

static void information_alone_is_the_resolver(void **state)
{
	struct message m = message(DHCP6_INFORMATION, false, false);
	struct dhcp6_reply r = answer(&m);
	uint32_t len;

	(void)state;
	assert_int_equal(r.type, DHCP6_REPLY);
	check_dns(&r);
	assert_null(in_reply(&r, IA_NA, 0, &len));
	assert_null(in_reply(&r, 1, 0, &len));
}

static void what_we_do_not_give_is_declined_by_its_status(void **state)
{
	struct message m = message(DHCP6_REQUEST, true, true);
	struct ipaddr old;
	struct dhcp6_reply r;
	const uint8_t *p, *s;
	uint32_t len, n;

	(void)state;
	old = cfg.guest6;
	old.b[15] ^= 1;
	ia(&m, IA_PD, 9, NULL);
	ia(&m, IA_TA, 8, NULL);
	ia(&m, IA_NA, 1, &old);
	ia(&m, IA_NA, 2, NULL);
	r = answer(&m);
	check_lease(&r, 0, 1);
	/* The address that it had before has ended. */
	p = in_reply(&r, IA_NA, 0, &len);
	s = find(p + 12, p + len, 5, 1, &n);
	assert_non_null(s);
	assert_memory_equal(s, old.b, 16);
	assert_int_equal(get_be64(s + 16), 0);
	p = in_reply(&r, IA_NA, 1, &len);
	assert_int_equal(get_be32(p), 2);
	assert_int_equal(get_be16(find(p + 12, p + len, 13, 0, &n)), 2);
	p = in_reply(&r, IA_TA, 0, &len);
	assert_int_equal(get_be16(find(p + 4, p + len, 13, 0, &n)), 2);
	p = in_reply(&r, IA_PD, 0, &len);
	assert_int_equal(get_be16(find(p + 12, p + len, 13, 0, &n)), 6);
}

static void release_decline_and_confirm_are_acknowledged(void **state)
{
	static const uint8_t types[] = { DHCP6_RELEASE, DHCP6_DECLINE };
	struct ipaddr elsewhere = { { 0x20, 0x01, 0x0d, 0xb8 } };
	struct dhcp6_reply r;
	struct message m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		m = message(types[i], true, true);
		ia(&m, IA_NA, 1, &cfg.guest6);
		r = answer(&m);
		assert_int_equal(r.type, DHCP6_REPLY);
		assert_int_equal(status_of(&r), 0);
	}
	m = message(DHCP6_CONFIRM, true, false);
	ia(&m, IA_NA, 1, &cfg.guest6);
	r = answer(&m);
	assert_int_equal(status_of(&r), 0);
	ia(&m, IA_NA, 2, &elsewhere);
	r = answer(&m);
	assert_int_equal(status_of(&r), 4);
	m = message(DHCP6_CONFIRM, true, false);
	assert_int_equal(answer(&m).type, 0);
}

/* RFC 8415 16: discarded without a word. */
static void messages_for_others_meet_silence(void **state)
{
	static const struct {
		uint8_t type;
		bool client, server;
	} bad[] = {
		{ DHCP6_SOLICIT, false, false }, { DHCP6_SOLICIT, true, true },
		{ DHCP6_REQUEST, true, false },	 { DHCP6_REQUEST, false, true },
		{ DHCP6_RENEW, true, false },	 { DHCP6_REBIND, true, true },
		{ DHCP6_CONFIRM, true, true },	 { DHCP6_RELEASE, true, false },
		{ DHCP6_DECLINE, false, true },
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		m = message(bad[i].type, bad[i].client, bad[i].server);
		ia(&m, IA_NA, 1, &cfg.guest6);
		assert_int_equal(answer(&m).type, 0);
	}
	m = message(DHCP6_INFORMATION, true, false);
	ia(&m, IA_NA, 1, NULL);
	assert_int_equal(answer(&m).type, 0);
	m = message(DHCP6_REQUEST, true, false);
	option(&m, 2, client_duid, sizeof(client_duid)); /* another server */
	ia(&m, IA_NA, 1, NULL);
	assert_int_equal(answer(&m).type, 0);
}

/* H50: cut anywhere, a message is refused or means the same without its last options. */
static void malformed_messages_are_refused(void **state)
{
	static const uint8_t long_duid[DHCP6_DUID_MAX + 1];
	static const uint8_t not_ours[] = { 0, 2, 7, 10, 12, 13, 255 };
	struct message m = message(DHCP6_REQUEST, true, true);
	struct dhcp6_request req;

	(void)state;
	ia(&m, IA_NA, 1, &cfg.guest6);
	for (uint32_t len = 0; len < m.len; len++) {
		bool between = len == 4 || len == 4 + 18 || len == 4 + 18 + 14;

		assert_int_equal(dhcp6_parse(m.b, len, &req), between ? 0 : -EBADMSG);
	}
	for (size_t i = 0; i < ARRAY_SIZE(not_ours); i++) {
		m.b[0] = not_ours[i];
		assert_int_equal(dhcp6_parse(m.b, m.len, &req), -EBADMSG);
	}
	m = message(DHCP6_SOLICIT, true, false);
	option(&m, IA_NA, client_duid, 11);
	assert_int_equal(dhcp6_parse(m.b, m.len, &req), -EBADMSG);
	m = message(DHCP6_SOLICIT, false, false);
	option(&m, 1, client_duid, 2);
	assert_int_equal(dhcp6_parse(m.b, m.len, &req), -EBADMSG);
	m = message(DHCP6_SOLICIT, false, false);
	option(&m, 1, long_duid, sizeof(long_duid));
	assert_int_equal(dhcp6_parse(m.b, m.len, &req), -EBADMSG);
}

/* Many associations: those beyond the bound are not answered, and the reply fits. */
static void associations_are_bounded(void **state)
{
	struct message m = message(DHCP6_REQUEST, true, true);
	struct dhcp6_reply r;
	uint32_t len;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		ia(&m, IA_NA, i, &cfg.dns6);
	r = answer(&m);
	assert_non_null(in_reply(&r, IA_NA, DHCP6_IAS_MAX - 1, &len));
	assert_null(in_reply(&r, IA_NA, DHCP6_IAS_MAX, &len));
	check_dns(&r);
}

/* Whatever the bytes: no crash, and no reply longer than its buffer. */
static void random_bytes_do_no_harm(void **state)
{
	uint64_t z = 1;

	(void)state;
	for (uint32_t i = 0; i < 100000; i++) {
		struct message m = message(DHCP6_SOLICIT + (uint8_t)(i % 11), true, i & 1);
		struct dhcp6_request req;
		struct dhcp6_reply r = { 0 };

		ia(&m, i & 2 ? IA_NA : IA_PD, i, &cfg.guest6);
		for (uint32_t n = i % 5; n > 0; n--) {
			z = z * 6364136223846793005ULL + 1442695040888963407ULL;
			m.b[1 + (z >> 33) % (m.len - 1)] = (uint8_t)(z >> 56);
		}
		if (dhcp6_parse(m.b, m.len, &req))
			continue;
		dhcp6_answer(&cfg, &req, &r);
		assert_true(r.type == 0 || r.len <= sizeof(r.msg));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_messages_give_the_address_and_the_resolver),
		cmocka_unit_test(rapid_commit_takes_two),
		cmocka_unit_test(information_alone_is_the_resolver),
		cmocka_unit_test(what_we_do_not_give_is_declined_by_its_status),
		cmocka_unit_test(release_decline_and_confirm_are_acknowledged),
		cmocka_unit_test(messages_for_others_meet_silence),
		cmocka_unit_test(malformed_messages_are_refused),
		cmocka_unit_test(associations_are_bounded),
		cmocka_unit_test(random_bytes_do_no_harm),
	};

	return cmocka_run_group_tests_name("dhcp6", tests, NULL, NULL);
}
