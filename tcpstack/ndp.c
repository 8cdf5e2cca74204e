/* SPDX-License-Identifier: MIT */
/*
 * Neighbour discovery and router advertisements (RFC 4861, RFC 4862, RFC 8106).
 *
 * Theory of operation: as with ARP, every address of the guest's link but its
 * own is ours, and one MAC address answers for all. Which are its own we learn
 * from what it says of them: the probe that precedes an address (RFC 4862 5.4),
 * the source of a solicitation, the target of an advertisement. A probe for an
 * address that is not ours gets no answer, so the guest may have it; one for
 * the gateway's, the DNS address or our link-local address is defended.
 *
 * Of these addresses, one is where forwards over IPv6 lead: that of DHCPv6, once the
 * guest has shown that it has it, else the one that it has shown last, by neighbour
 * discovery or as the source of a flow; so one that was given up is not used for long.
 *
 * Router advertisements carry all that a guest needs: the prefix, the MTU, the
 * resolver. They answer solicitations, follow a driver's arrival, follow the
 * first sign of an interface coming up (its probe for a link-local address,
 * which spares the guest the wait before it solicits), and come again from
 * time to time. Nothing in them ever expires while we run.
 */
#include "tcpstack/priv.h"

#define TYPE_ROUTER_SOLICIT    133
#define TYPE_ROUTER_ADVERT     134
#define TYPE_NEIGHBOUR_SOLICIT 135
#define TYPE_NEIGHBOUR_ADVERT  136

#define SOLICIT_HLEN   24 /* of neighbour messages: with the target */
#define RA_HLEN	       16
#define OFF_TARGET     8
#define OPT_UNIT       8
#define OPT_SOURCE_LLA 1
#define OPT_TARGET_LLA 2
#define OPT_PREFIX     3
#define OPT_MTU	       5
#define OPT_RDNSS      25

/* Flags of a neighbour advertisement. */
#define NA_ROUTER    0x80
#define NA_SOLICITED 0x40
#define NA_OVERRIDE  0x20

/* Of a router advertisement: addresses and more also come by DHCPv6. */
#define RA_MANAGED 0x80
#define RA_OTHER   0x40

/* Of a prefix: it is on the link, and hosts make addresses of it. */
#define PREFIX_ON_LINK	  0x80
#define PREFIX_AUTONOMOUS 0x40

#define INFINITE UINT32_MAX

/* A message that has crossed no router, RFC 4861 11.2. */
#define NDP_HOPS 255

#define RA_LEN (RA_HLEN + 8 + 8 + 32 + 24)

static const struct ipaddr all_nodes = { { 0xff, 0x02, [15] = 1 } };

static bool is_solicited_node(const struct ipaddr *a)
{
	static const struct ipaddr net = { { 0xff, 0x02, [11] = 1, [12] = 0xff } };

	return ipaddr_in_net(a, &net, 104);
}

/* Checksum and out. */
static void send_message(struct stack *st, struct out_slot *slot, const struct l3_spec *l3,
			 uint8_t *icmp, uint32_t len)
{
	uint32_t sum = csum_pseudo(&l3->src, &l3->dst, PROTO_ICMP6, len);

	put_be16(icmp + 2, csum_fold(csum_add(sum, icmp, len)));
	out_send(st, slot);
}

/* A slot with its lower headers, and @len zero bytes at *@icmp; NULL when there is none. */
static struct out_slot *begin(struct stack *st, const struct l3_spec *l3, uint32_t len,
			      uint8_t **icmp)
{
	struct out_slot *slot = out_begin(st, ETH_HLEN + IP6_HLEN + len);

	if (!slot)
		return NULL;
	*icmp = slot->data + out_l3(st, slot->data, l3, len);
	memset(*icmp, 0, len);
	return slot;
}

static uint8_t *put_lla(uint8_t *opt, uint8_t type, const uint8_t *mac)
{
	opt[0] = type;
	opt[1] = 1;
	memcpy(opt + 2, mac, 6);
	return opt + OPT_UNIT;
}

