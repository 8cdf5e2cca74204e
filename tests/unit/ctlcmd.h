/* SPDX-License-Identifier: MIT */
/* Commands of the control socket, asked by hand: one rig, which each test has anew. */
#ifndef SLUICE_TESTS_UNIT_CTLCMD_H
#define SLUICE_TESTS_UNIT_CTLCMD_H

#include "tests/unit/ctlrig.h"

static struct ctlrig rig;

static inline int begin(void **state)
{
	(void)state;
	ctlrig_begin(&rig, NULL, NULL);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	ctlrig_end(&rig);
	return 0;
}

/* What @line is answered, a new reference. */
static inline json_t *result_of(const char *line)
{
	return ctlrig_result(&rig, line);
}

static inline void ok(const char *line)
{
	json_decref(result_of(line));
}

static inline void refused(const char *line, const char *code, const char *text)
{
	ctlrig_refused(&rig, line, code, text);
}

#endif
