"""The leading singular directions of a large matrix, by a block Krylov method."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["block_triplets"]

#: Number of columns of a block beyond the number of wanted triplets.
EXTRA_COLUMNS = 4
#: Smallest number of columns of a block. Fewer would hardly cost less.
NARROWEST = 8
#: Largest number of columns of a block.
WIDEST = 16
#: Largest number of blocks in the basis. Then the iteration restarts from the leading Ritz vectors.
MOST_BLOCKS = 10
#: Largest number of restarts.
RESTARTS = 6
#: Best accuracy that single precision allows.
SINGLE = 5e-3
#: Accuracy of directions if all singular values are below ``below``.
ROUGH = 0.1


def block_triplets(
    S: Any, count: int, tol: float = 1e-2, seed: int = 0, below: float = 0.0, start: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return about ``count`` leading singular triplets ``U, s, V`` of a real matrix known by its products with blocks.

    The iteration keeps an orthonormal basis of the Krylov space of ``SᵀS`` and a block: a random one, or the columns of
    ``start``, which are near the leading right directions. Ritz values never exceed the true values. Directions are
    accurate to about ``tol``, or less accurate if all values are below ``below``. If the matrix is in single precision,
    and ``tol`` allows it, so are the iteration and its result.
    """
    n = S.shape[1]
    width = min(n, max(NARROWEST, min(count + EXTRA_COLUMNS, WIDEST)))
    most = min(n, max(MOST_BLOCKS * width, 3 * count))
    fresh = max(0, width - (0 if start is None else start.shape[1]))
    precision = np.float32 if S.dtype == np.float32 and tol >= SINGLE else np.float64
    block = S.T @ np.random.default_rng(seed).standard_normal((S.shape[0], fresh)).astype(precision)
    start = block if start is None else np.hstack([start, block])
    for _ in range(RESTARTS):
        V, values, settled = _krylov(S, start, count, most, tol, below)
        if settled or len(values) == 0:
            break
        start = V[:, : max(width, count)]
    U, s, right = np.linalg.svd(S @ V[:, :count], full_matrices=False)
    return U, s, V[:, :count] @ right.T


def _krylov(S: Any, start: Array, count: int, most: int, tol: float, below: float) -> tuple[Array, Array, bool]:
    """Return Ritz vectors and values of ``SᵀS``, largest first, and whether the wanted ones have converged."""
    basis, inner = np.zeros((len(start), most), start.dtype, order="F"), np.zeros((most, most), start.dtype)
    least = np.finfo(start.dtype).eps ** (2 / 3)
    block, size, before = np.linalg.qr(start)[0], 0, np.zeros(0)
    while True:
        block = block[:, : most - size]
        new = slice(size, size + block.shape[1])
        basis[:, new] = block
        image = S.T @ (S @ block)
        size = new.stop
        inner[:size, new] = basis[:, :size].T @ image
        inner[new, :size] = inner[:size, new].T
        values, Q = np.linalg.eigh(inner[:size, :size])
        values, Q = values[::-1], Q[:, ::-1]
        wanted = values[:count]
        moved = np.abs(wanted - before).max() if len(before) == len(wanted) else np.inf
        goal = max(tol, ROUGH) if wanted[0] < below**2 else tol
        settled = bool(moved <= goal**2 * wanted[0]) and size >= min(most, 2 * count)
        block = image - basis[:, :size] @ inner[:size, new]
        block -= basis[:, :size] @ (basis[:, :size].T @ block)
        block, lengths, _ = np.linalg.svd(block, full_matrices=False)
        block = block[:, lengths > least * max(values[0], 0.0)]
        before = wanted
        if settled or size >= most or block.shape[1] == 0:
            return basis[:, :size] @ Q[:, : max(count, start.shape[1])], values, settled or block.shape[1] == 0
