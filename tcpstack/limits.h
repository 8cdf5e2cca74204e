/* SPDX-License-Identifier: MIT */
/*
 * Every number of policy in the stack, with its unit and where it comes from.
 * Constants of a wire format stand with the format; what a user may change
 * starts here as a default and lives in struct stack_config.
 */
#ifndef SLUICE_TCPSTACK_LIMITS_H
#define SLUICE_TCPSTACK_LIMITS_H

/* --- defaults of struct stack_config ------------------------------------ */

/* Address plan: the one that QEMU's user network made customary. Host order. */
#define LIMIT_GUEST4   0x0a00020fU /* 10.0.2.15 */
#define LIMIT_GATEWAY4 0x0a000202U /* 10.0.2.2 */
#define LIMIT_DNS4     0x0a000203U /* 10.0.2.3 */
#define LIMIT_PREFIX4  24	   /* bits */

/*
 * Its IPv6 twin, fd73:6c75:6963::/64, hosts by their IPv4 numbers. The global
 * identifier (RFC 4193 3.2) spells "sluic", so that a host whose own network is
 * a plain fd00::/64 can still be reached from the guest.
 */
#define LIMIT_PREFIX6_BYTES 0xfd, 's', 'l', 'u', 'i', 'c'
#define LIMIT_HOST6_GATEWAY 0x02
#define LIMIT_HOST6_DNS	    0x03
#define LIMIT_HOST6_GUEST   0x15

/* Rates: the most that can be asked for, a bucket's depth, and its least depth in packets. */
#define LIMIT_RATE_MAX		(8ULL << 30) /* bytes a second; times a second in ns it fits 64 bits */
#define LIMIT_RATE_BURST_MS	100	     /* milliseconds of the rate */
#define LIMIT_RATE_BURST_MS_MAX 10000
#define LIMIT_RATE_PACKETS_MIN	64

/* Flows at one time. TCP and UDP flows cost the process a descriptor each. */
#define LIMIT_TCP_FLOWS	  4096
#define LIMIT_UDP_FLOWS	  1024
#define LIMIT_PING_FLOWS  64
#define LIMIT_DNS_QUERIES 256

/* What stack_config_check() accepts: an index is 32 bits, a descriptor table a million. */
#define LIMIT_FLOWS_MAX (1U << 20)

/* New TCP connections a second; 0 = not limited. And the most that can be asked for. */
#define LIMIT_CONN_RATE	    0
#define LIMIT_CONN_RATE_MAX 1000000

/*
 * Between two looks for memory that a burst has left behind. What was idle for a
 * whole interval is given back, so a pause of two seconds costs two wake-ups.
 */
#define LIMIT_TRIM_NS 1000000000ULL

/*
 * Records of decisions: bytes of the ring, a few thousand of them; and denials told
 * in a second, for a guest can cause them without end and a disk has one.
 */
#define LIMIT_AUDIT_RING_BYTES (1U << 20)
#define LIMIT_AUDIT_DENIALS    1000ULL

/* Copies of frames for a capture: bytes of the ring, 12,000 frames of the default length. */
#define LIMIT_CAPTURE_RING_BYTES (4U << 20)

/* --- frames to the guest ------------------------------------------------- */

/* Arena slots for frames that we originate: bytes of each (header included), how many. */
#define LIMIT_OUT_SMALL_BYTES  256 /* TCP control, ARP, ICMP errors */
#define LIMIT_OUT_SMALL_SLOTS  1024
#define LIMIT_OUT_MEDIUM_BYTES 2048 /* an Ethernet MTU: DNS, DHCP, most UDP, fragments */
#define LIMIT_OUT_MEDIUM_SLOTS 512
#define LIMIT_OUT_LARGE_BYTES  (65535 + 18 + 111) /* PORT_FRAME_MAX and the slot's header */
#define LIMIT_OUT_LARGE_SLOTS  64

