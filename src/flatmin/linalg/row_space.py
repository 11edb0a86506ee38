"""An orthonormal factorization of redundant rows, which keeps no row that is only rounding errors."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import EPS

__all__ = ["row_space"]

#: Rows count as dependent only if the part of a column outside all columns before it is below this many units of
#: rounding, for each entry of a line, relative to the column …
DEPENDENT = 4.0
#: … and directions are then removed if no row changes by more than this share of it.
NEGLIGIBLE = 1e-12


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
