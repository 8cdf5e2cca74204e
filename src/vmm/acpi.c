/* SPDX-License-Identifier: MIT */
/*
 * Writes RSDP, XSDT, FADT, MADT, MCFG and DSDT into the guest's first MiB.
 *
 * What a stock kernel needs was found by trying: the no-RTC bit saves ten
 * seconds of boot, PNP0C02 makes it trust the MCFG, and interrupts are given as
 * extended descriptors because a hardware-reduced kernel has no legacy PIC.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/acpi.h"
#include "src/vmm/aml.h"
#include "src/vmm/layout.h"

#define OEM_ID		"SLUICE"
#define OEM_TABLE_ID	"SLUICEVM"
#define CREATOR_ID	"SLUI"
#define TABLE_ALIGN	16U
#define DSDT_BODY_MAX	4096U
#define HID_COM1	0x0501 /* PNP0501, 16550A */
#define HID_PCI_BRIDGE	0x0a03
#define HID_PCIE_BRIDGE 0x0a08
#define HID_RESERVED	0x0c02 /* PNP0C02, motherboard resources */

struct __attribute__((packed)) acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
};

/* Section 5.2.5.3 */
struct __attribute__((packed)) acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
};

/* Generic address structure, section 5.2.3.2 */
struct __attribute__((packed)) acpi_gas {
	uint8_t space; /* 1 = I/O port */
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access; /* 1 = byte */
	uint64_t addr;
};

/* Section 5.2.9; what a hardware-reduced machine leaves zero is left out by name. */
struct __attribute__((packed)) acpi_fadt {
	struct acpi_header h;
	uint32_t firmware_ctrl;
	uint32_t dsdt;
	uint8_t pm_and_c_states[65];
	uint16_t iapc_boot_arch;
	uint8_t reserved;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl;
	uint64_t x_dsdt;
	uint8_t x_pm_blocks[96];
	struct acpi_gas sleep_control;
	struct acpi_gas sleep_status;
	uint64_t hypervisor_id;
};

/* Section 5.2.12 */
struct __attribute__((packed)) acpi_madt {
	struct acpi_header h;
	uint32_t lapic_addr;
	uint32_t flags;
};

struct __attribute__((packed)) madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags; /* 1 = enabled */
};

struct __attribute__((packed)) madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t addr, gsi_base;
};

struct __attribute__((packed)) madt_lapic_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
};

/* PCI Firmware Specification 3.2, section 4.1.2 */
struct __attribute__((packed)) acpi_mcfg {
	struct acpi_header h;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t bus_first, bus_last;
	uint32_t reserved2;
};

static_assert(sizeof(struct acpi_header) == 36, "wire size");
static_assert(sizeof(struct acpi_rsdp) == 36, "wire size");
static_assert(offsetof(struct acpi_fadt, iapc_boot_arch) == 109, "wire offset");
static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "wire offset");
static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "wire offset");
static_assert(sizeof(struct acpi_fadt) == 276, "wire size");
static_assert(sizeof(struct acpi_madt) == 44, "wire size");
static_assert(sizeof(struct acpi_mcfg) == 60, "wire size");
static_assert(VCPUS_MAX <= 255, "MADT local APIC ids are bytes");

/* FADT flags, table 5.10 */
#define FADT_WBINVD		(1U << 0)
#define FADT_NO_FIXED_POWER_KEY (1U << 4)
#define FADT_NO_FIXED_SLEEP_KEY (1U << 5)
#define FADT_RESET_REG		(1U << 10)
#define FADT_HW_REDUCED		(1U << 20)
/* IAPC_BOOT_ARCH, table 5.11; bit 3, "MSI not supported", stays clear */
#define BOOT_ARCH_NO_VGA (1U << 2)
#define BOOT_ARCH_NO_RTC (1U << 5)

#define MADT_TYPE_LAPIC	    0
#define MADT_TYPE_IOAPIC    1
#define MADT_TYPE_LAPIC_NMI 4

/**
 * struct builder - tables are laid one behind the other
 * @base:	the area, @size bytes at guest address ACPI_TABLES_ADDR
 * @used:	bytes given out
 */
struct builder {
	uint8_t *base;
	uint32_t size;
	uint32_t used;
};

static uint8_t checksum(const void *data, uint32_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len-- > 0)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static void *take(struct builder *b, uint32_t len)
{
	uint32_t at = ALIGN_UP(b->used, TABLE_ALIGN);

	BUG_ON(!range_ok(at, len, b->size));
	b->used = at + len;
	return memset(b->base + at, 0, len);
}

static uint64_t gpa_of(const struct builder *b, const void *table)
{
	return ACPI_TABLES_ADDR + (uint64_t)((const uint8_t *)table - b->base);
}

