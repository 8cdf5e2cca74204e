/* SPDX-License-Identifier: MIT */
/*
 * The jail: what the process, and each of its threads, can no longer do once the
 * program is set up. In this order:
 *
 *	jail_begin	before anything is opened: strange descriptors go
 *	jail_allow...	files that are opened or removed later
 *	  (everything is made, opened, bound and loaded)
 *	jail_enter	no thread but main's yet: namespaces, capabilities, Landlock
 *	  (threads are started; each calls jail_thread() before anything else)
 *	jail_close	main's own filter; from here on the guest may run
 *
 * docs/security.md tells what each layer is for.
 */
#ifndef SLUICE_JAIL_JAIL_H
#define SLUICE_JAIL_JAIL_H

#include <linux/filter.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Status of a program that the jail has ended: as if SIGSYS had, to a shell. */
#define JAIL_EXIT_STATUS 159

/* Paths that may be named to jail_allow(). */
#define JAIL_PATHS_MAX 16

/* Descriptors above the standard ones that jail_begin() can leave open. */
#define JAIL_KEEP_MAX 16

enum jail_thread { JAIL_MAIN, JAIL_VCPU, JAIL_NET, JAIL_WRITER, JAIL_THREADS };

/* What jail_allow() lets main do with a file, or with the files in and below a folder. */
#define JAIL_READ   1U /* open it for reading */
#define JAIL_CREATE 2U /* create and write */
#define JAIL_REMOVE 4U /* unlink; a folder's files */

/* Bulk engines beyond the copying one that the network worker may use. */
#define JAIL_SPLICE   1U
#define JAIL_ZEROCOPY 2U
#define JAIL_URING    4U

/**
 * struct jail_config - how much is needed
 * @on:		false: nothing is taken away, and that is said
 * @vcpus:	the program runs a VM: there are vCPU threads and KVM's descriptors
 * @connects:	the writer connects to a Unix socket, again and again
 * @engines:	JAIL_SPLICE and the like; may still be changed before jail_enter()
 * @last_words:	called before the jail ends the program, in a signal handler on any
 *		thread; may be NULL
 * @keep, @nkeep:	descriptors that stay open
 */
struct jail_config {
	bool on;
	bool vcpus;
	bool connects;
	unsigned int engines;
	void (*last_words)(void);
	int keep[JAIL_KEEP_MAX];
	uint32_t nkeep;
};

/**
 * struct jail_status - what is in force, for `sluice ctl status`
 * @why_off:	of one that is not on: a word
 * @profile:	of each kind of thread, NULL = the program has none or has no filter
 * @landlock:	ABI, 0 = this kernel has none
 * @namespaces:	mounts of our own, where there is no Landlock
 * @bounding:	the bounding set is empty, too
 * @missing:	what this kernel or container does not offer, in words; "" = nothing
 */
struct jail_status {
	bool on;
	const char *why_off;
	const char *profile[JAIL_THREADS];
	int landlock;
	bool namespaces;
	bool bounding;
	char missing[128];
};

struct jail_path {
	int fd; /* O_PATH */
	unsigned int access;
};

/**
 * struct jail - one for the process; zeroed before jail_begin()
 * @filter:	of each kind of thread; no instructions = none
 * @threads:	that have put theirs on
 * @tasks:	/proc/self/task, by whose links threads are counted; -1 = no /proc
 * @workers:	tasks of the kernel's own among them
 */
struct jail {
	struct jail_config cfg;
	struct jail_status status;
	struct jail_path path[JAIL_PATHS_MAX];
	uint32_t npaths;
	struct sock_fprog filter[JAIL_THREADS];
	_Atomic uint32_t threads;
	uint32_t workers;
	int tasks;
};

/* jail.c */
int jail_begin(struct jail *j, const struct jail_config *cfg, char *why, size_t why_len);
int jail_allow(struct jail *j, const char *path, unsigned int access);
int jail_allow_folder_of(struct jail *j, const char *path, unsigned int access);
int jail_enter(struct jail *j, char *why, size_t why_len);
int jail_thread(struct jail *j, enum jail_thread kind);
int jail_thread_vcpu(void *jail);
int jail_thread_net(void *jail);
int jail_thread_writer(void *jail);
int jail_close(struct jail *j, char *why, size_t why_len);
void jail_free(struct jail *j);

/* rlimit.c: limits of the process, jail or not */
uint64_t rlimit_raise(int resource, uint64_t want);

#endif
