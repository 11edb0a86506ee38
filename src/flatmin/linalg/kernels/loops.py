"""Compiled loops over rows ``start … stop`` of a sparse pattern in compressed rows.

The loops release the interpreter lock, and `Cells` runs several ranges in threads. Numba's own threads are not used:
their default layers end the process when two threads call them, or after a fork. Several cells are visited at a time.
If a row has fewer, its last cell stands for the missing ones, with the value zero. Minima of two numbers are
conditional expressions, which take less time to compile.
"""

import numpy as np

from flatmin.linalg.kernels.compilation import compiled
from flatmin.linalg.kernels.prefetch import SMALL, request

__all__ = [
    "arrange",
    "count",
    "curved",
    "gathered",
    "gram",
    "inverted",
    "place",
    "product",
    "returned",
    "sampled",
    "solved",
]

#: Number of cells in a panel of gathered factors: no power of two, whose multiples share few places of a cache.
PANEL = 112
#: The cells in a panel are padded with zeros to a multiple of this number.
LANES = 16
#: Width of the tiles of a sum of outer products. Their two rows of entries are in registers.
TILE = 4
#: A pivot is rounding if it falls below this many machine epsilons times its first value.
ROUNDING = 4


@compiled
def sampled(pointers, indices, L, R, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[p] = ⟨L[i], R[indices[p]]⟩`` for the cells p of every row i, four at a time."""
    k, zero, large = L.shape[1], L.dtype.type(0), R.size > SMALL
    for i in range(start, stop):
        row, last = L[i], pointers[i + 1] - 1
        for p in range(pointers[i], last + 1, 4):
            if large:
                for ahead in range(p, p + 4):
                    request(R, indices, ahead)
            q = p + 1 if p < last else p
            r = q + 1 if q < last else q
            s = r + 1 if r < last else r
            first, second = R[np.uintp(indices[p])], R[np.uintp(indices[q])]
            third, fourth = R[np.uintp(indices[r])], R[np.uintp(indices[s])]
            s1 = s2 = s3 = s4 = zero
            for c in range(k):
                s1 += row[c] * first[c]
                s2 += row[c] * second[c]
                s3 += row[c] * third[c]
                s4 += row[c] * fourth[c]
            out[p], out[q], out[r], out[s] = s1, s2, s3, s4


@compiled
def product(pointers, indices, values, F, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[i] = Σ_p values[p] F[indices[p]]``, four cells at a time."""
    k, zero, large = F.shape[1], F.dtype.type(0), F.size > SMALL
    for i in range(start, stop):
        total, last = out[i], pointers[i + 1] - 1
        for c in range(k):
            total[c] = zero
        for p in range(pointers[i], last + 1, 4):
            if large:
                for ahead in range(p, p + 4):
                    request(F, indices, ahead)
            q = p + 1 if p < last else p
            r = q + 1 if q < last else q
            s = r + 1 if r < last else r
            first, second = F[np.uintp(indices[p])], F[np.uintp(indices[q])]
            third, fourth = F[np.uintp(indices[r])], F[np.uintp(indices[s])]
            v1, v2 = values[p], values[q] if q > p else zero
            v3, v4 = values[r] if r > q else zero, values[s] if s > r else zero
            for c in range(k):
                total[c] += (v1 * first[c] + v2 * second[c]) + (v3 * third[c] + v4 * fourth[c])


@compiled
def gram(pointers, indices, weights, values, F, start, stop, panel, total, out):  # type: ignore[no-untyped-def]
    """``out[i − start] = Σ_p g gᵀ`` with ``g = w_p F[indices[p]]``, and ``values[p]`` appended to g if given.

    An empty array of weights stands for ones. Factors are gathered in ``panel`` (width, `PANEL`), which stays in the
    cache. Its width is that of g, padded with zeros to a multiple of `TILE`; ``total`` (width, width) is for the sums.
    """
    k, width, zero = F.shape[1], len(panel), F.dtype.type(0)
    weighted, valued, large = len(weights) > 0, len(values) > 0, F.size > SMALL
    for i in range(start, stop):
        for a in range(width):
            for b in range(width):
                total[a, b] = zero
        for first in range(pointers[i], pointers[i + 1], PANEL):
            n = pointers[i + 1] - first
            n = n if n < PANEL else PANEL
            for q in range(n):
                row = F[np.uintp(indices[first + q])]
                if large:
                    request(F, indices, first + q)
                for c in range(k):
                    panel[c, q] = row[c]
                if weighted:
                    for c in range(k):
                        panel[c, q] *= weights[first + q]
                if valued:
                    panel[k, q] = values[first + q]
            full = (n + LANES - 1) // LANES * LANES
            for c in range(width):
                for q in range(n, full):
                    panel[c, q] = zero
            for a in range(0, width, 2):
                p1, p2 = panel[a], panel[a + 1]
                for b in range(a // TILE * TILE, width, TILE):
                    r1, r2, r3, r4 = panel[b], panel[b + 1], panel[b + 2], panel[b + 3]
                    s11 = s12 = s13 = s14 = s21 = s22 = s23 = s24 = zero
                    for q in range(full):
                        x1, x2, y1, y2, y3, y4 = p1[q], p2[q], r1[q], r2[q], r3[q], r4[q]
                        s11, s12, s13, s14 = s11 + x1 * y1, s12 + x1 * y2, s13 + x1 * y3, s14 + x1 * y4
                        s21, s22, s23, s24 = s21 + x2 * y1, s22 + x2 * y2, s23 + x2 * y3, s24 + x2 * y4
                    sums = (s11, s12, s13, s14), (s21, s22, s23, s24)
                    for c in range(2):
                        for d in range(TILE):
                            total[a + c, b + d] += sums[c][d]
        block = out[i - start]
        for a in range(len(block)):
            for b in range(a, len(block)):
                block[a, b] = block[b, a] = total[a, b]


@compiled
def solved(blocks, penalties, least, factors, gains):  # type: ignore[no-untyped-def]
    """``factors[i] = (G + penalties[i] I)⁻¹ g`` for ``blocks[i] = [G g; gᵀ ·]``, and ``gains[i] = ⟨g, factors[i]⟩``.

    The lower triangle of a block is overwritten by its Cholesky factor. Every pivot is at least ``least`` times its
    first value. A row of zeros without a penalty has the factor zero.
    """
    k = factors.shape[1]
    for i in range(len(blocks)):
        A, x, gain = blocks[i], factors[i], 0.0
        for j in range(k):
            row = A[j]
            first = row[j] + penalties[i]
            pivot = first
            for c in range(j):
                pivot -= row[c] * row[c]
            scale = 1 / np.sqrt(max(pivot, least * first)) if first > 0 else least
            row[j] = 1 / scale
            for a in range(j + 1, k + 1):
                below = A[a]
                share = below[j]
                for c in range(j):
                    share -= row[c] * below[c]
                below[j] = share * scale
        y = A[k]
        for j in range(k):
            gain += y[j] * y[j]
        for j in range(k - 1, -1, -1):
            row = A[j]
            x[j] = y[j] / row[j]
            for c in range(j):
                y[c] -= x[j] * row[c]
        gains[i] = gain


@compiled
def inverted(blocks, least, start, stop, row):  # type: ignore[no-untyped-def]
    """Replace symmetric matrices ``blocks[i]``, of eigenvalues ``≥ least[i] > 0``, by their inverses (Gauss–Jordan).

    ``row`` (k,) is for one row of a matrix.
    """
    k = blocks.shape[1]
    for i in range(start, stop):
        A = blocks[i]
        for j in range(k):
            scale = 1 / max(A[j, j], least[i])
            A[j, j] = 1
            for c in range(k):
                A[j, c] *= scale
                row[c] = A[j, c]
            for a in range(k):
                if a != j:
                    share = A[a, j]
                    A[a, j] = 0
                    for c in range(k):
                        A[a, c] -= share * row[c]


@compiled
def curved(pointers, indices, weights, errors, mine, others, start, stop, total, out):  # type: ignore[no-untyped-def]
    """``out[i] = Σ_p t_p r − errors[p] q`` with ``t_p = w_p² (⟨l, q⟩ + ⟨d, r⟩)``, for `Cells.curved`.

    ``total`` (k,) is for the sum over a row.
    """
    k, weighted, zero, large = out.shape[1], len(weights) > 0, mine.dtype.type(0), others.size > SMALL
    for i in range(start, stop):
        row, last = mine[i], pointers[i + 1] - 1
        for c in range(k):
            total[c] = zero
        for p in range(pointers[i], last + 1, 2):
            if large:
                request(others, indices, p)
                request(others, indices, p + 1)
            q = p + 1 if p < last else p
            first, second = others[np.uintp(indices[p])], others[np.uintp(indices[q])]
            t1 = t2 = zero
            for c in range(k):
                t1 += row[c] * first[k + c] + row[k + c] * first[c]
                t2 += row[c] * second[k + c] + row[k + c] * second[c]
            if weighted:
                t1 *= weights[p] * weights[p]
                t2 *= weights[q] * weights[q]
            e1, e2 = errors[p], errors[q]
            if q == p:
                t2, e2 = zero, zero
            for c in range(k):
                total[c] += (t1 * first[c] - e1 * first[k + c]) + (t2 * second[c] - e2 * second[k + c])
        for c in range(k):
            out[i, c] = total[c]


@compiled
def count(index, out):  # type: ignore[no-untyped-def]
    """Write the pointers of compressed rows to ``out``: the cumulative numbers of occurrences of each row index."""
    for p in range(len(index)):
        out[index[p] + 1] += 1
    for i in range(1, len(out)):
        out[i] += out[i - 1]


@compiled
def place(key, pointers, before, order):  # type: ignore[no-untyped-def]
    """Write positions ``before`` (empty: 0, 1, …), stably sorted by their key, to ``order``. Changes ``pointers``."""
    for q in range(len(key)):
        p = before[q] if len(before) else q
        at = pointers[key[p]]
        order[at] = p
        pointers[key[p]] += 1


@compiled
def arrange(pointers, indices, next_place, other, order):  # type: ignore[no-untyped-def]
    """Write to ``other`` and ``order`` the rows and positions of cells in compressed columns."""
    for i in range(len(pointers) - 1):
        for p in range(pointers[i], pointers[i + 1]):
            j = indices[p]
            at = next_place[j]
            other[at] = i
            order[at] = p
            next_place[j] = at + 1


@compiled
def gathered(values, order, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[p] = values[order[p]]``."""
    large = values.size > SMALL
    for p in range(start, stop):
        if large:
            request(values, order, p)
        out[p] = values[order[p]]


@compiled
def returned(values, order, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[order[p]] = values[p]``."""
    for p in range(start, stop):
        out[order[p]] = values[p]
