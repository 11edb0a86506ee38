"""Certificates of sparse regression: any dual vector, units, and confirmed alternatives."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.depth.hadamard import hadamard_certificate, hadamard_factors, hadamard_whitened


@pytest.mark.parametrize("depth", [2, 3])
def test_whitened_equations_and_factors_are_those_of_the_vector(depth):
    problem = fm.families.sparse_regression.sample(9, 2, 6, depth=depth).problem
    B, units = hadamard_whitened(problem)
    x = np.random.default_rng(0).standard_normal(9)
    np.testing.assert_allclose(B @ (x / units), problem.measurement.forward(x[:, None]), atol=1e-12)
    np.testing.assert_allclose(problem.parametrization.matrix(hadamard_factors(problem, x))[:, 0], x, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("depth", [2, 3])
def test_any_dual_vector_gives_a_bound(depth, alpha):
    problem = fm.families.sparse_regression.sample(9, 2, 6, depth=depth).problem
    s, rng = fm.flat_minimum(problem, alpha=alpha), np.random.default_rng(1)
    assert hadamard_certificate(problem, s.factors, s.certificate.dual, alpha=alpha).holds
    for _ in range(30):
        proof = hadamard_certificate(problem, s.factors, rng.standard_normal(6), alpha=alpha)
        assert proof.lower_bound <= s.certificate.value * (1 + 1e-12)
