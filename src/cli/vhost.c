/* SPDX-License-Identifier: MIT */
/*
 * `sluice vhost-user`: a socket, one front-end at a time, and the worker.
 *
 * Theory of operation: the main thread's loop has three sources: signals, the
 * listening socket, and the connection of the front-end that is served. A
 * second front-end is turned away while there is one, since there is one
 * device. When a front-end goes, its flows are reset, so that the next one
 * begins on an empty stack.
 */
#include "src/cli/vhost.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/cli/alloc_report.h"
#include "src/base/unixsock.h"
#include "src/cli/jailcfg.h"
#include "src/cli/netcfg.h"
#include "src/cli/options.h"
#include "src/cli/stats.h"
#include "src/control/control.h"
#include "src/vmm/io_loop.h"
#include "virtio/vhost_user.h"

#define WHY_MAX 256

struct server {
	const struct run_options *o;
	struct jail jail;
	struct io_loop *loop;
	struct net_worker *worker;
	struct sight sight;
	struct vnet_config net;
	struct vhost_session *session;
	struct control *control;
	struct alloc_report report;
	struct resolv_watch *resolv;
	uint64_t start_ns;
	int listener, conn, signals;
	FILE *stats; /* NULL = not asked for; standard error gets a table, a file JSON */
	char stats_buf[BUFSIZ];
};

static int reset_flows(void *ctx, struct stack *st)
{
	(void)ctx;
	stack_reset(st);
	return 0;
}

static void end_session(struct server *s)
{
	if (!s->session)
		return;
	io_loop_del(s->loop, s->conn);
	vhost_session_free(s->session);
	s->session = NULL;
	s->conn = -1;
	net_worker_call(s->worker, reset_flows, NULL);
	if (s->o->once)
		io_loop_stop(s->loop);
}

static void on_message(void *ctx, uint32_t events)
{
	struct server *s = ctx;
	int ret = vhost_session_readable(s->session);

	(void)events;
	if (ret == 0)
		return;
	if (ret == -ECONNRESET)
		log_info("vhost-user", "the front-end has gone");
	else
		log_warn("vhost-user", "the front-end is cut off: %s", strerror(-ret));
	end_session(s);
}

static void on_connect(void *ctx, uint32_t events)
{
	struct server *s = ctx;
	int conn = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int ret;

	(void)events;
	if (conn < 0) {
		/* It thought better of it; or it waits until there are descriptors again. */
		if (errno != EAGAIN && errno != ECONNABORTED)
			io_loop_rest(s->loop, s->listener);
		return;
	}
	/* The one before may have gone just now, and the news of it still be waiting. */
	if (s->session)
		on_message(s, 0);
	if (s->session) {
		log_limited(LOG_WARN, "vhost-user", "a second front-end is turned away");
		close(conn);
		return;
	}
	ret = vhost_session_new(&s->session, conn, s->worker, &s->net);
	if (ret == 0)
		ret = io_loop_add(s->loop, conn, EPOLLIN, on_message, s);
	if (ret < 0) {
		log_error("vhost-user", "a front-end cannot be served: %s", strerror(-ret));
		vhost_session_free(s->session);
		s->session = NULL;
		return;
	}
	s->conn = conn;
	log_info("vhost-user", "a front-end has connected");
}

/* Opened before anything runs: a wrong path is known at once, and figures cost no allocation. */
static int open_stats(struct server *s, char *why, size_t why_len)
{
	const char *path = s->o->stats;

	if (!path)
		return 0;
	s->stats = path[0] ? fopen(path, "we") : stderr;
	if (!s->stats) {
		snprintf(why, why_len, "--stats: %s: %s", path, strerror(errno));
		return -errno;
	}
	if (s->stats != stderr)
		setvbuf(s->stats, s->stats_buf, _IOFBF, sizeof(s->stats_buf));
	return 0;
}

static void write_stats(struct server *s)
{
	struct run_stats stats = { .worker = s->worker };

	if (!s->stats)
		return;
	if (s->stats == stderr)
		run_stats_table(&stats, s->stats);
	else
		run_stats_json(&stats, s->stats);
	if (fflush(s->stats) != 0)
		log_error("vhost-user", "--stats: %s: %s", s->o->stats, strerror(errno));
}

