/* SPDX-License-Identifier: MIT */
/*
 * What policy has decided and how flows have ended, as records for another thread.
 *
 * The stack puts a record into a ring for each decision and for each end; whoever
 * gave it the ring makes lines of them. A ring that is full costs records, which
 * are counted, and never time. Denials, which a guest can cause at any rate, are
 * bounded to LIMIT_AUDIT_DENIALS a second; what is beyond is counted too.
 */
#ifndef SLUICE_TCPSTACK_AUDIT_H
#define SLUICE_TCPSTACK_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/spsc.h"
#include "tcpstack/addr.h"
#include "tcpstack/drop.h"
#include "tcpstack/flow.h"

struct stack;

enum audit_event { AUDIT_DECISION, AUDIT_CLOSE };

enum audit_verdict { AUDIT_ALLOW, AUDIT_DENY, AUDIT_WOULD_DENY, AUDIT_VERDICTS };

/*
 * What a decision rests on; the names are stable. A flow that policy lets pass and
 * a limit or the host does not is denied under a drop reason's name.
 */
#define AUDIT_REASONS(X)                                                                \
	X(PROFILE, "profile", "no rule fits: what the profile does then")               \
	X(RULE, "rule", "the first rule that fits")                                     \
	X(ADDRESS, "address", "an address that no flow may reach, whatever the rules")  \
	X(GATEWAY_PORT, "gateway-port", "--gateway-ports has it, or has it not")        \
	X(DNS_SERVICE, "dns", "the way to our DNS service, which judges each question") \
	X(FORWARD, "forward", "came through a forward of the user's")                   \
	X(OURS, "ours", "a name that is answered here")

enum audit_reason {
#define X(id, name, text) AUDIT_##id,
	AUDIT_REASONS(X)
#undef X
		AUDIT_REASON_COUNT
};

/* audit_record.proto of a question to our DNS service; else enum flow_proto. */
#define AUDIT_DNS FLOW_PROTOS

/**
 * struct audit_record - one message of the ring
 * @time_ns:	of the cycle, CLOCK_MONOTONIC
 * @event:	enum audit_event
 * @proto:	enum flow_proto, or AUDIT_DNS
 * @verdict:	enum audit_verdict; of decisions, as are the members up to @rule
 * @reason:	enum audit_reason
 * @why:	enum drop_reason; other than DROP_NONE and DROP_POLICY_DENIED, it
 *		stands in @reason's place
 * @rule:	number from 1, as `ctl rule list` has it; 0 = none
 * @end:	enum flow_end; of closes, as are the members below
 * @error:	errno behind it, 0 = none
 * @has_flow:	@flow is one
 * @inbound:	from the host's side
 * @translated:	@host is known
 * @guest, @remote:	as the guest has them, before translation
 * @host:	the remote as the host has it
 * @life_ns, @tx_bytes, @rx_bytes:	of the flow; payload, guest to host and back
 * @name_len, @rule_len:	of the texts behind the record: the remote's name, the rule
 */
struct audit_record {
	uint64_t time_ns;
	uint8_t event, proto, verdict, reason;
	uint8_t why, end;
	bool has_flow, inbound, translated;
	uint16_t error;
	uint16_t name_len, rule_len;
	uint32_t rule;
	struct flow_id flow;
	struct endpoint guest, remote, host;
	uint64_t life_ns, tx_bytes, rx_bytes;
	char text[];
};

/**
 * struct audit - where a stack tells of its decisions
 * @ring:	of struct audit_record; its memory is the reader's
 * @records:	put into it
 * @withheld:	denials that were not, for there were too many
 * @tokens, @tokens_ns:	denials that may still be told, in 1/NS_PER_S
 */
struct audit {
	struct spsc ring;
	struct counter records, withheld;
	uint64_t tokens, tokens_ns;
};

/* audit.c: the stack's thread, unless they say otherwise */
void audit_init(struct audit *a, void *buf, uint32_t size, int wake_fd);
void audit_decision(struct stack *st, enum flow_proto proto, const struct flow_key *key,
		    const struct flow *f, enum drop_reason why);
void audit_inbound(struct stack *st, enum flow_proto proto, const struct flow_key *key,
		   const struct endpoint *peer, const struct flow *f, enum drop_reason why);
void audit_question(struct stack *st, const struct endpoint *guest, const char *name,
		    enum drop_reason why);
void audit_close(struct stack *st, enum flow_proto proto, struct flow *f);
const char *audit_reason_name(enum audit_reason reason);
const char *audit_verdict_name(enum audit_verdict verdict);

#endif
