"""Prediction intervals of regressors of samples, calibrated on held-out samples."""

import copy
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import stdtrit
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators._intervals.arguments import check_kind, check_level, expect_refit, folds_of
from flatmin.estimators._intervals.quantiles import checked_quantile
from flatmin.estimators._intervals.tangent_fit import TangentFit
from flatmin.estimators._intervals.variance import variance_coefficients, variance_share
from flatmin.estimators.base import MatrixRegressor
from flatmin.measurements import Measurement
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
    """Scales of errors of predictions ẑ, and the errors of held-out samples over them.

    The scale is ``w = s (a + b h + c (ẑ − μ)²)^½``; h is the leverage of the sample in the fit that predicts it.

    Attributes
    ----------
    size, centre : float
        s, the root mean squared error of held-out samples, and μ, their mean.
    coefficients : ndarray, shape (3,)
        a, b and c, not negative, by weighted least squares.
    scores : ndarray, shape (m,)
        ``|error| / w`` of the held-out samples, ascending.
    """

    size: float
    centre: float
    coefficients: Array
    scores: Array = field(repr=False)

    @classmethod
    def from_predictions(cls, y: Array, predictions: Array, leverages: Array, accuracy: float) -> Self:
        """Calibrate on responses (m,) of held-out samples, their predictions and their leverages."""
        floor = accuracy * (float(np.max(np.abs(y))) or 1.0)
        squares = (y - predictions) ** 2 + floor**2
        found = cls(float(np.sqrt(np.mean(squares))), float(np.mean(y)), np.ones(3), np.zeros(0))
        found = replace(found, coefficients=variance_coefficients(found._terms(predictions, leverages), squares))
        return replace(found, scores=np.sort(np.abs(y - predictions) / found.scales(predictions, leverages)))

    def scales(self, predictions: Array, leverages: Array) -> Array:
        """Return w for predictions (n,) and leverages (n,)."""
        return np.asarray(self.size * np.sqrt(variance_share(self.coefficients, self._terms(predictions, leverages))))

    def quantile(self, level: float) -> float:
        """Return half the width of an interval in units of w."""
        return checked_quantile(self.scores, np.ones(len(self.scores)), level, "samples")

    def _terms(self, predictions: Array, leverages: Array) -> Array:
        return np.stack([np.ones_like(predictions), leverages, (predictions - self.centre) ** 2], axis=1)


