/* SPDX-License-Identifier: MIT */
/* The main thread's loop, descriptors that are not ours, and the raw terminal. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/vmm/fdio.h"
#include "src/vmm/io_loop.h"
#include "src/vmm/tty.h"

struct pair {
	struct io_loop *loop;
	int fd[2];
	unsigned calls;
};

/* Whichever is called first takes the other out and a stranger into its place. */
static void stranger(void *ctx, uint32_t events)
{
	(void)ctx;
	(void)events;
	fail_msg("an event went to another source");
}

static void remove_the_other(void *ctx, uint32_t events)
{
	struct pair *p = ctx;
	int quiet = eventfd(0, EFD_CLOEXEC);

	(void)events;
	p->calls++;
	io_loop_del(p->loop, p->fd[0]);
	io_loop_del(p->loop, p->fd[1]);
	assert_int_equal(io_loop_add(p->loop, quiet, EPOLLIN, stranger, NULL), 0);
	assert_int_equal(io_loop_add(p->loop, p->fd[0], 0, stranger, NULL), 0);
	io_loop_stop(p->loop);
}

/* H53: an event fetched for a source that went away reaches nobody else. */
static void a_stale_event_is_passed_over(void **state)
{
	struct pair p = { 0 };

	(void)state;
	assert_int_equal(io_loop_new(&p.loop), 0);
	for (unsigned i = 0; i < 2; i++) {
		p.fd[i] = eventfd(1, EFD_CLOEXEC); /* both ready at once */
		assert_int_equal(io_loop_add(p.loop, p.fd[i], EPOLLIN, remove_the_other, &p), 0);
	}
	assert_int_equal(io_loop_run(p.loop), 0);
	assert_int_equal(p.calls, 1);
	io_loop_free(p.loop);
	close(p.fd[0]);
	close(p.fd[1]);
}

static void rest_twice(void *ctx, uint32_t events)
{
	struct pair *p = ctx;

	assert_int_equal(events, EPOLLIN);
	assert_int_equal(io_loop_rest(p->loop, p->fd[0]), 0);
	if (++p->calls == 2)
		io_loop_stop(p->loop);
}

/* Nothing else wakes the loop, so without an end to its rest this would hang. */
static void who_rests_is_heard_again(void **state)
{
	struct pair p = { .fd = { eventfd(1, EFD_CLOEXEC), -1 } };

	(void)state;
	assert_int_equal(io_loop_new(&p.loop), 0);
	assert_int_equal(io_loop_rest(p.loop, p.fd[0]), -ENOENT);
	assert_int_equal(io_loop_add(p.loop, p.fd[0], EPOLLIN, rest_twice, &p), 0);
	assert_int_equal(io_loop_run(p.loop), 0);
	assert_int_equal(p.calls, 2);
	io_loop_free(p.loop);
	close(p.fd[0]);
}

static void *stop_it(void *arg)
{
	io_loop_stop(arg);
	return NULL;
}

static void stop_comes_from_any_thread_and_any_time(void **state)
{
	struct io_loop *l;
	pthread_t t;

	(void)state;
	assert_int_equal(io_loop_new(&l), 0);
	io_loop_stop(l); /* before it runs */
	assert_int_equal(io_loop_run(l), 0);
	assert_int_equal(pthread_create(&t, NULL, stop_it, l), 0);
	assert_int_equal(io_loop_run(l), 0);
	pthread_join(t, NULL);
	io_loop_free(l);
}

static void the_table_is_bounded_and_keyed_by_descriptor(void **state)
{
	int fd[IO_LOOP_SOURCES], extra = eventfd(0, EFD_CLOEXEC);
	char path[] = "/tmp/sluice-test-XXXXXX";
	struct io_loop *l;
	int file;

	(void)state;
	assert_int_equal(io_loop_new(&l), 0);
	for (unsigned i = 0; i < IO_LOOP_SOURCES; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC);
		assert_int_equal(io_loop_add(l, fd[i], EPOLLIN, stranger, NULL), 0);
	}
	assert_int_equal(io_loop_add(l, extra, EPOLLIN, stranger, NULL), -ENOSPC);
	assert_int_equal(io_loop_add(l, fd[0], EPOLLIN, stranger, NULL), -EEXIST);
	io_loop_del(l, fd[3]);
	io_loop_del(l, fd[3]);
	assert_int_equal(io_loop_mod(l, fd[3], EPOLLIN), -ENOENT);
	file = mkstemp(path);
	unlink(path);
	assert_int_equal(io_loop_add(l, file, EPOLLIN, stranger, NULL), -EPERM);
	assert_int_equal(io_loop_add(l, extra, EPOLLIN, stranger, NULL), 0);
	io_loop_free(l);
	for (unsigned i = 0; i < IO_LOOP_SOURCES; i++)
		close(fd[i]);
	close(extra);
	close(file);
}