/*
 * Frames that wait for receive buffers; the next one is dropped. A quarter of
 * the small slots, so that a guest that stops taking cannot use up the arena.
 */
#define LIMIT_OUT_WAITING 256

/*
 * How long a frame waits. Whoever asked has asked again by then (RFC 1035
 * 4.2.1, RFC 6298 2.4), and a frame that the guest's buffers never hold must
 * not block those behind it for ever.
 */
#define LIMIT_OUT_WAIT_NS 5000000000ULL

/* Hop limit of what we send, RFC 1700 "IP time to live". */
#define LIMIT_TTL 64

/* --- fragments of the guest ---------------------------------------------- */

/*
 * Datagrams that are put together at one time, of 64 KiB each: no fewer than a guest
 * has CPUs that may send one at the same moment. And how long one may take: as Linux
 * has it (net.ipv4.ipfrag_time).
 */
#define LIMIT_REASSEMBLY_SLOTS 16
#define LIMIT_REASSEMBLY_NS    30000000000ULL

/* --- TCP ------------------------------------------------------------------ */

/*
 * What one flow may keep back while its host socket is full: bytes that we
 * offer beyond the socket's room. Two of the longest TSO frames: enough that
 * the guest overshoots and so makes the kernel grow the socket's buffer.
 */
#define LIMIT_TCP_PARK_BYTES (128U << 10)

/*
 * The window offered to a guest that is near: no more than the cache likes
 * (measured from 128 KiB to 4 MiB), or what 10 Gbit/s need over the guest's
 * round trip if that is more.
 */
#define LIMIT_TCP_WINDOW_NEAR (512U << 10)
/* To one whose pages are given away: fewer turns are cheaper, up to what fits a large cache. */
#define LIMIT_TCP_WINDOW_LENT	    (1U << 20)
#define LIMIT_TCP_LINK_BYTES_PER_US 1250ULL

/*
 * Frames of the guest held across cycles; the rest of a stalled flow moves to the arena.
 * All flows': descriptors, and no more than a quarter of the ring.
 */
#define LIMIT_TCP_HELD_FLOW 16
#define LIMIT_TCP_HELD_ALL  64

/*
 * What a transmit ring needs free. Linux stops sending when a frame in as many pieces as
 * there can be (MAX_SKB_FRAGS 17, a header, the frame's head) may not fit, INDIRECT or
 * not; twice that, so that one may be on its way.
 */
#define LIMIT_TX_RING_FREE 38

/*
 * How long a socket stays full before the guest's frames are copied, given back
 * and ACKed. Half of 200 ms, the shortest time after which a Linux guest sends
 * again what was not ACKed (TCP_RTO_MIN).
 */
#define LIMIT_TCP_STALL_NS 100000000ULL

/* Records of collected segments (one for each frame of a batch), and arena copies. */
#define LIMIT_TCP_SEGMENTS	 1024
#define LIMIT_TCP_SEGMENTS_COPY	 256 /* of them, left for arena copies */
#define LIMIT_TCP_PARK_BUF_BYTES (64U << 10)
#define LIMIT_TCP_PARK_BUFS	 256

/*
 * What came before its turn, in chunks of two Ethernet segments and a half: 1 MiB
 * for each flow (four times the usual window), 4 MiB for all.
 */
#define LIMIT_TCP_EARLY_CHUNK_BYTES 4096
#define LIMIT_TCP_EARLY_FLOW	    256
#define LIMIT_TCP_EARLY_ALL	    1024

/* --- guest memory that sockets refer to (bulk_loan.c) --------------------- */

/*
 * One flow's, before the next batch is copied instead: what a fast reader takes
 * while we are not looking. A Linux guest stops a socket at 1 to 4 MiB of
 * unfinished frames by itself (tcp_limit_output_bytes).
 */
