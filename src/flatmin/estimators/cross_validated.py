"""Regressors whose penalty and metric are chosen by cross-validation, for data that have no exact rank."""

from typing import Any

from flatmin.estimators._completion.cross_validation import CrossValidated
from flatmin.estimators.bilinear import BilinearRegressor
from flatmin.estimators.covariance_sketch import CovarianceSketch
from flatmin.estimators.quadratic_network import QuadraticNetworkRegressor
from flatmin.estimators.trace_regressor import TraceRegressor

__all__ = ["BilinearRegressorCV", "CovarianceSketchCV", "QuadraticNetworkRegressorCV", "TraceRegressorCV"]


class TraceRegressorCV(CrossValidated, TraceRegressor):
    """Trace regression with the strength of the penalty, and the metric, chosen by cross-validation.

    For prediction where M is only nearly of low rank; for a rank and a noise level use `TraceRegressor`. It predicts
    with the certified penalised solution, never with a refit.

    Parameters
    ----------
    alphas : array_like, optional
        Strengths to choose from; by default ``n_alphas`` of them, geometrically from the smallest at which M = 0
        down to ``alpha_ratio`` times it.
    n_alphas : int
    alpha_ratio : float
    metric_powers : sequence of float
        Powers p of ``‖D1^p X D2^p‖_*`` to choose from: 1 is flat, 0 the nuclear norm.
    cv : int, splitter or iterable of pairs
        Number of random folds; or a splitter of scikit-learn, or its pairs of training and held-out indices.
    selection : str
        "best", or "one_standard_error" for the strongest penalty whose error is within one standard error of the best.
    n_jobs : int, optional
        Threads over folds and powers.
    max_rank, tol, max_iter, random_state, verbose
        As for `MatrixRegressor`.
    shape, fit_intercept
        As for `TraceRegressor`.

    Attributes
    ----------
    alpha_, metric_power_ : float
        The chosen values.
    alphas_ : ndarray, shape (a,)
        The strengths, descending.
    cv_errors_ : ndarray, shape (p, a, folds)
        Mean squared errors on held-out samples; NaN below penalties at which they had clearly risen.
    cross_validation_ : CrossValidation
        All results of the cross-validation.
    coef_, intercept_, factors_
        As for `TraceRegressor`.
    rank_, certificate_, flatness_, status_, n_iter_, solution_
        As for `FlatEstimator`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin.estimators import TraceRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> M = np.diag(1.0 / np.arange(1, 7) ** 2)
    >>> X = rng.standard_normal((120, 6, 6))
    >>> y = (X * M).sum(axis=(1, 2)) + 3 + 0.3 * rng.standard_normal(120)
    >>> model = TraceRegressorCV(n_alphas=8).fit(X, y)
    >>> model.cv_errors_.shape, bool(np.linalg.norm(model.coef_ - M) < 0.3 * np.linalg.norm(M))
    ((1, 8, 5), True)
    """

    def __init__(
        self,
        alphas: Any = None,
        *,
        n_alphas: int = 20,
        alpha_ratio: float = 1e-3,
        metric_powers: Any = (1.0,),
        cv: Any = 5,
        selection: str = "best",
        n_jobs: int | None = None,
        shape: tuple[int, int] | None = None,
        fit_intercept: bool = True,
        max_rank: int | None = None,
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())


