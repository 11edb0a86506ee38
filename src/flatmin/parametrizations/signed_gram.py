"""SignedGram: symmetric matrices ``X = U₊ U₊ᵀ − U₋ U₋ᵀ``."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flatmin._core.arrays import Array, namespace
from flatmin.cones import Cone, Symmetric
from flatmin.errors import InputError
from flatmin.measurements import Measurement
from flatmin.parametrizations._hermitian import HermitianModel
from flatmin.parametrizations.base import Factors, Metrics, Parametrization

__all__ = ["SignedGram"]


@dataclass(frozen=True)
class SignedGram(HermitianModel):
    """``X = U₊ U₊ᵀ − U₋ U₋ᵀ``: symmetric matrices, and networks with one hidden layer and quadratic activation.

    Such a network has the output ``Σ_j v_j (u_jᵀ x)² = xᵀ X x`` with output weights ``v_j = ±1``. The scaled trace
    is the Gauss-Newton trace ``8 tr(D (U₊U₊ᵀ + U₋U₋ᵀ))`` with ``D = (1/m) Σ A_i²``; the smallest one over all factors
    of X is ``8 ‖D^½ X D^½‖_*``. The Hessian trace adds ``(4 (k₊ − k₋)/m) Σ r_i tr A_i``, zero at zero loss.

    Parameters
    ----------
    rank : int, optional
        The largest total width ``k₊ + k₋``. ``None`` means that the solver chooses it.

    Examples
    --------
    >>> import flatmin as fm
    >>> A = fm.measurements.RankOne([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> solution = fm.flat_minimum(fm.Problem(A, [1.0, -1.0, 0.0], fm.SignedGram()))
    >>> solution.matrix.round(6) + 0.0, solution.signature
    (array([[ 1.,  0.],
           [ 0., -1.]]), [1, 1])
    """

    rank: int | None = None
    cone: ClassVar[Cone] = Symmetric()
    names: ClassVar[tuple[str, ...]] = ("U_plus", "U_minus")  # type: ignore[misc]

    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return (U_plus, U_minus) as arrays of shapes (d, k₊) and (d, k₋)."""
        if not isinstance(factors, tuple | list) or len(factors) != 2:
            raise InputError("the factors of a signed Gram model are a pair (U_plus, U_minus)")
        plus, minus = (self._columns(F, name, shape[0]) for F, name in zip(factors, self.names, strict=True))
        return plus, minus

    def check_measurement(self, measurement: Measurement) -> None:
        """Raise `InputError` unless the sensing matrices are real and symmetric."""
        Parametrization.check_measurement(self, measurement)
        super().check_measurement(measurement)

    def pair(self, factors: Factors) -> tuple[Array, Array]:
        """Return ``[U₊, U₋]`` and ``[U₊, −U₋]``."""
        plus, minus = factors
        xp = namespace(plus)
        return xp.hstack([plus, minus]), xp.hstack([plus, -minus])

    def random(self, shape: tuple[int, int], width: int, rng: np.random.Generator) -> Factors:
        """Return Gaussian columns, the larger half of them positive."""
        columns = rng.standard_normal((shape[0], width))
        return columns[:, : (width + 1) // 2], columns[:, (width + 1) // 2 :]

    def signature(self, factors: Factors) -> list[int]:
        """Return ``[k₊, k₋]``."""
        return [int(F.shape[1]) for F in factors]

    def flattest(self, U: Array, s: Array, V: Array, metric: Metrics) -> Factors:
        """Return the columns of ``D^-½ U Σ^½`` for positive eigenvalues (V = U) and for negative ones (V = −U)."""
        columns = metric[0].power(-1) @ (U * np.sqrt(s))
        positive = np.einsum("ij,ij->j", U, V) > 0
        return columns[:, positive], columns[:, ~positive]
