/* SPDX-License-Identifier: MIT */
/*
 * The parts of nsguest: namespaces and addresses in ns.c, the frame pump in pump.c,
 * a bad link for it in impair.c.
 */
#ifndef SLUICE_BENCH_NSGUEST_H
#define SLUICE_BENCH_NSGUEST_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/front/front.h"
#include "bench/nsguest/impair.h"

#define NSGUEST_IFNAME "eth0"

/* Of Linux 6.2; older headers have none of them. */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO	56
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* How the interface is configured. */
struct ns_address {
	struct in_addr addr, mask, router, dns;
	int mtu;
};

/* ns.c */
int ns_enter(void);
int ns_bind_resolv_conf(void);
bool ns_has_uso(void);
int ns_tap_open(const char *ifname, uint64_t features, const uint8_t mac[6]);
int ns_link_up(const char *ifname);
int ns_configure(const char *ifname, const struct ns_address *a);
int ns_dhcp(const char *ifname);
bool ns_is_dhcp_hook(int argc, char **argv);
int ns_dhcp_hook(const char *event);

/**
 * struct pump_stats - what the pump has moved
 */
struct pump_stats {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t sleeps, rx_tap_errors;
	uint64_t lost, doubled, reordered;
	uint64_t restarts, resets;
};

/**
 * struct pump_upset - what the guest does to the device, each so often, 0 = never
 * @restart_ms:	stop the rings and start them again
 * @reset_ms:	reset the device: frames in the rings are lost
 * @starve_ms:	take nothing from the receive queue for a quarter of that time
 */
struct pump_upset {
	uint32_t restart_ms, reset_ms, starve_ms;
};

/* pump.c */
int pump_run(struct front *f, int tap, int child_pidfd, const struct impair_config *link,
	     const struct pump_upset *upset, struct pump_stats *stats);

#endif
