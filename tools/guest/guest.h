/* SPDX-License-Identifier: MIT */
/*
 * The guest's init: what its files offer each other.
 */
#ifndef SLUICE_TOOLS_GUEST_H
#define SLUICE_TOOLS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Monotonic time, milliseconds. */
static inline long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
}

/* init.c */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool handle_power_signal(int sig);

/* net.c */
int net_up(char *why, size_t why_len);

/* port.c */
int uevent_open(void);
bool console_device_present(void);
int port_open(int uevents, int timeout_ms);

/* cmd.c */
void cmd_fail(int port, const char *why);
int cmd_serve(int port, int sigfd);

#endif
