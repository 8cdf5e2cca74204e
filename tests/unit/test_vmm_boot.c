/* SPDX-License-Identifier: MIT */
/* The kernel loader, fed with kernels made up here: good, bad, and mutated. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/boot.h"
#include "src/vmm/boot_priv.h"
#include "src/vmm/layout.h"

#define MIB	    (1ULL << 20)
#define GUARD	    (1ULL << 20)
#define LOAD_ADDR   0x1000000ULL /* 16 MiB, as Linux prefers */
#define SETUP_SECTS 3
#define PAYLOAD_LEN 20000U
#define INIT_SIZE   (8U << 20)
#define INITRD_LEN  70001U
#define ELF_ENTRY   (LOAD_ADDR + 0x40)
#define PVH_ENTRY   (LOAD_ADDR + 0x80)

/* A guest: up to three regions between guard pages, so that a stray store faults. */
struct guest {
	struct gmem mem;
	uint8_t *maps[3];
	uint64_t sizes[3];
	struct boot_entry entry;
	char why[256];
};

static char kernel_path[] = "/tmp/sluice-kernel-XXXXXX";
static char initrd_path[] = "/tmp/sluice-initrd-XXXXXX";
static uint8_t initrd[INITRD_LEN];

static void guest_add(struct guest *g, uint64_t gpa, uint64_t size)
{
	uint32_t i = g->mem.nregions++;
	uint8_t *p = mmap(NULL, size + 2 * GUARD, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + GUARD, size, PROT_READ | PROT_WRITE), 0);
	g->maps[i] = p;
	g->sizes[i] = size + 2 * GUARD;
	g->mem.regions[i] = (struct gmem_region){ gpa, size, p + GUARD, 0 };
}

static void guest_new(struct guest *g, uint64_t size)
{
	*g = (struct guest){ 0 };
	guest_add(g, 0, MIN(size, RAM_LOW_MAX));
	if (size > RAM_LOW_MAX)
		guest_add(g, RAM_HIGH_START, size - RAM_LOW_MAX);
}

static void guest_free(struct guest *g)
{
	for (uint32_t i = 0; i < g->mem.nregions; i++)
		munmap(g->maps[i], g->sizes[i]);
}

static const uint8_t *at(const struct guest *g, uint64_t gpa, uint64_t len)
{
	const uint8_t *p = gmem_ptr(&g->mem, gpa, len);

	assert_non_null(p);
	return p;
}

static void put_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static int load_with(struct guest *g, const char *kernel, const char *rd, const char *cmdline)
{
	const struct boot_config cfg = {
		.kernel = kernel,
		.initrd = rd,
		.cmdline = cmdline,
		.vcpus = 2,
		.mmio_slots = 1,
	};

	return boot_load(&cfg, &g->mem, &g->entry, g->why, sizeof(g->why));
}

static int load(struct guest *g)
{
	return load_with(g, kernel_path, initrd_path, "console=ttyS0 quiet");
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 131 + (i >> 8) * 7 + 1);
}

static size_t make_bzimage(uint8_t *file)
{
	const size_t setup = (SETUP_SECTS + 1) * 512;
	struct setup_header h = {
		.setup_sects = SETUP_SECTS,
		.syssize = PAYLOAD_LEN / 16,
		.boot_flag = 0xaa55,
		.jump = 0x66eb,
		.header = 0x53726448,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = LOAD_ADDR,
		.init_size = INIT_SIZE,
	};

	memset(file, 0, setup);
	memcpy(file + 0x1f1, &h, sizeof(h));
	for (uint32_t i = 0; i < PAYLOAD_LEN; i++)
		file[setup + i] = pattern(i);
	return setup + PAYLOAD_LEN;
}

struct elf_file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[3];
	struct __attribute__((packed)) {
		Elf64_Nhdr other;
		char other_name[4];
		uint32_t other_desc;
		Elf64_Nhdr pvh;
		char pvh_name[4];
		uint64_t entry;
	} note;
	uint8_t text[PAYLOAD_LEN];
};

