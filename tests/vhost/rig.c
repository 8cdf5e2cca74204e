/* SPDX-License-Identifier: MIT */
/*
 * The back-end of the rig and what it must come back to.
 *
 * Theory of operation: one thread accepts a front-end, serves its session until
 * that ends, resets the stack's flows and says so on a semaphore; then the next.
 * The test's thread plays the front-end, so every wait here has a deadline.
 */
#include "tests/vhost/rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "src/base/log.h"

#define DEADLINE_S 60

/* What a session may not change for good. */
struct holdings {
	int fds, mappings;
};

struct vrig {
	struct net_worker *w;
	struct net_worker_config cfg;
	char path[32];
	int listener, name_fd, stop_fd;
	pthread_t thread;
	struct vhost_session *session; /* the thread's */
	pthread_mutex_t turn;	       /* held while messages are acted upon */
	bool running;
	_Atomic int why;
	sem_t ended;
	struct holdings base;
};

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/memfd:") != NULL;
	fclose(f);
	return n;
}

static struct holdings count_holdings(void)
{
	return (struct holdings){ count_fds(), count_mappings() };
}

static int reset_flows(void *ctx, struct stack *st)
{
	(void)ctx;
	stack_reset(st);
	return 0;
}

/* Serve one front-end. Return: why it ended, or 0 when the rig is to stop. */
static int serve(struct vrig *r, int conn)
{
	int ret;

	if (vhost_session_new(&r->session, conn, r->w, &r->cfg.net) < 0)
		return -ENOMEM;
	do {
		struct pollfd p[2] = { { .fd = conn, .events = POLLIN },
				       { .fd = r->stop_fd, .events = POLLIN } };

		poll(p, 2, -1);
		if (p[1].revents) {
			ret = -ECANCELED;
			break;
		}
		pthread_mutex_lock(&r->turn);
		ret = vhost_session_readable(r->session);
		r->running = vhost_session_running(r->session);
		pthread_mutex_unlock(&r->turn);
	} while (ret == 0);
	vhost_session_free(r->session);
	r->running = false;
	net_worker_call(r->w, reset_flows, NULL);
	return ret;
}

static void *serve_all(void *arg)
{
	struct vrig *r = arg;

	for (;;) {
		struct pollfd p[2] = { { .fd = r->listener, .events = POLLIN },
				       { .fd = r->stop_fd, .events = POLLIN } };
		int conn;

		poll(p, 2, -1);
		if (p[1].revents)
			return NULL;
		conn = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn < 0)
			continue;
		atomic_store(&r->why, serve(r, conn));
		sem_post(&r->ended);
	}
}

/*
 * A listening socket, reached by way of a descriptor of its file: the name is gone
 * before a test begins, so that one which fails or is killed leaves nothing.
 */
static void listen_unnamed(struct vrig *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/vhost-test-XXXXXX";

	assert_non_null(mkdtemp(dir));
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", dir);
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->listener >= 0);
	assert_int_equal(bind(r->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(r->listener, 4), 0);
	r->name_fd = open(sa.sun_path, O_PATH | O_CLOEXEC);
	assert_int_equal(unlink(sa.sun_path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_true(r->name_fd >= 0);
	snprintf(r->path, sizeof(r->path), "/proc/self/fd/%d", r->name_fd);
}

/**
 * vrig_new() - a back-end that listens
 */
struct vrig *vrig_new(void)
{
	struct vrig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	log_set_level(LOG_ERROR);
	stack_config_defaults(&r->cfg.stack);
	r->cfg.stack.ip6 = false; /* it speaks unasked */
	r->cfg.net.mtu = r->cfg.stack.mtu;
	memcpy(r->cfg.net.mac, r->cfg.stack.guest_mac, 6);
	assert_int_equal(net_worker_new(&r->w, &r->cfg), 0);
	listen_unnamed(r);
	r->stop_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(r->stop_fd >= 0);
	assert_int_equal(pthread_mutex_init(&r->turn, NULL), 0);
	assert_int_equal(sem_init(&r->ended, 0, 0), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, serve_all, r), 0);
	r->base = count_holdings();
	return r;
}

void vrig_free(struct vrig *r)
{
	assert_int_equal(eventfd_write(r->stop_fd, 1), 0);
	pthread_join(r->thread, NULL);
	net_worker_free(r->w);
	close(r->listener);
	close(r->name_fd);
	close(r->stop_fd);
	pthread_mutex_destroy(&r->turn);
	sem_destroy(&r->ended);
	free(r);
}

/**
 * vrig_path() - where to connect; good in this process and in its children
 */
const char *vrig_path(const struct vrig *r)
{
	return r->path;
}

const struct stack_config *vrig_stack_config(const struct vrig *r)
{
	return &r->cfg.stack;
}

const struct stack_counters *vrig_counters(struct vrig *r)
{
	return net_worker_stack_counters(r->w);
}

/**
 * vrig_running() - is the device on the worker, once what was sent is acted upon?
 */
bool vrig_running(struct vrig *r)
{
	bool running;

	pthread_mutex_lock(&r->turn);
	running = r->running;
	pthread_mutex_unlock(&r->turn);
	return running;
}

static int dump_flows(void *ctx, struct stack *st)
{
	(void)ctx;
	stack_dump_flows(st, stderr);
	return 0;
}

/**
 * vrig_dump() - the stack's flows on standard error, for whoever reads a failure
 */
void vrig_dump(struct vrig *r)
{
	net_worker_call(r->w, dump_flows, NULL);
}

/**
 * vrig_wait_end() - wait until the session is over. Return: why
 */
int vrig_wait_end(struct vrig *r)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += DEADLINE_S;
	while (sem_clockwait(&r->ended, CLOCK_MONOTONIC, &ts) < 0) {
		if (errno != EINTR)
			fail_msg("the session does not end");
	}
	return atomic_load(&r->why);
}

/**
 * vrig_will_close() - of what was open at vrig_new(), the test closes @fds descriptors
 */
void vrig_will_close(struct vrig *r, int fds)
{
	r->base.fds -= fds;
}

/**
 * vrig_expect_base() - nothing of a session that is over is left behind
 *
 * What the test itself holds must be closed by now.
 */
void vrig_expect_base(struct vrig *r)
{
	struct holdings now = count_holdings();
	const struct stack_counters *n = vrig_counters(r);

	assert_int_equal(now.fds, r->base.fds);
	assert_int_equal(now.mappings, r->base.mappings);
	assert_int_equal(counter_get(&n->tcp_active), 0);
	assert_int_equal(counter_get(&n->udp_active), 0);
	assert_int_equal(counter_get(&n->parked_bytes), 0);
}

/**
 * vrig_expect_end() - the session ends for this reason, and leaves nothing behind
 */
void vrig_expect_end(struct vrig *r, int why)
{
	assert_int_equal(vrig_wait_end(r), why);
	vrig_expect_base(r);
}
