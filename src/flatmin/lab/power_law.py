"""Estimates on logarithmic scales with intervals: geometric means, ratios and exponents of power laws."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.stats import t

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.claims import Claim, interval

__all__ = ["claim_of_ratio", "geometric_mean", "power_law"]


def geometric_mean(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the geometric mean of positive numbers and Student's interval, which is symmetric in the logarithms.

    Raises
    ------
    InputError
        If there is none, or one is not positive and finite.

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
    """Return a claim about the geometric mean of independent ratios; a single ratio leaves it undecided.

    Examples
    --------
    >>> print(claim_of_ratio("the new over the old", [0.5, 0.4, 0.5], below=1))
    HOLDS      the new over the old: 0.464 [0.337, 0.639], expected at most 1
    """
    values = np.asarray(list(values), float)
    return Claim(text, *geometric_mean(values, level), **limit) if values.size else Claim.open(text, **limit)


def power_law(x: Any, y: Any, level: float = 0.95) -> tuple[float, float, float]:
    """Return the exponent p of ``y ≈ c x^p`` with its interval, by least squares of the logarithms.

    Draws at one x say how large the chance is, the means of different x how well a power describes them. The interval
    is the wider one of the two that follow, so that a curve that bends on logarithmic scales has a wide one.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Positive numbers, one pair a draw.
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    tuple of float
        The exponent and the ends of its interval, which are infinite where there are fewer than three different x; all
        are NaN and infinite where there are fewer than two.

    Raises
    ------
    InputError
        If the numbers are not positive and finite, or not as many.

    Examples
    --------
    >>> x = [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    >>> [round(value, 2) for value in power_law(x, [3.0, 3.3, 12.0, 13.0, 48.0, 52.0])]
    [1.99, 1.89, 2.1]
    """
    u, v = _logs(x, "x"), _logs(y, "y")
    if u.shape != v.shape:
        raise InputError(f"there are {u.size} values of x and {v.size} of y, expected as many")
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
    halves = [
        _half(float(residual @ residual), len(u) - 2, level),
        _half(float(counts @ means**2), len(places) - 2, level),
    ]
    half = max(halves) / math.sqrt(total)
    return exponent, exponent - half, exponent + half


def _half(squares: float, free: int, level: float) -> float:
    """Return half an interval in units of what the estimate of a slope divides by."""
    return float(t.ppf((1 + level) / 2, free)) * math.sqrt(squares / free)


def _logs(values: Any, name: str) -> Array:
    found = np.asarray(list(values), float)
    wrong = found[~(np.isfinite(found) & (found > 0))]
    if wrong.size:
        raise InputError(f"{name} has {wrong[0]:g}, expected positive finite numbers")
    return np.asarray(np.log(found))
