"""Trace regression: ``y_i = ⟨X_i, M⟩ + c`` with a coefficient matrix M of low rank."""

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from flatmin._core.arrays import Array
from flatmin._core.validation import matrix_shape
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators._sample_intervals import SampleIntervals
from flatmin.estimators._unpenalised import Features, Unpenalised, regressors
from flatmin.measurements import Dense, Measurement
from flatmin.parametrizations import Product
from flatmin.problem import Problem

__all__ = ["TraceRegressor"]


@estimator
class TraceRegressor(SampleIntervals):
    """Trace regression: the response is linear in a matrix of covariates, with a coefficient matrix of low rank.

    ``y_i = ⟨X_i, M⟩ + c + noise``. M and c minimise loss + alpha · scaled trace of M, with a certificate. The default
    ``alpha="auto"`` estimates rank and noise level. A number for alpha has the units of y divided by the units of X.

    Parameters
    ----------
    shape : tuple of int, optional
        The shape (d1, d2) of M, with d1 · d2 features in row-major order. None takes the shape of the samples if they
        are matrices, and otherwise the factorization of the number of features that is nearest to a square.
    fit_intercept : bool
        Whether to fit a constant c; it is not penalised.

    Attributes
    ----------
    coef_ : ndarray, shape (d1, d2)
        The matrix M.
    intercept_ : float
        The constant c.
    factors_ : tuple of ndarray, shapes (d1, rank) and (d2, rank)
        L and R with M = L Rᵀ.

    References
    ----------
    Rohde, Tsybakov, "Estimation of high-dimensional low-rank matrices", Annals of Statistics 39(2), 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import TraceRegressor
    >>> rng = np.random.default_rng(0)
    >>> M = np.outer(rng.standard_normal(6), rng.standard_normal(5))
    >>> X = rng.standard_normal((200, 6, 5))
    >>> y = (X * M).sum(axis=(1, 2)) + 3 + 0.1 * rng.standard_normal(200)
    >>> model = TraceRegressor().fit(X, y)
    >>> model.rank_, bool(abs(model.intercept_ - 3) < 0.05), bool(0.08 < model.noise_.sigma < 0.12)
    (1, True, True)
    """

    shape: tuple[int, int] | None = None
    fit_intercept: bool = True
    fit_linear: ClassVar[bool] = True  # for `__sklearn_tags__`: the model itself is linear

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit M to samples X of shape (m, d1, d2) or (m, d1 · d2); see `MatrixRegressor.fit`."""
        X, self._sample_shape = _flat(X)
        return super().fit(X, y, sample_weight)

    def _checked(self, X: Any) -> Array:
        """Return samples of shape (m, d1, d2) or (m, d1 · d2) as rows."""
        check_is_fitted(self)
        X, found = _flat(X)
        if found is not None and found != self.coef_.shape:
            raise InputError(f"X has samples of shape {found}, expected {self.coef_.shape} as in fit")
        return super()._checked(X)

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Self:
        shape, constant = self._shape(X.shape[1]), bool(self.fit_intercept)
        features = Features.from_samples(X, weight, centred=constant, scaled=False)
        Z = features.inside(X)
        terms = Unpenalised.from_samples(Z, y, weight, linear=False, constant=constant)
        whole = Dense((Z * terms.root[:, None]).reshape(-1, *shape))
        measurement, data = terms.projected(whole)
        if measurement is not whole:
            measurement = Dense(measurement.matrices())
        self.factors_ = self._solve(Problem(measurement, data, Product()))
        self.coef_ = self.factors_[0] @ self.factors_[1].T
        mean = float(terms.coefficients(whole.forward(self.coef_))[0]) if constant else 0.0
        self.intercept_ = mean - float(features.centre @ self.coef_.ravel())
        self._inside = features, mean
        return self

    def _predict(self, X: Array) -> Array:
        features, mean = self._inside
        return np.asarray(features.inside(X) @ self.coef_.ravel() + mean)

    def _sampled(self, X: Array) -> tuple[Measurement, Array]:
        Z, constant = self._inside[0].inside(X), bool(self.fit_intercept)
        return Dense(Z.reshape(-1, *self.coef_.shape)), regressors(Z, linear=False, constant=constant)

    def _shape(self, n_features: int) -> tuple[int, int]:
        """Return (d1, d2): the parameter, the shape of a sample, or the squarest factorization."""
        if self.shape is None and self._sample_shape is None:
            d1 = next(d for d in range(int(np.sqrt(n_features)), 0, -1) if n_features % d == 0)
            return d1, n_features // d1
        shape = matrix_shape(self._sample_shape if self.shape is None else self.shape)
        if self._sample_shape not in (None, shape):
            raise InputError(f"shape is {shape}, expected {self._sample_shape} as the samples have, or None")
        if shape[0] * shape[1] != n_features:
            raise InputError(
                f"shape is {shape}, expected two numbers whose product is {n_features}, the number of features"
            )
        return shape


def _flat(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Return matrix samples as rows, with the shape of a sample; other samples unchanged, with None."""
    if isinstance(X, list | tuple) and np.ndim(X) == 3:
        X = np.asarray(X)
    if getattr(X, "ndim", 2) != 3:
        return X, None
    return X.reshape(len(X), -1), X.shape[1:]
