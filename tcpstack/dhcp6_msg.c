/* SPDX-License-Identifier: MIT */
/*
 * DHCPv6 messages: parse a client's, decide, build the reply.
 *
 * Theory of operation: as for DHCPv4 there is one client and one lease, so the
 * server remembers nothing. The first association of a message gets the
 * configured address; others, temporary addresses and prefixes are declined by
 * the status that RFC 8415 has for each. What the guest makes itself of the
 * announced prefix is none of this file's business.
 *
 * The parser is strict: what is wrong in a length is refused as a whole, and
 * options that are not named in struct dhcp6_request are skipped.
 */
#include "tcpstack/dhcp6_msg.h"

#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/frame.h"
#include "tcpstack/limits.h"

#define HEADER_LEN 4

/* RFC 8415 21, RFC 3646 3. */
#define OPT_CLIENT_ID	 1
#define OPT_SERVER_ID	 2
#define OPT_IA_NA	 3
#define OPT_IA_TA	 4
#define OPT_IAADDR	 5
#define OPT_STATUS	 13
#define OPT_RAPID_COMMIT 14
#define OPT_DNS		 23
#define OPT_IA_PD	 25

#define STATUS_SUCCESS	   0
#define STATUS_NO_ADDRS	   2
#define STATUS_NOT_ON_LINK 4
#define STATUS_NO_PREFIX   6

#define IA_NA_LEN  12
#define IA_TA_LEN  4
#define IAADDR_LEN 24

/* Our DUID: of our link-layer address (RFC 8415 11.4). */
#define DUID_LEN 10
#define DUID_LL	 3
#define HW_ETHER 1

/* When to renew, as parts of the lease (RFC 8415 21.4). */
#define T1_OF(lease) ((lease) / 2)
#define T2_OF(lease) ((lease) / 5 * 4)

/* --- parsing ---------------------------------------------------------------- */

/* The next option of @c, its body in *@body. NULL: the end, or (with @c not empty) an error. */
static const uint8_t *next_option(struct cursor *c, uint16_t *code, struct cursor *body)
{
	const uint8_t *h = cursor_pull(c, 4);
	const uint8_t *p;

	if (!h)
		return NULL;
	*code = get_be16(h);
	*body = (struct cursor){ NULL, get_be16(h + 2) };
	p = cursor_pull(c, body->left);
	if (!p) {
		c->left = 1; /* an error, not the end */
		return NULL;
	}
	body->p = p;
	return h;
}

static int parse_ia(struct dhcp6_request *req, uint16_t kind, struct cursor c)
{
	const uint8_t *fixed = cursor_pull(&c, kind == OPT_IA_TA ? IA_TA_LEN : IA_NA_LEN);
	struct dhcp6_ia *ia = &req->ia[req->nias];
	struct cursor body;
	uint16_t code;

	if (!fixed)
		return -EBADMSG;
	if (req->nias == DHCP6_IAS_MAX)
		return 0;
	*ia = (struct dhcp6_ia){ .kind = kind, .id = get_be32(fixed) };
	req->nias++;
	while (next_option(&c, &code, &body)) {
		if (code != OPT_IAADDR)
			continue;
		if (body.left < IAADDR_LEN)
			return -EBADMSG;
		if (ia->naddrs < DHCP6_ADDRS_MAX)
			memcpy(ia->addr[ia->naddrs++].b, body.p, 16);
	}
	return c.left ? -EBADMSG : 0;
}

static int parse_option(struct dhcp6_request *req, uint16_t code, const struct cursor *body)
{
	switch (code) {
	case OPT_CLIENT_ID:
	case OPT_SERVER_ID:
		if (body->left < 3 || body->left > DHCP6_DUID_MAX)
			return -EBADMSG;
		if (code == OPT_CLIENT_ID) {
			req->client_id = body->p;
			req->client_id_len = (uint16_t)body->left;
		} else {
			req->server_id = body->p;
			req->server_id_len = (uint16_t)body->left;
		}
		return 0;
	case OPT_RAPID_COMMIT:
		req->rapid = true;
		return body->left ? -EBADMSG : 0;
	case OPT_IA_NA:
	case OPT_IA_TA:
	case OPT_IA_PD:
		return parse_ia(req, code, *body);
	default:
		return 0;
	}
}

