/* SPDX-License-Identifier: MIT */
/*
 * Landlock: of all files, only those that were named.
 *
 * It holds for what is opened from now on, by this thread and those that it makes;
 * descriptors that are open stay as they are. What a kernel's version knows is told
 * by its ABI number; rights that are newer than that cannot be taken away.
 *
 * The calls have no wrappers in the C library, and the constants of newer ABIs are
 * not in the headers of older systems. Source: Documentation/userspace-api/landlock.rst.
 */
#include <errno.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/jail/priv.h"

/* Rights that came after ABI 1, by the ABI that brought them. */
#define FS_REFER_2     (1ULL << 13)
#define FS_TRUNCATE_3  (1ULL << 14)
#define FS_IOCTL_DEV_5 (1ULL << 15)
#define SCOPE_ABI      6
#define SCOPE_ALL      3ULL /* abstract Unix sockets, signals */

/* Those of files themselves; the others are of folders. */
#define FS_OF_FILES                                                   \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	 LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE_3 | FS_IOCTL_DEV_5)

/* As struct landlock_ruleset_attr is in ABI 6; an older kernel wants its end to be 0. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

/* All of ABI 1: its highest right and those below it. */
#define FS_ABI_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static uint64_t handled(int abi)
{
	uint64_t fs = FS_ABI_1;

	if (abi >= 2)
		fs |= FS_REFER_2;
	if (abi >= 3)
		fs |= FS_TRUNCATE_3;
	if (abi >= 5)
		fs |= FS_IOCTL_DEV_5;
	return fs;
}

static uint64_t rights(unsigned int access)
{
	uint64_t fs = 0;

	if (access & JAIL_READ)
		fs |= LANDLOCK_ACCESS_FS_READ_FILE;
	if (access & JAIL_CREATE)
		fs |= LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE_3;
	if (access & JAIL_REMOVE)
		fs |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
	return fs;
}

/**
 * landlock_abi() - version of what this kernel has; 0 = nothing, or not allowed here
 */
int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static int add(int ruleset, const struct jail_path *p, uint64_t known)
{
	struct landlock_path_beneath_attr rule = { .parent_fd = p->fd };
	struct stat st;

	if (fstat(p->fd, &st) < 0)
		return -errno;
	rule.allowed_access = rights(p->access) & known;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILES;
	if (!rule.allowed_access)
		return 0;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? -errno
		       : 0;
}

/**
 * landlock_enter() - nothing but @path can be opened, created or removed
 * @abi:	of landlock_abi(), at least 1
 *
 * no_new_privs is set. Main thread, while it is the only one. Return: 0 or -errno
 */
int landlock_enter(int abi, const struct jail_path *path, uint32_t npaths)
{
	const struct ruleset_attr attr = { .fs = handled(abi),
					   .scoped = abi >= SCOPE_ABI ? SCOPE_ALL : 0 };
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), err = 0;

	if (ruleset < 0)
		return -errno;
	for (uint32_t i = 0; i < npaths && !err; i++)
		err = add(ruleset, &path[i], attr.fs);
	if (!err && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		err = -errno;
	close(ruleset);
	return err;
}
