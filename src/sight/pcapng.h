/* SPDX-License-Identifier: MIT */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng): one section, one Ethernet
 * interface with nanoseconds, a packet block for each frame with its direction and
 * the name of its flow, and at the end a block that says what was lost.
 *
 * The interface is the guest's: what goes to the guest is inbound.
 */
#ifndef SLUICE_SIGHT_PCAPNG_H
#define SLUICE_SIGHT_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

struct capture_record;

/* The type of a packet's block. */
#define PCAPNG_PACKET 6U

/* The most that a text takes in the head; what is longer is cut. */
#define PCAPNG_TEXT_MAX 1024

/* The longest block of each kind, but for a packet's bytes. */
#define PCAPNG_HEAD_MAX	  (2 * (PCAPNG_TEXT_MAX + 128))
#define PCAPNG_PACKET_MAX 128
#define PCAPNG_STATS_MAX  128

/**
 * struct pcapng_stats - the whole of one capture
 * @start_ns, @end_ns:	nanoseconds since 1970
 * @seen:	frames that went by; @matched: that the filter picked
 * @lost:	of those, that are not in the file
 * @written:	that are
 */
struct pcapng_stats {
	uint64_t start_ns, end_ns;
	uint64_t seen, matched, lost, written;
};

/* pcapng.c: any thread */
size_t pcapng_head(uint8_t buf[PCAPNG_HEAD_MAX], const char *program, const char *filter,
		   uint32_t snaplen);
size_t pcapng_packet(uint8_t *buf, const struct capture_record *r, uint64_t to_utc_ns,
		     uint64_t lost);
size_t pcapng_stats(uint8_t buf[PCAPNG_STATS_MAX], const struct pcapng_stats *s);

#endif
