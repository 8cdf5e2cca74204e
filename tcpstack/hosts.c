/* SPDX-License-Identifier: MIT */
/*
 * Names that our DNS service answers for itself.
 *
 * Theory of operation. A record is one name with one address, in a fixed table,
 * in two chains under a keyed hash: by name for addresses, by address for
 * reverse names. New records go to the chains' ends, so that answers come in
 * the order in which the user wrote them, and the first name of an address is
 * its reverse one. "gateway" is no record: it is what is left when the user has
 * no such name, or no name of the gateway's address.
 *
 * A name that is here is answered here for every type: with no data where there
 * is no record of the type (RFC 2308 section 2.2). So no query about a name of
 * the user's goes to a resolver, and none of a resolver's records is mixed in.
 * Nor does a reverse query within the guest's own networks, of which nobody
 * else can know anything (RFC 6303).
 */
#include "tcpstack/hosts.h"

#include <errno.h>

#include "tcpstack/dns_priv.h"

static_assert(DNS_HLEN + DNS_QUESTION_MAX + HOST_ADDRS_MAX * (12 + 16) + DNS_OPT_LEN <=
		      DNS_REPLY_MAX,
	      "all addresses of a name fit an answer");

static uint32_t *name_bucket(const struct stack *st, const char *name)
{
	uint64_t hash = siphash(&st->hash_key, name, strlen(name));

	return &st->dns->hosts.by_name[hash & (LIMIT_DNS_NAMES - 1)];
}

static uint32_t *addr_bucket(const struct stack *st, const struct ipaddr *addr)
{
	uint64_t hash = siphash(&st->hash_key, addr, sizeof(*addr));

	return &st->dns->hosts.by_addr[hash & (LIMIT_DNS_NAMES - 1)];
}

/* The next record of @name, from link @i on; NULL at the end. */
static struct host *next_of_name(const struct stack *st, uint32_t i, const char *name)
{
	while (i) {
		struct host *h = &st->dns->hosts.rec[i - 1];

		if (strcmp(h->name, name) == 0)
			return h;
		i = h->next_name;
	}
	return NULL;
}

static struct host *first_of_name(const struct stack *st, const char *name)
{
	return next_of_name(st, *name_bucket(st, name), name);
}

/* The first name of @addr, or NULL. */
static const char *name_of_addr(const struct stack *st, const struct ipaddr *addr)
{
	for (uint32_t i = *addr_bucket(st, addr); i; i = st->dns->hosts.rec[i - 1].next_addr)
		if (ipaddr_equal(&st->dns->hosts.rec[i - 1].addr, addr))
			return st->dns->hosts.rec[i - 1].name;
	return NULL;
}

static bool is_gateway(const struct stack *st, const struct ipaddr *addr)
{
	if (ipaddr_is_v4(addr))
		return ipaddr_v4(addr) == st->cfg.gateway4;
	return st->cfg.ip6 && ipaddr_equal(addr, &st->cfg.gateway6);
}

/* The gateway's addresses; how many. */
static uint32_t gateway_addrs(const struct stack *st, struct ipaddr addr[2])
{
	addr[0] = ipaddr_from_v4(st->cfg.gateway4);
	addr[1] = st->cfg.gateway6;
	return st->cfg.ip6 ? 2 : 1;
}

static bool in_guests_nets(const struct stack *st, const struct ipaddr *addr)
{
	if (ipaddr_is_v4(addr))
		return ((ipaddr_v4(addr) ^ st->cfg.guest4) & ~stack_host_mask(st)) == 0;
	return st->cfg.ip6 && ipaddr_same_prefix64(addr, &st->cfg.prefix6);
}

/* --- answers ------------------------------------------------------------- */

/**
 * hosts_have() - is @q about something of ours?
 * @name:	that it asks for, as dns_name_text() has it
 */
