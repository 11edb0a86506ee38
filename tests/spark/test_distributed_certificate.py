"""The certificate from sums over distributed cells is that of `certify`."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.spark.distributed_certificate import certify_factors, regularization
from flatmin.spark.sweeps import sweep

from .conftest import dealt, sample

SHAPE, REG = (70, 50), 0.1


@pytest.fixture(scope="module")
def triples():
    return sample(SHAPE)


@pytest.fixture(scope="module")
def problem(triples):
    i, j, values = triples
    return fm.Problem(fm.measurements.Entries(i, j, SHAPE), values)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("collect", [True, False])
@pytest.mark.parametrize("kind", ["minimum", "unfinished", "narrow", "zero"])
def test_the_certificate_is_that_of_certify(triples, problem, kind, collect):
    rng, alpha, cells = np.random.default_rng(4), REG / regularization(1.0, SHAPE), dealt(*triples, SHAPE)
    width, most = {"minimum": (8, 100), "unfinished": (8, 6), "narrow": (1, 100), "zero": (1, 0)}[kind]
    factors = sweep(cells, rng.standard_normal((50, width)), REG, tol=1e-10, most=most).factors
    if kind == "zero":
        factors = tuple(np.zeros_like(F) for F in factors)
    proof = certify_factors(cells, factors, REG, collect=collect)
    dual = -problem.residual(factors) / (2 * problem.data.size * alpha)
    local = fm.certify(problem, factors, dual, alpha=alpha)
    found, wanted = proof.certificate.scalars(), local.scalars()
    for name in ("value", "lower_bound", "dual_norm", "relative_residual", "whitened_residual", "residual_reach"):
        assert np.isclose(found[name], wanted[name], rtol=1e-9, atol=1e-300), name
    assert np.isclose(found["relative_gap"], wanted["relative_gap"], atol=1e-9)
    assert found["holds"] == wanted["holds"] == (kind == "minimum")
    assert found["bound_kind"] == ("probabilistic" if not collect else "dense")
    assert (proof.products > 0) == (not collect)
    if kind != "zero":
        flatness = fm.flatness(problem, proof.factors)
        for name, value in vars(proof.flatness).items():
            assert np.isclose(value, getattr(flatness, name), rtol=1e-9, atol=1e-9), name
        assert np.allclose(proof.factors[0] @ proof.factors[1].T, factors[0] @ factors[1].T)
