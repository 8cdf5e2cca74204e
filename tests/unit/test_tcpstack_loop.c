/* SPDX-License-Identifier: MIT */
/* The loop: who is called for which event, and how long a wait lasts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc_count.h"
#include "src/base/base.h"
#include "src/base/clock.h"
#include "tcpstack/loop.h"

static uint64_t fake_now;

static uint64_t fake_clock(void *ctx)
{
	(void)ctx;
	return fake_now;
}

static uint64_t real_clock(void *ctx)
{
	(void)ctx;
	return clock_now_ns();
}

static struct loop *start(loop_clock_fn clock)
{
	struct loop *lp;

	assert_int_equal(loop_new(&lp, clock, NULL), 0);
	return lp;
}

static int ready_fd(void)
{
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

struct seen {
	struct loop *lp;
	int calls;
	uint64_t token;
	uint32_t events;
	int drop_fd; /* unwatch and, if replace, watch it again for another */
	struct seen *replace;
};

static void on_watch(void *ctx, uint32_t events)
{
	struct seen *s = ctx;

	s->calls++;
	s->events = events;
	if (s->drop_fd < 0)
		return;
	loop_unwatch(s->lp, s->drop_fd);
	if (s->replace)
		assert_int_equal(loop_watch(s->lp, s->drop_fd, EPOLLIN, on_watch, s->replace), 0);
}

static void on_token(void *ctx, uint64_t token, uint32_t events)
{
	struct seen *s = ctx;

	s->calls++;
	s->token = token;
	s->events = events;
}

static void tokens_go_to_the_handler_of_their_kind_once(void **state)
{
	(void)state;
	struct loop *lp = start(fake_clock);
	struct seen tcp = { 0 }, udp = { 0 };
	int a = ready_fd(), b = ready_fd();

	loop_on_token(lp, TOKEN_TCP, on_token, &tcp);
	loop_on_token(lp, TOKEN_UDP, on_token, &udp);
	assert_int_equal(loop_add(lp, a, EPOLLIN, token_make(TOKEN_TCP, 0xabcdef, 77)), 0);
	assert_int_equal(loop_add(lp, b, EPOLLIN, token_make(TOKEN_DNS, 1, 1)), 0);
	assert_int_equal(loop_wait(lp, false), 2);
	assert_int_equal(tcp.calls, 1);
	assert_int_equal(tcp.events, EPOLLIN);
	assert_int_equal(token_gen(tcp.token), 0xabcdef);
	assert_int_equal(token_index(tcp.token), 77);
	assert_int_equal(udp.calls, 0);
	/* Edge-triggered: what was told is not told again (H34)... */
	assert_int_equal(loop_wait(lp, false), 0);
	/* ...unless asked for. */
	assert_int_equal(loop_mod(lp, a, EPOLLIN, token_make(TOKEN_UDP, 1, 1)), 0);
	assert_int_equal(loop_wait(lp, false), 1);
	assert_int_equal(udp.calls, 1);
	loop_del(lp, a);
	assert_int_equal(loop_mod(lp, a, EPOLLIN, 0), -ENOENT);
	assert_int_equal(loop_add(lp, -1, EPOLLIN, 0), -EBADF);
	loop_free(lp);
	close(a);
	close(b);
}

/* H53: both descriptors are ready in one batch, and each takes the other out. */
static void an_unwatched_descriptor_gets_no_event_of_the_same_batch(void **state)
{
	(void)state;
	struct loop *lp = start(fake_clock);
	int a = ready_fd(), b = ready_fd();
	struct seen sa = { .lp = lp, .drop_fd = b }, sb = { .lp = lp, .drop_fd = a };

	assert_int_equal(loop_watch(lp, a, EPOLLIN, on_watch, &sa), 0);
	assert_int_equal(loop_watch(lp, b, EPOLLIN, on_watch, &sb), 0);
	assert_int_equal(loop_wait(lp, false), 2);
	assert_int_equal(sa.calls + sb.calls, 1);
	loop_free(lp);
	close(a);
	close(b);
}

static void an_event_for_an_old_watch_does_not_reach_its_successor(void **state)
{
	(void)state;
	struct loop *lp = start(fake_clock);
	int a = ready_fd(), b = ready_fd();
	struct seen heir = { .lp = lp, .drop_fd = -1 };
	struct seen sa = { .lp = lp, .drop_fd = b, .replace = &heir };
	struct seen sb = { .lp = lp, .drop_fd = a, .replace = &heir };

	assert_int_equal(loop_watch(lp, a, EPOLLIN, on_watch, &sa), 0);
	assert_int_equal(loop_watch(lp, b, EPOLLIN, on_watch, &sb), 0);
	loop_wait(lp, false);
	assert_int_equal(sa.calls + sb.calls, 1);
	assert_int_equal(heir.calls, 0);
	/* It does get what is new: the next wait's. */
	sa.drop_fd = sb.drop_fd = -1;
	loop_wait(lp, false);
	assert_int_equal(heir.calls, 1);
	loop_free(lp);
	close(a);
	close(b);
}

