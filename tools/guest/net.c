/* SPDX-License-Identifier: MIT */
/*
 * The guest's network: lo up, the first real interface up, an address by DHCP.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/guest/guest.h"

#define LINK_TIMEOUT_MS 20000

static int set_up(int sock, const char *name)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(sock, SIOCGIFFLAGS, &ifr))
		return -errno;
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	return ioctl(sock, SIOCSIFFLAGS, &ifr) ? -errno : 0;
}

/*
 * The carrier bit itself. IFF_RUNNING follows it up to a second later, as the
 * kernel limits link events, but frames pass as soon as the bit is set.
 */
static bool has_carrier(const char *name)
{
	char path[64], c = '0';
	int fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = '0';
	close(fd);
	return c == '1';
}

/* The first interface that has a device behind it, so neither lo nor a tunnel. */
static bool find_interface(char name[IFNAMSIZ])
{
	DIR *dir = opendir("/sys/class/net");
	bool found = false;
	struct dirent *e;

	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		char path[300];

		snprintf(path, sizeof(path), "/sys/class/net/%.250s/device", e->d_name);
		if (e->d_name[0] == '.' || strlen(e->d_name) >= IFNAMSIZ || access(path, F_OK))
			continue;
		memcpy(name, e->d_name, strlen(e->d_name) + 1);
		found = true;
	}
	closedir(dir);
	return found;
}

static int link_socket(void)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * Carrier comes a little after the interface is up; what is sent before is lost,
 * and with it the first DHCP request and a second of boot time.
 */
static bool wait_carrier(int links, const char *name)
{
	long deadline = now_ms() + LINK_TIMEOUT_MS;
	struct pollfd pfd = { .fd = links, .events = POLLIN };
	char junk[4096];

	while (!has_carrier(name)) {
		long left = deadline - now_ms();

		if (left <= 0)
			return false;
		poll(&pfd, 1, (int)(links < 0 && left > 10 ? 10 : left));
		while (links >= 0 && recv(links, junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
	}
	return true;
}

static int run_dhcp(const char *name)
{
	sigset_t none;
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* Its progress goes to standard error; only its status matters here. */
		if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
			_exit(1);
		execl("/bin/udhcpc", "udhcpc", "-i", name, "-n", "-q", "-f", "-t", "20", "-T", "1",
		      "-A", "1", "-O", "mtu", "-s", "/etc/udhcpc.script", (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ETIMEDOUT;
}

/*
 * net_up() - lo, and an address by DHCP for the first real interface.
 *
 * @why: on failure, one line that says what went wrong
 * @why_len: size of @why, bytes
 *
 * Returns 0, also on a machine without any interface; else -errno.
 */
int net_up(char *why, size_t why_len)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int links = link_socket(), err = 0;
	char name[IFNAMSIZ];

	if (sock < 0) {
		snprintf(why, why_len, "no socket: %s", strerror(errno));
		return -EIO;
	}
	if (!find_interface(name)) {
		progress("no network interface");
		goto out;
	}
	err = set_up(sock, name);
	if (err) {
		snprintf(why, why_len, "%s does not come up: %s", name, strerror(-err));
		goto out;
	}
	if (!wait_carrier(links, name)) {
		err = -ENETDOWN;
		snprintf(why, why_len, "%s has no carrier", name);
		goto out;
	}
	progress("%s has carrier", name);
	err = run_dhcp(name);
	if (err)
		snprintf(why, why_len, "no DHCP lease on %s", name);
out:
	/* Last: a link event of lo's would hold those of the interface back for a second. */
	set_up(sock, "lo");
	if (links >= 0)
		close(links);
	close(sock);
	return err;
}
