"""A fast exact split for data without noise: a few rounds, a fit to the cells without errors, a dual matrix."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.solvers.robust.error_free_fit import NEARLY, fitted
from flatmin.solvers.robust.penalty_rounds import Rounds, Triplets
from flatmin.solvers.robust.split_dual import correct, write_signs

__all__ = ["Attempt", "exact_split"]

Look = Callable[[Triplets, float, float], Any]

#: Smaller side from which the rounds pay.
MIN_SIDE = 64
#: Rounds of constant rank after which a fit is tried, and the rounds before each further trial.
SETTLED = 3
WAITS = (4, 6, 9)
MAX_ROUNDS = 30
#: Residuals above this, and above this many medians, are errors.
MIN_ERROR = 1e-10
MEDIANS = 30.0


@dataclass(frozen=True, eq=False)
class Attempt:
    """The end of an exact split.

    Attributes
    ----------
    triplets : tuple of ndarray
        Singular triplets ``U, s, V`` of X.
    W : ndarray, shape (d1, d2)
        A dual matrix.
    gap : float
        Their relative gap, estimated by a few power steps; infinity if no split was found.
    rounds : int
        The number of rounds.
    """

    triplets: Triplets
    W: Array
    gap: float
    rounds: int


def exact_split(
    Y: Array,
    seen: Array | None,
    weight: float,
    clock: Clock,
    tol: float,
    *,
    seed: int = 0,
    look: Look | None = None,
) -> Attempt | None:
    """Split a matrix exactly, ``min ‖X‖_* + weight · ‖Y − X‖_1``, where a matrix of low rank fits most cells.

    Rounds of the augmented Lagrangian method with a growing penalty find the rank and, roughly, the cells with errors.
    Then

    - X is fitted to the others at fixed rank by Gauss-Newton steps, whose linear least squares ``P_T P_F P_T`` are
      solved by conjugate gradients; F are the cells where Y − X is near its median, chosen in every step;
    - the W of the rounds, set to ``weight · sign(Y − X)`` outside of F, is corrected on F by the least ``P_F H`` with
      ``P_T W = U Vᵀ``.

    This proves nothing: the certificate does. If the optimum is of another kind, the gap does not close, and slower
    methods start from the result.

    Parameters
    ----------
    Y : ndarray, shape (d1, d2)
        The data, zero where missing, of entries of size one at most.
    seen : ndarray of bool, shape (d1, d2), or None
        Which cells are observed.
    weight : float
        Cost of a unit of error.
    tol : float
        Target for the relative gap.
    look : callable, optional
        Called with the triplets, the median of ``|Y − X|`` and the gap, which is one before there is a dual matrix.

    Returns
    -------
    Attempt or None
        None if the rank is zero or too large for partial decompositions. At a limit before the first fit it is the end
        of the rounds.

    References
    ----------
    Lin, Chen, Ma, "The augmented Lagrange multiplier method for exact recovery of corrupted low-rank matrices",
    arXiv:1009.5055, 2010.
    """
    if min(Y.shape) < MIN_SIDE:
        return None
    rounds = Rounds(Y, seen, weight, seed)
    best: Attempt | None = None
    ranks: list[int] = []
    waits, due = iter(WAITS), 0
    while len(ranks) < MAX_ROUNDS and not clock.exhausted:
        clock.iterations += 1
        if not rounds.step():
            break
        ranks.append(rounds.rank)
        if len(ranks) < due or len(set(ranks[-SETTLED:])) > 1 or len(ranks) < SETTLED or ranks[-1] == 0:
            continue
        found = _finished(rounds, clock, tol, look)
        if look is not None:
            look(found.triplets, found.median, found.gap)
        if best is None or found.gap <= best.gap:
            best = Attempt(found.triplets, found.W, found.gap, len(ranks))
        wait = next(waits, None)
        if found.gap <= tol or wait is None:
            break
        due = len(ranks) + wait
    if best is None and ranks and clock.exhausted:
        best = Attempt(rounds.triplets, rounds.W.astype(float), np.inf, len(ranks))
        if look is not None:
            look(best.triplets, rounds.median(*best.triplets), best.gap)
    return best


@dataclass(frozen=True, eq=False)
class _Finish:
    triplets: Triplets
    W: Array
    gap: float
    median: float


def _finished(rounds: Rounds, clock: Clock, tol: float, look: Look | None) -> _Finish:
    """Return the fit and the dual matrix from the present rounds."""
    free = np.empty(rounds.passes.Y.shape, bool)
    triplets, median = fitted(rounds, free, clock)
    if median > NEARLY:
        return _Finish(rounds.triplets, rounds.W.astype(float), np.inf, median)
    if look is not None:
        look(triplets, median, 1.0)
    W = np.empty_like(rounds.passes.Y)
    cost = write_signs(rounds, triplets, max(MIN_ERROR, MEDIANS * median), free, W)
    bound = correct(rounds, triplets, W, free, cost, tol, clock)
    gap = (cost - bound) / cost if cost else 0.0
    return _Finish(triplets, W, gap, median)
