/* SPDX-License-Identifier: MIT */
/*
 * A capture from its start to its file's end.
 *
 * Theory of operation: the worker's stack copies frames into a ring (capture.c); the
 * writer thread makes blocks of them in a buffer, and writes it whenever there is
 * nothing more to take. While a reader takes nothing the buffer fills, then the ring,
 * and then the stack loses copies, which the next block and the file's end tell of.
 *
 * A capture ends because main says so, or by itself: the file has as many bytes as it
 * may, it cannot be written, its reader has gone. By itself means that the thread
 * sets capture.enough and closes the file; main, which alone may take the ring out of
 * the stack and free it, does so when it next looks (tend()). A file that cannot be
 * written is cut behind its last whole block, so whatever is left can be read.
 */
#include "src/sight/pcap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/utc.h"
#include "src/sight/pcapng.h"
#include "src/sight/sight.h"
#include "src/sight/writer.h"
#include "tcpstack/capture.h"
#include "tcpstack/limits.h"
#include "virtio/net_worker.h"

/* Between two looks whether a reader takes something, milliseconds. */
#define RETRY_MS 500

static_assert(PCAPNG_HEAD_MAX + PCAPNG_PACKET_MAX + CAPTURE_SNAPLEN_MAX <= PCAP_BUFFER,
	      "any frame fits");
static_assert(PCAPNG_HEAD_MAX + PCAPNG_STATS_MAX <= PCAP_LIMIT_MIN, "an empty file fits");

/**
 * struct pcap - one capture; main's but for what the thread has
 * @cap:	what the stack has
 * @ring:	memory of cap.ring
 * @to_utc_ns:	what makes nanoseconds since 1970 of the worker's time; one value for the
 *		whole file, in which time so never goes back
 * @sink:	number at the writer
 * @end:	enum pcap_end; set by the thread, or by main before the sink leaves
 * @bytes, @written, @discarded:	the thread's figures; discarded are frames that were
 *		taken from the ring and are not in the file
 * @error:	errno for PCAP_FAILED
 * @fd:		the thread's; -1 = the file is complete
 * @is_empty:	a file was emptied before it is written
 * @closing:	nothing is taken any more
 * @len, @part:	bytes in @buf, which begins with a block, and those already written
 * @size:	bytes of all blocks so far
 * @told:	cap.ring.lost as far as blocks have told of it
 */
struct pcap {
	struct capture cap;
	void *ring;
	char *name, *filter;
	uint64_t limit, start_ns, to_utc_ns;
	enum pcap_state state;
	struct writer *w;
	int sink;

	_Atomic int end;
	struct counter bytes, written, discarded, error;

	int fd;
	bool is_socket, is_empty, closing;
	uint32_t len, part;
	uint64_t size, told;
	uint8_t buf[PCAP_BUFFER];
};

/* --- the writer thread -------------------------------------------------------- */

/* From now on frames are not copied any more. */
static void end_it(struct pcap *p, enum pcap_end end, int err)
{
	static const char *const words[] = {
		[PCAP_FULL] = "it is as long as it may be", [PCAP_UNREAD] = "nobody reads it"
	};
	int not_yet = PCAP_NOT_YET;

	p->closing = true;
	atomic_store_explicit(&p->cap.enough, true, memory_order_relaxed);
	counter_set(&p->error, (uint64_t)err);
	atomic_compare_exchange_strong(&p->end, &not_yet, (int)end);
	LOG(err ? LOG_WARN : LOG_INFO, "pcap", "%s: the capture ends: %s", p->name,
	    err ? strerror(err) : words[end]);
}

static bool take(void *ctx, const void *msg, uint32_t len)
{
	const struct capture_record *r = msg;
	struct pcap *p = ctx;
	size_t n;

	(void)len;
	if (!p->closing && p->size + PCAPNG_PACKET_MAX + r->len + PCAPNG_STATS_MAX > p->limit)
		end_it(p, PCAP_FULL, 0);
	if (p->closing) {
		counter_inc(&p->discarded);
		return true;
	}
	if (PCAP_BUFFER - p->len < PCAPNG_PACKET_MAX + r->len)
		return false;
	n = pcapng_packet(p->buf + p->len, r, p->to_utc_ns, r->lost - p->told);
	p->told = r->lost;
	p->len += (uint32_t)n;
	p->size += n;
	counter_inc(&p->written);
	return true;
}

