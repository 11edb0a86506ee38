"""Mask: the measurement of the entries where a mask is true."""

from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.measurements.entries import Entries

__all__ = ["Mask"]

#: Number of cells of a product that are formed at once.
CELLS_AT_ONCE = 1 << 18


class Mask(Entries):
    """The entries where a mask is true, in row-major order, for tables with few missing cells.

    It is the same map as `Entries` at ``*np.nonzero(seen)``. If most cells are observed, it needs less memory: it keeps
    one byte for each cell instead of two indices for each entry, and works on whole rows.

    Parameters
    ----------
    seen : array_like of bool, shape (d1, d2)
        Which entries are observed; at least one.

    Raises
    ------
    InputError
        If the mask is not a matrix, holds other values than True and False, or is False everywhere.

    Examples
    --------
    >>> A = Mask([[True, False], [True, True]])
    >>> A.forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 3., 4.])
    """

    def __init__(self, seen: Any) -> None:
        try:
            marks = np.asarray(seen)
        except ValueError as error:
            raise InputError("the mask is ragged, expected a rectangular array of True and False") from error
        if marks.ndim != 2:
            raise InputError(f"the mask has shape {marks.shape}, expected that of a matrix")
        if marks.dtype.kind not in "biuf" or (marks.dtype != bool and not np.isin(marks, (0, 1)).all()):
            raise InputError(
                "the mask holds other values than True and False, expected True where an entry is observed"
            )
        self.seen = marks.astype(bool)
        self.shape = int(marks.shape[0]), int(marks.shape[1])
        self.size = int(np.count_nonzero(self.seen))
        self.weights = None
        if self.size == 0:
            raise InputError("no entry is observed, expected at least one")

    @cached_property
    def rows(self) -> Array:  # type: ignore[override]
        """The row of every entry."""
        return np.nonzero(self.seen)[0]

    @cached_property
    def cols(self) -> Array:  # type: ignore[override]
        """The column of every entry."""
        return np.nonzero(self.seen)[1]

    def gram_diagonals(self) -> tuple[Array, Array]:
        """Return the number of entries in every row and every column."""
        rows, cols = (np.count_nonzero(self.seen, axis=axis).astype(float) for axis in (1, 0))
        return rows, cols

    @property
    def repeats(self) -> int:
        """One: no entry is measured twice."""
        return 1

    def merged(self) -> None:
        """Return None: no entry is measured twice."""

    def forward(self, X: Array) -> Array:
        """Return the observed entries of X."""
        return np.asarray(X.real[self.seen], dtype=float)

    def adjoint(self, y: Array) -> Array:
        """Return the matrix with entries y where the mask is true and zeros elsewhere."""
        if np.shape(y) != (self.size,):
            raise InputError(f"y has shape {np.shape(y)}, expected ({self.size},)")
        M = np.zeros(self.shape)
        M[self.seen] = y
        return M

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the observed entries of ``L Rᵀ``, which is formed some rows at a time."""
        out, done = np.empty(self.size), 0
        height = max(1, CELLS_AT_ONCE // self.shape[1])
        for first in range(0, self.shape[0], height):
            rows = slice(first, first + height)
            values = (L[rows] @ R.T)[self.seen[rows]]
            out[done : done + len(values)] = values
            done += len(values)
        return out