class BilinearRegressorCV(CrossValidated, BilinearRegressor):
    """Bilinear regression with the strength of the penalty, and the metric, chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, alpha_ratio, metric_powers, cv, selection, n_jobs, max_rank, tol, max_iter, random_state, verbose
        As for `TraceRegressorCV`.
    n_left, fit_intercept, fit_linear
        As for `BilinearRegressor`.

    Attributes
    ----------
    alpha_, metric_power_, alphas_, cv_errors_, cross_validation_
        As for `TraceRegressorCV`.
    coef_, intercept_, linear_, factors_
        As for `BilinearRegressor`.
    rank_, certificate_, flatness_, status_, n_iter_, solution_
        As for `FlatEstimator`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin.estimators import BilinearRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.standard_normal((200, 6)), rng.standard_normal((200, 5))
    >>> y = a[:, 0] * (b[:, 0] - b[:, 1]) + 3 + 0.3 * rng.standard_normal(200)
    >>> model = BilinearRegressorCV(n_left=6, n_alphas=8).fit(np.hstack([a, b]), y)
    >>> model.status_.name, model.coef_[0, :2].round()
    ('regularized_minimum', array([ 1., -1.]))
    """

    def __init__(
        self,
        alphas: Any = None,
        *,
        n_alphas: int = 20,
        alpha_ratio: float = 1e-3,
        metric_powers: Any = (1.0,),
        cv: Any = 5,
        selection: str = "best",
        n_jobs: int | None = None,
        n_left: int | None = None,
        fit_intercept: bool = True,
        fit_linear: bool = False,
        max_rank: int | None = None,
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())


class QuadraticNetworkRegressorCV(CrossValidated, QuadraticNetworkRegressor):
    """A network of quadratic neurons with the strength of the penalty, and the metric, chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, alpha_ratio, metric_powers, cv, selection, n_jobs, max_rank, tol, max_iter, random_state, verbose
        As for `TraceRegressorCV`.
    fit_linear, fit_intercept, scale
        As for `QuadraticNetworkRegressor`.

    Attributes
    ----------
    alpha_, metric_power_, alphas_, cv_errors_, cross_validation_
        As for `TraceRegressorCV`.
    neurons_, signs_, matrix_, linear_, intercept_
        As for `QuadraticNetworkRegressor`.
    rank_, certificate_, flatness_, status_, n_iter_, solution_
        As for `FlatEstimator`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin.estimators import QuadraticNetworkRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 6))
    >>> y = (X[:, 0] + X[:, 1]) ** 2 - X[:, 2] ** 2 + 2 * X[:, 3] + 1 + 0.3 * rng.standard_normal(200)
    >>> model = QuadraticNetworkRegressorCV(n_alphas=8).fit(X, y)
    >>> model.status_.name, round(float(model.matrix_[0, 1]), 1)
    ('regularized_minimum', 1.0)
    """

    def __init__(
        self,
        alphas: Any = None,
        *,
        n_alphas: int = 20,
        alpha_ratio: float = 1e-3,
        metric_powers: Any = (1.0,),
        cv: Any = 5,
        selection: str = "best",
        n_jobs: int | None = None,
        fit_linear: bool = True,
        fit_intercept: bool = True,
        scale: bool = True,
        max_rank: int | None = None,
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())


class CovarianceSketchCV(CrossValidated, CovarianceSketch):
    """A covariance from quadratic sketches with the strength of the penalty chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, alpha_ratio, metric_powers, cv, selection, n_jobs, max_rank, tol, max_iter, random_state, verbose
        As for `TraceRegressorCV`.

    Attributes
    ----------
    alpha_, metric_power_, alphas_, cv_errors_, cross_validation_
        As for `TraceRegressorCV`.
    covariance_, components_, explained_variance_
        As for `CovarianceSketch`.
    rank_, certificate_, flatness_, status_, n_iter_, solution_
        As for `FlatEstimator`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin.estimators import CovarianceSketchCV
    >>> rng = np.random.default_rng(0)
    >>> U, X = rng.standard_normal((6, 2)), rng.standard_normal((150, 6))
    >>> y = ((X @ U) ** 2).sum(axis=1) + 0.3 * rng.standard_normal(150)
    >>> model = CovarianceSketchCV(n_alphas=8).fit(X, y)
    >>> model.status_.name, bool(abs(model.covariance_ - U @ U.T).max() < 0.2)
    ('regularized_minimum', True)
    """

    def __init__(
        self,
        alphas: Any = None,
        *,
        n_alphas: int = 20,
        alpha_ratio: float = 1e-3,
        metric_powers: Any = (1.0,),
        cv: Any = 5,
        selection: str = "best",
        n_jobs: int | None = None,
        max_rank: int | None = None,
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())
