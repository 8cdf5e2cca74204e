/* SPDX-License-Identifier: MIT */
/* What the files of the kernel loader share; nobody else includes it. */
#ifndef SLUICE_VMM_BOOT_PRIV_H
#define SLUICE_VMM_BOOT_PRIV_H

#include <asm/bootparam.h>
#include <stdint.h>

#include "src/base/base.h"
#include "src/vmm/boot.h"
#include "src/vmm/layout.h"

/**
 * struct boot_file - a file being loaded
 * @size:	bytes when it was opened; reads never go beyond
 */
struct boot_file {
	int fd;
	const char *path;
	uint64_t size;
};

/* Memory types, equal in the E820 map and in the PVH memory map. */
#define MEMMAP_RAM	1U
#define MEMMAP_RESERVED 2U

struct memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
};

/* The first region becomes three entries, ECAM is one. */
#define MEMMAP_MAX (GMEM_REGIONS_MAX + 4)

/**
 * struct boot_image - a load under way
 * @ram_end:	end of the RAM region that holds the first MiB
 * @kernel_end:	first address that the kernel leaves free while it unpacks itself
 * @initrd_top:	the initramfs ends at or below this address
 * @cmdline_max:	longest command line that the kernel takes, bytes without NUL
 * @initrd_addr, @initrd_size:	where the initramfs went, 0 for none
 * @cmdline_len:	bytes without NUL
 * @rsdp:	guest address of the ACPI RSDP
 * @hdr:	setup header for the zero page: the file's, or made up for an ELF
 * @why:	reason of a failure, one line
 */
struct boot_image {
	const struct boot_config *cfg;
	const struct gmem *mem;
	struct boot_file kernel;
	uint64_t ram_end;
	uint64_t kernel_end;
	uint64_t initrd_top;
	uint64_t cmdline_max;
	uint64_t initrd_addr, initrd_size;
	uint64_t cmdline_len;
	uint64_t rsdp;
	struct setup_header hdr;
	char *why;
	size_t why_len;
};

/* Where x86-64 kernels of today want the initramfs to end, if they do not say. */
#define INITRD_TOP_DEFAULT 0x80000000ULL

/* COMMAND_LINE_SIZE of x86 Linux, its NUL taken off. */
#define CMDLINE_MAX_DEFAULT 2047U

/* boot.c */
int boot_fail(struct boot_image *b, int err, const char *fmt, ...) PRINTF(3, 4);
int boot_too_little(struct boot_image *b, uint64_t need);
int boot_read(struct boot_image *b, const struct boot_file *f, uint64_t off, void *buf,
	      uint64_t len);

/* boot_bzimage.c */
bool bzimage_is(const uint8_t *head, uint64_t len);
int bzimage_load(struct boot_image *b, struct boot_entry *out);

/* boot_elf.c */
bool elf_is(const uint8_t *head, uint64_t len);
int elf_load(struct boot_image *b, struct boot_entry *out);

/* boot_params.c */
uint32_t boot_memmap(const struct gmem *mem, struct memmap_entry map[MEMMAP_MAX]);
void boot_write_zero_page(const struct boot_image *b);
void boot_write_pvh_info(const struct boot_image *b);
void boot_write_cpu_tables(const struct gmem *mem);

#endif
