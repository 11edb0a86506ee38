"""Minimisers of power norms: by hand, and against linear programming."""

import numpy as np
import pytest
from scipy.optimize import linprog

from flatmin.proofs.depth.power_bounds import penalised_bound, scaled_bound
from flatmin.proofs.depth.power_minimum import minimise_power_norm


def test_the_power_norm_of_a_single_equation():
    """By hand: ``min |x|^p + |y|^p s.t. x + 2y = 5`` has ``y/x = 2^(1/(p−1))``."""
    for p in (1.25, 4 / 3, 1.5, 1.9):
        found = minimise_power_norm(np.array([[1.0, 2.0]]), np.array([5.0]), p)
        x = 5 / (1 + 2 ** (p / (p - 1)))
        np.testing.assert_allclose(found.z, [x, x * 2 ** (1 / (p - 1))], rtol=1e-12)
    np.testing.assert_allclose(
        minimise_power_norm(np.array([[1.0, 2.0]]), np.array([5.0]), 1.0).z, [0, 2.5], atol=1e-12
    )


def test_the_smallest_sum_of_sizes_is_that_of_linear_programming():
    rng = np.random.default_rng(0)
    B, b = rng.standard_normal((6, 15)), rng.standard_normal(6)
    found = minimise_power_norm(B, b, 1.0)
    want = linprog(np.ones(30), A_eq=np.hstack([B, -B]), b_eq=b).fun
    assert found.converged
    assert np.abs(found.z).sum() == pytest.approx(want, rel=1e-9)
    assert scaled_bound(B, b, found.dual, 1.0) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("p", [1.0, 1.5])
def test_redundant_and_contradictory_equations_are_told_apart(p):
    B, b = np.array([[1.0, 2.0], [2.0, 4.0]]), np.array([5.0, 10.0])
    np.testing.assert_allclose(B @ minimise_power_norm(B, b, p).z, b)
    assert minimise_power_norm(B, b, p).consistent
    assert not minimise_power_norm(B, np.array([5.0, 11.0]), p).consistent


@pytest.mark.parametrize("p", [1.0, 1.5])
@pytest.mark.parametrize("shape", [(6, 15), (15, 6)])
def test_penalised_minimisers_have_no_gap(p, shape):
    rng = np.random.default_rng(1)
    B, b, penalty = rng.standard_normal(shape), rng.standard_normal(shape[0]), 0.3
    found = minimise_power_norm(B, b, p, penalty=penalty)
    value = np.sum(np.abs(found.z) ** p) + np.sum((B @ found.z - b) ** 2) / (2 * penalty)
    assert penalised_bound(B, b, found.dual, p, penalty) == pytest.approx(value, rel=1e-8)
