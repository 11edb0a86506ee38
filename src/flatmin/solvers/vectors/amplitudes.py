"""Arithmetic of amplitudes ``x_i* U``, which have one row for each measurement, and of intensities."""

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["root_mean_square", "row_inner"]


def row_inner(V: Array, W: Array) -> Array:
    """Return ``Re⟨V_i, W_i⟩``, shape (m,), of the rows of two arrays (m, k), both real or both complex."""
    if np.iscomplexobj(V):
        return np.asarray(np.einsum("mk,mk->m", V.real, W.real) + np.einsum("mk,mk->m", V.imag, W.imag))
    return np.asarray(np.einsum("mk,mk->m", V, W))


def root_mean_square(b: Array) -> float:
    """Return ``(Σ b_i² / m)^½`` of real data, without underflow."""
    largest = float(np.max(np.abs(b)))
    return largest * float(np.sqrt(np.mean((b / largest) ** 2))) if largest else 0.0
