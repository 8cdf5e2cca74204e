/* SPDX-License-Identifier: MIT */
/* From options to a running network worker. */
#include "src/cli/netcfg.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/why.h"
#include "src/cli/version.h"
#include "src/jail/jail.h"
#include "src/sight/pcap.h"
#include "tcpstack/capture.h"
#include "tcpstack/hosts.h"
#include "tcpstack/limits.h"

/* Of what others say why. */
#define REASON_MAX 256

/* Descriptors that are not flows: machine, loop, queues, standard streams. */
#define FDS_BESIDE_FLOWS 256

/* Of DNS, beside its queries: late answers, and two sockets for each session over TCP. */
#define FDS_OF_DNS (LIMIT_DNS_LATE + 2 * LIMIT_DNS_TCP)

/* What all flows together may lend: frames of 64 KiB. */
#define LOCKED_BYTES ((uint64_t)LIMIT_BULK_LENT_FRAMES_ALL << 16)

/* Each flow costs a descriptor. Better now, in one line, than at some connection. */
static int check_files(const struct stack_config *net, char *why, size_t why_len)
{
	uint64_t beside = (uint64_t)net->max_dns + FDS_OF_DNS + FDS_BESIDE_FLOWS;
	uint64_t need = beside + net->max_tcp + net->max_udp + net->max_ping;
	/* What `ctl limit set` can make of it. */
	uint64_t want = beside + stack_flow_cap(net->max_tcp, LIMIT_TCP_FLOWS) +
			stack_flow_cap(net->max_udp, LIMIT_UDP_FLOWS) +
			stack_flow_cap(net->max_ping, LIMIT_PING_FLOWS);
	uint64_t have = rlimit_raise(RLIMIT_NOFILE, want);

	if (have >= need)
		return 0;
	snprintf(why, why_len,
		 "--max-conns %u, --max-udp %u and --max-ping %u need %llu descriptors, and the "
		 "limit is %llu: lower them, or raise it (ulimit -n, LimitNOFILE=)",
		 net->max_tcp, net->max_udp, net->max_ping, (unsigned long long)need,
		 (unsigned long long)have);
	return -EMFILE;
}

/*
 * Pages that a socket refers to count as locked. Too few is no fault, but not what
 * somebody expects who has asked for an engine by name.
 */
static void check_locked(const struct stack_config *net)
{
	bool asked = net->bulk == STACK_BULK_URING || net->bulk == STACK_BULK_ZEROCOPY;
	uint64_t have;

	if (!asked && net->bulk != STACK_BULK_AUTO)
		return;
	have = rlimit_raise(RLIMIT_MEMLOCK, LOCKED_BYTES);
	if (have < LOCKED_BYTES)
		LOG(asked ? LOG_WARN : LOG_INFO, "net",
		    "--bulk: %llu KiB of memory may be locked, of %llu that zero copies can use; "
		    "beyond it batches are copied (ulimit -l, LimitMEMLOCK=)",
		    (unsigned long long)have >> 10, (unsigned long long)LOCKED_BYTES >> 10);
}

/* As above. Asked in the jail: which ones may be used depends on capabilities. */
static int check_congestion(const char *name, char *why, size_t why_len)
{
	int fd, err = 0;

	if (!name[0])
		return 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0; /* the worker will say so */
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) < 0) {
		err = -errno;
		snprintf(why, why_len,
			 "--congestion: %s: %s; see net.ipv4.tcp_allowed_congestion_control", name,
			 strerror(errno));
	}
	close(fd);
	return err;
}

/* What --poll-us comes to: nothing where looking would take the time from who works. */
static uint64_t poll_ns(const struct run_options *o)
{
	cpu_set_t cpus;

	if (o->poll_us && !sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) < 2) {
		log_warn("net", "--poll-us: with one processor nothing comes while we look: off");
		return 0;
	}
	return o->poll_us * NS_PER_US;
}

struct add {
	struct forward_info info;
	int fd;
};

static int do_add(void *ctx, struct stack *st)
{
	struct add *a = ctx;

	return stack_forward_add(st, &a->info, a->fd);
}

/**
 * netcfg_control() - the control socket that --control asks for, if it does; main thread
 * @cfg:	what is the command's own; where, version and rules are those of @o
 * @out:	untouched where there is none
 * @why:	on failure, one line
 *
 * Return: 0 or -errno
 */
int netcfg_control(const struct run_options *o, const struct control_config *cfg,
		   struct control **out, char *why, size_t why_len)
{
	struct control_config cc = *cfg;
	int err;

	if (!o->control)
		return 0;
	cc.path = o->control;
	cc.version = sluice_version;
	cc.policy = &o->policy;
	err = control_new(out, &cc);
	return err < 0 ? why_set(why, why_len, err, "--control: %s: %s", cc.path, strerror(-err))
		       : 0;
}

/**
 * netcfg_publish() - forward the ports of @spec; main thread
 * @print:	say on standard error which port the kernel has chosen
 * @why:	on failure, one line; ports before the one that failed stay forwarded
 *
 * Return: 0 or -errno
 */
int netcfg_publish(struct net_worker *w, const struct forward_spec *spec, bool print, char *why,
		   size_t why_len)
{
	char text[FORWARD_STRLEN];

	for (uint16_t i = 0; i < spec->count; i++) {
		struct add a;
		int err;

		a.fd = forward_socket(spec, i, &a.info);
		err = a.fd < 0 ? a.fd : net_worker_call(w, do_add, &a);
		if (err < 0) {
			if (a.fd >= 0)
				close(a.fd);
			snprintf(why, why_len, "--publish: %s: %s", forward_format(&a.info, text),
				 forward_error(err));
			return err;
		}
		if (print && spec->bind.port == 0)
			fprintf(stderr, "sluice: forwarding %s\n", forward_format(&a.info, text));
	}
	return 0;
}

