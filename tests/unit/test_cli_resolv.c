/* SPDX-License-Identifier: MIT */
/* The host's resolvers: which lines of resolv.conf count, and when they change (H42). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/cli/resolv.h"
#include "src/vmm/io_loop.h"
#include "virtio/net_worker.h"

static uint8_t parse(const char *text, struct endpoint *out, uint8_t max)
{
	int fd = memfd_create("resolv.conf", MFD_CLOEXEC);
	uint8_t n;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	n = resolv_parse(fd, "test", out, max);
	close(fd);
	return n;
}

static void assert_endpoint(const struct endpoint *ep, const char *text)
{
	char buf[ENDPOINT_STRLEN];

	assert_string_equal(endpoint_format(ep, buf), text);
}

static void nameservers_come_in_order_with_port_53(void **state)
{
	struct endpoint ep[4];

	(void)state;
	assert_int_equal(parse("# a comment\n"
			       "search example.org\n"
			       "nameserver 127.0.0.53\n"
			       "options edns0 trust-ad\n"
			       "nameserver\t \t192.0.2.7  # and more\r\n"
			       "nameserver 2001:db8::1",
			       ep, 4),
			 3);
	assert_endpoint(&ep[0], "127.0.0.53:53");
	assert_endpoint(&ep[1], "192.0.2.7:53");
	assert_endpoint(&ep[2], "[2001:db8::1]:53");
}

static void other_lines_do_not_count(void **state)
{
	struct endpoint ep[4];

	(void)state;
	assert_int_equal(parse(";nameserver 192.0.2.1\n"
			       " nameserver 192.0.2.1\n"
			       "nameservers 192.0.2.1\n"
			       "nameserver\n"
			       "nameserver \n"
			       "nameserver fe80::1%eth0\n"
			       "nameserver 192.0.2.300\n"
			       "nameserver 192.0.2.9\n",
			       ep, 4),
			 1);
	assert_endpoint(&ep[0], "192.0.2.9:53");
}

static void more_than_the_table_holds_are_ignored(void **state)
{
	struct endpoint ep[3] = { 0 };

	(void)state;
	assert_int_equal(
		parse("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n", ep, 2),
		2);
	assert_int_equal(ep[2].port, 0);
}

static void overlong_line_is_passed_over_whole(void **state)
{
	char text[RESOLV_LINE_BYTES * 3];
	struct endpoint ep[4];

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "nameserver", 10);
	/* What stands here must not be taken for a line of its own. */
	memcpy(text + RESOLV_LINE_BYTES - 1, "nameserver 192.0.2.1", 20);
	strcpy(text + sizeof(text) - 24, "\nnameserver 192.0.2.2\n");
	assert_int_equal(parse(text, ep, 4), 1);
	assert_endpoint(&ep[0], "192.0.2.2:53");
}

static void without_a_file_it_is_loopback(void **state)
{
	struct endpoint ep[1];

	(void)state;
	assert_int_equal(resolv_read("/nonexistent/resolv.conf", ep, 1), 1);
	assert_endpoint(&ep[0], "127.0.0.1:53");
	assert_int_equal(resolv_read("/dev/null", ep, 1), 1);
	assert_endpoint(&ep[0], "127.0.0.1:53");
}

/* A worker whose resolvers follow a file in a directory of the test's own. */
struct follow {
	struct io_loop *loop;
	struct net_worker *w;
	struct resolv_watch *rw;
	char dir[32], path[64], other[64];
};

static struct follow f;

static int begin(void **state)
{
	struct net_worker_config wc;

	(void)state;
	memset(&wc, 0, sizeof(wc));
	stack_config_defaults(&wc.stack);
	wc.stack.nresolvers = 1;
	wc.stack.resolvers[0] = (struct endpoint){ ipaddr_from_v4(INADDR_LOOPBACK), 53 };
	memcpy(wc.net.mac, wc.stack.guest_mac, 6);
	wc.net.mtu = wc.stack.mtu;
	strcpy(f.dir, "/tmp/sluice-resolv-XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	snprintf(f.path, sizeof(f.path), "%s/resolv.conf", f.dir);
	snprintf(f.other, sizeof(f.other), "%s/other", f.dir);
	assert_int_equal(io_loop_new(&f.loop), 0);
	assert_int_equal(net_worker_new(&f.w, &wc), 0);
	assert_int_equal(resolv_watch_new(&f.rw, f.path, f.loop, f.w, 10 * NS_PER_MS), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	resolv_watch_free(f.rw);
	net_worker_free(f.w);
	io_loop_free(f.loop);
	unlink(f.path);
	unlink(f.other);
	rmdir(f.dir);
	return 0;
}

/* Written in place. @age_s: it was so long ago; below 0 it will never be */
static void write_file(const char *path, const char *text, time_t age_s)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = time(NULL) - age_s } };
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
	if (age_s)
		assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static int copy_resolvers(void *ctx, struct stack *st)
{
	return stack_resolvers(st, ctx);
}

static void assert_resolvers(const char *first, const char *second)
{
	struct stack_resolver list[STACK_RESOLVERS_MAX];
	int n = net_worker_call(f.w, copy_resolvers, list);

	assert_int_equal(n, second ? 2 : 1);
	assert_endpoint(&list[0].endpoint, first);
	if (second)
		assert_endpoint(&list[1].endpoint, second);
}

