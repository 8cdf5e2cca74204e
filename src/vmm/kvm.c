/* SPDX-License-Identifier: MIT */
/* Opening KVM and finding out, with advice, what is missing. */
#include "src/vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/why.h"
#include "src/vmm/layout.h"

/* Without these we cannot run at all. All are in Linux 4.12 and later on x86. */
static const struct {
	int cap;
	const char *name;
} required_caps[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
};

/**
 * kvm_ioctl() - ioctl(2) with -errno, repeated when a signal interrupts it
 * @arg:	pointer, or a small integer cast to one
 *
 * Any thread; not for KVM_RUN, whose interruption has a meaning.
 * Return: the ioctl's value, or -errno
 */
int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r;

	do {
		r = ioctl(fd, request, arg);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* Is @flag one of the words of @line? */
static bool has_word(const char *line, const char *flag)
{
	size_t len = strlen(flag);
	const char *p = line;

	while ((p = strstr(p, flag)) != NULL) {
		bool starts = p == line || p[-1] == ' ' || p[-1] == '\t' || p[-1] == ':';

		if (starts && (p[len] == ' ' || p[len] == '\n' || p[len] == '\0'))
			return true;
		p += len;
	}
	return false;
}

/**
 * kvm_host_kind_from() - kvm_host_kind() with the two paths given, for tests
 */
enum kvm_host kvm_host_kind_from(const char *cpuinfo_path, const char *dev_path)
{
	enum kvm_host kind = KVM_HOST_PVM;
	char line[8192];
	FILE *f;

	if (access(dev_path, F_OK) < 0)
		return KVM_HOST_ABSENT;
	f = fopen(cpuinfo_path, "re");
	if (!f)
		return KVM_HOST_HW; /* no /proc: give it the benefit of the doubt */
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		if (has_word(line, "vmx") || has_word(line, "svm"))
			kind = KVM_HOST_HW;
		break;
	}
	fclose(f);
	return kind;
}

/**
 * kvm_host_kind() - can a stock kernel run here?
 *
 * A /dev/kvm on a CPU that shows neither vmx nor svm is a KVM without hardware
 * help (KVM_PVM): user mode runs natively, kernel mode under the instruction
 * emulator. Main thread.
 */
enum kvm_host kvm_host_kind(void)
{
	return kvm_host_kind_from("/proc/cpuinfo", KVM_DEV_PATH);
}

static int open_dev(const char *path, char *why, size_t why_len)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return why_set(why, why_len, -errno,
			       "%s does not exist: load the kvm_intel or kvm_amd module, switch on "
			       "virtualisation in the firmware, or pass the device into this "
			       "container",
			       path);
	case EACCES:
	case EPERM:
		return why_set(why, why_len, -errno,
			       "%s: permission denied: add yourself to the group that owns it "
			       "(usermod -aG kvm $USER, then log in again)",
			       path);
	case EBUSY:
		return why_set(why, why_len, -errno,
			       "%s is busy: another hypervisor holds the CPU's virtualisation",
			       path);
	default:
		return why_set(why, why_len, -errno, "%s: %s", path, strerror(errno));
	}
}

static int check_dev(struct kvm *k, const char *path, char *why, size_t why_len)
{
	int r = kvm_ioctl(k->dev_fd, KVM_GET_API_VERSION, NULL);

	if (r < 0)
		return why_set(why, why_len, r, "%s is not a KVM device", path);
	if (r != KVM_API_VERSION)
		return why_set(why, why_len, -EPROTO, "KVM speaks API version %d, we need %d", r,
			       KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(required_caps); i++) {
		r = ioctl(k->dev_fd, KVM_CHECK_EXTENSION, required_caps[i].cap);
		if (r <= 0)
			return why_set(why, why_len, -ENOTSUP,
				       "this host's KVM lacks %s: a kernel of 4.12 or later on x86 "
				       "has it",
				       required_caps[i].name);
	}
	r = ioctl(k->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	k->max_vcpus = r > 0 ? (uint32_t)r : 4; /* what the API says absence means */
	k->tsc_deadline = ioctl(k->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	r = kvm_ioctl(k->dev_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (r < 0 || (size_t)r < sizeof(struct kvm_run))
		return why_set(why, why_len, r < 0 ? r : -EPROTO,
			       "KVM gives no usable vCPU area size (%d)", r);
	k->run_size = (uint32_t)r;
	return 0;
}

static int create_vm(struct kvm *k, char *why, size_t why_len)
{
	uint64_t identity = KVM_IDENTITY_MAP_ADDR;
	unsigned long tss = KVM_TSS_ADDR;
	int r = kvm_ioctl(k->dev_fd, KVM_CREATE_VM, NULL);

	if (r == -EBUSY)
		return why_set(why, why_len, r,
			       "KVM is busy: another hypervisor (VirtualBox, VMware) holds the "
			       "CPU's virtualisation");
	if (r == -ENOMEM)
		return why_set(why, why_len, r, "KVM cannot make a VM: the host is out of memory");
	if (r < 0)
		return why_set(why, why_len, r, "KVM cannot make a VM: %s", strerror(-r));
	k->vm_fd = r;
	r = kvm_ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (r < 0)
		return why_set(why, why_len, r, "KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(-r));
	/* The address itself is the argument. */
	r = ioctl(k->vm_fd, KVM_SET_TSS_ADDR, tss);
	if (r < 0)
		return why_set(why, why_len, -errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	r = kvm_ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, NULL);
	if (r < 0)
		return why_set(why, why_len, r, "KVM_CREATE_IRQCHIP: %s", strerror(-r));
	return 0;
}

/**
 * kvm_open() - open KVM, check it, make a VM with the in-kernel irqchip
 * @dev_path:	NULL = /dev/kvm
 *
 * No PIT: the guests that we boot calibrate by kvm-clock and the TSC-deadline
 * timer. Main thread. Return: 0, or -errno with @why set and nothing open
 */
int kvm_open(struct kvm *k, const char *dev_path, char *why, size_t why_len)
{
	const char *path = dev_path ? dev_path : KVM_DEV_PATH;
	int err;

	*k = (struct kvm){ .dev_fd = -1, .vm_fd = -1 };
	err = open_dev(path, why, why_len);
	if (err < 0)
		return err;
	k->dev_fd = err;
	err = check_dev(k, path, why, why_len);
	if (!err)
		err = create_vm(k, why, why_len);
	if (err)
		kvm_close(k);
	return err;
}

/**
 * kvm_close() - main thread; vCPUs are closed before
 */
void kvm_close(struct kvm *k)
{
	if (k->vm_fd >= 0)
		close(k->vm_fd);
	if (k->dev_fd >= 0)
		close(k->dev_fd);
	k->vm_fd = k->dev_fd = -1;
}
