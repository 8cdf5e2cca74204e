# SPDX-License-Identifier: MIT
"""One run: set-ups start, warm up, and take turns.

A round is every workload once in every set-up. Rounds are the outermost loop, so that
each figure's samples are spread over the whole run and drift of the machine meets all
set-ups alike; within a workload the set-ups follow each other directly, A B C in one
round and C B A in the next.

Before the rounds each pair of set-up and workload has one run, a shorter one, whose
times are not used. It warms up, and it is the one in which system calls are counted.
"""
import os
import sys
import time

from . import environment, isolate, meter, result as results
from .setups import Failed, enter_net, settle


# How old what `sluice ctl metrics` says may be, and a little.
COUNTERS_AGE_S = 0.3

# A set-up that uses this part of a CPU while it is not its turn spins, and takes that time
# from all others; looked at when it has rested for so many seconds.
SPIN_SHARE = 0.2
SPIN_REST_S = 2.0


class Progress:
    """One line that is written over on a terminal, one a round elsewhere."""

    def __init__(self, quiet=False):
        self.live = sys.stderr.isatty()
        self.quiet = quiet
        self.began = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.began

    def say(self, text, passing=False):
        if self.quiet or (passing and not self.live):
            return
        end = "\r" if passing else "\n"
        clear = "\x1b[K" if self.live else ""
        print(f"{clear}bench: {int(self.elapsed()):4d} s  {text}", end=end, file=sys.stderr,
              flush=True)


