/* SPDX-License-Identifier: MIT */
/*
 * Which frames a capture picks.
 *
 * Theory of operation: the words of an expression become steps in postfix order, by
 * recursive descent; a match walks the steps once over a stack of bits. The parser
 * bounds steps and depth, so the walk needs no checks of its own.
 */
#include "tcpstack/capture.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/frame.h"

#define WORD_MAX 64

/* IPv6 extension headers that are looked behind, RFC 8200 4.1. */
#define EXT_HOPS     0
#define EXT_ROUTING  43
#define EXT_FRAGMENT 44
#define EXT_DEST     60
#define EXT_MAX	     8

/**
 * struct parser - where the parser stands
 * @word:	the next one, "" at the end
 */
struct parser {
	struct capture_filter *f;
	const char *at;
	char word[WORD_MAX];
	uint32_t depth;
	char *why;
	size_t why_len;
};

PRINTF(2, 3) static int bad(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why, p->why_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* A parenthesis is a word by itself. */
static int advance(struct parser *p)
{
	size_t n;

	p->at += strspn(p->at, " \t");
	n = *p->at == '(' || *p->at == ')' ? 1 : strcspn(p->at, " \t()");
	if (n >= sizeof(p->word))
		return bad(p, "\"%.40s...\" is no word of a filter", p->at);
	memcpy(p->word, p->at, n);
	p->word[n] = 0;
	p->at += n;
	return 0;
}

static bool is(const struct parser *p, const char *word)
{
	return strcmp(p->word, word) == 0;
}

static int emit(struct parser *p, const struct capture_term *t)
{
	if (p->f->n == CAPTURE_TERMS_MAX)
		return bad(p, "the filter has more than %d terms", CAPTURE_TERMS_MAX);
	p->f->term[p->f->n++] = *t;
	return 0;
}

static int emit_op(struct parser *p, enum capture_op op)
{
	return emit(p, &(struct capture_term){ .op = (uint8_t)op });
}

static const struct {
	const char *word;
	uint8_t op;
	uint16_t value;
} protos[] = {
	{ "tcp", CAPTURE_PROTO, PROTO_TCP },	    { "udp", CAPTURE_PROTO, PROTO_UDP },
	{ "icmp", CAPTURE_PROTO, PROTO_ICMP },	    { "arp", CAPTURE_ETHERTYPE, ETHERTYPE_ARP },
	{ "ip", CAPTURE_ETHERTYPE, ETHERTYPE_IP4 }, { "ip6", CAPTURE_ETHERTYPE, ETHERTYPE_IP6 },
};

/* Without a word before it that takes arguments: 1, or 0 when it is neither direction. */
static int direction_word(struct parser *p)
{
	bool out = is(p, "outbound");
	int err;

	if (!out && !is(p, "inbound"))
		return 0;
	err = emit_op(p, CAPTURE_TO_GUEST);
	if (err == 0 && out)
		err = emit_op(p, CAPTURE_NOT);
	return err ? err : 1;
}

/* The word is a protocol: 1, or 0 when it is none. */
static int proto_word(struct parser *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++) {
		const struct capture_term t = { .op = protos[i].op, .value = protos[i].value };
		int err;

		if (!is(p, protos[i].word))
			continue;
		err = emit(p, &t);
		return err ? err : 1;
	}
	return 0;
}

static int net_word(struct parser *p, bool prefix)
{
	struct capture_term t = { .op = CAPTURE_NET, .value = 128 };
	char *slash = strchr(p->word, '/'), *end;
	unsigned long len;
	bool v4;

	if (slash && !prefix)
		return bad(p, "\"%s\" is no address; a network follows \"net\"", p->word);
	if (slash)
		*slash = 0;
	v4 = !strchr(p->word, ':');
	if (ipaddr_parse(p->word, &t.net) < 0)
		return bad(p, "\"%s\" is no address", p->word);
	if (slash) {
		len = strtoul(slash + 1, &end, 10);
		if (slash[1] < '0' || slash[1] > '9' || *end || len > (v4 ? 32 : 128))
			return bad(p, "\"/%s\" is no prefix", slash + 1);
		t.value = (uint16_t)(v4 ? 96 + len : len);
	}
	return emit(p, &t);
}

