"""Measurements for arrays of another library, such as PyTorch tensors on a GPU, through the array API standard."""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin.errors import InputError

__all__ = ["CellsOnDevice", "DenseOnDevice", "OnDevice", "PatternsOnDevice", "RankOneOnDevice"]


class OnDevice:
    """The products of a measurement with arrays of one library, on one device, in one precision.

    They are written with functions of the array API standard only. So derivatives pass through them where the library
    has automatic differentiation. There is one subclass for each kind of measurement, which names it as its
    ``_on_device``.
    """

    def __init__(self, measurement: Any, like: Any) -> None:
        self.xp, self.device, self.double = _library(like)
        self.shape, self.size = measurement.shape, measurement.size

    def forward(self, X: Any) -> Any:
        """Return ``A(X)``, real of shape (m,), for X of shape (d1, d2)."""
        raise NotImplementedError

    def adjoint(self, y: Any) -> Any:
        """Return ``A*(y) = Σ y_i A_i`` as an array (d1, d2), for real y of shape (m,)."""
        raise NotImplementedError

    def forward_factors(self, L: Any, R: Any) -> Any:
        """Return ``A(L R*)`` for L (d1, k) and R (d2, k)."""
        return self.forward(L @ self._conj(R).T)

    def _put(self, values: Any) -> Any:
        """Return numbers of NumPy as an array of the library, on the device, in the precision of this map."""
        values = np.asarray(values)
        if values.dtype.kind in "fc" and not self.double:
            values = values.astype(np.complex64 if values.dtype.kind == "c" else np.float32)
        return self.xp.asarray(values, device=self.device)

    def _conj(self, array: Any) -> Any:
        return self.xp.conj(array) if self._is_complex(array) else array

    def _real(self, array: Any) -> Any:
        return self.xp.real(array) if self._is_complex(array) else array

    def _is_complex(self, array: Any) -> bool:
        return bool(self.xp.isdtype(array.dtype, "complex floating"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, size={self.size}, device={self.device})"


class DenseOnDevice(OnDevice):
    """Products of `Dense`."""

    def __init__(self, measurement: Any, like: Any) -> None:
        super().__init__(measurement, like)
        self.rows = self._put(measurement.tensor.reshape(self.size, -1))

    def forward(self, X: Any) -> Any:
        rows, flat = self.rows, self.xp.reshape(self._conj(X), (-1,))
        if self._is_complex(flat) and not self._is_complex(rows):
            return rows @ self._real(flat)
        return self._real(rows @ self.xp.astype(flat, rows.dtype))

    def adjoint(self, y: Any) -> Any:
        return self.xp.reshape(self.xp.astype(y, self.rows.dtype) @ self.rows, self.shape)


class RankOneOnDevice(OnDevice):
    """Products of `RankOne`."""

    def __init__(self, measurement: Any, like: Any) -> None:
        super().__init__(measurement, like)
        self.left, self.right = self._put(measurement.left), self._put(measurement.right)

    def forward(self, X: Any) -> Any:
        return self._real(self.xp.sum((self._conj(self.left) @ X) * self.right, axis=1))

    def adjoint(self, y: Any) -> Any:
        return (self.left * y[:, None]).T @ self._conj(self.right)

    def forward_factors(self, L: Any, R: Any) -> Any:
        return self._real(self.xp.sum((self._conj(self.left) @ L) * self._conj(self._conj(self.right) @ R), axis=1))


class PatternsOnDevice(OnDevice):
    """Products of `CodedDiffraction`, by fast transforms of the library."""

    def __init__(self, measurement: Any, like: Any) -> None:
        super().__init__(measurement, like)
        self.masks = self._put(measurement.masks.astype(complex))
        self.axes = tuple(range(1 - self.masks.ndim, 0))

    def amplitudes(self, U: Any) -> Any:
        """Return the masked Fourier transforms of the columns of U (n, k), shape (m, k)."""
        xp = self.xp
        signals = xp.reshape(xp.astype(U, self.masks.dtype).T, (-1, 1, *self.masks.shape[1:]))
        return xp.reshape(xp.fft.fftn(xp.conj(self.masks) * signals, axes=self.axes), (-1, self.size)).T

    def superposition(self, V: Any) -> Any:
        """Return the adjoint of `amplitudes`, shape (n, k) for V of shape (m, k)."""
        xp = self.xp
        waves = xp.reshape(xp.astype(V, self.masks.dtype).T, (-1, *self.masks.shape))
        images = self.masks * xp.fft.ifftn(waves, axes=self.axes, norm="forward")
        return xp.reshape(xp.sum(images, axis=1), (-1, self.shape[0])).T

    def forward(self, X: Any) -> Any:
        vectors = self.superposition(self.xp.eye(self.size, dtype=self.masks.dtype, device=self.device)).T
        return self.xp.real(self.xp.sum(self.amplitudes(X) * vectors, axis=1))

    def forward_factors(self, L: Any, R: Any) -> Any:
        xp, left = self.xp, self.amplitudes(L)
        return xp.sum(xp.real(left * xp.conj(left if L is R else self.amplitudes(R))), axis=1)

    def adjoint(self, y: Any) -> Any:
        eye = self.xp.eye(self.shape[0], dtype=self.masks.dtype, device=self.device)
        return self.superposition(y[:, None] * self.amplitudes(eye))


class CellsOnDevice(OnDevice):
    """Products of `Entries` that see no cell twice, and so of `Identity` and `Mask`."""

    def __init__(self, measurement: Any, like: Any) -> None:
        super().__init__(measurement, like)
        if measurement.repeats > 1:
            raise InputError(
                "cells are measured more than once, expected each cell once for arrays of another library; average them"
            )
        rows, cols = np.asarray(measurement.rows, np.int64), np.asarray(measurement.cols, np.int64)
        place = rows * self.shape[1] + cols
        inverse = np.full(self.shape[0] * self.shape[1], self.size)
        inverse[place] = np.arange(self.size)
        self.rows, self.cols, self.place, self.inverse = map(self._put, (rows, cols, place, inverse))
        weights = np.ones(self.size) if measurement.weights is None else measurement.weights
        self.weights = self._put(weights)

    def forward(self, X: Any) -> Any:
        return self.weights * self.xp.take(self.xp.reshape(self._real(X), (-1,)), self.place)

    def adjoint(self, y: Any) -> Any:
        xp = self.xp
        values = xp.concat([self.weights * y, xp.zeros((1,), dtype=y.dtype, device=self.device)])
        return xp.reshape(xp.take(values, self.inverse), self.shape)

    def forward_factors(self, L: Any, R: Any) -> Any:
        products = self.xp.take(L, self.rows, axis=0) * self.xp.take(R, self.cols, axis=0)
        return self.weights * self.xp.sum(products, axis=1)


def _library(like: Any) -> tuple[Any, Any, bool]:
    """Return the library and the device of an array, and whether its numbers have double precision."""
    try:
        import array_api_compat as compat
    except ImportError as error:
        raise InputError(
            "arrays of other libraries need array-api-compat, which is missing: pip install 'flatmin[array-api]'"
        ) from error
    if not compat.is_array_api_obj(like):
        raise InputError(f"the array is a {type(like).__name__}, expected one of NumPy, PyTorch, CuPy or JAX")
    xp = compat.array_namespace(like)
    if not xp.isdtype(like.dtype, ("real floating", "complex floating")):
        raise InputError(f"the array holds {like.dtype} values, expected floating-point numbers")
    return xp, compat.device(like), like.dtype in (xp.float64, xp.complex128)
