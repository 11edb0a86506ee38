"""Problem: a measurement, its data, a parametrization and a loss."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.losses import Absolute, Squared
from flatmin.measurements import FromLinearOperator, Measurement
from flatmin.parametrizations import Parametrization
from flatmin.parametrizations.product import Product

__all__ = ["Problem"]

#: Smallest and largest size of the largest number of the data. Squares of numbers outside underflow or overflow.
SMALLEST, LARGEST = 1e-151, 1e151
#: Largest number in factors, in whitened factors, and in products of two of them.
LARGEST_FACTOR = 1e151


@dataclass(frozen=True, eq=False)
class Problem:
    """Find factors whose matrix X has measurements ``A(X) = b``; the loss is ``(1/m) ‖A(X) − b‖²``.

    Parameters
    ----------
    measurement : Measurement
        The linear map A on matrices (d1, d2). A linear operator of SciPy or PyLops, or a sparse matrix, becomes a
        `FromLinearOperator` if the shape of X is known: from the ``dims`` of a PyLops operator, or because X is square
        in the model. Its adjoint is compared with its products at random points.
    data : array_like, shape (m,)
        The measured values b; integers and float32 are converted to float64.
    parametrization : Parametrization
        The map from factors to the matrix, by default `Product`.
    loss : Squared or Absolute
        `Absolute` allows gross errors in some cells. It needs `Identity`, `Mask` or unweighted `Entries` that see no
        cell twice, and `Product`; its metric is the identity.

    Raises
    ------
    InputError
        If b has another length than A, is complex, or contains NaN or infinity, if the parts do not go together, or if
        an operator has no adjoint or a wrong one.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.Problem(fm.measurements.Entries([0, 1], [0, 1], (2, 2)), [1, 2])
    Problem(Entries(shape=(2, 2), size=2), Product(rank=None))
    """

    measurement: Measurement
    data: Array
    parametrization: Parametrization = field(default_factory=Product)
    loss: Squared | Absolute = field(default_factory=Squared)

    def __post_init__(self) -> None:
        if not isinstance(self.parametrization, Parametrization):
            found = type(self.parametrization).__name__
            raise InputError(f"parametrization is a {found}, expected a flatmin Parametrization such as Product()")
        if not isinstance(self.measurement, Measurement):
            is_square = self.parametrization.cone.is_hermitian
            object.__setattr__(self, "measurement", FromLinearOperator.of_model(self.measurement, is_square))
        if isinstance(self.measurement, FromLinearOperator):
            self.measurement.check_adjoint()
        data = numeric(self.data, "the data b")
        if data.shape != (self.measurement.size,):
            raise InputError(
                f"the data b has shape {data.shape}, expected ({self.measurement.size},): one value a measurement"
            )
        if not isinstance(self.loss, Squared | Absolute):
            raise InputError(f"loss is a {type(self.loss).__name__}, expected flatmin.losses.Squared() or Absolute()")
        self.loss.check(self.measurement, self.parametrization)
        largest = float(np.max(np.abs(data), initial=0.0))
        if largest and not SMALLEST <= largest <= LARGEST:
            sizes = f"expected one from {SMALLEST:g} to {LARGEST:g}"
            raise InputError(f"the largest number of the data b is {largest:.1g}, {sizes}; scale them")
        object.__setattr__(self, "data", data)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d1, d2) of the unknown matrix."""
        return self.measurement.shape

    @cached_property
    def metric(self) -> tuple[Metric, Metric]:
        """The pair (D1, D2) of `Loss.metric`, computed once."""
        A = self.measurement
        D1, D2 = self.loss.metric(A, self.parametrization)
        if not (D1.rank and D2.rank) and 0 < np.max(np.abs(A.adjoint(np.arange(1.0, A.size + 1)))) < SMALLEST:
            raise InputError("the sensing matrices are so small that their squares vanish; scale them")
        return D1, D2

    @cached_property
    def whitened(self) -> Measurement:
        """The map ``B(Z) = A(D1⁻¹ Z D2⁻¹)``, computed once."""
        return self.measurement.congruence(self.metric[0].power(-1), self.metric[1].power(-1))

    @property
    def is_convex(self) -> bool:
        """Whether flat minima solve the convex programme of a cone, with squared error."""
        return self.parametrization.has_cone_norm and not self.loss.has_gross_errors

    @property
    def model(self) -> Any:
        """The part that names the problem in messages: a loss with gross errors, or else the parametrization."""
        return self.loss if self.loss.has_gross_errors else self.parametrization

    def expect_convex(self, request: str) -> None:
        """Raise `InputError` unless the problem `is_convex`; the message begins with ``request``."""
        if not self.is_convex:
            expected = "expected a Product, Gram or SignedGram model and Squared()"
            raise InputError(f"{request} for {self.model!r}, {expected}")

    def check(self, factors: Any) -> tuple[Array, ...]:
        """Return ``factors`` as arrays that fit the problem, real for real sensing matrices, or raise `InputError`."""
        checked = self.parametrization.check(factors, self.shape)
        if any(np.iscomplexobj(F) for F in checked) and not np.issubdtype(self.measurement.dtype, np.complexfloating):
            raise InputError("the factors are complex, expected real ones for real sensing matrices")
        return checked

    def within_range(self, factors: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return the factors, or raise `InputError` if the squares behind their flatness would overflow."""
        with np.errstate(over="ignore", invalid="ignore"):
            (P, Q), (D1, D2) = self.parametrization.pair(factors), self.metric
            sides = [float(np.max(np.abs(F), initial=0.0)) for F in (P, Q, D1 @ P, D2 @ Q)]
            largest = max(*sides, sides[0] * sides[1], sides[2] * sides[3])
            largest = max(largest, *(float(np.max(np.abs(F), initial=0.0)) for F in factors))
        if not largest < LARGEST_FACTOR:
            raise InputError(f"the factors are so large that squares overflow, expected at most {LARGEST_FACTOR:g}")
        return factors

    def residual(self, factors: tuple[Array, ...]) -> Array:
        """Return ``A(X) − b`` at the factors."""
        return self.measurement.forward_factors(*self.parametrization.pair(factors)) - self.data

    def __repr__(self) -> str:
        loss = "" if self.loss == Squared() else f", {self.loss!r}"
        return f"Problem({self.measurement!r}, {self.parametrization!r}{loss})"

    def __reduce__(self) -> Any:
        return type(self), (self.measurement, self.data, self.parametrization, self.loss)
