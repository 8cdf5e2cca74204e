/* SPDX-License-Identifier: MIT */
/*
 * Static probes (USDT) for bpftrace, perf and SystemTap: a no-op instruction and
 * a note in the program file, so they cost nothing until somebody attaches. Where
 * <sys/sdt.h> is missing, or with -DSLUICE_NO_PROBES, they are left out.
 *
 *	sluice:drop(reason)			enum drop_reason
 *	sluice:flow_open(index, gen, inbound)	a TCP flow's record was made
 *	sluice:flow_connected(index, gen, ns)	the host's connect took so long
 *	sluice:flow_close(index, gen, tx, rx, ns)	payload bytes each way, its life
 *	sluice:batch_sent(index, gen, bytes, offered)	one send of collected payload
 *
 * docs/observability.md has them as well; tests/vhost/58-trace.sh keeps it, this list and
 * the scripts of tools/ in step.
 */
#ifndef SLUICE_BASE_PROBE_H
#define SLUICE_BASE_PROBE_H

#if !defined(SLUICE_NO_PROBES) && defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define SLUICE_PROBES 1
#endif
#endif

#ifdef SLUICE_PROBES
#define probe_drop(reason)		     DTRACE_PROBE1(sluice, drop, reason)
#define probe_flow_open(index, gen, inbound) DTRACE_PROBE3(sluice, flow_open, index, gen, inbound)
#define probe_flow_connected(index, gen, ns) DTRACE_PROBE3(sluice, flow_connected, index, gen, ns)
#define probe_flow_close(index, gen, tx, rx, ns) \
	DTRACE_PROBE5(sluice, flow_close, index, gen, tx, rx, ns)
#define probe_batch_sent(index, gen, bytes, offered) \
	DTRACE_PROBE4(sluice, batch_sent, index, gen, bytes, offered)
#else
#define probe_drop(reason)		     ((void)(reason))
#define probe_flow_open(index, gen, inbound) ((void)(index), (void)(gen), (void)(inbound))
#define probe_flow_connected(index, gen, ns) ((void)(index), (void)(gen), (void)(ns))
#define probe_flow_close(index, gen, tx, rx, ns) \
	((void)(index), (void)(gen), (void)(tx), (void)(rx), (void)(ns))
#define probe_batch_sent(index, gen, bytes, offered) \
	((void)(index), (void)(gen), (void)(bytes), (void)(offered))
#endif

#endif
