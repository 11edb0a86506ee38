"""The rank correlation of flatness and error against scipy's, and the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, spearmanr

from flatmin.lab.race.correlation import correlate


def rows(gaps, errors, competitors=None, diverged=False):
    names = [f"c{k}" for k in range(len(gaps))] if competitors is None else competitors
    return [
        {
            "competitor": name,
            "diverged": diverged,
            "flatness_gap": gap,
            "scaled_trace": 1 / (gap + 1),
            "relative_error": error,
        }
        for name, gap, error in zip(names, gaps, errors, strict=True)
    ]


def drawn(rng, correlation, competitors=12, seeds=3):
    """Return runs whose competitors are drawn with this correlation, and whose seeds hardly differ."""
    level = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], competitors)
    noise = 0.1 * rng.standard_normal((competitors, seeds, 2))
    values = np.exp(level[:, None] + noise).reshape(-1, 2)
    return rows(*values.T, competitors=np.repeat([f"c{k}" for k in range(competitors)], seeds).tolist())


def test_it_is_spearmans():
    rng = np.random.default_rng(0)
    gaps, errors = rng.integers(1, 8, 20).astype(float), rng.random(20)
    found = correlate(rows(gaps, errors))
    assert found.value == pytest.approx(spearmanr(gaps, errors).statistic)
    assert (found.runs, found.competitors, found.of) == (20, 20, "flatness_gap")
    assert correlate(rows(gaps, errors), "scaled_trace").value == pytest.approx(-found.value)


def test_differences_below_rounding_are_ties():
    gaps, errors = np.array([0.0, 1e-15, 1e-12, 1.0]), np.array([3.0, 2.0, 1.0, 4.0])
    expected = spearmanr([0, 0, 0, 1], errors).statistic
    assert correlate(rows(gaps, errors)).value == pytest.approx(expected)


def test_the_interval_lies_about_the_value_and_is_repeatable():
    table = drawn(np.random.default_rng(1), 0.8)
    first, again, other = correlate(table), correlate(table), correlate(table, seed=1)
    assert first == again
    assert first.interval != other.interval
    for value, (low, high) in ((first.value, first.interval), (first.within, first.within_interval)):
        assert -1 <= low <= value <= high <= 1
    assert first.interval[0] > 0
    assert first.within_interval[0] < 0 < first.within_interval[1], "seeds of one competitor are unrelated here"


def test_competitors_count_and_not_their_runs():
    """With more seeds of the same competitors the interval does not shrink as if they were new ones."""
    widths = []
    for seeds in (2, 12):
        low, high = correlate(drawn(np.random.default_rng(2), 0.3, competitors=8, seeds=seeds)).interval
        widths.append(high - low)
    assert widths[1] > 0.7 * widths[0] > 0.3


def test_within_competitors_may_contradict_what_holds_between_them():
    """Simpson: flatter competitors err less, flatter runs of each err more."""
    gaps = np.concatenate([10.0 * k + np.arange(3.0) + 1 for k in range(5)])
    errors = np.concatenate([10.0 * k - np.arange(3.0) + 4 for k in range(5)])
    found = correlate(rows(gaps, errors, competitors=np.repeat(list("abcde"), 3).tolist()))
    assert found.value > 0.8
    assert found.within == pytest.approx(-1)


def test_what_cannot_be_compared_is_left_out():
    good = rows([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    lost = rows([0.0], [9.0], ["lost"], diverged=True)
    blind = rows([0.0], [None], ["blind"])
    assert correlate(good + lost + blind) == correlate(good)
    assert correlate(good[:2] + lost) is None
    assert correlate([]) is None


def test_few_competitors_have_no_interval():
    """Any three in order would have the interval [1, 1]; of six, few exclude 0 by chance."""
    assert correlate(rows(range(1, 4), range(1, 4))).interval is None
    found = correlate(rows(np.repeat(np.arange(5.0), 2), np.arange(10.0), np.repeat(list("abcde"), 2).tolist()))
    assert (found.interval, found.within_interval) == (None, None)
    assert found.value > 0.9
    rng = np.random.default_rng(5)
    intervals = [correlate(drawn(rng, 0.0, competitors=6, seeds=2)).interval for _ in range(100)]
    assert binom.sf(sum(low > 0 or high < 0 for low, high in intervals) - 1, 100, 0.1) > 1e-3


def test_where_one_of_the_two_does_not_vary_nothing_is_said():
    found = correlate(rows([0.0, 0.0, 1e-14, 0.0], [1.0, 2.0, 3.0, 4.0]))
    assert (found.value, found.interval, found.within, found.within_interval) == (None, None, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_intervals_cover(correlation):
    """Of 150 races about 95 % of the intervals hold the correlation of the population; certainly more than 88 %."""
    rng, trials = np.random.default_rng(3), 150
    expected = 6 / np.pi * np.arcsin(correlation / (1 + 0.1**2) / 2)
    intervals = [correlate(drawn(rng, correlation)).interval for _ in range(trials)]
    covered = sum(low <= expected <= high for low, high in intervals)
    assert binom.cdf(covered, trials, 0.95) > 1e-3 or covered >= 0.88 * trials
    assert covered < trials
