/* SPDX-License-Identifier: MIT */
/*
 * Serving one command over the command port (src/vmm/cmdproto.h).
 *
 * Theory of operation. One poll loop over the port, the command's three pipes and
 * a signalfd; nothing in it blocks. What goes to the host is appended to `tx`;
 * a pipe is read only while `tx` has room for a whole message plus the control
 * messages that may follow, so a host that does not read stops the command's
 * output and nothing else. What comes from the host is collected in `rx` until a
 * message is whole. Input for the command waits in `in`, whose size is the credit
 * that the host starts with; what the command has taken is given back as credit.
 *
 * After the command has ended, whatever its pipes still hold is sent, then both
 * ends of file, then EXIT. The driver's write returns when the bytes are queued,
 * and switching off resets the device with what is queued, so the machine is not
 * switched off yet: the host ends it when it has heard EXIT. A descendant that
 * keeps a pipe open does not delay the end.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/vmm/cmdproto.h"
#include "tools/guest/guest.h"

#define STDIN_CREDIT 65536U
#define TX_SIZE	     65536U

/* Room that output leaves free: the ends of file, EXIT, and a CREDIT or two. */
#define TX_RESERVE 256U

/* How long the host may take to end the machine after the last word. */
#define FAREWELL_MS 30000

/* Arguments, and environment strings. */
#define STRINGS_MAX 4096U

enum { OUT, ERR, PIPES };

struct buffer {
	uint8_t *data;
	uint32_t head; /* first byte not yet consumed */
	uint32_t tail; /* one past the last byte */
	uint32_t size;
};

struct session {
	int port;
	int sigfd;
	int in_fd;	    /* the command's stdin, -1 when closed */
	int out_fd[PIPES];  /* the command's stdout and stderr, -1 when at their end */
	pid_t pid;	    /* the command, 0 before EXEC and after its end */
	bool started;	    /* EXEC was seen */
	bool ended;	    /* the command has ended; `status` holds */
	bool in_eof;	    /* the host has sent the end of input */
	bool broken;	    /* malformed message or host gone: give up */
	uint32_t status;    /* as EXIT carries it */
	uint32_t in_credit; /* bytes the host may still send */
	uint32_t in_taken;  /* bytes to give back as credit */
	struct buffer tx, rx, in;
};

static uint8_t tx_data[TX_SIZE];
static uint8_t rx_data[CMD_HEADER_LEN + CMD_EXEC_MAX + 1];
static uint8_t in_data[STDIN_CREDIT];

static uint32_t used(const struct buffer *b)
{
	return b->tail - b->head;
}

static uint32_t room(const struct buffer *b)
{
	return b->size - used(b);
}