/* Fill in a header whose body is complete. */
static void seal(struct acpi_header *h, const char *signature, uint8_t revision, uint32_t len)
{
	memcpy(h->signature, signature, sizeof(h->signature));
	h->length = len;
	h->revision = revision;
	memcpy(h->oem_id, OEM_ID, sizeof(h->oem_id));
	memcpy(h->oem_table_id, OEM_TABLE_ID, sizeof(h->oem_table_id));
	h->oem_revision = 1;
	memcpy(h->creator_id, CREATOR_ID, sizeof(h->creator_id));
	h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = checksum(h, len);
}

static struct acpi_gas io_port(uint16_t port)
{
	return (struct acpi_gas){ .space = 1, .bit_width = 8, .access = 1, .addr = port };
}

static uint64_t build_fadt(struct builder *b, uint64_t dsdt)
{
	struct acpi_fadt *t = take(b, sizeof(*t));

	t->dsdt = (uint32_t)dsdt;
	t->x_dsdt = dsdt;
	t->iapc_boot_arch = BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_RTC;
	t->flags = FADT_WBINVD | FADT_NO_FIXED_POWER_KEY | FADT_NO_FIXED_SLEEP_KEY |
		   FADT_RESET_REG | FADT_HW_REDUCED;
	t->reset_reg = io_port(PORT_ACPI_RESET);
	t->reset_value = ACPI_RESET_VALUE;
	t->minor_version = 4;
	t->sleep_control = io_port(PORT_ACPI_SLEEP_CONTROL);
	t->sleep_status = io_port(PORT_ACPI_SLEEP_STATUS);
	seal(&t->h, "FACP", 6, sizeof(*t));
	return gpa_of(b, t);
}

static uint64_t build_madt(struct builder *b, unsigned vcpus)
{
	uint32_t len = (uint32_t)(sizeof(struct acpi_madt) + vcpus * sizeof(struct madt_lapic) +
				  sizeof(struct madt_ioapic) + sizeof(struct madt_lapic_nmi));
	struct acpi_madt *t = take(b, len);
	struct madt_lapic *lapic = (struct madt_lapic *)(t + 1);
	struct madt_ioapic *ioapic = (struct madt_ioapic *)(lapic + vcpus);
	struct madt_lapic_nmi *nmi = (struct madt_lapic_nmi *)(ioapic + 1);

	t->lapic_addr = (uint32_t)LAPIC_BASE;
	for (unsigned i = 0; i < vcpus; i++)
		lapic[i] = (struct madt_lapic){ .type = MADT_TYPE_LAPIC,
						.length = sizeof(*lapic),
						.uid = (uint8_t)i,
						.apic_id = (uint8_t)i,
						.flags = 1 };
	*ioapic = (struct madt_ioapic){ .type = MADT_TYPE_IOAPIC,
					.length = sizeof(*ioapic),
					.id = APIC_ID_IOAPIC,
					.addr = (uint32_t)IOAPIC_BASE };
	*nmi = (struct madt_lapic_nmi){ .type = MADT_TYPE_LAPIC_NMI,
					.length = sizeof(*nmi),
					.uid = 0xff, /* every CPU */
					.lint = 1 };
	seal(&t->h, "APIC", 5, len);
	return gpa_of(b, t);
}

static uint64_t build_mcfg(struct builder *b)
{
	struct acpi_mcfg *t = take(b, sizeof(*t));

	t->base = ECAM_BASE;
	t->bus_last = ECAM_BUS_LAST;
	seal(&t->h, "MCFG", 1, sizeof(*t));
	return gpa_of(b, t);
}

static void dsdt_com1(struct aml *a)
{
	uint32_t dev = aml_open(a, AML_DEVICE), res;

	aml_segment(a, "COM1");
	aml_name_eisaid(a, "_HID", HID_COM1);
	aml_name_int(a, "_UID", 0);
	res = aml_resources_open(a);
	aml_resource_io(a, PORT_COM1, PORT_COM1_LEN);
	aml_resource_edge_irq(a, IRQ_COM1);
	aml_resources_close(a, res);
	aml_close(a, dev);
}

static void dsdt_pci(struct aml *a)
{
	uint32_t dev = aml_open(a, AML_DEVICE), res;

	aml_segment(a, "PCI0");
	aml_name_eisaid(a, "_HID", HID_PCIE_BRIDGE);
	aml_name_eisaid(a, "_CID", HID_PCI_BRIDGE);
	aml_name_int(a, "_UID", 0);
	aml_name_int(a, "_SEG", 0);
	aml_name_int(a, "_BBN", 0);
	aml_name_int(a, "_CCA", 1);
	res = aml_resources_open(a);
	aml_resource_bus_range(a, 0, ECAM_BUS_LAST);
	aml_resource_io(a, PORT_PCI_CONFIG_ADDR, 8);
	aml_resource_memory_window(a, (uint32_t)PCI_WINDOW_BASE, (uint32_t)PCI_WINDOW_SIZE);
	aml_resources_close(a, res);
	aml_close(a, dev);

	dev = aml_open(a, AML_DEVICE);
	aml_segment(a, "ECAM");
	aml_name_eisaid(a, "_HID", HID_RESERVED);
	aml_name_int(a, "_UID", 0);
	res = aml_resources_open(a);
	aml_resource_memory_fixed(a, (uint32_t)ECAM_BASE, (uint32_t)ECAM_SIZE);
	aml_resources_close(a, res);
	aml_close(a, dev);
}

