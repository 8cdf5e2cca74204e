/* SPDX-License-Identifier: MIT */
/* Commands about the audit. */
#include <errno.h>
#include <string.h>

#include "src/control/priv.h"
#include "src/sight/audit_log.h"
#include "src/sight/sight.h"

static struct sight *sight_of(struct ctl_request *r)
{
	struct sight *s = control_cfg(r->c)->sight;

	if (s && s->audit)
		return s;
	ctl_fail(r, -ENOTSUP, "there is no audit; see --audit");
	return NULL;
}

static int do_status(struct ctl_request *r)
{
	struct sight *s = sight_of(r);
	struct audit_log_status a;

	if (!s)
		return -ENOTSUP;
	audit_log_status(s->audit, &a);
	r->result = json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "where", a.where, "lines",
			      (json_int_t)a.lines, "bytes", (json_int_t)a.bytes, "waiting_bytes",
			      (json_int_t)a.waiting, "lost", (json_int_t)a.lost, "withheld",
			      (json_int_t)a.withheld, "failures", (json_int_t)a.failures);
	if (a.error)
		json_object_set_new(r->result, "error", json_string(strerror(a.error)));
	return 0;
}

static int do_reopen(struct ctl_request *r)
{
	struct sight *s = sight_of(r);
	int err = s ? sight_reopen(s) : -ENOTSUP;

	if (s && err < 0)
		return ctl_fail(r, err, "%s", strerror(-err));
	return s ? do_status(r) : err;
}

const struct ctl_command ctl_audit_commands[] = {
	{ .name = "audit status",
	  .help = "where the audit goes, how much of it has, and what was lost",
	  .handler = do_status },
	{ .name = "audit reopen",
	  .help = "go on in the file that is now at the path, as SIGHUP does",
	  .handler = do_reopen },
	{ .name = NULL },
};