#define LIMIT_BULK_LENT_BYTES  (4U << 20)
#define LIMIT_BULK_LENT_SEGS   64
#define LIMIT_BULK_LENT_AGE_NS 20000000ULL
/* What a flow at that bound waits before it copies; the bound is good for 8 Gbit/s then. */
#define LIMIT_BULK_WAIT_NS 4000000L
/* All flows', where half of the ring is more. */
#define LIMIT_BULK_LENT_FRAMES_ALL 128
/* Flows that lend at one time. */
#define LIMIT_BULK_LOANS 128
/*
 * What auto gives away: batches of segments that are worth the handling of their pages
 * (docs/experiments.md). One such segment is batch enough.
 */
#define LIMIT_BULK_SEG_MIN (32U << 10)
/*
 * How auto tells which way is cheaper (bulk_trial.c): payload of a turn, and of its first
 * part after a change, which is not measured; how long a turn may take; how often in a
 * row the other way must win to become the usual one; and at the most so many turns
 * between two tries of it: at twice the cost, one in 64 is 1.6 %.
 */
#define LIMIT_BULK_TURN_BYTES	(16U << 20)
#define LIMIT_BULK_SETTLE_BYTES (4U << 20)
#define LIMIT_BULK_TURN_NS	1000000000ULL
#define LIMIT_BULK_WINS		3
#define LIMIT_BULK_PATIENCE_MAX 64
/* The first batch that goes by reference, to learn what the kernel does with such. */
#define LIMIT_BULK_ZC_PROBE_BYTES (60U << 10)
/* So many answers "copied" in a row end it for a flow. */
#define LIMIT_BULK_ZC_COPIED 8
/* With so much lent the engine is asked four times as often. */
#define LIMIT_BULK_LENT_HURRY (512U << 10)
/* Between two questions: a quarter of the age of what is lent, within these. */
#define LIMIT_BULK_POLL_MIN_NS 200000L
#define LIMIT_BULK_POLL_MAX_NS 20000000L
/*
 * The splice engine's pipe. An unaligned 64 KiB segment takes 17 slots of a page;
 * a user may have 1 MiB (fs.pipe-max-size).
 */
#define LIMIT_SPLICE_PIPE_BYTES (1 << 20)
#define LIMIT_SPLICE_PIPE_MIN	(256 << 10)
/* What a driver that leaves waits for peers that do not read. */
#define LIMIT_BULK_DRAIN_NS 100000000L

/* Our window scale, RFC 7323: windows up to 8 MiB in steps of 128 bytes. */
#define LIMIT_TCP_WSCALE     7
#define LIMIT_TCP_WSCALE_MAX 14 /* of the guest's, RFC 7323 2.3 */

/* MSS of a guest that names none (RFC 9293 3.7.1), and the least that we honour. */
#define LIMIT_TCP_MSS_DEFAULT 536
#define LIMIT_TCP_MSS_MIN     64

/*
 * Retransmission towards the guest, RFC 6298. The floor stands above the 200 ms
 * for which Linux may delay an ACK: what is only delayed is not sent again.
 */
#define LIMIT_TCP_RTO_MIN_NS  300000000ULL
#define LIMIT_TCP_RTO_INIT_NS 1000000000ULL
#define LIMIT_TCP_RTO_MAX_NS  60000000000ULL
#define LIMIT_TCP_SYN_RETRIES 5 /* of the SYN-ACK; Linux' tcp_synack_retries */
#define LIMIT_TCP_DUPACKS     3 /* RFC 5681 3.2 */

/*
 * R2 of RFC 9293 3.8.3: how long a guest may answer nothing at all before its flow is
 * reset. The link cannot fail without us, so a silent guest is a paused one, and may be
 * so for an hour; a dead one takes its flows along when the driver goes. So a flow with
 * bytes under way lives as long as an idle one. (Linux: 15 minutes.)
 */
#define LIMIT_TCP_SILENT_NS LIMIT_TCP_IDLE_NS

