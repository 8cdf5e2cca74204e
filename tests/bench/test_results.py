# SPDX-License-Identifier: MIT
"""From a result to its tables and verdicts, without measuring anything."""
import contextlib
import copy
import json
import os
import random
import subprocess
import tempfile

from harness import machines, result, setups, tables, verdict, workloads


def made_up(factor=1.0, seed=1, rounds=8):
    """A result with two set-ups; the second one's figures are @factor of what they were."""
    rng = random.Random(seed)
    samples = []
    for number in range(rounds):
        for name, f in (("host-direct", 1), ("sluice-auto", factor)):
            def value(middle, f=f):
                return middle * f * (1 + rng.gauss(0, 0.01))
            samples.append({"setup": name, "workload": "bulk-up", "round": number, "t": number,
                            "errors": 0, "client": {}, "guest_cpu_ns": 0,
                            "metrics": {"gbit_s": value(20), "cpu_s_per_gb": value(0.2)}})
            samples.append({"setup": name, "workload": "crr-1", "round": number, "t": number,
                            "errors": 0, "client": {"hist": [[90000, 5], [120000, 5]]},
                            "guest_cpu_ns": 0,
                            "metrics": {"p50_us": value(100), "p90_us": value(150),
                                        "p99_us": value(200), "p999_us": 1000,
                                        "per_s": value(9000)}})
    about = {"args": "x", "mtu": 1500, "buffers": "stock", "one_core": False, "delay_ms": 0,
             "skipped": None, "unit": "op"}
    here = {"skipped": None, "notes": {}, "kind": "native", "engine": None}
    return {
        "schema": result.SCHEMA, "mode": "quick", "began": 0, "lasted": 10.0,
        "environment": {
            "cpu": {"model": "a CPU", "cpus": 2, "hypervisor": False, "vt": "vmx",
                    "governor": "performance"},
            "kernel": "6", "memory_kib": 1 << 20, "kvm": True, "congestion_control": "reno",
            "versions": {"sluice": "0"}, "revision": "abc", "guest_kernel": None,
            "load_before": [0.1, 0, 0], "load_after": [0.2, 0, 0]},
        "setups": {"host-direct": {**here, "title": "direct"},
                   "sluice-auto": {**here, "title": "sluice"},
                   "pasta": {**here, "title": "pasta", "skipped": "no pasta"}},
        "workloads": {"bulk-up": {**about, "title": "bulk", "unit": "MB"},
                      "crr-1": {**about, "title": "crr"}},
        "samples": samples, "failures": [],
        "counts": [{"setup": "sluice-auto", "workload": "crr-1", "amount": 100,
                    "syscalls_per_unit": 16.4,
                    "counters": {"net.tcp_opened": 100, "queue.kicks.tx": 300}}],
        "memory": [{"setup": "sluice-auto", "t": 1.0, "resident_kib": 4000, "private_kib": 600}],
    }


@contextlib.contextmanager
def stored(*results):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, r in enumerate(results):
            paths.append(f"{folder}/{i}.json")
            result.save(r, paths[-1])
        yield paths


def run_report(*args):
    return subprocess.run(["bench/report", *args], capture_output=True, text=True, check=False)


def test_a_result_against_itself_has_no_difference():
    judged = verdict.between(made_up(), made_up())
    assert len(judged) == 2 * 6, [c.name for c in judged]
    assert {c.verdict for c in judged} == {"no difference"}


def test_another_run_of_the_same_has_no_difference():
    judged = verdict.between(made_up(seed=5), made_up(seed=6))
    assert {c.verdict for c in judged} == {"no difference"}, verdict.text(judged, "a", "b")


def test_report_finds_a_tenth_and_says_so_by_its_status():
    with stored(made_up(seed=1), made_up(1.1, seed=2)) as (before, after):
        same = run_report("--compare", before, before)
        assert same.returncode == 0 and "no difference in any of 12" in same.stdout, same
        slower = run_report("--compare", before, after)
        assert slower.returncode == 1, slower
        lines = [line for line in slower.stdout.splitlines() if line.startswith("worse: ")]
        names = {line.split()[2] + line.split()[3] for line in lines}
        assert names == {"bulk-upcpu_s_per_gb", "crr-1p50_us", "crr-1p90_us", "crr-1p99_us"}, names
        assert all(line.split()[1] == "sluice-auto" for line in lines), lines


def test_report_refuses_what_it_does_not_know():
    other = made_up()
    other["schema"] = result.SCHEMA + 1
    with stored(other) as (path,):
        assert run_report(path).returncode == 2
        with open(path, "w", encoding="utf-8") as f:
            f.write("{")
        assert run_report(path).returncode == 2


