/* SPDX-License-Identifier: MIT */
/*
 * All figures, walked once for JSON and for Prometheus' text.
 *
 * Counters are read where they are written, without the worker's knowledge; only
 * the levels of its memory are asked of it, at most every CTL_CACHE_NS.
 */
#include "src/control/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/control/priv.h"
#include "src/sight/audit_log.h"
#include "src/sight/pcap.h"
#include "src/sight/sight.h"
#include "virtio/net_worker.h"
#include "virtio/queue.h"

static const char *const queue_names[VNET_QUEUES] = {
	[VNET_RX] = "rx",
	[VNET_TX] = "tx",
	[VNET_CTRL] = "ctrl",
};

static void emit(const struct metric_sink *s, const char *group, const char *name, bool gauge,
		 const char *text, const char *label, const char *label_value, uint64_t value)
{
	const struct metric m = { group, name, text, gauge, label, label_value, value };

	s->metric(s->ctx, &m);
}

static void walk_stack(const struct stack_counters *n, const struct metric_sink *s)
{
	for (uint32_t i = 0; i < stack_counter_rows; i++) {
		const struct stack_counter_def *d = &stack_counter_table[i];

		emit(s, "net", d->name, d->gauge, d->text, NULL, NULL, stack_counter(n, d));
	}
	for (int d = 0; d < DROP_REASON_COUNT; d++)
		emit(s, "net", "drops", false, "frames and connections dropped, by reason",
		     "reason", drop_name((enum drop_reason)d), counter_get(&n->drops[d]));
}

static void walk_hists(const struct stack_counters *n, const struct metric_sink *s)
{
	for (uint32_t i = 0; i < stack_hist_rows; i++)
		s->hist(s->ctx, &stack_hist_table[i], stack_hist(n, &stack_hist_table[i]));
}

static void walk_worker(const struct net_worker *w, const struct metric_sink *s)
{
	const struct net_worker_counters *n = net_worker_counters(w);
	const struct {
		const char *name, *text;
		const struct counter *c;
	} rows[] = {
		{ "cycles", "cycles of the network worker", &n->cycles },
		{ "sleeps", "cycles in which it was ready to sleep", &n->sleeps },
		{ "polls", "idle cycles in which it looked on (--poll-us)", &n->polls },
		{ "cpu_ns", "CPU time of its thread, nanoseconds", &n->cpu_ns },
		{ "allocations", "heap allocations of its thread since the start", &n->allocs },
		{ "frees", "heap frees of its thread since the start", &n->frees },
		{ "maps", "mappings made by its thread since the start", &n->maps },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		emit(s, "worker", rows[i].name, false, rows[i].text, NULL, NULL,
		     counter_get(rows[i].c));
}

static void walk_queues(const struct control_config *cfg, const struct metric_sink *s)
{
	static const struct {
		const char *name, *text;
		size_t offset;
	} rows[] = {
		{ "kicks", "notifications from the driver", offsetof(struct vq_counters, kicks) },
		{ "chains", "descriptor chains taken", offsetof(struct vq_counters, chains) },
		{ "used", "descriptor chains given back", offsetof(struct vq_counters, used) },
		{ "publishes", "stores of the used index",
		  offsetof(struct vq_counters, publishes) },
		{ "interrupts", "interrupts sent", offsetof(struct vq_counters, calls) },
		{ "interrupts_suppressed", "publishes that needed no interrupt",
		  offsetof(struct vq_counters, calls_suppressed) },
	};
	const struct vq_counters *q[VNET_QUEUES];

	for (unsigned int i = 0; i < VNET_QUEUES; i++)
		q[i] = cfg->queue ? cfg->queue(cfg->ctx, i) : NULL;
	for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
		for (unsigned int i = 0; i < VNET_QUEUES; i++) {
			const char *base = (const char *)q[i];

			if (base)
				emit(s, "queue", rows[row].name, false, rows[row].text, "queue",
				     queue_names[i],
				     counter_get(
					     (const struct counter *)(base + rows[row].offset)));
		}
	}
	for (int f = 0; f < VQ_FAULT_COUNT; f++) {
		uint64_t sum = 0;

		for (unsigned int i = 0; i < VNET_QUEUES; i++)
			sum += q[i] ? counter_get(&q[i]->faults[f]) : 0;
		emit(s, "queue", "faults", false, "faults of the driver, by kind", "fault",
		     vq_fault_name((enum vq_fault)f), sum);
	}
}

