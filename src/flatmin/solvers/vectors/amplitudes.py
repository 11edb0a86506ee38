"""Arithmetic of amplitudes ``x_i* U``, one row a measurement, and of intensities."""

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["root_mean_square", "row_inner"]


def row_inner(V: Array, W: Array) -> Array:
    """Return ``Re⟨V_i, W_i⟩`` of the rows of two arrays.

    Parameters
    ----------
    V, W : ndarray, shape (m, k)
        Both real or both complex.

    Returns
    -------
    ndarray, shape (m,)
        Real.

    Examples
    --------
    >>> row_inner(np.array([[1j, 1], [2, 0]]), np.array([[1j, 2], [3j, 5]]))
    array([3., 0.])
    """
    if np.iscomplexobj(V):
        return np.asarray(np.einsum("mk,mk->m", V.real, W.real) + np.einsum("mk,mk->m", V.imag, W.imag))
    return np.asarray(np.einsum("mk,mk->m", V, W))


def root_mean_square(b: Array) -> float:
    """Return ``(Σ b_i² / m)^½``, without underflow.

    Parameters
    ----------
    b : ndarray, shape (m,)
        Real.

    Examples
    --------
    >>> root_mean_square(np.array([3e-200, -3e-200]))
    3e-200
    """
    largest = float(np.max(np.abs(b)))
    return largest * float(np.sqrt(np.mean((b / largest) ** 2))) if largest else 0.0
