/* SPDX-License-Identifier: MIT */
/*
 * Flow tables.
 *
 * Theory of operation: records live in one anonymous mapping, which the kernel
 * fills with pages as records are first used; arena/idle.c says which is used next
 * and gives pages without a live record back. Buckets are chains of index + 1, so
 * that zeroed memory is an empty table. The hash is SipHash under a key of this
 * process: a guest cannot choose its ports to build one long chain (H47).
 *
 * A record that is freed keeps its generation plus one, in 24 bits and never 0;
 * a handle or an event token made before finds that it no longer matches (H53). A
 * record whose page was given back has forgotten its own, and so begins with one
 * that no record has had before.
 */
#include "tcpstack/flow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/base.h"

static_assert(sizeof(struct flow_key) == 36, "hashed and compared as bytes: no padding");

static struct flow *record(const struct flow_table *t, uint32_t index)
{
	return (struct flow *)(void *)(t->records + (size_t)index * t->record_size);
}

static uint32_t key_hash(const struct flow_table *t, const struct flow_key *key)
{
	return (uint32_t)siphash(&t->key, key, sizeof(*key));
}

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static size_t records_len(const struct flow_table *t)
{
	return (size_t)t->cap * t->record_size;
}

static size_t buckets_len(const struct flow_table *t)
{
	return ((size_t)t->bucket_mask + 1) * sizeof(*t->buckets);
}

/**
 * flow_table_init() - an empty table
 * @cap:		most flows at one time, at least 1
 * @record_size:	bytes of the protocol's record, whose first member is
 *			a struct flow; rounded up to a cache line
 * @key:		of the hash; copied
 *
 * Return: 0, -EINVAL, or -ENOMEM
 */
int flow_table_init(struct flow_table *t, uint32_t cap, uint32_t record_size,
		    const struct siphash_key *key)
{
	uint32_t buckets = 1;

	*t = (struct flow_table){ .cap = cap, .limit = cap, .key = *key, .top_gen = 1 };
	dlist_init(&t->by_age);
	if (cap == 0 || cap > 1U << 30 || record_size < sizeof(struct flow))
		return -EINVAL;
	t->record_size = ALIGN_UP(record_size, (uint32_t)CACHE_LINE);
	while (buckets < cap)
		buckets <<= 1;
	t->bucket_mask = buckets - 1;

	t->records = map(records_len(t));
	if (!t->records)
		return -ENOMEM;
	t->buckets = map(buckets_len(t));
	if (!t->buckets)
		goto no_buckets;
	t->idle_room = map(idle_room(t->record_size, cap));
	if (!t->idle_room)
		goto no_room;
	idle_init(&t->idle, t->records, t->record_size, cap, t->idle_room);
	return 0;

no_room:
	munmap(t->buckets, buckets_len(t));
	t->buckets = NULL;
no_buckets:
	munmap(t->records, records_len(t));
	t->records = NULL;
	return -ENOMEM;
}

/**
 * flow_table_fini() - give the memory back; the owner has closed its flows
 *
 * Harmless on a table that flow_table_init() failed to make, or all zero.
 */
void flow_table_fini(struct flow_table *t)
{
	if (!t->records)
		return;
	munmap(t->idle_room, idle_room(t->record_size, t->cap));
	munmap(t->buckets, buckets_len(t));
	munmap(t->records, records_len(t));
	t->records = NULL;
	t->buckets = NULL;
	t->idle_room = NULL;
}

/**
 * flow_alloc() - a new flow under @key, which is in no other
 * @now_ns:	it counts as used now
 *
 * Return: the record, zeroed but for its struct flow (fd -1), or NULL when the
 * table is full. The caller owns what the record refers to.
 */
struct flow *flow_alloc(struct flow_table *t, const struct flow_key *key, uint64_t now_ns)
{
	uint32_t index, gen, *bucket;
	struct flow *f;

	DEBUG_BUG_ON(flow_find(t, key) != NULL);
	if (t->used >= t->limit) {
		t->refused++;
		return NULL;
	}
	index = idle_take(&t->idle);
	f = record(t, index);
	gen = f->id.gen ? f->id.gen : t->top_gen;

	memset(f, 0, t->record_size);
	f->id = (struct flow_id){ index, gen };
	f->hash = key_hash(t, key);
	f->fd = -1;
	f->live = true;
	f->key = *key;
	f->opened_ns = now_ns;
	f->used_ns = now_ns;

	bucket = &t->buckets[f->hash & t->bucket_mask];
	f->hash_next = *bucket;
	*bucket = index + 1;
	dlist_push_tail(&t->by_age, &f->age);
	t->used++;
	t->allocs++;
	t->peak = MAX(t->peak, t->used);
	return f;
}

/**
 * flow_free() - the flow is gone and its handles find nothing
 *
 * The caller has closed the socket, cancelled timers, and taken the record out
 * of its own lists.
 */
void flow_free(struct flow_table *t, struct flow *f)
{
	uint32_t *link = &t->buckets[f->hash & t->bucket_mask];

	BUG_ON(!f->live);
	while (*link != f->id.index + 1) {
		BUG_ON(*link == 0);
		link = &record(t, *link - 1)->hash_next;
	}
	*link = f->hash_next;
	dlist_del(&f->age);

	f->live = false;
	f->id.gen = (f->id.gen + 1) & TOKEN_GEN_MASK;
	if (f->id.gen == 0)
		f->id.gen = 1;
	t->top_gen = MAX(t->top_gen, f->id.gen);
	idle_give(&t->idle, f->id.index);
	t->used--;
}

