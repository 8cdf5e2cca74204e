/* SPDX-License-Identifier: MIT */
/* DNS messages as tests write and read them; the guest's and the resolver's. */
#ifndef SLUICE_TESTS_UNIT_DNSMSG_H
#define SLUICE_TESTS_UNIT_DNSMSG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/bytes.h"
#include "tcpstack/dns_msg.h"

#define DNSMSG_MAX 65536

/**
 * struct dnsmsg - a message being written, or one that has come
 * @question:	bytes of header and question
 */
struct dnsmsg {
	uint8_t b[DNSMSG_MAX];
	uint32_t len;
	uint32_t question;
};

/* "www.Example" as labels behind what is there. */
static inline void dnsmsg_name(struct dnsmsg *m, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");

		m->b[m->len++] = (uint8_t)len;
		memcpy(m->b + m->len, name, len);
		m->len += (uint32_t)len;
		name += len + (name[len] == '.');
	}
	m->b[m->len++] = 0;
}

static inline void dnsmsg_put16(struct dnsmsg *m, uint16_t v)
{
	put_be16(m->b + m->len, v);
	m->len += 2;
}

static inline void dnsmsg_put32(struct dnsmsg *m, uint32_t v)
{
	put_be32(m->b + m->len, v);
	m->len += 4;
}

/* A query with RD and one question of class IN. */
static inline void dnsmsg_query(struct dnsmsg *m, uint16_t id, const char *name, uint16_t type)
{
	memset(m->b, 0, DNS_HLEN);
	put_be16(m->b, id);
	put_be16(m->b + DNS_OFF_FLAGS, DNS_FLAG_RD);
	put_be16(m->b + DNS_OFF_QDCOUNT, 1);
	m->len = DNS_HLEN;
	dnsmsg_name(m, name);
	dnsmsg_put16(m, type);
	dnsmsg_put16(m, DNS_CLASS_IN);
	m->question = m->len;
}

static inline void dnsmsg_count(struct dnsmsg *m, uint32_t field)
{
	put_be16(m->b + field, (uint16_t)(get_be16(m->b + field) + 1));
}

/* A record in the section whose count is at @field; its owner is a pointer to @owner. */
static inline void dnsmsg_record(struct dnsmsg *m, uint32_t field, uint16_t owner, uint16_t type,
				 uint32_t ttl, const void *data, uint16_t len)
{
	dnsmsg_put16(m, (uint16_t)(0xc000 | owner));
	dnsmsg_put16(m, type);
	dnsmsg_put16(m, DNS_CLASS_IN);
	dnsmsg_put32(m, ttl);
	dnsmsg_put16(m, len);
	memcpy(m->b + m->len, data, len);
	m->len += len;
	dnsmsg_count(m, field);
}

/* An answer of type A to the name in the question. */
static inline void dnsmsg_a(struct dnsmsg *m, uint32_t ttl, uint32_t addr)
{
	uint8_t a[4];

	put_be32(a, addr);
	dnsmsg_record(m, DNS_OFF_ANCOUNT, DNS_HLEN, DNS_TYPE_A, ttl, a, sizeof(a));
}

/* The SOA record of a negative answer. */
static inline void dnsmsg_soa(struct dnsmsg *m, uint32_t ttl, uint32_t minimum)
{
	uint8_t rdata[22] = { 0 }; /* two names of one byte, five numbers */

	put_be32(rdata + 18, minimum);
	dnsmsg_record(m, DNS_OFF_NSCOUNT, DNS_HLEN, DNS_TYPE_SOA, ttl, rdata, sizeof(rdata));
}

/* An OPT record; @ttl has the extended code, the version and DO. */
static inline void dnsmsg_opt(struct dnsmsg *m, uint16_t size, uint32_t ttl, const void *options,
			      uint16_t len)
{
	m->b[m->len++] = 0;
	dnsmsg_put16(m, DNS_TYPE_OPT);
	dnsmsg_put16(m, size);
	dnsmsg_put32(m, ttl);
	dnsmsg_put16(m, len);
	memcpy(m->b + m->len, options, len);
	m->len += len;
	dnsmsg_count(m, DNS_OFF_ARCOUNT);
}

/* The query becomes the beginning of its answer: QR, RA and @flags; OPT is gone. */
static inline void dnsmsg_answer(struct dnsmsg *m, uint16_t flags)
{
	put_be16(m->b + DNS_OFF_FLAGS, DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA | flags);
	put_be16(m->b + DNS_OFF_ARCOUNT, 0);
	m->len = m->question;
}

static inline uint16_t dnsmsg_flags(const struct dnsmsg *m)
{
	return get_be16(m->b + DNS_OFF_FLAGS);
}

static inline uint16_t dnsmsg_rcode(const struct dnsmsg *m)
{
	return dnsmsg_flags(m) & DNS_MASK_RCODE;
}

/* Record number @n of @section, counted from 0; the test fails where there is none. */
static inline struct dns_record dnsmsg_get(const struct dnsmsg *m, enum dns_section section,
					   uint32_t n)
{
	struct dns_records it;
	struct dns_record r;

	assert_int_equal(dns_records_begin(&it, m->b, m->len), 0);
	do
		assert_int_equal(dns_records_next(&it, &r), 0);
	while (r.section != section || n-- > 0);
	return r;
}

/* Are all records whole, is nothing behind them, and how many are there in @section? */
static inline uint32_t dnsmsg_records(const struct dnsmsg *m, enum dns_section section)
{
	struct dns_records it;
	struct dns_record r;
	uint32_t n = 0;

	assert_int_equal(dns_records_begin(&it, m->b, m->len), 0);
	while (dns_records_next(&it, &r) == 0)
		n += r.section == section;
	assert_int_equal(it.at, m->len);
	return n;
}

#endif
