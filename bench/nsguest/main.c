/* SPDX-License-Identifier: MIT */
/*
 * nsguest: run a command whose network is a vhost-user back-end.
 *
 * A TAP in a new network namespace is plugged into the rings of any vhost-user
 * net back-end, so Linux's own TCP plays the guest at native speed. The command
 * runs in that namespace; its exit status is ours.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/nsguest/nsguest.h"
#include "src/base/base.h"

static const char usage[] =
	"usage: nsguest --socket PATH [options] -- COMMAND [ARG...]\n"
	"\n"
	"Run COMMAND in a network namespace whose eth0 is the vhost-user net back-end\n"
	"at PATH, and exit with its status (125: nsguest itself failed).\n"
	"\n"
	"  --socket PATH       the back-end's listening socket\n"
	"  --addr A.B.C.D/LEN  address of eth0; without it, DHCP (busybox udhcpc)\n"
	"  --gateway A.B.C.D   default route, with --addr\n"
	"  --dns A.B.C.D       resolver, with --addr\n"
	"  --mtu BYTES         MTU of eth0, with --addr or instead of DHCP's\n"
	"  --mac XX:XX:...     hardware address of eth0\n"
	"  --queue-size N      entries of each queue, a power of two (256)\n"
	"  --tx-pieces N       without indirect descriptors: a page in each, up to N a frame,\n"
	"                      and none is sent unless N are free; Linux has up to 19 (1)\n"
	"  --rx-buf BYTES      size of one receive buffer (4096, as Linux has it)\n"
	"  --without LIST      do not negotiate: csum,tso,uso,mrg,event,\n"
	"                      guest_csum,guest_tso,guest_uso\n"
	"  --link SPEC         a bad link, both ways: loss=PCT,duplicate=PCT,reorder=PCT,\n"
	"                      delay=MS,seed=N\n"
	"  --restart MS        stop both rings and start them again that often\n"
	"  --reset MS          reset the device that often; what is in the rings is lost\n"
	"  --starve MS         receive nothing for a quarter of that time, again and again\n"
	"  --stats             print what was moved, as one JSON line, on stderr\n";

struct options {
	struct front_config front;
	struct ns_address addr;
	struct impair_config link;
	uint8_t mac[6];
	bool fixed, stats;
	uint16_t tx_pieces;
	int mtu;
	struct pump_upset upset;
	char **command;
};

NORETURN static void fail(const char *what, int err)
{
	fprintf(stderr, "nsguest: %s: %s\n", what, strerror(-err));
	exit(125);
}

static uint64_t feature_bits(const char *name)
{
	static const struct {
		const char *name;
		uint64_t bits;
	} table[] = {
		{ "csum", 1ULL << VIRTIO_NET_F_CSUM },
		{ "tso", 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 },
		{ "mrg", 1ULL << VIRTIO_NET_F_MRG_RXBUF },
		{ "event", 1ULL << VIRTIO_RING_F_EVENT_IDX },
		{ "guest_csum", 1ULL << VIRTIO_NET_F_GUEST_CSUM },
		{ "guest_tso", 1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6 },
		{ "uso", 1ULL << VIRTIO_NET_F_HOST_USO },
		{ "guest_uso", 1ULL << VIRTIO_NET_F_GUEST_USO4 | 1ULL << VIRTIO_NET_F_GUEST_USO6 },
		{ "all", ~0ULL },
	};
	uint64_t all = 0;

	for (size_t i = 0; i + 1 < ARRAY_SIZE(table); i++) {
		if (strcmp(name, table[i].name) == 0)
			return table[i].bits;
		all |= table[i].bits;
	}
	return strcmp(name, "all") == 0 ? all : 0;
}

static void parse_without(struct options *o, char *list)
{
	char *save, *name;

	for (name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		uint64_t bits = feature_bits(name);

		if (!bits) {
			fprintf(stderr, "nsguest: --without: no feature '%s'\n", name);
			exit(125);
		}
		o->front.features &= ~bits;
	}
}

static void parse_cidr(struct ns_address *a, char *text)
{
	char *slash = strchr(text, '/');
	long len = slash ? strtol(slash + 1, NULL, 10) : 24;

	if (slash)
		*slash = 0;
	if (!inet_aton(text, &a->addr) || len < 1 || len > 32) {
		fprintf(stderr, "nsguest: --addr: '%s' is not an address\n", text);
		exit(125);
	}
	a->mask.s_addr = htonl(UINT32_MAX << (32 - len));
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", 1, NULL, 's' },
		{ "addr", 1, NULL, 'a' },
		{ "gateway", 1, NULL, 'g' },
		{ "dns", 1, NULL, 'd' },
		{ "mtu", 1, NULL, 'm' },
		{ "mac", 1, NULL, 'h' },
		{ "queue-size", 1, NULL, 'q' },
		{ "rx-buf", 1, NULL, 'r' },
		{ "tx-pieces", 1, NULL, 'p' },
		{ "without", 1, NULL, 'w' },
		{ "stats", 0, NULL, 't' },
		{ "link", 1, NULL, 'l' },
		{ "restart", 1, NULL, 'R' },
		{ "starve", 1, NULL, 'V' },
		{ "reset", 1, NULL, 'Z' },
		{ "help", 0, NULL, '?' },
		{ 0 },
	};
	unsigned int m[6];
	int c;

	while ((c = getopt_long(argc, argv, "+", longs, NULL)) >= 0) {
		switch (c) {
		case 's':
			o->front.socket = optarg;
			break;
		case 'a':
			parse_cidr(&o->addr, optarg);
			o->fixed = true;
			break;
		case 'g':
			inet_aton(optarg, &o->addr.router);
			break;
		case 'd':
			inet_aton(optarg, &o->addr.dns);
			break;
		case 'm':
			o->mtu = (int)strtol(optarg, NULL, 10);
			break;
		case 'h':
			if (sscanf(optarg, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4],
				   &m[5]) == 6)
				for (int i = 0; i < 6; i++)
					o->mac[i] = (uint8_t)m[i];
			break;
		case 'q':
			o->front.queue_size = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			o->front.rx_buf = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			o->tx_pieces = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'w':
			parse_without(o, optarg);
			break;
		case 'l':
			if (impair_parse(&o->link, optarg) < 0) {
				fprintf(stderr, "nsguest: --link: '%s' makes no sense\n", optarg);
				exit(125);
			}
			break;
		case 'R':
			o->upset.restart_ms = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'Z':
			o->upset.reset_ms = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'V':
			o->upset.starve_ms = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 't':
			o->stats = true;
			break;
		default:
			fputs(usage, stderr);
			exit(125);
		}
	}
	o->command = argv + optind;
	if (!o->front.socket || !o->command[0] || !is_power_of_two(o->front.queue_size) ||
	    o->tx_pieces < 1 || o->tx_pieces > o->front.queue_size) {
		fputs(usage, stderr);
		exit(125);
	}
}

static void child(const struct options *o)
{
	struct ns_address a = o->addr;
	int ret = ns_link_up("lo");

	a.mtu = o->mtu;
	if (ret == 0)
		ret = o->fixed ? ns_configure(NSGUEST_IFNAME, &a) : ns_dhcp(NSGUEST_IFNAME);
	if (ret == 0 && !o->fixed && o->mtu > 0) {
		char cmd[64];

		snprintf(cmd, sizeof(cmd), "ip link set " NSGUEST_IFNAME " mtu %d", o->mtu);
		ret = system(cmd) == 0 ? 0 : -EINVAL;
	}
	if (ret < 0)
		fail(o->fixed ? "configuring eth0" : "DHCP", ret);
	execvp(o->command[0], o->command);
	fail(o->command[0], -errno);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void print_stats(const struct front *f, const struct pump_stats *n)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	fprintf(stderr,
		"{\"features\":\"0x%llx\",\"tx_frames\":%llu,\"tx_bytes\":%llu,\"rx_frames\":%llu,"
		"\"rx_bytes\":%llu,\"kicks\":%llu,\"sleeps\":%llu,\"tap_errors\":%llu,"
		"\"lost\":%llu,\"doubled\":%llu,\"reordered\":%llu,\"restarts\":%llu,"
		"\"resets\":%llu,\"cpu_s\":%.3f}\n",
		(unsigned long long)f->features, (unsigned long long)n->tx_frames,
		(unsigned long long)n->tx_bytes, (unsigned long long)n->rx_frames,
		(unsigned long long)n->rx_bytes,
		(unsigned long long)(f->vq[FRONT_RX].kicks + f->vq[FRONT_TX].kicks),
		(unsigned long long)n->sleeps, (unsigned long long)n->rx_tap_errors,
		(unsigned long long)n->lost, (unsigned long long)n->doubled,
		(unsigned long long)n->reordered, (unsigned long long)n->restarts,
		(unsigned long long)n->resets, seconds(ru.ru_utime) + seconds(ru.ru_stime));
}

int main(int argc, char **argv)
{
	struct options o = {
		.front = { .queue_size = 256,
			   .rx_buf = 4096,
			   .tx_buf = FRONT_FRAME_MAX + 1,
			   .wait_ms = 30000,
			   .features = feature_bits("all") },
		.tx_pieces = 1,
	};
	struct pump_stats stats = { 0 };
	struct front f;
	int ret, tap, pidfd, status;
	pid_t pid;

	if (ns_is_dhcp_hook(argc, argv))
		return ns_dhcp_hook(argv[1]) < 0;
	parse(&o, argc, argv);
	signal(SIGINT, SIG_IGN); /* the command's to take */
	signal(SIGPIPE, SIG_IGN);
	if ((o.front.features & (feature_bits("uso") | feature_bits("guest_uso"))) && !ns_has_uso())
		o.front.features &= ~(feature_bits("uso") | feature_bits("guest_uso"));
	ret = front_open(&f, &o.front);
	if (ret < 0)
		fail(o.front.socket, ret);
	f.vq[FRONT_TX].pieces = o.tx_pieces;
	ret = ns_enter();
	if (ret < 0)
		fail("making a namespace", ret);
	tap = ns_tap_open(NSGUEST_IFNAME, f.features, o.mac);
	if (tap < 0)
		fail("opening a TAP (is the tun module there?)", tap);
	ret = ns_bind_resolv_conf();
	if (ret < 0)
		fail("/etc/resolv.conf", ret);
	pid = fork();
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		child(&o);
	}
	pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pidfd < 0)
		fail("starting the command", -errno);
	ret = pump_run(&f, tap, pidfd, &o.link, &o.upset, &stats);
	if (ret < 0) {
		kill(pid, SIGKILL);
		fail(ret == -EPIPE ? "the back-end has hung up" : "the back-end broke the rings",
		     ret);
	}
	waitpid(pid, &status, 0);
	if (o.stats)
		print_stats(&f, &stats);
	close(tap);
	front_close(&f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
