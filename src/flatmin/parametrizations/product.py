"""Product: matrices ``X = L Rᵀ`` of two factors."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors, Metrics, Parametrization

__all__ = ["Product"]


@dataclass(frozen=True)
class Product(Parametrization):
    """``X = L Rᵀ`` with L (d1, k) and R (d2, k).

    At every point, the loss has the scaled Hessian trace ``2‖D1 L‖² + 2‖D2 R‖²``. The smallest one over all
    factorizations of X is ``4 ‖D1 X D2‖_*``, which the factors `flattest` reach.

    Parameters
    ----------
    rank : int, optional
        The width k of the model. ``None`` means that the solver chooses it.

    References
    ----------
    Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", arXiv 2203.03756.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.Problem(fm.measurements.Entries([0, 0, 1], [0, 1, 0], (2, 2)), [2.0, 4.0, 1.0])
    >>> L, R = fm.flat_minimum(problem).factors
    >>> problem.parametrization, (L @ R.T).round(6)
    (Product(rank=None), array([[2., 4.],
           [1., 2.]]))
    """

    rank: int | None = None
    names: ClassVar[tuple[str, ...]] = ("L", "R")  # type: ignore[misc]

    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return (L, R) as float64 arrays of shapes (d1, k) and (d2, k)."""
        if not isinstance(factors, tuple | list) or len(factors) != 2:
            raise InputError("the factors of a product are a pair (L, R)")
        L, R = (numeric(F, name) for F, name in zip(factors, self.names, strict=True))
        expected = f"expected ({shape[0]}, k) and ({shape[1]}, k)"
        if L.ndim != 2 or R.ndim != 2 or L.shape[1] != R.shape[1] or (len(L), len(R)) != shape:
            raise InputError(f"L has shape {L.shape} and R has shape {R.shape}, {expected}")
        return L, R

    def pair(self, factors: Factors) -> tuple[Array, Array]:
        """Return (L, R)."""
        return factors[0], factors[1]

    def random(self, shape: tuple[int, int], width: int, rng: np.random.Generator) -> Factors:
        """Return Gaussian L and R."""
        return rng.standard_normal((shape[0], width)), rng.standard_normal((shape[1], width))

    def gauss_newton_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return ``2 d2 ‖D1 L‖² + 2 d1 ‖D2 R‖²``, the whole Hessian trace at every point."""
        (L, R), (D1, D2) = factors, metric
        return float(2 * len(R) * np.sum((D1 @ L) ** 2) + 2 * len(L) * np.sum((D2 @ R) ** 2))

    def scaled_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return ``2 ‖D1 L‖² + 2 ‖D2 R‖²``, the Hessian trace with the L block divided by d1 and the R block by d2."""
        (L, R), (D1, D2) = factors, metric
        return float(2 * np.sum((D1 @ L) ** 2) + 2 * np.sum((D2 @ R) ** 2))

    def flattest(self, U: Array, s: Array, V: Array, metric: Metrics) -> Factors:
        """Return ``L = D1⁻¹ U Σ^½`` and ``R = D2⁻¹ V Σ^½``: the flattest factors of ``X = D1⁻¹ U Σ Vᵀ D2⁻¹``."""
        root = np.sqrt(s)
        return metric[0].power(-1) @ (U * root), metric[1].power(-1) @ (V * root)
