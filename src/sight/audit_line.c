/* SPDX-License-Identifier: MIT */
/* A record of the audit as a line of JSON; no memory is taken for it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/base/jsontext.h"
#include "src/base/utc.h"
#include "src/sight/audit_log.h"
#include "tcpstack/audit.h"
#include "tcpstack/policy.h"

/* All of a line but its two texts is short; each byte of those may become six. */
static_assert(1024 + JSON_TEXT_MAX * (POLICY_NAME_MAX + 1) < AUDIT_LINE_MAX, "a name fits");

/* Behind the texts: "}\n" and what a number needs. */
#define TAIL_ROOM 64

struct line {
	char *text;
	size_t n;
};

PRINTF(2, 3) static void add(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->n, AUDIT_LINE_MAX - l->n, fmt, ap);
	va_end(ap);
	BUG_ON(n < 0 || (size_t)n >= AUDIT_LINE_MAX - l->n);
	l->n += (size_t)n;
}

/* ,"key":"text": as much of it as there is room for. */
static void add_text(struct line *l, const char *key, const char *text, size_t len)
{
	if (len == 0)
		return;
	add(l, ",\"%s\":\"", key);
	l->n += json_text(l->text + l->n, AUDIT_LINE_MAX - TAIL_ROOM - l->n, text, len);
	add(l, "\"");
}

static void add_endpoint(struct line *l, const char *key, const struct endpoint *ep, bool port)
{
	char text[ENDPOINT_STRLEN], *colon;

	endpoint_format(ep, text);
	if (!port && (colon = strrchr(text, ':')))
		*colon = 0;
	add(l, ",\"%s\":\"%s\"", key, text);
}

static void add_ends(struct line *l, const struct audit_record *r)
{
	/* An identifier stands in the port's place of an echo's guest; the remote has none. */
	bool ports = r->proto != FLOW_PING;

	add_endpoint(l, "guest", &r->guest, true);
	if (r->proto == AUDIT_DNS)
		return;
	add_endpoint(l, "remote", &r->remote, ports);
	if (r->translated)
		add_endpoint(l, "host", &r->host, ports);
}

static void add_decision(struct line *l, const struct audit_record *r)
{
	bool kept_out = r->why != DROP_NONE && r->why != DROP_POLICY_DENIED;

	add(l, ",\"verdict\":\"%s\",\"reason\":\"%s\"", audit_verdict_name(r->verdict),
	    kept_out ? drop_name(r->why) : audit_reason_name(r->reason));
	if (r->rule)
		add(l, ",\"rule_number\":%" PRIu32, r->rule);
	add_text(l, "name", r->text, r->name_len);
	add_text(l, "rule", r->text + r->name_len, r->rule_len);
}

static void add_close(struct line *l, const struct audit_record *r)
{
	const char *error = strerrorname_np(r->error);

	add(l,
	    ",\"tx_bytes\":%" PRIu64 ",\"rx_bytes\":%" PRIu64 ",\"duration_ms\":%" PRIu64
	    ",\"reason\":\"%s\"",
	    r->tx_bytes, r->rx_bytes, (uint64_t)(r->life_ns / NS_PER_MS), flow_end_name(r->end));
	if (r->error)
		add(l, ",\"error\":\"%s\"", error ? error : "unknown");
}

/**
 * audit_line() - @r as a line
 * @to_utc_ns:	what makes nanoseconds since 1970 of its time
 *
 * Return: bytes of @line, newline included; no terminator counts
 */
size_t audit_line(const struct audit_record *r, uint64_t to_utc_ns, char line[AUDIT_LINE_MAX])
{
	struct line l = { .text = line };
	char utc[UTC_STRLEN], name[FLOW_NAME_STRLEN];

	add(&l, "{\"time\":\"%s\",\"event\":\"%s\"", utc_format(r->time_ns + to_utc_ns, utc),
	    r->event == AUDIT_CLOSE ? "close" : "decision");
	if (r->has_flow)
		add(&l, ",\"flow\":\"%s\"", flow_name(r->proto, r->flow, name));
	add(&l, ",\"direction\":\"%s\",\"proto\":\"%s\"", r->inbound ? "in" : "out",
	    r->proto == AUDIT_DNS ? "dns" : flow_proto_name(r->proto));
	add_ends(&l, r);
	if (r->event == AUDIT_CLOSE)
		add_close(&l, r);
	else
		add_decision(&l, r);
	add(&l, "}\n");
	return l.n;
}

/**
 * audit_lost_line() - the line that tells of records that no line tells of
 * @now_ns:	nanoseconds since 1970
 * @lost:	found no room; @withheld: denials beyond the rate
 *
 * Return: bytes of @line
 */
size_t audit_lost_line(uint64_t now_ns, uint64_t lost, uint64_t withheld, char line[AUDIT_LINE_MAX])
{
	struct line l = { .text = line };
	char utc[UTC_STRLEN];

	add(&l,
	    "{\"time\":\"%s\",\"event\":\"lost\",\"lost\":%" PRIu64 ",\"withheld\":%" PRIu64 "}\n",
	    utc_format(now_ns, utc), lost, withheld);
	return l.n;
}
