"""Completer: the base class of the estimators that fit a low-rank matrix with offsets to some of its cells."""

from dataclasses import field
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtri
from sklearn.utils.validation import check_is_fitted

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._completion.fitting import Completed, Settings, complete, regularization
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._completion.projection import RowModel
from flatmin.estimators._completion.relaxation import Relaxation
from flatmin.estimators._declaration import estimator
from flatmin.estimators._intervals.arguments import check_kind, check_level, expect_refit, folds_of
from flatmin.estimators._intervals.calibration import Calibration
from flatmin.estimators._intervals.fold_fits import fold_fits
from flatmin.estimators._intervals.mean import mean_variances
from flatmin.estimators._intervals.row_scales import RowScales
from flatmin.estimators.base import FlatEstimator
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Solution
from flatmin.solvers.offsets.offsets import Offsets

__all__ = ["Completer"]


@estimator
class Completer(FlatEstimator):
    """An estimator of a low-rank matrix with offsets, fitted to observed cells.

    The fit minimises ``Σ (v_ij − g − a_i − b_j − l_iᵀ r_j)² + alpha (Σ n_i ‖l_i‖² + Σ n_j ‖r_j‖²)`` plus a penalty on
    the offsets a and b. Here n_i and n_j are the numbers of observations in row i and in column j. A subclass reads
    tables or pairs, passes the observed cells to `_fit_cells`, and predicts.

    Parameters
    ----------
    alpha : float or "auto"
        Strength of the penalty, called regParam in Spark; 0 fits exactly, "auto" starts from the strength that follows
        from the noise (see ``refit``).
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``, and of the weights n_i^p and n_j^p above: 1 is flat, 0 the nuclear norm.
    refit : bool or "auto"
        Whether predictions come from a refit: the least-squares fit at the rank found. A refit is free of the penalty's
        bias, but not certified. "auto" with ``alpha="auto"`` holds out cells, fifth by fifth (above 5000 cells one
        fifth), and takes the candidate that predicts them best: the refit; the penalty that follows from the noise; a
        weaker penalty; for tables without ``sample_weight`` and ``max_rank``, a normal distribution of rows; or offsets
        alone. "auto" with a number for alpha does not refit.
    stop : str
        "gap" ends a solve when its relative duality gap is at most ``tol``. "objective" ends it when a sweep lowers the
        objective by a share of less than ``tol``, as other packages do; the certificate then states the gap.
        "objective" needs a positive ``alpha`` and no offsets.
    offsets : str
        The offsets that are fitted jointly with the matrix: "none", "constant", "rows", "columns" or "both". The last
        three include a constant.
    offset_alpha : float, pair of float or "auto"
        Penalty on the offsets of rows and of columns. A penalty of k has the effect of k further observations of the
        value zero (in table columns, of the column mean). "auto" is the variance of the noise divided by that of the
        offsets, estimated by restricted maximum likelihood.
    calibration : int, "auto" or None
        How many folds of observed cells are held out to calibrate intervals; 1 holds out a fifth of the cells once.
        "auto" is 20 up to 2000 observed cells, 10 up to 20 000, 5 up to 200 000, and 1 above. Nothing is held out
        before an interval or a standard deviation is asked for. None excludes both.

    Attributes
    ----------
    row_factors_, column_factors_ : ndarray, shapes (n_rows, rank) and (n_columns, rank)
        The factors L and R of the matrix ``L Rᵀ``, in the units of the fit.
    offsets_ : Offsets
        The constant and the offsets of rows and columns, in the units of the fit.
    alpha_ : float
        The strength of `solution_`, in the units of ``alpha``.
    calibration_ : Calibration or None
        The scales of errors and their quantiles, from held-out cells. The first use of this attribute, or of an
        interval, computes it. A file of a model has it if it was computed before `save`.
    relaxation_ : Relaxation or None
        The candidates of ``refit="auto"``, and their errors on held-out cells.
    solution_ : Solution
        The solution with its proofs. Like ``noise_`` it is in the units of the fit.
    n_features_in_, feature_names_in_ : int, ndarray
        Number and names of the columns of X.
    """

    saved_classes: ClassVar[tuple[type, ...]] = (
        CellPredictor,
        RowFit,
        RowModel,
        Offsets,
        Relaxation,
        Calibration,
        RowScales,
    )
    unsaved: ClassVar[tuple[str, ...]] = ("_found",)

    alpha: Any = field(default="auto", kw_only=False)
    metric_power: float = 1.0
    refit: Any = "auto"
    stop: str = "gap"
    offsets: str = "both"
    offset_alpha: Any = "auto"
    calibration: Any = "auto"

    @property
    def calibration_(self) -> Calibration | None:
        """The calibration of intervals; None if ``calibration`` is None."""
        check_is_fitted(self)
        return None if self.calibration is None else self._calibrated()

    def _fit_cells(self, cells: Any, weights: Array | None, strengths: Strengths) -> None:
        """Fit the stored cells of a sparse CSR array with weights (nnz,), and set the fitted attributes."""
        if weights is not None:  # the solver scales weights to mean 1, phantom observations included
            mean = float(np.mean(weights))
            weights, strengths = weights / mean, strengths.over(mean)
        found = self._completed(Observations.from_cells(cells, weights, strengths))
        self._keep_fit(found)
        self._keep_cells(CellPredictor.from_fit(found))

    def _completed(self, cells: Observations) -> Completed:
        """Return the fit to the observed cells."""
        self._check()
        with self._watched() as callback:
            return complete(cells, self.alpha, self.refit, self._settings(callback))

    def _settings(self, callback: Any) -> Settings:
        return Settings(self.metric_power, self.max_rank, self.tol, self.max_iter, self._seed(), callback, self.stop)

    def _keep_fit(self, found: Completed) -> None:
        """Set the fitted attributes."""
        self._factors, self.relaxation_ = found.factors, found.relaxation
        self._found: Completed | None = found
        self._refits = found.refits
        self._calibrations: dict[int, Calibration] = {}
        self.alpha_ = regularization(float(found.solution.settings["alpha"]), found.problem.shape)
        self._keep(found.problem, found.solution)

    def _keep_cells(self, fit: CellPredictor) -> None:
        """Set the attributes that predict."""
        self._cells, self.offsets_ = fit, fit.offsets
        self.row_factors_ = fit.rows.matrix_factors
        self.column_factors_ = fit.rows.model.columns[:, : fit.rows.model.rank]

    def _at(self, i: Array, j: Array) -> Array:
        """Return the model at positions of cells, in the units of the fit; −1 stands for an unknown row or column."""
        return self._cells.at(i, j)

    def _summary(self) -> dict[str, str]:
        lines, tried = super()._summary(), getattr(self, "relaxation_", None)
        if lines and self.noise_ is not None:
            d1, d2 = (len(factor) for factor in self.solution_.factors)
            wanted = regularization(self.noise_.alpha, (d1, d2))
            lines["alpha"] = f"{self.alpha_:.4g}; the noise asks for {wanted:.4g}"
        if tried is not None:
            names = {"offsets": "offsets alone", "refit": "the refit", "1": "the penalty of the noise"}
            weaker = f"{tried.chosen} of the penalty of the noise"
            phantoms = f"a normal distribution of rows, with {tried.phantoms} phantom rows for each row"
            kind = names.get(tried.chosen, weaker if tried.phantoms is None else phantoms)
            errors = ", ".join(f"{name} {value:.3g}" for name, value in tried.errors.items())
            lines["predicts"] = f"{kind}, by errors on held-out cells: {errors}"
        return lines

    def _chosen(self, problem: Problem, solution: Solution) -> Factors:
        return self._factors

    def _calibrated(self) -> Calibration:
        """Return the calibration, computed once for every number of folds."""
        if self.calibration is None:
            raise InputError("calibration is None, expected 'auto' or a number of folds, which intervals need")
        folds = self._calibration_folds()
        if folds not in self._calibrations:
            found: Completed | None = getattr(self, "_found", None)
            if found is None:
                raise InputError(
                    "the model has no cells to hold out, because Spark fitted it or because it was saved before its "
                    "first interval; expected a fit with engine='local', or calibration_ before save"
                )
            accuracy = float(found.solution.settings["tol"])
            held = fold_fits(found, folds, self._row_weights())
            self._calibrations[folds] = Calibration.from_folds(self._cells, held, accuracy)
        return self._calibrations[folds]

    def _calibration_folds(self) -> int:
        """Return the number of folds of the calibration."""
        return folds_of(self.calibration, len(self._cells.rows.values))

    def _row_weights(self) -> Array | None:
        """Return the weights of held-out cells by row for calibration, or None for equal weights."""
        return None

    def _deviations(self, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return standard deviations of errors at positions of cells, in units of the fit."""
        found = self._calibrated()
        return np.asarray(found.deviations[j] * found.scales(self._cells, i, j, rows))

    def _half_widths(self, i: Array, j: Array, level: Any, kind: Any, rows: RowFit | None = None) -> Array:
        """Return half the widths of intervals at positions of cells, in units of the fit."""
        number = check_level(level)
        if check_kind(kind) == "observation":
            found = self._calibrated()
            return np.asarray(found.quantiles(number)[j] * found.scales(self._cells, i, j, rows))
        if np.any((i < 0) | (j < 0)):
            raise InputError("kind is 'mean' for an unknown id, expected kind='observation', or ids of the fit")
        expect_refit(self._refits)
        return np.asarray(ndtri((1 + number) / 2) * np.sqrt(mean_variances(self._cells, i, j, rows)))
