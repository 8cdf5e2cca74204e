/* SPDX-License-Identifier: MIT */
/* The inside of the jail, for the files of this folder and its tests only. */
#ifndef SLUICE_JAIL_PRIV_H
#define SLUICE_JAIL_PRIV_H

#include <seccomp.h>

#include "src/jail/jail.h"

#define JAIL_RULE_ARGS 3

/**
 * struct jail_rule - one system call that is allowed
 * @self:	its first argument is this process's id
 * @n, @arg:	what its arguments must be, all of it; 0 = anything
 *
 * A call that stands in several rules is allowed when one of them fits.
 */
struct jail_rule {
	int nr;
	bool self;
	uint8_t n;
	struct scmp_arg_cmp arg[JAIL_RULE_ARGS];
};

struct jail_rules {
	const struct jail_rule *rule;
	size_t n;
};

/* Sets of rules that make up one profile, at most. */
#define JAIL_SETS_MAX 8

/**
 * struct jail_profile - what one kind of thread may call
 * @name:	as the message of a violation and `sluice ctl status` have it
 */
struct jail_profile {
	const char *name;
	struct jail_rules set[JAIL_SETS_MAX];
	uint32_t nsets;
};

/* profile.c */
void jail_profile(struct jail_profile *p, enum jail_thread kind, const struct jail_config *cfg,
		  unsigned int access);

/* filter.c */
bool filter_offered(void);
int filter_build(struct sock_fprog *out, const struct jail_profile *p);
int filter_install(const struct sock_fprog *f);
void filter_free(struct sock_fprog *f);

/* sigsys.c */
int sigsys_catch(void (*last_words)(void));
void sigsys_thread(const char *profile);

/* caps.c */
int caps_drop(bool *bounding);

/* landlock.c */
int landlock_abi(void);
int landlock_enter(int abi, const struct jail_path *path, uint32_t npaths);

/* mounts.c */
int mounts_enter(const struct jail_path *path, uint32_t npaths);

#endif
