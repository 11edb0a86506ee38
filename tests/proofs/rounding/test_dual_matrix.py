"""Whitened dual matrices: their errors, against the stored whitenings in exact arithmetic."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from benchmarks.adversary.oracle import combined, exact, sensing, times, turned

import flatmin as fm
from flatmin.measurements import Dense, Entries, Identity, RankOne
from flatmin.proofs.rounding.dual_matrix import DualMatrix
from flatmin.proofs.whitening import WhitenedSolution


def _problem(kind):
    rng = np.random.default_rng(1)
    model = fm.Product()
    if kind == "dense":
        A = Dense(rng.standard_normal((9, 4, 3)) * np.array([1.0, 1e-3, 10, 1])[:, None])
    elif kind == "vectors":
        A = RankOne(rng.standard_normal((9, 4)), rng.standard_normal((9, 3)))
    elif kind == "repeated entries":
        A = Entries([0, 0, 0, 1, 2, 3, 3], [0, 0, 0, 1, 2, 0, 0], (4, 3), weights=rng.standard_normal(7))
    elif kind == "identity":
        A = Identity((4, 3))
    else:
        A, model = RankOne(rng.standard_normal((9, 4))), fm.SignedGram()
    X = np.outer([1.0, 2, 3, 4], [1.0, -1, 2, 3][: A.shape[1]])
    return fm.Problem(A, A.forward(X + X.T if A.shape == (4, 4) else X), model)


@pytest.mark.parametrize("kind", ["dense", "vectors", "repeated entries", "identity", "signed"])
@pytest.mark.parametrize("cancels", [False, True])
def test_the_computed_matrix_is_as_near_as_it_says(kind, cancels):
    p = _problem(kind)
    dual = np.random.default_rng(2).standard_normal(p.measurement.size)
    if cancels:
        dual[:2] += [2.0**50, -(2.0**50)]
    point = WhitenedSolution.from_factors(p, fm.flat_minimum(p).factors)
    found = DualMatrix.from_dual(point, dual)
    W1, W2 = (np.diag(W) if W.ndim == 1 else W for W in (D.whitening for D in point.metric))
    inner = combined([Fraction(y) for y in dual], sensing(p))
    true = times(times(turned(exact(W1)), inner), exact(W2))
    S = found.S if isinstance(found.S, np.ndarray) else found.S.toarray()
    apart = np.array(
        [[float(Fraction(x) - y) for x, y in zip(row, other, strict=True)] for row, other in zip(S, true, strict=True)]
    )
    assert np.linalg.norm(apart, 2) <= found.error
    assert found.error <= 1e-12 * np.linalg.norm(dual) * 1e3


def test_a_smaller_matrix_stands_for_the_range_of_a_singular_metric():
    rng = np.random.default_rng(0)
    P = np.linalg.qr(rng.standard_normal((5, 2)))[0]
    p = fm.Problem(Dense(P @ rng.standard_normal((4, 2, 3))), np.ones(4))
    s = fm.flat_minimum(p)
    point = WhitenedSolution.from_factors(p, s.factors)
    found = DualMatrix.from_dual(point, s.certificate.dual)
    assert found.S.shape == (2, 3)
    spectrum = found.spectrum(point.Z[0], point.Z[2], unit=0.99)
    assert spectrum.U.shape[0] == 5
    np.testing.assert_allclose(spectrum.values[0], 1, atol=1e-9)
    assert s.certificate.holds


def test_the_complement_of_a_dual_matrix():
    p = fm.families.covariance.sample(5, 1, 12).problem
    point = WhitenedSolution.from_factors(p, fm.flat_minimum(p).factors)
    found = DualMatrix.from_dual(point, np.ones(12))
    np.testing.assert_allclose(found.complement().S, np.eye(5) - found.S)
    assert found.whole is found.S
    assert replace(found, error=1.0).complement().error == 1.0
