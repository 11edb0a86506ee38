"""IRCUR: robust PCA from some rows and columns of the data, by a CUR decomposition and shrinking thresholds.

Cai, Hamm, Huang, Li and Wang, "Rapid robust principal component analysis: CUR accelerated inexact low rank
estimation", IEEE Signal Processing Letters 28 (2021), with rows and columns drawn again in every round (IRCUR-R).
Written from the formulas. It is given the rank and, for the first threshold, the largest entry of the true matrix.
"""

from __future__ import annotations

import numpy as np

from flatmin._core.arrays import Array

OVERSAMPLING = 4  #: Rows and columns drawn are this times ``rank × log(dimension)``.
SHRINK = 0.7  #: Factor of the threshold from round to round.
ROUNDS, RESIDUAL = 150, 1e-9  #: Largest number of rounds, and the relative residual at which the search ends.


def ircur(Y: Array, rank: int, largest: float, seed: int = 0) -> Array:
    """Return the low-rank part of Y."""
    rng, threshold = np.random.default_rng(seed), largest
    counts = [min(d, int(OVERSAMPLING * rank * np.log(d))) for d in Y.shape]
    left, right = np.zeros((Y.shape[0], rank)), np.zeros((Y.shape[1], rank))
    for _ in range(ROUNDS):
        I, J = (np.sort(rng.choice(d, n, replace=False)) for d, n in zip(Y.shape, counts, strict=True))
        columns, rows = left @ right[J].T, left[I] @ right.T
        in_columns, in_rows = Y[:, J] - columns, Y[I] - rows
        S_columns, S_rows = (np.where(np.abs(part) > threshold, part, 0.0) for part in (in_columns, in_rows))
        misfit = np.linalg.norm(in_columns - S_columns) + np.linalg.norm(in_rows - S_rows)
        C, R = Y[:, J] - S_columns, Y[I] - S_rows
        U, s, Vt = np.linalg.svd(R[:, J], full_matrices=False)
        left, right = C @ (Vt[:rank].T / s[:rank]), R.T @ U[:, :rank]
        threshold *= SHRINK
        if misfit <= RESIDUAL * (np.linalg.norm(Y[:, J]) + np.linalg.norm(Y[I])):
            break
    return np.asarray(left @ right.T)
