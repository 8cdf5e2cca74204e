/* SPDX-License-Identifier: MIT */
/* The inside of the rig, for its own files. */
#ifndef SLUICE_TESTS_STACK_RIG_PRIV_H
#define SLUICE_TESTS_STACK_RIG_PRIV_H

#include "src/base/alloc_count.h"
#include "src/base/base.h"
#include "tests/stack/rig.h"

#define TX_FRAMES_MAX  4096
#define RX_RECORDS_MAX 16384

enum tx_state { TX_FREE, TX_INPUT, TX_IS_HELD };

/* A frame from the guest; each piece is an allocation of its own. */
struct tx_record {
	enum tx_state state;
	uint16_t gen;
	struct iovec *iov;
	uint32_t iovcnt;
	uint32_t descs;
};

/* An allocated rx frame that has not been committed. */
struct rx_outstanding {
	struct iovec *iov; /* rx_buffers entries */
	uint32_t *buf;	   /* which buffers they are */
	uint32_t n;
	uint32_t want;
};

struct rx_record {
	uint8_t *data;
	uint32_t len;
	uint32_t fragments;
	struct offload off;
};

struct rig {
	struct rig_config cfg;
	struct port_caps caps;
	struct stack *st;
	uint64_t now;
	uint64_t clock_reads;
	uint64_t rng;
	int echo; /* for rig_land() */
	bool attached;
	bool auto_refill;
	bool starved;

	/* The receive ring: buffers by index, the free ones as a deque. */
	uint8_t **buffers;
	uint32_t *free_buf;
	uint32_t free_head, free_count;
	uint32_t *used_buf;
	uint32_t used_count;
	struct rx_outstanding out[PORT_RX_BATCH];
	uint32_t out_head, out_count;

	/* What the guest has got: committed, and published at the cycle's end. */
	struct rx_record rec[RX_RECORDS_MAX];
	uint32_t rec_head, rec_count, rec_published;
	uint8_t *popped;

	/* Fragments of one datagram. */
	uint8_t *frag;
	uint32_t frag_len, frag_count, frag_id;

	struct tx_record tx[TX_FRAMES_MAX];
	uint32_t tx_next, held, held_descs;

	uint64_t stack_allocs, port_allocs;
	bool slots_are_mallocs;
};

static inline uint64_t rig_allocs_here(void)
{
	const struct alloc_count *c = alloc_count_here();

	return c->allocs + c->maps;
}

/* rig_port.c */
extern const struct port_ops rig_port_ops;
void rig_return_buffer(struct rig *r, uint32_t buffer);
void rig_publish(struct rig *r);

/* rig_sockets.c */
int rig_echo_socket(void);
void rig_land(const struct rig *r);

#endif
