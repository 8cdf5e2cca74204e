/* SPDX-License-Identifier: MIT */
/* The inside of the control socket, for the files of this folder only. */
#ifndef SLUICE_CONTROL_PRIV_H
#define SLUICE_CONTROL_PRIV_H

#include "src/control/command.h"
#include "src/control/control.h"
#include "tcpstack/policy.h"
#include "tcpstack/snapshot.h"

/* Answers to the most common questions are made at most so often. */
#define CTL_CACHE_NS 100000000ULL

/* Flows that a snapshot holds, at most. */
#define CTL_FLOWS_MAX 65536

/* And that an answer lists unless more are asked for. */
#define CTL_FLOWS_DEFAULT 1024

/* The longest request whose answer is found by the request's own bytes. */
#define CTL_ASKED_MAX 128

/**
 * struct ctl_cache - an answer that several clients may be given
 * @text, @len:	the result as JSON; NULL = there was none yet
 * @made_ns:	CLOCK_MONOTONIC; 0 = never
 * @asked, @asked_len:	a request without "id" that it answers, as it came, so that the
 *		next one of the same bytes need not be read; 0 = none yet
 */
struct ctl_cache {
	char *text;
	size_t len;
	uint64_t made_ns;
	char asked[CTL_ASKED_MAX];
	size_t asked_len;
};

/**
 * struct ctl_counters - of the socket itself; the main thread's
 * @slow:	clients cut off because they did not read
 */
struct ctl_counters {
	uint64_t accepted, turned_away, requests, errors, slow;
	uint32_t clients; /* gauge */
};

/**
 * struct flow_list - the last snapshot of all flows
 * @missed:	flows beyond CTL_FLOWS_MAX
 */
struct flow_list {
	struct flow_snap *flow;
	uint32_t n, cap;
	bool cut;
	uint64_t made_ns;
};

struct control;

/* server.c */
struct ctl_counters *control_counters(struct control *c);
struct flow_list *control_flows(struct control *c);
struct policy_list *control_policy(struct control *c);
struct ctl_cache *control_cache(struct control *c, unsigned int which);
enum { CACHE_FLOWS, CACHE_METRICS, CACHE_PROMETHEUS, CACHES };

/* request.c */
char *ctl_serve(struct control *c, const char *line, size_t len, int *fd, size_t *out_len);
char *ctl_refusal(const char *code, const char *message, size_t *out_len);

bool ctl_cache_fresh(const struct ctl_cache *cache, uint64_t now);
int ctl_cache_fill(struct ctl_cache *cache, json_t *result, uint64_t now);

/* flows.c */
int flows_refresh(struct ctl_request *r);

#endif
