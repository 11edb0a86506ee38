"""GNMR: Gauss-Newton steps on the factors, each the shortest least-squares solution.

Zilber and Nadler, "GNMR: a provable one-line algorithm for low rank matrix recovery", SIAM Journal on Mathematics of
Data Science 4 (2022), the setting variant. Written from the formulas, with the settings of the published demonstration:
orthonormal factors of the data as the start, at most 100 steps of at most 2000 LSQR iterations, and an end at a
relative residual of 5e-14. It is given the rank.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import lsqr, svds

from flatmin._core.arrays import Array
from flatmin.measurements import Entries

STEPS, ITERATIONS = 100, 2000  #: Largest numbers of Gauss-Newton steps and of LSQR iterations in a step.
RESIDUAL = 5e-14  #: Relative residual at which the search ends.


def gnmr(seen: Entries, b: Array, rank: int) -> Array:
    """Return the matrix found from cells ``b``."""
    (d1, d2), m = seen.shape, len(b)
    U, _, Vt = svds(csr_array((b, (seen.rows, seen.cols)), shape=seen.shape), k=rank, rng=0)
    V, columns = Vt.T, np.arange(rank)
    places = np.hstack([seen.rows[:, None] * rank + columns, (d1 + seen.cols[:, None]) * rank + columns]).ravel()
    starts = np.arange(0, 2 * rank * m + 1, 2 * rank)
    best, least, relative, before = None, np.inf, 1.0, U @ V.T
    for _ in range(STEPS):
        data = np.hstack([V[seen.cols], U[seen.rows]]).ravel()
        jacobian = csr_array((data, places, starts), shape=(m, (d1 + d2) * rank))
        rhs = b + seen.forward_factors(U, V)
        tol = min(1e-15, relative**2) if relative < 1e-5 else 1e-15
        x, _, _, misfit = lsqr(jacobian, rhs, atol=tol, btol=tol, iter_lim=ITERATIONS)[:4]
        new_U, new_V = x[: d1 * rank].reshape(d1, rank), x[d1 * rank :].reshape(d2, rank)
        relative = misfit / np.linalg.norm(rhs)
        if relative < least:
            least, best = relative, U @ new_V.T + new_U @ V.T - U @ V.T
        U, V = new_U, new_V
        now = U @ V.T
        change, before = np.linalg.norm(now - before) / np.linalg.norm(now), now
        if relative < RESIDUAL or change < RESIDUAL:
            break
    U, s, Vt = svds(best, k=rank, rng=0)
    return np.asarray((U * s) @ Vt)
