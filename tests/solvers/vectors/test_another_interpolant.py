"""A second interpolant exists only below the threshold."""

import numpy as np
import pytest

from flatmin._core.limits import Clock
from flatmin.solvers.vectors.another_interpolant import another_interpolant
from tests.solvers.vectors.instances import distance, measured


@pytest.mark.parametrize(("m", "exists"), [(30, True), (90, False)])
def test_another_interpolant_exists_only_below_the_threshold(m, exists):
    A, S, b = measured(20, m, 1, float)
    other = another_interpolant(A, b, S, clock=Clock())
    assert (other is not None) == exists
    if exists:
        np.testing.assert_allclose(A.forward_factors(other, other), b, rtol=1e-7)
        assert distance(other, S) > 1e-3
