/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of our machine: hardware-reduced (ACPI 6.4, section 4.1), so
 * no SCI, no PM timer and no fixed registers but sleep control and reset.
 *
 * Built once, on the main thread, before any vCPU runs, from what the machine
 * has. The addresses of what never moves (COM1, ECAM, PCI window, sleep and
 * reset ports) come from layout.h.
 */
#ifndef SLUICE_VMM_ACPI_H
#define SLUICE_VMM_ACPI_H

#include <stdint.h>

#include "virtio/mem.h"

/**
 * struct acpi_config - what the machine has
 * @vcpus:	their local APIC ids are 0..@vcpus-1
 * @mmio_slots:	virtio-mmio slots in use, from slot 0 on
 */
struct acpi_config {
	unsigned vcpus;
	unsigned mmio_slots;
};

/* acpi.c */
int acpi_build(const struct acpi_config *cfg, const struct gmem *mem, uint64_t *rsdp);

#endif
