"""Products with the off-diagonal block of the normal equations of completion, which couples the two factors."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.kernels.cells import Cells
from flatmin.linalg.kernels.compilation import compiled
from flatmin.linalg.kernels.parallel import Parts
from flatmin.linalg.kernels.prefetch import SMALL, request

__all__ = ["cross_product"]


def cross_product(cells: Cells, squares: Array, mine: Array, others: Array, directions: Array) -> Array:
    """Return ``Σ w² ⟨l, q⟩ r`` over the cells of every row, shape (d1, k), in double precision.

    The squares w² (m,) are in the order of the cells. Rows of ``mine`` (d1, k), ``others`` (d2, k) and ``directions``
    (d2, k) are l, r and the direction q of r.
    """
    both = np.hstack([others, directions], dtype=float)
    out = np.empty(mine.shape)
    given = cells.pointers, cells.indices, np.ascontiguousarray(squares), np.ascontiguousarray(mine, float), both

    def run(start: int, stop: int) -> None:
        _cross_product(*given, start, stop, np.empty(mine.shape[1]), out)

    Parts(cells.pointers).run(run, 2.0 * mine.shape[1] * cells.size, cells.threads)
    return out


@compiled
def _cross_product(pointers, indices, squares, mine, both, start, stop, total, out):  # type: ignore[no-untyped-def]
    """``out[i] = Σ_p squares[p] ⟨mine[i], q⟩ r`` with ``both[indices[p]] = [r, q]``, two cells at a time."""
    k, large = mine.shape[1], both.size > SMALL
    for i in range(start, stop):
        row, last = mine[i], pointers[i + 1] - 1
        for c in range(k):
            total[c] = 0.0
        for p in range(pointers[i], last + 1, 2):
            if large:
                request(both, indices, p)
                request(both, indices, p + 1)
            q = p + 1 if p < last else p
            first, second = both[np.uintp(indices[p])], both[np.uintp(indices[q])]
            t1 = t2 = 0.0
            for c in range(k):
                t1 += row[c] * first[k + c]
                t2 += row[c] * second[k + c]
            t1 *= squares[p]
            t2 *= squares[q] if q > p else 0.0
            for c in range(k):
                total[c] += t1 * first[c] + t2 * second[c]
        for c in range(k):
            out[i, c] = total[c]
