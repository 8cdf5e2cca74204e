/* SPDX-License-Identifier: MIT */
/*
 * Captures of frames: what the worker's stack copies becomes a pcapng file, or goes
 * down a socket to whoever reads it.
 *
 * There is one capture at a time. Whoever starts it has opened where it goes: nothing
 * is opened here, so a capture needs no right to files. What finds no room in the ring
 * is lost and counted; nobody waits for the disk or the reader but the writer thread.
 */
#ifndef SLUICE_SIGHT_PCAP_H
#define SLUICE_SIGHT_PCAP_H

#include <stddef.h>
#include <stdint.h>

struct net_worker;
struct pcap;
struct sight;

/* Bytes of blocks that wait for the file or the socket. */
#define PCAP_BUFFER (256U << 10)

/* Bytes of a file: the least holds head and end, and the one where nobody says. */
#define PCAP_LIMIT_MIN (64ULL << 10)
#define PCAP_LIMIT_DEF (1ULL << 30)
#define PCAP_LIMIT_MAX (1ULL << 50)

/**
 * enum pcap_state - how far a capture is
 * @PCAP_RUNNING:	frames are copied
 * @PCAP_ENDING:	no more are; the rest is being written
 * @PCAP_ENDED:		the file is complete
 */
enum pcap_state { PCAP_RUNNING, PCAP_ENDING, PCAP_ENDED };

/**
 * enum pcap_end - why no more frames are copied
 */
enum pcap_end {
	PCAP_NOT_YET,
	PCAP_STOPPED,
	PCAP_FULL,   /* as many bytes as were allowed */
	PCAP_FAILED, /* it could not be written, see the error */
	PCAP_UNREAD, /* the reader has gone, or was too slow at the end */
};

/**
 * struct pcap_config - what is wanted
 * @name:	what the file is called in messages; copied
 * @program:	who writes it, with its version; copied
 * @filter:	as capture.h has it, "" = every frame; copied
 * @fd:		a regular file open for writing, which is emptied, or a connected
 *		stream socket; taken when the capture starts
 * @snaplen:	bytes kept of each frame
 * @limit:	bytes of the file
 */
struct pcap_config {
	const char *name, *program, *filter;
	int fd;
	uint32_t snaplen;
	uint64_t limit;
};

/**
 * struct pcap_status - figures of one moment
 * @bytes, @written:	in the file: bytes, and frames
 * @seen:	frames that went by; @matched: that the filter picked
 * @lost:	picked, and found no room or could not be written
 * @error:	errno for PCAP_FAILED
 */
struct pcap_status {
	const char *name, *filter;
	enum pcap_state state;
	enum pcap_end end;
	uint32_t snaplen;
	uint64_t limit, bytes, written, seen, matched, lost;
	int error;
};

/* pcap.c: main thread */
int pcap_start(struct sight *s, struct net_worker *w, const struct pcap_config *cfg, char *why,
	       size_t why_len);
int pcap_stop(struct sight *s, struct net_worker *w);
int pcap_status(struct sight *s, struct net_worker *w, struct pcap_status *out);
void pcap_free(struct pcap *p);

#endif
