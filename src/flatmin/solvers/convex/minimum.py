"""Flat minima by the convex programme ``min ‖D1 X D2‖_*  s.t.  A(X) = b`` in a model's cone, or its penalised form."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np

from flatmin._core.limits import Clock
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin.measurements import Entries
from flatmin.problem import Problem
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.solution import Solution
from flatmin.solvers.convex.refine import project_data
from flatmin.solvers.convex.scaling import INCONSISTENT, Scaled
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.task import Task, status_of

__all__ = ["convex_minimum", "packed", "working_memory"]

#: Relative residual of the best positive semidefinite fit above which no such matrix fits the data.
UNFIT = 1e-4
#: Bytes up to which a derivative is formed; that of `Entries` never is.
JACOBIAN = 1.2e9
#: Copies of `Entries` in memory.
COPIES = 3.0
#: Blocks of columns in memory, and the columns of the first search.
BLOCKS = 12
SEARCHED = 30
#: Largest side of a matrix that certificates form.
FORMED = 2000


def convex_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flat minimum of a `Product`, `Gram` or `SignedGram` model, certified.

    If no matrix fits the data, the nearest data that some matrix fits replace them. If some matrix does but no positive
    semidefinite one, the best semidefinite fit is returned.
    """
    require(working_memory(task.problem, task.max_rank), "solving this problem")
    with _threads_for(task.problem):
        return _convex_minimum(task, clock)


def _threads_for(problem: Problem) -> AbstractContextManager[None]:
    """Return a context with one thread for sparse maps, whose matrices are all small."""
    return one_thread() if isinstance(problem.measurement, Entries) else nullcontext()


def _convex_minimum(task: Task, clock: Clock) -> Solution:
    problem, alpha = task.problem, task.alpha
    limits = replace(task.limits, max_rank=task.max_rank)
    scaled = Scaled.from_problem(problem, task.metric_power, limits.seed, weighted=alpha == 0)
    start = None if task.warm_start is None else scaled.start(problem, task.warm_start)
    consistent = alpha > 0 or not scaled.contradictory
    if scaled.size == 0:
        consistent = alpha > 0 or not (scaled.contradictory or np.any(scaled.b))
        outcome = Outcome.zero(problem.shape, scaled.b)
    else:
        outcome = scaled.solve(clock, limits, start, alpha)
        if alpha == 0 and not outcome.converged and not clock.exhausted:
            projected, distance = project_data(scaled.model, scaled.b)
            if distance > INCONSISTENT:
                consistent = False
                nothing = Outcome.zero(problem.shape, projected)
                outcome = scaled.solve(clock, limits, None, alpha, projected) if projected.any() else nothing
            elif problem.parametrization.cone.is_semidefinite:
                plain = Scaled.from_problem(problem, task.metric_power, limits.seed, weighted=False)
                fit, distance = plain.best_fit(clock, limits)
                narrow = task.max_rank is not None and len(fit.s) >= task.max_rank  # a wider one might fit
                if distance > UNFIT and not narrow:
                    consistent, scaled, outcome = False, plain, fit
    return packed(task, clock, scaled, outcome, consistent)


def packed(task: Task, clock: Clock, scaled: Scaled, outcome: Outcome, consistent: bool = True) -> Solution:
    """Return the solution, with its certificate, at the end of a solve."""
    problem, model, alpha = task.problem, task.problem.parametrization, task.alpha
    with _threads_for(problem):
        factors = model.flattest(outcome.U, scaled.to_z * outcome.s, outcome.V, scaled.metric)
        factors = model.flattest(*model.singular(factors, problem.metric), problem.metric)
        dual, seed = scaled.original_dual(outcome.y, alpha), task.limits.seed
        proof = certificate_of(problem, factors, dual, alpha=alpha, metric_power=task.metric_power, seed=seed)
        status = status_of(proof, clock, consistent=consistent, converged=outcome.converged)
        return task.solution(clock, factors, proof, status, outcome.history)


def working_memory(problem: Problem, widest: int | None = None) -> float:
    """Return a rough upper estimate, in bytes, of the memory of a solve, without the measurements.

    Of `Entries` it holds sorted copies, a few blocks of columns and a small matrix for each row of the factors. Their
    rank, at most ``widest``, is not known in advance and taken for moderate.
    """
    (d1, d2), m = problem.shape, problem.measurement.size
    smaller, columns = min(d1, d2), 8.0 * (d1 + d2)
    if not isinstance(problem.measurement, Entries):
        jacobian = min(columns * m * smaller, JACOBIAN)
        return jacobian + 24.0 * min(smaller, 8000) ** 2 + problem.measurement.nbytes
    k = min(SEARCHED, smaller, 1 + m // (d1 + d2), widest or SEARCHED)
    certificate = 24.0 * smaller**2 if smaller <= FORMED else 0.0
    return COPIES * 24.0 * m + columns * (BLOCKS * min(SEARCHED, smaller) + k**2) + certificate
