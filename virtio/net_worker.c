/* SPDX-License-Identifier: MIT */
/*
 * The network worker's thread and its cycle.
 *
 * Theory of operation
 *
 * The thread owns the stack and the device; nothing else may touch them while
 * it runs. One cycle takes what came from the host and the guest, lets the
 * stack work, and publishes. Then, before it may sleep, it asks the guest for
 * kicks and looks at the rings once more: a chain that came before the guest
 * could see that kicks are wanted is found by that look, one that came later
 * brings a kick. Under load the second look finds work and no kick is needed. Where it
 * was asked to, the worker looks on for a while before it asks (poll_wait.h), unless
 * receive buffers are wanted, which no cycle looks for by itself.
 *
 * Kick eventfds are watched edge-triggered and never read: each signal is an
 * edge, and the counter behind it means nothing to us.
 *
 * Others reach the worker by a call: they leave a function in the mailbox,
 * signal the wake eventfd and wait on a semaphore. Callers queue up on a mutex
 * among themselves; the worker takes no lock and waits for nobody, it looks
 * into the mailbox once a cycle.
 *
 * No errno, no guest and no peer ends the thread (H55): only net_worker_free().
 */
#include "virtio/net_worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/rng.h"
#include "src/base/sem.h"
#include "src/base/thread.h"
#include "tcpstack/loop.h"
#include "virtio/poll_wait.h"
#include "virtio/test_spin.h"

typedef int (*worker_fn)(struct net_worker *w, void *ctx);

/* A kick eventfd and the queue that it is for. */
struct kick {
	struct net_worker *w;
	enum vnet_queue queue;
	int fd; /* -1 = not watched */
};

/**
 * struct net_worker - see above
 * @call_lock:	one caller at a time; the worker never takes it
 * @posted:	the mailbox is full; set by the caller, cleared by the worker
 * @done:	posted when the call has been made
 * @stop:	written by a call, so on the worker
 * @frames_seen:	either way, when @poll was last asked
 */
struct net_worker {
	struct stack *st;
	struct loop *lp;
	struct vnet *v;
	struct thread thread;
	int wake_fd;
	bool stop;
	struct kick kicks[VNET_QUEUES];
	struct vq_counters *queue_counters[VNET_QUEUES];
	struct alloc_count heap_base;
	struct poll_wait poll;
	uint64_t frames_seen;
	struct net_worker_counters n;

	pthread_mutex_t call_lock;
	_Atomic bool posted;
	sem_t done;
	worker_fn call_fn;
	void *call_ctx;
	int call_result;
};

static uint64_t env_now(void *ctx)
{
	(void)ctx;
	return clock_now_ns();
}

static void env_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	rng_fill(buf, len);
}

