/* SPDX-License-Identifier: MIT */
/*
 * Loading a Linux kernel into guest memory: bzImage by its 64-bit entry, ELF
 * vmlinux by its PVH note or its 64-bit entry. All of it runs once, on the main
 * thread, before any vCPU.
 *
 * The kernel file is untrusted as far as memory goes: every offset in it is
 * checked against the file and against guest memory before a byte moves.
 * Files are read straight into guest memory; pages that nothing is written to
 * stay untouched.
 */
#ifndef SLUICE_VMM_BOOT_H
#define SLUICE_VMM_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "virtio/mem.h"

/**
 * enum boot_protocol - the state in which the first vCPU starts
 * @BOOT_LINUX64:	long mode with paging (cr3 = @cr3), flat segments from the
 *			GDT at @gdt: CS = BOOT_GDT_CS, DS/ES/SS = BOOT_GDT_DS,
 *			interrupts off, rsi = @arg, the zero page
 *			(Linux Documentation/arch/x86/boot.rst, "64-bit BOOT PROTOCOL")
 * @BOOT_PVH:		32-bit protected mode without paging, flat segments of
 *			4 GiB, interrupts off, ebx = @arg, the hvm_start_info
 *			(Xen docs/misc/pvh, "x86/HVM direct boot ABI")
 */
enum boot_protocol { BOOT_LINUX64, BOOT_PVH };

/* Selectors that the Linux boot protocol names; PVH uses BOOT_GDT_CS32. */
#define BOOT_GDT_CS32	 0x08
#define BOOT_GDT_CS	 0x10
#define BOOT_GDT_DS	 0x18
#define BOOT_GDT_TSS	 0x20
#define BOOT_GDT_ENTRIES 6 /* a 64-bit TSS descriptor takes two */

/**
 * struct boot_entry - how to start the first vCPU; all guest physical addresses
 * @protocol:	see above
 * @rip:	first instruction
 * @arg:	rsi (BOOT_LINUX64) or ebx (BOOT_PVH)
 * @cr3:	top page table: identity map of the first 4 GiB; both protocols
 * @gdt:	BOOT_GDT_ENTRIES descriptors of 8 bytes; both protocols
 */
struct boot_entry {
	enum boot_protocol protocol;
	uint64_t rip;
	uint64_t arg;
	uint64_t cr3;
	uint64_t gdt;
};

/**
 * struct boot_config - what to load
 * @kernel:	path of a bzImage or of an ELF vmlinux
 * @initrd:	path of an initramfs, NULL for none
 * @cmdline:	kernel command line
 * @vcpus:	1..VCPUS_MAX, for the ACPI tables
 * @mmio_slots:	virtio-mmio slots in use, from slot 0 on; for the ACPI tables
 */
struct boot_config {
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	unsigned vcpus;
	unsigned mmio_slots;
};

/* boot.c */
int boot_probe(const char *kernel, char *why, size_t why_len);
int boot_load(const struct boot_config *cfg, const struct gmem *mem, struct boot_entry *out,
	      char *why, size_t why_len);

#endif
