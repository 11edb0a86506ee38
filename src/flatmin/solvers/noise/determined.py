"""Noise in data that determine the trace: positive semidefinite matrices measured by vectors.

There ``tr Z = ⟨c, q⟩`` for all Z, with ``c_i = |x_i|² / (m · scale)`` and q the scaled measurements. A penalty on the
trace is a shift of the data, ``⟨c, q⟩ + (P/2) ‖q − b‖² = (P/2) ‖q − (b − c/P)‖² + constant``: it selects no rank, and
its minimum is the positive semidefinite least-squares fit of shifted data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.semidefinite import StackedGram
from flatmin.measurements import CodedDiffraction
from flatmin.problem import Problem
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.newton import Budget
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.task import Task
from flatmin.solvers.vectors.interpolation import interpolate

__all__ = ["implicit", "rank_one_fit", "shifted_minimum"]


#: Steps from a spectral start, which end near a least-squares fit.
START = 40


@dataclass(frozen=True, eq=False)
class _ByTransforms(StackedGram):
    """A map whose derivative is cheaper to apply than to form."""

    def jacobian(self, x: Array) -> None:
        """Return None: nothing is formed."""
        return None


def implicit(scaled: Scaled) -> Scaled:
    """Return the same for a solver that shall not form the derivative, where measurements are fast transforms."""
    if not isinstance(scaled.model.whitened, CodedDiffraction):
        return scaled
    return replace(scaled, model=_ByTransforms(scaled.model.whitened, scaled.model.scale, scaled.model.units))


def rank_one_fit(scaled: Scaled, task: Task) -> Array:
    """Return stacked factors of a fit of rank one from a spectral start, near one of least squares.

    Parameters
    ----------
    scaled : Scaled
        A problem whose sensing matrices are all ``x x*``.
    task : Task
        Its limits and seed.
    """
    model, steps = scaled.model, START if task.max_iter is None else min(START, task.max_iter)
    budget = Budget(steps, task.time_limit, start=task.budget.start)
    found = interpolate(model.whitened, 2 * scaled.b / model.scale, budget=budget, max_rank=1, seed=int(task.seed))
    task.budget.iterations += budget.iterations
    return _stacked(scaled, found.U)


def shifted_minimum(problem: Problem, scaled: Scaled, task: Task, x: Array, price: float) -> Outcome:
    """Return the minimum of ``tr Z + (price/2) ‖q − b‖²``, without forming a matrix.

    Parameters
    ----------
    problem : Problem
        A problem whose data determine the trace.
    scaled : Scaled
        The same in scaled units, with the metric power 1.
    task : Task
        Its limits, seed and callback.
    x : ndarray, shape (n, k)
        Stacked factors to start from.
    price : float
        What misfit costs.
    """
    model = scaled.model
    U, s, _ = model.canonical(x)
    shift = problem.measurement.traces() / (problem.measurement.size * model.scale)
    found = interpolate(
        model.whitened,
        2 * (scaled.b - shift / price) / model.scale,
        budget=task.budget,
        max_rank=task.widest,
        seed=int(task.seed),
        start=U * np.sqrt(2 * s),
        callback=task.callback,
    )
    x = _stacked(scaled, found.U)
    y = price * (scaled.b - model.value(x))
    return Outcome(*model.canonical(x), y=y, bound=-np.inf, converged=found.optimal_misfit, history=found.history)


def _stacked(scaled: Scaled, U: Array) -> Array:
    """Return stacked factors of ``½ U U*``."""
    Q, s, _ = np.linalg.svd(U, full_matrices=False)
    return scaled.model.stack(Q, s**2 / 2, Q)
