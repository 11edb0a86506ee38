"""Simulated noise: the norms of the dual matrices of random residuals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones import Cone
from flatmin.linalg.subspaces import DENSE, as_array
from flatmin.problem import Problem
from flatmin.solvers.convex.scaling import Scaled

__all__ = ["SimulatedNoise"]

#: Number of simulated residuals.
DRAWS = 20
#: The threshold is this quantile of the norms of simulated residuals.
QUANTILE = 0.95


@dataclass(frozen=True, eq=False)
class SimulatedNoise:
    """Quantiles of ``|B*(g)| / ‖g‖`` over random g, in the scaled units of `Scaled`.

    Here ``|S|`` is the largest inner product of a dual matrix S with a matrix of norm one in the cone, or 0 if that is
    negative. ``outside`` is the squared norm of the differences between repeated measurements. ``even`` is the quantile
    for Gaussian noise in all measurements, repeated ones included.
    """

    scaled: Scaled
    cone: Cone
    seed: int
    outside: float
    even: float

    @classmethod
    def from_problem(cls, problem: Problem, scaled: Scaled, seed: int) -> SimulatedNoise:
        """Simulate Gaussian noise in the measurements of a problem."""
        outside = float(np.sum((scaled.outside / scaled.size) ** 2))
        blank = cls(scaled, problem.parametrization.cone, seed, outside, 0.0)
        rng = np.random.default_rng(seed)
        draws = (rng.standard_normal(problem.measurement.size) for _ in range(DRAWS))
        return cls(scaled, blank.cone, seed, outside, blank._quantile(g / np.linalg.norm(g) for g in draws))

    def flipped(self, residual: Array) -> float:
        """Return the quantile of a residual with random signs, or that of Gaussian noise if it is larger.

        The random signs multiply the residuals of the user's measurements, because a merged measurement mixes many of
        them.
        """
        scaled, rng = self.scaled, np.random.default_rng(self.seed)
        if scaled.merge is not None:
            residual = scaled.merge @ residual + scaled.outside / scaled.size
        draws = (residual * rng.choice([-1.0, 1.0], len(residual)) for _ in range(DRAWS))
        return max(self.even, self._quantile(draws) / float(np.linalg.norm(residual)))

    def _quantile(self, draws: Iterable[Array]) -> float:
        """Return the quantile of ``|B*(g)|`` over given vectors g of noise in the user's measurements."""
        merge = self.scaled.merge
        norms = [self.largest(g if merge is None else merge.T @ g) for g in draws]
        return float(np.quantile(norms, QUANTILE))

    def squares(self, residual: Array) -> float:
        """Return the squared norm of a residual over all measurements, repeated ones included."""
        return float(residual @ residual) + self.outside

    def largest(self, y: Array) -> float:
        """Return ``|B*(y)|``."""
        S = self.scaled.model.dual_matrix(y)
        if not isinstance(S, np.ndarray) and not (hasattr(S, "toarray") and min(S.shape) <= DENSE):
            return max(self.scaled.model.largest(S, self.seed), 0.0)
        return self.cone.rough_largest_value(as_array(S))
