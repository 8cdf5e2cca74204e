/* SPDX-License-Identifier: MIT */
/* The control socket's clients: many, slow, rude, and random ones. */
#include "tests/unit/ctlrig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/unixsock.h"
#include "src/vmm/io_loop.h"

#define CLIENTS	 64
#define ROUNDS	 50
#define PATIENCE 100000 /* milliseconds */

struct server {
	struct ctlrig rig;
	struct io_loop *loop;
	pthread_t thread;
	char dir[32], path[64];
};

static void *serve(void *arg)
{
	io_loop_run(arg);
	return NULL;
}

static void begin(struct server *s)
{
	strcpy(s->dir, "/tmp/sluice-ctl-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	assert_int_equal(io_loop_new(&s->loop), 0);
	ctlrig_begin(&s->rig, s->path, s->loop);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s->loop), 0);
}

/* Ends the thread; the counters may be looked at before end(). */
static struct ctl_counters *halt(struct server *s)
{
	io_loop_stop(s->loop);
	pthread_join(s->thread, NULL);
	return control_counters(s->rig.c);
}

static void end(struct server *s)
{
	ctlrig_end(&s->rig);
	io_loop_free(s->loop);
	assert_int_equal(access(s->path, F_OK), -1);
	assert_int_equal(rmdir(s->dir), 0);
}

static int client(const struct server *s)
{
	int fd = unix_connect(s->path, 0);

	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		text += n;
		len -= (size_t)n;
	}
}

#define SAY(fd, text) say(fd, text, strlen(text))
#define STATUS	      "{\"cmd\":\"status\"}\n"

static char *grown(char *p, size_t len)
{
	char *more = realloc(p, len);

	assert_non_null(more);
	return more;
}

/* The next line, NULL at the end; the caller frees. What comes behind it stays. */
static char *hear(int fd)
{
	size_t len = 0, cap = 4096;
	char *line = malloc(cap);

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		const char *nl;
		ssize_t n;

		if (poll(&p, 1, PATIENCE) != 1)
			fail_msg("no answer");
		n = recv(fd, line + len, cap - len, MSG_PEEK);
		if (n <= 0) {
			free(line);
			return NULL;
		}
		nl = memchr(line + len, '\n', (size_t)n);
		if (nl)
			n = nl + 1 - (line + len);
		assert_int_equal(recv(fd, line + len, (size_t)n, 0), n);
		len += (size_t)n;
		if (nl) {
			line[len - 1] = 0;
			return line;
		}
		if (len == cap)
			line = grown(line, cap *= 2);
	}
}

static bool hear_ok(int fd, json_int_t id)
{
	char *line = hear(fd);
	json_t *a = json_loads(line ? line : "", 0, NULL);
	bool ok = json_is_true(json_object_get(a, "ok"));

	assert_non_null(a);
	if (id >= 0)
		assert_int_equal(json_integer_value(json_object_get(a, "id")), id);
	json_decref(a);
	free(line);
	return ok;
}

static void the_file_is_the_owners_alone(void **state)
{
	struct server s = { .rig.stall_ns = 0 };
	struct stat st;

	(void)state;
	begin(&s);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(unix_listen(s.path, 0600, 1), -EADDRINUSE);
	halt(&s);
	end(&s);
}

static void many_clients_are_answered_in_order(void **state)
{
	static const char *const cmds[] = { "flows", "metrics", "status", "help" };
	struct server s = { .rig.stall_ns = 0 };
	int fd[CLIENTS];

	(void)state;
	begin(&s);
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = client(&s);
	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < CLIENTS; i++) {
			char line[96];

			snprintf(line, sizeof(line), "{\"id\":%d,\"cmd\":\"%s\"}\n", r,
				 cmds[(r + i) % 4]);
			SAY(fd[i], line);
		}
		for (int i = 0; r % 5 == 4 && i < CLIENTS; i++)
			for (int k = r - 4; k <= r; k++)
				assert_true(hear_ok(fd[i], k));
	}
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	assert_int_equal(halt(&s)->requests, CLIENTS * ROUNDS);
	end(&s);
}

static void one_client_more_than_there_is_room_for_is_told_so(void **state)
{
	struct server s = { .rig.stall_ns = 0 };
	int fd[CTL_CLIENTS_MAX], extra;
	char *line;

	(void)state;
	begin(&s);
	for (int i = 0; i < CTL_CLIENTS_MAX; i++) {
		fd[i] = client(&s);
		SAY(fd[i], STATUS);
		assert_true(hear_ok(fd[i], -1));
	}
	extra = client(&s);
	line = hear(extra);
	assert_non_null(strstr(line, "\"busy\""));
	free(line);
	assert_null(hear(extra));
	close(extra);
	close(fd[7]);
	/* Its place is free once the server has seen it go. Who is turned away need not ask. */
	for (uint64_t since = clock_now_ns();; usleep(1000)) {
		assert_true(clock_now_ns() - since < PATIENCE * NS_PER_MS);
		extra = client(&s);
		(void)send(extra, STATUS, strlen(STATUS), MSG_NOSIGNAL);
		if (hear_ok(extra, -1))
			break;
		close(extra);
	}
	close(extra);
	for (int i = 0; i < CTL_CLIENTS_MAX; i++)
		if (i != 7)
			close(fd[i]);
	assert_true(halt(&s)->turned_away >= 1);
	end(&s);
}

