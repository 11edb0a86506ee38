"""Compiled loops that read each array once: offsets over observed cells, and entrywise steps of robust PCA.

The steps of robust PCA work on a block of rows in the cache, into which BLAS has just written the same rows of the
low-rank part. `row_passes.py` has the same functions in NumPy. All loops release the interpreter lock.
"""

from flatmin.linalg.kernels.compilation import compiled

__all__ = ["add_gram", "ascend", "eliminated", "spread", "sums", "trim"]


@compiled
def add_gram(pointers, indices, values, weights, out):  # type: ignore[no-untyped-def]
    """Add ``Cᵀ diag(weights) C`` to a dense ``out``, for C in compressed rows."""
    for e in range(len(pointers) - 1):
        for p in range(pointers[e], pointers[e + 1]):
            row, value = out[indices[p]], weights[e] * values[p]
            for q in range(pointers[e], pointers[e + 1]):
                row[indices[q]] += value * values[q]


@compiled
def eliminated(pointers, indices, values, large, y, share, out):  # type: ignore[no-untyped-def]
    """Subtract ``Cᵀ x`` from ``out`` for ``x = (C y + share) / large``, and write x to ``share``.

    C is in compressed rows; an empty array of values stands for ones.
    """
    weighted = len(values) > 0
    for e in range(len(pointers) - 1):
        start, stop = pointers[e], pointers[e + 1]
        total = share[e]
        if weighted:
            for p in range(start, stop):
                total += values[p] * y[indices[p]]
        else:
            for p in range(start, stop):
                total += y[indices[p]]
        total /= large[e]
        share[e] = total
        if weighted:
            for p in range(start, stop):
                out[indices[p]] -= values[p] * total
        else:
            for p in range(start, stop):
                out[indices[p]] -= total


@compiled
def spread(rows, cols, roots, g, a, b, out):  # type: ignore[no-untyped-def]
    """``out[p] = root (g + a[i] + b[j])``; an empty array of roots stands for ones."""
    weighted = len(roots) > 0
    for p in range(len(rows)):
        value = g + a[rows[p]] + b[cols[p]]
        out[p] = roots[p] * value if weighted else value


@compiled
def sums(rows, cols, roots, y, a, b):  # type: ignore[no-untyped-def]
    """Add ``root y`` to the sums of rows a and of columns b, unless these arrays are empty; return the total."""
    weighted, by_row, by_column, total = len(roots) > 0, len(a) > 0, len(b) > 0, 0.0
    for p in range(len(rows)):
        value = roots[p] * y[p] if weighted else y[p]
        total += value
        if by_row:
            a[rows[p]] += value
        if by_column:
            b[cols[p]] += value
    return total


@compiled
def ascend(y, x, w, z, seen, level, rho, following):  # type: ignore[no-untyped-def]
    """``w ← clip(ρ (y − x) + w, ±level)``, zero where not seen, and ``z ← x + (w − old w)/ρ + w/following``."""
    inward, onward, holes = 1.0 / rho, 1.0 / rho + 1.0 / following, seen.size > 0
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            old = w[i, j]
            new = min(max(rho * (y[i, j] - x[i, j]) + old, -level), level)
            if holes:
                new = new if seen[i, j] else 0.0
            w[i, j] = new
            z[i, j] = x[i, j] + (new * onward - old * inward)


@compiled
def trim(y, x, seen, high, wide, free):  # type: ignore[no-untyped-def]
    """``free ← seen and |y − x| ≤ max(high[row], wide[column])``, ``x ← y − x`` there and zero elsewhere."""
    holes = seen.size > 0
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            left = y[i, j] - x[i, j]
            near = abs(left) <= max(high[i], wide[j])
            if holes:
                near = near and seen[i, j]
            free[i, j] = near
            x[i, j] = left if near else 0.0
