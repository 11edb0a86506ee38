"""Summaries of repetitions: mean, share, geometric mean or median, with a 95 % interval."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.boundary.posterior import wilson
from flatmin.lab.claims import interval

__all__ = ["LARGEST", "Summary", "median_interval", "summarise", "within_reach"]

#: Larger absolute values count as infinite, and those below the inverse as zero, to avoid overflow.
LARGEST = 1e150


@dataclass(frozen=True)
class Summary:
    """A summary of repetitions with its interval.

    Attributes
    ----------
    value, low, high : float
        The summary and the ends of its 95 % interval, which are infinite for too few repetitions (zero and infinite for
        geometric means).
    trials : int
        The number of repetitions.
    left_out : int
        The number of repetitions without a finite number, or without a logarithm if one is needed.
    """

    value: float
    low: float
    high: float
    trials: int
    left_out: int = 0

    @property
    def bounded(self) -> bool:
        """Whether there are enough repetitions for an interval."""
        return math.isfinite(self.high) and math.isfinite(self.low)


def summarise(values: Array, centre: str = "mean", *, logarithm: bool = False, level: float = 0.95) -> Summary | None:
    """Return a summary of repetitions, or None if none can be used.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Truth values, summarised by their share with Wilson's interval, or numbers.
    centre : str
        "mean", with Student's t interval, or "median", with the distribution-free one of order statistics.
    logarithm : bool
        Use the geometric mean, whose interval is positive.
    level : float
        Probability of the interval.

    Returns
    -------
    Summary or None

    Raises
    ------
    InputError
        If the centre is another word, or values are words.

    Examples
    --------
    >>> import numpy as np
    >>> found = summarise(np.array([1.0, 100.0, 0.0]), logarithm=True)
    >>> round(found.value), found.low > 0, found.trials, found.left_out
    (10, True, 2, 1)
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
        # If one of the two middle values is infinite, the median is infinite too.
        value = middle.mean() if np.isfinite(middle).all() else middle[np.argmax(np.abs(middle))]
        return Summary(float(value), low, high, len(used), len(numbers) - len(used))
    fit = np.isfinite(numbers) & ((numbers > 0) | (not logarithm))
    used = numbers[fit]
    if not len(used):
        return None
    if logarithm:
        with np.errstate(over="ignore"):  # Two values far apart give an infinite interval.
            low, high = (float(np.exp(end)) for end in interval(np.log(used), level))
        return Summary(float(np.exp(np.log(used).mean())), low, high, len(used), len(numbers) - len(used))
    return Summary(float(used.mean()), *interval(used, level), len(used), len(numbers) - len(used))


def within_reach(values: Array) -> Array:
    """Replace numbers beyond the range of `LARGEST` by infinity and zero.

    Examples
    --------
    >>> import numpy as np
    >>> within_reach(np.array([1.0, -1e200, 1e-300]))
    array([  1., -inf,   0.])
    """
    sizes = np.abs(values)
    return np.where(sizes > LARGEST, np.copysign(np.inf, values), np.where(sizes < 1 / LARGEST, 0.0, values))


def median_interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """Return the two order statistics that enclose the median, for any distribution.

    The median is below the k-th smallest of n values with probability ``P(Binomial(n, ½) < k)``; k is the largest for
    which this is at most ``(1 − level) / 2``.

    Examples
    --------
    >>> import numpy as np
    >>> median_interval(np.arange(1.0, 11.0)), median_interval(np.arange(5.0))
    ((2.0, 9.0), (-inf, inf))
    """
    n, ordered = len(values), np.sort(values)
    tails = binom.cdf(np.arange(n), n, 0.5)
    k = int(np.sum(tails <= (1 - level) / 2))
    return (float(ordered[k - 1]), float(ordered[n - k])) if k else (-math.inf, math.inf)
