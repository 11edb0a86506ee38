"""Compiled entrywise loops of robust PCA that read each array once.

They work on a block of rows in the cache, into which BLAS has just written the same rows of the low-rank part. They
release the interpreter lock. `row_passes.py` has the same functions in NumPy.
"""

from flatmin.linalg.kernels.loops import compiled

__all__ = ["ascend", "trim"]


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
