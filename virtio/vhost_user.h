/* SPDX-License-Identifier: MIT */
/*
 * vhost-user back-end for virtio-net: the device of net.h, driven by another
 * VMM over a Unix socket (QEMU's interop/vhost-user specification).
 *
 * One session is one connected front-end and one device with one queue pair.
 * All calls are the main thread's; none blocks on the front-end: messages are
 * collected from a nonblocking socket and acted upon when whole. The data path
 * is the network worker's, which a session attaches and detaches.
 *
 * The front-end is not trusted: lengths, descriptor counts, regions and queue
 * addresses are checked, every descriptor that arrives is owned and closed, and
 * whatever it does ends at worst its own session.
 */
#ifndef SLUICE_VIRTIO_VHOST_USER_H
#define SLUICE_VIRTIO_VHOST_USER_H

#include <stdint.h>

#include "virtio/net_worker.h"

struct vhost_session;

/* vhost_user.c */
uint64_t vhost_user_features(const struct vnet_config *net);
int vhost_session_new(struct vhost_session **out, int conn, struct net_worker *worker,
		      const struct vnet_config *net);
int vhost_session_readable(struct vhost_session *s);
const struct vq_counters *vhost_session_counters(const struct vhost_session *s, unsigned int q);
bool vhost_session_running(const struct vhost_session *s);
void vhost_session_free(struct vhost_session *s);

#endif
