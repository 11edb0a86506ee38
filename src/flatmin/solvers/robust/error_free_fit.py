"""A fit of fixed rank to the cells without errors, by linear least squares on its tangent space."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.kernels.row_passes import RowPasses
from flatmin.linalg.subspaces import EPS
from flatmin.solvers.robust.penalty_rounds import SINGLE, Pair, Rounds, Triplets

__all__ = ["NEARLY", "fitted", "least_deviations", "least_squares", "product", "projected"]

#: A cell is free of errors where ``|Y − X|`` is at most this times its median in the row, or in the column. Limits
#: never rise, begin at that of the whole, and fall by no more than a factor in a step, so that no row is left behind
#: that is fitted more slowly: the first factor, or this many times the share of cells that the last fall excluded, but
#: no less than the last.
LIMIT, FALL, RATE, LEAST = 10.0, 0.1, 100.0, 1e-4
#: Linear least squares are solved, in single precision, to this share of such a fall, in so many steps; so many of them
#: are solved, each of which has to gain this factor, until what is left is rounding.
INNER, INNER_STEPS, STEPS, GAIN, EXACT = 0.5, 12, 40, 0.7, 1e-13
#: … or down to this, where it gains no more, as with data that were rounded.
NEARLY = 1e-8
#: What is left is computed in single precision while its median is above this.
ROUGH = 1e-5
#: Rows and columns are left behind if their median is above this times that of the whole. If they are no more than this
#: share, they are fitted anew by least absolute deviations, in so many steps of reweighted least squares whose smallest
#: residuals that count fall by this factor a step; and then the fit goes on, so often.
BEHIND, FEWER, DEVIATIONS, SHARPER, REFITS = 1e3, 0.1, 60, 0.6, 3


def fitted(rounds: Rounds, free: Array, clock: Clock) -> tuple[Triplets, float]:
    """Return the fit of the rank of the rounds to cells without errors, and the median of what it leaves there.

    Rows that are left behind, because small errors in them pass for what is to be fitted, are fitted anew.
    """
    U, s, V = (part[..., : rounds.rank] for part in rounds.triplets)
    least = rounds.median(U, s, V)
    found, median = _descended(
        rounds, (U, s, V), (np.full(len(U), LIMIT * least), np.full(len(V), LIMIT * least)), free, clock
    )
    for _ in range(REFITS):
        again = _caught_up(rounds, found, median) if median <= NEARLY and not clock.out_of_time else None
        if again is None:
            break
        found, limits = again
        found, median = _descended(rounds, found, limits, free, clock)
    return found, median


def _descended(rounds: Rounds, start: Triplets, limits: Pair, free: Array, clock: Clock) -> tuple[Triplets, float]:
    """Return the end of the Gauss-Newton steps from some triplets and limits, and the median there."""
    U, s, V = start
    best, least, slow = start, rounds.median(U, s, V), 0
    median, count, (high, wide) = least, -1, limits
    for _ in range(STEPS):
        G = _left(rounds, (U, s, V), (high, wide), free, rough=median > ROUGH)
        before, count = count, int(np.count_nonzero(free))
        excluded = abs(count - before) / free.size
        fall = min(FALL, max(LEAST, RATE * excluded))
        U, s, V = _retracted(U, s, V, _step(rounds.passes, free, U, V, projected(U, *G), INNER * fall))
        median = rounds.median(U, s, V)
        slow = slow + 1 if median > max(GAIN * least, EXACT) else 0
        if median < least:
            best, least = (U, s, V), median
        rows, cols = rounds.medians(U, s, V)
        highest = max(high.max(), wide.max())
        high, wide = _lowered(high, LIMIT * rows, fall), _lowered(wide, LIMIT * cols, fall)
        settled = excluded == 0 or max(high.max(), wide.max()) > FALL**0.5 * highest
        if (median <= EXACT and settled) or slow > 1 or clock.out_of_time:
            break
    return best, least


def _caught_up(rounds: Rounds, triplets: Triplets, median: float) -> tuple[Triplets, Pair] | None:
    """Return the fit and its limits after those left behind were fitted anew; None if there are none, or too many."""
    U, s, V = triplets
    Y, seen, behind = rounds.passes.Y, rounds.passes.seen, BEHIND * max(median, EXACT)
    left, right = U * s, V.copy()
    rows, cols = (np.flatnonzero(medians > behind) for medians in rounds.medians(U, s, V))
    if not 0 < max(len(rows) / len(U), len(cols) / len(V)) <= FEWER:
        return None
    if len(rows):
        left[rows] = least_deviations(Y[rows], None if seen is None else seen[rows], V, left[rows])
    if len(cols):
        right[cols] = least_deviations(Y[:, cols].T, None if seen is None else seen[:, cols].T, U * s, right[cols])
    (Q1, R1), (Q2, R2) = np.linalg.qr(left), np.linalg.qr(right)
    inner, s, across = np.linalg.svd(R1 @ R2.T)
    U, V = _orthonormal(Q1 @ inner), _orthonormal(Q2 @ across.T)
    high, wide = (np.maximum(LIMIT * medians, EXACT) for medians in rounds.medians(U, s, V))
    return (U, s, V), (high, wide)


def least_deviations(Y: Array, seen: Array | None, B: Array, start: Array) -> Array:
    """Return the coefficients T with the least ``‖Y − T Bᵀ‖_1`` on the cells seen, if most are fitted exactly."""
    T, rank = start, B.shape[1]
    squares = (B[:, :, None] * B[:, None, :]).reshape(len(B), -1)
    ridge = EPS * np.eye(rank)
    floor = np.zeros((len(Y), 1))
    for step in range(DEVIATIONS):
        left = np.abs(Y - T @ B.T)
        floor = np.max(left, axis=1, keepdims=True) if step == 0 else np.maximum(SHARPER * floor, EPS)
        weights = 1 / np.maximum(left, floor + np.finfo(float).tiny)
        if seen is not None:
            weights *= seen
        grams = (weights @ squares).reshape(-1, rank, rank)
        grams += ridge * np.trace(grams, axis1=1, axis2=2)[:, None, None]
        T = np.linalg.solve(grams, ((weights * Y) @ B)[:, :, None])[:, :, 0]
    return T


def _left(rounds: Rounds, triplets: Triplets, limits: Pair, free: Array, *, rough: bool) -> Pair:
    """Return ``G V`` and ``Gᵀ U`` for what X leaves of the cells within the limits, which are marked in ``free``."""
    U, s, V = triplets
    if not rough:
        return rounds.passes.trim(U * s, V, limits, free, U, V)
    left, U, V, high, wide = (part.astype(SINGLE) for part in (U * s, U, V, *limits))
    return rounds.rough.trim(left, V, (high, wide), free, U, V)


def _step(passes: RowPasses, free: Array, U: Array, V: Array, right: Pair, accuracy: float) -> Pair:
    """Return a Gauss-Newton step, nearly: products are computed in single precision."""
    size = product(right, right) ** 0.5 or 1.0
    F, E = (part.astype(SINGLE) for part in (right[0] / size, right[1] / size))
    H, _ = least_squares(passes, free, U.astype(SINGLE), V.astype(SINGLE), (F, E), accuracy, INNER_STEPS)
    return H[0] * size, H[1] * size


def _lowered(limits: Array, wanted: Array, fall: float) -> Array:
    """Return limits that have fallen to what is wanted, but by no more than a factor."""
    return np.asarray(np.minimum(limits, np.maximum(np.maximum(wanted, fall * limits), EXACT)))


def projected(U: Array, GV: Array, GtU: Array) -> Pair:
    """Return the projection ``U Eᵀ + F Vᵀ`` of G on the tangent space, F orthogonal to U, as (F, E)."""
    return GV - U @ (U.T @ GV), GtU


def least_squares(
    passes: RowPasses, free: Array, U: Array, V: Array, right: Pair, accuracy: float, steps: int
) -> tuple[Pair, bool]:
    """Return H in the tangent space with ``P_T P_F H = right``, by conjugate gradients, and whether it was reached."""
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
    """Return the inner product of two tangents."""
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
    """Return columns that are nearly orthonormal after one Newton step towards being so."""
    return np.asarray(1.5 * U - 0.5 * U @ (U.T @ U))