/* The argument of @what, which is the word before. */
static int argument(struct parser *p, const char *what)
{
	struct capture_term t = { .op = CAPTURE_FLOW };
	enum flow_proto proto;
	int ret;

	if (!p->word[0])
		return bad(p, "something is missing behind \"%s\"", what);
	if (strcmp(what, "proto") == 0) {
		ret = proto_word(p);
		return ret == 0 ? bad(p, "\"%s\" is no protocol", p->word) : MIN(ret, 0);
	}
	if (strcmp(what, "port") == 0) {
		t.op = CAPTURE_PORT;
		if (policy_ports_parse(&t.ports, p->word) < 0)
			return bad(p, "\"%s\" is no port", p->word);
		return emit(p, &t);
	}
	if (strcmp(what, "flow") == 0) {
		if (flow_name_parse(p->word, &proto, &t.flow) < 0)
			return bad(p, "\"%s\" is no flow such as tcp-3.1", p->word);
		t.value = (uint16_t)proto;
		return emit(p, &t);
	}
	return net_word(p, strcmp(what, "net") == 0);
}

static int expression(struct parser *p);

static int factor_inside(struct parser *p)
{
	static const char *const with_argument[] = { "proto", "host", "net", "port", "flow" };
	int ret;

	if (is(p, "(")) {
		ret = advance(p);
		if (ret == 0)
			ret = expression(p);
		if (ret == 0 && !is(p, ")"))
			ret = bad(p, "a parenthesis is not closed");
		return ret ? ret : advance(p);
	}
	for (size_t i = 0; i < ARRAY_SIZE(with_argument); i++) {
		if (!is(p, with_argument[i]))
			continue;
		ret = advance(p);
		if (ret == 0)
			ret = argument(p, with_argument[i]);
		return ret ? ret : advance(p);
	}
	ret = proto_word(p);
	if (ret == 0)
		ret = direction_word(p);
	if (ret == 0)
		return p->word[0] ? bad(p, "\"%s\" is not understood", p->word)
				  : bad(p, "the filter ends too early");
	return ret < 0 ? ret : advance(p);
}

static int factor(struct parser *p)
{
	bool negated = false;
	int ret = 0;

	if (p->depth == CAPTURE_DEPTH_MAX)
		return bad(p, "the filter is nested too deeply");
	p->depth++;
	while (ret == 0 && is(p, "not")) {
		negated = !negated;
		ret = advance(p);
	}
	if (ret == 0)
		ret = factor_inside(p);
	if (ret == 0 && negated)
		ret = emit_op(p, CAPTURE_NOT);
	p->depth--;
	return ret;
}

/* Operands of one kind, with @word between them. */
static int chain(struct parser *p, int (*operand)(struct parser *p), const char *word,
		 enum capture_op op)
{
	int ret = operand(p);

	while (ret == 0 && is(p, word)) {
		ret = advance(p);
		if (ret == 0)
			ret = operand(p);
		if (ret == 0)
			ret = emit_op(p, op);
	}
	return ret;
}

static int term(struct parser *p)
{
	return chain(p, factor, "and", CAPTURE_AND);
}

static int expression(struct parser *p)
{
	return chain(p, term, "or", CAPTURE_OR);
}

/**
 * capture_filter_parse() - from words to steps
 * @text:	"" = every frame
 * @why:	on failure, one line
 *
 * Return: 0 or -EINVAL
 */
int capture_filter_parse(struct capture_filter *f, const char *text, char *why, size_t why_len)
{
	struct parser p = { .f = f, .at = text, .why = why, .why_len = why_len };
	int ret = advance(&p);

	f->n = 0;
	if (ret == 0 && !p.word[0])
		return 0;
	if (ret == 0)
		ret = expression(&p);
	if (ret == 0 && p.word[0])
		ret = bad(&p, "\"%s\" is not understood", p.word);
	return ret;
}

static bool in_ports(const struct capture_key *k, const struct port_range *r)
{
	return k->has_ports && ((r->lo <= k->src.port && k->src.port <= r->hi) ||
				(r->lo <= k->dst.port && k->dst.port <= r->hi));
}

/* Within its own family: an IPv4 address lies in no network of IPv6. */
static bool in_net(const struct ipaddr *addr, const struct capture_term *t)
{
	return ipaddr_is_v4(addr) == ipaddr_is_v4(&t->net) &&
	       ipaddr_in_net(addr, &t->net, t->value);
}

