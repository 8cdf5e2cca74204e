/* SPDX-License-Identifier: MIT */
/* `sluice vhost-user`. */
#ifndef SLUICE_CLI_VHOST_H
#define SLUICE_CLI_VHOST_H

/* vhost.c */
int vhost_main(int argc, char **argv);

#endif
