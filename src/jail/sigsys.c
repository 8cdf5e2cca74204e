/* SPDX-License-Identifier: MIT */
/*
 * What a filter refuses ends the program, and says what it was.
 *
 * Theory of operation: a refused call is not made; its thread gets SIGSYS instead,
 * which no thread of ours blocks. The handler may only do what is safe in any
 * state of the program: it formats into an array of its own, from a table of names
 * that was filled before, and leaves by two calls that every profile allows. It
 * does not return. The profiles do not let SIGSYS be given another handler.
 */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "src/base/utc.h"
#include "src/jail/priv.h"

/* Numbers of x86-64 end below this; a name is cut to fit. */
#define CALLS_MAX 512
#define NAME_MAX_ 32

static char names[CALLS_MAX][NAME_MAX_];
static void (*before_end)(void);

/* The kernel's name of the thread, and its profile's; "" = it has none. */
static __thread char thread_name[16];
static __thread const char *thread_profile;

/* A line under construction; what does not fit is cut. */
struct text {
	char buf[512];
	size_t len;
};

static void put(struct text *t, const char *s)
{
	while (*s && t->len < sizeof(t->buf))
		t->buf[t->len++] = *s++;
}

static void put_number(struct text *t, uint64_t v, unsigned int base)
{
	char digits[24];
	size_t n = sizeof(digits);

	digits[--n] = 0;
	do
		digits[--n] = "0123456789abcdef"[v % base];
	while ((v /= base) != 0);
	put(t, &digits[n]);
}

static void put_call(struct text *t, int nr, const mcontext_t *m)
{
	const greg_t args[] = { m->gregs[REG_RDI], m->gregs[REG_RSI], m->gregs[REG_RDX] };

	if (nr >= 0 && nr < CALLS_MAX && names[nr][0]) {
		put(t, names[nr]);
	} else {
		put(t, "system call ");
		put_number(t, (uint32_t)nr, 10);
	}
	for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
		put(t, i ? ", 0x" : "(0x");
		put_number(t, (uint64_t)args[i], 16);
	}
	put(t, ", ...)");
}

/*
 * As a line of the log begins. log.c's own way is not made for handlers; the date's
 * is plain numbers into an array.
 */
static void put_head(struct text *t)
{
	char utc[UTC_STRLEN];

	if (log_format() != LOG_JSON) {
		put(t, "sluice: error: jail: ");
		return;
	}
	put(t, "{\"time\":\"");
	put(t, utc_format(utc_now_ns(), utc));
	put(t, "\",\"level\":\"error\",\"subsystem\":\"jail\",\"msg\":\"");
}

static void on_sigsys(int signo, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	struct text t = { .len = 0 };
	ssize_t ignored;

	(void)signo;
	put_head(&t);
	put(&t, "thread ");
	put(&t, thread_name[0] ? thread_name : "without a name");
	put(&t, ", profile ");
	put(&t, thread_profile ? thread_profile : "none of ours");
	put(&t, ", may not call ");
	put_call(&t, info->si_syscall, &uc->uc_mcontext);
	put(&t, "; this is the end");
	put(&t, log_format() == LOG_JSON ? "\"}\n" : "\n");
	ignored = write(STDERR_FILENO, t.buf, t.len);
	(void)ignored;
	if (before_end)
		before_end();
	_exit(JAIL_EXIT_STATUS);
}

/**
 * sigsys_catch() - from now on a refused call ends the program as said above
 * @last_words:	as in struct jail_config
 *
 * Main thread; allocates. Return: 0 or -errno
 */
int sigsys_catch(void (*last_words)(void))
{
	struct sigaction sa = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

	for (int nr = 0; nr < CALLS_MAX; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);

		if (name)
			memccpy(names[nr], name, 0, sizeof(names[nr]) - 1);
		free(name);
	}
	before_end = last_words;
	sigfillset(&sa.sa_mask);
	return sigaction(SIGSYS, &sa, NULL) < 0 ? -errno : 0;
}

/**
 * sigsys_thread() - how a message calls this thread and its profile
 * @profile:	a constant
 */
void sigsys_thread(const char *profile)
{
	if (prctl(PR_GET_NAME, thread_name) < 0)
		thread_name[0] = 0;
	thread_profile = profile;
}
