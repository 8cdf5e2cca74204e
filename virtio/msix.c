/* SPDX-License-Identifier: MIT */
/*
 * MSI-X: the vector table, the pending bits, and who sends the message.
 *
 * Theory of operation
 *
 * A source is *live* while its vector is mapped and unmasked, the function is
 * unmasked, and MSI-X is enabled. Every register write that could change that
 * ends in source_sync(), which brings the kernel's attachment into line:
 *
 *	becomes live	drain the eventfd, attach it to the message, and send one
 *			message if it had been signalled (or raised) before
 *	is live		update the route, as address and data may have changed
 *	is not live	detach; a signal stays in the eventfd, where the pending bit
 *			reads it, until the source is live again
 *
 * The drain comes before the attachment: a signal that falls between the two is
 * the kernel's, which looks at the eventfd when it takes it. Nothing is lost,
 * and nothing is sent twice. attach and detach happen once each per life; only
 * source_sync() calls them, and @attached says which is due (H11).
 *
 * If the machine refuses an attachment, no eventfd of this function is attached
 * any more: @direct tells the transport to have the device call msix_raise().
 * The source of configuration changes has no eventfd and lives like this always.
 *
 * Sources that share a vector have an attachment each, to the same message.
 */
#include "virtio/msix.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "src/base/bytes.h"
#include "src/base/log.h"

/* Table entry: address, upper address, data, vector control (6.8.2.6 to 6.8.2.9). */
#define ENTRY_ADDR  0
#define ENTRY_DATA  8
#define ENTRY_CTRL  12
#define CTRL_MASKED 1U

static uint8_t *entry(struct msix *x, uint16_t vector)
{
	return x->table + vector * MSIX_ENTRY_LEN;
}

static uint64_t entry_addr(struct msix *x, uint16_t vector)
{
	return get_le64(entry(x, vector) + ENTRY_ADDR);
}

static uint32_t entry_data(struct msix *x, uint16_t vector)
{
	return get_le32(entry(x, vector) + ENTRY_DATA);
}

static bool source_live(struct msix *x, const struct msix_source *s)
{
	return x->enabled && !x->masked && s->vector < x->nvectors &&
	       !(get_le32(entry(x, s->vector) + ENTRY_CTRL) & CTRL_MASKED);
}

/* Was the eventfd signalled since anybody read it? Reads it empty. */
static bool fd_take(int fd)
{
	eventfd_t count;

	return fd >= 0 && eventfd_read(fd, &count) == 0;
}

/* The same, left as it is. */
static bool fd_signalled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

static void source_send(struct msix *x, struct msix_source *s)
{
	const struct machine *m = x->machine;
	int err;

	s->pending = false;
	err = m->ops->msi_send(m->ctx, entry_addr(x, s->vector), entry_data(x, s->vector));
	if (err)
		log_limited(LOG_WARN, "msix", "message of vector %u not sent (%d)", s->vector, err);
}

static void source_detach(struct msix *x, struct msix_source *s)
{
	if (!s->attached)
		return;
	s->attached = false;
	x->machine->ops->msi_detach(x->machine->ctx, s->route, s->fd);
}

/* No attachments any more, for good; what was attached is detached. */
static void go_direct(struct msix *x, int err)
{
	x->direct = true;
	log_once(LOG_WARN, "msix",
		 "no interrupt without an exit here (%d): messages are sent by the worker", err);
	for (uint16_t i = 0; i < x->nsources; i++)
		source_detach(x, &x->source[i]);
}

static void source_attach(struct msix *x, struct msix_source *s)
{
	const struct machine *m = x->machine;
	int err = m->ops->msi_attach(m->ctx, s->fd, entry_addr(x, s->vector),
				     entry_data(x, s->vector), &s->route);

	if (err)
		go_direct(x, err);
	else
		s->attached = true;
}

static void source_update(struct msix *x, struct msix_source *s)
{
	const struct machine *m = x->machine;
	int err = m->ops->msi_update(m->ctx, s->route, entry_addr(x, s->vector),
				     entry_data(x, s->vector));

	if (err)
		go_direct(x, err);
}

