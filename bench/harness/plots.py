# SPDX-License-Identifier: MIT
"""SVG plots, drawn by gnuplot; none where it is not installed."""
import json
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


def _points(result, setup, names, metric):
    """(x, median, lower and upper quartile) for workloads that differ in one number."""
    out = []
    for x, workload in names:
        found = results.values(result, setup, workload, metric)
        if found:
            out.append((x, stats.median(found), *stats.iqr(found)))
    return out


def _with_spread(plot, name, points):
    plot.add(name, points, style="yerrorlines pt 7 ps 0.6", columns="1:2:3:4")


def segments(result, folder):
    names = [(w["segment"], n) for n, w in result["workloads"].items() if "segment" in w]
    ticks = ", ".join(f"'{x}' {x}" for x, _ in names)
    for metric, unit, word in (("gbit_s", "Gbit/s", "throughput"),
                               ("cpu_s_per_gb", "CPU-s/GB of the back-end", "cpu")):
        plot = Plot(folder, f"segments-{word}.svg",
                    f"Guest to host by engine and segment size: {word.replace('cpu', 'CPU time')}",
                    "payload of a segment, bytes", unit,
                    more=f"set logscale x 2\nset xtics ({ticks})\nset xrange [1200:80000]\n"
                    "set yrange [0:*]")
        for setup in setups_of(result, "pump"):
            _with_spread(plot, setup, _points(result, setup, names, metric))
        yield plot


def connections(result, folder):
    """CDF of connect-request-response, and its median against concurrency."""
    for kind, suffix, title in (("native", "", "namespace guests"), ("vm", "-vm", "VMs")):
        plot = Plot(folder, f"crr-cdf{suffix}.svg",
                    f"Connect-request-response one at a time, {title}", "us", "part of all",
                    key="bottom right", more="set logscale x\nset format x '%g'\nset yrange [0:1]")
        for setup in setups_of(result, kind):
            hists = [s["client"]["hist"] for s in result["samples"] if s["setup"] == setup
                     and s["workload"] == f"crr-1{suffix}"]
            if hists:
                cdf = stats.hist_cdf(stats.hist_merge(hists))
                plot.add(setup, [(x / 1e3, y) for x, y in cdf], style="lines")
        yield plot
        for core in ("", "/one-core"):
            plot = Plot(folder, f"crr-concurrency{suffix}{core.replace('/', '-')}.svg",
                        f"Connect-request-response, {title}{', one core' if core else ''}",
                        "connections at a time", "p50, us",
                        more="set logscale x 2\nset xtics (1, 2, 4, 8)\nset xrange [0.9:9]\n"
                        "set logscale y\nset format y '%g'")
            names = [(m, f"crr-{m}{suffix}{core}") for m in (1, 2, 4, 8)]
            lines = {s: _points(result, s, names, "p50_us") for s in setups_of(result, kind)}
            if any(len(p) > 1 for p in lines.values()):
                for setup, points in lines.items():
                    _with_spread(plot, setup, points)
                yield plot


def memory(result, folder):
    for kind, suffix in (("native", ""), ("vm", "-vm")):
        # A guest's RAM is shared memory, and so not in it.
        plot = Plot(folder, f"memory{suffix}.svg", "Private memory of the network's processes",
                    "seconds into the run", "MiB", more="set logscale y\nset format y '%g'")
        for setup in setups_of(result, kind):
            plot.add(setup, [(m["t"], m["private_kib"] / 1024) for m in result["memory"]
                             if m["setup"] == setup and m["private_kib"]], style="lines")
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
                more=f"set xtics ({ticks}) rotate by -25\nset yrange [0:*]\nset style fill solid"
                     f" 0.8\nset boxwidth 0.6\nset xrange [-0.6:{len(steps) - 0.4}]")
    points = [(i, n, f'"{n:g}"') for i, (_, n) in enumerate(steps)]
    plot.add("steps", points, style="boxes", colour="#0072B2")
    plot.add("", points, style="labels offset 0,0.7", colour="#333333", columns="1:2:3")
    yield plot


def draw(result, folder):
    """Draw all; what of it there is data for, as (file name, title)."""
    os.makedirs(folder, exist_ok=True)
    drawn = []
    for part in (segments, connections, memory, allocations):
        drawn += [p.draw() for p in part(result, folder)]
    return [d for d in drawn if d]
