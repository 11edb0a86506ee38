"""Products over observed cells, against dense matrices."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import coo_array

from flatmin.linalg.kernels import Cells
from flatmin.linalg.kernels.loops import PANEL

PRECISE = {np.float64: 1e-12, np.float32: 1e-5}


def _draw(dtype, k, seed=0, shape=(23, 17), m=150, repeated=True):
    """Return cells in any order, some twice and some rows and columns empty, with values, weights and factors."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(2, shape[0] - 1, m), rng.integers(0, shape[1] - 3, m)
    if not repeated:
        rows, cols = np.divmod(np.unique(rows * shape[1] + cols), shape[1])
    L, R = (rng.standard_normal((d, k)).astype(dtype) for d in shape)
    values, weights = rng.standard_normal(len(rows)).astype(dtype), rng.uniform(0.5, 2, len(rows)).astype(dtype)
    return rows, cols, shape, values, weights, L, R


@pytest.mark.sampled(5)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 2, 7, 32])
@pytest.mark.parametrize("threads", [1, 2])
def test_products_are_those_of_dense_matrices(dtype, k, threads, monkeypatch):
    monkeypatch.setattr("flatmin.linalg.kernels.parallel.LEAST_WORK", 10)
    rows, cols, shape, values, weights, L, R = _draw(dtype, k)
    cells, tol = Cells.from_positions(rows, cols, shape, threads), PRECISE[dtype] * k
    y, w = cells.arranged(values), cells.arranged(weights)
    V = coo_array((values, (rows, cols)), shape=shape).toarray().astype(float)
    sampled = cells.sampled(L, R)
    assert sampled.dtype == dtype
    np.testing.assert_allclose(cells.returned(sampled), (L.astype(float) @ R.T)[rows, cols], atol=tol)
    np.testing.assert_allclose(cells.product(y, R), V @ R, atol=10 * tol)
    across = cells.transposed
    np.testing.assert_allclose(across.product(across.arranged(y), L), V.T @ L, atol=10 * tol)
    for i, found in enumerate(cells.grams(R, w)):
        met = weights[rows == i, None] * R[cols[rows == i]]
        np.testing.assert_allclose(found, met.T @ met, atol=30 * tol)
    plain = cells.grams(R)
    np.testing.assert_allclose(plain[5], R[cols[rows == 5]].T @ R[cols[rows == 5]], atol=30 * tol)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("weighted", [False, True])
def test_half_a_sweep_minimises_row_by_row(dtype, k, weighted):
    rows, cols, shape, values, weights, _, R = _draw(dtype, k)
    cells = Cells.from_positions(rows, cols, shape)
    penalties = np.random.default_rng(3).uniform(0.5, 2, shape[0])
    found, gain = cells.ridge(cells.arranged(values), R, penalties, cells.arranged(weights) if weighted else None)
    assert found.dtype == dtype
    least = 0.0
    for i in range(shape[0]):
        mine = rows == i
        w = weights[mine] if weighted else np.ones(mine.sum())
        G = np.vstack([w[:, None] * R[cols[mine]], np.sqrt(penalties[i]) * np.eye(k)])
        expected = np.linalg.lstsq(G, np.concatenate([values[mine], np.zeros(k)]))[0]
        np.testing.assert_allclose(found[i], expected, atol=100 * PRECISE[dtype])
        least += np.sum((G @ expected - np.concatenate([values[mine], np.zeros(k)])) ** 2)
    np.testing.assert_allclose(np.sum(values.astype(float) ** 2) - gain, least, rtol=100 * PRECISE[dtype])
    assert not np.any(found[:2])
    assert not np.any(found[-1])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
def test_second_derivatives_are_those_of_gradients(dtype, weighted):
    rows, cols, shape, values, weights, L, R = _draw(dtype, 3)
    w = weights.astype(float) if weighted else np.ones(len(rows))
    rng = np.random.default_rng(7)
    P, Q = (rng.standard_normal(F.shape).astype(dtype) for F in (L, R))

    def gradient(t):
        left, right = L + t * P.astype(float), R + t * Q.astype(float)
        e = w * (values - w * np.sum(left[rows] * right[cols], axis=1))
        E = coo_array((e, (rows, cols)), shape=shape).toarray()
        return -E @ right, -E.T @ left

    cells = Cells.from_positions(rows, cols, shape)
    e = (w * (values - w * np.sum(L.astype(float)[rows] * R[cols], axis=1))).astype(dtype)
    mine, others = np.hstack([L, P]), np.hstack([R, Q])
    given = cells.arranged(weights) if weighted else None
    across = cells.transposed
    turned = None if given is None else across.arranged(given)
    found = (
        cells.curved(cells.arranged(e), mine, others, given),
        across.curved(across.arranged(cells.arranged(e)), others, mine, turned),
    )
    for part, ahead, behind in zip(found, gradient(1e-4), gradient(-1e-4), strict=True):
        np.testing.assert_allclose(part, (ahead - behind) / 2e-4, atol=1e-5 if dtype == np.float64 else 1e-3)


