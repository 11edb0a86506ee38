"""Joint fits of a matrix and offsets: exact, at a given penalty, or at the penalty that follows from the noise."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Limits
from flatmin.estimators._completion.observations import Observations
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Noise, Solution
from flatmin.solvers import flat_minimum, refit
from flatmin.solvers.noise.pivotal import level_of_noise
from flatmin.solvers.noise.spread import relative_error
from flatmin.solvers.offsets.offset_model import OffsetModel
from flatmin.solvers.offsets.offsets import Offsets
from flatmin.solvers.task import Task

__all__ = ["OffsetFit", "fit_with_offsets"]

#: The iteration for the strength stops once the strength changes by less than this share.
STRENGTH_CHANGE = 0.01
#: The largest number of rounds of the iteration for the strength.
MAX_ROUNDS = 6
#: Relative duality gap to which the rounds of the iteration are solved.
ROUND_TOL = 1e-4
#: One round is enough for unpenalised offsets with at most this share of the data's degrees of freedom.
MAX_FREE_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class OffsetFit:
    """A matrix with its offsets.

    ``solution`` solves ``problem`` and has the certificate of the joint fit, or with ``alpha=0`` the certificate of the
    exact fit to the data minus the offsets. ``offsets`` belong to the matrix of ``solution``, ``refit_offsets`` to
    ``solution.noise.refit``.
    """

    model: OffsetModel
    problem: Problem
    solution: Solution
    offsets: Offsets
    refit_offsets: Offsets | None = None


def fit_with_offsets(
    cells: Observations,
    *,
    alpha: float | str = 0.0,
    metric_power: float = 1.0,
    tol: float = 1e-8,
    warm_start: Any = None,
    callback: Callable[[dict[str, float]], Any] | None = None,
    max_iter: int | None = None,
    **settings: Any,
) -> OffsetFit:
    """Fit a matrix and offsets to observed cells.

    A positive alpha fits both jointly (see `OffsetModel`), with the certificate of the joint minimum. In the limit of a
    small alpha the matrix would explain everything, and penalised offsets would vanish. So alpha = 0 fits penalised
    offsets first, and then the matrix exactly to the data minus the offsets. "auto" alternates between two steps until
    alpha is stable: the square-root rule finds alpha from the data minus the offsets, and the joint fit at this alpha
    finds the offsets. The penalties on offsets are then estimated again from the joint refit.

    Parameters
    ----------
    cells : Observations
        The cells, with the penalties on their offsets.
    alpha, metric_power, tol, warm_start, callback, max_iter, **settings
        As in `flat_minimum`, for the matrix; settings are max_rank, seed and stop.

    Examples
    --------
    >>> from flatmin.estimators._completion.observations import Strengths
    >>> from flatmin.measurements import Entries
    >>> rows, columns = np.divmod(np.arange(30), 5)
    >>> values = 3 + rows - 2.0 * columns + (rows == columns)
    >>> cells = Observations(Entries(rows, columns, (6, 5)), values, Strengths(True, 0.0, 0.0))
    >>> found = fit_with_offsets(cells, alpha=0.01)
    >>> found.solution.rank, found.solution.status.name
    (4, 'regularized_minimum')
    """
    model, values = cells.model, cells.values
    shared = settings | {"metric_power": metric_power, "max_iter": max_iter}
    if isinstance(alpha, str) and alpha == "auto":
        return _from_noise(cells, {**shared, "tol": tol, "callback": callback})
    first = alpha == 0 and (model.rows or model.columns)
    offsets = model.fit(values) if first else None
    problem = model.problem(values) if offsets is None else model.rest(values, offsets)
    solution = flat_minimum(problem, alpha=alpha, tol=tol, warm_start=warm_start, callback=callback, **shared)
    return OffsetFit(model, problem, solution, offsets or cells.offsets(solution.factors))


def _from_noise(cells: Observations, shared: dict[str, Any]) -> OffsetFit:
    """Return the joint fit at the strength of the square-root rule, with its refit and noise level."""
    model, values = cells.model, cells.values
    if not (model.rows or model.columns) and model.freedom <= MAX_FREE_SHARE * model.entries.size:
        problem = model.problem(values)
        solution = flat_minimum(problem, alpha="auto", **shared)
        assert solution.noise is not None
        return _refitted(cells, problem, solution, solution.noise, shared["max_iter"])
    limits = Limits(**{name: value for name, value in shared.items() if name != "metric_power"})
    limits = replace(limits, tol=max(ROUND_TOL, limits.tol), callback=None)
    coarse: dict[str, Any] = {**shared, "tol": limits.tol, "callback": None}
    offsets, alpha, joint = model.fit(values), 0.0, None
    for _ in range(MAX_ROUNDS):
        rest = model.rest(values, offsets)
        noise = level_of_noise(Task(rest, 0.0, shared["metric_power"], limits=limits), limits.start())
        if noise.alpha == 0:
            return OffsetFit(model, rest, flat_minimum(rest, alpha="auto", **shared), offsets, offsets)
        settled, alpha = abs(noise.alpha - alpha) <= STRENGTH_CHANGE * noise.alpha, noise.alpha
        if settled:
            break
        model = cells.estimated(cells.without(noise.refit), start=None if model.slopes is None else model)
        problem = model.problem(values)
        joint = flat_minimum(problem, alpha=alpha, warm_start=_start(problem, joint), **coarse)
        offsets = model.fit(cells.without(joint.factors))
    problem = model.problem(values)
    solution = flat_minimum(problem, alpha=alpha, warm_start=_start(problem, joint), **shared)
    return _refitted(cells.like(model), problem, solution, noise, shared["max_iter"])


def _refitted(
    cells: Observations, problem: Problem, solution: Solution, noise: Noise, max_iter: int | None
) -> OffsetFit:
    """Return a joint fit with its refit, which starts from the refit of the noise."""
    factors = refit(problem, replace(solution, factors=noise.refit), max_iter=max_iter)
    model, offsets = cells.model, cells.offsets(factors)
    residual = model.rest(cells.values, offsets).residual(factors)
    noise = _with_offsets(noise, solution.rank, factors, residual, model.freedom)
    return OffsetFit(model, problem, replace(solution, noise=noise), cells.offsets(solution.factors), offsets)


def _start(problem: Problem, before: Solution | None) -> Solution | Factors | None:
    """Return the start of a solve: the last solution, or only its factors if the dual vector has another size now."""
    if before is None or before.duals[0].size == problem.measurement.size:
        return before
    return before.factors


def _with_offsets(noise: Noise, penalised_rank: int, factors: Factors, residual: Array, freedom: float) -> Noise:
    """Return the noise of a joint refit, corrected for the degrees of freedom of the offsets."""
    m, taken = len(residual), noise.freedom + round(freedom)
    sigma = error = None
    if taken < m:
        sigma = float(np.linalg.norm(residual) / np.sqrt(m - taken))
        error = sigma * relative_error(residual, m - taken)
    return replace(noise, sigma=sigma, std_error=error, refit=factors, penalised_rank=penalised_rank, freedom=taken)
