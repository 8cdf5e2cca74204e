/* SPDX-License-Identifier: MIT */
/* Forwards as text, and their sockets. Main thread. */
#include "tcpstack/forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/why.h"
#include "tcpstack/frame.h"
#include "tcpstack/policy.h"

/* Connections that wait to be accepted; the kernel caps it by net.core.somaxconn. */
#define BACKLOG 1024

/* "/tcp" or "/udp" at the end; cut off. */
static int parse_proto(char *text, uint8_t *proto)
{
	char *slash = strrchr(text, '/');

	*proto = PROTO_TCP;
	if (!slash)
		return 0;
	*slash = 0;
	if (strcmp(slash + 1, "udp") == 0)
		*proto = PROTO_UDP;
	else if (strcmp(slash + 1, "tcp") != 0)
		return -EINVAL;
	return 0;
}

/* What stands before the ports: an address, IPv6 in brackets. */
static int parse_bind(char *text, struct ipaddr *addr)
{
	size_t len = strlen(text);

	if (text[0] != '[')
		return strchr(text, ':') ? -EINVAL : ipaddr_parse(text, addr);
	if (len < 2 || text[len - 1] != ']')
		return -EINVAL;
	text[len - 1] = 0;
	return strchr(text, ':') ? ipaddr_parse(text + 1, addr) : -EINVAL;
}

/**
 * forward_parse() - read "[ADDR:]HOSTPORT[-HOSTPORT]:GUESTPORT[/udp]"
 * @spec:	out; without an address it is 127.0.0.1
 * @why:	on failure, one line that shows @text
 *
 * Return: 0 or -EINVAL
 */
int forward_parse(struct forward_spec *spec, const char *text, char *why, size_t why_len)
{
	struct port_range host, guest;
	char buf[FORWARD_STRLEN], *colon, *ports;

	*spec = (struct forward_spec){ .bind.addr = ipaddr_from_v4(INADDR_LOOPBACK), .count = 1 };
	if (strlen(text) >= sizeof(buf))
		return why_set(why, why_len, -EINVAL, "\"%.60s...\" is too long", text);
	memcpy(buf, text, strlen(text) + 1);
	if (parse_proto(buf, &spec->proto))
		return why_set(why, why_len, -EINVAL,
			       "\"%.80s\": the protocol is neither tcp nor udp", text);
	colon = strrchr(buf, ':');
	if (!colon)
		return why_set(why, why_len, -EINVAL, "\"%.80s\" is not [ADDR:]HOSTPORT:GUESTPORT",
			       text);
	*colon = 0;
	if (policy_ports_parse(&guest, colon + 1) || guest.lo != guest.hi)
		return why_set(why, why_len, -EINVAL, "\"%.80s\": the guest's port is not 1..65535",
			       text);
	spec->guest_port = guest.lo;

	ports = strrchr(buf, ':');
	if (ports && (ports > buf || buf[0] == ':')) {
		*ports++ = 0;
		if (parse_bind(buf, &spec->bind.addr))
			return why_set(why, why_len, -EINVAL, "\"%.80s\": no address to listen on",
				       text);
	} else {
		ports = buf;
	}
	if (strcmp(ports, "0") == 0)
		return 0;
	if (policy_ports_parse(&host, ports))
		return why_set(why, why_len, -EINVAL,
			       "\"%.80s\": the host's port is not 0..65535 or a range", text);
	spec->bind.port = host.lo;
	spec->count = (uint16_t)(host.hi - host.lo + 1);
	if (spec->guest_port + (spec->count - 1) > UINT16_MAX)
		return why_set(why, why_len, -EINVAL,
			       "\"%.80s\": the guest's ports go beyond 65535", text);
	return 0;
}

/**
 * forward_parse_listen() - the host's side alone: "[ADDR:]PORT[-PORT][/udp]"
 *
 * Return: 0 or -EINVAL
 */
int forward_parse_listen(struct forward_spec *spec, const char *text)
{
	char buf[FORWARD_STRLEN], why[8];
	size_t len = strcspn(text, "/");

	if (strlen(text) + sizeof(":1") > sizeof(buf))
		return -EINVAL;
	snprintf(buf, sizeof(buf), "%.*s:1%s", (int)len, text, text + len);
	return forward_parse(spec, buf, why, sizeof(why));
}

/**
 * forward_format() - "127.0.0.1:8080:80/tcp"; any thread
 *
 * Return: @buf
 */
const char *forward_format(const struct forward_info *f, char buf[FORWARD_STRLEN])
{
	char ep[ENDPOINT_STRLEN];

	snprintf(buf, FORWARD_STRLEN, "%s:%u/%s", endpoint_format(&f->bind, ep), f->guest_port,
		 f->proto == PROTO_UDP ? "udp" : "tcp");
	return buf;
}

/**
 * forward_error() - what an error of forward_socket() or stack_forward_add() means
 */
const char *forward_error(int err)
{
	return err == -EPFNOSUPPORT ? "the guest has no IPv6 (see --ipv6 and --mtu)"
				    : strerror(-err);
}

static int bind_socket(int fd, const struct forward_info *f)
{
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&f->bind, &sa);
	int one = 1;

	/* What is in TIME-WAIT is no reason to refuse; and [::] is not 0.0.0.0. */
	if (f->proto == PROTO_TCP)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	/* So that answers come from the address that was asked. */
	if (f->proto == PROTO_UDP && sa.sa.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	else if (f->proto == PROTO_UDP)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	if (bind(fd, &sa.sa, len) < 0)
		return -errno;
	return f->proto == PROTO_TCP && listen(fd, BACKLOG) < 0 ? -errno : 0;
}

/**
 * forward_socket() - the socket of port number @n of @spec
 * @n:		0..count - 1
 * @out:	where it listens, an assigned port included; also on failure
 *
 * Return: a descriptor, the caller's; or -errno
 */
int forward_socket(const struct forward_spec *spec, uint16_t n, struct forward_info *out)
{
	int type = spec->proto == PROTO_TCP ? SOCK_STREAM : SOCK_DGRAM, fd, err;
	union sockaddr_any sa;
	socklen_t len = sizeof(sa);

	*out = (struct forward_info){ .proto = spec->proto, .bind = spec->bind };
	out->guest_port = (uint16_t)(spec->guest_port + n);
	if (spec->bind.port)
		out->bind.port = (uint16_t)(spec->bind.port + n);
	fd = socket(ipaddr_is_v4(&spec->bind.addr) ? AF_INET : AF_INET6,
		    type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = bind_socket(fd, out);
	if (!err && getsockname(fd, &sa.sa, &len) < 0)
		err = -errno;
	if (!err)
		err = endpoint_from_sockaddr(&sa, &out->bind);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}
