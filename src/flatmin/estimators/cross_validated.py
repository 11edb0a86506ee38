"""Regressors with penalty and metric chosen by cross-validation, for prediction if the rank is not exactly low."""

from flatmin.estimators._cross_validation import CrossValidated
from flatmin.estimators._declaration import estimator
from flatmin.estimators.bilinear import BilinearRegressor
from flatmin.estimators.covariance_sketch import CovarianceSketch
from flatmin.estimators.quadratic_network import QuadraticNetworkRegressor
from flatmin.estimators.trace_regressor import TraceRegressor

__all__ = ["BilinearRegressorCV", "CovarianceSketchCV", "QuadraticNetworkRegressorCV", "TraceRegressorCV"]


@estimator
class TraceRegressorCV(CrossValidated, TraceRegressor):
    """Trace regression with strength of the penalty and metric chosen by cross-validation.

    Use this class to predict if M is only approximately of low rank. `TraceRegressor` estimates rank and noise level.

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


@estimator
class BilinearRegressorCV(CrossValidated, BilinearRegressor):
    """Bilinear regression with strength of the penalty and metric chosen by cross-validation.

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


@estimator
class QuadraticNetworkRegressorCV(CrossValidated, QuadraticNetworkRegressor):
    """A network of quadratic neurons with strength of the penalty and metric chosen by cross-validation.

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


@estimator
class CovarianceSketchCV(CrossValidated, CovarianceSketch):
    """A covariance from quadratic sketches with the strength of the penalty chosen by cross-validation.

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
