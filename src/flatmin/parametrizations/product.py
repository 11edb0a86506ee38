"""Two factors: ``X = L Rᵀ``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flatmin._validation import numeric
from flatmin.errors import InputError
from flatmin.metric import Array, Metric, svd_of_product
from flatmin.parametrizations.base import Factors, Parametrization

__all__ = ["Product"]


@dataclass(frozen=True)
class Product(Parametrization):
    """``X = L Rᵀ`` with L (d1, k) and R (d2, k).

    Its loss has, at every point, the scaled Hessian trace ``2‖D1 L‖² + 2‖D2 R‖²``. The smallest one over all
    factorizations of X is ``4 ‖D1 X D2‖_*``, reached at `flattest`.

    Parameters
    ----------
    rank : int, optional
        The width k of the model. ``None`` means as wide as it takes, which is what recovery wants.

    References
    ----------
    Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", arXiv 2203.03756.
    """

    rank: int | None = None
    names: ClassVar[tuple[str, ...]] = ("L", "R")

    def __post_init__(self) -> None:
        if self.rank is not None and (not isinstance(self.rank, int | np.integer) or self.rank < 1):
            raise InputError(f"rank is {self.rank!r}, expected a positive whole number or None")

    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return (L, R) as float64 arrays of shapes (d1, k) and (d2, k)."""
        if not isinstance(factors, tuple | list) or len(factors) != 2:
            raise InputError("the factors of a product are a pair (L, R)")
        L, R = (numeric(F, name) for F, name in zip(factors, self.names, strict=True))
        expected = f"expected ({shape[0]}, k) and ({shape[1]}, k)"
        if L.ndim != 2 or R.ndim != 2 or L.shape[1] != R.shape[1] or (len(L), len(R)) != shape:
            raise InputError(f"L has shape {L.shape} and R has shape {R.shape}, {expected}")
        return L, R

    def matrix(self, factors: Factors) -> Array:
        """Return ``L Rᵀ``."""
        L, R = factors
        return np.asarray(L @ R.T)

    def width(self, factors: Factors) -> int:
        """Return the number of columns of L and R."""
        return int(factors[0].shape[1])

    def hessian_trace(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return ``2 d2 ‖D1 L‖² + 2 d1 ‖D2 R‖²``, exact at every point."""
        (L, R), (D1, D2) = factors, metric
        return float(2 * len(R) * np.sum((D1 @ L) ** 2) + 2 * len(L) * np.sum((D2 @ R) ** 2))

    def gauss_newton_trace(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return the same as `hessian_trace`: X is linear in each weight."""
        return self.hessian_trace(factors, metric)

    def scaled_trace(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return ``2 ‖D1 L‖² + 2 ‖D2 R‖²``: the L block of the Hessian divided by d1, the R block by d2."""
        (L, R), (D1, D2) = factors, metric
        return float(2 * np.sum((D1 @ L) ** 2) + 2 * np.sum((D2 @ R) ** 2))

    def singular(self, factors: Factors, metric: tuple[Metric, Metric]) -> tuple[Array, Array, Array]:
        """Return the singular value decomposition ``U, s, V`` of ``Z = D1 L (D2 R)ᵀ``, without forming Z."""
        (L, R), (D1, D2) = factors, metric
        return svd_of_product(D1 @ L, D2 @ R)

    def fibre_minimum(self, factors: Factors, metric: tuple[Metric, Metric]) -> float:
        """Return ``4 ‖D1 X D2‖_*``, the smallest scaled trace over all factors of the same matrix."""
        return 4 * float(self.singular(factors, metric)[1].sum())

    def flattest(self, U: Array, s: Array, V: Array, metric: tuple[Metric, Metric]) -> Factors:
        """Return ``L = D1⁻¹ U Σ^½`` and ``R = D2⁻¹ V Σ^½``: the flattest factors of ``X = D1⁻¹ U Σ Vᵀ D2⁻¹``."""
        return self.unwhiten(U * np.sqrt(s), V * np.sqrt(s), metric)

    def unwhiten(self, P: Array, Q: Array, metric: tuple[Metric, Metric]) -> Factors:
        """Return ``L = D1⁻¹ P`` and ``R = D2⁻¹ Q``."""
        return metric[0].power(-1) @ P, metric[1].power(-1) @ Q

    def balance(self, factors: Factors) -> float:
        """Return ``‖LᵀL − RᵀR‖_*``."""
        L, R = factors
        return float(np.abs(np.linalg.eigvalsh(L.T @ L - R.T @ R)).sum())

    def norm_excess(self, factors: Factors) -> float:
        """Return ``(‖L‖² + ‖R‖²) / (2 ‖X‖_*) − 1``; 0 for zero factors, infinite for other factors of zero."""
        L, R = factors
        norm = float(np.sum(L**2) + np.sum(R**2))
        s = svd_of_product(L, R)[1]
        if norm == 0:
            return 0.0
        return norm / (2 * float(s.sum())) - 1 if s.sum() > 0 else float("inf")
