"""Bounds on the distance of other minimisers of a power norm, against adversaries."""

import numpy as np
import pytest

from flatmin.proofs.depth.nearby import nearby_minimisers, nearby_penalised
from flatmin.proofs.depth.power_minimum import minimise_power_norm


def _equations(seed=0):
    rng = np.random.default_rng(seed)
    B, z = rng.standard_normal((8, 14)), np.zeros(14)
    z[[1, 5]] = 1.0, -2.0
    return B, B @ z, z


@pytest.mark.parametrize("p", [1.0, 1.5])
def test_the_minimiser_is_unique_and_near_a_perturbed_one(p):
    B, b, _ = _equations()
    best = minimise_power_norm(B, b, p)
    exact = nearby_minimisers(B, b, p, best.z, best.dual, np.ones(14))
    assert exact.unique is True
    assert exact.radius < 1e-8
    for size in (1e-9, 1e-7):
        dual = best.dual * (1 - size)
        found = nearby_minimisers(B, b, p, best.z, dual, np.ones(14))
        assert found.radius >= exact.radius * (1 - 1e-9) or found.radius < 1e-8


def test_another_minimiser_is_returned():
    """``|x| + |y|`` with ``x + y = 1`` is constant on a segment."""
    B, b = np.ones((1, 2)), np.ones(1)
    found = nearby_minimisers(B, b, 1.0, np.array([0.5, 0.5]), np.ones(1), np.ones(2))
    assert found.unique is False
    other = found.alternative[0][:, 0]
    assert np.abs(other).sum() == pytest.approx(1)
    assert other.sum() == pytest.approx(1)
    assert np.linalg.norm(other - 0.5) > 0.1


@pytest.mark.parametrize("p", [1.0, 1.5])
def test_penalised_minimisers_are_near_each_other(p):
    B, b, _ = _equations(1)
    best = minimise_power_norm(B, b, p, penalty=0.1)
    rough = minimise_power_norm(B, b * (1 + 1e-9), p, penalty=0.1)
    found = nearby_penalised(B, b, p, 0.1, rough.z, rough.dual, np.ones(14))
    assert found.unique is True
    assert np.linalg.norm(best.z - rough.z) <= found.radius
