/* SPDX-License-Identifier: MIT */
/*
 * Egress policy: what the user wrote, and what the stack looks up.
 *
 * A struct policy_list is the user's: an ordered list of rules, a profile and
 * the ports of the host's loopback that lie behind the gateway. It is edited by
 * the main thread, with the heap. policy_compile() makes a struct policy of it:
 * sorted arrays that nothing changes any more, but for the counters of its
 * rules. The stack owns one and looks destinations up in it; stack_set_policy()
 * exchanges it between two parts of a cycle, and the old one goes back to be
 * freed where it was made. So a change of rules costs the worker a pointer.
 *
 *	allow|deny [tcp:|udp:|icmp:]WHERE[:PORT[-PORT]]
 *
 * WHERE is an address, a network (CIDR), a name, a pattern of a name, or "*".
 * IPv6 stands in brackets if ports follow. In a pattern, "*" is any run of
 * characters that has no dot: *.example.org is neither example.org nor
 * a.b.example.org. The first rule that fits decides.
 */
#ifndef SLUICE_TCPSTACK_POLICY_H
#define SLUICE_TCPSTACK_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/counter.h"
#include "tcpstack/addr.h"

/* Longest name as text, without a final dot: RFC 1035 3.1 less its length bytes. */
#define POLICY_NAME_MAX 253

/* Longest rule as text: verdict, protocol, name, ports. */
#define POLICY_RULE_MAX (POLICY_NAME_MAX + 32)

/* Most rules, and most ranges of --gateway-ports. */
#define POLICY_RULES_MAX  (1U << 20)
#define POLICY_RANGES_MAX 32

/* Names of one destination that a look-up considers. */
#define POLICY_NAMES_MAX 8

/**
 * enum policy_profile - what becomes of a destination that no rule names
 * @POLICY_OPEN:	allowed, but for link-local and the clouds' metadata services
 * @POLICY_MONITORED:	as open; and what a rule denies is counted and logged, and allowed
 * @POLICY_ALLOWLIST:	denied
 * @POLICY_NONE:	denied; there are no rules, and no DNS
 */
enum policy_profile {
	POLICY_OPEN,
	POLICY_MONITORED,
	POLICY_ALLOWLIST,
	POLICY_NONE,
	POLICY_PROFILES
};

struct port_range {
	uint16_t lo, hi;
};

/**
 * struct policy_rule - one rule
 * @text:	as it is shown: "deny tcp:10.0.0.0/8:25"; from the heap
 * @name:	its pattern in lower case, NULL = @net; inside @text
 * @name_len:	its length
 * @any:	"*": every address of both families
 * @net, @len:	network, its bits beyond @len zero; @len counts from bit 0 of
 *		struct ipaddr, so an IPv4 network has 96 more than was written
 * @proto:	PROTO_TCP, PROTO_UDP, PROTO_ICMP, or 0 for all
 * @ports:	0..65535 for all
 */
struct policy_rule {
	char *text;
	const char *name;
	struct ipaddr net;
	struct port_range ports;
	uint8_t name_len;
	uint8_t len;
	uint8_t proto;
	bool any;
	bool allow;
};

/**
 * struct policy_list - what the user wants; zeroed = the profile open, no rules
 * @profile:	enum policy_profile
 * @gateway_listed:	@gateway is the whole list; else all ports
 * @gateway:	ports of the host's loopback that the gateway's address reaches
 */
struct policy_list {
	uint32_t profile;
	struct policy_rule *rules;
	uint32_t nrules, cap;
	bool gateway_listed;
	uint32_t ngateway;
	struct port_range gateway[POLICY_RANGES_MAX];
};

/* What policy_match() answers where no rule fits. */
#define POLICY_NO_RULE UINT32_MAX

struct policy;

/* policy_rule.c: rules as text; any thread */
int policy_rule_parse(struct policy_rule *r, bool allow, const char *text, char *why,
		      size_t why_len);
void policy_rule_free(struct policy_rule *r);
bool policy_name_fits(const char *pattern, const char *name);
int policy_ports_parse(struct port_range *range, const char *text);

struct stack_config; /* stack.h */

/* policy_list.c: the user's list; main thread */
int policy_list_add(struct policy_list *l, bool allow, const char *text, char *why, size_t why_len);
int policy_list_insert(struct policy_list *l, uint32_t at, bool allow, const char *text, char *why,
		       size_t why_len);
int policy_list_remove(struct policy_list *l, uint32_t at);
int policy_list_gateway(struct policy_list *l, const char *text, char *why, size_t why_len);
int policy_list_copy(struct policy_list *to, const struct policy_list *from);
int policy_list_check(const struct policy_list *l, const struct stack_config *cfg, char *why,
		      size_t why_len);
void policy_list_free(struct policy_list *l);

/* policy_table.c: made and freed by the main thread, looked up by the worker */
int policy_compile(struct policy **out, const struct policy_list *l);
void policy_free(struct policy *p);
uint32_t policy_match(const struct policy *p, uint8_t proto, const struct endpoint *dst,
		      const char *const *names, uint32_t nnames);
uint32_t policy_match_name(const struct policy *p, const char *name);
bool policy_has_names(const struct policy *p);
enum policy_profile policy_profile(const struct policy *p);
bool policy_gateway_port(const struct policy *p, uint16_t port, bool *listed);
uint32_t policy_rules(const struct policy *p);
bool policy_rule_allows(const struct policy *p, uint32_t rule);
const char *policy_rule_text(const struct policy *p, uint32_t rule);
struct counter *policy_rule_hits(const struct policy *p, uint32_t rule);

#endif
