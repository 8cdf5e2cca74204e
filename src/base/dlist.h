/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list, circular, with a head of its own. A node that
 * is in no list points to itself, so "is it queued?" needs no flag.
 */
#ifndef SLUICE_BASE_DLIST_H
#define SLUICE_BASE_DLIST_H

#include <stdbool.h>

struct dlist {
	struct dlist *prev, *next;
};

static inline void dlist_init(struct dlist *n)
{
	n->prev = n->next = n;
}

/* Of a head: nothing queued. Of a node: not queued. */
static inline bool dlist_empty(const struct dlist *n)
{
	return n->next == n;
}

static inline void dlist_insert_between(struct dlist *n, struct dlist *prev, struct dlist *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

static inline void dlist_push_tail(struct dlist *head, struct dlist *n)
{
	dlist_insert_between(n, head->prev, head);
}

static inline void dlist_push_head(struct dlist *head, struct dlist *n)
{
	dlist_insert_between(n, head, head->next);
}

/* Take @n out of whatever list it is in; harmless if it is in none. */
static inline void dlist_del(struct dlist *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	dlist_init(n);
}

/* The first node, taken out of the list, or NULL. */
static inline struct dlist *dlist_pop_head(struct dlist *head)
{
	struct dlist *n = head->next;

	if (n == head)
		return (struct dlist *)0;
	dlist_del(n);
	return n;
}

#define dlist_for_each(it, head) for ((it) = (head)->next; (it) != (head); (it) = (it)->next)

/* @it may be taken out of the list inside the loop. */
#define dlist_for_each_safe(it, tmp, head)                            \
	for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head); \
	     (it) = (tmp), (tmp) = (it)->next)

#endif
