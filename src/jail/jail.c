/* SPDX-License-Identifier: MIT */
/*
 * The jail's order of events.
 *
 * Theory of operation: what belongs to the whole process or is inherited by
 * threads (descriptors, capabilities, no_new_privs, Landlock) is done by the main
 * thread while it is alone. Filters belong to threads, and each has its own: it
 * installs it before anything else. Before the guest may run, main counts the
 * tasks of the process: one that has not been through jail_thread() is a bug, and
 * nothing runs (H80).
 *
 * A part that the kernel or the container does not offer is named once, in a log
 * line and in the status. A part that it offers and that fails is fatal.
 */
#include "src/jail/jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "src/jail/priv.h"

#define FIRST_FD 3

/* Of proc_pid_stat(5)'s flags: PF_IO_WORKER, and PF_USER_WORKER of Linux 6.4. */
#define TASK_IO_WORKER	 0x10U
#define TASK_USER_WORKER 0x4000U

/* Sanitizers call what no profile of ours knows, when they like. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define INSTRUMENTED 1
#endif
#endif

PRINTF(4, 5)
static int failed(int err, char *why, size_t why_len, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(why, why_len, "--jail: ");

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < why_len)
		vsnprintf(why + n, why_len - (size_t)n, fmt, ap);
	va_end(ap);
	return err;
}

/* What is not to be had here: into the status, and one line. */
static void miss(struct jail *j, const char *what, const char *effect)
{
	size_t len = strlen(j->status.missing);

	snprintf(j->status.missing + len, sizeof(j->status.missing) - len, "%s%s", len ? ", " : "",
		 what);
	log_warn("jail", "no %s here: %s", what, effect);
}

/* --- at the beginning ------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* What the maker of this process has left open is nothing that we know. */
static int close_strange(struct jail *j)
{
	unsigned int from = FIRST_FD;
	int keep[JAIL_KEEP_MAX];

	memcpy(keep, j->cfg.keep, sizeof(keep));
	qsort(keep, j->cfg.nkeep, sizeof(keep[0]), by_number);
	for (uint32_t i = 0; i < j->cfg.nkeep; i++) {
		unsigned int fd = (unsigned int)keep[i];

		if (fd < from)
			continue;
		if (fd > from && close_range(from, fd - 1, 0) < 0)
			return -errno;
		from = fd + 1;
	}
	return close_range(from, ~0U, 0) < 0 ? -errno : 0;
}

/* A file that we open must never be mistaken for standard output. */
static int have_standard_fds(void)
{
	for (int fd = 0; fd < FIRST_FD; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	}
	return 0;
}

/**
 * jail_begin() - before anything is opened: strange descriptors and core dumps go
 * @j:		zeroed
 * @cfg:	copied
 * @why:	on failure, one line
 *
 * Says in one line on standard error if there will be no jail. Main thread.
 * Return: 0 with @j to be ended by jail_free(), or -errno
 */
int jail_begin(struct jail *j, const struct jail_config *cfg, char *why, size_t why_len)
{
	const struct rlimit none = { 0, 0 };
	int err;

	*j = (struct jail){ .cfg = *cfg, .tasks = -1 };
	j->status.on = cfg->on;
	j->status.why_off = "option";
#ifdef INSTRUMENTED
	if (cfg->on)
		j->status.why_off = "instrumented build";
	j->status.on = false;
#endif
	err = have_standard_fds();
	if (err < 0)
		return failed(err, why, why_len, "standard streams: %s", strerror(-err));
	if (!j->status.on) {
		fprintf(stderr,
			"sluice: warning: the jail is OFF (%s): whoever breaks out of the guest "
			"has all of this user's rights\n",
			cfg->on ? j->status.why_off : "--jail=off");
		return 0;
	}
	err = close_strange(j);
	if (err == -ENOSYS)
		miss(j, "close_range", "descriptors from outside stay open");
	else if (err < 0)
		return failed(err, why, why_len, "close_range: %s", strerror(-err));
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return failed(-errno, why, why_len, "RLIMIT_CORE: %s", strerror(errno));
	j->tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->tasks < 0)
		miss(j, "/proc", "threads are not counted");
	return 0;
}

