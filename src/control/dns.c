/* SPDX-License-Identifier: MIT */
/* Commands about the guest's DNS: names that we serve, whom we ask, answers that are kept. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/control/priv.h"
#include "tcpstack/hosts.h"
#include "tcpstack/limits.h"

/* Records of the user's, and two of our own. */
#define ENTRIES_MAX (LIMIT_DNS_NAMES + 2)

struct entries {
	struct host_entry *entry;
	uint32_t n;
	struct stack_resolver resolver[STACK_RESOLVERS_MAX];
	uint8_t nresolvers;
};

static int call_list(void *ctx, struct stack *st)
{
	struct entries *e = ctx;

	e->n = stack_host_list(st, e->entry, ENTRIES_MAX);
	e->nresolvers = stack_resolvers(st, e->resolver);
	return 0;
}

static int call_add(void *ctx, struct stack *st)
{
	return stack_host_add(st, ctx);
}

static int call_del(void *ctx, struct stack *st)
{
	return stack_host_del(st, ctx);
}

static json_t *address(const struct ipaddr *addr)
{
	char text[INET6_ADDRSTRLEN];

	if (ipaddr_is_v4(addr))
		return json_string(inet_ntop(AF_INET, addr->b + 12, text, sizeof(text)));
	return json_string(inet_ntop(AF_INET6, addr->b, text, sizeof(text)));
}

/* The addresses of one name come together, where its first one stands. */
static json_t *names_of(const struct entries *e)
{
	json_t *list = json_array(), *by_name = json_object();

	for (uint32_t i = 0; i < e->n; i++) {
		const struct host_entry *h = &e->entry[i];
		json_t *addrs = json_object_get(by_name, h->name);

		if (!addrs) {
			addrs = json_array();
			json_object_set(by_name, h->name, addrs);
			json_array_append_new(list, json_pack("{s:s,s:o,s:b}", "name", h->name,
							      "addresses", addrs, "built_in",
							      h->built_in));
		}
		json_array_append_new(addrs, address(&h->addr));
	}
	json_decref(by_name);
	return list;
}

static json_t *resolvers_of(const struct entries *e)
{
	json_t *list = json_array();

	for (uint8_t i = 0; i < e->nresolvers; i++) {
		char text[ENDPOINT_STRLEN];

		json_array_append_new(list,
				      json_pack("{s:s,s:b}", "address",
						endpoint_format(&e->resolver[i].endpoint, text),
						"failing", e->resolver[i].failing));
	}
	return list;
}

static int do_list(struct ctl_request *r)
{
	struct entries e = { .entry = calloc(ENTRIES_MAX, sizeof(*e.entry)) };
	int err;

	if (!e.entry)
		return ctl_fail(r, -ENOMEM, "%s", strerror(ENOMEM));
	err = control_call(r, call_list, &e);
	if (err == 0)
		r->result = json_pack("{s:o,s:o}", "names", names_of(&e), "resolvers",
				      resolvers_of(&e));
	free(e.entry);
	return err;
}

static int do_add(struct ctl_request *r)
{
	const char *text = ctl_arg_string(r, "spec");
	struct host_spec spec;
	int err;

	if (!text)
		return ctl_fail(r, -EINVAL, "spec: not a text");
	if (host_parse(&spec, text, r->why, sizeof(r->why)) < 0)
		return -EINVAL;
	err = control_call(r, call_add, &spec);
	if (err < 0 && !r->why[0])
		ctl_fail(r, err, "%.80s: %s", text, host_strerror(err));
	return err < 0 ? err : do_list(r);
}

static int do_del(struct ctl_request *r)
{
	const char *text = ctl_arg_string(r, "name");
	char name[DNS_TEXT_MAX + 1];
	int err;

	if (!text || host_parse_name(text, strlen(text), name))
		return ctl_fail(r, -EINVAL, "name: not a host's name");
	err = control_call(r, call_del, name);
	if (err == -ENOENT)
		return ctl_fail(r, err, "%.80s: no name that can be taken away", name);
	return err < 0 ? err : do_list(r);
}

static int call_flush(void *ctx, struct stack *st)
{
	*(uint32_t *)ctx = stack_dns_flush(st);
	return 0;
}

static int do_flush(struct ctl_request *r)
{
	uint32_t n = 0;
	int err = control_call(r, call_flush, &n);

	if (err == 0)
		r->result = json_pack("{s:i}", "flushed", (int)n);
	return err;
}

static void print_names(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "names");

	fprintf(out, "%-40s %s\n", "NAME", "ADDRESSES");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *n = json_array_get(list, i), *a = json_object_get(n, "addresses");

		fprintf(out, "%-40s ", json_string_value(json_object_get(n, "name")));
		for (size_t k = 0; k < json_array_size(a); k++)
			fprintf(out, "%s%s", k ? "," : "", json_string_value(json_array_get(a, k)));
		fputs(json_is_true(json_object_get(n, "built_in")) ? " (built in)\n" : "\n", out);
	}
	list = json_object_get(result, "resolvers");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *n = json_array_get(list, i);

		fprintf(out, "%s %s%s\n", i ? "       then" : "others: ask",
			json_string_value(json_object_get(n, "address")),
			json_is_true(json_object_get(n, "failing")) ? " (fails: asked last)" : "");
	}
}

const struct ctl_command ctl_dns_commands[] = {
	{ .name = "dns list",
	  .help = "names that the guest's DNS serves by itself, and whom it asks for others",
	  .handler = do_list,
	  .print = print_names },
	{ .name = "dns add",
	  .help = "serve a name, or more addresses of it",
	  .params = { { .name = "spec", .help = "NAME=ADDR[,ADDR...]", .required = true } },
	  .handler = do_add,
	  .print = print_names },
	{ .name = "dns del",
	  .help = "serve a name no more",
	  .params = { { .name = "name", .help = "with all its addresses", .required = true } },
	  .handler = do_del,
	  .print = print_names },
	{ .name = "dns flush", .help = "forget what resolvers have answered", .handler = do_flush },
	{ .name = NULL },
};
