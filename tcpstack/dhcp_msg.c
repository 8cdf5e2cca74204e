/* SPDX-License-Identifier: MIT */
/*
 * DHCPv4 messages: parse a client's, decide, build the reply.
 *
 * Theory of operation
 * -------------------
 * There is one client, the guest, and one lease, the configured address; so
 * the server remembers nothing. An OFFER binds nobody, an ACK only repeats the
 * configuration, RELEASE and DECLINE have nothing to undo.
 *
 * The parser is strict: what is wrong in length, magic or option framing is
 * refused as a whole, and of the options only those named in struct
 * dhcp_request are looked at. Relays are not served (there is none between a
 * guest and its own monitor).
 */
#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/dhcp_msg.h"
#include "tcpstack/limits.h"

/* Offsets of the fixed part, RFC 2131 figure 1. */
#define OFF_OP	    0
#define OFF_HTYPE   1
#define OFF_HLEN    2
#define OFF_XID	    4
#define OFF_FLAGS   10
#define OFF_CIADDR  12
#define OFF_YIADDR  16
#define OFF_GIADDR  24
#define OFF_CHADDR  28
#define OFF_MAGIC   236
#define OFF_OPTIONS 240

#define BOOTREQUEST    1
#define BOOTREPLY      2
#define HTYPE_ETHERNET 1
#define FLAG_BROADCAST 0x8000
#define MAGIC	       0x63825363U

/* RFC 2132 */
#define OPT_PAD	      0
#define OPT_MASK      1
#define OPT_ROUTER    3
#define OPT_DNS	      6
#define OPT_HOSTNAME  12
#define OPT_MTU	      26
#define OPT_BROADCAST 28
#define OPT_REQUESTED 50
#define OPT_LEASE     51
#define OPT_TYPE      53
#define OPT_SERVER_ID 54
#define OPT_CLIENT_ID 61
#define OPT_END	      255

#define BROADCAST4 0xffffffffU

/* One option that we know; others are skipped. 0, or -EBADMSG when its length is wrong. */
static int parse_option(struct dhcp_request *req, uint8_t code, const uint8_t *data, uint8_t len)
{
	switch (code) {
	case OPT_TYPE:
		if (len != 1)
			return -EBADMSG;
		req->type = (enum dhcp_type)data[0];
		return 0;
	case OPT_REQUESTED:
		if (len != 4)
			return -EBADMSG;
		req->requested = get_be32(data);
		return 0;
	case OPT_SERVER_ID:
		if (len != 4)
			return -EBADMSG;
		req->server_id = get_be32(data);
		return 0;
	case OPT_CLIENT_ID:
		if (len < 2)
			return -EBADMSG;
		req->client_id = data;
		req->client_id_len = len;
		return 0;
	default:
		return 0;
	}
}

/* RFC 2132 section 2: codes and lengths up to the end option, which must be there. */
static int parse_options(struct dhcp_request *req, const uint8_t *p, uint32_t left)
{
	while (left) {
		uint8_t code = *p++;
		uint8_t len;
		int rc;

		left--;
		if (code == OPT_PAD)
			continue;
		if (code == OPT_END)
			return 0;
		if (!left)
			return -EBADMSG;
		len = *p++;
		left--;
		if (len > left)
			return -EBADMSG;
		rc = parse_option(req, code, p, len);
		if (rc)
			return rc;
		p += len;
		left -= len;
	}
	return -EBADMSG;
}

static bool from_client(enum dhcp_type type)
{
	return type == DHCP_DISCOVER || type == DHCP_REQUEST || type == DHCP_DECLINE ||
	       type == DHCP_RELEASE || type == DHCP_INFORM;
}

/**
 * dhcp_parse() - read a client's message
 * @msg:	private copy; @req->client_id points into it
 * @len:	bytes of UDP payload
 * @req:	out
 *
 * Pure; any thread. RFC 2131 sections 2 and 4.1.
 * Return: 0, or -EBADMSG when it is no well-formed message of a client
 */
int dhcp_parse(const uint8_t *msg, uint32_t len, struct dhcp_request *req)
{
	*req = (struct dhcp_request){ 0 };
	if (len < OFF_OPTIONS || len > DHCP_REQUEST_MAX)
		return -EBADMSG;
	if (msg[OFF_OP] != BOOTREQUEST || msg[OFF_HTYPE] != HTYPE_ETHERNET || msg[OFF_HLEN] != 6)
		return -EBADMSG;
	if (get_be32(msg + OFF_MAGIC) != MAGIC)
		return -EBADMSG;

	req->xid = get_be32(msg + OFF_XID);
	req->broadcast = get_be16(msg + OFF_FLAGS) & FLAG_BROADCAST;
	req->ciaddr = get_be32(msg + OFF_CIADDR);
	req->giaddr = get_be32(msg + OFF_GIADDR);
	memcpy(req->chaddr, msg + OFF_CHADDR, sizeof(req->chaddr));

	if (parse_options(req, msg + OFF_OPTIONS, len - OFF_OPTIONS))
		return -EBADMSG;
	return from_client(req->type) ? 0 : -EBADMSG;
}

