"""A second interpolant exists only below the threshold."""

import numpy as np
import pytest

from flatmin._core.limits import Clock
from flatmin.measurements import RankOne
from flatmin.solvers.vectors.another_interpolant import another_interpolant


def draw(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def instance(d, m, r, dtype, seed=0):
    rng = np.random.default_rng(seed)
    A, S = RankOne(draw(rng, (m, d), dtype)), draw(rng, (d, r), dtype)
    return A, S, A.forward_factors(S, S)


def distance(U, S):
    X, Y = U @ U.conj().T, S @ S.conj().T
    return np.linalg.norm(X - Y) / np.linalg.norm(Y)


@pytest.mark.parametrize(("m", "exists"), [(30, True), (90, False)])
def test_another_interpolant_exists_only_below_the_threshold(m, exists):
    A, S, b = instance(20, m, 1, float)
    other = another_interpolant(A, b, S, clock=Clock())
    assert (other is not None) == exists
    if exists:
        np.testing.assert_allclose(A.forward_factors(other, other), b, rtol=1e-7)
        assert distance(other, S) > 1e-3
