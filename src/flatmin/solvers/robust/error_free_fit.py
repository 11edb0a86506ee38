"""A fit of fixed rank to the cells without errors, by Gauss-Newton steps on its tangent space."""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.kernels.row_passes import RowPasses
from flatmin.linalg.subspaces import EPS
from flatmin.solvers.robust.penalty_rounds import SINGLE, Pair, Rounds, Triplets

__all__ = [
    "SCHEDULE",
    "ErrorFreeSchedule",
    "fitted",
    "least_deviations",
    "least_squares",
    "product",
    "projected",
]


@dataclass(frozen=True)
class ErrorFreeSchedule:
    """Settings of a fit: the limits below which cells count as free of errors, how they fall, and when the fit ends.

    Medians are those of ``|Y − X|``; the largest entry of Y is one. The limit of a row or column is the largest
    residual that counts as free of errors there, and never rises.
    """

    limit_medians: float = 10.0  #: The limit of a row or column falls towards this multiple of its median.
    fall: float = 0.1  #: A step multiplies a limit by at least this, so that slowly fitted rows can follow.
    #: After a step in which few cells crossed their limits, ``fall`` is replaced by a smaller factor: this times the
    #: share of all cells that crossed.
    fall_rate: float = 100.0
    min_fall: float = 1e-4  #: No step multiplies a limit by less than this.
    #: Accuracy of the linear least squares of a step, in units of the smallest factor by which it may multiply a limit.
    step_accuracy: float = 0.5
    step_products: int = 12  #: Largest number of conjugate gradient steps in a Gauss-Newton step.
    max_steps: int = 40  #: Largest number of Gauss-Newton steps of a fit.
    #: A step is slow if the median of the residual stays above this share of its minimum so far. Two slow steps in a
    #: row end the fit.
    slow: float = 0.7
    exact_median: float = 1e-13  #: Median up to which a residual is only rounding errors.
    accepted_median: float = 1e-8  #: Largest median of a fit that is accepted. It allows for rounded data.
    single_above: float = 1e-5  #: Median above which residuals are computed in single precision.
    #: A row or column is an outlier if its median is above this many medians of the matrix.
    outlier_medians: float = 1e3
    #: Outlying rows and columns are fitted again by least absolute deviations if they are at most this share of all
    #: rows, and of all columns.
    max_outliers: float = 0.1
    max_refits: int = 3  #: Largest number of times that outlying rows and columns are fitted again.
    deviation_steps: int = 60  #: Number of reweighted least-squares steps in a fit by least absolute deviations.
    #: In fits by least absolute deviations, smaller residuals than a floor are weighted as if they were equal to it.
    #: Each step multiplies the floor by this factor.
    floor_fall: float = 0.6


SCHEDULE = ErrorFreeSchedule()


def fitted(rounds: Rounds, free: Array, clock: Clock) -> tuple[Triplets, float]:
    """Return the fit to the cells without errors, of the rank that the rounds found, and the median of its residual.

    A row or column is fitted again if the fit has taken its small errors for data.
    """
    U, s, V = (part[..., : rounds.rank] for part in rounds.triplets)
    limit = SCHEDULE.limit_medians * rounds.median(U, s, V)
    found, median = _descended(rounds, (U, s, V), (np.full(len(U), limit), np.full(len(V), limit)), free, clock)
    for _ in range(SCHEDULE.max_refits):
        worthwhile = median <= SCHEDULE.accepted_median and not clock.out_of_time
        again = _caught_up(rounds, found, median) if worthwhile else None
        if again is None:
            break
        found, limits = again
        found, median = _descended(rounds, found, limits, free, clock)
    return found, median


def _descended(rounds: Rounds, start: Triplets, limits: Pair, free: Array, clock: Clock) -> tuple[Triplets, float]:
    """Take Gauss-Newton steps from given triplets and limits; return the best triplets and their median residual."""
    U, s, V = start
    best, least, slow = start, rounds.median(U, s, V), 0
    median, count, (high, wide) = least, -1, limits
    for _ in range(SCHEDULE.max_steps):
        G = _left(rounds, (U, s, V), (high, wide), free, rough=median > SCHEDULE.single_above)
        before, count = count, int(np.count_nonzero(free))
        excluded = abs(count - before) / free.size
        fall = min(SCHEDULE.fall, max(SCHEDULE.min_fall, SCHEDULE.fall_rate * excluded))
        U, s, V = _retracted(U, s, V, _step(rounds.passes, free, U, V, projected(U, *G), SCHEDULE.step_accuracy * fall))
        median = rounds.median(U, s, V)
        slow = slow + 1 if median > max(SCHEDULE.slow * least, SCHEDULE.exact_median) else 0
        if median < least:
            best, least = (U, s, V), median
        rows, cols = (SCHEDULE.limit_medians * medians for medians in rounds.medians(U, s, V))
        highest = max(high.max(), wide.max())
        high, wide = _lowered(high, rows, fall), _lowered(wide, cols, fall)
        settled = excluded == 0 or max(high.max(), wide.max()) > SCHEDULE.fall**0.5 * highest
        if (median <= SCHEDULE.exact_median and settled) or slow > 1 or clock.out_of_time:
            break
    return best, least


