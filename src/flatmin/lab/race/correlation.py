"""Whether flatter runs are better runs: a rank correlation, with what is uncertain about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["Correlation", "correlate"]

#: Resamples of the bootstrap, and the share of them that an interval holds.
RESAMPLES, LEVEL = 2000, 0.95
#: Fewer competitors have no interval: three in order by chance, one time in three, would have [1, 1].
FEWEST = 6
#: Gaps and errors below this are ties: what differs is rounding.
ROUNDING = 1e-9

IGNORES = (
    "The interval resamples competitors with all their runs, as runs of one competitor are alike. It takes the "
    "competitors for a sample of all algorithms, and task and step sizes as given; diverged runs are left out. "
    "It is no statement about cause: what makes a run flat may be what makes it right."
)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation between flatness and error over runs.

    Attributes
    ----------
    of : str
        Which column is compared with the error: "flatness_gap", or "scaled_trace" where there is no gap.
    value : float or None
        Over all runs, from −1 to 1; None where one of the two hardly varies.
    interval : tuple of float or None
        95 % of the bootstrap that resamples competitors; None for fewer than six.
    within : float or None
        The same of what is left of the ranks when each competitor's mean rank is taken off: do the flatter runs of one
        competitor err less?
    within_interval : tuple of float or None
        Its interval.
    runs, competitors : int
        How many were compared.
    ignores : str
        What the intervals do not cover.
    """

    of: str
    value: float | None
    interval: tuple[float, float] | None
    within: float | None
    within_interval: tuple[float, float] | None
    runs: int
    competitors: int
    ignores: str = IGNORES


def correlate(table: Iterable[Mapping[str, Any]], of: str = "flatness_gap", seed: int = 0) -> Correlation | None:
    """Return the rank correlation between a column and ``relative_error`` over the rows that have both.

    Parameters
    ----------
    table : iterable of dict
        Rows as in `RaceResult.table`; diverged runs are left out.
    of : str
        The column.
    seed : int
        Draws the resamples.

    Returns
    -------
    Correlation or None
        None if fewer than three competitors have such rows.

    Examples
    --------
    >>> runs = [("a", 0.0), ("b", 1.0), ("c", 2.0), ("d", 3.0)]
    >>> rows = [dict(competitor=c, diverged=False, flatness_gap=g, relative_error=g * g) for c, g in runs]
    >>> round(correlate(rows).value, 6)
    1.0
    """
    rows = [row for row in table if not row["diverged"] and row[of] is not None and row["relative_error"] is not None]
    names = sorted({row["competitor"] for row in rows})
    if len(names) < 3:
        return None
    pairs = np.array([[row[of], row["relative_error"]] for row in rows], dtype=float)
    group = np.array([names.index(row["competitor"]) for row in rows])
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, len(rows))), drawn[:, group]])
    (value, *between), (within, *inside) = _both(pairs, group, weights).tolist()
    enough = len(names) >= FEWEST
    return Correlation(
        of,
        _known(value),
        _interval(between) if enough and _known(value) is not None else None,
        _known(within),
        _interval(inside) if enough and _known(within) is not None else None,
        len(rows),
        len(names),
    )


def _both(pairs: Array, group: Array, weights: Array) -> Array:
    """Return two rows of correlations, one column for each set of weights (r, n): how often each run was drawn.

    The first is that of the ranks, the second that of the ranks less the mean of their group.
    """
    ranks = np.stack([_ranks(np.maximum(column, ROUNDING), weights) for column in pairs.T])
    members = (group[:, None] == np.arange(group.max() + 1)).astype(float)
    sizes = np.maximum(weights @ members, 1)  # a group that was not drawn has no weight
    overall = np.sum(weights * ranks, axis=2, keepdims=True) / weights.sum(axis=1, keepdims=True)
    grouped = ((weights * ranks) @ members / sizes) @ members.T
    return np.stack([_pearson(ranks - overall, weights), _pearson(ranks - grouped, weights)])


def _ranks(values: Array, weights: Array) -> Array:
    """Return the ranks (r, n) of values of which each stands as often as its weight says, equal ones in the middle."""
    _, place = np.unique(values, return_inverse=True)
    counts = weights @ (place[:, None] == np.arange(place.max() + 1))
    return np.asarray((np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, place])


def _pearson(centred: Array, weights: Array) -> Array:
    """Return the correlation for each set of weights, NaN where one of the two hardly varies."""
    products = np.einsum("arn,brn,rn->abr", centred, centred, weights)
    sizes = np.sqrt(products[[0, 1], [0, 1]])
    varies = sizes.min(axis=0) > 1e-9 * weights.sum(axis=1)
    return np.where(varies, np.clip(products[0, 1] / np.where(varies, sizes.prod(axis=0), 1), -1, 1), np.nan)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _interval(values: list[float]) -> tuple[float, float] | None:
    """Return the middle of the draws in which both quantities varied."""
    known = [v for v in values if not np.isnan(v)]
    if len(known) < len(values) / 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
