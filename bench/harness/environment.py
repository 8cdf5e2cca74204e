# SPDX-License-Identifier: MIT
"""What machine it was, and what ran on it."""
import os
import platform
import subprocess

from .setups import version_of


def _read(path, default=None):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return default


def _cpu():
    fields = {}
    for line in _read("/proc/cpuinfo", "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", "").split()
    return {
        "model": fields.get("model name", "unknown"),
        "cpus": os.cpu_count(),
        "allowed": sorted(os.sched_getaffinity(0)),
        "mhz_now": fields.get("cpu MHz"),
        "hypervisor": "hypervisor" in flags,
        "vt": next((f for f in ("vmx", "svm") if f in flags), None),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none"),
        "turbo_off": _read("/sys/devices/system/cpu/intel_pstate/no_turbo"),
    }


def kvm():
    """Can guests run here at native speed?"""
    return _cpu()["vt"] is not None and os.access("/dev/kvm", os.R_OK | os.W_OK)


def load_average():
    return [float(x) for x in _read("/proc/loadavg", "0 0 0").split()[:3]]


def _revision():
    """Of the tree, with a mark when it has changes."""
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _build(sluice):
    """How the program under test was built: for use, or to find faults; and by what."""
    said = version_of([sluice, "--version"])
    done = subprocess.run(["readelf", "-p", ".comment", sluice], capture_output=True, text=True,
                          check=False)
    makers = [line.partition("]")[2].strip() for line in done.stdout.splitlines() if "]" in line]
    return {"type": said.partition(", ")[2] or "release",
            "compiler": makers[0] if makers else None}


def collect(build, programs):
    memory = dict(line.split(":", 1) for line in _read("/proc/meminfo", "").splitlines())
    versions = {"sluice": version_of([f"{build}/sluice", "--version"])}
    for name, path in programs.items():
        versions[name] = version_of([path, "--version"]) if path else None
    return {
        "cpu": _cpu(),
        "kernel": platform.release(),
        "memory_kib": int(memory.get("MemTotal", "0 kB").split()[0]),
        "kvm": kvm(),
        "congestion_control": "reno",
        "versions": versions,
        "build": _build(f"{build}/sluice"),
        "revision": _revision(),
        "guest_kernel": _read(f"{build}/guest/kernel/release"),
        "load_before": load_average(),
    }
