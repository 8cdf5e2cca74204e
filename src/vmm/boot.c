/* SPDX-License-Identifier: MIT */
/*
 * Loads a kernel, its initramfs and everything that the first vCPU needs to
 * start in it.
 *
 * The loader relies on guest memory that is zero where nothing was written:
 * a fresh memfd is. BSS and page-table holes are therefore never touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/vmm/acpi.h"
#include "src/vmm/boot_priv.h"

#define MIB(bytes) ((unsigned long long)((bytes) + (1ULL << 20) - 1) >> 20)

/* Enough of a file to know its format: an ELF header, or a setup header's magic. */
#define SNIFF_LEN 0x206

/**
 * boot_fail() - fill in the one line that says why, for the caller to return
 * @err:	-errno
 *
 * Return: @err
 */
int boot_fail(struct boot_image *b, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->why, b->why_len, fmt, ap);
	va_end(ap);
	return err;
}

/**
 * boot_too_little() - say that the guest's memory does not hold what is loaded
 * @need:	bytes of low memory, counted from address 0, that would do
 *
 * Return: -ENOMEM
 */
int boot_too_little(struct boot_image *b, uint64_t need)
{
	if (b->ram_end >= RAM_LOW_MAX)
		return boot_fail(b, -ENOMEM, "%s: needs %llu MiB below the device hole at %llu MiB",
				 b->kernel.path, MIB(need), MIB(RAM_LOW_MAX));
	return boot_fail(b, -ENOMEM,
			 "%s: too little memory: loading it needs %llu MiB, the guest has %llu MiB "
			 "(see --memory)",
			 b->kernel.path, MIB(need), MIB(b->ram_end));
}

static int boot_open(struct boot_image *b, struct boot_file *f, const char *path)
{
	struct stat st;
	int err;

	/* O_NONBLOCK: a FIFO given by mistake must not hang us. */
	f->path = path;
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0)
		return boot_fail(b, -errno, "%s: %s", path, strerror(errno));
	if (fstat(f->fd, &st) < 0) {
		err = boot_fail(b, -errno, "%s: %s", path, strerror(errno));
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		err = boot_fail(b, -EINVAL, "%s: not a regular file", path);
		goto fail;
	}
	f->size = (uint64_t)st.st_size;
	return 0;
fail:
	close(f->fd);
	f->fd = -1;
	return err;
}

/**
 * boot_read() - read a part of a file whole, straight to where it belongs
 * @off, @len:	within the file, or it is called cut off
 *
 * Return: 0, -EINVAL (file too short), -errno of pread(2)
 */
