/* SPDX-License-Identifier: MIT */
/*
 * The namespace that plays the guest: a network of its own with one TAP, and
 * the addresses on it, by DHCP (busybox udhcpc with this program as its hook)
 * or as told.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/nsguest/nsguest.h"
#include "src/base/base.h"

#define RESOLV_CONF "/etc/resolv.conf"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -EIO;
}

/**
 * ns_enter() - a network and a mount namespace of our own
 *
 * As an ordinary user also a user namespace, in which we are root.
 */
int ns_enter(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];
	int ret;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS | (uid != 0 ? CLONE_NEWUSER : 0)) < 0)
		return -errno;
	if (uid != 0) {
		snprintf(map, sizeof(map), "0 %u 1", uid);
		ret = write_file("/proc/self/uid_map", map);
		if (ret < 0)
			return ret;
		snprintf(map, sizeof(map), "0 %u 1", gid);
		ret = write_file("/proc/self/setgroups", "deny");
		if (ret == 0)
			ret = write_file("/proc/self/gid_map", map);
		if (ret < 0)
			return ret;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return 0;
}

/**
 * ns_bind_resolv_conf() - give the namespace an /etc/resolv.conf to write to
 *
 * The mount keeps the file behind it, whose name goes at once: however this
 * program ends, nothing is left.
 */
int ns_bind_resolv_conf(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/nsguest-resolv.XXXXXX", tmp ? tmp : "/tmp");
	fd = mkstemp(path);
	if (fd < 0)
		return -errno;
	fchmod(fd, 0644);
	close(fd);
	ret = mount(path, RESOLV_CONF, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
	unlink(path);
	return ret;
}

/* An ioctl on an interface, by a socket made for it. */
static int if_ioctl(unsigned long what, void *arg)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, what, arg) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static struct ifreq ifreq_of(const char *ifname)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	return ifr;
}

/**
 * ns_link_up() - bring an interface up
 */
int ns_link_up(const char *ifname)
{
	struct ifreq ifr = ifreq_of(ifname);
	int ret = if_ioctl(SIOCGIFFLAGS, &ifr);

	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP | IFF_RUNNING);
	return ret < 0 ? ret : if_ioctl(SIOCSIFFLAGS, &ifr);
}

/**
 * ns_tap_open() - a TAP, with the offloads that the device has
 * @features:	negotiated: what the device takes from us
 * @mac:	its address, or all zeros for a random one
 *
 * Return: a nonblocking descriptor, or -errno
 */
int ns_tap_open(const char *ifname, uint64_t features, const uint8_t mac[6])
{
	static const uint8_t zero[6];
	struct ifreq ifr = ifreq_of(ifname);
	unsigned int offloads = 0;
	int hdr = FRONT_NET_HDR_LEN;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (features & (1ULL << VIRTIO_NET_F_CSUM)) {
		offloads |= TUN_F_CSUM;
		if (features & (1ULL << VIRTIO_NET_F_HOST_TSO4))
			offloads |= TUN_F_TSO4;
		if (features & (1ULL << VIRTIO_NET_F_HOST_TSO6))
			offloads |= TUN_F_TSO6;
		if (features & (1ULL << VIRTIO_NET_F_HOST_USO))
			offloads |= TUN_F_USO4 | TUN_F_USO6;
	}
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, offloads) < 0)
		goto fail;
	if (memcmp(mac, zero, 6) != 0) {
		ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
		if (ioctl(fd, SIOCSIFHWADDR, &ifr) < 0)
			goto fail;
	}
	return fd;
fail:;
	int err = -errno;

	close(fd);
	return err;
}

/**
 * ns_has_uso() - does this kernel's TAP know datagrams to be segmented?
 *
 * Asked in a namespace that nothing else is in. A kernel that takes the flags takes
 * such frames as well.
 */
bool ns_has_uso(void)
{
	static const uint8_t any[6];
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(ns_enter() < 0 ||
		      ns_tap_open(NSGUEST_IFNAME,
				  1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_HOST_USO,
				  any) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static struct sockaddr sockaddr_of(struct in_addr a)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = a };
	struct sockaddr sa;

	memcpy(&sa, &in, sizeof(sa));
	return sa;
}

/**
 * ns_configure() - address, mask, MTU, default route and resolver
 */
int ns_configure(const char *ifname, const struct ns_address *a)
{
	struct ifreq ifr = ifreq_of(ifname);
	struct rtentry rt = { 0 };
	char text[64];
	int ret = 0;

	if (a->mtu > 0) {
		ifr.ifr_mtu = a->mtu;
		ret = if_ioctl(SIOCSIFMTU, &ifr);
	}
	ifr.ifr_addr = sockaddr_of(a->addr);
	if (ret == 0)
		ret = if_ioctl(SIOCSIFADDR, &ifr);
	ifr.ifr_netmask = sockaddr_of(a->mask);
	if (ret == 0)
		ret = if_ioctl(SIOCSIFNETMASK, &ifr);
	if (ret == 0)
		ret = ns_link_up(ifname);
	if (ret == 0 && a->router.s_addr) {
		rt.rt_gateway = sockaddr_of(a->router);
		rt.rt_dst = sockaddr_of((struct in_addr){ INADDR_ANY });
		rt.rt_genmask = rt.rt_dst;
		rt.rt_flags = RTF_UP | RTF_GATEWAY;
		ret = if_ioctl(SIOCADDRT, &rt);
		if (ret == -EEXIST)
			ret = 0;
	}
	if (ret == 0 && a->dns.s_addr) {
		snprintf(text, sizeof(text), "nameserver %s\n", inet_ntoa(a->dns));
		ret = write_file(RESOLV_CONF, text);
	}
	return ret;
}

/**
 * ns_dhcp() - lease an address by busybox udhcpc, whose hook is this program
 */
int ns_dhcp(const char *ifname)
{
	char self[32];
	int status;
	pid_t pid;

	/* By way of /proc: good also where the program's path is not, as in a chroot. */
	snprintf(self, sizeof(self), "/proc/%d/exe", (int)getpid());
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execlp("busybox", "busybox", "udhcpc", "-f", "-n", "-q", "-t", "30", "-T", "1",
		       "-i", ifname, "-s", self, (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ETIMEDOUT;
}

/**
 * ns_is_dhcp_hook() - have we been started by udhcpc?
 */
bool ns_is_dhcp_hook(int argc, char **argv)
{
	return argc == 2 && argv[1][0] != '-' && getenv("interface");
}

static struct in_addr env_addr(const char *name)
{
	const char *text = getenv(name);
	struct in_addr a = { 0 };
	char first[64];

	if (text && sscanf(text, "%63s", first) == 1)
		inet_aton(first, &a);
	return a;
}

/**
 * ns_dhcp_hook() - act on udhcpc's event with what it put into the environment
 */
int ns_dhcp_hook(const char *event)
{
	const char *mtu = getenv("mtu");
	struct ns_address a = {
		.addr = env_addr("ip"),
		.mask = env_addr("subnet"),
		.router = env_addr("router"),
		.dns = env_addr("dns"),
		.mtu = mtu ? (int)strtol(mtu, NULL, 10) : 0,
	};

	if (strcmp(event, "deconfig") == 0)
		return ns_link_up(getenv("interface"));
	if (strcmp(event, "bound") != 0 && strcmp(event, "renew") != 0)
		return 0;
	return ns_configure(getenv("interface"), &a);
}
