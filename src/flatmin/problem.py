"""A measurement map, its data, and how weights make the unknown matrix."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from flatmin._validation import numeric
from flatmin.errors import InputError
from flatmin.losses import Squared
from flatmin.measurements import Measurement
from flatmin.metric import Array, Metric
from flatmin.parametrizations import Parametrization
from flatmin.parametrizations.product import Product

__all__ = ["Problem"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Find weights whose matrix X has measurements ``A(X) = b``; the loss is ``(1/m) ‖A(X) − b‖²``.

    Parameters
    ----------
    measurement : Measurement
        The linear map A on matrices (d1, d2).
    data : array_like, shape (m,)
        The measured values b; integers and float32 are converted to float64.
    parametrization : Parametrization
        How weights make a matrix, by default `Product`.
    loss : Squared
        How misfit is counted.

    Raises
    ------
    InputError
        If b has another length than A, is complex, or contains NaN or infinity.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.Problem(fm.measurements.Entries([0, 1], [0, 1], (2, 2)), [1, 2])
    Problem(Entries(shape=(2, 2), size=2), Product(rank=None))
    """

    measurement: Measurement
    data: Array
    parametrization: Parametrization = field(default_factory=Product)
    loss: Squared = field(default_factory=Squared)

    def __post_init__(self) -> None:
        if not isinstance(self.measurement, Measurement):
            raise InputError(f"measurement is a {type(self.measurement).__name__}, expected a flatmin Measurement")
        data = numeric(self.data, "the data b")
        if data.shape != (self.measurement.size,):
            raise InputError(
                f"the data b has shape {data.shape}, expected ({self.measurement.size},): one value a measurement"
            )
        if not isinstance(self.parametrization, Parametrization):
            found = type(self.parametrization).__name__
            raise InputError(f"parametrization is a {found}, expected a flatmin Parametrization such as Product()")
        self.parametrization.check_measurement(self.measurement)
        object.__setattr__(self, "data", data)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d1, d2) of the unknown matrix."""
        return self.measurement.shape

    @cached_property
    def metric(self) -> tuple[Metric, Metric]:
        """The pair (D1, D2) of `Parametrization.metric`, computed once."""
        return self.parametrization.metric(self.measurement)

    @cached_property
    def whitened(self) -> Measurement:
        """The map ``B(Z) = A(D1⁻¹ Z D2⁻¹)``, made once."""
        return self.measurement.congruence(self.metric[0].power(-1), self.metric[1].power(-1))

    def residual(self, factors: tuple[Array, ...]) -> Array:
        """Return ``A(X) − b`` at the factors."""
        return self.measurement.forward_factors(*self.parametrization.pair(factors)) - self.data

    def __repr__(self) -> str:
        return f"Problem({self.measurement!r}, {self.parametrization!r})"

    def __reduce__(self) -> Any:
        return type(self), (self.measurement, self.data, self.parametrization, self.loss)
