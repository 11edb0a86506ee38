"""Products of features: the term ``u_iᵀ B w_j`` of the features u_i of a row and w_j of a column, fitted with offsets.

The slopes B (p, s) have the ridge penalty ``ρ ‖B‖²``. Let F be the matrix from B to observed entries, and ``P = I − H G
Hᵀ`` that of the fit of offsets alone, so that ``yᵀ P y`` is the least objective over the offsets. Then the least
objective over offsets and slopes is again a quadratic form of y,

    min_B (y − F B)ᵀ P (y − F B) + ρ ‖B‖² = yᵀ (P − P F S⁻¹ Fᵀ P) y,   B = S⁻¹ Fᵀ P y,   S = Fᵀ P F + ρ I,

and a low-rank matrix is fitted jointly with both. Entries of F B are those of ``U B Wᵀ``, a product of two factors. The
largest dense matrix is S, of order p s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries
from flatmin.solvers.offsets.equations import OffsetEquations, roots
from flatmin.solvers.offsets.offset_free import OffsetFree, OtherEntries

__all__ = ["MOST_PRODUCTS", "OtherProducts", "ProductEquations", "ProductFree", "ProductTerm"]

#: Largest number p s of products. S has the square of this number of entries, and takes a solve for each product.
MOST_PRODUCTS = 1000
#: The range of estimated penalties, in shares of the number of observations.
RIDGES = 1e-9, 1e3


@dataclass(frozen=True, eq=False)
class ProductTerm:
    """Features U (d1, p) of rows and W (d2, s) of columns whose products are fitted.

    ``strength`` is the ridge penalty ρ on the slopes of all products; "auto" is estimated by `OffsetModel.estimated`.
    """

    rows: Array
    columns: Array
    strength: float | str = "auto"


@dataclass(frozen=True, eq=False)
class ProductEquations:
    """The equations ``S B = Fᵀ P y`` of the slopes B (p, s), after the elimination of offsets."""

    equations: OffsetEquations
    term: ProductTerm

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers p and s of features of rows and of columns."""
        return self.term.rows.shape[1], self.term.columns.shape[1]

    @property
    def size(self) -> int:
        """The number of slopes."""
        return self.shape[0] * self.shape[1]

    @property
    def root(self) -> float:
        """The root of the penalty ρ."""
        return float(np.sqrt(float(self.term.strength)))

    def fit(self, y: Array) -> Array:
        """Return the slopes ``S⁻¹ Fᵀ P y`` for weighted values y (m,)."""
        return self.solve(self.sums(self.without_offsets(y)))

    def loads(self, B: Array) -> tuple[Array, Array]:
        """Return factors (d1, k) and (d2, k) of the term, k = min(p, s)."""
        U, W = self.term.rows, self.term.columns
        return (U, W @ B.T) if U.shape[1] < W.shape[1] else (U @ B, W)

    def spread(self, B: Array, entries: Entries | None = None) -> Array:
        """Return ``F B``, or the term at other entries."""
        return (entries or self.equations.entries).forward_factors(*self.loads(B))

    def sums(self, y: Array, entries: Entries | None = None) -> Array:
        """Return the transpose of `spread`, shape (p, s)."""
        U, W, A = self.term.rows, self.term.columns, (entries or self.equations.entries).adjoint_operator(y)
        return np.asarray((A.T @ U).T @ W if U.shape[1] < W.shape[1] else U.T @ (A @ W))

    def without_offsets(self, y: Array) -> Array:
        """Return ``P y``."""
        return np.asarray(y - self.equations.spread(self.equations.solve(self.equations.sums(y))))

    def solve(self, h: Array) -> Array:
        """Return ``S⁻¹ h`` for h (p, s), or with ρ = 0 the solution of least norm."""
        values, Q = self.spectrum
        damped = values + float(self.term.strength)
        kept = damped > len(values) * np.finfo(float).eps * damped[-1]
        return np.asarray((Q[:, kept] @ ((Q[:, kept].T @ h.ravel()) / damped[kept])).reshape(h.shape))

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
    def _twice(self) -> Array:
        """The diagonal (p s,) of ``Fᵀ P² F = Fᵀ P F − Fᵀ H G K G Hᵀ F`` in the eigenvectors of `spectrum`."""
        crossed, (p, s), equations = _Crossed.from_term(self.equations.entries, self.term), self.shape, self.equations
        (values, Q), shrunk = self.spectrum, np.empty((p * s, p * s))
        for k in range(p):
            for c in range(s):
                pulled = equations.roots_of_penalty(equations.solve(crossed.column(k, c)))
                shrunk[k * s + c] = crossed.back(equations.solve((0.0, *equations.back_from_penalty(pulled)))).ravel()
        return np.asarray(values - np.einsum("kn,kn->n", Q, shrunk @ Q))

    @property
    def freedom(self) -> float:
        """The degrees of freedom that products add, ``tr(P F S⁻¹ Fᵀ P)``, less than one for each."""
        values, rho = self.spectrum[0], float(self.term.strength)
        used = values > len(values) * np.finfo(float).eps * values[-1]
        return float(np.sum(self._twice[used] / (values[used] + rho)))

    def with_strength(self, strength: float) -> ProductEquations:
        """Return the equations at another penalty, which share the eigenvalues."""
        other = replace(self, term=replace(self.term, strength=strength))
        other.__dict__["spectrum"] = self.spectrum
        return other

    def likeliest(self, y: Array) -> float:
        """Return the penalty ρ of largest restricted likelihood for weighted values y (m,) at given offset penalties.

        With slopes of variance σ²/ρ, and H and F as random and fixed effects, the restricted likelihood is, up to
        constants, ``−½ (n log(yᵀ P y − Σ h_k²/(λ_k + ρ)) + Σ log(1 + λ_k/ρ))``, where λ are the eigenvalues of FᵀPF,
        h is FᵀPy in their eigenvectors, and n is m minus the number of unpenalised offsets.
        """
        from scipy.optimize import minimize_scalar

        (values, Q), left = self.spectrum, self.without_offsets(y)
        h, total = (Q.T @ self.sums(left).ravel()) ** 2, float(y @ left)
        n = max(len(y) - (self.equations.unknowns - self.equations.n_penalised), 1)

        def unlikelihood(log_ridge: float) -> float:
            ridge = float(np.exp(log_ridge))
            rest = max(total - float(np.sum(h / (values + ridge))), float(np.finfo(float).tiny))
            return float(n * np.log(rest) + np.sum(np.log1p(values / ridge)))

        bounds = np.log(np.multiply(RIDGES, len(y)))
        return float(np.exp(minimize_scalar(unlikelihood, bounds=bounds, method="bounded").x))


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


