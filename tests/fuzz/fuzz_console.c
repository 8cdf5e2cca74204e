/* SPDX-License-Identifier: MIT */
/*
 * virtio-console, and a driver that writes anything into rings and memory (ring.h).
 *
 * There are two ports: a terminal, and one with a name. Their owner reads every byte that
 * it is offered, takes as many as it was told to, and writes. In the end it takes all, so
 * that whatever the guest has sent must be used.
 *
 * What holds: port by port, the guest's used buffers hold as many bytes as the device has
 * taken from the owner; a port is opened and closed in turn; messages about ports are as
 * long as there are; who waits for room or owes a message finds no buffer for it; a
 * device whose ring is broken asks for a reset; and it sleeps when there is nothing to do.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <string.h>

#include "src/base/bytes.h"
#include "tests/fuzz/ring.h"
#include "tests/unit/vmachine.h"
#include "virtio/console_priv.h"

#define PORTS	 2
#define NAME	 "org.sluice.cmd"
#define MESSAGES 0x13000ULL /* the driver's, 8 bytes for each descriptor */

/* Calls after which a device that is not fed any more must sleep. */
#define TURNS 64

const struct fuzz_target fuzz_target = {
	.name = "console",
	.done = "chains with bytes and messages",
	.refused = "chains and drivers refused",
	.floor = 100,
	.alloc_one = 65536, /* struct vcon, which has all that it will ever need */
	.alloc_all = 65536,
	.setup = ring_setup,
};

/* The steps that are ours. */
enum {
	MESSAGE = RING_OWN_6, /* the driver's, offered; 1: port; 2: event; 3: value; 4: index */
	WRITE = RING_OWN_7,   /* the owner's; 1: port; 2, 3: bytes */
	TAKE = RING_OWN_8,    /* 1: port; 2, 3: bytes that on_data() takes; 4: resumed now */
	OPEN = RING_OWN_13,   /* the owner's side; 1: port; 2: open */
};

enum { RX0, TX0, CTL_RX, CTL_TX, RX1, TX1, QUEUES };

static_assert(QUEUES <= RING_QUEUES, "room for all");

/**
 * struct port - the owner's end
 * @take:	bytes that on_data() takes at a time
 * @open:	the guest's side, as it was told
 * @wrote, @got:	bytes that the device took, and that the guest has
 */
static struct port {
	uint32_t take;
	bool open;
	uint64_t wrote, got;
} port[PORTS];

static struct vcon *vcon;

static struct virtq *queue(int q)
{
	return &vcon->q[q];
}

static void used(int q, uint32_t len)
{
	const uint32_t head = sizeof(struct virtio_console_control);

	fuzz_work.done += len > 0 || q % 2 == 1;
	if (q == RX0 || q == RX1)
		port[q == RX1].got += len;
	else if (q == CTL_RX)
		FUZZ_CHECK(len == 0 || len == head || len == head + strlen(NAME),
			   "a message of %u bytes", len);
	else
		FUZZ_CHECK(len == 0, "%u bytes of queue %d", len, q);
}