static void send_router_advert(struct stack *st, const struct ipaddr *dst)
{
	const struct stack_config *cfg = &st->cfg;
	struct l3_spec l3 = {
		.src = st->ndp.link_local, .dst = *dst, .proto = PROTO_ICMP6, .ttl = NDP_HOPS
	};
	struct out_slot *slot;
	uint8_t *icmp, *opt;

	slot = begin(st, &l3, RA_LEN, &icmp);
	if (!slot)
		return;
	icmp[0] = TYPE_ROUTER_ADVERT;
	icmp[4] = LIMIT_TTL;
	icmp[5] = RA_MANAGED | RA_OTHER;
	put_be16(icmp + 6, LIMIT_RA_LIFETIME_S);

	opt = put_lla(icmp + RA_HLEN, OPT_SOURCE_LLA, cfg->our_mac);
	opt[0] = OPT_MTU;
	opt[1] = 1;
	put_be32(opt + 4, cfg->mtu);
	opt += OPT_UNIT;
	opt[0] = OPT_PREFIX;
	opt[1] = 4;
	opt[2] = 64;
	opt[3] = PREFIX_ON_LINK | PREFIX_AUTONOMOUS;
	put_be32(opt + 4, INFINITE);
	put_be32(opt + 8, INFINITE);
	memcpy(opt + 16, cfg->prefix6.b, 16);
	opt += 32;
	opt[0] = OPT_RDNSS;
	opt[1] = 3;
	put_be32(opt + 4, INFINITE);
	memcpy(opt + 8, cfg->dns6.b, 16);
	send_message(st, slot, &l3, icmp, RA_LEN);
	counter_inc(&st->n.router_adverts);
}

/* To everyone, unless that was done a moment ago. */
static void advertise_to_all(struct stack *st)
{
	uint64_t now = stack_now(st);

	if (st->ndp.advert_ns && now - st->ndp.advert_ns < LIMIT_RA_MIN_NS)
		return;
	st->ndp.advert_ns = now;
	send_router_advert(st, &all_nodes);
}

static void on_advert_timer(void *ctx, struct timer *t)
{
	struct stack *st = ctx;

	advertise_to_all(st);
	timer_arm(loop_timers(st->loop), t, stack_now(st) + LIMIT_RA_INTERVAL_NS);
}

/**
 * ndp_init() - our link-local address; the loop exists already
 */
void ndp_init(struct stack *st)
{
	const uint8_t *mac = st->cfg.our_mac;

	st->ndp.link_local = (struct ipaddr){ { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1],
						mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] } };
	timer_init(&st->ndp.adverts, on_advert_timer, st);
}

/**
 * ndp_port_up() - a driver is ready: forget the last guest's addresses, advertise soon
 */
void ndp_port_up(struct stack *st)
{
	st->ndp.count = st->ndp.next = 0;
	st->ndp.advert_ns = 0;
	if (st->cfg.ip6)
		timer_arm(loop_timers(st->loop), &st->ndp.adverts,
			  stack_now(st) + LIMIT_RA_FIRST_NS);
}

/**
 * ndp_port_down() - nobody to advertise to
 */
void ndp_port_down(struct stack *st)
{
	timer_cancel(loop_timers(st->loop), &st->ndp.adverts);
}

/**
 * ndp_reset() - the guest behind the port has gone for good
 */
void ndp_reset(struct stack *st)
{
	memset(&st->ndp.inbound, 0, sizeof(st->ndp.inbound));
}

/**
 * ndp_seen() - the guest uses @addr, of either family and its own
 */
void ndp_seen(struct stack *st, const struct ipaddr *addr)
{
	const struct stack_config *cfg = &st->cfg;
	struct ipaddr *in = &st->ndp.inbound;

	if (ipaddr_same_prefix64(addr, &cfg->prefix6) && !ipaddr_equal(addr, &cfg->prefix6) &&
	    !ipaddr_equal(in, &cfg->guest6))
		*in = *addr;
}

static bool is_guests(const struct ndp *n, const struct ipaddr *addr)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (ipaddr_equal(&n->guest[i], addr))
			return true;
	return false;
}

/* The guest says that @addr is its own. */
static void learn(struct stack *st, const struct ipaddr *addr)
{
	struct ndp *n = &st->ndp;

	ndp_seen(st, addr);
	if (ipaddr_is_unspecified(addr) || is_guests(n, addr))
		return;
	if (!ipaddr_is_link_local6(addr) && !ipaddr_same_prefix64(addr, &st->cfg.prefix6))
		return;
	n->guest[n->next] = *addr;
	n->next = (n->next + 1) % LIMIT_IP6_GUEST_ADDRS;
	n->count = MIN(n->count + 1, (uint32_t)LIMIT_IP6_GUEST_ADDRS);
}

static void send_neighbour_advert(struct stack *st, const struct packet *pkt,
				  const struct ipaddr *target)
{
	bool probe = ipaddr_is_unspecified(&pkt->src);
	struct l3_spec l3 = { .src = *target,
			      .dst = probe ? all_nodes : pkt->src,
			      .proto = PROTO_ICMP6,
			      .ttl = NDP_HOPS };
	struct out_slot *slot;
	uint8_t *icmp;

	slot = begin(st, &l3, SOLICIT_HLEN + OPT_UNIT, &icmp);
	if (!slot)
		return;
	icmp[0] = TYPE_NEIGHBOUR_ADVERT;
	icmp[4] = NA_OVERRIDE | (probe ? 0 : NA_SOLICITED);
	if (!ipaddr_equal(target, &st->cfg.dns6) && stack_is_ours(st, target))
		icmp[4] |= NA_ROUTER;
	memcpy(icmp + OFF_TARGET, target->b, 16);
	put_lla(icmp + SOLICIT_HLEN, OPT_TARGET_LLA, st->cfg.our_mac);
	send_message(st, slot, &l3, icmp, SOLICIT_HLEN + OPT_UNIT);
}

