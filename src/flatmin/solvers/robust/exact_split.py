"""A fast exact split for data without noise: a few rounds find the errors, then X is fitted to the other cells."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.solvers.robust.error_free_fit import SCHEDULE, fitted
from flatmin.solvers.robust.penalty_rounds import Rounds, Triplets
from flatmin.solvers.robust.split_dual import correct, write_signs

__all__ = ["Attempt", "exact_split"]

Look = Callable[[Triplets, float, float], Any]

#: Length of the smaller side from which the rounds are worthwhile.
MIN_SIDE = 64
#: Number of rounds with the same rank after which a fit is tried.
CONSTANT_ROUNDS = 3
#: Numbers of rounds between the first trial of a fit and the second, the second and the third, and so on.
ROUNDS_BETWEEN_TRIALS = (4, 6, 9)
#: Largest number of rounds.
MAX_ROUNDS = 30
#: Smallest residual that counts as an error, relative to the largest entry of Y.
MIN_ERROR = 1e-10
#: Smallest residual that counts as an error, in units of the median residual.
ERROR_MEDIANS = 30.0


@dataclass(frozen=True, eq=False)
class Attempt:
    """The result of one try at an exact split: the singular triplets ``U, s, V`` of X, and a dual matrix W (d1, d2).

    ``gap`` is the relative duality gap of X and W, estimated with a block Krylov method. It is infinite if no exact
    split was found. ``rounds`` is the number of rounds before the fit.
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

    Rounds of the augmented Lagrangian method find the rank and, roughly, the cells with errors. Then X is fitted to the
    other cells at this rank, and the dual matrix is corrected there (see docs/theory/robust_pca.md, "The algorithm").
    Nothing is proved here; the certificate is computed later. If the gap is too large, the pursuit starts from the
    result.

    Y has entries of at most one in size, zero where missing; ``seen`` is None if all cells are observed. ``look`` is
    called with the triplets, the median of ``|Y − X|`` and the gap, which is one until a dual matrix is found. Returns
    None if the rank is zero or too large for partial decompositions.

    Reference: Lin, Chen, Ma, "The augmented Lagrange multiplier method for exact recovery of corrupted low-rank
    matrices", arXiv:1009.5055, 2010.
    """
    if min(Y.shape) < MIN_SIDE:
        return None
    rounds = Rounds(Y, seen, weight, seed)
    best: Attempt | None = None
    ranks: list[int] = []
    waits, due = iter(ROUNDS_BETWEEN_TRIALS), 0
    while len(ranks) < MAX_ROUNDS and not clock.exhausted:
        clock.iterations += 1
        if not rounds.step():
            break
        ranks.append(rounds.rank)
        if len(ranks) < due or len(set(ranks[-CONSTANT_ROUNDS:])) > 1 or len(ranks) < CONSTANT_ROUNDS or ranks[-1] == 0:
            continue
        found, median = _finished(rounds, len(ranks), clock, tol, look)
        if look is not None:
            look(found.triplets, median, found.gap)
        if best is None or found.gap <= best.gap:
            best = found
        wait = next(waits, None)
        if found.gap <= tol or wait is None:
            break
        due = len(ranks) + wait
    if best is None and ranks and clock.exhausted:
        best = Attempt(rounds.triplets, rounds.W.astype(float), np.inf, len(ranks))
        if look is not None:
            look(best.triplets, rounds.median(*best.triplets), best.gap)
    return best


def _finished(rounds: Rounds, count: int, clock: Clock, tol: float, look: Look | None) -> tuple[Attempt, float]:
    """Fit X to the cells without errors and correct the dual matrix; return both, and the median of the residual."""
    free = np.empty(rounds.passes.Y.shape, bool)
    triplets, median = fitted(rounds, free, clock)
    if median > SCHEDULE.accepted_median:
        return Attempt(rounds.triplets, rounds.W.astype(float), np.inf, count), median
    if look is not None:
        look(triplets, median, 1.0)
    W = np.empty_like(rounds.passes.Y)
    cost = write_signs(rounds, triplets, max(MIN_ERROR, ERROR_MEDIANS * median), free, W)
    bound = correct(rounds, triplets, W, free, cost, tol, clock)
    return Attempt(triplets, W, (cost - bound) / cost if cost else 0.0, count), median
