"""Projected: measurements from which unpenalised regressors are projected out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.factorizations import row_space
from flatmin.linalg.forward_error import gamma
from flatmin.linalg.metric import Metric
from flatmin.measurements.base import Measurement
from flatmin.measurements.dense import Dense

__all__ = ["Projected"]

#: An entry of the sensing matrices is explained by the regressors if the projection leaves less than this share of it.
EXPLAINED = 1e-10
#: A projected sensing matrix is rounding if its norm is below this share of the largest one before the projection.
ROUNDING = 1e-13
#: Largest number of multiplications for which it is worthwhile to merge redundant measurements.
LARGEST_MERGE = 2.5e9


class Projected(Measurement):
    """``N A`` for an orthonormal basis N of the complement of regressors T: ``N T = 0``, ``N Nᵀ = I``.

    For measurements ``b = A(X) + T z + noise`` with unpenalised coefficients z,

        ``min_z ‖A(X) + T z − b‖² = ‖N A(X) − N b‖²``,

    so a fit of X to the data ``N b`` of this map is a joint fit of X and z. Independent noise of equal variance remains
    independent and of equal variance. A dual vector λ of this map proves the same bound as ``Nᵀ λ`` in the joint
    problem, where dual vectors must be orthogonal to T, as ``Nᵀ λ`` is. N is a block reflection without its first rows,
    and a product with N takes O(m t) operations.

    Parameters
    ----------
    inner : Measurement
        The map A of m measurements.
    regressors : array_like, shape (m, t)
        The columns of T; dependent ones count once.

    Raises
    ------
    InputError
        If there are m independent regressors or more, or the two differ in length.

    References
    ----------
    Frisch, Waugh, "Partial time regressions as compared with individual trends", Econometrica 1(4), 1933. Schreiber,
    Parlett, "Block reflectors: theory and computation", SIAM Journal on Numerical Analysis 25(1), 1988.

    Examples
    --------
    >>> from flatmin.measurements import RankOne
    >>> A = Projected(RankOne([[1.0], [2.0], [4.0]]), np.ones((3, 1)))
    >>> A.size, bool(abs(A.reduced(np.array([5.0, 5.0, 5.0]))).max() < 1e-14)
    (2, True)
    """

    def __init__(self, inner: Measurement, regressors: Any) -> None:
        if not isinstance(inner, Measurement):
            raise InputError(f"inner is a {type(inner).__name__}, expected a flatmin Measurement")
        T = numeric(regressors, "regressors")
        if T.ndim != 2 or len(T) != inner.size:
            raise InputError(
                f"regressors has shape {T.shape}, expected ({inner.size}, t): one row for each measurement"
            )
        self._set(inner, _Reflection.from_regressors(T))
        if self.size < 1:
            raise InputError(f"{inner.size} measurements have as many regressors, expected fewer regressors")

    def _set(self, inner: Measurement, reflection: _Reflection) -> None:
        self.inner, self._reflection = inner, reflection
        self.shape, self.dtype = inner.shape, inner.dtype
        self.size = inner.size - reflection.rank

    def reduced(self, v: Array) -> Array:
        """Return ``N v`` for values of all inner measurements, shape (m, …)."""
        return self._reflection.reduced(v)

    def expanded(self, y: Array) -> Array:
        """Return ``Nᵀ y``, values of all inner measurements, for y of shape (m − rank of T,)."""
        return self._reflection.expanded(y)

    def forward(self, X: Array) -> Array:
        """Return ``N A(X)``."""
        return self.reduced(self.inner.forward(X))

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return ``N A(L R*)``."""
        return self.reduced(self.inner.forward_factors(L, R))

    def adjoint(self, y: Array) -> Array:
        """Return ``A*(Nᵀ y)``. For ``A_i = x_i x_i*`` the result is exactly Hermitian, even after cancellation."""
        S = self.inner.adjoint(self.expanded(y))
        return (S + S.conj().T) / 2 if self.inner.is_rank_one else S

    def adjoint_operator(self, y: Array) -> Any:
        """Return the inner operator of ``Nᵀ y``."""
        return self.adjoint(y) if self.inner.is_rank_one else self.inner.adjoint_operator(self.expanded(y))

    def matrices(self, start: int = 0, stop: int | None = None) -> Array:
        """Return the sensing matrices: those of the inner map minus combinations of one matrix for each regressor."""
        rank = self._reflection.rank
        stop = self.size if stop is None else min(stop, self.size)
        share = self._reflection.tall[rank + start : rank + stop]
        return np.asarray(self.inner.matrices(rank + start, rank + stop) - np.tensordot(share, self._common, 1))

    @cached_property
    def _common(self) -> Array:
        columns = self._reflection.basis.T
        return np.stack([self.inner.adjoint(y) for y in columns]) if len(columns) else np.zeros((0, *self.shape))

    def norms(self) -> Array:
        """Return the Frobenius norm of every sensing matrix, and zero for matrices that are only rounding errors."""
        norms = super().norms()
        norms[norms <= ROUNDING * float(np.max(self.inner.norms()))] = 0
        return norms

    def gram_diagonals(self) -> tuple[Array, Array]:
        """Return ``Σ A_i A_i*`` and ``Σ A_i* A_i``, exactly zero in rows that the regressors explain completely."""
        grams = super().gram_diagonals()
        for gram, whole in zip(grams, self.inner.gram_diagonals(), strict=True):
            before = (whole if whole.ndim == 1 else np.diagonal(whole)).real
            explained = np.diagonal(gram).real <= EXPLAINED**2 * before
            gram[explained] = 0
            gram[:, explained] = 0
        return grams

    @property
    def gram_rounding(self) -> float:
        """The number of `Measurement.gram_rounding`. The error of a projection is relative to the vector before it."""
        return super().gram_rounding + 2.02 * self._projection_rounding * self._lost

    @property
    def adjoint_rounding(self) -> float:
        """As `Measurement.adjoint_rounding`, but ``Σ |y_i| |A_i|`` is replaced by norms of its rows and columns."""
        return 1.01 * (self.inner.adjoint_rounding + self._projection_rounding) * self._lost

    def forward_error(self, L: Array, R: Array) -> Array:
        """Return bounds (m,) on the rounding errors of `forward_factors`."""
        reach = float(np.linalg.norm(L, axis=0) @ np.linalg.norm(R, axis=0))
        size = reach * float(np.linalg.norm(self.inner.norms()))
        inner = self.inner.forward_error(L, R)
        shared = 4 * float(np.linalg.norm(inner)) + self._projection_rounding * size
        return np.asarray(inner[self._reflection.rank :] + 1.01 * shared)

    @property
    def _projection_rounding(self) -> float:
        """A bound on the error of ``N v`` or ``Nᵀ y``, relative to the norm of v or y."""
        m, rank = self._reflection.basis.shape
        return 8 * float(np.sqrt(rank)) * gamma(m + 2 * rank + 4)

    @cached_property
    def _lost(self) -> float:
        """The largest factor by which the projection shrinks a row or column of all sensing matrices together."""
        ratios = [1.0]
        for gram, whole in zip(self.gram_diagonals(), self.inner.gram_diagonals(), strict=True):
            after = np.diagonal(gram).real
            before = (whole if whole.ndim == 1 else np.diagonal(whole)).real
            ratios.append(float(np.max(before[after > 0] / after[after > 0], initial=1.0)) ** 0.5)
        return max(ratios)

    def jacobian(self, L: Array, R: Array) -> Array | None:
        """Return the inner derivative, projected."""
        J = self.inner.jacobian(L, R)
        return None if J is None else self.reduced(J)

    def products(self, R: Array) -> Array | None:
        """Return the inner products, projected."""
        inner = self.inner.products(R)
        return None if inner is None else self.reduced(inner)

    def congruence(self, P1: Metric, P2: Metric) -> Projected:
        """Return the map of the inner congruence, projected."""
        other = Projected.__new__(Projected)
        other._set(self.inner.congruence(P1, P2), self._reflection)
        return other

    def merged(self) -> tuple[Measurement, Any] | None:
        """Return one dense measurement for each unknown, if there are more measurements and it saves time."""
        d1, d2 = self.shape
        symmetric = self.inner.is_rank_one
        at = np.triu_indices(d1) if symmetric else np.divmod(np.arange(d1 * d2), d2)
        if self.dtype != float or self.size <= len(at[0]) or self.size * len(at[0]) ** 2 > LARGEST_MERGE:
            return None
        Q, rows = row_space(self.matrices()[:, at[0], at[1]])
        tensor = np.zeros((len(rows), d1, d2))
        tensor[:, at[0], at[1]] = rows
        if symmetric:
            tensor[:, at[1], at[0]] = rows
        return Dense(tensor), Q

    @property
    def nbytes(self) -> int:
        """The number of bytes of the inner map and of the reflection."""
        reflection = self._reflection
        return self.inner.nbytes + reflection.basis.nbytes + reflection.tall.nbytes


