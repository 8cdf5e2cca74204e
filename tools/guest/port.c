/* SPDX-License-Identifier: MIT */
/*
 * Finding the command port: the virtio-console port whose name is CMD_PORT_NAME.
 *
 * The device announces its ports over its control queue after the driver has
 * bound, so the port appears some time after the module is loaded. Each change
 * comes with a uevent, and each uevent is a reason to look again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/vmm/cmdproto.h"
#include "tools/guest/guest.h"

#define VIRTIO_CONSOLE_ID "0x0003"

/* How often to look again where the host's end of the port is not open yet. */
#define HUP_RETRY_MS 10

/* Reads one line of a sysfs file into buf. Returns its length, or -errno. */
static int read_line(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return (int)strlen(buf);
}

/* uevent_open() - a socket that tells of devices coming. Returns the fd, or -1. */
int uevent_open(void)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* console_device_present() - does this machine have a virtio console at all? */
bool console_device_present(void)
{
	DIR *dir = opendir("/sys/bus/virtio/devices");
	bool found = false;
	struct dirent *e;

	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		char path[300], id[16];

		snprintf(path, sizeof(path), "/sys/bus/virtio/devices/%.250s/device", e->d_name);
		if (read_line(path, id, sizeof(id)) > 0)
			found = !strcmp(id, VIRTIO_CONSOLE_ID);
	}
	closedir(dir);
	return found;
}

static int find_port(void)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *e;
	int fd = -1;

	if (!dir)
		return -1;
	while (fd < 0 && (e = readdir(dir))) {
		char path[300], name[64];

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%.250s/name", e->d_name);
		if (read_line(path, name, sizeof(name)) <= 0 || strcmp(name, CMD_PORT_NAME) != 0)
			continue;
		snprintf(path, sizeof(path), "/dev/%.250s", e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	closedir(dir);
	return fd;
}

/* The port reports hang-up until the host has opened its end. */
static bool host_end_open(int fd, long deadline)
{
	struct pollfd pfd = { .fd = fd };

	for (;;) {
		if (poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLHUP))
			return true;
		if (now_ms() >= deadline)
			return false;
		poll(NULL, 0, HUP_RETRY_MS);
	}
}

/*
 * port_open() - wait for the command port and open it, non-blocking.
 *
 * @uevents: from uevent_open() before the drivers were loaded
 * @timeout_ms: how long the device may take
 *
 * Returns the fd, or -1 when the device has no such port or the host stays away.
 */
int port_open(int uevents, int timeout_ms)
{
	long deadline = now_ms() + timeout_ms;
	struct pollfd pfd = { .fd = uevents, .events = POLLIN };
	char junk[4096];
	int fd;

	while ((fd = find_port()) < 0) {
		long left = deadline - now_ms();

		if (left <= 0)
			return -1;
		poll(&pfd, 1, (int)(uevents < 0 && left > HUP_RETRY_MS ? HUP_RETRY_MS : left));
		while (uevents >= 0 && recv(uevents, junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
	}
	if (!host_end_open(fd, deadline)) {
		close(fd);
		return -1;
	}
	return fd;
}