@estimator
class SampleIntervals(MatrixRegressor):
    """A regressor of samples that calibrates intervals on held-out samples when they are first asked for.

    Parameters
    ----------
    calibration : int, "auto" or None
        How many folds of samples are held out to calibrate intervals; 1 holds out a fifth once. "auto" is 20 up to 2000
        samples, 10 up to 20 000, 5 up to 200 000, and 1 above. None excludes intervals.

    Attributes
    ----------
    calibration_ : SampleCalibration or None
        The scale of errors and their quantiles, computed when it is first used.
    """

    saved_classes: ClassVar[tuple[type, ...]] = (SampleCalibration, TangentFit)
    unsaved: ClassVar[tuple[str, ...]] = ("_samples",)

    calibration: Any = "auto"

    @property
    def calibration_(self) -> SampleCalibration | None:
        """The calibration of intervals; None if ``calibration`` is None."""
        check_is_fitted(self)
        return None if self.calibration is None else self._calibrated()

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """Return predictions (m,) for samples X, shaped as in fit; with return_std also the deviations of errors."""
        X = self._checked(X)
        values = self._predict(X)
        if not return_std:
            return values
        found = self._calibrated()
        return values, np.sqrt(np.mean(found.scores**2)) * found.scales(values, self._leverages(X))

    def predict_interval(
        self, X: Any, *, confidence_level: float = 0.9, kind: str = "observation"
    ) -> tuple[Array, Array]:
        """Return lower and upper ends of intervals of the responses of samples, or of their means.

        For intervals of responses, the model is fitted again without each fold of the samples, at the strength that was
        chosen for all. The errors of these folds decide the widths, which may grow with the prediction and with the
        leverage of the sample. The share of responses in the intervals is measured, not guaranteed.

        Intervals of means are for the response without noise. They are those of least squares on the tangent space of
        the matrices of the rank found (`TangentFit`), where the noise of every sample may have its own variance. They
        take the rank as known.

        Parameters
        ----------
        X : array_like, shape (m, n_features)
            The samples, shaped as in fit.
        confidence_level : float
            The share of responses, or of means, that the intervals should contain.
        kind : str
            "observation" for intervals of responses, "mean" for those of their means. The latter need a refit.

        Returns
        -------
        low, high : ndarray, shape (m,)

        Raises
        ------
        ValueError
            If an argument cannot be used, or if there are too few samples.
        """
        level, X = check_level(confidence_level), self._checked(X)
        values = self._predict(X)
        if check_kind(kind) == "mean":
            half = self._half_widths_of_means(X, level)
        else:
            found = self._calibrated()
            half = found.quantile(level) * found.scales(values, self._leverages(X))
        return values - half, values + half

    @abstractmethod
    def _sampled(self, X: Array) -> tuple[Measurement, Array]:
        """Return the measurement of checked samples, and the regressors (m, t) of unpenalised terms."""

    def _pair(self) -> tuple[Array, Array]:
        """Return (P, Q) so that the measurement of ``P Qᵀ`` predicts, together with unpenalised terms."""
        P, Q = self.factors_
        return P, Q

    def _fit_weighted(self, X: Array, y: Array, sample_weight: Any) -> Self:
        super()._fit_weighted(X, y, sample_weight)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=float)
        kept = slice(None) if weights is None else weights > 0
        self._samples = X[kept], y[kept], None if weights is None else weights[kept]
        self._calibrations: dict[int, SampleCalibration] = {}
        self._tangents: list[TangentFit | None] = []
        return self

    def _half_widths_of_means(self, X: Array, level: float) -> Array:
        """Return half the widths (n,) of intervals of means."""
        expect_refit(self._wants_refit(self.solution_))
        found = self._tangent()
        if found is None:
            raise InputError(
                "kind is 'mean', but there are not more samples than free parameters, so the noise is unknown; "
                "expected more samples"
            )
        return np.asarray(
            stdtrit(found.samples - found.freedom, (1 + level) / 2) * np.sqrt(found.variances(self._sampled(X)))
        )

    def _leverages(self, X: Array) -> Array:
        """Return the leverages of samples in the fit, or zeros if there are not more samples than free parameters."""
        found = self._tangent()
        return np.zeros(len(X)) if found is None else found.leverages(self._sampled(X))

    def _tangent(self) -> TangentFit | None:
        """Return the fit to all samples on its tangent space, computed once."""
        if not self._tangents:
            if not hasattr(self, "_samples"):
                raise InputError("the model was saved before its first interval, expected an interval before save")
            self._tangents.append(self._tangent_at(*self._samples))
        return self._tangents[0]

    def _tangent_at(self, X: Array, y: Array, weights: Array | None) -> TangentFit | None:
        """Return the fit on its tangent space for the samples to which this estimator was fitted."""
        root = np.ones(len(y)) if weights is None else np.sqrt(weights / np.mean(weights))
        return TangentFit.from_samples(self._pair(), self._sampled(X), y - self._predict(X), root)

    def _calibrated(self) -> SampleCalibration:
        """Return the calibration, computed once for every number of folds."""
        if self.calibration is None:
            raise InputError("calibration is None, expected 'auto' or a number of folds, which intervals need")
        if not hasattr(self, "_samples"):
            return self._saved_calibration()
        X, y, weights = self._samples
        folds = folds_of(self.calibration, len(y))
        if folds not in self._calibrations:
            held, predictions, leverages = self._held_out(X, y, weights, folds)
            tol = float(self.solution_.settings["tol"])
            self._calibrations[folds] = SampleCalibration.from_predictions(y[held], predictions, leverages, tol)
            self._tangent()
        return self._calibrations[folds]

    def _saved_calibration(self) -> SampleCalibration:
        if not self._calibrations:
            raise InputError("the model was saved before its first interval, expected calibration_ before save")
        return next(iter(self._calibrations.values()))

    def _held_out(self, X: Array, y: Array, weights: Array | None, folds: int) -> tuple[Array, Array, Array]:
        """Return the positions of held-out samples, and their predictions and leverages in fits to the other folds."""
        if len(y) < MIN_SAMPLES:
            raise InputError(f"there are {len(y)} samples to calibrate intervals, expected at least {MIN_SAMPLES}")
        label = np.random.default_rng(self.solution_.settings["seed"]).permutation(len(y)) % (
            ONE_IN if folds == 1 else min(folds, len(y))
        )
        predictions, leverages = np.full(len(y), np.nan), np.zeros(len(y))
        for fold in range(min(folds, len(y))):
            known, hidden = label != fold, label == fold
            again, own = copy.copy(self), None if weights is None else weights[known] / weights[known].mean()
            again.__dict__.update(_solve=self._solve_like, _kept=None)
            again._fit(X[known], y[known], own)
            again._tangents = [again._tangent_at(X[known], y[known], own)]
            predictions[hidden], leverages[hidden] = again._predict(X[hidden]), again._leverages(X[hidden])
        held = np.flatnonzero(~np.isnan(predictions))
        return held, predictions[held], leverages[held]

    def _solve_like(self, problem: Problem, *_: Any, **__: Any) -> Factors:
        """Solve a problem at the strength that was chosen for all samples, with a refit if a refit predicts."""
        settings = dict(self.solution_.settings)
        names = ("alpha", "metric_power", "max_rank", "max_iter", "seed")
        tol = max(settings["tol"], FOLD_TOL) if settings["alpha"] else settings["tol"]
        solution = flat_minimum(problem, tol=tol, **{name: settings[name] for name in names})
        if not self._wants_refit(self.solution_):
            return solution.factors
        return refit(problem, solution)
