/* SPDX-License-Identifier: MIT */
/* Which kernel and initramfs to boot when the user names none or one of them. */
#ifndef SLUICE_CLI_KERNEL_FIND_H
#define SLUICE_CLI_KERNEL_FIND_H

#include <limits.h>
#include <stddef.h>

/* Names in a folder of guest images, as tools/mkguest writes them. */
#define GUEST_KERNEL_NAME "vmlinuz"
#define GUEST_INITRD_NAME "initramfs.cpio.gz"

/**
 * struct guest_image - what was decided on
 * @initrd:	"" = none
 */
struct guest_image {
	char kernel[PATH_MAX];
	char initrd[PATH_MAX];
};

/* kernel_find.c */
int guest_image_find(const char *exe_dir, const char *kernel, const char *initrd,
		     struct guest_image *out, char *why, size_t why_len);
int guest_exe_dir(char *buf, size_t len);

#endif
