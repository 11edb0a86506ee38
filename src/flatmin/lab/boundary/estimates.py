r"""Numbers about boundaries that claims are made of, each with its interval.

A number that the trials do not tell is ``(nan, −inf, inf)``, which leaves a claim open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import t

from flatmin._core.arrays import Array
from flatmin.lab.boundary.phase_map import Column
from flatmin.lab.boundary.posterior import pooled_boundary
from flatmin.lab.claims import shared_level
from flatmin.lab.evidence import Evidence
from flatmin.lab.runs.experiment import Value

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
    "slope_over",
]

#: A prediction of the boundary, in units of what success sets in along.
Prediction = Callable[[Mapping[str, Any]], float]

#: What share of successes is about none at one end of what was tried, and all but about all at the other.
NEARLY = 0.1


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
    each = shared_level(max(among, len(columns), 1), level)
    found = []
    for column in _resolvable(columns):
        ends = (np.array(boundary_of(column, each)) * column.scale).tolist()
        expected, size = predicted(column.parameters), unit(column.parameters)
        found.append([part / size for part in Number(*ends).folded(expected)])
    return Number(*(max(parts) for parts in zip(*found, strict=True))) if found else UNKNOWN


def largest(columns: Sequence[Column], level: float = 0.95) -> Number:
    """Return the largest boundary of the columns, in units of the scale; the level is that of all bands together."""
    each = shared_level(max(len(columns), 1), level)
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

    A line through logarithms by `slope_over`.
    """
    return slope_over(
        columns,
        lambda column: math.log(column.parameters[over]),
        lambda column, x: math.log(x * column.scale / unit(column.parameters)),
        level,
    )


def slope_over(
    columns: Sequence[Column],
    place: Callable[[Column], float],
    height: Callable[[Column, float], float],
    level: float = 0.95,
) -> Number:
    """Return the slope of boundaries over what the columns differ in.

    A line by `slope` through the columns whose bands lie within the points that were tried, at least three. Another
    column says on which side of these points its boundary is. Left out it would bend the line on one side: above on the
    right and below on the left the slope may be larger by any amount, so that the interval has no upper end; the other
    way round it has no lower end.

    Parameters
    ----------
    columns : sequence of Column
    place : callable
        Of a column: its place on the axis.
    height : callable
        Of a column and a boundary in units of the scale, which it rises with.
    level : float
        Of the interval.
    """
    seen, left = [], []
    for column in _resolvable(columns):
        at, tried = column.knowledge.boundary(), column.points[np.array(column.trials) > 0]
        if at.low >= tried.min() and at.high <= tried.max():
            ends = [height(column, x) for x in (at.value, at.low, at.high)]
            seen.append((place(column), ends[0], (ends[2] - ends[1]) / (2 * _quantile(0.95))))
        else:
            left.append((place(column), at.low < tried.min(), at.high > tried.max()))
    if len(seen) < 3:
        return UNKNOWN
    x, y, spread = np.array(seen).T
    estimate, low, high = slope(x, y, spread, level)
    middle = float(spread**-2.0 @ x / np.sum(spread**-2.0))
    for at_x, lower, higher in left:
        high = math.inf if (higher and at_x >= middle) or (lower and at_x <= middle) else high
        low = -math.inf if (lower and at_x >= middle) or (higher and at_x <= middle) else low
    return Number(estimate, low, high)


def slope(x: Array, y: Array, spread: Array, level: float = 0.95) -> Number:
    """Return the slope of a line through points of known spread, at least three, with its interval.

    Least squares, each weighted by its spread. Where the points are farther from the line than these spreads say, the
    interval is Student's with n − 2 degrees of freedom, which goes by how far they are.
    """
    weights = spread**-2.0
    middle, height = (float(weights @ values / weights.sum()) for values in (x, y))
    strength = float(weights @ (x - middle) ** 2)
    if strength == 0:
        return UNKNOWN
    estimate = float(weights @ ((x - middle) * (y - height))) / strength
    free = len(x) - 2
    misfit = float(weights @ (y - height - estimate * (x - middle)) ** 2) / free
    size = math.sqrt(misfit) * float(t.ppf((1 + level) / 2, free)) if misfit > 1 else _quantile(level)
    half = size / math.sqrt(strength)
    return Number(estimate, estimate - half, estimate + half)


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
        draws or more that both saw. Where in a column one side does not come from about no successes to about all, what
        lies beyond the grid is not seen: the interval has no end on the side to which it would move the difference.

    References
    ----------
    Kärber, "Beitrag zur kollektiven Behandlung pharmakologischer Reihenversuche", Archiv f. exp. Pathologie 162, 1931.
    """
    about = evidence.experiment.transition
    assert about is not None
    others = [key for key in evidence.experiment.columns if key != name]
    columns: dict[tuple[Any, ...], list[tuple[float, Array]]] = {}
    for values, part in evidence.split(*others).items():
        at = dict(zip(others, values, strict=True))
        x = at.pop(about.along) / about.scale(at)
        pairs = part.pairs(about.success, name, first, second)
        if len(pairs) >= 2:
            columns.setdefault(tuple(at.values()), []).append((x, pairs))
    several = [sorted(cells, key=lambda cell: cell[0]) for cells in columns.values() if len(cells) > 1]
    if not several:
        return UNKNOWN
    means, variances, single = np.array([_area(cells) for cells in several]).T
    half = _quantile(level) * math.sqrt(variances.sum() + single.max() ** 2) / len(several)
    estimate = float(means.mean())
    less, more = (any(side) for side in zip(*(_unseen(cells, about.falling) for cells in several), strict=True))
    found = -math.inf if less else estimate - half, math.inf if more else estimate + half
    low, high = (-found[1], -found[0]) if about.falling else found
    return Number(-estimate if about.falling else estimate, low, high)


def _unseen(cells: list[tuple[float, Array]], falling: bool) -> tuple[bool, bool]:
    """Return whether what lies beyond the cells may lessen the area between both shares, and whether it may add to it.

    A share that has not come to about none or about all at an end goes on beyond it: its part of the area is larger
    there by any amount, and its sign is known.
    """
    start, end = (np.mean(pairs, axis=0) for _, pairs in (cells[0], cells[-1]))
    none, every = (end, start) if falling else (start, end)
    less = none[0] > NEARLY or 1 - every[1] > NEARLY
    more = none[1] > NEARLY or 1 - every[0] > NEARLY
    return bool(less), bool(more)


def _area(cells: list[tuple[float, Array]]) -> tuple[float, float, float]:
    """Return the area between the shares of the second and the first, its variance, and the most that a draw adds."""
    differences = [pairs[:, 1] - pairs[:, 0] for _, pairs in cells]
    x = np.array([at for at, _ in cells])
    steps = np.diff(x, prepend=x[0], append=x[-1])
    weights = (steps[1:] + steps[:-1]) / 2
    means = np.array([values.mean() for values in differences])
    variances = np.array([values.var(ddof=1) / len(values) for values in differences])
    single = max(w / len(values) for w, values in zip(weights, differences, strict=True))
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
