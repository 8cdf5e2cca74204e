/* SPDX-License-Identifier: MIT */
/*
 * vhost-user sessions over a real socket, against the real network worker.
 *
 * A struct vrig is a back-end: a listening socket whose front-ends a thread
 * serves one after the other, as `sluice vhost-user` does. A struct vclient is
 * a front-end that says exactly what the test tells it to; bench/front is one
 * that behaves.
 *
 * What the process holds before the first front-end is remembered, and
 * vrig_expect_end() compares: descriptors, shared mappings, flows.
 */
#ifndef SLUICE_TESTS_VHOST_RIG_H
#define SLUICE_TESTS_VHOST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "bench/front/front.h"
#include "virtio/vhost_priv.h"
#include "virtio/vhost_user.h"

#define VC_QSIZE 256
#define VC_MEM	 (4UL << 20)

/* Where a vclient's memory stands in the guest, and in the front-end. */
#define VC_GPA 0x100000000ULL
#define VC_UVA 0x7f0000000000ULL

struct vrig;

struct vrig *vrig_new(void);
void vrig_free(struct vrig *r);
const char *vrig_path(const struct vrig *r);
const struct stack_config *vrig_stack_config(const struct vrig *r);
const struct stack_counters *vrig_counters(struct vrig *r);
bool vrig_running(struct vrig *r);
void vrig_dump(struct vrig *r);
int vrig_wait_end(struct vrig *r);
void vrig_will_close(struct vrig *r, int fds);
void vrig_expect_base(struct vrig *r);
void vrig_expect_end(struct vrig *r, int why);

/* What a request came to. */
enum vc_verdict { VC_OK, VC_REFUSED, VC_CUT };

/**
 * struct vclient - a front-end under the test's control
 * @sock:	connected
 * @mem_fd, @mem:	VC_MEM bytes: rings at the start, then buffers
 * @kick, @call:	eventfds of the rings
 */
struct vclient {
	int sock;
	int mem_fd;
	uint8_t *mem;
	int kick[2], call[2];
};

void vc_open(struct vclient *c, const struct vrig *r);
void vc_close(struct vclient *c);
void vc_leave(struct vclient *c, struct vrig *r);
int vc_connect(const char *path);
bool vc_send(int sock, const void *msg, size_t len, const int *fds, uint32_t nfds);
bool vc_recv(int sock, struct vu_message *m);
enum vc_verdict vc_request(struct vclient *c, struct vu_message *m, const int *fds, uint32_t nfds);
enum vc_verdict vc_u64(struct vclient *c, uint32_t request, uint64_t value, int fd);
enum vc_verdict vc_state(struct vclient *c, uint32_t request, uint32_t index, uint32_t num);
enum vc_verdict vc_addr(struct vclient *c, uint32_t index, uint64_t desc, uint64_t avail,
			uint64_t used);
enum vc_verdict vc_region(struct vclient *c, uint32_t request, const struct vu_region *region,
			  int fd);
bool vc_get(struct vclient *c, uint32_t request, uint64_t *value);
void vc_negotiate(struct vclient *c);
void vc_memory(struct vclient *c);
void vc_ring(struct vclient *c, uint32_t index);
void vc_start(struct vclient *c);
uint64_t vc_ring_uva(uint32_t index, uint32_t part);
int vc_memfd(size_t len);

/* traffic.c: a driver that asks small questions through a struct front */
void tr_open(struct front *f, const struct vrig *r, uint16_t queue_size);
void tr_fill_rx(struct front *f);
bool tr_send(struct front *f, const void *frame, uint32_t len);
uint32_t tr_receive(struct front *f, uint8_t *frame, uint32_t size);
void tr_arp(struct front *f, const struct vrig *r, uint32_t n);
void tr_ping(struct front *f, const struct vrig *r, uint32_t len, uint32_t n);

#endif