/**
 * jail_allow() - main may do this later with the file at @path, or with the files
 * in and below the folder at @path
 * @access:	JAIL_READ...
 *
 * A file is meant itself, not whatever has its name later: for that, allow its
 * folder. Main thread, before jail_enter(). Return: 0 or -errno
 */
int jail_allow(struct jail *j, const char *path, unsigned int access)
{
	int fd;

	if (!j->status.on)
		return 0;
	if (j->npaths == JAIL_PATHS_MAX)
		return -ENOSPC;
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	j->path[j->npaths++] = (struct jail_path){ fd, access };
	return 0;
}

/**
 * jail_allow_folder_of() - jail_allow() of the folder that @path is in
 */
int jail_allow_folder_of(struct jail *j, const char *path, unsigned int access)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	char folder[PATH_MAX];

	if (!slash)
		return jail_allow(j, ".", access);
	if (len == 0)
		return jail_allow(j, "/", access);
	if (len >= sizeof(folder))
		return -ENAMETOOLONG;
	memcpy(folder, path, len);
	folder[len] = 0;
	return jail_allow(j, folder, access);
}

/* --- the process ------------------------------------------------------------ */

/* Tasks of this process; 0 = not to be known. */
static uint32_t count_tasks(const struct jail *j)
{
	struct stat st;

	/* A folder's links are its folders, itself and its entry above: proc(5). */
	if (j->tasks < 0 || fstat(j->tasks, &st) < 0 || st.st_nlink <= 2)
		return 0;
	return (uint32_t)st.st_nlink - 2;
}

/* Is the task of this /proc/self/task/TID a worker of the kernel (of KVM, of io_uring)? */
static bool is_kernel_worker(const struct jail *j, const char *tid)
{
	char name[64], text[512], *p;
	unsigned int flags = 0;
	ssize_t n = -1;
	int fd;

	snprintf(name, sizeof(name), "%.20s/stat", tid);
	fd = openat(j->tasks, name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 0)
		return false;
	text[n] = 0;
	/* "tid (name) state" and five numbers; a name may have anything in it. */
	p = strrchr(text, ')');
	return p && sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
	       (flags & (TASK_IO_WORKER | TASK_USER_WORKER));
}

/* No thread but ours, main's. Workers of the kernel run none of our code. */
static bool is_alone(struct jail *j)
{
	struct dirent *e;
	DIR *d;
	int fd;

	if (count_tasks(j) <= 1)
		return true;
	fd = dup(j->tasks);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return false;
	while ((e = readdir(d)))
		j->workers += e->d_name[0] != '.' && is_kernel_worker(j, e->d_name);
	closedir(d);
	return count_tasks(j) == 1 + j->workers;
}

static int build_filters(struct jail *j)
{
	unsigned int access = 0;

	for (uint32_t i = 0; i < j->npaths; i++)
		access |= j->path[i].access;
	for (int kind = 0; kind < JAIL_THREADS; kind++) {
		struct jail_profile p;
		int err;

		if (kind == JAIL_VCPU && !j->cfg.vcpus)
			continue;
		jail_profile(&p, (enum jail_thread)kind, &j->cfg, access);
		err = filter_build(&j->filter[kind], &p);
		if (err)
			return err;
		j->status.profile[kind] = p.name;
	}
	return 0;
}

/* Files: by Landlock, or by mounts of our own, which must come before capabilities go. */
static int enter_files(struct jail *j, char *why, size_t why_len)
{
	int err;

	j->status.landlock = landlock_abi();
	if (j->status.landlock)
		return 0;
	err = mounts_enter(j->path, j->npaths);
	if (err == -EPERM) {
		miss(j, "Landlock and no mount namespace", "files of this user are in reach");
		return 0;
	}
	j->status.namespaces = err == 0;
	return err ? failed(err, why, why_len, "mounts: %s", strerror(-err)) : 0;
}

