"""Regression by a network with one hidden layer and quadratic activation, or a full quadratic of low rank."""

from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._unpenalised import Features, Unpenalised
from flatmin.estimators.base import MatrixRegressor
from flatmin.measurements import RankOne
from flatmin.parametrizations import SignedGram
from flatmin.problem import Problem

__all__ = ["QuadraticNetworkRegressor"]


class QuadraticNetworkRegressor(MatrixRegressor):
    """A quadratic function with few neurons: ``y = Σ_j v_j (u_jᵀ x)² + wᵀ x + c`` with ``v_j = ±1``.

    Neither the number of neurons nor the level of the noise need be known. ``M = Σ_j v_j u_j u_jᵀ``, w and c minimise
    jointly loss + alpha · scaled trace of the neurons, with a certificate for the joint problem; w and c are not
    penalised.

    Parameters
    ----------
    alpha, metric_power, max_rank, refit, tol, max_iter, random_state, verbose
        As for `MatrixRegressor`; ``max_rank`` is the largest number of neurons.
    fit_linear : bool
        Whether there are linear terms w.
    fit_intercept : bool
        Whether there is a constant c.
    scale : bool
        Whether every feature is divided by its root mean square (with linear and constant terms, by its standard
        deviation) before the fit, so that the penalty does not depend on units. All attributes but ``solution_`` and
        what it proves are in the units of X.

    Attributes
    ----------
    neurons_ : ndarray, shape (rank, n_features)
        The neurons u_j, those that matter most first; each is determined up to its sign. Only M is determined by the
        data; of all neurons that make it, these are flattest.
    signs_ : ndarray, shape (rank,)
        Their output weights v_j.
    matrix_ : ndarray, shape (n_features, n_features)
        M.
    linear_ : ndarray, shape (n_features,)
        w, zero without linear terms.
    intercept_ : float
        c, zero without a constant.
    rank_, certificate_, flatness_, status_, n_iter_, noise_, solution_
        As for `FlatEstimator`.

    Notes
    -----
    Where linear and constant terms explain a part of the measurements, that part is projected out, which leaves as many
    measurements as there are degrees of freedom (`flatmin.measurements.Projected`). The metric of the flatness is that
    of what is left. A dual vector of this problem is one of the joint problem.

    ``alpha="auto"`` asks which neurons rise above the noise, and its refit gives them their full size. Where no number
    of neurons is true and prediction is all that matters, a strength found by cross-validation predicts better, without
    refit; ``metric_power=0`` is then worth a try where features are strongly correlated.
    ``python -m benchmarks.regression`` compares all of these on real tables.

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

    def __init__(
        self,
        alpha: Any = "auto",
        *,
        fit_linear: bool = True,
        fit_intercept: bool = True,
        scale: bool = True,
        metric_power: float = 1.0,
        max_rank: int | None = None,
        refit: Any = "auto",
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = not self.fit_linear  # what is linear in x is then out of reach
        return tags

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
        """Set the neurons and coefficients in the units of the fit, and in those of the user."""
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
