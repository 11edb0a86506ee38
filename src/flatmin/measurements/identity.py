"""Identity: the measurement of every entry of a matrix."""

from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import matrix_shape
from flatmin.measurements.mask import Mask

__all__ = ["Identity"]


class Identity(Mask):
    """Every entry of a matrix, in row-major order, for matrix factorization.

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
    def seen(self) -> Array:  # type: ignore[override]
        """A mask that is true everywhere."""
        return np.ones(self.shape, bool)

    def gram_diagonals(self) -> tuple[Array, Array]:
        """Return the number of entries in every row and every column."""
        d1, d2 = self.shape
        return np.full(d1, float(d2)), np.full(d2, float(d1))

    def forward(self, X: Array) -> Array:
        """Return X, flattened."""
        return np.array(X.real, dtype=float).ravel()

    def adjoint(self, y: Array) -> Array:
        """Return y as a matrix."""
        return np.array(y, dtype=float).reshape(self.shape)

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the entries of ``L Rᵀ``."""
        return np.asarray(L @ R.T).ravel()
