"""Inverses of principal submatrices of one matrix, each for the columns that a row of a table selects."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.kernels.compilation import compiled

__all__ = ["Submatrices"]

#: Number of rows of the table whose submatrices are inverted at once, in the last axis of an array. It is a multiple of
#: the numbers that a processor multiplies at once.
LANES = 32


class Submatrices:
    """The principal submatrices of a matrix (d, d) at the columns that the rows of ``selected`` (n, d) select."""

    def __init__(self, selected: Array) -> None:
        counts = np.count_nonzero(selected, axis=1)
        self._order, self._most = np.argsort(counts, kind="stable"), int(counts.max(initial=0))
        self._pointers, self._columns = np.concatenate([[0], np.cumsum(counts)]), np.nonzero(selected)[1]

    def inverses(self, S: Array, T: Array) -> tuple[Array, Array]:
        """Return ``(S_cc)⁻¹ t_c`` for the selected columns c of every row t of T (n, d), and the sum of all (S_cc)⁻¹.

        S (d, d) is symmetric and positive definite. The solutions, shape (n, d), and the inverses in the sum, shape
        (d, d), are zero outside the selected columns.
        """
        k, solutions, total = self._most, np.zeros(T.shape), np.zeros(S.shape)
        work = np.empty((k + 1, k, LANES)), np.empty((k + 1, LANES)), np.empty((k + 1, LANES))
        given = np.ascontiguousarray(S), np.ascontiguousarray(T), self._order, self._pointers, self._columns
        _inverted(*given, *work, solutions, total)
        return solutions, total + np.tril(total, -1).T


@compiled
def _inverted(S, T, order, pointers, columns, A, x, y, solutions, total):  # type: ignore[no-untyped-def]
    """Write solutions and the lower triangle of the sum of inverses, by Gauss–Jordan elimination of lower triangles.

    Rows with similarly many columns are next to each other in ``order``. ``A[:, :, l]`` has the submatrix of one of
    them, enlarged by the identity to the size of the largest one, and below it the right-hand side, which becomes the
    solution. A submatrix becomes minus its inverse. ``x`` and ``y`` are for the column of a pivot.
    """
    n, lanes = len(order), A.shape[2]
    for first in range(0, n, lanes):
        last = first + lanes - 1 if first + lanes < n else n - 1
        p = pointers[order[last] + 1] - pointers[order[last]]
        for l in range(lanes):
            i = order[first + l if first + l < last else last]
            start, k = pointers[i], pointers[i + 1] - pointers[i]
            for a in range(p):
                for b in range(a):
                    A[a, b, l] = S[columns[start + a], columns[start + b]] if a < k else 0.0
                A[a, a, l] = S[columns[start + a], columns[start + a]] if a < k else 1.0
                A[p, a, l] = T[i, columns[start + a]] if a < k else 0.0
        for k in range(p):
            for l in range(lanes):
                y[k, l] = 1.0 / A[k, k, l]
            for a in range(p + 1):
                for l in range(lanes):
                    x[a, l] = A[a, k, l] if a > k else A[k, a, l]
                    y[a, l] = x[a, l] * y[k, l] if a != k else y[k, l]
            for a in range(p + 1):
                for b in range(a + 1 if a < p else p):
                    for l in range(lanes):
                        A[a, b, l] -= x[a, l] * y[b, l]
            for a in range(p + 1):
                for l in range(lanes):
                    if a < k:
                        A[k, a, l] = y[a, l]
                    elif a > k:
                        A[a, k, l] = y[a, l]
                    else:
                        A[k, k, l] = -y[k, l]
        for l in range(last - first + 1):
            i = order[first + l]
            start = pointers[i]
            for a in range(pointers[i + 1] - start):
                solutions[i, columns[start + a]] = A[p, a, l]
                for b in range(a + 1):
                    total[columns[start + a], columns[start + b]] -= A[a, b, l]