struct memory {
	struct stack_memory row[STACK_MEMORY_ROWS];
	uint32_t n;
};

/* A metric's values stand together, so each figure walks all rows of a kind. */
static void walk_kind(const struct memory *m, const char *kind, const struct metric_sink *s)
{
	static const struct {
		const char *name, *text;
		bool gauge;
	} rows[] = {
		{ "slots", "slots that there are", true },
		{ "slot_bytes", "bytes of each slot", true },
		{ "in_use", "slots out now", true },
		{ "peak", "most slots that were ever out", true },
		{ "gets", "slots taken", false },
		{ "empty", "times that none was left", false },
	};

	for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
		for (uint32_t i = 0; i < m->n; i++) {
			const struct stack_memory *p = &m->row[i];
			const uint64_t v[] = { p->slots, p->size, p->in_use,
					       p->peak,	 p->gets, p->empty };

			static_assert(ARRAY_SIZE(v) == ARRAY_SIZE(rows), "a value for each row");
			if (strcmp(p->kind, kind) == 0)
				emit(s, kind, rows[row].name, rows[row].gauge, rows[row].text,
				     "name", p->name, v[row]);
		}
	}
}

/* The one part that the worker is asked for. */
static void walk_memory(struct net_worker *w, const struct metric_sink *s)
{
	static const char *const kinds[] = { "pool", "flows", "scratch" };
	struct memory m;

	m.n = net_worker_memory(w, m.row);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		walk_kind(&m, kinds[i], s);
}

static void walk_control(struct control *c, const struct metric_sink *s)
{
	const struct ctl_counters *n = control_counters(c);

	emit(s, "control", "clients", true, "clients of the control socket", NULL, NULL,
	     n->clients);
	emit(s, "control", "accepted", false, "clients that ever connected", NULL, NULL,
	     n->accepted);
	emit(s, "control", "turned_away", false, "clients beyond the most that are served", NULL,
	     NULL, n->turned_away);
	emit(s, "control", "requests", false, "requests", NULL, NULL, n->requests);
	emit(s, "control", "errors", false, "requests that were refused", NULL, NULL, n->errors);
	emit(s, "control", "slow_clients", false, "clients cut off because they did not read", NULL,
	     NULL, n->slow);
}

/* Zero where there is no audit, so that a dashboard need not know. */
static void walk_audit(const struct sight *sight, const struct metric_sink *s)
{
	struct audit_log_status a = { .where = "" };

	if (sight && sight->audit)
		audit_log_status(sight->audit, &a);
	emit(s, "audit", "lines", false, "lines of the audit written", NULL, NULL, a.lines);
	emit(s, "audit", "bytes", false, "bytes of them", NULL, NULL, a.bytes);
	emit(s, "audit", "lost", false, "records that found no room", NULL, NULL, a.lost);
	emit(s, "audit", "withheld", false, "denials beyond what is told in a second", NULL, NULL,
	     a.withheld);
	emit(s, "audit", "failures", false, "writes and connects that failed", NULL, NULL,
	     a.failures);
	emit(s, "audit", "waiting_bytes", true, "bytes that wait to be written", NULL, NULL,
	     a.waiting);
}

/* Of the capture that there is, or of the last one. */
static void walk_pcap(const struct control_config *cfg, const struct metric_sink *s)
{
	struct pcap_status p = { .state = PCAP_ENDED };

	if (cfg->sight)
		(void)pcap_status(cfg->sight, cfg->worker, &p);
	emit(s, "pcap", "running", true, "a capture is under way", NULL, NULL,
	     p.state == PCAP_RUNNING);
	emit(s, "pcap", "frames", true, "frames in its file, or in that of the last one", NULL,
	     NULL, p.written);
	emit(s, "pcap", "bytes", true, "bytes of that file", NULL, NULL, p.bytes);
	emit(s, "pcap", "lost", true, "frames that it should have and has not", NULL, NULL, p.lost);
}

/**
 * metrics_walk() - every figure to @s; those of one name come one after the other
 *
 * Main thread.
 */
