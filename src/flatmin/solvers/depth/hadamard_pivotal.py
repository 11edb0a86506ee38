"""Solver for sparse regression with noise of unknown level: square-root lasso, then least squares on its support."""

from dataclasses import replace

import numpy as np

from flatmin._core.limits import Clock
from flatmin.errors import InputError
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.proofs.depth.hadamard import hadamard_factors, hadamard_whitened
from flatmin.solution import Noise, Solution
from flatmin.solvers.depth.hadamard import hadamard_minimum
from flatmin.solvers.noise.spread import relative_error
from flatmin.solvers.task import Task

__all__ = ["hadamard_pivotal_minimum"]

#: Number of simulated residuals.
DRAWS = 1000
#: The threshold is this quantile of the norms of simulated residuals.
QUANTILE = 0.95
#: Relative accuracy of alpha.
ACCURACY = 1e-6
#: Largest number of solves that look for alpha.
MAX_SOLVES = 60
#: Relative residual below which data count as exact. Errors from rounding data to single precision are larger, and
#: count as noise.
EXACT_RESIDUAL = 5e-9


def hadamard_pivotal_minimum(task: Task, clock: Clock) -> Solution:
    """Return the lasso at the alpha that follows from its own residual, certified, with a refit on its support.

    The rule is that of `pivotal_minimum`: ``2 alpha m = t ‖r‖`` for the residual r, where t is the 95 % quantile of
    ``‖Bᵀg‖_∞ / ‖g‖`` over normal g with ``B = A diag(1/w)``. The solution minimises ``‖A x − b‖ + t Σ w_j |x_j|``.
    A model of more than two factors raises `InputError`, because its penalty is smooth at 0 and selects no coordinates.
    Source: Belloni, Chernozhukov, Wang, "Square-root lasso", Biometrika 98(4), 2011.
    """
    problem, model = task.problem, task.problem.parametrization
    assert isinstance(model, Hadamard)
    if model.depth > 2:
        raise InputError(
            f"alpha is 'auto' for {model!r}, expected Hadamard(2), whose penalty selects coordinates; give a number"
        )
    m, size = len(problem.data), float(np.linalg.norm(problem.data))
    B, _ = hadamard_whitened(problem)
    g = np.random.default_rng(task.limits.seed).standard_normal((DRAWS, m))
    norms = np.max(np.abs(g @ B), axis=1, initial=0.0) / np.linalg.norm(g, axis=1)
    threshold = float(np.quantile(norms, QUANTILE))
    level, left, solution = threshold * size, size, None
    for _ in range(MAX_SOLVES):
        if left <= EXACT_RESIDUAL * size:
            break
        solution = hadamard_minimum(replace(task, alpha=level / (model.depth * m)), clock)
        left, before = float(np.linalg.norm(problem.residual(solution.factors))), level
        level = threshold * left
        if abs(level / before - 1) <= ACCURACY or clock.exhausted:
            break
    if solution is None or left <= EXACT_RESIDUAL * size:
        solution = hadamard_minimum(replace(task, alpha=0.0), clock)
    return replace(solution, noise=_noise(task, solution, threshold))


def _noise(task: Task, solution: Solution, threshold: float) -> Noise:
    """Fit the coordinates in the support by least squares, and estimate the level of noise from the residual."""
    problem, x = task.problem, solution.matrix[:, 0]
    support = np.flatnonzero(x)
    columns, refit = problem.measurement.matrices()[:, support, 0], np.zeros_like(x)
    refit[support] = np.linalg.lstsq(columns, problem.data, rcond=None)[0]
    residual = problem.data - columns @ refit[support]
    spare = len(residual) - len(support)
    sigma = float(np.linalg.norm(residual) / np.sqrt(spare)) if spare > 0 else None
    return Noise(
        sigma=sigma,
        std_error=None if sigma is None else sigma * relative_error(residual, spare),
        alpha=float(solution.settings["alpha"]),
        threshold=threshold,
        unevenness=1.0,
        refit=hadamard_factors(problem, refit),
        rank=solution.rank,
        penalised_rank=solution.rank,
        freedom=len(support),
    )
