"""The recipe of products of vectors against independent minimisers, and a control that its claims can fail."""

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

import flatmin as fm
from flatmin.lab.recipes import hadamard_depth
from tests.lab.quick import check_finding, quick_finding


@pytest.mark.slow
def test_the_quick_version_holds():
    finding = quick_finding("hadamard-depth", seed=7)
    check_finding(finding, holding=len(finding.claims) - 1)


def test_flat_is_what_the_derivation_says():
    """With fewer unknowns than a general minimiser can handle: the power of the norm, and its weights."""
    for depth in (3, 8):
        instance = fm.families.sparse_regression.sample(8, 2, 5, depth=depth, seed=3)
        A, b = instance.problem.measurement.matrices()[:, :, 0], instance.problem.data
        weights, p = (A**2).mean(0), 2 - 2 / depth
        found = minimize(
            lambda x, w=weights, p=p: np.sum(w * np.abs(x) ** p),
            np.linalg.lstsq(A, b, rcond=None)[0],
            constraints={"type": "eq", "fun": lambda x, A=A, b=b: A @ x - b},
            options={"ftol": 1e-12, "maxiter": 1000},
        )
        assert fm.flat_minimum(instance.problem).matrix.ravel() == pytest.approx(found.x, abs=1e-4)


def test_the_smallest_norm_of_two_factors_is_basis_pursuit():
    instance = fm.families.sparse_regression.sample(20, 3, 9, seed=1)
    A, b = instance.problem.measurement.matrices()[:, :, 0], instance.problem.data
    x = hadamard_depth._least_norm(A, b, 1.0)
    best = linprog(np.ones(40), A_eq=np.hstack([A, -A]), b_eq=b)
    assert np.allclose(A @ x, b)
    assert np.abs(x).sum() == pytest.approx(best.fun, rel=1e-6)
    deeper = hadamard_depth._least_norm(A, b, 0.5)
    assert np.allclose(A @ deeper, b)
    assert np.sqrt(np.abs(deeper)).sum() <= np.sqrt(np.abs(x)).sum() + 1e-4


def test_a_dense_truth_is_recovered_at_no_depth(monkeypatch):
    monkeypatch.setattr(hadamard_depth, "SPARSITY", hadamard_depth.LENGTH)
    for depth in (2, 8):
        for smallest in ("trace", "norm"):
            cell = {"smallest": smallest, "depth": depth, "m": hadamard_depth.MOST}
            assert not hadamard_depth.recover(cell, 0)["recovered"]