/* RFC 4861 7.1.1 and 7.2.3, RFC 4862 5.4.3. */
static enum drop_reason solicit_input(struct stack *st, const struct packet *pkt,
				      const struct ipaddr *target, bool has_lla)
{
	bool probe = ipaddr_is_unspecified(&pkt->src);

	if (probe && (has_lla || !is_solicited_node(&pkt->dst)))
		return DROP_NDP_MALFORMED;
	learn(st, &pkt->src);
	if (stack_is_ours(st, target)) {
		send_neighbour_advert(st, pkt, target);
	} else if (probe) {
		learn(st, target);
		if (ipaddr_is_link_local6(target))
			advertise_to_all(st);
	} else if (ipaddr_same_prefix64(target, &st->cfg.prefix6) &&
		   !ipaddr_equal(target, &st->cfg.prefix6) && !is_guests(&st->ndp, target)) {
		send_neighbour_advert(st, pkt, target);
	}
	return DROP_NONE;
}

/* RFC 4861 7.1.2: the guest may speak for itself only. */
static enum drop_reason advert_input(struct stack *st, const struct packet *pkt,
				     const struct ipaddr *target)
{
	if (ipaddr_is_unspecified(&pkt->src))
		return DROP_NDP_MALFORMED;
	if (stack_is_ours(st, target))
		return DROP_IP_SPOOFED;
	learn(st, target);
	return DROP_NONE;
}

/* RFC 4861 6.1.1 and 6.2.6. */
static enum drop_reason router_solicit_input(struct stack *st, const struct packet *pkt,
					     bool has_lla)
{
	bool unspecified = ipaddr_is_unspecified(&pkt->src);

	if (unspecified && has_lla)
		return DROP_NDP_MALFORMED;
	learn(st, &pkt->src);
	send_router_advert(st, unspecified ? &all_nodes : &pkt->src);
	return DROP_NONE;
}

/* Options have a length that is not zero and lie inside the message, RFC 4861 4.6. */
static bool options_ok(struct cursor c, bool *has_lla)
{
	const uint8_t *h;

	*has_lla = false;
	while (c.left) {
		h = cursor_pull(&c, OPT_UNIT);
		if (!h || h[1] == 0 || !cursor_pull(&c, (h[1] - 1U) * OPT_UNIT))
			return false;
		*has_lla |= h[0] == OPT_SOURCE_LLA;
	}
	return true;
}

/**
 * ndp_input() - one message of neighbour discovery from the guest
 * @pkt:	its checksum holds; the source is the guest's, or unspecified
 *
 * The message is read from the private copy; one with options beyond that is
 * refused. What a router or nobody sends (advertisements of routers, redirects)
 * is counted.
 */
void ndp_input(struct stack *st, const struct packet *pkt)
{
	enum drop_reason why = DROP_NDP_MALFORMED;
	struct cursor c = packet_l4(pkt);
	uint32_t hlen = ICMP_HLEN;
	struct ipaddr target;
	const uint8_t *icmp;
	bool has_lla;
	uint8_t type;

	if (pkt->ttl != NDP_HOPS || c.left != pkt->l4_len)
		goto drop;
	type = *c.p; /* eight bytes are there: icmp6_input() has looked */
	if (type == TYPE_NEIGHBOUR_SOLICIT || type == TYPE_NEIGHBOUR_ADVERT) {
		hlen = SOLICIT_HLEN;
	} else if (type != TYPE_ROUTER_SOLICIT) {
		why = DROP_ICMP_TYPE;
		goto drop;
	}
	icmp = cursor_pull(&c, hlen);
	if (!icmp || icmp[1] != 0 || !options_ok(c, &has_lla))
		goto drop;
	if (hlen == SOLICIT_HLEN) {
		memcpy(target.b, icmp + OFF_TARGET, 16);
		if (ipaddr_is_multicast6(&target) || ipaddr_is_v4(&target))
			goto drop;
	}
	if (type == TYPE_NEIGHBOUR_SOLICIT)
		why = solicit_input(st, pkt, &target, has_lla);
	else if (type == TYPE_NEIGHBOUR_ADVERT)
		why = advert_input(st, pkt, &target);
	else
		why = router_solicit_input(st, pkt, has_lla);
drop:
	if (why != DROP_NONE)
		stack_drop(st, why);
}