static void watches_are_bounded(void **state)
{
	(void)state;
	struct loop *lp = start(fake_clock);
	struct seen s = { .lp = lp, .drop_fd = -1 };
	int fd[LOOP_WATCH_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = ready_fd();
		assert_int_equal(loop_watch(lp, fd[i], EPOLLIN, on_watch, &s),
				 i < LOOP_WATCH_MAX ? 0 : -ENOSPC);
	}
	loop_unwatch(lp, fd[5]);
	loop_unwatch(lp, fd[5]);
	assert_int_equal(loop_watch(lp, fd[LOOP_WATCH_MAX], EPOLLIN, on_watch, &s), 0);
	assert_int_equal(loop_wait(lp, false), LOOP_WATCH_MAX);
	assert_int_equal(s.calls, LOOP_WATCH_MAX);
	loop_free(lp);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

static void note(void *ctx, struct timer *t)
{
	(void)t;
	*(bool *)ctx = true;
}

static void a_wait_ends_at_the_next_timer(void **state)
{
	(void)state;
	struct loop *lp = start(real_clock);
	bool fired = false;
	uint64_t begin = clock_now_ns();
	struct timer t;

	timer_init(&t, note, &fired);
	timer_arm(loop_timers(lp), &t, begin + 20 * NS_PER_MS);
	while (!fired) {
		loop_wait(lp, true);
		timer_wheel_run(loop_timers(lp), loop_now(lp));
	}
	assert_true(clock_now_ns() - begin >= 20 * NS_PER_MS);
	assert_true(clock_now_ns() - begin < 60 * NS_PER_S);
	/* Asleep until the timer or a level below it: no spinning. */
	assert_true(loop_syscalls(lp) <= 4);
	loop_free(lp);
}

/* Make epoll_pwait2(2) answer @err, as an older kernel or a sandbox does. */
static bool refuse_pwait2(int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

enum { CHILD_OK, CHILD_WRONG, CHILD_SKIP };

/* In a process of its own, for a filter stays for ever. */
static int coarse_wait(int err)
{
	struct loop *lp = start(real_clock);
	uint64_t begin = clock_now_ns();
	bool fired = false;
	struct timer t;

	if (!refuse_pwait2(err))
		return CHILD_SKIP;
	timer_init(&t, note, &fired);
	timer_arm(loop_timers(lp), &t, begin + 20 * NS_PER_MS);
	while (!fired) {
		loop_wait(lp, true);
		timer_wheel_run(loop_timers(lp), loop_now(lp));
	}
	/* One call more than with it: the one that was refused. */
	return clock_now_ns() - begin >= 20 * NS_PER_MS && loop_syscalls(lp) <= 5 ? CHILD_OK
										  : CHILD_WRONG;
}

static void a_kernel_without_pwait2_waits_in_milliseconds(void **state)
{
	(void)state;
	static const int errs[] = { ENOSYS, EPERM };

	for (size_t i = 0; i < ARRAY_SIZE(errs); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(coarse_wait(errs[i]));
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == CHILD_SKIP) {
			print_message("SKIP: no seccomp filters here\n");
			skip();
		}
		assert_int_equal(WEXITSTATUS(status), CHILD_OK);
	}
}

static void the_clock_is_read_after_the_wait(void **state)
{
	(void)state;
	struct loop *lp;

	fake_now = 5;
	lp = start(fake_clock);
	assert_int_equal(loop_now(lp), 5);
	fake_now = 9;
	assert_int_equal(loop_now(lp), 5);
	loop_wait(lp, false);
	assert_int_equal(loop_now(lp), 9);
	loop_free(lp);
}

static void nothing(int sig)
{
	(void)sig;
}

/* H55 */
static void a_signal_is_a_cycle_without_events(void **state)
{
	(void)state;
	struct sigaction act = { .sa_handler = nothing }, old;
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	struct loop *lp = start(real_clock);

	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(loop_wait(lp, true), 0);
	sigaction(SIGALRM, &old, NULL);
	loop_free(lp);
}

static void one_system_call_a_cycle_and_no_allocation(void **state)
{
	(void)state;
	struct loop *lp = start(fake_clock);
	uint64_t calls = loop_syscalls(lp), allocs = alloc_count_here()->allocs;

	for (int i = 0; i < 100; i++)
		loop_wait(lp, false);
	assert_int_equal(loop_syscalls(lp) - calls, 100);
	assert_int_equal(alloc_count_here()->allocs, allocs);
	loop_free(lp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_go_to_the_handler_of_their_kind_once),
		cmocka_unit_test(an_unwatched_descriptor_gets_no_event_of_the_same_batch),
		cmocka_unit_test(an_event_for_an_old_watch_does_not_reach_its_successor),
		cmocka_unit_test(watches_are_bounded),
		cmocka_unit_test(a_wait_ends_at_the_next_timer),
		cmocka_unit_test(a_kernel_without_pwait2_waits_in_milliseconds),
		cmocka_unit_test(the_clock_is_read_after_the_wait),
		cmocka_unit_test(a_signal_is_a_cycle_without_events),
		cmocka_unit_test(one_system_call_a_cycle_and_no_allocation),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
