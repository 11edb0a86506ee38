r"""Posterior distribution of the boundary between failure and success along one parameter m.

The success probability is modelled as ``p(x) = 1 / (1 + exp(−(x − c)/w))`` with ``x = m / scale``. Here c is the
boundary and w the width of the transition; for the scale ``r (d1 + d2)``, half of the trials succeed at
``m = c r (d1 + d2)``. The prior is uniform in c and in log w. The posterior of c is the integral over w. (A maximum of
the likelihood need not exist: it has none in w if success begins between two neighbouring points.) The band of a
boundary is the central 95 % of its posterior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import entr, expit, log_expit, logsumexp, ndtri

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.report.words import number

__all__ = ["Boundary", "Posterior", "fit_boundary", "pooled_boundary", "wilson"]

#: Number of grid points over boundaries c.
CENTRES = 101
#: Number of grid points over widths w.
WIDTHS = 16
#: The grid covers the boundaries whose log-likelihood is at most this much (in nats) below the largest.
DEPTH = 20.0
#: The smallest transition width w on the grid, in units of the smallest distance between points.
NARROWEST = 0.05
#: The largest transition width w on the grid, in units of the range of all points.
WIDEST = 0.5
#: How far beyond the outermost points the grid of boundaries extends, in units of the range of the points.
MARGIN = 0.5


def wilson(successes: Any, trials: Any, level: float = 0.95) -> tuple[Array, Array]:
    """Return the lower and upper ends of Wilson's intervals for probabilities; without trials they are 0 and 1.

    Parameters
    ----------
    successes, trials : int or array_like of int
        The counts for each probability.
    level : float
        Confidence level, between 0 and 1.

    Raises
    ------
    InputError
        If there are more successes than trials, or the level is out of range.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Examples
    --------
    >>> low, high = wilson([0, 5, 10], 10)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.237, 0.722], [0.278, 0.763, 1.0])
    """
    s, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    if np.any(s < 0) or np.any(s > n):
        raise InputError("a number of successes is negative or exceeds the trials, expected from 0 to all trials")
    if not 0 < level < 1:
        raise InputError(f"level is {level!r}, expected a number between 0 and 1")
    z = float(ndtri((1 + level) / 2))
    size = np.maximum(n, 1)
    share = s / size
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    low, high = np.where(s == 0, 0.0, middle - half), np.where(s == n, 1.0, middle + half)
    return np.where(n == 0, 0.0, low), np.where(n == 0, 1.0, high)


@dataclass(frozen=True)
class Boundary:
    """A boundary c in units of the scale: its posterior median ``value``, and its band from ``low`` to ``high``.

    Examples
    --------
    >>> boundary = Boundary(2.0, 1.8, 2.3, 0.1, True, 300)
    >>> print(boundary.times(10.0))
    20 (18 to 23)
    """

    value: float
    low: float
    high: float
    #: The posterior median of w. The success probability rises from 27 % to 73 % over twice this width.
    width: float
    #: Whether the band lies within the points with trials. If not, the trials do not show the boundary.
    inside: bool
    #: The number of trials.
    trials: int

    def times(self, scale: float) -> Boundary:
        """Return the boundary multiplied by a scale, in units of the transition's parameter."""
        value, low, high, width = (scale * end for end in (self.value, self.low, self.high, self.width))
        return Boundary(value, low, high, width, self.inside, self.trials)

    def __str__(self) -> str:
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"


