/* SPDX-License-Identifier: MIT */
/*
 * Looks for a guest image: beside the program in a build tree, where `make install`
 * puts one, or where sluice-mkguest does. Kernel and initramfs belong together, since the
 * initramfs carries that kernel's modules: an image's kernel is only used with
 * an image's initramfs or with one that the user names. The host's own kernel
 * becomes an image by tools/mkguest; it is used as it is only when the user
 * brings an initramfs for it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/cli/kernel_find.h"

static bool readable(char *buf, size_t len, const char *dir, const char *sub, const char *name)
{
	int n = snprintf(buf, len, "%s/%s/%s", dir, sub, name);

	return n > 0 && (size_t)n < len && access(buf, R_OK) == 0;
}

/* The kernel, the initramfs or both of the first folder that has them; NULL = not wanted. */
static bool find_image(const struct guest_dirs *dirs, char *kernel, char *initrd)
{
	/* Beside build/sluice; beside the bin of a prefix; of this machine. */
	const struct {
		const char *dir, *sub;
	} places[] = { { dirs->exe, "guest" },
		       { dirs->exe, "../share/sluice" },
		       { dirs->state, "guest" } };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if ((!kernel ||
		     readable(kernel, PATH_MAX, places[i].dir, places[i].sub, GUEST_KERNEL_NAME)) &&
		    (!initrd ||
		     readable(initrd, PATH_MAX, places[i].dir, places[i].sub, GUEST_INITRD_NAME)))
			return true;
	}
	return false;
}

static bool find_host_kernel(char *kernel)
{
	struct utsname u;

	return uname(&u) == 0 && snprintf(kernel, PATH_MAX, "/boot/vmlinuz-%s", u.release) > 0 &&
	       access(kernel, R_OK) == 0;
}

/**
 * guest_exe_dir() - the folder of the running program
 *
 * Return: 0 or -errno
 */
int guest_exe_dir(char *buf, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", buf, len - 1);
	char *slash;

	if (n < 0)
		return -errno;
	buf[n] = 0;
	slash = strrchr(buf, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	return 0;
}

/**
 * guest_image_find() - decide on kernel and initramfs
 * @dirs:	where images may be
 * @kernel, @initrd:	what the user named, NULL = nothing; @initrd "none" = none
 * @why:	on failure, one line that says what to do
 *
 * What the user names is not looked at here. With a kernel of the user's own and
 * no word about the initramfs, an image's is taken if there is one.
 *
 * Return: 0, -ENOENT, -ENAMETOOLONG
 */
int guest_image_find(const struct guest_dirs *dirs, const char *kernel, const char *initrd,
		     struct guest_image *out, char *why, size_t why_len)
{
	bool none = initrd && strcmp(initrd, "none") == 0;

	*out = (struct guest_image){ 0 };
	if ((kernel && (size_t)snprintf(out->kernel, PATH_MAX, "%s", kernel) >= PATH_MAX) ||
	    (initrd && !none &&
	     (size_t)snprintf(out->initrd, PATH_MAX, "%s", initrd) >= PATH_MAX)) {
		snprintf(why, why_len, "the path of the kernel or of the initramfs is too long");
		return -ENAMETOOLONG;
	}

	if (kernel) {
		if (!initrd && !find_image(dirs, NULL, out->initrd))
			out->initrd[0] = 0;
		return 0;
	}
	if (find_image(dirs, out->kernel, initrd ? NULL : out->initrd) ||
	    (initrd && find_host_kernel(out->kernel)))
		return 0;
	snprintf(
		why, why_len,
		"no guest kernel found: run sluice-mkguest, or `make guest` in the source, or give "
		"--kernel FILE");
	return -ENOENT;
}