static int do_name(void *ctx, struct stack *st)
{
	return stack_host_add(st, ctx);
}

/* Names that the guest's DNS serves; before there is a guest that could ask. */
static int serve_names(struct net_worker *w, const struct run_options *o, char *why, size_t why_len)
{
	for (uint32_t i = 0; i < o->ndns_name; i++) {
		struct host_spec spec;
		int err = host_parse(&spec, o->dns_name[i], why, why_len);

		if (err == 0)
			err = net_worker_call(w, do_name, &spec);
		if (err < 0) {
			snprintf(why, why_len, "--dns-name: %.80s: %s", o->dns_name[i],
				 host_strerror(err));
			return err;
		}
	}
	return 0;
}

/* The file is opened now, when files can be; the writer empties it. */
static int capture(const struct run_options *o, struct sight *sight, struct net_worker *w,
		   char *why, size_t why_len)
{
	char program[64], reason[REASON_MAX];
	struct capture_filter filter;
	struct pcap_config c = { .name = o->pcap,
				 .program = program,
				 .filter = o->pcap_filter ? o->pcap_filter : "",
				 .snaplen = o->pcap_snaplen,
				 .limit = o->pcap_limit };
	int err;

	if (!o->pcap)
		return 0;
	if (capture_filter_parse(&filter, c.filter, reason, sizeof(reason)) < 0) {
		snprintf(why, why_len, "--pcap-filter: %s", reason);
		return -EINVAL;
	}
	snprintf(program, sizeof(program), "sluice %s", sluice_version);
	c.fd = open(o->pcap, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (c.fd < 0) {
		err = -errno;
		snprintf(why, why_len, "--pcap: %s: %s", o->pcap, strerror(errno));
		return err;
	}
	err = pcap_start(sight, w, &c, reason, sizeof(reason));
	if (err < 0) {
		close(c.fd);
		snprintf(why, why_len, "--pcap: %s: %s", o->pcap,
			 reason[0] ? reason : strerror(-err));
	}
	return err;
}

/**
 * netcfg_worker() - check the network's options and make its worker, for later
 * @jail:	what threads go through first; lives as long as they
 * @sight:	out: what looks on, zeroed before; sight_close() when the worker is gone
 * @worker:	out: the caller's, to be freed with net_worker_free(); netcfg_start()
 *		makes the threads of both
 * @net:	out: the device that belongs to it
 * @why:	on failure, one line
 *
 * Reads the host's resolvers where no --dns was given. Main thread.
 *
 * Return: 0 or -errno
 */
int netcfg_worker(const struct run_options *o, struct jail *jail, struct sight *sight,
		  struct net_worker **worker, struct vnet_config *net, char *why, size_t why_len)
{
	struct net_worker_config wc = {
		.stack = o->stack,
		.later = true,
		.poll_ns = poll_ns(o),
		.thread_init = jail_thread_net,
		.thread_ctx = jail,
	};
	int err;

	if (wc.stack.nresolvers == 0)
		wc.stack.nresolvers = resolv_read(RESOLV_CONF, wc.stack.resolvers,
						  STACK_RESOLVERS_MAX);
	wc.stack.policy = &o->policy;
	err = stack_config_check(&wc.stack, why, why_len);
	if (err == 0)
		err = check_files(&wc.stack, why, why_len);
	if (err < 0)
		return err;
	if (o->audit || o->control || o->pcap)
		err = sight_open(sight, o->audit, jail_thread_writer, jail, why, why_len);
	if (err < 0)
		return err;
	wc.stack.audit = sight_audit(sight);
	check_locked(&wc.stack);
	wc.net.mtu = wc.stack.mtu;
	memcpy(wc.net.mac, wc.stack.guest_mac, sizeof(wc.net.mac));
	err = net_worker_new(worker, &wc);
	if (err < 0) {
		snprintf(why, why_len, "network worker: %s", strerror(-err));
		return err;
	}
	err = serve_names(*worker, o, why, why_len);
	if (err == 0)
		err = capture(o, sight, *worker, why, why_len);
	for (uint32_t i = 0; i < o->npublish && !err; i++)
		err = netcfg_publish(*worker, &o->publish[i], true, why, why_len);
	if (err < 0) {
		net_worker_free(*worker);
		*worker = NULL;
		return err;
	}
	*net = wc.net;
	return 0;
}

/**
 * netcfg_follow() - have the worker's resolvers follow the host's
 * @out:	to be freed with resolv_watch_free() before @loop and @w; NULL where --dns
 *		says once and for all whom to ask
 *
 * Main thread. Return: 0 or -errno
 */
int netcfg_follow(const struct run_options *o, struct net_worker *w, struct io_loop *loop,
		  struct resolv_watch **out, char *why, size_t why_len)
{
	int err;

	*out = NULL;
	if (o->stack.nresolvers > 0)
		return 0;
	err = resolv_watch_new(out, RESOLV_CONF, loop, w, RESOLV_EVERY_NS);
	if (err < 0)
		snprintf(why, why_len, "following %s: %s", RESOLV_CONF, strerror(-err));
	return err;
}

/**
 * netcfg_start() - the threads of the network begin; after jail_enter()
 *
 * Main thread. Return: 0 or -errno with @why set
 */
int netcfg_start(const struct run_options *o, struct sight *sight, struct net_worker *w, char *why,
		 size_t why_len)
{
	int err = check_congestion(o->stack.congestion, why, why_len);

	if (err == 0)
		err = sight_start(sight, why, why_len);
	if (err < 0)
		return err;
	err = net_worker_start(w);
	if (err < 0)
		snprintf(why, why_len, "network worker: %s", strerror(-err));
	return err;
}
