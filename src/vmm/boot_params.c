/* SPDX-License-Identifier: MIT */
/*
 * The structures that a starting kernel reads from low memory: the memory map,
 * the zero page, the PVH start info, page tables and segment descriptors. All
 * lie in the first MiB at the addresses of layout.h.
 */
#include <string.h>

#include "src/base/base.h"
#include "src/vmm/boot_priv.h"

/* Xen public/arch-x86/hvm/start_info.h, version 1 */
#define PVH_MAGIC   0x336ec578U
#define PVH_VERSION 1U

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct pvh_memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

static_assert(sizeof(struct pvh_start_info) == 56, "wire size");
static_assert(sizeof(struct pvh_module) == 32, "wire size");
static_assert(sizeof(struct pvh_memmap_entry) == 24, "wire size");

/* What lies at BOOT_PVH_INFO_ADDR. */
struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module initrd;
	struct pvh_memmap_entry map[MEMMAP_MAX];
};

static_assert(sizeof(struct pvh_page) <= BOOT_ZERO_PAGE_ADDR - BOOT_PVH_INFO_ADDR, "fits");
static_assert(sizeof(struct boot_params) == 4096, "wire size");
static_assert(MEMMAP_MAX <= E820_MAX_ENTRIES_ZEROPAGE, "fits the zero page");

/* Intel SDM volume 3, section 3.4.5: flat 4 GiB, present, ring 0, accessed. */
#define DESC_CODE32   0x00cf9b000000ffffULL
#define DESC_CODE64   0x00af9b000000ffffULL
#define DESC_DATA     0x00cf93000000ffffULL
#define DESC_TSS_BUSY 0x00008b0000000067ULL /* base 0, 104 bytes; its upper half is 0 */

/* Intel SDM volume 3, section 4.5 */
#define PTE_PRESENT_WRITE 0x03ULL
#define PTE_LARGE	  0x80ULL
#define PTES		  512U
#define PAGE		  4096ULL
#define LARGE_PAGE	  0x200000ULL
#define IDENTITY_GIB	  4U

static_assert(BOOT_PAGE_TABLE_SIZE == (2 + IDENTITY_GIB) * PAGE, "PML4, PDPT and the PDs");

/**
 * boot_memmap() - the guest's memory map, sorted by address
 * @mem:	guest memory, sorted by address, the first region from 0 on
 * @map:	out
 *
 * RAM is exactly what is mapped, but for the part of the first MiB where a PC
 * has no RAM: nothing is promised there, and our ACPI tables lie in it (H85).
 *
 * Return: entries
 */
uint32_t boot_memmap(const struct gmem *mem, struct memmap_entry map[MEMMAP_MAX])
{
	uint32_t n = 0;
	bool ecam = false;

	map[n++] = (struct memmap_entry){ 0, EBDA_ADDR, MEMMAP_RAM };
	map[n++] = (struct memmap_entry){ ACPI_TABLES_ADDR, ACPI_TABLES_SIZE, MEMMAP_RESERVED };
	for (uint32_t i = 0; i < mem->nregions; i++) {
		uint64_t start = MAX(mem->regions[i].gpa, HIGH_RAM_START);
		uint64_t end = mem->regions[i].gpa + mem->regions[i].size;

		if (!ecam && start >= ECAM_BASE) {
			map[n++] = (struct memmap_entry){ ECAM_BASE, ECAM_SIZE, MEMMAP_RESERVED };
			ecam = true;
		}
		map[n++] = (struct memmap_entry){ start, end - start, MEMMAP_RAM };
	}
	if (!ecam)
		map[n++] = (struct memmap_entry){ ECAM_BASE, ECAM_SIZE, MEMMAP_RESERVED };
	return n;
}

/**
 * boot_write_zero_page() - struct boot_params for the 64-bit boot protocol
 */
