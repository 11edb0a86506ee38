"""Row products of amplitudes, and norms that do not underflow."""

import numpy as np
import pytest

from flatmin.solvers.vectors.amplitudes import root_mean_square, row_inner


@pytest.mark.parametrize("dtype", [float, complex])
def test_row_products_are_real_inner_products(dtype):
    rng = np.random.default_rng(0)
    V, W = (rng.standard_normal((7, 3)) + (1j * rng.standard_normal((7, 3)) if dtype is complex else 0) for _ in "ab")
    expected = [np.vdot(v, w).real for v, w in zip(V, W, strict=True)]
    np.testing.assert_allclose(row_inner(V, W), expected)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e200])
def test_the_root_mean_square_has_the_units_of_the_data(scale):
    b = np.random.default_rng(1).standard_normal(20)
    assert root_mean_square(scale * b) == pytest.approx(scale * np.sqrt(np.mean(b**2)))
    assert root_mean_square(np.zeros(3)) == 0.0
