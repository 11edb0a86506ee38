"""SeenColumns: the columns in which each row of a matrix has observations."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["SeenColumns"]


@dataclass(frozen=True, eq=False)
class SeenColumns:
    """The columns (nnz,) of the observations of each row, row after row; those of row i start at ``pointers[i]``.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> seen = SeenColumns.from_cells(csr_array([[0, 5], [1, 2]]))
    >>> seen.of(0), seen.counts, seen.taken([1, 2], csr_array([[7, 0]])).columns
    (array([1]...), array([1, 2]...), array([0, 1, 0]...))
    """

    pointers: Array
    columns: Array

    @classmethod
    def from_cells(cls, cells: Any) -> Self:
        """Take the positions of the stored cells of a sparse CSR array."""
        return cls(cells.indptr, cells.indices)

    @property
    def counts(self) -> Array:
        """The number of observations of each row."""
        return np.diff(self.pointers)

    def of(self, row: int) -> Array:
        """Return the columns of a row."""
        return self.columns[self.pointers[row] : self.pointers[row + 1]]

    def taken(self, order: Any, cells: Any) -> Self:
        """Return rows in another order, in which the rows of a sparse CSR array follow the own ones."""
        counts = np.concatenate([self.counts, np.diff(cells.indptr)])
        columns = np.concatenate([self.columns, cells.indices])
        starts, sizes = np.concatenate([[0], np.cumsum(counts)])[:-1][order], counts[order]
        pointers = np.concatenate([[0], np.cumsum(sizes)])
        return type(self)(pointers, columns[np.repeat(starts - pointers[:-1], sizes) + np.arange(pointers[-1])])
