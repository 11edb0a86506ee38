"""Quantiles of the errors of held-out values, which may have weights."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["checked_quantile", "effective_number", "effective_weights", "quantile_of"]

#: Relative rounding error of a position among the held-out values that is allowed for.
ROUNDING = 1e-12


def effective_number(weights: Array) -> float:
    """Return the number of equally weighted values that determine a mean as precisely as the weighted ones."""
    return float(np.sum(weights)) ** 2 / float(weights @ weights)


def effective_weights(weights: Array, group: Array, groups: int) -> Array:
    """Return weights (n,) whose sum in every group is the effective number of its weights."""
    sums, squares = np.bincount(group, weights, groups), np.bincount(group, weights**2, groups)
    return np.asarray(weights * (sums[group] / squares[group]))


def quantile_of(scores: Array, weights: Array, level: float) -> float | None:
    """Return the weighted quantile of ascending scores (n,), or None if ``level`` lies above all of their positions.

    For equal weights it is the value at position ``(n + 1) level``, interpolated between neighbours.
    """
    n = effective_number(weights)
    positions = np.cumsum(weights) / float(np.sum(weights)) * n / (n + 1)
    return None if level > positions[-1] * (1 + ROUNDING) else float(np.interp(level, positions, scores))


def checked_quantile(scores: Array, weights: Array, level: float, noun: str) -> float:
    """Return the same, or raise `InputError` if there are too few scores; ``noun`` names them, such as "cells"."""
    found = quantile_of(scores, weights, level)
    if found is None:
        n, there = effective_number(weights), f"there are {len(scores)} held-out {noun}"
        raise InputError(f"confidence_level is {level:g}, expected at most {n / (n + 1):.4g}: {there}")
    return found
