/* SPDX-License-Identifier: MIT */
/* Captures by request: descriptors that come along, what is refused, and what is told. */
#include "tests/unit/ctlrig.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/unixsock.h"
#include "src/sight/sight.h"
#include "src/vmm/io_loop.h"
#include "tests/unit/pcapngcheck.h"

#define PATIENCE 100000 /* milliseconds */

static struct sight sight;
static struct ctlrig rig;
static char dir[32], path[64];

static int begin(void **state)
{
	char why[128];

	(void)state;
	strcpy(dir, "/tmp/sluice-ctl-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/x.pcapng", dir);
	memset(&rig, 0, sizeof(rig));
	rig.sight = &sight;
	return sight_open(&sight, NULL, NULL, NULL, why, sizeof(why)) ||
	       sight_start(&sight, why, sizeof(why));
}

static int end(void **state)
{
	(void)state;
	ctlrig_end(&rig);
	sight_close(&sight);
	unlink(path);
	return rmdir(dir);
}

static int begin_by_hand(void **state)
{
	int err = begin(state);

	ctlrig_begin(&rig, NULL, NULL);
	return err;
}

/* The next request comes with the file. */
static void with_file(void)
{
	rig.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(rig.fd >= 0);
}

static json_t *until_ended(void)
{
	for (uint64_t since = clock_now_ns();; usleep(1000)) {
		json_t *s = ctlrig_result(&rig, "{\"cmd\":\"pcap status\"}");

		if (strcmp(json_string_value(json_object_get(s, "state")), "ended") == 0)
			return s;
		json_decref(s);
		assert_true(clock_now_ns() - since < 60 * NS_PER_S);
	}
}

static json_int_t num(const json_t *o, const char *key)
{
	assert_true(json_is_integer(json_object_get(o, key)));
	return json_integer_value(json_object_get(o, key));
}

static void check_str(const json_t *o, const char *key, const char *want)
{
	assert_non_null(json_object_get(o, key));
	assert_string_equal(json_string_value(json_object_get(o, key)), want);
}

#define START "{\"cmd\":\"pcap start\",\"args\":"

static void what_is_wrong_is_refused_and_named(void **state)
{
	(void)state;
	ctlrig_refused(&rig, START "{}}", "bad-argument", "\"file\"");
	ctlrig_refused(&rig, START "[\"x\"]}", "bad-argument", "SCM_RIGHTS");
	with_file();
	ctlrig_refused(&rig, START "{\"file\":7}}", "bad-argument", "file");
	ctlrig_refused(&rig, START "[\"x\",\"tcp\",\"udp\"]}", "bad-argument", "\"udp\"");
	ctlrig_refused(&rig, START "[\"x\",7]}", "bad-argument", "filter");
	ctlrig_refused(&rig, START "{\"file\":\"x\",\"filter\":{}}}", "bad-argument", "filter");
	ctlrig_refused(&rig, START "{\"file\":\"x\",\"snaplen\":63}}", "bad-argument", "snaplen");
	ctlrig_refused(&rig, START "{\"file\":\"x\",\"limit\":\"1\"}}", "bad-argument", "limit");
	ctlrig_refused(&rig, START "{\"file\":\"x\",\"limit\":\"1Q\"}}", "bad-argument", "limit");
	ctlrig_refused(&rig, "{\"cmd\":\"pcap stop\"}", "not-found", "nothing");
	/* The descriptor is still there, and nothing was written to it. */
	assert_int_equal(fcntl(rig.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(lseek(rig.fd, 0, SEEK_END), 0);
	close(rig.fd);
}

static void a_capture_is_told_of_while_it_runs_and_afterwards(void **state)
{
	struct png_packet k;
	uint8_t text[4096];
	struct png f;
	ssize_t n;
	json_t *s;
	int fd;

	(void)state;
	s = ctlrig_result(&rig, "{\"cmd\":\"pcap status\"}");
	check_str(s, "state", "none");
	json_decref(s);
	with_file();
	s = ctlrig_result(&rig,
			  START "{\"file\":\"x\",\"filter\":[\"tcp\",\"and\",\"port\",\"80\"],"
				"\"snaplen\":\"100\",\"limit\":\"2M\"}}");
	assert_int_equal(rig.fd, -1); /* it is the capture's now */
	check_str(s, "state", "running");
	check_str(s, "file", "x");
	check_str(s, "filter", "tcp and port 80");
	assert_int_equal(num(s, "snaplen"), 100);
	assert_int_equal(num(s, "limit"), 2 << 20);
	assert_null(json_object_get(s, "why"));
	json_decref(s);
	with_file();
	ctlrig_refused(&rig, START "[\"y\"]}", "busy", "into x");
	close(rig.fd);
	rig.fd = -1;
	json_decref(ctlrig_result(&rig, "{\"cmd\":\"pcap stop\"}"));
	s = until_ended();
	check_str(s, "why", "stopped");
	assert_int_equal(num(s, "frames") + num(s, "lost"), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text));
	close(fd);
	assert_int_equal(n, num(s, "bytes"));
	json_decref(s);
	assert_int_equal(png_begin(&f, text, (size_t)n), 0);
	assert_string_equal(f.program, "sluice 1.2.3");
	assert_string_equal(f.filter, "tcp and port 80");
	assert_int_equal(png_next(&f, &k), 0);
	/* And the metrics know. */
	s = ctlrig_result(&rig, "{\"cmd\":\"metrics\"}");
	assert_int_equal(num(json_object_get(s, "pcap"), "running"), 0);
	assert_int_equal(num(json_object_get(s, "pcap"), "bytes"), n);
	json_decref(s);
}

/* --- over the socket ---------------------------------------------------------- */

static struct io_loop *loop;
static pthread_t thread;
static char where[64];

static void *serve(void *arg)
{
	io_loop_run(arg);
	return NULL;
}

static int begin_socket(void **state)
{
	int err = begin(state) || io_loop_new(&loop);

	snprintf(where, sizeof(where), "%s/s", dir);
	ctlrig_begin(&rig, where, loop);
	return err || pthread_create(&thread, NULL, serve, loop);
}

static int end_socket(void **state)
{
	int err;

	io_loop_stop(loop);
	pthread_join(thread, NULL);
	err = end(state);
	io_loop_free(loop);
	return err;
}

/* @text, with @n descriptors at its first byte. */
static void say(int fd, const char *text, const int *pass, size_t n)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *h;

	if (n) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(h), pass, n * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), strlen(text));
}

