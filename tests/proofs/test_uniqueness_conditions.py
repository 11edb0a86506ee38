"""Conditions of uniqueness: margins outside a subspace, against dense ones."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.linalg.operator_norm import top_spectrum
from flatmin.proofs.uniqueness_conditions import UniquenessConditions
from flatmin.proofs.whitening import WhitenedSolution
from tests.cones.samples import frame


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-3, 0.1])
def test_margin_outside_subspaces_near_the_leading_ones(angle):
    rng = np.random.default_rng(0)
    U, V = frame(rng, 6, 6), frame(rng, 5, 5)
    Y = U[:, :5] * [1.0, 1.0, 0.6, 0.3, 0.1] @ V.T
    left, right = (np.linalg.qr(F[:, :2] + angle * rng.standard_normal((len(F), 2)))[0] for F in (U, V))
    problem = fm.families.matrix_sensing.sample((6, 5), 2, 40).problem
    point = WhitenedSolution.from_factors(problem, (U[:, :2], V[:, :2]))
    conditions = UniquenessConditions(point, top_spectrum(Y, U, V, unit=0.9), np.zeros(40), 0.0, 0.0)
    outside = (np.eye(6) - left @ left.T) @ Y @ (np.eye(5) - right @ right.T)
    true = 1 - np.linalg.norm(outside, 2)
    assert true - 20 * angle**2 - 1e-12 <= conditions.margin_outside(left, right) <= true + 1e-14
    assert conditions.margin(2) == pytest.approx(0.4)
    assert conditions.margin_outside(frame(rng, 6, 5), V) == 1.0
