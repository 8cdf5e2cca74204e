/* SPDX-License-Identifier: MIT */
/*
 * bzImage kernels, started at their 64-bit entry (Linux
 * Documentation/arch/x86/boot.rst, protocol 2.12 and later).
 *
 * The real-mode part of the file is used for its header only. What follows it
 * is loaded where the kernel prefers to run: a decompressor that finds itself
 * lower than that moves its output there anyway.
 */
#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/boot_priv.h"

#define HDR_OFF	      0x1f1 /* of struct setup_header, in the file and in the zero page */
#define HDR_MAGIC_OFF 0x202
#define HDR_MAGIC     0x53726448U /* "HdrS" */
#define HDR_JUMP_OFF  0x201	  /* the header ends this jump's distance behind 0x202 */
#define BOOT_FLAG_OFF 0x1fe
#define BOOT_FLAG     0xaa55
#define PROTOCOL_MIN  0x020c /* first with xloadflags */
#define SECTOR	      512ULL
#define SETUP_SECTS_0 4	       /* what 0 means */
#define ENTRY64_OFF   0x200ULL /* of the 64-bit entry behind the load address */
#define PARAGRAPH     16ULL    /* unit of setup_header.syssize */
#define LOADER_OTHER  0xff     /* type_of_loader: none with a number of its own */

static_assert(offsetof(struct boot_params, hdr) == HDR_OFF, "wire offset");
static_assert(sizeof(struct setup_header) <= 0x290 - HDR_OFF, "the header's place in the page");

/**
 * bzimage_is() - does a file that starts so claim to be a bzImage?
 */
bool bzimage_is(const uint8_t *head, uint64_t len)
{
	return len >= HDR_MAGIC_OFF + 4 && get_le16(head + BOOT_FLAG_OFF) == BOOT_FLAG &&
	       get_le32(head + HDR_MAGIC_OFF) == HDR_MAGIC;
}

/* Read the header, as far as the file says that it goes and we know it. */
static int read_header(struct boot_image *b)
{
	uint8_t jump;
	uint64_t len;
	int err;

	err = boot_read(b, &b->kernel, HDR_JUMP_OFF, &jump, 1);
	if (err < 0)
		return err;
	len = MIN(HDR_MAGIC_OFF + (uint64_t)jump - HDR_OFF, sizeof(b->hdr));
	return boot_read(b, &b->kernel, HDR_OFF, &b->hdr, len);
}

static int check_header(struct boot_image *b)
{
	const struct setup_header *h = &b->hdr;

	if (h->version < PROTOCOL_MIN)
		return boot_fail(b, -ENOEXEC,
				 "%s: boot protocol %u.%u is too old, 2.12 (Linux 3.8) is needed",
				 b->kernel.path, h->version >> 8, h->version & 0xff);
	if (!(h->xloadflags & XLF_KERNEL_64))
		return boot_fail(b, -ENOEXEC, "%s: a 32-bit kernel: no 64-bit entry",
				 b->kernel.path);
	if (!(h->loadflags & LOADED_HIGH))
		return boot_fail(b, -ENOEXEC, "%s: a zImage, loaded low; a bzImage is needed",
				 b->kernel.path);
	if (h->pref_address < HIGH_RAM_START || h->pref_address >= RAM_LOW_MAX || h->init_size == 0)
		return boot_fail(b, -ENOEXEC, "%s: damaged header: it wants %u bytes at %#llx",
				 b->kernel.path, h->init_size, (unsigned long long)h->pref_address);
	return 0;
}

/**
 * bzimage_load() - load a file for which bzimage_is() holds
 *
 * Return: 0 or -errno with the reason in @b
 */
int bzimage_load(struct boot_image *b, struct boot_entry *out)
{
	struct setup_header *h = &b->hdr;
	unsigned long long setup, payload;
	uint64_t load;
	int err;

	err = read_header(b);
	if (err == 0)
		err = check_header(b);
	if (err < 0)
		return err;

	setup = ((h->setup_sects ? h->setup_sects : SETUP_SECTS_0) + 1ULL) * SECTOR;
	/* What a signing tool appended is beyond syssize. */
	payload = h->syssize * PARAGRAPH;
	if (setup >= b->kernel.size || payload <= ENTRY64_OFF ||
	    payload > ALIGN_UP(b->kernel.size - setup, PARAGRAPH))
		return boot_fail(
			b, -EINVAL, "%s: cut off or damaged: %llu bytes, its header speaks of %llu",
			b->kernel.path, (unsigned long long)b->kernel.size, setup + payload);
	payload = MIN(payload, b->kernel.size - setup);

	load = h->pref_address;
	b->kernel_end = load + MAX((uint64_t)h->init_size, payload);
	if (b->kernel_end > b->ram_end)
		return boot_too_little(b, b->kernel_end);
	err = boot_read(b, &b->kernel, setup, gmem_ptr(b->mem, load, payload), payload);
	if (err < 0)
		return err;

	b->initrd_top = h->initrd_addr_max + 1ULL;
	b->cmdline_max = h->cmdline_size;
	h->type_of_loader = LOADER_OTHER;
	h->code32_start = (uint32_t)load;
	h->setup_data = 0;
	out->protocol = BOOT_LINUX64;
	out->rip = load + ENTRY64_OFF;
	return 0;
}
