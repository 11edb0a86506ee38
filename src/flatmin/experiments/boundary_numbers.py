r"""Numbers about boundaries that claims are made of, each with its interval.

A number that the trials do not tell is ``(nan, −inf, inf)``, which leaves a claim open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from flatmin.experiments.boundary import Boundary, pooled_boundary
from flatmin.experiments.evidence import Evidence
from flatmin.experiments.phase_map import Column
from flatmin.experiments.recipe import Value
from flatmin.metric import Array

__all__ = [
    "UNKNOWN",
    "Number",
    "beyond",
    "boundary_of",
    "difference",
    "distance",
    "growth",
    "largest",
    "ratio",
    "slope",
    "spread_of",
]

#: A prediction of the boundary, in units of what success sets in along.
Prediction = Callable[[Mapping[str, Any]], float]


class Number(NamedTuple):
    """An estimate and its interval."""

    estimate: float
    low: float
    high: float

    def folded(self, at: float) -> Number:
        """Return how far it is from a number, on either side.

        Examples
        --------
        >>> Number(1.02, 0.99, 1.05).folded(1.0).low
        0.0
        """
        ends = abs(self.low - at), abs(self.high - at)
        low = 0.0 if self.low <= at <= self.high else min(ends)
        return Number(abs(self.estimate - at), low, max(ends))


UNKNOWN = Number(math.nan, -math.inf, math.inf)


def boundary_of(column: Column, level: float = 0.95) -> Number:
    """Return the boundary of a column; where its band goes beyond what was tried, it has no end on that side."""
    if not _resolvable([column]):
        return UNKNOWN
    found, tried = column.knowledge.boundary(level), column.points[np.array(column.trials) > 0]
    low = found.low if found.low >= tried.min() else -math.inf
    return Number(found.value, low, found.high if found.high <= tried.max() else math.inf)


def distance(
    columns: Sequence[Column], predicted: Prediction, unit: Prediction, *, level: float = 0.95, among: int = 0
) -> Number:
    """Return the largest distance over columns between the boundary and a prediction, in a unit.

    Parameters
    ----------
    columns : sequence of Column
    predicted, unit : callable
        Of a column's parameters; in units of what success sets in along.
    level : float
        Of all bands together: each has a level that is higher by Bonferroni's rule.
    among : int
        The number of comparisons that share the level, if there are more than these columns.

    Returns
    -------
    Number
        Of the farthest column. What is far in one column is far, so ``low`` is the largest of all lower ends.
    """
    each = 1 - (1 - level) / max(among, len(columns), 1)
    found = []
    for column in _resolvable(columns):
        ends = (np.array(boundary_of(column, each)) * column.scale).tolist()
        expected, size = predicted(column.parameters), unit(column.parameters)
        found.append([part / size for part in Number(*ends).folded(expected)])
    return Number(*(max(parts) for parts in zip(*found, strict=True))) if found else UNKNOWN


def largest(columns: Sequence[Column], level: float = 0.95) -> Number:
    """Return the largest boundary of the columns, in units of the scale; the level is that of all bands together."""
    each = 1 - (1 - level) / max(len(columns), 1)
    found = [boundary_of(column, each) for column in _resolvable(columns)]
    return Number(*(max(parts) for parts in zip(*found, strict=True))) if found else UNKNOWN


def ratio(columns: Sequence[Column], predicted: Prediction, level: float = 0.95) -> Number:
    """Return the boundary over a prediction, one number for all columns, each with a width of its own."""
    counts = []
    for column in _resolvable(columns):
        unit = predicted(column.parameters)
        counts.append(column.counts | {"points": np.array(column.along, float) / unit})
    if not counts:
        return UNKNOWN
    found = pooled_boundary(counts, level)
    return Number(found.value, found.low, found.high) if found.inside else UNKNOWN


def growth(columns: Sequence[Column], over: str, unit: Prediction, level: float = 0.95) -> Number:
    """Return the exponent e of ``boundary / unit ∝ size^e`` over a parameter of the columns.

    A line through logarithms by least squares, each weighted by its band; where the line does not fit, the interval is
    wider by how badly it does not. At least three columns whose bands lie within the points that were tried.
    """
    found = []
    for column in _resolvable(columns):
        boundary = column.knowledge.boundary(level)
        if boundary.inside and boundary.low > 0:
            size = column.scale / unit(column.parameters)
            spread = math.log(boundary.high / boundary.low) / (2 * _quantile(level))
            found.append((math.log(column.parameters[over]), math.log(boundary.value * size), spread))
    if len(found) < 3:
        return UNKNOWN
    x, y, spread = np.array(found).T
    return slope(x, y, spread, level)


def slope(x: Array, y: Array, spread: Array, level: float = 0.95) -> Number:
    """Return the slope of a line through points of known spread, at least three, with its interval."""
    weights = spread**-2.0
    middle, height = (float(weights @ values / weights.sum()) for values in (x, y))
    strength = float(weights @ (x - middle) ** 2)
    if strength == 0:
        return UNKNOWN
    estimate = float(weights @ ((x - middle) * (y - height))) / strength
    misfit = float(weights @ (y - height - estimate * (x - middle)) ** 2) / (len(x) - 2)
    half = _quantile(level) * math.sqrt(max(1.0, misfit) / strength)
    return Number(estimate, estimate - half, estimate + half)


def spread_of(boundary: Boundary, level: float = 0.95) -> float:
    """Return the standard deviation that a band of this level stands for."""
    return (boundary.high - boundary.low) / (2 * _quantile(level))


def difference(evidence: Evidence, name: str, first: Value, second: Value, level: float = 0.95) -> Number:
    """Return how much later success sets in at one value of a parameter than at another, on the same draws.

    The boundary is estimated by the area between the shares of successes and one (Spearman and Kärber), in units of the
    scale: no model of the share, and a sum over cells, so that the difference is one of paired draws. It is averaged
    over columns. One more draw in which the two differ is allowed for, where it would matter most: to agree on a few
    draws proves little.

    Parameters
    ----------
    evidence : Evidence
        Of a recipe with a transition.
    name : str
        The parameter, which is paired.
    first, second : number or str
        Its values.

    Returns
    -------
    Number
        Boundary at the first minus boundary at the second. Unknown if fewer than two cells of each column have two
        draws or more that both saw.

    References
    ----------
    Kärber, "Beitrag zur kollektiven Behandlung pharmakologischer Reihenversuche", Archiv f. exp. Pathologie 162, 1931.
    """
    about = evidence.recipe.transition
    assert about is not None
    others = [key for key in evidence.recipe.columns if key != name]
    columns: dict[tuple[Any, ...], list[tuple[float, Array]]] = {}
    for values, part in evidence.split(*others).items():
        at = dict(zip(others, values, strict=True))
        x = at.pop(about.along) / about.scale(at)
        pairs = part.pairs(about.success, name, first, second)
        if len(pairs) >= 2:
            columns.setdefault(tuple(at.values()), []).append((x, pairs[:, 1] - pairs[:, 0]))
    sizes = [_area(cells) for cells in columns.values() if len(cells) > 1]
    if not sizes:
        return UNKNOWN
    means, variances, single = np.array(sizes).T
    spread = math.sqrt(variances.sum() + single.max() ** 2) / len(sizes)
    estimate = float(means.mean()) * (-1 if about.falling else 1)
    return Number(estimate, estimate - _quantile(level) * spread, estimate + _quantile(level) * spread)


def _area(cells: list[tuple[float, Array]]) -> tuple[float, float, float]:
    """Return the area below mean differences, its variance, and the most that one draw adds to it."""
    cells = sorted(cells, key=lambda cell: cell[0])
    x = np.array([at for at, _ in cells])
    steps = np.diff(x, prepend=x[0], append=x[-1])
    weights = (steps[1:] + steps[:-1]) / 2
    means = np.array([values.mean() for _, values in cells])
    variances = np.array([values.var(ddof=1) / len(values) for _, values in cells])
    single = max(w / len(values) for w, (_, values) in zip(weights, cells, strict=True))
    return float(weights @ means), float(weights**2 @ variances), float(single)


def beyond(columns: Sequence[Column], factor: float) -> tuple[int, int]:
    """Return successes and trials of the cells where success is expected throughout.

    They lie above the upper end of their column's band by a factor, or, where success ends along the column, below the
    lower end by that factor.
    """
    successes = trials = 0
    for column in _resolvable(columns):
        boundary = column.knowledge.boundary()
        safe = column.points <= boundary.low / factor if column.falling else column.points >= boundary.high * factor
        successes += int(np.sum(np.array(column.successes)[safe]))
        trials += int(np.sum(np.array(column.trials)[safe]))
    return successes, trials


def _resolvable(columns: Sequence[Column]) -> list[Column]:
    """Return the columns that have at least two points that were tried."""
    return [column for column in columns if np.unique(column.points[np.array(column.trials) > 0]).size > 1]


def _quantile(level: float) -> float:
    return float(ndtri((1 + level) / 2))
