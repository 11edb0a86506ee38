"""Products with the off-diagonal block of the normal equations of completion, which couples the two factors."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.kernels.cells import Cells
from flatmin.linalg.kernels.compilation import compiled
from flatmin.linalg.kernels.parallel import Parts

__all__ = ["cross_product"]


def cross_product(cells: Cells, squares: Array, mine: Array, others: Array, directions: Array) -> Array:
    """Return ``Σ w² ⟨l, q⟩ r`` over the cells of every row, shape (d1, k), in double precision.

    The squares w² (m,) are in the order of the cells. Rows of ``mine`` (d1, k), ``others`` (d2, k) and ``directions``
    (d2, k) are l, r and the direction q of r.
    """
    both = np.hstack([others, directions], dtype=float)
    out = np.empty(mine.shape)
    work = 2.0 * mine.shape[1] * cells.size
    arguments = np.ascontiguousarray(squares), np.ascontiguousarray(mine, float), both, out
    Parts(cells.pointers).run(_cross_product, work, cells.pointers, cells.indices, *arguments, threads=cells.threads)
    return out


@compiled
def _cross_product(pointers, indices, squares, mine, both, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[i] = Σ_p squares[p] ⟨mine[i], q⟩ r`` with ``both[indices[p]] = [r, q]``, two cells at a time."""
    k = mine.shape[1]
    total = np.empty(k)
    for i in range(start, stop):
        total[:] = 0
        row, p, end = mine[i], pointers[i], pointers[i + 1]
        while p + 2 <= end:
            first, second = both[np.uintp(indices[p])], both[np.uintp(indices[p + 1])]
            t1 = t2 = 0.0
            for c in range(k):
                t1 += row[c] * first[k + c]
                t2 += row[c] * second[k + c]
            t1 *= squares[p]
            t2 *= squares[p + 1]
            for c in range(k):
                total[c] += t1 * first[c] + t2 * second[c]
            p += 2
        if p < end:
            first, t1 = both[np.uintp(indices[p])], 0.0
            for c in range(k):
                t1 += row[c] * first[k + c]
            t1 *= squares[p]
            for c in range(k):
                total[c] += t1 * first[c]
        for c in range(k):
            out[i, c] = total[c]
