/* SPDX-License-Identifier: MIT */
/*
 * Names that the guest has learnt addresses under.
 *
 * Theory of operation. When an answer that matches its query goes to the guest,
 * each address in it is noted under the name that was asked and under each name
 * of the chain of aliases that leads to it. A note lives as long as the least TTL
 * on the way, or LIMIT_NAMES_FLOOR_NS if that is more: programs keep addresses
 * for longer than they should. The table is bounded; the note that was renewed
 * longest ago makes room. A guest that asks for many names so only loses notes of
 * its own, and what is not noted no rule of a name allows.
 *
 * Records are found by address, in chains under a keyed hash (H47). Notes that
 * have expired are passed over, and reused when their turn comes.
 */
#include "tcpstack/names.h"

#include <errno.h>
#include <stdlib.h>

#include "src/base/clock.h"
#include "tcpstack/dns_msg.h"
#include "tcpstack/policy.h"
#include "tcpstack/priv.h"

struct note {
	struct dlist age;
	uint64_t expires_ns; /* 0 = not in a chain */
	struct ipaddr addr;
	uint32_t next; /* index + 1 in the bucket's chain */
	char name[POLICY_NAME_MAX + 1];
};

static_assert((LIMIT_NAMES & (LIMIT_NAMES - 1)) == 0, "the hash is masked");

struct names {
	struct dlist by_age; /* renewed longest ago first */
	uint32_t touched;    /* notes that were ever in use */
	uint32_t buckets[LIMIT_NAMES];
	struct note notes[LIMIT_NAMES];
};

static uint32_t *bucket_of(struct stack *st, const struct ipaddr *addr)
{
	uint64_t hash = siphash(&st->hash_key, addr, sizeof(*addr));

	return &st->names->buckets[hash & (LIMIT_NAMES - 1)];
}

/**
 * names_init() - an empty table; 0 or -ENOMEM
 */
int names_init(struct stack *st)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	dlist_init(&n->by_age);
	st->names = n;
	return 0;
}

/**
 * names_fini() - harmless without an init
 */
void names_fini(struct stack *st)
{
	free(st->names);
	st->names = NULL;
}

static void unchain(struct stack *st, struct note *note)
{
	struct names *n = st->names;
	uint32_t index = (uint32_t)(note - n->notes), *link;

	if (note->expires_ns == 0)
		return;
	for (link = bucket_of(st, &note->addr); *link != index + 1;
	     link = &n->notes[*link - 1].next)
		BUG_ON(*link == 0);
	*link = note->next;
	note->expires_ns = 0;
}

/* The note of @name for @addr; or one to write it to: the oldest of all, or of the address. */
static struct note *place(struct stack *st, const struct ipaddr *addr, const char *name)
{
	struct names *n = st->names;
	struct note *first = NULL;
	uint32_t of_addr = 0;

	for (uint32_t i = *bucket_of(st, addr); i; i = n->notes[i - 1].next) {
		struct note *note = &n->notes[i - 1];

		if (!ipaddr_equal(&note->addr, addr))
			continue;
		if (strcmp(note->name, name) == 0)
			return note;
		of_addr++;
		if (!first || note->expires_ns < first->expires_ns)
			first = note;
	}
	if (of_addr >= POLICY_NAMES_MAX)
		return first;
	if (n->touched < LIMIT_NAMES) {
		dlist_init(&n->notes[n->touched].age);
		return &n->notes[n->touched++];
	}
	return container_of(n->by_age.next, struct note, age);
}

/**
 * names_learn() - the guest was told that @name is at @addr
 * @name:	in lower case, at most POLICY_NAME_MAX characters
 * @ttl_s:	seconds that it holds
 */
void names_learn(struct stack *st, const struct ipaddr *addr, const char *name, uint32_t ttl_s)
{
	struct names *n = st->names;
	uint64_t life = MAX(MIN(ttl_s, LIMIT_NAMES_TTL_MAX_S) * NS_PER_S, LIMIT_NAMES_FLOOR_NS);
	struct note *note = place(st, addr, name);
	uint32_t *bucket;

	if (note->expires_ns && ipaddr_equal(&note->addr, addr) && strcmp(note->name, name) == 0) {
		note->expires_ns = MAX(note->expires_ns, stack_now(st) + life);
	} else {
		unchain(st, note);
		bucket = bucket_of(st, addr);
		note->addr = *addr;
		note->expires_ns = stack_now(st) + life;
		note->next = *bucket;
		*bucket = (uint32_t)(note - n->notes) + 1;
		strncpy(note->name, name, sizeof(note->name) - 1);
		note->name[sizeof(note->name) - 1] = 0;
		counter_inc(&st->n.names_learnt);
	}
	dlist_del(&note->age);
	dlist_push_tail(&n->by_age, &note->age);
}

/**
 * names_find() - under which names does the guest know @addr?
 * @names:	out: good until the next names_learn()
 *
 * Return: how many, at most @max
 */
uint32_t names_find(struct stack *st, const struct ipaddr *addr, const char **names, uint32_t max)
{
	struct names *n = st->names;
	uint64_t now = stack_now(st);
	uint32_t found = 0;

	for (uint32_t i = *bucket_of(st, addr); i && found < max; i = n->notes[i - 1].next) {
		const struct note *note = &n->notes[i - 1];

		if (note->expires_ns > now && ipaddr_equal(&note->addr, addr))
			names[found++] = note->name;
	}
	return found;
}

/* An address record: noted under the whole chain that leads to it. */
static void take_address(struct stack *st, const struct dns_record *r, const struct dns_chain *c)
{
	struct ipaddr addr;
	uint32_t ttl = r->ttl;

	if (r->type == DNS_TYPE_A && r->rdlen == 4)
		addr = ipaddr_from_v4(get_be32(r->rdata));
	else if (r->type == DNS_TYPE_AAAA && r->rdlen == sizeof(addr.b))
		memcpy(addr.b, r->rdata, sizeof(addr.b));
	else
		return;
	/* From the last alias back: each name holds no longer than what it leads to. */
	for (uint32_t i = c->n; i-- > 0;) {
		if (i + 1 < c->n)
			ttl = MIN(ttl, c->link[i].ttl);
		names_learn(st, &addr, c->link[i].name, ttl);
	}
}

/**
 * names_answer() - learn from an answer that goes to the guest
 * @msg:	it matches a query of the guest's; @len bytes
 *
 * An answer that reports an error, or that is malformed, teaches nothing.
 */
void names_answer(struct stack *st, const uint8_t *msg, uint32_t len)
{
	struct dns_chain chain;
	struct dns_records it;
	struct dns_record r;

	if (dns_chain_follow(msg, len, &chain))
		return;
	dns_answers_begin(&it, msg, len);
	while (dns_records_next(&it, &r) == 0)
		if (r.rclass == DNS_CLASS_IN && strcmp(r.name, chain.link[chain.n - 1].name) == 0)
			take_address(st, &r, &chain);
}
