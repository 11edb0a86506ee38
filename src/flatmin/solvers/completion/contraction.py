"""Contraction of the dual matrix of an exact fit: its singular values above one are moved below one.

The shortest multiplier that makes an exact fit ``Z = U s Vᵀ`` stationary has the dual matrix ``U Vᵀ + W``. Near the
recovery threshold, W exceeds norm one in a few directions, each of them concentrated on one row or column of the table.
Other multipliers keep the fit stationary too: those that differ by an element of the kernel of ``Jᵀ``, where J is the
derivative of the measurements at the fit. If one of them has a dual matrix of norm at most one, Z is a flat minimum.
"""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.cones.quadratic_map import Linearization, QuadraticMap
from flatmin.linalg.block_krylov import block_triplets
from flatmin.linalg.subspaces import deflate
from flatmin.solvers.factored.cell_equations import CellEquations

__all__ = ["ContractionSchedule", "contracted"]


@dataclass(frozen=True)
class ContractionSchedule:
    """Settings of the contraction. Singular values are those of the dual matrix."""

    target: float = 0.98  #: The value to which larger singular values are moved.
    enough: float = 0.99  #: The contraction ends when no singular value exceeds this number.
    relaxation: float = 1.5  #: Factor of the steps; 1 moves the distance that suffices if the distance were linear.
    accuracy: float = 1e-5  #: Relative accuracy of projections on the kernel of ``Jᵀ``.
    first_count: int = 12  #: Number of singular values that are computed at first.
    max_count: int = 96  #: Largest number of singular values that are computed.
    max_steps: int = 30  #: Largest number of steps.
    max_rises: int = 2  #: The contraction ends when the excess has risen this many times.


SCHEDULE = ContractionSchedule()


def contracted(model: QuadraticMap, x: Array, y: Array, clock: Clock, seed: int) -> Array | None:
    """Return a multiplier near y whose dual matrix has norm below one outside the singular vectors of x.

    Let ``excess`` be the distance of W from the matrices of norm ``target``. It is a convex function of the multiplier,
    with the gradient ``P q(D) / excess`` for ``D = Σ (σ − target) u vᵀ`` over the singular values σ above the target,
    where P is the projector on the kernel of ``Jᵀ``. The steps are those of Polyak for a function whose minimum is
    zero. The result is None if the excess stays positive, if the measurements are not observed cells, or if there are
    fewer cells than degrees of freedom.
    """
    if model.freedom(x.shape[1]) >= model.whitened.size:
        return None
    derivative = Linearization(model, x, None)
    equations = CellEquations.from_derivative(derivative)
    if equations is None:
        return None
    U, _, V = model.canonical(x)
    count, start = SCHEDULE.first_count, None
    before, rises = np.inf, 0
    for _ in range(SCHEDULE.max_steps):
        outside = deflate(model.dual_matrix(y), U, V)
        u, s, v = block_triplets(outside, count, seed=seed, start=start)
        if s[0] <= SCHEDULE.enough:
            return y
        above = s > SCHEDULE.target
        over = s[above] - SCHEDULE.target
        excess = float(np.linalg.norm(over))
        rises, before = rises + (excess > before), excess
        if clock.exhausted or rises >= SCHEDULE.max_rises:
            return None
        if above.all() and count < SCHEDULE.max_count:
            count *= 2
        start = v
        pull = model.value(np.concatenate([u[:, above] * over, v[:, above]]))
        pull -= derivative.forward(equations.least_squares(pull, SCHEDULE.accuracy))
        y = y - SCHEDULE.relaxation * excess**2 / float(pull @ pull) * pull
    return None
