"""Intervals: standard deviations and prediction intervals of cells of a completed matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from flatmin._core.arrays import Array
from flatmin._core.validation import is_whole, real_number, shown
from flatmin.errors import InputError
from flatmin.estimators._completion.fitting import Completed
from flatmin.estimators._intervals.calibration import Calibration
from flatmin.estimators._intervals.held_out import held_out
from flatmin.estimators._intervals.predictor import CellPredictor, RowFit

__all__ = ["Intervals", "check_kind", "check_level", "folds_of"]

#: With ``calibration="auto"`` ten folds are held out up to this number of observed cells, because small tables are
#: predicted clearly worse without a fifth of their cells.
FEW_CELLS = 20_000
#: With ``calibration="auto"`` five folds are held out up to this number of observed cells, and one fold above.
MANY_CELLS = 1_000_000


def folds_of(calibration: Any, cells: int) -> int:
    """Return the number of folds that a parameter ``calibration`` means for a number of observed cells.

    Raises
    ------
    InputError
        If the parameter is no number of folds.
    """
    if isinstance(calibration, str) and calibration == "auto":
        return 10 if cells <= FEW_CELLS else 5 if cells <= MANY_CELLS else 1
    if not is_whole(calibration) or calibration < 1:
        raise InputError(f"calibration is {shown(calibration)}, expected 'auto', None or a number of folds from 1")
    return int(calibration)


def check_level(level: Any) -> float:
    """Return a confidence level between 0 and 1, or raise `InputError`."""
    number = real_number(level)
    if not 0 < number < 1:
        raise InputError(f"confidence_level is {shown(level)}, expected a number between 0 and 1, such as 0.9")
    return number


def check_kind(kind: Any) -> str:
    """Return a kind of interval, or raise `InputError`."""
    if not isinstance(kind, str) or kind not in ("observation", "mean"):
        raise InputError(f"kind is {shown(kind)}, expected 'observation' or 'mean'")
    return kind


@dataclass(frozen=True, eq=False)
class Intervals:
    """A fit to observed cells with all that its intervals need, in units of the fit.

    Positions are those of cells, (n,), in rows of the fit or in given rows.
    """

    found: Completed

    @cached_property
    def fit(self) -> CellPredictor:
        """The regressions of rows and columns."""
        return CellPredictor.from_fit(self.found)

    def calibrated(self, folds: int) -> Calibration:
        """Calibrate the intervals with a number of held-out folds."""
        accuracy = float(self.found.solution.settings["tol"])
        return Calibration.from_held_out(self.fit, held_out(self.found, folds), accuracy)

    def half_widths(
        self, calibration: Calibration, level: float, i: Array, j: Array, rows: RowFit | None = None
    ) -> Array:
        """Return half the widths of intervals for new observations of cells."""
        return np.asarray(calibration.quantiles(level)[j] * calibration.scales(self.fit, i, j, rows))

    def deviations(self, calibration: Calibration, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return the root mean squared errors of predictions of new observations of cells."""
        return np.asarray(calibration.deviations[j] * calibration.scales(self.fit, i, j, rows))

    def mean_half_widths(self, level: float, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return half the widths of confidence intervals for the means of cells.

        The variance is that of the row's regression, with the noise of every column, plus the noise of the column times
        the leverage in it. The bias of a penalty is not in it, so the interval exists only if a refit predicts.

        Raises
        ------
        InputError
            If no refit predicts.
        """
        if not self.found.refits:
            raise InputError(
                "kind is 'mean', but a penalised fit predicts, whose bias is unknown; expected kind='observation', or "
                "a fit with refit=True"
            )
        return np.asarray(ndtri((1 + level) / 2) * np.sqrt(self.fit.variances(i, j, rows)))
