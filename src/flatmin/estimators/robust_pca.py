"""Robust principal components of tables with gross errors, noise and missing cells."""

from dataclasses import field, replace
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from flatmin._core.arrays import Array
from flatmin._core.validation import in_one_line
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators.base import FlatEstimator
from flatmin.losses import Absolute
from flatmin.measurements import Identity, Mask
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Solution
from flatmin.solvers.robust.least_squares import EASED
from flatmin.solvers.robust.pivotal import robust_refit
from flatmin.solvers.robust.scores import robust_coefficients

__all__ = ["RobustPCA"]

#: Components whose singular value is below this multiple of the norm of the low-rank part count as rounding errors.
ROUNDING = 1e-10
#: Ridge penalty on scores, in units of the penalty of a normal prior with the fitted variances; small to avoid bias.
SCORE_PENALTY = 0.01


@estimator
class RobustPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, FlatEstimator):  # type: ignore[misc]
    """Principal components of a table in which some cells are grossly wrong, some are missing, and all may be noisy.

    The table is split, ``X = centre + low rank + gross errors + noise``. Number of components, positions of the errors
    and noise level are estimated. New rows are treated in the same way: wrong and missing cells do not affect their
    scores.

    Parameters
    ----------
    alpha : float or "auto"
        0 is principal component pursuit, for data without noise: recovery is exact if the table is large enough and
        errors are few. The certificate proves that no other split has a lower objective, not that this one is the
        truth. A positive number is the strength of the penalty for noisy data. "auto" estimates it, the rank and the
        noise level.
    weight : float, optional
        Cost of a unit of gross error relative to the nuclear norm, by default ``1 / √max(n_samples, n_features)``.
    center : "median" or None
        "median" subtracts the medians of the columns and splits the table; it then also subtracts the column means of
        the low-rank part and splits again. None is for data with a meaningful origin.
    refit : bool or "auto"
        Whether ``low_rank_`` is a least-squares fit to the cells without gross errors, at the smallest rank that leaves
        only noise. A refit is free of the penalty's bias, but not certified. "auto" refits if alpha is "auto".

    Attributes
    ----------
    components_ : ndarray, shape (n_components, n_features)
        Orthonormal principal directions of the low-rank part, by descending variance; the largest entry of each is
        positive.
    explained_variance_, explained_variance_ratio_ : ndarray, shape (n_components,)
        Variance of the low-rank part along each component, and its share of the variance of all cells that are not
        wrong.
    mean_ : ndarray, shape (n_features,)
        The centre.
    low_rank_, sparse_ : ndarray, shape (n_samples, n_features)
        The centre plus the low-rank part, also in missing cells, and the gross errors, 0 in all other cells.
    outlier_mask_ : ndarray of bool, shape (n_samples, n_features)
        Which cells of the table are grossly wrong.
    n_components_ : int
        The number of components, also ``rank_``.
    solution_ : Solution
        The split of the table minus its medians.

    Notes
    -----
    Scale columns of different units first, as for any PCA, for example with `sklearn.preprocessing.RobustScaler`. A
    column without values has mean 0 and no part in any component; a row without values becomes the mean. Rows that are
    wrong as a whole are not sparse errors; they show in scores and residuals.

    References
    ----------
    Candès, Li, Ma, Wright, "Robust principal component analysis?", Journal of the ACM 58(3), 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import RobustPCA
    >>> rng = np.random.default_rng(0)
    >>> X = 5 + rng.standard_normal((80, 2)) @ rng.standard_normal((2, 20)) + 0.05 * rng.standard_normal((80, 20))
    >>> X[3, 4], X[10, 7], X[5, 5] = 50, -40, np.nan
    >>> pca = RobustPCA().fit(X)
    >>> pca.n_components_, bool(pca.outlier_mask_[3, 4]), bool(0.04 < pca.noise_.sigma < 0.06)
    (2, True, True)
    >>> pca.transform(X[:3]).shape
    (3, 2)
    """

    alpha: Any = field(default="auto", kw_only=False)
    weight: float | None = None
    center: Any = "median"
    refit: Any = "auto"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Split a table X (n_samples, n_features), in which NaN is missing, or raise `ValueError`; y is not used."""
        with in_one_line():
            X = validate_data(self, X, dtype=float, ensure_all_finite="allow-nan", ensure_min_samples=2)
        if not (self.center is None or (isinstance(self.center, str) and self.center == "median")):
            raise InputError(f"center is {self.center!r}, expected 'median' or None")
        seen = ~np.isnan(X)
        if not seen.any():
            raise InputError("X has no value at all, expected at least one that is not NaN")
        known, centre = seen.any(axis=1), np.zeros(X.shape[1])
        if self.center is not None:
            centre = self._centre(X, seen)
        L, R = self._solve(self._problem(X, seen, centre))
        if self.center is not None:
            self._count_centre(seen)
        mean = L[known].mean(axis=0) if self.center is not None else np.zeros(L.shape[1])
        L = np.where(known[:, None], L, mean)
        self._components(L[known] - mean, R, float(np.linalg.norm(L @ R.T)))
        self.mean_ = centre + R @ mean
        self._parts(np.where(seen, X, 0.0), seen, centre + L @ R.T)
        self._weight = Absolute(self.weight).weight_for(X.shape)
        return self

    def transform(self, X: Any) -> Array:
        """Return the scores (n_samples, n_components) of rows (n_samples, n_features), in which NaN is missing.

        The scores t explain a row as ``mean_ + t @ components_`` plus gross errors in few cells. The scores minimise
        Huber's loss, and then the squares of the residuals within three standard deviations of the noise; for exact
        data they minimise absolute deviations. A small ridge penalty shrinks the scores of rows with too few cells
        towards 0.
        """
        return self._fitted_rows(X)[0]

    def outliers(self, X: Any) -> Array:
        """Return which cells of rows (n_samples, n_features) are grossly wrong; missing cells are not."""
        return self._fitted_rows(X)[1]

    def inverse_transform(self, X: Any) -> Array:
        """Return the rows (n_samples, n_features) of scores (n_samples, n_components)."""
        check_is_fitted(self)
        with in_one_line():
            T = check_array(X, dtype=float, ensure_min_features=0)
        if T.shape[1] != self.n_components_:
            raise InputError(f"X has {T.shape[1]} columns, expected {self.n_components_}: one score a component")
        return np.asarray(T @ self.components_ + self.mean_)

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _problem(self, X: Array, seen: Array, centre: Array) -> Problem:
        cells = Identity(X.shape) if seen.all() else Mask(seen)
        return Problem(cells, (X - centre)[seen], loss=Absolute(self.weight))

    def _centre(self, X: Array, seen: Array) -> Array:
        """Return the medians of the columns plus the column means of the low-rank part of the table minus medians.

        The error of the medians alone exceeds the noise and would appear as another component.
        """
        centre, known = np.zeros(X.shape[1]), seen.any(axis=0)
        centre[known] = np.nanmedian(X[:, known], axis=0)
        problem = self._problem(X, seen, centre)
        solution = self._minimum(problem, self.alpha)
        L, R = solution.factors  # the means of an exact split have no bias
        if solution.noise is not None:
            L, R = solution.noise.refit
        elif solution.settings["alpha"] > 0:
            L, R = robust_refit(problem, solution)[0]
        return np.asarray(centre + R @ L[seen.any(axis=1)].mean(axis=0))

    def _count_centre(self, seen: Array) -> None:
        """Correct the noise level for the centre, which has one degree of freedom per column."""
        noise = self.noise_
        if noise is None or noise.sigma is None or noise.std_error is None:
            return
        free = int(seen.sum()) - int(self.outlier_mask_.sum()) - noise.freedom
        left = free - int(seen.any(axis=0).sum())
        if left > 0:
            wider = float(np.sqrt(free / left))
            self.noise_ = replace(noise, sigma=wider * noise.sigma, std_error=wider * noise.std_error)

    def _chosen(self, problem: Problem, solution: Solution) -> Factors:
        """Set which cells are wrong, and return the factors of the solution or of its refit."""
        noise, exact = solution.noise, solution.noise is None and solution.settings["alpha"] == 0
        wanted = self._wants_refit(solution)
        self.sparse_ = solution.sparse if exact or not wanted else None
        if exact or not wanted:
            self.outlier_mask_ = solution.sparse != 0
            return solution.factors
        if noise is None:
            factors, self.outlier_mask_ = robust_refit(problem, solution)
            return factors
        self.outlier_mask_ = solution.parts["outliers"]
        return noise.refit

    def _components(self, L: Array, R: Array, size: float) -> None:
        """Set the components of centred rows ``L Rᵀ``; ``size`` is the norm of the whole low-rank part."""
        (_, S), (Q, T) = np.linalg.qr(L), np.linalg.qr(R)
        _, s, Vt = np.linalg.svd(S @ T.T, full_matrices=False)
        components = Vt[: np.count_nonzero(s > ROUNDING * size)] @ Q.T
        largest = np.argmax(np.abs(components), axis=1)[:, None]
        self.components_ = components * np.sign(np.take_along_axis(components, largest, axis=1))
        self.n_components_ = self.rank_ = len(components)
        self.explained_variance_ = s[: len(components)] ** 2 / max(1, len(L) - 1)

    def _parts(self, X: Array, seen: Array, low_rank: Array) -> None:
        """Set the parts of the table, and the share of its variance that the components explain."""
        self.low_rank_ = low_rank
        left = np.where(seen, X - low_rank, 0.0)
        if self.sparse_ is None:
            self.sparse_ = np.where(self.outlier_mask_, left, 0.0)
        good = seen & ~self.outlier_mask_
        noise = np.sum(left**2, axis=0, where=good) / np.maximum(1, good.sum(axis=0))
        total = float(self.explained_variance_.sum() + noise.sum())
        self.explained_variance_ratio_ = self.explained_variance_ / (total or 1.0)

    def _fitted_rows(self, X: Any) -> tuple[Array, Array]:
        """Return the scores of rows and which of their cells are wrong."""
        check_is_fitted(self)
        with in_one_line():
            X = validate_data(self, X, dtype=float, ensure_all_finite="allow-nan", reset=False)
        scale = np.sqrt(self.explained_variance_)
        level, sigma = self._levels()
        T, wrong = robust_coefficients(
            X - self.mean_,
            ~np.isnan(X),
            self.components_.T * scale,
            level=level,
            sigma=sigma,
            ridge=SCORE_PENALTY * (sigma or level) ** 2,
        )
        return T * scale, wrong

    def _levels(self) -> tuple[float, float | None]:
        """Return the threshold of Huber's loss, and the standard deviation of the noise if it is known."""
        alpha, cells = float(self.solution_.settings["alpha"]), len(self.solution_.duals[0])
        if self.noise_ is not None and self.noise_.sigma:
            return EASED * self.noise_.sigma, self.noise_.sigma
        assert self._weight is not None
        return 2 * alpha * cells * self._weight, None
