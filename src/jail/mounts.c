/* SPDX-License-Identifier: MIT */
/*
 * Mounts of our own, where there is no Landlock: a root that holds only the
 * folders that were named.
 *
 * Theory of operation: in a mount namespace of our own (a user namespace gives
 * the right to it where we have none) an empty tmpfs takes the root's place. What
 * was named is bound into it at the path that it has outside, so that relative
 * paths and those in messages stay true; then the old root goes. A System V IPC
 * namespace comes along, for it costs nothing. There is no PID namespace: that
 * would take a second process, and signals to others are refused by the filters.
 *
 * Descriptors that are open, /dev/kvm's and sockets' among them, stay what they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/jail/priv.h"

/* Where the new root is made: a folder that nothing we want is below. */
#define STAGE "/proc"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* A user namespace in which we are who we were. */
static int own_users(void)
{
	char uids[32], gids[32];
	int err;

	snprintf(uids, sizeof(uids), "%u %u 1", getuid(), getuid());
	snprintf(gids, sizeof(gids), "%u %u 1", getgid(), getgid());
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	err = write_file("/proc/self/uid_map", uids);
	if (!err)
		err = write_file("/proc/self/setgroups", "deny");
	if (!err)
		err = write_file("/proc/self/gid_map", gids);
	return err;
}

static int own_mounts(void)
{
	int err;

	if (unshare(CLONE_NEWNS | CLONE_NEWIPC) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	err = own_users();
	if (!err && unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0)
		err = -errno;
	return err;
}

/* STAGE and @path, with each folder on the way; the last one too if it is to be a folder. */
static int make_place(char *place, size_t len, const char *path, bool folder)
{
	int n = snprintf(place, len, STAGE "%s", path), fd;

	if (n < 0 || (size_t)n >= len)
		return -ENAMETOOLONG;
	for (char *p = place + sizeof(STAGE); *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(place, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (folder)
		return mkdir(place, 0755) < 0 && errno != EEXIST ? -errno : 0;
	fd = open(place, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* Where @fd is, seen from outside. */
static int path_of(int fd, char *path, size_t len)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, len - 1);
	if (n < 0)
		return -errno;
	path[n] = 0;
	return path[0] == '/' ? 0 : -ENOENT;
}

/* What a mount already forbids has to be said again, when more is forbidden. */
static unsigned long flags_of(const char *place)
{
	struct statvfs v;

	if (statvfs(place, &v) < 0)
		return 0;
	return (v.f_flag &
		(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)) |
	       (v.f_flag & ST_RELATIME ? MS_RELATIME : 0);
}

static int bind_one(const char *path, unsigned int access)
{
	unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	char place[PATH_MAX + sizeof(STAGE)];
	struct stat st;
	int err;

	if (stat(path, &st) < 0)
		return -errno;
	err = make_place(place, sizeof(place), path, S_ISDIR(st.st_mode));
	if (err)
		return err;
	if (mount(path, place, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	if (!(access & (JAIL_CREATE | JAIL_REMOVE)))
		flags |= MS_RDONLY;
	return mount(NULL, place, NULL, flags | flags_of(place), NULL) < 0 ? -errno : 0;
}

static int change_root(const char *cwd)
{
	char place[PATH_MAX + sizeof(STAGE)];
	int err = make_place(place, sizeof(place), cwd, true);

	if (err)
		return err;
	if (chdir(STAGE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) <
		    0 ||
	    chdir(cwd) < 0)
		return -errno;
	return 0;
}

/**
 * mounts_enter() - nothing but @path is left of the file system
 *
 * Main thread, while it is the only one. Return: 0; -EPERM where namespaces are not
 * to be had; -errno of what failed after that
 */
int mounts_enter(const struct jail_path *path, uint32_t npaths)
{
	static char names[JAIL_PATHS_MAX][PATH_MAX];
	char cwd[PATH_MAX];
	int err = 0;

	BUG_ON(npaths > JAIL_PATHS_MAX);
	for (uint32_t i = 0; i < npaths && !err; i++)
		err = path_of(path[i].fd, names[i], sizeof(names[i]));
	if (err || !getcwd(cwd, sizeof(cwd)) || own_mounts() < 0)
		return -EPERM;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("sluice", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=755") <
		    0)
		return -errno;
	for (uint32_t i = 0; i < npaths && !err; i++)
		err = bind_one(names[i], path[i].access);
	return err ? err : change_root(cwd);
}
