"""The classical iteration of LRPCA: scaled gradient steps on the factors, soft thresholds for the errors.

Cai, Liu and Yin, "Learned robust PCA: a scalable deep unfolding approach for high-dimensional outlier detection",
NeurIPS 2021. The paper learns thresholds and steps; here the thresholds shrink by a constant factor, as in its theorem,
and the step is constant. Written from the formulas. It is given the rank and, for the first threshold, the largest
entry of the true matrix.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import svds

from flatmin._core.arrays import Array

STEP, SHRINK = 0.5, 0.8  #: Step of the gradients, and factor of the threshold from step to step.
STEPS, SMALLEST = 300, 1e-10  #: Largest number of steps, and the relative threshold at which the search ends.


def lrpca(Y: Array, rank: int, largest: float) -> Array:
    """Return the low-rank part of Y."""
    threshold = largest
    U, s, Vt = svds(Y - _soft(Y, threshold), k=rank, rng=0)
    L, R = U * np.sqrt(s), Vt.T * np.sqrt(s)
    for _ in range(STEPS):
        threshold *= SHRINK
        if threshold <= SMALLEST * largest:
            break
        rest = Y - L @ R.T
        rest -= _soft(rest, threshold)
        L, R = (
            L + STEP * np.linalg.solve(R.T @ R, (rest @ R).T).T,
            R + STEP * np.linalg.solve(L.T @ L, (rest.T @ L).T).T,
        )
    return np.asarray(L @ R.T)


def _soft(A: Array, threshold: float) -> Array:
    return np.asarray(A - np.clip(A, -threshold, threshold))
