"""Rank-adaptive factored augmented Lagrangian method for ``min ‖Z‖_*  s.t.  B(Z) = b`` in the cone of a model."""

from dataclasses import InitVar, dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.linalg.subspaces import block_norm, couplings
from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.solvers.completion.contraction import contracted
from flatmin.solvers.completion.douglas_rachford import applies_to as splitting_applies_to
from flatmin.solvers.completion.douglas_rachford import split_minimum
from flatmin.solvers.convex.proximal_gradient import applies_to, proximal_gradient
from flatmin.solvers.convex.schedule import Schedule
from flatmin.solvers.factored.newton import Minimum, minimise, minimise_guided
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.factored.refine import EXACT, correct_dual, fit_exactly, is_wide, largest_drop
from flatmin.solvers.interior.minimum import applies_to as interior_applies_to
from flatmin.solvers.interior.minimum import interior_minimum

__all__ = ["augmented_lagrangian"]

#: The schedule of all problems; one is enough, because `Scaled` brings problems to the same units.
DEFAULT = Schedule()


def augmented_lagrangian(
    model: QuadraticMap,
    b: Array,
    clock: Clock,
    limits: Limits,
    start: tuple[Array, Array] | None = None,
    penalty: float = np.inf,
    schedule: Schedule = DEFAULT,
) -> Outcome:
    """Solve ``min ‖Z‖_* s.t. q = b``, or ``min ‖Z‖_* + (penalty/2) ‖q − b‖²`` for a finite penalty.

    ``b`` is scaled so that its dual matrix has norm one; ``start`` is stacked factors and a multiplier. Narrow
    penalised tables are first solved by proximal gradients; rounds follow if proximal gradients are slow.
    docs/theory/algorithms.md explains the rounds ("The convex programme").
    """
    if applies_to(model, penalty, limits.max_rank):
        outcome = proximal_gradient(model, b, clock, limits, start, penalty)
        if outcome.converged or clock.exhausted:
            return outcome
        start = model.stack(outcome.U, outcome.s, outcome.V), outcome.y
    rounds = _Rounds(model, b, clock, limits, penalty, schedule, start)
    if start is None:
        rounds.guess()
        if rounds.exact and not rounds.outcome.converged:
            if interior_applies_to(model, limits):
                interior_minimum(model, b, clock, limits, rounds.outcome)
            elif splitting_applies_to(model, limits):
                split_minimum(model, b, clock, limits, rounds.outcome)
    for number in range(0 if rounds.outcome.converged else schedule.max_rounds):
        if rounds.step(number):
            break
    return rounds.outcome