def test_one_thread_and_two_give_the_same_digits(monkeypatch):
    monkeypatch.setattr("flatmin.linalg.kernels.parallel.LEAST_WORK", 10)
    rows, cols, shape, values, _, L, R = _draw(np.float64, 5, shape=(400, 300), m=9000)
    one, two = (Cells.from_positions(rows, cols, shape, threads) for threads in (1, 2))
    assert np.array_equal(one.sampled(L, R), two.sampled(L, R))
    y = one.arranged(values)
    assert np.array_equal(one.product(y, R), two.product(y, R))
    assert np.array_equal(one.ridge(y, R, np.ones(400))[0], two.ridge(y, R, np.ones(400))[0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_longer_than_a_panel(dtype):
    rng = np.random.default_rng(0)
    counts = np.array([1, PANEL - 1, PANEL, PANEL + 1, 3 * PANEL + 5])
    rows, cols = np.repeat(np.arange(5), counts), rng.integers(0, 50, counts.sum())
    cells, R = Cells.from_positions(rows, cols, (5, 50)), rng.standard_normal((50, 9)).astype(dtype)
    y = rng.standard_normal(len(rows)).astype(dtype)
    grams, ridge = cells.grams(R), cells.ridge(cells.arranged(y), R, np.ones(5))[0]
    for i in range(5):
        G = R[cols[rows == i]].astype(float)
        np.testing.assert_allclose(grams[i], G.T @ G, atol=1e3 * PRECISE[dtype])
        expected = np.linalg.solve(G.T @ G + np.eye(9), G.T @ y[rows == i])
        np.testing.assert_allclose(ridge[i], expected, atol=1e2 * PRECISE[dtype])


def test_the_order_of_cells_comes_back():
    rows, cols, shape, values, *_ = _draw(np.float64, 1)
    cells = Cells.from_positions(rows, cols, shape)
    assert np.array_equal(cells.returned(cells.arranged(values)), values)
    given = np.repeat(np.arange(shape[0]), np.diff(cells.pointers))
    assert np.array_equal(cells.returned(given), rows)
    assert np.all(np.diff(given * shape[1] + cells.indices) >= 0)
    assert cells.order is not None
    again = Cells.from_positions(given, cells.indices, shape)
    assert again.order is None
    assert np.array_equal(again.indices, cells.indices)


@pytest.mark.parametrize("threads", [1, 2])
def test_inverses_of_blocks_are_those_of_numpy(threads, monkeypatch):
    monkeypatch.setattr("flatmin.linalg.kernels.cells.LEAST_WORK", 10)
    rows, cols, shape, _, weights, _, R = _draw(np.float64, 5)
    cells = Cells.from_positions(rows, cols, shape, threads)
    penalties, w = np.random.default_rng(3).uniform(0.5, 2, shape[0]), cells.arranged(weights)
    expected = np.linalg.inv(cells.grams(R, w) + penalties[:, None, None] * np.eye(5))
    np.testing.assert_allclose(cells.inverse_grams(R, penalties, w), expected, atol=1e-12)
    single = cells.inverse_grams(R.astype(np.float32), penalties, w)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-4)


def test_numba_loads_only_when_cells_are_used():
    before = "import sys, flatmin.linalg.kernels as kernels; assert 'numba' not in sys.modules"
    code = f"{before}; kernels.Cells; assert 'numba' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_ridge_too_small_for_the_precision_gives_finite_factors(kind):
    rng = np.random.default_rng(0)
    F = rng.standard_normal((40, 3))
    F = np.hstack([F, F[:, ::-1] * 3, F]).astype(kind)  # every column lies in the span of others
    rows, cols = np.divmod(np.arange(200), 40)
    cells, values = Cells.from_positions(rows, cols, (5, 40)), rng.standard_normal(200)
    L, gain = cells.ridge(values.astype(kind), F, np.full(5, 1e-30))
    assert np.isfinite(L).all()
    best = sum(float(v @ (F[:, :3] @ np.linalg.lstsq(F[:, :3], v, rcond=None)[0])) for v in values.reshape(5, 40))
    assert gain == pytest.approx(best, rel=2e-3 if kind is np.float32 else 1e-6)
