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
from flatmin.solvers.convex.scaling import INCONSISTENT, Scaled
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.factored.refine import project_data
from flatmin.solvers.task import Task, status_of

__all__ = ["convex_minimum", "packed", "working_memory"]

#: The data count as fitted by no positive semidefinite matrix if the best one has a relative residual above this.
UNFIT_RESIDUAL = 1e-4
#: Largest number of bytes of an explicit derivative. The derivative of `Entries` is never formed.
JACOBIAN_BYTES = 1.2e9
#: Number of copies of `Entries` that a solve holds in memory.
ENTRIES_COPIES = 3.0
#: Number of blocks of singular vectors that a solve holds in memory.
COLUMN_BLOCKS = 12
#: Number of singular vectors that the first search computes.
FIRST_COLUMNS = 30
#: Largest side of a matrix that certificates form as a dense array.
LARGEST_FORMED = 2000


def convex_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flat minimum of a `Product`, `Gram` or `SignedGram` model, certified.

    If no matrix fits the data, the data are replaced by the nearest data that some matrix fits. If some matrix fits the
    data, but the cone demands a positive semidefinite one and none fits, the best semidefinite fit is returned.
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
                if distance > UNFIT_RESIDUAL and not narrow:
                    consistent, scaled, outcome = False, plain, fit
    return packed(task, clock, scaled, outcome, consistent)


def packed(task: Task, clock: Clock, scaled: Scaled, outcome: Outcome, consistent: bool = True) -> Solution:
    """Return the outcome of a solve as a solution with its certificate."""
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

    For `Entries`, a solve holds sorted copies, a few blocks of singular vectors, and a small matrix for each row of the
    factors. The rank of the factors is not known in advance: it is assumed to be moderate, and at most ``widest``.
    """
    (d1, d2), m = problem.shape, problem.measurement.size
    smaller, columns = min(d1, d2), 8.0 * (d1 + d2)
    if not isinstance(problem.measurement, Entries):
        jacobian = min(columns * m * smaller, JACOBIAN_BYTES)
        return jacobian + 24.0 * min(smaller, 8000) ** 2 + problem.measurement.nbytes
    k = min(FIRST_COLUMNS, smaller, 1 + m // (d1 + d2), widest or FIRST_COLUMNS)
    certificate = 24.0 * smaller**2 if smaller <= LARGEST_FORMED else 0.0
    return ENTRIES_COPIES * 24.0 * m + columns * (COLUMN_BLOCKS * min(FIRST_COLUMNS, smaller) + k**2) + certificate
