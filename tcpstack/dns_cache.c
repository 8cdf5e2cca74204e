/* SPDX-License-Identifier: MIT */
/*
 * A cache of DNS answers (RFC 1034 section 4.3.4, RFC 2308).
 *
 * Theory of operation. What is kept is a resolver's whole answer, byte for byte
 * but for its OPT record, and it is only ever served for the very question that
 * it answered: name (without regard to case), type, class, and the flags of the
 * query that change an answer (AD, CD, DO). So nothing in it need be understood,
 * and no record can be smuggled in for another name. A query with anything out
 * of the ordinary (other operations, options that may change the answer,
 * signatures) goes by the cache; see struct dns_question.plain.
 *
 * An answer lives as long as the least TTL of its records. A negative one
 * (no such name, or no data) lives as long as its SOA record says and is not
 * kept without one; that record then carries this time (RFC 2308 section 5). A
 * copy that is served has all TTLs counted down by the whole seconds that have
 * passed, the question as it was asked this time, and an OPT record of ours if
 * the asker has one. Truncated answers, other errors than "no such name",
 * answers with a TTL of zero and what is malformed are not kept.
 *
 * Slots come from a pool. When there is none, the answer that was served
 * longest ago makes room. Each answer has a timer, so that its slot goes back
 * when it has expired, and memory with it; a look-up compares times all the same.
 */
#include "tcpstack/dns_cache.h"

#include <errno.h>
#include <stdlib.h>

#include "arena/arena.h"
#include "src/base/bytes.h"
#include "src/base/clock.h"
#include "tcpstack/limits.h"

/* The query's flags that change the answer. */
#define KEY_FLAGS (DNS_FLAG_AD | DNS_FLAG_CD)
#define KEY_DO	  DNS_FLAG_QR /* a bit that no query has */

/* Types that stand for a transaction or for many, RFC 6895 section 3.1. */
#define TYPE_META_FIRST 128
#define TYPE_META_LAST	255

/* Of an OPT record with padding to the next 468 bytes, RFC 8467 section 4.1. */
#define OPT_LEN_MAX 512

/* Five numbers at the end of a SOA record's data, of which the last counts. */
#define SOA_NUMBERS 20

/**
 * struct dns_kept - one answer
 * @timer:	ends it
 * @next:	in the bucket's chain
 * @hash:	of the question
 * @flags:	KEY_FLAGS of the query, and KEY_DO
 * @end:	bytes of @msg that are header and question
 */
struct dns_kept {
	struct dlist use;
	struct timer timer;
	struct dns_kept *next;
	uint64_t stored_ns, expires_ns;
	uint64_t hash;
	uint16_t flags;
	uint16_t end, len;
	uint8_t msg[LIMIT_DNS_CACHE_BYTES];
};

static_assert(sizeof(struct dns_kept) <= DNS_CACHE_SLOT, "a slot holds an answer");
static_assert(LIMIT_DNS_CACHE_BYTES + DNS_OPT_LEN <= DNS_REPLY_MAX, "a reply holds what is kept");

static uint16_t key_flags(const struct dns_question *q)
{
	return (uint16_t)((q->flags & KEY_FLAGS) | (q->dnssec_ok ? KEY_DO : 0));
}

/* Lengths of labels lie below 'A', so a question is lowered byte by byte. */
static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* The name in lower case, then type and class, whose bytes are no letters. */
static uint64_t question_hash(const struct dns_cache *c, const uint8_t *msg, uint16_t end)
{
	uint8_t low[DNS_QUESTION_MAX];
	uint32_t len = end - DNS_HLEN, name = len - 4;

	BUG_ON(len > sizeof(low));
	for (uint32_t i = 0; i < name; i++)
		low[i] = lower(msg[DNS_HLEN + i]);
	memcpy(low + name, msg + DNS_HLEN + name, 4);
	return siphash(&c->key, low, len);
}

