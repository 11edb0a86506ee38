"""Covariance estimation from quadratic sketches ``y_i = x_iᵀ Σ x_i``."""

from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._declaration import estimator
from flatmin.estimators._unpenalised import check_size
from flatmin.estimators.base import MatrixRegressor
from flatmin.measurements import RankOne
from flatmin.parametrizations import Gram
from flatmin.problem import Problem

__all__ = ["CovarianceSketch"]


@estimator
class CovarianceSketch(MatrixRegressor):
    """The covariance matrix Σ of a stream of which only energies ``y_i = x_iᵀ Σ x_i + noise`` were kept.

    Σ is positive semidefinite and of low rank. The data determine its trace, so a penalty cannot select the rank.
    ``alpha="auto"`` therefore tests the residuals of least squares at ranks 1, 2, …, and ``refit=False`` predicts with
    a certified solution of larger rank.

    Attributes
    ----------
    covariance_ : ndarray, shape (n_features, n_features)
        Σ.
    components_ : ndarray, shape (rank, n_features)
        The orthonormal eigenvectors of Σ, by descending eigenvalue; the sign of each is arbitrary.
    explained_variance_ : ndarray, shape (rank,)
        The eigenvalues of Σ.

    References
    ----------
    Chen, Chi, Goldsmith, "Exact and stable covariance estimation from quadratic sampling via convex programming", IEEE
    Transactions on Information Theory 61(7), 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import CovarianceSketch
    >>> rng = np.random.default_rng(0)
    >>> U, X = rng.standard_normal((10, 2)), rng.standard_normal((200, 10))
    >>> y = ((X @ U) ** 2).sum(axis=1) + 0.1 * rng.standard_normal(200)
    >>> model = CovarianceSketch().fit(X, y)
    >>> model.rank_, bool(abs(model.covariance_ - U @ U.T).max() < 0.05), bool(0.08 < model.noise_.sigma < 0.12)
    (2, True, True)
    """

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Self:
        check_size(X, "X")
        check_size(y, "y")
        root = np.ones(len(y)) if weight is None else np.sqrt(weight)
        (U,) = self._solve(Problem(RankOne(np.sqrt(root)[:, None] * X), root * y, Gram()))
        vectors, sizes, _ = np.linalg.svd(U, full_matrices=False)
        signs = np.sign(np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=0)[None], 0))
        self.components_, self.explained_variance_ = (vectors * signs).T, sizes**2
        self.covariance_ = U @ U.T
        return self

    def _predict(self, X: Array) -> Array:
        return np.asarray((X @ self.components_.T) ** 2 @ self.explained_variance_)