bool hosts_have(const struct stack *st, const char *name, const struct dns_question *q)
{
	struct ipaddr addr;

	if (q->flags & DNS_MASK_OPCODE ||
	    (q->rclass != DNS_CLASS_IN && q->rclass != DNS_CLASS_ANY) || !name[0])
		return false;
	if (first_of_name(st, name) || strcmp(name, HOST_GATEWAY) == 0)
		return true;
	return dns_reverse_addr(name, &addr) == 0 &&
	       (name_of_addr(st, &addr) || in_guests_nets(st, &addr));
}

static void add_addr(const struct stack *st, const struct dns_question *q,
		     const struct ipaddr *addr, struct dns_reply *r)
{
	bool any = q->type == DNS_TYPE_ANY;

	if (ipaddr_is_v4(addr) && (any || q->type == DNS_TYPE_A))
		dns_reply_add(r, DNS_TYPE_A, LIMIT_DNS_NAME_TTL_S, addr->b + 12, 4);
	/* A guest without IPv6 is not told of what it cannot reach. */
	if (!ipaddr_is_v4(addr) && st->cfg.ip6 && (any || q->type == DNS_TYPE_AAAA))
		dns_reply_add(r, DNS_TYPE_AAAA, LIMIT_DNS_NAME_TTL_S, addr->b, sizeof(addr->b));
}

static void add_addrs(struct stack *st, const char *name, const struct dns_question *q,
		      struct dns_reply *r)
{
	struct host *h = first_of_name(st, name);
	struct ipaddr gateway[2];
	uint32_t n = h ? 0 : gateway_addrs(st, gateway);

	for (; h; h = next_of_name(st, h->next_name, name))
		add_addr(st, q, &h->addr, r);
	for (uint32_t i = 0; i < n; i++)
		add_addr(st, q, &gateway[i], r);
}

/* The name of @addr. False when it has none. */
static bool add_reverse(struct stack *st, const struct ipaddr *addr, const struct dns_question *q,
			struct dns_reply *r)
{
	const char *name = name_of_addr(st, addr);
	uint8_t wire[DNS_NAME_MAX];

	if (!name && is_gateway(st, addr))
		name = HOST_GATEWAY;
	if (!name)
		return false;
	if (q->type == DNS_TYPE_PTR || q->type == DNS_TYPE_ANY)
		dns_reply_add(r, DNS_TYPE_PTR, LIMIT_DNS_NAME_TTL_S, wire,
			      (uint16_t)dns_name_wire(name, wire));
	return true;
}

/**
 * hosts_answer() - answer @query, of which hosts_have() said that it is ours
 */
void hosts_answer(struct stack *st, const char *name, const uint8_t *query,
		  const struct dns_question *q, struct dns_reply *r)
{
	struct ipaddr addr;

	dns_reply_begin(r, query, q, DNS_FLAG_AA | DNS_RCODE_NOERROR);
	if (first_of_name(st, name) || dns_reverse_addr(name, &addr))
		add_addrs(st, name, q, r);
	else if (!add_reverse(st, &addr, q, r))
		dns_reply_begin(r, query, q, DNS_FLAG_AA | DNS_RCODE_NXDOMAIN);
	dns_reply_end(r, q);
	counter_inc(&st->n.dns_hosts);
}

/* --- the table ------------------------------------------------------------ */

/**
 * hosts_init() - an empty table, in zeroed memory
 */
void hosts_init(struct hosts *hs)
{
	dlist_init(&hs->order);
}

static struct host *record_new(struct hosts *hs)
{
	struct host *h;

	if (hs->free) {
		h = &hs->rec[hs->free - 1];
		hs->free = h->next_free;
	} else {
		h = &hs->rec[hs->touched++];
	}
	hs->used++;
	return h;
}

static void append(struct stack *st, const char *name, const struct ipaddr *addr)
{
	struct hosts *hs = &st->dns->hosts;
	struct host *h = record_new(hs);
	uint32_t *link;

	*h = (struct host){ .addr = *addr };
	memcpy(h->name, name, strlen(name) + 1);
	dlist_push_tail(&hs->order, &h->order);
	for (link = name_bucket(st, name); *link; link = &hs->rec[*link - 1].next_name)
		;
	*link = (uint32_t)(h - hs->rec) + 1;
	for (link = addr_bucket(st, addr); *link; link = &hs->rec[*link - 1].next_addr)
		;
	*link = (uint32_t)(h - hs->rec) + 1;
}