def _caught_up(rounds: Rounds, triplets: Triplets, median: float) -> tuple[Triplets, Pair] | None:
    """Fit outlying rows and columns again; return triplets and limits, or None if there are no outliers or too many."""
    U, s, V = triplets
    Y, seen, behind = rounds.passes.Y, rounds.passes.seen, SCHEDULE.outlier_medians * max(median, SCHEDULE.exact_median)
    left, right = U * s, V.copy()
    rows, cols = (np.flatnonzero(medians > behind) for medians in rounds.medians(U, s, V))
    if not 0 < max(len(rows) / len(U), len(cols) / len(V)) <= SCHEDULE.max_outliers:
        return None
    if len(rows):
        left[rows] = least_deviations(Y[rows], None if seen is None else seen[rows], V, left[rows])
    if len(cols):
        right[cols] = least_deviations(Y[:, cols].T, None if seen is None else seen[:, cols].T, U * s, right[cols])
    (Q1, R1), (Q2, R2) = np.linalg.qr(left), np.linalg.qr(right)
    inner, s, across = np.linalg.svd(R1 @ R2.T)
    U, V = _orthonormal(Q1 @ inner), _orthonormal(Q2 @ across.T)
    high, wide = (
        np.maximum(SCHEDULE.limit_medians * medians, SCHEDULE.exact_median) for medians in rounds.medians(U, s, V)
    )
    return (U, s, V), (high, wide)


def least_deviations(Y: Array, seen: Array | None, B: Array, start: Array) -> Array:
    """Return T of least ``‖Y − T Bᵀ‖_1`` over observed cells, for rows of Y that fit exactly in most cells."""
    T, rank = start, B.shape[1]
    squares = (B[:, :, None] * B[:, None, :]).reshape(len(B), -1)
    ridge = EPS * np.eye(rank)
    floor = np.zeros((len(Y), 1))
    for step in range(SCHEDULE.deviation_steps):
        left = np.abs(Y - T @ B.T)
        floor = np.max(left, axis=1, keepdims=True) if step == 0 else np.maximum(SCHEDULE.floor_fall * floor, EPS)
        weights = 1 / np.maximum(left, floor + np.finfo(float).tiny)
        if seen is not None:
            weights *= seen
        grams = (weights @ squares).reshape(-1, rank, rank)
        grams += ridge * np.trace(grams, axis1=1, axis2=2)[:, None, None]
        T = np.linalg.solve(grams, ((weights * Y) @ B)[:, :, None])[:, :, 0]
    return T


def _left(rounds: Rounds, triplets: Triplets, limits: Pair, free: Array, *, rough: bool) -> Pair:
    """Return ``G V`` and ``Gᵀ U`` for the residual G of the cells within the limits, and mark these in ``free``."""
    U, s, V = triplets
    if not rough:
        return rounds.passes.trim(U * s, V, limits, free, U, V)
    left, U, V, high, wide = (part.astype(SINGLE) for part in (U * s, U, V, *limits))
    return rounds.rough.trim(left, V, (high, wide), free, U, V)


def _step(passes: RowPasses, free: Array, U: Array, V: Array, right: Pair, accuracy: float) -> Pair:
    """Return a Gauss-Newton step, computed in single precision."""
    size = product(right, right) ** 0.5 or 1.0
    F, E = (part.astype(SINGLE) for part in (right[0] / size, right[1] / size))
    H, _ = least_squares(passes, free, U.astype(SINGLE), V.astype(SINGLE), (F, E), accuracy, SCHEDULE.step_products)
    return H[0] * size, H[1] * size


def _lowered(limits: Array, wanted: Array, fall: float) -> Array:
    """Return limits lowered towards the wanted ones, but each at least ``fall`` times its old value."""
    return np.asarray(np.minimum(limits, np.maximum(np.maximum(wanted, fall * limits), SCHEDULE.exact_median)))


def projected(U: Array, GV: Array, GtU: Array) -> Pair:
    """Return the projection ``U Eᵀ + F Vᵀ`` of G on the tangent space, F orthogonal to U, as (F, E)."""
    return GV - U @ (U.T @ GV), GtU


def least_squares(
    passes: RowPasses, free: Array, U: Array, V: Array, right: Pair, accuracy: float, steps: int
) -> tuple[Pair, bool]:
    """Return H in the tangent space with ``P_T P_F H = right``, and whether the iteration reached the accuracy."""
    x = np.zeros_like(right[0]), np.zeros_like(right[1])
    r, p = right, right
    size = first = product(r, r)
    for _ in range(steps):
        if size <= accuracy**2 * first or size == 0:
            break
        q = projected(U, *passes.masked(np.hstack([U, p[0]]), np.hstack([p[1], V]), free, U, V))
        curvature = product(p, q)
        if not curvature > 0:
            break
        step = size / curvature
        x = x[0] + step * p[0], x[1] + step * p[1]
        r = r[0] - step * q[0], r[1] - step * q[1]
        before, size = size, product(r, r)
        p = r[0] + (size / before) * p[0], r[1] + (size / before) * p[1]
    return x, size <= accuracy**2 * first


def product(a: Pair, b: Pair) -> float:
    """Return the inner product of two tangent matrices, each given as (F, E)."""
    return float(np.vdot(a[0], b[0]) + np.vdot(a[1], b[1]))


def _retracted(U: Array, s: Array, V: Array, H: Pair) -> Triplets:
    """Return the leading triplets of ``X + H``."""
    rank = len(s)
    F, E = H
    Q1, R1 = np.linalg.qr(F)
    across = E - V @ (V.T @ E)
    Q2, R2 = np.linalg.qr(across)
    core = np.zeros((2 * rank, 2 * rank))
    core[:rank, :rank] = np.diag(s) + E.T @ V
    core[:rank, rank:], core[rank:, :rank] = R2.T, R1
    left, values, right = np.linalg.svd(core)
    return (
        _orthonormal(np.hstack([U, Q1]) @ left[:, :rank]),
        values[:rank],
        _orthonormal(np.hstack([V, Q2]) @ right[:rank].T),
    )


def _orthonormal(U: Array) -> Array:
    """Return the columns after one Newton step that makes them more nearly orthonormal."""
    return np.asarray(1.5 * U - 0.5 * U @ (U.T @ U))
