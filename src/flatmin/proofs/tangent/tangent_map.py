"""The measurement map on the tangent space of a matrix: proved injectivity, and least changes of a dual vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.factorizations import smallest_singular_value
from flatmin.linalg.forward_error import UNIT, defect_of_columns
from flatmin.linalg.subspaces import EPS, complement
from flatmin.measurements import Entries
from flatmin.proofs.tangent.tangent_cells import CellGram
from flatmin.proofs.whitening import WhitenedSolution

__all__ = ["TangentCells", "TangentColumns", "TangentMap", "basis_skew", "column_error", "reach", "tangent_map"]


class TangentMap(ABC):
    """The map B on the tangent space T of orthonormal U (d1, q) and V (d2, q).

    T holds all matrices ``U E* + F V*``; for cones of Hermitian matrices, those that are Hermitian.

    Attributes
    ----------
    injectivity : float
        A proved lower bound on ``‖B(H)‖ / ‖H‖`` for H in T, with all rounding counted; 0.0 if nothing is proved.
    """

    @property
    @abstractmethod
    def injectivity(self) -> float:
        """A proved lower bound on ``‖B(H)‖ / ‖H‖`` for H in T."""

    @abstractmethod
    def distance(self, dual: Array, sign: float) -> float:
        """Return a bound on ``‖P_T(sign U V* − B*(dual))‖``, with rounding counted."""

    @abstractmethod
    def least_change(self, dual: Array, sign: float) -> Array:
        """Return the shortest c with ``P_T(B*(dual + c)) = sign U V*``, up to rounding."""

    @abstractmethod
    def dual_error(self, dual: Array) -> float:
        """Return a bound on the rounding error of the matrix ``B*(dual)`` as it is computed, in the Frobenius norm."""


def tangent_map(point: WhitenedSolution, U: Array, V: Array, sides: Array | None = None) -> TangentMap | None:
    """Return the map on the tangent space of U and V, or None if it is too large or cannot be injective.

    ``sides`` is the `Cone.derivative` at U and V, if known.
    """
    whitened, cone = point.whitened, point.cone
    if isinstance(whitened, Entries) and not cone.is_hermitian:
        gram = CellGram.from_entries(whitened, U, V)
        return None if gram is None else TangentCells(gram)
    if sides is None:
        sides = cone.derivative(whitened, U, V, (point.blind[0].shape[1], point.blind[1].shape[1]))
    if sides is None:
        return None
    products = [U.T] if cone.is_hermitian else [U.T, V.T]  # of U V*
    both = np.concatenate([sides, np.hstack(products)[None]])
    columns, skew = cone.tangent_columns(both, U, V, point.blind), basis_skew(U, V, point.blind)
    length = sum(whitened.shape)
    return TangentColumns(columns[:-1], columns[-1], reach(point), length, column_error(point), skew, sides)


def basis_skew(U: Array, V: Array, blind: tuple[Array, Array] | None = None) -> float:
    """Return a bound on ``‖G − I‖`` for the Gram matrix G of the basis behind `Cone.tangent_columns`.

    The basis consists of products of columns of U, of V and of their complements.
    """
    skews = []
    for i, F in enumerate((U, V)):
        unseen = None if blind is None else blind[i]
        skews.append(defect_of_columns(np.hstack([F, complement(F, unseen)])))
    return (1 + skews[0]) * (1 + skews[1]) - 1 + 4 * UNIT


def reach(point: WhitenedSolution) -> float:
    """Return a bound on the root of ``Σ ‖|W1| |A_i| |W2|‖²`` for the sensing matrices ``W1 A_i W2`` of a point."""
    dimension = 1 if point.cone.is_hermitian else point.whitened.shape[1]
    size = float(np.sqrt(point.whitened.size * dimension) * np.linalg.norm(point.problem.metric[0].values))
    for D in point.metric:
        inverse = D.power(-1).values
        size *= float(np.max(inverse, initial=0.0) if D.is_diagonal else np.linalg.norm(inverse))
    return size * (1 + 1e2 * EPS)


def column_error(point: WhitenedSolution) -> float:
    """Return a bound on the rounding error of products of the whitened map with orthonormal columns on both sides.

    In general these are four matrix products, one after the other. For entries they are products of three numbers.
    """
    length = sum(point.whitened.shape)
    terms = 8 if isinstance(point.whitened, Entries) else (2 * length + 8) * length
    return terms * EPS * reach(point)


@dataclass(frozen=True, eq=False)
class TangentColumns(TangentMap):
    """The map as a matrix on an orthonormal basis of the tangent space.

    Attributes
    ----------
    columns : ndarray, shape (m, n)
        The matrix.
    sign : ndarray, shape (n,)
        The coordinates of ``U V*``.
    reach : float
        A bound on the root of ``Σ ‖|W1| |A_i| |W2|‖²`` with ``B_i = W1 A_i W2``: relative rounding errors of products
        are multiplied by it.
    length : int
        ``d1 + d2``, the number of terms of those products.
    column_error : float
        A bound on the rounding error of the matrix, in the Frobenius norm.
    skew : float
        The result of `basis_skew`.
    sides : ndarray
        The `Cone.derivative` at U and V, from which the matrix was made.
    """

    columns: Array
    sign: Array
    reach: float
    length: int
    column_error: float
    skew: float
    sides: Array

    @cached_property
    def injectivity(self) -> float:
        """A lower bound on the smallest singular value, less the rounding error of the matrix and of its basis."""
        found = smallest_singular_value(self.columns) - self.column_error
        return max(0.0, found) / (1 + self.skew)

    def _lacking(self, dual: Array, sign: float) -> Array:
        return np.asarray(sign * self.sign - self.columns.T @ dual)

    def distance(self, dual: Array, sign: float) -> float:
        """Return the bound, computed in coordinates of the orthonormal basis."""
        summed = len(self.columns) * EPS * float(np.linalg.norm(self.columns)) + self.column_error
        lacking = float(np.linalg.norm(self._lacking(dual, sign)))
        basis = 2 * self.skew * abs(sign) * float(np.linalg.norm(self.sign))
        return lacking * (1 + 2 * self.skew) + summed * float(np.linalg.norm(dual)) + basis

    def least_change(self, dual: Array, sign: float) -> Array:
        """Return the solution of the normal equations."""
        from scipy.linalg import solve

        gram = self.columns.T @ self.columns
        return np.asarray(self.columns @ solve(gram, self._lacking(dual, sign), assume_a="pos"))

    def dual_error(self, dual: Array) -> float:
        """Return a bound from the number of terms of every sum."""
        return (len(self.columns) + self.length + 8) * EPS * self.reach * float(np.linalg.norm(dual))


@dataclass(frozen=True, eq=False)
class TangentCells(TangentMap):
    """The map of entries, known by its sparse Gram matrix on the factors (E, F) of ``U E* + F V*``."""

    gram: CellGram

    @cached_property
    def injectivity(self) -> float:
        """A lower bound from eliminations of the longer factor."""
        return self.gram.injectivity()

    def _lacking(self, dual: Array, sign: float) -> tuple[Array, Array]:
        """Return ``R V`` and ``R* U`` for ``R = sign U V* − B*(dual)``."""
        gram = self.gram
        Y = gram.entries.adjoint_operator(dual)
        return sign * gram.U - Y @ gram.V, sign * gram.V - Y.T @ gram.U

    def distance(self, dual: Array, sign: float) -> float:
        """Return the bound from ``R V`` and ``R* U``, and from the largest number of entries in a row or column."""
        gram, (RV, RtU) = self.gram, self._lacking(dual, sign)
        inside = RtU - gram.V @ (gram.V.T @ RtU)
        summed = (gram.longest + 16) * EPS * self._size(dual) * 2 * np.sqrt(gram.U.shape[1])
        basis = 16 * (gram.U.shape[1] + 4) * EPS * (abs(sign) * np.sqrt(gram.U.shape[1]) + np.linalg.norm(RtU))
        return float(np.hypot(np.linalg.norm(RV), np.linalg.norm(inside)) * (1 + 1e2 * EPS) + summed + basis)

    def least_change(self, dual: Array, sign: float) -> Array:
        """Return ``B(U E* + F V*)`` for the solution (E, F) of the normal equations."""
        gram = self.gram
        whole, (RV, RtU) = gram.whole, self._lacking(dual, sign)
        return np.zeros(len(dual)) if whole is None else gram.forward(*whole.solve(RtU, RV))

    def _size(self, dual: Array) -> float:
        weights = self.gram.entries.weights
        return float(np.linalg.norm(dual if weights is None else weights * dual))

    def dual_error(self, dual: Array) -> float:
        """Return the bound for entries: each is rounded once, and repeated entries are added up."""
        return (8 + self.gram.longest) * EPS * self._size(dual)
