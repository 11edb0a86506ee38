"""Compiled entrywise loops against NumPy; those of robust PCA are also run by the tests of `RowPasses`."""

import numpy as np
import pytest

from flatmin.linalg.kernels.entrywise_loops import add_gram, ascend, eliminated, spread, sums, trim

ROWS, COLS = np.array([0, 0, 1, 3]), np.array([1, 2, 0, 1])


@pytest.mark.parametrize("roots", [np.zeros(0), np.array([1.0, 2.0, 0.5, 3.0])])
def test_offsets_are_spread_over_cells_and_summed_over_rows_and_columns(roots):
    rng = np.random.default_rng(0)
    g, a, b, y, out = 0.7, rng.standard_normal(4), rng.standard_normal(3), rng.standard_normal(4), np.empty(4)
    weights = roots if len(roots) else np.ones(4)
    spread(ROWS, COLS, roots, g, a, b, out)
    np.testing.assert_allclose(out, weights * (g + a[ROWS] + b[COLS]))
    by_row, by_column = np.zeros(4), np.zeros(3)
    total = sums(ROWS, COLS, roots, y, by_row, by_column)
    assert total == pytest.approx(weights @ y)
    np.testing.assert_allclose(by_row, np.bincount(ROWS, weights * y, 4))
    np.testing.assert_allclose(by_column, np.bincount(COLS, weights * y, 3))
    assert sums(ROWS, COLS, roots, y, np.zeros(0), np.zeros(0)) == pytest.approx(total)


def test_the_gram_is_that_of_the_dense_matrix():
    C, values, weights = np.zeros((4, 3)), np.array([1.0, 2.0, 0.5, 3.0]), np.array([1.0, 0.5, 2.0, 3.0])
    C[ROWS, COLS] = values
    out = np.ones((3, 3))
    add_gram(np.array([0, 2, 3, 3, 4]), COLS, values, weights, out)
    np.testing.assert_allclose(out, 1 + C.T @ (weights[:, None] * C))


@pytest.mark.parametrize("values", [np.zeros(0), np.array([1.0, 2.0, 0.5, 3.0])])
def test_one_kind_of_offset_is_eliminated(values):
    rng = np.random.default_rng(1)
    C = np.zeros((4, 3))
    C[ROWS, COLS] = values if len(values) else 1.0
    large, y, share, out = rng.uniform(1, 2, 4), rng.standard_normal(3), rng.standard_normal(4), np.zeros(3)
    x = (C @ y + share) / large
    eliminated(np.array([0, 2, 3, 3, 4]), COLS, values, large, y, share, out)
    np.testing.assert_allclose(share, x)
    np.testing.assert_allclose(out, -C.T @ x)


def test_unobserved_cells_stay_zero():
    y, x, w, z = np.ones((2, 2)), np.zeros((2, 2)), np.zeros((2, 2)), np.empty((2, 2))
    seen, free = np.array([[True, False], [True, True]]), np.empty((2, 2), bool)
    ascend(y, x, w, z, seen, 0.5, 2.0, 4.0)
    np.testing.assert_array_equal(w, 0.5 * seen)
    np.testing.assert_allclose(z, 0.5 * seen * (1 / 2 + 1 / 4))
    trim(y, x, seen, np.array([2.0, 0.5]), np.array([0.0, 2.0]), free)
    np.testing.assert_array_equal(free, [[True, False], [False, True]])
    np.testing.assert_array_equal(x, free)
