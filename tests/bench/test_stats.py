# SPDX-License-Identifier: MIT
"""What the statistics say of inputs whose answer is known."""
import random

from harness import stats


def near(a, b, by=1e-9):
    assert abs(a - b) <= by, f"{a} is not {b}"


def test_quantiles_lie_between_neighbours():
    near(stats.median([3, 1, 2]), 2)
    near(stats.median([4, 1, 2, 3]), 2.5)
    near(stats.quantile([10], 0.99), 10)
    near(stats.quantile(range(101), 0.25), 25)
    assert stats.iqr([1, 2, 3, 4, 5]) == (2, 4)


def test_histograms_merge_and_add_up_to_one():
    merged = stats.hist_merge([[[10, 1], [30, 2]], [[10, 3], [20, 4]]])
    assert merged == [(10, 4), (20, 4), (30, 2)]
    assert stats.hist_cdf(merged) == [(10, 0.4), (20, 0.8), (30, 1.0)]


def test_p_of_two_apart_triples_is_a_tenth():
    # 2 of the 20 ways to deal out six values are as far apart.
    near(stats.permutation_p([1, 2, 3], [4, 5, 6], False), 0.1, 0.01)


def test_p_of_five_pairs_that_agree_is_a_sixteenth():
    near(stats.permutation_p([1, 2, 3, 4, 5], [2, 3, 4, 5, 6], True), 2 / 32, 0.01)


def test_p_of_the_same_is_one():
    for paired in (False, True):
        near(stats.permutation_p([3, 1, 2], [3, 1, 2], paired), 1)


def test_p_of_a_middling_split_is_what_counting_gives():
    # Sums of three out of {1..6}: 3 + 4 + 6 = 13 against 8; 14 of 20 are at least as far.
    before, after = [1, 2, 5], [3, 4, 6]
    far = sum(1 for a in range(6) for b in range(a) for c in range(b)
              if abs(2 * (a + b + c + 3) - 21) >= 5)
    near(stats.permutation_p(before, after, False), far / 20, 0.015)


def test_equal_values_share_their_rank():
    assert stats.ranks([30, 10, 20, 20]) == [4, 1, 2.5, 2.5]


def test_one_spoilt_sample_does_not_hide_a_difference():
    before = [100 + i * 0.1 for i in range(12)]
    after = [v * 0.9 for v in before]
    after[5] = 10_000
    for paired in (False, True):
        assert verdicts([(before, after)], paired=paired) == ["worse"], paired


def test_shuffles_are_the_same_each_time():
    a, b = [1.0, 2.1, 2.9, 4.2], [1.5, 2.2, 3.4, 4.1]
    assert stats.permutation_p(a, b, False) == stats.permutation_p(a, b, False)
    assert stats.uncertainty(a, b, True) == stats.uncertainty(a, b, True)


def noisy(rng, middle, n, noise=0.02):
    return [middle * (1 + rng.gauss(0, noise)) for _ in range(n)]


def verdicts(pairs, paired=False, higher=True):
    made = [stats.Comparison(str(i), a, b, higher, paired) for i, (a, b) in enumerate(pairs)]
    return [c.verdict for c in stats.judge_all(made)]


def test_a_tenth_slower_is_found_among_thirty_that_are_the_same():
    rng = random.Random(1)
    pairs = [(noisy(rng, 100, 16), noisy(rng, 100, 16)) for _ in range(30)]
    pairs.append((noisy(rng, 100, 16), noisy(rng, 90, 16)))
    for paired in (False, True):
        found = verdicts(pairs, paired)
        assert found[:30] == ["no difference"] * 30, found
        assert found[30] == "worse", found[30]


def test_less_is_better_where_less_is_better():
    rng = random.Random(2)
    pair = [(noisy(rng, 100, 12), noisy(rng, 80, 12))]
    assert verdicts(pair, higher=False) == ["better"]
    assert verdicts(pair, higher=True) == ["worse"]


def test_what_is_below_the_floor_is_no_difference_however_certain():
    before = [100 + i * 0.001 for i in range(20)]
    after = [v * (1 + stats.FLOOR * 0.7) for v in before]
    assert verdicts([(before, after)]) == ["no difference"]
    after = [v * (1 + stats.FLOOR * 1.5) for v in before]
    assert verdicts([(before, after)]) == ["better"]


def test_a_drift_that_both_share_is_left_out_by_pairs():
    rng = random.Random(3)
    drift = [100 * (1 + 0.5 * i / 15) for i in range(16)]
    before = [d * (1 + rng.gauss(0, 0.01)) for d in drift]
    after = [d * 0.9 * (1 + rng.gauss(0, 0.01)) for d in drift]
    assert verdicts([(before, after)], paired=True) == ["worse"]
    assert verdicts([(before, after)], paired=False) == ["no difference"]


def test_false_alarms_are_rarer_than_alpha():
    rng = random.Random(4)
    alarms = 0
    for _ in range(40):
        pairs = [(noisy(rng, 50, 8, 0.1), noisy(rng, 50, 8, 0.1)) for _ in range(10)]
        made = [stats.Comparison(str(i), a, b, True) for i, (a, b) in enumerate(pairs)]
        alarms += any(c.verdict != "no difference" for c in stats.judge_all(made))
    assert alarms <= 40 * stats.ALPHA + 2, f"{alarms} of 40"


def test_counts_that_should_be_zero():
    assert verdicts([([0, 0, 0, 0], [0, 0, 0, 0])]) == ["no difference"]
    found = verdicts([([0] * 12, [1] * 12)], higher=False)
    assert found == ["worse"], found
