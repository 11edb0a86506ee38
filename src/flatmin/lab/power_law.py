"""Geometric means of ratios, and exponents of power laws, with intervals."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.special import stdtrit

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.claims import Claim, interval

__all__ = ["claim_of_ratio", "geometric_mean", "power_law"]


def geometric_mean(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the geometric mean of positive numbers, with the ends of Student's interval of their logarithms.

    Raises
    ------
    InputError
        If there are no values, or one is not positive and finite.

    Examples
    --------
    >>> [round(value, 2) for value in geometric_mean([1.0, 2.0, 4.0])]
    [2.0, 0.36, 11.19]
    """
    logs = _logs(values, "values")
    if not logs.size:
        raise InputError("a geometric mean of no values was asked for, expected at least one")
    low, high = interval(logs, level)
    return tuple(float(value) for value in np.exp([logs.mean(), low, high]))  # type: ignore[return-value]


def claim_of_ratio(text: str, values: Iterable[float], *, level: float = 0.95, **limit: float) -> Claim:
    """Return a claim about the geometric mean of independent ratios; it needs at least two to decide.

    Examples
    --------
    >>> print(claim_of_ratio("the new over the old", [0.5, 0.4, 0.5], below=1))
    HOLDS      the new over the old: 0.464 [0.337, 0.639], expected at most 1
    """
    values = np.asarray(list(values), float)
    return Claim(text, *geometric_mean(values, level), **limit) if values.size else Claim.open(text, **limit)


def power_law(x: Any, y: Any, level: float = 0.95) -> tuple[float, float, float]:
    """Return the exponent p of ``y ≈ c x^p`` and the ends of its interval, by least squares of the logarithms.

    The interval is the wider one of two intervals: one from the scatter of the draws around the line, and one from the
    distances between the line and the mean at each x. So a curve that bends on logarithmic scales has a wide interval.
    With fewer than three different x the interval is unbounded; with fewer than two the exponent is NaN.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Positive numbers, one pair for each draw.
    level : float
        Confidence level, between 0 and 1.

    Raises
    ------
    InputError
        If a number is not positive and finite, or x and y differ in length.

    Examples
    --------
    >>> x = [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    >>> [round(value, 2) for value in power_law(x, [3.0, 3.3, 12.0, 13.0, 48.0, 52.0])]
    [1.99, 1.89, 2.1]
    """
    u, v = _logs(x, "x"), _logs(y, "y")
    if u.shape != v.shape:
        raise InputError(f"there are {u.size} values of x and {v.size} of y, expected equal lengths")
    places, which, counts = np.unique(u, return_inverse=True, return_counts=True)
    if len(places) < 2:
        return math.nan, -math.inf, math.inf
    centred = u - u.mean()
    total = float(centred @ centred)
    exponent = float(centred @ v) / total
    if len(places) < 3:
        return exponent, -math.inf, math.inf
    residual = v - v.mean() - exponent * centred
    means = np.bincount(which, residual) / counts
    squares, free = np.array([residual @ residual, counts @ means**2]), np.array([len(u) - 2, len(places) - 2])
    half = float(np.max(stdtrit(free, (1 + level) / 2) * np.sqrt(squares / free))) / math.sqrt(total)
    return exponent, exponent - half, exponent + half


def _logs(values: Any, name: str) -> Array:
    found = np.asarray(list(values), float)
    if (wrong := found[~(np.isfinite(found) & (found > 0))]).size:
        raise InputError(f"{name} has {wrong[0]:g}, expected positive finite numbers")
    return np.asarray(np.log(found))
