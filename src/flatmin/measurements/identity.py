"""The whole matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin._validation import matrix_shape
from flatmin.measurements.entries import Entries
from flatmin.metric import Array

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
        d1, d2 = matrix_shape(shape)
        rows, cols = np.divmod(np.arange(d1 * d2), d2)
        super().__init__(rows, cols, (d1, d2))

    def forward(self, X: Array) -> Array:
        """Return X, flattened."""
        return np.array(X.real, dtype=float).ravel()

    def adjoint(self, y: Array) -> Array:
        """Return y as a matrix."""
        return np.array(y, dtype=float).reshape(self.shape)

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the entries of ``L Rᵀ``."""
        return np.asarray(L @ R.T).ravel()