static void drop(struct stack *st, struct host *h)
{
	struct hosts *hs = &st->dns->hosts;
	uint32_t index = (uint32_t)(h - hs->rec) + 1, *link;

	for (link = name_bucket(st, h->name); *link != index; link = &hs->rec[*link - 1].next_name)
		BUG_ON(*link == 0);
	*link = h->next_name;
	for (link = addr_bucket(st, &h->addr); *link != index; link = &hs->rec[*link - 1].next_addr)
		BUG_ON(*link == 0);
	*link = h->next_addr;
	dlist_del(&h->order);
	h->next_free = hs->free;
	hs->free = index;
	hs->used--;
}

/* What @spec stands for here: its addresses and, where it says so, the gateway's. */
static uint32_t addrs_of(const struct stack *st, const struct host_spec *spec,
			 struct ipaddr addr[HOST_ADDRS_MAX + 2])
{
	uint32_t n = spec->gateway ? gateway_addrs(st, addr) : 0;

	memcpy(addr + n, spec->addr, spec->naddrs * sizeof(*addr));
	return n + spec->naddrs;
}

/**
 * stack_host_add() - serve a name, or more addresses of it
 *
 * All of them or none. Return: 0; -EEXIST: the name has one of the addresses, or
 * it is there twice; -E2BIG: it would have more than HOST_ADDRS_MAX; -ENOSPC:
 * the table is full (LIMIT_DNS_NAMES)
 */
int stack_host_add(struct stack *st, const struct host_spec *spec)
{
	struct ipaddr addr[HOST_ADDRS_MAX + 2];
	uint32_t n = addrs_of(st, spec, addr), had = 0;
	struct host *h = first_of_name(st, spec->name);

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < i; k++)
			if (ipaddr_equal(&addr[i], &addr[k]))
				return -EEXIST;
	for (; h; h = next_of_name(st, h->next_name, spec->name)) {
		had++;
		for (uint32_t i = 0; i < n; i++)
			if (ipaddr_equal(&h->addr, &addr[i]))
				return -EEXIST;
	}
	if (had + n > HOST_ADDRS_MAX)
		return -E2BIG;
	if (st->dns->hosts.used + n > LIMIT_DNS_NAMES)
		return -ENOSPC;
	for (uint32_t i = 0; i < n; i++)
		append(st, spec->name, &addr[i]);
	return 0;
}

/**
 * stack_host_del() - serve a name no more, with all its addresses
 * @name:	as host_parse_name() writes it
 *
 * What the guest was answered it may use until its TTL is over. Return: 0 or -ENOENT
 */
int stack_host_del(struct stack *st, const char *name)
{
	struct host *h = first_of_name(st, name);

	if (!h)
		return -ENOENT;
	for (; h; h = first_of_name(st, name))
		drop(st, h);
	return 0;
}

/**
 * stack_host_list() - names and addresses that are served, as they were added
 * @out:	up to @max entries, one for each address; those of a name need not
 *		stand in a row
 *
 * Return: how many there are
 */
uint32_t stack_host_list(const struct stack *st, struct host_entry *out, uint32_t max)
{
	const struct hosts *hs = &st->dns->hosts;
	struct dlist *it;
	struct ipaddr gateway[2];
	uint32_t n = 0, ours = first_of_name(st, HOST_GATEWAY) ? 0 : gateway_addrs(st, gateway);

	for (uint32_t i = 0; i < ours; i++, n++)
		if (n < max)
			out[n] = (struct host_entry){ .name = HOST_GATEWAY,
						      .addr = gateway[i],
						      .built_in = true };
	dlist_for_each (it, &hs->order) {
		const struct host *h = container_of(it, struct host, order);

		if (n < max) {
			out[n] = (struct host_entry){ .addr = h->addr };
			memcpy(out[n].name, h->name, sizeof(out[n].name));
		}
		n++;
	}
	return n;
}
