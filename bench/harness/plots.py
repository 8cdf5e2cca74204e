# SPDX-License-Identifier: MIT
"""SVG plots, drawn by gnuplot; none where it is not installed."""
import json
import math
import os
import shutil
import subprocess

from . import result as results
from . import stats
from .tables import setups_of

# The same colour for the same engine in all plots (Okabe and Ito's palette).
COLOURS = {
    "host-direct": "#999999", "sluice-auto": "#0072B2", "sluice-copy": "#56B4E9",
    "sluice-splice": "#009E73", "passt-vu": "#D55E00", "pasta": "#E69F00",
    "pasta-splice": "#8B5A2B", "slirp4netns": "#CC79A7", "pump-auto": "#0072B2",
    "pump-copy": "#56B4E9", "pump-splice": "#009E73", "pump-passt": "#D55E00",
    "sluice-run": "#0072B2", "qemu-sluice-vu": "#0072B2", "qemu-libslirp": "#CC79A7",
    "qemu-passt": "#E69F00", "qemu-passt-vu": "#D55E00",
}

HEAD = """set terminal svg size 800,480 font 'sans,13' background '#ffffff' linewidth 1.4
set output '{out}'
set title "{title}"
set border 3 lc rgb '#555555'
set tics nomirror
set grid lc rgb '#dddddd' lw 0.7
set key {key}
"""


def available():
    return shutil.which("gnuplot") is not None


class Plot:
    """Lines of (x, y) points under a name each."""

    def __init__(self, folder, name, title, x, y, key="outside right top", more=""):
        self.path = os.path.join(folder, name)
        self.name, self.title = name, title
        self.script = HEAD.format(out=self.path, title=title, key=key)
        self.script += f"set xlabel '{x}'\nset ylabel '{y}'\n{more}\n"
        self.blocks, self.parts = [], []

    def add(self, name, points, style="linespoints pt 7 ps 0.6", colour=None, columns="1:2"):
        if not points:
            return
        block = f"$d{len(self.blocks)}"
        lines = "\n".join(" ".join(str(v) for v in p) for p in points)
        self.blocks.append(f"{block} << EOD\n{lines}\nEOD\n")
        colour = colour or COLOURS.get(name, "#333333")
        title = f"title '{name}'" if name else "notitle"
        paint = "tc" if style.startswith("labels") else "lc"
        self.parts.append(f"{block} using {columns} with {style} {paint} rgb '{colour}' {title}")

    def draw(self):
        """(file name, title), or None where there is nothing in it."""
        if not self.parts:
            return None
        text = "".join(self.blocks) + self.script + "plot " + ", \\\n  ".join(self.parts) + "\n"
        done = subprocess.run(["gnuplot"], input=text, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"gnuplot: {done.stderr.strip()[:300]}")
        return self.name, self.title


def _log_axis(axis, values):
    """A logarithmic axis that ends close to what is on it, with tics at 1, 2 and 5."""
    values = [v for v in values if v > 0]
    if not values:
        return ""
    low, high = 0.8 * min(values), 1.25 * max(values)
    tics = [d * 10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
            for d in (1, 2, 5)]
    named = ", ".join(f"'{t:,.10g}' {t:g}" for t in tics if low <= t <= high)
    return f"set logscale {axis}\nset {axis}range [{low:g}:{high:g}]\nset {axis}tics ({named})\n"


def _apart(x, i, n):
    """Where the point of the @i-th of @n lines stands, so that no bar hides another."""
    return x * 1.02 ** (i - (n - 1) / 2)


def _points(result, setup, names, metric):
    """(x, median, lower and upper quartile) for workloads that differ in one number."""
    out = []
    for x, workload in names:
        found = results.values(result, setup, workload, metric)
        if found:
            out.append((x, stats.median(found), *stats.iqr(found)))
    return out


def _with_spread(plot, lines):
    """@lines: name -> what _points() has found"""
    lines = {name: points for name, points in lines.items() if points}
    for i, (name, points) in enumerate(lines.items()):
        apart = [(_apart(p[0], i, len(lines)), *p[1:]) for p in points]
        plot.add(name, apart, style="yerrorlines pt 7 ps 0.6", columns="1:2:3:4")


