"""ScaledGD: gradient descent on the factors, with each gradient divided by the Gram matrix of the other factor.

Tong, Ma and Chi, "Accelerating ill-conditioned low-rank matrix estimation via scaled gradient descent", Journal of
Machine Learning Research 22 (2021), for completion: spectral start, step 0.5, and no projection of the rows. Written
from the formulas. It is given the rank.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from flatmin._core.arrays import Array
from flatmin.measurements import Entries

STEP = 0.5
STEPS = 4000  #: Largest number of steps, that of the comparison published with MatrixIRLS.
CHANGE = 1e-11  #: Relative residual at which the search ends.


def scaled_gd(seen: Entries, b: Array, rank: int) -> Array:
    """Return the matrix found from cells ``b``."""
    d1, d2 = seen.shape
    share = len(b) / (d1 * d2)
    sparse = csr_array((b, (seen.rows, seen.cols)), shape=seen.shape)
    order = csr_array((np.arange(len(b)) + 1.0, (seen.rows, seen.cols)), shape=seen.shape).data.astype(int) - 1
    U, s, Vt = svds(sparse / share, k=rank, rng=0)
    L, R = U * np.sqrt(s), Vt.T * np.sqrt(s)
    for _ in range(STEPS):
        residual = seen.forward_factors(L, R) - b
        size = np.linalg.norm(residual) / np.linalg.norm(b)
        if not CHANGE < size < 1e3:
            break
        sparse.data = residual[order] * (STEP / share)
        L, R = L - np.linalg.solve(R.T @ R, (sparse @ R).T).T, R - np.linalg.solve(L.T @ L, (sparse.T @ L).T).T
    return np.asarray(L @ R.T)
