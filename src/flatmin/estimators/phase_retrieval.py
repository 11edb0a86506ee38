"""Phase retrieval: a signal from the intensities of its linear measurements."""

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted, validate_data

from flatmin._core.arrays import Array
from flatmin._core.limits import Limits
from flatmin._core.validation import in_one_line, numeric
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators._unpenalised import check_size
from flatmin.estimators.base import MatrixRegressor, user_level
from flatmin.families.phase_retrieval import check_intensities, why_undetermined
from flatmin.measurements import CodedDiffraction, Measurement, RankOne
from flatmin.parametrizations import Gram
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Solution
from flatmin.solvers import stabilize_variance
from flatmin.solvers.noise.pivotal import level_of_noise
from flatmin.solvers.noise.uncertified import uncertified_minimum
from flatmin.solvers.task import Task

__all__ = ["PhaseRetrieval"]

NOISES = ("gaussian", "poisson")
#: The largest number of unknowns for which ``certify="auto"`` certifies.
MAX_CERTIFIED = 256


@estimator
class PhaseRetrieval(MatrixRegressor):
    """A signal s from intensities, whose phases were lost: ``y_i = |x_i* s|² + noise``.

    The x_i are real or complex vectors, or the intensities are diffraction patterns behind known masks. The data
    determine s up to its sign or phase, so its largest entry is made positive. The signal is a least-squares fit of
    rank one (with Poisson noise approximately the maximum-likelihood fit), which is not certified; with ``refit=False``
    it is the leading part of ``solution_``.

    Parameters
    ----------
    alpha : float or "auto"
        "auto" is for noisy and for exact intensities. Intensities count as exact if a signal fits them to rounding
        errors and they outnumber its real unknowns; the certificate can then prove that the signal is unique. 0 fits
        them exactly in every case.
        A positive number is the strength of a penalty on the trace, which does not select the rank.
    noise : "gaussian" or "poisson"
        The noise that ``alpha="auto"`` expects. "gaussian" noise has equal variance in all intensities. "poisson" noise
        has a variance proportional to the mean, as for photon counts in any unit.
    certify : bool or "auto"
        Whether ``alpha="auto"`` also computes ``solution_``, the certified solution of the penalised problem, whose
        rank is above 1, for noisy intensities. The signal does not depend on ``solution_``, which takes long for large
        images. "auto" computes it for up to 256 unknowns. For more unknowns ``certificate_`` bounds the distance of the
        signal from that solution. The fit of exact intensities is always certified.

    Attributes
    ----------
    signal_ : ndarray, shape (n_features,), (n,) or (h, w)
        s, or 0 if the intensities do not differ from noise.
    unit_ : float or None
        With Poisson noise, the variance of the counts over their mean: 1 for photons that are not rescaled, and about 0
        for exact intensities.
    rank_ : int
        1, or 0 for a zero signal.
    solution_ : Solution
        The solution of the penalised problem, which has weights for Poisson noise.
    noise_ : Noise or None
        The estimates of the noise for ``alpha="auto"``. A ``rank`` above 1 means that the intensities do not fit one
        signal.

    References
    ----------
    Candès, Strohmer, Voroninski, "PhaseLift: exact and stable signal recovery from magnitude measurements via convex
    programming", Communications on Pure and Applied Mathematics 66(8), 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import PhaseRetrieval
    >>> rng = np.random.default_rng(0)
    >>> s, X = rng.standard_normal(12), rng.standard_normal((100, 12))
    >>> photons = rng.poisson(30 * (X @ s) ** 2)
    >>> model = PhaseRetrieval(noise="poisson").fit(X, photons)
    >>> found = model.signal_ / np.sqrt(30)
    >>> bool(min(abs(found - s).max(), abs(found + s).max()) < 0.05), bool(0.7 < model.unit_ < 1.3)
    (True, True)
    """

    noise: str = "gaussian"
    certify: Any = "auto"
    metric_power: ClassVar[float] = 1.0  # type: ignore[misc]  # no parameter

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the signal, or raise `ValueError` for X or y that cannot be used.

        A `UserWarning` says why masks do not determine a signal: if there is only one pattern, if no mask joins two
        parts of the signal, or if patterns have fewer independent intensities than the signal has unknowns.

        Parameters
        ----------
        X : array_like, shape (m, n_features), (q, n) or (q, h, w)
            Vectors x_i, real or complex, or masks.
        y : array_like, shape (m,), or the shape of X
            Intensities ``|x_i* s|²``, or with masks ``|FFT(conj(mask) ∘ s)|²``, unnormalized; none is negative.
        sample_weight : array_like, shape (m,), optional
            Precision of each intensity: its variance is divided by the weight. Samples of weight 0 are left out. Not
            for masks.
        """
        if self.noise not in NOISES:
            raise InputError(f"noise is {self.noise!r}, expected 'gaussian' or 'poisson'")
        if not (isinstance(self.certify, bool | np.bool_) or self.certify == "auto"):
            raise InputError(f"certify is {self.certify!r}, expected True, False or 'auto'")
        self._behind_masks = _are_masks(X, y)
        if self._behind_masks:
            if sample_weight is not None:
                raise InputError("sample_weight was given with masks, expected None")
            masks = numeric(X, "X", allow_complex=True)
            validate_data(self, masks.reshape(len(masks), -1).real, skip_check_array=True)
            intensities = numeric(y, "y")
            check_intensities(intensities, "y")
            signal = self._found(CodedDiffraction(masks), intensities.ravel())
            self.signal_ = signal.reshape(masks.shape[1:])
            return self
        imaginary = _imaginary(X)
        with in_one_line():
            X, y = validate_data(self, X if imaginary is None else np.real(X), y, dtype=float, y_numeric=True)
        check_intensities(y, "y")
        return self._fit_weighted(X if imaginary is None else X + 1j * imaginary, y.astype(float), sample_weight)

    def predict(self, X: Any) -> Array:
        """Return the intensities of the signal for vectors X (m, n_features), or for masks X as in `fit`."""
        check_is_fitted(self)
        if self._behind_masks:
            masks = numeric(X, "X", allow_complex=True)
            if masks.shape[1:] != self.signal_.shape:
                raise InputError(f"X has shape {masks.shape}, expected masks of shape {self.signal_.shape}")
            return _intensities(CodedDiffraction(masks), self.signal_.ravel()).reshape(masks.shape)
        imaginary = _imaginary(X)
        with in_one_line():
            X = validate_data(self, X if imaginary is None else np.real(X), dtype=float, reset=False)
        return self._predict(X if imaginary is None else X + 1j * imaginary)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of the intensities."""
        y = np.asarray(y)
        return float(r2_score(y.ravel(), self.predict(X).ravel(), sample_weight=sample_weight))

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Self:
        check_size(X, "X")
        if weight is not None and self.noise == "gaussian":
            weight = np.sqrt(weight)
        if weight is not None:  # w·y of counts y with variance E y / w are counts of the unit w
            X, y = np.sqrt(weight)[:, None] * X, weight * y
        self.signal_ = self._found(RankOne(X), y)
        return self

    def _predict(self, X: Array) -> Array:
        return _intensities(RankOne(X), self.signal_)

    def _found(self, measurement: Measurement, data: Array) -> Array:
        """Set the fitted attributes of `_record` and return the signal."""
        check_size(data, "y")
        problem, self._counts = Problem(measurement, data, Gram()), None
        auto, seed, fast = isinstance(self.alpha, str) and self.alpha == "auto", self._seed(), None
        if not self._certifies(measurement) and auto:
            limits = Limits(max_rank=1, max_iter=self.max_iter, seed=seed)
            fast = uncertified_minimum(Task(problem, limits=limits), limits.start())
        if self.noise == "poisson" and (auto or self.alpha != 0):
            known = None if fast is None else fast.noise
            self._counts = stabilize_variance(problem, max_rank=1, max_iter=self.max_iter, seed=seed, noise=known)
        self.unit_ = None if self._counts is None else self._counts.unit
        if fast is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the user did not ask for a certificate
                (U,) = self._keep(problem, fast)
        else:
            (U,) = self._solve(problem if self._counts is None else self._counts.problem)
        U, sizes, _ = np.linalg.svd(U, full_matrices=False)
        signal = U[:, 0] * sizes[0] if len(sizes) else np.zeros(len(U), U.dtype)
        largest = signal[np.argmax(np.abs(signal))]
        self.rank_ = int(largest != 0)
        return np.asarray(signal * (np.conj(largest) / abs(largest) if largest else 1))

    def _certifies(self, measurement: Measurement) -> bool:
        """Return whether to compute the penalised solution with its certificate; warn if no signal is determined."""
        reason = why_undetermined(measurement)
        if reason is not None:
            warnings.warn(reason, UserWarning, stacklevel=user_level())
        if self.certify == "auto":
            return reason is None and measurement.shape[0] <= MAX_CERTIFIED
        return bool(self.certify)

    def _chosen(self, problem: Problem, solution: Solution) -> Factors:
        """Return the factors of the solution, or of the fit of rank one if ``refit`` is set."""
        factors, noise = super()._chosen(problem, solution), solution.noise
        if noise is None or factors is not noise.refit or noise.rank == 0:
            return factors
        if self._counts is not None:
            return self._counts.factors
        if noise.rank == 1:
            return factors
        limits = Limits(max_rank=1, seed=self._seed())
        return level_of_noise(Task(problem, limits=limits), limits.start()).refit

    def _summary(self) -> dict[str, str]:
        lines = super()._summary()
        if lines and self.unit_ is not None:
            lines["unit of counts"] = f"{self.unit_:.4g}"
        if lines and self.noise_ is not None and self.noise_.alpha > 0 and not self.status_.certified:
            lines["status"] = (
                "a least-squares fit to noisy intensities, not certified; certify=True asks for a certificate"
            )
        if lines and self.noise_ is not None and self.noise_.rank > 1:
            lines["rank in doubt"] = f"residuals ask for rank {self.noise_.rank}, expected 1 of a single signal"
        return lines


def _intensities(measurement: Measurement, signal: Array) -> Array:
    return measurement.forward_factors(signal[:, None], signal[:, None])


def _are_masks(X: Any, y: Any) -> bool:
    """Return whether X holds masks: y then has the shape of X, with a diffraction pattern for each mask."""
    shape, patterns = (
        np.shape(Z) if isinstance(Z, np.ndarray | list | tuple) else getattr(Z, "shape", ()) for Z in (X, y)
    )
    if len(shape) == 3 and shape != patterns:
        raise InputError(f"X has shape {shape} and y {patterns}, expected y of the shape of the masks")
    return len(shape) in (2, 3) and shape == patterns and shape[1] > 1


def _imaginary(X: Any) -> Array | None:
    """Return the imaginary part of a complex array, None for anything else."""
    if not isinstance(X, np.ndarray | list | tuple) or not np.iscomplexobj(X):
        return None
    return np.asarray(numeric(X, "X", allow_complex=True).imag)
