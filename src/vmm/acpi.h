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

#include <stdbool.h>
#include <stdint.h>

#include "virtio/mem.h"

#define ACPI_MMIO_DEVICES_MAX 8

/**
 * struct acpi_mmio_device - one virtio-mmio device (ACPI id LNRO0005)
 * @base:	guest physical address, below 4 GiB
 * @size:	bytes
 * @gsi:	its edge-triggered interrupt
 */
struct acpi_mmio_device {
	uint32_t base;
	uint32_t size;
	uint32_t gsi;
};

/**
 * struct acpi_config - what the machine has
 * @ncpus:	vCPUs; their local APIC ids are 0..@ncpus-1
 * @pci:	there is a PCI host bridge
 * @nmmio, @mmio:	virtio-mmio devices
 */
struct acpi_config {
	uint32_t ncpus;
	bool pci;
	uint32_t nmmio;
	struct acpi_mmio_device mmio[ACPI_MMIO_DEVICES_MAX];
};

/* acpi.c */
int acpi_build(const struct acpi_config *cfg, const struct gmem *mem, uint64_t *rsdp);

#endif
