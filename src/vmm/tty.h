/* SPDX-License-Identifier: MIT */
/* The user's terminal in raw mode, and back again however the program ends. */
#ifndef SLUICE_VMM_TTY_H
#define SLUICE_VMM_TTY_H

/* tty.c */
int tty_raw_enter(int fd);
void tty_restore(void);

#endif
