"""Loss functions: squared error, and absolute error for sparse gross errors."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import nonnegative, positive
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.measurements import Entries, Mask, Measurement
from flatmin.parametrizations import Parametrization, Product
from flatmin.parametrizations.base import Metrics

__all__ = ["Absolute", "Loss", "Squared", "clip_level"]


class Loss(ABC):
    """Loss: the base class of what a problem minimises as a function of its residual ``r = A(X) − b``.

    If `has_gross_errors`, a solution is a split into low rank and errors.
    """

    has_gross_errors: ClassVar[bool]

    @abstractmethod
    def value(self, residual: Array) -> float:
        """Return the loss of a residual of shape (m,)."""

    @abstractmethod
    def misfit(self, residual: Array) -> Array:
        """Return the part of a residual (m,) that the loss counts."""

    def check(self, measurement: Measurement, parametrization: Parametrization) -> None:
        """Raise `InputError` if the loss, a measurement and a parametrization do not go together."""
        parametrization.check_measurement(measurement)

    def metric(self, measurement: Measurement, parametrization: Parametrization) -> Metrics:
        """Return the pair (D1, D2) that whitens matrices, ``Z = D1 X D2``."""
        return parametrization.metric(measurement)

    def pairing(self, data: Array, dual: Array) -> float:
        """Return the part of a certificate's lower bound that is linear in the data, ``⟨b, λ⟩``."""
        return float(data @ dual)

    def trace_factor(self, parametrization: Parametrization) -> float:
        """Return the scaled trace divided by the value that a certificate states."""
        return 1.0

    def with_limit(self, residual: Array) -> Self:
        """Return a loss that factors can be trained on; ``residual`` is that of a solution."""
        return self


@dataclass(frozen=True)
class Squared(Loss):
    """The mean squared residual ``(1/m) ‖A(X) − b‖²``.

    Examples
    --------
    >>> import numpy as np
    >>> Squared().value(np.array([1.0, -1.0, 2.0]))
    2.0
    """

    has_gross_errors: ClassVar[Literal[False]] = False

    def value(self, residual: Array) -> float:
        """Return the loss of a residual of shape (m,)."""
        return float(residual @ residual) / max(1, np.size(residual))

    def misfit(self, residual: Array) -> Array:
        """Return the part of a residual (m,) that the loss counts: all of it."""
        return residual


