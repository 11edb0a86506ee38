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
    """The end of an exact split: X by its singular triplets ``U, s, V``, and a dual matrix W of shape (d1, d2).

    ``gap`` is their relative gap, estimated by a few power steps, and infinite if no split was found; ``rounds`` is the
    number of rounds.
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
    Nothing is proved here: the certificate does that. If the gap stays open, slower methods start from the result.

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
    waits, due = iter(WAITS), 0
    while len(ranks) < MAX_ROUNDS and not clock.exhausted:
        clock.iterations += 1
        if not rounds.step():
            break
        ranks.append(rounds.rank)
        if len(ranks) < due or len(set(ranks[-SETTLED:])) > 1 or len(ranks) < SETTLED or ranks[-1] == 0:
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
    """Return the fit and the dual matrix after some rounds, and the median of the residual."""
    free = np.empty(rounds.passes.Y.shape, bool)
    triplets, median = fitted(rounds, free, clock)
    if median > NEARLY:
        return Attempt(rounds.triplets, rounds.W.astype(float), np.inf, count), median
    if look is not None:
        look(triplets, median, 1.0)
    W = np.empty_like(rounds.passes.Y)
    cost = write_signs(rounds, triplets, max(MIN_ERROR, MEDIANS * median), free, W)
    bound = correct(rounds, triplets, W, free, cost, tol, clock)
    return Attempt(triplets, W, (cost - bound) / cost if cost else 0.0, count), median
