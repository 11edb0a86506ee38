"""Hadamard: vectors ``x = u_1 ∘ … ∘ u_N``, entrywise products, for sparse regression."""

from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import ClassVar

import numpy as np

from flatmin._core.arrays import Array, namespace
from flatmin._core.validation import numeric, shown
from flatmin.errors import InputError
from flatmin.linalg.forward_error import power
from flatmin.linalg.metric import Metric, check_squares
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors, Metrics, Parametrization

__all__ = ["Hadamard"]

#: Largest number of entries in a block of streamed sensing vectors.
BLOCK = 250_000


@dataclass(frozen=True)
class Hadamard(Parametrization):
    """``x = u_1 ∘ … ∘ u_N``, the entrywise product of N vectors, for sparse regression.

    x and every factor are columns (n, 1), and x is measured by ``⟨a_i, x⟩``. Let ``w_j = (1/m) Σ_i a_ij²``. At every
    point, the Hessian of the loss ``(1/m) ‖A x − b‖²`` has the trace ``Σ_l Σ_j 2 w_j Π_{i≠l} u_ij²``. The smallest
    trace over all factors of x is ``2N Σ_j w_j |x_j|^p`` with ``p = 2 − 2/N``, reached if all ``|u_ij| = |x_j|^(1/N)``.
    For two factors it is a weighted ℓ1 norm. With more factors p approaches 2, and solutions are no longer sparse.

    Parameters
    ----------
    depth : int
        The number N of factors, at least 2.

    Raises
    ------
    InputError
        If the depth is not a whole number of at least 2.

    Examples
    --------
    >>> import flatmin as fm
    >>> A = fm.measurements.Dense([[1.0, 2.0, 3.0]])
    >>> fm.flat_minimum(fm.Problem(A, [6.0], Hadamard(2))).matrix.ravel().round(6)
    array([6., 0., 0.])
    """

    has_cone_norm: ClassVar[bool] = False
    depth: int = 2

    def __post_init__(self) -> None:
        whole = isinstance(self.depth, int | np.integer) and not isinstance(self.depth, bool)
        if whole and self.depth == 1:
            raise InputError("depth is 1, expected at least 2: a single factor is linear and every point equally flat")
        if not whole or self.depth < 2:
            raise InputError(f"depth is {shown(self.depth)}, expected a whole number of at least 2")
        object.__setattr__(self, "depth", int(self.depth))

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """``u_1 … u_N``."""
        return tuple(f"u_{i + 1}" for i in range(self.depth))

    @property
    def power(self) -> float:
        """The exponent ``p = 2 − 2/N`` of the fibre minimum."""
        return 2 - 2 / self.depth

    def check_measurement(self, measurement: Measurement) -> None:
        """Raise `InputError` unless the map is real and measures vectors, that is, matrices of one column."""
        super().check_measurement(measurement)
        if measurement.shape[1] != 1:
            raise InputError(f"the unknown has shape {measurement.shape}, expected one column, (n, 1), for Hadamard")

    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return (u_1, …, u_N) as float64 arrays of shape (n, 1); shape (n,) is accepted too."""
        if not isinstance(factors, tuple | list) or len(factors) != self.depth:
            raise InputError(f"the factors of {self!r} are {self.depth} vectors (u_1, …, u_{self.depth})")
        checked = tuple(numeric(u, name) for u, name in zip(factors, self.names, strict=True))
        for u, name in zip(checked, self.names, strict=True):
            if u.shape not in ((shape[0],), (shape[0], 1)):
                raise InputError(f"{name} has shape {u.shape}, expected ({shape[0]}, 1)")
        return tuple(u.reshape(-1, 1) for u in checked)

    def pair(self, factors: Factors) -> tuple[Array, Array]:
        """Return (x, 1)."""
        return reduce(mul, factors), namespace(factors[0]).ones((1, 1), dtype=factors[0].dtype)

    def random(self, shape: tuple[int, int], width: int, rng: np.random.Generator) -> Factors:
        """Return Gaussian vectors; all models of a depth have the same width."""
        return tuple(rng.standard_normal((shape[0], 1)) for _ in range(self.depth))

    def width(self, factors: Factors) -> int:
        """Return the number of coordinates of x that are not zero."""
        return int(np.count_nonzero(self.pair(factors)[0]))

    def metric(self, measurement: Measurement) -> Metrics:
        """Return the diagonal D1 and the number D2, so that D1 x D2 has the coordinates ``w_j^(1/p) x_j``."""
        total, step = np.zeros(measurement.shape[0]), max(1, BLOCK // measurement.shape[0])
        for start in range(0, measurement.size, step):
            stop = min(start + step, measurement.size)
            total += np.sum(measurement.matrices(start, stop) ** 2, axis=(0, 2))
        check_squares(total)
        weights = power(total / measurement.size, 1 / self.power)
        root = np.sqrt(np.max(weights))
        return Metric(weights / root if root > 0 else weights), Metric(np.array([root]))

    def gauss_newton_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return ``Σ_l Σ_j 2 w_j Π_{i≠l} u_ij²``, the whole Hessian trace: x is linear in each single weight."""
        squares = np.stack(factors)[:, :, 0] ** 2
        before, after = np.ones_like(squares), np.ones_like(squares)
        np.cumprod(squares[:-1], axis=0, out=before[1:])
        after[:-1] = np.cumprod(squares[:0:-1], axis=0)[::-1]
        weights = (metric[0].values * metric[1].values) ** self.power
        return float(2 * np.sum((before * after) @ weights))

    def fibre_minimum(self, factors: Factors, metric: Metrics) -> float:
        """Return ``2N Σ_j w_j |x_j|^(2 − 2/N)``, the smallest trace over all factors of the same x."""
        z = metric[0].values * self.pair(factors)[0][:, 0] * metric[1].values
        return float(2 * self.depth * np.sum(np.abs(z) ** self.power))

    def flattest(self, U: Array, s: Array, V: Array, metric: Metrics) -> Factors:
        """Return N factors ``|x|^(1/N)`` for ``x = D1⁻¹ U s Vᵀ D2⁻¹``; the first one has the signs of x."""
        x = (metric[0].power(-1) @ (U * s)) @ (metric[1].power(-1) @ V).T
        root = np.abs(x) ** (1 / self.depth)
        return np.sign(x) * root, *(root.copy() for _ in range(self.depth - 1))

    def balance(self, factors: Factors) -> float:
        """Return ``Σ_j (max_i u_ij² − min_i u_ij²)``, which is 0 for the flattest factors."""
        squares = np.stack(factors) ** 2
        return float(np.sum(squares.max(axis=0) - squares.min(axis=0)))

    def _norms(self, factors: Factors) -> tuple[float, float]:
        """Return ``Σ ‖u_i‖²`` and ``N Σ_j |x_j|^(2/N)``."""
        norm = float(np.sum(np.stack(factors) ** 2))
        return norm, self.depth * float(np.sum(np.abs(self.pair(factors)[0]) ** (2 / self.depth)))
