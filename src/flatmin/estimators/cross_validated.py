"""Estimators with penalty and metric chosen by cross-validation, for prediction if the rank is not exactly low."""

from typing import ClassVar

from flatmin.estimators._completion.cross_validation import CrossValidatedCells
from flatmin.estimators._cross_validation import CrossValidated
from flatmin.estimators._declaration import estimator
from flatmin.estimators.bilinear import BilinearRegressor
from flatmin.estimators.covariance_sketch import CovarianceSketch
from flatmin.estimators.matrix_completion import MatrixCompletion
from flatmin.estimators.pair_regressor import PairRegressor
from flatmin.estimators.quadratic_network import QuadraticNetworkRegressor
from flatmin.estimators.trace_regressor import TraceRegressor

__all__ = [
    "BilinearRegressorCV",
    "CovarianceSketchCV",
    "MatrixCompletionCV",
    "PairRegressorCV",
    "QuadraticNetworkRegressorCV",
    "TraceRegressorCV",
]


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


@estimator
class MatrixCompletionCV(CrossValidatedCells, MatrixCompletion):
    """`MatrixCompletion` with the strength of the penalty and the metric that predict held-out cells best.

    The observed cells are dealt into folds. For each fold, offsets and matrix are fitted to the other cells along a
    descending sequence of strengths, each solve starting from the one before. Predictions come from the certified
    solution for all cells at the chosen strength. Predictions do not come from an unpenalised least-squares fit at the
    rank found, because that predicts worse for a matrix that is only approximately of low rank.

    The units of columns and the estimated penalties on offsets are computed from all cells, including held-out ones.
    These are few numbers, so the errors on held-out cells become only slightly too small.

    References
    ----------
    Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of the Royal Statistical Society
    B 36(2), 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import MatrixCompletionCV
    >>> rng = np.random.default_rng(0)
    >>> table = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 8)) + 0.3 * rng.standard_normal((40, 8))
    >>> model = MatrixCompletionCV(n_alphas=8).fit(np.where(rng.random(table.shape) < 0.2, np.nan, table))
    >>> model.status_.name, model.cv_errors_.shape
    ('regularized_minimum', (3, 8, 5))
    """


@estimator
class PairRegressorCV(CrossValidatedCells, PairRegressor):
    """`PairRegressor` with the strength of the penalty and the metric that predict held-out pairs best.

    Pairs are dealt into folds as cells are by `MatrixCompletionCV`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import PairRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> pairs = rng.integers(0, 20, (200, 2))
    >>> values = np.outer(*rng.standard_normal((2, 20)))[tuple(pairs.T)] + 0.1 * rng.standard_normal(200)
    >>> model = PairRegressorCV(n_alphas=8).fit(pairs, values)
    >>> model.status_.name, model.cv_errors_.shape
    ('regularized_minimum', (3, 8, 5))
    """

    engine: ClassVar[str] = "local"  # type: ignore[misc]