/*
 * RFC 2131 section 4.3: the reply's type, or 0 for silence. A REQUEST is one of
 * four kinds, told apart by which of its fields are set (section 4.3.2).
 */
static int decide(const struct stack_config *cfg, const struct dhcp_request *req)
{
	uint32_t wanted;

	switch (req->type) {
	case DHCP_DISCOVER:
		return DHCP_OFFER;
	case DHCP_INFORM:
		return req->ciaddr == cfg->guest4 ? DHCP_ACK : 0;
	case DHCP_REQUEST:
		if (req->server_id && req->server_id != cfg->gateway4)
			return 0; /* SELECTING, and the client took another server */
		/* SELECTING and INIT-REBOOT name an address; RENEWING and REBINDING use one. */
		wanted = req->requested ? req->requested : req->ciaddr;
		if (!wanted)
			return 0;
		return wanted == cfg->guest4 ? DHCP_ACK : DHCP_NAK;
	default:
		return 0;
	}
}

/* Options as they are written. What no longer fits is left out: only a host name can be it. */
struct option_writer {
	uint8_t *p;
	uint32_t left;
};

static void put_option(struct option_writer *w, uint8_t code, const void *data, size_t len)
{
	if (len + 2 > w->left)
		return;
	*w->p++ = code;
	*w->p++ = (uint8_t)len;
	memcpy(w->p, data, len);
	w->p += len;
	w->left -= (uint32_t)len + 2;
}

static void put_option32(struct option_writer *w, uint8_t code, uint32_t value)
{
	uint8_t be[4];

	put_be32(be, value);
	put_option(w, code, be, sizeof(be));
}

static void put_config(struct option_writer *w, const struct stack_config *cfg)
{
	uint32_t mask = cfg->prefix4 ? BROADCAST4 << (32 - cfg->prefix4) : 0;
	uint8_t mtu[2];

	put_be16(mtu, cfg->mtu);
	put_option32(w, OPT_MASK, mask);
	put_option32(w, OPT_ROUTER, cfg->gateway4);
	put_option32(w, OPT_DNS, cfg->dns4);
	put_option(w, OPT_MTU, mtu, sizeof(mtu));
	put_option32(w, OPT_BROADCAST, cfg->guest4 | ~mask);
	if (cfg->hostname[0])
		put_option(w, OPT_HOSTNAME, cfg->hostname,
			   strnlen(cfg->hostname, sizeof(cfg->hostname)));
}

static void put_fixed(uint8_t *msg, const struct dhcp_request *req)
{
	msg[OFF_OP] = BOOTREPLY;
	msg[OFF_HTYPE] = HTYPE_ETHERNET;
	msg[OFF_HLEN] = 6;
	put_be32(msg + OFF_XID, req->xid);
	put_be16(msg + OFF_FLAGS, req->broadcast ? FLAG_BROADCAST : 0);
	memcpy(msg + OFF_CHADDR, req->chaddr, sizeof(req->chaddr));
	put_be32(msg + OFF_MAGIC, MAGIC);
}

/**
 * dhcp_answer() - decide what a message deserves and build it
 * @cfg:	the one lease
 * @req:	from dhcp_parse()
 * @reply:	out; @reply->type 0 when silence is right
 *
 * The gateway's address is the server's identity. Pure; any thread.
 * RFC 2131 sections 4.1 (where a reply goes) and 4.3.1, table 3; RFC 6842 (the
 * client identifier comes back).
 *
 * Return: 0, or -EINVAL for a message that came through a relay
 */
int dhcp_answer(const struct stack_config *cfg, const struct dhcp_request *req,
		struct dhcp_reply *reply)
{
	/* The end option keeps a byte of its own. */
	struct option_writer w = { reply->msg + OFF_OPTIONS, DHCP_REPLY_MAX - OFF_OPTIONS - 1 };
	uint8_t type;

	memset(reply, 0, sizeof(*reply));
	if (req->giaddr)
		return -EINVAL;
	type = (uint8_t)decide(cfg, req);
	if (!type)
		return 0;

	put_fixed(reply->msg, req);
	put_option(&w, OPT_TYPE, &type, 1);
	put_option32(&w, OPT_SERVER_ID, cfg->gateway4);
	if (req->client_id)
		put_option(&w, OPT_CLIENT_ID, req->client_id, req->client_id_len);
	if (type != DHCP_NAK) {
		if (req->type != DHCP_INFORM) {
			put_be32(reply->msg + OFF_YIADDR, cfg->guest4);
			put_option32(&w, OPT_LEASE, LIMIT_DHCP_LEASE_S);
		}
		if (type == DHCP_ACK)
			put_be32(reply->msg + OFF_CIADDR, req->ciaddr);
		put_config(&w, cfg);
	}
	*w.p++ = OPT_END;

	/* An address in ciaddr that is not the client's is nobody's: nothing is sent there. */
	if (type == DHCP_NAK || (req->broadcast && req->ciaddr != cfg->guest4))
		reply->dst = BROADCAST4;
	else
		reply->dst = cfg->guest4;
	reply->type = (enum dhcp_type)type;
	reply->len = MAX((uint32_t)(w.p - reply->msg), (uint32_t)DHCP_REPLY_MIN);
	return 0;
}
