/* SPDX-License-Identifier: MIT */
/*
 * The program itself, under test as a child: it is started with options, asked by its
 * control socket, and ended. Its messages are in a file, its files in a folder of the test's.
 *
 *	cmocka_unit_test_teardown(test, program_after_each)
 *	cmocka_run_group_tests(tests, program_setup, program_teardown)
 */
#ifndef SLUICE_TESTS_VHOST_PROGRAM_H
#define SLUICE_TESTS_VHOST_PROGRAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <sys/types.h>

#define PATIENCE_NS (60 * NS_PER_S)

/* Status of a child that could not be given what its test is about. */
#define NOT_ALLOWED 126

/* The program; a folder of the test's, and in it the paths of two sockets. */
extern char program[512], folder[32];
extern char control[64], front_end[64];

/**
 * struct sluice - the program as a child
 * @status:	of its end, as waitpid() has it
 * @text:	its messages, as program_messages() or its end found them
 * @state:	its last answer
 */
struct sluice {
	pid_t pid;
	int status;
	char text[8192];
	char state[8192];
};

/* program.c */
int program_setup(void **state);
int program_after_each(void **state);
int program_teardown(void **state);
void program_start(struct sluice *s, const char *const *args, void (*before)(void));
void program_back_end(struct sluice *s, const char *bulk, void (*before)(void));
void program_stop(struct sluice *s);
bool program_wait(struct sluice *s);
bool program_ask(struct sluice *s, const char *question);
void program_messages(struct sluice *s);
void nap(void);

#endif