static void on_signal(void *ctx, uint32_t events)
{
	struct server *s = ctx;
	struct signalfd_siginfo si;

	(void)events;
	if (read(s->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGUSR1)
		write_stats(s);
	else if (si.ssi_signo != SIGHUP || sight_reopen(&s->sight) == -ENOENT)
		io_loop_stop(s->loop);
}

static int listen_at(struct server *s, char *why, size_t why_len)
{
	s->listener = unix_listen(s->o->socket, 0777, 1);
	if (s->listener >= 0)
		return 0;
	snprintf(why, why_len, "--socket: %s: %s", s->o->socket, strerror(-s->listener));
	return s->listener;
}

static int watch_signals(struct server *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

static const struct vq_counters *queue_counters(void *ctx, unsigned int q)
{
	struct server *s = ctx;

	return s->session ? vhost_session_counters(s->session, q) : NULL;
}

static void on_shutdown(void *ctx)
{
	struct server *s = ctx;

	io_loop_stop(s->loop);
}

static int add_control(struct server *s, char *why, size_t why_len)
{
	const struct control_config cc = {
		.command = "vhost-user",
		.start_ns = s->start_ns,
		.loop = s->loop,
		.worker = s->worker,
		.sight = &s->sight,
		.jail = &s->jail.status,
		.queue = queue_counters,
		.shutdown = on_shutdown,
		.ctx = s,
	};

	return netcfg_control(s->o, &cc, &s->control, why, why_len);
}

/* Everything that takes rights. */
static int set_up(struct server *s, char *why, size_t why_len)
{
	int ret = open_stats(s, why, why_len);

	if (ret == 0)
		ret = alloc_report_open(&s->report, s->o->alloc_report, why, why_len);
	if (ret < 0)
		return ret;
	ret = watch_signals(s);
	if (ret == 0)
		ret = io_loop_new(&s->loop);
	if (ret == 0)
		ret = io_loop_add(s->loop, s->signals, EPOLLIN, on_signal, s);
	if (ret < 0) {
		snprintf(why, why_len, "main loop: %s", strerror(-ret));
		return ret;
	}
	ret = netcfg_worker(s->o, &s->jail, &s->sight, &s->worker, &s->net, why, why_len);
	if (ret == 0)
		ret = netcfg_follow(s->o, s->worker, s->loop, &s->resolv, why, why_len);
	if (ret == 0)
		ret = add_control(s, why, why_len);
	/* Last: who sees the socket may take it that the rest is there. */
	if (ret == 0)
		ret = listen_at(s, why, why_len);
	if (ret < 0)
		return ret;
	ret = io_loop_add(s->loop, s->listener, EPOLLIN, on_connect, s);
	if (ret < 0)
		snprintf(why, why_len, "main loop: %s", strerror(-ret));
	return ret;
}

static int start(struct server *s, char *why, size_t why_len)
{
	int ret = jailcfg_begin(&s->jail, s->o, COMMAND_VHOST_USER, why, why_len);

	if (ret == 0)
		ret = set_up(s, why, why_len);
	if (ret == 0)
		ret = jailcfg_enter(&s->jail, s->o, s->worker, why, why_len);
	if (ret == 0)
		ret = netcfg_start(s->o, &s->sight, s->worker, why, why_len);
	if (ret == 0)
		ret = jail_close(&s->jail, why, why_len);
	return ret;
}

static void stop(struct server *s)
{
	control_free(s->control);
	resolv_watch_free(s->resolv);
	if (s->session)
		end_session(s);
	if (s->worker) {
		write_stats(s);
		alloc_report(&s->report, s->worker, NULL);
		net_worker_free(s->worker);
	}
	sight_close(&s->sight);
	if (s->stats && s->stats != stderr)
		fclose(s->stats);
	if (s->listener >= 0) {
		close(s->listener);
		unlink(s->o->socket);
	}
	io_loop_free(s->loop);
	if (s->signals >= 0)
		close(s->signals);
	alloc_report_close(&s->report);
	jail_free(&s->jail);
}

/**
 * vhost_main() - `sluice vhost-user`
 * @argc, @argv:	what follows the word "vhost-user"
 *
 * Return: the program's exit status, as its --help lists them
 */
int vhost_main(int argc, char **argv)
{
	struct server s = { .listener = -1, .conn = -1, .signals = -1 };
	char why[WHY_MAX] = "";
	struct run_options o;
	int ret;

	if (!run_options_begin(&o, COMMAND_VHOST_USER, argc, argv, &ret))
		return ret;
	if (!o.socket) {
		fputs("sluice: --socket PATH is needed; see sluice vhost-user --help\n", stderr);
		return EXIT_USAGE;
	}
	s.o = &o;
	s.start_ns = clock_now_ns();
	ret = start(&s, why, sizeof(why));
	if (ret == 0)
		ret = io_loop_run(s.loop);
	else
		fprintf(stderr, "sluice: %s\n", why);
	stop(&s);
	run_options_free(&o);
	return ret < 0 ? EXIT_SLUICE : 0;
}
