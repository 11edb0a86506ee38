"""FromLinearOperator: measurements that are known only by their products."""

import math
from functools import cached_property
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import matrix_shape
from flatmin.errors import InputError
from flatmin.linalg.random_starts import OPERATOR_ROUNDING
from flatmin.measurements.base import Measurement

__all__ = ["FromLinearOperator"]


#: Errors that operators raise if they have no adjoint, or products that fail.
FAILURES = (NotImplementedError, AttributeError, TypeError, ValueError)


class FromLinearOperator(Measurement):
    """A real linear map given as a SciPy or PyLops linear operator on row-major ``vec(X)``.

    ``Problem(op, b)`` makes one by itself if the shape of X is known. `Problem` compares the adjoint with the forward
    map at random points, and `flatmin.testing.check_measurement` says more about a wrong one.

    Parameters
    ----------
    op : scipy.sparse.linalg.LinearOperator, pylops.LinearOperator, sparse or dense matrix, shape (m, d1·d2)
        Anything that `scipy.sparse.linalg.aslinearoperator` accepts, with an adjoint.
    shape : tuple of int, optional
        ``(d1, d2)``. By default the ``dims`` of a PyLops operator whose model has two axes.

    Raises
    ------
    InputError
        If the operator is complex, has no adjoint, is not finite, its width is not d1·d2, or the shape is not known.

    Examples
    --------
    >>> FromLinearOperator(np.ones((1, 4)), (2, 2)).forward(np.eye(2))
    array([2.])
    """

    dtype = np.dtype(float)

    def __init__(self, op: Any, shape: Any = None) -> None:
        from scipy.sparse.linalg import aslinearoperator

        try:
            self.op = aslinearoperator(op)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the operator is a {type(op).__name__}, expected a linear operator or a matrix"
            ) from error
        width = self.op.shape[1]
        self.shape = _own_shape(op, width) if shape is None else matrix_shape(shape)
        d1, d2 = self.shape
        if width != d1 * d2 or self.op.shape[0] == 0:
            raise InputError(f"the operator has shape {self.op.shape}, expected (m, {d1 * d2}) with m ≥ 1")
        if np.issubdtype(np.dtype(self.op.dtype), np.complexfloating):
            raise InputError("the operator is complex, expected a real one; stack its real and imaginary parts")
        self.size, self._is_matrix = int(self.op.shape[0]), isinstance(op, np.ndarray) or hasattr(op, "tocsr")
        try:
            whole = self.adjoint(np.ones(self.size))
        except FAILURES as error:
            raise InputError(
                f"the operator has no adjoint that can be applied to {self.size} numbers ({error}), expected one with "
                "rmatvec; flatmin needs it for gradients and proofs"
            ) from error
        if not np.isfinite(whole).all():
            raise InputError("the operator contains NaN or infinity, expected finite numbers")

    @classmethod
    def of_model(cls, op: Any, is_square: bool) -> Self:
        """Return the map of an operator; a model of square matrices (``is_square``) has the root of its width as side.

        Anything that is not an operator raises `InputError`.
        """
        if not (hasattr(op, "matvec") or hasattr(op, "tocsr")):
            found = type(op).__name__
            raise InputError(
                f"measurement is a {found}, expected a flatmin Measurement such as Dense, or a linear operator of "
                "SciPy or PyLops"
            )
        side = math.isqrt(op.shape[1])
        return cls(op, (side, side) if is_square and side**2 == op.shape[1] else None)

    @cached_property
    def adjoint_mismatch(self) -> float:
        """The difference of ``⟨A(X), y⟩`` and ``⟨X, A*(y)⟩`` at random X and y; rounding errors for a right adjoint.

        The difference is relative to ``‖A(X)‖ ‖y‖ + ‖X‖ ‖A*(y)‖``.
        """
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal(self.shape), rng.standard_normal(self.size)
        b, S = self.forward(X), self.adjoint(y)
        size = float(np.linalg.norm(b) * np.linalg.norm(y) + np.linalg.norm(X) * np.linalg.norm(S))
        return abs(float(b @ y) - float(np.vdot(X, S))) / size if size else 0.0

    def check_adjoint(self) -> None:
        """Raise `InputError` if the operator cannot be applied, or if its adjoint does not belong to its products."""
        try:
            mismatch = self.adjoint_mismatch
        except FAILURES as error:
            raise InputError(f"the operator cannot be applied to {math.prod(self.shape)} numbers: {error}") from error
        if not mismatch <= math.sqrt(np.finfo(np.result_type(self.op.dtype, np.float32)).eps):
            raise InputError(
                f"the adjoint of the operator does not belong to its products: ⟨A(X), y⟩ and ⟨X, A*(y)⟩ differ by "
                f"{mismatch:.1g} relatively, expected rounding errors; "
                f"flatmin.testing.check_measurement(FromLinearOperator(op, {self.shape})) helps to find the mistake"
            )

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
        """Return sensing matrices, by applying the adjoint to unit vectors.

        Operators are applied to one vector at a time, because SciPy passes columns (m, 1) to those without ``rmatmat``,
        whose functions may be written for vectors (m,).
        """
        if not self._is_matrix:
            return super().matrices(start, stop)
        stop = self.size if stop is None else stop
        units = np.zeros((self.size, stop - start))
        units[np.arange(start, stop), np.arange(stop - start)] = 1.0
        return np.asarray(self.op.rmatmat(units).T, dtype=float).reshape(-1, *self.shape)


def _own_shape(op: Any, width: int) -> tuple[int, int]:
    """Return the two axes of the model of a PyLops operator."""
    dims = tuple(getattr(op, "dims", ()))
    if len(dims) != 2:
        axes = f" and have {len(dims)} axes" if dims else ""
        raise InputError(
            f"the operator acts on {width} numbers{axes}, and the shape of the matrix is unknown, expected "
            f"FromLinearOperator(op, (d1, d2)) with d1·d2 = {width}"
        )
    return matrix_shape(dims)