@dataclass(frozen=True, eq=False, repr=False)
class ProductFree(OffsetFree):
    """Observed entries after offsets and the slopes of products are eliminated; a measurement more for each slope."""

    terms: ProductEquations

    @property
    def size(self) -> int:  # type: ignore[override]
        """The number of observations, of penalised offsets and of products."""
        return int(super().size) + self.terms.size

    def reduce(self, y: Array) -> Array:
        """Return the residual of y (m,), with the penalised offsets and slopes."""
        B = self.terms.fit(y)
        slopes = self._factor * self.terms.root * B.ravel()
        return np.concatenate([super().reduce(y - self.terms.spread(B)), slopes])

    def expand(self, y: Array) -> Array:
        """Return the transpose of `reduce`, shape (m,)."""
        rest, slopes = np.split(y, [self.size - self.terms.size])
        out, terms = super().expand(rest), self.terms
        h = terms.sums(out) - self._factor * terms.root * slopes.reshape(terms.shape)
        return np.asarray(out - terms.without_offsets(terms.spread(terms.solve(h))))

    def norms(self) -> Array:
        """Return bounds on the norms of the sensing matrices: those of the entries, and zeros."""
        return np.concatenate([super().norms(), np.zeros(self.terms.size)])


@dataclass(frozen=True, eq=False, repr=False)
class OtherProducts(OtherEntries):
    """The linear part of predictions of other entries, after offsets and slopes of products are fitted to entries."""

    terms: ProductEquations

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of y as an array."""
        terms, equations = self.terms, self.equations
        fitted = equations.spread(equations.solve(equations.sums(y, self.entries)))
        B = terms.solve(terms.sums(y, self.entries) - terms.sums(fitted))
        fitted = fitted + terms.without_offsets(terms.spread(B))
        return np.asarray(self.entries.adjoint(y) - equations.entries.adjoint(fitted))

    def _without(self, others: Array, fitted: Array) -> Array:
        B = self.terms.fit(fitted)
        left = super()._without(others, fitted - self.terms.spread(B))
        return np.asarray(left - self.terms.spread(B, self.entries))
