"""Bounds that a Cholesky factorization proves, with rounding errors counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatmin.linalg.factorizations import smallest_singular_value


def _frame(rng, d, q):
    return np.linalg.qr(rng.standard_normal((d, d)))[0][:, :q]


class TestSmallestSingularValue:
    """A lower bound, always, and a good one."""

    @given(n=st.integers(1, 12), more=st.integers(0, 20), seed=st.integers(0, 999), decades=st.floats(0, 18))
    def test_is_a_lower_bound_however_ill_conditioned(self, n, more, seed, decades):
        rng = np.random.default_rng(seed)
        values = 10.0 ** -np.linspace(0, decades, n)
        columns = _frame(rng, n + more, n) * values @ _frame(rng, n, n).T
        true = np.linalg.svd(columns, compute_uv=False)
        found = smallest_singular_value(columns)
        assert 0 <= found <= true[-1] + 1e-15 * true[0]
        if decades < 5:
            assert found >= 0.9 * true[-1]
        if decades > 9 and n > 1:
            assert found == 0.0, "the square is lost in rounding, and nothing is claimed"

    @pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
    def test_scale(self, scale):
        columns = np.random.default_rng(0).standard_normal((20, 6))
        assert smallest_singular_value(scale * columns) == pytest.approx(scale * smallest_singular_value(columns))

    def test_wide_singular_and_empty(self):
        rng = np.random.default_rng(0)
        assert smallest_singular_value(rng.standard_normal((4, 5))) == 0
        assert smallest_singular_value(np.repeat(rng.standard_normal((9, 2)), 2, axis=1)) == 0
        assert smallest_singular_value(np.zeros((9, 3))) == 0
        assert smallest_singular_value(np.zeros((9, 0))) == 0

    def test_a_lying_eigenvalue_solver_cannot_raise_it(self, monkeypatch):
        columns = np.random.default_rng(0).standard_normal((20, 6))
        true = np.linalg.svd(columns, compute_uv=False)[-1]
        for lie in (1.02, 2.0, 100.0):
            monkeypatch.setattr("scipy.linalg.eigvalsh", lambda *a, lie=lie, **k: np.array([lie * true**2]))
            assert smallest_singular_value(columns) <= true
