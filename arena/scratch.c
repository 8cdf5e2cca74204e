/* SPDX-License-Identifier: MIT */
/*
 * Scratch: arrays that live for one call, taken once at start.
 *
 * Theory of operation: a function that needs an array of events, iovecs or keys
 * borrows it and returns it before it ends. There is one of each, so a second
 * borrow means that two users would write over each other: it aborts.
 */
#include <errno.h>
#include <stdlib.h>

#include "arena/arena.h"

/**
 * scratch_init() - take the memory
 * @name:	for messages; a literal
 * @count:	elements
 * @elem_size:	bytes of each
 *
 * Return: 0 or -ENOMEM. Release with scratch_fini().
 */
int scratch_init(struct scratch *s, const char *name, uint32_t count, uint32_t elem_size)
{
	void *mem;

	*s = (struct scratch){ .name = name, .count = count, .elem_size = elem_size };
	if (posix_memalign(&mem, CACHE_LINE, (size_t)count * elem_size) != 0)
		return -ENOMEM;
	s->mem = mem;
	return 0;
}

/**
 * scratch_fini() - release the memory; harmless on a zeroed struct
 */
void scratch_fini(struct scratch *s)
{
	BUG_ON(s->out);
	free(s->mem);
	s->mem = NULL;
}

/**
 * scratch_borrow() - the array, content undefined
 *
 * Owning thread; must be returned before it is borrowed again.
 */
void *scratch_borrow(struct scratch *s)
{
	if (unlikely(s->out))
		bug(__FILE__, __LINE__, s->name);
	s->out = true;
	s->borrows++;
	return s->mem;
}

/**
 * scratch_return() - end of the loan
 */
void scratch_return(struct scratch *s)
{
	BUG_ON(!s->out);
	s->out = false;
}
