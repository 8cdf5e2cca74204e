/* SPDX-License-Identifier: MIT */
/*
 * Memory that a vhost-user front-end shares with us.
 *
 * Theory of operation: each region is a mapping of a descriptor that came with
 * the message; the descriptor is closed at once. A region must lie within its
 * file when it is mapped. A front-end can still cut the file short later, and
 * then a load from the region raises SIGBUS, on the worker as a rule. To keep
 * that its own trouble, a handler looks the address up in a small table of our
 * mappings, puts zeroed memory in place of the whole mapping, marks the memory
 * as cut short and shuts the session's socket down, so that its owner wakes up
 * and ends it. A SIGBUS anywhere else is a bug of ours and kills the program as
 * it should.
 */
#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "src/base/log.h"
#include "virtio/vhost_priv.h"

#define PAGE_SIZE 4096UL

/* Mappings that may fault: read by the signal handler on any thread. */
static struct {
	_Atomic uintptr_t start; /* 0 = free; written last */
	_Atomic size_t len;
	struct vu_memory *_Atomic owner;
} guarded[GMEM_REGIONS_MAX];

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int saved = errno;

	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		uintptr_t start = atomic_load(&guarded[i].start);
		size_t len = atomic_load(&guarded[i].len);
		struct vu_memory *owner = atomic_load(&guarded[i].owner);

		if (start == 0 || at - start >= len)
			continue;
		/* Whole: a piece of a mapping of huge pages could not be replaced. */
		if (mmap((void *)start, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			 0) == MAP_FAILED)
			break;
		atomic_store(&owner->cut_short, true);
		shutdown(owner->hangup_fd, SHUT_RD);
		errno = saved;
		return;
	}
	signal(sig, SIG_DFL); /* not ours: the fault repeats and ends the program */
}

static int guard(struct vu_memory *m, void *map, size_t len)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	/* Each time: another part of the program may have set its own meanwhile. */
	if (sigaction(SIGBUS, &sa, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		if (atomic_load(&guarded[i].start) == 0) {
			atomic_store(&guarded[i].len, len);
			atomic_store(&guarded[i].owner, m);
			atomic_store(&guarded[i].start, (uintptr_t)map);
			return 0;
		}
	}
	return -ENOSPC;
}

static void unguard(const void *map)
{
	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		if (atomic_load(&guarded[i].start) == (uintptr_t)map)
			atomic_store(&guarded[i].start, 0);
	}
}

/* Does the region lie inside its file? Devices and the like have no size to check. */
static int check_file(const struct vu_region *r, int fd)
{
	struct stat st;

	if (r->size == 0 || r->offset > UINT64_MAX - r->size ||
	    r->offset + r->size > (uint64_t)INT64_MAX)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && !range_ok(r->offset, r->size, (uint64_t)st.st_size))
		return -EINVAL;
	return 0;
}

/*
 * From the file's start, since the offset need not be a multiple of a huge page,
 * and in whole huge pages, since nothing else can be unmapped.
 */
static size_t map_length(const struct vu_region *r, int fd)
{
	size_t page = PAGE_SIZE;
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC &&
	    is_power_of_two((uint64_t)fs.f_bsize))
		page = (size_t)fs.f_bsize;
	return ALIGN_UP((size_t)(r->offset + r->size), page);
}

static int map_region(struct vu_memory *m, const struct vu_region *region, int fd)
{
	struct gmem_region r = { .gpa = region->gpa, .size = region->size, .uva = region->uva };
	size_t len = map_length(region, fd);
	uint32_t i = m->gmem.nregions;
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	int ret;

	if (map == MAP_FAILED)
		return -errno;
	(void)madvise(map, len, MADV_DONTDUMP);
	r.hva = (uint8_t *)map + region->offset;
	ret = gmem_add(&m->gmem, &r);
	if (ret == 0) {
		ret = guard(m, map, len);
		if (ret < 0)
			m->gmem.nregions--;
	}
	if (ret < 0) {
		munmap(map, len);
		return ret;
	}
	m->map[i] = map;
	m->map_len[i] = len;
	return 0;
}

/**
 * vu_memory_add() - map one region
 * @fd:		closed in every case
 *
 * No queue may be running. Return: 0; -EBADF without a descriptor; -EINVAL,
 * -EEXIST or -ENOSPC as gmem_add(); what mmap(2) said
 */
int vu_memory_add(struct vu_memory *m, const struct vu_region *region, int fd)
{
	int ret;

	if (fd < 0)
		return -EBADF;
	ret = check_file(region, fd);
	if (ret == 0)
		ret = map_region(m, region, fd);
	close(fd);
	return ret;
}

static void unmap_region(struct vu_memory *m, uint32_t i)
{
	unguard(m->map[i]);
	munmap(m->map[i], m->map_len[i]);
}

/**
 * vu_memory_remove() - unmap the region that has these addresses and this size
 *
 * No queue may be running. Return: 0 or -ENOENT
 */
int vu_memory_remove(struct vu_memory *m, const struct vu_region *region)
{
	struct gmem *g = &m->gmem;

	for (uint32_t i = 0; i < g->nregions; i++) {
		const struct gmem_region *r = &g->regions[i];
		uint32_t last = g->nregions - 1;

		if (r->gpa != region->gpa || r->size != region->size || r->uva != region->uva)
			continue;
		unmap_region(m, i);
		g->regions[i] = g->regions[last];
		m->map[i] = m->map[last];
		m->map_len[i] = m->map_len[last];
		g->nregions--;
		return 0;
	}
	return -ENOENT;
}

/**
 * vu_memory_clear() - unmap everything; no queue may be running
 */
void vu_memory_clear(struct vu_memory *m)
{
	for (uint32_t i = 0; i < m->gmem.nregions; i++)
		unmap_region(m, i);
	m->gmem.nregions = 0;
}

/**
 * vu_memory_set() - replace all regions by @n new ones
 * @in:		the message, whose descriptors belong to the regions in order
 *
 * Return: 0, or -errno with no region left
 */
int vu_memory_set(struct vu_memory *m, const struct vu_region *regions, uint32_t n,
		  struct vu_input *in)
{
	vu_memory_clear(m);
	for (uint32_t i = 0; i < n; i++) {
		int ret = vu_memory_add(m, &regions[i], vu_take_fd(in));

		if (ret < 0) {
			vu_memory_clear(m);
			return ret;
		}
	}
	return 0;
}
