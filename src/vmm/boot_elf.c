/* SPDX-License-Identifier: MIT */
/*
 * Uncompressed vmlinux kernels (ELF-64, x86-64). One with a PVH note starts at
 * the note's 32-bit entry; one without starts at its ELF entry in long mode
 * with a zero page, as if its decompressor had just run.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/vmm/boot_priv.h"

#define PHDRS_MAX     32
#define NOTES_MAX     256 /* looked at before we give up */
#define PVH_NOTE_NAME "Xen"
#define PVH_NOTE_TYPE 18 /* XEN_ELFNOTE_PHYS32_ENTRY, Xen public/elfnote.h */

/* For the made-up setup header: what the decompressor would have left there. */
#define HDR_MAGIC	 0x53726448U
#define HDR_BOOT_FLAG	 0xaa55
#define HDR_VERSION	 0x020c
#define HDR_LOADER_OTHER 0xff

/**
 * elf_is() - does a file that starts so claim to be ELF?
 */
bool elf_is(const uint8_t *head, uint64_t len)
{
	return len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int read_headers(struct boot_image *b, Elf64_Ehdr *eh, Elf64_Phdr *ph)
{
	int err = boot_read(b, &b->kernel, 0, eh, sizeof(*eh));

	if (err < 0)
		return err;
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_machine != EM_X86_64)
		return boot_fail(b, -ENOEXEC, "%s: an ELF file, but not for x86-64",
				 b->kernel.path);
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return boot_fail(b, -ENOEXEC, "%s: an ELF file, but not an executable",
				 b->kernel.path);
	if (eh->e_phentsize != sizeof(*ph) || eh->e_phnum == 0 || eh->e_phnum > PHDRS_MAX)
		return boot_fail(b, -ENOEXEC, "%s: damaged ELF: %u program headers of %u bytes",
				 b->kernel.path, eh->e_phnum, eh->e_phentsize);
	return boot_read(b, &b->kernel, eh->e_phoff, ph, eh->e_phnum * sizeof(*ph));
}

static int load_segment(struct boot_image *b, const Elf64_Phdr *ph)
{
	if (ph->p_memsz == 0 && ph->p_filesz == 0)
		return 0;
	/* An ordinary program is an ELF file too; its addresses give it away. */
	if (ph->p_filesz > ph->p_memsz || ph->p_paddr < HIGH_RAM_START ||
	    !range_ok(ph->p_paddr, ph->p_memsz, RAM_LOW_MAX))
		return boot_fail(b, -ENOEXEC,
				 "%s: not a kernel: segment of %#llx bytes at physical %#llx",
				 b->kernel.path, (unsigned long long)ph->p_memsz,
				 (unsigned long long)ph->p_paddr);
	b->kernel_end = MAX(b->kernel_end, ph->p_paddr + ph->p_memsz);
	if (!range_ok(ph->p_paddr, ph->p_memsz, b->ram_end))
		return boot_too_little(b, ph->p_paddr + ph->p_memsz);
	if (ph->p_filesz == 0) /* then p_offset means nothing */
		return 0;
	return boot_read(b, &b->kernel, ph->p_offset, gmem_ptr(b->mem, ph->p_paddr, ph->p_filesz),
			 ph->p_filesz);
}

/* Is @addr the place of a byte that came from the file? */
static bool entry_loaded(const Elf64_Phdr *ph, unsigned n, uint64_t addr)
{
	for (unsigned i = 0; i < n; i++) {
		if (ph[i].p_type == PT_LOAD && addr >= ph[i].p_paddr &&
		    addr - ph[i].p_paddr < ph[i].p_filesz)
			return true;
	}
	return false;
}

/*
 * Look for the PVH note in one PT_NOTE segment. @entry is left alone if there
 * is none. -errno only for a file that cannot be read.
 */
static int find_pvh_note(struct boot_image *b, const Elf64_Phdr *ph, uint64_t *entry)
{
	uint64_t align = ph->p_align == 8 ? 8 : 4;
	uint64_t off = 0;

	for (unsigned i = 0; i < NOTES_MAX; i++) {
		uint64_t name_off, desc_off;
		Elf64_Nhdr note;
		char name[sizeof(PVH_NOTE_NAME)];
		int err;

		if (!range_ok(off, sizeof(note), ph->p_filesz) ||
		    !range_ok(ph->p_offset, ph->p_filesz, b->kernel.size))
			return 0;
		err = boot_read(b, &b->kernel, ph->p_offset + off, &note, sizeof(note));
		if (err < 0)
			return err;
		/* 32-bit sizes: no sum of these wraps 64 bits. */
		name_off = off + sizeof(note);
		desc_off = ALIGN_UP(name_off + note.n_namesz, align);
		off = ALIGN_UP(desc_off + note.n_descsz, align);
		if (note.n_type != PVH_NOTE_TYPE || note.n_namesz != sizeof(name) ||
		    (note.n_descsz != 4 && note.n_descsz != 8) ||
		    !range_ok(desc_off, note.n_descsz, ph->p_filesz))
			continue;
		err = boot_read(b, &b->kernel, ph->p_offset + name_off, name, sizeof(name));
		if (err < 0)
			return err;
		if (memcmp(name, PVH_NOTE_NAME, sizeof(name)) == 0)
			return boot_read(b, &b->kernel, ph->p_offset + desc_off, entry,
					 note.n_descsz);
	}
	return 0;
}

static void make_up_header(struct setup_header *h)
{
	*h = (struct setup_header){
		.boot_flag = HDR_BOOT_FLAG,
		.header = HDR_MAGIC,
		.version = HDR_VERSION,
		.type_of_loader = HDR_LOADER_OTHER,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = INITRD_TOP_DEFAULT - 1,
		.cmdline_size = CMDLINE_MAX_DEFAULT,
	};
}

/**
 * elf_load() - load a file for which elf_is() holds
 *
 * Return: 0 or -errno with the reason in @b
 */
int elf_load(struct boot_image *b, struct boot_entry *out)
{
	Elf64_Phdr ph[PHDRS_MAX] = { 0 };
	uint64_t pvh = 0;
	Elf64_Ehdr eh;
	int err;

	err = read_headers(b, &eh, ph);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			err = load_segment(b, &ph[i]);
		else if (ph[i].p_type == PT_NOTE && pvh == 0)
			err = find_pvh_note(b, &ph[i], &pvh);
		if (err < 0)
			return err;
	}

	out->protocol = pvh != 0 ? BOOT_PVH : BOOT_LINUX64;
	out->rip = pvh != 0 ? pvh : eh.e_entry;
	if (!entry_loaded(ph, eh.e_phnum, out->rip))
		return boot_fail(b, -ENOEXEC, "%s: not a kernel: its entry %#llx is in no segment",
				 b->kernel.path, (unsigned long long)out->rip);
	make_up_header(&b->hdr);
	return 0;
}