static size_t make_elf(uint8_t *file, bool pvh)
{
	struct elf_file *f = (struct elf_file *)file;

	memset(f, 0, sizeof(*f));
	memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
	f->eh.e_ident[EI_CLASS] = ELFCLASS64;
	f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	f->eh.e_type = ET_EXEC;
	f->eh.e_machine = EM_X86_64;
	f->eh.e_entry = ELF_ENTRY;
	f->eh.e_phoff = offsetof(struct elf_file, ph);
	f->eh.e_phentsize = sizeof(Elf64_Phdr);
	f->eh.e_phnum = 3;
	f->ph[0] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = offsetof(struct elf_file, text),
		.p_paddr = LOAD_ADDR,
		.p_filesz = PAYLOAD_LEN,
		.p_memsz = PAYLOAD_LEN + 4096,
	};
	f->ph[1] = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = offsetof(struct elf_file, note),
		.p_filesz = sizeof(f->note),
		.p_align = 4,
	};
	/* bss alone: its offset in the file means nothing */
	f->ph[2] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = UINT64_MAX - 1,
		.p_paddr = LOAD_ADDR + MIB,
		.p_memsz = 4096,
	};
	f->note.other = (Elf64_Nhdr){ 4, 4, 1 };
	memcpy(f->note.other_name, "GNU", 4);
	f->note.pvh = (Elf64_Nhdr){ 4, 8, pvh ? 18 : 17 };
	memcpy(f->note.pvh_name, "Xen", 4);
	f->note.entry = PVH_ENTRY;
	for (uint32_t i = 0; i < PAYLOAD_LEN; i++)
		f->text[i] = pattern(i);
	return sizeof(*f);
}

static uint8_t file_buf[1 << 16];

