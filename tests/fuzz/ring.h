/* SPDX-License-Identifier: MIT */
/*
 * A virtio driver that writes anything into rings and memory, and an account of what the
 * device may do with it, for fuzz targets of devices.
 *
 * Guest memory is two regions of RING_REGION bytes at 0 and at RING_HOLE, each between
 * pages that cannot be touched. The input is a list of steps of RING_RECORD bytes each:
 *
 *	byte 0	bits 0..3: what (enum ring_step_kind); bits 4..6: the queue
 *	1..7	see the enum
 *
 * ring_run() does those that are the driver's alone. The others are the target's, which
 * puts ring_look() before and ring_check() behind whatever lets the device touch memory.
 *
 * The account is our own: before each turn of the device the chains that wait are walked,
 * by another walker than the device's: so it is known how much may be written to each, and
 * where. After it, every used entry must be of a chain that was taken, with a length within
 * what it holds; every byte of memory that has changed must be a used ring's or in a
 * writable buffer. When the driver has nothing more to say, a queue that is served has
 * used all that was made available (QEMU's virtio-net fuzzing looks for this). Rings and
 * tables that chains can write over make the account void; then only crashes and the ends
 * of memory count.
 */
#ifndef SLUICE_TESTS_FUZZ_RING_H
#define SLUICE_TESTS_FUZZ_RING_H

#include "tests/fuzz/fuzz.h"
#include "virtio/device.h"

#define RING_RECORD 8
#define RING_REGION 0x4000UL
#define RING_HOLE   0x10000ULL
#define RING_QUEUES 6  /* at most */
#define RING_SIZE   32 /* of a queue, at most */

enum ring_step_kind {
	RING_DESC,  /* 1: index; 2, 3: address; 4, 5: length; 6: flags; 7: next */
	RING_OFFER, /* 1: head, put into the avail ring and shown */
	RING_INDEX, /* 1, 2: avail.idx moved by so much */
	RING_WRITE, /* 1, 2: address; 3..7: bytes that go there */
	RING_FILL,  /* 1, 2: address; 3, 4: length; 5: the byte */
	RING_TURN,  /* the device's turn */
	RING_OWN_6, /* 6, 7, 8 and 13, 14, 15 are what the target says */
	RING_OWN_7,
	RING_OWN_8,
	RING_FEATURE, /* 1..4: features that the next driver does without */
	RING_PLACE,   /* 1: size; 2, 3; 4, 5; 6, 7: addresses of the parts, for the next driver */
	RING_RESTART, /* a reset, and a driver comes */
	RING_TABLE,   /* as RING_DESC, but into memory: an indirect table of the queue's */
	RING_OWN_13,
	RING_OWN_14,
	RING_OWN_15,
};

/**
 * struct ring_device - what a target tells of its device
 * @queues:	of the device
 * @queue:	one of them as the device has it
 * @used:	the device has used a chain of queue @q with @len bytes; NULL = never mind
 * @start:	a driver comes: ring_start(), and what the device has to do with it
 * @stop:	it goes, and everything that it left must be settled; @how: byte 1 of
 *		RING_RESTART, 1 in the end
 * @turn:	the device's turn
 * @step:	a step of the target's own; NULL = it has none
 */
struct ring_device {
	int queues;
	struct virtq *(*queue)(int q);
	void (*used)(int q, uint32_t len);
	void (*start)(void);
	void (*stop)(uint8_t how);
	void (*turn)(void);
	void (*step)(const uint8_t *rec);
};

/**
 * struct ring_account - of one queue
 * @taken_to:	where the device was in the avail ring when we looked last
 * @used_to:	used.idx as far as it has been looked at
 * @pending:	heads in the avail ring from @taken_to on, when we looked last
 * @taken:	by head, chains that the device has and has not used
 * @room:	by head, the most that such chains let the device write
 */
struct ring_account {
	uint16_t taken_to, used_to, npending;
	uint16_t pending[2 * RING_SIZE];
	uint16_t taken[RING_SIZE];
	uint64_t room[RING_SIZE];
};

/**
 * struct ring - all of it, for one input
 * @mem:	guest memory
 * @cfg:	where the driver has its queues, and the next one will; not @ready: not served
 * @features:	that the next driver asks for
 * @strict:	no chain can write over rings and tables, so that the account holds
 * @looked:	ring_look() has seen a device that is served
 * @writable:	of each byte of memory: some chain of this driver has let the device write it
 * @table:	... it has been part of an indirect table; @tables: some byte has
 */
struct ring {
	const struct ring_device *dev;
	struct gmem mem;
	struct vq_config cfg[RING_QUEUES], next[RING_QUEUES];
	struct ring_account acc[RING_QUEUES];
	uint64_t features;
	bool strict, looked, tables;
	uint8_t before[2 * RING_REGION];
	bool writable[2 * RING_REGION], table[2 * RING_REGION];
};

extern struct ring ring;

/* ring.c: the driver */
void ring_setup(void);
void ring_begin(const struct ring_device *dev, uint64_t features);
int ring_start(void);
void ring_driver_ok(struct vdev *d);
bool ring_step(const uint8_t *rec);
void ring_run(const uint8_t *data, size_t len);
void *ring_at(uint64_t gpa, uint64_t len);

/* ring_account.c: the account */
void ring_account_begin(void);
void ring_look(bool running);
void ring_check(bool broken);
void ring_check_memory(void);
void ring_check_used(int q);
void ring_check_live(int q);
uint32_t ring_chains_out(int q);

#endif
