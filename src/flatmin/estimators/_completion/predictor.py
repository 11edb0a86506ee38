"""CellPredictor: a fit to observed cells as ridge regressions of its rows and columns, which have leverages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.fitting import Completed, regularization
from flatmin.estimators._completion.projection import RowModel
from flatmin.estimators._completion.table import in_rows
from flatmin.solvers.noise.refit import UNBIASED
from flatmin.solvers.offsets.offsets import Offsets

__all__ = ["CellPredictor", "RowFit", "with_unknown"]

#: Number of products of factors that are computed at once.
PRODUCTS_AT_ONCE = 100_000
#: Smallest value of ``1 − leverage`` of an observed cell in a studentized residual. A cell that determines its own
#: prediction has the leverage 1.
LEAST_FREEDOM = 0.05
#: The attributes of `RowFit` with one number for every observed cell.
OF_CELLS = ("indices", "values", "weights")


def with_unknown(factors: Array) -> Array:
    """Return factors (n, k) with a last one of zeros, which is at position −1: that of an unknown row or column."""
    return np.vstack([factors, np.zeros((1, factors.shape[1]))])


@dataclass(frozen=True, eq=False)
class RowFit:
    """Rows of a matrix, fitted or new ones, with the factors and offsets that their observed cells give.

    The cells (nnz,) are in compressed rows: ``pointers`` (n + 1,) has the position of the first cell of each row, and
    ``indices`` the columns of the cells. ``values`` are the observed values minus `Offsets.expected`, without features
    the constant and the offsets of columns. ``factors`` has shape (n, k) and ``offsets`` (n,).
    Slopes of rows on features of columns, if there are any, are the last columns of ``factors``.
    """

    model: RowModel
    pointers: Array
    indices: Array
    values: Array
    weights: Array
    factors: Array
    offsets: Array

    @classmethod
    def from_cells(cls, model: RowModel, values: Any, weights: Array | None = None) -> Self:
        """Compute factors and offsets from observed cells, a CSR array (n, d2), and their weights (nnz,)."""
        factors, offsets = model.fit(values, weights)
        factors = np.ascontiguousarray(factors)  # sums have the same order after saving and loading
        weights = np.ones(values.nnz) if weights is None else weights
        return cls(model, values.indptr, values.indices, values.data, weights, factors, offsets)

    @classmethod
    def without_cells(cls, model: RowModel, factors: Array) -> Self:
        """Return rows of known factors whose cells are not at hand."""
        none, n = np.zeros(0), len(factors)
        return cls(model, np.zeros(n + 1, int), np.zeros(0, int), none, none, factors, np.zeros(n))

    def joined(self, others: Self, order: Array) -> Self:
        """Return rows at positions (n,) in the list of these rows followed by others of the same model."""
        counts = np.concatenate([self.counts, others.counts])
        starts, sizes = np.concatenate([[0], np.cumsum(counts)])[order], counts[order]
        pointers = np.concatenate([[0], np.cumsum(sizes)])
        cells = np.repeat(starts - pointers[:-1], sizes) + np.arange(pointers[-1])
        indices, values, weights, factors, offsets = (
            np.concatenate([getattr(rows, name) for rows in (self, others)])[cells if name in OF_CELLS else order]
            for name in (*OF_CELLS, "factors", "offsets")
        )
        return type(self)(self.model, pointers, indices, values, weights, factors, offsets)

    @property
    def matrix_factors(self) -> Array:
        """The factors of the matrix, without the slopes of rows."""
        return self.factors[:, : self.model.rank]

    @property
    def counts(self) -> Array:
        """The number of observed cells of each row."""
        return np.diff(self.pointers)

    def of(self, row: int) -> Array:
        """Return the columns of the observed cells of a row."""
        return self.indices[self.pointers[row] : self.pointers[row + 1]]

    @property
    def weighted_cells(self) -> Any:
        """The weights of the observed cells as a CSR array (n, d2)."""
        from scipy.sparse import csr_array

        return csr_array(
            (self.weights, self.indices, self.pointers), shape=(len(self.offsets), len(self.model.columns))
        )

    @property
    def positions(self) -> tuple[Array, Array]:
        """The row and the column of every observed cell."""
        return np.repeat(np.arange(len(self.offsets)), np.diff(self.pointers)), self.indices

    def at(self, i: Array, j: Array) -> Array:
        """Return the matrix plus the offsets of rows, at positions (n,); −1 stands for an unknown row or column."""
        return np.asarray(np.append(self.offsets, 0.0)[i] + self.products(i, j))

    def products(self, i: Array, j: Array) -> Array:
        """Return the matrix at positions (n,); 0 in unknown rows and columns."""
        out, both = np.zeros(len(i)), np.flatnonzero((i >= 0) & (j >= 0))
        for start in range(0, len(both), PRODUCTS_AT_ONCE):
            piece = both[start : start + PRODUCTS_AT_ONCE]
            out[piece] = np.einsum("nk,nk->n", self.factors[i[piece]], self.model.columns[j[piece]])
        return out

    def seen(self, i: Array) -> Array:
        """Return positions (n,) of rows, −1 for those without observed cells."""
        return np.where(np.append(self.counts, 0)[i] > 0, i, -1)

    def leverages(self, i: Array, j: Array, noise: Array | None = None) -> Array:
        """Return the variances of `at` for given factors of the columns and noise of variance 1 or ``noise`` (d2,).

        They are 0 in rows without observed cells.
        """
        features = self.model.with_offset(with_unknown(self.model.columns))
        return self.model.prediction_variances(self.weighted_cells, self.seen(i), features, j, noise)

    @property
    def squares(self) -> Array:
        """The squared residuals at observed cells."""
        return np.asarray((self.values - self.at(*self.positions)) ** 2)


@dataclass(frozen=True, eq=False)
class CellPredictor:
    """A fit as regressions of its rows on R and of its columns on L.

    The error of a prediction ``g + a_i + b_j + l_iᵀ r_j`` is, to first order, the sum of the errors of row i given R
    and of column j given L. Each side is a ridge regression, with the penalty of the fit. For noise of variance 1 the
    variance of the prediction is therefore

        ``h_ij = f_jᵀ (Σ_k w_ik f_k f_kᵀ + Λ_i)⁻¹ f_j + g_iᵀ (Σ_k w_kj g_k g_kᵀ + Λ_j)⁻¹ g_i``,

    with ``f = (r, 1)`` if rows have offsets, ``g = (l, 1)`` if columns have, and sums over observed cells.
    ``training`` are the rows of the fit, whose cells determine the columns; ``rows`` may be more. ``noise`` is the
    variance of the noise in the penalty on rows, by which leverages of different fits are compared; 1 if the penalty is
    no estimate of it.

    References
    ----------
    Chen, Fan, Ma, Yan, "Inference and uncertainty quantification for noisy matrix completion", PNAS 116(46), 2019 (the
    same variance for many cells and no penalty).
    """

    offsets: Offsets
    rows: RowFit
    columns: RowModel
    training: RowFit
    noise: float = 1.0

    @classmethod
    def from_fit(cls, found: Completed) -> Self:
        """Solve the rows of a fit, given R and the offsets of columns."""
        A, strengths, offsets = found.cells.entries, found.cells.strengths, found.offsets.without_slopes()
        left = found.cells.values - offsets.expected(A.rows, A.cols)
        values, order = in_rows(A.rows, A.cols, left, A.shape)
        weights = None if A.weights is None else A.weights**2
        rows = RowFit.from_cells(found.rows, values, None if weights is None else weights[order])
        if strengths.rows is not None:
            offsets = offsets.with_rows(rows.offsets)
        drawn = found.refits or found.phantoms is not None
        noise = found.rows.strength if drawn and found.rows.strength else 1.0
        return cls(offsets, rows, _column_model(found, rows.matrix_factors), rows, noise)

    def with_rows(self, new: RowFit, order: Array, like: Array) -> Self:
        """Return the predictor with the rows of `RowFit.joined`, n of them.

        Row k has the features of the row of this predictor at position ``like[k]``, or none at −1.
        """
        rows = self.rows.joined(new, order)
        return replace(self, rows=rows, offsets=self.offsets.like(like).with_rows(rows.offsets))

    def fitted(self, values: Any, like: Array | None = None) -> RowFit:
        """Return new rows from observed cells, a CSR array (n, d2); ``like`` (n,) is as in `with_rows`."""
        like = np.full(values.shape[0], -1) if like is None else like
        return RowFit.from_cells(self.rows.model, self.offsets.like(like).deviations(values))

    def at(self, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return the predictions of cells at positions (n,) in the given rows, by default those of the fit.

        An unknown row or column has the position −1, and is predicted from the offsets.
        """
        if rows is None:
            return np.asarray(self.offsets.at(i, j) + self.rows.products(i, j))
        columns = np.append(self.offsets.columns, 0.0)
        return np.asarray(self.offsets.constant + columns[j] + rows.at(i, j))

    def leverages(self, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return the variances h of the same predictions, for noise of variance 1.

        Rows and columns that are unknown or without observed cells contribute nothing.
        """
        return (rows or self.rows).leverages(i, j) + self.column_leverages(i, j, rows)

    @cached_property
    def own_leverages(self) -> Array:
        """The leverages of the observed cells of the rows of the fit."""
        return self.leverages(*self.rows.positions)

    def leverages_and_own(self, i: Array, j: Array) -> Array:
        """Return `leverages` in rows of the fit, and compute `own_leverages` from the same inverse matrices."""
        own_rows, own_columns = self.rows.positions
        found = self.leverages(np.concatenate([own_rows, i]), np.concatenate([own_columns, j]))
        self.__dict__["own_leverages"] = found[: len(own_rows)]
        return found[len(own_rows) :]

    def studentized_squares(self, rows: RowFit | None = None) -> Array:
        """Return the squared residual over ``1 − leverage`` of every observed cell of the given rows.

        Without a penalty the residual of a cell of weight w has the variance ``σ² (1 − w h)`` to first order, so the
        mean of these squares is the variance of the noise.
        """
        own = rows is None or rows is self.rows
        rows = self.rows if rows is None else rows
        leverages = self.own_leverages if own else self.leverages(*rows.positions, rows)
        return np.asarray(rows.squares / (1 - rows.weights * leverages).clip(min=LEAST_FREEDOM))

    def column_leverages(self, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return the part of `leverages` that comes from the regressions of columns."""
        g = self.columns.with_offset(with_unknown((rows or self.rows).matrix_factors))
        return self.columns.prediction_variances(self.column_weights, self.seen_columns(j), g, i)

    def seen_columns(self, j: Array) -> Array:
        """Return positions (n,) of columns, −1 for those without observed cells."""
        return np.where(np.append(np.diff(self.column_weights.indptr), 0)[j] > 0, j, -1)

    @cached_property
    def column_weights(self) -> Any:
        """The weights of the training cells as a CSR array (d2, d1)."""
        i, j = self.training.positions
        shape = len(self.offsets.columns), len(self.training.offsets)
        return in_rows(j, i, self.training.weights, shape)[0]


def _column_model(found: Completed, left: Array) -> RowModel:
    """Return the model of columns given the factors L, with the penalty that the fit has on R."""
    offset, (d1, d2) = found.cells.strengths.columns, found.problem.shape
    if found.phantoms is not None:  # phantom rows with independent cells, so that they pull R to 0
        return RowModel(left, found.phantoms * d1, 0.0, offset)
    settings, counts = found.solution.settings, found.cells.entries.gram_diagonals()[1]
    alpha, power = float(settings["alpha"]), float(settings["metric_power"])
    penalty = regularization(alpha / UNBIASED if found.refits else alpha, (d1, d2)) * np.mean(counts) ** (1 - power)
    return RowModel(left, float(penalty), power, offset)