/* As much as goes. 0 or the errno that ended it. */
static int write_out(struct pcap *p)
{
	if (!p->is_socket && !p->is_empty && ftruncate(p->fd, 0) < 0)
		return errno;
	p->is_empty = true;
	while (p->part < p->len) {
		const uint8_t *at = p->buf + p->part;
		size_t len = p->len - p->part;
		int n = writer_put(p->fd, p->is_socket, at, len);

		if (n < 0)
			return -n;
		p->part += (uint32_t)n;
		counter_add(&p->bytes, (uint64_t)n);
	}
	p->len = p->part = 0;
	return 0;
}

/* The file is left without half a block, and frames that are not in it are counted. */
static void give_up(struct pcap *p, int err)
{
	uint64_t before = counter_get(&p->bytes) - p->part, packets = 0;
	uint32_t whole = 0, at, len;

	for (at = 0; at < p->len; at += len) {
		len = get_le32(p->buf + at + 4);
		if (at + len <= p->part)
			whole = at + len;
		else
			packets += get_le32(p->buf + at) == PCAPNG_PACKET;
	}
	if (!p->is_socket && ftruncate(p->fd, (off_t)(before + whole)) == 0)
		counter_set(&p->bytes, before + whole);
	counter_add(&p->discarded, packets);
	counter_set(&p->written, counter_get(&p->written) - packets);
	close(p->fd);
	p->fd = -1;
	if (err == EPIPE || err == ECONNRESET || err == EAGAIN)
		end_it(p, PCAP_UNREAD, 0);
	else
		end_it(p, PCAP_FAILED, err);
}

/*
 * The last block, where everything before it was written. The worker may be at a frame
 * this moment, if it is the file that ends: what matches and is not there is lost, in
 * whichever of the counters it will stand.
 */
static void close_file(struct pcap *p)
{
	uint64_t written = counter_get(&p->written), matched = counter_get(&p->cap.matched);
	const struct pcapng_stats s = {
		.start_ns = p->start_ns + p->to_utc_ns,
		.end_ns = clock_now_ns() + p->to_utc_ns,
		.seen = counter_get(&p->cap.seen),
		.matched = matched,
		.lost = matched - written,
		.written = written,
	};
	int err;

	p->len = (uint32_t)pcapng_stats(p->buf, &s);
	err = write_out(p);
	if (err)
		give_up(p, err);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static int flush(void *ctx, struct pollfd *wait)
{
	struct pcap *p = ctx;
	int err;

	if (p->fd < 0)
		return -1;
	err = write_out(p);
	if (err == EAGAIN) {
		*wait = (struct pollfd){ .fd = p->fd, .events = POLLOUT };
		return RETRY_MS;
	}
	if (err)
		give_up(p, err);
	else if (p->closing)
		close_file(p);
	return -1;
}

static void finish(void *ctx)
{
	struct pcap *p = ctx;
	uint32_t len;
	int err;

	/* Patience is at its end where something is left. */
	for (; spsc_peek(&p->cap.ring, &len); spsc_release(&p->cap.ring))
		counter_inc(&p->discarded);
	if (p->fd < 0)
		return;
	err = write_out(p);
	if (err)
		give_up(p, err);
	else
		close_file(p);
}

static const struct sink_ops ops = { .take = take, .flush = flush, .finish = finish };

/* --- main --------------------------------------------------------------------- */

/* What may be written to without a wait that nobody ends. 0 or -errno */
static int check_fd(int fd, bool *is_socket, char *why, size_t why_len)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) < 0)
		return -errno;
	*is_socket = S_ISSOCK(st.st_mode);
	if (*is_socket)
		return 0;
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, why_len, "neither a regular file nor a socket");
		return -EINVAL;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
		snprintf(why, why_len, "it is not open for writing");
		return -EINVAL;
	}
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

static int exchange(void *ctx, struct stack *st)
{
	stack_set_capture(st, ctx);
	return 0;
}

/* No more frames; the rest is written and the file closed. */
static void leave(struct pcap *p, struct net_worker *w)
{
	net_worker_call(w, exchange, NULL);
	p->state = PCAP_ENDING;
	writer_remove(p->w, p->sink);
}

/* Move on what has come to its end. */
static void tend(struct pcap *p, struct net_worker *w)
{
	if (p->state == PCAP_RUNNING && atomic_load(&p->end) != PCAP_NOT_YET)
		leave(p, w);
	if (p->state != PCAP_ENDING || !writer_gone(p->w, p->sink, 0))
		return;
	free(p->ring);
	p->ring = NULL;
	p->state = PCAP_ENDED;
}

static struct pcap *make(const struct pcap_config *cfg)
{
	struct pcap *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->name = strdup(cfg->name);
	p->filter = strdup(cfg->filter);
	p->ring = malloc(LIMIT_CAPTURE_RING_BYTES);
	if (p->name && p->filter && p->ring) {
		memset(p->ring, 0, LIMIT_CAPTURE_RING_BYTES); /* here, not page by page there */
		return p;
	}
	free(p->ring);
	free(p->filter);
	free(p->name);
	free(p);
	return NULL;
}

