"""Metric: positive semidefinite matrices that measure the curvature of the loss along rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["Metric", "check_squares", "condition_number", "hermitian_of_product", "svd_of_product"]

#: A matrix is not equilibrated if its scales differ by at most this factor, and its eigenvalues by its fourth power.
EVEN = 10.0
#: Largest sum of squares of sensing matrices, and inverse of the smallest one.
LARGEST_SQUARE = 1e300


@dataclass(frozen=True, eq=False)
class Metric:
    """A symmetric positive semidefinite matrix ``D``, kept as its eigenvalues and eigenvectors.

    It behaves like an array under ``@`` and ``numpy.asarray``, and is never formed when it is diagonal. Its negative
    powers are pseudo-inverses, on the range of ``D``.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Eigenvalues, nonnegative; exactly zero outside the range.
    vectors : ndarray, shape (n, n), optional
        Orthonormal eigenvectors as columns; ``None`` for a diagonal matrix.

    Examples
    --------
    >>> D = Metric.root(np.array([4.0, 0.0, 1.0]))
    >>> D.power(-1) @ np.ones(3)
    array([0.5, 0. , 1. ])
    """

    values: Array
    vectors: Array | None = None
    __array_ufunc__ = None  # let ``ndarray @ Metric`` reach ``__rmatmul__``

    @classmethod
    def root(cls, square: Array) -> Metric:
        """Return the square root of ``D²``, a diagonal (n,) or a full matrix (n, n); small rows are accurate too."""
        check_squares(square)
        if square.ndim == 1:
            return cls(np.sqrt(square))
        scale = np.sqrt(np.diagonal(square).real)
        if scale.max(initial=0.0) <= EVEN * scale.min(initial=np.inf):
            values, vectors = np.linalg.eigh(square)
            if values[-1] <= EVEN**4 * values[0]:
                return cls(np.sqrt(values), vectors)
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        eigenvalues, Q = np.linalg.eigh(square * np.outer(inverse, inverse))
        inside = eigenvalues > len(scale) * np.finfo(float).eps * max(eigenvalues[-1], 1.0)
        factor = np.sqrt(eigenvalues[inside])[:, None] * Q[:, inside].conj().T * scale
        _, values, vectors = np.linalg.svd(factor)
        vectors = vectors.conj().T
        vectors[scale == 0, : len(values)] = 0  # unseen coordinates stay exactly zero
        return cls(np.concatenate([values, np.zeros(len(scale) - len(values))]), vectors)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (n, n)."""
        return len(self.values), len(self.values)

    @property
    def T(self) -> Metric:
        """The transpose, which is the complex conjugate."""
        return self if self.vectors is None or np.isrealobj(self.vectors) else Metric(self.values, self.vectors.conj())

    @property
    def is_diagonal(self) -> bool:
        """Whether the matrix is stored as its diagonal alone."""
        return self.vectors is None

    @property
    def rank(self) -> int:
        """The dimension of the range."""
        return int(np.count_nonzero(self.values))

    @property
    def condition(self) -> float:
        """The ratio of the largest to the smallest nonzero eigenvalue; 1 for the zero matrix."""
        inside = self.values[self.values > 0]
        return float(inside.max() / inside.min()) if len(inside) else 1.0

    @property
    def undetermined(self) -> Array:
        """Indices of the coordinates in the null space of ``D``, ascending."""
        if self.vectors is None:
            return np.flatnonzero(self.values == 0)
        reach = np.abs(self.vectors[:, self.values > 0]).max(axis=1, initial=0.0)
        return np.flatnonzero(reach <= len(self.values) * np.finfo(float).eps)

    @cached_property
    def blind(self) -> Array:
        """An orthonormal basis (n, n − rank) of the null space of ``D``."""
        zero = np.flatnonzero(self.values == 0)
        if self.vectors is not None:
            return self.vectors[:, zero]
        basis = np.zeros((len(self.values), len(zero)))
        basis[zero, np.arange(len(zero))] = 1
        return basis

    def power(self, exponent: float) -> Metric:
        """Return ``D`` to a power, on its range: ``power(-1)`` is the pseudo-inverse."""
        values = np.zeros_like(self.values)
        np.power(self.values, exponent, out=values, where=self.values > 0)
        return Metric(values, self.vectors)

    def tempered(self, exponent: float) -> Metric:
        """Return ``D^p mean(D²)^((1−p)/2)``, whose scale makes alpha comparable for all p from 0 to 1."""
        if exponent == 1:
            return self
        mean = float(np.mean(self.values**2))
        powered = self.power(exponent)
        return Metric(powered.values * mean ** ((1 - exponent) / 2), self.vectors)

    @cached_property
    def dense(self) -> Array:
        """The matrix as an ndarray (n, n)."""
        if self.vectors is None:
            return np.diag(self.values)
        return np.asarray((self.vectors * self.values) @ self.vectors.conj().T)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.dense, dtype=dtype)

    def __matmul__(self, other: Any) -> Array:
        other = np.asarray(other)
        if self.vectors is not None:
            return np.asarray(self.dense @ other)
        return np.asarray(self.values[:, None] * other if other.ndim > 1 else self.values * other)

    def __rmatmul__(self, other: Any) -> Array:
        if self.vectors is not None:
            return np.asarray(np.asarray(other) @ self.dense)
        return np.asarray(np.asarray(other) * self.values)


def check_squares(squares: Array) -> None:
    """Raise `InputError` if sums of squares of sensing matrices have over- or underflowed."""
    largest = float(np.max(np.abs(squares), initial=0.0))
    if not largest < LARGEST_SQUARE or 0 < largest < 1 / LARGEST_SQUARE:
        expected = f"{1 / LARGEST_SQUARE:g} to {LARGEST_SQUARE:g}"
        raise InputError(f"the sensing matrices have squares of about {largest:.1g}, expected {expected}; scale them")


def condition_number(metric: tuple[Metric, Metric]) -> float:
    """Return the ratio of the largest to the smallest nonzero eigenvalue of both matrices together."""
    return Metric(np.concatenate([D.values for D in metric])).condition


def svd_of_product(L: Array, R: Array) -> tuple[Array, Array, Array]:
    """Return the singular value decomposition ``U, s, V`` of ``L R*``, without forming it."""
    QL, TL = np.linalg.qr(L)
    QR, TR = np.linalg.qr(R)
    U, s, Vh = np.linalg.svd(TL @ TR.conj().T, full_matrices=False)
    return QL @ U, s, QR @ Vh.conj().T


def hermitian_of_product(P: Array, Q: Array) -> tuple[Array, Array, Array]:
    """Return ``U, s, V`` with ``U s V* = P Q*`` for a Hermitian product: s ≥ 0 descends, and V is U times signs."""
    both = np.hstack([P, Q])
    basis, T = np.linalg.qr(both)
    TP, TQ = T[:, : P.shape[1]], T[:, P.shape[1] :]
    inner = TP @ TQ.conj().T
    values, E = np.linalg.eigh((inner + inner.conj().T) / 2)
    order = np.argsort(-np.abs(values), kind="stable")[: P.shape[1]]
    U, values = basis @ E[:, order], values[order]
    return U, np.abs(values), U * np.where(values < 0, -1.0, 1.0)