/**
 * flow_find() - the flow under @key, or NULL
 */
struct flow *flow_find(struct flow_table *t, const struct flow_key *key)
{
	uint32_t hash = key_hash(t, key);

	for (uint32_t i = t->buckets[hash & t->bucket_mask]; i != 0;) {
		struct flow *f = record(t, i - 1);

		if (f->hash == hash && memcmp(&f->key, key, sizeof(*key)) == 0)
			return f;
		i = f->hash_next;
	}
	return NULL;
}

/**
 * flow_get() - the flow that @id names, or NULL when it is gone or never was
 */
struct flow *flow_get(struct flow_table *t, struct flow_id id)
{
	struct flow *f;

	if (id.index >= flow_table_touched(t))
		return NULL;
	f = record(t, id.index);
	return f->live && f->id.gen == id.gen ? f : NULL;
}

/**
 * flow_at() - the record at @index, below flow_table_touched(); it may not be live
 *
 * For a walk in pieces: records do not move, so an index stays good between them.
 */
struct flow *flow_at(const struct flow_table *t, uint32_t index)
{
	BUG_ON(index >= flow_table_touched(t));
	return record(t, index);
}

/**
 * flow_oldest() - the flow not used for the longest time, or NULL
 */
struct flow *flow_oldest(struct flow_table *t)
{
	return flow_next(t, NULL);
}

/**
 * flow_next() - walk the flows, least recently used first
 * @after:	where the walk stands, NULL to begin; not freed or touched since
 *
 * For dumps and shutdown; the data path never walks. Return: NULL at the end.
 */
struct flow *flow_next(const struct flow_table *t, const struct flow *after)
{
	struct dlist *n = after ? after->age.next : t->by_age.next;

	return n == &t->by_age ? NULL : container_of(n, struct flow, age);
}

/**
 * flow_table_trim() - return the memory of records that were idle since the previous call
 *
 * At quiet moments, say once a second. Return: system calls made
 */
uint32_t flow_table_trim(struct flow_table *t)
{
	uint32_t calls = idle_trim(&t->idle, NULL, NULL);

	/* All were idle: no chain is in use, nor is what idle_trim() has noted. */
	if (calls && flow_table_touched(t) == 0) {
		(void)madvise(t->buckets, buckets_len(t), MADV_DONTNEED);
		(void)madvise(t->idle_room, idle_room(t->record_size, t->cap), MADV_DONTNEED);
		calls += 2;
	}
	return calls;
}

/**
 * flow_touch() - @f was used at @now_ns: it is now the youngest
 */
void flow_touch(struct flow_table *t, struct flow *f, uint64_t now_ns)
{
	f->used_ns = now_ns;
	dlist_del(&f->age);
	dlist_push_tail(&t->by_age, &f->age);
}

static const char *const proto_names[] = {
	[FLOW_TCP] = "tcp",
	[FLOW_UDP] = "udp",
	[FLOW_PING] = "icmp",
};

static_assert(ARRAY_SIZE(proto_names) == FLOW_PROTOS, "a name for each protocol");

static const char *const end_names[] = {
#define X(id, name, text) name,
	FLOW_ENDS(X)
#undef X
};

static_assert(ARRAY_SIZE(end_names) == END_COUNT, "a name for each end");

/**
 * flow_end_name() - the stable name of @end; any thread
 */
const char *flow_end_name(enum flow_end end)
{
	return end < END_COUNT ? end_names[end] : "unknown";
}

/**
 * flow_proto_name() - the name of @proto in lower case; any thread
 */
const char *flow_proto_name(enum flow_proto proto)
{
	return proto < FLOW_PROTOS ? proto_names[proto] : "unknown";
}

/**
 * flow_name() - what people and programs call a flow: "tcp-3.1"; any thread
 *
 * Index and generation: unlike the addresses, no later flow has the same.
 * Return: @buf
 */
const char *flow_name(enum flow_proto proto, struct flow_id id, char buf[FLOW_NAME_STRLEN])
{
	snprintf(buf, FLOW_NAME_STRLEN, "%s-%u.%u", flow_proto_name(proto), id.index,
		 id.gen & TOKEN_GEN_MASK);
	return buf;
}

/**
 * flow_name_parse() - the flow that flow_name() calls @text; any thread
 *
 * Return: 0, or -EINVAL when no flow is called so
 */
int flow_name_parse(const char *text, enum flow_proto *proto, struct flow_id *id)
{
	char again[FLOW_NAME_STRLEN];

	for (int p = 0; p < FLOW_PROTOS; p++) {
		size_t len = strlen(proto_names[p]);

		if (strncmp(text, proto_names[p], len) != 0 ||
		    sscanf(text + len, "-%10u.%8u", &id->index, &id->gen) != 2)
			continue;
		*proto = (enum flow_proto)p;
		/* Neither signs nor zeros nor anything behind it. */
		if (strcmp(flow_name(*proto, *id, again), text) == 0)
			return 0;
	}
	return -EINVAL;
}
