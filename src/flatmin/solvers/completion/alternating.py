"""Penalised completion of large tables by alternating least squares and Newton's method, with factors of any width.

Each half of a sweep solves a ridge regression for every row of one factor, while the other factor is fixed. The first
sweeps have a larger alpha, where few columns are needed. They run in single precision with Anderson's extrapolation. To
reach a small gap, Newton's method continues in double precision.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.threads import one_thread
from flatmin.linalg.kernels import MIN_COMPILED_CELLS
from flatmin.linalg.subspaces import block_norm, couplings
from flatmin.measurements import Entries
from flatmin.parametrizations import Product
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.solution import Solution
from flatmin.solvers.completion.regularised_cells import MAX_SINGLE, RegularisedCells, relative_alpha
from flatmin.solvers.completion.second_order import newton_steps
from flatmin.solvers.completion.sweep_schedule import SCHEDULE
from flatmin.solvers.completion.sweeps import Sweeps
from flatmin.solvers.task import Task, status_of

__all__ = ["alternating_factors", "alternating_minimum", "applies_to"]


def applies_to(task: Task) -> bool:
    """Return whether a task is a penalised completion problem, large enough and not nearly exact."""
    problem = task.problem
    fits = isinstance(problem.measurement, Entries) and type(problem.parametrization) is Product
    if not fits or problem.loss.has_gross_errors or task.alpha == 0:
        return False
    many = problem.measurement.size >= MIN_COMPILED_CELLS or task.limits.stop == "objective"
    weights = getattr(problem.measurement, "weights", None)
    sizes = np.ones(1) if weights is None or not many else np.abs(weights)
    even = sizes.max() <= SCHEDULE.max_weight_ratio * np.min(sizes, where=sizes > 0, initial=sizes.max())
    return bool(many and even and relative_alpha(task) >= SCHEDULE.min_alpha)


def alternating_minimum(task: Task, clock: Clock) -> Solution:
    """Return the minimum of ``loss + alpha · scaled trace`` over matrices with many observed entries, certified."""
    problem, entries = task.problem, task.problem.measurement
    assert isinstance(entries, Entries)
    search = _Search(task, clock, RegularisedCells.from_task(task))
    with one_thread():
        found = search.found()
    model = problem.parametrization
    factors = model.flattest(*model.singular(found, problem.metric), problem.metric)
    root = np.sqrt(search.problem.unit)
    dual = entries.cells.returned(search.problem.errors(factors[0] / root, factors[1] / root))
    dual *= search.problem.scale / (2 * task.alpha * entries.size)
    capped, far, converged, history = search.capped, search.far, search.converged, search.history
    full = found[0].shape[1] == search.widest < min(problem.shape)
    del search  # with its copies of the data
    by_objective, seed = task.limits.stop == "objective", task.limits.seed
    proved = partial(
        certificate_of, problem, factors, dual, alpha=task.alpha, metric_power=task.metric_power, seed=seed
    )
    rough = far or (full and by_objective)
    proof = proved(rough=rough)
    if rough and proof.dual_norm <= SCHEDULE.far:
        proof = proved()
    if by_objective:
        capped = full and converged and proof.dual_norm > SCHEDULE.useful
    status = status_of(proof, clock, converged=converged, capped=capped)
    return task.solution(clock, factors, proof, status, history)


def alternating_factors(task: Task, clock: Clock) -> tuple[tuple[Array, Array], bool]:
    """Return factors of the minimum, and whether the search reached the task's tolerance."""
    search = _Search(task, clock, RegularisedCells.from_task(task))
    with one_thread():
        return search.found(), search.converged


