"""Merging: a matrix with one number in each row, which says where measurements go that are merged or reordered."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["Merging"]


@dataclass(frozen=True, eq=False)
class Merging:
    """The matrix Q (m, n) with ``Q[i, columns[i]] = values[i]``, or its transpose; ones without values.

    It needs a third of the memory of a sparse array.

    Examples
    --------
    >>> Q = Merging(np.array([1, 0, 1]), 2, np.array([0.6, 1.0, 0.8]))
    >>> Q @ np.array([1.0, 10.0]), Q.T @ np.array([1.0, 1.0, 1.0])
    (array([6., 1., 8.]), array([1. , 1.4]))
    """

    columns: Array
    n: int
    values: Array | None = None
    is_transposed: bool = False

    @property
    def T(self) -> Merging:
        """The transpose."""
        return replace(self, is_transposed=not self.is_transposed)

    def __abs__(self) -> Merging:
        return self if self.values is None else replace(self, values=np.abs(self.values))

    def __matmul__(self, y: Array) -> Array:
        """Return the product with a vector."""
        if not self.is_transposed:
            found = y[self.columns]
            if self.values is not None:
                found *= self.values
            return np.asarray(found)
        return np.bincount(self.columns, y if self.values is None else self.values * y, self.n)
