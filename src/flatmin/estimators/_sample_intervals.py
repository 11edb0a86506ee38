"""Prediction intervals of regressors of samples, calibrated on held-out samples."""

import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators._intervals.arguments import check_kind, check_level, folds_of
from flatmin.estimators._intervals.quantiles import checked_quantile
from flatmin.estimators._intervals.variance import variance_coefficients, variance_share
from flatmin.estimators.base import MatrixRegressor
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solvers import flat_minimum, refit

__all__ = ["SampleCalibration", "SampleIntervals"]

#: The smallest number of held-out samples from which intervals are made.
MIN_SAMPLES = 20
#: If only one fold is held out, it has one of this number of samples.
ONE_IN = 5
#: Relative duality gap to which the fits without a fold are solved, unless the fit is exact.
FOLD_TOL = 1e-3


@dataclass(frozen=True, eq=False)
class SampleCalibration:
    """Scales of errors of predictions ẑ, ``w = s (a + c (ẑ − μ)²)^½``, and the errors of held-out samples over them.

    Attributes
    ----------
    size, centre : float
        s, the root mean squared error of held-out samples, and μ, their mean.
    coefficients : ndarray, shape (2,)
        a and c, not negative, by weighted least squares.
    scores : ndarray, shape (m,)
        ``|error| / w`` of the held-out samples, ascending.
    """

    size: float
    centre: float
    coefficients: Array
    scores: Array = field(repr=False)

    @classmethod
    def from_predictions(cls, y: Array, predictions: Array, accuracy: float) -> Self:
        """Calibrate on responses (m,) of held-out samples and their predictions."""
        floor = accuracy * (float(np.max(np.abs(y))) or 1.0)
        squares = (y - predictions) ** 2 + floor**2
        found = cls(float(np.sqrt(np.mean(squares))), float(np.mean(y)), np.ones(2), np.zeros(0))
        found = replace(found, coefficients=variance_coefficients(found._terms(predictions), squares))
        return replace(found, scores=np.sort(np.abs(y - predictions) / found.scales(predictions)))

    def scales(self, predictions: Array) -> Array:
        """Return w for predictions (n,)."""
        return np.asarray(self.size * np.sqrt(variance_share(self.coefficients, self._terms(predictions))))

    def quantile(self, level: float) -> float:
        """Return half the width of an interval in units of w."""
        return checked_quantile(self.scores, np.ones(len(self.scores)), level, "samples")

    def _terms(self, predictions: Array) -> Array:
        return np.stack([np.ones_like(predictions), (predictions - self.centre) ** 2], axis=1)


@estimator
class SampleIntervals(MatrixRegressor):
    """A regressor of samples that calibrates intervals on held-out samples when they are first asked for.

    Parameters
    ----------
    calibration : int, "auto" or None
        How many folds of samples are held out to calibrate intervals; 1 holds out a fifth once. "auto" is 20 up to 2000
        samples, 10 up to 20 000, 5 up to a million, and 1 above. None excludes intervals.

    Attributes
    ----------
    calibration_ : SampleCalibration or None
        The scale of errors and their quantiles, computed when it is first used.
    """

    saved_classes: ClassVar[tuple[type, ...]] = (SampleCalibration,)
    unsaved: ClassVar[tuple[str, ...]] = ("_samples",)

    calibration: Any = "auto"

    @property
    def calibration_(self) -> SampleCalibration | None:
        """The calibration of intervals; None if ``calibration`` is None."""
        check_is_fitted(self)
        return None if self.calibration is None else self._calibrated()

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """Return the predictions (m,) for samples X (m, n_features); with return_std also the deviations of errors."""
        values = super().predict(X)
        if not return_std:
            return values
        found = self._calibrated()
        return values, np.sqrt(np.mean(found.scores**2)) * found.scales(values)

    def predict_interval(
        self, X: Any, *, confidence_level: float = 0.9, kind: str = "observation"
    ) -> tuple[Array, Array]:
        """Return lower and upper ends of prediction intervals of the responses of samples.

        The model is fitted again without each fold of the samples, at the strength that was chosen for all. The errors
        of these folds decide the widths, which may grow with the prediction. The share of responses in the intervals is
        measured, not guaranteed.

        Parameters
        ----------
        X : array_like, shape (m, n_features)
            The samples.
        confidence_level : float
            The share of responses that the intervals should contain.
        kind : str
            Only "observation"; there are no intervals of the response without noise.

        Returns
        -------
        low, high : ndarray, shape (m,)

        Raises
        ------
        ValueError
            If an argument cannot be used, or if there are too few samples.
        """
        level = check_level(confidence_level)
        if check_kind(kind) == "mean":
            raise InputError("kind is 'mean', which is for completed cells, expected 'observation'")
        values = self.predict(X)
        found = self._calibrated()
        half = found.quantile(level) * found.scales(values)
        return values - half, values + half

    def _fit_weighted(self, X: Array, y: Array, sample_weight: Any) -> Self:
        super()._fit_weighted(X, y, sample_weight)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=float)
        kept = slice(None) if weights is None else weights > 0
        self._samples = X[kept], y[kept], None if weights is None else weights[kept]
        self._calibrations: dict[int, SampleCalibration] = {}
        return self

    def _calibrated(self) -> SampleCalibration:
        """Return the calibration, computed once for every number of folds."""
        if self.calibration is None:
            raise InputError("calibration is None, expected 'auto' or a number of folds, which intervals need")
        if not hasattr(self, "_samples"):
            return self._saved_calibration()
        X, y, weights = self._samples
        folds = folds_of(self.calibration, len(y))
        if folds not in self._calibrations:
            held, predictions = self._held_out(X, y, weights, folds)
            tol = float(self.solution_.settings["tol"])
            self._calibrations[folds] = SampleCalibration.from_predictions(y[held], predictions, tol)
        return self._calibrations[folds]

    def _saved_calibration(self) -> SampleCalibration:
        if not self._calibrations:
            raise InputError("the model was saved before its first interval, expected calibration_ before save")
        return next(iter(self._calibrations.values()))

    def _held_out(self, X: Array, y: Array, weights: Array | None, folds: int) -> tuple[Array, Array]:
        """Return the positions of held-out samples, and their predictions by fits to the other folds."""
        if len(y) < MIN_SAMPLES:
            raise InputError(f"there are {len(y)} samples to calibrate intervals, expected at least {MIN_SAMPLES}")
        label = np.random.default_rng(self.solution_.settings["seed"]).permutation(len(y)) % (
            ONE_IN if folds == 1 else min(folds, len(y))
        )
        predictions = np.full(len(y), np.nan)
        for fold in range(min(folds, len(y))):
            known, hidden = label != fold, label == fold
            again = copy.copy(self)
            again.__dict__.update(_solve=self._solve_like, _kept=None)
            again._fit(X[known], y[known], None if weights is None else weights[known] / weights[known].mean())
            predictions[hidden] = again._predict(X[hidden])
        held = np.flatnonzero(~np.isnan(predictions))
        return held, predictions[held]

    def _solve_like(self, problem: Problem, *_: Any, **__: Any) -> Factors:
        """Solve a problem at the strength that was chosen for all samples, with a refit if a refit predicts."""
        settings = dict(self.solution_.settings)
        names = ("alpha", "metric_power", "max_rank", "max_iter", "seed")
        tol = max(settings["tol"], FOLD_TOL) if settings["alpha"] else settings["tol"]
        solution = flat_minimum(problem, tol=tol, **{name: settings[name] for name in names})
        if not self._wants_refit(self.solution_):
            return solution.factors
        return refit(problem, solution)
