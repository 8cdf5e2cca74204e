/* SPDX-License-Identifier: MIT */
/*
 * `sluice ctl top`: once a second, ask and draw.
 *
 * Plain ANSI on the alternate screen of the terminal, so that what stood there
 * comes back at the end. Where standard output is no terminal, two samples a
 * second apart make one picture, and that is all.
 */
#include "src/cli/ctl_top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "src/base/clock.h"

#define INTERVAL_MS 1000

/* Where nobody tells. */
#define ROWS_DEFAULT 50
#define COLS_DEFAULT 120

static volatile sig_atomic_t ended;

static void on_signal(int signo)
{
	(void)signo;
	ended = 1;
}

static void forget(struct top_sample *s)
{
	json_decref(s->status);
	json_decref(s->metrics);
	json_decref(s->flows);
	*s = (struct top_sample){ .at_ns = 0 };
}

static int take(struct ctl_link *l, struct top_sample *s, char *why, size_t why_len)
{
	*s = (struct top_sample){ .at_ns = clock_now_ns() };
	s->status = ctl_link_ask(l, "status", NULL, why, why_len);
	if (s->status)
		s->metrics = ctl_link_ask(l, "metrics", NULL, why, why_len);
	if (s->metrics)
		s->flows = ctl_link_ask(l, "flows", NULL, why, why_len);
	if (s->flows)
		return 0;
	forget(s);
	return errno ? -errno : -EPROTO;
}

static void window(int *rows, int *columns)
{
	struct winsize w = { .ws_row = 0 };

	*rows = ROWS_DEFAULT;
	*columns = COLS_DEFAULT;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col) {
		*rows = w.ws_row;
		*columns = w.ws_col;
	}
}

/* Until the next second, or a key: true when it means the end. */
static bool wait_key(uint64_t since_ns)
{
	uint64_t spent = (clock_now_ns() - since_ns) / NS_PER_MS;
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	if (spent >= INTERVAL_MS)
		spent = INTERVAL_MS - 1;
	if (!isatty(STDIN_FILENO))
		p.fd = -1;
	if (poll(&p, 1, (int)(INTERVAL_MS - spent)) <= 0)
		return false;
	return read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q');
}

/* The picture is made in memory and leaves by one write: no flicker. */
static void draw(const struct top_sample *before, const struct top_sample *now)
{
	int rows, columns;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	window(&rows, &columns);
	fputs("\033[H", f);
	top_view(before, now, rows - 1, columns, f);
	fputs("\033[J", f);
	fclose(f);
	/* Each line ends by clearing what an earlier picture left of it. */
	for (char *line = text, *nl; line && *line; line = nl ? nl + 1 : NULL) {
		nl = strchr(line, '\n');
		printf("%.*s", nl ? (int)(nl - line) : (int)strlen(line), line);
		if (nl)
			fputs("\033[K\r\n", stdout);
	}
	fflush(stdout);
	free(text);
}

static int live(struct ctl_link *l, char *why, size_t why_len)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct top_sample before = { .at_ns = 0 }, now;
	struct termios old, raw;
	bool tty = tcgetattr(STDIN_FILENO, &old) == 0;
	int err = 0;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (tty) {
		raw = old;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	fputs("\033[?1049h\033[?25l", stdout);
	while (!ended) {
		err = take(l, &now, why, why_len);
		if (err < 0)
			break;
		draw(&before, &now);
		forget(&before);
		before = now;
		if (wait_key(now.at_ns))
			break;
	}
	forget(&before);
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (tty)
		tcsetattr(STDIN_FILENO, TCSANOW, &old);
	return err;
}

/**
 * ctl_top() - draw until q, a signal, or the end of the other side
 * @once:	one picture as plain text, over one second
 * @why:	on failure, one line
 *
 * Return: 0 or -errno, as ctl_link_ask() leaves it
 */
int ctl_top(struct ctl_link *l, bool once, char *why, size_t why_len)
{
	struct top_sample before, now;
	int rows, columns, err;

	if (!once)
		return live(l, why, why_len);
	err = take(l, &before, why, why_len);
	if (err < 0)
		return err;
	poll(NULL, 0, INTERVAL_MS);
	err = take(l, &now, why, why_len);
	if (err == 0) {
		window(&rows, &columns);
		top_view(&before, &now, rows, columns, stdout);
		forget(&now);
	}
	forget(&before);
	return err;
}
