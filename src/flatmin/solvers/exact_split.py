"""The short way to a split without noise: a few rounds, least squares on the cells without errors, a dual matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin.kernels.row_passes import RowPasses
from flatmin.metric import Array
from flatmin.operator_norm import EPS
from flatmin.solvers.newton import Budget

__all__ = ["Attempt", "exact_split"]

Triplets = tuple[Array, Array, Array]
Pair = tuple[Array, Array]
Look = Callable[[Triplets, float, float], Any]

#: The penalty starts at this over the norm of the data and grows by this factor a round.
FIRST, GROWTH = 1.25, 1.7
#: Singular vectors carried beyond those in use; the rounds end when more than this share are in use, and are not worth
#: their while for smaller matrices.
SPARE, WIDEST, SMALLEST = 10, 0.2, 64
#: It is tried to finish once the rank has been the same for so many rounds, and again after so many more.
SETTLED, AGAIN, ROUNDS = 3, (4, 6, 9), 40
#: A cell is free of errors where ``|Y − X|`` is at most this times its median in the row, or in the column, which are
#: found from so many cells; limits never rise, begin at that of the whole, which is found from so many cells, and fall
#: by no more than this factor in a step. So no row is left behind that is fitted more slowly.
LIMIT, FEW, SAMPLE, FALL = 10.0, 64, 5_000, 0.1
#: Linear least squares are solved to this accuracy, in so many steps; so many of them are solved, each of which has to
#: gain this factor, until what is left is rounding.
INNER, INNER_STEPS, STEPS, GAIN, EXACT = 0.05, 12, 40, 0.7, 1e-13
#: … or down to this, where it gains no more.
NEARLY = 1e-11
#: Rows and columns are left behind if their median is above this times that of the whole. If they are no more than this
#: share, they are fitted anew by least absolute deviations, in so many steps of reweighted least squares whose smallest
#: residuals that count fall by this factor a step; and then the fit goes on, so often.
BEHIND, FEWER, DEVIATIONS, SHARPER, REFITS = 1e3, 0.1, 60, 0.6, 3
#: Errors are what is above this, or this times the median.
ERROR, OVER = 1e-10, 30.0
#: The dual matrix is corrected to this accuracy in so many steps; where it leaves its bounds, so often, if it leaves
#: them by no more than this factor.
DUAL, DUAL_STEPS, MENDS, FAR = 1e-12, 40, 20, 1.5
#: Entries beyond this share of the bound are reflected there, so that the next correction has room.
INSIDE = 0.98
#: Power steps that bound a norm from below.
POWER = 4


@dataclass(frozen=True, eq=False)
class Attempt:
    """Where the short way has come.

    Attributes
    ----------
    triplets : tuple of ndarray
        Singular triplets ``U, s, V`` of X.
    W : ndarray, shape (d1, d2)
        A dual matrix.
    gap : float
        Their relative gap, as far as a few power steps tell; infinity where no split was found.
    rounds : int
        Rounds made.
    """

    triplets: Triplets
    W: Array
    gap: float
    rounds: int


def exact_split(
    Y: Array,
    seen: Array | None,
    weight: float,
    budget: Budget,
    tol: float,
    *,
    seed: int = 0,
    look: Look | None = None,
) -> Attempt | None:
    """Split a matrix exactly, ``min ‖X‖_* + weight · ‖Y − X‖_1``, where a matrix of low rank fits most cells.

    Rounds of the augmented Lagrangian method with a growing penalty find the rank and, roughly, the cells with errors.
    Then

    - X is fitted to the others at fixed rank by Gauss-Newton steps, whose linear least squares ``P_T P_F P_T`` are
      solved by conjugate gradients; F are the cells where Y − X is near its median, looked at anew in every step;
    - the W of the rounds, set to ``weight · sign(Y − X)`` outside of F, is corrected on F by the least ``P_F H`` with
      ``P_T W = U Vᵀ``.

    Nothing of this is a proof: the certificate judges what it is given. Where the optimum is not of this kind, the gap
    stays, and the state is where slower methods begin.

    Parameters
    ----------
    Y : ndarray, shape (d1, d2)
        The data, zero where missing, of entries of size one at most.
    seen : ndarray of bool, shape (d1, d2), or None
        Which cells are observed.
    weight : float
        Cost of a unit of error.
    budget : Budget
        Limits on rounds and time.
    tol : float
        Target for the relative gap.
    seed : int
        Starts the subspace.
    look : callable, optional
        Called with the triplets, the median of ``|Y − X|`` and the gap: after a fit, where the gap is unknown and given
        as one, and after the dual matrix.

    Returns
    -------
    Attempt or None
        None where the rank is too large for partial decompositions, or zero.

    References
    ----------
    Lin, Chen, Ma, "The augmented Lagrange multiplier method for exact recovery of corrupted low-rank matrices",
    arXiv:1009.5055, 2010.
    """
    if min(Y.shape) < SMALLEST:
        return None
    rounds = _Rounds(Y, seen, weight, seed)
    best: Attempt | None = None
    ranks: list[int] = []
    waits, due = iter(AGAIN), 0
    while len(ranks) < ROUNDS and not budget.exhausted:
        budget.iterations += 1
        if not rounds.step():
            break
        ranks.append(rounds.rank)
        if len(ranks) < due or len(set(ranks[-SETTLED:])) > 1 or len(ranks) < SETTLED or ranks[-1] == 0:
            continue
        found = _finished(rounds, budget, tol, look)
        if look is not None:
            look(found.triplets, found.median, found.gap)
        if best is None or found.gap <= best.gap:
            best = Attempt(found.triplets, found.W, found.gap, len(ranks))
        wait = next(waits, None)
        if found.gap <= tol or wait is None:
            break
        due = len(ranks) + wait
        rounds.resume()
    return best


class _Rounds:
    """The state of the rounds: ``Z = Y − S + W/ρ``, X as the last one left it, and where its values fall most."""

    def __init__(self, Y: Array, seen: Array | None, weight: float, seed: int) -> None:
        self.passes, self.weight = RowPasses(Y, seen), weight
        self.rng = np.random.default_rng(seed)
        d1, d2 = Y.shape
        self._basis = self.rng.standard_normal((d2, min(SPARE, d1, d2)))
        for _ in range(2):
            self._basis = np.linalg.qr(self.passes.adjoint_products(Y, self.passes.products(Y, self._basis)))[0]
        self.norm = float(np.linalg.norm(self.passes.products(Y, self._basis), 2)) or 1.0
        self.rho = FIRST / self.norm
        self.triplets: Triplets = np.zeros((d1, 0)), np.zeros(0), np.zeros((d2, 0))
        self.W = Y / max(self.norm, float(max(Y.max(), -Y.min())) / weight)
        self.Z = Y + self.W / self.rho
        rows, cols = self.rng.integers(d1, size=SAMPLE), self.rng.integers(d2, size=SAMPLE)
        known = slice(None) if seen is None else seen[rows, cols]
        self.sample = rows[known], cols[known]
        self.rank = 0

    def step(self) -> bool:
        """Make a round; return whether its rank is low enough to go on."""
        found = self._shrunk()
        if found is None:
            return False
        self.triplets = U, s, V = found
        following = self.rho * GROWTH
        self.passes.ascend(U * s, V, self.W, self.Z, level=self.weight, rho=self.rho, following=following)
        self.rho = following
        return True

    def resume(self) -> None:
        """Set Z again, after it served for something else."""
        U, s, V = self.triplets
        np.matmul(U * s, V.T, out=self.Z)
        self.Z += self.W / self.rho

    def median(self, U: Array, s: Array, V: Array) -> float:
        """Return the median of ``|Y − X|``, of a sample of observed cells."""
        rows, cols = self.sample
        left = self.passes.Y[rows, cols] - np.einsum("ij,ij->i", (U * s)[rows], V[cols])
        return float(np.median(np.abs(left))) if len(rows) else 0.0

    def medians(self, U: Array, s: Array, V: Array) -> Pair:
        """Return the medians of ``|Y − X|`` in every row and every column, of a sample of cells in each."""
        (d1, d2), seen = self.Z.shape, self.passes.seen
        some = self.rng.permutation(d1)[:FEW], self.rng.permutation(d2)[:FEW]
        cells: tuple[tuple[Any, Any], ...] = ((slice(None), some[1]), (some[0], slice(None)))
        found = []
        for axis, (rows, cols) in zip((1, 0), cells, strict=True):
            left = np.abs(self.passes.Y[rows, cols] - (U[rows] * s) @ V[cols].T)
            if seen is not None:  # cells that are not seen come last, and are not counted
                left[~seen[rows, cols]] = np.inf
            left.sort(axis=axis)
            middle = np.count_nonzero(left < np.inf, axis=axis, keepdims=True) // 2
            found.append(np.take_along_axis(left, np.minimum(middle, left.shape[axis] - 1), axis=axis).ravel())
        return found[0], found[1]

    def _shrunk(self) -> Triplets | None:
        """Return the singular triplets of Z above 1/ρ, their values reduced by it."""
        smaller = min(self.Z.shape)
        while True:
            if self._basis.shape[1] > max(WIDEST * smaller, SPARE + 2):
                return None
            Q = np.linalg.qr(self.passes.products(self.Z, self._basis))[0]
            inner, s, Vt = np.linalg.svd(self.passes.adjoint_products(self.Z, Q).T, full_matrices=False)
            kept = int(np.count_nonzero(s > 1 / self.rho))
            if kept < len(s):
                break
            more = self.rng.standard_normal((self.Z.shape[1], SPARE + kept // 2))
            self._basis = np.linalg.qr(np.hstack([Vt.T, more]))[0]
        self._basis = Vt[: kept + SPARE].T
        self.rank = 1 + int(np.argmax(s[:kept] / np.maximum(s[1 : kept + 1], EPS * s[0]))) if kept else 0
        return Q @ inner[:, :kept], s[:kept] - 1 / self.rho, Vt[:kept].T


@dataclass(frozen=True, eq=False)
class _Finish:
    triplets: Triplets
    W: Array
    gap: float
    median: float


def _finished(rounds: _Rounds, budget: Budget, tol: float, look: Look | None) -> _Finish:
    """Return what an attempt from here comes to."""
    free = np.empty(rounds.passes.Y.shape, bool)
    triplets, median = _fitted(rounds, free, budget)
    if median > NEARLY:
        return _Finish(rounds.triplets, rounds.W, np.inf, median)
    if look is not None:
        look(triplets, median, 1.0)
    W, cost = rounds.Z, _signs(rounds, triplets, max(ERROR, OVER * median), free)
    bound = _dual(rounds, triplets, W, free, cost, tol, budget)
    gap = (cost - bound) / cost if cost else 0.0
    return _Finish(triplets, W.copy() if gap > tol else W, gap, median)


def _fitted(rounds: _Rounds, free: Array, budget: Budget) -> tuple[Triplets, float]:
    """Return the fit of the rank of the rounds to cells without errors, and the median of what it leaves there.

    Rows that are left behind, because small errors in them pass for what is to be fitted, are fitted anew.
    """
    U, s, V = (part[..., : rounds.rank] for part in rounds.triplets)
    least = rounds.median(U, s, V)
    found, median = _descended(
        rounds, (U, s, V), (np.full(len(U), LIMIT * least), np.full(len(V), LIMIT * least)), free, budget
    )
    for _ in range(REFITS):
        again = _caught_up(rounds, found, median) if median <= NEARLY and not budget.out_of_time else None
        if again is None:
            break
        found, limits = again
        found, median = _descended(rounds, found, limits, free, budget)
    return found, median


def _descended(rounds: _Rounds, start: Triplets, limits: Pair, free: Array, budget: Budget) -> tuple[Triplets, float]:
    """Return the end of the Gauss-Newton steps from some triplets and limits, and the median there."""
    U, s, V = start
    best, least, slow = start, rounds.median(U, s, V), 0
    median, before = least, (-1, np.inf)
    high, wide = limits
    for _ in range(STEPS):
        if slow > 1 or budget.out_of_time:
            break
        G = rounds.passes.trim(U * s, V, (high, wide), free, U, V)
        state = int(np.count_nonzero(free)), float(max(high.max(), wide.max()))
        if median <= EXACT and (state[0] == before[0] or state[1] > FALL**0.5 * before[1]):
            break
        before = state
        H, _ = _least(rounds.passes, free, U, V, _tangent(U, *G), INNER, INNER_STEPS)
        U, s, V = _retracted(U, s, V, H)
        median = rounds.median(U, s, V)
        slow = slow + 1 if median > max(GAIN * least, EXACT) else 0
        rows, cols = rounds.medians(U, s, V)
        high, wide = _lowered(high, LIMIT * rows), _lowered(wide, LIMIT * cols)
        if median < least:
            best, least = (U, s, V), median
    return best, least


def _caught_up(rounds: _Rounds, triplets: Triplets, median: float) -> tuple[Triplets, Pair] | None:
    """Return the fit and its limits after those left behind were fitted anew; None if there are none, or too many."""
    U, s, V = triplets
    Y, seen, behind = rounds.passes.Y, rounds.passes.seen, BEHIND * max(median, EXACT)
    left, right = U * s, V.copy()
    rows, cols = (np.flatnonzero(medians > behind) for medians in rounds.medians(U, s, V))
    if not 0 < max(len(rows) / len(U), len(cols) / len(V)) <= FEWER:
        return None
    if len(rows):
        left[rows] = _least_deviations(Y[rows], None if seen is None else seen[rows], V, left[rows])
    if len(cols):
        right[cols] = _least_deviations(Y[:, cols].T, None if seen is None else seen[:, cols].T, U * s, right[cols])
    (Q1, R1), (Q2, R2) = np.linalg.qr(left), np.linalg.qr(right)
    inner, s, across = np.linalg.svd(R1 @ R2.T)
    U, V = _orthonormal(Q1 @ inner), _orthonormal(Q2 @ across.T)
    high, wide = (np.maximum(LIMIT * medians, EXACT) for medians in rounds.medians(U, s, V))
    return (U, s, V), (high, wide)


def _least_deviations(Y: Array, seen: Array | None, B: Array, start: Array) -> Array:
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


def _lowered(limits: Array, wanted: Array) -> Array:
    """Return limits that have fallen to what is wanted, but not too fast."""
    return np.asarray(np.minimum(limits, np.maximum(np.maximum(wanted, FALL * limits), EXACT)))


def _tangent(U: Array, GV: Array, GtU: Array) -> Pair:
    """Return the projection ``U Eᵀ + F Vᵀ`` of G on the tangent space, F orthogonal to U, as (F, E)."""
    return GV - U @ (U.T @ GV), GtU


def _least(
    passes: RowPasses, free: Array, U: Array, V: Array, right: Pair, accuracy: float, steps: int
) -> tuple[Pair, bool]:
    """Return H in the tangent space with ``P_T P_F H = right``, by conjugate gradients, and whether it was reached."""
    x = np.zeros_like(right[0]), np.zeros_like(right[1])
    r, p = right, right
    size = first = _inner(r, r)
    for _ in range(steps):
        if size <= accuracy**2 * first or size == 0:
            break
        q = _tangent(U, *passes.masked(np.hstack([U, p[0]]), np.hstack([p[1], V]), free, U, V))
        curvature = _inner(p, q)
        if not curvature > 0:
            break
        step = size / curvature
        x = x[0] + step * p[0], x[1] + step * p[1]
        r = r[0] - step * q[0], r[1] - step * q[1]
        before, size = size, _inner(r, r)
        p = r[0] + (size / before) * p[0], r[1] + (size / before) * p[1]
    return x, size <= accuracy**2 * first


def _inner(a: Pair, b: Pair) -> float:
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


def _signs(rounds: _Rounds, triplets: Triplets, limit: float, free: Array) -> float:
    """Set Z to the W of the rounds, and to the signs of errors where these are; return the objective."""
    U, s, V = triplets
    W, weight, sizes = rounds.Z, rounds.weight, []

    def write(rows: slice, left: Array) -> None:
        small = np.abs(left) <= limit
        W[rows] = np.where(small, rounds.W[rows], weight * np.sign(left))
        sizes.append(float(np.abs(left).sum()))
        if rounds.passes.seen is not None:
            small &= rounds.passes.seen[rows]
        free[rows] = small

    rounds.passes.leave(U * s, V, write)
    return float(s.sum() + weight * np.sum(sorted(sizes)))


def _dual(rounds: _Rounds, triplets: Triplets, W: Array, free: Array, cost: float, tol: float, budget: Budget) -> float:
    """Correct W on free cells, in place, until ``P_T W = U Vᵀ`` within its bounds; return the bound it proves."""
    passes, (U, _, V), weight = rounds.passes, triplets, rounds.weight
    bound, limit = -np.inf, FAR * weight
    for _ in range(MENDS):
        F, E = _tangent(U, passes.products(W, V), passes.adjoint_products(W, U))
        right = -F, V - E
        accuracy = DUAL / max(float(np.sqrt(_inner(right, right))), DUAL)
        H, reached = _least(passes, free, U, V, right, accuracy, DUAL_STEPS)
        passes.add(np.hstack([U, H[0]]), np.hstack([H[1], V]), free, W)
        norm, largest = max(1.0, _norm_beside(rounds, W, U, V)), float(max(W.max(), -W.min()))
        bound = float(np.vdot(W, passes.Y) / max(norm, largest / weight))
        if cost - bound <= tol * cost or not weight < largest <= limit or not reached or budget.out_of_time:
            break
        limit = largest
        _reflect(W, free, weight)
    return bound


def _reflect(W: Array, free: Array, weight: float) -> None:
    """Turn free entries beyond the weight back, in place, as if a little inside of it there were a mirror."""
    for row, chosen in zip(W, free, strict=True):
        beyond = np.flatnonzero((np.abs(row) > weight) & chosen)
        row[beyond] = np.sign(row[beyond]) * np.maximum(2 * INSIDE * weight - np.abs(row[beyond]), 0.0)


def _norm_beside(rounds: _Rounds, W: Array, U: Array, V: Array) -> float:
    """Return the norm of W between the complements of U and V, or less."""
    passes, basis = rounds.passes, rounds.rng.standard_normal((len(V), SPARE))
    for _ in range(POWER):
        basis = np.linalg.qr(basis - V @ (V.T @ basis))[0]
        image = passes.products(W, basis)
        image -= U @ (U.T @ image)
        basis = passes.adjoint_products(W, image)
    return float(np.linalg.norm(image, 2))
