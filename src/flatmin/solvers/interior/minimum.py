"""The interior point method as a solver: when it applies, how it goes on and when it ends."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.solvers.factored.exact_end import REFINED_GAP, ExactEnd
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.interior.interior_point import InteriorPoint
from flatmin.solvers.interior.known_rank import is_clear, optimal_pair

__all__ = ["applies_to", "interior_minimum"]

#: Largest number of observed entries, and of rows and columns together.
MOST_CELLS, LONGEST_SIDES = 2000, 250
#: Largest number of measurements of a signed model.
MOST_SIGNED = 1500
#: Largest number of steps; more than twenty are rare.
MOST_STEPS = 40
#: Relative gap below which short steps show that rounding prevents progress.
CLOSE_GAP = 1e-7
#: Relative gap from which Newton's method is tried. After the first failure, the gap of the next attempt is less by the
#: factor ``PATIENCE``, after the second one by its square, and so on.
NEWTON_GAP, PATIENCE = 1e-4, 100.0
#: Ratio of gaps between which singular values are compared.
EARLIER = 10.0
#: Length of a step of X that counts as short.
SHORT_STEP = 0.3
#: Factor between the bound and ``½ tr X`` from which the data contradict each other, and the bound has no limit.
CONTRADICTION = 1e3
#: Factor between ``‖b‖ ‖y‖`` and ``½ tr X`` from which y is useless, since rounding counts in ``⟨b, y⟩``. Multipliers
#: grow so large if the measurements depend on each other.
CANCELLATION = 1e6


def applies_to(model: QuadraticMap, limits: Limits) -> bool:
    """Return whether a problem is so small that a few steps cost less than the rounds of the augmented Lagrangian."""
    m, sides = model.whitened.size, sum(model.whitened.shape)
    small = m <= MOST_CELLS and sides <= LONGEST_SIDES if model.is_product else m <= MOST_SIGNED
    return model.has_normal_matrix and small and limits.max_rank is None


def interior_minimum(model: QuadraticMap, b: Array, clock: Clock, limits: Limits, outcome: Outcome) -> None:
    """Solve ``min ‖Z‖_* s.t. q = b``; ``outcome`` gets the fit and the multiplier, and whether they are good enough.

    The arguments are those of `augmented_lagrangian`. An outcome that has not converged is no worse than before.
    """
    path, end = InteriorPoint(model, b), ExactEnd(model, b, outcome, limits)
    target = REFINED_GAP if limits.tol <= LARGEST_GAP else limits.tol
    newton, history = _KnownRank(path, end), list[tuple[float, Array]]()
    for _ in range(MOST_STEPS):
        if clock.exhausted:
            break
        clock.iterations += 1
        solved, point, gap = path.step(), path.point, path.gap
        size = float(np.linalg.norm(b) * np.linalg.norm(path.y))
        if float(b @ path.y) > CONTRADICTION * path.value or size > CANCELLATION * path.value:
            return
        history.append((gap, point[1]))
        rank = _rank(history)
        outcome.record(point, clock, limits.callback, residual=path.misfit, gap=gap, rank=rank)
        stuck = not solved or (gap < CLOSE_GAP and path.lengths[0] < SHORT_STEP)
        if (end.is_due(gap) and (end.early(point, path.y) or newton.ends(rank))) or stuck or gap <= target:
            break
    outcome.improve_bound(b, path.y, 1.0)
    end.late(path.point, path.y, _rank(history))
    if end.point is None:
        return
    outcome.converged = abs(end.gap) <= limits.tol and end.misfit <= min(limits.tol, LARGEST_RESIDUAL)
    end.record(clock)


class _KnownRank:
    """Newton's method at the rank of the iterates.

    After each failure, a smaller gap is asked for. A rank at which it converges to a pair that is not optimal is wrong,
    and is not tried again.
    """

    def __init__(self, path: InteriorPoint, end: ExactEnd) -> None:
        self.path, self.end = path, end
        self.asked, self.failures, self.wrong = NEWTON_GAP, 0, set[int]()

    def ends(self, rank: int) -> bool:
        """Try a rank, and return whether this ends the search."""
        path, end, model = self.path, self.end, self.path.model
        if path.gap > self.asked or rank in self.wrong or not is_clear(path.slack, rank):
            return False
        pair = optimal_pair(model, path.b, path.X, path.y, rank)
        if pair is None:
            self.failures += 1
            self.asked = path.gap / PATIENCE**self.failures
            return False
        U, s, V = model.lifted_canonical(pair[0])
        if end.keep((U[:, :rank], s[:rank], V[:, :rank])):
            end.outcome.improve_bound(path.b, pair[1], float(model.dual_spectrum(pair[1])[0].max()))
        if not end.is_exact:
            self.wrong.add(rank)
        return end.is_exact


def _rank(history: list[tuple[float, Array]]) -> int:
    """Return the number of singular values that persist, from the gaps and the singular values of all iterates.

    Since the gap was ten times as large, those of the solution have hardly changed, and all others have fallen like the
    gap.
    """
    if not history:
        return 0
    gap, s = history[-1]
    before = next((past for past in reversed(history) if past[0] >= EARLIER * gap), history[0])
    return int(np.count_nonzero(s > np.sqrt(gap / before[0]) * before[1]))