static bool from_client(uint8_t type)
{
	return type == DHCP6_SOLICIT || type == DHCP6_INFORMATION ||
	       (type >= DHCP6_REQUEST && type <= DHCP6_DECLINE && type != DHCP6_REPLY);
}

/**
 * dhcp6_parse() - read a client's message
 * @msg:	private copy; @req points into it
 * @len:	bytes of UDP payload
 * @req:	out
 *
 * Pure; any thread. RFC 8415 sections 8 and 21.
 * Return: 0, or -EBADMSG when it is no well-formed message of a client
 */
int dhcp6_parse(const uint8_t *msg, uint32_t len, struct dhcp6_request *req)
{
	struct cursor c = { msg, len }, body;
	const uint8_t *h = cursor_pull(&c, HEADER_LEN);
	uint16_t code;

	*req = (struct dhcp6_request){ 0 };
	if (!h || !from_client(h[0]))
		return -EBADMSG;
	req->type = h[0];
	memcpy(req->xid, h + 1, sizeof(req->xid));
	while (next_option(&c, &code, &body))
		if (parse_option(req, code, &body))
			return -EBADMSG;
	return c.left ? -EBADMSG : 0;
}

/* --- answering -------------------------------------------------------------- */

struct writer {
	uint8_t *p;
	uint32_t left;
};

/* Room for an option of @len bytes, its header written; NULL when there is none. */
static uint8_t *put_option(struct writer *w, uint16_t code, uint32_t len)
{
	uint8_t *p = w->p;

	if (len + 4 > w->left)
		return NULL;
	put_be16(p, code);
	put_be16(p + 2, (uint16_t)len);
	memset(p + 4, 0, len);
	w->p += 4 + len;
	w->left -= 4 + len;
	return p + 4;
}

static void put_data(struct writer *w, uint16_t code, const void *data, uint32_t len)
{
	uint8_t *p = put_option(w, code, len);

	if (p)
		memcpy(p, data, len);
}

static void put_status(struct writer *w, uint16_t status)
{
	uint8_t be[2];

	put_be16(be, status);
	put_data(w, OPT_STATUS, be, sizeof(be));
}

static void put_address(struct writer *w, const struct ipaddr *addr, uint32_t seconds)
{
	uint8_t *p = put_option(w, OPT_IAADDR, IAADDR_LEN);

	if (!p)
		return;
	memcpy(p, addr->b, 16);
	put_be32(p + 16, seconds);
	put_be32(p + 20, seconds);
}

static void make_duid(const struct stack_config *cfg, uint8_t duid[DUID_LEN])
{
	put_be16(duid, DUID_LL);
	put_be16(duid + 2, HW_ETHER);
	memcpy(duid + 4, cfg->our_mac, 6);
}

/* Names @req us as the server? */
static bool is_ours(const struct stack_config *cfg, const struct dhcp6_request *req)
{
	uint8_t duid[DUID_LEN];

	make_duid(cfg, duid);
	return req->server_id_len == DUID_LEN && memcmp(req->server_id, duid, DUID_LEN) == 0;
}

/* RFC 8415 16: what each message must and must not carry. */
static bool is_valid(const struct stack_config *cfg, const struct dhcp6_request *req)
{
	switch (req->type) {
	case DHCP6_SOLICIT:
	case DHCP6_CONFIRM:
	case DHCP6_REBIND:
		return req->client_id && !req->server_id;
	case DHCP6_INFORMATION:
		return req->nias == 0 && (!req->server_id || is_ours(cfg, req));
	default:
		return req->client_id && req->server_id && is_ours(cfg, req);
	}
}

