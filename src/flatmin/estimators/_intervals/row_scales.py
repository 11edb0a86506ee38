"""RowScales: how the noise of a row differs from that of other rows, from the residuals at its observed cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._intervals.credibility import Credibility
from flatmin.estimators._intervals.mean import noise_variances

__all__ = ["RowScales"]


@dataclass(frozen=True, eq=False)
class RowScales:
    """The noise of every column (`noise_variances`), and the mean ``level`` of squares over noise.

    The relative variance of a row is the mean of these ratios over its cells, pulled to the level, over the level. The
    level counts for ``prior`` cells. New rows get their variances in the same way as rows of the fit.

    The noise of a column is not the variance of errors of predictions. Predictions of a column that depends on a few
    others may have large errors although its observed cells have small residuals. Such a column would hardly count in
    the variance of a row if its residuals were divided by the errors of predictions.
    """

    noise: Array
    level: float
    prior: float

    @classmethod
    def from_fit(cls, fit: CellPredictor) -> Self:
        """Measure the rows of a fit."""
        noise = noise_variances(fit)
        i, ratios = _ratios(fit, noise, fit.training)
        if not len(ratios):
            return cls(noise, 0.0, 1.0)
        found = Credibility.from_groups(ratios, i, len(fit.training.offsets))
        return cls(noise, found.mean, found.prior)

    def of(self, fit: CellPredictor, rows: RowFit | None = None) -> Array:
        """Return the relative variances (n,) of rows, by default those of the fit; 1 for a row without cells."""
        n = len((rows or fit.rows).offsets)
        if self.level == 0:
            return np.ones(n)
        i, ratios = _ratios(fit, self.noise, rows)
        sums = np.bincount(i, ratios / self.level, n)
        return np.asarray((self.prior + sums) / (self.prior + np.bincount(i, minlength=n)))


def _ratios(fit: CellPredictor, noise: Array, rows: RowFit | None) -> tuple[Array, Array]:
    """Return rows and ratios of the observed cells in columns with noise."""
    (i, j), squares = (rows or fit.rows).positions, fit.studentized_squares(rows)
    kept = noise[j] > 0
    return i[kept], squares[kept] / noise[j[kept]]
