/* SPDX-License-Identifier: MIT */
/*
 * CPU time and system calls of another process.
 *
 * CPU time is the scheduler's own account in nanoseconds, summed over threads.
 * System calls are counted by the raw_syscalls:sys_enter tracepoint, which costs
 * the process little; without the right to use it they are not reported.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/ringpump/ringpump.h"
#include "src/base/base.h"

static int read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	int n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

static int tracepoint_id(void)
{
	static const char event[] = "events/raw_syscalls/sys_enter/id";
	static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char dir[] = "/tmp/tracefs.XXXXXX";
	char path[256];
	int id = -1;

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		snprintf(path, sizeof(path), "%s/%s", roots[i], event);
		id = read_number(path);
		if (id >= 0)
			return id;
	}
	/* Not mounted anywhere: look at it for a moment. */
	if (!mkdtemp(dir))
		return -1;
	if (mount("tracefs", dir, "tracefs", 0, NULL) == 0) {
		snprintf(path, sizeof(path), "%s/%s", dir, event);
		id = read_number(path);
		umount(dir);
	}
	rmdir(dir);
	return id;
}

static void for_each_thread(pid_t pid, void (*fn)(void *ctx, pid_t tid), void *ctx)
{
	struct dirent *e;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			fn(ctx, (pid_t)strtol(e->d_name, NULL, 10));
	}
	if (d)
		closedir(d);
}

static void add_cpu(void *ctx, pid_t tid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", tid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fscanf(f, "%llu", &ns) == 1)
		*(uint64_t *)ctx += ns;
	fclose(f);
}

struct perf_open {
	struct meter *m;
	int id;
};

static void add_counter(void *ctx, pid_t tid)
{
	struct perf_open *po = ctx;
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = (uint64_t)po->id,
		.disabled = 1,
		.inherit = 1,
	};
	int fd;

	if (po->m->nperf == ARRAY_SIZE(po->m->perf_fd))
		return;
	fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd >= 0)
		po->m->perf_fd[po->m->nperf++] = fd;
}

/**
 * meter_open() - get ready to meter @pid; 0 = nothing is metered
 */
void meter_open(struct meter *m, pid_t pid)
{
	struct perf_open po = { .m = m };

	*m = (struct meter){ .pid = pid };
	if (pid == 0)
		return;
	po.id = tracepoint_id();
	if (po.id >= 0)
		for_each_thread(pid, add_counter, &po);
}

/**
 * meter_start() - count from here
 */
void meter_start(struct meter *m)
{
	uint64_t cpu = 0;

	if (m->pid == 0)
		return;
	for (uint32_t i = 0; i < m->nperf; i++) {
		ioctl(m->perf_fd[i], PERF_EVENT_IOC_RESET, 0);
		ioctl(m->perf_fd[i], PERF_EVENT_IOC_ENABLE, 0);
	}
	for_each_thread(m->pid, add_cpu, &cpu);
	m->cpu_ns = cpu;
}

/**
 * meter_stop() - @cpu_ns and @syscalls are those since meter_start()
 */
void meter_stop(struct meter *m)
{
	uint64_t cpu = 0;

	if (m->pid == 0)
		return;
	for_each_thread(m->pid, add_cpu, &cpu);
	m->cpu_ns = cpu - m->cpu_ns;
	m->syscalls = 0;
	for (uint32_t i = 0; i < m->nperf; i++) {
		uint64_t n = 0;

		ioctl(m->perf_fd[i], PERF_EVENT_IOC_DISABLE, 0);
		if (read(m->perf_fd[i], &n, sizeof(n)) == sizeof(n))
			m->syscalls += n;
	}
}
