"""Variances of errors as nonnegative combinations of terms, by weighted least squares."""

import numpy as np
from scipy.optimize import nnls

from flatmin._core.arrays import Array

__all__ = ["variance_coefficients", "variance_share"]

#: Number of rounds of weighted least squares.
ROUNDS = 3
#: The smallest value of the combination, whose mean is 1.
LEAST_SHARE = 0.05


def variance_share(coefficients: Array, terms: Array) -> Array:
    """Return the combinations (n,) of terms (n, t), which are 1 on average, and at least 0.05."""
    return np.asarray(np.maximum(terms @ coefficients, LEAST_SHARE))


def variance_coefficients(terms: Array, squares: Array, weights: Array | float = 1.0) -> Array:
    """Return nonnegative coefficients (t,) of terms (n, t) for squared errors (n,) over their mean.

    The variance of a squared error is proportional to the square of its mean, so each cell is weighted by the inverse
    of its variance in the round before, in addition to ``weights`` (n,).
    """
    sizes = np.max(np.abs(terms), axis=0)
    sizes[sizes == 0] = 1
    ratios, roots = squares / float(np.mean(squares)), np.sqrt(weights) * np.ones(len(squares))
    scaled = roots
    found = np.zeros(terms.shape[1])
    for _ in range(ROUNDS):
        found = nnls(scaled[:, None] * (terms / sizes), scaled * ratios)[0] / sizes
        scaled = roots / variance_share(found, terms)
    return found
