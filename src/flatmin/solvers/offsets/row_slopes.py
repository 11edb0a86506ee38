"""Slopes of rows: the term ``a_iᵀ w_j`` with slopes a_i of row i on the features w_j of columns, fitted with offsets.

A person may like comedies more than others do. The slopes A (d1, s) have the penalty ``Σ_k ρ_k ‖A e_k‖²``. Let F be the
matrix from A to observed entries. It and ``D = FᵀF + ρ`` have a block for every row, so slopes are eliminated first:

    min_A ‖y − F A‖² + Σ_k ρ_k ‖A e_k‖² = yᵀ Q y,   Q = I − F D⁻¹ Fᵀ.

With y minus offsets H z in place of y, the offsets solve ``(Hᵀ Q H + K) z = Hᵀ Q y``. The block of rows is still
diagonal, since Q mixes only entries of one row, and is eliminated next. The equations of columns are factorized, or
solved by iteration. A low-rank matrix is fitted jointly with offsets and slopes, as with offsets alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries
from flatmin.solvers.offsets import equations
from flatmin.solvers.offsets.equations import Triple, roots
from flatmin.solvers.offsets.features import FeatureEquations, LinearTerms
from flatmin.solvers.offsets.offset_free import OffsetFree, OtherEntries

__all__ = ["MOST_SLOPE_ENTRIES", "OtherSlopes", "RowSlopes", "SlopeEquations", "SlopeFree", "SlopeTerm"]

#: Largest number d1 s² of entries of D for which slopes are fitted; they take 8 bytes each.
MOST_SLOPE_ENTRIES = 100_000_000
#: Least strength of the offsets of columns, which keeps the equations of columns without observations definite.
LEAST_STRENGTH = 1e-6
#: Eigenvalues of a block of D below this share of the largest one count as zero, if slopes are not penalised.
ZERO_EIGENVALUE = 1e-11


@dataclass(frozen=True, eq=False)
class SlopeTerm:
    """Features W (d2, s) of columns, on which every row has its own slopes.

    ``strength`` is the ridge penalty ρ, one number or one for each feature (s,); "auto" is estimated for each feature
    by `OffsetModel.estimated`.
    """

    features: Array
    strength: Any = "auto"


@dataclass(frozen=True, eq=False)
class RowSlopes:
    """The slopes of rows for given offsets: a ridge regression for every row."""

    entries: Entries
    term: SlopeTerm

    @property
    def ridges(self) -> Array:
        """The penalties (s,)."""
        return np.broadcast_to(np.asarray(self.term.strength, float), self.term.features.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and of features."""
        return self.entries.shape[0], self.term.features.shape[1]

    def solve(self, h: Array) -> Array:
        """Return ``D⁻¹ h`` for h (d1, s)."""
        return np.asarray((self.inverse @ h[:, :, None])[:, :, 0])

    def fit(self, y: Array) -> Array:
        """Return the slopes ``D⁻¹ Fᵀ y`` for weighted values y (m,)."""
        return self.solve(self.sums(y))

    def spread(self, A: Array, entries: Entries | None = None) -> Array:
        """Return ``F A``, or the term at other entries."""
        return (entries or self.entries).forward_factors(A, self.term.features)

    def sums(self, y: Array, entries: Entries | None = None) -> Array:
        """Return ``Fᵀ y``, shape (d1, s), or the transpose of `spread` for other entries."""
        return np.asarray((entries or self.entries).adjoint_operator(y) @ self.term.features)

    def rest(self, y: Array) -> Array:
        """Return ``Q y``."""
        return np.asarray(y - self.spread(self.fit(y)))

    @cached_property
    def grams(self) -> Array:
        """The blocks (d1, s, s) of ``FᵀF``."""
        (d1, s), W = self.shape, self.term.features
        i, j = np.triu_indices(s)
        out = np.empty((d1, s, s))
        out[:, i, j] = out[:, j, i] = self.weights @ (W[:, i] * W[:, j])
        return out

    @cached_property
    def inverse(self) -> Array:
        """The blocks (d1, s, s) of ``D⁻¹``, pseudo-inverses if a feature is not penalised."""
        D = self.grams + np.diag(self.ridges)
        if np.min(self.ridges) > 0:
            return np.asarray(np.linalg.inv(D))
        return np.asarray(np.linalg.pinv(D, rcond=ZERO_EIGENVALUE, hermitian=True))

    @cached_property
    def weights(self) -> Any:
        """The squared weights of the entries as a sparse array (d1, d2)."""
        return self.entries.adjoint_operator(roots(self.entries)).tocsr()

    def rows(self) -> Iterator[tuple[int, Array, Array]]:
        """Yield for each row its position, its columns (n,), and their features times squared weights (n, s)."""
        for row in range(self.shape[0]):
            seen = slice(*self.weights.indptr[row : row + 2])
            at = self.weights.indices[seen]
            yield row, at, self.weights.data[seen, None] * self.term.features[at]

    def with_ridges(self, ridges: Array) -> Self:
        """Return the slopes at other penalties."""
        other = replace(self, term=replace(self.term, strength=ridges))
        other.__dict__.update(grams=self.grams, weights=self.weights)
        return other


