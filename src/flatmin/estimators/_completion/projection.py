"""RowModel: a ridge regression that computes a row of the matrix from the row's observed entries."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.metric import svd_of_product
from flatmin.measurements import Entries
from flatmin.parametrizations.base import Factors

__all__ = ["RowModel"]

#: Approximate number of entries of the normal matrices that are in memory at once.
CHUNK_ENTRIES = 4_000_000
#: Eigenvalues of a normal matrix below this share of its largest one count as 0.
ZERO_EIGENVALUE = 1e-12


@dataclass(frozen=True, eq=False)
class RowModel:
    """A model that computes rows of ``X = L Rᵀ`` from their observed entries, for fitted and new rows, given R.

    If the factors are balanced for ``D1^p X D2^p``, the penalised objective is

        ``(1/m) Σ w (v_ij − l_iᵀ r_j)² + 2 α (‖D1^p L‖² + ‖D2^p R‖²)``,

    so each row l of L solves a ridge regression, ``min Σ_j w (v_ij − lᵀ r_j)² + λ n_i^p ‖l‖²``. Here n_i is the total
    weight of the row's observed entries, and λ is equal for all rows. Without a penalty, the solution of least norm is
    taken.

    In a refit, least squares would follow the noise in rows with few entries. The rows of L are therefore modelled as
    draws from one normal distribution, and a row is computed as the conditional mean given its entries. The conditional
    mean solves the same ridge regression with p = 0, if λ is the variance of the noise and R is scaled so that the rows
    of L have the identity as covariance.

    Attributes
    ----------
    columns : ndarray, shape (d2, k)
        The factor R and after it, if rows have slopes on features of columns, these features.
    strength, power : float
        The penalty λ and the exponent p.
    offset : float or None
        The penalty on the offset of a row, counted as a number of observations of the value zero. The offset is fitted
        jointly with the factor of the row. None if rows have no offsets.
    ridges : ndarray, shape (s,)
        The penalties on the slopes of a row, which are the last s numbers of its factor; empty without slopes.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> model = RowModel(np.array([[1.0], [2.0]]), 0.0, 1.0)
    >>> factors, _ = model.fit(csr_array(([3.0], ([0], [0])), shape=(1, 2)))
    >>> factors @ model.columns.T
    array([[3., 6.]])
    """

    columns: Array
    strength: float
    power: float
    offset: float | None = None
    ridges: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def from_fit(
        cls, entries: Entries, factors: Factors, alpha: float, power: float, offset: float | None = None
    ) -> Self:
        """Return the model for factors that minimise loss + alpha · scaled trace, at least approximately."""
        D1, D2 = (D.tempered(power) for D in entries.metric())
        _, s, V = svd_of_product(D1 @ factors[0], D2 @ factors[1])
        mean, (d1, d2) = float(np.mean(entries.gram_diagonals()[0])), entries.shape
        R = D2.power(-1) @ (V * (np.sqrt(s) * (d2 / d1) ** 0.25))  # balanced for the weights n_i and n_j
        return cls(R, 2 * alpha / float(np.sqrt(d1 * d2)) * mean ** (1 - power), power, offset)

    @classmethod
    def drawn(cls, entries: Entries, factors: Factors, variance: float, offset: float | None = None) -> Self:
        """Return the model for least-squares factors and the variance of their residuals."""
        _, s, V = svd_of_product(*factors)
        return cls(V * (s / np.sqrt(np.count_nonzero(entries.gram_diagonals()[0]))), variance, 0.0, offset)

    def with_slopes(self, features: Array, ridges: Array) -> Self:
        """Return the model of rows that also have slopes on features (d2, s)."""
        return replace(self, columns=np.hstack([self.columns, features]), ridges=ridges)

    @property
    def rank(self) -> int:
        """The number of columns of R."""
        return int(self.columns.shape[1] - len(self.ridges))

    @property
    def features(self) -> Array:
        """The features (d2, f) of the regressions: the factor R and, for the offset of a row, a column of ones."""
        return self.with_offset(self.columns)

    def with_offset(self, factors: Array) -> Array:
        """Return factors (n, k) with a further column of ones if rows have offsets."""
        return factors if self.offset is None else np.hstack([factors, np.ones((len(factors), 1))])

    def covariances(self, weights: Any, variances: Array | None = None) -> Array:
        """Return the covariances (n, f, f) of factor and offset of rows, for given R and noise of variance 1.

        ``weights`` is a CSR array (n, d2) with the weight of every observed cell. The penalty Λ is read as a normal
        prior. The covariance is then the inverse of the normal matrix ``C = (Σ w f fᵀ + Λ)⁻¹``; directions that neither
        cells nor penalty determine have covariance 0. With ``variances`` (d2,) of the noise in columns, and their mean
        s̄² over the cells of the row, it is ``C (Σ w s_j² f fᵀ + s̄² Λ) C``.
        """
        from scipy.sparse import csr_array

        rows = np.arange(weights.shape[0])
        gram, penalty, _ = self._equations(weights, weights.data, rows)
        C = _inverses(gram, penalty)
        if variances is None:
            return np.asarray(C)
        data = weights.data * variances[weights.indices]
        noisy = csr_array((data, weights.indices, weights.indptr), shape=weights.shape)
        levels = noisy.sum(axis=1) / np.maximum(weights.sum(axis=1), np.finfo(float).tiny)
        return np.asarray(C @ _with_diagonal(self._equations(noisy, data, rows)[0], levels[:, None] * penalty) @ C)

    def prediction_variances(
        self, weights: Any, i: Array, vectors: Array, j: Array, variances: Array | None = None
    ) -> Array:
        """Return ``v_jᵀ C_i v_j``, shape (n,), for `covariances` C of rows i and vectors v (b, f) at positions j (n,).

        It is 0 for unknown rows, which have the position −1.
        """
        out, order, f = np.zeros(len(i)), np.argsort(i, kind="stable"), vectors.shape[1]
        if f == 0:
            return out
        rows, starts = np.unique(i[order], return_index=True)
        rows, starts = rows[rows >= 0], np.append(starts[rows >= 0], len(i))
        step = max(1, CHUNK_ENTRIES // f**2)
        for r in range(0, len(rows), step):
            part = rows[r : r + step]
            C = self.covariances(weights[part], variances)
            for piece in _pieces(starts[r], starts[min(r + step, len(rows))], f**2):
                cells = order[piece]
                v = vectors[j[cells]]
                out[cells] = np.einsum("nf,nf->n", np.einsum("nf,nfg->ng", v, C[np.searchsorted(part, i[cells])]), v)
        return out

    def fit(self, values: Any, weights: Any = None) -> tuple[Array, Array]:
        """Return factors (n, k) and offsets (n,) of the rows of a CSR array (n, d2), whose stored cells are observed.

        The ``weights`` (nnz,) multiply the squared residuals.
        """
        from scipy.sparse import csr_array

        n, k = values.shape[0], self.columns.shape[1]
        counts = np.diff(values.indptr)
        weights = np.ones_like(values.data) if weights is None else weights
        if self.strength == 0 and self.rank and (self.offset is not None or len(self.ridges)):
            R, W = np.split(self.columns, [self.rank], axis=1)  # an exact fit takes offsets and slopes first
            slopes, offsets = replace(self, columns=W).fit(values, weights)
            rows = np.repeat(np.arange(n), counts)
            taken = offsets[rows] + np.einsum("nk,nk->n", slopes[rows], W[values.indices])
            rest = csr_array((values.data - taken, values.indices, values.indptr), shape=values.shape)
            return np.hstack([RowModel(R, 0.0, self.power).fit(rest, weights)[0], slopes]), offsets
        out = np.zeros((n, k + (self.offset is not None)))
        for rows in self._chunks(np.flatnonzero(counts)):
            out[rows] = _solved(*self._equations(values, weights, rows))
        return out[:, :k], out[:, k] if self.offset is not None else np.zeros(n)

    def _chunks(self, rows: Array) -> Iterator[Array]:
        step = max(1, CHUNK_ENTRIES // (self.columns.shape[1] + 1) ** 2)
        return (rows[i : i + step] for i in range(0, len(rows), step))

    def _equations(self, values: Any, weights: Array, rows: Array) -> tuple[Array, Array, Array]:
        """Return the normal matrices (n, f, f), penalties (n, f) and right-hand sides (n, f) of some rows."""
        from scipy.sparse import csr_array

        k, F = self.columns.shape[1], self.features
        f, (i, j) = F.shape[1], np.triu_indices(F.shape[1])
        seen, target = (
            csr_array((data, values.indices, values.indptr), shape=values.shape)[rows]
            for data in (weights, weights * values.data)
        )
        gram, sums = np.empty((len(rows), f, f)), seen @ (F[:, i] * F[:, j])
        gram[:, i, j] = gram[:, j, i] = sums
        penalty = np.full((len(rows), f), self.offset or 0.0)
        penalty[:, : self.rank] = self.strength * seen.sum(axis=1)[:, None] ** self.power
        penalty[:, self.rank : k] = self.ridges
        return gram, penalty, target @ F


def _pieces(start: int, stop: int, entries: int) -> Iterator[slice]:
    """Yield slices that are short enough to gather this number of entries for every position."""
    step = max(1, CHUNK_ENTRIES // max(1, entries))
    return (slice(first, min(first + step, stop)) for first in range(start, stop, step))


def _with_diagonal(matrices: Array, added: Array) -> Array:
    """Return matrices (n, f, f) with numbers (n, f) added to their diagonals, in place."""
    diagonal = np.arange(added.shape[1])
    matrices[:, diagonal, diagonal] += added
    return matrices


def _inverses(gram: Array, penalty: Array) -> Array:
    """Return the inverses of penalised normal matrices, pseudo-inverses if there is no penalty."""
    sizes = np.trace(gram, axis1=1, axis2=2)
    gram = _with_diagonal(gram, penalty)
    if np.all(penalty > ZERO_EIGENVALUE**0.5 * sizes[:, None]):
        return np.asarray(np.linalg.inv(gram))
    return np.asarray(np.linalg.pinv(gram, rcond=ZERO_EIGENVALUE, hermitian=True))


def _solved(gram: Array, penalty: Array, target: Array) -> Array:
    """Return the ridge solutions, of least norm if there is no penalty."""
    f = target.shape[1]
    if f == 0:
        return target
    sizes = np.trace(gram, axis1=1, axis2=2)
    gram = _with_diagonal(gram, penalty)
    if np.all(penalty > ZERO_EIGENVALUE**0.5 * sizes[:, None]):
        return np.asarray(np.linalg.solve(gram, target[..., None])[..., 0])
    values, Q = np.linalg.eigh(gram)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > ZERO_EIGENVALUE * values[:, -1:])
    return np.asarray(np.einsum("nij,nj->ni", Q, inverse * np.einsum("nij,ni->nj", Q, target)))
