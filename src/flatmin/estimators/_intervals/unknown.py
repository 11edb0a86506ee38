"""Variances of the factors and offsets of rows and columns without observed cells, which predictions cannot know."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._completion.projection import RowModel

__all__ = ["unknown_variances"]

#: Number of rows whose covariances are in memory at once.
ROWS_AT_ONCE = 1000


def unknown_variances(fit: CellPredictor, i: Array, j: Array, noise: float, rows: RowFit | None = None) -> Array:
    """Return the variances (n,) of the factors and offsets of rows and columns without observed cells.

    Unknown rows and columns have the position −1; those with cells add 0. The factor and the offset of an unknown row
    are drawn like those of the rows of the fit. Their second moments are the means of the products of estimates, plus
    the mean of their covariances for noise of variance ``noise``.
    """
    own, out = rows or fit.rows, np.zeros(len(i))
    i, j = own.seen(i), fit.seen_columns(j)
    if np.all(i >= 0) and np.all(j >= 0):
        return out
    training, columns = fit.training, fit.columns
    k, deviations = training.model.rank, fit.offsets.columns - fit.offsets.column_means
    of_rows = _moments(training.model, training.factors, training.offsets, training.weighted_cells, noise)
    of_columns = _moments(columns, training.model.columns[:, :k], deviations, fit.column_weights, noise)
    new_row, new_column = (i < 0) & (j >= 0), (i >= 0) & (j < 0)
    out[new_row] = _forms(of_rows, training.model.features[j[new_row]])
    out[new_column] = _forms(of_columns, columns.with_offset(own.matrix_factors[i[new_column]]))
    offsets = sum(float(np.trace(M[f:, f:])) for M, f in ((of_rows, training.factors.shape[1]), (of_columns, k)))
    out[(i < 0) & (j < 0)] = float(np.sum(of_rows[:k, :k] * of_columns[:k, :k])) + offsets
    return out


def _moments(model: RowModel, factors: Array, offsets: Array, weights: Any, noise: float) -> Array:
    """Return the second moments (f, f) of factors and, if the model has them, offsets of rows with cells."""
    seen = np.flatnonzero(np.diff(weights.indptr))
    F = (factors if model.offset is None else np.hstack([factors, offsets[:, None]]))[seen]
    total = F.T @ F
    for start in range(0, len(seen) if F.shape[1] else 0, ROWS_AT_ONCE):
        total += noise * model.covariances(weights[seen[start : start + ROWS_AT_ONCE]]).sum(axis=0)
    return np.asarray(total / len(seen))


def _forms(M: Array, vectors: Array) -> Array:
    return np.asarray(np.einsum("nf,fg,ng->n", vectors, M, vectors))
