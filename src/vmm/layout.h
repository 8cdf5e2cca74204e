/* SPDX-License-Identifier: MIT */
/*
 * The machine's map: guest physical addresses, I/O ports and interrupt pins.
 * The devices (this folder), the kernel loader (boot*.c) and the ACPI tables
 * (acpi*.c) all take them from here, so that what is described is what exists.
 *
 *	0x0000_0000  RAM (its first MiB: see below)
 *	0xc000_0000  end of low RAM at the latest; PCI memory window
 *	0xe000_0000  PCI configuration space (ECAM), bus 0 only
 *	0xe800_0000  virtio-mmio slots
 *	0xfec0_0000  I/O APIC	0xfee0_0000  local APICs   (both in KVM)
 *	0xfffb_c000  pages that KVM on VT-x wants for itself
 *	0x1_0000_0000  the rest of RAM
 */
#ifndef SLUICE_VMM_LAYOUT_H
#define SLUICE_VMM_LAYOUT_H

#include <assert.h>

/* --- RAM and the hole below 4 GiB --- */
#define RAM_LOW_MAX	0xc0000000ULL  /* low RAM never reaches beyond this */
#define RAM_HIGH_START	0x100000000ULL /* what does not fit below continues here */
#define RAM_SIZE_MIN	(64ULL << 20)
#define RAM_SIZE_MAX	(1ULL << 39)
#define RAM_SIZE_STEP	(2ULL << 20) /* sizes are multiples of this */
#define PCI_WINDOW_BASE 0xc0000000ULL
#define PCI_WINDOW_SIZE 0x20000000ULL

#define ECAM_BASE     0xe0000000ULL
#define ECAM_SIZE     0x00100000ULL /* one bus: 32 devices x 8 functions x 4 KiB */
#define ECAM_BUS_LAST 0

#define VIRTIO_MMIO_BASE  0xe8000000ULL
#define VIRTIO_MMIO_SIZE  0x1000ULL /* bytes of one slot */
#define VIRTIO_MMIO_SLOTS 8

#define IOAPIC_BASE 0xfec00000ULL
#define LAPIC_BASE  0xfee00000ULL

/* Three pages of TSS behind one identity-map page, for VT-x without unrestricted guest. */
#define KVM_IDENTITY_MAP_ADDR 0xfffbc000ULL
#define KVM_TSS_ADDR	      0xfffbd000ULL

/* --- RAM below 1 MiB as the boot loader uses it --- */
#define BOOT_GDT_ADDR	     0x00000500ULL
#define BOOT_PVH_INFO_ADDR   0x00006000ULL /* start_info, module list, memory map */
#define BOOT_ZERO_PAGE_ADDR  0x00007000ULL
#define BOOT_PAGE_TABLE_ADDR 0x00009000ULL /* PML4, PDPT, four PDs: 4 GiB identity */
#define BOOT_PAGE_TABLE_SIZE 0x00006000ULL
#define BOOT_CMDLINE_ADDR    0x00020000ULL
#define BOOT_CMDLINE_MAX     0x00010000ULL
#define EBDA_ADDR	     0x0009fc00ULL /* usable low memory ends here */
#define ACPI_TABLES_ADDR     0x000e0000ULL /* RSDP first; found by scanning too */
#define ACPI_TABLES_SIZE     0x00020000ULL
#define BIOS_ENTRY_ADDR	     0x000ffff0ULL /* where "restart by the BIOS" jumps to */
#define HIGH_RAM_START	     0x00100000ULL /* 1 MiB */

/* --- I/O ports --- */
#define PORT_RTC	0x070 /* index, data at 0x71: present, answers "no RTC" values */
#define PORT_I8042_CMD	0x064 /* 0xfe written: reset */
#define PORT_I8042_DATA 0x060
#define PORT_COM1	0x3f8
#define PORT_COM1_LEN	8
/*
 * ACPI, hardware-reduced: SLEEP_CONTROL_REG and SLEEP_STATUS_REG, one byte each
 * (ACPI 6.4, section 4.8.3.7). S5: SLP_EN (bit 5) with SLP_TYP 5 in bits 4:2.
 */
#define PORT_ACPI_SLEEP_CONTROL 0x600
#define PORT_ACPI_SLEEP_STATUS	0x601
#define PORT_ACPI_RESET		0x602
#define ACPI_SLP_TYP_S5		5
#define ACPI_SLEEP_S5_VALUE	((1 << 5) | (ACPI_SLP_TYP_S5 << 2))
#define ACPI_RESET_VALUE	0x01
#define PORT_PCI_CONFIG_ADDR	0xcf8 /* type 1: a 32-bit write; bytes of 0xcf9 see below */
#define PORT_PCI_RESET		0xcf9 /* 0x06 written: reset */
#define PORT_PCI_CONFIG_DATA	0xcfc

/* --- interrupts: I/O APIC pins, equal to the ACPI GSIs --- */
#define IOAPIC_PINS	24
#define IRQ_COM1	4
#define IRQ_VIRTIO_MMIO 16 /* of slot 0; slot n has 16 + n; edge, active high */
#define APIC_ID_IOAPIC	0xfe
#define VCPUS_MAX	16

static_assert(IRQ_VIRTIO_MMIO + VIRTIO_MMIO_SLOTS <= IOAPIC_PINS, "a pin for each slot");
static_assert(RAM_LOW_MAX == PCI_WINDOW_BASE, "the hole begins where low RAM ends");
static_assert(PCI_WINDOW_BASE + PCI_WINDOW_SIZE <= ECAM_BASE, "no overlap");
static_assert(ECAM_BASE + ECAM_SIZE <= VIRTIO_MMIO_BASE, "no overlap");

#endif
