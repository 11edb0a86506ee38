"""Completion with penalty and metric chosen by cross-validation over cells."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.estimators._completion.fitting import Completed, plain, regularization
from flatmin.estimators._completion.observations import Observations
from flatmin.estimators._cross_validation import ChosenPenalty
from flatmin.estimators._declaration import estimator
from flatmin.solvers.alphas.cross_validation import check_rule
from flatmin.solvers.alphas.folds import TrainingSplit, splits

__all__ = ["CrossValidatedCells"]

#: The smallest number of folds.
MIN_FOLDS = 2


@estimator
class CrossValidatedCells(ChosenPenalty):
    """A mixin for completion estimators that chooses strength and metric power by the errors on held-out cells.

    Parameters
    ----------
    alphas : array_like, optional
        Strengths to choose from, in the units of ``alpha`` of the estimator without cross-validation; by default
        ``n_alphas`` of them in geometric progression, from the smallest for which the matrix is 0.
    cv : int
        The number of folds. The last training cell of a row or column is never held out. With ``calibration="auto"``
        the fits without these folds also calibrate intervals.
    """

    alpha: ClassVar[Any] = None  # these four are no parameters
    metric_power: ClassVar[float] = 1.0
    refit: ClassVar[bool] = False
    stop: ClassVar[str] = "gap"
    n_alphas: int = 10
    metric_powers: Any = (0.0, 0.5, 1.0)

    def _completed(self, cells: Observations) -> Completed:
        self._check()
        check_rule(self.selection, "selection")
        cells = cells.like(cells.model)
        unit = regularization(1.0, cells.entries.shape)
        dealt = self._splits(cells)
        found = self._choose(
            cells.problem,
            self._strengths(unit),
            unit,
            metric_powers=np.atleast_1d(np.asarray(self.metric_powers, dtype=object)),
            folds=[(split.training, split.held_out) for split in dealt],
            pair=cells.pair,
        )
        whole = Completed.penalised(cells, plain(cells, found.solution))
        return replace(whole, folds=tuple(zip((split.training for split in dealt), found.fold_factors, strict=True)))

    def _calibration_folds(self) -> int:
        """Return the number of folds of the calibration, which with "auto" are those of the cross-validation."""
        automatic = isinstance(self.calibration, str) and self.calibration == "auto"
        return int(self.cv) if automatic else super()._calibration_folds()

    def _splits(self, cells: Observations) -> list[TrainingSplit]:
        folds = self.cv
        if not isinstance(folds, int | np.integer) or isinstance(folds, bool) or folds < MIN_FOLDS:
            raise InputError(f"cv is {folds!r}, expected a whole number of folds of at least 2")
        n, d = cells.entries.shape
        try:
            return splits(cells.cells, min(int(folds), cells.entries.size), None, self._seed())
        except InputError:
            raise InputError(
                f"of the {cells.entries.size} cells observed (n_samples={n}, n_features={d}) none can be held out, "
                "expected rows and columns with two of them; or use an estimator without cross-validation"
            ) from None

    def _strengths(self, unit: float) -> Any:
        """Return ``alphas`` in the units of the problem, or None."""
        if self.alphas is None:
            return None
        found = np.atleast_1d(numeric(self.alphas, "alphas"))
        if found.ndim != 1 or not found.size or np.any(found <= 0):
            raise InputError(f"alphas is {self.alphas!r}, expected one or more positive numbers")
        return found / unit