def test_two_runs_count_as_one_with_more_rounds():
    both = result.merge([made_up(seed=1), made_up(seed=2)])
    found = result.values(both, "sluice-auto", "bulk-up", "gbit_s")
    assert len(found) == 16
    assert found[:8] == result.values(made_up(seed=1), "sluice-auto", "bulk-up", "gbit_s")
    assert [m["t"] for m in both["memory"]] == [1.0, 11.0]  # one after the other, in the plot
    assert both["environment"]["revision"] == "abc"


def test_runs_of_other_versions_say_so_when_they_count_as_one():
    other, third = made_up(seed=2), made_up(seed=3)
    other["environment"]["versions"] = third["environment"]["versions"] = {"sluice": "1"}
    other["environment"]["load_before"] = [9, 0, 0]
    both = result.merge([made_up(seed=1), other, third])["environment"]
    assert both["versions"] == {"sluice": "0 and 1"} and both["load_before"][0] == 9, both


def test_errors_and_lost_samples_are_counted():
    r = made_up()
    r["samples"][1]["errors"] = 3
    setup = r["samples"][1]["setup"]
    r["failures"].append({"setup": setup, "workload": "crr-1", "round": 0, "why": "x"})
    assert result.errors(r, setup) == 4


def test_the_page_has_every_figure_and_says_what_is_missing():
    page = tables.report(made_up(), [("a.svg", "a plot")])
    for text in ("| sluice-auto | ", "pasta, as no pasta", "16.4", "a.svg", "p99.9, us",
                 "1/s", "3.00 / 0"):
        assert text in page, text
    assert "busy" not in page and "TCG" not in page
    busy = copy.deepcopy(made_up())
    busy["environment"]["load_before"][0] = 3.0
    assert "busy" in tables.report(busy, [])


def test_numbers_have_three_digits_that_matter():
    given = {0: "0", 0.01234: "0.0123", 1.2345: "1.23", 12.345: "12.3", 123.45: "123",
             1234.5: "1,234", 0.00001: "0.0000"}
    for value, text in given.items():
        assert tables.number(value) == text, (value, tables.number(value))


def test_names_are_unique_and_each_workload_has_a_set_up():
    sets = setups.native() + setups.pumps() + machines.virtual()
    names = [s.name for s in sets]
    assert len(set(names)) == len(names)
    for mode, of in workloads.SETS.items():
        listed = of()
        names = [w.name for w in listed]
        assert len(set(names)) == len(names), (mode, names)
        for w in listed:
            assert any(w.fits(s) for s in sets), w.name


def test_the_load_generators_line_is_found_behind_a_prompt():
    found = setups.last_json('noise\n~ # {"ok":true,"n":1}\n')
    assert found == {"ok": True, "n": 1}
    try:
        setups.last_json("nothing")
    except setups.Failed:
        return
    raise AssertionError("no line was taken for one")


def test_features_have_names():
    assert setups.last_features('x\n{"features":"0x20001"}\n') == ["csum"]
    assert setups.feature_names(1 << 15 | 1 << 29) == ["mrg_rxbuf", "event_idx"]


def test_a_result_is_stored_whole_or_not_at_all():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/new/r.json"
        result.save(made_up(), path)
        assert os.listdir(f"{folder}/new") == ["r.json"]
        with open(path, encoding="utf-8") as f:
            assert json.load(f)["schema"] == result.SCHEMA


def test_a_count_that_only_one_end_has_is_an_error():
    listed = {w.name: w for w in workloads.quick()}
    up, crr = listed["bulk-up"], listed["crr-8"]
    seen = {"accepted": 1, "bytes_in": 5000, "bytes_out": 0, "answered": 0}
    assert up.disagreement({"bytes": 5000}, seen) == 0
    assert up.disagreement({"bytes": 4999}, seen) == 1
    assert up.disagreement({"bytes": 5000}, {**seen, "accepted": 3}) == 2
    seen = {"accepted": 2000, "answered": 1999}
    assert crr.disagreement({"succeeded": 2000}, seen) == 1


def test_two_set_ups_of_one_run_are_compared_in_pairs():
    r = made_up(1.0, seed=3)
    for s in r["samples"]:
        s["setup"] = {"host-direct": "before", "sluice-auto": "after"}[s["setup"]]
    assert {c.verdict for c in verdict.within(r, "before", "after")} == {"no difference"}
    drifting = made_up(0.9, seed=4)
    for s in drifting["samples"]:
        s["setup"] = {"host-direct": "before", "sluice-auto": "after"}[s["setup"]]
        for name in s["metrics"]:
            s["metrics"][name] *= 1 + 0.3 * s["round"]
    judged = verdict.within(drifting, "before", "after")
    assert {c.name for c in judged if c.verdict == "worse"} == \
        {"bulk-up gbit_s", "crr-1 per_s"}, verdict.text(judged, "a", "b")
