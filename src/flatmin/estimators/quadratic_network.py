"""Regression with a quadratic form of low rank: a network with one hidden layer and quadratic activation."""

from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._declaration import estimator
from flatmin.estimators._sample_intervals import SampleIntervals
from flatmin.estimators._unpenalised import Features, Unpenalised, regressors
from flatmin.measurements import Measurement, RankOne
from flatmin.parametrizations import SignedGram
from flatmin.problem import Problem

__all__ = ["QuadraticNetworkRegressor"]


@estimator
class QuadraticNetworkRegressor(SampleIntervals):
    """A quadratic function with few neurons: ``y = Σ_j v_j (u_jᵀ x)² + wᵀ x + c`` with ``v_j = ±1``.

    ``M = Σ_j v_j u_j u_jᵀ``, w and c minimise jointly loss + alpha · scaled trace of the neurons, with a certificate.
    The default ``alpha="auto"`` estimates the number of neurons and the noise level.

    Parameters
    ----------
    max_rank : int, optional
        The largest number of neurons.
    fit_linear : bool
        Whether to fit the linear terms w; they are not penalised.
    fit_intercept : bool
        Whether to fit the constant c; it is not penalised.
    scale : bool
        Whether to divide every feature by its root mean square (with linear and constant terms, by its standard
        deviation) before the fit, so that the penalty does not depend on units. All attributes except ``solution_`` and
        its proofs are in the units of X.

    Attributes
    ----------
    neurons_ : ndarray, shape (rank, n_features)
        The neurons u_j, by descending influence; the sign of each is arbitrary. The data determine only M, and these
        are the flattest neurons that represent M.
    signs_ : ndarray, shape (rank,)
        Their output weights v_j.
    matrix_ : ndarray, shape (n_features, n_features)
        M.
    linear_ : ndarray, shape (n_features,)
        w, or 0 if it is not fitted.
    intercept_ : float
        c, or 0 if it is not fitted.

    Notes
    -----
    The part of the measurements that linear and constant terms explain is projected out
    (`flatmin.measurements.Projected`). The metric of the flatness is that of the projected measurements, and a dual
    vector of the projected problem is also a dual vector of the joint problem.

    ``alpha="auto"`` finds the neurons above the noise and refits them at full size. If the true function is no small
    network and only prediction matters, use `QuadraticNetworkRegressorCV`; ``metric_powers=[0]`` may help with strongly
    correlated features. ``python -m benchmarks.regression`` compares these choices on real tables.

    References
    ----------
    Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", Information and
    Inference 13(2), 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import QuadraticNetworkRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 8))
    >>> y = (X[:, 0] + X[:, 1]) ** 2 - X[:, 2] ** 2 + 2 * X[:, 3] + 1 + 0.1 * rng.standard_normal(300)
    >>> model = QuadraticNetworkRegressor().fit(X, y)
    >>> model.neurons_.shape, model.signs_, round(model.intercept_, 1)
    ((2, 8), array([ 1., -1.]), 1.0)
    >>> [round(float(weight), 1) for weight in (model.matrix_[0, 1], model.linear_[3])]
    [1.0, 2.0]
    """

    fit_linear: bool = True
    fit_intercept: bool = True
    scale: bool = True

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Self:
        affine = bool(self.fit_linear and self.fit_intercept)
        self._features = Features.from_samples(X, weight, centred=affine, scaled=bool(self.scale))
        Z = self._features.inside(X)
        terms = Unpenalised.from_samples(Z, y, weight, linear=bool(self.fit_linear), constant=bool(self.fit_intercept))
        forms = RankOne(np.sqrt(terms.root)[:, None] * Z)
        measurement, data = terms.projected(forms)
        problem = Problem(measurement, data, SignedGram())
        plus, minus = self._solve(problem)
        columns = np.hstack([plus, minus])
        signs = np.repeat([1.0, -1.0], [plus.shape[1], minus.shape[1]])
        order = np.argsort(-np.linalg.norm(problem.metric[0] @ columns, axis=0), kind="stable")
        self._set(
            columns[:, order].T, signs[order], terms.coefficients(forms.forward_factors(columns, columns * signs))
        )
        return self

    def _set(self, neurons: Array, signs: Array, coefficients: Array) -> None:
        """Set the fitted attributes, in the units of the fit and of X."""
        constant = float(coefficients[0]) if self.fit_intercept else 0.0
        d = neurons.shape[1]
        linear = coefficients[-d:] if self.fit_linear else np.zeros(d)
        largest = np.take_along_axis(neurons, np.argmax(np.abs(neurons), axis=1)[:, None], 1)
        neurons = neurons * np.sign(largest)
        self._inside, self.signs_ = (neurons, linear, constant), signs
        centre, scale = self._features.centre, self._features.scale
        self.neurons_, slope = neurons / scale, linear / scale
        self.matrix_ = (self.neurons_.T * signs) @ self.neurons_
        self.linear_ = slope - 2 * self.matrix_ @ centre
        self.intercept_ = float(constant - slope @ centre + centre @ self.matrix_ @ centre)

    def _predict(self, X: Array) -> Array:
        neurons, linear, constant = self._inside
        Z = self._features.inside(X)
        return np.asarray((Z @ neurons.T) ** 2 @ self.signs_ + Z @ linear + constant)

    def _sampled(self, X: Array) -> tuple[Measurement, Array]:
        Z = self._features.inside(X)
        return RankOne(Z), regressors(Z, linear=bool(self.fit_linear), constant=bool(self.fit_intercept))

    def _pair(self) -> tuple[Array, Array]:
        neurons = self._inside[0]
        return neurons.T, neurons.T * self.signs_
