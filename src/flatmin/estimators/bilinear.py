"""Bilinear regression on pairs of feature vectors: ``y = aᵀ M b + c`` with M of low rank."""

from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators._sample_intervals import SampleIntervals
from flatmin.estimators._unpenalised import Features, Unpenalised, regressors
from flatmin.measurements import Measurement, RankOne
from flatmin.parametrizations import Product
from flatmin.problem import Problem

__all__ = ["BilinearRegressor"]


@estimator
class BilinearRegressor(SampleIntervals):
    """Bilinear regression: interactions between two groups of features, with a coefficient matrix of low rank.

    A sample is a pair of vectors, ``x = [a, b]``, and ``y = aᵀ M b + wᵀ x + c + noise``. M, w and c minimise jointly
    loss + alpha · scaled trace of M, with a certificate. The default ``alpha="auto"`` estimates rank and noise level. A
    number for alpha has the units of y divided by the units of ``aᵀ b``.

    Parameters
    ----------
    n_left : int, optional
        The number of features, from the first, that form a; the others form b. None takes half, rounded down.
    fit_intercept : bool
        Whether to fit the constant c; it is not penalised.
    fit_linear : bool
        Whether to fit the linear terms w; they are not penalised. A shift of the origin of a or b adds linear and
        constant terms to ``aᵀ M b``. So a model with w and c does not depend on the origin, and M is interactions only.

    Attributes
    ----------
    coef_ : ndarray, shape (n_left, n_features − n_left)
        The matrix M.
    intercept_ : float
        c, or 0 if it is not fitted.
    linear_ : ndarray, shape (n_features,)
        w, or 0 if it is not fitted.
    factors_ : tuple of ndarray, shapes (n_left, rank) and (n_features − n_left, rank)
        L and R with M = L Rᵀ.

    References
    ----------
    Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", Information and
    Inference 13(2), 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import BilinearRegressor
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.standard_normal((200, 6)), rng.standard_normal((200, 5))
    >>> y = a[:, 0] * (b[:, 0] - b[:, 1]) + 3 + 0.1 * rng.standard_normal(200)
    >>> model = BilinearRegressor(n_left=6).fit(np.hstack([a, b]), y)
    >>> model.rank_, model.coef_.shape, model.coef_[0].round(1)[:2], round(model.intercept_, 1)
    (1, (6, 5), array([ 1., -1.]), 3.0)
    """

    n_left: int | None = None
    fit_intercept: bool = True
    fit_linear: bool = False

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Self:
        left, affine = self._left(X.shape[1]), bool(self.fit_linear and self.fit_intercept)
        features = Features.from_samples(X, weight, centred=affine, scaled=False)
        Z = features.inside(X)
        terms = Unpenalised.from_samples(Z, y, weight, linear=bool(self.fit_linear), constant=bool(self.fit_intercept))
        pairs = RankOne(terms.root[:, None] * Z[:, :left], Z[:, left:])
        measurement, data = terms.projected(pairs)
        self.factors_ = self._solve(Problem(measurement, data, Product()))
        z = terms.coefficients(pairs.forward_factors(*self.factors_))
        constant = float(z[0]) if self.fit_intercept else 0.0
        linear = z[-X.shape[1] :] if self.fit_linear else np.zeros(X.shape[1])
        self.coef_ = self.factors_[0] @ self.factors_[1].T
        a, b = features.centre[:left], features.centre[left:]
        self.linear_ = linear - np.concatenate([self.coef_ @ b, a @ self.coef_])
        self.intercept_ = float(constant - linear @ features.centre + a @ self.coef_ @ b)
        self._inside = features, linear, constant
        return self

    def _predict(self, X: Array) -> Array:
        features, linear, constant = self._inside
        (L, R), Z = self.factors_, features.inside(X)
        return np.asarray(np.sum((Z[:, : len(L)] @ L) * (Z[:, len(L) :] @ R), axis=1) + Z @ linear + constant)

    def _sampled(self, X: Array) -> tuple[Measurement, Array]:
        Z, left = self._inside[0].inside(X), len(self.coef_)
        terms = regressors(Z, linear=bool(self.fit_linear), constant=bool(self.fit_intercept))
        return RankOne(Z[:, :left], Z[:, left:]), terms

    def _left(self, n_features: int) -> int:
        """Return the number of features that form a."""
        if n_features < 2:
            raise InputError(f"X has {n_features} feature(s), expected at least one for each side")
        if self.n_left is None:
            return n_features // 2
        whole = isinstance(self.n_left, int | np.integer) and not isinstance(self.n_left, bool)
        if not whole or not 0 < self.n_left < n_features:
            raise InputError(f"n_left is {self.n_left!r}, expected a whole number from 1 to {n_features - 1}")
        return int(self.n_left)