static bool same_question(const struct dns_kept *k, const uint8_t *query, uint16_t end)
{
	uint32_t name_end = end - 4U;

	if (k->end != end || memcmp(k->msg + name_end, query + name_end, 4) != 0)
		return false;
	for (uint32_t i = DNS_HLEN; i < name_end; i++)
		if (lower(k->msg[i]) != lower(query[i]))
			return false;
	return true;
}

static struct dns_kept **bucket_of(struct dns_cache *c, uint64_t hash)
{
	return &c->buckets[hash & c->mask];
}

static struct dns_kept *find(struct dns_cache *c, const uint8_t *query,
			     const struct dns_question *q, uint64_t hash)
{
	struct dns_kept *k = *bucket_of(c, hash);

	while (k &&
	       (k->hash != hash || k->flags != key_flags(q) || !same_question(k, query, q->end)))
		k = k->next;
	return k;
}

static void drop(struct dns_cache *c, struct dns_kept *k)
{
	struct dns_kept **link = bucket_of(c, k->hash);

	while (*link != k) {
		BUG_ON(!*link);
		link = &(*link)->next;
	}
	*link = k->next;
	dlist_del(&k->use);
	timer_cancel(c->timers, &k->timer);
	pool_put(c->pool, k);
	c->used--;
}

static void on_expiry(void *ctx, struct timer *t)
{
	drop(ctx, container_of(t, struct dns_kept, timer));
}

/**
 * dns_cache_init() - an empty cache
 * @pool:	@slots slots; outlives the cache. NULL with @slots 0: nothing is kept
 * @timers:	whose callbacks run on the cache's thread; outlives it
 * @key:	of the hash; copied
 *
 * Return: 0 or -ENOMEM
 */
int dns_cache_init(struct dns_cache *c, struct pool *pool, uint32_t slots,
		   struct timer_wheel *timers, const struct siphash_key *key)
{
	uint32_t buckets = 1;

	*c = (struct dns_cache){
		.pool = pool, .timers = timers, .key = *key, .slots = slots, .limit = slots
	};
	dlist_init(&c->by_use);
	if (slots == 0)
		return 0;
	BUG_ON(pool_slot_size(pool) < sizeof(struct dns_kept));
	while (buckets < slots)
		buckets <<= 1;
	c->mask = buckets - 1;
	c->buckets = calloc(buckets, sizeof(struct dns_kept *));
	return c->buckets ? 0 : -ENOMEM;
}

/**
 * dns_cache_fini() - forget everything and free the memory; harmless when all is zero
 */
void dns_cache_fini(struct dns_cache *c)
{
	if (!c->buckets)
		return;
	dns_cache_flush(c);
	free(c->buckets);
	c->buckets = NULL;
}

/**
 * dns_cache_flush() - forget everything
 *
 * Return: how many answers that were
 */
uint32_t dns_cache_flush(struct dns_cache *c)
{
	uint32_t n = 0;

	while (c->used > 0) {
		drop(c, container_of(c->by_use.next, struct dns_kept, use));
		n++;
	}
	return n;
}

/**
 * dns_cache_set_limit() - keep so many answers from now on, at most @slots
 *
 * Return: how many had to go at once
 */
uint32_t dns_cache_set_limit(struct dns_cache *c, uint32_t limit)
{
	uint32_t n = 0;

	c->limit = MIN(limit, c->slots);
	while (c->used > c->limit) {
		drop(c, container_of(c->by_use.next, struct dns_kept, use));
		n++;
	}
	return n;
}

/**
 * dns_cache_serves() - is @q of the kind that is kept?
 */
bool dns_cache_serves(const struct dns_cache *c, const struct dns_question *q)
{
	return c->limit > 0 && q->plain && q->rclass == DNS_CLASS_IN &&
	       (q->flags & (DNS_MASK_OPCODE | DNS_FLAG_TC | DNS_FLAG_RD)) == DNS_FLAG_RD &&
	       q->type != DNS_TYPE_OPT && (q->type < TYPE_META_FIRST || q->type > TYPE_META_LAST);
}

