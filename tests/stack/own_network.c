/* SPDX-License-Identifier: MIT */
/* Network namespaces for tests; knows nothing of the rig, so that other programs link it too. */
#include "tests/stack/own_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* One more address of "lo", as @label. */
static int add_loopback_address(int fd, const char *label, uint32_t addr)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr) };
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", label);
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	if (ioctl(fd, SIOCSIFADDR, &ifr))
		return -1;
	sin.sin_addr.s_addr = htonl(UINT32_MAX << 8);
	memcpy(&ifr.ifr_netmask, &sin, sizeof(sin));
	return ioctl(fd, SIOCSIFNETMASK, &ifr);
}

/**
 * rig_own_network() - leave the machine's network for one where nothing leads outside
 * @addrs:	@n networks of 256 addresses each that shall be this host too
 *
 * For tests in which the guest talks to more than the gateway: whatever it is
 * allowed to reach is then a socket of ours or a refusal, and no packet leaves.
 * Return: false when namespaces are not to be had
 */
bool rig_own_network(const uint32_t *addrs, uint32_t n)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	char label[16];
	bool ok;
	int fd;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
	for (uint32_t i = 0; ok && i < n; i++) {
		snprintf(label, sizeof(label), "lo:%u", i);
		ok = add_loopback_address(fd, label, addrs[i]) == 0;
	}
	close(fd);
	return ok;
}

/**
 * rig_write_file() - write @text to a file that is there, such as one of /proc/sys
 *
 * Return: 0, or -1 with errno set
 */
int rig_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}
