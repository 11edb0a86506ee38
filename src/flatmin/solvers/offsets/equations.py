"""The normal equations of offsets, which are a constant and one number for every row and column of a matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.kernels import MIN_COMPILED_CELLS
from flatmin.measurements.entries import Entries

__all__ = ["OffsetEquations", "Triple", "roots"]

#: Largest number of unknowns whose equations are factorized after the elimination. Larger systems are solved by
#: iteration; at 3706 columns they were most of the time of a fit.
LARGEST_FACTORIZED = 2000
#: Relative residual at which the iterative solution ends, usually after about ten steps.
SOLVED_RESIDUAL = 1e-14
#: Largest number of steps of the iterative solution.
MOST_STEPS = 1000
#: Largest number of entries of a block that is multiplied as a dense array if there are few cells.
LARGEST_BLOCK = 16_000_000

#: A constant, (d1,) numbers for rows and (d2,) for columns.
Triple = tuple[float, Array, Array]


@dataclass(frozen=True, eq=False)
class OffsetEquations:
    """The equations ``(HᵀH + K) z = h`` of offsets z = (constant, rows, columns), and their weighted matrix H.

    There are two kinds of offsets, those of rows and those of columns. A kind is free if it is not penalised. The kind
    with more offsets has a diagonal block and is eliminated. The system for the other kind and the constant is
    factorized if it is small. Directions that change no entry are removed: the constant if a kind is free, and a shift
    between the rows and columns of a connected component if both kinds are free.
    """

    entries: Entries
    strengths: tuple[float | None, float | None]
    #: Whether the offsets of columns are eliminated, not those of rows.
    swapped: bool
    with_constant: bool
    #: The diagonal (e,) of the eliminated unknowns: for each, the sum of the weights of its observations plus κ.
    large: Array
    #: The diagonal of the other unknowns: the constant, if there is one, and s offsets.
    small: Array
    #: The sums of weights without κ, (e,), which are the block between the eliminated unknowns and the constant.
    counts: Array
    #: The sparse block between the eliminated unknowns and the others without the constant.
    coupling: Any
    #: The row of the constant among the small unknowns, without its diagonal.
    first: Array
    #: The part of each connected component in the small system, as columns of zeros and ones, if both kinds are free;
    #: else None.
    pins: Any
    #: The number of free offsets without observations. Their diagonal entries are set to one.
    idle: int

    @classmethod
    def from_entries(
        cls, entries: Entries, constant: bool, rows: float | None, columns: float | None
    ) -> OffsetEquations:
        """Set up the equations for entries, with or without a constant, at the strengths of rows and columns."""
        from scipy.sparse import csr_array

        swapped = rows is None or (columns is not None and entries.shape[1] > entries.shape[0])
        kappa, tau = (columns, rows) if swapped else (rows, columns)
        seen = entries.gram_diagonals()
        counts, others = seen[::-1] if swapped else seen
        if None in (kappa, tau):
            coupling: Any = csr_array((0 if kappa is None else len(counts), 0 if tau is None else len(others)))
        else:
            coupling = entries.adjoint_operator(roots(entries))
            coupling = csr_array((coupling.T if swapped else coupling).tocsr())
        counts, others = counts[: coupling.shape[0]], others[: coupling.shape[1]]
        with_constant = constant and 0.0 not in (kappa, tau)
        pins = _components(coupling) if kappa == tau == 0 else None
        first, diagonals = np.zeros(len(others)), [counts + (kappa or 0.0), others + (tau or 0.0)]
        idle = sum(int(np.count_nonzero(diagonal == 0)) for diagonal in diagonals)
        if with_constant:
            first = np.concatenate([[0.0], others])
            diagonals[1] = np.concatenate([[float(np.sum(entries.norms() ** 2))], diagonals[1]])
        large, small = (np.where(diagonal > 0, diagonal, 1.0) for diagonal in diagonals)
        return cls(entries, (rows, columns), swapped, with_constant, large, small, counts, coupling, first, pins, idle)

    def with_strengths(self, rows: float | None, columns: float | None) -> OffsetEquations:
        """Return the equations at other strengths. Kinds stay absent, or are penalised before and after."""
        kappa, tau = (columns, rows) if self.swapped else (rows, columns)
        others = self.entries.gram_diagonals()[not self.swapped][: self.coupling.shape[1]] + (tau or 0.0)
        small = np.concatenate([self.small[: self.with_constant], others])
        return replace(self, strengths=(rows, columns), large=self.counts + (kappa or 0.0), small=small)

    def sums(self, y: Array, entries: Entries | None = None) -> Triple:
        """Return ``Hᵀ y``, shapes (), (d1,) and (d2,), for y (m,). If other ``entries`` are given, H is theirs."""
        entries = entries or self.entries
        d1, d2 = entries.shape
        if entries.size >= MIN_COMPILED_CELLS:
            return self._summed(np.ascontiguousarray(y, float), entries)
        y = roots(entries) * y
        rows = np.zeros(d1) if self.strengths[0] is None else np.bincount(entries.rows, y, d1)
        columns = np.zeros(d2) if self.strengths[1] is None else np.bincount(entries.cols, y, d2)
        return float(y.sum()), rows, columns

    def _summed(self, y: Array, entries: Entries) -> Triple:
        from flatmin.linalg.kernels import entrywise_loops

        (d1, d2), (rows, columns) = entries.shape, self.strengths
        a, b = np.zeros(0 if rows is None else d1), np.zeros(0 if columns is None else d2)
        total = entrywise_loops.sums(entries.rows, entries.cols, _given(entries), y, a, b)
        return float(total), a if len(a) else np.zeros(d1), b if len(b) else np.zeros(d2)

    def spread(self, z: Triple) -> Array:
        """Return ``H z``, shape (m,)."""
        entries, (g, a, b) = self.entries, z
        if entries.size < MIN_COMPILED_CELLS:
            return np.asarray(roots(entries) * (g + a[entries.rows] + b[entries.cols]))
        from flatmin.linalg.kernels import entrywise_loops

        out = np.empty(entries.size)
        entrywise_loops.spread(entries.rows, entries.cols, _given(entries), g, a, b, out)
        return out

    def solve(self, h: Triple) -> Triple:
        """Return the solution z. Absent offsets, and offsets without observations, are zero."""
        g, a, b = h
        left, right = (b, a) if self.swapped else (a, b)
        e, s = len(self.large), len(self.small) - self.with_constant
        small = np.concatenate([[g], right[:s]]) if self.with_constant else right[:s]
        y = self._reduced(small - self._back(left[:e] / self.large)) if len(small) else small
        x = (left[:e] - self._across(y)) / self.large
        left, right = np.zeros_like(left), np.zeros_like(right)
        left[:e], right[:s] = x, y[self.with_constant :]
        rows, columns = (right, left) if self.swapped else (left, right)
        return float(y[0]) if self.with_constant else 0.0, rows, columns

    def slopes(self, z: Triple) -> tuple[Array, Array]:
        """Return the slopes of features of rows and of columns, of which there are none."""
        return np.zeros(0), np.zeros(0)

    @property
    def pulled_slopes(self) -> tuple[float, float]:
        """The parts of ``tr(K G)`` of the slopes of rows and of columns."""
        return 0.0, 0.0

    def roots_of_penalty(self, z: Triple) -> Array:
        """Return ``K^½ z`` without its zeros, shape (n_penalised,)."""
        kept = (np.sqrt(kappa) * offsets for kappa, offsets in zip(self.strengths, z[1:], strict=True) if kappa)
        return np.concatenate([np.zeros(0), *kept])

    def back_from_penalty(self, s: Array) -> tuple[Array, Array]:
        """Return the transpose of `roots_of_penalty`, without the constant: numbers for rows and for columns."""
        sides, start = [], 0
        for kappa, d in zip(self.strengths, self.entries.shape, strict=True):
            sides.append(np.sqrt(kappa) * s[start : start + d] if kappa else np.zeros(d))
            start += d if kappa else 0
        return sides[0], sides[1]

    @property
    def n_penalised(self) -> int:
        """The number of penalised unknowns."""
        return sum(d for kappa, d in zip(self.strengths, self.entries.shape, strict=True) if kappa)

    @property
    def unknowns(self) -> int:
        """The number of offsets that the observations could determine if none was penalised."""
        pinned = self.idle + (0 if self.pins is None else self.pins.shape[1])
        return len(self.large) + len(self.small) - pinned

    @cached_property
    def pulled(self) -> tuple[float, float]:
        """The parts of ``tr(K G)`` of rows and of columns. Without a factorization, G is taken to be diagonal."""
        of_large, of_small = float(np.sum(1 / self.large)), float(np.sum(1 / self.small[self.with_constant :]))
        if len(self.small) <= LARGEST_FACTORIZED:
            inverse = self._inverse
            of_large += float(np.vdot(self._gram(1 / self.large**2), inverse))
            of_small = float(np.trace(inverse[self.with_constant :, self.with_constant :]))
        of_rows, of_columns = (of_small, of_large) if self.swapped else (of_large, of_small)
        return (self.strengths[0] or 0.0) * of_rows, (self.strengths[1] or 0.0) * of_columns

    def _reduced(self, h: Array) -> Array:
        """Return the solution of the small system ``(small − couplingᵀ coupling / large) y = h``."""
        if len(self.small) <= LARGEST_FACTORIZED:
            from scipy.linalg import cho_solve

            return np.asarray(cho_solve(self._factor, h, check_finite=False))
        from scipy.sparse.linalg import LinearOperator, cg

        n = len(self.small)
        operator = LinearOperator((n, n), matvec=self._product, dtype=float)
        inverse = LinearOperator((n, n), matvec=lambda r: r / self.small, dtype=float)
        found, _ = cg(operator, h, rtol=SOLVED_RESIDUAL, maxiter=MOST_STEPS, M=inverse)
        return np.asarray(found)

    def _product(self, y: Array) -> Array:
        """Return the product of the matrix of the small system with y."""
        out = self.small * y + self.first * (y[0] if self.with_constant else 0.0)
        if self.with_constant:
            out[0] += self.first @ y
        if self.entries.size >= MIN_COMPILED_CELLS:
            from flatmin.linalg.kernels import entrywise_loops

            x, C, own = self.counts * (y[0] if self.with_constant else 0.0), self.coupling, int(self.with_constant)
            values = C.data[:0] if self.entries.weights is None else C.data
            entrywise_loops.eliminated(C.indptr, C.indices, values, self.large, y[own:], x, out[own:])
            if self.with_constant:
                out[0] -= self.counts @ x
        else:
            out -= self._back(self._across(y) / self.large)
        return out if self.pins is None else np.asarray(out + self.pins @ (self.pins.T @ y))

    def _across(self, y: Array) -> Array:
        """Return the product of the coupling block with the small unknowns, including the constant."""
        if self.with_constant:
            return np.asarray(self.coupling @ y[1:] + self.counts * y[0])
        return np.asarray(self.coupling @ y)

    def _back(self, x: Array) -> Array:
        """Return the transpose of `_across`."""
        small = np.asarray(self.coupling.T @ x)
        return np.concatenate([[float(self.counts @ x)], small]) if self.with_constant else small

    def _gram(self, weights: Array) -> Array:
        """Return ``Cᵀ diag(weights) C`` as an array, where C x is `_across`."""
        C = self.coupling
        if self.entries.size < MIN_COMPILED_CELLS and np.prod(C.shape, dtype=float) <= LARGEST_BLOCK:
            block = (C * np.sqrt(weights)[:, None]).toarray()
            gram = block.T @ block
        else:
            from flatmin.linalg.kernels import entrywise_loops

            gram = np.zeros((C.shape[1], C.shape[1]))
            entrywise_loops.add_gram(C.indptr, C.indices, C.data, np.ascontiguousarray(weights, float), gram)
        if not self.with_constant:
            return np.asarray(gram)
        out = np.empty((len(self.small), len(self.small)))
        out[0] = out[:, 0] = self._back(weights * self.counts)
        out[1:, 1:] = gram
        return out

    @cached_property
    def _factor(self) -> Any:
        """The Cholesky factor of the matrix of the small system."""
        from scipy.linalg import cho_factor

        return cho_factor(self._block(), lower=True, overwrite_a=True, check_finite=False)

    def _block(self) -> Array:
        """Return the matrix of the small system."""
        T = -self._gram(1 / self.large)
        T[np.diag_indices(len(T))] += self.small
        if self.with_constant:
            T[0] += self.first
            T[:, 0] += self.first
        if self.pins is not None:
            T += (self.pins @ self.pins.T).toarray()
        return T

    @property
    def _inverse(self) -> Array:
        """The inverse of the matrix of the small system."""
        from scipy.linalg import lapack

        if len(self.small) == 0:
            return np.zeros((0, 0))
        lower = np.tril(lapack.dpotri(self._factor[0], lower=1)[0])
        return np.asarray(lower + np.tril(lower, -1).T)


def roots(entries: Entries) -> Array:
    """Return the numbers (m,) that multiply values and entries: roots of the weights of squared residuals."""
    return np.ones(entries.size) if entries.weights is None else np.asarray(entries.weights)


def _given(entries: Entries) -> Array:
    """Return the numbers of `roots` for compiled loops: an empty array if all of them are one."""
    return np.zeros(0) if entries.weights is None else np.ascontiguousarray(entries.weights, float)


def _components(coupling: Any) -> Any:
    """Return a sparse array (s, components) that says to which connected component each column belongs."""
    from scipy.sparse import block_array, csr_array
    from scipy.sparse.csgraph import connected_components

    e, s = coupling.shape
    _, labels = connected_components(block_array([[None, coupling], [coupling.T, None]]), directed=False)
    seen = np.flatnonzero(coupling.sum(axis=0) > 0)
    _, component = np.unique(labels[e:][seen], return_inverse=True)
    return csr_array((np.ones(len(seen)), (seen, component)), shape=(s, int(component.max(initial=-1)) + 1))