/* Both ends stay as blocking as they were, and we do not block. */
static void check_nonblocking(int rd, int wr)
{
	static const uint8_t buf[4096];
	const struct iovec iov[2] = { { .iov_base = (void *)(uintptr_t)buf, .iov_len = 4096 },
				      { .iov_base = (void *)(uintptr_t)buf, .iov_len = 4096 } };
	struct fdio r, w;
	uint8_t got[64];
	ssize_t n;

	assert_int_equal(fdio_open(&r, rd, false), 0);
	assert_int_equal(fdio_open(&w, wr, true), 0);
	assert_int_equal(fdio_read(&r, got, sizeof(got)), -EAGAIN);
	do
		n = fdio_write(&w, iov, 2);
	while (n > 0);
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(fdio_read(&r, got, sizeof(got)), sizeof(got));
	assert_int_equal(fcntl(rd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(wr, F_GETFL) & O_NONBLOCK, 0);
	fdio_close(&r);
	fdio_close(&w);
}

static void pipes_and_sockets_do_not_block_us(void **state)
{
	int p[2];

	(void)state;
	alarm(100);
	assert_int_equal(pipe(p), 0);
	check_nonblocking(p[0], p[1]);
	close(p[0]);
	close(p[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	check_nonblocking(p[0], p[1]);
	close(p[0]);
	close(p[1]);
	alarm(0);
}

/* An append to a file that a shell has open goes where the shell's own output goes. */
static void regular_files_keep_their_offset(void **state)
{
	char path[] = "/tmp/sluice-test-XXXXXX", got[16] = "";
	struct iovec iov = { .iov_base = path, .iov_len = 4 };
	int fd = mkstemp(path);
	struct fdio w;

	(void)state;
	assert_int_equal(write(fd, "ab", 2), 2);
	assert_int_equal(fdio_open(&w, fd, true), 0);
	assert_int_equal(fdio_write(&w, &iov, 1), 4);
	assert_int_equal(write(fd, "yz", 2), 2);
	assert_int_equal(pread(fd, got, sizeof(got), 0), 8);
	assert_string_equal(got, "ab/tmpyz");
	fdio_close(&w);
	close(fd);
	unlink(path);
}

static void the_terminal_gets_its_settings_back(void **state)
{
	struct termios before, raw, after;
	int master = posix_openpt(O_RDWR | O_NOCTTY), tty, null;

	(void)state;
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) {
		print_message("SKIP: no pseudo-terminals here\n");
		skip();
	}
	tty = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(tty >= 0);
	assert_int_equal(tcgetattr(tty, &before), 0);
	assert_int_equal(tty_raw_enter(tty), 0);
	assert_int_equal(tcgetattr(tty, &raw), 0);
	assert_int_equal(raw.c_lflag & (ICANON | ECHO | ISIG), 0);
	assert_int_equal(tty_raw_enter(tty), -EBUSY);
	tty_restore();
	tty_restore();
	assert_int_equal(tcgetattr(tty, &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
	null = open("/dev/null", O_RDWR);
	assert_int_equal(tty_raw_enter(null), -ENOTTY);
	close(null);
	close(tty);
	close(master);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stale_event_is_passed_over),
		cmocka_unit_test(who_rests_is_heard_again),
		cmocka_unit_test(stop_comes_from_any_thread_and_any_time),
		cmocka_unit_test(the_table_is_bounded_and_keyed_by_descriptor),
		cmocka_unit_test(pipes_and_sockets_do_not_block_us),
		cmocka_unit_test(regular_files_keep_their_offset),
		cmocka_unit_test(the_terminal_gets_its_settings_back),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