/* So many seconds after the last time. */
static void look(uint64_t seconds)
{
	static uint64_t now = NS_PER_S;

	now += seconds * NS_PER_S;
	resolv_watch_look(f.rw, now);
}

static void changes_reach_the_worker(void **state)
{
	(void)state;
	write_file(f.path, "nameserver 192.0.2.1\nnameserver 127.0.0.53\n", 0);
	look(0);
	assert_resolvers("192.0.2.1:53", "127.0.0.53:53");
	/* Of the same length, and written in the same moment: it is looked at again. */
	write_file(f.path, "nameserver 192.0.2.2\nnameserver 127.0.0.54\n", 0);
	look(0);
	assert_resolvers("192.0.2.2:53", "127.0.0.54:53");
	write_file(f.path, "nameserver 2001:db8::1\n", 100);
	look(0);
	assert_resolvers("[2001:db8::1]:53", NULL);
}

static int set_resolver(void *ctx, struct stack *st)
{
	stack_set_resolvers(st, ctx, 1);
	return 0;
}

/*
 * It is read for a while, for whoever writes twice in a moment, and then not again and
 * again, or it would undo what is done here: whatever the file's time is, which a clock
 * that is set may have left in the future.
 */
static void a_file_that_has_not_changed_is_left_alone(void **state)
{
	static const time_t ages[] = { 100, 0, -100000 };
	struct endpoint ep = { ipaddr_from_v4(INADDR_LOOPBACK), 5353 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ages); i++) {
		write_file(f.path, "nameserver 192.0.2.1\n", ages[i]);
		for (int k = 0; k < 3; k++) {
			look(k == 2 ? 3 : 0);
			assert_resolvers("192.0.2.1:53", NULL);
			assert_int_equal(net_worker_call(f.w, set_resolver, &ep), 0);
		}
		for (int k = 0; k < 3; k++) {
			look(2);
			assert_resolvers("127.0.0.1:5353", NULL);
		}
	}
}

/* As programs replace it: by another file of that name, or a link that leads elsewhere. */
static void a_file_that_is_replaced_is_read(void **state)
{
	(void)state;
	write_file(f.path, "nameserver 192.0.2.1\n", 100);
	look(0);
	assert_resolvers("192.0.2.1:53", NULL);
	write_file(f.other, "nameserver 192.0.2.2\n", 100);
	assert_int_equal(rename(f.other, f.path), 0);
	look(0);
	assert_resolvers("192.0.2.2:53", NULL);
	write_file(f.other, "nameserver 192.0.2.3\n", 100);
	assert_int_equal(unlink(f.path), 0);
	assert_int_equal(symlink("other", f.path), 0);
	look(0);
	assert_resolvers("192.0.2.3:53", NULL);
}

static void half_of_a_change_is_none(void **state)
{
	(void)state;
	write_file(f.path, "nameserver 192.0.2.1\n", 0);
	look(0);
	unlink(f.path);
	look(0);
	assert_resolvers("192.0.2.1:53", NULL);
	write_file(f.path, "# by somebody\nsearch example.org\n", 0);
	look(0);
	assert_resolvers("192.0.2.1:53", NULL);
	write_file(f.path, "# by somebody\nnameserver 192.0.2.2\n", 0);
	look(0);
	assert_resolvers("192.0.2.2:53", NULL);
}

/* In the loop of the main thread, without anybody's doing. */
static void on_check(void *ctx, uint32_t events)
{
	struct stack_resolver list[STACK_RESOLVERS_MAX];
	uint64_t ticks;

	(void)events;
	assert_int_equal(read(*(int *)ctx, &ticks, sizeof(ticks)), sizeof(ticks));
	assert_int_equal(net_worker_call(f.w, copy_resolvers, list), 1);
	if (ipaddr_v4(&list[0].endpoint.addr) == 0xc0000207)
		io_loop_stop(f.loop);
}

static void the_timer_looks_by_itself(void **state)
{
	const struct itimerspec t = { .it_interval.tv_nsec = 5000000, .it_value.tv_nsec = 5000000 };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	(void)state;
	assert_int_equal(timerfd_settime(fd, 0, &t, NULL), 0);
	assert_int_equal(io_loop_add(f.loop, fd, EPOLLIN, on_check, &fd), 0);
	write_file(f.path, "nameserver 192.0.2.7\n", 0);
	alarm(60);
	assert_int_equal(io_loop_run(f.loop), 0);
	alarm(0);
	io_loop_del(f.loop, fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nameservers_come_in_order_with_port_53),
		cmocka_unit_test(other_lines_do_not_count),
		cmocka_unit_test(more_than_the_table_holds_are_ignored),
		cmocka_unit_test(overlong_line_is_passed_over_whole),
		cmocka_unit_test(without_a_file_it_is_loopback),
		cmocka_unit_test_setup_teardown(changes_reach_the_worker, begin, end),
		cmocka_unit_test_setup_teardown(a_file_that_has_not_changed_is_left_alone, begin,
						end),
		cmocka_unit_test_setup_teardown(a_file_that_is_replaced_is_read, begin, end),
		cmocka_unit_test_setup_teardown(half_of_a_change_is_none, begin, end),
		cmocka_unit_test_setup_teardown(the_timer_looks_by_itself, begin, end),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests_name("cli_resolv", tests, NULL, NULL);
}
