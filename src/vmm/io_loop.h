/* SPDX-License-Identifier: MIT */
/*
 * The main thread's event loop while the VM runs: signals, the serial console,
 * kicks of slow devices (entropy, console), the control socket. Never the
 * network's data path.
 *
 * Handlers run on the thread that calls io_loop_run(). io_loop_stop() may be
 * called from any thread; everything else from the loop's thread, or before it
 * runs. A handler may remove itself or any other source.
 */
#ifndef SLUICE_VMM_IO_LOOP_H
#define SLUICE_VMM_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* Sources at one time; a table of this size is all the memory that the loop has. */
#define IO_LOOP_SOURCES 192

struct io_loop;

/* @events: EPOLLIN, EPOLLOUT, ... as epoll_wait gave them. */
typedef void (*io_fn)(void *ctx, uint32_t events);

/* io_loop.c */
int io_loop_new(struct io_loop **out);
void io_loop_free(struct io_loop *l);
int io_loop_add(struct io_loop *l, int fd, uint32_t events, io_fn fn, void *ctx);
int io_loop_mod(struct io_loop *l, int fd, uint32_t events);
int io_loop_rest(struct io_loop *l, int fd);
void io_loop_del(struct io_loop *l, int fd);
int io_loop_run(struct io_loop *l);
void io_loop_stop(struct io_loop *l);

#endif
