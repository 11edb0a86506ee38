"""Metric: positive semidefinite matrices that measure the curvature of the loss along rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma, rounded_up

__all__ = ["Metric", "check_squares", "condition_number", "hermitian_of_product", "svd_of_product", "unseen"]

#: A matrix is not equilibrated if its rows differ in scale by at most this factor, and its eigenvalues by at most the
#: fourth power of this factor.
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
    square : ndarray, optional
        The computed ``D²`` from which values and vectors follow, a diagonal (n,) or a matrix (n, n); None if they are
        exact.
    rounding : float
        A number e with ``|computed − exact| ≤ e √(D²_jj D²_kk)`` for all entries (j, k) of ``D²``.
    origin : tuple of Metric and float, optional
        The metric of which this one is the `tempered` power, and the exponent.

    Examples
    --------
    >>> D = Metric.root(np.array([4.0, 0.0, 1.0]))
    >>> D.power(-1) @ np.ones(3)
    array([0.5, 0. , 1. ])
    """

    values: Array
    vectors: Array | None = None
    square: Array | None = None
    rounding: float = 0.0
    origin: tuple[Metric, float] | None = None
    __array_ufunc__ = None  # let ``ndarray @ Metric`` reach ``__rmatmul__``

    @classmethod
    def root(cls, square: Array, rounding: float = 0.0) -> Metric:
        """Return the square root of ``D²``, a diagonal (n,) or a full matrix (n, n); even small rows are accurate.

        ``rounding`` bounds the error of ``D²`` itself, see `Metric`.
        """
        check_squares(square)
        if square.ndim == 1:
            return cls(np.sqrt(square), None, square, rounding)
        scale = np.sqrt(np.diagonal(square).real)
        if scale.max(initial=0.0) <= EVEN * scale.min(initial=np.inf):
            values, vectors = np.linalg.eigh(square)
            if values[-1] <= EVEN**4 * values[0]:
                return cls(np.sqrt(values), vectors, square, rounding)
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        eigenvalues, Q = np.linalg.eigh(square * np.outer(inverse, inverse))
        inside = eigenvalues > len(scale) * np.finfo(float).eps * max(eigenvalues[-1], 1.0)
        factor = np.sqrt(eigenvalues[inside])[:, None] * Q[:, inside].conj().T * scale
        _, values, vectors = np.linalg.svd(factor)
        vectors = vectors.conj().T
        vectors[scale == 0, : len(values)] = 0  # unseen coordinates stay exactly zero
        return cls(np.concatenate([values, np.zeros(len(scale) - len(values))]), vectors, square, rounding)

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
    def is_whole(self) -> bool:
        """Whether `whitening` has all n columns, not only one for each vector of a basis of the range."""
        return self.is_diagonal or self.rank in (0, len(self.values))

    @property
    def range(self) -> Array | None:
        """A basis (n, rank) of the range, which is where matrices are whitened; None if `is_whole`."""
        return None if self.vectors is None or self.is_whole else self.vectors[:, self.values > 0]

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
        return Metric(powered.values * mean ** ((1 - exponent) / 2), self.vectors, origin=(self, exponent))

    @cached_property
    def whitening(self) -> Array:
        """A matrix W with ``W* D² W ≈ I`` on the range; `defect` bounds the error of this for the stored numbers W.

        It is the diagonal (n,) of ``D⁻¹``, or the matrix ``D⁻¹`` (n, n), or for a singular full matrix (n, rank) the
        eigenvectors of its range divided by their eigenvalues.
        """
        if self.vectors is None:
            return self.power(-1).values
        inside = self.values > 0
        return self.power(-1).dense if self.is_whole else self.vectors[:, inside] / self.values[inside]

    @cached_property
    def defect(self) -> float:
        """A bound on ``‖W* D² W − I‖_op`` for the exact ``D²`` and the stored `whitening`, rounding errors included."""
        if self.square is None:
            return self._defect_of_power
        W, square, is_complex = self.whitening, self.square, np.iscomplexobj(self.square)
        if W.ndim == 1:
            scaled = W * W * square
            inside = W > 0
            size = float(np.max(scaled, initial=0.0))
            excess = float(np.max(np.abs(scaled - 1), initial=0.0, where=inside))
            return rounded_up(excess + 4 * (UNIT + self.rounding) * size)
        if not self.rank:
            return 0.0
        excess = W.conj().T @ (square @ W)
        excess[np.diag_indices(len(excess))] -= 1
        rows = np.sqrt(np.maximum(np.diagonal(square).real, 0)) * (1 + self.rounding)
        reach = np.abs(W).T @ rows
        terms = gamma(2 * len(square) + 4, is_complex) + self.rounding
        size = float(reach @ reach) * (1 + gamma(4 * len(square)))
        return rounded_up(float(np.linalg.norm(excess)) * (1 + gamma(excess.size)) + 1.01 * terms * size)

    @property
    def coordinates(self) -> Array:
        """The stored matrix that maps factors of X to those of ``Z = D X``, in the shapes of `whitening` transposed."""
        if self.vectors is None:
            return self.values
        inside = self.values > 0
        return self.dense if self.is_whole else self.values[inside, None] * self.vectors[:, inside].conj().T

    @cached_property
    def whitening_norm(self) -> float:
        """A bound on ``‖W‖_op`` for the stored `whitening` W."""
        largest = float(np.max(self.power(-1).values, initial=0.0))
        if self.vectors is None:
            return rounded_up(largest)
        return largest * self._stretched

    @cached_property
    def unwhitening_norm(self) -> float:
        """A bound on ``‖W⁻¹‖_op`` for the stored `whitening` W, or on the norm of `coordinates` for a singular D."""
        if self.vectors is None:
            smallest = float(np.min(self.whitening[self.values > 0], initial=np.inf))
            return rounded_up(1 / smallest)
        lost = self.inverse_defect if self.is_whole else 0.0
        largest = float(np.max(self.values, initial=0.0)) * self._stretched
        return rounded_up(largest / (1 - lost)) if lost < 1 else float("inf")

    @cached_property
    def skew(self) -> float:
        """A bound on ``‖V*V − I‖`` for the stored eigenvectors V; 0 for a diagonal matrix."""
        return 0.0 if self.vectors is None else defect_of_columns(self.vectors)

    @property
    def _stretched(self) -> float:
        """A bound on ``‖V f V*‖ / max|f|`` for the stored eigenvectors V and a computed product."""
        n, is_complex = len(self.values), self.vectors is not None and np.iscomplexobj(self.vectors)
        return (1 + self.skew) * (1 + n * gamma(n + 8, is_complex))

    @cached_property
    def inverse_defect(self) -> float:
        """A bound on ``‖C W − I‖_op`` for the stored `whitening` W and `coordinates` C."""
        W, C = self.whitening, self.coordinates
        if W.ndim == 1 or not self.rank:
            return gamma(4)
        error = gamma(W.shape[0] + 1, np.iscomplexobj(W)) * float(np.linalg.norm(np.abs(C) @ np.abs(W)))
        return rounded_up(float(np.linalg.norm(C @ W - np.eye(W.shape[1]))) * (1 + gamma(W.size)) + 1.01 * error)

    @property
    def _defect_of_power(self) -> float:
        """The `defect` of a `tempered` power, by the monotony of ``t ↦ t^p`` (docs/theory/flatness.md)."""
        n = len(self.values)
        if self.origin is None:
            return gamma(8)
        plain, power = self.origin
        steps = plain.rounding + gamma(2 * n + 60)
        if self.vectors is None:
            return 2 * steps
        skew = self.skew
        turned = (2 + skew) * skew + gamma(n + 4, np.iscomplexobj(self.vectors)) * n * (1 + skew)
        once, powered = (turned * plain.condition**exponent + steps for exponent in (1.0, power))
        defect = plain.defect if plain.rank == n else 0.0
        if not (once < 0.5 and powered < 0.5):
            return float("inf")
        return rounded_up((1 + defect) * ((1 + powered) / (1 - once)) ** 2 - 1 + 8 * UNIT)

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


def unseen(metric: tuple[Metric, Metric]) -> int:
    """Return the number of directions of rows and of columns in which a metric vanishes; Hermitian models have one D.

    Examples
    --------
    >>> unseen((Metric(np.array([1.0, 0.0])), Metric(np.array([0.0, 2.0, 0.0]))))
    3
    """
    sides = metric[:1] if metric[0] is metric[1] else metric
    return sum(D.shape[0] - D.rank for D in sides)


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
