/* SPDX-License-Identifier: MIT */
/*
 * The guest's end of the command channel, served over a socket pair by a process
 * of its own; the test is the host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "tools/guest/cmd.c"

#define OUTPUT_MAX (1U << 20)

/* What init.c offers; a power signal must not come here. */
void progress(const char *fmt, ...)
{
	(void)fmt;
}

bool handle_power_signal(int sig)
{
	if (sig != SIGCHLD)
		_exit(99);
	return false;
}

struct host {
	int fd;
	pid_t guest;
	uint32_t credit;
	uint32_t status;
	uint32_t ends; /* ends of file seen, of STDOUT and STDERR together */
	bool exited;
	uint32_t out_len, err_len;
	uint8_t out[OUTPUT_MAX];
	uint8_t err[4096];
};

static struct host h;

static int setup(void **state)
{
	struct timeval limit = { .tv_sec = 100 };
	sigset_t set;
	int pair[2];

	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	h.guest = fork();
	if (h.guest == 0) {
		close(pair[0]);
		sigemptyset(&set);
		sigaddset(&set, SIGCHLD);
		sigprocmask(SIG_BLOCK, &set, NULL);
		signal(SIGPIPE, SIG_IGN);
		fcntl(pair[1], F_SETFL, O_NONBLOCK);
		_exit(cmd_serve(pair[1], signalfd(-1, &set, SFD_CLOEXEC)) ? 1 : 0);
	}
	close(pair[1]);
	h.fd = pair[0];
	setsockopt(h.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(h.fd);
	if (h.guest > 0) {
		kill(h.guest, SIGKILL);
		waitpid(h.guest, NULL, 0);
	}
	return 0;
}

/* How cmd_serve() ended: 0, or 1 when it gave the channel up. */
static int guest_ended(void)
{
	int status;

	assert_int_equal(waitpid(h.guest, &status, 0), h.guest);
	h.guest = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void recv_all(void *p, size_t len)
{
	if (len)
		assert_int_equal(recv(h.fd, p, len, MSG_WAITALL), len);
}

static void host_send(uint8_t type, const void *p, uint32_t len)
{
	struct cmd_header head = { .type = type, .len = htole32(len) };

	assert_int_equal(send(h.fd, &head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
	if (len)
		assert_int_equal(send(h.fd, p, len, MSG_NOSIGNAL), len);
}

/* Takes one message and keeps what it says. Returns its type. */
static uint8_t host_take(void)
{
	static uint8_t p[CMD_PAYLOAD_MAX];
	struct cmd_header head;
	uint32_t len;

	recv_all(&head, sizeof(head));
	len = le32toh(head.len);
	assert_true(len <= CMD_PAYLOAD_MAX);
	recv_all(p, len);
	switch (head.type) {
	case CMD_STDOUT:
		assert_true(h.out_len + len <= sizeof(h.out));
		memcpy(h.out + h.out_len, p, len);
		h.out_len += len;
		h.ends += len == 0;
		break;
	case CMD_STDERR:
		assert_true(h.err_len + len < sizeof(h.err));
		memcpy(h.err + h.err_len, p, len);
		h.err_len += len;
		h.ends += len == 0;
		break;
	case CMD_CREDIT:
		assert_int_equal(len, 4);
		h.credit += get_u32(p);
		break;
	case CMD_EXIT:
		assert_int_equal(len, 4);
		h.status = get_u32(p);
		h.exited = true;
		break;
	}
	return head.type;
}

/* READY comes first; then EXEC of a NULL-terminated list, with one variable set. */
static void host_exec(const char *const *argv)
{
	static const char variable[] = "COLOUR=blue";
	uint8_t buf[512];
	uint32_t argc = 0, at = 8, n;

	assert_int_equal(host_take(), CMD_READY);
	for (; argv[argc]; argc++) {
		n = (uint32_t)strlen(argv[argc]) + 1;
		memcpy(buf + at, argv[argc], n);
		at += n;
	}
	memcpy(buf + at, variable, sizeof(variable));
	at += (uint32_t)sizeof(variable);
	memcpy(buf, &(uint32_t){ htole32(argc) }, 4);
	memcpy(buf + 4, &(uint32_t){ htole32(1) }, 4);
	host_send(CMD_EXEC, buf, at);
}

static void host_exec_shell(const char *script)
{
	const char *const argv[] = { "sh", "-c", script, NULL };

	host_exec(argv);
}

/* The host ends the machine when it has heard EXIT. */
static void until_exit(void)
{
	while (!h.exited)
		host_take();
	assert_int_equal(h.ends, 2);
	shutdown(h.fd, SHUT_RDWR);
	assert_int_equal(guest_ended(), 0);
}

static void streams_and_status_pass(void **state)
{
	(void)state;
	host_exec_shell("echo out $COLOUR; echo err >&2; exit 7");
	until_exit();
	assert_int_equal(h.status, 7);
	assert_int_equal(h.out_len, 9);
	assert_memory_equal(h.out, "out blue\n", 9);
	assert_int_equal(h.err_len, 4);
	assert_memory_equal(h.err, "err\n", 4);
}

/* Switching off would take what the host has not read yet: it may take its time. */
static void machine_is_left_to_the_host_after_exit(void **state)
{
	(void)state;
	host_exec_shell("exit 3");
	host_send(CMD_STDIN, "unread", 6);
	poll(NULL, 0, 200);
	assert_int_equal(waitpid(h.guest, NULL, WNOHANG), 0);
	until_exit();
	assert_int_equal(h.status, 3);
}

/* More than pipes, buffers and credit hold together, there and back. */
static void input_flows_by_credit(void **state)
{
	static uint8_t data[500000];
	uint32_t sent = 0, n;

	(void)state;
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13);
	host_exec_shell("cat");
	while (sent < sizeof(data)) {
		while (!h.credit)
			host_take();
		n = (uint32_t)sizeof(data) - sent;
		n = n < h.credit ? n : h.credit;
		n = n < CMD_PAYLOAD_MAX ? n : CMD_PAYLOAD_MAX;
		host_send(CMD_STDIN, data + sent, n);
		h.credit -= n;
		sent += n;
	}
	host_send(CMD_STDIN, NULL, 0);
	until_exit();
	assert_int_equal(h.status, 0);
	assert_int_equal(h.out_len, sizeof(data));
	assert_memory_equal(h.out, data, sizeof(data));
}

static void input_that_nobody_reads_does_not_block(void **state)
{
	static uint8_t data[CMD_PAYLOAD_MAX];
	uint32_t sent = 0;

	(void)state;
	host_exec_shell("exec 0<&-; sleep 300");
	/* The credit comes back although the command has closed its input. */
	while (sent < 4 * STDIN_CREDIT) {
		while (h.credit < sizeof(data))
			host_take();
		host_send(CMD_STDIN, data, sizeof(data));
		h.credit -= (uint32_t)sizeof(data);
		sent += (uint32_t)sizeof(data);
	}
	host_send(CMD_SIGNAL, &(uint32_t){ htole32(SIGKILL) }, 4);
	until_exit();
	assert_int_equal(h.status, 128 + SIGKILL);
}

static void signal_reaches_the_process_group(void **state)
{
	(void)state;
	host_exec_shell("sleep 100 & echo up; wait; exit 1");
	while (h.out_len < 3)
		host_take();
	host_send(CMD_SIGNAL, &(uint32_t){ htole32(SIGTERM) }, 4);
	until_exit();
	assert_int_equal(h.status, 128 + SIGTERM);
}

static void a_daemon_left_behind_does_not_delay_the_end(void **state)
{
	(void)state;
	host_exec_shell("sleep 15 & exit 0");
	until_exit();
	assert_int_equal(h.status, 0);
}

static void missing_command_is_127(void **state)
{
	const char *const argv[] = { "no-such-command", NULL };

	(void)state;
	host_exec(argv);
	until_exit();
	assert_int_equal(h.status, CMD_EXIT_NOT_FOUND);
	h.err[h.err_len] = 0;
	assert_non_null(strstr((char *)h.err, "no-such-command"));
}

static void a_folder_is_126(void **state)
{
	const char *const argv[] = { "/", NULL };

	(void)state;
	host_exec(argv);
	until_exit();
	assert_int_equal(h.status, CMD_EXIT_NOT_EXECUTABLE);
}

static void unknown_type_ends_the_channel(void **state)
{
	(void)state;
	assert_int_equal(host_take(), CMD_READY);
	host_send(200, "x", 1);
	assert_int_equal(guest_ended(), 1);
}

static void over_long_message_ends_the_channel(void **state)
{
	struct cmd_header head = { .type = CMD_STDIN, .len = htole32(CMD_PAYLOAD_MAX + 1) };

	(void)state;
	assert_int_equal(host_take(), CMD_READY);
	assert_int_equal(send(h.fd, &head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
	assert_int_equal(guest_ended(), 1);
}

/* Counts that the strings do not bear out: too few, too many, none ended, none at all. */
static void malformed_exec_ends_the_channel(void **state)
{
	static const struct {
		uint32_t argc, envc;
		const char *text;
		uint32_t len;
	} bad[] = {
		{ 2, 0, "sh", 3 },  { 1, 0, "sh\0-c", 6 },	{ 1, 0, "sh", 2 },
		{ 0, 1, "A=b", 4 }, { 1, UINT32_MAX, "sh", 3 },
	};
	uint8_t buf[64];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (i)
			setup(state);
		assert_int_equal(host_take(), CMD_READY);
		memcpy(buf, &(uint32_t){ htole32(bad[i].argc) }, 4);
		memcpy(buf + 4, &(uint32_t){ htole32(bad[i].envc) }, 4);
		memcpy(buf + 8, bad[i].text, bad[i].len);
		host_send(CMD_EXEC, buf, 8 + bad[i].len);
		assert_int_equal(guest_ended(), 1);
		if (i + 1 < sizeof(bad) / sizeof(bad[0]))
			teardown(state);
	}
}

static void input_beyond_credit_ends_the_channel(void **state)
{
	static uint8_t data[CMD_PAYLOAD_MAX];

	(void)state;
	host_exec_shell("exec sleep 20");
	for (uint32_t sent = 0; sent <= STDIN_CREDIT + 65536; sent += (uint32_t)sizeof(data)) {
		struct cmd_header head = { .type = CMD_STDIN, .len = htole32(sizeof(data)) };

		/* The guest may have gone already, after the message that was too much. */
		if (send(h.fd, &head, sizeof(head), MSG_NOSIGNAL) < 0 ||
		    send(h.fd, data, sizeof(data), MSG_NOSIGNAL) < 0)
			break;
	}
	assert_int_equal(guest_ended(), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(streams_and_status_pass),
		T(machine_is_left_to_the_host_after_exit),
		T(input_flows_by_credit),
		T(input_that_nobody_reads_does_not_block),
		T(signal_reaches_the_process_group),
		T(a_daemon_left_behind_does_not_delay_the_end),
		T(missing_command_is_127),
		T(a_folder_is_126),
		T(unknown_type_ends_the_channel),
		T(over_long_message_ends_the_channel),
		T(malformed_exec_ends_the_channel),
		T(input_beyond_credit_ends_the_channel),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
