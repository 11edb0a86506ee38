"""Certificates of linear networks: the units of the trace, and any dual vector."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.proofs.depth.chain import chain_certificate, two_factors


def test_two_layers_have_the_certificate_of_a_product_in_units_of_the_trace():
    A = fm.families.matrix_sensing.sample((5, 4), 1, 16).problem.measurement
    X = np.outer(np.arange(1.0, 6), [1.0, -1.0, 2.0, 0.0])
    problem = fm.Problem(A, A.forward(X), fm.Chain((4,)))
    s = fm.flat_minimum(problem)
    plain = two_factors(problem)
    proof = chain_certificate(problem, s.factors, s.certificate.dual)
    product = certificate_of(plain, problem.parametrization.pair(s.factors), s.certificate.dual)
    assert proof.holds
    assert proof.value == pytest.approx(np.sqrt(20) * product.value)
    assert proof.radius == product.radius


@pytest.mark.parametrize("alpha", [0.0, 0.05])
@pytest.mark.parametrize("widths", [(3,), (3, 3)])
def test_any_dual_vector_gives_a_bound(widths, alpha):
    rng = np.random.default_rng(0)
    A = fm.measurements.Identity((4, 3))
    problem = fm.Problem(A, rng.standard_normal(12), fm.Chain(widths))
    s = fm.flat_minimum(problem, alpha=alpha)
    assert chain_certificate(problem, s.factors, s.certificate.dual, alpha=alpha).holds
    for _ in range(30):
        proof = chain_certificate(problem, s.factors, rng.standard_normal(12), alpha=alpha)
        assert proof.lower_bound <= s.certificate.value * (1 + 1e-12)
