"""Penalised solutions where the data determine the trace, as for positive semidefinite matrices measured by vectors.

Then ``tr Z = ⟨c, q⟩`` for all Z, with ``c_i = |x_i|² / (m · scale)`` and the scaled measurements q. A penalty on the
trace is therefore a shift of the data: ``⟨c, q⟩ + (P/2) ‖q − b‖² = (P/2) ‖q − (b − c/P)‖² + constant``. So the penalty
selects no rank, and the penalised solution is the positive semidefinite least-squares fit of the shifted data.
"""

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.cones.semidefinite import StackedGram
from flatmin.measurements import CodedDiffraction
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.task import Task
from flatmin.solvers.vectors.interpolation import interpolate

__all__ = ["implicit", "rank_one_fit", "shifted_minimum"]

#: Largest number of steps towards a least-squares fit of rank one, from a start at leading eigenvectors.
START_STEPS = 40


@dataclass(frozen=True, eq=False)
class _ByTransforms(StackedGram):
    """A map whose derivative is cheaper to apply than to form."""

    def jacobian(self, x: Array) -> None:
        return None


def implicit(scaled: Scaled) -> Scaled:
    """Return the problem; for coded diffraction patterns, with a map that applies its derivative but never forms it."""
    if not isinstance(scaled.model.whitened, CodedDiffraction):
        return scaled
    return replace(scaled, model=_ByTransforms(scaled.model.whitened, scaled.model.scale, scaled.model.units))


def rank_one_fit(scaled: Scaled, task: Task, clock: Clock) -> Array:
    """Return stacked factors near the least-squares fit of rank one, for sensing matrices ``x x*``."""
    most = task.limits.max_iter
    model, steps = scaled.model, START_STEPS if most is None else min(START_STEPS, most)
    own = Clock(steps, task.limits.time_limit, started=clock.started)
    limits = Limits(max_rank=1, seed=task.limits.seed)
    found = interpolate(model.whitened, 2 * scaled.b / model.scale, clock=own, limits=limits)
    clock.iterations += own.iterations
    return _stacked(scaled, found.U)


def shifted_minimum(scaled: Scaled, task: Task, clock: Clock, x: Array, penalty: float) -> Outcome:
    """Return the minimum of ``tr Z + (penalty/2) ‖q − b‖²``, by a search over factors from stacked factors x (n, k)."""
    model, measurement = scaled.model, task.problem.measurement
    U, s, _ = model.canonical(x)
    shift = measurement.traces() / (measurement.size * model.scale)
    found = interpolate(
        model.whitened,
        2 * (scaled.b - shift / penalty) / model.scale,
        clock=clock,
        limits=Limits(task.max_rank, seed=task.limits.seed, callback=task.limits.callback),
        start=U * np.sqrt(2 * s),
    )
    x = _stacked(scaled, found.U)
    y = penalty * (scaled.b - model.value(x))
    return Outcome(*model.canonical(x), y=y, bound=-np.inf, converged=found.optimal_misfit, history=found.history)


def _stacked(scaled: Scaled, U: Array) -> Array:
    """Return stacked factors of ``½ U U*``."""
    Q, s, _ = np.linalg.svd(U, full_matrices=False)
    return scaled.model.stack(Q, s**2 / 2, Q)
