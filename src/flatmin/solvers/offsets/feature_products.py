"""Products of features: the term ``u_iᵀ B w_j`` of the features u_i of a row and w_j of a column.

Its slopes B (p, s) are fitted with offsets as in `flatmin.solvers.offsets.slopes`. Entries of F B are those of
``U B Wᵀ``, a product of two factors. The largest dense matrix is ``Fᵀ P F``, of order p s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries
from flatmin.solvers.offsets.equations import OffsetEquations, roots
from flatmin.solvers.offsets.slopes import SlopeEquations

__all__ = ["MOST_PRODUCTS", "ProductEquations", "ProductTerm"]

#: Largest number p s of products. S has the square of this number of entries, and takes a solve for each product.
MOST_PRODUCTS = 1000


@dataclass(frozen=True, eq=False)
class ProductTerm:
    """Features U (d1, p) of rows and W (d2, s) of columns whose products are fitted.

    ``strength`` is the ridge penalty ρ on the slopes of all products; "auto" is estimated by `OffsetModel.estimated`.
    """

    rows: Array
    columns: Array
    strength: float | str = "auto"

    def joined(self, equations: OffsetEquations) -> ProductEquations:
        """Return the equations of the slopes, fitted together with offsets."""
        return ProductEquations(equations, self)


@dataclass(frozen=True, eq=False)
class ProductEquations(SlopeEquations):
    """The equations of the slopes B (p, s) of products of features."""

    term: ProductTerm

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers p and s of features of rows and of columns."""
        return self.term.rows.shape[1], self.term.columns.shape[1]

    def loads(self, B: Array) -> tuple[Array, Array]:
        """Return factors (d1, k) and (d2, k) of the term, k = min(p, s)."""
        U, W = self.term.rows, self.term.columns
        return (U, W @ B.T) if U.shape[1] < W.shape[1] else (U @ B, W)

    def described(self, B: Array) -> dict[str, Array]:
        """Return the slopes and the factors of the term."""
        left, right = self.loads(B)
        return {"product_slopes": B, "row_loads": left, "column_loads": right}

    def spread(self, B: Array, entries: Entries | None = None) -> Array:
        """Return ``F B``, or the term at other entries."""
        return (entries or self.equations.entries).forward_factors(*self.loads(B))

    def sums(self, y: Array, entries: Entries | None = None) -> Array:
        """Return the transpose of `spread`, shape (p, s)."""
        U, W, A = self.term.rows, self.term.columns, (entries or self.equations.entries).adjoint_operator(y)
        return np.asarray((A.T @ U).T @ W if U.shape[1] < W.shape[1] else U.T @ (A @ W))

    @cached_property
    def spectrum(self) -> tuple[Array, Array]:
        """The eigenvalues, ascending, and the eigenvectors of ``Fᵀ P F``."""
        crossed, (p, s) = _Crossed.from_term(self.equations.entries, self.term), self.shape
        S = crossed.gram()
        for k in range(p):
            for c in range(s):
                S[k * s + c] -= crossed.back(self.equations.solve(crossed.column(k, c))).ravel()
        values, Q = np.linalg.eigh((S + S.T) / 2)
        return np.maximum(values, 0.0), Q

    @cached_property
    def twice(self) -> Array:
        """The diagonal (p s,) of ``Fᵀ P² F = Fᵀ P F − Fᵀ H G K G Hᵀ F`` in the eigenvectors of `spectrum`."""
        crossed, (p, s), equations = _Crossed.from_term(self.equations.entries, self.term), self.shape, self.equations
        (values, Q), shrunk = self.spectrum, np.empty((p * s, p * s))
        for k in range(p):
            for c in range(s):
                pulled = equations.roots_of_penalty(equations.solve(crossed.column(k, c)))
                shrunk[k * s + c] = crossed.back(equations.solve((0.0, *equations.back_from_penalty(pulled)))).ravel()
        return np.asarray(values - np.einsum("kn,kn->n", Q, shrunk @ Q))


@dataclass(frozen=True, eq=False)
class _Crossed:
    """Sums of squared weights times features, from which ``FᵀF`` and ``HᵀF`` follow without forming F."""

    term: ProductTerm
    #: The squared weights of the entries as a sparse array (d1, d2).
    weights: Any
    #: For every row, the weighted sums of W over its entries, (d1, s), and for every column those of U, (d2, p).
    of_rows: Array
    of_columns: Array

    @classmethod
    def from_term(cls, entries: Entries, term: ProductTerm) -> _Crossed:
        weights = entries.adjoint_operator(roots(entries))
        return cls(term, weights, np.asarray(weights @ term.columns), np.asarray(weights.T @ term.rows))

    def gram(self) -> Array:
        """Return ``FᵀF``, shape (p s, p s)."""
        U, W = self.term.rows, self.term.columns
        p, s = U.shape[1], W.shape[1]
        out = np.empty((p, s, p, s))
        if p <= s:
            for k, c in combinations_with_replacement(range(p), 2):
                out[k, :, c] = out[c, :, k] = W.T @ ((self.weights.T @ (U[:, k] * U[:, c]))[:, None] * W)
        else:
            for k, c in combinations_with_replacement(range(s), 2):
                out[:, k, :, c] = out[:, c, :, k] = U.T @ ((self.weights @ (W[:, k] * W[:, c]))[:, None] * U)
        return out.reshape(p * s, p * s)

    def column(self, k: int, c: int) -> tuple[float, Array, Array]:
        """Return the column of ``HᵀF`` of one product."""
        a, b = self.term.rows[:, k] * self.of_rows[:, c], self.of_columns[:, k] * self.term.columns[:, c]
        return float(np.sum(a)), a, b

    def back(self, z: tuple[float, Array, Array]) -> Array:
        """Return ``Fᵀ H z``, shape (p, s)."""
        g, a, b = z
        U, W = self.term.rows, self.term.columns
        return np.asarray(U.T @ ((g + a)[:, None] * self.of_rows) + self.of_columns.T @ (b[:, None] * W))