class Posterior:
    """The posterior distribution of the boundary c and the width w, given the trials of a column.

    Parameters
    ----------
    points : array_like, shape (n,)
        The coordinate ``x = m / scale`` of each cell; at least two are different.
    successes, trials : array_like, shape (n,)
        Counts of each cell.
    falling : bool
        Whether success ends at the boundary, as the parameter grows, and does not begin there.
    centres : array_like, optional
        Grid of values of c. By default it covers those that are likely, up to half the range beyond the points.

    Raises
    ------
    InputError
        If there are fewer than two different points.
    """

    def __init__(self, points: Any, successes: Any, trials: Any, *, falling: bool = False, centres: Any = None) -> None:
        counts = (np.asarray(values, float) for values in (points, successes, trials))
        self.points, self._successes, self._trials = np.broadcast_arrays(*counts)
        distinct = np.unique(self.points)
        if len(distinct) < 2:
            raise InputError(f"a boundary was asked for from {len(distinct)} different points, expected at least 2")
        self._low, self._high = float(distinct[0]), float(distinct[-1])
        reach = self._high - self._low
        self._sign = -1.0 if falling else 1.0
        self.widths = np.geomspace(NARROWEST * float(np.diff(distinct).min()), WIDEST * reach, WIDTHS)
        if centres is not None:
            self.centres = np.asarray(centres, float)
            return
        self.centres = np.linspace(self._low - MARGIN * reach, self._high + MARGIN * reach, CENTRES // 2)
        likely = self._likelihood() > self._likelihood().max() - DEPTH
        self.centres = np.linspace(*_around(self.centres, likely.any(axis=1)), CENTRES)
        self.widths = np.geomspace(*_around(self.widths, likely.any(axis=0)), WIDTHS)

    @cached_property
    def likelihood(self) -> Array:
        """The log-likelihood on the grid, shape (centres, widths), up to a constant."""
        return self._likelihood()

    def _likelihood(self) -> Array:
        used = self._trials > 0
        t = self._argument(self.points[used])
        s, n = self._successes[used], self._trials[used]
        return np.asarray(np.einsum("x,xcw->cw", s, log_expit(t)) + np.einsum("x,xcw->cw", n - s, log_expit(-t)))

    @cached_property
    def centre_likelihood(self) -> Array:
        """The logarithm of the likelihood of each boundary, averaged over widths, shape (centres,)."""
        return np.asarray(logsumexp(self.likelihood, axis=1) - np.log(WIDTHS))

    def boundary(self, level: float = 0.95) -> Boundary:
        """Return the boundary with its band."""
        value, low, high = _quantiles(self.centres, self.centre_likelihood, level)
        of_widths = logsumexp(self.likelihood, axis=0)
        width = float(self.widths[np.searchsorted(np.cumsum(np.exp(of_widths - logsumexp(of_widths))), 0.5)])
        inside = self._low <= low and high <= self._high
        return Boundary(value, low, high, width, inside, int(self._trials.sum()))

    def information(self, points: Any) -> Array:
        """Return how much one more trial at each point would tell about boundary and width, in nats.

        The result is the mutual information between the outcome of the trial and the pair (c, w). The information is
        large where success is uncertain because the boundary is unknown, and small where the success probability is
        known, even if it is known to be one half.

        References
        ----------
        Kontsevich, Tyler, "Bayesian adaptive estimation of psychometric slope and threshold", Vision Research 39, 1999.
        """
        weights = np.exp(self.likelihood - logsumexp(self.likelihood))
        p = expit(self._argument(np.asarray(points, float)))
        mean = np.einsum("xcw,cw->x", p, weights)
        return np.asarray(_entropy(mean) - np.einsum("xcw,cw->x", _entropy(p), weights))

    def _argument(self, points: Array) -> Array:
        return np.asarray(self._sign * (points[:, None, None] - self.centres[:, None]) / self.widths)


def fit_boundary(points: Any, successes: Any, trials: Any, *, falling: bool = False, level: float = 0.95) -> Boundary:
    """Return the boundary of a column with its band of probability ``level``; the parameters are as in `Posterior`.

    Examples
    --------
    >>> found = fit_boundary([1.0, 1.5, 2.0, 2.5, 3.0], [0, 1, 5, 10, 10], [10] * 5)
    >>> 1.9 < found.value < 2.1, found.low < found.value < found.high, found.inside
    (True, True, True)
    """
    return Posterior(points, successes, trials, falling=falling).boundary(level)


def pooled_boundary(columns: Sequence[Mapping[str, Any]], level: float = 0.95) -> Boundary:
    """Return one boundary fitted to several columns, whose widths may differ; ``columns`` has their `Column.counts`."""
    x = np.concatenate([np.ravel(column["points"]) for column in columns])
    reach = x.max() - x.min()
    centres = np.linspace(x.min() - MARGIN * reach, x.max() + MARGIN * reach, CENTRES)
    for _ in range(2):
        likelihood = np.sum([Posterior(**column, centres=centres).centre_likelihood for column in columns], axis=0)
        looked_at, centres = centres, np.linspace(*_around(centres, likelihood > likelihood.max() - DEPTH), CENTRES)
    value, low, high = _quantiles(looked_at, likelihood, level)
    width = float(np.median([Posterior(**column).boundary().width for column in columns]))
    trials = sum(int(np.sum(column["trials"])) for column in columns)
    return Boundary(value, low, high, width, bool(x.min() <= low and high <= x.max()), trials)


def _around(grid: Array, likely: Array) -> tuple[float, float]:
    """Return the ends of the likely part of a grid, extended by one grid step on both sides."""
    inside = np.flatnonzero(likely)
    return float(grid[max(inside[0] - 1, 0)]), float(grid[min(inside[-1] + 1, len(grid) - 1)])


def _quantiles(centres: Array, likelihood: Array, level: float) -> tuple[float, float, float]:
    """Return the median and the ends of the central band of a density, given by its logarithm on a grid."""
    density = np.exp(likelihood - likelihood.max())
    steps = (density[1:] + density[:-1]) / 2
    cumulative = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
    found = np.interp([0.5, (1 - level) / 2, (1 + level) / 2], cumulative, centres)
    return float(found[0]), float(found[1]), float(found[2])


def _entropy(p: Array) -> Array:
    return np.asarray(entr(p) + entr(1 - p))
