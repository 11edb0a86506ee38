"""Gram: positive semidefinite matrices ``X = U U*``."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones import Cone, Semidefinite
from flatmin.errors import InputError
from flatmin.parametrizations._hermitian import HermitianModel
from flatmin.parametrizations.base import Factors, Metrics

__all__ = ["Gram"]


@dataclass(frozen=True)
class Gram(HermitianModel):
    """``X = U Uᵀ``, or ``U U*`` with complex U, for U (d, k): positive semidefinite matrices.

    The Gauss-Newton trace of the loss is ``8 tr(U* D U)`` with ``D = (1/m) Σ A_i²``, the same for all factors of X. It
    is called the scaled trace. The Hessian trace adds ``(4k/m) Σ r_i tr A_i`` with the residual r, which is zero at
    zero loss. (For complex U, in real coordinates, 8k replaces 4k.)

    Parameters
    ----------
    rank : int, optional
        The width k of the model. ``None`` means that the solver chooses it.

    Examples
    --------
    >>> import flatmin as fm
    >>> A = fm.measurements.RankOne([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> fm.flat_minimum(fm.Problem(A, [1.0, 4.0, 9.0], fm.Gram())).matrix.round(6)
    array([[1., 2.],
           [2., 4.]])
    """

    rank: int | None = None
    cone: ClassVar[Cone] = Semidefinite()
    names: ClassVar[tuple[str, ...]] = ("U",)  # type: ignore[misc]

    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return (U,) as a float64 or complex128 array of shape (d, k)."""
        if isinstance(factors, tuple | list) and len(factors) != 1:
            raise InputError(f"{len(factors)} factors were found, expected one, (U,)")
        return (self._columns(factors[0] if isinstance(factors, tuple | list) else factors, "U", shape[0]),)

    def pair(self, factors: Factors) -> tuple[Array, Array]:
        """Return (U, U)."""
        return factors[0], factors[0]

    def random(self, shape: tuple[int, int], width: int, rng: np.random.Generator) -> Factors:
        """Return a Gaussian U."""
        return (rng.standard_normal((shape[0], width)),)

    def flattest(self, U: Array, s: Array, V: Array, metric: Metrics) -> Factors:
        """Return ``D^-½ U Σ^½``."""
        return (metric[0].power(-1) @ (U * np.sqrt(s)),)