static int setup(void **state)
{
	int fd = mkstemp(kernel_path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	fd = mkstemp(initrd_path);
	if (fd < 0)
		return -1;
	close(fd);
	for (uint32_t i = 0; i < INITRD_LEN; i++)
		initrd[i] = pattern(i ^ 0x5a);
	put_file(initrd_path, initrd, INITRD_LEN);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(kernel_path);
	unlink(initrd_path);
	return 0;
}

static void payload_is_loaded(const struct guest *g)
{
	const uint8_t *p = at(g, LOAD_ADDR, PAYLOAD_LEN);

	for (uint32_t i = 0; i < PAYLOAD_LEN; i++)
		assert_int_equal(p[i], pattern(i));
}

static void bzimage_starts_at_its_64bit_entry_with_a_zero_page(void **state)
{
	const struct boot_params *zp;
	struct guest g;

	(void)state;
	guest_new(&g, 128 * MIB);
	put_file(kernel_path, file_buf, make_bzimage(file_buf));
	assert_int_equal(load(&g), 0);
	assert_int_equal(g.entry.protocol, BOOT_LINUX64);
	assert_int_equal(g.entry.rip, LOAD_ADDR + 0x200);
	payload_is_loaded(&g);

	zp = (const struct boot_params *)at(&g, g.entry.arg, sizeof(*zp));
	assert_int_equal(zp->hdr.header, 0x53726448);
	assert_int_equal(zp->hdr.type_of_loader, 0xff);
	assert_int_equal(zp->hdr.code32_start, LOAD_ADDR);
	assert_int_equal(zp->acpi_rsdp_addr, ACPI_TABLES_ADDR);
	assert_int_equal(get_le64((const uint8_t *)zp + 0x70), ACPI_TABLES_ADDR);
	assert_int_equal(zp->hdr.ramdisk_size, INITRD_LEN);
	assert_memory_equal(at(&g, zp->hdr.ramdisk_image, INITRD_LEN), initrd, INITRD_LEN);
	assert_true(zp->hdr.ramdisk_image + (uint64_t)INITRD_LEN > 127 * MIB);
	assert_int_equal(zp->hdr.ramdisk_image % 4096, 0);
	assert_string_equal((const char *)at(&g, zp->hdr.cmd_line_ptr, 32), "console=ttyS0 quiet");
	guest_free(&g);
}

static void elf_with_pvh_note_starts_there_with_start_info(void **state)
{
	const uint8_t *info, *module;
	struct guest g;

	(void)state;
	guest_new(&g, 128 * MIB);
	put_file(kernel_path, file_buf, make_elf(file_buf, true));
	assert_int_equal(load(&g), 0);
	assert_int_equal(g.entry.protocol, BOOT_PVH);
	assert_int_equal(g.entry.rip, PVH_ENTRY);
	payload_is_loaded(&g);

	info = at(&g, g.entry.arg, 56);
	assert_int_equal(get_le32(info), 0x336ec578);
	assert_int_equal(get_le32(info + 12), 1);
	module = at(&g, get_le64(info + 16), 32);
	assert_int_equal(get_le64(module + 8), INITRD_LEN);
	assert_memory_equal(at(&g, get_le64(module), INITRD_LEN), initrd, INITRD_LEN);
	assert_string_equal((const char *)at(&g, get_le64(info + 24), 32), "console=ttyS0 quiet");
	assert_int_equal(get_le64(info + 32), ACPI_TABLES_ADDR);
	assert_non_null(gmem_ptr(&g.mem, get_le64(info + 40), get_le32(info + 48) * 24ULL));
	guest_free(&g);
}

static void elf_without_pvh_note_starts_at_its_entry(void **state)
{
	const struct boot_params *zp;
	struct guest g;

	(void)state;
	guest_new(&g, 128 * MIB);
	put_file(kernel_path, file_buf, make_elf(file_buf, false));
	assert_int_equal(load(&g), 0);
	assert_int_equal(g.entry.protocol, BOOT_LINUX64);
	assert_int_equal(g.entry.rip, ELF_ENTRY);
	zp = (const struct boot_params *)at(&g, g.entry.arg, sizeof(*zp));
	assert_int_equal(zp->hdr.header, 0x53726448);
	assert_int_equal(zp->hdr.ramdisk_size, INITRD_LEN);
	guest_free(&g);
}

/* Walk the identity map as a CPU does and look at the segments. */
static void page_tables_map_the_first_4gib_to_themselves(void **state)
{
	struct guest g;

	(void)state;
	guest_new(&g, 64 * MIB);
	put_file(kernel_path, file_buf, make_bzimage(file_buf));
	assert_int_equal(load(&g), 0);
	for (uint64_t va = 0; va < 1ULL << 32; va += 0x1234567) {
		uint64_t e = get_le64(at(&g, g.entry.cr3 + (va >> 39) * 8, 8));

		assert_int_equal(e & 0x83, 3);
		e = get_le64(at(&g, (e & ~0xfffULL) + (va >> 30 & 511) * 8, 8));
		assert_int_equal(e & 0x83, 3);
		e = get_le64(at(&g, (e & ~0xfffULL) + (va >> 21 & 511) * 8, 8));
		assert_int_equal(e & 0x83, 0x83);
		assert_int_equal(e & ~0x1fffffULL, va & ~0x1fffffULL);
	}
	assert_int_equal(get_le64(at(&g, g.entry.gdt + BOOT_GDT_CS, 8)), 0x00af9b000000ffffULL);
	assert_int_equal(get_le64(at(&g, g.entry.gdt + BOOT_GDT_DS, 8)), 0x00cf93000000ffffULL);
	guest_free(&g);
}

/* H85: whatever the map calls RAM is mapped, and all that is mapped is in it. */
static void memory_map_is_exactly_what_is_mapped(void **state)
{
	static const uint64_t sizes[] = { 64 * MIB,   3070 * MIB, 3072 * MIB,
					  3074 * MIB, 4096 * MIB, 6144 * MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct boot_params *zp;
		uint64_t ram = 0, end = 0;
		struct guest g;

		guest_new(&g, sizes[i]);
		put_file(kernel_path, file_buf, make_bzimage(file_buf));
		assert_int_equal(load(&g), 0);
		zp = (const struct boot_params *)at(&g, g.entry.arg, sizeof(*zp));
		for (uint32_t k = 0; k < zp->e820_entries; k++) {
			const struct boot_e820_entry e = zp->e820_table[k];

			assert_true(e.addr >= end); /* sorted, no overlap */
			end = e.addr + e.size;
			if (e.type != 1)
				continue;
			assert_non_null(gmem_ptr(&g.mem, e.addr, e.size));
			assert_true(e.addr + e.size <= ACPI_TABLES_ADDR ||
				    e.addr >= HIGH_RAM_START);
			ram += e.size;
		}
		assert_int_equal(ram, sizes[i] - (HIGH_RAM_START - EBDA_ADDR));
		guest_free(&g);
	}
}

static void refused(struct guest *g, const char *kernel, int err, const char *text)
{
	char early[256];

	assert_int_equal(load_with(g, kernel, initrd_path, ""), err);
	assert_null(strchr(g->why, '\n'));
	if (!strstr(g->why, text))
		fail_msg("\"%s\" does not say \"%s\"", g->why, text);
	/* What the early look can tell, it tells in the same words. */
	if (boot_probe(kernel, early, sizeof(early)) < 0)
		assert_string_equal(early, g->why);
}

static void bad_files_are_refused_with_their_name_and_a_reason(void **state)
{
	struct setup_header *h = (struct setup_header *)(file_buf + 0x1f1);
	struct guest g;
	size_t len;

	(void)state;
	guest_new(&g, 64 * MIB);
	refused(&g, "/etc/passwd", -ENOEXEC,
		"/etc/passwd: not a Linux kernel (neither bzImage nor ELF)");
	refused(&g, "/nonexistent", -ENOENT, "/nonexistent: No such file");
	refused(&g, "/tmp", -EINVAL, "/tmp: not a regular file");
	refused(&g, "/dev/null", -EINVAL, "not a regular file");
	refused(&g, "/proc/self/exe", -ENOEXEC, "not a kernel");
	put_file(kernel_path, "", 0);
	refused(&g, kernel_path, -ENOEXEC, "not a Linux kernel");

	len = make_bzimage(file_buf);
	put_file(kernel_path, file_buf, len - 100);
	refused(&g, kernel_path, -EINVAL, "cut off");
	h->version = 0x20b;
	put_file(kernel_path, file_buf, len);
	refused(&g, kernel_path, -ENOEXEC, "protocol 2.11 is too old");
	make_bzimage(file_buf);
	h->xloadflags = 0;
	put_file(kernel_path, file_buf, len);
	refused(&g, kernel_path, -ENOEXEC, "32-bit kernel");
	make_bzimage(file_buf);
	h->pref_address = 0x1000;
	put_file(kernel_path, file_buf, len);
	refused(&g, kernel_path, -ENOEXEC, "damaged");

	len = make_elf(file_buf, true);
	put_file(kernel_path, file_buf, len - 64);
	refused(&g, kernel_path, -EINVAL, "cut off");
	((struct elf_file *)file_buf)->note.entry = 0x1234;
	put_file(kernel_path, file_buf, len);
	refused(&g, kernel_path, -ENOEXEC, "entry 0x1234 is in no segment");
	guest_free(&g);
}

static void too_little_memory_says_how_much_is_needed(void **state)
{
	struct setup_header *h = (struct setup_header *)(file_buf + 0x1f1);
	struct guest g;
	size_t len;

	(void)state;
	guest_new(&g, 64 * MIB);
	len = make_bzimage(file_buf);
	h->init_size = 100U << 20;
	put_file(kernel_path, file_buf, len);
	refused(&g, kernel_path, -ENOMEM, "needs 116 MiB, the guest has 64 MiB");
	/* the kernel fits and its initramfs does not */
	h->init_size = 48U << 20;
	put_file(kernel_path, file_buf, len);
	refused(&g, kernel_path, -ENOMEM, "needs 65 MiB, the guest has 64 MiB");
	guest_free(&g);
}

static void long_command_line_is_refused_not_cut(void **state)
{
	char line[3000];
	struct guest g;

	(void)state;
	guest_new(&g, 64 * MIB);
	put_file(kernel_path, file_buf, make_bzimage(file_buf));
	memset(line, 'x', sizeof(line));
	line[2048] = 0;
	assert_int_equal(load_with(&g, kernel_path, NULL, line), -E2BIG);
	line[2047] = 0;
	assert_int_equal(load_with(&g, kernel_path, NULL, line), 0);
	assert_string_equal((const char *)at(&g, BOOT_CMDLINE_ADDR, 2048), line);
	guest_free(&g);
}

static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/*
 * Headers with 1..8 bytes changed, some of them to extremes. Whatever loads must
 * have an entry inside memory; the guard pages catch any store outside.
 */
static void mutated_headers_never_reach_outside(void **state)
{
	static const uint8_t extremes[] = { 0x00, 0xff, 0x7f, 0x80, 0x01 };
	uint32_t seed = 20261122, loaded = 0;
	struct guest g;

	(void)state;
	guest_new(&g, 64 * MIB);
	for (int i = 0; i < 6000; i++) {
		bool elf = i & 1;
		size_t len = elf ? make_elf(file_buf, i & 2) : make_bzimage(file_buf);
		size_t start = elf ? 0 : 0x1f1;
		size_t span = elf ? offsetof(struct elf_file, text) : sizeof(struct setup_header);
		int n = 1 + (int)(next_random(&seed) % 8);

		while (n-- > 0) {
			uint32_t r = next_random(&seed);

			file_buf[start + r % span] = r & 1U << 30 ? extremes[(r >> 8) % 5]
								  : (uint8_t)(r >> 16);
		}
		if (next_random(&seed) % 8 == 0)
			len = next_random(&seed) % len;
		put_file(kernel_path, file_buf, len);
		g.why[0] = 0;
		if (load(&g) == 0) {
			assert_non_null(gmem_ptr(&g.mem, g.entry.rip, 1));
			assert_true(g.entry.rip >= HIGH_RAM_START);
			loaded++;
		} else {
			assert_int_not_equal(g.why[0], 0);
		}
	}
	assert_in_range(loaded, 300, 5700); /* the mutations are neither all fatal nor all idle */
	guest_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_starts_at_its_64bit_entry_with_a_zero_page),
		cmocka_unit_test(elf_with_pvh_note_starts_there_with_start_info),
		cmocka_unit_test(elf_without_pvh_note_starts_at_its_entry),
		cmocka_unit_test(page_tables_map_the_first_4gib_to_themselves),
		cmocka_unit_test(memory_map_is_exactly_what_is_mapped),
		cmocka_unit_test(bad_files_are_refused_with_their_name_and_a_reason),
		cmocka_unit_test(too_little_memory_says_how_much_is_needed),
		cmocka_unit_test(long_command_line_is_refused_not_cut),
		cmocka_unit_test(mutated_headers_never_reach_outside),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