static void consume(struct buffer *b, uint32_t n)
{
	b->head += n;
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

/* Moves what is there to the front, so that the free space is in one piece. */
static void compact(struct buffer *b)
{
	if (b->head == 0)
		return;
	memmove(b->data, b->data + b->head, used(b));
	b->tail -= b->head;
	b->head = 0;
}

static void append(struct buffer *b, const void *p, uint32_t n)
{
	compact(b);
	memcpy(b->data + b->tail, p, n);
	b->tail += n;
}

/* The caller has made sure that there is room. */
static void put_message(struct session *s, enum cmd_type type, const void *payload, uint32_t len)
{
	struct cmd_header h = { .type = (uint8_t)type, .len = htole32(len) };

	append(&s->tx, &h, sizeof(h));
	if (len)
		append(&s->tx, payload, len);
}

static void put_u32(struct session *s, enum cmd_type type, uint32_t value)
{
	value = htole32(value);
	put_message(s, type, &value, sizeof(value));
}

static void flush_tx(struct session *s)
{
	while (used(&s->tx)) {
		ssize_t n = write(s->port, s->tx.data + s->tx.head, used(&s->tx));

		if (n <= 0) {
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				s->broken = true;
			return;
		}
		consume(&s->tx, (uint32_t)n);
	}
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static __attribute__((noreturn)) void exec_child(const int pipes[3][2], char **argv, char **envp)
{
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(pipes[0][0], STDIN_FILENO);
	dup2(pipes[1][1], STDOUT_FILENO);
	dup2(pipes[2][1], STDERR_FILENO);
	for (; *envp; envp++)
		putenv(*envp);
	execvp(argv[0], argv);
	fprintf(stderr, "sluice: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? CMD_EXIT_NOT_FOUND : CMD_EXIT_NOT_EXECUTABLE);
}

static void start(struct session *s, char **argv, char **envp)
{
	int pipes[3][2];

	for (int i = 0; i < 3; i++)
		if (pipe2(pipes[i], O_CLOEXEC)) {
			s->broken = true;
			return;
		}
	s->pid = fork();
	if (s->pid == 0)
		exec_child(pipes, argv, envp);
	if (s->pid < 0) {
		s->broken = true;
		return;
	}
	setpgid(s->pid, s->pid);
	close(pipes[0][0]);
	close(pipes[1][1]);
	close(pipes[2][1]);
	s->in_fd = pipes[0][1];
	s->out_fd[OUT] = pipes[1][0];
	s->out_fd[ERR] = pipes[2][0];
	fcntl(s->in_fd, F_SETFL, O_NONBLOCK);
	fcntl(s->out_fd[OUT], F_SETFL, O_NONBLOCK);
	fcntl(s->out_fd[ERR], F_SETFL, O_NONBLOCK);
	s->in_credit = STDIN_CREDIT;
	put_u32(s, CMD_CREDIT, STDIN_CREDIT);
	progress("started %s", argv[0]);
}

/* Puts @count strings, each with its NUL, into a NULL-terminated list. */
static bool take_strings(char **list, uint32_t count, uint8_t *p, uint32_t len, uint32_t *at)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *end = *at < len ? memchr(p + *at, 0, len - *at) : NULL;

		if (!end)
			return false;
		list[i] = (char *)p + *at;
		*at = (uint32_t)(end - p) + 1;
	}
	list[count] = NULL;
	return true;
}

/* EXEC: two counts and that many strings, and nothing else. */
static void on_exec(struct session *s, uint8_t *p, uint32_t len)
{
	static char *argv[STRINGS_MAX + 1], *envp[STRINGS_MAX + 1];
	uint32_t argc, envc, at = 8;

	s->broken = true;
	if (s->started || len < at)
		return;
	argc = get_u32(p);
	envc = get_u32(p + 4);
	if (argc == 0 || argc > STRINGS_MAX || envc > STRINGS_MAX)
		return;
	if (!take_strings(argv, argc, p, len, &at) || !take_strings(envp, envc, p, len, &at) ||
	    at != len)
		return;
	s->broken = false;
	s->started = true;
	start(s, argv, envp);
}

static void on_stdin(struct session *s, const uint8_t *p, uint32_t len)
{
	if (!s->started || s->in_eof || len > s->in_credit) {
		s->broken = true;
		return;
	}
	if (len == 0) {
		s->in_eof = true;
		return;
	}
	s->in_credit -= len;
	if (s->in_fd < 0)
		s->in_taken += len;
	else
		append(&s->in, p, len);
}

static void on_message(struct session *s, uint8_t type, uint8_t *p, uint32_t len)
{
	switch (type) {
	case CMD_EXEC:
		on_exec(s, p, len);
		break;
	case CMD_STDIN:
		on_stdin(s, p, len);
		break;
	case CMD_SIGNAL:
		if (len != 4)
			s->broken = true;
		else if (s->pid > 0)
			kill(-s->pid, (int)get_u32(p));
		break;
	default:
		s->broken = true;
	}
}

static uint32_t payload_limit(uint8_t type)
{
	return type == CMD_EXEC ? CMD_EXEC_MAX : CMD_PAYLOAD_MAX;
}

/* Handles every whole message in rx. */
static void parse(struct session *s)
{
	while (!s->broken && used(&s->rx) >= CMD_HEADER_LEN) {
		uint8_t *p = s->rx.data + s->rx.head;
		uint32_t len = get_u32(p + 4);

		if (p[1] | p[2] | p[3] || len > payload_limit(p[0])) {
			s->broken = true;
			return;
		}
		if (used(&s->rx) - CMD_HEADER_LEN < len)
			return;
		on_message(s, p[0], p + CMD_HEADER_LEN, len);
		consume(&s->rx, CMD_HEADER_LEN + len);
	}
}

static void read_port(struct session *s)
{
	ssize_t n;

	compact(&s->rx);
	n = read(s->port, s->rx.data + s->rx.tail, s->rx.size - s->rx.tail);
	if (n > 0) {
		s->rx.tail += (uint32_t)n;
		parse(s);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		s->broken = true;
	}
}

static void close_stdin(struct session *s)
{
	if (s->in_fd >= 0)
		close(s->in_fd);
	s->in_fd = -1;
	s->in_taken += used(&s->in);
	consume(&s->in, used(&s->in));
}

static void write_stdin(struct session *s)
{
	while (s->in_fd >= 0 && used(&s->in)) {
		ssize_t n = write(s->in_fd, s->in.data + s->in.head, used(&s->in));

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR) {
			close_stdin(s);
			return;
		}
		if (n > 0) {
			consume(&s->in, (uint32_t)n);
			s->in_taken += (uint32_t)n;
		}
	}
	if (s->in_eof)
		close_stdin(s);
}

/* Gives credit back in halves, so that a byte-wise reader does not cost a message a byte. */
static void give_credit(struct session *s)
{
	if (s->in_eof || room(&s->tx) < TX_RESERVE)
		return;
	if (s->in_taken < STDIN_CREDIT / 2 && s->in_credit > STDIN_CREDIT / 4)
		return;
	if (s->in_taken == 0)
		return;
	s->in_credit += s->in_taken;
	put_u32(s, CMD_CREDIT, s->in_taken);
	s->in_taken = 0;
}

static bool can_read_output(const struct session *s)
{
	return room(&s->tx) >= CMD_HEADER_LEN + CMD_PAYLOAD_MAX + TX_RESERVE;
}

