"""A penalised fit whose strength follows from the noise that it leaves: the square-root rule."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin._memory import require
from flatmin._threads import one_thread
from flatmin.errors import InputError
from flatmin.losses import Squared
from flatmin.metric import Array
from flatmin.noise import Noise
from flatmin.parametrizations import Gram, Product, SignedGram
from flatmin.solution import Solution
from flatmin.solvers.augmented_lagrangian import Options, Outcome, augmented_lagrangian
from flatmin.solvers.convex import convex_minimum, packed, working_memory
from flatmin.solvers.refit import least_squares, unscaled
from flatmin.solvers.scaling import Scaled
from flatmin.solvers.task import Callback, Task

__all__ = ["pivotal_minimum"]

#: Stacked factors and the residual that they leave.
_Fit = tuple[Array, Array]

#: Noise is simulated so often, and this share of it has to stay below the threshold.
DRAWS, QUANTILE = 20, 0.95
#: The strength is found to this relative accuracy, in at most so many solves, each to this gap.
ACCURACY, SOLVES, COARSE = 1e-3, 30, 1e-4
#: A residual this small, relatively, is that of exact data.
EXACT = 1e-7
#: The threshold is that of the residual, up to this relative change, in at most so many trials.
STABLE, TRIALS = 0.02, 6
#: Ranks that are tested above the one that the penalty found.
ABOVE = 8


def pivotal_minimum(task: Task) -> Solution:
    """Return the minimum of ``loss + alpha · scaled trace`` at the strength of the square-root rule, certified.

    With ``Z = D1 X D2``, ``r(alpha)`` the residual of the penalised solution and t a quantile of
    ``‖D1⁻¹ A*(g) D2⁻¹‖ / ‖g‖`` over random g, the rule asks that the penalty be just what noise of the size of the
    residual can do: the dual matrix of r has the norm ``t ‖r‖``. The solution is that of

        ``min ‖A(X) − b‖ + t ‖D1 X D2‖_*``,

    in which the noise level does not occur. In the scaled units of a solve, where misfit costs P/2, the fixed point
    ``1/P = t ‖r(P)‖`` is found by secants on ``‖r‖²`` as a function of ``u = 1/P²``. Where the measurements act like an
    isometry that function is ``Σ min(s_j², u)`` plus a constant, concave, and linear once the rank stands; so secants
    come from the side of strong penalties, where ranks are small, do not overshoot, and end in few steps.

    First g is Gaussian. Noise that is not equally large everywhere, or has heavy tails, can do more, above all in
    completion, where a row sees few cells. So g is then the residual with random signs, which keeps the size of each of
    its entries and no structure between them, and t the larger of the two quantiles; a few rounds settle it.

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
        rule, outcome, price = rule.settled()
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
        unevenness=1.0,
        refit=solution.factors,
        rank=solution.rank,
        penalised_rank=solution.rank,
        freedom=freedom,
    )
    return replace(solution, noise=noise)


