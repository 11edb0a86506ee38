"""Parametrization: the base class of maps from factors to a matrix."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import shown
from flatmin.cones import Cone, Rectangular
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric, svd_of_product
from flatmin.measurements import Measurement

__all__ = ["Factors", "Metrics", "Parametrization"]

Factors = tuple[Array, ...]
Metrics = tuple[Metric, Metric]


class Parametrization(ABC):
    """A map from factors to a matrix, the curvature of the loss there, and its flattest factors.

    Attributes
    ----------
    names : tuple of str
        The name of each factor, as in saved files.
    rank : int or None
        The width of the model; None means that the solver chooses it.
    cone : Cone
        The set of matrices that the model can represent, with its norm.
    has_cone_norm : bool
        Whether flat solutions minimise the norm of the cone; otherwise the model has a norm of its own.
    trace_factor : int
        The smallest scaled trace over all factors of X is ``trace_factor · ‖D1 X D2‖_*``.
    """

    names: tuple[str, ...]
    rank: int | None
    cone: ClassVar[Cone] = Rectangular()
    has_cone_norm: ClassVar[bool] = True
    trace_factor: ClassVar[int] = 4

    def __post_init__(self) -> None:
        rank = self.rank
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int | np.integer) or rank < 1):
            raise InputError(f"rank is {shown(rank)}, expected a positive whole number or None")

    @abstractmethod
    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return ``factors`` as arrays that fit a matrix of ``shape``, or raise `InputError`."""

    def check_measurement(self, measurement: Measurement) -> None:
        """Raise `InputError` if the model cannot be measured by this map."""
        if np.issubdtype(measurement.dtype, np.complexfloating):
            raise InputError(f"the sensing matrices are complex, expected real ones for {type(self).__name__}")

    def metric(self, measurement: Measurement) -> Metrics:
        """Return the pair (D1, D2) that whitens matrices, ``Z = D1 X D2``."""
        return measurement.metric()

    @abstractmethod
    def pair(self, factors: Factors) -> tuple[Array, Array]:
        """Return (P, Q) of shapes (d1, k) and (d2, k) with ``X = P Q*``."""

    @abstractmethod
    def random(self, shape: tuple[int, int], width: int, rng: np.random.Generator) -> Factors:
        """Return Gaussian factors of the given width, or of the width of the model if that is fixed."""

    def matrix(self, factors: Factors) -> Array:
        """Return the matrix X of the factors."""
        P, Q = self.pair(factors)
        return np.asarray(P @ Q.conj().T)

    def width(self, factors: Factors) -> int:
        """Return the number of columns."""
        return int(self.pair(factors)[0].shape[1])

    def signature(self, factors: Factors) -> list[int] | None:
        """Return the numbers of positive and negative columns, or None for models without signs."""
        return None

    @abstractmethod
    def gauss_newton_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return the trace of the Gauss-Newton part of the Hessian of ``(1/m) ‖A(X(θ)) − b‖²`` at the factors."""

    def hessian_trace(self, factors: Factors, measurement: Measurement, metric: Metrics, residual: Array) -> float:
        """Return the trace of the Hessian, which is the Gauss-Newton trace if X is linear in each single weight."""
        return self.gauss_newton_trace(factors, measurement, metric)

    def scaled_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return the scaled trace, whose minimisers are called flat; by default it is the Gauss-Newton trace."""
        return self.gauss_newton_trace(factors, measurement, metric)

    def fibre_minimum(self, factors: Factors, metric: Metrics) -> float | None:
        """Return the smallest scaled trace over all factors of the same matrix, or None if no formula is known."""
        return self.trace_factor * float(self.singular(factors, metric)[1].sum())

    def singular(self, factors: Factors, metric: Metrics) -> tuple[Array, Array, Array]:
        """Return the decomposition ``U, s, V`` of ``Z = D1 X D2``, without forming it."""
        P, Q = self.pair(factors)
        return self.cone.decompose(metric[0] @ P, metric[1] @ Q)

    @abstractmethod
    def flattest(self, U: Array, s: Array, V: Array, metric: Metrics) -> Factors:
        """Return the flattest factors of the matrix whose whitened decomposition is ``U, s, V``."""

    def balance(self, factors: Factors) -> float:
        """Return ``‖P*P − Q*Q‖_*`` for ``X = P Q*``, which is 0 for balanced factors."""
        P, Q = self.pair(factors)
        return float(np.abs(np.linalg.eigvalsh(P.conj().T @ P - Q.conj().T @ Q)).sum())

    def norm_excess(self, factors: Factors) -> float:
        """Return the squared norm of the factors relative to the smallest one for X, minus 1; 0 for zero factors."""
        norm, smallest = self._norms(factors)
        if norm == 0:
            return 0.0
        return norm / smallest - 1 if smallest > 0 else float("inf")

    def _norms(self, factors: Factors) -> tuple[float, float]:
        """Return the squared norm of the factors, and the smallest squared norm of any factors of the same matrix."""
        P, Q = self.pair(factors)
        norm = float(np.linalg.norm(P) ** 2 + np.linalg.norm(Q) ** 2)
        return norm, 2 * float(svd_of_product(P, Q)[1].sum())
