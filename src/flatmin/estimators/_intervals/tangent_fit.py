"""TangentFit: a fit of low rank as least squares on its tangent space, for variances of predictions."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin.linalg.metric import svd_of_product
from flatmin.measurements import Measurement

__all__ = ["TangentFit"]

#: Eigenvalues of the Gram matrix of normalised columns of J below this share of the largest one count as 0.
ZERO_SHARE = 1e-12
#: Smallest value of one minus the leverage of a sample, by which its residual is divided.
LEAST_FREEDOM = 0.01


@dataclass(frozen=True, eq=False)
class TangentFit:
    """Least squares near a matrix ``M = U s Vᵀ``: the derivative J of weighted predictions in the free parameters.

    Matrices of the rank of M near M differ from it by ``U Eᵀ + F Vᵀ``, up to second order. So a refit has the
    distribution of least squares in E, F and the coefficients of unpenalised terms. If the noise of every sample has
    its own variance, the parameters have the covariance ``C Jᵀ diag(e_i² / (1 − h_i)²) J C``. Here C is the
    pseudo-inverse of JᵀJ, e are the residuals and h the leverages: this is the estimator HC3.

    Attributes
    ----------
    U, V : ndarray, shapes (d1, r) and (d2, r)
        The singular vectors of M.
    samples, freedom : int
        The number of samples, and that of free parameters, which is the rank of J.
    inverse, covariance : ndarray, shape (p, p)
        C, and the covariance of the parameters.

    References
    ----------
    MacKinnon, White, "Some heteroskedasticity-consistent covariance matrix estimators with improved finite sample
    properties", Journal of Econometrics 29, 1985.
    """

    U: Array
    V: Array
    samples: int
    freedom: int
    inverse: Array = field(repr=False)
    covariance: Array = field(repr=False)

    @classmethod
    def from_samples(
        cls, pair: tuple[Array, Array], samples: tuple[Measurement, Array], residuals: Array, root: Array
    ) -> Self | None:
        """Return the fit at ``P Qᵀ``, or None if there are not more samples than free parameters.

        ``samples`` are the measurement of the samples and the regressors (m, t) of unpenalised terms, ``residuals``
        (m,) those of the responses, and ``root`` (m,) the roots of the weights.
        """
        U, s, V = svd_of_product(*pair)
        found = cls(U[:, s > 0], V[:, s > 0], 0, 0, np.zeros((0, 0)), np.zeros((0, 0)))
        J = root[:, None] * found._derivative(samples)
        sizes = np.linalg.norm(J, axis=0)
        sizes[sizes == 0] = 1.0
        eigenvalues, Q = np.linalg.eigh((J / sizes).T @ (J / sizes))
        kept = eigenvalues > ZERO_SHARE * np.max(eigenvalues, initial=0.0)
        if np.count_nonzero(kept) >= len(J):
            return None
        half = Q[:, kept] / (sizes[:, None] * np.sqrt(eigenvalues[kept]))
        W = J @ half
        scores = root * residuals / np.maximum(1 - np.sum(W**2, axis=1), LEAST_FREEDOM)
        spread = half @ (W.T * scores)
        return replace(found, samples=len(J), freedom=W.shape[1], inverse=half @ half.T, covariance=spread @ spread.T)

    def leverages(self, samples: tuple[Measurement, Array]) -> Array:
        """Return the variances of predictions (n,) of samples for noise of variance 1."""
        return self._forms(samples, self.inverse)

    def variances(self, samples: tuple[Measurement, Array]) -> Array:
        """Return the variances of predictions (n,) of samples, if the noise of every sample has its own variance."""
        return self._forms(samples, self.covariance)

    def _forms(self, samples: tuple[Measurement, Array], matrix: Array) -> Array:
        J = self._derivative(samples)
        return np.asarray(np.einsum("ij,ij->i", J @ matrix, J))

    def _derivative(self, samples: tuple[Measurement, Array]) -> Array:
        """Return ``[A_i V, A_iᵀ U, t_i]`` for every sample, shape (n, p)."""
        measurement, regressors = samples
        m, r = measurement.size, self.U.shape[1]
        require(8.0 * 3 * m * (r * sum(measurement.shape) + regressors.shape[1]), "the leverages of samples")
        J = measurement.jacobian(self.U, self.V)
        if J is None:
            raise TypeError(f"{type(measurement).__name__} has no jacobian")
        return np.hstack([J.reshape(m, -1), regressors])
