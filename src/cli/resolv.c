/* SPDX-License-Identifier: MIT */
/*
 * The host's resolvers, as its own programs find them: the "nameserver" lines
 * of resolv.conf(5). A stub on loopback (systemd-resolved's 127.0.0.53) is as
 * good as any: it is this process that asks it, not the guest.
 */
#include "src/cli/resolv.h"

#include <errno.h>
#include <string.h>

#include "src/base/log.h"

#define DNS_PORT 53

static const char blanks[] = " \t\r\n";

/* The address of a "nameserver" line, cut out of @line; NULL of any other line. */
static char *nameserver_of(char *line)
{
	static const char keyword[] = "nameserver";
	char *addr = line + sizeof(keyword) - 1;

	if (strncmp(line, keyword, sizeof(keyword) - 1) != 0 || (*addr != ' ' && *addr != '\t'))
		return NULL;
	addr += strspn(addr, blanks);
	addr[strcspn(addr, blanks)] = 0;
	return addr;
}

/* The rest of a line that did not fit. */
static void skip_line(FILE *in)
{
	int c;

	do
		c = getc(in);
	while (c != '\n' && c != EOF);
}

/**
 * resolv_parse() - resolvers of an open resolv.conf
 * @in:		read as far as needed; stays the caller's
 * @name:	for log lines
 * @out:	receives up to @max endpoints, in the file's order
 *
 * A line that names something else than an address (an IPv6 one with a zone,
 * say) is logged and passed over. Main thread. Return: how many
 */
uint8_t resolv_parse(FILE *in, const char *name, struct endpoint *out, uint8_t max)
{
	char line[RESOLV_LINE_BYTES];
	uint8_t n = 0;

	while (n < max && fgets(line, sizeof(line), in)) {
		bool whole = strchr(line, '\n') || feof(in);
		char *addr = nameserver_of(line);

		if (!whole)
			skip_line(in);
		if (!addr)
			continue;
		if (!whole || ipaddr_parse(addr, &out[n].addr)) {
			log_warn("dns", "%s: cannot use nameserver '%s'", name, addr);
			continue;
		}
		out[n++].port = DNS_PORT;
	}
	return n;
}

/**
 * resolv_read() - resolvers of the resolv.conf at @path
 * @out:	receives 1..@max endpoints; @max is at least 1
 *
 * Without any (or without the file) it is the one on this host, 127.0.0.1, as
 * resolv.conf(5) has it; a log line says so. At start, main thread.
 * Return: how many
 */
uint8_t resolv_read(const char *path, struct endpoint *out, uint8_t max)
{
	FILE *in = fopen(path, "re");
	const char *why;
	uint8_t n = 0;

	if (in) {
		why = "names no usable resolver";
		n = resolv_parse(in, path, out, max);
		fclose(in);
	} else {
		why = strerror(errno);
	}
	if (n)
		return n;
	log_info("dns", "%s: %s; asking 127.0.0.1", path, why);
	out[0] = (struct endpoint){ ipaddr_from_v4(INADDR_LOOPBACK), DNS_PORT };
	return 1;
}
