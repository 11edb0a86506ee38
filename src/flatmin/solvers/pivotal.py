"""A penalised fit whose strength follows from the noise that it leaves: the square-root rule."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin._memory import require
from flatmin._threads import one_thread
from flatmin.certificates import trace_is_determined
from flatmin.errors import InputError
from flatmin.losses import Squared
from flatmin.metric import Array
from flatmin.noise import Noise
from flatmin.parametrizations import Gram, Product, SignedGram
from flatmin.solution import Solution
from flatmin.solvers.augmented_lagrangian import Options, Outcome, augmented_lagrangian
from flatmin.solvers.convex import convex_minimum, packed, working_memory
from flatmin.solvers.newton import minimise
from flatmin.solvers.scaling import Scaled
from flatmin.solvers.task import Task

__all__ = ["pivotal_minimum"]

#: Stacked factors and the residual that they leave.
_Fit = tuple[Array, Array]

#: Noise is simulated so often, and this share of it has to stay below the threshold.
DRAWS, QUANTILE = 20, 0.95
#: The strength is found to this relative accuracy, in at most so many solves, each to this gap.
ACCURACY, SOLVES, COARSE = 1e-3, 30, 1e-4
#: A residual this small, relatively, is that of exact data.
EXACT = 1e-7
#: What misfit costs in a refit, over what it costs in the penalised solve.
UNBIASED = 1e6
#: The relative gradient to which a refit is made.
REFITTED = 1e-9
#: Ranks that are tested above the one that the penalty found.
ABOVE = 8


def pivotal_minimum(task: Task) -> Solution:
    """Return the minimum of ``loss + alpha · scaled trace`` at the strength of the square-root rule, certified.

    With ``Z = D1 X D2``, ``r(alpha)`` the residual of the penalised solution and t a quantile of
    ``‖D1⁻¹ A*(g) D2⁻¹‖ / ‖g‖`` over Gaussian g, the rule asks that the penalty be just what noise of the size of the
    residual can do: the dual matrix of r has the norm ``t ‖r‖``. The solution is that of

        ``min ‖A(X) − b‖ + t ‖D1 X D2‖_*``,

    in which the noise level does not occur. In the scaled units of a solve, where misfit costs P/2, the fixed point
    ``1/P = t ‖r(P)‖`` is found by secants on ``‖r‖²`` as a function of ``u = 1/P²``. Where the measurements act like an
    isometry that function is ``Σ min(s_j², u)`` plus a constant, concave, and linear once the rank stands; so secants
    come from the side of strong penalties, where ranks are small, do not overshoot, and end in few steps.

    References
    ----------
    Belloni, Chernozhukov, Wang, "Square-root lasso", Biometrika 98(4), 2011. Klopp, "Noisy low-rank matrix completion
    with general sampling distribution", Bernoulli 20(1), 2014.
    """
    problem = task.problem
    if not isinstance(problem.loss, Squared) or not isinstance(problem.parametrization, Product | Gram | SignedGram):
        model = problem.parametrization if isinstance(problem.loss, Squared) else problem.loss
        raise InputError(f"alpha is 'auto' for {model!r}, expected a Product, Gram or SignedGram model and Squared()")
    require(working_memory(problem), "solving this problem")
    scaled = Scaled.of(problem, task.metric_power, int(task.seed), weighted=False)
    if scaled.size == 0:
        return _without_noise(task, convex_minimum(task))
    with one_thread():
        rule = _Rule.of(scaled, task)
        outcome, price = rule.balanced()
        if price is None:
            return _without_noise(task, convex_minimum(task), rule)
        outcome = rule.finished(outcome, price)
        noise = rule.noise(outcome, price)
    return replace(packed(task.at(noise.alpha), scaled, outcome), noise=noise)


def _without_noise(task: Task, solution: Solution, rule: _Rule | None = None) -> Solution:
    """Return an exact fit, with what can be said of the noise in data that it fits."""
    problem = task.problem
    left = float(np.linalg.norm(problem.residual(solution.factors)))
    m, freedom = len(problem.data), 0 if rule is None else rule.scaled.model.freedom(solution.rank)
    sigma = left / np.sqrt(m - freedom) if freedom < m else None
    noise = Noise(
        sigma=None if sigma is None else float(sigma),
        std_error=None if sigma is None else float(sigma / np.sqrt(2 * (m - freedom))),
        alpha=0.0,
        threshold=0.0 if rule is None else rule.threshold / rule.scaled.model.scale,
        refit=solution.factors,
        rank=solution.rank,
        tested_rank=solution.rank,
        freedom=freedom,
    )
    return replace(solution, noise=noise)


@dataclass(frozen=True, eq=False)
class _Rule:
    """The rule for one problem, in the scaled units of `Scaled`.

    ``threshold`` is t in these units, ``outside`` the squared norm of what repeated measurements disagree by.
    """

    task: Task
    scaled: Scaled
    threshold: float
    outside: float

    @classmethod
    def of(cls, scaled: Scaled, task: Task) -> _Rule:
        """Simulate noise, in all measurements, repeated ones included."""
        rng, ratios = np.random.default_rng(int(task.seed)), []
        for _ in range(DRAWS):
            g = rng.standard_normal(task.problem.measurement.size)
            inside = g if scaled.merge is None else scaled.merge.T @ g
            leading = scaled.model.leading(scaled.model.dual_matrix(inside), 1, int(task.seed))[1]
            ratios.append(max(float(leading[0]), 0.0) / float(np.linalg.norm(g)))
        outside = float(np.sum((scaled.outside / scaled.size) ** 2))
        return cls(task, scaled, float(np.quantile(ratios, QUANTILE)), outside)

    def balanced(self) -> tuple[Outcome, float | None]:
        """Return the penalised solution at the fixed point and its price of misfit, None where the data are exact."""
        size2 = float(self.scaled.b @ self.scaled.b) + self.outside
        u, outcome, before = self.threshold**2 * size2, None, None
        for _ in range(SOLVES):
            outcome = self._solve(u**-0.5, COARSE, outcome)
            left = self._left(outcome)
            wanted = self.threshold**2 * left
            if left <= EXACT**2 * size2:
                return outcome, None
            if abs(np.log(wanted / u)) < 2 * ACCURACY or self.task.budget.exhausted:
                break
            now = (u, left)
            u = min(wanted, _secant(self.threshold, before, now)) if before else wanted
            before = now
        assert outcome is not None
        return outcome, u**-0.5

    def finished(self, outcome: Outcome, price: float) -> Outcome:
        """Return the solution to the accuracy that was asked for."""
        return self._solve(price, self.task.tol, outcome, self.task.callback)

    def noise(self, outcome: Outcome, price: float) -> Noise:
        """Fit without penalty at the rank found, test the ranks around it, and estimate the level of the noise.

        Where the data determine the trace, a penalty on it selects no rank, and the tested one is taken.
        """
        scaled, model, problem = self.scaled, self.scaled.model, self.task.problem
        fit = self._refit(model.stack(outcome.U, outcome.s, outcome.V), price)
        tested = self._tested(fit, price)
        x, residual = tested if trace_is_determined(problem) else fit
        U, s, V = model.canonical(x)
        factors = problem.parametrization.flattest(U, scaled.to_z * s, V, scaled.metric)
        m, freedom = len(problem.data), model.freedom(len(s))
        sigma = error = None
        if freedom < m:
            squares = scaled.size**2 * (float(residual @ residual) + self.outside)
            sigma = float(np.sqrt(squares / (m - freedom)))
            error = sigma * _relative_error(problem.residual(factors), m - freedom)
        threshold, alpha = self.threshold / model.scale, scaled.exchanged(price)
        return Noise(sigma, error, alpha, threshold, factors, len(s), tested[0].shape[1], freedom)

    def _solve(self, price: float, tol: float, start: Outcome | None, callback: object = None) -> Outcome:
        model, task = self.scaled.model, self.task
        options = Options(tol, task.widest, int(task.seed), callback)  # type: ignore[arg-type]
        warm = None if start is None else (model.stack(start.U, start.s, start.V), start.y)
        return augmented_lagrangian(model, self.scaled.b, task.budget, options, warm, price)

    def _left(self, outcome: Outcome) -> float:
        """Return the squared residual of all measurements."""
        model = self.scaled.model
        inside = self.scaled.b - model.value(model.stack(outcome.U, outcome.s, outcome.V))
        return float(inside @ inside) + self.outside

    def _refit(self, x: Array, price: float) -> _Fit:
        """Return stacked factors of the least-squares fit at the rank of x, and its residual."""
        model, b = self.scaled.model, self.scaled.b
        end = minimise(model, x, model.value(x), b, UNBIASED * price, REFITTED, self.task.budget)
        return end.x, b - end.value

    def _tested(self, fit: _Fit, price: float) -> _Fit:
        """Return the fit of the smallest rank around that of a given one whose residual passes for noise."""
        model, widest = self.scaled.model, self.task.widest or min(self.scaled.model.whitened.shape)
        is_noise, column = self._is_noise(*fit)
        while is_noise and fit[0].shape[1] > 0:
            U, s, V = model.canonical(fit[0])
            smaller = self._refit(model.stack(U[:, :-1], s[:-1], V[:, :-1]), price)
            if not self._is_noise(*smaller)[0]:
                return fit
            fit = smaller
        for _ in range(min(ABOVE, widest - fit[0].shape[1])):
            if is_noise:
                break
            fit = self._refit(np.hstack([fit[0], column]), price)
            is_noise, column = self._is_noise(*fit)
        return fit

    def _is_noise(self, x: Array, residual: Array) -> tuple[bool, Array]:
        """Return whether nothing outside x sticks out of the residual, and the column that sticks out most."""
        model, m = self.scaled.model, len(self.task.problem.data)
        U, _, V = model.canonical(x)
        u, values, v = model.escapes(model.dual_matrix(residual), U, V, 1, int(self.task.seed))
        free = m - model.freedom(x.shape[1])
        if free <= 0 or not len(values):
            return True, x[:, :0]
        level = np.sqrt((float(residual @ residual) + self.outside) * m / free)
        column = model.stack(u, np.ones(1), v)
        shape = model.value(column)
        size = max(float(residual @ shape) / max(float(shape @ shape), 1e-300), 0.0)
        return bool(values[0] <= self.threshold * level), np.asarray(np.sqrt(size) * column)


def _secant(threshold: float, before: tuple[float, float], now: tuple[float, float]) -> float:
    """Return the fixed point of ``u = t² ρ(u)`` on the line through two points (u, ρ); infinite where there is none."""
    (u0, rho0), (u1, rho1) = before, now
    slope = (rho0 - rho1) / (u0 - u1) if u0 != u1 else np.inf
    constant = rho1 - slope * u1
    if not 0 <= threshold**2 * slope < 1 or constant <= 0:
        return np.inf
    return float(threshold**2 * constant / (1 - threshold**2 * slope))


def _relative_error(residual: Array, free: int) -> float:
    """Return the relative standard error of the root mean square of independent numbers."""
    squares = residual**2
    mean = float(squares.mean())
    return float(np.sqrt(max(squares.var() / mean**2, 0.0) / (4 * free))) if mean else 0.0
