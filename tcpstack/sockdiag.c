/* SPDX-License-Identifier: MIT */
/*
 * One question to the kernel: how much has the peer of this connection not read?
 *
 * The peer's socket is found by our own 4-tuple, mirrored, in this network
 * namespace. Found once, it is known by its cookie, so that neither a listener
 * (which an exact look-up falls back to) nor a later socket of the same ports is
 * taken for it. A peer that is not found is on another host, in another
 * namespace, or behind a NAT: all one to us.
 */
#include "tcpstack/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "src/base/base.h"

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

/**
 * sockdiag_open() - a socket to ask by, or -errno; the caller's to close
 */
int sockdiag_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

static void put_addr(__be32 out[4], const struct ipaddr *a)
{
	memset(out, 0, 16);
	if (ipaddr_is_v4(a))
		memcpy(out, a->b + 12, 4);
	else
		memcpy(out, a->b, 16);
}

static void ask(struct question *q, const struct sockdiag_peer *p)
{
	struct inet_diag_sockid *id = &q->req.id;

	memset(q, 0, sizeof(*q));
	q->head.nlmsg_len = sizeof(*q);
	q->head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	q->head.nlmsg_flags = NLM_F_REQUEST;
	q->req.sdiag_family = ipaddr_is_v4(&p->there.addr) ? AF_INET : AF_INET6;
	q->req.sdiag_protocol = IPPROTO_TCP;
	q->req.idiag_states = UINT32_MAX;
	id->idiag_sport = htons(p->there.port);
	id->idiag_dport = htons(p->here.port);
	put_addr(id->idiag_src, &p->there.addr);
	put_addr(id->idiag_dst, &p->here.addr);
	id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* Is it a socket that a program can still read from? Then its queue has a length. */
static bool has_reader(uint8_t state)
{
	switch (state) {
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
	case TCP_CLOSING:
		return true;
	default:
		return false;
	}
}

static int judge(struct sockdiag_peer *p, const struct inet_diag_msg *m, uint32_t *unread)
{
	uint64_t cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];

	if (!has_reader(m->idiag_state) || m->id.idiag_sport != htons(p->there.port) ||
	    m->id.idiag_dport != htons(p->here.port))
		return -ENOENT;
	if (p->known && cookie != p->cookie)
		return -ENOENT;
	p->cookie = cookie;
	p->known = true;
	*unread = m->idiag_rqueue;
	return 0;
}

/**
 * sockdiag_unread() - bytes that the peer's program has not read
 * @nl:		of sockdiag_open()
 * @p:		@here and @there are given; the rest is ours
 * @unread:	out: in the peer's receive queue; a FIN that was not read counts as one
 *
 * Return: 0; -ENOENT: no such socket that could be read from; or another -errno,
 * and nothing is known. Two system calls.
 */
int sockdiag_unread(int nl, struct sockdiag_peer *p, uint32_t *unread)
{
	union {
		struct nlmsghdr head;
		uint8_t bytes[512];
	} in;
	struct question out;
	ssize_t n;

	ask(&out, p);
	if (send(nl, &out, sizeof(out), MSG_DONTWAIT) != sizeof(out))
		return -errno;
	/*
	 * The kernel has answered before send() returns. An answer that was left in the
	 * queue would be taken for that to the next question, perhaps after another peer.
	 */
	do {
		n = recv(nl, &in, sizeof(in), MSG_DONTWAIT);
	} while (n < 0 && (errno == EINTR || errno == ENOBUFS || errno == ENOMEM));
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(in.head))
		return -EPROTO;
	if (in.head.nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr e;

		if ((size_t)n < NLMSG_HDRLEN + sizeof(e))
			return -EPROTO;
		memcpy(&e, in.bytes + NLMSG_HDRLEN, sizeof(e));
		return e.error < 0 ? e.error : -EPROTO;
	}
	if (in.head.nlmsg_type == SOCK_DIAG_BY_FAMILY &&
	    (size_t)n >= NLMSG_HDRLEN + sizeof(struct inet_diag_msg)) {
		struct inet_diag_msg m;

		memcpy(&m, in.bytes + NLMSG_HDRLEN, sizeof(m));
		return judge(p, &m, unread);
	}
	return -EPROTO;
}
