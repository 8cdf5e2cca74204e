/* SPDX-License-Identifier: MIT */
/*
 * The thread that writes what other threads have to tell: audit lines, captured
 * frames. Disks and sockets may make it wait; whoever fills its rings does not.
 *
 * A sink is a ring and what becomes of its messages. Main adds and removes sinks
 * while the thread runs; a sink's functions are called on the thread only.
 */
#ifndef SLUICE_SIGHT_WRITER_H
#define SLUICE_SIGHT_WRITER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spsc;
struct writer;

/* Sinks at one time. */
#define WRITER_SINKS 4

/* How long a sink that is removed may go on writing what was told, milliseconds. */
#define WRITER_PATIENCE_MS 2000

/**
 * struct sink_ops - what becomes of the messages of one ring
 * @take:	one message. False: not now; it stays in the ring and is shown again
 * @flush:	there is no more for the moment, or @take has refused: write. @wait may be
 *		given a descriptor to wait for. Return: milliseconds after which to be
 *		called again though nothing comes; -1 = nothing is left to write
 * @finish:	the last call: the ring is empty, or patience is at its end
 */
struct sink_ops {
	bool (*take)(void *ctx, const void *msg, uint32_t len);
	int (*flush)(void *ctx, struct pollfd *wait);
	void (*finish)(void *ctx);
};

/* writer.c: main thread */
int writer_new(struct writer **out, int (*thread_init)(void *ctx), void *thread_ctx);
int writer_start(struct writer *w);
void writer_free(struct writer *w);
int writer_wake_fd(const struct writer *w);
void writer_kick(struct writer *w);
int writer_add(struct writer *w, struct spsc *ring, const struct sink_ops *ops, void *ctx);
void writer_remove(struct writer *w, int sink);
int writer_put(int fd, bool is_socket, const void *p, size_t len);
bool writer_gone(struct writer *w, int sink, int wait_ms);

#endif
