# SPDX-License-Identifier: MIT
"""Two results, or two set-ups of one, figure by figure: better, worse, no difference."""
from . import result as results
from . import stats, tables
from .workloads import METRICS

# Fewer samples than this on a side say nothing, however they fall.
LEAST = 4

# Single slow exchanges decide these; they are shown, but a verdict needs thousands more.
SHOWN_ONLY = ("p999_us",)


def _compare(name, metric, before, after, paired):
    if min(len(before), len(after)) < LEAST or metric in SHOWN_ONLY:
        return None
    return stats.Comparison(f"{name} {metric}", before, after, METRICS[metric][1], paired)


def between(before, after):
    """All figures that both results have; samples of different runs are not paired."""
    out = []
    cells = []
    for s in before["samples"]:
        cell = (s["setup"], s["workload"])
        if cell not in cells:
            cells.append(cell)
    for setup, workload in cells:
        for metric in METRICS:
            out.append(_compare(f"{setup} {workload}", metric,
                                results.values(before, setup, workload, metric),
                                results.values(after, setup, workload, metric), False))
    return stats.judge_all([c for c in out if c])


def within(result, before, after):
    """Two set-ups of one run: the samples of one round are a pair."""
    out = []
    for workload in result["workloads"]:
        for metric in METRICS:
            out.append(_compare(workload, metric,
                                results.values(result, before, workload, metric),
                                results.values(result, after, workload, metric), True))
    return stats.judge_all([c for c in out if c])


def text(judged, before, after):
    """A table, and a sentence."""
    if not judged:
        return f"nothing to compare: fewer than {LEAST} samples of every figure"
    differ = [c for c in judged if c.verdict != "no difference"]
    lines = [tables.verdicts(judged, before, after)]
    if not differ:
        lines.append(f"no difference in any of {len(judged)} metrics")
    for c in differ:
        lines.append(f"{c.verdict}: {c.name} {100 * c.change:+.1f} % (p = {c.p:.4f})")
    return "\n".join(lines)