void boot_write_zero_page(const struct boot_image *b)
{
	struct boot_params *zp = gmem_ptr(b->mem, BOOT_ZERO_PAGE_ADDR, sizeof(*zp));
	struct memmap_entry map[MEMMAP_MAX];

	BUG_ON(!zp);
	memset(zp, 0, sizeof(*zp));
	zp->hdr = b->hdr;
	zp->hdr.cmd_line_ptr = BOOT_CMDLINE_ADDR;
	zp->hdr.ramdisk_image = (uint32_t)b->initrd_addr;
	zp->hdr.ramdisk_size = (uint32_t)b->initrd_size;
	zp->acpi_rsdp_addr = b->rsdp;
	zp->e820_entries = (uint8_t)boot_memmap(b->mem, map);
	for (uint32_t i = 0; i < zp->e820_entries; i++) {
		zp->e820_table[i].addr = map[i].addr;
		zp->e820_table[i].size = map[i].size;
		zp->e820_table[i].type = map[i].type;
	}
}

/**
 * boot_write_pvh_info() - struct hvm_start_info and what it points to
 */
void boot_write_pvh_info(const struct boot_image *b)
{
	struct pvh_page *p = gmem_ptr(b->mem, BOOT_PVH_INFO_ADDR, sizeof(*p));
	struct memmap_entry map[MEMMAP_MAX];
	uint32_t n = boot_memmap(b->mem, map);

	BUG_ON(!p);
	memset(p, 0, sizeof(*p));
	p->info = (struct pvh_start_info){
		.magic = PVH_MAGIC,
		.version = PVH_VERSION,
		.cmdline_paddr = BOOT_CMDLINE_ADDR,
		.rsdp_paddr = b->rsdp,
		.memmap_paddr = BOOT_PVH_INFO_ADDR + offsetof(struct pvh_page, map),
		.memmap_entries = n,
	};
	if (b->initrd_size > 0) {
		p->info.nr_modules = 1;
		p->info.modlist_paddr = BOOT_PVH_INFO_ADDR + offsetof(struct pvh_page, initrd);
		p->initrd.paddr = b->initrd_addr;
		p->initrd.size = b->initrd_size;
	}
	for (uint32_t i = 0; i < n; i++)
		p->map[i] = (struct pvh_memmap_entry){
			.addr = map[i].addr,
			.size = map[i].size,
			.type = map[i].type,
		};
}

/**
 * boot_write_cpu_tables() - segment descriptors, and page tables that map the
 * first 4 GiB to themselves with 2 MiB pages
 */
void boot_write_cpu_tables(const struct gmem *mem)
{
	uint64_t *gdt = gmem_ptr(mem, BOOT_GDT_ADDR, BOOT_GDT_ENTRIES * sizeof(*gdt));
	uint64_t *pml4 = gmem_ptr(mem, BOOT_PAGE_TABLE_ADDR, BOOT_PAGE_TABLE_SIZE);
	uint64_t *pdpt, *pd;

	BUG_ON(!gdt || !pml4);
	pdpt = pml4 + PTES;
	pd = pdpt + PTES;

	gdt[0] = 0;
	gdt[BOOT_GDT_CS32 / 8] = DESC_CODE32;
	gdt[BOOT_GDT_CS / 8] = DESC_CODE64;
	gdt[BOOT_GDT_DS / 8] = DESC_DATA;
	gdt[BOOT_GDT_TSS / 8] = DESC_TSS_BUSY;
	gdt[BOOT_GDT_TSS / 8 + 1] = 0;

	pml4[0] = (BOOT_PAGE_TABLE_ADDR + PAGE) | PTE_PRESENT_WRITE;
	for (unsigned i = 0; i < IDENTITY_GIB; i++)
		pdpt[i] = (BOOT_PAGE_TABLE_ADDR + (2 + i) * PAGE) | PTE_PRESENT_WRITE;
	for (unsigned i = 0; i < IDENTITY_GIB * PTES; i++)
		pd[i] = i * LARGE_PAGE | PTE_LARGE | PTE_PRESENT_WRITE;
}