static void close_own(struct jail *j)
{
	while (j->npaths)
		close(j->path[--j->npaths].fd);
	if (j->tasks >= 0)
		close(j->tasks);
	j->tasks = -1;
}

/**
 * jail_enter() - take from the process what it has been set up with
 * @why:	on failure, one line
 *
 * Nothing is opened after this but what jail_allow() was told of, and there are
 * no capabilities: ports below 1024 are bound, limits raised. Threads made later
 * inherit all of it; there must be none yet. Main thread; allocates.
 *
 * Return: 0, or -errno of a part that this kernel offers and that failed
 */
int jail_enter(struct jail *j, char *why, size_t why_len)
{
	int err;

	if (!j->status.on)
		return 0;
	if (!is_alone(j))
		return failed(-EBUSY, why, why_len, "threads run already: a fault of ours");
	if (filter_offered()) {
		err = sigsys_catch(j->cfg.last_words);
		if (!err)
			err = build_filters(j);
		if (err)
			return failed(err, why, why_len, "seccomp: %s", strerror(-err));
	} else {
		miss(j, "seccomp", "any system call can be made");
	}
	err = enter_files(j, why, why_len);
	if (err)
		return err;
	err = caps_drop(&j->status.bounding);
	if (err)
		return failed(err, why, why_len, "capabilities: %s", strerror(-err));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(-errno, why, why_len, "no_new_privs: %s", strerror(errno));
	/* No dumps of a guest's memory, and no debugger of another process of this user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return failed(-errno, why, why_len, "dumpable: %s", strerror(errno));
	if (j->status.landlock) {
		err = landlock_enter(j->status.landlock, j->path, j->npaths);
		if (err)
			return failed(err, why, why_len, "Landlock: %s", strerror(-err));
	}
	return 0;
}

/* --- its threads ------------------------------------------------------------ */

/**
 * jail_thread() - the calling thread obeys the filter of its kind from now on
 *
 * Its name is set already. Any thread, once; allocates nothing. Return: 0 or -errno
 */
int jail_thread(struct jail *j, enum jail_thread kind)
{
	int err = 0;

	if (!j->status.on)
		return 0;
	if (j->filter[kind].len) {
		sigsys_thread(j->status.profile[kind]);
		err = filter_install(&j->filter[kind]);
	}
	if (!err)
		atomic_fetch_add(&j->threads, 1);
	return err;
}

/**
 * jail_thread_vcpu() - jail_thread() for vm_config.thread_init
 */
int jail_thread_vcpu(void *jail)
{
	return jail_thread(jail, JAIL_VCPU);
}

/**
 * jail_thread_net() - jail_thread() for net_worker_config.thread_init
 */
int jail_thread_net(void *jail)
{
	return jail_thread(jail, JAIL_NET);
}

/**
 * jail_thread_writer() - jail_thread() for writer_new()
 */
int jail_thread_writer(void *jail)
{
	return jail_thread(jail, JAIL_WRITER);
}

/**
 * jail_close() - main's own filter, when all other threads have theirs
 * @why:	on failure, one line
 *
 * Return: 0; -EBUSY when there is a thread that was not through jail_thread(); or
 * -errno
 */
int jail_close(struct jail *j, char *why, size_t why_len)
{
	uint32_t tasks = count_tasks(j), known = 1 + j->workers + atomic_load(&j->threads);
	int err;

	if (!j->status.on)
		return 0;
	if (tasks > known)
		return failed(-EBUSY, why, why_len, "%u of %u threads have no filter",
			      tasks - known, tasks - 1 - j->workers);
	close_own(j);
	err = jail_thread(j, JAIL_MAIN);
	if (err)
		return failed(err, why, why_len, "seccomp: %s", strerror(-err));
	return 0;
}

/**
 * jail_free() - its memory and descriptors; what it took stays taken
 */
void jail_free(struct jail *j)
{
	close_own(j);
	for (int kind = 0; kind < JAIL_THREADS; kind++)
		filter_free(&j->filter[kind]);
}
