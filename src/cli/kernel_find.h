/* SPDX-License-Identifier: MIT */
/* Which kernel and initramfs to boot when the user names none or one of them. */
#ifndef SLUICE_CLI_KERNEL_FIND_H
#define SLUICE_CLI_KERNEL_FIND_H

#include <limits.h>
#include <stddef.h>

/* Names in a folder of guest images, as tools/mkguest writes them. */
#define GUEST_KERNEL_NAME "vmlinuz"
#define GUEST_INITRD_NAME "initramfs.cpio.gz"

/* The machine's own image is in the folder `guest` of this; tools/sluice-mkguest knows it too. */
#define GUEST_STATE_DIR "/var/lib/sluice"

/**
 * struct guest_dirs - where images may be
 * @exe:	guest_exe_dir()
 * @state:	GUEST_STATE_DIR
 */
struct guest_dirs {
	const char *exe, *state;
};

/**
 * struct guest_image - what was decided on
 * @initrd:	"" = none
 */
struct guest_image {
	char kernel[PATH_MAX];
	char initrd[PATH_MAX];
};

/* kernel_find.c */
int guest_image_find(const struct guest_dirs *dirs, const char *kernel, const char *initrd,
		     struct guest_image *out, char *why, size_t why_len);
int guest_exe_dir(char *buf, size_t len);

#endif