def segments(result, folder):
    names = [(w["segment"], n) for n, w in result["workloads"].items() if "segment" in w]
    ticks = ", ".join(f"'{x}' {x}" for x, _ in names)
    for metric, unit, word in (("gbit_s", "Gbit/s", "throughput"),
                               ("cpu_s_per_gb", "CPU-s/GB of the back-end", "cpu")):
        plot = Plot(folder, f"segments-{word}.svg",
                    f"Guest to host by engine and segment size: {word.replace('cpu', 'CPU time')}",
                    "payload of a segment, bytes", unit,
                    more=f"set logscale x 2\nset xtics ({ticks})\nset xrange [1150:85000]\n"
                    "set yrange [0:*]")
        _with_spread(plot, {s: _points(result, s, names, metric)
                            for s in setups_of(result, "pump")})
        yield plot


def _guests(result):
    """(kind of set-up, suffix of its workloads and files, words for it)"""
    emulated = "" if result["environment"]["kvm"] else " (TCG: only ratios)"
    return (("native", "", "namespace guests"), ("vm", "-vm", f"VMs{emulated}"))


def _crr_cdf(result, folder, kind, suffix, title):
    lines = {}
    for setup in setups_of(result, kind):
        hists = [s["client"]["hist"] for s in result["samples"] if s["setup"] == setup
                 and s["workload"] == f"crr-1{suffix}"]
        if hists:
            cdf = stats.hist_cdf(stats.hist_merge(hists))
            # The last thousandth is a matter of the tables.
            lines[setup] = [(x / 1e3, y) for x, y in cdf if y <= 0.999]
    plot = Plot(folder, f"crr-cdf{suffix}.svg",
                f"Connect-request-response one at a time, {title}", "us", "part of all",
                more=_log_axis("x", [x for line in lines.values() for x, _ in line])
                + "set yrange [0:1]")
    for setup, line in lines.items():
        plot.add(setup, line, style="lines")
    return plot


def _crr_concurrency(result, folder, kind, suffix, title, core):
    names = [(m, f"crr-{m}{suffix}{core}") for m in (1, 2, 4, 8)]
    lines = {s: _points(result, s, names, "p50_us") for s in setups_of(result, kind)}
    if not any(len(p) > 1 for p in lines.values()):
        lines = {}
    plot = Plot(folder, f"crr-concurrency{suffix}{core.replace('/', '-')}.svg",
                f"Connect-request-response, {title}{', one core' if core else ''}",
                "connections at a time", "p50, us",
                more=_log_axis("y", [v for line in lines.values() for p in line for v in p[1:]])
                + "set logscale x 2\nset xtics (1, 2, 4, 8)\nset xrange [0.8:10]")
    _with_spread(plot, lines)
    return plot


def connections(result, folder):
    """CDF of connect-request-response, and its median against concurrency."""
    for guests in _guests(result):
        yield _crr_cdf(result, folder, *guests)
        for core in ("", "/one-core"):
            yield _crr_concurrency(result, folder, *guests, core)


def memory(result, folder):
    for kind, suffix, title in _guests(result):
        # A guest's RAM is shared memory, and so not in it.
        lines = {setup: [(m["t"], m["private_kib"] / 1024) for m in result["memory"]
                         if m["setup"] == setup and m["private_kib"]]
                 for setup in setups_of(result, kind)}
        plot = Plot(folder, f"memory{suffix}.svg",
                    f"Private resident memory of the network's processes, {title.split(' (')[0]}",
                    "seconds into the run", "MiB",
                    more=_log_axis("y", [v for line in lines.values() for _, v in line]))
        for setup, line in lines.items():
            plot.add(setup, line, style="lines")
        yield plot


