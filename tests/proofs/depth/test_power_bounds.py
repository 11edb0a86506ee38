"""Lower bounds on power norms hold for every multiplier."""

import numpy as np
import pytest

from flatmin.proofs.depth.power_bounds import (
    dual_power_norm,
    least_change,
    normal_equations,
    penalised_bound,
    scaled_bound,
)


def test_dual_norms():
    s = np.array([3.0, -4.0, 0.0])
    assert dual_power_norm(s, 1) == 4
    assert dual_power_norm(1e300 * s, 1.5) == pytest.approx(1e300 * np.sum(np.abs(s) ** 3) ** (1 / 3))
    assert dual_power_norm(0 * s, 1.5) == dual_power_norm(np.zeros(0), 1) == 0
    assert scaled_bound(np.ones((1, 3)), np.ones(1), np.zeros(1), 1.5) == 0


@pytest.mark.parametrize("p", [1.0, 4 / 3, 1.5])
def test_bounds_hold_for_every_multiplier_and_solution(p):
    rng = np.random.default_rng(0)
    B = rng.standard_normal((4, 9))
    for _ in range(100):
        z, y, penalty = rng.standard_normal(9), rng.standard_normal(4), 10 ** rng.uniform(-2, 2)
        value = np.sum(np.abs(z) ** p)
        assert scaled_bound(B, B @ z, y, p) <= value * (1 + 1e-12)
        b = B @ z + rng.standard_normal(4)
        objective = value + np.sum((B @ z - b) ** 2) / (2 * penalty)
        assert penalised_bound(B, b, y, p, penalty) <= objective * (1 + 1e-12)


def test_the_least_change_solves_the_equations_with_the_smallest_weighted_norm():
    rng = np.random.default_rng(1)
    B, r, w = rng.standard_normal((4, 9)), rng.standard_normal(4), rng.uniform(0.1, 2, 9)
    change = least_change(B, r, w)
    np.testing.assert_allclose(B @ change, r, atol=1e-12)
    np.testing.assert_allclose(change, w * (B.T @ np.linalg.solve(B * w @ B.T, r)), atol=1e-9)
    y = normal_equations(B, w, 0.5)(r)
    np.testing.assert_allclose((B * w) @ B.T @ y + 0.5 * y, r, atol=1e-12)