/* Is the answer's "ok" true? */
static bool hear_ok(int fd)
{
	char line[4096];
	size_t len = 0;
	json_t *a;
	bool ok;

	do {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, PATIENCE), 1);
		assert_int_equal(recv(fd, line + len, 1, 0), 1);
		assert_true(len < sizeof(line) - 1);
	} while (line[len++] != '\n');
	a = json_loadb(line, len, 0, NULL);
	ok = json_is_true(json_object_get(a, "ok"));
	json_decref(a);
	return ok;
}

/* Whether the other end of a pipe was closed; waits for it. */
static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, PATIENCE) == 1 && p.revents & POLLHUP;
}

static bool still_open(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static void a_descriptor_comes_with_its_request(void **state)
{
	int c = unix_connect(where, 0), pair[2], fd;
	struct png_packet k;
	uint8_t text[4096];
	struct png f;
	size_t len = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fd = pair[1];
	say(c, "{\"cmd\":\"pcap start\",\"args\":[\"-\"]}\n", &fd, 1);
	close(fd);
	assert_true(hear_ok(c));
	say(c, "{\"cmd\":\"pcap stop\"}\n", NULL, 0);
	assert_true(hear_ok(c));
	while ((n = recv(pair[0], text + len, sizeof(text) - len, 0)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(png_begin(&f, text, len), 0);
	assert_int_equal(png_next(&f, &k), 0);
	close(pair[0]);
	close(c);
}

/*
 * Descriptors that nobody asked for: one a client is kept, and closed when another
 * comes or the client goes, so that a client cannot fill our table.
 */
static void what_nobody_asked_for_is_closed(void **state)
{
	static const char status[] = "{\"cmd\":\"log level\"}\n";
	int c = unix_connect(where, 0), pipes[4][2], two[2];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
	say(c, status, &pipes[0][1], 1);
	assert_true(hear_ok(c));
	close(pipes[0][1]);
	assert_true(still_open(pipes[0][0]));
	/* The next one takes its place. */
	say(c, status, &pipes[1][1], 1);
	assert_true(hear_ok(c));
	close(pipes[1][1]);
	assert_true(hung_up(pipes[0][0]));
	/* Of two the second is not even received. */
	two[0] = pipes[2][1];
	two[1] = pipes[3][1];
	say(c, status, two, 2);
	assert_true(hear_ok(c));
	close(two[0]);
	close(two[1]);
	assert_true(hung_up(pipes[1][0]));
	assert_true(hung_up(pipes[3][0]));
	assert_true(still_open(pipes[2][0]));
	/* A pipe is nothing to write a file to: refused, and it stays the client's. */
	say(c, "{\"cmd\":\"pcap start\",\"args\":[\"x\"]}\n", NULL, 0);
	assert_false(hear_ok(c));
	close(c);
	assert_true(hung_up(pipes[2][0]));
	for (int i = 0; i < 4; i++)
		close(pipes[i][0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_wrong_is_refused_and_named, begin_by_hand,
						end),
		cmocka_unit_test_setup_teardown(a_capture_is_told_of_while_it_runs_and_afterwards,
						begin_by_hand, end),
		cmocka_unit_test_setup_teardown(a_descriptor_comes_with_its_request, begin_socket,
						end_socket),
		cmocka_unit_test_setup_teardown(what_nobody_asked_for_is_closed, begin_socket,
						end_socket),
	};

	return cmocka_run_group_tests_name("control pcap", tests, NULL, NULL);
}