@dataclass(frozen=True)
class Absolute(Loss):
    """Gross errors in some of the observed cells: robust PCA.

    Data are ``Y = X + S`` with a sparse S. The loss of factors is the squared distance of ``Y − L Rᵀ`` from the ball
    ``{S : ‖S‖_1 ≤ τ}`` of the observed cells. The loss has only one derivative, so its flatness is defined as that of a
    smooth function that lies above it and touches it at the factors (docs/theory/robust_pca.md). The scaled trace of
    this function is ``2 ‖L‖² + 2 ‖R‖²``. A solution is flat if it solves

        minimise ‖X‖_*   subject to   ‖Y − X‖_1 ≤ τ,

    or, if the size of S is unknown, ``minimise ‖X‖_* + weight · ‖Y − X‖_1``: every solution is flat for its own τ.

    Parameters
    ----------
    weight : float, optional
        Cost of a unit of error. None stands for ``1 / √max(d1, d2)``, where the shape includes missing cells.
    tau : float, optional
        The largest size ‖S‖_1 of the errors, if it is known. It cannot be combined with ``weight``.

    Raises
    ------
    InputError
        If both are given, weight is not positive, or tau is negative.

    References
    ----------
    Candès, Li, Ma, Wright, "Robust principal component analysis?", Journal of the ACM 58(3), 2011.

    Examples
    --------
    >>> Absolute().weight_for((100, 25))
    0.1
    >>> Absolute(tau=3.0).value(np.array([4.0, 0.0, -1.0]))
    2.0
    """

    has_gross_errors: ClassVar[Literal[True]] = True

    weight: float | None = None
    tau: float | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and self.tau is not None:
            raise InputError("weight and tau are both given, expected one of them: they are two forms of one problem")
        if self.weight is not None:
            object.__setattr__(self, "weight", positive(self.weight, "weight"))
        if self.tau is not None:
            object.__setattr__(self, "tau", nonnegative(self.tau, "tau"))

    def weight_for(self, shape: tuple[int, int]) -> float | None:
        """Return the weight for a matrix of this shape, None in the form with tau."""
        if self.tau is not None:
            return None
        return 1 / float(np.sqrt(max(shape))) if self.weight is None else self.weight

    def value(self, residual: Array) -> float:
        """Return the squared distance of a residual (m,) from the ball ``{S : ‖S‖_1 ≤ τ}``; 0 without tau."""
        return float(np.sum(self.misfit(residual) ** 2))

    def misfit(self, residual: Array) -> Array:
        """Return a residual (m,) minus its projection on the ball ``{S : ‖S‖_1 ≤ τ}``; 0 without tau."""
        if self.tau is None:
            return np.zeros_like(residual)
        level = clip_level(np.abs(residual), self.tau)
        return np.clip(residual, -level, level)

    def check(self, measurement: Measurement, parametrization: Parametrization) -> None:
        """Raise `InputError` unless the measurements are cells of a matrix ``L Rᵀ``, each seen once."""
        super().check(measurement, parametrization)
        if not isinstance(measurement, Entries) or measurement.weights is not None:
            raise InputError(
                f"the measurement is {measurement!r}, expected Identity, Mask or unweighted Entries for gross errors"
            )
        if type(parametrization) is not Product:
            raise InputError(f"the parametrization is {parametrization!r}, expected Product() for gross errors")
        if isinstance(measurement, Mask):
            return
        cells = measurement.rows.astype(np.int64, copy=False) * measurement.shape[1] + measurement.cols
        if np.any(cells[1:] <= cells[:-1]):
            cells = np.sort(cells)
        twice = cells[1:][cells[1:] == cells[:-1]]
        if twice.size:
            place = "row {}, column {}".format(*divmod(int(twice[0]), measurement.shape[1]))
            raise InputError(f"the entry in {place} is observed twice, expected once for gross errors")

    def metric(self, measurement: Measurement, parametrization: Parametrization) -> Metrics:
        """Return the identity for both sides."""
        return Metric(np.ones(measurement.shape[0])), Metric(np.ones(measurement.shape[1]))

    def pairing(self, data: Array, dual: Array) -> float:
        """Return ``⟨b, λ⟩`` or, if τ is given, ``⟨b, λ⟩ − τ ‖λ‖_∞``."""
        return float(data @ dual) - (self.tau * float(np.max(np.abs(dual))) if self.tau else 0.0)

    def trace_factor(self, parametrization: Parametrization) -> float:
        """Return the trace factor of the parametrization: certificates of robust PCA state values of ``‖X‖_*``."""
        return parametrization.trace_factor

    def with_limit(self, residual: Array) -> Self:
        """Return the form with ``τ = ‖S‖_1``, where the errors S are the residual of a solution."""
        return self if self.tau is not None else type(self)(tau=float(np.abs(residual).sum()))


def clip_level(sizes: Array, radius: float, guess: float = 0.0) -> float:
    """Return the least t ≥ 0 with ``Σ (sizes − t)₊ ≤ radius``, for nonnegative sizes.

    An array minus its projection on the ℓ1 ball of this radius is the array clipped to ±t. Newton's method on this
    convex, piecewise linear equation ends after finitely many steps from any guess.

    Examples
    --------
    >>> clip_level(np.array([4.0, 0.0, 1.0]), 3.0)
    1.0
    """
    if sizes.size == 0 or float(sizes.sum()) <= radius:
        return 0.0
    level = _newton_step(sizes, radius, guess)
    while (following := _newton_step(sizes, radius, level)) > level:
        level = following
    return level


def _newton_step(sizes: Array, radius: float, level: float) -> float:
    """Return the root of the linear piece at ``level``, which never exceeds the root of the whole equation."""
    above = sizes[sizes > level]
    return max(0.0, float(above.sum()) - radius) / max(1, above.size)
