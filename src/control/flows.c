/* SPDX-License-Identifier: MIT */
/*
 * The command "flows".
 *
 * Theory of operation: flows are the network worker's, so each piece of a walk
 * costs it a wake-up and the copying of at most FLOW_SNAP_CHUNK records. However
 * many clients ask, a snapshot is taken at most every CTL_CACHE_NS, and so is
 * the text of the unfiltered answer made of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/control/priv.h"
#include "virtio/net_worker.h"

struct chunk {
	struct flow_cursor at;
	struct flow_snap *out;
	uint32_t n;
};

static int take_chunk(void *ctx, struct stack *st)
{
	struct chunk *k = ctx;

	k->n = stack_snap_flows(st, &k->at, k->out, FLOW_SNAP_CHUNK);
	return 0;
}

/* Room for one more chunk; on the main thread, so that the worker only copies. */
static int reserve(struct flow_list *l)
{
	struct flow_snap *more;
	uint32_t cap;

	if (l->cap - l->n >= FLOW_SNAP_CHUNK)
		return 0;
	cap = l->cap ? 2 * l->cap : 4 * FLOW_SNAP_CHUNK;
	more = realloc(l->flow, cap * sizeof(*more));
	if (!more)
		return -ENOMEM;
	l->flow = more;
	l->cap = cap;
	return 0;
}

/* After a burst of flows, room for those that there are now. */
static void shrink(struct flow_list *l)
{
	struct flow_snap *less;
	uint32_t cap = l->cap;

	while (cap > 4 * FLOW_SNAP_CHUNK && l->n <= cap / 4)
		cap /= 2;
	less = cap < l->cap ? realloc(l->flow, cap * sizeof(*less)) : NULL;
	if (!less)
		return;
	l->flow = less;
	l->cap = cap;
}

/**
 * flows_refresh() - see to it that the snapshot is no older than CTL_CACHE_NS
 *
 * Return: 0 or -errno
 */
int flows_refresh(struct ctl_request *r)
{
	struct flow_list *l = control_flows(r->c);
	struct chunk k = { .n = 0 };
	uint64_t now = clock_now_ns();
	int err;

	if (l->made_ns && now - l->made_ns < CTL_CACHE_NS)
		return 0;
	l->n = 0;
	l->made_ns = 0;
	while (k.at.proto < FLOW_PROTOS && l->n < CTL_FLOWS_MAX) {
		err = reserve(l);
		if (err < 0)
			return err;
		k.out = l->flow + l->n;
		err = control_call(r, take_chunk, &k);
		if (err < 0)
			return err;
		l->n += k.n;
	}
	shrink(l);
	l->cut = k.at.proto < FLOW_PROTOS;
	l->made_ns = now;
	return 0;
}

static json_t *ep_json(const struct endpoint *ep)
{
	char text[ENDPOINT_STRLEN];

	return json_string(endpoint_format(ep, text));
}

static json_int_t ms(uint64_t ns)
{
	return (json_int_t)(ns / NS_PER_MS);
}

static json_t *flow_json(const struct flow_snap *f)
{
	char id[FLOW_NAME_STRLEN];
	json_t *j;

	j = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:b,s:I,s:I,s:I,s:I,s:s}", "id",
		      flow_name(f->proto, f->id, id), "proto", flow_proto_name(f->proto), "state",
		      f->state, "guest", ep_json(&f->guest), "remote", ep_json(&f->remote), "host",
		      ep_json(&f->host), "inbound", (int)f->inbound, "age_ms", ms(f->age_ns),
		      "idle_ms", ms(f->idle_ns), "tx_bytes", (json_int_t)f->tx_bytes, "rx_bytes",
		      (json_int_t)f->rx_bytes, "stall", flow_stall_name(f->stall));
	if (f->proto != FLOW_TCP)
		return j;
	json_object_set_new(j, "engine", json_string(f->engine));
	json_object_set_new(j, "parked_bytes", json_integer(f->parked));
	json_object_set_new(j, "lent_bytes", json_integer(f->lent));
	json_object_set_new(j, "held_frames", json_integer(f->held_frames));
	json_object_set_new(j, "in_flight_bytes", json_integer(f->in_flight));
	json_object_set_new(j, "window", json_integer(f->window));
	json_object_set_new(j, "guest_window", json_integer(f->guest_window));
	json_object_set_new(j, "rtt_us", json_integer((json_int_t)(f->srtt_ns / NS_PER_US)));
	json_object_set_new(j, "retries", json_integer(f->retries));
	return j;
}

/* What a client asked to see; zero or NULL = all. */
struct filter {
	const char *proto, *stall, *host;
	uint64_t limit;
};

static const char *proto_word(uint32_t i)
{
	return flow_proto_name((enum flow_proto)i);
}

