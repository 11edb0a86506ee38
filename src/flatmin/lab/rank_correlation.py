"""Spearman's rank correlation: of pairs, of pairs in groups (with intervals), and claims about its mean."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim

__all__ = ["GroupedCorrelation", "claim_of_instances", "grouped_rank_correlation", "rank_correlation"]

#: Smallest number of pairs for which a correlation is computed.
MIN_PAIRS = 6
#: Smallest number of groups for which an interval is computed.
MIN_GROUPS = 6
#: Smallest number of instances with which a claim can be decided; fewer rank correlations are often all equal.
MIN_INSTANCES = 5
#: Number of resamples of the bootstrap.
RESAMPLES = 2000
#: Confidence level of the intervals: the share of the resamples within them.
LEVEL = 0.95
#: Ranks whose standard deviation is below this count as constant, and have no correlation.
SMALLEST_DEVIATION = 1e-9


def rank_correlation(x: Any, y: Any, rounding: float = 0.0) -> float | None:
    """Return Spearman's coefficient, or None for fewer than six pairs or if one side is constant.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Numbers.
    rounding : float
        Numbers below this value count as equal: each is replaced by this value.

    Examples
    --------
    >>> round(rank_correlation([1, 2, 3, 4, 5, 6], [1, 4, 9, 16, 25, 20]), 6)
    0.942857
    >>> rank_correlation([1, 2, 3, 4, 5, 6], [1e-15, 2e-15, 0, 1e-16, 2e-16, 0], rounding=1e-9) is None
    True
    """
    pairs = np.maximum(np.stack([x, y], axis=1), rounding)
    if len(pairs) < MIN_PAIRS:
        return None
    (overall,), _ = _coefficients(pairs, np.zeros(len(pairs), int), np.ones((1, len(pairs))))
    return _known(float(overall))


@dataclass(frozen=True)
class GroupedCorrelation:
    """Spearman's coefficient of pairs that belong to groups.

    Attributes
    ----------
    value : float or None
        The coefficient over all pairs, from −1 to 1; None if one side is constant.
    interval : tuple of float or None
        Its 95 % interval by a bootstrap that resamples whole groups; None for fewer than six groups.
    within : float or None
        The correlation within groups: that of the ranks minus the mean rank of their group.
    within_interval : tuple of float or None
        The interval of ``within``.
    """

    value: float | None
    interval: tuple[float, float] | None
    within: float | None
    within_interval: tuple[float, float] | None


def grouped_rank_correlation(
    x: Any, y: Any, groups: Any, *, rounding: float = 0.0, seed: int = 0
) -> GroupedCorrelation:
    """Return Spearman's coefficient over all pairs and within groups, with intervals that resample whole groups.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Numbers.
    groups : array_like of int, shape (n,)
        The group of each pair, counted from 0.
    rounding : float
        As in `rank_correlation`.
    seed : int
        Seed of the resamples.

    Examples
    --------
    Flatter competitors err less, but flatter runs of each err more:

    >>> found = grouped_rank_correlation([1, 2, 11, 12, 21, 22], [2, 1, 12, 11, 22, 21], [0, 0, 1, 1, 2, 2])
    >>> round(found.value, 3), round(found.within, 3)
    (0.829, -1.0)
    """
    pairs, group = np.maximum(np.stack([x, y], axis=1), rounding), np.asarray(groups)
    count = int(group.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, len(pairs))), drawn[:, group]])
    (value, *between), (within, *inside) = _coefficients(pairs, group, weights).tolist()
    enough = count >= MIN_GROUPS
    return GroupedCorrelation(
        _known(value),
        _interval(between) if enough and not math.isnan(value) else None,
        _known(within),
        _interval(inside) if enough and not math.isnan(within) else None,
    )


def claim_of_instances(text: str, values: Iterable[float | None], *, level: float = 0.95, **limit: float) -> Claim:
    """Return a claim about the mean of a number that takes few values, such as a rank correlation, over instances.

    The value of an instance without this number is None. With fewer than five numbers the claim is undecided.

    Examples
    --------
    >>> claim_of_instances("the correlation", [0.9, 0.9, None], above=0.5).verdict
    'undecided'
    >>> claim_of_instances("the correlation", [0.9, 0.9, 0.8, 0.9, 1.0], above=0.5).verdict
    'holds'
    """
    known = [value for value in values if value is not None]
    if 0 < len(known) < MIN_INSTANCES:
        return Claim(text, float(np.mean(known)), -math.inf, math.inf, **limit)
    return Claim.from_mean(text, known, level=level, **limit)


def _coefficients(pairs: Array, group: Array, weights: Array) -> Array:
    """Return the correlations (2, r) of ranks, and of ranks minus their group's mean, for weights (r, n) of pairs."""
    ranks = np.stack([_ranks(column, weights) for column in pairs.T])
    members = (group[:, None] == np.arange(group.max() + 1)).astype(float)
    sizes = np.maximum(weights @ members, 1)  # avoids 0 / 0 for groups that were not drawn
    overall = np.sum(weights * ranks, axis=2, keepdims=True) / weights.sum(axis=1, keepdims=True)
    grouped = ((weights * ranks) @ members / sizes) @ members.T
    return np.stack([_pearson(ranks - overall, weights), _pearson(ranks - grouped, weights)])


def _ranks(values: Array, weights: Array) -> Array:
    """Return the ranks (r, n) of values repeated by their weights. Ties share their mean rank."""
    _, place = np.unique(values, return_inverse=True)
    counts = weights @ (place[:, None] == np.arange(place.max() + 1))
    return np.asarray((np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, place])


def _pearson(centred: Array, weights: Array) -> Array:
    """Return the correlation for each set of weights, NaN if one side is constant."""
    products = np.einsum("arn,brn,rn->abr", centred, centred, weights)
    sizes = np.sqrt(products[[0, 1], [0, 1]])
    varies = sizes.min(axis=0) > SMALLEST_DEVIATION * weights.sum(axis=1)
    return np.where(varies, np.clip(products[0, 1] / np.where(varies, sizes.prod(axis=0), 1), -1, 1), np.nan)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _interval(values: list[float]) -> tuple[float, float] | None:
    """Return the middle 95 % of the resamples that have a correlation; None if fewer than half of them have one."""
    known = [v for v in values if not np.isnan(v)]
    if len(known) < len(values) / 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
