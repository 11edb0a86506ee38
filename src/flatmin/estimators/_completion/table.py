"""Tables with missing cells: their observed cells, and the units of their columns."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["Units", "completed", "hidden", "holes", "in_rows", "observed", "weighted"]

#: Share of the observed cells of a table that `score` hides and predicts.
HIDDEN = 0.2
EPS = float(np.finfo(float).eps)
#: Deviations from a column's mean count as 0 up to this number of rounding errors of the mean.
ROUNDING_UNITS = 40


def observed(X: Any) -> Any:
    """Return the observed cells of a table, dense with NaN or sparse, as a sparse CSR array."""
    from scipy.sparse import csr_array

    if hasattr(X, "tocsr"):
        X = csr_array(X.tocsr(), copy=True)
        X.sum_duplicates()
        rows, kept = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), ~np.isnan(X.data)
        counts = np.bincount(rows[kept], minlength=X.shape[0])
        columns, values = X.indices[kept], X.data[kept]
    else:
        seen = ~np.isnan(X)
        counts = seen.sum(axis=1)
        columns, values = np.nonzero(seen)[1], X[seen]
    pointers = np.concatenate([[0], np.cumsum(counts)])
    return csr_array((values.astype(float), columns, pointers), shape=X.shape)


def in_rows(rows: Array, columns: Array, values: Array, shape: tuple[int, int]) -> tuple[Any, Array]:
    """Return cells as a sparse CSR array that keeps repeated cells, and the permutation into its order."""
    from scipy.sparse import csr_array

    order = np.lexsort((columns, rows))
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    return csr_array((values[order], columns[order], pointers), shape=shape), order


def weighted(cells: Any, weights: Array) -> tuple[Any, Array]:
    """Return the cells of positive weight, and these weights."""
    kept = weights > 0
    rows = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))[kept]
    chosen, _ = in_rows(rows, cells.indices[kept], cells.data[kept], cells.shape)
    return chosen, weights[kept]


def hidden(cells: Any) -> tuple[Any, tuple[Array, Array, Array]]:
    """Return four fifths of the observed cells, and the rows, columns and values of the other, hidden fifth.

    The same cells are hidden whenever the same cells are observed.
    """
    chosen = np.random.default_rng(0).random(cells.nnz) < HIDDEN
    if not chosen.any() or chosen.all():
        raise InputError(f"X has {cells.nnz} observed cells, expected enough to hide a fifth of them")
    rows = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
    known, _ = in_rows(rows[~chosen], cells.indices[~chosen], cells.data[~chosen], cells.shape)
    return known, (rows[chosen], cells.indices[chosen], cells.data[chosen])


def completed(X: Any, model: Array) -> Array:
    """Return the predicted table with the observed cells of X in place."""
    if not hasattr(X, "tocsr"):
        return np.where(np.isnan(X), model, X)
    cells = observed(X)
    model[np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr)), cells.indices] = cells.data
    return np.asarray(model)


def holes(X: Any) -> Array:
    """Return which cells of a table are missing."""
    if not hasattr(X, "tocsr"):
        return np.asarray(np.isnan(X))
    out, cells = np.ones(X.shape, dtype=bool), observed(X)
    out[np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr)), cells.indices] = False
    return out


@dataclass(frozen=True, eq=False)
class Units:
    """The units in which d columns are fitted: a value x becomes ``(x / unit − mean) / spread``.

    ``unit`` is the largest absolute value in a column, so that no square overflows. Units and spreads are positive.
    """

    unit: Array
    mean: Array
    spread: Array

    @classmethod
    def from_cells(cls, cells: Any, weights: Array | None, *, centred: bool, scaled: bool) -> Self:
        """Measure the columns of a sparse CSR array of observed cells with weights (nnz,)."""
        d, columns = cells.shape[1], cells.indices
        unit, spread = np.ones(d), np.ones(d)
        if centred or scaled:
            largest = np.zeros(d)
            np.maximum.at(largest, columns, np.abs(cells.data))
            unit = np.where(largest > 0, largest, 1.0)
        values = cells.data / unit[columns]
        mean = _means(values, columns, weights, d) if centred else np.zeros(d)
        if scaled:
            spread = np.sqrt(_means((values - mean[columns]) ** 2, columns, weights, d))
            spread[spread <= ROUNDING_UNITS * EPS * np.abs(mean)] = 1
        else:
            spread = 1 / unit
        return cls(unit, mean, spread)

    @property
    def centre(self) -> Array:
        """The origin of the fit in the units of the table, shape (d,)."""
        return self.mean * self.unit

    @property
    def scale(self) -> Array:
        """The unit of the fit in the units of the table, shape (d,)."""
        return self.spread * self.unit

    def cells(self, cells: Any) -> Any:
        """Return a sparse array of observed cells in these units."""
        columns = cells.indices
        mean = self.mean[columns]
        left = cells.data / self.unit[columns] - mean
        out = cells.copy()
        out.data = np.where(np.abs(left) <= ROUNDING_UNITS * EPS * np.abs(mean), 0.0, left) / self.spread[columns]
        return out

    def outside(self, values: Array, columns: Any = slice(None)) -> Array:
        """Return values of the fit in the units of the table."""
        return np.asarray((values * self.spread[columns] + self.mean[columns]) * self.unit[columns])


def _means(values: Array, columns: Array, weights: Array | None, d: int) -> Array:
    """Return the mean of every column, 0 for an empty one."""
    total = np.bincount(columns, weights, d)
    sums = np.bincount(columns, values if weights is None else weights * values, d)
    return sums / np.where(total > 0, total, 1.0)
