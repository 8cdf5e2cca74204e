/* SPDX-License-Identifier: MIT */
/*
 * Records of decisions and ends.
 *
 * Theory of operation: policy.c leaves in stack.verdict what its last judgement
 * rests on. Whoever had asked it calls audit_decision() once it knows what became
 * of the flow: so the record of a flow that was let in carries the flow's name,
 * and one that a limit kept out says which. The texts are copied behind the
 * record, since rules and names may be gone when it is read.
 */
#include "tcpstack/audit.h"

#include "src/base/clock.h"
#include "tcpstack/limits.h"
#include "tcpstack/policy.h"
#include "tcpstack/priv.h"

static const char *const reasons[] = {
#define X(id, name, text) name,
	AUDIT_REASONS(X)
#undef X
};

static const char *const verdicts[] = {
	[AUDIT_ALLOW] = "allow",
	[AUDIT_DENY] = "deny",
	[AUDIT_WOULD_DENY] = "would-deny",
};

static_assert(ARRAY_SIZE(reasons) == AUDIT_REASON_COUNT, "a name for each reason");
static_assert(ARRAY_SIZE(verdicts) == AUDIT_VERDICTS, "a name for each verdict");
static_assert(sizeof(struct audit_record) + POLICY_NAME_MAX + POLICY_RULE_MAX + 16 <=
		      LIMIT_AUDIT_RING_BYTES / 4,
	      "any record fits");

/**
 * audit_init() - nothing to tell yet; any thread, before the stack has it
 * @buf, @size, @wake_fd:	of the ring, as for spsc_init()
 */
void audit_init(struct audit *a, void *buf, uint32_t size, int wake_fd)
{
	*a = (struct audit){ .tokens = LIMIT_AUDIT_DENIALS * NS_PER_S };
	spsc_init(&a->ring, buf, size, wake_fd);
}

/* A bucket of LIMIT_AUDIT_DENIALS a second, one second deep. */
static bool may_tell(struct audit *a, uint64_t now)
{
	uint64_t gain = MIN(now - a->tokens_ns, NS_PER_S) * LIMIT_AUDIT_DENIALS;

	a->tokens = MIN(a->tokens + gain, LIMIT_AUDIT_DENIALS * NS_PER_S);
	a->tokens_ns = now;
	if (a->tokens < NS_PER_S) {
		counter_inc(&a->withheld);
		return false;
	}
	a->tokens -= NS_PER_S;
	return true;
}

/* A record with its texts; the ring has it, or has counted it as lost. */
static void put(struct audit *a, const struct audit_record *r, const char *name, const char *rule)
{
	struct audit_record *out = spsc_reserve(&a->ring,
						(uint32_t)sizeof(*r) + r->name_len + r->rule_len);

	if (!out)
		return;
	*out = *r;
	if (name)
		memcpy(out->text, name, r->name_len);
	if (rule)
		memcpy(out->text + r->name_len, rule, r->rule_len);
	spsc_commit(&a->ring);
	counter_inc(&a->records);
}

static void set_flow(struct audit_record *r, const struct flow *f)
{
	if (!f)
		return;
	r->has_flow = true;
	r->flow = f->id;
}

/**
 * audit_decision() - what policy_translate() has judged last, and what came of it
 * @key:	ends as the guest has them
 * @f:		the flow; NULL = there is none
 * @why:	DROP_NONE: it was let in. Else why not: DROP_POLICY_DENIED, or what kept out
 *		a flow that policy had allowed
 */
void audit_decision(struct stack *st, enum flow_proto proto, const struct flow_key *key,
		    const struct flow *f, enum drop_reason why)
{
	const struct verdict *v = &st->verdict;
	struct audit *a = st->cfg.audit;
	const char *rule = NULL;
	struct audit_record r;

	if (!a || (why != DROP_NONE && !may_tell(a, stack_now(st))))
		return;
	if (v->rule != POLICY_NO_RULE)
		rule = policy_rule_text(st->policy, v->rule);
	r = (struct audit_record){
		.time_ns = stack_now(st),
		.event = AUDIT_DECISION,
		.proto = (uint8_t)proto,
		.verdict = why != DROP_NONE ? AUDIT_DENY
			   : v->monitored   ? AUDIT_WOULD_DENY
					    : AUDIT_ALLOW,
		.reason = (uint8_t)v->reason,
		.why = (uint8_t)why,
		.rule = rule ? v->rule + 1 : 0,
		.inbound = v->inbound,
		.translated = v->translated,
		.guest = key->guest,
		.remote = key->remote,
		.host = v->host,
		.name_len = v->name ? (uint16_t)strnlen(v->name, POLICY_NAME_MAX) : 0,
		.rule_len = rule ? (uint16_t)strnlen(rule, POLICY_RULE_MAX) : 0,
	};
	set_flow(&r, f);
	put(a, &r, v->name, rule);
}

/**
 * audit_inbound() - a connection or datagram of the host's side, through a forward
 * @peer:	who it is
 * @f, @why:	as for audit_decision()
 */
void audit_inbound(struct stack *st, enum flow_proto proto, const struct flow_key *key,
		   const struct endpoint *peer, const struct flow *f, enum drop_reason why)
{
	st->verdict = (struct verdict){ .reason = AUDIT_FORWARD,
					.rule = POLICY_NO_RULE,
					.inbound = true,
					.translated = true,
					.host = *peer };
	audit_decision(st, proto, key, f, why);
}

/**
 * audit_question() - what policy_question() has judged last
 * @guest:	who asks
 * @name:	in lower case, NULL = one that no rule can name
 * @why:	DROP_NONE, or the reason to refuse an answer
 */
void audit_question(struct stack *st, const struct endpoint *guest, const char *name,
		    enum drop_reason why)
{
	const struct flow_key key = { .guest = *guest };

	st->verdict.name = name;
	audit_decision(st, AUDIT_DNS, &key, NULL, why);
}

/**
 * audit_close() - a flow has ended; once for each, though called again
 * @f:		its end says why
 */
void audit_close(struct stack *st, enum flow_proto proto, struct flow *f)
{
	struct audit *a = st->cfg.audit;
	struct audit_record r;

	if (!a || f->told)
		return;
	f->told = true;
	r = (struct audit_record){
		.time_ns = stack_now(st),
		.event = AUDIT_CLOSE,
		.proto = (uint8_t)proto,
		.end = f->end,
		.error = f->error,
		.inbound = f->inbound,
		.translated = true,
		.guest = f->key.guest,
		.remote = f->key.remote,
		.host = f->host,
		.life_ns = stack_now(st) - f->opened_ns,
		.tx_bytes = f->tx_bytes,
		.rx_bytes = f->rx_bytes,
	};
	set_flow(&r, f);
	put(a, &r, NULL, NULL);
}

/**
 * audit_reason_name() - the stable name of @reason; any thread
 */
const char *audit_reason_name(enum audit_reason reason)
{
	return reason < AUDIT_REASON_COUNT ? reasons[reason] : "unknown";
}

/**
 * audit_verdict_name() - the stable name of @verdict; any thread
 */
const char *audit_verdict_name(enum audit_verdict verdict)
{
	return verdict < AUDIT_VERDICTS ? verdicts[verdict] : "unknown";
}
