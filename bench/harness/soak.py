# SPDX-License-Identifier: MIT
"""What a soak's samples say: the verdict, and the tables of it.

The samples are lines of JSON (bench/soak/run). The judge knows nothing of how they
came about, so that made-up ones can be judged as well.

    soak    the first line: what ran, for how long, where
    sample  every ten seconds: the process, its flows, its pools. "rest" is one with
            no guest, a few seconds after the last has gone
    probe   the times of small exchanges in ten seconds: "guest" through the program
            under test, "direct" beside it from the host to the same server
    wrong   an exchange whose bytes differed, or that did not come to its end, or
            something that was left when the guest had gone
    round   the end of a round

Rules. The first turn of all kinds of rounds is warm-up, for memory and latency.

memory      private and file pages at rest, in a straight line through them (the median
            of the slopes of all pairs, after Theil and Sen, which a few odd values
            do not move): at most DRIFT_KIB an hour. A slope that is worth less than
            GRAIN_KIB over the whole run is not told from none.
descriptors at rest never more than before the first guest.
latency     the median of p99 of the last third of the intervals against the first
            third's. Intervals are compared with those of the same kind of round, since
            a guest that starves for 100 ms has another p99. Other work on the machine
            is in the direct probe as well: what that has grown by is taken off. At
            most twice, over all kinds and for each that has been seen often enough.
stalls      a TCP flow that moves no byte for STALL_S while the detector says "moving"
            or "idle", that is gives no reason: no client here is silent for so long. Or
            one that moves none for STUCK_S whatever the reason.
content     no "wrong" line.
heap        no allocator call of the worker, at any time.
left over   no flow, parked, held or lent byte, nor pool slot at rest.
"""
import itertools
import json

from . import stats

DRIFT_KIB = 256
GRAIN_KIB = 128
RESTS = 4          # fewer say nothing of a slope
P99_RATIO = 2.0
THIRD = 5          # intervals, at least, in each third of a kind that is judged alone
STALL_S = 15
STUCK_S = 45

# What `ctl flows` gives as reasons (tcpstack/snapshot.h); two of them are none.
STALLS = ("moving", "no-driver", "connecting", "handshake", "host-error", "host-full", "lent",
          "rate", "no-buffers", "guest-window-zero", "retransmitting", "wait-ack", "closing", "time-wait",
          "idle")
NO_REASON = ("moving", "idle")

# Answers of resolvers stay when the guest goes: they are a cache.
KEPT_POOLS = ("dns-cache",)


