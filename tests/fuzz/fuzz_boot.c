/* SPDX-License-Identifier: MIT */
/*
 * Kernel files of any content, with an initramfs and a command line of some length.
 *
 * The input: byte 0, the guest's memory in steps of 2 MiB; bytes 1 and 2, the length of
 * the initramfs in units of 512 bytes; 3 and 4, that of the command line; the kernel is
 * what follows. Guest memory ends at pages that cannot be touched.
 *
 * A load that succeeds lies in guest memory: entry and tables, what the zero page or the
 * PVH start info names, every range of RAM that the memory map promises; and the
 * initramfs is there, unharmed by all that was loaded beside it. A load that fails says
 * why in one line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/bytes.h"
#include "src/vmm/boot_priv.h"
#include "tests/fuzz/fuzz.h"

#define HEAD	   5
#define MEMORY_MAX (16ULL << 20)
#define PAGE	   4096UL
#define WHY_LEN	   256

/* Of struct hvm_start_info and its entries, Xen public/arch-x86/hvm/start_info.h. */
#define PVH_NR_MODULES	 12
#define PVH_MODLIST	 16
#define PVH_MEMMAP	 40
#define PVH_MEMMAP_COUNT 48
#define PVH_MEMMAP_ENTRY 24

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "boot",
	.done = "kernels loaded",
	.refused = "refused",
	.floor = 5,
	.alloc_one = 65536 + 1,
	.alloc_all = 2 * 65536,
	.setup = setup,
};

static uint8_t *ram;
static int kernel_fd, initrd_fd;
static uint64_t initrd_len;

static uint8_t initrd_byte(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 9) * 13 + 1);
}

/* The file has @len bytes; only the first and last sector are not zero. */
static void make_initrd(uint64_t len)
{
	uint8_t sector[512];

	initrd_len = len;
	FUZZ_CHECK(ftruncate(initrd_fd, 0) == 0 && ftruncate(initrd_fd, (off_t)len) == 0);
	for (uint64_t at = 0; at < len; at += MAX(len - 512, 512ULL)) {
		for (uint32_t i = 0; i < sizeof(sector); i++)
			sector[i] = initrd_byte(at + i);
		FUZZ_CHECK(pwrite(initrd_fd, sector, sizeof(sector), (off_t)at) == sizeof(sector));
	}
}

static void make_kernel(const uint8_t *data, size_t len)
{
	FUZZ_CHECK(ftruncate(kernel_fd, 0) == 0);
	FUZZ_CHECK(pwrite(kernel_fd, data, len, 0) == (ssize_t)len);
}

static void check_initrd(const struct gmem *mem, uint64_t addr, uint64_t size)
{
	const uint8_t *p = gmem_ptr(mem, addr, size);

	FUZZ_CHECK(size == initrd_len, "%llu", (unsigned long long)size);
	if (size == 0)
		return;
	FUZZ_CHECK(p && addr >= HIGH_RAM_START, "initramfs at %#llx", (unsigned long long)addr);
	for (uint64_t at = 0; at < size; at += MAX(size - 512, 512ULL))
		for (uint32_t i = 0; i < 512; i++)
			FUZZ_CHECK(p[at + i] == initrd_byte(at + i), "initramfs byte %llu",
				   (unsigned long long)(at + i));
}

static void check_range(const struct gmem *mem, uint64_t addr, uint64_t size, uint32_t type)
{
	if (type == MEMMAP_RAM)
		FUZZ_CHECK(gmem_ptr(mem, addr, size), "RAM at %#llx", (unsigned long long)addr);
}

static void check_linux(const struct gmem *mem, uint64_t arg)
{
	const struct boot_params *zp = gmem_ptr(mem, arg, sizeof(*zp));

	FUZZ_CHECK(zp);
	FUZZ_CHECK(gmem_ptr(mem, zp->hdr.cmd_line_ptr, 1));
	FUZZ_CHECK(gmem_ptr(mem, zp->acpi_rsdp_addr, 36));
	FUZZ_CHECK(zp->e820_entries > 0 && zp->e820_entries <= E820_MAX_ENTRIES_ZEROPAGE);
	for (uint32_t i = 0; i < zp->e820_entries; i++)
		check_range(mem, zp->e820_table[i].addr, zp->e820_table[i].size,
			    zp->e820_table[i].type);
	check_initrd(mem, zp->hdr.ramdisk_image, zp->hdr.ramdisk_size);
}

