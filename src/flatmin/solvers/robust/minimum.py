"""Flat solutions of robust PCA: low rank plus gross errors in some of the observed cells, and noise in all of them."""

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
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.robust.certificate import Grid, dense_part, misfit, robust_certificate
from flatmin.solution import Solution, Status
from flatmin.solvers.robust.pursuit import Corrupted, Pursuit, pursue, shortcut
from flatmin.solvers.task import Task, status_of

__all__ = ["Cells", "packed_split", "robust_minimum", "robust_solution", "split", "spread"]

#: The limit on rounds where the user sets none.
MOST_ROUNDS = 5000
#: Matrices of the size of the data that the search and the certificate hold.
MATRICES = 20
#: Entries this many times larger than a typical one are solved for as if they were of this size.
EXTREME = 1000.0
#: … if they are errors of at least this share of that size; so often is it tried to tell which are, in so many rounds.
SURE, ATTEMPTS, FEW = 1e-6, 3, 300
#: … and if their dual values are at their bound but for this share.
AT_BOUND = 1e-9
#: A certified gap of this many times the tolerance is near enough to what the pursuit took it for.
ENOUGH = 3.0
#: Errors below this, relative to the largest entry, are rounding.
ROUNDING = 1e-10


def robust_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flattest low-rank part of data with gross errors, certified.

    With alpha > 0 there is dense noise beside the errors: the solution minimises, over X and S,
    ``(1/m) ‖Y − X − S‖² + 4 alpha (‖X‖_* + weight · ‖S‖_1)``, or with τ
    ``(1/m) ‖Y − X − S‖² + 4 alpha ‖X‖_*`` where ``‖S‖_1 ≤ τ``; the norms are those of the m observed cells.

    Parameters
    ----------
    task : Task
        Of a problem whose loss is `Absolute`.
    clock : Clock
        Shared with the caller.
    """
    task.expect_defaults("metric_power")
    with one_thread():
        solution, converged = _judged(task, clock)
        near = abs(solution.certificate.relative_gap) <= ENOUGH * task.limits.tol
        if not converged or near or solution.rank == task.max_rank or clock.exhausted:
            return solution
        # The norm of the dual matrix is more than it was taken for, so that the pursuit ended too early.
        again, _ = _judged(replace(task, warm_start=solution), clock)
    if again.certificate.relative_gap > solution.certificate.relative_gap:
        return solution
    history = {name: np.concatenate([solution.history[name], values]) for name, values in again.history.items()}
    return replace(again, history=history)


def _judged(task: Task, clock: Clock) -> tuple[Solution, bool]:
    """Return the end of a pursuit with its certificate, and whether the pursuit took it for the optimum."""
    cells = Cells.of(task.problem)
    found = split(cells, task, clock, _start(cells, task))
    # The data are there once more, in the problem, and what the dual matrix has elsewhere is zero.
    found, cells = cells.seen_of(found), replace(cells, Y=cells.Y[:0].copy())
    return packed_split(task, clock, cells, found), found.converged


def packed_split(task: Task, clock: Clock, cells: Cells, found: Pursuit) -> Solution:
    """Return the end of a pursuit, with its dual matrix as `Cells.seen_of` makes it, and its certificate."""
    problem = task.problem
    U, s, V = (part[..., : task.max_rank] for part in found.triplets)
    U, V = spread(U, cells.rows), spread(V, cells.cols)
    factors = problem.parametrization.flattest(U, cells.unit * s, V, problem.metric)
    proof = robust_certificate(problem, factors, found.W, alpha=task.alpha, seed=task.limits.seed)
    status = status_of(proof, clock, converged=found.converged)
    return robust_solution(task, clock, factors, proof, status, found.history)


def robust_solution(
    task: Task, clock: Clock, factors: Factors, proof: Certificate, status: Status, history: Mapping[str, Any]
) -> Solution:
    """Return the solution that factors make: with the gross errors, and what is seen in no cell."""
    counts = task.problem.measurement.gram_diagonals()
    solution = task.solution(clock, factors, proof, status, history, sparse=_errors(task.problem, factors, task.alpha))
    return replace(solution, undetermined=(np.flatnonzero(counts[0] == 0), np.flatnonzero(counts[1] == 0)))


@dataclass(frozen=True, eq=False)
class Cells:
    """The data on the rows and columns that are seen at all, in a unit in which entries are one at most."""

    Y: Array
    grid: Grid
    unit: float

    @classmethod
    def of(cls, problem: Problem) -> Cells:
        """Return the cells of a problem, or refuse it if they do not fit in memory."""
        require(8.0 * MATRICES * problem.shape[0] * problem.shape[1], "splitting this matrix")
        assert isinstance(problem.measurement, Entries)
        grid, data = Grid.of(problem.measurement), problem.data
        unit = float(max(data.max(), -data.min())) or 1.0
        return cls(grid.matrix(data / unit), grid, unit)

    @property
    def seen(self) -> Array | None:
        """Where a cell is observed; None if all are."""
        return self.grid.seen

    def seen_of(self, found: Pursuit) -> Pursuit:
        """Return a pursuit whose dual matrix is a vector, its entries where the data are."""
        return replace(found, W=self.grid.values(found.W))

    @property
    def rows(self) -> Array:
        """Which rows are seen at all."""
        return self.grid.rows

    @property
    def cols(self) -> Array:
        """Which columns are seen at all."""
        return self.grid.cols


def split(
    cells: Cells,
    task: Task,
    clock: Clock,
    start: tuple[Array, Array] | None,
    *,
    tol: float | None = None,
    most: float = np.inf,
) -> Pursuit:
    """Pursue from a matrix and a dual matrix, with extreme entries drawn in.

    How large an error is does not matter to X and W, only that it is an error of that sign; and data on one scale are
    easier to split. Entries that turn out to be no such errors get their own size back.
    """
    loss = task.problem.loss
    assert isinstance(loss, Absolute)
    history: dict[str, list[float]] = {}
    limit, drawn = _extreme(cells.Y)
    noise = 2 * task.alpha * len(task.problem.data) / cells.unit
    if loss.tau is not None and float((np.abs(cells.Y[drawn]) - limit).sum()) > loss.tau / cells.unit:
        drawn[:] = False
    for attempt in range(1, ATTEMPTS + 2):
        Y = np.where(drawn, np.copysign(limit, cells.Y), cells.Y) if drawn.any() else cells.Y
        tau = None if loss.tau is None else loss.tau / cells.unit - float(np.abs(cells.Y - Y)[drawn].sum())
        data = Corrupted(Y, cells.seen, loss.weight_for(task.problem.shape), tau, noise)
        goal = task.limits.tol if tol is None else tol
        quick = known = None
        if start is None and data.is_exact:
            quick, known = shortcut(data, clock, goal, seed=task.limits.seed, callback=task.limits.callback)
        found = quick or pursue(
            data,
            clock,
            goal,
            start=start,
            attempt=known,
            most=min(most, FEW) if drawn.any() else most,
            seed=task.limits.seed,
            callback=task.limits.callback,
        )
        for name, values in found.history.items():
            history.setdefault(name, []).extend(values)
        mistaken = _mistaken(drawn, Y, found, limit) if drawn.any() else drawn
        if clock.exhausted or not (mistaken.any() or (drawn.any() and not found.converged)):
            break
        drawn &= ~mistaken & (attempt < ATTEMPTS) & found.converged
    return replace(found, history=history, converged=found.converged and not mistaken.any())


def _extreme(Y: Array) -> tuple[float, Array]:
    """Return the size beyond which entries are drawn in, and which these are."""
    sizes = np.abs(Y).ravel()
    positive = np.count_nonzero(sizes)
    if not positive:
        return 1.0, np.zeros(Y.shape, bool)
    middle = len(sizes) - positive + (positive - 1) // 2
    sizes.partition(middle)
    limit = EXTREME * float(sizes[middle])
    if limit >= 1:  # the largest entry
        return limit, np.zeros(Y.shape, bool)
    return limit, np.abs(Y) > limit


def _mistaken(drawn: Array, Y: Array, found: Pursuit, limit: float) -> Array:
    """Return which of the entries that were drawn in are no errors of that sign after all."""
    U, s, V = found.triplets
    signs, most = np.sign(Y), float(np.max(np.abs(found.W)))
    left = (Y - (U * s) @ V.T) * signs
    return np.asarray(drawn & ((left <= SURE * limit) | (found.W * signs < (1 - AT_BOUND) * most)))


def _start(cells: Cells, task: Task) -> tuple[Array, Array] | None:
    """Return the matrix and the dual matrix of a warm start."""
    warm, problem = task.warm_start, task.problem
    if warm is None:
        return None
    factors = problem.parametrization.check(warm.factors if isinstance(warm, Solution) else warm, problem.shape)
    L, R = factors
    W = np.zeros_like(cells.Y)
    if isinstance(warm, Solution) and warm.certificate.dual.shape == problem.data.shape:
        W = cells.grid.matrix(warm.certificate.dual)
    return (L[cells.rows] @ R[cells.cols].T) / cells.unit, W


def spread(U: Array, seen: Array) -> Array:
    """Return U with rows of zeros where nothing is seen."""
    out = np.zeros((len(seen), U.shape[1]))
    out[seen] = U
    return out


def _errors(problem: Problem, factors: tuple[Array, ...], alpha: float) -> Array:
    """Return ``Y − X``, or what of it is not noise, on the observed cells, without rounding errors; else zero."""
    A = problem.measurement
    assert isinstance(A, Entries)
    grid = Grid.of(A)
    errors = misfit(problem, grid, factors)
    if alpha > 0:
        errors -= dense_part(problem, errors, alpha)
    rounding = ROUNDING * float(max(problem.data.max(), -problem.data.min()))
    errors[(errors <= rounding) & (errors >= -rounding)] = 0.0
    if grid.shape == problem.shape:
        return grid.matrix(errors)
    sparse = np.zeros(problem.shape)
    sparse[np.ix_(grid.rows, grid.cols)] = grid.matrix(errors)
    return sparse