@dataclass(frozen=True, eq=False)
class SlopeEquations(FeatureEquations):
    """The equations ``(Hᵀ Q H + K) z = h`` of offsets after the elimination of the slopes of rows.

    The offsets of columns are penalised, those of rows are eliminated.
    """

    row_slopes: RowSlopes = field(kw_only=True)

    @classmethod
    def from_slopes(
        cls,
        own: RowSlopes,
        constant: bool,
        rows: float | None,
        columns: float,
        terms: tuple[LinearTerms | None, LinearTerms | None],
    ) -> Self:
        """Set up the equations, with or without a constant, at the strengths of the offsets of rows and columns."""
        entries, (d1, d2), columns = own.entries, own.entries.shape, max(columns, LEAST_STRENGTH)
        w, with_constant = roots(entries), constant and rows != 0
        q = w * own.rest(w)
        coupling = entries.adjoint_operator(q / np.where(w == 0, 1.0, w)).tocsr()
        counts, others = np.bincount(entries.rows, q, d1), np.bincount(entries.cols, w**2, d2) + columns
        first: Array = np.bincount(entries.cols, q, d2)
        if rows is None:
            counts, coupling = counts[:0], coupling[:0]
        diagonal = counts + (rows or 0.0)
        idle = int(np.count_nonzero(diagonal <= 0))
        large = np.where(diagonal > 0, diagonal, 1.0)
        if with_constant:
            first, others = np.concatenate([[0.0], first]), np.concatenate([[float(np.sum(q))], others])
        else:
            first = np.zeros(d2)
        return cls(
            entries, (rows, columns), False, with_constant, large, others, counts, coupling, first, None, idle, terms,
            row_slopes=own,
        )  # fmt: skip

    def joint(self, y: Array) -> tuple[Triple, Array]:
        """Return offsets and slopes that fit weighted values y (m,) best."""
        z = self.solve(self.sums(self.row_slopes.rest(y)))
        return z, self.row_slopes.fit(y - self.spread(z))

    @cached_property
    def pulled_own(self) -> Array:
        """The parts (s,) of the trace of penalty times covariance of the slopes, at given slopes of features.

        Without a factorization, the offsets of columns are taken as given too.
        """
        own, n_rows = self.row_slopes, self.entries.shape[0]
        large, counts = (self.large, self.counts) if len(self.large) else (np.full(n_rows, np.inf), np.zeros(n_rows))
        shifts = own.fit(roots(self.entries))
        variances = np.einsum("nkk->k", own.inverse) + np.sum(shifts**2 / large[:, None], axis=0)
        if len(self.small) > equations.LARGEST_FACTORIZED:
            return np.asarray(own.ridges * variances)
        covariance, start = self._inverse, int(self.with_constant)
        for row, at, V in own.rows():
            B = own.inverse[row] @ V.T
            if len(self.large):
                B -= np.outer(shifts[row], self.coupling[[row]].toarray()[0, at] / large[row])
            if start:
                at, B = np.append(0, start + at), np.column_stack([shifts[row] * (1 - counts[row] / large[row]), B])
            variances = variances + np.einsum("kn,nm,km->k", B, covariance[np.ix_(at, at)], B, optimize=True)
        return np.asarray(own.ridges * variances)

    @property
    def freedom_own(self) -> float:
        """The degrees of freedom of the slopes."""
        d1, s = self.row_slopes.shape
        return float(d1 * s - np.sum(self.pulled_own))

    def _block(self) -> Array:
        """Return the matrix of the small system. Slopes take a block off for the columns of every row."""
        T, own, start = super()._block(), self.row_slopes, int(self.with_constant)
        for row, at, V in own.rows():
            T[np.ix_(start + at, start + at)] -= V @ own.inverse[row] @ V.T
        return T

    def _product(self, y: Array) -> Array:
        """Return the product of the matrix of the small system with y."""
        out, start, own = self.small * y, int(self.with_constant), self.row_slopes
        if self.with_constant:
            out += self.first * y[0]
            out[0] += self.first @ y
        columns = roots(self.entries) * y[start:][self.entries.cols]
        taken = roots(self.entries) * own.spread(own.fit(columns))
        out[start:] -= np.bincount(self.entries.cols, taken, len(y) - start)
        return np.asarray(out - self._back(self._across(y) / self.large))


