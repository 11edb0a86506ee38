"""Dense: measurements with arbitrary sensing matrices."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.factorizations import row_space
from flatmin.linalg.forward_error import gamma, pieces, summed, summed_terms
from flatmin.linalg.metric import Metric
from flatmin.measurements._on_device import DenseOnDevice
from flatmin.measurements.base import BLOCK, Measurement

__all__ = ["Dense"]

#: Size of the largest tensor, in bytes, of which a whitened copy is made.
LARGEST_COPY = 16_000_000


class Dense(Measurement):
    """``⟨A_i, X⟩`` for arbitrary sensing matrices, or ``⟨a_i, x⟩`` for vectors.

    Parameters
    ----------
    tensor : array_like, shape (m, d1, d2) or (m, n)
        The sensing matrices ``A_i``, real or complex. Two dimensions stand for vectors, matrices of shape (n, 1).

    Raises
    ------
    InputError
        If the tensor is empty, has another number of dimensions or contains NaN or infinity.

    Examples
    --------
    >>> A = Dense([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [0.0, 0.0]]])
    >>> A.forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([5., 4.])
    """

    _on_device = DenseOnDevice

    def __init__(self, tensor: Any) -> None:
        tensor = numeric(tensor, "the sensing tensor A", allow_complex=True)
        if tensor.ndim == 2:
            tensor = tensor[:, :, None]
        if tensor.ndim != 3 or 0 in tensor.shape:
            raise InputError(
                f"the sensing tensor A has shape {tensor.shape}, expected (m, d1, d2) or (m, n) without an empty axis"
            )
        self.tensor = np.ascontiguousarray(tensor)
        self.size, self.shape, self.dtype = len(tensor), (tensor.shape[1], tensor.shape[2]), self.tensor.dtype
        self._rows = self.tensor.reshape(self.size, -1)

    def forward(self, X: Array) -> Array:
        """Return ``Re tr(A_i* X)`` for every i."""
        if np.isrealobj(self._rows):
            return np.asarray(self._rows @ np.ascontiguousarray(X.real).ravel())
        return np.asarray((self._rows @ X.conj().ravel()).real)

    def adjoint(self, y: Array) -> Array:
        """Return ``Σ y_i A_i``."""
        return summed(y[piece] @ self._rows[piece] for piece in pieces(self.size)).reshape(self.shape)

    @property
    def adjoint_rounding(self) -> float:
        """See `Measurement.adjoint_rounding`: sums of pieces."""
        return gamma(summed_terms(self.size), self.is_complex)

    def forward_error(self, L: Array, R: Array) -> Array:
        """Return bounds (m,) on the rounding errors of `forward_factors`, from the absolute values of all numbers."""
        sizes = (np.abs(L) @ np.abs(R).T).ravel()
        step = max(1, BLOCK // len(sizes))
        blocks = (self._rows[start : start + step] for start in range(0, self.size, step))
        return 1.01 * self._forward_rounding(L.shape[1]) * np.concatenate([np.abs(rows) @ sizes for rows in blocks])

    def matrices(self, start: int = 0, stop: int | None = None) -> Array:
        """Return a view of the tensor."""
        return self.tensor[start:stop]

    def norms(self) -> Array:
        """Return the Frobenius norms of the tensor's slices."""
        return self._norms

    @cached_property
    def _norms(self) -> Array:
        return np.asarray(np.sqrt(np.einsum("mi,mi->m", self._rows, self._rows.conj()).real))

    def jacobian(self, L: Array, R: Array) -> Array:
        """Return ``[A_i R, A_iᵀ L]`` for every i, in two passes over the tensor."""
        d1, d2 = self.shape
        J = np.empty((self.size, L.shape[1], d1 + d2), np.result_type(self.dtype, L, R))
        np.matmul(R.T, self.tensor.transpose(0, 2, 1), out=J[..., :d1])
        np.matmul(L.T, self.tensor, out=J[..., d1:])
        return J

    def products(self, R: Array) -> Array:
        """Return ``A_i R`` for every i, in one pass over the tensor."""
        return np.asarray(np.matmul(R.T, self.tensor.transpose(0, 2, 1)))

    def congruence(self, P1: Metric, P2: Metric) -> Measurement:
        """Return the map with matrices ``P1 A_i P2``. They are formed for small tensors only."""
        if self.tensor.nbytes > LARGEST_COPY or self.dtype != float:
            return super().congruence(P1, P2)
        return Dense(np.matmul(P1.dense, self.tensor @ P2.dense))

    def merged(self) -> tuple[Measurement, Any] | None:
        """Return a basis of the rows (`row_space`) if there are more equations than unknowns, or None."""
        if self.size <= self._rows.shape[1] or self.dtype != float:
            return None
        Q, rows = row_space(self._rows)
        return Dense(rows.reshape(-1, *self.shape)), Q

    def take(self, index: Array) -> Dense:
        """Return the chosen sensing matrices."""
        return Dense(self.tensor[self._positions(index)])

    @property
    def nbytes(self) -> int:
        """The number of bytes of the tensor."""
        return self.tensor.nbytes
