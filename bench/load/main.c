/* SPDX-License-Identifier: MIT */
/*
 * load: command line.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static const char usage_text[] =
	"usage: load COMMAND [options]\n"
	"  serve  [--listen ADDR:PORT] [--port-file FILE]   far end of all the others\n"
	"  bulk   --to HOST:PORT --dir up|down --size N [--flows M]\n"
	"  timed  the same for at least --seconds S and in all --size N; with --blind no\n"
	"         byte is compared\n"
	"  hold   the same; the receiver stops reading in the middle: --pause-read SECONDS\n"
	"  rr     --to HOST:PORT --count N --size B [--idle K]  ping-pong on one connection,\n"
	"         while K others are open and say nothing\n"
	"  probe  --to HOST:PORT --rate N --seconds S --every E  N such exchanges a second,\n"
	"         and their times every E seconds\n"
	"  crr    --to HOST:PORT --count N [--concurrency M] connect, request, response\n"
	"  udp    --to HOST:PORT --count N --size B         ping-pong with datagrams\n"
	"  flood  --to HOST:PORT --dir up|down --size B --seconds S [--rate N]  N datagrams\n"
	"         a second (as many as go), and how many arrive; with --segments M the kernel\n"
	"         cuts M of them from one (UDP_SEGMENT)\n"
	"  idle   --to HOST:PORT --count K --seconds S      connections that say nothing\n"
	"  stats  --to HOST:PORT                            what the server has seen\n"
	"  half   --to HOST:PORT --size N                   half-closed, both ways\n"
	"  reset  --to HOST:PORT                            reset, both ways\n"
	"  get    URL [--out FILE] [--size N]               HTTP download, sha256\n"
	"  put    URL FILE | URL --size N                   HTTP upload, sha256\n"
	"  dns    [--listen ADDR:PORT] NAME=ADDR[,ADDR...]  name server of a fixed table\n"
	"  dig    NAME [--server ADDR:PORT] [--tcp]\n"
	"  sha256 FILE\n"
	"  selftest\n"
	"HOST and ADDR are IPv4, [IPv6], or (HOST) a name that has an IPv4 address\n"
	"options for all: --seed N, --timeout SECONDS (60), --cc NAME (TCP congestion\n"
	"control), --hist (all buckets of the times); sizes take k, m, g\n";

static __attribute__((noreturn)) void usage(void)
{
	fputs(usage_text, stderr);
	exit(2);
}

/* A count or a size: digits, then k, m or g for the powers of 1024. */
static uint64_t number(const char *text)
{
	static const char units[] = "kmg";
	const char *unit;
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (end == text)
		usage();
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		n <<= 10 * (unit - units + 1);
		end++;
	}
	if (*end)
		usage();
	return n;
}

static unsigned int small_number(const char *text)
{
	uint64_t n = number(text);

	if (n == 0 || n > 100000000)
		usage();
	return (unsigned int)n;
}

static void address(const char *text, union address *sa)
{
	if (!parse_address(text, sa))
		die("no address for %s", text);
}

static int cmd_sha256(const struct options *o)
{
	static char buf[65536];
	char hex[SHA256_HEX];
	struct sha256 s;
	size_t n;
	FILE *f;

	if (o->nargs != 1)
		usage();
	f = strcmp(o->args[0], "-") ? fopen(o->args[0], "re") : stdin;
	if (!f)
		die("cannot read %s", o->args[0]);
	sha256_init(&s);
	while ((n = fread(buf, 1, sizeof(buf), f)))
		sha256_add(&s, buf, n);
	sha256_hex(&s, hex);
	printf("{\"ok\":true,\"sha256\":\"%s\"}\n", hex);
	return 0;
}

