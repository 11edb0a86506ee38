"""The square-root rule, which finds alpha from noise of unknown level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin.problem import Problem
from flatmin.proofs.cone_certificate import trace_is_determined
from flatmin.solution import Noise, Solution
from flatmin.solvers.convex.augmented_lagrangian import augmented_lagrangian
from flatmin.solvers.convex.minimum import convex_minimum, packed, working_memory
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.noise.determined import implicit, rank_one_fit, shifted_minimum
from flatmin.solvers.noise.exact_data import (
    EXACT_RESIDUAL,
    FAINTEST_NOISE,
    exact_minimum,
    has_evidence,
    is_exact_fit,
    without_noise,
)
from flatmin.solvers.noise.penalised_fit import FIT_GRADIENT, first_factors, penalised_fit
from flatmin.solvers.noise.rank_test import RankTest
from flatmin.solvers.noise.refit import unscaled
from flatmin.solvers.noise.simulated_noise import SimulatedNoise
from flatmin.solvers.noise.spread import relative_error
from flatmin.solvers.secants import next_guess
from flatmin.solvers.task import Task

__all__ = ["exact_fit_or_noise", "level_of_noise", "pivotal_minimum"]

#: Relative accuracy of alpha.
ACCURACY = 1e-3
#: Largest number of solves that look for alpha at one threshold.
MAX_SOLVES = 30
#: The last solve ends at a relative gradient of this multiple of the tolerance of the gap.
FINAL_GRADIENT = 1e-2
#: Smallest relative gradient that is asked of the last solve.
MIN_GRADIENT = 1e-11
#: Relative accuracy of alpha at a threshold that may not be the last.
TRIAL_ACCURACY = 5e-3
#: Relative gradient at which fits end that look for alpha at such a threshold.
TRIAL_GRADIENT = 1e-3
#: Relative change of the threshold at which it has settled.
SETTLED_CHANGE = 0.01
#: Largest number of thresholds that are tried.
MAX_TRIALS = 8


def pivotal_minimum(task: Task, clock: Clock) -> Solution:
    """Return the minimum of ``loss + alpha · scaled trace`` at the alpha of the square-root rule, certified.

    The solution also minimises ``‖A(X) − b‖ + t · scaled trace``, in which the noise level does not occur: the dual
    matrix of its residual r has the norm ``t ‖r‖``. The threshold t is a quantile of the norm of the dual matrix of
    noise g, divided by ``‖g‖``. It is the larger of two quantiles: for Gaussian g, and for the residual with random
    signs as g. In scaled units, with the penalty P, the fixed point ``1/P = t ‖r(P)‖`` is found by secants on ``‖r‖²``
    as a function of ``u = 1/P²`` (see docs/theory/noise.md).

    References
    ----------
    Belloni, Chernozhukov, Wang, "Square-root lasso", Biometrika 98(4), 2011. Klopp, "Noisy low-rank matrix completion
    with general sampling distribution", Bernoulli 20(1), 2014.
    """
    found = _started(task, clock)
    if isinstance(found, Solution):
        return found
    rule, x, penalty = found
    with one_thread():
        at = replace(task, alpha=rule.scaled.alpha(penalty))
        if rule.selects:
            outcome = rule.finished(x, penalty)
            solution = packed(at, clock, rule.scaled, outcome)
            x = rule.scaled.model.stack(outcome.U, outcome.s, outcome.V)
        else:
            solution = rule.shifted(at, x, penalty)
        noise = rule.noise(x, solution.rank, penalty)
    return replace(solution, noise=noise, seconds=clock.seconds)


def level_of_noise(task: Task, clock: Clock) -> Noise:
    """Return the noise that `pivotal_minimum` finds, without computing the certified penalised solution."""
    found = exact_fit_or_noise(task, clock)
    if isinstance(found, Noise):
        return found
    assert found.noise is not None
    return found.noise


def exact_fit_or_noise(task: Task, clock: Clock) -> Solution | Noise:
    """Return the certified solution of exact data, or the `level_of_noise` of other data."""
    found = _started(task, clock)
    if isinstance(found, Solution):
        return found
    rule, x, penalty = found
    with one_thread():
        return rule.noise(x, x.shape[1], penalty)


def _started(task: Task, clock: Clock) -> Solution | tuple[_Rule, Array, float]:
    """Find threshold and penalty; return the rule, stacked factors and the penalty, or else an exact solution."""
    problem = task.problem
    problem.expect_convex("alpha is 'auto'")
    require(working_memory(problem), "solving this problem")
    scaled = Scaled.from_problem(problem, task.metric_power, task.limits.seed, weighted=False)
    if scaled.size == 0:  # no data, or none that the measurements can fit: zero is the solution for every alpha
        zero = convex_minimum(replace(task, alpha=1.0) if np.any(problem.data) else task, clock)
        return without_noise(problem, scaled, zero)
    start, exact = None, EXACT_RESIDUAL
    if _is_determined(problem, scaled):
        scaled = implicit(scaled)
        with one_thread():
            start = rank_one_fit(scaled, task, clock)
        if has_evidence(scaled, start) and scaled.misfit(start) <= exact:
            solution = exact_minimum(task, clock, scaled, start)
            if is_exact_fit(solution, clock):
                return without_noise(problem, scaled, solution)
            exact = FAINTEST_NOISE
    with one_thread():
        rule = _Rule.from_scaled(scaled, task, clock, exact)
        end, x, penalty = rule.search(start)
    if penalty is None and exact == EXACT_RESIDUAL:
        solution = exact_minimum(task, clock, scaled, x)
        if is_exact_fit(solution, clock):
            return without_noise(problem, scaled, solution)
        with one_thread():
            end, x, penalty = replace(rule, exact=FAINTEST_NOISE).search(start)
        if penalty is None:
            return without_noise(problem, scaled, convex_minimum(task, clock))
    return (end, x, penalty) if penalty is not None else without_noise(problem, scaled, solution)


@dataclass(frozen=True, eq=False)
class _Rule:
    """The rule for one problem, in the scaled units of `Scaled`; ``threshold`` is t in these units.

    ``selects`` says whether a penalty on the trace selects a rank. Data may be exact if the relative residual is at
    most ``exact``.
    """

    task: Task
    clock: Clock
    scaled: Scaled
    simulated: SimulatedNoise
    threshold: float
    selects: bool
    exact: float

    @classmethod
    def from_scaled(cls, scaled: Scaled, task: Task, clock: Clock, exact: float) -> _Rule:
        """Return a rule with the threshold of Gaussian noise."""
        simulated = SimulatedNoise.from_problem(task.problem, scaled, task.limits.seed)
        return cls(task, clock, scaled, simulated, simulated.even, not _is_determined(task.problem, scaled), exact)

    def search(self, start: Array | None) -> tuple[_Rule, Array, float | None]:
        """Return the rule with its final threshold, stacked factors, and the penalty (None: exact data).

        The search starts at a fit of rank one if the data determine the trace, and else at none.
        """
        return self.settled() if start is None else self.plugged_in(start)

    def settled(self) -> tuple[_Rule, Array, float | None]:
        """Adapt the threshold to the noise; return the new rule, stacked factors, and the penalty (None: exact data).

        The search begins at the largest alpha that could be right. The size of the residual is a function of alpha that
        does not depend on the threshold, so known points of this function are used again for the next threshold. Most
        thresholds then need a single fit. Only at the last threshold is alpha found to its final accuracy.
        """
        rule, known = self, list[tuple[float, float]]()
        u = self.threshold**2 * self.simulated.squares(self.scaled.b)
        x = first_factors(self.scaled, self.task, u**-0.5)
        for trial in range(MAX_TRIALS):
            x, residual = rule.balanced(x, u, known, TRIAL_ACCURACY, TRIAL_GRADIENT)
            if rule._is_exact(residual) or trial == MAX_TRIALS - 1:
                break
            threshold = self.simulated.flipped(residual)
            if abs(threshold / rule.threshold - 1) < SETTLED_CHANGE or self.clock.exhausted:
                break
            rule = replace(rule, threshold=threshold)
            u = next_guess(threshold, known)
        x, residual = rule.balanced(x, known[-1][0], known, ACCURACY, FIT_GRADIENT)
        if rule._is_exact(residual):
            return rule, x, None
        return rule, x, known[-1][0] ** -0.5

    def balanced(
        self, x: Array, u: float, known: list[tuple[float, float]], accuracy: float, gradient: float
    ) -> tuple[Array, Array]:
        """Return stacked factors of the penalised solution at the fixed point, or of an exact fit, and the residual.

        The search starts at the stacked factors x, of shape (n, k), and at ``u = penalty⁻²``; ``known`` collects the
        points (u, ρ), where ρ is the squared residual. Fits end at a relative ``gradient``, and the search at a
        relative ``accuracy`` of alpha.
        """
        for _ in range(MAX_SOLVES):
            x, residual = penalised_fit(self.scaled, self.task, self.clock, x, u**-0.5, gradient)
            known.append((u, self.simulated.squares(residual)))
            wanted = self.threshold**2 * known[-1][1]
            if self._is_exact(residual) or abs(np.log(wanted / u)) < 2 * accuracy or self.clock.exhausted:
                break
            u = next_guess(self.threshold, known)
        return x, residual

    def plugged_in(self, x: Array) -> tuple[_Rule, Array, float | None]:
        """Find the smallest rank whose residual passes for noise; return the rule, that fit, and its penalty.

        This is the rule for data that determine the trace, where a penalty on the trace selects no rank. The search
        starts at stacked factors x of rank one.
        """
        residual = self.scaled.b - self.scaled.model.value(x)
        if self._is_exact(residual):
            return self, x, None
        x, residual = self._test(self._penalty_for(residual)).passed(x)
        if self._is_exact(residual):
            return self, x, None
        rule = replace(self, threshold=self.simulated.flipped(residual))
        return rule, x, rule._penalty_for(residual)

    def shifted(self, task: Task, x: Array, penalty: float) -> Solution:
        """Return the penalised solution for data that determine the trace, from a fit x without penalty."""
        if task.metric_power == 1:
            outcome = shifted_minimum(self.scaled, task, self.clock, x, penalty)
            solution = packed(task, self.clock, self.scaled, outcome)
            if solution.checked_certificate.holds or self.clock.exhausted:
                return solution
            x = self.scaled.model.stack(outcome.U, outcome.s, outcome.V)
        return packed(task, self.clock, self.scaled, self.finished(x, penalty))

    def finished(self, x: Array, penalty: float) -> Outcome:
        """Return the penalised solution to the accuracy of the task, from stacked factors x of a quick fit."""
        model, b, task = self.scaled.model, self.scaled.b, self.task
        x, _ = penalised_fit(
            self.scaled, self.task, self.clock, x, penalty, max(FINAL_GRADIENT * task.limits.tol, MIN_GRADIENT)
        )
        limits = replace(task.limits, max_rank=task.max_rank)
        return augmented_lagrangian(model, b, self.clock, limits, (x, penalty * (b - model.value(x))), penalty)

    def noise(self, x: Array, penalised_rank: int, penalty: float) -> Noise:
        """Test ranks near that of stacked factors x, fit the data without penalty, and estimate the level of noise.

        If the penalty selects no rank, x has been tested already, and its rank is kept. If the test finds another rank
        than the penalised solution has, the rank of the test is the better one.
        """
        scaled, model, problem, m = self.scaled, self.scaled.model, self.task.problem, len(self.task.problem.data)
        x, residual = self._test(penalty).passed(x) if self.selects else self._test(penalty).fit(x)
        factors = unscaled(problem, scaled, x)
        freedom = model.freedom(x.shape[1])
        sigma = error = None
        if freedom < m:
            sigma = float(np.sqrt(scaled.size**2 * self.simulated.squares(residual) / (m - freedom)))
            error = sigma * relative_error(problem.residual(factors), m - freedom)
        threshold, alpha = self.threshold / model.scale, scaled.alpha(penalty)
        unevenness = self.threshold / self.simulated.even
        return Noise(
            sigma, error, alpha, threshold, unevenness, factors, x.shape[1], penalised_rank, freedom, self.selects
        )

    def _test(self, penalty: float) -> RankTest:
        problem = self.task.problem
        widest = self.task.max_rank or min(problem.shape)
        return RankTest(self.simulated, penalty, len(problem.data), widest, self.clock)

    def _penalty_for(self, residual: Array) -> float:
        """Return the penalty at which the dual matrix of noise of the residual's size has norm one."""
        return 1 / (self.threshold * float(np.sqrt(self.simulated.squares(residual))))

    def _is_exact(self, residual: Array) -> bool:
        return self.simulated.squares(residual) <= self.exact**2 * self.simulated.squares(self.scaled.b)


def _is_determined(problem: Problem, scaled: Scaled) -> bool:
    """Return whether the data determine the trace, and the whitened map is still one of measurements by vectors."""
    return trace_is_determined(problem) and scaled.model.whitened.is_rank_one