static bool broken(void)
{
	return vcon->dev.status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* --- the owner of the ports ----------------------------------------------------------- */

static void on_open(void *ctx, bool open)
{
	struct port *p = ctx;

	FUZZ_CHECK(p->open != open, "told twice");
	p->open = open;
}

static size_t on_data(void *ctx, const struct iovec *iov, uint32_t cnt)
{
	const struct port *p = ctx;
	static volatile uint8_t sum;
	size_t all = 0;

	FUZZ_CHECK(cnt > 0);
	for (uint32_t i = 0; i < cnt; all += iov[i++].iov_len) {
		const uint8_t *b = iov[i].iov_base;

		FUZZ_CHECK(iov[i].iov_len > 0);
		for (size_t k = 0; k < iov[i].iov_len; k++)
			sum = (uint8_t)(sum + b[k]);
	}
	return MIN(all, (size_t)p->take);
}

static void on_room(void *ctx)
{
	FUZZ_CHECK(((const struct port *)ctx)->open, "room in a closed port");
}

/* Return: whether all was taken */
static bool owner_writes(uint32_t i, size_t len)
{
	static const uint8_t bytes[RING_REGION];
	size_t n;

	len = MIN(len, sizeof(bytes));
	ring_look(vcon->running);
	n = vcon_port_write(vcon, i, bytes, len);
	ring_check(broken() || queue(i ? RX1 : RX0)->broken);
	FUZZ_CHECK(n <= len);
	port[i].wrote += n;
	return n == len;
}

static void owner_takes(uint32_t i, uint32_t bytes, bool now)
{
	port[i].take = bytes;
	if (now)
		vcon_port_resume(vcon, i);
}

/* --- the device's life ------------------------------------------------------------------ */

static void turn(void)
{
	ring_look(vcon->running);
	vcon_service(vcon);
	ring_check(broken());
}

/* Who waits for the guest has no buffer of it left (H52). */
static void check_waits(uint32_t i)
{
	const struct vcon_port *p = &vcon->port[i];

	if (p->want_room && p->guest_open)
		FUZZ_CHECK(vq_pending(queue(i ? RX1 : RX0)) == 0, "there is room in port %u", i);
	if (p->owed)
		FUZZ_CHECK(vq_pending(queue(CTL_RX)) == 0, "port %u is owed a message", i);
}

/* As the owner's loop does, until nothing is to be done. */
static void settle(void)
{
	for (int i = 0; vm_readable(vcon_kick_fd(vcon)); i++) {
		FUZZ_CHECK(i < TURNS || !ring.strict, "it never sleeps");
		if (i == 2 * TURNS)
			break;
		turn();
	}
	FUZZ_CHECK(!queue(TX0)->broken || broken(), "nobody asks for a reset");
}

/* The driver says nothing more, and the owner takes whatever there is. */
static void stop(uint8_t how)
{
	(void)how;
	if (!vcon->running)
		return;
	for (uint32_t i = 0; i < PORTS; i++)
		owner_takes(i, UINT32_MAX, true);
	settle();
	for (uint32_t i = 0; i < PORTS && !broken() && ring.strict; i++) {
		while (vcon->port[i].guest_open && !broken() && owner_writes(i, RING_REGION))
			;
		settle();
	}
	if (broken() || !ring.strict)
		return;
	for (int q = TX0; q < QUEUES; q += 2)
		if (ring.cfg[q].ready)
			ring_check_live(q);
	for (uint32_t i = 0; i < PORTS; i++) {
		check_waits(i);
		FUZZ_CHECK(port[i].wrote == port[i].got, "port %u: %llu bytes of %llu", i,
			   (unsigned long long)port[i].got, (unsigned long long)port[i].wrote);
	}
}

static void start(void)
{
	vdev_write_status(&vcon->dev, 0);
	for (uint32_t i = 0; i < PORTS; i++)
		port[i].wrote = port[i].got = 0;
	if (ring_start())
		return;
	ring_driver_ok(&vcon->dev);
	FUZZ_CHECK(vcon->running);
	for (int q = CTL_RX; q < QUEUES && !vcon->multiport; q++)
		ring.cfg[q].ready = false;
}

/* What Linux's driver says about ports, and what none should. */
static void message(const uint8_t *rec)
{
	const struct virtio_console_control m = { .id = rec[1], .event = rec[2], .value = rec[3] };
	uint8_t i = rec[4] % RING_SIZE, *to = ring_at(MESSAGES + 8ULL * i, sizeof(m));
	uint8_t desc[RING_RECORD] = { RING_DESC | CTL_TX << 4, i };
	const uint8_t offer[RING_RECORD] = { RING_OFFER | CTL_TX << 4, i };

	memcpy(to, &m, sizeof(m));
	put_le16(desc + 2, (uint16_t)(MESSAGES - RING_HOLE + RING_REGION + 8ULL * i));
	put_le16(desc + 4, sizeof(m));
	ring_step(desc);
	ring_step(offer);
}

static void step(const uint8_t *rec)
{
	uint32_t i = rec[1] % PORTS;

	switch (rec[0] & 15) {
	case MESSAGE:
		message(rec);
		break;
	case WRITE:
		owner_writes(i, get_le16(rec + 2));
		break;
	case TAKE:
		owner_takes(i, get_le16(rec + 2), rec[4] & 1);
		break;
	case OPEN:
		vcon_port_set_open(vcon, i, rec[2] & 1);
		break;
	default:
		break;
	}
}

static const struct ring_device device = {
	.queues = QUEUES,
	.queue = queue,
	.used = used,
	.start = start,
	.stop = stop,
	.turn = turn,
	.step = step,
};

void fuzz_one(const uint8_t *data, size_t len)
{
	static const struct vcon_port_ops ops = { on_open, on_data, on_room };
	const struct vcon_port_config ports[PORTS] = {
		{ .console = true, .ops = &ops, .ctx = &port[0] },
		{ .name = NAME, .open = true, .ops = &ops, .ctx = &port[1] },
	};

	memset(port, 0, sizeof(port));
	for (uint32_t i = 0; i < PORTS; i++)
		port[i].take = UINT32_MAX;
	FUZZ_CHECK(vcon_new(&vcon, &ring.mem, ports, PORTS) == 0);
	ring_begin(&device, vcon->dev.features);
	ring_run(data, len);
	for (uint16_t q = 0; q < QUEUES; q++)
		for (int i = 0; i < VQ_FAULT_COUNT; i++)
			fuzz_work.refused += counter_get(&vcon->dev.queue[q].n.faults[i]);
	vcon_free(vcon);
}
