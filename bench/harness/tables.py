# SPDX-License-Identifier: MIT
"""Markdown: what was measured, for people who read it without the machine."""
import math

from . import result as results
from . import stats
from .workloads import METRICS

GROUPS = (
    ("native", "Guest in a namespace",
     "Linux's own TCP in a network namespace is the guest. sluice and `passt --vhost-user` "
     "stand behind the same front-end (bench/nsguest), which costs a process and its wake-ups "
     "that pasta and slirp4netns, with a TAP of their own, do not have."),
    ("vm", "Guest in a virtual machine",
     "The same Debian kernel, initramfs and virtio-pci."),
    ("pump", "Segments of one size, no guest kernel",
     "bench/ringpump writes segments straight into the rings; on this host the peer is on "
     "loopback."),
)
TCG = ("**TCG: no VT-x or SVM here, QEMU emulates the guest's processor. Only ratios between "
       "the rows of a table mean anything.** `sluice run` needs KVM; sluice is the back-end of "
       "that QEMU instead.")


def number(value):
    """Three digits that matter."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 4)}f}"


def table(head, rows):
    align = ["---"] + ["---:"] * (len(head) - 1)
    lines = [head, align, *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines) + "\n"


def spread(values):
    """Median and quartiles; nothing where nothing was measured."""
    if not values:
        return "-"
    low, high = stats.iqr(values)
    text = number(stats.median(values))
    return text if len(values) == 1 else f"{text} ({number(low)}..{number(high)})"


def setups_of(result, kind):
    return [n for n, s in result["setups"].items() if s["kind"] == kind and not s["skipped"]]


def workloads_of(result, kind):
    """In the order in which they were run, those that have samples in that kind."""
    names = set(setups_of(result, kind))
    have = {s["workload"] for s in result["samples"] if s["setup"] in names}
    return [w for w in result["workloads"] if w in have]


def count_of(result, setup, workload):
    for c in result["counts"]:
        if c["setup"] == setup and c["workload"] == workload:
            return c
    return None


def under(counters, path):
    """Sum of the counters below a path, as of all queues."""
    return sum(v for k, v in counters.items() if k.startswith(path + "."))


def _cost_columns(count):
    """System calls a unit, and for sluice what it counts itself: of the counting run."""
    if not count:
        return ["-"] * 3
    calls = number(count["syscalls_per_unit"])
    if not count["counters"]:
        return [calls, "-", "-"]
    kicks, interrupts = (number(under(count["counters"], f"queue.{what}") / count["amount"])
                         for what in ("kicks", "interrupts"))
    return [calls, f"{kicks} / {interrupts}",
            number(count["counters"].get("worker.allocations", 0))]


# Metrics of a table, by the kind of workload that the first of them tells.
COLUMNS = (
    ("gbit_s", ("gbit_s", "cpu_s_per_gb")),
    ("p50_us", ("p50_us", "p90_us", "p99_us", "p999_us", "per_s", "cpu_us_per_op")),
    ("loss_pct", ("per_s", "loss_pct", "cpu_us_per_op")),
    ("idle_cpu_ms_per_s", ("idle_cpu_ms_per_s", "private_kib")),
)


def columns_of(result, workload):
    have = {m for s in result["samples"] if s["workload"] == workload for m in s["metrics"]}
    for first, columns in COLUMNS:
        if first in have:
            return columns
    return tuple(m for m in METRICS if m in have)


def workload_table(result, kind, workload):
    about = result["workloads"][workload]
    columns = columns_of(result, workload)
    head = ["", *(METRICS[c][0] if not c.startswith("p") or c == "per_s"
                  else f"{c[:-3].replace('p999', 'p99.9')}, us" for c in columns),
            f"calls/{about['unit']}", f"kicks / interrupts a {about['unit']}",
            "allocations", "errors", "n"]
    rows = []
    for setup in setups_of(result, kind):
        samples = [s for s in result["samples"]
                   if s["setup"] == setup and s["workload"] == workload]
        failed = sum(1 for f in result["failures"]
                     if f["setup"] == setup and f["workload"] == workload)
        if not samples and not failed:
            continue
        rows.append([setup, *(spread(results.values(result, setup, workload, c))
                              for c in columns),
                     *_cost_columns(count_of(result, setup, workload)),
                     sum(s["errors"] for s in samples) + failed, len(samples)])
    # A column in which nobody has anything tells nothing.
    keep = [i for i in range(len(head)) if i == 0 or any(r[i] != "-" for r in rows)]
    away = f", server {about['delay_ms']} ms away" if about["delay_ms"] else ""
    program = "ringpump" if kind == "pump" else "load"
    return (f"#### {about['title']}\n\n`{workload}`: `{program} {about['args']}`, MTU {about['mtu']},"
            f" {about['buffers']} buffers{away}\n\n"
            + table([head[i] for i in keep], [[r[i] for i in keep] for r in rows]))


# What the first table shows of each set-up: a heading, a workload, a metric.
SUMMARY = {
    "native": (("up, Gbit/s", "bulk-up", "gbit_s"), ("CPU-s/GB", "bulk-up", "cpu_s_per_gb"),
               ("down, Gbit/s", "bulk-down", "gbit_s"),
               ("CPU-s/GB", "bulk-down", "cpu_s_per_gb"),
               ("RR p50, us", "rr", "p50_us"), ("one core", "rr/one-core", "p50_us"),
               ("CRR p50, us", "crr-1", "p50_us"), ("p99", "crr-1", "p99_us"),
               ("one core p50", "crr-1/one-core", "p50_us"),
               ("CRR/s at 8", "crr-8", "per_s")),
    "vm": (("up, Gbit/s", "bulk-up-vm", "gbit_s"), ("CPU-s/GB", "bulk-up-vm", "cpu_s_per_gb"),
           ("down, Gbit/s", "bulk-down-vm", "gbit_s"),
           ("CPU-s/GB", "bulk-down-vm", "cpu_s_per_gb"),
           ("RR p50, us", "rr-vm", "p50_us"), ("CRR p50, us", "crr-1-vm", "p50_us"),
           ("p99", "crr-1-vm", "p99_us"), ("CRR/s at 8", "crr-8-vm", "per_s")),
}


def summary(result, kind):
    columns = [c for c in SUMMARY.get(kind, ())
               if any(results.values(result, s, c[1], c[2]) for s in setups_of(result, kind))]
    if not columns:
        return ""
    rows = []
    for setup in setups_of(result, kind):
        cells = []
        for _, workload, metric in columns:
            found = results.values(result, setup, workload, metric)
            cells.append(number(stats.median(found)) if found else "-")
        private = [m["private_kib"] for m in result["memory"] if m["setup"] == setup]
        rows.append([setup, *cells, number(max(private) / 1024) if private else "-",
                     results.errors(result, setup)])
    return table(["medians", *(c[0] for c in columns), "private MiB, most", "errors"], rows)


def allocations(result):
    """Heap calls of sluice's worker, which it counts itself."""
    rows = []
    for c in result["counts"]:
        opened = c["counters"].get("net.tcp_opened", 0)
        if c["workload"].startswith("crr") and opened:
            rows.append([c["setup"], c["workload"], f"{opened:,}",
                         number(c["counters"].get("worker.allocations", 0) / opened)])
    return table(["", "workload", "connections", "allocations each"], rows) if rows else ""


