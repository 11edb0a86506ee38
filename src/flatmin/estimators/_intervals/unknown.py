"""Variances of what an unknown row or column would add to its prediction, which is made from the offsets alone."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.predictor import CellPredictor
from flatmin.estimators._completion.projection import RowModel

__all__ = ["unknown_variances"]

#: Number of rows whose covariances are in memory at once.
ROWS_AT_ONCE = 1000


def unknown_variances(fit: CellPredictor, i: Array, j: Array, noise: float) -> Array:
    """Return the variances (n,) of the factors and offsets of unknown rows and columns, which have the position −1.

    Known ones add 0. The factor and the offset of an unknown row are drawn like those of the known rows. Their second
    moments are the means of the products of estimates, plus the mean of their covariances for noise of variance
    ``noise``.
    """
    out = np.zeros(len(i))
    if not np.any((i < 0) | (j < 0)):
        return out
    rows, columns = fit.training, fit.columns
    k, R = rows.factors.shape[1], rows.model.columns
    of_rows = _moments(rows.model, rows.factors, rows.offsets, rows.weighted_cells, noise)
    of_columns = _moments(columns, R, fit.offsets.columns, fit.column_weights, noise)
    new_row, new_column = (i < 0) & (j >= 0), (i >= 0) & (j < 0)
    out[new_row] = _forms(of_rows, rows.model.features[j[new_row]])
    out[new_column] = _forms(of_columns, columns.with_offset(fit.rows.factors[i[new_column]]))
    offsets = sum(float(np.trace(M[k:, k:])) for M in (of_rows, of_columns))
    out[(i < 0) & (j < 0)] = float(np.sum(of_rows[:k, :k] * of_columns[:k, :k])) + offsets
    return out


def _moments(model: RowModel, factors: Array, offsets: Array, weights: Any, noise: float) -> Array:
    """Return the second moments (f, f) of factors and, if the model has them, offsets of rows with cells."""
    seen = np.flatnonzero(np.diff(weights.indptr))
    F = factors[seen] if model.offset is None else np.hstack([factors, offsets[:, None]])[seen]
    total = F.T @ F
    for start in range(0, len(seen), ROWS_AT_ONCE):
        total += noise * model.covariances(weights[seen[start : start + ROWS_AT_ONCE]]).sum(axis=0)
    return np.asarray(total / len(seen))


def _forms(M: Array, vectors: Array) -> Array:
    return np.asarray(np.einsum("nf,fg,ng->n", vectors, M, vectors))
