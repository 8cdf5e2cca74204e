/* SPDX-License-Identifier: MIT */
/*
 * The few ports of a PC by which a guest ends itself (ACPI sleep control and
 * reset, the keyboard controller's reset line), and the two whose absence a
 * kernel would wait for (clock chip, keyboard controller status).
 */
#ifndef SLUICE_VMM_LEGACY_H
#define SLUICE_VMM_LEGACY_H

#include <stdint.h>

#include "src/vmm/bus.h"
#include "virtio/mem.h"

enum legacy_event { LEGACY_POWEROFF, LEGACY_RESET };

/**
 * struct legacy - the ports keep no state
 * @event:	the guest ends itself; vCPU threads
 */
struct legacy {
	void (*event)(void *ctx, enum legacy_event event);
	void *ctx;
};

/* legacy.c */
int legacy_attach(struct legacy *l, struct bus *pio);
int legacy_install_firmware(const struct gmem *mem);

#endif
