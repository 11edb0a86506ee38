"""Compiled loops over rows ``start … stop`` of a sparse pattern in compressed rows.

The loops release the interpreter lock, and `Cells` runs several ranges in threads. Numba's own threads are not used:
their default layers end the process when two threads call them, or after a fork. Sums of outer products are computed by
BLAS on a panel of gathered rows, which is faster than compiled loops.
"""

import numpy as np

from flatmin.linalg.kernels.compilation import compiled

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
    "ridge",
    "sampled",
]

#: Number of rows in a panel, which BLAS multiplies at once.
PANEL = 96
#: The width of a panel is a multiple of this.
LANES = 8
#: A pivot is rounding if it falls below this many machine epsilons times its first value.
ROUNDING = 4


@compiled
def sampled(pointers, indices, L, R, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[p] = ⟨L[i], R[indices[p]]⟩`` for the cells p of every row i, four at a time."""
    k, zero = L.shape[1], L.dtype.type(0)
    for i in range(start, stop):
        row, p, end = L[i], pointers[i], pointers[i + 1]
        while p + 4 <= end:
            first, second = R[np.uintp(indices[p])], R[np.uintp(indices[p + 1])]
            third, fourth = R[np.uintp(indices[p + 2])], R[np.uintp(indices[p + 3])]
            s1 = s2 = s3 = s4 = zero
            for c in range(k):
                s1 += row[c] * first[c]
                s2 += row[c] * second[c]
                s3 += row[c] * third[c]
                s4 += row[c] * fourth[c]
            out[p], out[p + 1], out[p + 2], out[p + 3] = s1, s2, s3, s4
            p += 4
        while p < end:
            first, s1 = R[np.uintp(indices[p])], zero
            for c in range(k):
                s1 += row[c] * first[c]
            out[p] = s1
            p += 1


@compiled
def product(pointers, indices, values, F, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[i] = Σ_p values[p] F[indices[p]]``, four cells at a time."""
    k = F.shape[1]
    total = np.empty(k, F.dtype)
    for i in range(start, stop):
        total[:] = 0
        p, end = pointers[i], pointers[i + 1]
        while p + 4 <= end:
            first, second = F[np.uintp(indices[p])], F[np.uintp(indices[p + 1])]
            third, fourth = F[np.uintp(indices[p + 2])], F[np.uintp(indices[p + 3])]
            v1, v2, v3, v4 = values[p], values[p + 1], values[p + 2], values[p + 3]
            for c in range(k):
                total[c] += (v1 * first[c] + v2 * second[c]) + (v3 * third[c] + v4 * fourth[c])
            p += 4
        while p < end:
            first, v1 = F[np.uintp(indices[p])], values[p]
            for c in range(k):
                total[c] += v1 * first[c]
            p += 1
        for c in range(k):
            out[i, c] = total[c]


@compiled
def _outer(indices, weights, F, values, first, last, panel, part, total):  # type: ignore[no-untyped-def]
    """Write ``Σ g gᵀ`` to ``total`` for the cells ``first … last``, where g is w f, with the value appended if given.

    Rows are gathered in a panel that stays in the cache. It is padded with zeros to a width at which BLAS is fast.
    """
    k, weighted, valued = F.shape[1], len(weights) > 0, len(values) > 0
    total[:] = 0
    for start in range(first, last, len(panel)):
        n = min(len(panel), last - start)
        for q in range(n):
            row = F[np.uintp(indices[start + q])]
            for c in range(k):
                panel[q, c] = row[c]
        if weighted:
            for q in range(n):
                for c in range(k):
                    panel[q, c] *= weights[start + q]
        if valued:
            for q in range(n):
                panel[q, k] = values[start + q]
        np.dot(panel[:n].T, panel[:n], part)
        for a in range(len(part)):
            for b in range(len(part)):
                total[a, b] += part[a, b]


@compiled
def gram(pointers, indices, weights, F, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[i] = Σ_p w_p² f fᵀ`` with ``f = F[indices[p]]``; an empty array of weights stands for ones."""
    k = F.shape[1]
    width = -(-k // LANES) * LANES
    panel, part = np.zeros((PANEL, width), F.dtype), np.empty((width, width), F.dtype)
    total = np.empty((width, width), F.dtype)
    for i in range(start, stop):
        _outer(indices, weights, F, F[0, :0], pointers[i], pointers[i + 1], panel, part, total)
        for a in range(k):
            for b in range(k):
                out[i, a, b] = total[a, b]


@compiled
def _solve(A, x, k, relative):  # type: ignore[no-untyped-def]
    """Solve ``A x = b`` in place by a Cholesky factorization of the upper triangle; x holds b.

    Every pivot is at least ``relative`` times its first value, which is kept in the lower triangle meanwhile.
    """
    for j in range(1, k):
        A[j, 0] = A[j, j]
    for j in range(k):
        scale = 1 / np.sqrt(max(A[j, j], relative * A[j, 0]))
        for c in range(j, k):
            A[j, c] *= scale
        A[j, j] = 1 / scale
        x[j] *= scale
        for i in range(j + 1, k):
            share = A[j, i]
            for c in range(i, k):
                A[i, c] -= share * A[j, c]
            x[i] -= share * x[j]
    for j in range(k - 1, -1, -1):
        total = x[j]
        for c in range(j + 1, k):
            total -= A[j, c] * x[c]
        x[j] = total / A[j, j]


@compiled
def inverted(blocks, least, start, stop):  # type: ignore[no-untyped-def]
    """Replace symmetric matrices ``blocks[i]``, of eigenvalues ``≥ least[i] > 0``, by their inverses (Gauss–Jordan)."""
    k = blocks.shape[1]
    row = np.empty(k, blocks.dtype)
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
def ridge(pointers, indices, weights, values, F, penalties, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[0][i] = argmin_l Σ_p (w_p ⟨f, l⟩ − values[p])² + penalties[i] |l|²``, zero for rows without cells.

    ``out[1][i]`` is the decrease of the sum from its value at l = 0.
    """
    factors, gains = out
    k = F.shape[1]
    width = -(-(k + 1) // LANES) * LANES
    panel, part = np.zeros((PANEL, width), F.dtype), np.empty((width, width), F.dtype)
    A, x = np.empty((width, width), F.dtype), np.empty(k, F.dtype)
    relative = ROUNDING * np.finfo(F.dtype).eps
    for i in range(start, stop):
        if pointers[i] == pointers[i + 1]:
            continue
        _outer(indices, weights, F, values, pointers[i], pointers[i + 1], panel, part, A)
        for c in range(k):
            A[c, c] += penalties[i]
            x[c] = A[c, k]
        _solve(A, x, k, relative)
        gain = 0.0
        for c in range(k):
            factors[i, c] = x[c]
            gain += x[c] * A[k, c]
        gains[i] = gain


@compiled
def curved(pointers, indices, weights, errors, mine, others, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[i] = Σ_p t_p r − errors[p] q`` with ``t_p = w_p² (⟨l, q⟩ + ⟨d, r⟩)``, for `Cells.curved`."""
    k, weighted, zero = out.shape[1], len(weights) > 0, mine.dtype.type(0)
    total = np.empty(k, mine.dtype)
    for i in range(start, stop):
        total[:] = 0
        row, p, end = mine[i], pointers[i], pointers[i + 1]
        while p + 2 <= end:
            first, second = others[np.uintp(indices[p])], others[np.uintp(indices[p + 1])]
            t1 = t2 = zero
            for c in range(k):
                t1 += row[c] * first[k + c] + row[k + c] * first[c]
                t2 += row[c] * second[k + c] + row[k + c] * second[c]
            if weighted:
                t1 *= weights[p] * weights[p]
                t2 *= weights[p + 1] * weights[p + 1]
            e1, e2 = errors[p], errors[p + 1]
            for c in range(k):
                total[c] += (t1 * first[c] - e1 * first[k + c]) + (t2 * second[c] - e2 * second[k + c])
            p += 2
        if p < end:
            first, t1, e1 = others[np.uintp(indices[p])], zero, errors[p]
            for c in range(k):
                t1 += row[c] * first[k + c] + row[k + c] * first[c]
            if weighted:
                t1 *= weights[p] * weights[p]
            for c in range(k):
                total[c] += t1 * first[c] - e1 * first[k + c]
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
    for p in range(start, stop):
        out[p] = values[order[p]]


@compiled
def returned(values, order, start, stop, out):  # type: ignore[no-untyped-def]
    """``out[order[p]] = values[p]``."""
    for p in range(start, stop):
        out[order[p]] = values[p]