static bool operand_fits(const struct capture_term *t, const struct capture_key *k)
{
	switch ((enum capture_op)t->op) {
	case CAPTURE_ETHERTYPE:
		return k->ethertype == t->value;
	case CAPTURE_PROTO:
		return k->proto == t->value || (k->proto == PROTO_ICMP6 && t->value == PROTO_ICMP);
	case CAPTURE_NET:
		return k->proto && (in_net(&k->src.addr, t) || in_net(&k->dst.addr, t));
	case CAPTURE_PORT:
		return in_ports(k, &t->ports);
	case CAPTURE_FLOW:
		return k->has_flow && k->flow_proto == t->value && k->flow.index == t->flow.index &&
		       k->flow.gen == t->flow.gen;
	case CAPTURE_TO_GUEST:
		return k->to_guest;
	default:
		return false;
	}
}

/**
 * capture_filter_match() - does the filter pick the frame that @k is about?
 */
bool capture_filter_match(const struct capture_filter *f, const struct capture_key *k)
{
	uint64_t stack = 0; /* the top in bit 0 */

	if (f->n == 0)
		return true;
	for (uint32_t i = 0; i < f->n; i++) {
		const struct capture_term *t = &f->term[i];

		if (t->op == CAPTURE_NOT)
			stack ^= 1;
		else if (t->op == CAPTURE_AND)
			stack = (stack >> 1 & ~1ULL) | (stack & stack >> 1 & 1);
		else if (t->op == CAPTURE_OR)
			stack = stack >> 1 | (stack & 1);
		else
			stack = stack << 1 | operand_fits(t, k);
	}
	return stack & 1;
}

/* Ports, where the transport has any. */
static void transport(struct cursor *c, struct capture_key *k)
{
	const uint8_t *h;

	if (k->proto != PROTO_TCP && k->proto != PROTO_UDP)
		return;
	h = cursor_pull(c, 4);
	if (!h)
		return;
	k->src.port = get_be16(h);
	k->dst.port = get_be16(h + 2);
	k->has_ports = true;
}

static void parse4(struct cursor *c, struct capture_key *k)
{
	const uint8_t *ip = cursor_pull(c, IP4_HLEN);
	uint32_t hlen;

	if (!ip)
		return;
	hlen = (ip[0] & 15) * 4U;
	k->proto = ip[9];
	k->src.addr = ipaddr_from_v4(get_be32(ip + 12));
	k->dst.addr = ipaddr_from_v4(get_be32(ip + 16));
	/* A later fragment has no ports. */
	if (hlen >= IP4_HLEN && cursor_pull(c, hlen - IP4_HLEN) && !(get_be16(ip + 6) & 0x1fff))
		transport(c, k);
}

static void parse6(struct cursor *c, struct capture_key *k)
{
	const uint8_t *ip = cursor_pull(c, IP6_HLEN), *ext;

	if (!ip)
		return;
	k->proto = ip[6];
	memcpy(k->src.addr.b, ip + 8, 16);
	memcpy(k->dst.addr.b, ip + 24, 16);
	for (int i = 0; i < EXT_MAX; i++) {
		if (k->proto != EXT_HOPS && k->proto != EXT_ROUTING && k->proto != EXT_DEST &&
		    k->proto != EXT_FRAGMENT)
			break;
		ext = cursor_pull(c, 8);
		if (!ext)
			return;
		if (k->proto == EXT_FRAGMENT ? (get_be16(ext + 2) & 0xfff8) != 0
					     : !cursor_pull(c, ext[1] * 8U)) {
			k->proto = ext[0];
			return;
		}
		k->proto = ext[0];
	}
	transport(c, k);
}

/**
 * capture_key_of() - what a filter sees of a frame, as far as it makes sense
 * @head:	private copy of its first @len bytes
 *
 * No check rejects anything: what is malformed is captured as well. Direction and
 * flow are for capture.c to tell.
 */
void capture_key_of(const uint8_t *head, uint32_t len, struct capture_key *k)
{
	struct cursor c = { head, len };
	const uint8_t *eth = cursor_pull(&c, ETH_HLEN);

	memset(k, 0, sizeof(*k));
	if (!eth)
		return;
	k->ethertype = get_be16(eth + 12);
	if (k->ethertype == ETHERTYPE_IP4)
		parse4(&c, k);
	else if (k->ethertype == ETHERTYPE_IP6)
		parse6(&c, k);
}
