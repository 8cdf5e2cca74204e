/* SPDX-License-Identifier: MIT */
/* The program itself, under test as a child; see the header. */
#include "tests/vhost/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/unixsock.h"

char program[512], folder[32];
char control[64], front_end[64];
static char messages[64];

/* Of a test that failed half-way, to be ended. */
static pid_t running;

/**
 * nap() - between two looks at what will come
 */
void nap(void)
{
	usleep(20000);
}

/**
 * program_setup() - of a group: where the program is, and a folder
 */
int program_setup(void **state)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);

	(void)state;
	strcpy(folder, "/tmp/sluice-prog-XXXXXX");
	if (n < 0 || !mkdtemp(folder))
		return -1;
	program[n] = 0;
	/* BUILD/tests/vhost/test_x -> BUILD/sluice */
	for (int i = 0; i < 3; i++)
		*strrchr(program, '/') = 0;
	strcat(program, "/sluice");
	snprintf(control, sizeof(control), "%s/ctl", folder);
	snprintf(front_end, sizeof(front_end), "%s/fe", folder);
	snprintf(messages, sizeof(messages), "%s/messages", folder);
	return 0;
}

/**
 * program_after_each() - of a test: what it left running is ended
 */
int program_after_each(void **state)
{
	(void)state;
	if (running > 0) {
		kill(running, SIGKILL);
		waitpid(running, NULL, 0);
	}
	running = 0;
	unlink(control);
	unlink(front_end);
	return 0;
}

/**
 * program_teardown() - of a group
 */
int program_teardown(void **state)
{
	struct dirent *e;
	DIR *d = opendir(folder);

	(void)state;
	if (!d)
		return -1;
	/* A test that was skipped in its midst leaves files of its own. */
	while ((e = readdir(d)) != NULL)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(folder);
}

/**
 * program_messages() - what it has said so far, into @s->text
 */
void program_messages(struct sluice *s)
{
	int fd = open(messages, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, s->text, sizeof(s->text) - 1);

	s->text[n < 0 ? 0 : n] = 0;
	if (fd >= 0)
		close(fd);
}

/**
 * program_wait() - its end, which must come by itself
 *
 * Return: false if it does not; then it was killed
 */
bool program_wait(struct sluice *s)
{
	uint64_t end = clock_now_ns() + PATIENCE_NS;

	while (waitpid(s->pid, &s->status, WNOHANG) == 0) {
		if (clock_now_ns() > end) {
			kill(s->pid, SIGKILL);
			waitpid(s->pid, &s->status, 0);
			program_messages(s);
			return false;
		}
		nap();
	}
	running = 0;
	program_messages(s);
	return true;
}

/**
 * program_stop() - SIGTERM, and its end
 */
void program_stop(struct sluice *s)
{
	kill(s->pid, SIGTERM);
	if (!program_wait(s))
		fail_msg("no end on SIGTERM: %s", s->text);
}

/**
 * program_ask() - one question by the control socket, answered in @s->state
 *
 * Return: false while nobody answers
 */
bool program_ask(struct sluice *s, const char *question)
{
	int fd = unix_connect(control, 0);
	size_t have = 0;
	ssize_t n = 1;

	if (fd < 0)
		return false;
	if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
		n = 0;
	while (n > 0 && have < sizeof(s->state) - 1 && !memchr(s->state, '\n', have)) {
		n = recv(fd, s->state + have, sizeof(s->state) - 1 - have, 0);
		have += n > 0 ? (size_t)n : 0;
	}
	s->state[have] = 0;
	close(fd);
	return s->state[0] != 0;
}

/**
 * program_start() - the program with @args, until it answers; then it is in its jail
 * @before:	NULL, or what runs in the child first; it may end it by NOT_ALLOWED
 *
 * Skips the test where there is no such host, or no jail.
 */
void program_start(struct sluice *s, const char *const *args, void (*before)(void))
{
	uint64_t end = clock_now_ns() + PATIENCE_NS;
	char *argv[24] = { program };
	int n = 1;

	memset(s, 0, sizeof(*s));
	while (*args)
		argv[n++] = (char *)(uintptr_t)*args++;
	unlink(messages);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		int fd = open(messages, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		dup2(fd, STDERR_FILENO);
		dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (before)
			before();
		execv(program, argv);
		_exit(127);
	}
	running = s->pid;
	while (!program_ask(s, "{\"cmd\":\"status\"}\n")) {
		if (waitpid(s->pid, &s->status, WNOHANG) != 0)
			running = 0;
		if (!running && WIFEXITED(s->status) && WEXITSTATUS(s->status) == NOT_ALLOWED) {
			print_message("SKIP: not allowed here to make such a host\n");
			skip();
		}
		if (!running || clock_now_ns() > end) {
			program_messages(s);
			fail_msg("it did not start: %s", s->text);
		}
		nap();
	}
	if (strstr(s->state, "instrumented")) {
		program_stop(s);
		print_message("SKIP: a sanitizer makes system calls of its own\n");
		skip();
	}
}

/**
 * program_back_end() - the same for a back-end with the engine @bulk
 */
void program_back_end(struct sluice *s, const char *bulk, void (*before)(void))
{
	const char *const args[] = { "vhost-user", "--socket", front_end,     "--control", control,
				     "--bulk",	   bulk,       "--splice-to", "any",	   NULL };

	program_start(s, args, before);
}
