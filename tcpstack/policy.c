/* SPDX-License-Identifier: MIT */
/*
 * Where the guest may go, and where that is on the host.
 *
 * Every protocol asks here before it touches a host socket, and connects to
 * what this function answers, never to what the guest wrote. So no protocol can
 * forget a rule, and the rules see translated addresses (H44). The host's own
 * loopback is reachable in one way only: through the gateway's address, if the
 * configuration allows it.
 */
#include "tcpstack/priv.h"

#define DNS_PORT 53

/* @addr in @net/@len, host order. */
static bool in_net(uint32_t addr, uint32_t net, uint32_t len)
{
	return len == 0 || (addr ^ net) >> (32 - len) == 0;
}

/* Addresses that no flow of the guest may reach directly; RFC 6890 and RFC 5735. */
static const struct {
	uint32_t net;
	uint32_t len;
} refused4[] = {
	{ 0x00000000, 8 },  /* 0/8: this network */
	{ 0x7f000000, 8 },  /* 127/8: the host's loopback */
	{ 0xa9fe0000, 16 }, /* 169.254/16: link-local, cloud metadata */
	{ 0xe0000000, 4 },  /* 224/4: multicast */
	{ 0xf0000000, 4 },  /* 240/4: reserved, and the limited broadcast */
};

static enum drop_reason translate4(const struct stack *st, uint8_t proto,
				   const struct endpoint *dst, struct endpoint *host)
{
	const struct stack_config *cfg = &st->cfg;
	uint32_t addr = ipaddr_v4(&dst->addr);

	/* The DNS address serves TCP 53; UDP 53 is answered by dns.c before it comes here. */
	if (addr == cfg->dns4 && proto == PROTO_TCP && dst->port == DNS_PORT) {
		if (cfg->nresolvers == 0)
			return DROP_POLICY_DENIED;
		*host = cfg->resolvers[0];
		return DROP_NONE;
	}
	if (addr == cfg->gateway4 && cfg->gateway_is_host) {
		*host = (struct endpoint){ ipaddr_from_v4(0x7f000001), dst->port };
		return DROP_NONE;
	}
	/* Whatever else has an address of the guest's own network is us, the guest, or nobody. */
	if (in_net(addr, cfg->guest4, cfg->prefix4))
		return DROP_POLICY_DENIED;
	for (size_t i = 0; i < ARRAY_SIZE(refused4); i++)
		if (in_net(addr, refused4[i].net, refused4[i].len))
			return DROP_POLICY_DENIED;
	*host = *dst;
	return DROP_NONE;
}

/**
 * policy_translate() - may a flow go to @dst, and where is that on the host?
 * @proto:	PROTO_*
 * @dst:	as the guest wrote it; the port is 0 for ICMP
 * @host:	out: where to connect; untouched unless DROP_NONE is returned
 *
 * Return: DROP_NONE, or the reason to refuse
 */
enum drop_reason policy_translate(struct stack *st, uint8_t proto, const struct endpoint *dst,
				  struct endpoint *host)
{
	if (!ipaddr_is_v4(&dst->addr))
		return DROP_IP_DISABLED;
	return translate4(st, proto, dst, host);
}