static uint64_t env_cpu(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void on_wake(void *ctx, uint32_t events)
{
	/* To have woken up is all: the mailbox is looked at in each cycle. */
	(void)ctx;
	(void)events;
}

static void on_kick(void *ctx, uint32_t events)
{
	struct kick *k = ctx;
	struct net_worker *w = k->w;

	(void)events;
	counter_inc(&w->queue_counters[k->queue]->kicks);
	/* Transmit and control queues are looked at in each cycle. */
	if (k->queue == VNET_RX)
		vnet_rx_kicked(w->v);
}

static void serve_mailbox(struct net_worker *w)
{
	if (!atomic_load_explicit(&w->posted, memory_order_acquire))
		return;
	w->call_result = w->call_fn(w, w->call_ctx);
	atomic_store_explicit(&w->posted, false, memory_order_relaxed);
	sem_post(&w->done);
}

static void count_heap(struct net_worker *w)
{
	const struct alloc_count *here = alloc_count_here();

	counter_set(&w->n.allocs, here->allocs - w->heap_base.allocs);
	counter_set(&w->n.frees, here->frees - w->heap_base.frees);
	counter_set(&w->n.maps, here->maps - w->heap_base.maps);
}

/* Look once more rather than sleep? @events: the cycle began with some. */
static bool look_on(struct net_worker *w, bool events)
{
	const struct stack_counters *n = stack_counters(w->st);
	uint64_t frames = counter_get(&n->tx_frames) + counter_get(&n->rx_frames);
	bool worked = events || frames != w->frames_seen, again;

	if (!w->poll.max_ns)
		return false;
	w->frames_seen = frames;
	again = poll_wait_again(&w->poll, loop_now(w->lp), worked);
	counter_add(&w->n.polls, again && !worked);
	return again && !vnet_rx_starved(w->v);
}

static void cycles(struct net_worker *w)
{
	bool may_sleep = false;
	uint64_t spun = 0;

	while (!w->stop) {
		bool more, events;

		counter_add(&w->n.sleeps, may_sleep);
		events = loop_wait(w->lp, may_sleep) > 0;
		serve_mailbox(w);
		more = vnet_tx_drain(w->v);
		vnet_ctrl_drain(w->v);
		stack_run(w->st);
		vnet_publish(w->v);
		counter_inc(&w->n.cycles);
		count_heap(w);
		test_spin(&spun);
		may_sleep = !more && !look_on(w, events) && !vnet_notify_on(w->v);
	}
}

static void work(void *arg)
{
	struct net_worker *w = arg;

	w->heap_base = *alloc_count_here();
	cycles(w);
}

/**
 * net_worker_start() - make the thread of a worker that was made for later
 *
 * The owner, once. Return: 0; -errno of the thread's birth, or what thread_init() said
 */
int net_worker_start(struct net_worker *w)
{
	return thread_begin(&w->thread, work, w);
}

/* What the thread owned; also a worker that is half made. */
static void dismantle(struct net_worker *w)
{
	vnet_free(w->v);
	if (w->st && w->wake_fd >= 0)
		loop_unwatch(w->lp, w->wake_fd);
	stack_free(w->st);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	sem_destroy(&w->done);
	pthread_mutex_destroy(&w->call_lock);
	free(w);
}

/**
 * net_worker_new() - a worker that runs, unless for later, with no driver attached
 * @cfg:	copied, but for @cfg->thread_ctx, which thread_init() sees
 *
 * Any thread; it becomes the owner. The worker's thread blocks all signals.
 * Return: 0 with *@out, which net_worker_free() ends; -errno of the stack's or
 * thread's birth, or what thread_init() said
 */
int net_worker_new(struct net_worker **out, const struct net_worker_config *cfg)
{
	const struct stack_env env = { .now_ns = env_now, .random = env_random, .cpu_ns = env_cpu };
	struct net_worker *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->poll.max_ns = cfg->poll_ns;
	w->thread.name = "sluice-net";
	w->thread.init = cfg->thread_init;
	w->thread.init_ctx = cfg->thread_ctx;
	for (int i = 0; i < VNET_QUEUES; i++)
		w->kicks[i] = (struct kick){ .w = w, .queue = (enum vnet_queue)i, .fd = -1 };
	BUG_ON(sem_init(&w->done, 0, 0));
	BUG_ON(pthread_mutex_init(&w->call_lock, NULL));
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0) {
		err = -errno;
		goto fail;
	}
	err = stack_new(&w->st, &cfg->stack, &env);
	if (err)
		goto fail;
	w->lp = stack_loop(w->st);
	err = loop_watch(w->lp, w->wake_fd, EPOLLIN | EPOLLET, on_wake, w);
	if (err)
		goto fail;
	err = vnet_new(&w->v, &cfg->net, w->st);
	if (err)
		goto fail;
	if (!cfg->later)
		err = net_worker_start(w);
	if (err)
		goto fail;
	*out = w;
	return 0;

fail:
	dismantle(w);
	return err;
}

/* Have the worker make one call, and wait for it. Any thread but the worker. */
static int call(struct net_worker *w, worker_fn fn, void *ctx)
{
	int result;

	if (!w->thread.started)
		return fn(w, ctx);
	BUG_ON(pthread_equal(pthread_self(), w->thread.id));
	pthread_mutex_lock(&w->call_lock);
	w->call_fn = fn;
	w->call_ctx = ctx;
	atomic_store_explicit(&w->posted, true, memory_order_release);
	BUG_ON(eventfd_write(w->wake_fd, 1));
	sem_wait_for(&w->done);
	result = w->call_result;
	pthread_mutex_unlock(&w->call_lock);
	return result;
}

static void unwatch_kicks(struct net_worker *w)
{
	for (int i = 0; i < VNET_QUEUES; i++) {
		if (w->kicks[i].fd >= 0)
			loop_unwatch(w->lp, w->kicks[i].fd);
		w->kicks[i].fd = -1;
	}
}

struct attach {
	const struct vnet_start *start;
	const int *kick_fd;
};

static int do_attach(struct net_worker *w, void *ctx)
{
	const struct attach *a = ctx;
	int err;

	if (vnet_running(w->v))
		return -EBUSY;
	for (int i = 0; i < VNET_QUEUES; i++) {
		struct kick *k = &w->kicks[i];

		w->queue_counters[i] = a->start->counters[i];
		if (!a->start->queue[i].ready || a->kick_fd[i] < 0)
			continue;
		err = loop_watch(w->lp, a->kick_fd[i], EPOLLIN | EPOLLET, on_kick, k);
		if (err)
			goto fail;
		k->fd = a->kick_fd[i];
	}
	err = vnet_start(w->v, a->start);
	if (err)
		goto fail;
	return 0;

fail:
	unwatch_kicks(w);
	return err;
}

