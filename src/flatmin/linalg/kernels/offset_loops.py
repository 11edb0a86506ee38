"""Compiled single-pass loops over observed cells for offsets of rows and columns."""

from flatmin.linalg.kernels.loops import compiled

__all__ = ["eliminated", "spread", "sums"]


@compiled
def eliminated(pointers, indices, values, large, y, share, out):  # type: ignore[no-untyped-def]
    """Subtract ``Cᵀ x`` from ``out`` for ``x = (C y + share) / large``, C in compressed rows; x replaces share.

    No values (length 0) are ones.
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
    """``out[p] = root (g + a[i] + b[j])``; no roots (length 0) are ones."""
    weighted = len(roots) > 0
    for p in range(len(rows)):
        value = g + a[rows[p]] + b[cols[p]]
        out[p] = roots[p] * value if weighted else value


@compiled
def sums(rows, cols, roots, y, a, b):  # type: ignore[no-untyped-def]
    """Add ``root y`` to the sums of its row and of its column, where these have any; return the sum of all."""
    weighted, by_row, by_column, total = len(roots) > 0, len(a) > 0, len(b) > 0, 0.0
    for p in range(len(rows)):
        value = roots[p] * y[p] if weighted else y[p]
        total += value
        if by_row:
            a[rows[p]] += value
        if by_column:
            b[cols[p]] += value
    return total
