"""The flattest solution of a problem, with its proof."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from flatmin._memory import require
from flatmin.certificates import Certificate, certificate_of, check_strength
from flatmin.errors import InputError
from flatmin.flatness import flatness
from flatmin.parametrizations import Chain, Hadamard, Parametrization
from flatmin.problem import Problem
from flatmin.solution import Solution, Status
from flatmin.solvers.augmented_lagrangian import Options, Outcome
from flatmin.solvers.chain import chain_minimum
from flatmin.solvers.hadamard import hadamard_minimum
from flatmin.solvers.newton import Budget
from flatmin.solvers.refine import project_data
from flatmin.solvers.scaling import INCONSISTENT, Scaled

__all__ = ["expect_defaults", "flat_minimum"]


def flat_minimum(
    problem: Problem,
    *,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    max_rank: int | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    time_limit: float | None = None,
    warm_start: Any = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> Solution:
    """Return the flattest interpolating solution, certified; no rank, step size or initialization is needed.

    Parameters
    ----------
    problem : Problem
        A `Product` model over any real measurement map.
    alpha : float
        0 fits the data exactly; a positive value minimises ``loss + alpha · scaled trace`` instead.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``, from 0 (nuclear norm) to 1 (flat).
    max_rank : int, optional
        The largest rank allowed; below the rank of the flat minimum nothing can be certified.
    tol : float
        Target for the relative residual and the relative duality gap.
    max_iter : int, optional
        The largest number of Newton steps.
    time_limit : float, optional
        Seconds after which the search ends; the certificate of the best solution so far takes its time on top.
    warm_start : Solution or tuple of ndarray, optional
        A solution of a similar problem, or factors, to start from.
    seed : int
        Starts the Lanczos iterations; the solution does not depend on it beyond rounding.
    callback : callable, optional
        Called after each round with a dict of iteration, seconds, residual, gap and rank.

    Returns
    -------
    Solution
        Its certificate says what is proved, its status what to do next.

    Raises
    ------
    InputError
        If an argument is out of range, the warm start does not fit, or memory would not suffice.

    Notes
    -----
    While it searches, BLAS is limited to one thread, which is faster at these sizes; the limit concerns the process.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    >>> s = fm.flat_minimum(instance.problem)
    >>> s.status.name, s.rank, bool(abs(s.matrix - instance.truth).max() < 1e-7)
    ('unique_flat_minimum', 1, True)
    """
    _check(problem, max_rank, tol, max_iter, time_limit, seed)
    alpha, metric_power = check_strength(alpha, metric_power)
    require(_working_memory(problem), "solving this problem")
    model = problem.parametrization
    budget = Budget(max_iter, time_limit)
    settings = {
        "alpha": alpha,
        "metric_power": metric_power,
        "max_rank": None if max_rank is None else int(max_rank),
        "tol": float(tol),
        "max_iter": None if max_iter is None else int(max_iter),
        "time_limit": None if time_limit is None else float(time_limit),
        "seed": int(seed),
    }
    if isinstance(model, Hadamard | Chain):
        expect_defaults(model, alpha=alpha, metric_power=metric_power, max_rank=max_rank, warm_start=warm_start)
        if isinstance(model, Hadamard):
            return hadamard_minimum(problem, budget, callback, settings)
        solve = partial(flat_minimum, tol=tol, max_iter=max_iter, time_limit=time_limit, seed=seed, callback=callback)
        return chain_minimum(problem, solve, budget, settings)
    options = Options(float(tol), getattr(model, "rank", None) if max_rank is None else max_rank, int(seed), callback)
    scaled = Scaled.of(problem, metric_power, options.seed)
    start = None if warm_start is None else scaled.start(problem, warm_start)
    consistent = alpha > 0 or not scaled.contradictory
    if scaled.size == 0:
        outcome = Outcome.zero(problem.shape, scaled.b)
    else:
        outcome = scaled.solve(budget, options, start, alpha)
        if alpha == 0 and not outcome.converged and not budget.exhausted:
            projected, distance = project_data(scaled.model, scaled.b)
            if distance > INCONSISTENT:
                consistent = False
                outcome = scaled.solve(budget, options, None, alpha, projected)
    factors = model.flattest(outcome.U, scaled.to_z * outcome.s, outcome.V, scaled.metric)
    factors = model.flattest(*model.singular(factors, problem.metric), problem.metric)
    dual = scaled.original_dual(outcome.y, alpha)
    proof = certificate_of(problem, factors, dual, alpha=alpha, metric_power=metric_power, seed=options.seed)
    return Solution(
        factors=factors,
        status=_status(proof, consistent, outcome, budget, alpha),
        certificate=proof,
        flatness=flatness(problem, factors),
        history={name: np.array(values) for name, values in outcome.history.items()},
        seconds=budget.seconds,
        iterations=budget.iterations,
        undetermined=(problem.metric[0].undetermined, problem.metric[1].undetermined),
        parametrization=problem.parametrization,
        settings=settings,
    )


def _status(proof: Certificate, consistent: bool, outcome: Outcome, budget: Budget, alpha: float) -> Status:
    if not consistent:
        return Status.inconsistent_data
    if proof.holds and alpha > 0:
        return Status.regularized_minimum
    if proof.holds:
        return Status.unique_flat_minimum if proof.unique else Status.flat_minimum
    if not outcome.converged and budget.exhausted:
        return Status.time_limit if budget.out_of_time else Status.iteration_limit
    return Status.not_certified


def _working_memory(problem: Problem) -> float:
    """Return a rough upper estimate, in bytes, of what the solver will hold beside the measurements."""
    d1, d2 = problem.shape
    jacobian = min(8 * problem.measurement.size * (d1 + d2) * min(d1, d2), 1.2e9)
    certificate = 24.0 * min(d1, d2, 8000) ** 2
    return jacobian + certificate + problem.measurement.nbytes


def expect_defaults(
    model: Parametrization,
    *,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    max_rank: int | None = None,
    warm_start: Any = None,
) -> None:
    """Raise `InputError` if an argument is set that means nothing for a model whose solver is direct."""
    for name, value, default in (("alpha", alpha, 0), ("metric_power", metric_power, 1), ("max_rank", max_rank, None)):
        if value != default:
            raise InputError(f"{name} is {value!r}, expected its default {default!r} for {model!r}")
    if warm_start is not None:
        raise InputError(f"a warm start was given, expected none for {model!r}, whose solver needs no start")


def _check(
    problem: Problem, max_rank: int | None, tol: float, max_iter: int | None, time_limit: float | None, seed: int
) -> None:
    if not isinstance(problem, Problem):
        raise InputError(f"problem is a {type(problem).__name__}, expected a flatmin Problem")
    if not isinstance(tol, int | float | np.number) or not 1e-14 <= tol <= 1:
        raise InputError(f"tol is {tol!r}, expected a number from 1e-14 to 1")
    if time_limit is not None and (not isinstance(time_limit, int | float | np.number) or not time_limit >= 0):
        raise InputError(f"time_limit is {time_limit!r}, expected a number of at least 0")
    for name, count, least in (("max_rank", max_rank, 1), ("max_iter", max_iter, 0), ("seed", seed, 0)):
        if (count is None and name != "seed") or (isinstance(count, int | np.integer) and count >= least):
            continue
        raise InputError(f"{name} is {count!r}, expected a whole number of at least {least}")
