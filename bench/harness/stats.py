# SPDX-License-Identifier: MIT
"""Medians, spreads, and whether two sets of samples differ.

A difference counts as one when it is beyond chance and beyond the noise floor:

Chance. The labels "before" and "after" are shuffled 10,000 times, from a fixed seed.
Where the samples come in pairs that were taken one after the other, the two of a pair
change places or not, which leaves out whatever drifts between pairs; else all samples
are dealt out anew. What is looked at is the sum of ranks, so that a sample which
something else on the machine has spoilt counts no more than any other. p is the part
of the shuffles whose sum is at least as far out as the real one. As many metrics are looked at, chance has as many goes: p is
held against the rule of Benjamini and Hochberg, by which at most a part ALPHA of what
is called a difference is none, and where nothing differs at all anything is called a
difference in a part ALPHA of such runs.

Noise floor. Medians that differ by less than the floor are called equal, however
certain the difference is: builds differ in the layout of their code, machines in
their mood. It is FLOOR, or what the samples themselves leave open when that is more:
the half width of the range in which the median of their ratio lies, nine times out
of ten, by resampling.
"""
import math
import random

SHUFFLES = 10_000
RESAMPLES = 1_000
SEED = 20_130_611
ALPHA = 0.05
FLOOR = 0.03


def quantile(values, q):
    """The value below which a part @q lies, between neighbours in a straight line."""
    v = sorted(values)
    if not v:
        raise ValueError("no values")
    at = (len(v) - 1) * q
    low = math.floor(at)
    high = min(low + 1, len(v) - 1)
    return v[low] + (v[high] - v[low]) * (at - low)


def median(values):
    return quantile(values, 0.5)


def iqr(values):
    """(lower, upper) quartile."""
    return quantile(values, 0.25), quantile(values, 0.75)


def hist_merge(hists):
    """One list of (upper end, count) out of several, ascending."""
    merged = {}
    for hist in hists:
        for upper, n in hist:
            merged[upper] = merged.get(upper, 0) + n
    return sorted(merged.items())


def hist_cdf(hist):
    """[(upper end, part of all that is not above it)]"""
    total = sum(n for _, n in hist)
    out, seen = [], 0
    for upper, n in hist:
        seen += n
        out.append((upper, seen / total))
    return out


def _logs(values):
    # A figure that may be zero cannot be compared as a ratio.
    if any(v <= 0 for v in values):
        return None
    return [math.log(v) for v in values]


def ranks(values):
    """The place of each among all, from 1; those that are equal share theirs."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    out = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for i in range(at, end + 1):
            out[order[i]] = (at + end) / 2 + 1
        at = end + 1
    return out


def permutation_p(before, after, paired, shuffles=SHUFFLES, seed=SEED):
    """How often chance alone makes a difference as large as this one.

    @before, @after: numbers; of equal length and order when @paired
    The real arrangement counts as one of the shuffles, so p is never 0.
    """
    rng = random.Random(seed)
    hits = 1
    if paired:
        # Wilcoxon's signed ranks.
        diffs = [a - b for a, b in zip(after, before)]
        signed = [math.copysign(r, d) if d else 0.0
                  for r, d in zip(ranks([abs(d) for d in diffs]), diffs)]
        real = abs(sum(signed))
        for _ in range(shuffles):
            bits = rng.getrandbits(len(signed))
            total = 0.0
            for r in signed:
                total += r if bits & 1 else -r
                bits >>= 1
            hits += abs(total) >= real
    else:
        # Wilcoxon's rank sum.
        pool = ranks(list(before) + list(after))
        n = len(before)
        middle = n * (len(pool) + 1) / 2
        real = abs(sum(pool[:n]) - middle)
        for _ in range(shuffles):
            hits += abs(sum(rng.sample(pool, n)) - middle) >= real
    return hits / (shuffles + 1)


def _ratio(before, after, paired):
    """The median of after / before, as a logarithm."""
    if paired:
        return median([a - b for a, b in zip(after, before)])
    return median(after) - median(before)


def uncertainty(before, after, paired, seed=SEED):
    """Half the width of where the ratio's logarithm lies, nine times out of ten."""
    rng = random.Random(seed)
    seen = []
    for _ in range(RESAMPLES):
        if paired:
            pick = rng.choices(range(len(before)), k=len(before))
            seen.append(_ratio([before[i] for i in pick], [after[i] for i in pick], True))
        else:
            seen.append(_ratio(rng.choices(before, k=len(before)),
                               rng.choices(after, k=len(after)), False))
    return (quantile(seen, 0.95) - quantile(seen, 0.05)) / 2


class Comparison:
    """Two sets of samples of one metric, and what can be said of them."""

    def __init__(self, name, before, after, higher_is_better, paired=False):
        self.name = name
        self.higher_is_better = higher_is_better
        self.before, self.after = median(before), median(after)
        self.paired = paired and len(before) == len(after)
        self.verdict = None
        x, y = _logs(before), _logs(after)
        if x is None or y is None:
            # Counts that should be 0: only whether they are the same.
            same = sorted(before) == sorted(after)
            self.change = 0.0 if same else math.copysign(math.inf, self.after - self.before)
            self.p = 1.0 if same else permutation_p(before, after, self.paired)
            self.floor = FLOOR
            return
        self.change = math.exp(_ratio(x, y, self.paired)) - 1
        self.p = permutation_p(x, y, self.paired)
        self.floor = max(FLOOR, math.exp(uncertainty(x, y, self.paired)) - 1)

    def judge(self, needs):
        if self.p > needs or abs(self.change) < self.floor:
            self.verdict = "no difference"
        elif (self.change > 0) == self.higher_is_better:
            self.verdict = "better"
        else:
            self.verdict = "worse"


def judge_all(comparisons, alpha=ALPHA):
    """Give each its verdict, by the rule of Benjamini and Hochberg over all of them."""
    ranked = sorted(comparisons, key=lambda c: c.p)
    enough = 0.0
    for rank, c in enumerate(ranked, 1):
        if c.p <= alpha * rank / len(ranked):
            enough = alpha * rank / len(ranked)
    for c in ranked:
        c.judge(enough)
    return comparisons
