"""One factor: ``X = U U*``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flatmin._validation import numeric
from flatmin.errors import InputError
from flatmin.measurements import Measurement
from flatmin.metric import Array, Metric, hermitian_of_product
from flatmin.parametrizations.base import Factors, Metrics, Parametrization, check_rank

__all__ = ["Gram"]

#: A probe of the sensing matrices this far from symmetric, relatively, shows that they are not.
ASYMMETRIC = 1e-10


class HermitianModel(Parametrization):
    """What models of symmetric (complex: Hermitian) matrices share: one metric ``D^½`` with ``D = (1/m) Σ A_i²``."""

    trace_factor: ClassVar[int] = 8

    def check_measurement(self, measurement: Measurement) -> None:
        """Raise `InputError` unless the sensing matrices are square and symmetric (Hermitian)."""
        d1, d2 = measurement.shape
        name = type(self).__name__
        if d1 != d2:
            raise InputError(f"the unknown has shape {(d1, d2)}, expected a square one for {name}")
        if measurement.is_rank_one:
            return
        probe = measurement.adjoint_operator(np.cos(np.arange(measurement.size)))
        difference = abs(probe - probe.conj().T).max()
        if difference > ASYMMETRIC * abs(probe).max():
            raise InputError(
                f"the sensing matrices are not symmetric, expected A_i = A_i* for {name}; use (A_i + A_i*)/2"
            )

    def metric(self, measurement: Measurement) -> Metrics:
        """Return ``(D^½, D^½)`` with ``D = (1/m) Σ A_i²``."""
        root = Metric.root(measurement.gram_diagonals()[0] / measurement.size)
        return root, root

    def _columns(self, factor: object, name: str, d: int) -> Array:
        U = numeric(factor, name, allow_complex=True)
        if U.ndim != 2 or len(U) != d:
            raise InputError(f"{name} has shape {U.shape}, expected ({d}, k)")
        return U

    def _curvature(self, columns: Array, metric: Metrics) -> float:
        return 8 * float(np.linalg.norm(metric[0] @ columns) ** 2)

    def _bend(self, columns: int, is_complex: bool, measurement: Measurement, residual: Array) -> float:
        """Return ``(4k/m) Σ r_i tr A_i`` (8k for complex factors): the part of the Hessian that fades with the loss."""
        weight = 8 if is_complex else 4
        return weight * columns / measurement.size * float(residual @ measurement.traces())


@dataclass(frozen=True)
class Gram(HermitianModel):
    """``X = U Uᵀ``, or ``U U*`` with complex U, for U (d, k): positive semidefinite matrices.

    The Gauss-Newton trace of the loss is ``8 tr(U* D U)`` with ``D = (1/m) Σ A_i²``, the same for all factors of X. It
    is called the scaled trace. The Hessian trace adds ``(4k/m) Σ r_i tr A_i`` (complex, in real coordinates: 8k), with
    r the residual: zero at zero loss.

    Parameters
    ----------
    rank : int, optional
        The width k of the model. ``None`` means as wide as it takes.

    Examples
    --------
    >>> import flatmin as fm
    >>> A = fm.measurements.RankOne([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> fm.flat_minimum(fm.Problem(A, [1.0, 4.0, 9.0], fm.Gram())).matrix.round(6)
    array([[1., 2.],
           [2., 4.]])
    """

    rank: int | None = None
    cone: ClassVar[str] = "semidefinite"
    names: ClassVar[tuple[str, ...]] = ("U",)  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_rank(self.rank)

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

    def gauss_newton_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return ``8 tr(U* D U)``."""
        return self._curvature(factors[0], metric)

    def hessian_trace(self, factors: Factors, measurement: Measurement, metric: Metrics, residual: Array) -> float:
        """Return ``8 tr(U* D U) + (4k/m) Σ r_i tr A_i``, with 8k for complex U."""
        U = factors[0]
        return self._curvature(U, metric) + self._bend(U.shape[1], np.iscomplexobj(U), measurement, residual)

    def decompose(self, P: Array, Q: Array) -> tuple[Array, Array, Array]:
        """Return ``U, s, U`` of ``P Q*``, which is positive semidefinite up to rounding."""
        if P is Q or np.array_equal(P, Q):
            U, values, _ = np.linalg.svd(P, full_matrices=False)
            return U, values**2, U
        U, s, V = hermitian_of_product(P, Q)
        positive = np.einsum("ij,ij->j", U.conj(), V).real > 0
        return U[:, positive], s[positive], U[:, positive]

    def flattest(self, U: Array, s: Array, V: Array, metric: Metrics) -> Factors:
        """Return ``D^-½ U Σ^½``."""
        return (metric[0].power(-1) @ (U * np.sqrt(s)),)
