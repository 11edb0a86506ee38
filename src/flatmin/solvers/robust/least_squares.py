"""Trimmed least squares: fits of fixed rank to the cells without gross errors."""

import math
from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solvers.noise.spread import relative_error

__all__ = ["Trimmed", "row_coefficients", "row_grams", "trimmed_fit", "typical_size"]

#: Residuals beyond this many standard deviations are gross errors.
REJECTED = 3.0
#: Residuals beyond this many standard deviations are left out when the standard deviation is estimated.
COUNTED = 2.5
#: Ratio of the standard deviation of normal numbers to the median of their absolute values.
MEDIAN = 1.4826
#: Largest number of sweeps of a fit.
MAX_SWEEPS = 100
#: Largest number of times that gross errors are rejected and the other cells are fitted.
MAX_REJECTIONS = 20
#: Rejections end when at most this share of the cells changes between rejected and fitted.
SETTLED_SHARE = 1e-4
#: Number of sweeps with Huber's loss before the first rejection.
HUBER_SWEEPS = 10
#: Residuals beyond this many standard deviations have reduced weight in sweeps with Huber's loss.
EASED = 1.5
#: Largest number of steps of the fixed-point iteration for the standard deviation.
MAX_FIXED_POINT_STEPS = 1000
#: Largest number of array entries in the equations of rows that are solved together.
BLOCK = 4_000_000
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Trimmed:
    """A least-squares fit ``L Rᵀ`` to the cells with small residuals, with balanced factors (d1, r) and (d2, r).

    ``inliers`` marks the observed cells that are fitted. ``residual`` is ``Y − L Rᵀ``, zero in missing cells.
    ``freedom`` is the number of degrees of freedom of matrices of this rank.
    """

    L: Array
    R: Array
    inliers: Array
    residual: Array
    freedom: int

    @property
    def left(self) -> Array:
        """The residual on the inliers, zero elsewhere."""
        return np.where(self.inliers, self.residual, 0.0)

    @property
    def spare(self) -> int:
        """The number of inliers minus the degrees of freedom."""
        return int(np.count_nonzero(self.inliers)) - self.freedom

    @property
    def sigma(self) -> float | None:
        """The estimated standard deviation of the noise, corrected for the cut at three standard deviations."""
        if self.spare <= 0:
            return None
        return float(np.linalg.norm(self.left) / np.sqrt(self.spare * _share(REJECTED)))

    @property
    def std_error(self) -> float | None:
        """The standard error of `sigma`, from the spread of the squared residuals.

        The cut moves with sigma: ``σ² = mean(r² over |r| ≤ kσ) / c``. This multiplies an error of the mean by
        ``1 / (1 − a)``, where ``a = k φ(k) (k² − c) / (c (2Φ(k) − 1))`` for normal residuals.
        """
        sigma = self.sigma
        if sigma is None:
            return None
        k, c = REJECTED, _share(REJECTED)
        again = k * _density(k) * (k**2 - c) / (c * math.erf(k / math.sqrt(2)))
        return float(sigma * relative_error(self.residual[self.inliers], self.spare) / (1 - again))


