/* SPDX-License-Identifier: MIT */
/*
 * A bad link; see the header. Every frame waits @delay_ns, so the queue is in
 * the order of its deadlines; a reordered frame does not wait, and overtakes.
 */
#include "bench/nsguest/impair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"

struct impair_frame {
	struct impair_frame *next;
	uint64_t due_ns;
	uint32_t len;
	uint8_t data[];
};

/**
 * impair_parse() - "loss=1,duplicate=1,reorder=5,delay=20": percent and milliseconds
 *
 * Return: 0 or -EINVAL
 */
int impair_parse(struct impair_config *cfg, const char *text)
{
	while (*text) {
		size_t name = strcspn(text, "=");
		char *end;
		double v;

		if (text[name] != '=')
			return -EINVAL;
		v = strtod(text + name + 1, &end);
		if (end == text + name + 1 || v < 0 || (*end && *end != ','))
			return -EINVAL;
		if (strncmp(text, "loss", name) == 0)
			cfg->loss = v / 100;
		else if (strncmp(text, "duplicate", name) == 0)
			cfg->duplicate = v / 100;
		else if (strncmp(text, "reorder", name) == 0)
			cfg->reorder = v / 100;
		else if (strncmp(text, "delay", name) == 0)
			cfg->delay_ns = (uint64_t)(v * (double)NS_PER_MS);
		else if (strncmp(text, "seed", name) == 0)
			cfg->seed = (uint64_t)v;
		else
			return -EINVAL;
		text = *end ? end + 1 : end;
	}
	return 0;
}

/**
 * impair_any() - is there anything to do?
 */
bool impair_any(const struct impair_config *cfg)
{
	return cfg->loss > 0 || cfg->duplicate > 0 || cfg->reorder > 0 || cfg->delay_ns > 0;
}

/**
 * impair_init() - one direction of a bad link
 */
void impair_init(struct impair *im, const struct impair_config *cfg,
		 void (*deliver)(void *ctx, const void *frame, uint32_t len), void *ctx)
{
	*im = (struct impair){ .cfg = *cfg, .deliver = deliver, .ctx = ctx };
	im->rng = cfg->seed * 2654435761U + 88172645463325252ULL;
	im->tail = &im->head;
}

static bool happens(struct impair *im, double share)
{
	im->rng ^= im->rng << 13;
	im->rng ^= im->rng >> 7;
	im->rng ^= im->rng << 17;
	return (double)(im->rng >> 11) / (double)(1ULL << 53) < share;
}

static void enqueue(struct impair *im, const void *frame, uint32_t len, uint64_t due_ns)
{
	struct impair_frame *f;

	if (im->queued == IMPAIR_QUEUE_MAX || !(f = malloc(sizeof(*f) + len))) {
		im->lost++;
		return;
	}
	f->next = NULL;
	f->due_ns = due_ns;
	f->len = len;
	memcpy(f->data, frame, len);
	*im->tail = f;
	im->tail = &f->next;
	im->queued++;
}

/**
 * impair_push() - a frame enters the link; it may come out at once
 */
void impair_push(struct impair *im, const void *frame, uint32_t len, uint64_t now_ns)
{
	int copies = 1;

	if (happens(im, im->cfg.loss)) {
		im->lost++;
		return;
	}
	if (happens(im, im->cfg.duplicate)) {
		im->doubled++;
		copies = 2;
	}
	for (int i = 0; i < copies; i++) {
		if (im->cfg.delay_ns == 0) {
			im->deliver(im->ctx, frame, len);
		} else if (happens(im, im->cfg.reorder)) {
			im->reordered++;
			im->deliver(im->ctx, frame, len);
		} else {
			enqueue(im, frame, len, now_ns + im->cfg.delay_ns);
		}
	}
}

/**
 * impair_run() - let out what is due
 *
 * Return: when the next frame is, UINT64_MAX = none waits
 */
uint64_t impair_run(struct impair *im, uint64_t now_ns)
{
	while (im->head && im->head->due_ns <= now_ns) {
		struct impair_frame *f = im->head;

		im->head = f->next;
		if (!im->head)
			im->tail = &im->head;
		im->queued--;
		im->deliver(im->ctx, f->data, f->len);
		free(f);
	}
	return im->head ? im->head->due_ns : UINT64_MAX;
}
