# SPDX-License-Identifier: MIT
"""The JSON between a run and its report.

    schema        1; readers refuse what they do not know
    mode          which set of workloads: quick, full, tiny, ab
    began         seconds since 1970; lasted: seconds
    environment   see environment.py, and load_after
    setups        name -> title, kind, engine, notes, skipped (a reason, or null)
    workloads     name -> title, args, mtu, buffers, one_core, delay_ms, unit
    samples       setup, workload, round, t (seconds into the run), metrics, errors,
                  client (what bench/load printed), guest_cpu_ns
    counts        setup, workload, syscalls_per_unit, counters: of a run of its own
                  whose times are not used
    memory        setup, t, resident_kib, private_kib
    failures      setup, workload, round, why: samples that could not be taken
"""
import json
import os

SCHEMA = 1


class Bad(Exception):
    pass


def save(result, path):
    """Whole or not at all."""
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as f:
        json.dump(result, f, separators=(",", ":"))
        f.write("\n")
    os.replace(f"{path}.new", path)


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
    except (OSError, ValueError) as why:
        raise Bad(f"{path}: {why}") from why
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise Bad(f"{path}: not a result of schema {SCHEMA}")
    return result


def _both(first, second):
    """A text of each run, or the one that they share; None where a run has none."""
    if first is None or second is None:
        return first or second
    return first if second in first.split(" and ") else f"{first} and {second}"


def _merge_environment(ours, other):
    for name, version in other["versions"].items():
        ours["versions"][name] = _both(ours["versions"].get(name), version)
    ours["revision"] = _both(ours["revision"], other["revision"])
    for when in ("load_before", "load_after"):
        ours[when] = max(ours[when], other[when])


def merge(results):
    """Several runs as one: samples of the later ones are further rounds."""
    out = results[0]
    for other in results[1:]:
        shift = 1 + max((s["round"] for s in out["samples"]), default=-1)
        later = out["lasted"]
        out["workloads"].update(other["workloads"])
        for name, what in other["setups"].items():
            if name not in out["setups"] or out["setups"][name]["skipped"]:
                out["setups"][name] = what
        for sample in other["samples"]:
            out["samples"].append({**sample, "round": sample["round"] + shift,
                                   "t": sample["t"] + later})
        out["memory"] += [{**m, "t": m["t"] + later} for m in other["memory"]]
        for key in ("counts", "failures"):
            out[key] += other[key]
        out["lasted"] += other["lasted"]
        _merge_environment(out["environment"], other["environment"])
        out["mode"] = _both(out["mode"], other["mode"])
    return out


def values(result, setup, workload, metric):
    """Samples of one figure, in the order of their rounds."""
    found = [(s["round"], s["metrics"][metric]) for s in result["samples"]
             if s["setup"] == setup and s["workload"] == workload and metric in s["metrics"]]
    return [v for _, v in sorted(found, key=lambda f: f[0])]


def errors(result, setup):
    """Errors of all samples of a set-up, and samples that could not be taken."""
    return sum(s["errors"] for s in result["samples"] if s["setup"] == setup) \
        + sum(1 for f in result["failures"] if f["setup"] == setup)