static void source_sync(struct msix *x, struct msix_source *s)
{
	if (!source_live(x, s)) {
		source_detach(x, s);
		return;
	}
	if (s->attached) {
		source_update(x, s);
	} else {
		if (fd_take(s->fd))
			s->pending = true;
		if (s->fd >= 0 && !x->direct)
			source_attach(x, s);
	}
	if (s->pending)
		source_send(x, s);
}

/* All sources of @vector, or of any vector with MSIX_NO_VECTOR. */
static void sync_vector(struct msix *x, uint16_t vector)
{
	for (uint16_t i = 0; i < x->nsources; i++) {
		struct msix_source *s = &x->source[i];

		if (vector == MSIX_NO_VECTOR || s->vector == vector)
			source_sync(x, s);
	}
}

/**
 * msix_init() - a function's MSI-X, disabled, all vectors masked, none mapped
 * @machine:	outlives @x
 * @fds:	eventfd of each source, or -1; borrowed until msix_fini()
 * @nsources:	1..MSIX_SOURCES_MAX; there are as many vectors
 *
 * Creating thread.
 */
void msix_init(struct msix *x, const struct machine *machine, const int *fds, uint16_t nsources)
{
	BUG_ON(nsources == 0 || nsources > MSIX_SOURCES_MAX);
	*x = (struct msix){ .machine = machine, .nvectors = nsources, .nsources = nsources };
	BUG_ON(pthread_mutex_init(&x->lock, NULL));
	for (uint16_t i = 0; i < nsources; i++) {
		put_le32(entry(x, i) + ENTRY_CTRL, CTRL_MASKED);
		x->source[i] = (struct msix_source){ .fd = fds[i], .vector = MSIX_NO_VECTOR };
	}
}

/**
 * msix_fini() - detach what is attached; owner's thread, nobody raises any more
 */
void msix_fini(struct msix *x)
{
	for (uint16_t i = 0; i < x->nsources; i++)
		source_detach(x, &x->source[i]);
	pthread_mutex_destroy(&x->lock);
}

/**
 * msix_set_control() - the driver writes the capability's message control
 * @enabled, @masked:	bits 15 and 14 (6.8.2.3)
 *
 * vCPU thread.
 */
void msix_set_control(struct msix *x, bool enabled, bool masked)
{
	pthread_mutex_lock(&x->lock);
	if (x->enabled != enabled || x->masked != masked) {
		x->enabled = enabled;
		x->masked = masked;
		sync_vector(x, MSIX_NO_VECTOR);
	}
	pthread_mutex_unlock(&x->lock);
}

/**
 * msix_set_vector() - the driver maps a source to a vector
 * @source:	below nsources
 * @vector:	untrusted; one that does not exist unmaps (virtio 1.2, 4.1.5.1.2.1)
 *
 * vCPU thread. Return: the vector that is now mapped, what the driver reads back
 */
uint16_t msix_set_vector(struct msix *x, uint16_t source, uint16_t vector)
{
	struct msix_source *s = &x->source[source];

	BUG_ON(source >= x->nsources);
	if (vector >= x->nvectors)
		vector = MSIX_NO_VECTOR;
	pthread_mutex_lock(&x->lock);
	if (s->vector != vector) {
		s->vector = vector;
		source_sync(x, s);
	}
	pthread_mutex_unlock(&x->lock);
	return vector;
}

/**
 * msix_vector() - the vector of @source, or MSIX_NO_VECTOR; any thread
 */
uint16_t msix_vector(struct msix *x, uint16_t source)
{
	uint16_t vector;

	BUG_ON(source >= x->nsources);
	pthread_mutex_lock(&x->lock);
	vector = x->source[source].vector;
	pthread_mutex_unlock(&x->lock);
	return vector;
}

/**
 * msix_unmap() - the device was reset: no source is mapped, nothing is pending
 *
 * The table and the capability are PCI's, not virtio's: they stay. vCPU thread.
 */
