"""The base class of models of symmetric (complex: Hermitian) matrices."""

from typing import ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.forward_error import UNIT
from flatmin.linalg.metric import Metric
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors, Metrics, Parametrization

__all__ = ["HermitianModel"]

#: Sensing matrices are not symmetric if a random combination of them has a relative asymmetry above this.
ASYMMETRIC = 1e-10


class HermitianModel(Parametrization):
    """A model of symmetric (complex: Hermitian) matrices, with one metric ``D^½`` with ``D = (1/m) Σ A_i²``."""

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
        rounding = measurement.gram_rounding + 2 * UNIT
        root = Metric.root(measurement.gram_diagonals()[0] / measurement.size, rounding)
        return root, root

    def _columns(self, factor: object, name: str, d: int) -> Array:
        U = numeric(factor, name, allow_complex=True)
        if U.ndim != 2 or len(U) != d:
            raise InputError(f"{name} has shape {U.shape}, expected ({d}, k)")
        return U

    def gauss_newton_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return ``8 tr(U* D U)`` for all columns U."""
        return 8 * float(np.linalg.norm(metric[0] @ np.hstack(factors)) ** 2)

    def hessian_trace(self, factors: Factors, measurement: Measurement, metric: Metrics, residual: Array) -> float:
        """Return the Gauss-Newton trace plus ``(4k/m) Σ r_i tr A_i`` with k = k₊ − k₋ (8k if factors are complex)."""
        plus, *minus = (F.shape[1] for F in factors)
        weight = (8 if np.iscomplexobj(factors[0]) else 4) * (plus - sum(minus))
        bend: float = weight / measurement.size * float(residual @ measurement.traces())
        return self.gauss_newton_trace(factors, measurement, metric) + bend
