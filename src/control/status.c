/* SPDX-License-Identifier: MIT */
/* Commands about the program as a whole: status, log level, shutdown, help. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/control/priv.h"
#include "src/jail/jail.h"

static json_t *address(uint32_t v4, uint16_t port)
{
	const struct endpoint ep = { ipaddr_from_v4(v4), port };
	char text[ENDPOINT_STRLEN], *colon;

	endpoint_format(&ep, text);
	colon = strrchr(text, ':');
	if (port == 0 && colon)
		*colon = 0;
	return json_string(text);
}

static json_t *resolvers(const struct stack_config *cfg)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < cfg->nresolvers; i++) {
		char text[ENDPOINT_STRLEN];

		json_array_append_new(list, json_string(endpoint_format(&cfg->resolvers[i], text)));
	}
	return list;
}

/* Those that can be used; probes() has all of them. */
static json_t *engines(const struct stack_info *info)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < BULK_ENGINES; i++)
		if (info->probe[i].err == 0)
			json_array_append_new(list, json_string(info->probe[i].name));
	return list;
}

/* What became of each engine at the start; "uring" is the probe of io_uring. */
static json_t *probes(const struct stack_info *info)
{
	json_t *all = json_object();

	for (uint32_t i = 0; i < BULK_ENGINES; i++) {
		const struct bulk_probe *p = &info->probe[i];
		const char *error = strerrorname_np(-p->err);
		json_t *j = json_pack("{s:b}", "available", p->err == 0);

		if (p->err) {
			json_object_set_new(j, "error", json_string(error ? error : "unknown"));
			json_object_set_new(j, "why", json_string(p->why));
		}
		json_object_set_new(all, p->name, j);
	}
	return all;
}

static json_t *driver(const struct stack_info *info)
{
	if (!info->driver)
		return json_pack("{s:b}", "attached", 0);
	return json_pack("{s:b,s:b,s:b,s:b,s:b,s:b,s:I}", "attached", 1, "checksum",
			 info->caps.rx_csum, "tso4", info->caps.rx_tso4, "tso6", info->caps.rx_tso6,
			 "uso4", info->caps.rx_uso4, "uso6", info->caps.rx_uso6, "frame_max",
			 (json_int_t)info->caps.rx_frame_max);
}

static int add_network(struct ctl_request *r)
{
	struct stack_info info;
	int err = control_info(r, &info);
	json_t *net;

	if (err < 0)
		return err;
	net = json_pack("{s:o,s:o,s:s,s:b,s:i,s:o,s:o,s:o,s:o}", "engines", engines(&info),
			"probes", probes(&info), "oracle", info.oracle ? info.oracle : "none",
			"peek_offset", info.peek_offset, "mtu", (int)info.cfg.mtu, "guest",
			address(info.cfg.guest4, 0), "gateway", address(info.cfg.gateway4, 0),
			"dns", address(info.cfg.dns4, 0), "resolvers", resolvers(&info.cfg));
	json_object_set_new(r->result, "network", net);
	json_object_set_new(r->result, "driver", driver(&info));
	return 0;
}

/* "off", or what is in force and what this host does not have. */
static json_t *jail(const struct jail_status *s)
{
	static const char *const kinds[] = {
		[JAIL_MAIN] = "main",
		[JAIL_VCPU] = "vcpu",
		[JAIL_NET] = "net",
		[JAIL_WRITER] = "writer",
	};
	json_t *filters, *all;

	static_assert(ARRAY_SIZE(kinds) == JAIL_THREADS, "a word for each kind of thread");
	if (!s->on)
		return json_pack("{s:s,s:s}", "mode", "off", "why", s->why_off);
	filters = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (s->profile[i])
			json_object_set_new(filters, kinds[i], json_string(s->profile[i]));
	}
	all = json_pack("{s:s,s:o,s:i,s:b,s:s,s:b,s:b,s:b}", "mode", "on", "seccomp", filters,
			"landlock", s->landlock, "own_mounts", s->namespaces, "capabilities",
			"none", "bounding_set_empty", s->bounding, "no_new_privs", 1, "dumpable",
			0);
	if (s->missing[0])
		json_object_set_new(all, "missing", json_string(s->missing));
	return all;
}