/* Longer than the kernel tries by itself (tcp_syn_retries 6: 127 s). */
#define LIMIT_TCP_CONNECT_NS 130000000000ULL
/* The guest's last FIN can only be lost in its own ring: seconds, not 2 MSL. */
#define LIMIT_TCP_TIME_WAIT_NS 2000000000ULL
/* RFC 5382 REQ-5: no sooner than 2 hours 4 minutes; partly closed: 4 minutes and more. */
#define LIMIT_TCP_IDLE_NS      7440000000000ULL
#define LIMIT_TCP_IDLE_HALF_NS 1800000000000ULL
/* After a passing error of the host (ENOBUFS, ENOMEM). */
#define LIMIT_TCP_RETRY_NS 10000000ULL

/*
 * How long the ACK of a short request may wait for an answer that carries it, where so
 * many answers in a row were quicker than that, and what is short. A tenth of Linux'
 * shortest delay (40 ms), and far below any retransmission timeout.
 */
#define LIMIT_TCP_ACK_WAIT_NS	 4000000ULL
#define LIMIT_TCP_ACK_WAIT_BYTES 4096
#define LIMIT_TCP_ACK_QUICK	 2

/* RFC 5961 7: challenge ACKs a second, all flows together. */
#define LIMIT_TCP_CHALLENGES 100

/*
 * Bytes that one flow receives from its socket before the next flow's turn,
 * frames that one receive fills, and when ACKed bytes leave the socket: 64 KiB,
 * or a quarter of what is in flight unless that is small, or after so many reads.
 */
#define LIMIT_TCP_RX_QUANTUM	(512U << 10)
#define LIMIT_TCP_RX_FRAMES	32
#define LIMIT_TCP_RX_FIRST	(16U << 10)
#define LIMIT_TCP_DISCARD_BYTES (64U << 10)
#define LIMIT_TCP_DISCARD_SMALL 512
#define LIMIT_TCP_DISCARD_READS 16

/* In flight to the guest where the kernel must copy it anew at each peek. */
#define LIMIT_TCP_INFLIGHT_NO_OFFSET (512U << 10)

/* --- forwards -------------------------------------------------------------- */

/* Ports, and what is accepted from all of them in one cycle. */
#define LIMIT_FORWARDS		4096
#define LIMIT_FORWARD_PER_CYCLE 64
/*
 * Ports under which the guest may know a peer whose own is taken, as by another
 * loopback address that is the gateway to it as well.
 */
#define LIMIT_FORWARD_ALIASES 8
/* After EMFILE and its like. */
#define LIMIT_FORWARD_RETRY_NS 100000000ULL

/* --- what is shown of flows ---------------------------------------------- */

/* A flow is called idle when nothing has happened to it for so long. */
#define LIMIT_SHOWN_IDLE_NS 1000000000ULL

/* --- ICMP ---------------------------------------------------------------- */

/*
 * ICMP errors: a token bucket (RFC 1812 4.3.2.8). One each 10 ms in the long
 * run, 50 in a burst: enough for a traceroute or a port scan by hand, too
 * little to be a load.
 */
#define LIMIT_ICMP_ERROR_BURST	     50
#define LIMIT_ICMP_ERROR_INTERVAL_NS 10000000ULL

/* --- IPv6 ----------------------------------------------------------------- */

/*
 * Router advertisements: the first once a driver has had time to give buffers,
 * then often enough that a lost one does not matter (RFC 4861 6.2.1 allows
 * 4..1800 s), and not more than one to all nodes in three seconds (6.2.6).
 */
#define LIMIT_RA_FIRST_NS    (100 * 1000000ULL)
#define LIMIT_RA_INTERVAL_NS (600 * 1000000000ULL)
#define LIMIT_RA_MIN_NS	     (3 * 1000000000ULL)

/* The router's lifetime, the longest that the field holds (RFC 8319): it is there for good. */
#define LIMIT_RA_LIFETIME_S 65535

/* Addresses of the guest that we keep in mind, so as not to answer for them. */
#define LIMIT_IP6_GUEST_ADDRS 16

/* --- datagrams and services ------------------------------------------------ */

