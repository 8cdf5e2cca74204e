/* SPDX-License-Identifier: MIT */
/*
 * Capabilities: none left, and none to be had again.
 *
 * Capabilities belong to threads, and a new thread inherits its maker's: so this
 * runs before there is a second one.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/jail/priv.h"

/* Capabilities have 64 bits; the kernel refuses what it does not know. */
#define CAPS_MAX 64

/* Empty the bounding set, where we have the right. Return: 0, -EPERM, or -errno */
static int drop_bounding(void)
{
	for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL && cap > 0)
			return 0; /* one beyond the last */
		return -errno;
	}
	return 0;
}

/**
 * caps_drop() - no capability in any set of this thread
 * @bounding:	out: the bounding set is empty, too. It cannot be emptied without
 *		CAP_SETPCAP, and then matters to nobody: no_new_privs keeps an execve()
 *		from raising anything, and there is none
 *
 * Main thread, while it is the only one. Return: 0 or -errno
 */
int caps_drop(bool *bounding)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3], now[_LINUX_CAPABILITY_U32S_3];
	int err = drop_bounding();

	if (err < 0 && err != -EPERM)
		return err;
	*bounding = err == 0;
	/* User id 0 means nothing any more; needs CAP_SETPCAP like the above. */
	if (*bounding &&
	    prctl(PR_SET_SECUREBITS,
		  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		  0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	memset(none, 0, sizeof(none));
	if (syscall(SYS_capset, &head, none) < 0 || syscall(SYS_capget, &head, now) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(now); i++) {
		if (now[i].effective | now[i].permitted | now[i].inheritable)
			return -EPERM;
	}
	return 0;
}
