"""Estimates from the boundaries of columns: distances from predictions, slopes, and differences, with intervals.

If the trials do not determine an estimate, it is ``(nan, −inf, inf)``, and a claim about it is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

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

#: A function of a column's parameters, whose value is in units of the transition's parameter.
Formula = Callable[[Mapping[str, Any]], float]

#: A success rate below NEARLY counts as 0, above 1 − NEARLY as 1.
NEARLY = 0.1


class Number(NamedTuple):
    """An estimate and its interval."""

    estimate: float
    low: float
    high: float

    def folded(self, at: float) -> Number:
        """Return the distance of the number from ``at``, with its interval."""
        ends = abs(self.low - at), abs(self.high - at)
        low = 0.0 if self.low <= at <= self.high else min(ends)
        return Number(abs(self.estimate - at), low, max(ends))


UNKNOWN = Number(math.nan, -math.inf, math.inf)


def boundary_of(column: Column, level: float = 0.95) -> Number:
    """Return the boundary of a column in units of its scale.

    If the band reaches beyond the smallest or the largest point with trials, the interval is unbounded on that side.
    """
    if not column.resolvable:
        return UNKNOWN
    found, tried = column.posterior.boundary(level), column.tried
    low = found.low if found.low >= tried.min() else -math.inf
    return Number(found.value, low, found.high if found.high <= tried.max() else math.inf)


def distance(
    columns: Sequence[Column], predicted: Formula, unit: Formula, *, level: float = 0.95, among: int = 0
) -> Number:
    """Return the largest distance between boundary and prediction among columns, in units of ``unit``.

    Each column's distance has an interval. The low end of the result is the largest of the low ends, and the high end
    is the largest of the high ends.

    Parameters
    ----------
    columns : sequence of Column
    predicted, unit : callable
        The predicted boundary and the unit of the distance, both functions of a column's parameters.
    level : float
        Probability that all bands hold together, by Bonferroni's rule.
    among : int
        Number of comparisons among which the error probability is divided, if larger than the number of columns.
    """
    each = shared_level(max(among, len(columns), 1), level)
    found = []
    for column in filter(_resolvable, columns):
        ends = (np.array(boundary_of(column, each)) * column.scale).tolist()
        expected, size = predicted(column.parameters), unit(column.parameters)
        found.append([part / size for part in Number(*ends).folded(expected)])
    return _largest(found)


def largest(columns: Sequence[Column], level: float = 0.95) -> Number:
    """Return the largest boundary among columns, in units of their scales; ``level`` is that of all bands together."""
    each = shared_level(max(len(columns), 1), level)
    return _largest([boundary_of(column, each) for column in filter(_resolvable, columns)])


def _largest(found: Sequence[Sequence[float]]) -> Number:
    return Number(*(max(parts) for parts in zip(*found, strict=True))) if found else UNKNOWN


def ratio(columns: Sequence[Column], predicted: Formula, level: float = 0.95) -> Number:
    """Return the ratio of boundary to prediction, fitted as one constant to all columns, whose widths may differ."""
    counts = [
        column.counts | {"points": np.array(column.values, float) / predicted(column.parameters)}
        for column in filter(_resolvable, columns)
    ]
    found = pooled_boundary(counts, level) if counts else None
    return Number(found.value, found.low, found.high) if found is not None and found.inside else UNKNOWN


def growth(columns: Sequence[Column], over: str, unit: Formula, level: float = 0.95) -> Number:
    """Return the exponent e of ``boundary / unit ∝ over^e``, by a line through the logarithms of both sides."""
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
    """Return the slope of a line through the boundaries of columns.

    The line is fitted to the columns whose bands lie within their points with trials; at least three are needed. The
    other columns only tell that their boundary may lie above or below all their points. Such a boundary could make the
    slope arbitrarily large if it is above the points and right of the line's centre, or below them and left of the
    centre; then the interval has no upper end. In the two other cases the interval has no lower end.

    Parameters
    ----------
    columns : sequence of Column
    place : callable
        ``place(column)`` is the x-coordinate of a column.
    height : callable
        ``height(column, boundary)`` is the y-coordinate; it increases with the boundary.
    level : float
        Probability of the interval.
    """
    seen, left = [], []
    for column in filter(_resolvable, columns):
        at, tried = column.posterior.boundary(), column.tried
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
    """Return the slope of a line through at least three points, by least squares with weights ``1 / spread²``.

    ``spread`` has the standard deviations of ``y``. The interval is normal, or Student's with n − 2 degrees of freedom
    if the residuals are larger than ``spread`` explains.
    """
    weights = spread**-2.0
    middle, height = (float(weights @ values / weights.sum()) for values in (x, y))
    spread_of_x = float(weights @ (x - middle) ** 2)
    if spread_of_x == 0:
        return UNKNOWN
    estimate = float(weights @ ((x - middle) * (y - height))) / spread_of_x
    free = len(x) - 2
    misfit = float(weights @ (y - height - estimate * (x - middle)) ** 2) / free
    size = math.sqrt(misfit) * float(stdtrit(free, (1 + level) / 2)) if misfit > 1 else _quantile(level)
    half = size / math.sqrt(spread_of_x)
    return Number(estimate, estimate - half, estimate + half)


def difference(evidence: Evidence, name: str, first: Value, second: Value, level: float = 0.95) -> Number:
    """Return the boundary at the first value of a paired parameter minus the one at the second, on equal draws.

    The boundary of a column is estimated by the area between the success rate and one (Spearman and Kärber), in units
    of the scale. The differences are averaged over columns. The area needs no model of the success rate, and it is a
    sum over cells, in which each draw is compared with the same draw at the other value.

    Agreement on a few draws proves little. So the interval allows for one further draw with different outcomes, at the
    most influential point. If a success rate does not go from about 0 to about 1 within a column, a part of the area is
    not seen, and the interval is unbounded on one side. The difference is unknown if no column has two cells with at
    least two common draws each.

    Parameters
    ----------
    evidence : Evidence
        Evidence of an experiment with a transition.
    name : str
        The paired parameter, such as the method.
    first, second : number or str
        The two values of this parameter.

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
        x = at.pop(about.parameter) / about.scale(at)
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
    """Return whether the area between both success rates may be smaller, and whether it may be larger, than computed.

    If a rate is not yet about 0 or about 1 at the last cell, the rate changes further beyond that cell. The area there
    is unknown, but its sign is known.
    """
    start, end = (np.mean(pairs, axis=0) for _, pairs in (cells[0], cells[-1]))
    none, every = (end, start) if falling else (start, end)
    less = none[0] > NEARLY or 1 - every[1] > NEARLY
    more = none[1] > NEARLY or 1 - every[0] > NEARLY
    return bool(less), bool(more)