int boot_read(struct boot_image *b, const struct boot_file *f, uint64_t off, void *buf,
	      uint64_t len)
{
	uint8_t *p = buf;

	if (!range_ok(off, len, f->size))
		return boot_fail(b, -EINVAL, "%s: cut off: it has %llu bytes", f->path,
				 (unsigned long long)f->size);
	while (len > 0) {
		ssize_t n = pread(f->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return boot_fail(b, -errno, "%s: %s", f->path, strerror(errno));
		if (n == 0)
			return boot_fail(b, -EIO, "%s: became shorter while it was read", f->path);
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

enum format { FORMAT_BZIMAGE, FORMAT_ELF };

/* Returns an enum format, or -errno. */
static int sniff(struct boot_image *b)
{
	uint8_t head[SNIFF_LEN];
	uint64_t len = MIN(b->kernel.size, sizeof(head));
	int err;

	err = boot_read(b, &b->kernel, 0, head, len);
	if (err < 0)
		return err;
	if (elf_is(head, len))
		return FORMAT_ELF;
	if (bzimage_is(head, len))
		return FORMAT_BZIMAGE;
	return boot_fail(b, -ENOEXEC, "%s: not a Linux kernel (neither bzImage nor ELF)",
			 b->kernel.path);
}

static int load_kernel(struct boot_image *b, struct boot_entry *out)
{
	int format = sniff(b);

	if (format < 0)
		return format;
	return format == FORMAT_ELF ? elf_load(b, out) : bzimage_load(b, out);
}

/* As high as the kernel allows, so that it does not stand where the kernel unpacks. */
static int load_initrd(struct boot_image *b)
{
	uint64_t top = ALIGN_DOWN(MIN(b->ram_end, b->initrd_top), 4096ULL);
	uint64_t start = ALIGN_UP(b->kernel_end, 4096ULL);
	struct boot_file f = { .fd = -1 };
	int err;

	if (!b->cfg->initrd)
		return 0;
	err = boot_open(b, &f, b->cfg->initrd);
	if (err < 0)
		return err;
	if (f.size == 0) {
		err = boot_fail(b, -EINVAL, "%s: empty initramfs", f.path);
	} else if (f.size > RAM_LOW_MAX) {
		err = boot_fail(b, -EFBIG, "%s: initramfs too large: %llu MiB", f.path,
				MIB(f.size));
	} else if (start > top || ALIGN_UP(f.size, 4096ULL) > top - start) {
		err = boot_too_little(b, start + ALIGN_UP(f.size, 4096ULL));
	} else {
		b->initrd_size = f.size;
		b->initrd_addr = top - ALIGN_UP(f.size, 4096ULL);
		err = boot_read(b, &f, 0, gmem_ptr(b->mem, b->initrd_addr, f.size), f.size);
	}
	close(f.fd);
	return err;
}

static int load_cmdline(struct boot_image *b)
{
	uint64_t max = MIN(b->cmdline_max, (uint64_t)BOOT_CMDLINE_MAX - 1);
	char *text;

	b->cmdline_len = strlen(b->cfg->cmdline);
	if (b->cmdline_len > max)
		return boot_fail(b, -E2BIG,
				 "kernel command line too long: %llu bytes, %s takes %llu",
				 (unsigned long long)b->cmdline_len, b->kernel.path,
				 (unsigned long long)max);
	text = gmem_ptr(b->mem, BOOT_CMDLINE_ADDR, b->cmdline_len + 1);
	BUG_ON(!text);
	memcpy(text, b->cfg->cmdline, b->cmdline_len + 1);
	return 0;
}

static int load_tables(struct boot_image *b)
{
	const struct acpi_config acpi = {
		.vcpus = b->cfg->vcpus,
		.mmio_slots = b->cfg->mmio_slots,
	};
	int err = acpi_build(&acpi, b->mem, &b->rsdp);

	if (err < 0)
		return boot_fail(b, err, "ACPI tables: %s", strerror(-err));
	boot_write_cpu_tables(b->mem);
	return 0;
}

/**
 * boot_probe() - does this file look like a kernel? For an early answer
 * @why:	on failure, one line that names the file
 *
 * Return: 0, or -errno as boot_load()
 */
int boot_probe(const char *kernel, char *why, size_t why_len)
{
	struct boot_image b = { .why = why, .why_len = why_len };
	int err = boot_open(&b, &b.kernel, kernel);

	if (err < 0)
		return err;
	err = sniff(&b);
	close(b.kernel.fd);
	return MIN(err, 0);
}

/**
 * boot_load() - put a kernel and all that it starts with into guest memory
 * @cfg:	what to load
 * @mem:	guest memory, zero so far; its first region starts at address 0
 * @out:	how to start the first vCPU
 * @why:	on failure, one line that names the file and what is wrong
 *
 * Main thread, before any vCPU runs. A failure leaves guest memory half
 * written; the VM is then of no use.
 *
 * Return: 0, or -errno: -ENOEXEC (not a kernel that we can boot), -ENOMEM (too
 * little guest memory), -E2BIG (command line), -EINVAL (broken file), others
 * from the file system
 */
int boot_load(const struct boot_config *cfg, const struct gmem *mem, struct boot_entry *out,
	      char *why, size_t why_len)
{
	struct boot_image b = {
		.cfg = cfg,
		.mem = mem,
		.why = why,
		.why_len = why_len,
		.initrd_top = INITRD_TOP_DEFAULT,
		.cmdline_max = CMDLINE_MAX_DEFAULT,
	};
	int err;

	BUG_ON(mem->nregions == 0 || mem->regions[0].gpa != 0);
	BUG_ON(mem->regions[0].size < RAM_SIZE_STEP);
	BUG_ON(mem->regions[0].size > RAM_LOW_MAX);
	b.ram_end = mem->regions[0].size;
	*out = (struct boot_entry){ .cr3 = BOOT_PAGE_TABLE_ADDR, .gdt = BOOT_GDT_ADDR };

	err = boot_open(&b, &b.kernel, cfg->kernel);
	if (err < 0)
		return err;
	err = load_kernel(&b, out);
	if (err == 0)
		err = load_initrd(&b);
	if (err == 0)
		err = load_cmdline(&b);
	if (err == 0)
		err = load_tables(&b);
	close(b.kernel.fd);
	if (err < 0)
		return err;

	if (out->protocol == BOOT_PVH) {
		boot_write_pvh_info(&b);
		out->arg = BOOT_PVH_INFO_ADDR;
	} else {
		boot_write_zero_page(&b);
		out->arg = BOOT_ZERO_PAGE_ADDR;
	}
	return 0;
}
