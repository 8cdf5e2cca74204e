/* SPDX-License-Identifier: MIT */
/* One connection between the guest and a server on the host. */
#include "tests/stack/pair_rig.h"

#include <sys/socket.h>
#include <unistd.h>

/* Cycles without a byte moved after which none will. */
#define STILL 20

/**
 * pair_start() - a stack and a server; @cfg NULL = the defaults
 *
 * Within offhost the server is on the second host.
 */
void pair_start(struct pair *p, const struct rig_config *cfg)
{
	bool far = rig_is_near();
	uint16_t port;

	*p = (struct pair){ .r = rig_new(cfg), .fd = -1 };
	p->lfd = far ? rig_listen_far(&port) : rig_listen(&port);
	rig_conn_init(&p->c, p->r, 40000, port);
	if (far)
		p->c.dst = RIG_FAR_ADDR;
}

/**
 * pair_connect() - the handshake
 */
void pair_connect(struct pair *p)
{
	p->fd = rig_conn_open(&p->c, p->lfd);
}

/**
 * pair_open() - a stack, a server, and a connection as rig_conn_init() has it
 */
void pair_open(struct pair *p, const struct rig_config *cfg)
{
	pair_start(p, cfg);
	pair_connect(p);
}

void pair_end(struct pair *p)
{
	if (p->fd >= 0)
		close(p->fd);
	close(p->lfd);
	rig_free(p->r);
}

/**
 * pair_write() - the server writes what its socket takes now, up to byte @total
 */
void pair_write(struct pair *p, uint64_t total)
{
	rig_pump_write(p->fd, p->c.rx_seed, &p->sent, total);
}

/**
 * pair_read() - the server reads what is there
 *
 * Return: bytes that it has read since the connection opened
 */
uint64_t pair_read(struct pair *p)
{
	rig_pump_read(p->fd, p->c.tx_seed, &p->got);
	return p->got;
}

/**
 * pair_upload() - the guest sends what it may, the server reads; for RIG_UNTIL()
 * @size:	of each segment
 *
 * Return: byte @total of the stream has arrived
 */
bool pair_upload(struct pair *p, uint64_t total, uint32_t size)
{
	rig_conn_poll(&p->c);
	rig_conn_upload(&p->c, total, size);
	return pair_read(p) == total;
}

/**
 * pair_download() - the server writes what it can, the guest takes what has come; for
 * RIG_UNTIL()
 *
 * Return: byte @total of the stream has arrived
 */
bool pair_download(struct pair *p, uint64_t total)
{
	pair_write(p, total);
	rig_conn_poll(&p->c);
	return p->c.rx_bytes == total;
}

/**
 * pair_guest_closes() - the guest says FIN, and gets it ACKed with all before it
 */
void pair_guest_closes(struct pair *p)
{
	rig_conn_fin(&p->c);
	RIG_CONN_UNTIL(&p->c, rig_conn_acked(&p->c));
}

/**
 * pair_host_closes() - the server says FIN, and the guest has it with all before it
 */
void pair_host_closes(struct pair *p)
{
	shutdown(p->fd, SHUT_WR);
	RIG_CONN_UNTIL(&p->c, p->c.fin);
}

/**
 * pair_upload_fill() - the guest sends as far as it may, and nobody reads, until neither
 * window nor queue moves any more
 */
void pair_upload_fill(struct pair *p, uint64_t total, uint32_t size)
{
	uint32_t still = 0;

	while (still < STILL) {
		uint64_t before = p->c.tx_bytes;

		rig_conn_upload(&p->c, total, size);
		rig_conn_cycle(&p->c);
		still = p->c.tx_bytes == before ? still + 1 : 0;
	}
}

/**
 * pair_download_fill() - the server writes, and the guest does with it what it does, until
 * nothing moves any more
 */
void pair_download_fill(struct pair *p, uint64_t total)
{
	uint32_t still = 0;

	while (still < STILL) {
		uint64_t before = p->c.rx_bytes + p->sent;

		pair_write(p, total);
		rig_conn_cycle(&p->c);
		still = p->c.rx_bytes + p->sent == before ? still + 1 : 0;
	}
}