def typical_size(values: Array) -> float:
    """Return the standard deviation of numbers that are normal, except for some gross errors.

    It is the fixed point of ``σ² = mean(r² over |r| ≤ kσ) / c``, where c is that mean for standard normal numbers. The
    iteration starts at the median of the absolute values, or at their mean if the median is zero.
    """
    sizes = np.abs(values)
    if not sizes.size:
        return 0.0
    sizes = np.sort(sizes)
    squares, share = np.cumsum(sizes**2), _share(COUNTED)
    sigma = MEDIAN * float(sizes[sizes.size // 2]) or float(sizes.mean())
    for _ in range(MAX_FIXED_POINT_STEPS):
        counted = int(np.searchsorted(sizes, COUNTED * sigma, side="right"))
        if counted == 0:
            break
        before, sigma = sigma, float(np.sqrt(squares[counted - 1] / (counted * share)))
        if sigma == before:
            break
    return sigma


def row_coefficients(Y: Array, weights: Array, R: Array, ridge: float) -> Array:
    """Return the rows l that minimise ``Σ_j weights_ij (Y_ij − l_i · R_j)² + ridge ‖l_i‖²``, for all i together.

    A positive ridge determines rows with fewer data than columns; the weights are nonnegative.
    """
    r = R.shape[1]
    out = np.zeros((len(Y), r))
    step = max(1, BLOCK // max(1, r * r))
    for start in range(0, len(Y), step):
        block = slice(start, start + step)
        grams = row_grams(weights[block], R, ridge)
        out[block] = np.linalg.solve(grams, ((weights[block] * Y[block]) @ R)[:, :, None])[:, :, 0]
    return out


def row_grams(weights: Array, R: Array, ridge: float) -> Array:
    """Return the matrices ``Σ_j weights_ij R_j R_jᵀ + ridge I`` of all rows, (d1, r, r)."""
    rows, cols = np.triu_indices(R.shape[1])
    grams = np.zeros((len(weights), R.shape[1], R.shape[1]))
    grams[:, rows, cols] = grams[:, cols, rows] = weights @ (R[:, rows] * R[:, cols])
    return grams + ridge * np.eye(R.shape[1])


def trimmed_fit(Y: Array, seen: Array, L: Array, R: Array, ridge: float, settled: float = 1e-6) -> Trimmed:
    """Return a least-squares fit, of the rank of the start (L, R), to the cells that it fits well.

    First a few sweeps minimise Huber's loss, so that a row that the start fits badly is not rejected. Then cells with
    residuals beyond three standard deviations are rejected, and the others are fitted, until hardly any cell changes
    between rejected and fitted. The problem is not convex, so the result may depend on the start. ``ridge`` is the
    weight of ``‖L‖² + ‖R‖²``; sweeps end when the fit moves by at most ``settled`` times the noise.
    """
    freedom = L.shape[1] * (sum(Y.shape) - L.shape[1])
    inliers = seen
    for _ in range(HUBER_SWEEPS):
        sizes = np.abs(Y - L @ R.T)
        level = EASED * typical_size(sizes[seen])
        L, R = _sweep(Y, seen * np.minimum(1.0, level / np.maximum(sizes, max(level, TINY))), L, R, ridge)
    residual = np.where(seen, Y - L @ R.T, 0.0)
    for _ in range(MAX_REJECTIONS):
        free = np.count_nonzero(inliers) / max(1, np.count_nonzero(inliers) - freedom)
        level = REJECTED * typical_size(residual[inliers])
        # For f degrees of freedom in m cells, residuals are σ √(1 − f/m) in fitted cells, σ / √(1 − f/m) elsewhere.
        found = seen & (np.abs(residual) <= np.where(inliers, level, level * free))
        changed = np.count_nonzero(found != inliers)
        if changed == 0 or not found.any():
            break
        inliers = found
        L, R = _sweeps(Y, inliers.astype(float), L, R, ridge, settled * level * np.sqrt(Y.size))
        residual = np.where(seen, Y - L @ R.T, 0.0)
        if changed <= SETTLED_SHARE * np.count_nonzero(seen):
            break
    return Trimmed(L, R, inliers, residual, freedom)


def _sweeps(Y: Array, weights: Array, L: Array, R: Array, ridge: float, still: float) -> tuple[Array, Array]:
    """Alternate between fits of the columns and of the rows until the product moves by at most ``still``."""
    X = L @ R.T
    for _ in range(MAX_SWEEPS):
        L, R = _sweep(Y, weights, L, R, ridge)
        before, X = X, L @ R.T
        if np.linalg.norm(X - before) <= still:
            break
    return L, R


def _sweep(Y: Array, weights: Array, L: Array, R: Array, ridge: float) -> tuple[Array, Array]:
    """Fit the columns, then the rows, and balance the factors."""
    if L.shape[1] == 0:
        return L, R
    R = row_coefficients(Y.T, weights.T, L, ridge)
    return _balanced(row_coefficients(Y, weights, R, ridge), R)


def _balanced(L: Array, R: Array) -> tuple[Array, Array]:
    """Return factors of the same matrix with ``LᵀL = RᵀR`` diagonal."""
    P, S = np.linalg.qr(L)
    Q, T = np.linalg.qr(R)
    U, s, Vt = np.linalg.svd(S @ T.T)
    root = np.sqrt(s)
    return P @ (U * root), Q @ (Vt.T * root)


def _density(k: float) -> float:
    return float(np.exp(-(k**2) / 2) / np.sqrt(2 * np.pi))


def _share(k: float) -> float:
    """Return the mean square of standard normal numbers within ± k."""
    return float(1 - 2 * k * _density(k) / math.erf(k / math.sqrt(2)))
