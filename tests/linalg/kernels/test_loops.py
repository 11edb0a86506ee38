"""Compiled loops against NumPy."""

import numpy as np
from scipy.sparse import csr_array

from flatmin.linalg.kernels import loops


def _pattern():
    """Return compressed rows of a pattern with an empty row, and the dense matrix of its values."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((5, 7)) * (rng.random((5, 7)) < 0.6)
    dense[2] = 0
    S = csr_array(dense)
    return S.indptr, S.indices, S.data, dense


def test_products_over_a_pattern_are_those_of_the_dense_matrix():
    pointers, indices, values, dense = _pattern()
    F = np.random.default_rng(1).standard_normal((7, 3))
    out = np.full((5, 3), np.nan)
    loops.product(pointers, indices, values, F, 0, 5, out)
    np.testing.assert_allclose(out, dense @ F, atol=1e-12)
    panel, total, nothing = np.zeros((4, loops.PANEL)), np.full((4, 4), np.nan), np.zeros(0)
    loops.gram(pointers, indices, nothing, nothing, F, 0, 5, panel, total, blocks := np.full((5, 3, 3), np.nan))
    np.testing.assert_allclose(blocks, np.einsum("ij,ja,jb->iab", dense != 0, F, F), atol=1e-12)


def test_systems_are_solved_and_a_row_of_zeros_without_a_penalty_is_zero():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((3, 9, 5))
    G[2] = 0
    blocks, penalties = np.einsum("inx,iny->ixy", G, G), np.array([0.5, 1.0, 0.0])
    factors, gains = np.full((3, 4), np.nan), np.full(3, np.nan)
    loops.solved(blocks.copy(), penalties, 1e-15, factors, gains)
    for i in range(2):
        expected = np.linalg.solve(blocks[i, :4, :4] + penalties[i] * np.eye(4), blocks[i, :4, 4])
        np.testing.assert_allclose(factors[i], expected, atol=1e-12)
        np.testing.assert_allclose(gains[i], expected @ blocks[i, :4, 4], atol=1e-12)
    assert not factors[2].any()
    assert gains[2] == 0


def test_positions_are_sorted_stably_and_returned():
    key = np.array([2, 0, 2, 1, 0])
    pointers, order = np.zeros(4, np.int32), np.empty(5, np.int32)
    loops.count(key, pointers)
    assert pointers.tolist() == [0, 2, 3, 5]
    loops.place(key, pointers, np.zeros(0, np.int32), order)
    np.testing.assert_array_equal(order, np.argsort(key, kind="stable"))
    values, there, back = np.arange(5.0), np.empty(5), np.empty(5)
    loops.gathered(values, order, 0, 5, there)
    loops.returned(there, order, 0, 5, back)
    np.testing.assert_array_equal(there, values[order])
    np.testing.assert_array_equal(back, values)


def test_an_inverse_with_a_pivot_lost_to_rounding_is_finite():
    blocks = np.ones((1, 2, 2))
    loops.inverted(blocks, np.array([1e-3]), 0, 1, np.empty(2))
    assert np.all(np.isfinite(blocks))
