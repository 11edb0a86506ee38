"""Exact fits: matrices of integers that reproduce the data without any rounding, as products of small integers."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr

from flatmin._core.arrays import Array
from flatmin.measurements import Entries
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.point import PolishedPoint

__all__ = ["exact_fit", "integer_factors", "nearest_integers"]

#: Largest distance of an entry from an integer, relative to the largest entry, at which it is rounded to that integer.
NEAR = 1e-6
#: Numbers of binary digits after the point that are tried.
BINARY_DIGITS = range(9)
#: Largest integer for which floating-point arithmetic is exact.
LARGEST = 2.0**53
#: Largest number of rounds in a reduction of a basis; a few are usual.
ROUNDS = 1000
#: Largest number of cells of a matrix that is searched for integers.
LARGEST_CELLS = 4_000_000


def exact_fit(explicit: ExplicitProblem, point: PolishedPoint) -> dict[str, Array] | None:
    """Return the point as integer factors if a matrix of integers nearby fits the data exactly, else None.

    The result also has changes of basis T1 and T2 (T for symmetric models) that make the integer factors nearly
    orthonormal in the metric; positive semidefinite models need none.
    """
    d1, d2 = explicit.shape
    if d1 * d2 > LARGEST_CELLS:
        return None
    rounded = nearest_integers(point.matrix)
    if rounded is None:
        return None
    X, digits = rounded
    if not _fits(explicit, X / 2.0**digits):
        return None
    found = integer_factors(X, point.rank)
    if found is None:
        return None
    L, C, R = found[0], found[1] / 2.0**digits, found[2]
    if explicit.cone == "semidefinite":
        return {"U": L} if np.array_equal(C, np.eye(len(C))) else {"U": L, "C": C}
    T1 = np.linalg.lstsq(L, point.L, rcond=None)[0]
    if explicit.cone == "symmetric":
        return {"U": L, "C": C, "T": T1}
    return {"L": L, "C": C, "R": R, "T1": T1, "T2": np.linalg.lstsq(R, point.R, rcond=None)[0]}


def _fits(explicit: ExplicitProblem, X: Array) -> bool:
    """Return whether the measurements of X are the data, as floating-point numbers."""
    measurement = explicit.problem.measurement
    if isinstance(measurement, Entries):
        seen = X[measurement.rows, measurement.cols]
        values = seen if measurement.weights is None else measurement.weights * seen
    else:
        values = measurement.forward(X)
    return bool(np.array_equal(values, explicit.problem.data))


def nearest_integers(matrix: Array) -> tuple[Array, int] | None:
    """Return ``(2^k X rounded, k)`` for the least k at which ``2^k X`` is nearly integer; None if there is no such k.

    Examples
    --------
    >>> nearest_integers(np.array([[0.5, 2.0000000001]]))
    (array([[1., 4.]]), 1)
    """
    size = float(np.max(np.abs(matrix), initial=0.0))
    for k in BINARY_DIGITS:
        scaled = matrix * 2.0**k
        rounded = np.rint(scaled)
        if np.max(np.abs(scaled - rounded)) <= NEAR * max(1.0, size * 2.0**k) < 0.25:
            return rounded + 0.0, k
    return None


def integer_factors(matrix: Array, rank: int) -> tuple[Array, Array, Array] | None:
    """Return integer matrices (L, C, R) with ``L C R* = X`` for an integer matrix X of this rank, or None.

    The columns of L are a reduced basis of all integer vectors in the column space of X (Gaussian integers if X is
    complex). The columns of R are such a basis for the row space of X; for a Hermitian X, R is L. None is returned if
    the rank is larger or the numbers become too large for floating-point arithmetic.
    """
    L = _integer_basis(matrix, rank)
    hermitian = matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, matrix.conj().T)
    R = L if hermitian else _integer_basis(matrix.conj().T, rank)
    if L is None or R is None:
        return None
    C = np.rint(np.linalg.lstsq(L, np.linalg.lstsq(R, matrix.conj().T, rcond=None)[0].conj().T, rcond=None)[0]) + 0.0
    fits = max(np.abs(C).max(), np.abs(L).max(), np.abs(R).max()) < LARGEST and np.array_equal(
        L @ C @ R.conj().T, matrix
    )
    return (L, C, R) if fits else None


def _integer_basis(matrix: Array, rank: int) -> Array | None:
    """Return a reduced basis of the integer vectors in the column space of an integer matrix of this rank."""
    columns = qr(matrix, pivoting=True, mode="r")[1][:rank]
    chosen = matrix[:, columns]
    if np.linalg.matrix_rank(chosen) < rank:
        return None
    H = _row_lattice(chosen)
    if H is None:
        return None
    basis = np.rint(np.linalg.solve(H.T, chosen.T).T) + 0.0
    return _reduced(basis) if np.array_equal(basis @ H, chosen) else None


def _row_lattice(rows: Array) -> Array | None:
    """Return a reduced basis (r, r), as rows, of the lattice that the integer rows (n, r) generate."""
    independent = qr(rows.T, pivoting=True, mode="r")[1][: rows.shape[1]]
    basis = _reduced(rows[independent].T).T
    for _ in range(ROUNDS):
        remainders = rows - np.rint(np.rint(np.linalg.solve(basis.T, rows.T).T) @ basis)
        outside = np.flatnonzero(np.any(remainders, axis=1))
        if not len(outside):
            return basis
        larger = _triangular(np.vstack([basis, remainders[outside[0]]]))
        if larger is None:
            return None
        basis = _reduced(larger.T).T
    return None


def _triangular(rows: Array) -> Array | None:
    """Return a triangular basis (r, r), as rows, of the lattice that the rows generate, by Euclid's algorithm."""
    rows, r = rows.copy(), rows.shape[1]
    found = np.zeros((r, r), rows.dtype)
    for j in range(r):
        for _ in range(ROUNDS):
            live = np.flatnonzero(rows[:, j])
            if len(live) <= 1:
                break
            pivot = live[np.argmin(np.abs(rows[live, j]))]
            others = live[live != pivot]
            rows[others] -= np.rint(rows[others, j] / rows[pivot, j])[:, None] * rows[pivot]
            if not np.max(np.abs(rows)) < LARGEST:
                return None
        if len(live) != 1:
            return None
        found[j], rows[live[0]] = rows[live[0]], 0
    return found


def _reduced(basis: Array) -> Array:
    """Return a nearly orthogonal basis (d, r) of the lattice of a given basis (Lenstra, Lenstra, Lovász)."""
    basis, k = basis.copy(), 1
    for _ in range(ROUNDS * basis.shape[1]):
        if k >= basis.shape[1]:
            break
        for j in range(k - 1, -1, -1):
            T = np.linalg.qr(basis[:, : k + 1])[1]
            basis[:, k] -= np.rint(T[j, k] / T[j, j]) * basis[:, j]
        T = np.linalg.qr(basis[:, : k + 1])[1]
        if abs(T[k, k]) ** 2 >= (0.75 - abs(T[k - 1, k] / T[k - 1, k - 1]) ** 2) * abs(T[k - 1, k - 1]) ** 2:
            k += 1
        else:
            basis[:, [k - 1, k]] = basis[:, [k, k - 1]]
            k = max(k - 1, 1)
    return basis + 0.0
