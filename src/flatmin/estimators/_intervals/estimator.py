"""IntervalCompleter: the base class of completion estimators whose predictions have intervals."""

from typing import Any

from sklearn.utils.validation import check_is_fitted

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._completion.completer import Completer
from flatmin.estimators._completion.fitting import Completed
from flatmin.estimators._declaration import estimator
from flatmin.estimators._intervals.calibration import Calibration
from flatmin.estimators._intervals.intervals import Intervals, check_kind, check_level, folds_of
from flatmin.estimators._intervals.predictor import RowFit

__all__ = ["IntervalCompleter"]


@estimator
class IntervalCompleter(Completer):
    """A completer that keeps its fit, and calibrates intervals on held-out cells when they are first asked for.

    Parameters
    ----------
    calibration : int, "auto" or None
        How many folds of observed cells are held out to calibrate intervals; 1 holds out a fifth of the cells once.
        "auto" is 10 up to 20 000 observed cells, 5 up to a million, and 1 above. Nothing is held out before an interval
        or a standard deviation is asked for. None excludes both.

    Attributes
    ----------
    calibration_ : Calibration or None
        The scales of errors and their quantiles, from held-out cells. The first use of this attribute, or of an
        interval, computes it.
    """

    calibration: Any = "auto"

    @property
    def calibration_(self) -> Calibration | None:
        """The calibration of intervals; None if ``calibration`` is None."""
        check_is_fitted(self)
        return None if self.calibration is None else self._calibrated()

    def _keep_fit(self, found: Completed) -> None:
        super()._keep_fit(found)
        self._intervals = Intervals(found)
        self._calibrations: dict[int, Calibration] = {}

    def _calibrated(self) -> Calibration:
        """Return the calibration, computed once for every number of folds."""
        if self.calibration is None:
            raise InputError("calibration is None, expected 'auto' or a number of folds, which intervals need")
        folds = folds_of(self.calibration, self._intervals.found.cells.entries.size)
        if folds not in self._calibrations:
            self._calibrations[folds] = self._intervals.calibrated(folds)
        return self._calibrations[folds]

    def _deviations(self, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return standard deviations of errors at positions of cells, in units of the fit."""
        return self._intervals.deviations(self._calibrated(), i, j, rows)

    def _half_widths(self, i: Array, j: Array, level: Any, kind: Any, rows: RowFit | None = None) -> Array:
        """Return half the widths of intervals at positions of cells, in units of the fit."""
        number = check_level(level)
        if check_kind(kind) == "mean":
            return self._intervals.mean_half_widths(number, i, j, rows)
        return self._intervals.half_widths(self._calibrated(), number, i, j, rows)
