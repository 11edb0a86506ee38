"""Joint fits of a matrix and offsets, exact, at a given strength, or at the strength of the noise."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Limits
from flatmin.measurements.entries import Entries
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Noise, Solution
from flatmin.solvers import flat_minimum, refit
from flatmin.solvers.noise.pivotal import level_of_noise
from flatmin.solvers.noise.spread import relative_error
from flatmin.solvers.offsets.offsets import OffsetModel, Offsets
from flatmin.solvers.task import Task

__all__ = ["OffsetFit", "fit_with_offsets"]

#: The strength is settled when it changes less than this, relatively; at most so many rounds are made …
SETTLED, ROUNDS = 0.01, 6
#: … whose solves end at this gap.
COARSE = 1e-4
#: Offsets that nothing penalises, with at most this share of the degrees of freedom of the data, leave noise as it is.
FEW = 0.05


@dataclass(frozen=True, eq=False)
class OffsetFit:
    """A matrix with its offsets.

    Attributes
    ----------
    model : OffsetModel
        The offsets there are, and their strengths.
    problem : Problem
        What `solution` solves.
    solution : Solution
        X, with the certificate of the joint fit. With ``alpha=0`` that of the exact fit of what the offsets leave.
    offsets : Offsets
        Those that belong to X.
    refit_offsets : Offsets or None
        Those that belong to ``solution.noise.refit``, where there is one.
    """

    model: OffsetModel
    problem: Problem
    solution: Solution
    offsets: Offsets
    refit_offsets: Offsets | None = None


def fit_with_offsets(
    entries: Entries,
    values: Any,
    *,
    constant: bool = True,
    rows: Any = "auto",
    columns: Any = "auto",
    alpha: float | str = 0.0,
    metric_power: float = 1.0,
    max_rank: int | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    warm_start: Any = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
    stop: str = "gap",
) -> OffsetFit:
    """Fit a matrix and offsets to observed entries.

    With a positive strength both are fitted jointly (see `OffsetModel`), and the certificate is that of the joint
    minimum. As the strength falls to zero a matrix explains everything, and penalised offsets vanish; so with strength
    zero such offsets are fitted first, and the matrix fits exactly what they leave. With "auto" the square-root rule is
    asked for the strength on what the offsets leave, and the joint fit at that strength for the offsets, in turn, until
    the strength stays; strengths of offsets are then estimated again beside the refit, which is a joint one.

    Parameters
    ----------
    entries : Entries
        Where the observations are; their weights are the roots of those of the squared residuals.
    values : array_like, shape (m,)
        The observed values, not multiplied by weights.
    constant, rows, columns
        Which offsets there are and how strongly they are pulled to zero, as in `OffsetModel.estimated`.
    alpha, metric_power, max_rank, tol, max_iter, warm_start, seed, callback, stop
        As in `flat_minimum`; they concern the matrix.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> rows, columns = np.divmod(np.arange(30), 5)
    >>> values = 3 + rows - 2.0 * columns + (rows == columns)
    >>> found = fit_with_offsets(Entries(rows, columns, (6, 5)), values, rows=0.0, columns=0.0, alpha=0.01)
    >>> found.solution.rank, found.solution.status.name
    (4, 'regularized_minimum')
    """
    kinds = {"constant": constant, "rows": rows, "columns": columns}
    model = OffsetModel.estimated(entries, values, **kinds)
    shared: dict[str, Any] = {"metric_power": metric_power, "max_rank": max_rank, "max_iter": max_iter, "seed": seed}
    shared |= {"stop": stop}
    if isinstance(alpha, str) and alpha == "auto":
        return _from_noise(model, values, kinds, {**shared, "tol": tol, "callback": callback})
    first = alpha == 0 and (model.rows or model.columns)
    offsets = model.fit(values) if first else None
    problem = model.problem(values) if offsets is None else model.rest(values, offsets)
    solution = flat_minimum(problem, alpha=alpha, tol=tol, warm_start=warm_start, callback=callback, **shared)
    return OffsetFit(model, problem, solution, offsets or _beside(model, values, solution.factors))


def _beside(model: OffsetModel, values: Any, factors: Factors) -> Offsets:
    """Return the offsets for a given matrix."""
    return model.fit(_without(model.entries, values, factors))


def _without(entries: Entries, values: Any, factors: Factors) -> Array:
    """Return values minus the entries of a matrix."""
    plain = Entries(entries.rows, entries.cols, entries.shape)
    return np.asarray(np.asarray(values, dtype=float) - plain.forward_factors(*factors))


def _from_noise(model: OffsetModel, values: Any, kinds: dict[str, Any], shared: dict[str, Any]) -> OffsetFit:
    """Return the joint fit at the strength of the square-root rule, its refit, and the estimates of the noise."""
    if not (model.rows or model.columns) and model.freedom <= FEW * model.entries.size:
        problem = model.problem(values)
        solution = flat_minimum(problem, alpha="auto", **shared)
        return _refitted(model, values, problem, solution, _noise_of(solution), shared["max_iter"])
    coarse: dict[str, Any] = {**shared, "tol": max(COARSE, shared["tol"]), "callback": None}
    limits = Limits(**{name: value for name, value in coarse.items() if name != "metric_power"})
    offsets, alpha, joint = model.fit(values), 0.0, None
    for _ in range(ROUNDS):
        rest = model.rest(values, offsets)
        noise = level_of_noise(Task(rest, 0.0, shared["metric_power"], limits=limits), limits.start())
        if noise.alpha == 0:
            return OffsetFit(model, rest, flat_minimum(rest, alpha="auto", **shared), offsets, offsets)
        settled, alpha = abs(noise.alpha - alpha) <= SETTLED * noise.alpha, noise.alpha
        if settled:
            break
        model = OffsetModel.estimated(model.entries, _without(model.entries, values, noise.refit), **kinds)
        problem = model.problem(values)
        joint = flat_minimum(problem, alpha=alpha, warm_start=_start(problem, joint), **coarse)
        offsets = _beside(model, values, joint.factors)
    problem = model.problem(values)
    solution = flat_minimum(problem, alpha=alpha, warm_start=_start(problem, joint), **shared)
    return _refitted(model, values, problem, solution, noise, shared["max_iter"])


def _refitted(
    model: OffsetModel, values: Any, problem: Problem, solution: Solution, noise: Noise, max_iter: int | None
) -> OffsetFit:
    """Return a joint fit with its refit, which starts from that of the noise."""
    factors = refit(problem, replace(solution, factors=noise.refit), max_iter=max_iter)
    beside = _beside(model, values, factors)
    noise = _with_offsets(noise, solution.rank, factors, model.rest(values, beside).residual(factors), model.freedom)
    return OffsetFit(model, problem, replace(solution, noise=noise), _beside(model, values, solution.factors), beside)


def _start(problem: Problem, before: Solution | None) -> Solution | Factors | None:
    """Return the start of a problem. A dual vector fits if the same kinds of offsets are penalised."""
    if before is None or before.certificate.dual.size == problem.measurement.size:
        return before
    return before.factors


def _noise_of(solution: Solution) -> Noise:
    assert solution.noise is not None
    return solution.noise


def _with_offsets(noise: Noise, penalised_rank: int, factors: Factors, residual: Array, freedom: float) -> Noise:
    """Return the estimates of the noise with the degrees of freedom of the offsets."""
    m, taken = len(residual), noise.freedom + round(freedom)
    sigma = error = None
    if taken < m:
        sigma = float(np.linalg.norm(residual) / np.sqrt(m - taken))
        error = sigma * relative_error(residual, m - taken)
    return replace(noise, sigma=sigma, std_error=error, refit=factors, penalised_rank=penalised_rank, freedom=taken)
