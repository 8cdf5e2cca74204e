/* SPDX-License-Identifier: MIT */
/*
 * load: the traffic generator and checker. One process, one epoll loop, one JSON
 * object a line; the same program at both ends, in the guest and on the host.
 *
 * A client opens a TCP connection to `load serve` and says in one line what it
 * wants:
 *
 *	DOWN size seed		the server sends that many pattern bytes and closes
 *	UP size seed pause	the client sends them; in the middle the server does not
 *				read for `pause` ms; it answers OK or BAD offset
 *	PULL seed		the server sends until the client sends a byte
 *	PUSH seed compare	the client sends units of a byte `m` and PUSH_UNIT pattern
 *				bytes, at last a byte `e`; the server answers OK bytes or
 *				BAD offset. (No half-closing here: not every peer that is
 *				measured survives it.)
 *	ECHO			what arrives goes back, until end of file
 *	CRR			one byte comes back and the server closes
 *	HALF size seed		the server sends and ends its direction; then the client
 *				sends the same, which the server checks and counts
 *	RESET size		the server sends that many bytes and resets
 *	COUNT			good HALFs and resets that the server has seen
 *	STATS			what it has accepted, answered and moved, as JSON
 *	FLOOD ...		datagrams in one direction (see flood.c)
 *	GET /size, PUT /...	HTTP/1.1, one request a connection
 *
 * and UDP datagrams to the same port come back as they are.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pattern.h"

/* Pattern bytes of a unit of PUSH, and with the byte before them. */
#define PUSH_UNIT   1048576U
#define PUSH_FRAMED (PUSH_UNIT + 1)

/* hist.c */
#define HIST_BITS    7
#define HIST_STEPS   (1U << HIST_BITS)
#define HIST_TOP     40 /* longer than 2^41 ns, half an hour, goes to the last bucket */
#define HIST_BUCKETS ((HIST_TOP - HIST_BITS + 2) * HIST_STEPS)

struct hist {
	uint64_t count, sum, max;
	uint64_t n[HIST_BUCKETS];
};

void hist_add(struct hist *h, int64_t ns);
uint64_t hist_quantile(const struct hist *h, double q);
void hist_print(const struct hist *h, bool whole);
bool hist_selftest(void);

/* sha256.c */
#define SHA256_HEX 65

struct sha256 {
	uint32_t h[8];
	uint64_t len;
	uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t len);
void sha256_hex(struct sha256 *s, char out[SHA256_HEX]);

/* loop.c: epoll with one callback for each descriptor and one deadline for all */
struct watch {
	int fd;
	uint32_t events;
	void (*ready)(struct watch *w, uint32_t events);
	int64_t wake_at; /* ns; while non-zero the descriptor is not watched */
	uint32_t wake_events;
	struct watch *next_sleeper;
};

int64_t now_ns(void);
void loop_add(struct watch *w, uint32_t events);
void loop_set(struct watch *w, uint32_t events);
void loop_pause(struct watch *w, int64_t ns);
void loop_remove(struct watch *w);
void loop_close(struct watch *w);
void loop_stop(void);
bool loop_run(double seconds);

/* net.c */

/* An address of either family; the port lies at the same place in both. */
union address {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
bool parse_address(const char *text, union address *sa);
uint16_t listen_on(const union address *sa, int *tcp, int *udp);
int connect_to(const union address *sa, int type);
bool connected(int fd, char *why, size_t why_len);
bool passing(ssize_t n);
bool wait_for(int fd, short events, int ms);
bool move_all(int fd, void *p, size_t len, bool out, int ms);
int ask_server(const union address *to, const char *line, double timeout);
void set_congestion(const char *name);
const char *congestion(void);
double cpu_seconds(void);

/* flow.c: a client's connection that asks in a line and moves bytes of a pattern */
struct flow {
	struct watch w;
	bool connected;
	char line[64]; /* the request; then the answer */
	size_t line_len, line_off;
	uint64_t seed, off;
};

void flow_start(struct flow *f, const union address *to, int len,
		void (*ready)(struct watch *w, uint32_t events));
bool flow_asked(struct flow *f);
bool flow_moved(ssize_t n, const char *call);
bool flow_compare(const struct flow *f, const void *p, size_t n);
void flow_expect(struct flow *f);
void flow_answered(struct flow *f, const char *want);
void flow_done(struct flow *f);
void flow_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
double flow_run(const struct flow *first, double timeout, int64_t start);

/* dns.c */
bool dns_lookup(const union address *server, const char *name, bool tcp, double seconds,
		struct in_addr *addr, int *rcode);
bool dns_default_server(union address *server);

/* flood.c: what the server does of it */
bool flood_datagram(const void *p, size_t len, const union address *from);
bool flood_begin(int tcp, int udp, const char *line);

/* main.c */
struct options {
	union address to;	  /* --to HOST:PORT */
	union address listen;	  /* --listen ADDR:PORT */
	union address server;	  /* --server ADDR:PORT, a resolver */
	uint64_t size;		  /* --size bytes, k, m, g */
	uint64_t seed;		  /* --seed */
	unsigned int count;	  /* --count */
	unsigned int concurrency; /* --concurrency, also --flows */
	unsigned int idle;	  /* --idle */
	unsigned int segments;	  /* --segments */
	double pause;		  /* --pause-read seconds */
	double timeout;		  /* --timeout seconds */
	double seconds;		  /* --seconds */
	double rate;		  /* --rate datagrams or exchanges a second */
	double every;		  /* --every seconds */
	bool up;		  /* --dir up */
	bool tcp;		  /* --tcp */
	bool blind;		  /* --blind: compare nothing */
	bool hist;		  /* --hist: print the whole histogram */
	const char *out;	  /* --out FILE */
	const char *port_file;	  /* --port-file FILE */
	char **args;		  /* what is left */
	int nargs;
};

/* The commands: each prints its line of JSON and returns the exit status. */
int cmd_serve(const struct options *o); /* serve.c */
int cmd_bulk(const struct options *o);	/* bulk.c */
int cmd_rr(const struct options *o);	/* rtt.c */
int cmd_crr(const struct options *o);
int cmd_udp(const struct options *o);
int cmd_probe(const struct options *o);
int cmd_idle(const struct options *o);
int cmd_stats(const struct options *o); /* net.c */
int cmd_timed(const struct options *o); /* timed.c */
int cmd_flood(const struct options *o); /* flood.c */
int cmd_half(const struct options *o);	/* ends.c */
int cmd_reset(const struct options *o);
int cmd_get(const struct options *o); /* http.c */
int cmd_put(const struct options *o);
int cmd_dns(const struct options *o); /* dns.c */
int cmd_dig(const struct options *o);

#endif