void metrics_walk(struct control *c, const struct metric_sink *s)
{
	const struct control_config *cfg = control_cfg(c);

	emit(s, "process", "uptime_ms", true, "milliseconds since the start", NULL, NULL,
	     (clock_now_ns() - cfg->start_ns) / NS_PER_MS);
	emit(s, "log", "lost", false, "lines of the log that could not be written", NULL, NULL,
	     log_lost());
	walk_control(c, s);
	walk_audit(cfg->sight, s);
	if (!cfg->worker)
		return;
	walk_pcap(cfg, s);
	walk_stack(net_worker_stack_counters(cfg->worker), s);
	walk_hists(net_worker_stack_counters(cfg->worker), s);
	walk_worker(cfg->worker, s);
	walk_queues(cfg, s);
	walk_memory(cfg->worker, s);
}

/* --- JSON: group.name, or group.name.label ---------------------------------- */

static json_t *member(json_t *o, const char *key)
{
	json_t *m = json_object_get(o, key);

	if (!m) {
		m = json_object();
		json_object_set_new(o, key, m);
	}
	return m;
}

static void json_metric(void *ctx, const struct metric *m)
{
	json_t *group = member(ctx, m->group);
	json_t *value = json_integer((json_int_t)m->value);

	if (m->label)
		json_object_set_new(member(group, m->name), m->label_value, value);
	else
		json_object_set_new(group, m->name, value);
}

static json_t *hist_value(const struct stack_hist_def *def, uint64_t v)
{
	return def->seconds ? json_real((double)v / (double)NS_PER_S) : json_integer((json_int_t)v);
}

/* Quantiles to within a fifth; programs that want the buckets take Prometheus' text. */
static void json_hist(void *ctx, const struct stack_hist_def *def, const struct hist *h)
{
	static const struct {
		const char *name;
		unsigned int permille;
	} quantiles[] = { { "p50", 500 }, { "p90", 900 }, { "p99", 990 }, { "max", 1000 } };
	json_t *j = json_object();

	json_object_set_new(j, "count", json_integer((json_int_t)hist_count(h)));
	json_object_set_new(j, "sum", hist_value(def, counter_get(&h->sum)));
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++)
		json_object_set_new(j, quantiles[i].name,
				    hist_value(def, hist_quantile(h, quantiles[i].permille)));
	json_object_set_new(member(ctx, "net"), def->name, j);
}

/**
 * metrics_json() - all figures; a new reference
 */
json_t *metrics_json(struct control *c)
{
	json_t *root = json_object();
	const struct metric_sink s = { .metric = json_metric, .hist = json_hist, .ctx = root };

	metrics_walk(c, &s);
	return root;
}

static int serve_json(struct ctl_request *r)
{
	struct ctl_cache *cache = control_cache(r->c, CACHE_METRICS);
	uint64_t now = clock_now_ns();

	r->cache = cache;
	return ctl_cache_fresh(cache, now) ? 0 : ctl_cache_fill(cache, metrics_json(r->c), now);
}

/* The text as a JSON string: {"content_type":..., "text":...} */
static int serve_prometheus(struct ctl_request *r)
{
	struct ctl_cache *cache = control_cache(r->c, CACHE_PROMETHEUS);
	uint64_t now = clock_now_ns();
	json_t *j;
	char *text;

	r->cache = cache;
	if (ctl_cache_fresh(cache, now))
		return 0;
	text = metrics_prometheus(r->c);
	if (!text)
		return -ENOMEM;
	j = json_pack("{s:s,s:s}", "content_type", PROMETHEUS_TYPE, "text", text);
	free(text);
	return ctl_cache_fill(cache, j, now);
}

static int do_metrics(struct ctl_request *r)
{
	const char *format = ctl_arg_string(r, "format");

	if (!json_object_get(r->args, "format") || (format && strcmp(format, "json") == 0))
		return serve_json(r);
	if (!format || strcmp(format, "prometheus") != 0)
		return ctl_fail(r, -EINVAL, "format: neither json nor prometheus");
	return serve_prometheus(r);
}

static void print_metrics(const json_t *result, FILE *out)
{
	const char *text = json_string_value(json_object_get(result, "text"));

	if (text)
		fputs(text, out);
	else
		ctl_print(result, out);
}

const struct ctl_command ctl_metrics_commands[] = {
	{ .name = "metrics",
	  .help = "every counter and gauge",
	  .params = { { .name = "format", .help = "json or prometheus (exposition 0.0.4)" } },
	  .handler = do_metrics,
	  .print = print_metrics },
	{ .name = NULL },
};
