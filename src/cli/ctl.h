/* SPDX-License-Identifier: MIT */
/* `sluice ctl`: asks a running sluice. */
#ifndef SLUICE_CLI_CTL_H
#define SLUICE_CLI_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CTL_ENV "SLUICE_CONTROL"

/* Exit statuses of `sluice ctl`; 2 is EXIT_USAGE. */
#define EXIT_REFUSED	 1 /* the request was refused, or failed */
#define EXIT_UNREACHABLE 3 /* nobody answers at the socket */

struct ctl_link;

/* ctl_link.c */
int ctl_link_open(struct ctl_link **out, const char *path);
void ctl_link_close(struct ctl_link *l);
json_t *ctl_link_ask(struct ctl_link *l, const char *cmd, json_t *args, char *why, size_t why_len);
json_t *ctl_link_send(struct ctl_link *l, const char *cmd, json_t *args, int fd, char *why,
		      size_t why_len);

/* ctl_pcap.c */
bool ctl_is_pcap(const char *cmd);
bool ctl_takes_stdout(const char *cmd, const json_t *args);
json_t *ctl_pcap(struct ctl_link *l, const char *cmd, json_t *args, char *why, size_t why_len);

/* ctl.c */
int ctl_main(int argc, char **argv);

#endif
