"""Variances on the tangent space are those of least squares in a basis of it."""

import numpy as np
import pytest

from flatmin.cones import Rectangular, Symmetric
from flatmin.estimators._intervals.tangent_fit import TangentFit
from flatmin.linalg.metric import svd_of_product
from flatmin.measurements import Dense, RankOne


def sandwich(J, residuals):
    """Return JᵀJ⁻¹ and the covariance HC3 of ordinary least squares."""
    inverse = np.linalg.inv(J.T @ J)
    leverages = np.einsum("ij,jk,ik->i", J, inverse, J)
    return inverse, inverse @ (J.T * (residuals / (1 - leverages)) ** 2) @ J @ inverse


@pytest.mark.parametrize("cone", [Rectangular(), Symmetric()])
def test_variances_are_those_of_least_squares_in_a_basis(cone):
    rng = np.random.default_rng(0)
    P = rng.standard_normal((5, 2))
    if cone.is_hermitian:
        measurement, Q = RankOne(rng.standard_normal((60, 5))), P * [1, -1]
    else:
        measurement, Q = Dense(rng.standard_normal((60, 5, 4))), rng.standard_normal((4, 2))
    terms, residuals, root = np.ones((60, 1)), rng.standard_normal(60), rng.uniform(0.5, 2, 60)
    found = TangentFit.from_samples((P, Q), (measurement, terms), residuals, root)
    U, _, V = svd_of_product(P, Q)
    sides = measurement.products(V) if cone.is_hermitian else measurement.jacobian(U, V)
    basis = np.hstack([cone.tangent_columns(sides, U, V), terms])
    assert basis.shape[1] == cone.degrees_of_freedom(measurement.shape, 2) + 1
    inverse, covariance = sandwich(root[:, None] * basis, root * residuals)
    assert (found.samples, found.freedom) == basis.shape
    np.testing.assert_allclose(found.leverages((measurement, terms)), np.sum(basis @ inverse * basis, axis=1))
    np.testing.assert_allclose(found.variances((measurement, terms)), np.sum(basis @ covariance * basis, axis=1))


def test_unpenalised_terms_alone_are_linear_regression():
    rng = np.random.default_rng(1)
    X, residuals = np.hstack([np.ones((30, 1)), rng.standard_normal((30, 2))]), rng.standard_normal(30)
    nothing = Dense(np.zeros((30, 2, 2))), X
    found = TangentFit.from_samples((np.zeros((2, 0)), np.zeros((2, 0))), nothing, residuals, np.ones(30))
    np.testing.assert_allclose(found.covariance, sandwich(X, residuals)[1])


def test_there_is_no_fit_without_more_samples_than_parameters():
    rng = np.random.default_rng(2)
    measurement, pair = (
        Dense(rng.standard_normal((8, 5, 4))),
        (rng.standard_normal((5, 1)), rng.standard_normal((4, 1))),
    )
    samples = measurement, np.zeros((8, 0))
    assert TangentFit.from_samples(pair, samples, np.ones(8), np.ones(8)) is None
