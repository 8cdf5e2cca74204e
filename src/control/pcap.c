/* SPDX-License-Identifier: MIT */
/* Commands about captures of frames; the client opens the file and sends it along. */
#include "src/sight/pcap.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "src/base/log.h"
#include "src/base/size.h"
#include "src/control/priv.h"
#include "src/sight/sight.h"
#include "tcpstack/capture.h"

/* Longest filter, in bytes. */
#define FILTER_MAX 1024

static int need_network(struct ctl_request *r)
{
	const struct control_config *cfg = control_cfg(r->c);

	if (cfg->worker && cfg->sight && cfg->sight->writer)
		return 0;
	return ctl_fail(r, -ENOTSUP, "the guest has no network");
}

/* The filter is one text, or words that make one. */
static int filter_arg(struct ctl_request *r, char filter[FILTER_MAX])
{
	const json_t *given = json_object_get(r->args, "filter");
	size_t n = 0, count = json_is_array(given) ? json_array_size(given) : given ? 1 : 0;

	filter[0] = 0;
	for (size_t i = 0; i < count; i++) {
		const json_t *v = json_is_array(given) ? json_array_get(given, i) : given;
		const char *word = json_string_value(v);
		int len;

		if (!word)
			return ctl_fail(r, -EINVAL, "filter: not a text");
		len = snprintf(filter + n, FILTER_MAX - n, "%s%s", n ? " " : "", word);
		if (len < 0 || (size_t)len >= FILTER_MAX - n)
			return ctl_fail(r, -EINVAL, "filter: longer than %d bytes", FILTER_MAX - 1);
		n += (size_t)len;
	}
	return 0;
}

static int limit_arg(struct ctl_request *r, uint64_t *limit)
{
	char buf[32];
	const char *text = ctl_arg(r, "limit", buf, sizeof(buf));

	if (!json_object_get(r->args, "limit"))
		return 0;
	if (!text || size_parse(text, limit) < 0)
		return ctl_fail(r, -EINVAL, "limit: not a size such as 100M");
	if (*limit < PCAP_LIMIT_MIN || *limit > PCAP_LIMIT_MAX)
		return ctl_fail(r, -EINVAL, "limit: not within 64K..1024T");
	return 0;
}

static int answer(struct ctl_request *r)
{
	static const char *const states[] = {
		[PCAP_RUNNING] = "running", [PCAP_ENDING] = "ending", [PCAP_ENDED] = "ended"
	};
	static const char *const ends[] = { [PCAP_NOT_YET] = NULL,
					    [PCAP_STOPPED] = "stopped",
					    [PCAP_FULL] = "limit reached",
					    [PCAP_FAILED] = "not written",
					    [PCAP_UNREAD] = "nobody reads" };
	const struct control_config *cfg = control_cfg(r->c);
	struct pcap_status s;

	if (pcap_status(cfg->sight, cfg->worker, &s) < 0) {
		r->result = json_pack("{s:s}", "state", "none");
		return 0;
	}
	r->result = json_pack("{s:s,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I}", "state", states[s.state],
			      "file", s.name, "filter", s.filter, "snaplen", (int)s.snaplen,
			      "limit", (json_int_t)s.limit, "bytes", (json_int_t)s.bytes, "frames",
			      (json_int_t)s.written, "lost", (json_int_t)s.lost, "picked",
			      (json_int_t)s.matched, "seen", (json_int_t)s.seen);
	if (ends[s.end])
		json_object_set_new(r->result, "why", json_string(ends[s.end]));
	if (s.error)
		json_object_set_new(r->result, "error", json_string(strerror(s.error)));
	return 0;
}

static int do_start(struct ctl_request *r)
{
	const struct control_config *cfg = control_cfg(r->c);
	char filter[FILTER_MAX], program[64];
	struct pcap_config p = { .name = ctl_arg_string(r, "file"),
				 .program = program,
				 .filter = filter,
				 .fd = r->fd,
				 .limit = PCAP_LIMIT_DEF };
	uint64_t snaplen = CAPTURE_SNAPLEN_DEF;
	int err = need_network(r);

	if (err == 0 && !p.name)
		err = ctl_fail(r, -EINVAL, "file: not a text");
	if (err == 0)
		err = filter_arg(r, filter);
	if (err == 0)
		err = ctl_arg_u64(r, "snaplen", CAPTURE_SNAPLEN_MIN, CAPTURE_SNAPLEN_MAX, &snaplen);
	if (err == 0)
		err = limit_arg(r, &p.limit);
	if (err == 0 && r->fd < 0)
		err = ctl_fail(r, -EINVAL,
			       "the file must come with the request, as an open descriptor "
			       "(SCM_RIGHTS); sluice ctl does that");
	if (err < 0)
		return err;
	p.snaplen = (uint32_t)snaplen;
	snprintf(program, sizeof(program), "sluice %s", cfg->version);
	err = pcap_start(cfg->sight, cfg->worker, &p, r->why, sizeof(r->why));
	if (err < 0)
		return err;
	r->fd = -1;
	log_info("pcap", "%s: a capture begins", p.name);
	return answer(r);
}

static int do_stop(struct ctl_request *r)
{
	const struct control_config *cfg = control_cfg(r->c);
	int err = need_network(r);

	if (err < 0)
		return err;
	err = pcap_stop(cfg->sight, cfg->worker);
	if (err < 0)
		return ctl_fail(r, err, "nothing is captured");
	return answer(r);
}

static int do_status(struct ctl_request *r)
{
	int err = need_network(r);

	return err < 0 ? err : answer(r);
}

const struct ctl_command ctl_pcap_commands[] = {
	{ .name = "pcap start",
	  .help = "capture frames into a pcapng file",
	  .params = { { .name = "file",
			.help = "where to; - is standard output",
			.required = true },
		      { .name = "filter",
			.help = "as tcp and host 10.0.2.2 and not port 22, flow tcp-3.1, inbound",
			.rest = true },
		      { .name = "snaplen", .help = "bytes kept of each frame (256)" },
		      { .name = "limit", .help = "the file's size at most (1G)" } },
	  .handler = do_start },
	{ .name = "pcap stop",
	  .help = "end the capture and complete its file",
	  .handler = do_stop },
	{ .name = "pcap status",
	  .help = "how the capture goes, or how the last one ended",
	  .handler = do_status },
	{ .name = NULL },
};
