"""NormalRows: one normal distribution for all rows of a table. A missing cell is predicted by its conditional mean.

The rows x_i are draws from a normal distribution with mean μ and covariance Σ. The columns observed in row i are called
o. The estimate maximises the likelihood of the observed cells, in which k phantom rows with independent cells of the
table's variance v pull Σ towards ``v I``:

    Σ_i log N(x_io; μ_o, Σ_oo) − (k/2) (log det Σ + v tr Σ⁻¹).

Each step of expectation and maximisation (EM) increases this objective. If a table has many more rows than columns, the
conditional mean is close to the best linear prediction of a missing cell from the observed cells of its row.

The penalised fit is the most probable pair of factors L and R in a similar model, in which the rows of L are draws from
a normal distribution. Here the rows of L are integrated out, so that the covariance is not shrunk like the factors.

Schneider, "Analysis of incomplete climate data", Journal of Climate 14, 2001 (EM with a ridge). Little, Rubin,
"Statistical Analysis with Missing Data", 2002, chapter 11.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.observations import Observations
from flatmin.estimators._completion.projection import RowModel
from flatmin.linalg.kernels import MIN_COMPILED_CELLS

__all__ = ["NormalRows", "TableRows"]

#: EM stops once no covariance changes by more than this share of the table's variance.
COVARIANCE_CHANGE = 1e-3
#: The same in a search for the number of phantom rows, where each fit starts from the last one.
SEARCH_CHANGE = 3 * COVARIANCE_CHANGE
#: The largest number of EM steps.
MAX_STEPS = 200
#: The model is offered if an EM step takes at most this number of multiplications.
MAX_WORK = 2e8
#: Approximate number of entries of conditional covariances that are in memory at once.
CHUNK_ENTRIES = 4_000_000


@dataclass(frozen=True, eq=False)
class TableRows:
    """The rows of a table, shape (n, d), in which missing cells are NaN."""

    values: Array

    @classmethod
    def from_cells(cls, cells: Observations) -> Self | None:
        """Return the table of observed cells, or None if `NormalRows` does not apply to it.

        It applies to cells of equal weight that are observed once, with free offsets of columns and none of rows, if an
        EM step is affordable.
        """
        entries, offsets = cells.entries, cells.strengths
        if offsets.rows is not None or offsets.columns != 0 or entries.weights is not None or entries.repeats > 1:
            return None
        n, d = entries.shape
        missing = d - entries.gram_diagonals()[0]
        if float(np.sum(missing**3)) + float(d) ** 2 * (n + d) > MAX_WORK:
            return None
        table = np.full(entries.shape, np.nan)
        table[entries.rows, entries.cols] = cells.values
        return cls(table)

    @cached_property
    def missing(self) -> Array:
        """Which cells are missing, shape (n, d)."""
        return np.asarray(np.isnan(self.values))

    @cached_property
    def means(self) -> Array:
        """The mean of the observed cells of each column, shape (d,); 0 for an empty column."""
        counts = np.sum(~self.missing, axis=0)
        return np.asarray(np.sum(np.where(self.missing, 0.0, self.values), axis=0) / np.maximum(counts, 1))

    @cached_property
    def variance(self) -> float:
        """The variance of observed cells around the means of their columns, or 1 if that is 0."""
        return float(np.mean((self.values - self.means)[~self.missing] ** 2)) or 1.0

    @cached_property
    def halves(self) -> "tuple[_Selection, _Selection]":
        """The missing cells of the rows that miss at most half of their cells, and the observed cells of the others."""
        few = 2 * np.count_nonzero(self.missing, axis=1) <= self.missing.shape[1]
        compiled = np.count_nonzero(~self.missing) >= MIN_COMPILED_CELLS
        missing, observed = np.flatnonzero(few), np.flatnonzero(~few)
        return (
            _Selection(missing, self.missing[missing], bool(compiled)),
            _Selection(observed, ~self.missing[observed], bool(compiled)),
        )


@dataclass(frozen=True, eq=False)
class _Selection:
    """Cells that are selected in some rows of a table.

    ``rows`` (k,) has the positions of these rows, and ``selected`` (k, d) says which of their cells are selected.
    Computations run in a loop that is ``compiled`` if it saves more time than loading Numba takes.
    """

    rows: Array
    selected: Array
    compiled: bool

    def solved(self, S: Array, T: Array) -> tuple[Array, Array]:
        """Return ``(S_cc)⁻¹ t_c`` for the selected columns c of every row t of T, and the sum of all ``(S_cc)⁻¹``.

        S (d, d) is symmetric and positive definite. Solutions (k, d) and the sum (d, d) are 0 outside these columns.
        """
        if self.compiled:
            found: tuple[Array, Array] = self._submatrices.inverses(S, T)
            return found
        solutions, d = np.zeros(T.shape), len(S)
        total = np.zeros(d * d)
        for rows, columns in self._groups:
            i, j = columns[:, :, None], columns[:, None, :]
            C = np.linalg.inv(S[i, j])
            solutions[rows, columns] = np.einsum("kij,kj->ki", C, T[rows, columns])
            total += np.bincount((i * d + j).ravel(), C.ravel(), d * d)
        return solutions, total.reshape(d, d)

    @cached_property
    def _submatrices(self) -> Any:
        from flatmin.linalg.kernels.submatrices import Submatrices

        return Submatrices(self.selected)

    @cached_property
    def _groups(self) -> list[tuple[Array, Array]]:
        """Groups of k rows with q selected cells each: their positions (k, 1), and the selected columns (k, q)."""
        counts = self.selected.sum(axis=1)
        return [group for q in np.unique(counts[counts > 0]) for group in self._chunks(np.flatnonzero(counts == q), q)]

    def _chunks(self, rows: Array, q: int) -> Iterator[tuple[Array, Array]]:
        step = max(1, CHUNK_ENTRIES // int(q) ** 2)
        for i in range(0, len(rows), step):
            part = rows[i : i + step]
            yield part[:, None], np.nonzero(self.selected[part])[1].reshape(-1, q)


@dataclass(frozen=True, eq=False)
class NormalRows:
    """The normal distribution of the rows of a table.

    Attributes
    ----------
    mean, covariance : ndarray, shapes (d,) and (d, d)
        The parameters μ and Σ.

    Examples
    --------
    >>> table = TableRows(np.array([[1.0, 2.0], [-1.0, -2.0], [3.0, np.nan]]))
    >>> found = NormalRows.fitted(table, phantoms=0.001)
    >>> found.filled(table).round(1)
    array([[ 1.,  2.],
           [-1., -2.],
           [ 3.,  6.]])
    """

    mean: Array
    covariance: Array

    @classmethod
    def fitted(
        cls, table: TableRows, phantoms: float, start: Self | None = None, change: float = COVARIANCE_CHANGE
    ) -> Self:
        """Return the distribution for a positive number of phantom rows, by EM from a given start."""
        found = start or cls(table.means, table.variance * np.eye(table.values.shape[1]))
        for _ in range(MAX_STEPS):
            before, found = found, found._step(table, phantoms)
            if np.max(np.abs(found.covariance - before.covariance)) <= change * table.variance:
                break
        return found

    def _step(self, table: TableRows, phantoms: float) -> Self:
        """Return the distribution after one step of EM."""
        Z, uncertain = self._expected(table)
        shift = Z.mean(axis=0)
        Z -= shift
        total = Z.T @ Z + uncertain
        total.flat[:: len(total) + 1] += phantoms * table.variance
        return type(self)(self.mean + shift, total / (len(Z) + phantoms))

    def filled(self, table: TableRows) -> Array:
        """Return a table with its missing cells filled by their means given the observed cells of their row."""
        return np.asarray(np.where(table.missing, self._expected(table)[0] + self.mean, table.values))

    def _expected(self, table: TableRows) -> tuple[Array, Array]:
        """Return the expected rows minus μ, shape (n, d), and the sum of their conditional covariances, shape (d, d).

        Let P be the inverse of Σ. Given its observed cells o, the missing cells m of a row have the covariance
        ``(P_mm)⁻¹ = Σ_mm − Σ_mo (Σ_oo)⁻¹ Σ_om`` and the mean ``μ_m − (P_mm)⁻¹ P_mo (x_o − μ_o) = μ_m + Σ_mo (Σ_oo)⁻¹
        (x_o − μ_o)``. Each row uses the smaller one of the two inverses.
        """
        S, P = self.covariance, np.linalg.inv(self.covariance)
        P, Z = (P + P.T) / 2, np.where(table.missing, 0.0, table.values - self.mean)
        missing, observed = table.halves
        solutions, uncertain = missing.solved(P, Z[missing.rows] @ P)
        Z[missing.rows] -= solutions
        solutions, known = observed.solved(S, Z[observed.rows])
        Z[observed.rows] = np.where(observed.selected, Z[observed.rows], solutions @ S)
        return Z, uncertain + len(observed.rows) * S - S @ known @ S

    @cached_property
    def rows(self) -> RowModel:
        """The same conditional mean as a ridge regression: ``Σ = R Rᵀ + λ I`` with the largest possible λ."""
        values, Q = np.linalg.eigh(self.covariance)
        return RowModel((Q * np.sqrt(values - values[0]))[:, 1:], float(values[0]), 0.0)