/* One association, the lease in the first that can have it (RFC 8415 18.3). */
static void put_ia(struct writer *w, const struct stack_config *cfg, const struct dhcp6_ia *ia,
		   bool *given)
{
	uint8_t *fixed = put_option(w, ia->kind, ia->kind == OPT_IA_TA ? IA_TA_LEN : IA_NA_LEN);
	uint8_t *end;

	if (!fixed)
		return;
	put_be32(fixed, ia->id);
	if (ia->kind == OPT_IA_NA && !*given) {
		*given = true;
		put_be32(fixed + 4, T1_OF(LIMIT_DHCP_LEASE_S));
		put_be32(fixed + 8, T2_OF(LIMIT_DHCP_LEASE_S));
		put_address(w, &cfg->guest6, LIMIT_DHCP_LEASE_S);
	} else {
		put_status(w, ia->kind == OPT_IA_PD ? STATUS_NO_PREFIX : STATUS_NO_ADDRS);
	}
	/* What else the client believes to have, it has no longer. */
	for (uint32_t i = 0; i < ia->naddrs; i++)
		if (!ipaddr_equal(&ia->addr[i], &cfg->guest6))
			put_address(w, &ia->addr[i], 0);
	end = w->p;
	put_be16(fixed - 2, (uint16_t)(end - fixed));
}

/* Are the client's addresses of this link? False in *@any: it named none. */
static bool on_link(const struct stack_config *cfg, const struct dhcp6_request *req, bool *any)
{
	bool good = true;

	*any = false;
	for (uint32_t i = 0; i < req->nias; i++) {
		for (uint32_t k = 0; k < req->ia[i].naddrs; k++) {
			*any = true;
			good &= ipaddr_same_prefix64(&req->ia[i].addr[k], &cfg->prefix6);
		}
	}
	return good;
}

/**
 * dhcp6_answer() - decide what a message deserves and build it
 * @cfg:	the one lease
 * @req:	from dhcp6_parse()
 * @reply:	out; @reply->type 0 when silence is right
 *
 * Pure; any thread. RFC 8415 sections 16 and 18.3.
 */
void dhcp6_answer(const struct stack_config *cfg, const struct dhcp6_request *req,
		  struct dhcp6_reply *reply)
{
	struct writer w = { reply->msg + HEADER_LEN, DHCP6_MSG_MAX - HEADER_LEN };
	bool given = false, any = true, good = true;
	uint8_t duid[DUID_LEN];

	reply->type = 0;
	if (!is_valid(cfg, req))
		return;
	if (req->type == DHCP6_CONFIRM)
		good = on_link(cfg, req, &any);
	if (!any)
		return;

	make_duid(cfg, duid);
	put_data(&w, OPT_SERVER_ID, duid, sizeof(duid));
	if (req->client_id)
		put_data(&w, OPT_CLIENT_ID, req->client_id, req->client_id_len);
	if (req->type == DHCP6_SOLICIT && req->rapid)
		put_option(&w, OPT_RAPID_COMMIT, 0);
	switch (req->type) {
	case DHCP6_CONFIRM:
	case DHCP6_RELEASE:
	case DHCP6_DECLINE:
		put_status(&w, good ? STATUS_SUCCESS : STATUS_NOT_ON_LINK);
		break;
	default:
		for (uint32_t i = 0; i < req->nias; i++)
			put_ia(&w, cfg, &req->ia[i], &given);
		put_data(&w, OPT_DNS, cfg->dns6.b, 16);
		break;
	}
	reply->type = req->type == DHCP6_SOLICIT && !req->rapid ? DHCP6_ADVERTISE : DHCP6_REPLY;
	reply->msg[0] = reply->type;
	memcpy(reply->msg + 1, req->xid, sizeof(req->xid));
	reply->len = (uint32_t)(w.p - reply->msg);
}