/* The examples of FIPS 180-4's companion, in pieces of every small size, and the pattern. */
static int cmd_selftest(const struct options *o)
{
	static const struct {
		const char *text;
		unsigned int times;
		const char *hex;
	} t[] = {
		{ "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaa", 40000,
		  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
	};
	uint8_t copy[4096];
	uint64_t bad = 0;

	(void)o;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char hex[SHA256_HEX];
		struct sha256 s;

		sha256_init(&s);
		for (unsigned int k = 0; k < t[i].times; k++)
			for (size_t at = 0, n; at < strlen(t[i].text); at += n) {
				n = 1 + (at + k) % 7;
				if (n > strlen(t[i].text) - at)
					n = strlen(t[i].text) - at;
				sha256_add(&s, t[i].text + at, n);
			}
		sha256_hex(&s, hex);
		if (strcmp(hex, t[i].hex) != 0)
			die("sha256 example %zu is %s", i, hex);
	}
	memcpy(copy, pattern_at(7, PATTERN_PERIOD - 100), sizeof(copy));
	if (!pattern_check(7, PATTERN_PERIOD - 100, copy, sizeof(copy), &bad))
		die("the pattern differs from itself");
	copy[2000] ^= 1;
	if (pattern_check(7, PATTERN_PERIOD - 100, copy, sizeof(copy), &bad) ||
	    bad != PATTERN_PERIOD - 100 + 2000)
		die("a changed byte was not found");
	if (pattern_check(8, PATTERN_PERIOD - 100, copy, 1000, &bad))
		die("two seeds look alike");
	if (!hist_selftest())
		die("the histogram is wrong");
	printf("{\"ok\":true,\"test\":\"selftest\"}\n");
	return 0;
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "to", 1, NULL, 't' },	       { "listen", 1, NULL, 'l' },
		{ "server", 1, NULL, 's' },    { "size", 1, NULL, 'z' },
		{ "seed", 1, NULL, 'e' },      { "count", 1, NULL, 'c' },
		{ "flows", 1, NULL, 'm' },     { "concurrency", 1, NULL, 'm' },
		{ "timeout", 1, NULL, 'w' },   { "pause-read", 1, NULL, 'p' },
		{ "dir", 1, NULL, 'd' },       { "tcp", 0, NULL, 'T' },
		{ "idle", 1, NULL, 'i' },      { "out", 1, NULL, 'o' },
		{ "port-file", 1, NULL, 'f' }, { "seconds", 1, NULL, 'S' },
		{ "rate", 1, NULL, 'r' },      { "blind", 0, NULL, 'b' },
		{ "hist", 0, NULL, 'H' },      { "cc", 1, NULL, 'C' },
		{ "every", 1, NULL, 'E' },     { "segments", 1, NULL, 'g' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			address(optarg, &o->to);
			break;
		case 'l':
			address(optarg, &o->listen);
			break;
		case 's':
			address(optarg, &o->server);
			break;
		case 'z':
			o->size = number(optarg);
			break;
		case 'e':
			o->seed = number(optarg);
			break;
		case 'c':
			o->count = small_number(optarg);
			break;
		case 'i':
			o->idle = small_number(optarg);
			break;
		case 'm':
			o->concurrency = small_number(optarg);
			break;
		case 'w':
			o->timeout = strtod(optarg, NULL);
			break;
		case 'p':
			o->pause = strtod(optarg, NULL);
			break;
		case 'd':
			if (strcmp(optarg, "up") != 0 && strcmp(optarg, "down") != 0)
				usage();
			o->up = !strcmp(optarg, "up");
			break;
		case 'S':
			o->seconds = strtod(optarg, NULL);
			break;
		case 'r':
			o->rate = (double)number(optarg);
			break;
		case 'E':
			o->every = strtod(optarg, NULL);
			break;
		case 'g':
			o->segments = small_number(optarg);
			break;
		case 'b':
			o->blind = true;
			break;
		case 'H':
			o->hist = true;
			break;
		case 'C':
			set_congestion(optarg);
			break;
		case 'T':
			o->tcp = true;
			break;
		case 'o':
			o->out = optarg;
			break;
		case 'f':
			o->port_file = optarg;
			break;
		default:
			usage();
		}
	}
	o->args = argv + optind;
	o->nargs = argc - optind;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct options *o);
	} commands[] = {
		{ "serve", cmd_serve },	      { "bulk", cmd_bulk },
		{ "hold", cmd_bulk },	      { "rr", cmd_rr },
		{ "crr", cmd_crr },	      { "udp", cmd_udp },
		{ "get", cmd_get },	      { "put", cmd_put },
		{ "dns", cmd_dns },	      { "dig", cmd_dig },
		{ "half", cmd_half },	      { "reset", cmd_reset },
		{ "timed", cmd_timed },	      { "flood", cmd_flood },
		{ "idle", cmd_idle },	      { "stats", cmd_stats },
		{ "probe", cmd_probe },	      { "sha256", cmd_sha256 },
		{ "selftest", cmd_selftest },
	};
	struct options o = {
		.to = { .in4 = { .sin_family = AF_INET } },
		.listen = { .in4 = { .sin_family = AF_INET,
				     .sin_addr = { htonl(INADDR_LOOPBACK) } } },
		.server = { .in4 = { .sin_family = AF_INET, .sin_port = htons(53) } },
		.seed = 1,
		.count = 1,
		.concurrency = 1,
		.timeout = 60,
		.segments = 1,
	};

	if (argc < 2)
		usage();
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (!strcmp(argv[1], "hold"))
			o.pause = 5;
		parse(&o, argc - 1, argv + 1);
		pattern_init();
		return commands[i].run(&o);
	}
	usage();
}
