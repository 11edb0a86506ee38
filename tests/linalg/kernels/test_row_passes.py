"""Passes over rows against plain NumPy, compiled or not, whatever the number of threads."""

import numpy as np
import pytest

from flatmin.linalg.kernels.row_passes import RowPasses


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_pass_is_the_plain_formula(compiled, holes, threads):
    rng = np.random.default_rng(0)
    Y, L, R = rng.standard_normal((37, 23)), rng.standard_normal((37, 2)), rng.standard_normal((23, 2))
    seen = rng.random(Y.shape) < 0.7 if holes else None
    mask = np.ones(Y.shape, bool) if seen is None else seen
    passes, X = RowPasses(Y, seen, threads=threads, compiled=compiled), L @ R.T
    W, Z = rng.standard_normal(Y.shape) * mask, np.empty(Y.shape)
    before = W.copy()
    passes.ascend(L, R, W, Z, level=0.5, rho=2.0, following=3.0)
    np.testing.assert_allclose(W, np.clip(2.0 * (Y - X) + before, -0.5, 0.5) * mask, atol=1e-12)
    np.testing.assert_allclose(Z, X + (W - before) / 2.0 + W / 3.0, atol=1e-12)
    free, left, right = np.empty(Y.shape, bool), rng.standard_normal((37, 3)), rng.standard_normal((23, 3))
    limits = rng.uniform(0, 2, 37), rng.uniform(0, 2, 23)
    found = passes.trim(L, R, limits, free, left, right)
    near = mask & (np.abs(Y - X) <= np.maximum(limits[0][:, None], limits[1]))
    np.testing.assert_array_equal(free, near)
    np.testing.assert_allclose(found[0], ((Y - X) * near) @ right, atol=1e-10)
    np.testing.assert_allclose(found[1], ((Y - X) * near).T @ left, atol=1e-10)
    found = passes.masked(L, R, free, left, right)
    np.testing.assert_allclose(found[0], (X * free) @ right, atol=1e-10)
    passes.add(L, R, free, W)
    np.testing.assert_allclose(passes.products(Y, right), Y @ right, atol=1e-10)
    np.testing.assert_allclose(passes.adjoint_products(Y, left), Y.T @ left, atol=1e-10)
    out = np.empty(Y.shape)
    passes.leave(L, R, lambda rows, values: out.__setitem__(rows, values))
    np.testing.assert_allclose(out, (Y - X) * mask, atol=1e-12)
