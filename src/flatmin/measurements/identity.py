"""Identity: the measurement of every entry of a matrix."""

from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import matrix_shape
from flatmin.measurements.entries import Entries, _Pattern

__all__ = ["Identity"]


class Identity(Entries):
    """Every entry of the matrix, in row-major order: matrix factorization.

    Parameters
    ----------
    shape : tuple of int
        ``(d1, d2)``.

    Examples
    --------
    >>> Identity((2, 2)).forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 2., 3., 4.])
    """

    def __init__(self, shape: Any) -> None:
        self.shape = matrix_shape(shape)
        self.size = self.shape[0] * self.shape[1]
        self.weights = None

    @cached_property
    def rows(self) -> Array:  # type: ignore[override]
        """The row of every entry."""
        return np.repeat(np.arange(self.shape[0]), self.shape[1])

    @cached_property
    def cols(self) -> Array:  # type: ignore[override]
        """The column of every entry."""
        return np.tile(np.arange(self.shape[1]), self.shape[0])

    @cached_property
    def _pattern(self) -> _Pattern:  # type: ignore[override]
        return _Pattern(self.rows, self.cols, self.shape)

    def gram_diagonals(self) -> tuple[Array, Array]:
        """Return the number of entries in every row and every column."""
        d1, d2 = self.shape
        return np.full(d1, float(d2)), np.full(d2, float(d1))

    def merged(self) -> None:
        """Return None: no entry is measured twice."""

    def forward(self, X: Array) -> Array:
        """Return X, flattened."""
        return np.array(X.real, dtype=float).ravel()

    def adjoint(self, y: Array) -> Array:
        """Return y as a matrix."""
        return np.array(y, dtype=float).reshape(self.shape)

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the entries of ``L Rᵀ``."""
        return np.asarray(L @ R.T).ravel()
