"""Solver of robust PCA: a flat low-rank part, gross errors in some observed cells, and noise in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin.losses import Absolute
from flatmin.measurements import Entries
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate, check_strength
from flatmin.proofs.robust.certificate import Grid, gross_errors, robust_certificate
from flatmin.solution import Solution, Status
from flatmin.solvers.robust.pursuit import Corrupted, Pursuit, pursue, shortcut
from flatmin.solvers.task import Task, status_of

__all__ = ["ObservedBlock", "packed_split", "robust_minimum", "robust_solution", "split", "spread"]

#: Largest number of rounds if the user sets no limit.
MOST_ROUNDS = 5000
#: Number of matrices of the size of the data that a solve is estimated to hold in memory.
MATRICES_IN_MEMORY = 20
#: Entries larger than this multiple of the median size are reduced to this size during a solve.
EXTREME_MEDIANS = 1000.0
#: A reduced entry gets its own size back if its error is at most this share of the reduced size.
MIN_EXTREME_ERROR = 1e-6
#: Largest number of solves with reduced entries.
MAX_ATTEMPTS = 3
#: Largest number of rounds of a solve with reduced entries.
MAX_ATTEMPT_ROUNDS = 300
#: Relative distance from its bound within which a dual value counts as at the bound.
AT_BOUND = 1e-9
#: Certified gap, in units of the tolerance, above which the pursuit is repeated because it ended too early.
GAP_TOLERANCES = 3.0


def robust_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flattest low-rank part of data with gross errors, certified.

    With alpha > 0 the data contain dense noise too, and the solution minimises
    ``(1/m) ‖Y − X − S‖² + 4 alpha (‖X‖_* + weight · ‖S‖_1)`` over X and S, or the form with ``‖S‖_1 ≤ τ``. The norms of
    residual and errors count the m observed cells.
    """
    task.expect_defaults("metric_power")
    with one_thread():
        solution, converged = _judged(task, clock)
        near = abs(solution.checked_certificate.relative_gap) <= GAP_TOLERANCES * task.limits.tol
        if not converged or near or solution.rank == task.max_rank or clock.exhausted:
            return solution
        # The pursuit underestimated the norm of the dual matrix, and ended too early.
        again, _ = _judged(replace(task, warm_start=solution), clock)
    if again.checked_certificate.relative_gap > solution.checked_certificate.relative_gap:
        return solution
    history = {name: np.concatenate([solution.history[name], values]) for name, values in again.history.items()}
    return replace(again, history=history)


def _judged(task: Task, clock: Clock) -> tuple[Solution, bool]:
    """Return the certified result of a pursuit, and whether the pursuit converged."""
    cells = ObservedBlock.from_problem(task.problem)
    found = split(cells, task, clock, _start(cells, task))
    # To save memory: the problem has another copy of the data, and the dual matrix is zero in missing cells.
    found, cells = cells.seen_of(found), replace(cells, Y=cells.Y[:0].copy())
    return packed_split(task, clock, cells, found), found.converged


def packed_split(task: Task, clock: Clock, cells: ObservedBlock, found: Pursuit) -> Solution:
    """Return the solution, with its certificate, of a pursuit that `ObservedBlock.seen_of` has returned."""
    problem = task.problem
    U, s, V = (part[..., : task.max_rank] for part in found.triplets)
    U, V = spread(U, cells.grid.rows), spread(V, cells.grid.cols)
    factors = problem.parametrization.flattest(U, cells.unit * s, V, problem.metric)
    proof = robust_certificate(problem, factors, found.W, alpha=task.alpha, seed=task.limits.seed)
    status = status_of(proof, clock, converged=found.converged)
    return robust_solution(task, clock, factors, proof, status, found.history)


def robust_solution(
    task: Task, clock: Clock, factors: Factors, proof: Certificate, status: Status, history: Mapping[str, Any]
) -> Solution:
    """Return factors as a solution with the gross errors and the unobserved rows and columns."""
    counts = task.problem.measurement.gram_diagonals()
    sparse = gross_errors(task.problem, factors, task.alpha)
    solution = task.solution(clock, factors, proof, status, history, sparse=sparse)
    return replace(solution, undetermined=(np.flatnonzero(counts[0] == 0), np.flatnonzero(counts[1] == 0)))


@dataclass(frozen=True, eq=False)
class ObservedBlock:
    """The observed rows and columns of the data, in a unit in which the largest entry is one."""

    Y: Array
    grid: Grid
    unit: float

    @classmethod
    def from_problem(cls, problem: Problem) -> ObservedBlock:
        """Return the block of a problem, or raise `InputError` if it does not fit in memory."""
        require(8.0 * MATRICES_IN_MEMORY * problem.shape[0] * problem.shape[1], "splitting this matrix")
        assert isinstance(problem.measurement, Entries)
        grid, data = Grid.from_entries(problem.measurement), problem.data
        unit = float(max(data.max(), -data.min())) or 1.0
        return cls(grid.matrix(data / unit), grid, unit)

    def seen_of(self, found: Pursuit) -> Pursuit:
        """Return a pursuit whose dual matrix is replaced by the vector of its values in the observed cells."""
        return replace(found, W=self.grid.values(found.W))


