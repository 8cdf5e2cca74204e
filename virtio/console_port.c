/* SPDX-License-Identifier: MIT */
/*
 * virtio-console: the byte streams of the ports. Theory: console.c.
 */
#include <string.h>

#include "virtio/console_priv.h"

/**
 * vcon_chain_read() - copy the first @len bytes of the readable part
 *
 * Return: whether there are so many
 */
bool vcon_chain_read(const struct vq_chain *chain, void *buf, size_t len)
{
	size_t done = 0;

	for (uint32_t i = 0; i < chain->out_cnt && done < len; i++) {
		size_t n = MIN(chain->iov[i].iov_len, len - done);

		memcpy((uint8_t *)buf + done, chain->iov[i].iov_base, n);
		done += n;
	}
	return done == len;
}

/**
 * vcon_chain_write() - copy @buf into the writable part
 *
 * Return: bytes that it had room for
 */
size_t vcon_chain_write(const struct vq_chain *chain, const void *buf, size_t len)
{
	const struct iovec *iov = chain->iov + chain->out_cnt;
	size_t done = 0;

	for (uint32_t i = 0; i < chain->in_cnt && done < len; i++) {
		size_t n = MIN(iov[i].iov_len, len - done);

		memcpy(iov[i].iov_base, (const uint8_t *)buf + done, n);
		done += n;
	}
	return done;
}

/* Drop @n bytes off the front of the held chain. Return: whether any are left. */
static bool held_advance(struct vcon_port *p, size_t n)
{
	while (p->held_first < p->held.out_cnt) {
		struct iovec *v = &p->held.iov[p->held_first];

		if (n < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + n;
			v->iov_len -= n;
			return true;
		}
		n -= v->iov_len;
		p->held_first++;
	}
	BUG_ON(n != 0); /* the owner took more than it was given */
	return false;
}

/* Offer the held chain to the owner. Return: whether it took all. */
static bool held_offer(struct vcon_port *p)
{
	uint32_t cnt = p->held.out_cnt - p->held_first;
	size_t taken;

	if (!p->ops || !p->ops->on_data)
		return true;
	/* Set before the call: vcon_port_resume() may come from inside it. */
	p->stalled = true;
	taken = p->ops->on_data(p->ctx, p->held.iov + p->held_first, cnt);
	if (held_advance(p, taken))
		return false;
	p->stalled = false;
	return true;
}

/**
 * vcon_port_drain() - offer the owner what the guest has written
 *
 * Until it takes less than it is given, or a queue's size of chains is done.
 */
void vcon_port_drain(struct vcon *c, struct vcon_port *p)
{
	struct virtq *q = vcon_port_tx(c, p);

	for (uint32_t i = 0; i < VCON_BUDGET && !p->stalled; i++) {
		if (!p->have_held) {
			if (vq_pop(q, VQ_READABLE, &p->held, p->iov, ARRAY_SIZE(p->iov)) != 1)
				break;
			p->have_held = true;
			p->held_first = 0;
		}
		if (!held_offer(p))
			continue;
		vq_use(q, p->held.head, 0);
		p->have_held = false;
	}
	vq_publish(q);
}

/**
 * vcon_port_tell_open() - tell the owner what the guest's side is, if it does not know
 */
void vcon_port_tell_open(struct vcon_port *p)
{
	if (p->guest_open == p->told_open)
		return;
	p->told_open = p->guest_open;
	if (p->ops && p->ops->on_open)
		p->ops->on_open(p->ctx, p->told_open);
}

/**
 * vcon_port_tell_lost() - tell the owner that a reset closed the port, if one did
 */
void vcon_port_tell_lost(struct vcon_port *p)
{
	if (!p->lost)
		return;
	p->lost = false;
	if (p->ops && p->ops->on_open)
		p->ops->on_open(p->ctx, false);
}

/**
 * vcon_port_service() - move what can be moved, in both directions
 */
void vcon_port_service(struct vcon *c, struct vcon_port *p)
{
	struct virtq *rx = vcon_port_rx(c, p);

	vcon_port_drain(c, p);
	if (p->want_room && p->guest_open && vq_pending(rx)) {
		p->want_room = false;
		if (p->ops && p->ops->on_room)
			p->ops->on_room(p->ctx);
	}
}

/**
 * vcon_port_write() - bytes for the guest
 * @port:	below the number of ports
 *
 * Owner's thread. Return: bytes taken, 0..@len; if less than @len, on_room()
 * follows when the guest, having opened the port, has buffers for more
 */
size_t vcon_port_write(struct vcon *c, uint32_t port, const void *data, size_t len)
{
	struct vcon_port *p = &c->port[port];
	struct vq_chain chain;
	struct virtq *q;
	size_t done = 0;

	BUG_ON(port >= c->nports);
	pthread_mutex_lock(&c->lock);
	q = vcon_port_rx(c, p);
	for (uint32_t i = 0; i < VCON_BUDGET && done < len && c->running && p->guest_open; i++) {
		size_t n;

		if (vq_pop(q, VQ_WRITABLE, &chain, c->scratch, ARRAY_SIZE(c->scratch)) != 1)
			break;
		n = vcon_chain_write(&chain, (const uint8_t *)data + done, len - done);
		vq_use(q, chain.head, (uint32_t)n);
		done += n;
	}
	vq_publish(q);
	p->want_room = done < len;
	if (p->want_room && c->running && p->guest_open && (vq_notify_on(q) || q->broken))
		vcon_kick_self(c);
	pthread_mutex_unlock(&c->lock);
	return done;
}

/**
 * vcon_port_resume() - the owner can take the guest's bytes again
 *
 * Owner's thread; on_data() follows from the next vcon_service().
 */
void vcon_port_resume(struct vcon *c, uint32_t port)
{
	BUG_ON(port >= c->nports);
	pthread_mutex_lock(&c->lock);
	c->port[port].stalled = false;
	vcon_kick_self(c);
	pthread_mutex_unlock(&c->lock);
}

/**
 * vcon_port_set_open() - open or close the host's side of a port
 *
 * Owner's thread. A guest that reads a port whose host side is closed gets end
 * of file once the bytes sent before are read.
 */
void vcon_port_set_open(struct vcon *c, uint32_t port, bool open)
{
	struct vcon_port *p = &c->port[port];

	BUG_ON(port >= c->nports);
	pthread_mutex_lock(&c->lock);
	if (p->host_open != open) {
		p->host_open = open;
		if (p->ready && c->multiport)
			p->owed |= OWED_OPEN;
		vcon_kick_self(c);
	}
	pthread_mutex_unlock(&c->lock);
}
