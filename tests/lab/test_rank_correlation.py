"""Spearman's coefficient against scipy's, also of resamples and within groups."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from flatmin.lab.rank_correlation import MIN_PAIRS, _coefficients, rank_correlation


@pytest.mark.parametrize("ties", [False, True])
def test_it_is_spearmans(ties):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4 if ties else 10**6, (2, 20)).astype(float)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-14)


def test_few_pairs_and_constant_sides_have_none():
    x = np.arange(float(MIN_PAIRS))
    assert rank_correlation(x, x) == pytest.approx(1)
    assert rank_correlation(x[1:], x[1:]) is None
    assert rank_correlation(x, np.ones_like(x)) is None
    assert rank_correlation(x, 1e-12 * x, rounding=1e-9) is None


def test_resamples_are_ranked_as_if_their_runs_were_written_out():
    """Each run repeated as often as it was drawn; a competitor drawn twice counts as two."""
    rng = np.random.default_rng(0)
    pairs, group = rng.integers(1, 6, (12, 2)).astype(float), np.repeat(np.arange(4), 3)
    drawn = np.array([[1, 1, 1, 1], [3, 0, 1, 0], [0, 2, 0, 2]])
    found = _coefficients(pairs, group, drawn[:, group].astype(float))
    for times, (value, within) in zip(drawn, found.T, strict=True):
        chosen = np.concatenate([np.tile(np.flatnonzero(group == g), k) for g, k in enumerate(times)])
        copies = np.repeat(np.arange(times.sum()), 3)
        assert value == pytest.approx(spearmanr(*pairs[chosen].T).statistic)
        ranks = rankdata(pairs[chosen], axis=0)
        ranks -= np.stack([ranks[copies == c].mean(axis=0) for c in copies])
        assert within == pytest.approx(np.corrcoef(ranks.T)[0, 1])
