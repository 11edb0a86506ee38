"""RowScales: how the noise of a row differs from that of other rows, from the residuals at its observed cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._completion.predictor import RowFit
from flatmin.estimators._intervals.credibility import Credibility

__all__ = ["RowScales"]


@dataclass(frozen=True)
class RowScales:
    """The mean ``level`` of studentized squares over the variances of their columns, which counts for ``prior`` cells.

    The relative variance of a row is the mean of these ratios over its cells, pulled to the level, over the level. New
    rows get it in the same way as rows of the fit.
    """

    level: float
    prior: float

    @classmethod
    def from_rows(cls, rows: RowFit, variances: Array) -> Self:
        """Measure the rows of a fit; the variances of columns have shape (d2,)."""
        i, ratios = _ratios(rows, variances)
        found = Credibility.from_groups(ratios, i, len(rows.offsets))
        return cls(found.mean, found.prior)

    def of(self, rows: RowFit, variances: Array) -> Array:
        """Return the relative variances (n,) of rows; 1 for a row without cells."""
        n = len(rows.offsets)
        if self.level == 0:
            return np.ones(n)
        i, ratios = _ratios(rows, variances)
        sums = np.bincount(i, ratios / self.level, n)
        return np.asarray((self.prior + sums) / (self.prior + np.bincount(i, minlength=n)))


def _ratios(rows: RowFit, variances: Array) -> tuple[Array, Array]:
    """Return rows and ratios of the observed cells in columns of positive variance."""
    (i, j), squares = rows.positions, rows.studentized_squares
    kept = variances[j] > 0
    return i[kept], squares[kept] / variances[j[kept]]
