"""Exact data among noisy ones: what shows that data are exact, and the solution that fits them to rounding errors."""

from dataclasses import replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.problem import Problem
from flatmin.proofs.cone_certificate import trace_is_determined
from flatmin.solution import Noise, Solution
from flatmin.solvers.convex.minimum import convex_minimum
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.refit import unscaled
from flatmin.solvers.task import Task
from flatmin.solvers.vectors.interpolating import interpolating_minimum

__all__ = ["EXACT_RESIDUAL", "FAINTEST_NOISE", "exact_minimum", "has_evidence", "is_exact_fit", "without_noise"]

#: Relative residual below which data may be exact. They count as exact if an exact fit of no larger rank exists.
EXACT_RESIDUAL = 1e-7
#: Largest relative residual of the exact fit that shows that data are exact.
FITTED_RESIDUAL = 1e-9
#: Relative residual below which data count as exact even if no exact fit is found. Errors from rounding data to single
#: precision are larger, and count as noise.
FAINTEST_NOISE = 5e-9


def has_evidence(scaled: Scaled, x: Array) -> bool:
    """Return whether a fit of the rank of stacked factors x shows that data are exact: most data have no such fit."""
    return scaled.model.freedom(x.shape[1]) < len(scaled.outside)


def exact_minimum(task: Task, clock: Clock, scaled: Scaled, x: Array) -> Solution:
    """Return a solution for exact data whose rank is at most that of stacked factors x, which fit nearly."""
    narrow = replace(task, limits=replace(task.limits, max_rank=max(x.shape[1], 1)))
    if trace_is_determined(task.problem, task.metric_power) and has_evidence(scaled, x):
        start = unscaled(task.problem, scaled, x)
        solution = interpolating_minimum(replace(narrow, warm_start=start), clock)
    else:
        solution = convex_minimum(narrow, clock)
    return replace(solution, settings=task.settings)


def is_exact_fit(solution: Solution, clock: Clock) -> bool:
    """Return whether a solution is proved and fits to rounding errors, or no time is left to look for another one."""
    proof = solution.checked_certificate
    return (proof.holds and proof.relative_residual <= FITTED_RESIDUAL) or clock.exhausted


def without_noise(problem: Problem, scaled: Scaled, solution: Solution) -> Solution:
    """Return an exact fit with the estimate of the (rounding) noise in its data."""
    left = float(np.linalg.norm(problem.residual(solution.factors)))
    m, freedom = len(problem.data), scaled.model.freedom(solution.rank)
    sigma = left / np.sqrt(m - freedom) if freedom < m else None
    noise = Noise(
        sigma=None if sigma is None else float(sigma),
        std_error=None if sigma is None else float(sigma / np.sqrt(2 * (m - freedom))),
        alpha=0.0,
        threshold=0.0,
        unevenness=1.0,
        refit=solution.factors,
        rank=solution.rank,
        penalised_rank=solution.rank,
        freedom=freedom,
    )
    return replace(solution, noise=noise)
