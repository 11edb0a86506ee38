"""What every map from weights to a matrix can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from flatmin.metric import Array, Metric

__all__ = ["Factors", "Parametrization"]

Factors = tuple[Array, ...]


class Parametrization(ABC):
    """How weights make a matrix, how flat the loss is there, and which convex norm its flat solutions minimise.

    Attributes
    ----------
    names : tuple of str
        The name of each factor, as in saved files.
    rank : int or None
        The width of the model; None means as wide as it takes.
    """

    names: ClassVar[tuple[str, ...]]
    rank: int | None

    @abstractmethod
    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return ``factors`` as float64 arrays that fit a matrix of ``shape``, or raise `InputError`."""

    @abstractmethod
    def matrix(self, factors: Factors) -> Array:
        """Return the matrix that the factors make."""

    @abstractmethod
    def width(self, factors: Factors) -> int:
        """Return the number of columns."""

    @abstractmethod
    def hessian_trace(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return the trace of the Hessian of ``(1/m) ‖A(X(θ)) − b‖²`` at the factors."""

    @abstractmethod
    def gauss_newton_trace(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return the trace of the Gauss-Newton part of that Hessian."""

    @abstractmethod
    def scaled_trace(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return the trace whose minimisers are called flat."""

    @abstractmethod
    def fibre_minimum(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return the smallest scaled trace over all factors of the same matrix."""

    @abstractmethod
    def singular(self, factors: Factors, metric: tuple[Metric, Metric]) -> tuple[Array, Array, Array]:
        """Return the decomposition ``U, s, V`` of the matrix in whitened coordinates, without forming it."""

    @abstractmethod
    def flattest(self, U: Array, s: Array, V: Array, metric: tuple[Metric, Metric]) -> Factors:
        """Return the flattest factors of the matrix whose whitened decomposition is ``U, s, V``."""

    @abstractmethod
    def unwhiten(self, P: Array, Q: Array, metric: tuple[Metric, Metric]) -> Factors:
        """Return the factors whose whitened form is P and Q."""

    @abstractmethod
    def balance(self, factors: Factors) -> float:
        """Return how far the factors are from balanced, in the nuclear norm."""

    @abstractmethod
    def norm_excess(self, factors: Factors) -> float:
        """Return how much larger the factors are than the smallest ones of the same matrix, relatively."""
