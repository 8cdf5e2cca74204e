/* SPDX-License-Identifier: MIT */
/* Limits of the process: as much as is needed and allowed. */
#include <sys/resource.h>

#include "src/base/base.h"
#include "src/jail/jail.h"

/**
 * rlimit_raise() - have at least @want of @resource, as far as we are allowed
 * @resource:	RLIMIT_NOFILE, ...
 *
 * The hard limit is raised with privilege only. Main thread, before jail_enter().
 * Return: how much there is, RLIM_INFINITY for no limit
 */
uint64_t rlimit_raise(int resource, uint64_t want)
{
	struct rlimit rl, more;

	if (getrlimit(resource, &rl) < 0 || rl.rlim_cur >= want)
		return rl.rlim_cur;
	more = (struct rlimit){ want, MAX(want, rl.rlim_max) };
	if (setrlimit(resource, &more) == 0)
		return want;
	rl.rlim_cur = MIN(want, rl.rlim_max);
	if (setrlimit(resource, &rl) < 0)
		(void)getrlimit(resource, &rl);
	return rl.rlim_cur;
}
