/* SPDX-License-Identifier: MIT */
/* A guest that uploads to a server on the host. */
#include "tests/stack/upload_rig.h"

#include <unistd.h>

/**
 * up_start() - a stack and a server; @cfg NULL = the defaults
 */
void up_start(struct up *u, const struct rig_config *cfg)
{
	struct rig_config def;
	uint16_t port;

	rig_config_defaults(&def);
	u->r = rig_new(cfg ? cfg : &def);
	u->lfd = rig_listen(&port);
	u->got = 0;
	rig_conn_init(&u->c, u->r, 40000, port);
}

/**
 * up_open() - the handshake
 */
void up_open(struct up *u)
{
	u->fd = rig_conn_open(&u->c, u->lfd);
}

void up_end(struct up *u)
{
	close(u->fd);
	close(u->lfd);
	rig_free(u->r);
}

/**
 * up_round() - the guest sends what it may, the server reads; for RIG_UNTIL()
 *
 * Return: byte @total of the stream has arrived
 */
bool up_round(struct up *u, uint64_t total, uint32_t size)
{
	rig_conn_poll(&u->c);
	rig_conn_upload(&u->c, total, size);
	rig_pump_read(u->fd, u->c.tx_seed, &u->got);
	return u->got == total;
}

/**
 * up_fill() - the guest sends as far as it may, until neither window nor queue moves any more
 */
void up_fill(struct up *u, uint64_t total, uint32_t size)
{
	uint32_t still = 0;

	while (still < 20) {
		uint64_t before = u->c.tx_bytes;

		rig_conn_upload(&u->c, total, size);
		rig_cycle(u->r);
		rig_conn_poll(&u->c);
		still = u->c.tx_bytes == before ? still + 1 : 0;
	}
}