static void check_pvh(const struct gmem *mem, uint64_t arg)
{
	const uint8_t *info = gmem_ptr(mem, arg, 56), *map, *module;
	uint32_t n;

	FUZZ_CHECK(info);
	n = get_le32(info + PVH_MEMMAP_COUNT);
	map = gmem_ptr(mem, get_le64(info + PVH_MEMMAP), (uint64_t)n * PVH_MEMMAP_ENTRY);
	FUZZ_CHECK(n > 0 && map);
	for (uint32_t i = 0; i < n; i++, map += PVH_MEMMAP_ENTRY)
		check_range(mem, get_le64(map), get_le64(map + 8), get_le32(map + 16));
	if (get_le32(info + PVH_NR_MODULES) == 0) {
		check_initrd(mem, 0, 0);
		return;
	}
	module = gmem_ptr(mem, get_le64(info + PVH_MODLIST), 32);
	FUZZ_CHECK(module);
	check_initrd(mem, get_le64(module), get_le64(module + 8));
}

static void check_loaded(const struct gmem *mem, const struct boot_entry *e)
{
	FUZZ_CHECK(gmem_ptr(mem, e->rip, 1), "entry %#llx", (unsigned long long)e->rip);
	FUZZ_CHECK(e->rip >= HIGH_RAM_START && e->rip < RAM_LOW_MAX);
	FUZZ_CHECK(gmem_ptr(mem, e->cr3, BOOT_PAGE_TABLE_SIZE));
	FUZZ_CHECK(gmem_ptr(mem, e->gdt, BOOT_GDT_ENTRIES * 8UL));
	if (e->protocol == BOOT_PVH)
		check_pvh(mem, e->arg);
	else
		check_linux(mem, e->arg);
}

/* Memory between pages that end whoever touches them; two files of no length. */
static void setup(void)
{
	uint8_t *map = mmap(NULL, MEMORY_MAX + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);

	FUZZ_CHECK(map != MAP_FAILED, "%s", strerror(errno));
	ram = map + PAGE;
	kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	FUZZ_CHECK(kernel_fd >= 0 && initrd_fd >= 0, "%s", strerror(errno));
}

void fuzz_one(const uint8_t *data, size_t len)
{
	char kernel[64], initrd[64], why[WHY_LEN], *cmdline;
	struct gmem_region r = { .gpa = 0, .hva = ram };
	struct boot_config cfg = { .kernel = kernel, .vcpus = 1 };
	struct gmem mem = { 0 };
	struct boot_entry entry;
	uint32_t cmdline_len;
	int err;

	if (len < HEAD)
		return;
	/* The end of this guest's memory is the end of what can be touched. */
	r.size = (1 + data[0] % (MEMORY_MAX / RAM_SIZE_STEP)) * RAM_SIZE_STEP;
	FUZZ_CHECK(mprotect(ram, r.size, PROT_READ | PROT_WRITE) == 0);
	FUZZ_CHECK(gmem_add(&mem, &r) == 0);
	make_initrd(get_le16(data + 1) * 512ULL);
	cmdline_len = get_le16(data + 3);
	cmdline = malloc(cmdline_len + 1U);
	FUZZ_CHECK(cmdline, "out of memory");
	memset(cmdline, 'x', cmdline_len);
	cmdline[cmdline_len] = 0;
	make_kernel(data + HEAD, len - HEAD);
	snprintf(kernel, sizeof(kernel), "/proc/self/fd/%d", kernel_fd);
	snprintf(initrd, sizeof(initrd), "/proc/self/fd/%d", initrd_fd);
	cfg.initrd = initrd_len ? initrd : NULL;
	cfg.cmdline = cmdline;
	memset(why, 0x55, sizeof(why));

	err = boot_load(&cfg, &mem, &entry, why, sizeof(why));
	if (err == 0) {
		check_loaded(&mem, &entry);
		fuzz_work.done++;
	} else {
		FUZZ_CHECK(err < 0 && memchr(why, 0, sizeof(why)) && why[0] && !strchr(why, '\n'));
		fuzz_work.refused++;
	}
	free(cmdline);
	FUZZ_CHECK(madvise(ram, r.size, MADV_DONTNEED) == 0);
	FUZZ_CHECK(mprotect(ram, r.size, PROT_NONE) == 0);
}