/**
 * net_worker_attach() - serve a driver
 * @start:	read during the call; what it points to lives until the detach
 * @kick_fd:	an eventfd for each queue, -1 for none; the caller's
 *
 * Any thread but the worker. On return the driver is served.
 * Return: 0; -EBUSY when another is; or vnet_start()'s or epoll's error
 */
int net_worker_attach(struct net_worker *w, const struct vnet_start *start,
		      const int kick_fd[VNET_QUEUES])
{
	struct attach a = { start, kick_fd };

	return call(w, do_attach, &a);
}

static int do_detach(struct net_worker *w, void *ctx)
{
	unwatch_kicks(w);
	vnet_stop(w->v, ctx);
	return 0;
}

/**
 * net_worker_detach() - the driver goes away; harmless when there is none
 * @next_avail:	out: where to go on in each ring; may be NULL
 *
 * Any thread but the worker. On return its memory and eventfds are not used.
 */
void net_worker_detach(struct net_worker *w, uint16_t next_avail[VNET_QUEUES])
{
	call(w, do_detach, next_avail);
}

struct new_call {
	enum vnet_queue queue;
	int fd;
};

static int do_set_call(struct net_worker *w, void *ctx)
{
	const struct new_call *n = ctx;

	vnet_set_call(w->v, n->queue, n->fd);
	return 0;
}

/**
 * net_worker_set_call() - vnet_set_call(), any thread but the worker
 *
 * On return the eventfd before it is not used any more.
 */
void net_worker_set_call(struct net_worker *w, enum vnet_queue queue, int call_fd)
{
	struct new_call n = { queue, call_fd };

	call(w, do_set_call, &n);
}

struct user_call {
	int (*fn)(void *ctx, struct stack *st);
	void *ctx;
};

static int do_user_call(struct net_worker *w, void *ctx)
{
	const struct user_call *u = ctx;

	return u->fn(u->ctx, w->st);
}

/**
 * net_worker_call() - run @fn on the worker, between two parts of a cycle
 * @fn:		must not block
 *
 * Any thread but the worker; waits for the end of @fn. Return: what @fn returned
 */
int net_worker_call(struct net_worker *w, int (*fn)(void *ctx, struct stack *st), void *ctx)
{
	struct user_call u = { fn, ctx };

	return call(w, do_user_call, &u);
}

static int do_memory(struct net_worker *w, void *ctx)
{
	return (int)stack_memory_rows(w->st, ctx, STACK_MEMORY_ROWS);
}

/**
 * net_worker_memory() - what the stack has of memory now; see stack_memory_rows()
 *
 * Any thread but the worker, which only copies. Return: rows
 */
uint32_t net_worker_memory(struct net_worker *w, struct stack_memory rows[STACK_MEMORY_ROWS])
{
	return (uint32_t)call(w, do_memory, rows);
}

static int do_stop(struct net_worker *w, void *ctx)
{
	(void)ctx;
	do_detach(w, NULL);
	/* In the jail only this thread may ask the kernel for a reset. */
	stack_reset(w->st);
	w->stop = true;
	return 0;
}

/**
 * net_worker_free() - detach, end all flows and the thread, close everything; NULL is harmless
 *
 * The owner, when nobody else calls the worker any more.
 */
void net_worker_free(struct net_worker *w)
{
	if (!w)
		return;
	call(w, do_stop, NULL);
	thread_end(&w->thread);
	dismantle(w);
}

/**
 * net_worker_counters() - live counters, any thread
 *
 * Brings cpu_ns up to date: the one counter that the asker writes, so that the
 * worker need not read its CPU clock in each cycle.
 */
const struct net_worker_counters *net_worker_counters(const struct net_worker *w)
{
	struct net_worker *self = (struct net_worker *)(uintptr_t)w;
	struct timespec ts;
	clockid_t clock;

	if (w->thread.started && !pthread_getcpuclockid(w->thread.id, &clock) &&
	    !clock_gettime(clock, &ts))
		counter_set(&self->n.cpu_ns, (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec);
	return &w->n;
}

/**
 * net_worker_stack_counters() - the stack's live counters, any thread
 */
const struct stack_counters *net_worker_stack_counters(const struct net_worker *w)
{
	return stack_counters(w->st);
}