@dataclass(frozen=True, eq=False, repr=False)
class SlopeFree(OffsetFree):
    """Observed entries after offsets and the slopes of rows are eliminated; a measurement more for each slope."""

    equations: SlopeEquations

    @property
    def size(self) -> int:  # type: ignore[override]
        """The number of observations, of penalised offsets and of slopes."""
        return int(super().size) + int(np.prod(self._own.shape))

    @property
    def freedom(self) -> float:
        """The degrees of freedom of offsets and of slopes."""
        return super().freedom + self.equations.freedom_own

    @property
    def _own(self) -> RowSlopes:
        return self.equations.row_slopes

    def best(self, y: Array) -> tuple[Triple, dict[str, Any]]:
        """Return the offsets that fit weighted values y (m,) best, and the slopes."""
        z, A = self.equations.joint(y)
        return z, {"own_slopes": A, "slope_features": self._own.term.features}

    def others(self, entries: Entries) -> OtherSlopes:
        """Return the linear part of predictions of other entries."""
        return OtherSlopes(entries, self.equations)

    def reduce(self, y: Array) -> Array:
        """Return the residual of y (m,), with the penalised offsets and slopes."""
        z, A = self.equations.joint(y)
        left = y - self.equations.spread(z) - self._own.spread(A)
        slopes = np.sqrt(self._own.ridges) * A
        return self._factor * np.concatenate([left, self.equations.roots_of_penalty(z), slopes.ravel()])

    def expand(self, y: Array) -> Array:
        """Return the transpose of `reduce`, shape (m,)."""
        own, m = self._own, self.entries.size
        u, s, slopes = np.split(y, [m, m + self.equations.n_penalised])
        pulled = np.sqrt(own.ridges) * slopes.reshape(own.shape)
        v = u + own.spread(own.solve(pulled - own.sums(u)))
        fitted = self._fitted(v, s, float(np.linalg.norm(y)))
        return np.asarray(self._factor * (v if fitted is None else v - own.rest(fitted)))

    def norms(self) -> Array:
        """Return bounds on the norms of the sensing matrices: those of the entries, and zeros."""
        zeros = np.zeros(self.size - self.entries.size)
        return np.concatenate([self._factor * self.entries.norms(), zeros])


@dataclass(frozen=True, eq=False, repr=False)
class OtherSlopes(OtherEntries):
    """The linear part of predictions of other entries, after offsets and slopes of rows are fitted to entries."""

    equations: SlopeEquations

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of y as an array."""
        equations, own = self.equations, self.equations.row_slopes
        slopes = own.spread(own.solve(own.sums(y, self.entries)))
        (g, a, b), known = equations.sums(y, self.entries), equations.sums(slopes)
        z = equations.solve((g - known[0], a - known[1], b - known[2]))
        fitted = slopes + own.rest(equations.spread(z))
        return np.asarray(self.entries.adjoint(y) - equations.entries.adjoint(fitted))

    def _without(self, others: Array, fitted: Array) -> Array:
        (g, a, b), A = self.equations.joint(fitted)
        i, j = self.entries.rows, self.entries.cols
        left = others - roots(self.entries) * (g + a[i] + b[j])
        return np.asarray(left - self.equations.row_slopes.spread(A, self.entries))