@dataclass
class _Search:
    """The state of one solve: the problem, the history, whether the solve converged, and whether max_rank binds.

    ``far`` says that it binds so much that the dual matrix of the solution has a norm well above one. ``first`` are the
    leading singular triplets of the dual matrix of the data, until the first columns are taken from them.
    """

    task: Task
    clock: Clock
    problem: RegularisedCells
    converged: bool = False
    capped: bool = False
    far: bool = False
    first: tuple[Array, Array, Array] | None = None
    history: dict[str, list[float]] = field(default_factory=dict)

    @property
    def widest(self) -> int:
        """The largest width allowed."""
        return int(min(min(self.task.problem.shape), self.task.max_rank or np.inf))

    def found(self) -> tuple[Array, Array]:
        """Return factors of the minimum, in the units of the task."""
        L, R = self.run()
        root = np.sqrt(self.problem.unit)
        return root * L, root * R

    def run(self) -> tuple[Array, Array]:
        """Return factors of the minimum, in the units of the solver."""
        task = self.task
        (L, R), falls = self._start()
        for factor in falls:
            if self.clock.exhausted:
                return L, R
            last = factor == 1 and task.limits.stop == "objective"
            rough = task.limits.tol if last else SCHEDULE.last_change if factor == 1 else SCHEDULE.stage_change
            L, R = self._stage(factor, L, R, rough, last)
        by_gap = task.limits.stop == "gap"
        if by_gap and self._is_far(L, R):
            L, R = self._sweeps(self.problem, L, R, max(task.limits.tol, SCHEDULE.capped_change), last=True)
        if self.clock.exhausted or not by_gap:
            return L, R
        self.far = self._is_far(L, R)
        self.capped = self.far and self.converged
        if self.far:
            self._record_gap(L, R)
            return L, R
        self.converged = False
        return self._finish(L, R)

    def _record_gap(self, L: Array, R: Array) -> None:
        """Append a row with the gap of these factors to the history."""
        problem, errors, (U, s, V) = self.problem, self.problem.errors(L, R), self.problem.canonical(L, R)
        S, square, norm = problem.dual_matrix(errors), float(errors @ errors), float(s.sum())
        outside = float(problem.escapes(S, U, V, 1, self.task.limits.seed)[1].max(initial=0.0))
        gap = _gap(problem, errors, norm, block_norm(*couplings(S, U, V)[2:], outside))
        self._record(square, change=np.nan, gap=gap, rank=len(s), objective=square + 2 * norm)

    def _is_far(self, L: Array, R: Array) -> bool:
        """Return whether these factors are as wide as allowed, and more columns would lower the objective by far."""
        if not L.shape[1] == self.widest < min(self.task.problem.shape):
            return False
        problem = self.problem
        S, (U, _, V) = problem.dual_matrix(problem.errors(L, R)), problem.canonical(L, R)
        return float(problem.escapes(S, U, V, 1, self.task.limits.seed, rough=True)[1][0]) > SCHEDULE.far

    def _start(self) -> tuple[tuple[Array, Array], list[float]]:
        """Return the first factors L and R, and the number by which each stage multiplies the penalties."""
        problem, warm = self.problem, self._warm()
        nothing = np.zeros((len(problem.rows.penalties), 0)), np.zeros((len(problem.columns), 0))
        S = problem.dual_matrix(problem.rows.values)
        count = 1 if warm else self._most_added(0)
        first = problem.escapes(S, *nothing, count, self.task.limits.seed, rough=True)
        del S  # as large as the data
        top = float(first[1][0])
        if top < SCHEDULE.surely_zero:  # from any start
            return nothing, [1.0]
        if warm:
            return warm, [1.0]
        self.first, falls = first, [1.0]
        while falls[0] * SCHEDULE.alpha_ratio**1.5 < top:
            falls.insert(0, falls[0] * SCHEDULE.alpha_ratio)
        return nothing, falls

    def _warm(self) -> tuple[Array, Array] | None:
        """Return balanced factors of the warm start, if there is one that helps."""
        problem, warm = self.problem, self.task.warm_start
        if warm is None:
            return None
        given = self.task.problem.check(warm.factors if isinstance(warm, Solution) else warm)
        L, R = (F / np.sqrt(problem.unit) for F in given)
        with np.errstate(over="ignore", invalid="ignore"):
            single = all(np.abs(F).max(initial=0.0) < MAX_SINGLE for F in (L, R))
            if not (single and problem.objective(L, R) <= problem.total):
                return None
        U, s, V = (part[..., : self.widest] for part in problem.canonical(L, R))
        return problem.factors(U, s, V)

    def _stage(self, factor: float, L: Array, R: Array, rough: float, last: bool) -> tuple[Array, Array]:
        """Alternate between sweeps and new columns until no column would lower the objective."""
        problem = self.problem.stronger(factor)
        for attempt in range(8):
            before = L.shape[1]
            L, R = self._widened(problem, factor, L, R)
            if attempt and L.shape[1] == before:
                break
            L, R = self._sweeps(problem, L, R, rough, last)
            if self.clock.exhausted or L.shape[1] < before + 2:
                break
        return L, R

    def _most_added(self, width: int) -> int:
        """Return how many columns may be added at a time to this many."""
        most = self.widest - width
        return most if self.widest <= SCHEDULE.at_once else min(most, max(SCHEDULE.min_added, SCHEDULE.growth * width))

    def _widened(self, problem: RegularisedCells, factor: float, L: Array, R: Array) -> tuple[Array, Array]:
        """Return the factors with useful new columns; the penalties are ``factor`` times those of the task."""
        count = self._most_added(L.shape[1])
        if not count:
            return L, R
        if self.first is not None:
            u, values, v = self.first
            self.first, values = None, values / factor
        else:
            U, _, V = problem.canonical(L, R)
            S = problem.dual_matrix(problem.errors(L, R))  # computed again below, to save memory
            u, values, v = problem.escapes(S, U, V, count, self.task.limits.seed, rough=True)
            del S
        new = values > SCHEDULE.useful
        if not new.any():
            return L, R
        return problem.added(L, R, problem.errors(L, R), (u[:, new], values[new], v[:, new]))

    def _sweeps(self, problem: RegularisedCells, L: Array, R: Array, rough: float, last: bool) -> tuple[Array, Array]:
        """Run sweeps until the objective changes by at most ``rough``, relatively; then drop columns that vanish."""
        if L.shape[1] == 0:
            return L, R
        precise = rough < SCHEDULE.double_below
        rows, columns = problem.rows, problem.rows.turned(problem.columns)
        if not precise:
            rows, columns = rows.single(), columns.single()
        sweeps = Sweeps(rows, columns, R.astype(np.float64 if precise else np.float32))
        before = sweeps.value
        for _ in range(SCHEDULE.max_sweeps):
            L, value = sweeps.next()
            self.clock.iterations += 1
            change = (before - value) / value if value else 1.0
            before = value
            self._record(sweeps.misfit, change=change, gap=np.nan, rank=L.shape[1], objective=value)
            if change <= rough or self.clock.exhausted:
                self.converged = last and change <= rough
                break
        kind = sweeps.R.dtype
        U, s, V = problem.canonical(sweeps.L.astype(float), sweeps.R.astype(float))
        del sweeps, columns  # as large as the data

        def those(keep: Array) -> tuple[tuple[Array, Array], float]:
            R = problem.factors(U[:, keep], s[keep], V[:, keep])[1]
            L, gain = rows.half(R.astype(kind))
            value = problem.total - gain + float(problem.columns @ np.sum(R**2, axis=1))
            return (L.astype(float), R), value

        seen = s > 1e-9 * s[0]
        for share in SCHEDULE.dropped if change <= rough else ():  # a limit may come before columns have grown
            keep = seen & (s > share * abs(change) * before)
            if np.array_equal(keep, seen):
                break
            fewer, value = those(keep)
            if value <= (1 + rough) * before:
                return fewer
        return problem.factors(U[:, seen], s[seen], V[:, seen])

    def _finish(self, L: Array, R: Array) -> tuple[Array, Array]:
        """Run Newton's method in rounds with smaller and smaller gradients until the gap is small.

        Columns are added and dropped between rounds. If the largest rank is reached and more columns would help, the
        rounds end when the objective falls by at most ``tol``, relatively.
        """
        task, problem, seed = self.task, self.problem, self.task.limits.seed
        tol, best, before = 1e-3, (np.inf, L, R), np.inf
        for _ in range(SCHEDULE.max_rounds):
            point = newton_steps(problem, L, R, tol, self.clock)
            U, s, V = problem.canonical(point.L, point.R)
            keep = s > max(1e-14, 1e-2 * tol) * s.max(initial=0.0)
            U, s, V = U[:, keep], s[keep], V[:, keep]
            L, R = problem.factors(U, s, V)
            errors = point.errors if keep.all() else problem.errors(L, R)
            S = problem.dual_matrix(errors)
            count = min(max(4, len(s) // 8), max(1, self.widest - len(s)))  # the gap needs one singular value
            u, values, v = problem.escapes(S, U, V, count, seed)
            dual_norm = block_norm(*couplings(S, U, V)[2:], float(values.max(initial=0.0)))
            gap = _gap(problem, errors, float(s.sum()), dual_norm)
            if gap < best[0]:
                best = gap, L, R
            square = float(errors @ errors)
            objective = square + 2 * float(s.sum())
            self._record(square, change=np.nan, gap=gap, rank=len(s), objective=objective)
            if gap <= task.limits.tol:
                self.converged = True
                break
            new = values > 1 + max(3 * point.gradient, 1e-9)
            fallen, before = before - objective, objective
            full = new.any() and len(s) == self.widest
            if full and fallen <= task.limits.tol * objective and point.gradient <= SCHEDULE.settled:
                self.capped, best = True, (gap, L, R)
                break
            new[max(0, self.widest - len(s)) :] = False
            if self.clock.exhausted or (tol <= 1e-11 and not new.any()):
                break
            if new.any():
                L, R = problem.added(L, R, errors, (u[:, new], values[new], v[:, new]))
            del S, point, errors  # as large as the data
            tol = max(0.1 * tol, 1e-11)
        return best[1], best[2]

    def _record(self, square: float, *, objective: float, **progress: float) -> None:
        """Append a row to the history; ``square`` is the sum of squared errors."""
        problem = self.problem
        residual = float(np.sqrt(max(square, 0.0) / problem.total)) if problem.total else 0.0
        progress = {"residual": residual, **progress, "objective": objective * problem.scale * problem.scale}
        self.clock.record(self.history, self.task.limits.callback, **progress)


def _gap(problem: RegularisedCells, errors: Array, norm: float, dual_norm: float) -> float:
    """Return the relative duality gap for the bound ``2c⟨value, e⟩ − c² |e|²``, ``c = min(1, 1/‖S‖)``."""
    square, share = float(errors @ errors), min(1.0, 1 / dual_norm)
    value = square + 2 * norm
    return (value - 2 * share * float(problem.rows.values @ errors) + share**2 * square) / value if value else 0.0
