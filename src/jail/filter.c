/* SPDX-License-Identifier: MIT */
/*
 * From rules to a filter: libseccomp compiles, we install.
 *
 * Theory of operation: filters are built by the main thread before there are
 * others, so that an error is known at once and no other thread has to allocate;
 * each thread then installs its own by one system call. libseccomp sorts the
 * calls into a binary tree. Since Linux 5.11 the kernel looks up calls whose
 * arguments do not matter in a bitmap and does not run the filter for them.
 *
 * What is not allowed raises SIGSYS (sigsys.c); a call of another architecture
 * (32-bit, x32) kills the process without a word.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/jail/priv.h"

/* Of SCMP_FLTATR_CTL_OPTIMIZE: a binary tree instead of a list. */
#define OPTIMIZE_TREE 2

/**
 * filter_offered() - has this kernel, and this container, filters that trap?
 */
bool filter_offered(void)
{
	const uint32_t action = SECCOMP_RET_TRAP;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static int add_rule(scmp_filter_ctx ctx, const struct jail_rule *r)
{
	struct scmp_arg_cmp arg[JAIL_RULE_ARGS + 1];
	unsigned int n = 0;

	for (; n < r->n; n++)
		arg[n] = r->arg[n];
	if (r->self)
		arg[n++] = (struct scmp_arg_cmp){ 0, SCMP_CMP_MASKED_EQ, UINT32_MAX,
						  (scmp_datum_t)getpid() };
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, r->nr, n, arg);
}

/* libseccomp writes its program to a descriptor only. */
static int export(scmp_filter_ctx ctx, struct sock_fprog *out)
{
	int fd = memfd_create("sluice-filter", MFD_CLOEXEC), err = 0;
	off_t len;

	if (fd < 0)
		return -errno;
	err = seccomp_export_bpf(ctx, fd);
	len = err ? 0 : lseek(fd, 0, SEEK_END);
	if (!err && (len <= 0 || len % (off_t)sizeof(*out->filter) ||
		     len / (off_t)sizeof(*out->filter) > BPF_MAXINSNS))
		err = -EFBIG;
	if (!err) {
		out->filter = malloc((size_t)len);
		out->len = (unsigned short)((size_t)len / sizeof(*out->filter));
		if (!out->filter)
			err = -ENOMEM;
		else if (pread(fd, out->filter, (size_t)len, 0) != len)
			err = -EIO;
		if (err)
			filter_free(out);
	}
	close(fd);
	return err;
}

/**
 * filter_build() - the program of a profile
 * @out:	empty; filter_free() ends it
 *
 * Main thread; allocates. Return: 0 or -errno
 */
int filter_build(struct sock_fprog *out, const struct jail_profile *p)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int err;

	if (!ctx)
		return -ENOMEM;
	err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_TREE);
	for (uint32_t s = 0; s < p->nsets && !err; s++) {
		for (size_t i = 0; i < p->set[s].n && !err; i++)
			err = add_rule(ctx, &p->set[s].rule[i]);
	}
	if (!err)
		err = export(ctx, out);
	seccomp_release(ctx);
	return err;
}

/**
 * filter_install() - from now on this thread, and threads that it makes, obey @f
 *
 * no_new_privs is set. Any thread; allocates nothing. Return: 0 or -errno
 */
int filter_install(const struct sock_fprog *f)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, f) < 0 ? -errno : 0;
}

/**
 * filter_free() - harmless on an empty one
 */
void filter_free(struct sock_fprog *f)
{
	free(f->filter);
	*f = (struct sock_fprog){ .len = 0 };
}