static void dsdt_virtio_mmio(struct aml *a, unsigned slot)
{
	const char name[4] = { 'V', 'R', '0', (char)('0' + slot) };
	uint32_t dev = aml_open(a, AML_DEVICE), res;

	aml_segment(a, name);
	aml_name_string(a, "_HID", "LNRO0005");
	aml_name_int(a, "_UID", slot);
	aml_name_int(a, "_CCA", 1);
	res = aml_resources_open(a);
	aml_resource_memory_fixed(a, (uint32_t)(VIRTIO_MMIO_BASE + slot * VIRTIO_MMIO_SIZE),
				  (uint32_t)VIRTIO_MMIO_SIZE);
	aml_resource_edge_irq(a, IRQ_VIRTIO_MMIO + slot);
	aml_resources_close(a, res);
	aml_close(a, dev);
}

static uint64_t build_dsdt(struct builder *b, unsigned mmio_slots)
{
	uint8_t body[DSDT_BODY_MAX] = { 0 };
	struct aml a = { .buf = body, .size = sizeof(body) };
	struct acpi_header *h;
	uint32_t scope, s5;

	scope = aml_open(&a, AML_SCOPE);
	aml_byte(&a, '\\');
	aml_segment(&a, "_SB_");
	dsdt_com1(&a);
	dsdt_pci(&a);
	for (unsigned i = 0; i < mmio_slots; i++)
		dsdt_virtio_mmio(&a, i);
	aml_close(&a, scope);

	/* Name (\_S5, Package (4) { SLP_TYPa, SLP_TYPb, 0, 0 }), section 7.4.2 */
	aml_byte(&a, 0x08);
	aml_segment(&a, "_S5_");
	s5 = aml_open(&a, AML_PACKAGE);
	aml_byte(&a, 4);
	aml_int(&a, ACPI_SLP_TYP_S5);
	aml_int(&a, ACPI_SLP_TYP_S5);
	aml_int(&a, 0);
	aml_int(&a, 0);
	aml_close(&a, s5);

	h = take(b, (uint32_t)sizeof(*h) + a.len);
	memcpy(h + 1, body, a.len);
	seal(h, "DSDT", 2, (uint32_t)sizeof(*h) + a.len);
	return gpa_of(b, h);
}

static uint64_t build_xsdt(struct builder *b, const uint64_t *tables, uint32_t n)
{
	uint32_t len = (uint32_t)(sizeof(struct acpi_header) + n * sizeof(*tables));
	struct acpi_header *h = take(b, len);

	memcpy(h + 1, tables, n * sizeof(*tables));
	seal(h, "XSDT", 1, len);
	return gpa_of(b, h);
}

/**
 * acpi_build() - write all tables at ACPI_TABLES_ADDR
 * @mem:	guest memory
 * @rsdp:	out: guest address of the RSDP, ACPI_TABLES_ADDR
 *
 * Main thread, before any vCPU runs.
 *
 * Return: 0, -EINVAL (more than the machine can have)
 */
int acpi_build(const struct acpi_config *cfg, const struct gmem *mem, uint64_t *rsdp)
{
	struct builder b = { .base = gmem_ptr(mem, ACPI_TABLES_ADDR, ACPI_TABLES_SIZE),
			     .size = ACPI_TABLES_SIZE };
	struct acpi_rsdp *r;
	uint64_t tables[3];

	if (cfg->vcpus == 0 || cfg->vcpus > VCPUS_MAX || cfg->mmio_slots > VIRTIO_MMIO_SLOTS)
		return -EINVAL;
	BUG_ON(!b.base);
	r = take(&b, sizeof(*r));
	tables[0] = build_fadt(&b, build_dsdt(&b, cfg->mmio_slots));
	tables[1] = build_madt(&b, cfg->vcpus);
	tables[2] = build_mcfg(&b);

	memcpy(r->signature, "RSD PTR ", sizeof(r->signature));
	memcpy(r->oem_id, OEM_ID, sizeof(r->oem_id));
	r->revision = 2;
	r->length = sizeof(*r);
	r->xsdt = build_xsdt(&b, tables, ARRAY_SIZE(tables));
	r->checksum = checksum(r, offsetof(struct acpi_rsdp, length));
	r->extended_checksum = checksum(r, sizeof(*r));
	*rsdp = gpa_of(&b, r);
	return 0;
}
