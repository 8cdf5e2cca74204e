/* SPDX-License-Identifier: MIT */
/* What the peer has not read: right to the byte, and never some other socket's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "tcpstack/sockdiag.h"

struct pair {
	int nl, listener, ours, theirs;
	struct sockdiag_peer p;
};

static void endpoints(struct pair *c)
{
	union sockaddr_any here, there;
	socklen_t here_len = sizeof(here), there_len = sizeof(there);

	assert_int_equal(getsockname(c->ours, &here.sa, &here_len), 0);
	assert_int_equal(getpeername(c->ours, &there.sa, &there_len), 0);
	c->p = (struct sockdiag_peer){ .known = false };
	assert_int_equal(endpoint_from_sockaddr(&here, &c->p.here), 0);
	assert_int_equal(endpoint_from_sockaddr(&there, &c->p.there), 0);
}

/* @family: of the listener; an IPv6 one is reached by IPv4. */
static void connect_pair(struct pair *c, int family)
{
	union sockaddr_any sa = { .in4 = { .sin_family = AF_INET } };
	socklen_t len = sizeof(sa);

	c->nl = sockdiag_open();
	if (c->nl < 0) {
		print_message("no sock_diag here\n");
		skip();
	}
	if (family == AF_INET6)
		sa.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	else
		sa.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->listener = socket(family, SOCK_STREAM, 0);
	assert_true(c->listener >= 0);
	if (bind(c->listener, &sa.sa, family == AF_INET6 ? sizeof(sa.in6) : sizeof(sa.in4))) {
		print_message("no IPv6 here\n");
		skip();
	}
	assert_int_equal(listen(c->listener, 4), 0);
	assert_int_equal(getsockname(c->listener, &sa.sa, &len), 0);
	sa.in4 = (struct sockaddr_in){ .sin_family = AF_INET,
				       .sin_port = family == AF_INET6 ? sa.in6.sin6_port
								      : sa.in4.sin_port,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	c->ours = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(c->ours, &sa.sa, sizeof(sa.in4)), 0);
	c->theirs = accept(c->listener, NULL, NULL);
	assert_true(c->theirs >= 0);
	endpoints(c);
}

static void close_pair(struct pair *c)
{
	close(c->nl);
	close(c->listener);
	close(c->ours);
	close(c->theirs);
}

static void counts_to_the_byte(int family)
{
	uint8_t buf[1000] = { 0 };
	uint32_t unread = 7;
	struct pair c;

	connect_pair(&c, family);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	assert_int_equal(unread, 0);
	assert_int_equal(send(c.ours, buf, sizeof(buf), 0), sizeof(buf));
	assert_int_equal(recv(c.theirs, buf, 1, 0), 1);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	assert_int_equal(unread, sizeof(buf) - 1);
	assert_int_equal(recv(c.theirs, buf, 500, MSG_PEEK), 500); /* not read by that */
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	assert_int_equal(unread, sizeof(buf) - 1);
	assert_int_equal(recv(c.theirs, buf, 999, MSG_WAITALL), 999);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	assert_int_equal(unread, 0);
	close_pair(&c);
}

static void unread_bytes_are_counted(void **state)
{
	(void)state;
	counts_to_the_byte(AF_INET);
}

static void a_peer_of_both_families_is_found(void **state)
{
	(void)state;
	counts_to_the_byte(AF_INET6);
}

/* The FIN is one more, until the peer has seen the end. */
static void a_fin_counts_as_one(void **state)
{
	uint32_t unread = 7;
	struct pair c;
	uint8_t byte = 0;

	(void)state;
	connect_pair(&c, AF_INET);
	assert_int_equal(send(c.ours, &byte, 1, 0), 1);
	assert_int_equal(shutdown(c.ours, SHUT_WR), 0);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	assert_int_equal(unread, 2);
	assert_int_equal(recv(c.theirs, &byte, 1, 0), 1);
	assert_int_equal(recv(c.theirs, &byte, 1, 0), 0);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	assert_int_equal(unread, 0);
	close_pair(&c);
}

/* H71: a look-up that finds no connection may find a listener; that is no peer. */
static void a_listener_is_no_peer(void **state)
{
	uint32_t unread;
	struct pair c;

	(void)state;
	connect_pair(&c, AF_INET);
	c.p.here.port ^= 1;
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), -ENOENT);
	close_pair(&c);
}

static void nobody_is_no_peer(void **state)
{
	uint32_t unread;
	struct pair c;

	(void)state;
	connect_pair(&c, AF_INET);
	c.p.there.addr = ipaddr_from_v4(0xc0000201); /* 192.0.2.1, RFC 5737 */
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), -ENOENT);
	close_pair(&c);
}

static void a_closed_peer_is_gone(void **state)
{
	uint32_t unread;
	struct pair c;
	uint8_t byte = 0;

	(void)state;
	connect_pair(&c, AF_INET);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	assert_int_equal(send(c.ours, &byte, 1, 0), 1);
	close(c.theirs);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), -ENOENT);
	c.theirs = dup(c.ours);
	close_pair(&c);
}

/* Same ports, another socket: known by its cookie. */
static void another_socket_is_not_the_peer(void **state)
{
	uint32_t unread;
	struct pair c;

	(void)state;
	connect_pair(&c, AF_INET);
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), 0);
	c.p.cookie++;
	assert_int_equal(sockdiag_unread(c.nl, &c.p, &unread), -ENOENT);
	close_pair(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unread_bytes_are_counted),
		cmocka_unit_test(a_peer_of_both_families_is_found),
		cmocka_unit_test(a_fin_counts_as_one),
		cmocka_unit_test(a_listener_is_no_peer),
		cmocka_unit_test(nobody_is_no_peer),
		cmocka_unit_test(a_closed_peer_is_gone),
		cmocka_unit_test(another_socket_is_not_the_peer),
	};

	return cmocka_run_group_tests_name("sockdiag", tests, NULL, NULL);
}
