/* SPDX-License-Identifier: MIT */
/* Guest RAM as a memfd with the MMIO hole cut out of the address space. */
#include "src/vmm/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/why.h"
#include "src/vmm/kvm.h"
#include "src/vmm/layout.h"

static int memory_add(struct vm_memory *m, uint64_t gpa, uint64_t off, uint64_t size)
{
	struct gmem_region r = { .gpa = gpa, .size = size, .hva = m->base + off };

	return gmem_add(&m->table, &r);
}

static int memory_map(struct vm_memory *m, bool hugepages, char *why, size_t why_len)
{
	/* Huge pages are reserved here, so that a lack shows now and not as SIGBUS later. */
	int flags = MAP_SHARED | (hugepages ? 0 : MAP_NORESERVE);
	/* This size whatever the default is: RAM_SIZE_STEP is made for it. */
	unsigned huge = hugepages ? MFD_HUGETLB | MFD_HUGE_2MB : 0;
	uint64_t mib = m->size >> 20;
	void *p;

	m->fd = memfd_create("sluice-ram", MFD_CLOEXEC | huge);
	if (m->fd < 0)
		return why_set(why, why_len, -errno, "guest memory: memfd_create: %s",
			       strerror(errno));
	if (ftruncate(m->fd, (off_t)m->size) < 0)
		return why_set(why, why_len, -errno, "guest memory: %" PRIu64 " MiB refused: %s",
			       mib, strerror(errno));
	p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, flags, m->fd, 0);
	if (p == MAP_FAILED) {
		if (hugepages)
			return why_set(why, why_len, -errno,
				       "guest memory: no %" PRIu64 " MiB of huge pages free; raise "
				       "/proc/sys/vm/nr_hugepages or leave huge pages off",
				       mib);
		return why_set(why, why_len, -errno,
			       "guest memory: cannot map %" PRIu64 " MiB: %s; ask for less", mib,
			       strerror(errno));
	}
	m->base = p;
	/* A core dump of ours is about our state, and the guest's secrets are its own. */
	(void)madvise(p, m->size, MADV_DONTDUMP);
	return 0;
}

/**
 * vm_memory_new() - make the guest's RAM
 * @size:	bytes, a multiple of RAM_SIZE_STEP in RAM_SIZE_MIN..RAM_SIZE_MAX
 * @hugepages:	from the huge page pool, all of it reserved now
 *
 * Main thread. Return: 0, or -errno with @why set and nothing left behind
 */
int vm_memory_new(struct vm_memory *m, uint64_t size, bool hugepages, char *why, size_t why_len)
{
	uint64_t low = MIN(size, RAM_LOW_MAX);
	int err;

	*m = (struct vm_memory){ .fd = -1, .size = size };
	if (size < RAM_SIZE_MIN || size > RAM_SIZE_MAX || size % RAM_SIZE_STEP != 0)
		return why_set(why, why_len, -EINVAL,
			       "guest memory must be %llu..%llu MiB in steps of %llu, not %" PRIu64
			       " bytes",
			       RAM_SIZE_MIN >> 20, RAM_SIZE_MAX >> 20, RAM_SIZE_STEP >> 20, size);
	err = memory_map(m, hugepages, why, why_len);
	if (!err)
		err = memory_add(m, 0, 0, low);
	if (!err && size > low)
		err = memory_add(m, RAM_HIGH_START, low, size - low);
	if (err)
		vm_memory_free(m);
	return err;
}

/**
 * vm_memory_register() - show the RAM to the VM, before its first vCPU runs
 *
 * Main thread. Return: 0 or -errno; the VM is of no use after an error
 */
int vm_memory_register(const struct vm_memory *m, int vm_fd)
{
	for (uint32_t i = 0; i < m->table.nregions; i++) {
		const struct gmem_region *r = &m->table.regions[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = r->gpa,
			.memory_size = r->size,
			.userspace_addr = (uintptr_t)r->hva,
		};
		int err = kvm_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot);

		if (err < 0)
			return err;
	}
	return 0;
}

/**
 * vm_memory_free() - unmap; no thread, device or vCPU may use it any more
 *
 * Main thread; harmless on what vm_memory_new() refused.
 */
void vm_memory_free(struct vm_memory *m)
{
	if (m->base)
		munmap(m->base, m->size);
	if (m->fd >= 0)
		close(m->fd);
	*m = (struct vm_memory){ .fd = -1 };
}