def _area(cells: list[tuple[float, Array]]) -> tuple[float, float, float]:
    """Return the area between both success rates, its variance, and the largest contribution of a single draw."""
    differences = [pairs[:, 1] - pairs[:, 0] for _, pairs in cells]
    x = np.array([at for at, _ in cells])
    steps = np.diff(x, prepend=x[0], append=x[-1])
    weights = (steps[1:] + steps[:-1]) / 2
    means = np.array([values.mean() for values in differences])
    variances = np.array([values.var(ddof=1) / len(values) for values in differences])
    single = max(w / len(values) for w, values in zip(weights, differences, strict=True))
    return float(weights @ means), float(weights**2 @ variances), float(single)


def beyond(columns: Sequence[Column], factor: float) -> tuple[int, int]:
    """Return the successes and the trials of cells that lie beyond the band by ``factor``, on the side of success."""
    successes = trials = 0
    for column in filter(_resolvable, columns):
        boundary = column.posterior.boundary()
        safe = column.points <= boundary.low / factor if column.falling else column.points >= boundary.high * factor
        successes += int(np.sum(np.array(column.successes)[safe]))
        trials += int(np.sum(np.array(column.trials)[safe]))
    return successes, trials


def _quantile(level: float) -> float:
    return float(ndtri((1 + level) / 2))


_resolvable = attrgetter("resolvable")
