/* SPDX-License-Identifier: MIT */
/*
 * virtio-console: messages about ports (virtio 1.2, 5.3.6.2). Theory: console.c.
 */
#include <linux/virtio_console.h>
#include <string.h>

#include "src/base/log.h"
#include "virtio/console_priv.h"

static_assert(sizeof(struct virtio_console_control) == 8, "virtio 1.2, 5.3.6.2");

static void port_ready(struct vcon_port *p, bool ok)
{
	p->ready = ok;
	p->owed &= OWED_ADD;
	if (!ok) {
		log_limited(LOG_WARN, "console", "the guest cannot set up port %u", p->index);
		return;
	}
	if (p->console)
		p->owed |= OWED_CONSOLE;
	if (p->name[0])
		p->owed |= OWED_NAME;
	if (p->host_open)
		p->owed |= OWED_OPEN;
}

/* Return: false if the message makes no sense */
static bool control_message(struct vcon *c, const struct virtio_console_control *m)
{
	struct vcon_port *p;

	if (m->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (uint32_t i = 0; i < c->nports && m->value; i++)
			c->port[i].owed |= OWED_ADD;
		return true;
	}
	if (m->id >= c->nports)
		return false;
	p = &c->port[m->id];
	switch (m->event) {
	case VIRTIO_CONSOLE_PORT_READY:
		port_ready(p, m->value);
		return true;
	case VIRTIO_CONSOLE_PORT_OPEN:
		/* What was written before the close comes before the close. */
		if (!m->value)
			vcon_port_drain(c, p);
		p->guest_open = m->value;
		vcon_port_tell_open(p);
		return true;
	default:
		return false;
	}
}

/**
 * vcon_control_drain() - do what the guest's messages say
 */
void vcon_control_drain(struct vcon *c)
{
	struct virtq *q = &c->q[VCON_CONTROL_TX];
	struct virtio_console_control m;
	struct vq_chain chain;

	for (uint32_t i = 0; i < VCON_BUDGET; i++) {
		bool whole;

		if (vq_pop(q, VQ_READABLE, &chain, c->scratch, ARRAY_SIZE(c->scratch)) != 1)
			break;
		whole = vcon_chain_read(&chain, &m, sizeof(m));
		vq_use(q, chain.head, 0);
		if (!whole)
			vq_fault(q, VQ_FAULT_CHAIN_SHORT);
		else if (!control_message(c, &m))
			vq_fault(q, VQ_FAULT_CHAIN_CONTENT);
	}
	vq_publish(q);
}

/* Compose what @p is owed by @bit. Return: its length */
static size_t control_compose(const struct vcon_port *p, uint8_t bit, uint8_t *buf)
{
	struct virtio_console_control m = { .id = p->index, .value = 1 };
	size_t name_len = 0;

	switch (bit) {
	case OWED_ADD:
		m.event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case OWED_CONSOLE:
		m.event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case OWED_NAME:
		/* The name follows, without a NUL (5.3.6.2). */
		m.event = VIRTIO_CONSOLE_PORT_NAME;
		name_len = strlen(p->name);
		break;
	default:
		m.event = VIRTIO_CONSOLE_PORT_OPEN;
		m.value = p->host_open;
		break;
	}
	memcpy(buf, &m, sizeof(m));
	memcpy(buf + sizeof(m), p->name, name_len);
	return sizeof(m) + name_len;
}

/* Send one message. Return: false when there is no buffer for it. */
static bool control_send(struct vcon *c, const struct vcon_port *p, uint8_t bit)
{
	uint8_t buf[sizeof(struct virtio_console_control) + VCON_NAME_MAX];
	struct virtq *q = &c->q[VCON_CONTROL_RX];
	size_t len = control_compose(p, bit, buf);
	struct vq_chain chain;

	for (uint32_t i = 0; i < VCON_BUDGET; i++) {
		if (vq_pop(q, VQ_WRITABLE, &chain, c->scratch, ARRAY_SIZE(c->scratch)) != 1)
			return false;
		if (chain.in_len >= len) {
			vq_use(q, chain.head, (uint32_t)vcon_chain_write(&chain, buf, len));
			return true;
		}
		vq_fault(q, VQ_FAULT_CHAIN_SHORT);
		vq_use(q, chain.head, 0);
	}
	return false;
}

/**
 * vcon_control_flush() - send what ports are owed, as far as there are buffers
 *
 * Return: whether something is still owed
 */
bool vcon_control_flush(struct vcon *c)
{
	bool room = true, left = false;

	for (uint32_t i = 0; i < c->nports; i++) {
		struct vcon_port *p = &c->port[i];

		while (p->owed && room) {
			uint8_t bit = p->owed & (uint8_t)-p->owed;

			room = control_send(c, p, bit);
			if (room)
				p->owed &= (uint8_t)~bit;
		}
		left |= p->owed != 0;
	}
	vq_publish(&c->q[VCON_CONTROL_RX]);
	return left;
}
