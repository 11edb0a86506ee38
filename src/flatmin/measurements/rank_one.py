"""RankOne: measurements whose sensing matrices have rank one and are never formed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.forward_error import gamma, pieces, summed, summed_terms
from flatmin.linalg.metric import Metric
from flatmin.measurements._on_device import RankOneOnDevice
from flatmin.measurements.base import Measurement

__all__ = ["RankOne"]


class RankOne(Measurement):
    """Measurements ``⟨x_i y_i*, X⟩ = Re(x_i* X y_i)`` by pairs of vectors, as in bilinear sensing.

    If ``y_i = x_i``, they are quadratic forms, as in covariance estimation and phase retrieval.

    Parameters
    ----------
    left : array_like, shape (m, d1)
        The vectors ``x_i``, real or complex.
    right : array_like, shape (m, d2), optional
        The vectors ``y_i``; ``None`` stands for ``left``.

    Raises
    ------
    InputError
        If an array is empty, not two-dimensional, not finite, or the two differ in length.

    Examples
    --------
    >>> A = RankOne([[1.0, 2.0]], [[3.0, 0.0, 1.0]])
    >>> A.adjoint(np.array([1.0]))
    array([[3., 0., 1.],
           [6., 0., 2.]])
    """

    _on_device = RankOneOnDevice

    def __init__(self, left: Any, right: Any = None) -> None:
        left = numeric(left, "left", allow_complex=True)
        self.is_rank_one = right is None
        right = left if right is None else numeric(right, "right", allow_complex=True)
        for name, array in (("left", left), ("right", right)):
            if array.ndim != 2 or 0 in array.shape:
                raise InputError(f"{name} has shape {array.shape}, expected (m, d) without an empty axis")
        if len(left) != len(right):
            raise InputError(f"left has {len(left)} rows and right has {len(right)}, expected equal numbers of rows")
        self.left, self.right = left, right
        self.size, self.shape = len(left), (left.shape[1], right.shape[1])
        self.dtype = np.result_type(left, right)

    def forward(self, X: Array) -> Array:
        """Return ``Re(x_i* X y_i)`` for every i."""
        return np.asarray(np.einsum("mj,mj->m", self.left.conj() @ X, self.right).real)

    def adjoint(self, y: Array) -> Array:
        """Return ``Σ y_i x_i y_i*``."""
        left, right = self.left, self.right
        return summed((left[piece].T * y[piece]) @ right[piece].conj() for piece in pieces(self.size))

    @property
    def adjoint_rounding(self) -> float:
        """The number of `Measurement.adjoint_rounding`, for sums formed by `pieces`."""
        return gamma(summed_terms(self.size) + 2, self.is_complex)

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return ``Re⟨L* x_i, R* y_i⟩`` for every i."""
        return np.asarray(np.einsum("mk,mk->m", self.left @ L.conj(), (self.right @ R.conj()).conj()).real)

    def amplitudes(self, U: Array) -> Array:
        """Return ``x_i* U`` for U (d, k), shape (m, k)."""
        if not self.is_rank_one:
            return super().amplitudes(U)
        return np.asarray((self.left @ U.conj()).conj())  # conjugates the smaller array, here and below

    def superposition(self, V: Array) -> Array:
        """Return ``Σ x_i V_i`` for V (m, k), shape (d, k)."""
        return np.asarray(self.left.T @ V) if self.is_rank_one else super().superposition(V)

    def matrices(self, start: int = 0, stop: int | None = None) -> Array:
        """Return the sensing matrices as outer products."""
        return np.asarray(self.left[start:stop, :, None] * self.right[start:stop, None, :].conj())

    def norms(self) -> Array:
        """Return ``|x_i| |y_i|`` for every i."""
        return np.asarray(np.linalg.norm(self.left, axis=1) * np.linalg.norm(self.right, axis=1))

    def traces(self) -> Array:
        """Return ``Re y_i* x_i`` for every i."""
        self._require_square("traces")
        return np.asarray(np.einsum("mj,mj->m", self.left, self.right.conj()).real)

    def weighted(self, weights: Array) -> RankOne:
        """Return the map with matrices ``weights[i] · x_i y_i*``. Nonnegative weights keep the form ``x x*``."""
        if self.is_rank_one and np.all(weights >= 0):
            return RankOne(np.sqrt(np.asarray(weights, float))[:, None] * self.left)
        return RankOne(weights[:, None] * self.left, self.right)

    def stacked(self, weights: Array | None = None) -> Iterator[tuple[Array, Array]]:
        """Yield ``|y_i| x_i*`` and ``|x_i| y_i*`` as rows, times weights if given."""
        sizes = [np.linalg.norm(F, axis=1) for F in (self.right, self.left)]
        left, right = (size if weights is None else size * weights for size in sizes)
        yield left[:, None] * self.left.conj(), right[:, None] * self.right.conj()

    @property
    def gram_rounding(self) -> float:
        """The number of `Measurement.gram_rounding`, for sums formed by `pieces` of vectors with rounded norms."""
        return gamma(summed_terms(self.size) + max(self.shape) + 7, self.is_complex)

    def forward_error(self, L: Array, R: Array) -> Array:
        """Return bounds (m,) on the rounding errors of `forward_factors`, from the absolute values of all numbers."""
        left, right = np.abs(self.left) @ np.abs(L), np.abs(self.right) @ np.abs(R)
        terms = sum(self.shape) + L.shape[1] + 2
        return np.asarray(1.01 * gamma(terms, self.is_complex) * np.einsum("mk,mk->m", left, right))

    def jacobian(self, L: Array, R: Array) -> Array:
        """Return ``[x_i (y_i* R), conj(y_i) (x_iᵀ L)]`` for every i."""
        d1, right = self.shape[0], self.right.conj()
        J = np.empty((self.size, L.shape[1], sum(self.shape)), np.result_type(self.dtype, L, R))
        np.multiply((right @ R)[:, :, None], self.left[:, None, :], out=J[..., :d1])
        np.multiply((self.left @ L)[:, :, None], right[:, None, :], out=J[..., d1:])
        return J

    def products(self, R: Array) -> Array:
        """Return ``x_i (y_i* R)`` for every i."""
        return np.asarray((self.right.conj() @ R)[:, :, None] * self.left[:, None, :])

    def congruence(self, P1: Metric, P2: Metric) -> RankOne:
        """Return the map with vectors ``P1 x_i`` and ``P2 y_i``."""
        if self.is_rank_one and _equal(P1, P2):
            return RankOne((P1 @ self.left.T).T)
        return RankOne((P1 @ self.left.T).T, (P2 @ self.right.T).T)

    def take(self, index: Array) -> RankOne:
        """Return the chosen pairs of vectors."""
        chosen = self._positions(index)
        return RankOne(self.left[chosen], None if self.is_rank_one else self.right[chosen])


def _equal(P1: Metric, P2: Metric) -> bool:
    """Return whether two metrics are the same matrix, in the same representation."""
    if P1 is P2:
        return True
    if P1.vectors is None or P2.vectors is None:
        return P1.vectors is P2.vectors and np.array_equal(P1.values, P2.values)
    return np.array_equal(P1.values, P2.values) and np.array_equal(P1.vectors, P2.vectors)
