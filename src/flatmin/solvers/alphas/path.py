"""Regularization paths: penalised solutions for descending alphas, each started at the previous solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin._core.validation import numeric, positive, shown, whole_number
from flatmin.errors import InputError
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Solution
from flatmin.solvers.choose import flat_minimum
from flatmin.solvers.completion.alternating import alternating_factors, applies_to
from flatmin.solvers.convex.augmented_lagrangian import augmented_lagrangian
from flatmin.solvers.convex.minimum import packed, working_memory
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.task import Task

__all__ = ["Prepared", "RegularizationPath", "alpha_max", "descending", "flat_path", "flat_solution", "geometric"]

#: Largest number of alphas of a path.
MOST_ALPHAS = 100_000


@dataclass(frozen=True, eq=False)
class RegularizationPath:
    """The result of `flat_path`: descending alphas (n,), and the certified solution at each of them.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 100, noise=0.3)
    >>> path = fm.flat_path(instance.problem, n_alphas=5)
    >>> len(path), path.ranks, bool(path.losses[0] > path.losses[-1])
    (5, array([0, 1, 1, 5, 6]), True)
    """

    alphas: Array
    solutions: tuple[Solution, ...]

    @property
    def ranks(self) -> Array:
        """The rank of each solution, shape (n,)."""
        return np.array([s.rank for s in self.solutions])

    @cached_property
    def losses(self) -> Array:
        """The loss of each solution, the mean of its squared residuals, shape (n,)."""
        return np.array([s.flatness.loss for s in self.solutions])

    @property
    def traces(self) -> Array:
        """The penalty of each solution without the factor alpha, shape (n,); its scaled trace for metric_power = 1."""
        return np.asarray((np.array([s.checked_certificate.value for s in self.solutions]) - self.losses) / self.alphas)

    @property
    def gaps(self) -> Array:
        """The relative duality gap of each solution, shape (n,)."""
        return np.array([s.checked_certificate.relative_gap for s in self.solutions])

    def __len__(self) -> int:
        return len(self.solutions)


def flat_path(
    problem: Problem,
    alphas: Any = None,
    *,
    n_alphas: int = 20,
    ratio: float = 0.01,
    metric_power: float = 1.0,
    max_rank: int | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> RegularizationPath:
    """Return the minima of ``loss + alpha · scaled trace`` for many alphas, each one certified.

    Each solve starts at the solution for the next larger alpha, which has a lower rank. Computations that do not depend
    on alpha are done once.

    Parameters
    ----------
    problem : Problem
        The model and its data.
    alphas : array_like, shape (n,), optional
        Positive numbers, in any order. By default they are spaced geometrically below `alpha_max`, where the solution
        is zero. Only `Product`, `Gram` and `SignedGram` models with the loss `Squared` have default alphas.
    n_alphas, ratio : int, float
        The number of alphas by default, and the ratio of the smallest to the largest one.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``.
    max_rank : int, optional
        The largest rank allowed.
    tol : float
        Target for the relative duality gap of each solution.
    max_iter : int, optional
        The largest number of Newton steps for each alpha.
    seed : int
        Seed of random choices.
    callback : callable, optional
        Called after each alpha with a dict of alpha, rank, gap and seconds.

    Returns
    -------
    RegularizationPath

    Raises
    ------
    InputError
        If an argument is out of range, or the model has no default alphas and none are given.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 2, 60, noise=0.1)
    >>> path = flat_path(instance.problem, n_alphas=5)
    >>> path.ranks, bool(path.gaps.max() < 1e-8)
    (array([0, 2, 2, 4, 4]), True)
    """
    limits = Limits(max_rank, tol, max_iter, seed=seed)
    task = Task(problem, 1.0, metric_power, limits=limits)
    prepared = Prepared.from_task(task) if alphas is None or problem.is_convex else None
    if alphas is None and prepared is not None:
        chosen_alphas = geometric(prepared.largest_alpha, n_alphas, ratio)
    else:
        chosen_alphas = descending(alphas)
    solutions: list[Solution] = []
    start: Any = None
    for alpha in chosen_alphas:
        if prepared is None:
            solution = start = flat_solution(replace(task, alpha=float(alpha), warm_start=start))
        else:
            clock = limits.start()
            start = prepared.outcome(float(alpha), tol, start, clock)
            solution = packed(replace(task, alpha=float(alpha)), clock, prepared.scaled, start)
        solutions.append(solution)
        if callback is not None:
            row = {"alpha": float(alpha), "rank": solution.rank, "gap": solution.checked_certificate.relative_gap}
            callback(row | {"seconds": solution.seconds})
    return RegularizationPath(chosen_alphas, tuple(solutions))


def flat_solution(task: Task) -> Solution:
    """Return the solution of a task by `flat_minimum`."""
    return flat_minimum(
        task.problem,
        alpha=task.alpha,
        metric_power=task.metric_power,
        max_rank=task.limits.max_rank,
        tol=task.limits.tol,
        max_iter=task.limits.max_iter,
        warm_start=task.warm_start,
        seed=task.limits.seed,
    )


def alpha_max(problem: Problem, *, metric_power: float = 1.0, seed: int = 0) -> float:
    """Return the smallest alpha at which zero minimises ``loss + alpha · scaled trace``.

    It is ``2 |B*(b)| / (c m)`` with the dual norm ``|·|`` (the operator norm; for semidefinite models the largest
    eigenvalue or 0) and c = 4 for products, 8 for Hermitian models.

    Parameters
    ----------
    problem : Problem
        A `Product`, `Gram` or `SignedGram` model with the loss `Squared`.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``.
    seed : int
        Seed of the first vectors of Lanczos iterations.

    Returns
    -------
    float
        0 if the adjoint of the data is zero: the solution is then zero for every alpha.

    Raises
    ------
    InputError
        If the model or an argument cannot be used.

    Examples
    --------
    >>> import flatmin as fm
    >>> A = fm.measurements.Identity((2, 2))
    >>> p = fm.Problem(A, [3.0, 0.0, 0.0, 1.0])  # D1 = D2 = I/2, so B*(b) = 4 diag(3, 1); and c m = 16
    >>> round(alpha_max(p), 12)
    1.5
    """
    return Prepared.from_task(Task(problem, 1.0, metric_power, limits=Limits(seed=seed))).largest_alpha


def descending(alphas: Any) -> Array:
    """Return alphas as a descending array without repetitions, or raise `InputError`."""
    found = np.atleast_1d(numeric(alphas, "alphas"))
    if found.ndim != 1 or found.size == 0 or not np.all(found > 0):
        raise InputError(
            f"alphas has shape {found.shape} and smallest value {found.min(initial=np.inf):g}, "
            "expected one or more positive numbers; for an exact fit use flat_minimum"
        )
    return np.unique(found)[::-1]


def geometric(top: float, n_alphas: int, ratio: float) -> Array:
    """Return ``n_alphas`` alphas from ``top`` down to ``ratio * top``. If top is 0, they start at 1 instead."""
    if whole_number(n_alphas, "n_alphas", 1) > MOST_ALPHAS:
        raise InputError(f"n_alphas is {shown(n_alphas)}, expected at most {MOST_ALPHAS}")
    ratio = positive(ratio, "ratio", below=1.0)
    return (top or 1.0) * ratio ** np.linspace(0.0, 1.0, int(n_alphas))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A convex problem with squared loss, merged, whitened and scaled once, to be solved at many alphas."""

    problem: Problem
    scaled: Scaled
    max_rank: int | None = None
    seed: int = 0
    metric_power: float = 1.0

    @classmethod
    def from_task(cls, task: Task) -> Prepared:
        """Prepare the problem of a task. The alpha of the task is not used."""
        problem = task.problem
        if not problem.is_convex:
            raise InputError(
                f"alphas are not given for {problem.model!r}, expected positive numbers: this model has no default ones"
            )
        require(working_memory(problem), "solving this problem")
        scaled = Scaled.from_problem(problem, task.metric_power, task.limits.seed, weighted=False)
        return cls(problem, scaled, task.max_rank, task.limits.seed, task.metric_power)

    @cached_property
    def largest_alpha(self) -> float:
        """The smallest alpha at which the solution is zero."""
        scaled = self.scaled
        if scaled.size == 0:
            return 0.0
        largest = self.problem.parametrization.cone.largest_value(scaled.model.dual_matrix(scaled.b), self.seed)
        return scaled.alpha(1 / largest) if largest > 0 else 0.0

    def outcome(self, alpha: float, tol: float, start: Outcome | None, clock: Clock) -> Outcome:
        """Return the solution at an alpha to a relative gap ``tol``, started at the solution for another alpha."""
        scaled, model = self.scaled, self.scaled.model
        if scaled.size == 0:
            return Outcome.zero(self.problem.shape, scaled.b)
        penalty = scaled.penalty(alpha)
        if alpha >= self.largest_alpha:
            zero = Outcome.zero(self.problem.shape, scaled.b)
            zero.y = penalty * scaled.b
            zero.record((zero.U, zero.s, zero.V), clock, residual=1.0, gap=0.0, rank=0)
            return zero
        limits = Limits(self.max_rank, tol, seed=self.seed)
        task = Task(self.problem, alpha, self.metric_power, limits=limits)
        if applies_to(task):
            warm_factors = self.factors(start) if start is not None and len(start.s) else None
            return self._alternating(replace(task, warm_start=warm_factors), clock, penalty)
        warm = None
        if start is not None and len(start.s):
            warm = model.stack(start.U, start.s, start.V), start.y
        with one_thread():
            return augmented_lagrangian(model, scaled.b, clock, limits, warm, penalty)

    def _alternating(self, task: Task, clock: Clock, penalty: float) -> Outcome:
        """Return the solution that the solver of large tables finds, in scaled units."""
        (L, R), converged = alternating_factors(task, clock)
        model, scaled = self.scaled.model, self.scaled
        U, s, V = self.problem.parametrization.singular((L, R), scaled.metric)
        s = s / scaled.to_z
        y = penalty * (scaled.b - model.value(model.stack(U, s, V)))
        return Outcome(U, s, V, y, -np.inf, converged)

    def factors(self, outcome: Outcome) -> Factors:
        """Return the factors, in the units of the problem, of an outcome."""
        scaled = self.scaled
        return self.problem.parametrization.flattest(outcome.U, scaled.to_z * outcome.s, outcome.V, scaled.metric)
