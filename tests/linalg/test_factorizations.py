"""Bounds that a Cholesky factorization proves, with rounding errors counted, and bases of redundant rows."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from flatmin.linalg.factorizations import positive_on_complement, row_space, smallest_singular_value


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


def _rows(rng, rank, m, n):
    return rng.integers(-3, 4, (m, rank)).astype(float) @ rng.integers(-3, 4, (rank, n))


@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("m", [6, 40, 600])
def test_dependent_rows_give_a_basis_of_their_rank(rank, m):
    rows = _rows(np.random.default_rng(rank), rank, m, 6)
    Q, basis = row_space(rows)
    assert len(basis) == np.linalg.matrix_rank(rows)
    np.testing.assert_allclose(Q @ basis, rows, atol=1e-12 * np.abs(rows).max())
    np.testing.assert_allclose(Q.T @ Q, np.eye(len(basis)), atol=1e-13)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6, 1e-9])
def test_independent_rows_of_small_size_are_kept(size):
    rng = np.random.default_rng(3)
    rows = np.vstack([_rows(rng, 2, 9, 4), size * rng.integers(1, 4, (1, 4))])
    Q, basis = row_space(rows)
    assert len(basis) == 3
    sizes = np.linalg.norm(rows, axis=1)
    assert np.max(np.linalg.norm(Q @ basis - rows, axis=1) / sizes) < 1e-13


def test_rows_of_zeros():
    Q, basis = row_space(np.zeros((5, 3)))
    assert basis.shape == (1, 3)
    assert not np.any(Q @ basis)


def test_independent_rows_are_not_pivoted():
    rows = np.random.default_rng(0).standard_normal((9, 4))
    np.testing.assert_array_equal(row_space(rows)[1], np.linalg.qr(rows)[1])


@pytest.mark.parametrize("model", [fm.Product(), fm.SignedGram(), fm.Gram()])
@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_repeated_and_dependent_measurements_are_solved(model, kinds, scale):
    """Rows of rounding errors, scaled to the size of measurements, once made such problems unsolvable."""
    rng = np.random.default_rng(kinds)
    T = rng.integers(-3, 4, (kinds, 3, 3)).astype(float)
    T += T.transpose(0, 2, 1)
    u = np.array([1.0, 2, -1])
    A = fm.measurements.Dense(np.concatenate([T, scale * T, *([T + T[:1]] * 12)]))
    s = fm.flat_minimum(fm.Problem(A, A.forward(np.outer(u, u)), model))
    assert s.certificate.holds


def test_repeated_measurements_that_contradict_each_other_are_reported():
    A = fm.measurements.Dense(np.repeat(np.array([[[1.0, 2], [3, -1]]]), 6, axis=0))
    s = fm.flat_minimum(fm.Problem(A, np.array([1.0, 1, 1, 1, 1, 2])))
    assert s.status.name == "inconsistent_data"


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-9])
def test_a_bound_on_the_complement_is_below_the_eigenvalue_in_forty_digits(dtype, smallest):
    rng, n, k = np.random.default_rng(5), 7, 2
    F = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if dtype is complex else 0)
    Q = np.linalg.qr(F)[0]
    W = (Q[:, k:] * np.linspace(smallest, 1, n - k)) @ Q[:, k:].conj().T
    W = (W + W.conj().T) / 2
    with mpmath.workdps(40):
        outside = mpmath.matrix(np.linalg.qr(Q[:, :k], mode="complete")[0][:, k:].tolist())
        inside = mpmath.matrix(Q[:, :k].tolist())
        outside -= inside * mpmath.inverse(inside.H * inside) * (inside.H * outside)  # exactly orthogonal
        root = mpmath.inverse(mpmath.cholesky(outside.H * outside))
        least = float(min(mpmath.eighe(root * outside.H * mpmath.matrix(W.tolist()) * outside * root.H)[0]))
    for excess in (0.0, 1e-15, 1e-12, 0.1):
        assert not positive_on_complement(W, Q[:, :k], least + excess)
    assert positive_on_complement(W, Q[:, :k], least - 1e-12)


def test_a_gram_matrix_of_integers_bounds_its_smallest_singular_value():
    """The exact smallest eigenvalue of ``[[a² + b², ab], [ab, a² + b²]]``-like Gram matrices is an integer."""
    for a in (3.0, 1e4, 3e6):
        columns = np.array([[a, a - 1], [a - 1, a]])  # singular values 2a − 1 and 1
        assert smallest_singular_value(columns) <= 1
    assert smallest_singular_value(np.array([[3.0, 2.0], [2.0, 3.0]])) > 0.99
