/* SPDX-License-Identifier: MIT */
/* Commands about forwards: ports of the host that lead to the guest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/control/priv.h"
#include "tcpstack/forward.h"
#include "tcpstack/frame.h"
#include "tcpstack/limits.h"
#include "tcpstack/stack.h"

struct call {
	struct forward_info *info;
	uint32_t n, max;
	int fd;
};

static int call_add(void *ctx, struct stack *st)
{
	struct call *c = ctx;

	return stack_forward_add(st, c->info, c->fd);
}

static int call_del(void *ctx, struct stack *st)
{
	const struct call *c = ctx;

	return stack_forward_del(st, c->info->proto, &c->info->bind);
}

static int call_list(void *ctx, struct stack *st)
{
	struct call *c = ctx;

	c->n = stack_forward_list(st, c->info, c->max);
	return 0;
}

static json_t *describe(const struct forward_info *f)
{
	bool known = !ipaddr_is_unspecified(&f->guest.addr);
	char listen[ENDPOINT_STRLEN], guest[ENDPOINT_STRLEN];

	return json_pack(
		"{s:s,s:s,s:i,s:s?,s:i,s:I,s:I}", "proto", f->proto == PROTO_UDP ? "udp" : "tcp",
		"listen", endpoint_format(&f->bind, listen), "port", (int)f->bind.port, "guest",
		known ? endpoint_format(&f->guest, guest) : NULL, "guest_port", (int)f->guest_port,
		"accepted", (json_int_t)f->accepted, "refused", (json_int_t)f->refused);
}

static int do_list(struct ctl_request *r)
{
	struct call c = { .max = LIMIT_FORWARDS };
	json_t *list;
	int err;

	c.info = calloc(c.max, sizeof(*c.info));
	if (!c.info)
		return ctl_fail(r, -ENOMEM, "%s", strerror(ENOMEM));
	err = control_call(r, call_list, &c);
	if (err == 0) {
		list = json_array();
		for (uint32_t i = 0; i < c.n; i++)
			json_array_append_new(list, describe(&c.info[i]));
		r->result = json_pack("{s:o}", "forwards", list);
	}
	free(c.info);
	return err;
}

/* One port. */
static int add(struct ctl_request *r, const struct forward_spec *spec, uint16_t i,
	       struct forward_info *info)
{
	struct call c = { .info = info };
	char text[FORWARD_STRLEN];
	int err;

	c.fd = forward_socket(spec, i, info);
	err = c.fd < 0 ? c.fd : control_call(r, call_add, &c);
	if (err == 0)
		return 0;
	if (c.fd >= 0)
		close(c.fd);
	if (!r->why[0])
		ctl_fail(r, err, "%s: %s%s", forward_format(info, text), forward_error(err),
			 err == -EACCES ? "; sluice has given up the right to this port, "
					  "use --publish at the start"
					: "");
	return err == -EADDRINUSE ? -EEXIST : err;
}

/* All ports of a range, or none. */
static int do_add(struct ctl_request *r)
{
	const char *text = ctl_arg_string(r, "spec");
	struct forward_spec spec;
	struct forward_info info;
	json_t *list;
	int err;

	if (!text)
		return ctl_fail(r, -EINVAL, "spec: not a text");
	if (forward_parse(&spec, text, r->why, sizeof(r->why)) < 0)
		return -EINVAL;
	list = json_array();
	for (uint16_t i = 0; i < spec.count; i++) {
		err = add(r, &spec, i, &info);
		if (err < 0) {
			while (i-- > 0) {
				struct call c = { .info = &info };

				info.bind.port = (uint16_t)(spec.bind.port + i);
				control_call(r, call_del, &c);
			}
			json_decref(list);
			return err;
		}
		json_array_append_new(list, describe(&info));
	}
	r->result = json_pack("{s:o}", "forwards", list);
	return 0;
}

static int do_del(struct ctl_request *r)
{
	char buf[32];
	const char *text = ctl_arg(r, "listen", buf, sizeof(buf));
	struct forward_spec spec;
	struct forward_info info;
	struct call c = { .info = &info };
	uint32_t gone = 0;

	if (!text || forward_parse_listen(&spec, text))
		return ctl_fail(r, -EINVAL, "listen: not [ADDR:]PORT[-PORT][/udp]");
	info.proto = spec.proto;
	info.bind = spec.bind;
	for (uint16_t i = 0; i < spec.count; i++) {
		int err;

		info.bind.port = (uint16_t)(spec.bind.port + i);
		err = control_call(r, call_del, &c);
		if (err < 0 && err != -ENOENT)
			return err;
		gone += err == 0;
	}
	if (gone == 0)
		return ctl_fail(r, -ENOENT, "%s: not forwarded", text);
	r->result = json_pack("{s:i}", "removed", (int)gone);
	return 0;
}

static void print_forwards(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "forwards");

	fprintf(out, "%-5s %-28s %-32s %10s %10s\n", "PROTO", "LISTEN", "GUEST", "ACCEPTED",
		"REFUSED");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *f = json_array_get(list, i);
		const char *guest = json_string_value(json_object_get(f, "guest"));

		fprintf(out, "%-5s %-28s %-32s %10lld %10lld\n",
			json_string_value(json_object_get(f, "proto")),
			json_string_value(json_object_get(f, "listen")),
			guest ? guest : "no IPv6 address yet",
			(long long)json_integer_value(json_object_get(f, "accepted")),
			(long long)json_integer_value(json_object_get(f, "refused")));
	}
}

const struct ctl_command ctl_forward_commands[] = {
	{ .name = "forward list",
	  .help = "ports of the host that lead to the guest",
	  .handler = do_list,
	  .print = print_forwards },
	{ .name = "forward add",
	  .help = "forward a port, or a range; port 0 is any, and shown",
	  .params = { { .name = "spec",
			.help = "[ADDR:]PORT[-PORT]:GUESTPORT[/udp]",
			.required = true } },
	  .handler = do_add,
	  .print = print_forwards },
	{ .name = "forward del",
	  .help = "listen no longer; connections stay, flows of UDP end",
	  .params = { { .name = "listen", .help = "[ADDR:]PORT[-PORT][/udp]", .required = true } },
	  .handler = do_del },
	{ .name = NULL },
};
