"""Robust regression of rows with gross errors and missing cells on a known subspace."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solvers.robust.least_squares import BLOCK, REJECTED, row_coefficients, row_grams

__all__ = ["robust_coefficients"]

#: Number of rounds of the alternating direction method.
ALTERNATING_ROUNDS = 200
#: Number of steps of reweighted least squares, which follow the alternating direction method.
REWEIGHTINGS = 60
#: Reweighted least squares gives full weight to residuals up to a width, which is multiplied by this factor after each
#: step.
WIDTH_FALL = 0.6
#: Residuals below this share of the largest entry of a row count as zero. In exact data, cells with residuals above the
#: square root of this share of that entry count as gross errors.
EXACT_SHARE = 1e-12
#: Number of least-squares fits without the cells of large residuals, which are found again before each fit.
REJECTIONS = 10


def robust_coefficients(
    Y: Array, seen: Array, R: Array, *, level: float = 0.0, sigma: float | None = None, ridge: float = 0.0
) -> tuple[Array, Array]:
    """Fit every row y by ``R t`` plus gross errors; return the coefficients t (n, r) and which cells are errors.

    Rows are fitted independently. First ``Σ_j h(y_j − (R t)_j)`` is minimised over the observed cells, where h is
    Huber's loss: quadratic up to the level, then linear. At level 0 it is the absolute value, whose fit is exact if few
    cells are wrong. The alternating direction method approximates the minimum. Then reweighted least squares is
    applied, and each row keeps the result with the smaller loss. If the standard deviation of the noise is given as
    ``sigma``, cells with residuals beyond three standard deviations are then left out, and the others fitted by least
    squares.

    Y and ``seen`` have shape (n, d), the basis R has shape (d, r), and ``ridge`` is the weight of ``‖t‖²`` in least
    squares, which determines rows with too few cells.
    """
    Y = np.where(seen, Y, 0.0)
    largest = np.max(np.abs(Y), axis=1, initial=0.0)[:, None]
    if R.shape[1] == 0:
        cut = max(level, REJECTED * (sigma or 0.0))
        return np.zeros((len(Y), 0)), seen & (np.abs(Y) > np.maximum(cut, EXACT_SHARE * largest))
    ridge = max(ridge, EXACT_SHARE * float(np.max(np.sum(R**2, axis=0))))
    if len(Y) > (rows := max(1, BLOCK // (Y.shape[1] + R.shape[1] ** 2))):
        blocks = (slice(start, start + rows) for start in range(0, len(Y), rows))
        parts = [robust_coefficients(Y[k], seen[k], R, level=level, sigma=sigma, ridge=ridge) for k in blocks]
        return np.concatenate([T for T, _ in parts]), np.concatenate([wrong for _, wrong in parts])
    T = _alternating(Y, seen, R, level, ridge)
    sharper = _reweighted(Y, seen, R, T, np.maximum(level, EXACT_SHARE * largest), ridge)
    better = _loss(Y, seen, R, sharper, level) <= _loss(Y, seen, R, T, level)
    T = np.where(better[:, None], sharper, T)
    if sigma is not None and sigma > 0:
        T = _rejecting(Y, seen, R, T, REJECTED * sigma, ridge)
    cut = max(level, REJECTED * sigma if sigma else 0.0)
    wrong = seen & (np.abs(Y - T @ R.T) > np.maximum(cut, np.sqrt(EXACT_SHARE) * largest))
    if cut == 0:  # the cells that fit, fit exactly
        good = seen & ~wrong
        enough = np.count_nonzero(good, axis=1) >= R.shape[1]
        T = np.where(enough[:, None], row_coefficients(Y, 1.0 * good, R, ridge), T)
    return T, wrong


def _alternating(Y: Array, seen: Array, R: Array, level: float, ridge: float) -> Array:
    """Minimise ``Σ h(s_j)`` subject to ``R t + s = y`` by the alternating direction method of multipliers."""
    T = row_coefficients(Y, 1.0 * seen, R, ridge)
    step = np.sum(np.abs(Y - T @ R.T), axis=1, where=seen) / np.maximum(1, seen.sum(axis=1))
    step = np.maximum(step, max(level, np.finfo(float).tiny))[:, None]  # 1/ρ: what a round takes from a residual
    inverse = np.linalg.inv(row_grams(1.0 * seen, R, ridge))
    U = np.zeros(Y.shape)
    for _ in range(ALTERNATING_ROUNDS):
        V = Y - T @ R.T + U
        U = np.where(seen, np.clip(V * (step / (step + level)), -step, step), 0.0)
        T = np.einsum("ikl,il->ik", inverse, np.where(seen, Y - V + 2 * U, 0.0) @ R)
    return T


def _reweighted(Y: Array, seen: Array, R: Array, T: Array, last: Array, ridge: float) -> Array:
    """Minimise Huber's loss by reweighted least squares, while the level of the loss falls to ``last``."""
    sizes = np.where(seen, np.abs(Y - T @ R.T), 0.0)
    widths = np.maximum(last, np.max(sizes, axis=1, initial=0.0)[:, None])
    for _ in range(REWEIGHTINGS):
        sizes = np.abs(Y - T @ R.T)
        weights = np.minimum(1.0, np.divide(widths, sizes, out=np.ones_like(sizes), where=sizes > 0))
        T, widths = row_coefficients(Y, seen * weights, R, ridge), np.maximum(WIDTH_FALL * widths, last)
    return T


def _loss(Y: Array, seen: Array, R: Array, T: Array, level: float) -> Array:
    """Return Huber's loss of every row."""
    sizes = np.where(seen, np.abs(Y - T @ R.T), 0.0)
    inside = sizes**2 / (2 * level) if level > 0 else sizes
    return np.asarray(np.sum(np.where(sizes <= level, inside, sizes - level / 2), axis=1))


def _rejecting(Y: Array, seen: Array, R: Array, T: Array, cut: float, ridge: float) -> Array:
    """Fit the cells whose residuals are at most ``cut`` by least squares, and find these cells again after each fit."""
    for _ in range(REJECTIONS):
        T = row_coefficients(Y, 1.0 * (seen & (np.abs(Y - T @ R.T) <= cut)), R, ridge)
    return T