def split(
    cells: ObservedBlock,
    task: Task,
    clock: Clock,
    start: tuple[Array, Array] | None,
    *,
    tol: float | None = None,
    most: float = np.inf,
) -> Pursuit:
    """Run the pursuit, from a matrix and a dual matrix if given, with extreme entries reduced in size.

    X and W depend only on the sign of an error, not on its size, and data of similar sizes are easier to split. Entries
    that turn out not to be errors get their own size back, and the pursuit is repeated.
    """
    loss = task.problem.loss
    assert isinstance(loss, Absolute)
    history: dict[str, list[float]] = {}
    limit, reduced = _extreme(cells.Y)
    noise = 2 * task.alpha * len(task.problem.data) / cells.unit
    check_strength(2 * task.alpha * len(task.problem.data), cells.unit * limit)
    if loss.tau is not None and float((np.abs(cells.Y[reduced]) - limit).sum()) > loss.tau / cells.unit:
        reduced[:] = False
    for attempt in range(1, MAX_ATTEMPTS + 2):
        Y = np.where(reduced, np.copysign(limit, cells.Y), cells.Y) if reduced.any() else cells.Y
        tau = None if loss.tau is None else loss.tau / cells.unit - float(np.abs(cells.Y - Y)[reduced].sum())
        data = Corrupted(Y, cells.grid.seen, loss.weight_for(task.problem.shape), tau, noise)
        goal = task.limits.tol if tol is None else tol
        quick = known = None
        if start is None and data.weight is not None and noise == 0:
            quick, known = shortcut(data, clock, goal, seed=task.limits.seed, callback=task.limits.callback)
        found = quick or pursue(
            data,
            clock,
            goal,
            start=start,
            attempt=known,
            most=min(most, MAX_ATTEMPT_ROUNDS) if reduced.any() else most,
            seed=task.limits.seed,
            callback=task.limits.callback,
        )
        for name, values in found.history.items():
            history.setdefault(name, []).extend(values)
        mistaken = _mistaken(reduced, Y, found, limit) if reduced.any() else reduced
        if clock.exhausted or not (mistaken.any() or (reduced.any() and not found.converged)):
            break
        reduced &= ~mistaken & (attempt < MAX_ATTEMPTS) & found.converged
    return replace(found, history=history, converged=found.converged and not mistaken.any())


def _extreme(Y: Array) -> tuple[float, Array]:
    """Return the size to which extreme entries are reduced, and the mask of these entries."""
    sizes = np.abs(Y).ravel()
    positive = np.count_nonzero(sizes)
    if not positive:
        return 1.0, np.zeros(Y.shape, bool)
    middle = len(sizes) - positive + (positive - 1) // 2
    sizes.partition(middle)
    limit = EXTREME_MEDIANS * float(sizes[middle])
    if limit >= 1:  # the largest entry
        return limit, np.zeros(Y.shape, bool)
    return limit, np.abs(Y) > limit


def _mistaken(reduced: Array, Y: Array, found: Pursuit, limit: float) -> Array:
    """Return which of the reduced entries turn out not to be errors of the same sign as the entry."""
    U, s, V = found.triplets
    signs, most = np.sign(Y), float(np.max(np.abs(found.W)))
    left = (Y - (U * s) @ V.T) * signs
    return np.asarray(reduced & ((left <= MIN_EXTREME_ERROR * limit) | (found.W * signs < (1 - AT_BOUND) * most)))


def _start(cells: ObservedBlock, task: Task) -> tuple[Array, Array] | None:
    """Return the matrix and the dual matrix of a warm start."""
    warm, problem = task.warm_start, task.problem
    if warm is None:
        return None
    factors = problem.parametrization.check(warm.factors if isinstance(warm, Solution) else warm, problem.shape)
    L, R = factors
    W = np.zeros_like(cells.Y)
    if isinstance(warm, Solution) and warm.duals[0].shape == problem.data.shape:
        W = cells.grid.matrix(warm.duals[0])
    return (L[cells.grid.rows] @ R[cells.grid.cols].T) / cells.unit, W


def spread(U: Array, seen: Array) -> Array:
    """Return the rows of U at the places where ``seen`` is true, with rows of zeros elsewhere."""
    out = np.zeros((len(seen), U.shape[1]))
    out[seen] = U
    return out
