"""SoftImpute-ALS in plain NumPy: ``½|P(X − Y)|² + λ|X|_*`` by ridge regressions on the completed matrix.

Hastie, Mazumder, Lee, Zadeh, "Matrix completion and low-rank SVD via fast alternating least squares", Journal of
Machine Learning Research 16 (2015), algorithm 3.1 with the sparse plus low rank form of section 5. The norm is the
plain nuclear norm: all rows count the same, whatever the number of their observed entries.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from flatmin._core.arrays import Array


def half_sweep(E: csr_array, U: Array, s: Array, V: Array, penalty: float) -> tuple[Array, Array, Array]:
    """Return the next ``V, s, U`` of ``X = U diag(s) Vᵀ``, from the residual E on the entries: one regression for V."""
    shrunk = s / (s + penalty)
    B = (E.T @ U) * shrunk + V * (s * shrunk)
    V, s, W = np.linalg.svd(B, full_matrices=False)
    return V, s, U @ W.T


def entries(U: Array, s: Array, V: Array, rows: Array, cols: Array) -> Array:
    return np.einsum("ij,ij->i", (U * s)[rows], V[cols])


def soft_impute_als(
    rows: Array,
    cols: Array,
    b: Array,
    shape: tuple[int, int],
    rank: int,
    penalty: float,
    tol: float,
    sweeps: int,
    start: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Return ``U, s, V``; a sweep is both halves, and a relative change of X below tol ends them."""
    rng = np.random.default_rng(0)
    if start is None:
        U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for d in shape)
        s = np.ones(rank)
    else:
        U, s, V = start
    E = csr_array((b, (rows, cols)), shape=shape)
    E.sum_duplicates()
    order = np.lexsort((cols, rows))
    rows, cols, b = rows[order], cols[order], b[order]
    for _ in range(sweeps):
        before = (U, s, V)
        E.data = b - entries(U, s, V, rows, cols)
        V, s, U = half_sweep(E, U, s, V, penalty)
        E.data = b - entries(U, s, V, rows, cols)
        U, s, V = half_sweep(csr_array(E.T), V, s, U, penalty)
        overlap = np.sum((U * s).T @ before[0] * ((V.T @ before[2]) * before[1]))
        change = np.sum(s**2) + np.sum(before[1] ** 2) - 2 * overlap
        if change <= tol**2 * np.sum(before[1] ** 2):
            break
    return U, s, V
