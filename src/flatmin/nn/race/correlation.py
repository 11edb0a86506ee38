"""Whether flatter runs are better runs: a rank correlation, with what is uncertain about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from flatmin.metric import Array

__all__ = ["Correlation", "correlate"]

#: Resamples of the bootstrap, and the share of them that an interval holds.
RESAMPLES, LEVEL = 2000, 0.95
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
        95 % of the bootstrap that resamples competitors.
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
    members = [np.flatnonzero(group == g) for g in range(len(names))]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLES):
        chosen = [members[g] for g in rng.integers(len(names), size=len(names))]
        sample = np.concatenate(chosen)
        # A competitor drawn twice counts as two.
        draws.append(_both(pairs[sample], np.repeat(np.arange(len(chosen)), [len(c) for c in chosen])))
    value, within = _both(pairs, group)
    return Correlation(
        of,
        value,
        _interval([d[0] for d in draws]) if value is not None else None,
        within,
        _interval([d[1] for d in draws]) if within is not None else None,
        len(rows),
        len(names),
    )


def _both(pairs: Array, group: Array) -> tuple[float | None, float | None]:
    """Return the correlation of the ranks, and that of the ranks less the mean of their group."""
    ranks = np.stack([rankdata(np.maximum(column, ROUNDING)) for column in pairs.T])
    sizes = np.bincount(group)
    means = np.stack([np.bincount(group, weights=r) / sizes for r in ranks])
    return _pearson(ranks - ranks.mean(axis=1, keepdims=True)), _pearson(ranks - means[:, group])


def _pearson(centred: Array) -> float | None:
    norms = np.linalg.norm(centred, axis=1)
    if np.min(norms) <= 1e-9 * len(centred[0]):
        return None
    return float(np.clip(centred[0] @ centred[1] / np.prod(norms), -1.0, 1.0))


def _interval(values: list[float | None]) -> tuple[float, float] | None:
    """Return the middle of the draws in which both quantities varied."""
    known = [v for v in values if v is not None]
    if len(known) < len(values) / 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
