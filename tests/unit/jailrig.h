/* SPDX-License-Identifier: MIT */
/* Children that go to jail, and what became of them. */
#ifndef SLUICE_TESTS_JAILRIG_H
#define SLUICE_TESTS_JAILRIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/jail/priv.h"

/* Of a child whose own checks failed; its last words say which. */
#define CHILD_FAILED 99

/**
 * struct outcome - how a child ended
 * @signal:	that killed it, 0 = none
 * @status:	it exited with
 * @text:	its standard error
 */
struct outcome {
	int signal, status;
	char text[4096];
};

/* @fn in a child whose standard error is kept; returning from it is status 0. */
static inline void in_child(void (*fn)(void *ctx), void *ctx, struct outcome *o)
{
	size_t have = 0;
	int fds[2], st;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		alarm(60);
		fn(ctx);
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], o->text + have, sizeof(o->text) - 1 - have)) > 0)
		have += (size_t)n;
	o->text[have] = 0;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	o->signal = WIFSIGNALED(st) ? WTERMSIG(st) : 0;
	o->status = WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

/* In a child, where cmocka's checks would only end the child. */
#define CHECK(cond)                                                                            \
	do {                                                                                   \
		if (!(cond)) {                                                                 \
			dprintf(STDERR_FILENO, "%s:%d: %s: errno %d (%s)", __FILE__, __LINE__, \
				#cond, errno, strerror(errno));                                \
			_exit(CHILD_FAILED);                                                   \
		}                                                                              \
	} while (0)

static inline void assert_child_is_well(const struct outcome *o)
{
	if (o->signal || o->status)
		fail_msg("signal %d, status %d: %s", o->signal, o->status, o->text);
}

/* Sanitizers call what no profile knows; the jail is off with them. */
static inline void skip_if_instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("SKIP: a sanitizer makes system calls of its own\n");
	skip();
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	print_message("SKIP: a sanitizer makes system calls of its own\n");
	skip();
#endif
#endif
}

#endif