@dataclass(eq=False)
class _Rounds:
    """The state between two rounds: stacked factors x with ``value = q(x)``, the multiplier y, rho and the tolerances.

    ``outcome`` keeps the best multiplier and the history. ``contracted`` has the ranks at which a contraction of the
    dual matrix was tried. ``fit`` is the flattest exact fit so far with its misfit; it is kept only if matrices have
    more degrees of freedom than there are data.
    """

    model: QuadraticMap
    b: Array
    clock: Clock
    limits: Limits
    penalty: float
    schedule: Schedule
    start: InitVar[tuple[Array, Array] | None]

    def __post_init__(self, start: tuple[Array, Array] | None) -> None:
        b, penalty, schedule = self.b, self.penalty, self.schedule
        self.exact, self.size = penalty == np.inf, float(np.linalg.norm(b))
        self.rho = np.inf if penalty <= schedule.moderate_penalty else schedule.first_rho
        self.tol, self.misfit, self.progress = schedule.first_tol, 1.0, 1.0
        self.stalled = self.extra = 0
        self.contracted: set[int] = set()
        self.fit: tuple[Array, float] | None = None
        if start is None:
            self.x, self.value = self._first_factors(min(self.rho, penalty))
            self.y = np.zeros(len(b))
        else:
            self.x, self.y = start
            self.value = self.model.value(self.x)
        self.outcome = Outcome(*self.model.canonical(self.x), y=self.y, bound=-np.inf)

    def guess(self) -> None:
        """If data are ample, try an exact fit near the start with its shortest multiplier: often the solution."""
        outcome, clock = self.outcome, self.clock
        if not self.exact or clock.exhausted or not self._identified(self.schedule.ample_data):
            return
        far = float(np.linalg.norm(self.b - self.value) / np.linalg.norm(self.b))
        self._record(self.x, far, np.nan, self.x.shape[1])
        point, misfit, gap = self._polished(outcome.y)
        if misfit > LARGEST_RESIDUAL:
            return
        clock.iterations += 1
        outcome.converged = abs(gap) <= self.limits.tol
        self._record(point, misfit, gap, point.shape[1])
        self.x, self.y, self.value = point, outcome.y, self.model.value(point)

    def step(self, number: int) -> bool:
        """Run the round of this number; return whether it is the last one."""
        s, end, norm = self._minimum()
        self.y = self.weight * (self.y / self.rho + (self.b - end.value))  # this order does not multiply rounding in b
        self.misfit = float(np.linalg.norm(self.b - end.value - self.y / self.penalty)) / self.size
        self.outcome.improve_bound(self.b, self.y, norm, self.penalty)
        wide = self._is_wide
        point, misfit, gap = self._best_point(s, end, wide)
        self._record(point, misfit, gap, len(s))
        if self._is_converged(end, misfit, gap, wide) or self._is_stuck(gap):
            return True
        self._tighten(number, end, gap)
        return False

    @property
    def weight(self) -> float:
        """The weight of the squared misfit in the augmented Lagrangian, ``1 / (1/rho + 1/penalty)``."""
        return 1 / (1 / self.rho + 1 / self.penalty)

    @property
    def _is_wide(self) -> bool:
        """Whether an exact fit is wanted and the degrees of freedom at this rank are no fewer than the data."""
        return self.exact and is_wide(self.model, self.x)

    def _identified(self, times: float = 1.0) -> bool:
        """Return whether there are more measurements than ``times`` the degrees of freedom at this rank."""
        return bool(times * self.model.freedom(self.x.shape[1]) < self.model.whitened.size)

    def _record(self, point: Array, misfit: float, gap: float, rank: int) -> None:
        canonical, callback = self.model.canonical(point), self.limits.callback
        self.outcome.record(canonical, self.clock, callback, residual=misfit, gap=gap, rank=rank)

    def _first_factors(self, rho: float) -> tuple[Array, Array]:
        """Return the first stacked factors x, made from leading triplets of the dual matrix of the data, and q(x).

        The singular values drop most after the chosen rank, and the factors are scaled to fit the data best. There are
        no columns if rho is at most one: the dual matrix at zero has the norm rho, so the minimum is zero.
        """
        model, b, schedule, first = self.model, self.b, self.schedule, self.schedule.first_rank
        S = model.dual_matrix(b)
        U, s, V = model.leading(S, schedule.further_ranks * first, self.limits.seed, tol=schedule.first_accuracy)
        U, s, V = U[:, s > 0], s[s > 0], V[:, s > 0]
        width = largest_drop(s)
        if width > first and schedule.ample_data * model.freedom(width) >= len(b):
            width = largest_drop(s[:first])
        width = min(width, self.limits.max_rank or width) if rho > 1 else 0
        x = model.stack(U[:, :width], s[:width], V[:, :width])
        value = model.value(x)
        fit = (float(value @ b) - float(np.vdot(x, x)) / (2 * rho)) / max(float(value @ value), 1e-300)
        return (np.asarray(np.sqrt(fit) * x), fit * value) if fit > 0 else (x, value)

    def _minimum(self) -> tuple[Array, Minimum, float]:
        """Minimise over the factors, drop columns that vanish and add columns that help, until the width is right.

        If the multiplier is good, it guides Newton's method, and columns are added early. Return the singular values,
        the result of the last minimisation (before columns were dropped), and the norm of its dual matrix.
        """
        model, schedule, tol, x, value = self.model, self.schedule, self.tol, self.x, self.value
        rho, target, largest = self.weight, self.b + self.y / self.rho, min(model.whitened.shape)
        guide = self.y if self.misfit <= schedule.close_misfit and self._is_wide else None
        max_rank = int(min(largest, self.limits.max_rank or np.inf))
        count, slack = max(schedule.min_added, x.shape[1]), schedule.slack if guide is None else schedule.tight_slack
        for attempt in range(schedule.max_changes):
            hasty = guide is not None and attempt == 0
            if guide is None:
                end = minimise(model, x, value, target, rho, tol, self.clock, schedule.max_steps)
            else:
                steps = schedule.hasty_steps if hasty else schedule.max_steps
                end, guide = minimise_guided(model, x, value, guide, target, rho, tol, self.clock, steps)
                if not hasty:  # damping leaves small columns behind
                    last, steps = schedule.last_tol * tol, schedule.last_steps
                    end = minimise(model, end.x, end.value, target, rho, last, self.clock, steps)
            U, s, V = model.canonical(end.x)
            visible = max(slack * tol, 1e-9)
            keep = s > max(1e-14 * s.max(initial=0.0), 1e-2 * visible / rho)
            U, s, V = U[:, keep], s[keep], V[:, keep]
            x = model.stack(U, s, V)
            value = end.value if keep.all() else model.value(x)
            u, values, v = model.escapes(end.S, U, V, count, self.limits.seed)
            norm = block_norm(*couplings(end.S, U, V)[2:], float(values.max(initial=0.0)))
            least = 1 + (visible if hasty else max(slack * end.gradient, visible))
            new = np.flatnonzero(values > least)[: max_rank - len(s)]
            if (len(new) == 0 and not hasty) or self.clock.exhausted:
                break
            x = np.hstack([x, model.stack(u[:, new], (values[new] - 1) / (2 * rho), v[:, new])])
            value, count = model.value(x), max(schedule.min_added, 2 * len(new))
        self.x, self.value = x, value
        return s, end, norm

    def _best_point(self, s: Array, end: Minimum, wide: bool) -> tuple[Array, float, float]:
        """Return a point with its misfit and gap: that of this round, an exact fit near it, or an earlier exact fit."""
        misfit, schedule = self.misfit, self.schedule
        objective = float(s.sum())
        if not self.exact:
            objective += self.penalty / 2 * float(np.sum((self.b - self.value) ** 2))
        point, gap = self.x, self.outcome.gap(objective)
        worthwhile = (
            abs(gap) <= schedule.promising_gap * self.limits.tol
            or (end.factorized and self._identified())
            or (wide and misfit <= schedule.close_misfit)
        )
        if self.exact and misfit <= schedule.near_misfit and worthwhile:
            point, misfit, gap = self._polished(self.y)
            if wide and misfit <= EXACT:
                self.x, self.value = point, self.model.value(point)
                self.fit = self.fit or (point, misfit)
            if self.fit and misfit <= EXACT and np.vdot(point, point) <= np.vdot(self.fit[0], self.fit[0]):
                self.fit = point, misfit
        if self.fit is not None:  # an unfinished round may end at a worse fit
            point, misfit = self.fit
            gap = self.outcome.gap(float(np.vdot(point, point)) / 2)
        return point, misfit, gap

    def _polished(self, y: Array) -> tuple[Array, float, float]:
        """Fit the data exactly and make the multiplier optimal there; return the point, its misfit and its gap."""
        model, b, outcome = self.model, self.b, self.outcome
        enough = outcome.bound * (1 + self.limits.tol)
        point, misfit = fit_exactly(model, b, self.x, self.value, enough=enough)
        U, s, V = model.canonical(point)
        point, norm = model.stack(U, s, V), float(s.sum())
        if abs(outcome.gap(norm)) > self.schedule.polished_gap and not is_wide(model, point):
            outcome.improve_bound(b, *correct_dual(model, point, y, self.limits.seed))
        rank, gap = len(s), outcome.gap(norm)
        if abs(gap) > self.limits.tol and misfit <= LARGEST_RESIDUAL and rank not in self.contracted:
            self.contracted.add(rank)
            shrunk = contracted(model, point, outcome.y, self.clock, self.limits.seed)
            if shrunk is not None:
                outcome.improve_bound(b, *correct_dual(model, point, shrunk, self.limits.seed))
        return point, misfit, outcome.gap(norm)

    def _is_converged(self, end: Minimum, misfit: float, gap: float, wide: bool) -> bool:
        """Return whether the tolerance is met and no more rounds are due that reduce the gap to prove uniqueness."""
        tol, schedule = self.limits.tol, self.schedule
        if abs(gap) > tol or (self.exact and misfit > min(tol, LARGEST_RESIDUAL)):
            return False
        self.outcome.converged, self.extra = True, self.extra + 1
        cheap = end.factorized or self.x.size <= schedule.small_problem
        enough = 0 if tol > LARGEST_GAP else schedule.extra_rounds if cheap else int(not wide)
        return abs(gap) <= schedule.refined_gap or self.extra > enough

    def _is_stuck(self, gap: float) -> bool:
        """Return whether a limit is reached, or rounds stall because of contradictory data or rounding errors."""
        left, schedule = self.misfit if self.rho < np.inf else abs(gap), self.schedule
        self.stalled = self.stalled + 1 if left > schedule.slow * self.progress else 0
        contradicted = gap < -schedule.contradiction or self.rho > schedule.max_rho
        return self.clock.exhausted or (self.stalled >= schedule.patience and (contradicted or self.misfit <= EXACT))

    def _tighten(self, number: int, end: Minimum, gap: float) -> None:
        """Choose rho and the tolerance of the next round."""
        schedule, misfit = self.schedule, self.misfit
        if number < 3 or (misfit > 0.2 * self.progress and misfit > EXACT):
            self.rho *= schedule.growth
        elif end.factorized and end.steps <= 2:
            self.rho *= schedule.quick_growth
        if self.rho < np.inf:
            self.progress, tol = misfit, min(0.5 * self.tol, 0.3 * misfit)
        else:
            self.progress, tol = abs(gap), max(0.1 * self.tol, 0.3 * min(self.tol, self.limits.tol))
            tol = 0.3 * end.gradient if end.gradient <= tol else tol  # else the next round would take no step
        self.tol = max(tol, schedule.min_tol)
