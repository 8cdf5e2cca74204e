/* SPDX-License-Identifier: MIT */
/*
 * Memory that a vhost-user front-end shares with us.
 *
 * Theory of operation: each region is a mapping of a descriptor that came with
 * the message; the descriptor is closed at once. A region must lie within its
 * file when it is mapped. A front-end can still cut the file short later, and
 * then a load from the region raises SIGBUS. To keep that its own trouble, a
 * handler looks the address up in a small table of our mappings and puts zeroed
 * pages there; the guest then sees rubbish rings and the session ends. A SIGBUS
 * anywhere else is a bug of ours and kills the program as it should.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/log.h"
#include "virtio/vhost_priv.h"

#define PAGE_SIZE 4096UL

/* Mappings that may fault: read by the signal handler on any thread. */
static struct {
	_Atomic uintptr_t start;
	_Atomic size_t len;
} guarded[GMEM_REGIONS_MAX];

static _Atomic uint32_t faults;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;

	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		uintptr_t start = atomic_load(&guarded[i].start);
		size_t len = atomic_load(&guarded[i].len);
		void *page = (void *)(at & ~(PAGE_SIZE - 1));

		if (start == 0 || at - start >= len)
			continue;
		if (mmap(page, PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
			atomic_fetch_add(&faults, 1);
			return;
		}
	}
	signal(sig, SIG_DFL); /* not ours: the fault repeats and ends the program */
}

static void install_guard(void)
{
	static _Atomic bool installed;
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	if (!atomic_exchange(&installed, true))
		sigaction(SIGBUS, &sa, NULL);
}

/**
 * vu_memory_faults() - pages that front-ends took away from under us; any thread
 */
uint32_t vu_memory_faults(void)
{
	return atomic_load(&faults);
}

static void guard(void *map, size_t len)
{
	install_guard();
	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		if (atomic_load(&guarded[i].start) == 0) {
			atomic_store(&guarded[i].len, len);
			atomic_store(&guarded[i].start, (uintptr_t)map);
			return;
		}
	}
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

/**
 * vu_memory_add() - map one region
 * @fd:		closed in every case
 *
 * No queue may be running. Return: 0; -EBADF without a descriptor; -EINVAL,
 * -EEXIST or -ENOSPC as gmem_add(); what mmap(2) said
 */
int vu_memory_add(struct vu_memory *m, const struct vu_region *region, int fd)
{
	struct gmem_region r = { .gpa = region->gpa, .size = region->size, .uva = region->uva };
	size_t len = (size_t)(region->size + region->offset);
	void *map;
	int ret;

	if (fd < 0)
		return -EBADF;
	ret = check_file(region, fd);
	/* From the file's start: the offset need not be a multiple of a huge page. */
	map = ret == 0 ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0)
		       : MAP_FAILED;
	if (ret == 0 && map == MAP_FAILED)
		ret = -errno;
	close(fd);
	if (ret < 0)
		return ret;
	(void)madvise(map, len, MADV_DONTDUMP);
	r.hva = (uint8_t *)map + region->offset;
	ret = gmem_add(&m->gmem, &r);
	if (ret < 0) {
		munmap(map, len);
		return ret;
	}
	m->map[m->gmem.nregions - 1] = map;
	m->map_len[m->gmem.nregions - 1] = len;
	guard(map, len);
	return 0;
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
	memset(m, 0, sizeof(*m));
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
