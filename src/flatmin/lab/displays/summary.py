"""Summaries of the repetitions of a cell: mean, median or share, with an interval."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.boundary.posterior import wilson
from flatmin.lab.claims import interval

__all__ = ["LARGEST", "Summary", "median_interval", "summarise", "within_reach"]

#: Numbers above LARGEST count as infinite, and numbers below 1/LARGEST as zero, so that squares do not overflow.
LARGEST = 1e150


@dataclass(frozen=True)
class Summary:
    """The mean, median or share of repetitions, called ``value``, with its 95 % interval from ``low`` to ``high``.

    With too few repetitions the interval is unbounded (from zero to infinity for a geometric mean). ``trials`` is the
    number of repetitions used. ``left_out`` is the number that are not finite, or for a geometric mean not positive.
    """

    value: float
    low: float
    high: float
    trials: int
    left_out: int = 0

    @property
    def bounded(self) -> bool:
        """Whether the interval is finite."""
        return math.isfinite(self.high) and math.isfinite(self.low)


def summarise(values: Array, centre: str = "mean", *, logarithm: bool = False, level: float = 0.95) -> Summary | None:
    """Return the summary of repetitions with an interval of probability ``level``; None if none of them is usable.

    Truth values are summarised by the share of true ones, with Wilson's interval. Numbers are summarised by their
    "mean" with Student's t interval, or by their "median" with the interval of order statistics, which is valid for any
    distribution. With ``logarithm`` the mean is geometric, and its interval is positive. An unknown ``centre``, or
    values that are words, raise `InputError`.
    """
    if centre not in ("mean", "median"):
        raise InputError(f'centre is {centre!r}, expected "mean" or "median"')
    if values.dtype == bool:
        if not len(values):
            return None
        ends = wilson(values.sum(), len(values), level)
        return Summary(float(values.mean()), float(ends[0]), float(ends[1]), len(values))
    try:
        numbers = within_reach(values.astype(float))
    except (TypeError, ValueError):
        raise InputError(f"a metric has values such as {str(values[0])!r}, expected numbers or truth values") from None
    if centre == "median":
        used = np.sort(numbers[~np.isnan(numbers)])
        if not len(used):
            return None
        low, high = median_interval(used, level)
        middle = np.array([used[(len(used) - 1) // 2], used[len(used) // 2]])
        # Every number between the middle two is a median. If one of them is infinite, the median is infinite.
        value = middle.mean() if np.isfinite(middle).all() else middle[np.argmax(np.abs(middle))]
        return Summary(float(value), low, high, len(used), len(numbers) - len(used))
    fit = np.isfinite(numbers) & ((numbers > 0) | (not logarithm))
    used = numbers[fit]
    if not len(used):
        return None
    if logarithm:
        with np.errstate(over="ignore"):  # two values far apart have an infinite interval
            low, high = (float(np.exp(end)) for end in interval(np.log(used), level))
        return Summary(float(np.exp(np.log(used).mean())), low, high, len(used), len(numbers) - len(used))
    return Summary(float(used.mean()), *interval(used, level), len(used), len(numbers) - len(used))


def within_reach(values: Array) -> Array:
    """Return numbers; those whose absolute value is above LARGEST become infinite, those below 1/LARGEST zero."""
    sizes = np.abs(values)
    return np.where(sizes > LARGEST, np.copysign(np.inf, values), np.where(sizes < 1 / LARGEST, 0.0, values))


def median_interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """Return two of the values between which the median lies with probability ``level``, for any distribution.

    The median is below the k-th smallest of n values with probability ``P(Binomial(n, ½) < k)``. The ends are the k-th
    smallest and the k-th largest value, for the largest k whose probability is at most ``(1 − level)/2``.
    """
    n, ordered = len(values), np.sort(values)
    tails = bdtr(np.arange(n), n, 0.5)
    k = int(np.sum(tails <= (1 - level) / 2))
    return (float(ordered[k - 1]), float(ordered[n - k])) if k else (-math.inf, math.inf)
