"""Inverses of principal submatrices, against dense ones of each row."""

import numpy as np
import pytest

from flatmin.linalg.kernels.submatrices import LANES, Submatrices


@pytest.mark.parametrize("n", [1, LANES, 2 * LANES + 5])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_solutions_and_sum_are_those_of_dense_submatrices(n, share):
    rng = np.random.default_rng(0)
    G = rng.standard_normal((9, 7))
    S, T, selected = G.T @ G, rng.standard_normal((n, 7)), rng.random((n, 7)) < share
    want, total = np.zeros((n, 7)), np.zeros((7, 7))
    for row, t, c in zip(want, T, selected, strict=True):
        inverse = np.linalg.inv(S[np.ix_(c, c)])
        row[c] = inverse @ t[c]
        total[np.ix_(c, c)] += inverse
    solutions, found = Submatrices(selected).inverses(S, T)
    np.testing.assert_allclose(solutions, want, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found, total, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)


def test_no_rows_have_the_sum_zero():
    solutions, total = Submatrices(np.zeros((0, 3), bool)).inverses(np.eye(3), np.zeros((0, 3)))
    assert solutions.shape == (0, 3)
    np.testing.assert_array_equal(total, np.zeros((3, 3)))
