# SPDX-License-Identifier: MIT
"""What the client does, and which figures come out of it.

A workload is a run of bench/load with its arguments, an MTU, buffer limits, and where
the processes may run: "free", or "one-core", all of them on one CPU, where no wake-up
crosses to another and what is left is the cost of the software.
"""
import copy
import fnmatch

from . import meter
from .setups import Failed

MB, GB = 1e6, 1e9

# Figure -> (unit, is more better?). What is not here is not compared.
METRICS = {
    "gbit_s": ("Gbit/s", True),
    "per_s": ("1/s", True),
    "cpu_s_per_gb": ("CPU-s/GB", False),
    "cpu_us_per_op": ("CPU-us each", False),
    "p50_us": ("us", False),
    "p90_us": ("us", False),
    "p99_us": ("us", False),
    "p999_us": ("us", False),
    "loss_pct": ("% lost", False),
    "idle_cpu_ms_per_s": ("CPU-ms/s", False),
    "private_kib": ("KiB private", False),
}


class Workload:
    """@args of bench/load; what else is said of one is by name, see above."""

    unit = "op"

    def __init__(self, name, title, args, mtu=65520, buffers="stock", one_core=False,
                 rounds=None, kinds=("native", "vm"), delay_ms=0, timeout=60):
        self.name = name + ("/one-core" if one_core else "")
        self.title = title + (", one core" if one_core else "")
        self.args = [str(a) for a in args]
        self.mtu = mtu
        self.buffers = buffers
        self.one_core = one_core
        self.rounds = rounds  # at most so many; None = all
        self.kinds = kinds
        self.delay_ms = delay_ms
        self.timeout = timeout

    def fits(self, setup):
        return setup.kind in self.kinds and (setup.far or not self.delay_ms)

    def describe(self):
        return {"title": self.title, "args": " ".join(self.args), "mtu": self.mtu,
                "buffers": self.buffers, "one_core": self.one_core, "delay_ms": self.delay_ms,
                "unit": self.unit}

    def expected(self, _result):
        """How many TCP connections the server must have accepted for it."""
        raise NotImplementedError

    def metrics(self, result, cpu_ns):
        """Figures by name. @cpu_ns: of the network, None where there is no process of it."""
        raise NotImplementedError

    @staticmethod
    def _cost(name, cpu, amount):
        return {} if cpu is None or not amount else {name: cpu / amount}

    def amount(self, result):
        """(how much was moved or done, by which system calls are divided; its name)"""
        raise NotImplementedError

    def shorter(self):
        """The same for the run that warms up and counts, whose figures are by amount."""
        return self

    def _with(self, option, value):
        other = copy.copy(self)
        at = self.args.index(option) + 1
        other.args = [*self.args[:at], str(value), *self.args[at + 1:]]
        return other

    def run(self, rig, setup, cpus=None):
        """(result of the client, CPU ns of the network, of guests, errors)"""
        before = rig.server_stats(self.delay_ms)
        net, vcpu = meter.cpu_ns(setup.network), meter.cpu_ns(setup.network, vcpus=True)
        result = self._client(rig, setup, cpus)
        net = meter.cpu_ns(setup.network) - net
        vcpu = meter.cpu_ns(setup.network, vcpus=True) - vcpu
        after = rig.server_stats(self.delay_ms)
        if result.get("error") or not result["ok"]:
            raise Failed(f"{setup.name}: {self.name}: {result.get('error', result)}")
        seen = {k: after[k] - before[k] for k in after if isinstance(after[k], int)
                and not isinstance(after[k], bool)}
        seen["accepted"] -= 1  # the second look itself
        errors = result["errors"] + seen["wrong"] + self.disagreement(result, seen)
        return result, net, vcpu, errors

    def disagreement(self, result, seen):
        """What the server has not seen of what the client says, or the reverse.

        @seen: the server's counts for this run
        """
        return abs(seen["accepted"] - self.expected(result))

    def _client(self, rig, setup, cpus):
        return setup.load(rig, self.args, self.timeout, cpus, self.delay_ms)


