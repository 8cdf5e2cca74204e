/* SPDX-License-Identifier: MIT */
/* Which kernel and initramfs are taken, from folders made up here. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/cli/kernel_find.h"

static char top[] = "/tmp/sluice-find-XXXXXX";
static char bin[64], state_dir[64], why[256];
static struct guest_image img;

static const char *const folders[] = { "bin",	       "bin/guest", "share",
				       "share/sluice", "state",	    "state/guest" };
static const char *const files[] = { "bin/guest/vmlinuz",    "bin/guest/initramfs.cpio.gz",
				     "share/sluice/vmlinuz", "share/sluice/initramfs.cpio.gz",
				     "state/guest/vmlinuz",  "state/guest/initramfs.cpio.gz" };

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (mkdir(path_of(folders[i]), 0755) < 0)
			return -1;
	}
	snprintf(bin, sizeof(bin), "%s/bin", top);
	snprintf(state_dir, sizeof(state_dir), "%s/state", top);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(path_of(files[i]));
	for (size_t i = ARRAY_SIZE(folders); i-- > 0;)
		rmdir(path_of(folders[i]));
	return rmdir(top);
}

/* Bit i: files[i] exists. */
static void have(unsigned mask)
{
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		unlink(path_of(files[i]));
		if (mask & 1U << i) {
			int fd = open(path_of(files[i]), O_CREAT | O_WRONLY, 0644);

			assert_true(fd >= 0);
			close(fd);
		}
	}
}

static int find(const char *kernel, const char *initrd)
{
	const struct guest_dirs dirs = { bin, state_dir };

	why[0] = 0;
	return guest_image_find(&dirs, kernel, initrd, &img, why, sizeof(why));
}

static void ends_with(const char *path, const char *tail)
{
	size_t n = strlen(path), t = strlen(tail);

	assert_true(n >= t);
	assert_string_equal(path + n - t, tail);
}

static void image_beside_the_program_comes_first(void **state)
{
	(void)state;
	have(0xf);
	assert_int_equal(find(NULL, NULL), 0);
	ends_with(img.kernel, "bin/guest/vmlinuz");
	ends_with(img.initrd, "bin/guest/initramfs.cpio.gz");
	have(0x3c);
	assert_int_equal(find(NULL, NULL), 0);
	ends_with(img.kernel, "share/sluice/vmlinuz");
	ends_with(img.initrd, "share/sluice/initramfs.cpio.gz");
	have(0x30);
	assert_int_equal(find(NULL, NULL), 0);
	ends_with(img.kernel, "state/guest/vmlinuz");
	ends_with(img.initrd, "state/guest/initramfs.cpio.gz");
}

/* A kernel of one folder never goes with the modules of another. */
static void half_an_image_is_none(void **state)
{
	(void)state;
	have(0xd);
	assert_int_equal(find(NULL, NULL), 0);
	ends_with(img.kernel, "share/sluice/vmlinuz");
	have(0x9);
	assert_int_equal(find(NULL, NULL), -ENOENT);
	assert_non_null(strstr(why, "run sluice-mkguest"));
	assert_null(strchr(why, '\n'));
}

static void users_words_are_taken_as_they_are(void **state)
{
	(void)state;
	have(0xf);
	assert_int_equal(find("/my/kernel", "/my/initrd"), 0);
	assert_string_equal(img.kernel, "/my/kernel");
	assert_string_equal(img.initrd, "/my/initrd");
	assert_int_equal(find("/my/kernel", "none"), 0);
	assert_string_equal(img.initrd, "");
	assert_int_equal(find(NULL, "none"), 0);
	ends_with(img.kernel, "bin/guest/vmlinuz");
	assert_string_equal(img.initrd, "");
}

static void users_kernel_gets_an_images_initramfs_if_there_is_one(void **state)
{
	(void)state;
	have(0x8);
	assert_int_equal(find("/my/kernel", NULL), 0);
	ends_with(img.initrd, "share/sluice/initramfs.cpio.gz");
	have(0);
	assert_int_equal(find("/my/kernel", NULL), 0);
	assert_string_equal(img.initrd, "");
}

static void too_long_a_path_is_refused_in_one_line(void **state)
{
	static char path[PATH_MAX + 1];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	assert_int_equal(find(path, NULL), -ENAMETOOLONG);
	assert_int_not_equal(why[0], 0);
	assert_int_equal(find("/k", path), -ENAMETOOLONG);
	assert_int_not_equal(why[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_beside_the_program_comes_first),
		cmocka_unit_test(half_an_image_is_none),
		cmocka_unit_test(users_words_are_taken_as_they_are),
		cmocka_unit_test(users_kernel_gets_an_images_initramfs_if_there_is_one),
		cmocka_unit_test(too_long_a_path_is_refused_in_one_line),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
