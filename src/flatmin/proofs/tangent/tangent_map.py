"""The measurement map on the tangent space of a matrix: proved injectivity, and least changes of a dual vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.factorizations import smallest_singular_value
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma, rounded_up
from flatmin.linalg.subspaces import complement
from flatmin.measurements import Entries
from flatmin.proofs.tangent.tangent_cells import CellGram
from flatmin.proofs.whitening import WhitenedSolution, row_sizes

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
    size = float(np.linalg.norm(row_sizes(point.problem)[0]))
    for D in point.metric:
        W = D.whitening
        size *= float(np.max(W, initial=0.0) if W.ndim == 1 else np.linalg.norm(W) * (1 + D.skew))
    return size * (1 + gamma(sum(d**2 for d in point.problem.shape)))


def column_error(point: WhitenedSolution) -> float:
    """Return a bound on the rounding error of products of the whitened map with orthonormal columns on both sides.

    In general these are four matrix products, one after the other, with sums of 2 (d1 + d2) terms in all. The absolute
    values of orthonormal columns form matrices of norm at most √d1 and √d2, whose product is at most ``(d1 + d2)/2``.
    For entries they are sums of two products of three numbers.
    """
    length = sum(point.whitened.shape)
    if isinstance(point.whitened, Entries):
        return gamma(16) * reach(point)
    return 0.51 * length * gamma(2 * length + 16, point.is_complex) * reach(point)


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
        m, n = self.columns.shape
        summed = gamma(m + 2) * float(np.linalg.norm(self.columns)) + self.column_error
        lacking = float(np.linalg.norm(self._lacking(dual, sign)))
        basis = (2 * self.skew + 2 * UNIT) * abs(sign) * float(np.linalg.norm(self.sign))
        found = lacking * (1 + 2 * self.skew) + summed * float(np.linalg.norm(dual)) + basis
        return rounded_up(found * (1 + gamma(m * (n + 1))), 16)

    def least_change(self, dual: Array, sign: float) -> Array:
        """Return the solution of the normal equations."""
        from scipy.linalg import solve

        gram = self.columns.T @ self.columns
        return np.asarray(self.columns @ solve(gram, self._lacking(dual, sign), assume_a="pos"))

    def dual_error(self, dual: Array) -> float:
        """Return a bound from the number of terms of every sum: m in ``A*(dual)``, d1 + d2 in products with W1 and W2.

        By the Cauchy-Schwarz inequality the norm of ``Σ |dual_i| |W1| |A_i| |W2|`` is at most ``‖dual‖ reach``.
        """
        terms = gamma(len(self.columns) + self.length + 8, np.iscomplexobj(self.sides))
        return 1.01 * terms * self.reach * float(np.linalg.norm(dual))


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
        """Return the bound from ``R V`` and ``R* U``, with the errors of all sums (docs/theory/uniqueness.md)."""
        gram, (RV, RtU), root = self.gram, self._lacking(dual, sign), float(np.sqrt(self.gram.U.shape[1]))
        inner = gram.V.T @ RtU
        ends = [float(np.linalg.norm(F)) * (1 + gamma(F.size)) for F in (RV, RtU - gram.V @ inner, RtU)]
        skew = max(defect_of_columns(gram.U), defect_of_columns(gram.V))
        turned = skew * (2.01 * abs(sign) * root + ends[0])
        summed = 1.01 * root * (gamma(gram.longest + 2) * self._size(dual) + self.dual_error(dual))
        summed += 2 * UNIT * (abs(sign) * root + ends[0] + ends[2])
        projected = gamma(gram.U.shape[1] + 2) * (ends[2] + 1.01 * root * float(np.linalg.norm(inner)))
        return rounded_up(float(np.hypot(ends[0] + turned + summed, (1 + skew) * (ends[1] + projected + summed))), 16)

    def least_change(self, dual: Array, sign: float) -> Array:
        """Return ``B(U E* + F V*)`` for the solution (E, F) of the normal equations."""
        gram = self.gram
        whole, (RV, RtU) = gram.whole, self._lacking(dual, sign)
        return np.zeros(len(dual)) if whole is None else gram.forward(*whole.solve(RtU, RV))

    def _size(self, dual: Array) -> float:
        """Return a bound on the norm of ``|B|*(|dual|)``: up to ``repeats`` numbers are added in every cell."""
        entries = self.gram.entries
        weighted = dual if entries.weights is None else entries.weights * dual
        return float(np.linalg.norm(weighted)) * (1 + gamma(len(dual) + 8)) * float(np.sqrt(entries.repeats))

    def dual_error(self, dual: Array) -> float:
        """Return the bound for entries: whitened weights and products are rounded, and repeated entries are added."""
        return 1.01 * gamma(self.gram.entries.repeats + 8) * self._size(dual)