static const char *stall_word(uint32_t i)
{
	return flow_stall_name((enum flow_stall)i);
}

/* That @text is one of @n words; a mistyped one would fit no flow, and look like none. */
static int check_word(struct ctl_request *r, const char *arg, const char *text,
		      const char *(*word)(uint32_t i), uint32_t n)
{
	char all[256] = "";

	for (uint32_t i = 0; text && i < n; i++) {
		if (strcmp(text, word(i)) == 0)
			return 0;
		if (i)
			strncat(all, ", ", sizeof(all) - strlen(all) - 1);
		strncat(all, word(i), sizeof(all) - strlen(all) - 1);
	}
	return text ? ctl_fail(r, -EINVAL, "%s: \"%.40s\" is none of %s", arg, text, all) : 0;
}

static bool has_address(const struct endpoint *ep, const char *host)
{
	struct ipaddr a;

	return ipaddr_parse(host, &a) == 0 && ipaddr_equal(&ep->addr, &a);
}

static bool wanted(const struct flow_snap *f, const struct filter *w)
{
	if (w->proto && strcmp(w->proto, flow_proto_name(f->proto)) != 0)
		return false;
	if (w->stall && strcmp(w->stall, flow_stall_name(f->stall)) != 0)
		return false;
	return !w->host || has_address(&f->remote, w->host) || has_address(&f->guest, w->host) ||
	       has_address(&f->host, w->host);
}

static json_t *list_json(const struct flow_list *l, const struct filter *w)
{
	json_t *flows = json_array();
	uint64_t matched = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		if (!wanted(&l->flow[i], w))
			continue;
		if (matched++ < w->limit)
			json_array_append_new(flows, flow_json(&l->flow[i]));
	}
	return json_pack("{s:I,s:I,s:b,s:o}", "total", (json_int_t)l->n, "matched",
			 (json_int_t)matched, "cut", (int)l->cut, "flows", flows);
}

static int do_flows(struct ctl_request *r)
{
	struct ctl_cache *cache = control_cache(r->c, CACHE_FLOWS);
	const struct flow_list *l = control_flows(r->c);
	struct filter w = {
		.proto = ctl_arg_string(r, "proto"),
		.stall = ctl_arg_string(r, "stall"),
		.host = ctl_arg_string(r, "host"),
		.limit = CTL_FLOWS_DEFAULT,
	};
	struct ipaddr a;
	int err;

	if (w.host && ipaddr_parse(w.host, &a) < 0)
		return ctl_fail(r, -EINVAL, "host: \"%.40s\" is no address", w.host);
	err = check_word(r, "proto", w.proto, proto_word, FLOW_PROTOS);
	if (err == 0)
		err = check_word(r, "stall", w.stall, stall_word, STALL_COUNT);
	if (err == 0)
		err = ctl_arg_u64(r, "limit", 1, CTL_FLOWS_MAX, &w.limit);
	if (err == 0)
		err = flows_refresh(r);
	if (err < 0)
		return err;
	if (json_object_size(r->args) > 0) {
		r->result = list_json(l, &w);
		return 0;
	}
	r->cache = cache;
	if (cache->text && cache->made_ns == l->made_ns)
		return 0;
	return ctl_cache_fill(cache, list_json(l, &w), l->made_ns);
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_flows(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "flows");

	fprintf(out, "%-5s %-21s %-21s %-12s %8s %11s %11s %8s %8s %7s  %s\n", "PROTO", "GUEST",
		"REMOTE", "STATE", "AGE", "TX", "RX", "PARKED", "INFLIGHT", "RTT", "WHY");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *f = json_array_get(list, i);

		fprintf(out,
			"%-5s %-21s %-21s %-12s %7.1fs %11lld %11lld %8lld %8lld %5lldus  %s\n",
			str(f, "proto"), str(f, "guest"), str(f, "remote"), str(f, "state"),
			(double)num(f, "age_ms") / 1000.0, num(f, "tx_bytes"), num(f, "rx_bytes"),
			num(f, "parked_bytes"), num(f, "in_flight_bytes"), num(f, "rtt_us"),
			str(f, "stall"));
	}
	fprintf(out, "%lld of %lld flows%s\n", (long long)json_array_size(list),
		num(result, "matched"),
		json_array_size(list) < (size_t)num(result, "matched") ? "; see limit=N" : "");
}

const struct ctl_command ctl_flows_commands[] = {
	{ .name = "flows",
	  .help = "every flow with its state, age, bytes, and why it stands still",
	  .params = { { .name = "proto", .help = "only tcp, udp or icmp" },
		      { .name = "host", .help = "only with this address at either end" },
		      { .name = "stall", .help = "only with this reason, as host-full" },
		      { .name = "limit", .help = "so many at most (1024)" } },
	  .handler = do_flows,
	  .print = print_flows },
	{ .name = NULL },
};