static int do_status(struct ctl_request *r)
{
	const struct control_config *cfg = control_cfg(r->c);
	const struct ctl_counters *n = control_counters(r->c);
	uint64_t up = clock_now_ns() - cfg->start_ns;

	r->result = json_pack("{s:s,s:s,s:i,s:f}", "version", cfg->version, "command", cfg->command,
			      "pid", (int)getpid(), "uptime_s", (double)up / (double)NS_PER_S);
	json_object_set_new(r->result, "control",
			    json_pack("{s:i,s:I,s:I,s:I,s:I}", "clients", (int)n->clients,
				      "accepted", (json_int_t)n->accepted, "requests",
				      (json_int_t)n->requests, "errors", (json_int_t)n->errors,
				      "slow", (json_int_t)n->slow));
	if (cfg->jail)
		json_object_set_new(r->result, "jail", jail(cfg->jail));
	if (cfg->worker)
		return add_network(r);
	return 0;
}

static int do_log_level(struct ctl_request *r)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error",
		[LOG_WARN] = "warn",
		[LOG_INFO] = "info",
		[LOG_DEBUG] = "debug",
	};
	const char *name = ctl_arg_string(r, "level");
	enum log_level level;

	static_assert(ARRAY_SIZE(names) == LOG_LEVELS, "a name for each level");
	if (json_object_get(r->args, "level")) {
		if (!name || log_level_parse(name, &level) < 0)
			return ctl_fail(r, -EINVAL, "level: none of error, warn, info, debug");
		log_set_level(level);
	}
	r->result = json_pack("{s:s}", "level",
			      names[atomic_load_explicit(&log_threshold, memory_order_relaxed)]);
	return 0;
}

static int do_log_format(struct ctl_request *r)
{
	const char *name = ctl_arg_string(r, "format");
	enum log_format format;

	if (json_object_get(r->args, "format")) {
		if (!name || log_format_parse(name, &format) < 0)
			return ctl_fail(r, -EINVAL, "format: neither text nor json");
		log_set_format(format);
	}
	r->result = json_pack("{s:s}", "format", log_format_name(log_format()));
	return 0;
}

static int do_shutdown(struct ctl_request *r)
{
	const struct control_config *cfg = control_cfg(r->c);

	if (!cfg->shutdown)
		return ctl_fail(r, -ENOTSUP, "this program is not ended this way");
	log_info("control", "a client asks for the end");
	cfg->shutdown(cfg->ctx);
	r->result = json_object();
	return 0;
}

static json_t *describe(const struct ctl_command *cmd)
{
	json_t *params = json_array();

	for (size_t i = 0; i < CTL_PARAMS_MAX && cmd->params[i].name; i++) {
		const struct ctl_param *p = &cmd->params[i];

		json_array_append_new(params,
				      json_pack("{s:s,s:s,s:b,s:b}", "name", p->name, "help",
						p->help, "required", p->required, "rest", p->rest));
	}
	return json_pack("{s:s,s:s,s:o}", "name", cmd->name, "help", cmd->help, "args", params);
}

static int do_help(struct ctl_request *r)
{
	const struct ctl_command *cmd = NULL;
	json_t *list = json_array();

	while ((cmd = ctl_command_next(cmd)))
		json_array_append_new(list, describe(cmd));
	r->result = json_pack("{s:o}", "commands", list);
	return 0;
}

static void print_help(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "commands"), *args;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *cmd = json_array_get(list, i);
		int n = fprintf(out, "  %s", json_string_value(json_object_get(cmd, "name")));

		args = json_object_get(cmd, "args");
		for (size_t a = 0; a < json_array_size(args); a++) {
			const json_t *p = json_array_get(args, a);
			bool need = json_is_true(json_object_get(p, "required"));

			n += fprintf(out, need ? " %s%s" : " [%s%s]",
				     json_string_value(json_object_get(p, "name")),
				     json_is_true(json_object_get(p, "rest")) ? "..." : "");
		}
		if (n > 38)
			n = fprintf(out, "\n") - 1;
		fprintf(out, "%*s%s\n", 40 - n, "",
			json_string_value(json_object_get(cmd, "help")));
	}
}

const struct ctl_command ctl_status_commands[] = {
	{ .name = "status",
	  .help = "what runs here: version, uptime, network, driver",
	  .handler = do_status },
	{ .name = "log level",
	  .help = "show or change what is worth a line",
	  .params = { { .name = "level", .help = "error, warn, info or debug" } },
	  .handler = do_log_level },
	{ .name = "log format",
	  .help = "show or change how lines are written",
	  .params = { { .name = "format", .help = "text, or json: one object a line" } },
	  .handler = do_log_format },
	{ .name = "shutdown", .help = "end the program in order", .handler = do_shutdown },
	{ .name = "help",
	  .help = "all commands with their arguments",
	  .handler = do_help,
	  .print = print_help },
	{ .name = NULL },
};