def allocations(result, folder):
    """Heap calls of a connection: how it went, and what this run has found."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "allocations.json")
    with open(path, encoding="utf-8") as f:
        steps = [(s["step"], s["allocations"]) for s in json.load(f)]
    for c in result["counts"]:
        opened = c["counters"].get("net.tcp_opened", 0)
        if c["setup"] == "sluice-auto" and c["workload"].startswith("crr") and opened:
            steps.append(("this run", c["counters"].get("worker.allocations", 0) / opened))
            break
    ticks = ", ".join(f"'{name}' {i}" for i, (name, _) in enumerate(steps))
    plot = Plot(folder, "allocations.svg", "Allocations of a connection on the data path", "",
                "allocations", key="off",
                more=f"set xtics ({ticks}) rotate by -25 scale 0\nset yrange [0:*]\n"
                     "set style fill solid 0.8\nset boxwidth 0.6\n"
                     f"set xrange [-0.6:{len(steps) - 0.4}]")
    points = [(i, n, f'"{n:g}"') for i, (_, n) in enumerate(steps)]
    plot.add("steps", points, style="boxes", colour="#0072B2")
    plot.add("", points, style="labels offset 0,0.7", colour="#333333", columns="1:2:3")
    yield plot


KIND_COLOURS = {"calm": "#0072B2", "restart": "#E69F00", "reset": "#D55E00",
                "starve": "#CC79A7", "link": "#009E73"}


def soak(lines, folder):
    """Figures of a soak (harness/soak.py) over its minutes."""
    samples = [line for line in lines if line["line"] == "sample"]
    probes = [line for line in lines if line["line"] == "probe"]
    rests = [s for s in samples if s["rest"]]

    def over(some, value):
        return [(round(s["s"] / 60, 3), value(s)) for s in some]

    def plot(name, title, y, more="set yrange [0:*]"):
        return Plot(folder, f"soak-{name}.svg", title, "minutes", y, more=more)

    memory_plot = plot("memory", "Memory of the process, without what the guest shares", "KiB")
    memory_plot.add("private", over(samples, lambda s: s["anon_kib"]), "lines", "#56B4E9")
    memory_plot.add("private and file", over(samples, lambda s: s["anon_kib"] + s["file_kib"]),
                    "lines", "#999999")
    memory_plot.add("the same at rest", over(rests, lambda s: s["anon_kib"] + s["file_kib"]),
                    colour="#D55E00")
    yield memory_plot

    latency = plot("latency", "p99 of small exchanges, in intervals of ten seconds", "ms",
                   more="set logscale y\nset format y '%g'")
    for kind, colour in KIND_COLOURS.items():
        latency.add(kind, over([p for p in probes if p["who"] == "guest" and p["kind"] == kind],
                               lambda p: p["p99_us"] / 1e3), "points pt 7 ps 0.5", colour)
    latency.add("direct", over([p for p in probes if p["who"] == "direct"],
                               lambda p: p["p99_us"] / 1e3), "points pt 6 ps 0.4", "#999999")
    yield latency

    flows = plot("flows", "Flows and descriptors", "number")
    flows.add("TCP flows", over(samples, lambda s: s["flows"]["tcp"]), "lines", "#0072B2")
    flows.add("UDP flows", over(samples, lambda s: s["flows"]["udp"]), "lines", "#E69F00")
    flows.add("descriptors", over(samples, lambda s: s["fds"]), "lines", "#999999")
    flows.add("the same at rest", over(rests, lambda s: s["fds"]), colour="#D55E00")
    yield flows

    held = plot("held", "Bytes of the guest that wait for a socket or are referred to by one",
                "KiB")
    held.add("parked", over(samples, lambda s: s["parked"] / 1024), "lines", "#0072B2")
    held.add("lent", over(samples, lambda s: s["lent"] / 1024), "lines", "#009E73")
    held.add("at rest", over(rests, lambda s: (s["parked"] + s["lent"]) / 1024),
             colour="#D55E00")
    yield held

    moved = plot("moved", "Bytes moved so far", "GB")
    moved.add("up", over(samples, lambda s: s["tx_bytes"] / 1e9), "lines", "#0072B2")
    moved.add("down", over(samples, lambda s: s["rx_bytes"] / 1e9), "lines", "#D55E00")
    yield moved


def draw(result, folder):
    """Draw all; what of it there is data for, as (file name, title)."""
    os.makedirs(folder, exist_ok=True)
    drawn = []
    for part in (segments, connections, memory, allocations):
        drawn += [p.draw() for p in part(result, folder)]
    return [d for d in drawn if d]
