"""RowScales: how the noise of a row differs from that of other rows, from the residuals at its observed cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.predictor import RowFit
from flatmin.estimators._intervals.credibility import Credibility

__all__ = ["RowScales"]


@dataclass(frozen=True, eq=False)
class RowScales:
    """The noise of every column, from studentized squares, and the mean ``level`` of squares over noise.

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
    def from_rows(cls, rows: RowFit) -> Self:
        """Measure the rows of a fit."""
        noise = Credibility.from_groups(rows.studentized_squares, rows.indices, len(rows.model.columns)).estimates
        i, ratios = _ratios(rows, noise)
        if not len(ratios):
            return cls(noise, 0.0, 1.0)
        found = Credibility.from_groups(ratios, i, len(rows.offsets))
        return cls(noise, found.mean, found.prior)

    def of(self, rows: RowFit) -> Array:
        """Return the relative variances (n,) of rows; 1 for a row without cells."""
        n = len(rows.offsets)
        if self.level == 0:
            return np.ones(n)
        i, ratios = _ratios(rows, self.noise)
        sums = np.bincount(i, ratios / self.level, n)
        return np.asarray((self.prior + sums) / (self.prior + np.bincount(i, minlength=n)))


def _ratios(rows: RowFit, noise: Array) -> tuple[Array, Array]:
    """Return rows and ratios of the observed cells in columns with noise."""
    (i, j), squares = rows.positions, rows.studentized_squares
    kept = noise[j] > 0
    return i[kept], squares[kept] / noise[j[kept]]
