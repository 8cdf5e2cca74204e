/* SPDX-License-Identifier: MIT */
/* `sluice run`. */
#ifndef SLUICE_CLI_RUN_H
#define SLUICE_CLI_RUN_H

/* run.c */
int run_main(int argc, char **argv);

#endif