class Session:
    """@budget: seconds in which all should be over; None = as long as it takes."""

    def __init__(self, rig, setups, workloads, mode, rounds, budget=None, quiet=False):
        self.rig = rig
        self.setups = [s for s in setups if any(w.fits(s) for w in workloads)]
        self.workloads = workloads
        self.rounds = rounds
        self.budget = budget
        self.progress = Progress(quiet)
        self.cpus = os.sched_getaffinity(0)
        self.one_cpu = {max(self.cpus)}
        self.broken = set()
        self.took = {}  # (set-up, workload) -> seconds of its last turn
        self.rested = {}  # set-up -> when its last turn ended, and its CPU time then
        self.open_counts = {}
        self.result = {
            "schema": results.SCHEMA, "mode": mode, "began": time.time(), "lasted": 0,
            "environment": environment.collect(rig.build, rig.programs),
            "setups": {}, "workloads": {}, "samples": [], "counts": [], "memory": [],
            "failures": [],
        }

    # --- before ---

    def _start_setups(self):
        running = []
        for setup in self.setups:
            setup.skipped = setup.missing(self.rig)
            if setup.skipped:
                self.progress.say(f"skipping {setup.name}: {setup.skipped}")
                continue
            try:
                setup.start(self.rig)
                running.append(setup)
            except (Failed, OSError) as why:
                self._give_up(setup, why)
        for setup in running:  # machines boot side by side
            try:
                setup.ready(self.rig)
                setup.set_buffers("stock")
            except (Failed, OSError) as why:
                self._give_up(setup, why)
        self.setups_running = [s for s in running if not s.skipped]
        for setup in self.setups_running:
            setup.freeze()

    def _give_up(self, setup, why):
        setup.skipped = f"did not start: {why}"
        self.progress.say(f"skipping {setup.name}: {setup.skipped}; {self.rig.logged()}")
        setup.stop()

    # --- one sample ---

    def _prepare(self, setup, workload):
        isolate.set_tcp(workload.buffers)
        setup.set_buffers(workload.buffers)
        setup.set_mtu(workload.mtu)
        cpus = self.one_cpu if workload.one_core else self.cpus
        settle(setup, cpus)
        server = self.rig.servers[workload.delay_ms]
        meter.pin([server.pid], cpus)
        if workload.delay_ms:
            isolate.set_tcp(workload.buffers, prefix=enter_net(server.pid))
        return cpus

    def _failed(self, setup, workload, number, why):
        self.result["failures"].append({"setup": setup.name, "workload": workload.name,
                                        "round": number, "why": str(why)})
        self.progress.say(f"FAILED {setup.name} {workload.name}: {why}")
        if not setup.alive():
            self.progress.say(f"{setup.name} has ended and is left out: {self.rig.logged()}")
            self.broken.add(setup.name)

    def _spins(self, setup):
        """Has it worked since its last turn, though nothing was asked of it?"""
        since, cpu = self.rested.get(setup.name, (self.progress.elapsed(), 0))
        rest = self.progress.elapsed() - since
        return rest > SPIN_REST_S and \
            meter.cpu_ns(setup.network) - cpu > SPIN_SHARE * rest * 1e9

    def _leave_out(self, setup, workload, number):
        share = f"more than {SPIN_SHARE:.0%} of a CPU while it was not its turn"
        self.result["failures"].append({"setup": setup.name, "workload": workload.name,
                                        "round": number, "why": f"it used {share}"})
        self.progress.say(f"{setup.name} used {share} and is left out")
        self.broken.add(setup.name)
        setup.stop()

    def _settle_counters(self, setup):
        """What the set-up's own counters say of the counting run before.

        They are asked for as late as can be: a snapshot may be a quarter of a second old.
        """
        known, record, since = self.open_counts.get(setup.name, ({}, None, 0.0))
        if record:
            time.sleep(max(0.0, since + COUNTERS_AGE_S - self.progress.elapsed()))
        new = setup.counters(self.rig)
        if record:
            record["counters"] = {k: v - known.get(k, 0) for k, v in new.items()
                                  if v != known.get(k, 0)}
        self.open_counts[setup.name] = (new, None, 0.0)

    def _count(self, setup, workload):
        """The run that warms up."""
        if setup.kind == "pump":
            return  # ringpump warms up in each sample, and counts in it
        workload = workload.shorter()
        cpus = self._prepare(setup, workload)
        self._settle_counters(setup)
        with meter.Syscalls(setup.network) as calls:
            client, _, _, _ = workload.run(self.rig, setup, cpus)
        amount = workload.amount(client)
        record = {"setup": setup.name, "workload": workload.name, "amount": amount,
                  "syscalls_per_unit": calls.n / amount if calls.n is not None else None,
                  "counters": {}}
        self.result["counts"].append(record)
        self.open_counts[setup.name] = (self.open_counts[setup.name][0], record,
                                        self.progress.elapsed())

    def _sample(self, setup, workload, number):
        cpus = self._prepare(setup, workload)
        client, net_ns, guest_ns, errors = workload.run(self.rig, setup, cpus)
        now = round(self.progress.elapsed(), 3)
        self.result["samples"].append({
            "setup": setup.name, "workload": workload.name, "round": number, "t": now,
            "metrics": workload.metrics(client, net_ns if setup.network else None),
            "errors": errors, "client": client, "guest_cpu_ns": guest_ns,
        })
        if setup.network:
            resident, private = meter.memory_kib(setup.network)
            self.result["memory"].append({"setup": setup.name, "t": now,
                                          "resident_kib": resident, "private_kib": private})

    def _cells(self, number):
        return [(w, s) for w in self.workloads
                if (w.rounds is None or number < w.rounds)
                for s in (self.setups_running if number % 2 == 0 else
                          reversed(self.setups_running))
                if w.fits(s) and s.name not in self.broken]

    def _expected(self, number):
        """Seconds that a round will take, by the last turn of each of its cells."""
        return sum(self.took.get((s.name, w.name), 0.0) for w, s in self._cells(number))

    def _turn(self, number):
        """Every workload once in every set-up; number -1 is the warm-up."""
        cells = self._cells(number)
        for i, (workload, setup) in enumerate(cells):
            if setup.name in self.broken:
                continue
            if self._spins(setup):
                self._leave_out(setup, workload, number)
                continue
            began = self.progress.elapsed()
            self.progress.say(f"{self.where} {i + 1}/{len(cells)} {self.eta}"
                              f"{workload.name} {setup.name}", passing=True)
            setup.thaw()
            try:
                if number < 0:
                    self._count(setup, workload)
                else:
                    self._sample(setup, workload, number)
            except (Failed, OSError, KeyError, ValueError) as why:
                self._failed(setup, workload, number, why)
            setup.freeze()
            ended = self.progress.elapsed()
            self.took[setup.name, workload.name] = ended - began
            self.rested[setup.name] = (ended, meter.cpu_ns(setup.network))

    # --- all of it ---

    def run(self):
        isolate.set_tcp("stock")
        if not meter.Syscalls.available():
            self.progress.say("system calls cannot be counted here")
        self.rig.serve()
        for delay in sorted({w.delay_ms for w in self.workloads if w.delay_ms}):
            self.rig.serve_far(delay)
        self.eta = ""
        self.where = "warm-up"
        self._start_setups()
        self.progress.say("warm-up: " + ", ".join(s.name for s in self.setups_running))
        try:
            self._turn(-1)
            for setup in self.setups_running:
                if setup.name not in self.broken:
                    setup.thaw()
                    self._settle_counters(setup)
                    setup.freeze()
            self._take_rounds()
        finally:
            self._end()
        return self.result

    def _too_late(self, number, now):
        """Would a round end later than all should? A second one may, by half of that."""
        if not self.budget:
            return False
        return now + self._expected(number) > self.budget * (1.5 if number < 2 else 1)

    def _take_rounds(self):
        for number in range(self.rounds):
            now, first = self.progress.elapsed(), number == 0
            if not first and self._too_late(number, now):
                self.progress.say(f"time for {number} of {self.rounds} rounds")
                return
            left = sum(self._expected(n) for n in range(number, self.rounds))
            if self.budget:
                left = min(left, self.budget - now)
            # Before the first round only what warmed up has told how long it takes.
            self.eta = f"ETA {'at least ' if first else ''}{max(0, int(left))} s "
            self.where = f"round {number + 1}/{self.rounds}"
            self.progress.say(f"{self.where} {self.eta}")
            self._turn(number)

    def _end(self):
        for setup in self.setups_running:
            setup.thaw()
            setup.stop()
        self.result["environment"]["load_after"] = environment.load_average()
        self.result["lasted"] = round(self.progress.elapsed(), 1)
        for setup in self.setups:
            self.result["setups"][setup.name] = {
                "title": setup.title, "kind": setup.kind, "engine": setup.engine,
                "skipped": setup.skipped, "notes": setup.notes}
        for w in self.workloads:
            self.result["workloads"][w.name] = w.describe()