/* --- serving ----------------------------------------------------------------- */

/* Count all TTLs of a message that was kept down by @seconds. */
static void count_down(uint8_t *msg, uint32_t len, uint32_t seconds)
{
	struct dns_records it;
	struct dns_record r;

	BUG_ON(dns_records_begin(&it, msg, len));
	while (dns_records_next(&it, &r) == 0)
		put_be32(msg + r.ttl_at, r.ttl > seconds ? r.ttl - seconds : 0);
}

/**
 * dns_cache_get() - the answer to @query, if it is here
 * @q:		of @query; of a kind that dns_cache_serves()
 * @r:		out: under the query's identifier
 */
bool dns_cache_get(struct dns_cache *c, uint64_t now_ns, const uint8_t *query,
		   const struct dns_question *q, struct dns_reply *r)
{
	struct dns_kept *k;

	if (c->used == 0)
		return false;
	k = find(c, query, q, question_hash(c, query, q->end));
	if (!k)
		return false;
	if (k->expires_ns <= now_ns) {
		drop(c, k);
		return false;
	}
	dlist_del(&k->use);
	dlist_push_tail(&c->by_use, &k->use);

	memcpy(r->msg, k->msg, k->len);
	r->len = k->len;
	put_be16(r->msg, q->id);
	/* The asker's own mix of case comes back to it. */
	memcpy(r->msg + DNS_HLEN, query + DNS_HLEN, q->end - DNS_HLEN);
	count_down(r->msg, r->len, (uint32_t)((now_ns - k->stored_ns) / NS_PER_S));
	dns_reply_end(r, q);
	return true;
}

/* --- keeping ----------------------------------------------------------------- */

/**
 * struct verdict - what an answer is found to be
 * @len:	bytes of it without its OPT record
 * @opt:	it has one
 * @found:	it has a record of the type that was asked for
 * @least:	TTL of its records, seconds
 * @soa_at:	offset of the SOA record's TTL, 0 = there is none
 * @soa_ttl:	what that must be: the time of a negative answer
 */
struct verdict {
	uint32_t len;
	bool opt;
	bool found;
	uint32_t least;
	uint32_t soa_at, soa_ttl;
};

/* The MINIMUM field of a SOA record behind two names; 0 where it is malformed. */
static uint32_t soa_minimum(const uint8_t *msg, uint32_t len, const struct dns_record *r)
{
	uint32_t at = (uint32_t)(r->rdata - msg), end = at + r->rdlen;
	char text[DNS_TEXT_MAX + 1];

	for (int i = 0; i < 2; i++) {
		int behind = dns_name_text(msg, len, at, text);

		if (behind < 0)
			return 0;
		at = (uint32_t)behind;
	}
	return end >= at && end - at == SOA_NUMBERS ? get_be32(msg + end - 4) : 0;
}

/* One record more. False: the answer is not to be kept. */
static bool weigh(struct verdict *v, const struct dns_question *q, const uint8_t *msg, uint32_t len,
		  const struct dns_record *r)
{
	if (r->type == DNS_TYPE_OPT) {
		/* Only the last record can be taken away without moving what others point to. */
		if (v->opt || r->section != DNS_ADDITIONAL || r->at + 1 + 10 + r->rdlen != len)
			return false;
		v->opt = true;
		v->len = r->at;
		/* The upper half of a code that does not fit the header, RFC 6891 6.1.3. */
		return msg[r->ttl_at] == 0;
	}
	/* A signature covers the message as it was sent. */
	if (v->opt || (r->type >= TYPE_META_FIRST && r->type <= TYPE_META_LAST))
		return false;
	v->found |= r->section == DNS_ANSWER && r->type == q->type;
	v->least = MIN(v->least, r->ttl);
	if (r->section == DNS_AUTHORITY && r->type == DNS_TYPE_SOA && !v->soa_at) {
		v->soa_at = r->ttl_at;
		v->soa_ttl = MIN(r->ttl, soa_minimum(msg, len, r));
	}
	return true;
}

