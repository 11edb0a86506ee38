"""Signed Gram models: signs, traces and refusals."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.testing import check_parametrization


@pytest.mark.parametrize("seed", range(3))
def test_the_public_check_passes(seed):
    check_parametrization(fm.SignedGram(), seed=seed)


def test_the_flattest_factors_have_the_signs_of_the_eigenvalues():
    model, X = fm.SignedGram(), np.diag([2.0, -1.0, 0.5])
    A = fm.measurements.Identity((3, 3))
    metric = model.metric(A)
    D = np.asarray(metric[0])
    factors = model.flattest(*model.cone.decompose(D @ X, D), metric)
    np.testing.assert_allclose(model.matrix(factors), X, atol=1e-12)
    assert model.signature(factors) == [2, 1]
    assert model.fibre_minimum(factors, metric) == pytest.approx(8 * np.linalg.norm(D @ X @ D, "nuc"))


def test_what_is_not_symmetric_is_refused():
    with pytest.raises(InputError, match="symmetric"):
        fm.Problem(fm.measurements.Dense(np.random.default_rng(0).standard_normal((2, 3, 3))), [1, 2], fm.SignedGram())
    with pytest.raises(InputError, match="pair"):
        fm.SignedGram().check((np.ones((3, 1)),), (3, 3))