@dataclass(frozen=True, eq=False)
class _Rule:
    """The rule for one problem, in the scaled units of `Scaled`.

    ``threshold`` is t in these units, ``even`` that of Gaussian noise, ``outside`` the squared norm of what repeated
    measurements disagree by.
    """

    task: Task
    scaled: Scaled
    threshold: float
    even: float
    outside: float

    @classmethod
    def of(cls, scaled: Scaled, task: Task) -> _Rule:
        """Simulate noise, in all measurements, repeated ones included."""
        rng, norms = np.random.default_rng(int(task.seed)), []
        for _ in range(DRAWS):
            g = rng.standard_normal(task.problem.measurement.size)
            g /= np.linalg.norm(g)
            norms.append(_dual_norm(scaled, g if scaled.merge is None else scaled.merge.T @ g, int(task.seed)))
        even, outside = float(np.quantile(norms, QUANTILE)), float(np.sum((scaled.outside / scaled.size) ** 2))
        return cls(task, scaled, even, even, outside)

    def flipped(self, residual: Array) -> float:
        """Return the quantile of a residual with random signs, or that of Gaussian noise if it is larger."""
        seed = int(self.task.seed)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (DRAWS, len(residual)))
        norms = [_dual_norm(self.scaled, residual * sign, seed) for sign in signs]
        size = np.sqrt(self._squares(residual))
        return max(self.even, float(np.quantile(norms, QUANTILE) / size))

    def settled(self) -> tuple[_Rule, Outcome, float | None]:
        """Return the rule with the threshold of the noise that it finds, the solution, and the price of misfit."""
        rule = self
        outcome, price = rule.balanced(None)
        for _ in range(TRIALS):
            if price is None or self.task.budget.exhausted:
                break
            threshold = rule.flipped(rule._residual(outcome))
            if abs(threshold / rule.threshold - 1) < STABLE:
                break
            rule = replace(rule, threshold=threshold)
            outcome, price = rule.balanced(outcome)
        return rule, outcome, price

    def balanced(self, outcome: Outcome | None) -> tuple[Outcome, float | None]:
        """Return the penalised solution at the fixed point and its price of misfit, None where the data are exact.

        It begins with the strongest penalty that could be right, from the outcome of another threshold if there is one.
        """
        size2 = self._squares(self.scaled.b)
        u, before = self.threshold**2 * size2, None
        for _ in range(SOLVES):
            outcome = self._solve(u**-0.5, COARSE, outcome)
            left = self._squares(self._residual(outcome))
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
        """Test the ranks around that of the penalised solution, fit without penalty, and estimate the level of noise.

        The tested rank is the better one where the two differ: where the data determine the trace, a penalty on it
        selects no rank, and a few outliers among the measurements make columns of their own.
        """
        scaled, model, problem = self.scaled, self.scaled.model, self.task.problem
        x, residual = self._tested(self._refit(model.stack(outcome.U, outcome.s, outcome.V), price), price)
        factors = unscaled(problem, scaled, x)
        m, freedom = len(problem.data), model.freedom(x.shape[1])
        sigma = error = None
        if freedom < m:
            sigma = float(np.sqrt(scaled.size**2 * self._squares(residual) / (m - freedom)))
            error = sigma * _relative_error(problem.residual(factors), m - freedom)
        threshold, alpha = self.threshold / model.scale, scaled.exchanged(price)
        ranks = x.shape[1], len(outcome.s)
        return Noise(sigma, error, alpha, threshold, self.threshold / self.even, factors, *ranks, freedom)

    def _solve(self, price: float, tol: float, start: Outcome | None, callback: Callback | None = None) -> Outcome:
        model, task = self.scaled.model, self.task
        options = Options(tol, task.widest, int(task.seed), callback)
        warm = None if start is None else (model.stack(start.U, start.s, start.V), start.y)
        return augmented_lagrangian(model, self.scaled.b, task.budget, options, warm, price)

    def _residual(self, outcome: Outcome) -> Array:
        model = self.scaled.model
        return self.scaled.b - model.value(model.stack(outcome.U, outcome.s, outcome.V))

    def _squares(self, residual: Array) -> float:
        """Return the squared norm of a residual over all measurements, repeated ones included."""
        return float(residual @ residual) + self.outside

    def _refit(self, x: Array, price: float) -> _Fit:
        """Return stacked factors of the least-squares fit at the rank of x, and its residual."""
        end = least_squares(self.scaled, x, price, self.task.budget)
        return end.x, self.scaled.b - end.value

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
        level = np.sqrt(self._squares(residual) * m / free)
        is_noise = values[0] <= self.even * level or values[0] <= self.flipped(residual) * level
        column = model.stack(u, np.ones(1), v)
        shape = model.value(column)
        size = max(float(residual @ shape) / max(float(shape @ shape), 1e-300), 0.0)
        return bool(is_noise), np.asarray(np.sqrt(size) * column)


def _dual_norm(scaled: Scaled, y: Array, seed: int) -> float:
    """Return the largest value of the dual matrix of y that a matrix of the cone can meet, at least 0."""
    return max(float(scaled.model.leading(scaled.model.dual_matrix(y), 1, seed)[1][0]), 0.0)


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