/**
 * pcap_start() - copy frames into a file from now on
 * @s:		with its writer
 * @w:		started or not
 * @why:	on failure, one line
 *
 * Return: 0; -EBUSY while there is another one; -EINVAL, -ENOMEM, -ENOSPC, -errno, and
 * cfg->fd is still the caller's
 */
int pcap_start(struct sight *s, struct net_worker *w, const struct pcap_config *cfg, char *why,
	       size_t why_len)
{
	bool is_socket = false;
	struct pcap *p;
	int err;

	why[0] = 0;
	if (s->pcap)
		tend(s->pcap, w);
	if (s->pcap && s->pcap->state != PCAP_ENDED) {
		snprintf(why, why_len, "there is a capture already, into %s", s->pcap->name);
		return -EBUSY;
	}
	err = check_fd(cfg->fd, &is_socket, why, why_len);
	p = err == 0 ? make(cfg) : NULL;
	if (!p)
		return err ? err : -ENOMEM;
	p->w = s->writer;
	p->is_socket = is_socket;
	p->limit = cfg->limit;
	p->cap.snaplen = cfg->snaplen;
	p->start_ns = clock_now_ns();
	p->to_utc_ns = utc_now_ns() - p->start_ns;
	spsc_init(&p->cap.ring, p->ring, LIMIT_CAPTURE_RING_BYTES, writer_wake_fd(s->writer));
	p->len = (uint32_t)pcapng_head(p->buf, cfg->program, cfg->filter, cfg->snaplen);
	p->size = p->len;
	p->fd = cfg->fd;
	err = capture_filter_parse(&p->cap.filter, cfg->filter, why, why_len);
	if (err == 0)
		err = writer_add(s->writer, &p->cap.ring, &ops, p);
	if (err < 0) {
		p->state = PCAP_ENDED;
		p->fd = -1;
		pcap_free(p);
		return err;
	}
	p->sink = err;
	pcap_free(s->pcap);
	s->pcap = p;
	net_worker_call(w, exchange, &p->cap);
	return 0;
}

/**
 * pcap_stop() - copy no more; what was copied is written
 *
 * Does not wait for that: pcap_status() tells when the file is complete. Return: 0, or
 * -ENOENT when nothing is captured
 */
int pcap_stop(struct sight *s, struct net_worker *w)
{
	int not_yet = PCAP_NOT_YET;

	if (s->pcap)
		tend(s->pcap, w);
	if (!s->pcap || s->pcap->state != PCAP_RUNNING)
		return -ENOENT;
	atomic_compare_exchange_strong(&s->pcap->end, &not_yet, PCAP_STOPPED);
	leave(s->pcap, w);
	return 0;
}

/**
 * pcap_status() - of the capture there is, or of the last one
 *
 * Return: 0, or -ENOENT when there was none
 */
int pcap_status(struct sight *s, struct net_worker *w, struct pcap_status *out)
{
	struct pcap *p = s->pcap;

	if (!p)
		return -ENOENT;
	tend(p, w);
	*out = (struct pcap_status){
		.name = p->name,
		.filter = p->filter,
		.state = p->state,
		.end = (enum pcap_end)atomic_load(&p->end),
		.snaplen = p->cap.snaplen,
		.limit = p->limit,
		.bytes = counter_get(&p->bytes),
		.written = counter_get(&p->written),
		.seen = counter_get(&p->cap.seen),
		.matched = counter_get(&p->cap.matched),
		.lost = counter_get(&p->cap.ring.lost) + counter_get(&p->discarded),
		.error = (int)counter_get(&p->error),
	};
	return 0;
}

/**
 * pcap_free() - write what is left, and end; NULL is harmless
 *
 * The stack is gone, or has no capture. Where the disk does not answer, memory is left
 * to the process's end, which is near.
 */
void pcap_free(struct pcap *p)
{
	int not_yet = PCAP_NOT_YET;

	if (!p)
		return;
	if (p->state == PCAP_RUNNING) {
		atomic_compare_exchange_strong(&p->end, &not_yet, PCAP_STOPPED);
		writer_remove(p->w, p->sink);
		p->state = PCAP_ENDING;
	}
	if (p->state == PCAP_ENDING && !writer_gone(p->w, p->sink, 2 * WRITER_PATIENCE_MS)) {
		log_error("pcap", "%s: does not answer", p->name);
		return;
	}
	free(p->ring);
	free(p->filter);
	free(p->name);
	free(p);
}