class Bulk(Workload):
    unit = "MB"

    def __init__(self, name, title, up, seconds, size, flows=1, blind=True, **more):
        args = ["timed", "--dir", "up" if up else "down", "--seconds", seconds, "--size", size,
                "--flows", flows] + (["--blind"] if blind else [])
        super().__init__(name, title, args, **more)
        self.flows = flows
        self.seconds = seconds

    def shorter(self):
        return self._with("--seconds", min(self.seconds, 0.2))._with("--size", "4m")

    def expected(self, _result):
        return self.flows

    def disagreement(self, result, seen):
        """Not a byte that only one of the two has counted."""
        arrived = seen["bytes_in"] if "up" in self.args else seen["bytes_out"]
        return super().disagreement(result, seen) + (arrived != result["bytes"])

    def metrics(self, result, cpu_ns):
        return {"gbit_s": result["gbit_s"],
                **self._cost("cpu_s_per_gb", cpu_ns, result["bytes"])}

    def amount(self, result):
        return result["bytes"] / MB


class Exchange(Workload):
    """Round trips, or connections, one after the other or so many at a time."""

    def __init__(self, name, title, kind, count, more_args=(), idle=0, **more):
        beside = ["--idle", idle] if idle else []
        super().__init__(name, title, [kind, "--count", count, "--hist", *more_args, *beside],
                         **more)
        self.kind = kind
        self.count = count
        self.idle = idle

    def shorter(self):
        other = self._with("--count", max(self.count // 5, 20))
        other.count = max(self.count // 5, 20)
        return other

    def expected(self, _result):
        return {"crr": self.count, "rr": 1 + self.idle, "udp": 0}[self.kind]

    def disagreement(self, result, seen):
        answered = result["succeeded"] if self.kind == "crr" else 0
        return super().disagreement(result, seen) + abs(seen["answered"] - answered)

    def metrics(self, result, cpu_ns):
        return {**{k: result[k] for k in ("per_s", "p50_us", "p90_us", "p99_us", "p999_us")},
                **self._cost("cpu_us_per_op", cpu_ns, result["succeeded"] * 1e3)}

    def amount(self, result):
        return result["succeeded"]


class Flood(Workload):
    def __init__(self, name, title, up, size, seconds, rate=0, **more):
        super().__init__(name, title, ["flood", "--dir", "up" if up else "down", "--size", size,
                                       "--seconds", seconds, "--rate", rate], **more)

    def expected(self, _result):
        return 1

    def metrics(self, result, cpu_ns):
        return {"per_s": result["per_s"], "loss_pct": result["loss_pct"],
                **self._cost("cpu_us_per_op", cpu_ns, result["received"] * 1e3)}

    def amount(self, result):
        return result["received"]


class Idle(Workload):
    """Connections that say nothing: what holding them costs."""

    def __init__(self, name, title, count, seconds, **more):
        super().__init__(name, title, ["idle", "--count", count, "--seconds", seconds], **more)
        self.count = count
        self.seconds = seconds

    def expected(self, _result):
        return self.count

    def _client(self, rig, setup, cpus):
        """Memory and CPU time are taken in the middle, while nothing happens."""
        during = setup.load_during(rig, self.args, self.timeout, cpus, self.seconds,
                                   lambda: (meter.memory_kib(setup.network)[1],
                                            meter.cpu_ns(setup.network)))
        result, (first, last, gap) = during
        result["private_kib"] = last[0]
        result["idle_cpu_ns"] = last[1] - first[1]
        result["looked_s"] = gap
        return result

    def metrics(self, result, cpu_ns):
        if cpu_ns is None:
            return {}
        return {"idle_cpu_ms_per_s": result["idle_cpu_ns"] / 1e6 / result["looked_s"],
                "private_kib": result["private_kib"]}

    def amount(self, _result):
        return self.count


class Pumped(Workload):
    """bench/ringpump: one flow, no guest kernel; @args are its own."""

    unit = "MB"

    def __init__(self, name, title, up, seconds, args, **more):
        super().__init__(name, title, ["--dir", "up" if up else "down", *args,
                                       "--seconds", seconds], kinds=("pump",), **more)

    def run(self, rig, setup, cpus=None):
        """It meters by itself, out of slow start, and checks what arrives by itself."""
        result = self._client(rig, setup, cpus)
        if not result["bytes"]:
            raise Failed(f"nothing was moved in {result['seconds']:.1f} s")
        return result, result["cpu_s_per_gb"] * result["bytes"], 0, result["errors"]

    def metrics(self, result, cpu_ns):
        return {"gbit_s": result["gbit_s"],
                **self._cost("cpu_s_per_gb", cpu_ns, result["bytes"])}

    def amount(self, result):
        return result["bytes"] / MB


class Segments(Pumped):
    """Segments of a given size, as many as go."""

    def __init__(self, name, title, up, segment, seconds, **more):
        super().__init__(name, title, up, seconds, ["--segment", segment], **more)
        self.segment = segment

    def describe(self):
        return {**super().describe(), "segment": self.segment}


class Paced(Pumped):
    """A rate that all can keep up with.

    Beside one that moves more, a back-end's CPU time for a GB is that of busier caches and
    processors; only at equal speed is it that of the work.
    """

    def __init__(self, name, title, up, mbit, seconds, **more):
        super().__init__(name, title, up, seconds, ["--rate", mbit], **more)


SEGMENTS = (1448, 4096, 16384, 65480)


def _segments(seconds, **more):
    return [Segments(f"segments-up-{n}", f"guest to host, segments of {n}", True, n, seconds,
                     **more) for n in SEGMENTS]


def _paced(mbit, seconds, **more):
    return [Paced(f"paced-{word}-{mbit}", f"{long} at {mbit:,} Mbit/s", word == "up", mbit,
                  seconds, **more)
            for word, long in (("up", "guest to host"), ("down", "host to guest"))]


def _bulk(seconds, size, **more):
    return [Bulk(f"bulk-{word}", f"bulk {long}", word == "up", seconds, size, **more)
            for word, long in (("up", "guest to host"), ("down", "host to guest"))]


def _renamed(workloads, suffix, title):
    for w in workloads:
        w.name = w.name.replace("/one-core", "") + suffix + \
            ("/one-core" if w.one_core else "")
        w.title += title
    return workloads


def _crr(m, count, **more):
    return Exchange(f"crr-{m}", f"connect-request-response, {m} at a time", "crr", count,
                    ["--concurrency", m], **more)


def _rr(count, **more):
    return Exchange("rr", "round trip of a byte", "rr", count, ["--size", 1], **more)


def _rr_beside(idle, count, **more):
    return Exchange(f"rr-beside-{idle}", f"round trip of a byte beside {idle:,} idle connections",
                    "rr", count, ["--size", 1], idle, **more)


NATIVE, VM = ("native",), ("vm",)
COUNT = 2000

# No sample of the quick set takes a quarter of this; one that hangs must not cost a minute.
QUICK_TIMEOUT_S = 15


def quick():
    """In five minutes on two cores, all together."""
    s = 0.25
    vm = {"kinds": VM, "rounds": 3}
    out = [
        *_bulk(s, "16m", kinds=NATIVE),
        *_renamed(_bulk(s, "16m", kinds=NATIVE, mtu=1500), "-1500", ", MTU 1500"),
        _rr(1000, kinds=NATIVE),
        _rr(1000, kinds=NATIVE, one_core=True),
        *[_crr(m, COUNT, kinds=NATIVE, rounds=2 if 1 < m < 8 else None) for m in (1, 2, 4, 8)],
        _crr(1, COUNT, kinds=NATIVE, one_core=True),
        Flood("udp-up", "datagrams of 1,400 bytes, guest to host", True, 1400, s,
              kinds=NATIVE, rounds=2),
        Idle("idle", "500 connections that say nothing", 500, 0.6, kinds=NATIVE, rounds=2),
        *_renamed(_bulk(0, "16m", blind=False, kinds=NATIVE, rounds=1), "-exact",
                  ", every byte compared"),
        *_segments(0.25, rounds=3),
        *_renamed(_bulk(0.4, "8m", **vm), "-vm", ", VM"),
        *_renamed(_bulk(0, "8m", blind=False, kinds=VM, rounds=1), "-vm-exact",
                  ", VM, every byte compared"),
        *_renamed([_rr(300, **vm)], "-vm", ", VM"),
        *_renamed([_crr(1, 300, **vm), _crr(8, 600, **vm)], "-vm", ", VM"),
    ]
    for w in out:
        w.timeout = QUICK_TIMEOUT_S
    return out


def full():
    """Everything; half an hour and more."""
    s, size = 1, "1g"
    out = []
    for one_core in (False, True):
        out += _bulk(s, size, kinds=NATIVE, one_core=one_core)
        out += _renamed(_bulk(s, size, kinds=NATIVE, one_core=one_core, mtu=1500), "-1500",
                        ", MTU 1500")
        out += [_rr(5000, kinds=NATIVE, one_core=one_core)]
        out += [_crr(m, COUNT, kinds=NATIVE, one_core=one_core) for m in (1, 2, 4, 8)]
    out += [_rr_beside(5000, 5000, kinds=NATIVE, one_core=True)]
    out += _renamed(_bulk(s, size, kinds=NATIVE, mtu=9000), "-9000", ", MTU 9000")
    out += _renamed(_bulk(s, size, kinds=NATIVE, flows=8), "-8", ", 8 flows")
    out += _renamed(_bulk(s, size, kinds=NATIVE, buffers="raised"), "-raised", ", raised buffers")
    out += _renamed(_bulk(s, "16m", kinds=NATIVE, delay_ms=10, rounds=5), "-rtt20", ", RTT 20 ms")
    out += _renamed(_bulk(0, size, blind=False, kinds=NATIVE, rounds=1), "-exact",
                    ", every byte compared")
    out += [Exchange("udp-rr", "round trip of a datagram", "udp", 2000, ["--size", 64],
                     kinds=NATIVE),
            Flood("udp-up", "datagrams of 1,400 bytes, guest to host", True, 1400, s,
                  kinds=NATIVE),
            Flood("udp-down", "datagrams of 1,400 bytes, host to guest", False, 1400, s,
                  kinds=NATIVE),
            Flood("udp-20k", "20,000 datagrams a second, guest to host", True, 1400, s, 20000,
                  kinds=NATIVE),
            Idle("idle", "2,000 connections that say nothing", 2000, 2, kinds=NATIVE, rounds=2)]
    out += _segments(s)
    out += _paced(1000, s) + _paced(2000, s)
    out += _renamed(_paced(1000, s, mtu=1500), "-1500", ", MTU 1500")
    vm = {"kinds": VM}
    out += _renamed(_bulk(s, "128m", **vm), "-vm", ", VM")
    out += _renamed(_bulk(s, "128m", mtu=1500, **vm), "-vm-1500", ", VM, MTU 1500")
    out += _renamed(_bulk(0, "128m", blind=False, kinds=VM, rounds=1), "-vm-exact",
                    ", VM, every byte compared")
    out += _renamed([_rr(1000, **vm)] + [_crr(m, COUNT, **vm) for m in (1, 2, 4, 8)], "-vm", ", VM")
    return out


def tiny():
    """As few as show that the harness works; no figure of it means anything."""
    return [
        *_bulk(0, "4m", kinds=NATIVE),
        *_renamed(_bulk(0, "4m", blind=False, kinds=NATIVE, mtu=1500, buffers="raised"),
                  "-exact", ", every byte compared"),
        *_renamed(_bulk(0, "1m", blind=False, kinds=NATIVE, delay_ms=5), "-rtt10",
                  ", RTT 10 ms"),
        _rr(50, kinds=NATIVE),
        _crr(4, 100, kinds=NATIVE, one_core=True),
        Flood("udp-up", "datagrams of 1,400 bytes, guest to host", True, 1400, 0.05, 2000,
              kinds=NATIVE),
        Idle("idle", "20 connections that say nothing", 20, 0.2, kinds=NATIVE),
        *_renamed(_bulk(0, "1m", blind=False, kinds=VM), "-vm", ", VM"),
        *_renamed([_crr(1, 20, kinds=VM)], "-vm", ", VM"),
    ]


def ab():
    """For one binary against another: few, short, on one core where that is quieter."""
    s = 0.3
    return [
        *_bulk(s, "64m", one_core=True),
        *_renamed(_bulk(s, "64m", one_core=True, mtu=1500), "-1500", ", MTU 1500"),
        _rr(2000, one_core=True),
        _crr(1, COUNT, one_core=True),
        _crr(8, COUNT, one_core=True),
        *_bulk(s, "64m"),
        _crr(1, COUNT),
    ]


SETS = {"quick": quick, "full": full, "tiny": tiny, "ab": ab}


def words(options):
    """The names in repeated options that may each hold several, with commas between."""
    return [w for several in options for w in several.split(",") if w]


def named(items, patterns):
    """Those whose name is, or matches, one of @patterns."""
    return [i for i in items if any(fnmatch.fnmatchcase(i.name, p) for p in patterns)]
