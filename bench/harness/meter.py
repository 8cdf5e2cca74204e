# SPDX-License-Identifier: MIT
"""CPU time, memory and system calls of other processes.

CPU time is the scheduler's own account in nanoseconds, summed over threads. Threads
that run guest code are left out of it where the caller names them: what a virtual
machine computes is no cost of its network.

System calls are counted by the raw_syscalls:sys_enter tracepoint. While any process
is counted so, all of them enter the kernel by a slower path; that is why the session
counts in runs of their own whose times are not used.
"""
import ctypes
import fcntl
import os
import struct
import subprocess

# perf_event_open(2) and its structure, linux/perf_event.h.
_SYS_PERF_EVENT_OPEN = 298
_TYPE_TRACEPOINT = 2
_ATTR_SIZE = 64
_DISABLED, _INHERIT = 1, 2
_IOC_ENABLE, _IOC_DISABLE = 0x2400, 0x2401
_FLAG_FD_CLOEXEC = 8

# What QEMU (with debug-threads) and sluice call the threads that run the guest.
VCPU_THREADS = ("CPU ", "sluice-vcpu")


def threads(pid):
    """Thread ids of a process; none when it has gone."""
    try:
        return [int(t) for t in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _is_vcpu(pid, tid):
    try:
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8") as f:
            return f.read().startswith(VCPU_THREADS)
    except OSError:
        return False


def cpu_ns(pids, vcpus=False):
    """CPU time so far of all threads of @pids, or only of those that run guests."""
    total = 0
    for pid in pids:
        for tid in threads(pid):
            if _is_vcpu(pid, tid) != vcpus:
                continue
            try:
                with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="utf-8") as f:
                    total += int(f.read().split()[0])
            except OSError:
                pass
    return total


def memory_kib(pids):
    """(resident, private) memory of @pids; private is anonymous memory of their own."""
    resident = private = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                fields = dict(line.split(":", 1) for line in f)
        except OSError:
            continue
        resident += int(fields.get("VmRSS", "0 kB").split()[0])
        private += int(fields.get("RssAnon", "0 kB").split()[0])
    return resident, private


def _tracepoint_id():
    path = "events/raw_syscalls/sys_enter/id"
    for root in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        try:
            with open(f"{root}/{path}", encoding="ascii") as f:
                return int(f.read())
        except OSError:
            pass
    # Not mounted anywhere: mounts of ours are seen by nobody else.
    done = subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"],
                          capture_output=True, check=False)
    if done.returncode:
        return None
    try:
        with open(f"/sys/kernel/tracing/{path}", encoding="ascii") as f:
            return int(f.read())
    except OSError:
        return None


class Syscalls:
    """Counts the system calls of processes, as long as it is used as a context.

    @n is None where they cannot be counted.
    """

    _id = None

    def __init__(self, pids):
        self.pids = pids
        self.fds = []
        self.n = None

    @classmethod
    def available(cls):
        if cls._id is None:
            cls._id = _tracepoint_id() or 0
        if not cls._id:
            return False
        with cls([os.getpid()]) as probe:
            pass
        return probe.n is not None

    def _open(self, tid):
        attr = struct.pack("IIQQQQQIIQ", _TYPE_TRACEPOINT, _ATTR_SIZE, self._id, 0, 0, 0,
                           _DISABLED | _INHERIT, 0, 0, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        buf = ctypes.create_string_buffer(attr, _ATTR_SIZE)
        return libc.syscall(_SYS_PERF_EVENT_OPEN, buf, tid, -1, -1,
                            ctypes.c_ulong(_FLAG_FD_CLOEXEC))

    def __enter__(self):
        if self._id:
            for pid in self.pids:
                self.fds += [fd for fd in map(self._open, threads(pid)) if fd >= 0]
        for fd in self.fds:
            fcntl.ioctl(fd, _IOC_ENABLE, 0)
        return self

    def __exit__(self, *_exc):
        if self.fds:
            self.n = 0
        for fd in self.fds:
            fcntl.ioctl(fd, _IOC_DISABLE, 0)
            self.n += struct.unpack("Q", os.read(fd, 8))[0]
            os.close(fd)


def pin(pids, cpus):
    """Let all threads of @pids run on these CPUs only."""
    for pid in pids:
        for tid in threads(pid):
            try:
                os.sched_setaffinity(tid, cpus)
            except OSError:
                pass
