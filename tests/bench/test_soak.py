# SPDX-License-Identifier: MIT
"""The verdict of a soak, on samples that were made up; and a short soak, on real ones."""
import glob
import os
import random
import re
import subprocess
import tempfile

from harness import plots, soak
from run import Skip
from test_runs import BUILD, need_namespaces

KINDS = ["calm", "restart", "link"]
ROUND_S = 30


def sample(s, kind, rest, **more):
    made = {"line": "sample", "s": s, "round": 1, "kind": kind, "rest": rest, "rss_kib": 20000,
            "anon_kib": 800 if rest else 3000, "file_kib": 2400, "shared_kib": 16000,
            "fds": 21 if rest else 60, "flows": {"tcp": 0 if rest else 300, "udp": 0},
            "states": {}, "stalls": {}, "pools": {"tcp-seg": 0 if rest else 20, "dns-cache": 7},
            "parked": 0 if rest else 100000, "held": 0, "lent": 0, "lent_frames": 0,
            "heap_calls": 0, "tx_bytes": s * 10**8, "rx_bytes": s * 10**8, "opened": s * 300,
            "retransmits": 0, "cpu_ms": s * 500, "drops": {}, "faults": {}, "engines": {},
            "flow": []}
    made.update(more)
    return made


def an_hour(seed=1):
    """Nothing wrong, on a machine that has something else to do every now and then."""
    rng = random.Random(seed)
    lines = [{"line": "soak", "s": 0, "kinds": KINDS, "engine": "copy", "command": "sluice",
              "started": "today", "machine": {"cpu": {"model": "x", "cpus": 2}, "kernel": "6",
                                              "revision": "r"}},
             sample(0, "start", True)]
    usual = {"calm": 3000, "restart": 9000, "link": 210000}
    for i in range(3600 // ROUND_S):
        kind, begin = KINDS[i % 3], i * ROUND_S
        for s in (begin + 10, begin + 20):
            busy = 3 if rng.random() < 0.2 else 1
            lines.append(sample(s, kind, False, flow=[
                {"id": "tcp-1.1", "bytes": s * 1000, "stall": "moving"}]))
            for who, us in (("guest", usual[kind]), ("direct", 500)):
                lines.append({"line": "probe", "s": s, "round": i, "kind": kind, "who": who,
                              "p99_us": us * busy * rng.lognormvariate(0, 0.4)})
        # What a round leaves at rest goes up and down by a few pages.
        lines.append(sample(begin + 29, kind, True, anon_kib=800 + 4 * rng.randrange(-10, 10)))
        lines.append({"line": "round", "s": begin + 29, "round": i, "kind": kind, "done": 100,
                      "given": 0, "tx_bytes": 10**9, "rx_bytes": 10**9, "opened": 1000})
    return lines


def failures(lines):
    return [c.name for c in soak.judge(lines) if c.ok is False]


def change(lines, which, key, value):
    """@value of the line instead of its @key, in those that @which says."""
    return [{**line, key: value(line)} if which(line) else line for line in lines]


def at_rest(line):
    return line["line"] == "sample" and line["rest"]


def through(line):
    return line["line"] == "probe" and line["who"] == "guest"


def test_soak_flat_passes():
    for seed in range(5):
        checks = soak.judge(an_hour(seed))
        assert all(c.ok for c in checks), soak.table(checks)
        assert {"latency", "latency, calm", "latency, link"} <= {c.name for c in checks}


def test_soak_leak_fails():
    lines = change(an_hour(), at_rest, "anon_kib", lambda x: x["anon_kib"] + int(x["s"] / 12))
    assert failures(lines) == ["memory"], soak.table(soak.judge(lines))  # 300 KiB an hour


def test_soak_leak_below_the_bound_passes():
    lines = change(an_hour(), at_rest, "anon_kib", lambda x: x["anon_kib"] + int(x["s"] / 18))
    assert not failures(lines)


def test_soak_steps_early_on_are_no_leak():
    lines = change(an_hour(), at_rest, "anon_kib",
                   lambda x: x["anon_kib"] + (2000 if x["s"] > 400 else 0))
    assert not failures(lines)
    # One odd value does not hide a leak either.
    lines = change(an_hour(), at_rest, "anon_kib", lambda x: x["anon_kib"] + int(x["s"] / 12)
                   + (10000 if 70 < x["s"] < 130 else 0))
    assert failures(lines) == ["memory"]


def test_soak_descriptor_leak_fails():
    lines = change(an_hour(), at_rest, "fds", lambda x: 21 + (x["s"] > 1800))
    assert failures(lines) == ["descriptors"]


def test_soak_doubled_latency_fails():
    def late(x, factor):
        return x["p99_us"] * (factor if x["s"] > 2000 else 1)
    lines = change(an_hour(), through, "p99_us", lambda x: late(x, 3))
    found = failures(lines)
    assert "latency" in found and "memory" not in found, soak.table(soak.judge(lines))
    # In one kind of rounds only.
    lines = change(an_hour(), lambda x: through(x) and x["kind"] == "link", "p99_us",
                   lambda x: late(x, 4))
    assert failures(lines) == ["latency, link"], soak.table(soak.judge(lines))


def test_soak_busy_machine_is_not_our_latency():
    def slower(x):
        return x["p99_us"] * (1 + 4 * x["s"] / 3600)
    assert not failures(change(an_hour(), lambda x: x["line"] == "probe", "p99_us", slower))


def stand(lines, stall, seconds, begin=600):
    """A flow without progress from @begin on, for @seconds."""
    def still(x):
        return x["line"] == "sample" and not x["rest"] and begin <= x["s"] <= begin + seconds
    return change(lines, still, "flow", lambda x: [{"id": "tcp-7.1", "bytes": 5, "stall": stall}])


def denser(lines):
    """Rounds without an end between them, so that samples are ten seconds apart."""
    return [x for x in lines if not (at_rest(x) and 500 < x["s"] < 800)]


def test_soak_stall_fails():
    for stall in ("moving", "idle"):
        assert failures(stand(denser(an_hour()), stall, 40)) == ["stalls"]
    assert failures(stand(denser(an_hour()), "host-full", 80)) == ["stalls"]


def test_soak_flow_that_waits_for_its_peer_is_no_stall():
    assert not failures(stand(denser(an_hour()), "guest-window-zero", 40))
    # A number that serves another flow next is another flow.
    lines = change(denser(an_hour()), lambda x: x["line"] == "sample" and not x["rest"], "flow",
                   lambda x: [{"id": f"tcp-7.{int(x['s'] / 10)}", "bytes": 0, "stall": "idle"}])
    assert not failures(lines)


def test_soak_asks_for_every_reason():
    with open("tcpstack/snapshot.h", encoding="utf-8") as f:
        names = re.findall(r'^\tX\(\w+, "([a-z-]+)"', f.read(), re.M)
    assert sorted(names) == sorted(soak.STALLS), names


def test_soak_wrong_byte_fails():
    lines = [*an_hour(), {"line": "wrong", "s": 9, "round": 1, "kind": "calm", "text": "byte 7"}]
    assert failures(lines) == ["content"]
    assert "byte 7" in soak.table(soak.judge(lines))


def test_soak_that_did_nothing_fails():
    lines = change(an_hour(), lambda x: x["line"] == "round", "done", lambda x: 0)
    assert failures(lines) == ["content"]


def test_soak_heap_call_and_what_is_left_fail():
    lines = change(an_hour(), lambda x: x["line"] == "sample", "heap_calls", lambda x: x["s"] > 99)
    assert failures(lines) == ["heap"]
    lines = change(an_hour(), at_rest, "pools", lambda x: {"tcp-seg": 1, "dns-cache": 3})
    assert failures(lines) == ["left over"]
    lines = change(an_hour(), at_rest, "lent", lambda x: 4096)
    assert failures(lines) == ["left over"]


def test_soak_too_short_to_judge_says_so():
    lines = [x for x in an_hour() if x["s"] < 100]
    found = {c.name: c.ok for c in soak.judge(lines)}
    assert found["memory"] is None and found["latency"] is None, found
    assert found["content"] and found["stalls"]


def test_soak_runs():
    need_namespaces()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["bench/soak/run", "--build", BUILD, "--minutes", "0.2", "--only",
                               "calm,reset", "--engine", "splice", "--out", folder],
                              capture_output=True, text=True, check=False)
        if done.returncode == 77:
            raise Skip(done.stdout.strip())
        assert done.returncode == 0, (done.stdout + done.stderr)[-600:]
        lines = soak.load(f"{folder}/soak.jsonl")
        rounds = soak.of_kind(lines, "round")
        assert {r["kind"] for r in rounds} == {"calm", "reset"}
        assert all(r["done"] > 0 and r["tx_bytes"] > 10**6 for r in rounds), rounds
        assert any(s["engines"]["splice"] > 10**6 for s in soak.of_kind(lines, "sample"))
        drawn = {os.path.basename(p) for p in glob.glob(f"{folder}/*.svg")}
        if plots.available():
            assert "soak-memory.svg" in drawn, drawn
        # The samples alone are enough to judge anew.
        again = subprocess.run(["bench/soak/run", "--judge", f"{folder}/soak.jsonl"],
                               capture_output=True, text=True, check=False)
        assert again.returncode == 0 and "passed" in again.stdout, again