def environment(result):
    e = result["environment"]
    cpu = e["cpu"]
    versions = ", ".join(f"{n}: {v}" for n, v in e["versions"].items() if v)
    build = ", ".join(v for v in e.get("build", {}).values() if v) or "unknown"
    lines = [
        f"* {cpu['model']}, {cpu['cpus']} CPUs"
        f"{', virtual' if cpu['hypervisor'] else ''}, VT-x/SVM: {cpu['vt'] or 'none'},"
        f" governor: {cpu['governor']}; kernel {e['kernel']}, {e['memory_kib'] >> 20} GiB",
        f"* load average {e['load_before'][0]} before and {e['load_after'][0]} after;"
        f" {result['mode']}, {len(result['samples'])} samples in {result['lasted']:.0f} s",
        f"* {versions}; build: {build}; revision {e['revision']}; guest kernel {e['guest_kernel']}",
        f"* congestion control: {e['congestion_control']} at every end",
    ]
    for name, s in result["setups"].items():
        if s["notes"].get("features"):
            lines.append(f"* {name} offers: {', '.join(s['notes']['features'])}")
    lines += [f"* not measured: {n}, as {s['skipped']}" for n, s in result["setups"].items()
              if s["skipped"]]
    return "\n".join(lines) + "\n"


def failures(result):
    return "\n".join(f"* {f['setup']}, {f['workload']}: {f['why']}" for f in result["failures"])


def report(result, plots):
    """The whole page. @plots: (file name, title) of what was drawn."""
    out = ["# sluice and its peers\n", environment(result)]
    if result["environment"]["load_before"][0] > 0.5 * result["environment"]["cpu"]["cpus"]:
        out.append("\n**The machine was busy with something else when this began; take no "
                   "figure of it for more than that.**\n")
    for kind, title, text in GROUPS:
        names = workloads_of(result, kind)
        if not names:
            continue
        out.append(f"\n## {title}\n\n{text}\n")
        if kind == "vm" and not result["environment"]["kvm"]:
            out.append(f"\n{TCG}\n")
        out.append("\n" + summary(result, kind))
        out += ["\n" + workload_table(result, kind, w) for w in names]
    heap = allocations(result)
    if heap:
        out.append(f"\n## Allocations on the data path\n\n{heap}")
    if plots:
        out.append("\n## Plots\n\n" + "\n".join(f"![{title}]({name})\n" for name, title in plots))
    if result["failures"]:
        out.append(f"\n## Samples that could not be taken\n\n{failures(result)}\n")
    out.append("\nEach cell: median (lower..upper quartile). System calls, kicks, interrupts and "
               "allocations are of one run of its own; the latter are all of its data path.\n")
    return "".join(out)


def console(result):
    """What a terminal shows at the end."""
    out = []
    for kind, title, _ in GROUPS:
        text = summary(result, kind)
        if text:
            tcg = kind == "vm" and not result["environment"]["kvm"]
            out.append(title + (" (TCG: only ratios)" if tcg else "") + "\n")
            out.append(_aligned(text))
    for name, s in result["setups"].items():
        if s["skipped"]:
            out.append(f"not measured: {name}: {s['skipped']}")
    return "\n".join(out)


def _aligned(markdown):
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in markdown.splitlines()]
    rows.pop(1)
    width = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(r, width))) for r in rows) + "\n"


def verdicts(comparisons, before, after):
    """The table of an A/B comparison."""
    rows = [[c.name, number(c.before), number(c.after),
             "-" if not math.isfinite(c.change) else f"{100 * c.change:+.1f} %",
             f"{100 * c.floor:.1f} %", f"{c.p:.4f}", c.verdict] for c in comparisons]
    return table(["metric", before, after, "change", "noise floor", "p", "verdict"], rows)
