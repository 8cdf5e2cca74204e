/* SPDX-License-Identifier: MIT */
/*
 * From options to a jail.
 *
 * What the program opens later it opens by one of the paths here, and no other:
 * an option that names a file which is to be opened or removed once the guest
 * runs has a line in allow_paths().
 */
#include "src/cli/jailcfg.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/cli/resolv.h"
#include "src/sight/audit_log.h"
#include "src/vmm/tty.h"
#include "tcpstack/snapshot.h"
#include "virtio/net_worker.h"

/* N of "/dev/fd/N" or "/proc/self/fd/N", which somebody has opened for us; else -1. */
static int fd_of(const char *path)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };

	for (size_t i = 0; path && i < ARRAY_SIZE(folders); i++) {
		size_t len = strlen(folders[i]);
		char *end;
		long n;

		if (strncmp(path, folders[i], len) != 0)
			continue;
		n = strtol(path + len, &end, 10);
		if (end != path + len && !*end && n >= 0 && n <= INT32_MAX)
			return (int)n;
	}
	return -1;
}

/* Descriptors that options name as files. */
static void keep_named(struct jail_config *c, const struct run_options *o)
{
	for (size_t i = 0; i < option_rows; i++) {
		const struct option_def *d = &option_table[i];
		const char *const *value = (const void *)((const char *)o + d->offset);
		int fd;

		if (!d->name || (d->type != OPT_STRING && d->type != OPT_OPTIONAL))
			continue;
		fd = fd_of(*value);
		if (fd >= 0 && c->nkeep < JAIL_KEEP_MAX)
			c->keep[c->nkeep++] = fd;
	}
}

/**
 * jailcfg_begin() - jail_begin(), as the options have it
 *
 * Before anything is opened. Main thread. Return: 0 or -errno
 */
int jailcfg_begin(struct jail *j, const struct run_options *o, enum command command, char *why,
		  size_t why_len)
{
	struct jail_config c = {
		.on = o->jail,
		.vcpus = command == COMMAND_RUN,
		.last_words = tty_restore,
	};

	keep_named(&c, o);
	return jail_begin(j, &c, why, why_len);
}

/*
 * resolv.conf is followed where no --dns is given. Whoever changes it may put
 * another file in its place, so its folder is what counts; all of a folder that
 * holds other things than that, as /etc does, is too much for root, who can read
 * secrets there.
 */
static int allow_resolv(struct jail *j, const char *path)
{
	char real[PATH_MAX];
	int err;

	if (!realpath(path, real))
		return errno == ENOENT ? 0 : -errno;
	err = jail_allow(j, real, JAIL_READ);
	if (err == 0 && (geteuid() != 0 || strncmp(real, "/etc/", 5) != 0))
		err = jail_allow_folder_of(j, real, JAIL_READ);
	if (err == 0 && geteuid() != 0 && strcmp(real, path) != 0)
		err = jail_allow_folder_of(j, path, JAIL_READ);
	return err;
}

static bool audit_is_socket(const struct run_options *o)
{
	return o->audit && strncmp(o->audit, AUDIT_UNIX, strlen(AUDIT_UNIX)) == 0;
}

static int allow_paths(struct jail *j, const struct run_options *o, char *why, size_t why_len)
{

	bool connects = audit_is_socket(o);
	const struct {
		const char *path;
		unsigned int access;
	} later[] = {
		{ o->socket, JAIL_REMOVE },
		{ o->control, JAIL_REMOVE },
		{ connects ? NULL : o->audit, JAIL_CREATE },
		/* To be seen where mounts keep files away; Landlock knows no connect(). */
		{ connects ? o->audit + strlen(AUDIT_UNIX) : NULL, 0 },
	};
	int err = o->net && o->stack.nresolvers == 0 ? allow_resolv(j, RESOLV_CONF) : 0;

	if (err < 0) {
		snprintf(why, why_len, "--jail: %s: %s", RESOLV_CONF, strerror(-err));
		return err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(later); i++) {
		if (!later[i].path)
			continue;
		err = jail_allow_folder_of(j, later[i].path, later[i].access);
		if (err < 0) {
			snprintf(why, why_len, "--jail: folder of %s: %s", later[i].path,
				 strerror(-err));
			return err;
		}
	}
	return 0;
}

static int get_info(void *ctx, struct stack *st)
{
	stack_get_info(st, ctx);
	return 0;
}

/* Engines that a flow may be sent by: as bulk_allow() chooses, of those that there are. */
static unsigned int engines(const struct run_options *o, struct net_worker *worker)
{
	struct stack_info info;
	unsigned int tracked;

	net_worker_call(worker, get_info, &info);
	tracked = info.probe[BULK_URING].err ? JAIL_ZEROCOPY : JAIL_URING;
	switch ((enum stack_bulk)o->stack.bulk) {
	case STACK_BULK_COPY:
		return 0;
	case STACK_BULK_SPLICE:
		return JAIL_SPLICE;
	case STACK_BULK_ZEROCOPY:
		return JAIL_ZEROCOPY;
	case STACK_BULK_URING:
		return tracked;
	case STACK_BULK_AUTO:
		break;
	}
	return tracked | (o->stack.nsplice_to ? JAIL_SPLICE : 0);
}

/**
 * jailcfg_enter() - jail_enter(), as the options and the worker's engines have it
 * @worker:	made for later; NULL = there is no network
 *
 * Main thread, when all is set up. Return: 0 or -errno
 */
int jailcfg_enter(struct jail *j, const struct run_options *o, struct net_worker *worker, char *why,
		  size_t why_len)
{
	int err = allow_paths(j, o, why, why_len);

	if (err < 0)
		return err;
	if (worker)
		j->cfg.engines = engines(o, worker);
	j->cfg.connects = audit_is_socket(o);
	return jail_enter(j, why, why_len);
}