/* A UDP mapping's life without traffic; RFC 4787 REQ-5 asks for two minutes or more. */
#define LIMIT_UDP_IDLE_NS (180 * 1000000000ULL)
/* The same once a query to a DNS server elsewhere has its answer (REQ-5 exempts known ports). */
#define LIMIT_UDP_DNS_IDLE_NS (10 * 1000000000ULL)
/* An ICMP query mapping's, RFC 5508 REQ-2. */
#define LIMIT_PING_IDLE_NS (60 * 1000000000ULL)
/* When a table is full, a flow that was quiet for so long makes room for a new one. */
#define LIMIT_EVICT_IDLE_NS (5 * 1000000000ULL)

/* Datagrams taken from one socket at a time, and from all of a protocol in one cycle. */
#define LIMIT_UDP_BATCH	     16
#define LIMIT_UDP_PER_CYCLE  512
#define LIMIT_PING_PER_CYCLE 64
#define LIMIT_DNS_PER_CYCLE  64

/*
 * Datagrams that come in one: of the guest, no more than Linux makes (UDP_MAX_SEGMENTS).
 * Towards the guest, what is received at a time is bounded in bytes as well, and a
 * socket that gives so many at a time is asked to put them together.
 */
#define LIMIT_UDP_SEGMENTS    128
#define LIMIT_UDP_BATCH_BYTES (256U << 10)
#define LIMIT_UDP_GRO_BATCH   8

/* When a socket is read again for which the host had no memory. */
#define LIMIT_UDP_RETRY_NS 10000000ULL

/* Pieces of guest memory in one echo request; a driver uses two or three. */
#define LIMIT_PING_IOV 64

/* Wait for one resolver before the next is asked: two tries end before a client's own 5 s. */
#define LIMIT_DNS_TRY_NS    (2 * 1000000000ULL)
#define LIMIT_DNS_TRIES_MIN 2

/* A resolver that was silent so often in a row is asked last, for so long. */
#define LIMIT_DNS_FAILS	    3
#define LIMIT_DNS_FAILED_NS (30 * 1000000000ULL)

/* Sockets whose query was given up: how many stay, for how long, to count late answers. */
#define LIMIT_DNS_LATE	  64
#define LIMIT_DNS_LATE_NS (10 * 1000000000ULL)

/*
 * Connections of the guest to the DNS server at one time, and how long one may stand
 * idle: some seconds, RFC 7766 section 6.2.3.
 */
#define LIMIT_DNS_TCP	      64
#define LIMIT_DNS_TCP_IDLE_NS (30 * 1000000000ULL)

/*
 * Answers of resolvers that are kept: how many (0 is none), how long at most one is
 * (what EDNS asks for, so that it needs no fragments), how long at most it lives: a
 * day, and three hours for one that says "no" (RFC 2308 section 5).
 */
#define LIMIT_DNS_CACHE		       512
#define LIMIT_DNS_CACHE_MAX	       65536
#define LIMIT_DNS_CACHE_BYTES	       1232
#define LIMIT_DNS_CACHE_TTL_MAX_S      86400U
#define LIMIT_DNS_CACHE_NEGATIVE_MAX_S 10800U

/*
 * Names that we serve ourselves, a power of two: one for each address of each.
 * What is told of them holds for half a minute, since they can be changed while
 * the guest runs.
 */
#define LIMIT_DNS_NAMES	     256
#define LIMIT_DNS_NAME_TTL_S 30

/*
 * Names learnt from DNS answers, a power of two: how many, how long at least (a
 * minute: programs keep addresses beyond their TTL), how long at most (a day).
 */
#define LIMIT_NAMES	      4096
#define LIMIT_NAMES_FLOOR_NS  (60 * 1000000000ULL)
#define LIMIT_NAMES_TTL_MAX_S 86400U

/* Of DHCP, in seconds: a day. The address is the guest's for good, so renewal is a formality. */
#define LIMIT_DHCP_LEASE_S 86400

#endif
