"""Variances of the predictions of a refit, for confidence intervals of means."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._intervals.credibility import Credibility

__all__ = ["mean_variances", "noise_variances"]


def noise_variances(fit: CellPredictor) -> Array:
    """Return the variance of the noise in every column, shape (d2,), from the residuals at observed cells."""
    rows = fit.training
    return Credibility.from_groups(fit.studentized_squares(rows), rows.indices, len(fit.offsets.columns)).estimates


def mean_variances(fit: CellPredictor, i: Array, j: Array, rows: RowFit | None = None) -> Array:
    """Return the variances of predictions (n,), if the noise of every column has its own variance.

    They are those of the rows' regressions with this noise (`RowModel.covariances`), plus the noise of the column times
    the leverage in the column's regression. The bias of a penalty is not in them.
    """
    noise = noise_variances(fit)
    return np.asarray((rows or fit.rows).leverages(i, j, noise) + noise[j] * fit.column_leverages(i, j, rows))