/* One message from one of the command's pipes. Returns false when it has nothing now. */
static bool read_output(struct session *s, int which)
{
	static uint8_t buf[CMD_PAYLOAD_MAX];
	enum cmd_type type = which == OUT ? CMD_STDOUT : CMD_STDERR;
	ssize_t n;

	if (s->out_fd[which] < 0)
		return false;
	n = read(s->out_fd[which], buf, sizeof(buf));
	if (n > 0) {
		put_message(s, type, buf, (uint32_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close(s->out_fd[which]);
	s->out_fd[which] = -1;
	put_message(s, type, "", 0);
	return false;
}

static void read_signals(struct session *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(s->sigfd, &info, sizeof(info)) == sizeof(info))
		handle_power_signal((int)info.ssi_signo);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != s->pid)
			continue;
		s->ended = true;
		s->pid = 0;
		s->status = WIFSIGNALED(status) ? 128U + (uint32_t)WTERMSIG(status)
						: (uint32_t)WEXITSTATUS(status);
		progress("command ended with %u", s->status);
	}
}

/* Waits for the next events and handles them. */
static void turn(struct session *s)
{
	bool take = s->started && can_read_output(s);
	struct pollfd p[] = {
		{ .fd = s->port, .events = (short)(POLLIN | (used(&s->tx) ? POLLOUT : 0)) },
		{ .fd = s->sigfd, .events = POLLIN },
		{ .fd = take ? s->out_fd[OUT] : -1, .events = POLLIN },
		{ .fd = take ? s->out_fd[ERR] : -1, .events = POLLIN },
		{ .fd = used(&s->in) ? s->in_fd : -1, .events = POLLOUT },
	};

	if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0)
		return;
	if (p[0].revents & POLLIN)
		read_port(s);
	else if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		s->broken = true;
	if (p[1].revents)
		read_signals(s);
	if (p[2].revents)
		read_output(s, OUT);
	if (p[3].revents && can_read_output(s))
		read_output(s, ERR);
	write_stdin(s);
	give_credit(s);
	flush_tx(s);
}

/* Sends everything in tx, waiting for room in the queue. */
static void flush_blocking(struct session *s)
{
	fcntl(s->port, F_SETFL, 0);
	while (used(&s->tx) && !s->broken) {
		ssize_t n = write(s->port, s->tx.data + s->tx.head, used(&s->tx));

		if (n <= 0 && errno != EINTR && errno != EAGAIN)
			s->broken = true;
		if (n > 0)
			consume(&s->tx, (uint32_t)n);
	}
}

/* Leaves the machine to the host, which ends it: ours comes only if that never happens. */
static void await_end(const struct session *s)
{
	struct pollfd p = { .fd = s->port }; /* no events asked for: the host's end closed */
	long deadline = now_ms() + FAREWELL_MS, left;

	while (!s->broken && (left = deadline - now_ms()) > 0) {
		if (poll(&p, 1, (int)left) >= 0)
			return;
	}
}

static void finish(struct session *s)
{
	for (int i = 0; i < PIPES; i++) {
		do {
			if (!can_read_output(s))
				flush_blocking(s);
			if (s->broken)
				return;
		} while (read_output(s, i));
		if (s->out_fd[i] >= 0)
			put_message(s, i == OUT ? CMD_STDOUT : CMD_STDERR, "", 0);
	}
	put_u32(s, CMD_EXIT, s->status);
	flush_blocking(s);
	await_end(s);
}

static void session_init(struct session *s, int port, int sigfd)
{
	*s = (struct session){
		.port = port,
		.sigfd = sigfd,
		.in_fd = -1,
		.out_fd = { -1, -1 },
		.tx = { .data = tx_data, .size = sizeof(tx_data) },
		.rx = { .data = rx_data, .size = sizeof(rx_data) },
		.in = { .data = in_data, .size = sizeof(in_data) },
	};
}

/*
 * cmd_fail() - tell the host that the guest could not get ready.
 *
 * @port: from port_open()
 * @why: one line
 */
void cmd_fail(int port, const char *why)
{
	struct session s;

	session_init(&s, port, -1);
	put_message(&s, CMD_FAIL, why, (uint32_t)strlen(why));
	flush_blocking(&s);
	await_end(&s);
}

/*
 * cmd_serve() - READY, one command, EXIT.
 *
 * @port: from port_open()
 * @sigfd: signalfd with at least SIGCHLD
 *
 * Returns 0 after EXIT, when the host has gone or let FAREWELL_MS pass, and -EPROTO
 * when it sent something malformed or went away before; the caller powers off
 * either way.
 */
int cmd_serve(int port, int sigfd)
{
	static struct session s;

	session_init(&s, port, sigfd);
	put_u32(&s, CMD_READY, CMD_VERSION);
	flush_tx(&s);
	while (!s.broken && !s.ended)
		turn(&s);
	if (s.broken) {
		fprintf(stderr, "init: the command channel broke\n");
		return -EPROTO;
	}
	finish(&s);
	return 0;
}
