# SPDX-License-Identifier: MIT
"""The harness itself, with sizes so small that no figure of them means anything."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from harness import isolate, meter, plots, result, session, setups, workloads
from run import Skip

BUILD = os.environ.get("BUILD", "build")


def need_namespaces():
    why = isolate.missing()
    if not why and not os.path.exists("/dev/net/tun"):
        why = "no /dev/net/tun"
    if why:
        raise Skip(why)
    if not os.access(f"{BUILD}/sluice", os.X_OK):
        raise Skip(f"no {BUILD}/sluice")


def compare(folder, *args):
    out = f"{folder}/result.json"
    done = subprocess.run(["bench/compare", "--tiny", "--quiet", "--build", BUILD, "--out", out,
                           *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-400:]
    return result.load(out)


def test_compare_measures_and_report_shows_it():
    need_namespaces()
    with tempfile.TemporaryDirectory() as folder:
        found = compare(folder, "--no-vm", "--only", "host-direct,sluice-auto,sluice-splice")
        cells = {(s["setup"], s["workload"]) for s in found["samples"]}
        for setup in ("host-direct", "sluice-auto", "sluice-splice"):
            for work in ("bulk-up", "bulk-down-exact", "rr", "crr-4/one-core", "udp-up"):
                assert (setup, work) in cells, (setup, work)
            assert result.errors(found, setup) == 0
        for s in found["samples"]:
            if s["setup"] == "sluice-auto" and s["workload"] == "bulk-up":
                assert s["metrics"]["cpu_s_per_gb"] > 0
                assert s["client"]["cc"] == "reno"
        assert any(c["counters"].get("net.tcp_opened") == c["amount"] == 20 for c in found["counts"])
        assert any(m["private_kib"] > 0 for m in found["memory"])
        shown = subprocess.run(["bench/report", f"{folder}/result.json"], capture_output=True,
                               text=True, check=False)
        assert shown.returncode == 0 and "sluice-splice" in shown.stdout, shown
        with open(f"{folder}/report.md", encoding="utf-8") as f:
            assert "crr-4/one-core" in f.read()
        if plots.available():
            with open(f"{folder}/memory.svg", encoding="utf-8") as f:
                assert "sluice-auto" in f.read()


def test_compare_skips_what_is_not_there_and_says_why():
    need_namespaces()
    with tempfile.TemporaryDirectory() as folder:
        found = compare(folder, "--only", "host-direct,slirp4netns,rr", "--slirp4netns",
                        f"{folder}/none")
        assert found["setups"]["slirp4netns"]["skipped"] == "no slirp4netns"
        assert {s["setup"] for s in found["samples"]} == {"host-direct"}


class Idler(setups.Direct):
    """A set-up whose network process does nothing; its CPU time is told by the test."""

    def start(self, rig):
        self.procs = [rig.spawn(["sleep", "infinity"])]
        self.network = [self.procs[0].pid]


def test_a_set_up_that_spins_is_left_out():
    need_namespaces()
    with tempfile.TemporaryDirectory() as folder:
        rig = setups.Rig(folder, os.path.abspath(BUILD), {}, False)
        idler = Idler("idler", "")
        run = session.Session(rig, [idler], [workloads.named(workloads.tiny(), ["rr"])[0]],
                              "tiny", 1, quiet=True)
        idler.start(rig)
        try:
            assert not run._spins(idler)  # it has had no turn yet
            used, ten_ago = meter.cpu_ns(idler.network), run.progress.elapsed() - 10
            run.rested["idler"] = (ten_ago, used)
            assert not run._spins(idler)
            run.rested["idler"] = (ten_ago, used - 9e9)  # it has used nine of ten seconds
            assert run._spins(idler)
            run._leave_out(idler, run.workloads[0], 0)
        finally:
            idler.stop()
        assert not idler.alive() and idler.name in run.broken
        assert result.errors(run.result, "idler") == 1


def test_compare_knows_its_names():
    done = subprocess.run(["bench/compare", "--tiny", "--list", "--only", "nobody"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "nobody" in done.stderr, done


def test_ab_knows_its_names():
    done = subprocess.run(["bench/ab", ".", ".", "--only", "crr-*,nobody"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2 and "nobody" in done.stderr, done


def alive(mark):
    """Processes whose command line has @mark in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if mark.encode() in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


INSIDE = """
import subprocess, sys
sys.path.insert(0, "bench")
sys.dont_write_bytecode = True
from harness import isolate
where = isolate.enter(sys.argv)
subprocess.Popen(["setsid", "sleep", sys.argv[1]])
print(where, flush=True)
subprocess.run(["sleep", sys.argv[1]])
"""


def test_nothing_outlives_the_harness_however_it_ends():
    need_namespaces()
    for i, number in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGKILL)):
        mark = f"9{os.getpid()}{i}.5"  # seconds that nobody else sleeps
        with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
            script.write(INSIDE)
            script.flush()
            outside = subprocess.Popen([sys.executable, script.name, mark],
                                       stdout=subprocess.PIPE, text=True)
            where = outside.stdout.readline().strip()
            # Two inside that sleep so long, one of them in a session of its own; and the
            # harness itself, outside and inside, with unshare between.
            wait_until(lambda m=mark: len(alive(m)) >= 4)
            outside.send_signal(number)
            outside.wait()
            outside.stdout.close()
            wait_until(lambda m=mark: not alive(m))
            if number != signal.SIGKILL:
                assert not os.path.exists(where), where
            elif os.path.exists(where):
                os.rmdir(where)  # empty: what was in it was in a file system of its own


def test_the_line_of_progress_and_the_result_agree():
    need_namespaces()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["bench/compare", "--tiny", "--build", BUILD, "--rounds", "2",
                               "--only", "host-direct,rr", "--out", f"{folder}/r.json"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "round 2/2 ETA" in done.stderr, done.stderr
        with open(f"{folder}/r.json", encoding="utf-8") as f:
            assert len(json.load(f)["samples"]) == 2
