"""Robust PCA: principal components of tables with gross errors, noise and missing cells."""

from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from flatmin._core.arrays import Array
from flatmin.errors import InputError
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

#: Share of the largest singular value below which a component counts as rounding error.
ROUNDING = 1e-10
#: Weight of the normal prior on scores. It is small so that the bias is small.
PRIOR = 0.01


class RobustPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, FlatEstimator):  # type: ignore[misc]
    """Principal components of a table with gross errors in some cells, missing cells, and noise in all.

    The table is split, ``X = centre + low rank + gross errors + noise``. Neither the number of components, nor which
    cells are wrong, nor how noisy the others are has to be known. New rows are treated in the same way: their scores do
    not follow wrong cells, and need no values in missing ones.

    Parameters
    ----------
    alpha : float or "auto"
        0 is for data without noise (principal component pursuit): recovery is exact if the table is large enough and
        errors are few. The certificate says that no other split is as good, not that this one is the truth. A
        number is the strength of the penalty beside noise. "auto" finds it, the rank and the level of the noise.
    weight : float, optional
        Weight of the gross errors against the nuclear norm, by default ``1 / √max(n_samples, n_features)``.
    center : "median" or None
        "median" takes the medians of the columns away first, so that offsets of columns do not matter, splits, takes
        away the means of the low-rank part as well, and splits again. None is for data whose origin means something.
    max_rank : int, optional
        The largest rank of the low-rank part.
    refit : bool or "auto"
        Whether ``low_rank_`` is a least-squares fit to the cells that are not wrong, at the smallest rank that leaves
        nothing but noise: free of the penalty's bias and not certified. "auto": with ``alpha="auto"``.
    tol : float
        Target of the solver for the relative duality gap.
    max_iter : int, optional
        The largest number of rounds.
    random_state : int, RandomState instance or None
        Seed of random choices; a unique solution does not depend on it.
    verbose : int
        1 prints the result on stderr, 2 prints every round.

    Attributes
    ----------
    components_ : ndarray, shape (n_components_, n_features)
        Orthonormal directions in which the low-rank part varies, the most important first; the largest entry of each is
        positive.
    explained_variance_, explained_variance_ratio_ : ndarray, shape (n_components_,)
        Variance of the low-rank part along each, and over the variance of all cells that are not wrong.
    mean_ : ndarray, shape (n_features,)
        The centre.
    low_rank_, sparse_ : ndarray, shape (n_samples, n_features)
        The table without errors and noise, filled where cells are missing, and the gross errors, zero in other cells.
    outlier_mask_ : ndarray of bool, shape (n_samples, n_features)
        Which cells of the table are grossly wrong.
    n_components_, rank_ : int
        The number of components.
    certificate_, flatness_, status_, n_iter_, noise_, solution_
        As for `FlatEstimator`; ``solution_`` is the split of the table less the medians.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Columns of different units should be scaled first, as for any PCA, with something robust such as
    ``sklearn.preprocessing.RobustScaler``. A column without any value has the mean 0 and no part in any component; a
    row without any value gets the mean. Whole rows that are wrong are no sparse errors: look for them in scores and
    residuals.

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

    def __init__(
        self,
        alpha: Any = "auto",
        *,
        weight: float | None = None,
        center: Any = "median",
        max_rank: int | None = None,
        refit: Any = "auto",
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())

    def fit(self, X: Any, y: Any = None) -> Self:
        """Split a table and find the components of its low-rank part.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            The table; NaN is missing.
        y : None
            Not used.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X cannot be used or a parameter is out of range; the sentence says why.
        """
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
        """Return the scores of rows, which may have wrong and missing cells.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Rows; NaN is missing.

        Returns
        -------
        ndarray, shape (n_samples, n_components_)
            For each row the t that explains it as ``mean_ + t @ components_`` plus gross errors in few cells: with a
            level of noise by Huber's loss and then least squares to the cells within three standard deviations, for
            exact data by least absolute deviations. Where a row has too few cells the scores are drawn towards 0.
        """
        return self._fitted_rows(X)[0]

    def outliers(self, X: Any) -> Array:
        """Return which cells of rows have gross errors, that is, differ from the values of their scores.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Rows; NaN is missing, and not wrong.

        Returns
        -------
        ndarray of bool, shape (n_samples, n_features)
        """
        return self._fitted_rows(X)[1]

    def inverse_transform(self, X: Any) -> Array:
        """Return the rows with these scores.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_components_)
            Scores.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        check_is_fitted(self)
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
        """Return the medians of the columns plus the column means of the low-rank part of the centred table.

        The medians alone are too inaccurate: their errors would add a component.
        """
        centre, known = np.zeros(X.shape[1]), seen.any(axis=0)
        centre[known] = np.nanmedian(X[:, known], axis=0)
        problem = self._problem(X, seen, centre)
        solution = self._minimum(problem, self.alpha)
        L, R = solution.factors  # of an exact split; a penalised one has biased means
        if solution.noise is not None:
            L, R = solution.noise.refit
        elif solution.settings["alpha"] > 0:
            L, R = robust_refit(problem, solution)[0]
        return np.asarray(centre + R @ L[seen.any(axis=1)].mean(axis=0))

    def _count_centre(self, seen: Array) -> None:
        """Correct the level of the noise: the centre has a degree of freedom for every column."""
        noise = self.noise_
        if noise is None or noise.sigma is None or noise.std_error is None:
            return
        free = int(seen.sum()) - int(self.outlier_mask_.sum()) - noise.freedom
        left = free - int(seen.any(axis=0).sum())
        if left > 0:
            wider = float(np.sqrt(free / left))
            self.noise_ = replace(noise, sigma=wider * noise.sigma, std_error=wider * noise.std_error)

    def _chosen(self, problem: Problem, solution: Solution) -> Factors:
        """Return the factors of the solution or of a refit, and keep the positions of the gross errors."""
        wanted, noise = self.refit, solution.noise
        if isinstance(wanted, str):
            wanted = noise is not None and noise.sigma is not None
        self.sparse_ = None if wanted else solution.sparse
        if not wanted:
            self.outlier_mask_ = solution.sparse != 0
            return solution.factors
        if noise is None and solution.settings["alpha"] == 0:
            self.outlier_mask_, self.sparse_ = solution.sparse != 0, solution.sparse
            return solution.factors
        if noise is None:
            factors, self.outlier_mask_ = robust_refit(problem, solution)
            return factors
        self.outlier_mask_ = solution.parts["outliers"]
        return noise.refit

    def _components(self, L: Array, R: Array, size: float) -> None:
        """Set the components of centred rows ``L Rᵀ``; ``size`` is the norm of the low-rank part."""
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
        """Return scores of rows and which of their cells are wrong."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=float, ensure_all_finite="allow-nan", reset=False)
        scale = np.sqrt(self.explained_variance_)
        level, sigma = self._levels()
        T, wrong = robust_coefficients(
            X - self.mean_,
            ~np.isnan(X),
            self.components_.T * scale,
            level=level,
            sigma=sigma,
            ridge=PRIOR * (sigma or level) ** 2,
        )
        return T * scale, wrong

    def _levels(self) -> tuple[float, float | None]:
        """Return the threshold of Huber's loss, and the standard deviation of the noise if it is known."""
        alpha, cells = float(self.solution_.settings["alpha"]), len(self.certificate_.dual)
        if self.noise_ is not None and self.noise_.sigma:
            return EASED * self.noise_.sigma, self.noise_.sigma
        assert self._weight is not None
        return 2 * alpha * cells * self._weight, None
