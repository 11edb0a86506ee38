"""Lower bounds on the eigenvalues of a Hermitian matrix beside a subspace: proved, or but for a stated chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.factorizations import positive_on_complement
from flatmin.linalg.krylov import largest_eigenvalue
from flatmin.linalg.metric import Metric
from flatmin.linalg.random_starts import FAILURE, normal_starts, product_rounding, starts_at_once
from flatmin.linalg.subspaces import EPS, as_array, flipped_on_complement, lowest_on_complement

__all__ = ["complement_margin"]

#: Up to this dimension a matrix known by its products is formed to be factorized.
LARGEST_FORMED = 5000
#: These shares of an estimated smallest eigenvalue are tried to be proved, the larger one first.
SHARES = (0.985, 0.5)
#: Iterations end when the bound leaves this share of what their estimate leaves, or after so many steps, since products
#: may be dear; and the number of the stream of random starts.
MARGIN_SETTLED, MARGIN_STEPS, MARGIN_STREAM = 0.5, 150, 1 << 20


def complement_margin(W: Any, U: Array, seen: Metric, seed: int = 0, randomized: bool = True) -> tuple[float, str]:
    """Return a lower bound on the eigenvalues of a Hermitian W on the complement of U, and what proves it.

    Lanczos estimates the smallest one; a Cholesky factorization proves a little less, where the matrix can be formed,
    with its rounding errors counted against it. Beyond that size random starts bound it, but for a chance of `FAILURE`.

    Parameters
    ----------
    W : ndarray or operator with ``@``, shape (d, d)
        A Hermitian matrix with ``W U = 0``.
    U : ndarray, shape (d, k)
        Orthonormal columns.
    seen : Metric
        The projector on what counts, as the power 0 of a metric; W vanishes elsewhere.
    seed : int
        Starts the Lanczos iteration, and draws the random starts.
    randomized : bool
        Whether a bound counts that fails with a small chance.
    """
    if len(U) > LARGEST_FORMED:
        margin, kind = _likely_margin(W, U, seen, seed)
        return margin, kind if randomized else "estimated"
    values, _ = lowest_on_complement(W, U, seen, 1, 1e-4, seed)
    estimate = float(values[0]) if len(values) else 0.0
    if estimate <= 0:
        return estimate, "estimated"
    dense = as_array(W)
    if seen.rank < len(U):
        dense = dense + estimate * (np.eye(len(U)) - seen.dense)
    for share in SHARES:
        if positive_on_complement(dense, U, share * estimate):
            return share * estimate, "cholesky"
    return estimate, "estimated"


def _likely_margin(W: Any, U: Array, seen: Metric, seed: int) -> tuple[float, str]:
    """Bound the eigenvalues of W beside U from below by random starts, and say that; or return a Ritz value."""
    top, inside, flipped = flipped_on_complement(W, U, seen, seed)
    found = largest_eigenvalue(
        flipped,
        inside(normal_starts(W, starts_at_once(W), (seed, MARGIN_STREAM))),
        dimension=seen.rank - U.shape[1],
        failure=FAILURE,
        rounding=product_rounding(W, U.shape[1], top) + 4 * EPS * top,
        steps=MARGIN_STEPS,
        enough=lambda reached, upper: reached >= top or top - upper >= MARGIN_SETTLED * (top - reached),
    )
    if found.upper < top:
        return top - found.upper, "probabilistic"
    return top - found.reached, "estimated"
