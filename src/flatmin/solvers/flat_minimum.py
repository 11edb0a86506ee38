"""The flattest solution of a problem, with its proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._memory import require
from flatmin._threads import one_thread
from flatmin._validation import numeric
from flatmin.certificates import ALIKE, Certificate, certificate_of, measurement_sizes, whiten
from flatmin.errors import InputError
from flatmin.flatness import flatness
from flatmin.measurements import Measurement
from flatmin.metric import Array
from flatmin.operator_norm import leading_triplets
from flatmin.parametrizations import Product
from flatmin.problem import Problem
from flatmin.solution import Solution, Status
from flatmin.solvers.augmented_lagrangian import Options, Outcome, augmented_lagrangian
from flatmin.solvers.factored import StackedProduct
from flatmin.solvers.newton import Budget
from flatmin.solvers.refine import project_data

__all__ = ["certify", "flat_minimum"]

#: Data this far (relatively) from every matrix's measurements contradict themselves.
INCONSISTENT = 1e-8


def flat_minimum(
    problem: Problem,
    *,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    max_rank: int | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    time_limit: float | None = None,
    warm_start: Any = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> Solution:
    """Return the flattest interpolating solution, certified; no rank, step size or initialization is needed.

    Parameters
    ----------
    problem : Problem
        A `Product` model over any real measurement map.
    alpha : float
        0 fits the data exactly; a positive value minimises ``loss + alpha · scaled trace`` instead.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``, from 0 (nuclear norm) to 1 (flat).
    max_rank : int, optional
        The largest rank allowed; below the rank of the flat minimum nothing can be certified.
    tol : float
        Target for the relative residual and the relative duality gap.
    max_iter : int, optional
        The largest number of Newton steps.
    time_limit : float, optional
        Seconds after which the best solution so far is returned.
    warm_start : Solution or tuple of ndarray, optional
        A solution of a similar problem, or factors, to start from.
    seed : int
        Starts the Lanczos iterations; the solution does not depend on it beyond rounding.
    callback : callable, optional
        Called after each round with a dict of iteration, seconds, residual, gap and rank.

    Returns
    -------
    Solution
        Its certificate says what is proved, its status what to do next.

    Raises
    ------
    InputError
        If an argument is out of range, the warm start does not fit, or memory would not suffice.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    >>> s = fm.flat_minimum(instance.problem)
    >>> s.status.name, s.rank, bool(abs(s.matrix - instance.truth).max() < 1e-7)
    ('unique_flat_minimum', 1, True)
    """
    _check(problem, alpha, metric_power, max_rank, tol, max_iter, time_limit, seed)
    require(_working_memory(problem), "solving this problem")
    budget = Budget(max_iter, time_limit)
    options = Options(tol, problem.parametrization.rank if max_rank is None else max_rank, seed, callback)
    scaled = _Scaled.of(problem, metric_power, seed)
    start = None if warm_start is None else scaled.start(problem, warm_start)
    contradiction = float(np.linalg.norm(scaled.outside)) / max(float(np.linalg.norm(problem.data)), 1e-300)
    consistent = alpha > 0 or contradiction <= INCONSISTENT
    if scaled.size == 0:
        d1, d2 = problem.shape
        outcome = Outcome(np.zeros((d1, 0)), np.zeros(0), np.zeros((d2, 0)), np.zeros_like(scaled.b), 0.0, True)
    else:
        outcome = scaled.solve(budget, options, start, alpha, problem.measurement.size)
        if alpha == 0 and not outcome.converged and not budget.exhausted:
            projected, distance = project_data(scaled.model, scaled.b)
            if distance > INCONSISTENT:
                consistent = False
                outcome = scaled.with_data(projected).solve(budget, options, None, alpha, problem.measurement.size)
    factors = problem.parametrization.flattest(outcome.U, scaled.to_z * outcome.s, outcome.V, scaled.metric)
    dual = scaled.dual(outcome.y)
    if alpha > 0:
        dual = dual + scaled.outside / (2 * alpha * problem.measurement.size)
    proof = certificate_of(problem, factors, dual, alpha=alpha, metric_power=metric_power, seed=seed)
    return Solution(
        factors=factors,
        status=_status(proof, consistent, outcome, budget, alpha),
        certificate=proof,
        flatness=flatness(problem, factors),
        history={name: np.array(values) for name, values in outcome.history.items()},
        seconds=budget.seconds,
        iterations=budget.iterations,
        undetermined=(problem.metric[0].undetermined, problem.metric[1].undetermined),
        parametrization=problem.parametrization,
        settings={
            "alpha": alpha,
            "metric_power": metric_power,
            "max_rank": max_rank,
            "tol": tol,
            "max_iter": max_iter,
            "time_limit": time_limit,
            "seed": seed,
        },
    )


def certify(problem: Problem, factors_or_matrix: Any, dual: Any = None, *, metric_power: float = 1.0) -> Certificate:
    """Return what can be proved about a solution, whoever made it.

    Parameters
    ----------
    problem : Problem
        The model and its data.
    factors_or_matrix : tuple of ndarray, or ndarray of shape (d1, d2)
        A tuple is factors, an array is the matrix itself.
    dual : array_like, shape (m,), optional
        Any dual vector; None lets the solver find one.
    metric_power : float
        As in `flat_minimum`.

    Returns
    -------
    Certificate
        ``holds`` is False, never an error, where nothing can be proved.

    Raises
    ------
    InputError
        If the solution or the dual does not fit the problem.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    >>> fm.certify(instance.problem, instance.truth).holds
    True
    """
    if isinstance(factors_or_matrix, tuple):
        factors = problem.parametrization.check(factors_or_matrix, problem.shape)
    else:
        X = numeric(factors_or_matrix, "the matrix")
        if X.shape != problem.shape:
            raise InputError(f"the matrix has shape {X.shape}, expected {problem.shape}")
        U, s, Vt = np.linalg.svd(X, full_matrices=False)
        factors = (U * s, Vt.T)
    if dual is None:
        dual = flat_minimum(problem, metric_power=metric_power).certificate.dual
    return certificate_of(problem, factors, dual, metric_power=metric_power)


@dataclass(frozen=True, eq=False)
class _Scaled:
    """A problem without redundancy, in whitened coordinates, in units in which one set of defaults serves all.

    ``q = scale · B'`` is an isometry on average and the dual matrix of its data has norm one. ``outside`` is the part
    of the data that contradicts the rest, ``weights`` give measurements of very different scale the same size.
    """

    model: StackedProduct
    b: Array
    size: float
    metric: Any
    merge: Any
    outside: Array
    weights: Array | None

    @classmethod
    def of(cls, problem: Problem, metric_power: float, seed: int) -> _Scaled:
        measurement: Measurement = problem.measurement
        data, merge = problem.data, None
        found = measurement.merged()
        if found is not None:
            measurement, merge = found
            data = merge.T @ problem.data
        outside = problem.data - (data if merge is None else merge @ data)
        if not any(D.rank for D in problem.metric):
            outside, data = problem.data, np.zeros_like(data)
        whitened, metric = whiten(problem, metric_power)
        if merge is not None:
            whitened = measurement.congruence(metric[0].power(-1), metric[1].power(-1))
        weights = _equalizers(measurement_sizes(problem, whitened, metric) if merge is None else whitened.norms())
        if weights is not None:
            whitened, data = whitened.weighted(weights), weights * data
        probe = np.random.default_rng(seed).standard_normal(whitened.size)
        spread = whitened.adjoint_operator(probe)
        total = float(np.linalg.norm(spread.data if hasattr(spread, "tocsr") else spread))
        scale = np.sqrt(np.prod(whitened.shape)) / total if total else 1.0
        model = StackedProduct(whitened, float(scale), None if weights is None else 1 / weights)
        first = model.dual_matrix(data)
        size = float(leading_triplets(first, 1, seed=seed)[1][0]) if np.any(data) and total else 0.0
        return cls(model, data / size if size else data, size, metric, merge, outside, weights)

    @property
    def to_z(self) -> float:
        """What turns scaled singular values into those of Z."""
        return self.model.scale * self.size

    def dual(self, y: Array) -> Array:
        """Return the dual vector of the problem that belongs to a multiplier."""
        dual = self.model.scale * (y if self.weights is None else self.weights * y)
        return dual if self.merge is None else np.asarray(self.merge @ dual)

    def start(self, problem: Problem, warm: Any) -> tuple[Array, Array]:
        """Return stacked factors and multiplier of a warm start."""
        dual = warm.certificate.dual if isinstance(warm, Solution) else np.zeros(problem.measurement.size)
        factors = problem.parametrization.check(warm.factors if isinstance(warm, Solution) else warm, problem.shape)
        if dual.shape != problem.data.shape:
            raise InputError(
                f"the warm start has {dual.size} dual values, expected {problem.data.size}; pass its factors"
            )
        U, s, V = problem.parametrization.singular(factors, self.metric)
        y = (dual if self.merge is None else self.merge.T @ dual) / self.model.scale
        if self.weights is not None:
            y = y / self.weights
        return self.model.stack(U, s / self.to_z if self.size else s, V), np.asarray(y)

    def with_data(self, b: Array) -> _Scaled:
        """Return the same problem with other (scaled) data."""
        return replace(self, b=b)

    def solve(self, budget: Budget, options: Options, start: Any, alpha: float, m: int) -> Outcome:
        """Run the augmented Lagrangian method."""
        penalty = self.size / (2 * alpha * m * self.model.scale) if alpha else np.inf
        with one_thread():
            return augmented_lagrangian(self.model, self.b, budget, options, start, penalty)


def _equalizers(sizes: Array) -> Array | None:
    """Return weights that give all measurements the same size, or None if their sizes are similar already."""
    seen = sizes[sizes > 0]
    if len(seen) == 0 or seen.max() <= ALIKE * seen.min():
        return None
    return np.where(sizes > 0, np.sqrt(np.mean(seen**2)) / np.where(sizes > 0, sizes, 1), 1.0)


def _status(proof: Certificate, consistent: bool, outcome: Outcome, budget: Budget, alpha: float) -> Status:
    if not consistent:
        return Status.inconsistent_data
    if proof.holds and alpha > 0:
        return Status.regularized_minimum
    if proof.holds:
        return Status.unique_flat_minimum if proof.unique else Status.flat_minimum
    if not outcome.converged and budget.exhausted:
        return Status.time_limit if budget.out_of_time else Status.iteration_limit
    return Status.not_certified


def _working_memory(problem: Problem) -> float:
    """Return a rough upper estimate, in bytes, of what the solver will hold beside the measurements."""
    d1, d2 = problem.shape
    jacobian = min(8 * problem.measurement.size * (d1 + d2) * min(d1, d2), 1.2e9)
    certificate = 24.0 * min(d1, d2, 8000) ** 2
    return jacobian + certificate + problem.measurement.nbytes


def _check(
    problem: Problem,
    alpha: float,
    metric_power: float,
    max_rank: int | None,
    tol: float,
    max_iter: int | None,
    time_limit: float | None,
    seed: int,
) -> None:
    if not isinstance(problem, Problem) or not isinstance(problem.parametrization, Product):
        raise InputError("flat_minimum expects a Problem whose parametrization is Product")
    for name, value, low, high in (
        ("alpha", alpha, 0.0, np.inf),
        ("metric_power", metric_power, 0.0, 1.0),
        ("tol", tol, 1e-14, 1.0),
        ("time_limit", time_limit, 0.0, np.inf),
    ):
        good = value is None or (isinstance(value, int | float | np.number) and low <= value <= high)
        if not good or (name != "time_limit" and value is None):
            raise InputError(f"{name} is {value!r}, expected a number from {low:g} to {high:g}")
    for name, count, low_count in (("max_rank", max_rank, 1), ("max_iter", max_iter, 0), ("seed", seed, 0)):
        if (count is None and name != "seed") or (isinstance(count, int | np.integer) and count >= low_count):
            continue
        raise InputError(f"{name} is {count!r}, expected a whole number of at least {low_count}")
