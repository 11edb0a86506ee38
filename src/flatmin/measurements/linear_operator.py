"""FromLinearOperator: measurements that are known only by their products."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import matrix_shape
from flatmin.errors import InputError
from flatmin.linalg.random_starts import OPERATOR_ROUNDING
from flatmin.measurements.base import Measurement

__all__ = ["FromLinearOperator"]


class FromLinearOperator(Measurement):
    """A real linear map given as a SciPy linear operator on row-major ``vec(X)``.

    Parameters
    ----------
    op : scipy.sparse.linalg.LinearOperator, sparse or dense matrix, shape (m, d1·d2)
        Anything that `scipy.sparse.linalg.aslinearoperator` accepts, with an adjoint.
    shape : tuple of int
        ``(d1, d2)``.

    Raises
    ------
    InputError
        If the operator is complex, has no adjoint, is not finite, or its width is not d1·d2.

    Examples
    --------
    >>> FromLinearOperator(np.ones((1, 4)), (2, 2)).forward(np.eye(2))
    array([2.])
    """

    dtype = np.dtype(float)

    def __init__(self, op: Any, shape: Any) -> None:
        from scipy.sparse.linalg import aslinearoperator

        try:
            self.op = aslinearoperator(op)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the operator is a {type(op).__name__}, expected a linear operator or a matrix"
            ) from error
        self.shape = matrix_shape(shape)
        d1, d2 = self.shape
        if self.op.shape[1] != d1 * d2 or self.op.shape[0] == 0:
            raise InputError(f"the operator has shape {self.op.shape}, expected (m, {d1 * d2}) with m ≥ 1")
        if np.issubdtype(np.dtype(self.op.dtype), np.complexfloating):
            raise InputError("the operator is complex, expected a real one; stack its real and imaginary parts")
        self.size = int(self.op.shape[0])
        try:
            whole = self.adjoint(np.ones(self.size))
        except NotImplementedError as error:
            raise InputError("the operator has no adjoint, expected one with rmatvec") from error
        if not np.isfinite(whole).all():
            raise InputError("the operator contains NaN or infinity, expected finite numbers")

    def forward(self, X: Array) -> Array:
        """Return ``op @ vec(X)``."""
        return np.asarray(self.op.matvec(np.ascontiguousarray(X.real).ravel()), dtype=float)

    def adjoint(self, y: Array) -> Array:
        """Return ``opᵀ @ y`` as a matrix."""
        return np.asarray(self.op.rmatvec(np.asarray(y, dtype=float)), dtype=float).reshape(self.shape)

    @property
    def adjoint_rounding(self) -> float:
        """The number of `Measurement.adjoint_rounding`, assumed for an operator that is known by its products only."""
        return OPERATOR_ROUNDING

    @property
    def gram_rounding(self) -> float:
        """See `Measurement.gram_rounding`."""
        return super().gram_rounding + 2 * OPERATOR_ROUNDING

    def _forward_rounding(self, width: int) -> float:
        return super()._forward_rounding(width) + OPERATOR_ROUNDING

    def matrices(self, start: int = 0, stop: int | None = None) -> Array:
        """Return sensing matrices, by applying the adjoint to unit vectors."""
        stop = self.size if stop is None else stop
        units = np.zeros((self.size, stop - start))
        units[np.arange(start, stop), np.arange(stop - start)] = 1.0
        return np.asarray(self.op.rmatmat(units).T, dtype=float).reshape(-1, *self.shape)
