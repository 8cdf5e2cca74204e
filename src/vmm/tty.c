/* SPDX-License-Identifier: MIT */
/*
 * One terminal, switched to raw mode at most once at a time.
 *
 * Theory of operation: the old settings are kept in a static, and written back
 * by tty_restore(), which exit() calls too, and by a handler for the signals
 * that end a program by a fault of its own. SIGTERM and its like need no care
 * here: the VM's loop takes them and returns in good order. A program stopped or
 * killed by SIGKILL leaves the terminal raw; `stty sane` mends it.
 */
#include "src/vmm/tty.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "src/base/base.h"

static const int fatal_signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS };

static struct {
	volatile sig_atomic_t active;
	int fd;
	bool hooked;
	struct termios old;
} saved;

/**
 * tty_restore() - give the terminal its old settings back
 *
 * Harmless when nothing was changed. Any thread, also inside a signal handler.
 */
void tty_restore(void)
{
	int saved_errno = errno;

	if (saved.active) {
		saved.active = 0;
		(void)tcsetattr(saved.fd, TCSANOW, &saved.old);
	}
	errno = saved_errno;
}

static void on_fatal_signal(int signo)
{
	/* SA_RESETHAND: the second delivery does what the first would have done. */
	tty_restore();
	(void)raise(signo);
}

static void hook_once(void)
{
	struct sigaction sa = { .sa_handler = on_fatal_signal, .sa_flags = SA_RESETHAND };

	if (saved.hooked)
		return;
	saved.hooked = true;
	(void)atexit(tty_restore);
	for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++) {
		struct sigaction old;

		/* Somebody else's handler (a sanitizer's) stays. */
		if (sigaction(fatal_signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			(void)sigaction(fatal_signals[i], &sa, NULL);
	}
}

/**
 * tty_raw_enter() - raw mode: every key goes to the guest, Ctrl-C too
 * @fd:		the terminal; must stay open until tty_restore()
 *
 * Output processing stays on, so that our own log lines look right between those
 * of the guest. Main thread.
 *
 * Return: 0, -ENOTTY when @fd is no terminal (nothing is done), -EBUSY, -errno
 */
int tty_raw_enter(int fd)
{
	struct termios t;

	if (saved.active)
		return -EBUSY;
	if (tcgetattr(fd, &saved.old) < 0)
		return -errno;
	t = saved.old;
	cfmakeraw(&t);
	t.c_oflag |= OPOST;
	hook_once();
	saved.fd = fd;
	saved.active = 1;
	if (tcsetattr(fd, TCSANOW, &t) < 0) {
		saved.active = 0;
		return -errno;
	}
	return 0;
}
