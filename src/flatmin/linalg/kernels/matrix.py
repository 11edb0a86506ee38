"""CellMatrix: a sparse matrix whose products with arrays run over `Cells`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from flatmin._core.arrays import Array
from flatmin.linalg.kernels.cells import Cells

__all__ = ["CellMatrix"]


class CellMatrix(csr_array):  # type: ignore[misc]
    """A `scipy.sparse.csr_array` with faster products. Its transpose is computed once and has fast products too.

    Multiples of it are of this class; slices and sums are ordinary sparse arrays. The values must not be changed.
    """

    _cells: Cells | None = None
    _turned: Any = None
    _back: Callable[[], Any] | None = None

    @classmethod
    def from_values(cls, values: Array, cells: Cells) -> CellMatrix:
        """Return the matrix with these values (m,), in the order of the cells."""
        new = cls((values, cells.indices, cells.pointers), shape=cells.shape)
        new._cells = cells
        return new

    def transpose(self, axes: Any = None, copy: bool = False) -> Any:
        """Return the transpose in compressed rows."""
        if self._cells is None or axes is not None or copy:
            return csr_array(self).transpose(axes=axes, copy=copy)
        back = None if self._back is None else self._back()
        if back is not None:
            return back
        if self._turned is None:
            across = self._cells.transposed
            self._turned = CellMatrix.from_values(across.arranged(self.data), across)
            self._turned._back = weakref.ref(self)  # weak, so that large arrays are freed at once
        return self._turned

    def __matmul__(self, other: Any) -> Any:
        if self._cells is None or not isinstance(other, np.ndarray) or other.dtype.kind != "f" or other.ndim > 2:
            return super().__matmul__(other)
        if other.shape[0] != self.shape[1]:
            return super().__matmul__(other)  # raises the error
        columns = other.reshape(len(other), -1)
        found = self._cells.product(self.data, columns.astype(self.data.dtype, copy=False))
        return found.reshape(self.shape[0], *other.shape[1:])

    def astype(self, dtype: Any, casting: Any = "unsafe", copy: bool = True) -> Any:
        """Return the matrix with values of another type."""
        if self._cells is None:
            return super().astype(dtype, casting=casting, copy=copy)
        return CellMatrix.from_values(self.data.astype(dtype, casting=casting, copy=copy), self._cells)

    def __mul__(self, other: Any) -> Any:
        if self._cells is None or not np.isscalar(other):
            return super().__mul__(other)
        return CellMatrix.from_values(self.data * other, self._cells)

    def __abs__(self) -> Any:
        """Return absolute values, after repeated entries are added up."""
        sizes = csr_array((np.abs(self.data), self.indices, self.indptr), shape=self.shape, copy=True)
        sizes.sum_duplicates()
        return sizes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_turned": None, "_back": None}

    def sum_duplicates(self) -> None:
        """Add up repeated entries in copies of the arrays, which this matrix shares with its cells."""
        if not self.has_canonical_format:
            for name in ("data", "indices", "indptr"):
                setattr(self, name, getattr(self, name).copy())
            self._cells, self._turned, self._back = None, None, None
        super().sum_duplicates()

    def dot(self, other: Any) -> Any:
        """Return ``self @ other``."""
        return self @ other if isinstance(other, np.ndarray) else super().dot(other)
