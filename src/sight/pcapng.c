/* SPDX-License-Identifier: MIT */
/* Blocks of a pcapng file, made in memory; no memory is taken for it. */
#include "src/sight/pcapng.h"

#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/capture.h"

/* Types of blocks. A file is in the byte order of its section header's magic. */
#define BLOCK_SECTION	0x0a0d0d0aU
#define BLOCK_INTERFACE 1U
#define BLOCK_STATS	5U
#define BYTE_ORDER_HERE 0x1a2b3c4dU

#define LINKTYPE_ETHERNET 1

/* Options, by the block that has them. */
#define OPT_END		  0
#define OPT_COMMENT	  1
#define SHB_USERAPPL	  4
#define IF_NAME		  2
#define IF_TSRESOL	  9
#define IF_FILTER	  11
#define EPB_FLAGS	  2
#define EPB_DROPCOUNT	  4
#define ISB_STARTTIME	  2
#define ISB_ENDTIME	  3
#define ISB_IFRECV	  4
#define ISB_IFDROP	  5
#define ISB_FILTERACCEPT  6
#define ISB_USRDELIV	  8
#define TSRESOL_NS	  9
#define FILTER_OF_LIBPCAP 0
#define FLAGS_INBOUND	  1U
#define FLAGS_OUTBOUND	  2U

struct block {
	uint8_t *p;
	size_t n;
};

static void add16(struct block *b, uint16_t v)
{
	put_le16(b->p + b->n, v);
	b->n += 2;
}

static void add32(struct block *b, uint32_t v)
{
	put_le32(b->p + b->n, v);
	b->n += 4;
}

static void add_bytes(struct block *b, const void *p, size_t len)
{
	memcpy(b->p + b->n, p, len);
	b->n += len;
	while (b->n % 4)
		b->p[b->n++] = 0;
}

static void begin(struct block *b, uint8_t *at, uint32_t type)
{
	*b = (struct block){ .p = at };
	add32(b, type);
	add32(b, 0); /* end() knows */
}

/* The length stands at both ends, so that a file can be read backwards. */
static size_t end(struct block *b)
{
	put_le32(b->p + 4, (uint32_t)b->n + 4);
	add32(b, (uint32_t)b->n + 4);
	return b->n;
}

static void option(struct block *b, uint16_t code, const void *value, size_t len)
{
	add16(b, code);
	add16(b, (uint16_t)len);
	add_bytes(b, value, len);
}

static void option_u64(struct block *b, uint16_t code, uint64_t v)
{
	option(b, code, &v, sizeof(v));
}

/* A time is two words, the upper one first. */
static void add_time(struct block *b, uint64_t ns)
{
	add32(b, (uint32_t)(ns >> 32));
	add32(b, (uint32_t)ns);
}

static void option_time(struct block *b, uint16_t code, uint64_t ns)
{
	add16(b, code);
	add16(b, 8);
	add_time(b, ns);
}

static void option_end(struct block *b)
{
	add16(b, OPT_END);
	add16(b, 0);
}

/**
 * pcapng_head() - what a file begins with
 * @program:	who writes it
 * @filter:	"" = every frame
 *
 * Return: bytes of @buf
 */
size_t pcapng_head(uint8_t buf[PCAPNG_HEAD_MAX], const char *program, const char *filter,
		   uint32_t snaplen)
{
	uint8_t expr[1 + PCAPNG_TEXT_MAX] = { FILTER_OF_LIBPCAP };
	size_t filter_len = strnlen(filter, PCAPNG_TEXT_MAX), n;
	const uint8_t resolution = TSRESOL_NS;
	struct block b;

	begin(&b, buf, BLOCK_SECTION);
	add32(&b, BYTE_ORDER_HERE);
	add16(&b, 1);
	add16(&b, 0);
	add32(&b, UINT32_MAX); /* the section's length is not known */
	add32(&b, UINT32_MAX);
	option(&b, SHB_USERAPPL, program, strnlen(program, PCAPNG_TEXT_MAX));
	option_end(&b);
	n = end(&b);

	begin(&b, buf + n, BLOCK_INTERFACE);
	add16(&b, LINKTYPE_ETHERNET);
	add16(&b, 0);
	add32(&b, snaplen);
	option(&b, IF_NAME, "guest", 5);
	option(&b, IF_TSRESOL, &resolution, 1);
	if (filter_len) {
		memcpy(expr + 1, filter, filter_len);
		option(&b, IF_FILTER, expr, 1 + filter_len);
	}
	option_end(&b);
	return n + end(&b);
}

/**
 * pcapng_packet() - a frame
 * @buf:	room for PCAPNG_PACKET_MAX and the frame's kept bytes
 * @to_utc_ns:	what makes nanoseconds since 1970 of its time
 * @lost:	frames that are missing before it
 *
 * Return: bytes of @buf
 */
size_t pcapng_packet(uint8_t *buf, const struct capture_record *r, uint64_t to_utc_ns,
		     uint64_t lost)
{
	static const char prefix[] = "flow ";
	const uint32_t flags = r->to_guest ? FLAGS_INBOUND : FLAGS_OUTBOUND;
	char comment[sizeof(prefix) + FLOW_NAME_STRLEN];
	struct block b;

	begin(&b, buf, PCAPNG_PACKET);
	add32(&b, 0);
	add_time(&b, r->time_ns + to_utc_ns);
	add32(&b, r->len);
	add32(&b, r->orig_len);
	add_bytes(&b, r->data, r->len);
	option(&b, EPB_FLAGS, &flags, sizeof(flags));
	if (lost)
		option_u64(&b, EPB_DROPCOUNT, lost);
	if (r->has_flow) {
		memcpy(comment, prefix, sizeof(prefix));
		flow_name(r->flow_proto, r->flow, comment + sizeof(prefix) - 1);
		option(&b, OPT_COMMENT, comment, strlen(comment));
	}
	option_end(&b);
	return end(&b);
}

/**
 * pcapng_stats() - what a file ends with
 *
 * Return: bytes of @buf
 */
size_t pcapng_stats(uint8_t buf[PCAPNG_STATS_MAX], const struct pcapng_stats *s)
{
	struct block b;

	begin(&b, buf, BLOCK_STATS);
	add32(&b, 0);
	add_time(&b, s->end_ns);
	option_time(&b, ISB_STARTTIME, s->start_ns);
	option_time(&b, ISB_ENDTIME, s->end_ns);
	option_u64(&b, ISB_IFRECV, s->seen);
	option_u64(&b, ISB_IFDROP, s->lost);
	option_u64(&b, ISB_FILTERACCEPT, s->matched);
	option_u64(&b, ISB_USRDELIV, s->written);
	option_end(&b);
	return end(&b);
}