/* Asks and asks and never reads: its socket fills, the others do not notice. */
static void a_slow_client_holds_up_only_itself(void **state)
{
	static const char ask[] = "{\"cmd\":\"help\"}\n";
	struct server s = { .rig.stall_ns = 3600 * NS_PER_S };
	int slow, quick, sent = 0;

	(void)state;
	begin(&s);
	slow = client(&s);
	quick = client(&s);
	while (send(slow, ask, sizeof(ask) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		sent++;
	assert_int_equal(errno, EAGAIN);
	for (int i = 0; i < 100; i++) {
		char line[64];

		snprintf(line, sizeof(line), "{\"id\":%d,\"cmd\":\"metrics\"}\n", i);
		SAY(quick, line);
		assert_true(hear_ok(quick, i));
	}
	/* Once it reads, it has all its answers. */
	assert_int_equal(shutdown(slow, SHUT_WR), 0);
	for (int i = 0; i < sent; i++)
		assert_true(hear_ok(slow, -1));
	close(slow);
	close(quick);
	assert_int_equal(halt(&s)->slow, 0);
	end(&s);
}

static void a_client_that_never_reads_is_cut_off(void **state)
{
	static const char ask[] = "{\"cmd\":\"help\"}\n";
	struct server s = { .rig.stall_ns = 1 };
	struct pollfd p = { .events = 0 }; /* a hang-up is always told */

	(void)state;
	begin(&s);
	p.fd = client(&s);
	while (send(p.fd, ask, sizeof(ask) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(poll(&p, 1, PATIENCE), 1);
	close(p.fd);
	assert_int_equal(halt(&s)->slow, 1);
	end(&s);
}

static void requests_before_a_half_close_are_answered(void **state)
{
	struct server s = { .rig.stall_ns = 0 };
	int fd;

	(void)state;
	begin(&s);
	fd = client(&s);
	SAY(fd, "\n \r\n{\"cmd\":\"status\"}\n{\"cmd\":\"help\"}\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(hear_ok(fd, -1));
	assert_true(hear_ok(fd, -1));
	assert_null(hear(fd));
	close(fd);
	halt(&s);
	end(&s);
}

static void a_line_without_end_is_refused_once_and_passed_over(void **state)
{
	static char x[5 * CTL_LINE_MAX];
	struct server s = { .rig.stall_ns = 0 };
	int fd;

	(void)state;
	begin(&s);
	fd = client(&s);
	memset(x, 'x', sizeof(x));
	say(fd, x, sizeof(x));
	SAY(fd, "\n{\"id\":5,\"cmd\":\"status\"}\n");
	assert_false(hear_ok(fd, -1));
	assert_true(hear_ok(fd, 5));
	close(fd);
	halt(&s);
	end(&s);
}

/* Whatever comes, each line that is not blank has one answer, and the server lives. */
static void random_lines_have_one_answer_each(void **state)
{
	static const char *const seeds[] = {
		"{\"cmd\":\"flows\",\"args\":{\"proto\":\"tcp\",\"limit\":3},\"id\":1}",
		"{\"cmd\":\"metrics\",\"args\":[\"prometheus\"]}",
		"{\"cmd\":\"log level\",\"args\":{\"level\":\"warn\"},\"id\":[1,{}]}",
		"{\"cmd\":\"status\",\"args\":{}}",
	};
	uint64_t seed = 0x5eed;
	struct server s = { .rig.stall_ns = 0 };
	int fd;

	(void)state;
	begin(&s);
	fd = client(&s);
	for (int i = 0; i < 3000; i++) {
		char line[256];
		size_t len;
		unsigned int changes;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		strcpy(line, seeds[seed >> 60 & 3]);
		len = strlen(line);
		changes = (unsigned int)(seed >> 40 & 7);
		for (unsigned int k = 0; k < changes; k++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			line[(seed >> 33) % len] = (char)(seed >> 56);
		}
		for (size_t k = 0; k < len; k++)
			if (line[k] == '\n')
				line[k] = ' ';
		line[0] = '{'; /* not blank */
		line[len] = '\n';
		say(fd, line, len + 1);
		hear_ok(fd, -1);
	}
	close(fd);
	assert_int_equal(halt(&s)->requests, 3000);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_is_the_owners_alone),
		cmocka_unit_test(many_clients_are_answered_in_order),
		cmocka_unit_test(one_client_more_than_there_is_room_for_is_told_so),
		cmocka_unit_test(a_slow_client_holds_up_only_itself),
		cmocka_unit_test(a_client_that_never_reads_is_cut_off),
		cmocka_unit_test(requests_before_a_half_close_are_answered),
		cmocka_unit_test(a_line_without_end_is_refused_once_and_passed_over),
		cmocka_unit_test(random_lines_have_one_answer_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
