/* SPDX-License-Identifier: MIT */
/*
 * The host's resolvers, as its own programs find them: the "nameserver" lines
 * of resolv.conf(5). A stub on loopback (systemd-resolved's 127.0.0.53) is as
 * good as any: it is this process that asks it, not the guest.
 */
#include "src/cli/resolv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* A file's lines, by read(2): a FILE has its buffer from the heap. */
struct lines {
	int fd;
	size_t at, have;
	char buf[1024];
};

static int next_char(struct lines *in)
{
	if (in->at == in->have) {
		ssize_t n = read(in->fd, in->buf, sizeof(in->buf));

		in->at = 0;
		in->have = n > 0 ? (size_t)n : 0;
	}
	return in->at < in->have ? (unsigned char)in->buf[in->at++] : EOF;
}

/*
 * The next line into @line, ended by a 0. Return: whether there is one; *@whole: whether
 * it fits. What does not is read over.
 */
static bool next_line(struct lines *in, char line[RESOLV_LINE_BYTES], bool *whole)
{
	size_t n = 0;
	int c;

	*whole = true;
	while ((c = next_char(in)) != EOF && c != '\n') {
		if (n + 1 < RESOLV_LINE_BYTES)
			line[n++] = (char)c;
		else
			*whole = false;
	}
	line[n] = 0;
	return c != EOF || n > 0;
}

/**
 * resolv_parse() - resolvers of an open resolv.conf
 * @fd:		read as far as needed; stays the caller's
 * @name:	for log lines
 * @out:	receives up to @max endpoints, in the file's order
 *
 * A line that names something else than an address (an IPv6 one with a zone,
 * say) is logged and passed over. Main thread; nothing is allocated.
 * Return: how many
 */
uint8_t resolv_parse(int fd, const char *name, struct endpoint *out, uint8_t max)
{
	struct lines in = { .fd = fd };
	char line[RESOLV_LINE_BYTES] = "";
	uint8_t n = 0;
	bool whole;

	while (n < max && next_line(&in, line, &whole)) {
		char *addr = nameserver_of(line);

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
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why;
	uint8_t n = 0;

	if (fd >= 0) {
		why = "names no usable resolver";
		n = resolv_parse(fd, path, out, max);
		close(fd);
	} else {
		why = strerror(errno);
	}
	if (n)
		return n;
	log_info("dns", "%s: %s; asking 127.0.0.1", path, why);
	out[0] = (struct endpoint){ ipaddr_from_v4(INADDR_LOOPBACK), DNS_PORT };
	return 1;
}
