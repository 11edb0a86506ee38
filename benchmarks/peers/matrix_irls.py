"""MatrixIRLS: iteratively reweighted least squares for the sum of the logarithms of singular values.

Kümmerle and Mayrink Verdun, "A scalable second order method for ill-conditioned matrix completion from few samples",
ICML 2021, algorithm 1 with the linear system of its appendix on the tangent space. Written from the formulas. It is
given the rank r: the smoothing is the smallest value of ``σ_{r+1}`` so far. Settings are those published with the
experiments at condition number 1e5 and 1e10: at most 400 rounds, 500 steps of conjugate gradients in a round to a
residual of ``min(1e-2, factor × smoothing)``, and a relative change of 1e-9 (1e-11) as the end.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from flatmin._core.arrays import Array
from flatmin.measurements import Entries

#: Largest numbers of rounds, and of conjugate gradient steps in a round.
ROUNDS, STEPS = 400, 500
#: Growth of the relative change from its least value at which rounding has spoilt the search (seen at condition 1e10):
#: the matrix before is returned. The published program has no such end, and the matrix that it returns is worse.
BREAKDOWN = 1e3
BLOCKS = 20  #: Number of blocks of the Krylov space in which singular triplets are found.
SMALLEST = 1e-16  #: Smoothing at which the search ends.


def matrix_irls(seen: Entries, b: Array, rank: int, condition: float = 1e5) -> Array:
    """Return the matrix found from cells ``b``; the condition number only sets tolerances, as published."""
    tol, factor = (1e-11, 1e-5 / condition) if condition > 1e6 else (1e-9, 1e-5)
    X = _Iterate(seen, np.zeros((seen.shape[0], 0)), np.zeros((seen.shape[1], 0)), np.zeros(0), b)
    smoothing, before, least = np.inf, X.matrix(), np.inf
    for _ in range(ROUNDS):
        U, s, V = X.leading(rank + 1)
        smoothing = max(min(smoothing, s[rank]), SMALLEST)
        kept = int(np.count_nonzero(s[:rank] > smoothing))
        if kept == 0 or smoothing <= SMALLEST:
            break
        X = _round(seen, b, U[:, :kept], s[:kept], V[:, :kept], X, smoothing, factor)
        now = X.matrix()
        change = float(np.linalg.norm(now - before) / np.linalg.norm(now))
        if change > BREAKDOWN * least:
            break
        least, before = min(least, change), now
        if change <= tol:
            break
    return before


class _Iterate:
    """``P(residual) + U core Vᵀ + left Vᵀ + U rightᵀ``, with the last three in one vector."""

    def __init__(self, seen: Entries, U: Array, V: Array, tangent: Array, residual: Array) -> None:
        self.seen, self.U, self.V, self.tangent = seen, U, V, tangent
        self.sparse = csr_array((residual, (seen.rows, seen.cols)), shape=seen.shape)
        self.factors = _factors(U, V, tangent)

    def leading(self, k: int) -> tuple[Array, Array, Array]:
        """Return the k largest singular triplets by a block Krylov method, which also resolves very small ones."""
        L, R = self.factors
        flipped = csr_array(self.sparse.T)
        block = np.random.default_rng(0).standard_normal((self.seen.shape[1], k))
        blocks = []
        for _ in range(BLOCKS):
            block = np.linalg.qr(self.sparse @ block + L @ (R.T @ block))[0]
            blocks.append(block)
            block = flipped @ block + R @ (L.T @ block)
        Q = np.linalg.qr(np.hstack(blocks))[0]
        U, s, Vt = np.linalg.svd((flipped @ Q + R @ (L.T @ Q)).T, full_matrices=False)
        return Q @ U[:, :k], s[:k], Vt[:k].T

    def matrix(self) -> Array:
        L, R = self.factors
        return np.asarray(L @ R.T + self.sparse)


def _round(
    seen: Entries, b: Array, U: Array, s: Array, V: Array, X: _Iterate, smoothing: float, factor: float
) -> _Iterate:
    """Minimise the quadratic of the present weights subject to the data."""
    weights = _weights(U, s, V, smoothing)
    tol = float(np.clip(smoothing * factor, 1e-15, 1e-2))
    sparse = csr_array((b, (seen.rows, seen.cols)), shape=seen.shape)
    order = csr_array((np.arange(len(b)) + 1.0, (seen.rows, seen.cols)), shape=seen.shape).data.astype(int) - 1

    def back(values: Array) -> Array:
        sparse.data = values[order]
        return _project(U, V, sparse @ V, sparse.T @ U)

    def forward(vector: Array) -> Array:
        return seen.forward_factors(*_factors(U, V, vector))

    L, R = X.factors
    here = _project(U, V, X.sparse @ V + L @ (R.T @ V), X.sparse.T @ U + R @ (L.T @ U))
    start = here / (1 + weights)
    solution = _conjugate_gradients(lambda x: back(forward(x)) + weights * x, back(b), start, 1 / (1 + weights), tol)
    residual = b - forward(solution)
    # The minimiser is P(residual) + d with the tangent part that P(residual) already has taken out of d.
    return _Iterate(seen, U, V, (1 + weights) * solution - back(residual), residual)


def _weights(U: Array, s: Array, V: Array, smoothing: float) -> Array:
    """Return ``h/(1 − h)`` with ``h = ε²/(σ_i σ_j)`` in the core and ``ε/σ_i`` outside it."""
    core, outer = smoothing**2 / np.outer(s, s), np.broadcast_to(smoothing / s, (len(U), len(s)))
    h = np.concatenate([core.ravel(), outer.ravel(), np.broadcast_to(smoothing / s, (len(V), len(s))).ravel()])
    return h / (1 - h)


def _factors(U: Array, V: Array, tangent: Array) -> tuple[Array, Array]:
    k, d1, d2 = U.shape[1], len(U), len(V)
    core, left, right = np.split(tangent, [k * k, k * k + d1 * k])
    return np.hstack([U, left.reshape(d1, k)]), np.hstack([V @ core.reshape(k, k).T + right.reshape(d2, k), V])


def _project(U: Array, V: Array, GV: Array, GtU: Array) -> Array:
    """Return the tangent part of G from ``G V`` and ``Gᵀ U``."""
    core = U.T @ GV
    return np.concatenate([core.ravel(), (GV - U @ core).ravel(), (GtU - V @ core.T).ravel()])


def _conjugate_gradients(apply, rhs: Array, x: Array, inverse: Array, tol: float) -> Array:
    r = rhs - apply(x)
    z = inverse * r
    p, rho, size = z, r @ z, np.linalg.norm(rhs)
    for _ in range(STEPS):
        if np.linalg.norm(r) <= tol * size:
            break
        q = apply(p)
        step = rho / (p @ q)
        x, r = x + step * p, r - step * q
        z = inverse * r
        rho, last = r @ z, rho
        p = z + rho / last * p
    return x
