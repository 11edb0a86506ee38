"""Factorizations: bounds on eigenvalues and singular values that they prove, and bases of redundant rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma, spread
from flatmin.linalg.subspaces import EPS

__all__ = ["complement_below", "positive_on_complement", "root_of_smallest", "row_space", "smallest_singular_value"]

#: Time of a multiplication in a product of sparse matrices, in units of a multiplication in a dense product.
SCATTERED = 180
#: Ratio of rows to columns of a sparse matrix above which it is not made dense for a product.
TALLEST = 4
#: Rows count as dependent only if the part of a column outside all columns before it is below this many units of
#: rounding, for each entry of a line, relative to the column …
DEPENDENT = 4.0
#: … and directions are then removed if no row changes by more than this share of it.
NEGLIGIBLE = 1e-12


def positive_on_complement(W: Array, U: Array, bound: float) -> bool:
    """Prove ``x* W x ≥ bound ‖x‖²`` for all x ⟂ U by a Cholesky factorization of ``W + c U U* − bound I``.

    The errors of ``c U U*``, of the sums and of the factorization are subtracted before (docs/theory/bounds.md).
    """
    from scipy.linalg import lapack

    n, shift = len(W), 2 * bound + 1
    M = np.array(W, order="F") if U.size == 0 else np.asfortranarray(W + (shift * U) @ U.conj().T)
    size = float(np.max(np.abs(M).sum(axis=0)))
    is_complex, raised = np.iscomplexobj(M), shift * float(np.vdot(U, U).real)
    error = gamma(U.shape[1] + 2, is_complex) * raised + 4 * UNIT * (size + bound)
    error += gamma(n + 4, is_complex) * (spread(np.diagonal(M).real) + n * bound)
    M[np.diag_indices(n)] -= bound + 1.01 * error
    factorize = lapack.zpotrf if is_complex else lapack.dpotrf
    return bool(factorize(M, lower=1, clean=0, overwrite_a=1)[1] == 0)


def complement_below(S: Any, U: Array, V: Array, UtS: Array, SV: Array, bounds: Sequence[float]) -> float | None:
    """Return the first of ``bounds`` that is proved to bound the norm of ``(I−UUᵀ) S (I−VVᵀ)``, or None.

    ``bound² I − Sᵀ(I−UUᵀ)S + c VVᵀ`` is positive definite if its Cholesky factorization succeeds, up to a backward
    error that is subtracted beforehand (Rump 2006: ``γ_{n+1}`` times the trace, and the error of forming the matrix).
    That of UᵀS, and the defect of the columns of U from orthonormal ones, are subtracted too.
    """
    from scipy.linalg import blas, lapack

    if S.shape[0] < S.shape[1]:
        S, U, V, UtS = S.T, V, U, SV.T
    n = S.shape[1]
    sparse = hasattr(S, "tocsc")
    gram = _gram(S) if sparse else S.T @ S
    magnitude = abs(S)
    widest = int(np.max(np.diff(S.tocsc().indptr))) if sparse else S.shape[0]
    square = float(np.max(magnitude.sum(axis=0)) * np.max(magnitude.sum(axis=1)))  # at least ‖|S|‖²
    del magnitude
    shift, trace = 4.0 + max(bounds) ** 2, float(np.trace(gram))
    known = np.vstack([UtS, np.sqrt(shift) * V.T])
    gram = blas.dsyrk(1.0, known.T, beta=-1.0, c=gram.T, lower=0, overwrite_c=1)
    inside, raised = float(np.linalg.norm(UtS)), shift * float(np.vdot(V, V))
    given = 3 * gamma(widest + 2) * float(np.linalg.norm(U)) * float(np.sqrt(square)) * inside
    given += defect_of_columns(U) * square + gamma(widest + 4) * square
    given += gamma(U.shape[1] + V.shape[1] + 4) * (square + inside**2 + raised)
    for left, bound in zip(range(len(bounds) - 1, -1, -1), bounds, strict=True):
        error = 1.01 * (given + gamma(n + 4) * (trace + n * bound**2 + raised))
        shifted = gram.copy(order="F") if left else gram
        shifted[np.diag_indices(n)] += bound**2 - error
        if lapack.dpotrf(shifted, lower=0, clean=0, overwrite_a=1)[1] == 0:
            return bound
    return None


def _gram(S: Any) -> Array:
    """Return ``Sᵀ S`` of a sparse S as a dense matrix, by the faster of two products of equal accuracy."""
    (d1, n), counts = S.shape, np.diff(S.tocsr().indptr).astype(float)
    if d1 <= TALLEST * n and n * n * d1 < SCATTERED * float(counts @ counts):
        dense = S.toarray()
        return np.asarray(dense.T @ dense)
    return np.asarray((S.T @ S).toarray())


def smallest_singular_value(columns: Array) -> float:
    """Return a proved lower bound on the smallest singular value of a tall matrix, or 0.0 if nothing is proved."""
    m, n = columns.shape
    if n == 0 or m < n:
        return 0.0
    gram = columns.T @ columns
    return root_of_smallest(gram, 1.01 * (gamma(m + 2) + gamma(n + 4)) * float(np.trace(gram)))


def root_of_smallest(gram: Array, error: float) -> float:
    """Return a lower bound (0 at least) on the root of the smallest eigenvalue of a Gram matrix with this error.

    The error includes that of a Cholesky factorization, at most ``γ_{n+3}`` times the trace (docs/theory/bounds.md).
    """
    from scipy.linalg import eigvalsh, lapack

    guess = float(eigvalsh(gram, subset_by_index=[0, 0], check_finite=False)[0])
    for share in (0.99, 0.9, 0.5):
        shifted = gram.copy()
        shifted[np.diag_indices(len(gram))] -= share * guess
        if share * guess > error and lapack.dpotrf(shifted, lower=1, clean=0, overwrite_a=1)[1] == 0:
            return float(np.sqrt(share * guess - error)) * (1 - 4 * UNIT)
    return 0.0


def row_space(rows: Array) -> tuple[Array, Array]:
    """Return (Q, basis) with ``rows = Q basis``, orthonormal columns of Q, and independent rows of the basis.

    ``rows`` (m, n) are real, with m ≥ n, and may depend on each other. Errors are small relative to every row on its
    own: the largest rows come first, and columns are pivoted (Cox and Higham 1998).

    Examples
    --------
    >>> row_space(np.ones((5, 2)))[1].shape
    (1, 2)
    """
    from scipy.linalg import qr

    Q, R = np.linalg.qr(rows)
    if np.all(np.abs(np.diagonal(R)) > DEPENDENT * EPS * max(rows.shape) * np.linalg.norm(R, axis=0)):
        return Q, R
    sizes = np.linalg.norm(rows, axis=1)
    order = np.argsort(-sizes, kind="stable")
    sorted_Q, R, columns = qr(rows[order], mode="economic", pivoting=True)
    Q[order] = sorted_Q
    changes = np.abs(Q) * np.linalg.norm(R, axis=1)
    matters = np.any(changes > NEGLIGIBLE * sizes[:, None], axis=0, where=sizes[:, None] > 0)
    rank = int(np.max(np.flatnonzero(matters), initial=0)) + 1  # rows of zeros keep one row of zeros
    basis = np.empty((rank, rows.shape[1]))
    basis[:, columns] = R[:rank]
    return Q[:, :rank], basis