/* Seconds that the answer may be kept, 0 = not at all. */
static uint32_t lifetime(struct verdict *v, const struct dns_question *q, const uint8_t *msg,
			 uint32_t len)
{
	uint16_t flags = get_be16(msg + DNS_OFF_FLAGS), rcode = flags & DNS_MASK_RCODE;
	struct dns_records it;
	struct dns_record r;
	int err;

	*v = (struct verdict){ .len = len, .least = UINT32_MAX };
	if (flags & DNS_FLAG_TC || (rcode != DNS_RCODE_NOERROR && rcode != DNS_RCODE_NXDOMAIN) ||
	    dns_records_begin(&it, msg, len))
		return 0;
	while ((err = dns_records_next(&it, &r)) == 0)
		if (!weigh(v, q, msg, len, &r))
			return 0;
	if (err != -ENOENT || it.at != len || v->len > LIMIT_DNS_CACHE_BYTES)
		return 0;
	if (rcode == DNS_RCODE_NOERROR && v->found) {
		v->soa_at = 0;
		return MIN(v->least, LIMIT_DNS_CACHE_TTL_MAX_S);
	}
	if (!v->soa_at)
		return 0;
	return MIN(MIN(v->least, v->soa_ttl), LIMIT_DNS_CACHE_NEGATIVE_MAX_S);
}

static void fill(struct dns_kept *k, const uint8_t *msg, const struct verdict *v)
{
	k->len = (uint16_t)v->len;
	memcpy(k->msg, msg, v->len);
	/* Whoever serves a copy is no authority. */
	put_be16(k->msg + DNS_OFF_FLAGS,
		 (uint16_t)(get_be16(k->msg + DNS_OFF_FLAGS) & ~DNS_FLAG_AA));
	if (v->opt)
		put_be16(k->msg + DNS_OFF_ARCOUNT,
			 (uint16_t)(get_be16(k->msg + DNS_OFF_ARCOUNT) - 1));
	if (v->soa_at)
		put_be32(k->msg + v->soa_at, v->soa_ttl);
}

/**
 * dns_cache_put() - keep an answer, if it is one to keep
 * @q:		what was asked; of a kind that dns_cache_serves()
 * @msg:	a resolver's answer, @len bytes, which dns_answer_matches() the query
 *
 * An answer to the same question that is here already makes way. Return: answers
 * that had to go for want of room
 */
uint32_t dns_cache_put(struct dns_cache *c, uint64_t now_ns, const struct dns_question *q,
		       const uint8_t *msg, uint32_t len)
{
	uint32_t seconds, evicted = 0;
	struct dns_kept *k, **bucket;
	struct verdict v;
	uint64_t hash;

	if (len < q->end || len > LIMIT_DNS_CACHE_BYTES + OPT_LEN_MAX)
		return 0; /* a bare header; too long whatever its OPT record is */
	seconds = lifetime(&v, q, msg, len);
	if (seconds == 0)
		return 0;
	hash = question_hash(c, msg, q->end);
	k = find(c, msg, q, hash);
	if (k)
		drop(c, k);
	if (c->used >= c->limit) {
		drop(c, container_of(c->by_use.next, struct dns_kept, use));
		evicted = 1;
	}
	k = pool_get(c->pool);
	if (!k)
		return evicted;
	*k = (struct dns_kept){
		.stored_ns = now_ns,
		.expires_ns = now_ns + seconds * NS_PER_S,
		.hash = hash,
		.flags = key_flags(q),
		.end = q->end,
	};
	fill(k, msg, &v);
	bucket = bucket_of(c, hash);
	k->next = *bucket;
	*bucket = k;
	dlist_push_tail(&c->by_use, &k->use);
	timer_init(&k->timer, on_expiry, c);
	timer_arm(c->timers, &k->timer, k->expires_ns);
	c->used++;
	return evicted;
}