void msix_unmap(struct msix *x)
{
	pthread_mutex_lock(&x->lock);
	for (uint16_t i = 0; i < x->nsources; i++) {
		struct msix_source *s = &x->source[i];

		s->vector = MSIX_NO_VECTOR;
		source_detach(x, s);
		s->pending = false;
		(void)fd_take(s->fd);
	}
	pthread_mutex_unlock(&x->lock);
}

/**
 * msix_raise() - interrupt for @source, now or when it is live again
 *
 * For sources without an eventfd, and for all where msix_direct(). Any thread.
 */
void msix_raise(struct msix *x, uint16_t source)
{
	struct msix_source *s = &x->source[source];

	BUG_ON(source >= x->nsources);
	pthread_mutex_lock(&x->lock);
	if (source_live(x, s))
		source_send(x, s);
	else if (s->vector != MSIX_NO_VECTOR)
		s->pending = true;
	pthread_mutex_unlock(&x->lock);
}

/**
 * msix_direct() - must the device interrupt by msix_raise()? Any thread
 */
bool msix_direct(struct msix *x)
{
	bool direct;

	pthread_mutex_lock(&x->lock);
	direct = x->direct;
	pthread_mutex_unlock(&x->lock);
	return direct;
}

/* What of [off, off + len) lies below @size: the rest reads 0 and ignores writes. */
static uint32_t clip(uint64_t off, uint32_t len, uint32_t size)
{
	if (off >= size)
		return 0;
	return (uint32_t)MIN((uint64_t)len, size - off);
}

/**
 * msix_table_read() - the driver reads the vector table
 * @off:	from the table's start, untrusted
 * @len:	bytes, any
 *
 * vCPU thread.
 */
void msix_table_read(struct msix *x, uint64_t off, void *data, uint32_t len)
{
	uint32_t n = clip(off, len, x->nvectors * MSIX_ENTRY_LEN);

	memset(data, 0, len);
	pthread_mutex_lock(&x->lock);
	if (n)
		memcpy(data, x->table + off, n);
	pthread_mutex_unlock(&x->lock);
}

/**
 * msix_table_write() - the driver writes the vector table
 * @off, @len:	as msix_table_read(); the access may straddle entries
 *
 * vCPU thread.
 */
void msix_table_write(struct msix *x, uint64_t off, const void *data, uint32_t len)
{
	uint32_t n = clip(off, len, x->nvectors * MSIX_ENTRY_LEN);
	uint16_t first, last;

	if (n == 0)
		return;
	first = (uint16_t)(off / MSIX_ENTRY_LEN);
	last = (uint16_t)((off + n - 1) / MSIX_ENTRY_LEN);
	pthread_mutex_lock(&x->lock);
	memcpy(x->table + off, data, n);
	for (uint16_t v = first; v <= last; v++) {
		uint8_t *ctrl = entry(x, v) + ENTRY_CTRL;

		/* The other bits are reserved. */
		put_le32(ctrl, get_le32(ctrl) & CTRL_MASKED);
		sync_vector(x, v);
	}
	pthread_mutex_unlock(&x->lock);
}

/**
 * msix_pba_read() - the driver reads the pending bits; writes have no effect
 * @off, @len:	as msix_table_read()
 *
 * A vector is pending if one of its sources was raised and is not live.
 * vCPU thread.
 */
void msix_pba_read(struct msix *x, uint64_t off, void *data, uint32_t len)
{
	uint8_t bits[ALIGN_UP(MSIX_VECTORS_MAX, 64U) / 8] = { 0 };
	uint32_t n = clip(off, len, sizeof(bits));

	memset(data, 0, len);
	pthread_mutex_lock(&x->lock);
	for (uint16_t i = 0; i < x->nsources; i++) {
		const struct msix_source *s = &x->source[i];

		if (s->vector == MSIX_NO_VECTOR || source_live(x, s))
			continue;
		if (s->pending || fd_signalled(s->fd))
			bits[s->vector / 8] |= (uint8_t)(1U << (s->vector % 8));
	}
	pthread_mutex_unlock(&x->lock);
	if (n)
		memcpy(data, bits + off, n);
}