def load(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def of_kind(lines, kind):
    return [line for line in lines if line["line"] == kind]


class Check:
    """One rule: @ok is True, False, or None where there was too little to judge."""

    def __init__(self, name, ok, found, rule):
        self.name, self.ok, self.found, self.rule = name, ok, found, rule

    @property
    def verdict(self):
        return {True: "ok", False: "FAILED", None: "not judged"}[self.ok]


def slope(points):
    """Of (x, y): the median slope of all pairs, after Theil and Sen."""
    found = [(b[1] - a[1]) / (b[0] - a[0])
             for a, b in itertools.combinations(points, 2) if b[0] != a[0]]
    return stats.median(found)


def warm_from(lines):
    """Seconds: the end of the first turn, or None where there was no whole turn."""
    kinds = lines[0]["kinds"]
    ends = [r["s"] for r in of_kind(lines, "round")]
    return ends[len(kinds) - 1] if len(ends) >= len(kinds) else None


def own_kib(sample):
    """Memory of the process itself; what the guest shares is the guest's."""
    return sample["anon_kib"] + sample["file_kib"]


def judge_memory(lines):
    rule = f"at rest <= {DRIFT_KIB} KiB an hour"
    warm = warm_from(lines)
    rests = [] if warm is None else [(s["s"] / 3600, own_kib(s)) for s in of_kind(lines, "sample")
                                     if s["rest"] and s["s"] >= warm]
    if len(rests) < RESTS:
        return Check("memory", None, f"{len(rests)} samples at rest after the first turn", rule)
    per_hour = slope(rests)
    grown = per_hour * (rests[-1][0] - rests[0][0])
    return Check("memory", per_hour <= DRIFT_KIB or grown < GRAIN_KIB,
                 f"{per_hour:+.0f} KiB an hour, {grown:+.0f} KiB over {len(rests)} samples, "
                 f"{rests[0][1]} KiB -> {rests[-1][1]} KiB", rule)


def judge_descriptors(lines):
    rests = [s["fds"] for s in of_kind(lines, "sample") if s["rest"]]
    if len(rests) < 2:
        return Check("descriptors", None, "never at rest", "no more at rest than at first")
    return Check("descriptors", max(rests[1:]) <= rests[0],
                 f"{rests[0]} at first, at most {max(rests[1:])} at rest",
                 "no more at rest than at first")


def _thirds(values):
    n = len(values) // 3
    return stats.median(values[:n]), stats.median(values[-n:])


def _growth(values, baseline):
    """Last third over first, of values over what is usual for their kind."""
    first, last = _thirds([v / b for v, b in zip(values, baseline)])
    return last / first


def _latency_growth(probes, usual):
    """(through the guest, direct, the former without the latter)."""
    out = []
    for who in ("guest", "direct"):
        found = [p for p in probes if p["who"] == who]
        out.append(_growth([p["p99_us"] for p in found],
                           [usual[who, p["kind"]] for p in found]))
    return out[0], out[1], out[0] / max(1.0, out[1])


def judge_latency(lines):
    rule = f"p99 of the last third < {P99_RATIO:g} x that of the first"
    warm = warm_from(lines)
    probes = [] if warm is None else [p for p in of_kind(lines, "probe") if p["s"] >= warm]
    kinds = sorted({p["kind"] for p in probes})
    of = {k: [p for p in probes if p["kind"] == k] for k in kinds}

    def enough(some, n):
        return all(len([p for p in some if p["who"] == w]) >= 3 * n for w in ("guest", "direct"))

    if not enough(probes, 2):
        return [Check("latency", None, f"{len(probes)} intervals after the first turn", rule)]
    of = {k: v for k, v in of.items() if enough(v, 1)}
    usual = {(w, k): stats.median([p["p99_us"] for p in of[k] if p["who"] == w])
             for w in ("guest", "direct") for k in of}
    checks = []
    judged = [("latency", [p for p in probes if p["kind"] in of])]
    judged += [(f"latency, {k}", v) for k, v in of.items() if enough(v, THIRD)]
    for name, some in judged:
        guest, direct, net = _latency_growth(some, usual)
        mine = [p["p99_us"] for p in some if p["who"] == "guest"]
        checks.append(Check(name, net < P99_RATIO,
                            f"x {guest:.2f}, direct x {direct:.2f}, so x {net:.2f}; median p99 "
                            f"{stats.median(mine) / 1e3:.1f} ms of {len(mine)} intervals", rule))
    return checks


def stalled(lines):
    """Of each flow that stood still for too long: (id, seconds, reason, when)."""
    out = []
    since = {}  # id -> (bytes, when it was first seen with them)
    told = set()
    for s in of_kind(lines, "sample"):
        now = {}
        for f in s["flow"]:
            moved, at = since.get(f["id"], (None, None))
            if moved != f["bytes"]:
                at = s["s"]
            now[f["id"]] = (f["bytes"], at)
            stood = s["s"] - at
            bound = STALL_S if f["stall"] in NO_REASON else STUCK_S
            if stood >= bound and f["id"] not in told:
                told.add(f["id"])
                out.append((f["id"], stood, f["stall"], s["s"]))
        since = now
    return out


def judge_stalls(lines):
    found = stalled(lines)
    text = "none" if not found else \
        "; ".join(f"{i} stood for {t:.0f} s ({why}) at {s:.0f} s" for i, t, why, s in found[:4])
    seen = len({f["id"] for s in of_kind(lines, "sample") for f in s["flow"]})
    return Check("stalls", not found, f"{text}, {seen} flows looked at",
                 f"no flow without a byte for {STALL_S} s and no reason, or for {STUCK_S} s")


def judge_content(lines):
    wrong = of_kind(lines, "wrong")
    done = sum(r["done"] for r in of_kind(lines, "round"))
    text = "" if not wrong else f"; first: {wrong[0]['text'][:160]}"
    ok = not wrong if done else False
    return Check("content", ok, f"{len(wrong)} wrong of {done} exchanges{text}",
                 "all end well, every byte compared")


def judge_heap(lines):
    calls = max(s["heap_calls"] for s in of_kind(lines, "sample"))
    return Check("heap", calls == 0, f"{calls} calls of the worker", "none")


def judge_left_over(lines):
    left = {}
    for s in of_kind(lines, "sample"):
        if not s["rest"]:
            continue
        held = {**s["flows"], **{f"slots of {k}": v for k, v in s["pools"].items()
                                 if k not in KEPT_POOLS},
                "bytes parked": s["parked"], "bytes lent": s["lent"], "frames held": s["held"]}
        for name, n in held.items():
            if n:
                left[name] = max(n, left.get(name, 0))
    return Check("left over", not left,
                 ", ".join(f"{n} {name}" for name, n in left.items()) or "nothing",
                 "nothing of a guest that has gone")


def judge(lines):
    """The checks of a soak, in the order in which they are shown."""
    return [judge_content(lines), judge_stalls(lines), judge_memory(lines),
            judge_descriptors(lines), judge_heap(lines), judge_left_over(lines),
            *judge_latency(lines)]


def passed(checks):
    return all(c.ok is not False for c in checks)


def table(checks):
    """Markdown."""
    out = ["| what | verdict | found | rule |", "|---|---|---|---|"]
    out += [f"| {c.name} | {c.verdict} | {c.found} | {c.rule} |" for c in checks]
    return "\n".join(out)


def rounds_table(lines):
    """What each kind of round has moved. Markdown."""
    out = ["| rounds | of | exchanges | given up | GB up | GB down | connections | median p99, ms | direct, ms |",
           "|---|---|---|---|---|---|---|---|---|"]

    def p99(kind, who):
        found = [p["p99_us"] for p in of_kind(lines, "probe")
                 if p["who"] == who and kind in (None, p["kind"])]
        return f"{stats.median(found) / 1e3:.1f}" if found else ""

    for kind in [*lines[0]["kinds"], None]:
        some = [r for r in of_kind(lines, "round") if kind in (None, r["kind"])]
        out.append(f"| {kind or 'all'} | {len(some)} | {sum(r['done'] for r in some)} |"
                   f" {sum(r['given'] for r in some)} | {sum(r['tx_bytes'] for r in some) / 1e9:.1f} |"
                   f" {sum(r['rx_bytes'] for r in some) / 1e9:.1f} |"
                   f" {sum(r['opened'] for r in some)} | {p99(kind, 'guest')} |"
                   f" {p99(kind, 'direct')} |")
    return "\n".join(out)


def report(lines, drawn):
    """A page of Markdown; @drawn: (file name, title) of plots beside it."""
    head, end = lines[0], of_kind(lines, "sample")[-1]
    checks = judge(lines)
    parts = [f"# Soak: {'passed' if passed(checks) else 'FAILED'}",
             f"`{head['command']}`, {end['s'] / 60:.0f} minutes, started {head['started']} on "
             f"{head['machine']['cpu']['model']} ({head['machine']['cpu']['cpus']} CPUs), "
             f"Linux {head['machine']['kernel']}, revision {head['machine']['revision']}.",
             table(checks), rounds_table(lines)]
    parts += [f"![{title}]({name})" for name, title in drawn]
    return "\n\n".join(parts) + "\n"