@dataclass(frozen=True, eq=False)
class _Reflection:
    """``H = I − Y (I + S)⁻¹ Yᵀ``, symmetric and orthogonal, maps regressors to vectors that vanish after row t.

    Here t is the rank of the regressors.

    Let Q be an orthonormal basis of the regressors, W and S the polar factors of its first t rows, and E the first t
    unit vectors. Then ``basis`` is ``Y = Q + E W``, and ``tall`` is ``Y (I + S)⁻¹``.
    """

    basis: Array
    tall: Array

    @classmethod
    def from_regressors(cls, regressors: Array) -> _Reflection:
        m = len(regressors)
        sizes = np.linalg.norm(regressors, axis=0)
        seen = sizes > 0
        Q, s, _ = np.linalg.svd(regressors[:, seen] / sizes[seen], full_matrices=False)
        Y = Q[:, s > m * np.finfo(float).eps * s.max(initial=0.0)]
        rank = Y.shape[1]
        U, s, Vt = np.linalg.svd(Y[:rank])
        Y[:rank] += U @ Vt
        return cls(Y, Y @ (Vt.T / (1 + s)) @ Vt)

    @property
    def rank(self) -> int:
        return int(self.basis.shape[1])

    def reduced(self, v: Array) -> Array:
        return np.asarray(v[self.rank :] - np.tensordot(self.tall[self.rank :], np.tensordot(self.basis.T, v, 1), 1))

    def expanded(self, y: Array) -> Array:
        out = -(self.tall @ (self.basis[self.rank :].T @ y))
        out[self.rank :] += y
        return np.asarray(out)
