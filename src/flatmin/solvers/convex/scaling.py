"""Scaled units, in which one set of defaults serves every problem.

Users give alpha, the weight of the scaled trace: ``loss + alpha · scaled trace``. Solvers minimise ``‖Z‖_* +
(penalty/2) ‖q − b‖²`` in scaled units, so a large alpha is a small penalty. `Scaled.penalty` and `Scaled.alpha` convert
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.threads import one_thread
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.measurements import Measurement
from flatmin.problem import LARGEST_FACTOR, Problem
from flatmin.proofs.certificate import check_strength
from flatmin.proofs.whitening import measurement_sizes, whiten
from flatmin.solution import Solution
from flatmin.solvers.convex.augmented_lagrangian import augmented_lagrangian
from flatmin.solvers.factored.outcome import Outcome

__all__ = ["Scaled"]

#: Relative difference above which data of repeated measurements contradict each other.
INCONSISTENT = 1e-8
#: Penalty in the search for the best fit to data that no matrix of the cone fits. It is so large that the nuclear norm
#: hardly counts.
FITTING_PENALTY = 1e7
#: Largest ratio of the norms of two whitened sensing matrices. Above it, weights make all norms equal.
SIMILAR_SIZES = 10.0
#: The power of ten of the weakest penalty, relative to the one that balances the loss.
WEAKEST = -303
#: Relative accuracy of the norm of the first dual matrix, by which the data are divided.
ROUGH_ACCURACY = 0.1


@dataclass(frozen=True, eq=False)
class Scaled:
    """A problem in whitened coordinates and scaled units, without redundant measurements.

    The map ``q = scale · B'`` is an isometry on average, and the dual matrix of its data has norm one. ``outside`` is
    the part of the data in which repeated measurements contradict each other. ``weights`` are factors of the
    measurements that give all sensing matrices the same norm, or None.
    """

    model: QuadraticMap
    b: Array
    size: float
    metric: tuple[Metric, Metric]
    merge: Any
    outside: Array
    contradictory: bool
    weights: Array | None
    trace_factor: int

    @classmethod
    def from_problem(cls, problem: Problem, metric_power: float, seed: int, weighted: bool = True) -> Scaled:
        """Merge, whiten and scale a problem; measurements of penalised problems must not be weighted."""
        measurement: Measurement = problem.measurement
        data, merge = problem.data, None
        found = measurement.merged()
        if found is not None:
            measurement, merge = found
            data = merge.T @ problem.data
        outside, contradictory = _outside(problem.data, data, merge)
        if not any(D.rank for D in problem.metric):
            outside, data = problem.data, np.zeros_like(data)
            contradictory = bool(np.any(outside))
        whitened, metric = whiten(problem, metric_power)
        if merge is not None:
            whitened = measurement.congruence(metric[0].power(-1), metric[1].power(-1))
        sizes = measurement_sizes(problem, whitened, metric) if merge is None else whitened.norms()
        weights = _equalizers(sizes) if weighted else None
        if weights is not None:
            whitened, data = whitened.weighted(weights), weights * data
        total = _random_size(whitened, seed)
        scale = np.sqrt(np.prod(whitened.shape)) / total if total else 1.0
        units = None if weights is None else 1 / weights
        flattest = scale * float(np.max(np.abs(data), initial=0.0))
        if total and flattest and not 1 / LARGEST_FACTOR < flattest < LARGEST_FACTOR:
            raise InputError(
                f"the flattest value is of the order {flattest:.1g}, expected {1 / LARGEST_FACTOR:g} to "
                f"{LARGEST_FACTOR:g}, whose squares are numbers; scale the data or the measurements"
            )
        model = problem.parametrization.cone.quadratic_map(whitened, float(scale), units)
        size = _largest(model, data, seed) if np.any(data) and total else 0.0
        factor = problem.parametrization.trace_factor
        b = data / size if size else data
        return cls(model, b, size, metric, merge, outside, contradictory, weights, factor)

    @property
    def to_z(self) -> float:
        """The factor from scaled singular values to those of Z."""
        return self.model.scale * self.size

    def misfit(self, x: Array) -> float:
        """Return the residual of stacked factors x relative to the data."""
        return float(np.linalg.norm(self.model.value(x) - self.b) / np.linalg.norm(self.b))

    def start(self, problem: Problem, warm: Any) -> tuple[Array, Array]:
        """Return stacked factors and multiplier of a warm start."""
        dual = warm.duals[0] if isinstance(warm, Solution) else np.zeros(problem.measurement.size)
        factors = problem.check(warm.factors if isinstance(warm, Solution) else warm)
        if dual.shape != problem.data.shape:
            raise InputError(
                f"the warm start has {dual.size} dual values, expected {problem.data.size}; pass its factors"
            )
        U, s, V = problem.parametrization.singular(factors, self.metric)
        y = (dual if self.merge is None else self.merge.T @ dual) / self.model.scale
        if self.weights is not None:
            y = y / self.weights
        return self.model.stack(U, s / self.to_z if self.size else s, V), np.asarray(y)

    def solve(self, clock: Clock, limits: Limits, start: Any, alpha: float, b: Array | None = None) -> Outcome:
        """Run the augmented Lagrangian method on the data of the problem, or on other scaled data b."""
        penalty = self.penalty(alpha) if alpha else np.inf
        with one_thread():
            return augmented_lagrangian(self.model, self.b if b is None else b, clock, limits, start, penalty)

    def penalty(self, alpha: float) -> float:
        """Return the weight of the misfit in scaled units that corresponds to alpha."""
        check_strength(alpha, 2 * self.size / (self.trace_factor * len(self.outside) * self.model.scale), WEAKEST)
        strength = self.trace_factor * alpha * len(self.outside) * self.model.scale
        return 2 * self.size / strength if strength > 0 else np.inf

    def alpha(self, penalty: float) -> float:
        """Return the alpha that corresponds to a penalty. The function `penalty` is its own inverse."""
        return self.penalty(penalty)

    def best_fit(self, clock: Clock, limits: Limits) -> tuple[Outcome, float]:
        """Return a nearly best fit in the cone, without weights, and its relative misfit."""
        with one_thread():
            outcome = augmented_lagrangian(self.model, self.b, clock, limits, None, FITTING_PENALTY)
        return outcome, self.misfit(self.model.stack(outcome.U, outcome.s, outcome.V))

    def original_dual(self, y: Array, alpha: float) -> Array:
        """Return the dual vector, in the units of the problem, that belongs to a multiplier in scaled units."""
        dual = self.model.scale * (y if self.weights is None else self.weights * y)
        if self.merge is not None:
            dual = self.merge @ dual
        if alpha:
            dual = dual + 2 * self.outside / (self.trace_factor * alpha * len(self.outside))
        return np.asarray(dual)


def _outside(data: Array, merged: Array, merge: Any) -> tuple[Array, bool]:
    """Return the part of the data in which repeated measurements contradict each other, and whether it is too large."""
    if merge is None or len(merged) == len(data):
        return np.zeros(len(data)), False
    outside = data - merge @ merged
    comparable = abs(merge) @ (abs(merge).T @ np.abs(data))
    contradictory = np.any(np.abs(outside) > INCONSISTENT * comparable)
    return outside, bool(contradictory or np.linalg.norm(outside) > INCONSISTENT * np.linalg.norm(data))


def _random_size(whitened: Measurement, seed: int) -> float:
    """Return the norm of the adjoint of normal random numbers, or of the norms of sensing matrices for operators."""
    spread = whitened.adjoint_operator(np.random.default_rng(seed).standard_normal(whitened.size))
    sparse = hasattr(spread, "tocsr")
    return float(
        np.linalg.norm(spread.data if sparse else spread if isinstance(spread, np.ndarray) else whitened.norms())
    )


def _largest(model: QuadraticMap, data: Array, seed: int) -> float:
    """Return the norm of the first dual matrix, or the size of the data if that is zero."""
    S = model.dual_matrix(data)
    largest = model.largest(S, seed, tol=ROUGH_ACCURACY)
    return largest if largest > 0 else float(np.linalg.norm(data)) / model.scale


def _equalizers(sizes: Array) -> Array | None:
    """Return weights that give all sensing matrices the same norm, or None if their norms are similar."""
    seen = sizes[sizes > 0]
    if len(seen) == 0 or seen.max() <= SIMILAR_SIZES * seen.min():
        return None
    return np.where(sizes > 0, np.sqrt(np.mean(seen**2)) / np.where(sizes > 0, sizes, 1), 1.0)
